"""The glyph images of src/io/glyphs.c as numpy arrays: the C file itself, compiled and called."""
import ctypes
import os
import re
import subprocess
import tempfile

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(ROOT, "src")


def _constants():
    with open(os.path.join(SOURCE, "io", "glyphs.h"), encoding="utf-8") as header:
        found = re.findall(r"#define LAC_GLYPHS_(\w+) +(?:UINT64_C\()?(\d+)", header.read())
    return {name: int(value) for name, value in found}


def _library():
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "glyphs.so")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O2", "-fPIC", "-shared",
                    "-I" + SOURCE, os.path.join(SOURCE, "io", "glyphs.c"), "-o", path], check=True)
    library = ctypes.CDLL(path)
    library.lac_glyphs_class_name.restype = ctypes.c_char_p
    return library


CONSTANTS = _constants()
SIDE = CONSTANTS["SIDE"]
CLASSES = CONSTANTS["CLASSES"]
_LIBRARY = _library()


def draw(seed, first, count):
    """Images first to first + count - 1 of the set `seed`: uint8 [count, 28, 28] and [count]."""
    images = np.empty((count, SIDE, SIDE), np.uint8)
    labels = np.empty(count, np.uint8)
    _LIBRARY.lac_glyphs_draw_range(
        ctypes.c_uint64(seed), ctypes.c_int64(first), ctypes.c_int64(count),
        ctypes.c_void_p(images.ctypes.data), ctypes.c_void_p(labels.ctypes.data))
    return images, labels


def training_set(count=None):
    return draw(CONSTANTS["TRAIN_SEED"], 0, count or CONSTANTS["TRAIN_COUNT"])


def test_set():
    return draw(CONSTANTS["TEST_SEED"], 0, CONSTANTS["TEST_COUNT"])


def class_name(label):
    return _LIBRARY.lac_glyphs_class_name(ctypes.c_int(label)).decode()
