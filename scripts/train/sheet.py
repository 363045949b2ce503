"""Writes a PNG contact sheet of the first training images, a row for each class.

usage: sheet.py FILE.png
"""
import struct
import sys
import zlib

import numpy as np

import glyphs

COLUMNS = 16
CELL = glyphs.SIDE + 2
ZOOM = 2


def png(pixels):
    """A greyscale array as the bytes of a PNG file."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body
                + struct.pack(">I", zlib.crc32(kind + body)))

    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


def main(path):
    images, labels = glyphs.training_set(COLUMNS * glyphs.CLASSES * 2)
    sheet = np.zeros((glyphs.CLASSES * CELL, COLUMNS * CELL), np.uint8)
    for c in range(glyphs.CLASSES):
        for i, image in enumerate(images[labels == c][:COLUMNS]):
            sheet[c * CELL:c * CELL + glyphs.SIDE, i * CELL:i * CELL + glyphs.SIDE] = image
    with open(path, "wb") as out:
        out.write(png(sheet.repeat(ZOOM, 0).repeat(ZOOM, 1)))
    print("rows:", ", ".join(glyphs.class_name(c) for c in range(glyphs.CLASSES)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
