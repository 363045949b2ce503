#!/usr/bin/env python3
"""Latency of lacuna beside ONNX Runtime: batch 1, pinned, default options, interleaved.

    python3 -m venv .venv && .venv/bin/pip install onnxruntime numpy
    .venv/bin/python bench/peers/onnxruntime.py --bench build/bench_latency \
        [--models $LACUNA_SHARED/data/models] [--rounds 5] [--seconds 0.5] [--only NAME] [--limit 1.5]

Takes every .onnx below the folder whose inputs are floats or integers; those that ONNX Runtime does
not run are named and left out. Exit code 1 when lacuna does not run one of the others, when a ratio
is above --limit, or when nothing was compared. Each round runs both programs one after the other in processes of their own, so that what else the
machine does hits both alike; the table has the least of the rounds' medians.
"""
import argparse, os, pathlib, statistics, subprocess, sys, time

sys.path.pop(0)  # this file has the name of the module it imports

SKIPPED = 77  # exit code of the peer: this network has no result to compare with


def peer(path, threads, seconds, length):
    import numpy, onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    types = {f"tensor({name})": getattr(numpy, kind) for name, kind in (
        ("float16", "float16"), ("float", "float32"), ("double", "float64"), ("int8", "int8"),
        ("uint8", "uint8"), ("int16", "int16"), ("int32", "int32"), ("int64", "int64"))}
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        random, feed = numpy.random.default_rng(1), {}
        for value in session.get_inputs():
            dims = [d if isinstance(d, int) else 1 if d == "N" else length for d in value.shape]
            if value.type not in types:
                raise TypeError(f"input '{value.name}' is {value.type}")
            feed[value.name] = (random.uniform(-1, 1, dims) if "int" not in value.type
                                else numpy.ones(dims)).astype(types[value.type])
        if not feed:
            raise TypeError("it has no input")
        names = [o.name for o in session.get_outputs()]
        session.run(names, feed)
    except Exception as error:  # whatever it does not like about this network
        print(str(error).splitlines()[0], file=sys.stderr)
        return SKIPPED
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        session.run(names, feed)
        times.append((time.perf_counter() - start) * 1e3)
    print(statistics.median(times), min(times))
    return 0


def compare(a, path, threads):
    """The ratio of the least medians and its line; None when there is no peer, infinity when there is
    no lacuna."""
    best = {}
    pin = ["taskset", "-c", ",".join(map(str, range(threads)))]
    for _ in range(a.rounds):
        for who, command in (
                ("ort", [sys.executable, __file__, "--seconds", str(a.seconds), "--length",
                         str(a.length), "--peer", path, str(threads)]),
                ("lacuna", [a.bench, path, str(threads), str(a.seconds), str(a.length)])):
            done = subprocess.run(pin + command, capture_output=True, text=True)
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1][-200:]
            if who == "ort" and done.returncode == SKIPPED:
                return None, f"skipped: ONNX Runtime: {why}"
            if who == "ort" and done.returncode:
                sys.exit(f"{path}: {who}: {why}")
            if done.returncode:
                return float("inf"), f"lacuna: {why}"
            median = float(done.stdout.split()[-2])
            best[who] = min(best.get(who, median), median)
    ratio = best["lacuna"] / best["ort"]
    return ratio, f"{best['lacuna']:10.4f} {best['ort']:10.4f} {ratio:7.2f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", default="build/bench_latency")
    parser.add_argument("--models", default=os.path.join(
        os.environ.get("LACUNA_SHARED", "../shared"), "data/models"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--only", default="")
    parser.add_argument("--limit", type=float, default=1.5)
    parser.add_argument("--peer", nargs=2, metavar=("MODEL", "THREADS"))
    a = parser.parse_args()
    if a.peer:
        return peer(a.peer[0], int(a.peer[1]), a.seconds, a.length)
    print(f"{'model':38s} {'threads':>7s} {'lacuna ms':>10s} {'ort ms':>10s} {'ratio':>7s}")
    worst, failures = 0, []
    root = pathlib.Path(a.models)
    for file in sorted(root.glob("**/*.onnx")):
        model = str(file.relative_to(root).with_suffix(""))
        if a.only not in model:
            continue
        for threads in map(int, a.threads.split(",")):
            ratio, line = compare(a, str(file), threads)
            print(f"{model:38s} {threads:7d} {line}", flush=True)
            if ratio is None: # no peer: the same with more threads
                break
            worst = max(worst, ratio)
            if ratio > a.limit:
                failures.append(f"{model}, {threads} threads: {line}")
    print(f"worst ratio {worst:.2f}, limit {a.limit:g}")
    if not worst:
        failures.append(f"nothing was compared below {root}")
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
