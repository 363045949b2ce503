#!/usr/bin/env python3
# once: it reads the fields of a report and runs the program twice
"""bench_kernels in its quick form: every case of the issue is there, each either measured with all
its figures or missing with a reason; bench/results turns it into a page. Times are not looked at."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(os.environ.get("LACUNA_BUILD", root / "build"))
program = build / "bench_kernels"
FIGURES = ("ratio", "limit", "target", "ms", "gflops", "effectual_gflops", "gbps", "roofline",
           "density", "stored_bytes")
AIMLESS = r"\.u8$|^lut\.(2|3|4)bit|codebook4|^network\."
WANTED = """spmm.f32.unstructured.80 spmm.f32.nm-shared.2:4 spmm.f32.nm.2:4 spmm.i8.block1x4.80
spmm.i8.shared4x4.75 spmm.i8.nm.1:4 spmm.i8.srbcrs4.30 sddmm.i8.srbcrs8.10 gemv.i8.dram
gemv.nm-i8.dram gemv.q4.dram gemv.q2.dram gemm.q4 lut.1bit threads.i8.nm.2:4 network.mlperf_tiny_resnet8.int8""".split()
faults = []


def check(right: bool, what: str) -> None:
    if not right:
        faults.append(what)


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([program, "--quick", *arguments], capture_output=True, text=True,
                          timeout=600, check=False)


def check_case(case: dict) -> None:
    name = case["case"]
    for key in (*FIGURES, "baseline", "isa", "kernel", "format", "layer", "layouts", "threads"):
        check(key in case, f"{name}: no {key}")
    if case["state"] == "missing":
        check(bool(case.get("why")), f"{name}: missing without a reason")
        check(case["ratio"] is None and case["kernel"] is None, f"{name}: missing, yet measured")
        return
    check(case["state"] == "measured", f"{name}: {case['state']}")
    for key in FIGURES:
        if key == "limit" and name.startswith("lut."):
            continue
        if key == "target" and case[key] is None:  # shown beside the case that has one
            check(bool(re.search(AIMLESS, name)), f"{name}: no target")
            continue
        if name.startswith("network.") and key in ("limit", "roofline", "density", "effectual_gflops"):
            check(case[key] is None, f"{name}: {key} of a whole network")
            continue
        value = case[key]
        check(isinstance(value, (int, float)) and value > 0, f"{name}: {key} is {value}")
    if name.startswith("network."):
        return
    check(0 < case["density"] <= 1, f"{name}: density {case['density']}")
    check(abs(case["effectual_gflops"] - case["gflops"] * case["density"])
          < 1e-6 * case["gflops"], f"{name}: effectual rate")
    bounded = re.search(r"\.nm(?:-shared|-i8)?\.(\d+):(\d+)$", name)
    if bounded:
        n, m = map(int, bounded.groups())
        check(abs(case["density"] - n / m) < 1e-9, f"{name}: density {case['density']}")


def main() -> int:
    if not program.exists():
        print(f"SKIP: {program} is not built: it is NOT tested", file=sys.stderr)
        return 77
    done = run("--json")
    check(done.returncode == 0 and not done.stderr, f"status {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    check(report["schema"] == "lacuna.kernels/1", report["schema"])
    for key in ("cpu", "isa", "l1_read_gbps", "l2_read_gbps", "l3_read_gbps", "one_thread", "threads"):
        check(key in report["machine"], f"machine: no {key}")
    names = [case["case"] for case in report["cases"]]
    check(len(names) == len(set(names)), "a name twice")
    for name in WANTED:
        check(name in names, f"no case {name}")
    for case in report["cases"]:
        check_case(case)
    measured = [case for case in report["cases"] if case["state"] == "measured"]
    check(len(measured) >= 8, f"only {len(measured)} measured")

    few = run("--json", "--case", "spmm.f32.nm.*", "--threads", "2")
    names = [case["case"] for case in json.loads(few.stdout)["cases"]]
    check(len(names) == 4 and all(name.startswith("spmm.f32.nm.") for name in names), f"{names}")
    check(all(case["threads"] == 2 for case in json.loads(few.stdout)["cases"]), "--threads 2")
    text = run("--case", "gemv.i8.dram").stdout.splitlines()
    check(len(text) == 3 and text[2].startswith("gemv.i8.dram"), f"{text}")
    check(run("--case", "nothing").returncode == 1, "--case nothing")
    check(run("--nonsense").returncode == 2, "--nonsense")

    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "RESULTS.md"
        made = subprocess.run([root / "bench" / "results", "--program", program, "--output", page,
                               "--quick"], capture_output=True, text=True, timeout=900, check=False)
        check(made.returncode == 0, f"bench/results: {made.stderr}")
        text = page.read_text() if page.exists() else ""
        for name in WANTED:
            check(f"| {name} |" in text, f"bench/results: no row {name}")
        check("missing" in text or len(measured) == len(report["cases"]), "bench/results: missing")
    print(f"{len(report['cases'])} cases, {len(measured)} measured, {len(faults)} faults")
    for fault in faults:
        print("FAILED:", fault)
    return 1 if faults else 0


sys.exit(main())
