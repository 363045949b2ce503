#!/usr/bin/env python3
"""Our files in other hands: the standard's checker takes them, and ONNX Runtime with its
optimisations off runs them unchanged: every packed format bit for bit, whole compressed networks
with the numbers that `lacuna run` gives. Needs the packages of tests/requirements.txt in
$LACUNA_PYTHON (or this Python); a loud skip without them."""
import glob
import os
import pathlib
import subprocess
import sys
import tempfile

PYTHON = os.environ.get("LACUNA_PYTHON", sys.executable)
if PYTHON != sys.executable and os.access(PYTHON, os.X_OK):
    os.execv(PYTHON, [PYTHON, *sys.argv])
try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"SKIP: {missing} (set LACUNA_PYTHON to a Python with tests/requirements.txt)")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LACUNA_BUILD", ROOT / "build"))
LACUNA = os.environ.get("LACUNA", str(BUILD / "lacuna"))
SCHEMES = ["int8", "magnitude:n=2,m=4", "nm:2:4+int8", "deep-compression"]
failures = 0


def check(good, what):
    global failures
    print(("ok    " if good else "FAIL  ") + what)
    failures += not good


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def formats(folder):
    """Files that io.test_onnx_write leaves: each output is an unpacked weight, beside it what it must be."""
    subprocess.run([BUILD / "io.test_onnx_write"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env={**os.environ, "LACUNA_KEEP": str(folder)})
    files = sorted(glob.glob(f"{folder}/packed_*.onnx"))
    check(len(files) == 3, f"{len(files)} files of packed weights")
    for path in files:
        onnx.checker.check_model(path)
        runner = session(path)
        names = [output.name for output in runner.get_outputs()]
        wrong = []
        for name, got in zip(names, runner.run(None, {})):
            want = np.load(f"{folder}/{name}.npy")
            if got.dtype != want.dtype or not np.array_equal(got, want):
                wrong.append(name)
        check(len(names) > 20 and not wrong,
              f"{os.path.basename(path)}: {len(names)} weights unpacked {' '.join(wrong)}")


def networks(folder):
    """The embedded networks, compressed by each scheme."""
    random = np.random.default_rng(7)
    for model in sorted(ROOT.glob("data/*.onnx")):
        for number, scheme in enumerate(SCHEMES):
            path = folder / f"{model.stem}_{number}.onnx"
            done = subprocess.run([LACUNA, "compress", str(model), "--scheme", scheme,
                                   "--output", str(path), "--external", str(4096 * (number % 2))],
                                  capture_output=True, text=True, check=False)
            what = f"{model.stem} {scheme}"
            if done.returncode:
                check(False, f"{what}: {done.stderr.strip()}")
                continue
            onnx.checker.check_model(str(path))
            runner = session(path)
            take = runner.get_inputs()[0]
            shape = [size if isinstance(size, int) else 4 for size in take.shape]
            x = random.random(shape, dtype=np.float32)
            np.save(folder / "x.npy", x)
            subprocess.run([LACUNA, "run", str(path), "--input", f"{take.name}={folder}/x.npy",
                            "--output-dir", str(folder / "out")], check=True,
                           stdout=subprocess.DEVNULL)
            for output, want in zip(runner.get_outputs(), runner.run(None, {take.name: x})):
                got = np.load(folder / "out" / f"{output.name}.npy")
                error = np.abs(got - want).max() / np.abs(want).max()
                # An activation on the edge of two 8-bit steps may fall on either side.
                limit = 2e-2 if "int8" in scheme else 1e-3
                same = (got.argmax(-1) == want.argmax(-1)).all()
                check(got.shape == want.shape and error <= limit and same,
                      f"{what}: differs by {error:.1e}")


with tempfile.TemporaryDirectory() as name:
    formats(pathlib.Path(name))
    (pathlib.Path(name) / "out").mkdir()
    networks(pathlib.Path(name))
sys.exit(failures != 0)
