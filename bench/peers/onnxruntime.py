#!/usr/bin/env python3
"""Latency of lacuna beside ONNX Runtime: batch 1, pinned, default options, interleaved.

    python3 -m venv .venv && .venv/bin/pip install onnxruntime numpy
    .venv/bin/python bench/peers/onnxruntime.py --bench build/bench_latency \
        --models $LACUNA_SHARED/data/models [--rounds 5] [--seconds 0.5] [--only NAME]

Each round runs both programs one after the other in processes of their own, so that what else the
machine does hits both alike; the table has the least of the rounds' medians.
"""
import argparse, os, statistics, subprocess, sys, time

sys.path.pop(0)  # this file has the name of the module it imports

MODELS = ["deit_tiny/model", "minilm_l6_sst2/model_dense", "minilm_l6_sst2/model_2to4", "kwt1/model",
          "mobilenet_v1/model", "mobilenet_v2/model", "squeezenet_deep_compression/model",
          "resnet20_cifar10/model", "resnet56_cifar10/model", "mlperf_tiny_resnet8/model",
          "mlperf_tiny_ds_cnn/model", "lenet5_dense/model", "lenet5_pruned/model",
          "stories260k/model"]


def peer(path, threads, seconds, length):
    import numpy, onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random, feed = numpy.random.default_rng(1), {}
    for value in session.get_inputs():
        dims = [d if isinstance(d, int) else 1 if d == "N" else length for d in value.shape]
        feed[value.name] = (random.uniform(-1, 1, dims).astype(numpy.float32)
                            if "float" in value.type else numpy.ones(dims, numpy.int64))
    names = [o.name for o in session.get_outputs()]
    times, begin = [], time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        session.run(names, feed)
        times.append((time.perf_counter() - start) * 1e3)
    print(statistics.median(times[1:]), min(times))


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
    parser.add_argument("--peer", nargs=2, metavar=("MODEL", "THREADS"))
    a = parser.parse_args()
    if a.peer:
        return peer(a.peer[0], int(a.peer[1]), a.seconds, a.length)
    print(f"{'model':38s} {'threads':>7s} {'lacuna ms':>10s} {'ort ms':>10s} {'ratio':>7s}")
    worst = 0
    for model in MODELS:
        path = os.path.join(a.models, model + ".onnx")
        if a.only not in model:
            continue
        for threads in map(int, a.threads.split(",")):
            best = {}
            pin = ["taskset", "-c", ",".join(map(str, range(threads)))]
            for _ in range(a.rounds):
                for who, command in (
                        ("lacuna", [a.bench, path, str(threads), str(a.seconds), str(a.length)]),
                        ("ort", [sys.executable, __file__, "--seconds", str(a.seconds), "--length",
                                 str(a.length), "--peer", path, str(threads)])):
                    text = subprocess.run(pin + command, capture_output=True, text=True)
                    if text.returncode:
                        sys.exit(f"{model}: {who}: {text.stderr.strip()[-400:]}")
                    median = float(text.stdout.split()[-2])
                    best[who] = min(best.get(who, median), median)
            ratio = best["lacuna"] / best["ort"]
            worst = max(worst, ratio)
            print(f"{model:38s} {threads:7d} {best['lacuna']:10.4f} {best['ort']:10.4f} "
                  f"{ratio:7.2f}", flush=True)
    print(f"worst ratio {worst:.2f}")


if __name__ == "__main__":
    main()
