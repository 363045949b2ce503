#!/usr/bin/env python3
"""Real networks on the simulated accelerators: what each must run, every layer that ran exact, the
rest `host` with a reason; and an int8 network decides alike when the systolic array computes it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LACUNA = os.environ.get("LACUNA", "build/lacuna")
MODELS = pathlib.Path(os.environ.get("LACUNA_SHARED", "../shared")) / "data" / "models"
KINDS = {"gemm": 1, "conv": 1, "fc": 1, "lstm": 1, "attention": 2} # operators that a layer is made of
PRODUCTS = {"MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN"}
failures = []


def lacuna(*words):
    done = subprocess.run([LACUNA, *map(str, words), "--json"], capture_output=True, text=True)
    if done.returncode:
        failures.append(done.stderr.strip())
        return None
    return json.loads(done.stdout)


def expect(condition, text):
    print(("ok     " if condition else "FAILED ") + text)
    if not condition:
        failures.append(text)


def simulate(model, accel, *more):
    """Layers of one accelerator, checked for what holds always."""
    out = lacuna("simulate", model, "--accel", accel, *more)
    if out is None:
        return []
    layers = out["accels"][0]["layers"]
    for layer in layers:
        if layer["status"] == "ok" and not layer["exact"]:
            failures.append(f"{model} {accel} {layer['layer']}: not exact")
        if layer["status"] == "host" and not layer["reason"]:
            failures.append(f"{model} {accel} {layer['layer']}: host without a reason")
    return layers


def main():
    if not MODELS.is_dir():
        print(f"SKIP: {MODELS} is absent: no real network is simulated")
        return 77
    if os.environ.get("LACUNA_SHORT"):
        print("SKIP: LACUNA_SHORT: simulated networks run in the release build")
        return 77
    for meta in sorted(MODELS.glob("*/meta.json")):
        for name in sorted(json.loads(meta.read_text())["files"].values()):
            layers = simulate(meta.parent / name, "systolic")
            kinds = [l for l in layers if l["kind"] in KINDS]
            host = [l["layer"] + ": " + l["reason"] for l in kinds if l["status"] == "host"]
            # What must be there is read from the file: operators that are products.
            operators = (lacuna("inspect", meta.parent / name) or {"operators": {}})["operators"]
            wanted = sum(count for op, count in operators.items() if op in PRODUCTS)
            seen = sum(KINDS[l["kind"]] for l in kinds)
            expect(seen >= wanted > 0 and not host,
                   f"systolic runs all {len(kinds)} layers of the {wanted} products of "
                   f"{meta.parent.name}/{name} {host}")
    for model in ("deit_tiny/model.onnx", "minilm_l6_sst2/model_2to4.onnx"):
        layers = simulate(MODELS / model, "sta")
        wanted = [l for l in layers if l["kind"] in ("gemm", "attention")]
        ran = [l for l in wanted if l["status"] == "ok" and l["exact"]]
        expect(wanted and len(ran) == len(wanted),
               f"sta runs {len(ran)} of {len(wanted)} linear and attention products of {model}")
    layers = simulate(MODELS / "squeezenet_deep_compression/model.onnx", "eie")
    ran = [l for l in layers if l["status"] == "ok" and l["exact"]]
    expect(len(layers) == 26 and len(ran) >= 16,
           f"eie runs {len(ran)} of {len(layers)} convolutions of squeezenet")
    for meta in sorted(MODELS.glob("lenet*/meta.json")):
        layers = simulate(meta.parent / "model.onnx", "eie")
        fully = [l for l in layers if l["kind"] in ("gemm", "fc")]
        expect(fully and all(l["status"] == "ok" and l["exact"] for l in fully),
               f"eie runs the {len(fully)} fully connected layers of {meta.parent.name}")
    with tempfile.TemporaryDirectory() as folder:
        for network in ("lenet300_dense", "lenet300_2to4", "lenet5_dense", "mnist_lstm", "kwt1",
                        "mlperf_tiny_resnet8", "mlperf_tiny_ds_cnn", "resnet20_cifar10"):
            out = lacuna("compare", MODELS / network / "model.onnx", "--scheme", "int8", "--agree",
                         64, "--images", 64, "--runs", 1, "--report", f"{folder}/r.html", "--fresh")
            if out is None:
                continue
            row = out["models"][0]["rows"][0]
            for accel in ("systolic", "sta", "eie"):
                host = row.get(f"{accel}_cycles_remark")
                print(f"       {network}: int8 on {accel} agrees with fp32 on "
                      f"{row[f'{accel}_agreement']:.1f} % of the first items" + (f" ({host})" if host else ""))
            expect(row["systolic_agreement"] >= 95,
                   f"{network}: int8 on systolic agrees on {row['systolic_agreement']:.1f} %")
    print(f"{len(failures)} failures")
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
