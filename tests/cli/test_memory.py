#!/usr/bin/env python3
"""A compressed model is mapped and read where it lies: the peak memory of a run is that of the same
program with a tiny network, plus the bytes of the file, plus the tensors between layers, plus a tenth."""
import array
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from onnx_bytes import model, msg, npy, num, tensor, value  # noqa: E402

LACUNA = os.environ.get("LACUNA", "build/lacuna")
SHORT = os.environ.get("LACUNA_SHORT")  # sanitizers have memory of their own: only that it runs
SIZE, LAYERS = (256, 3) if SHORT else (2048, 8)
SCHEMES = ["nm:2:4", "nm:2:4+int8", "magnitude:density=0.1", "int8", "dense"]


def write(path, size, layers):
    """MatMul and Relu by turns; weights of a pool, each layer from another place of it."""
    random.seed(1)
    pool = array.array("f", (random.gauss(0, size ** -0.5) for _ in range(min(size * size, 1 << 20))))
    raw, nodes, tensors = pool.tobytes(), [], []
    for i in range(layers):
        turn = 4 * 7919 * i % len(raw)
        data = (raw[turn:] + raw[:turn]) * (size * size // len(pool))
        tensors.append(tensor(f"w{i}", [size, size], [], raw=data))
        nodes.append(msg(1, f"h{i}") + msg(1, f"w{i}") + msg(2, f"p{i}") + msg(3, f"product{i}") + msg(4, "MatMul"))
        nodes.append(msg(1, f"p{i}") + msg(2, f"h{i + 1}") + msg(3, f"relu{i}") + msg(4, "Relu"))
    path.write_bytes(model(nodes, [value("h0", 1, size)], [value(f"h{layers}", 1, size)], tensors))


def peak(*words):
    """Largest resident memory of the process, bytes, and what it printed. By time(1) where it is: a
    child of this large program would begin with this program's own."""
    timed = os.path.exists("/usr/bin/time")
    done = subprocess.run((["/usr/bin/time", "-f", "peak %M"] if timed else []) + [LACUNA, *map(str, words)],
                          capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    out = json.loads(done.stdout)
    said = [int(line.split()[1]) * 1024 for line in done.stderr.splitlines() if line.startswith("peak ")]
    return said[0] if said else out["memory"]["resident_bytes"], out


def compress(scheme, source, target):
    subprocess.run([LACUNA, "compress", source, "--scheme", scheme, "--output", target],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    beside = pathlib.Path(f"{target}.data")
    return target.stat().st_size + (beside.stat().st_size if beside.exists() else 0), beside.exists()


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, size, layers in (("tiny", 16, LAYERS), ("large", SIZE, LAYERS)):
            write(folder / f"{name}.onnx", size, layers)
            raw = array.array("f", [i % 7 / 7 for i in range(size)]).tobytes()
            (folder / f"{name}.npy").write_bytes(npy("<f4", f"(1, {size})", raw))
        for scheme in SCHEMES:
            files = {}
            for name in ("tiny", "large"):
                files[name], mapped = compress(scheme, folder / f"{name}.onnx", folder / f"{name}_.onnx")
                assert mapped == (name == "large" and files[name] > 1 << 20), (scheme, name)
            base, _ = peak("run", folder / "tiny_.onnx", "-i", folder / "tiny.npy", "--json", "--threads", 1)
            most, out = peak("run", folder / "large_.onnx", "-i", folder / "large.npy", "--json", "--threads", 1)
            memory = out["memory"]
            limit = base + 1.1 * (files["large"] + memory["activation_bytes"])
            good = SHORT or most <= limit
            failed += not good
            print(f"{scheme:24} file {files['large'] / 1e6:7.1f} MB  mapped {memory['mapped_bytes'] / 1e6:7.1f}"
                  f"  repacked {memory['repacked_bytes'] / 1e6:7.1f}  peak {most / 1e6:7.1f}"
                  f"  tiny {base / 1e6:5.1f}  limit {limit / 1e6:7.1f}  {'ok' if good else 'FAILED'}")
            if not SHORT:  # the tool's own figure is the system's, but for what the last lines took
                assert abs(memory["resident_bytes"] - most) < 1 << 20, (memory, most)
                assert memory["mapped_bytes"] > 0.99 * files["large"] - (1 << 16), memory
    return failed


sys.exit(main() != 0)
