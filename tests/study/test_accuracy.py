#!/usr/bin/env python3
"""Every scored task of every network under $LACUNA_SHARED/data/models: `lacuna eval` gives the stored
fp32 figures (top-1, top-5, Spearman), and int8 loses at most 1 point on sets of 500 items or more.
The meta.json beside each model says everything; no network is named here."""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LACUNA = os.environ.get("LACUNA", "build/lacuna")
SHARED = pathlib.Path(os.environ.get("LACUNA_SHARED", "../shared"))
# Under sanitizers everything is 20 times slower: there, two items of the smallest network of every
# set, and its int8 copy, show that no memory is misused; no figure is compared.
SHORT = os.environ.get("LACUNA_SHORT")


def lacuna(*words):
    done = subprocess.run([LACUNA, *map(str, words), "--json"], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()
    return json.loads(done.stdout), ""


def short(models):
    done, failures = set(), []
    files = [(meta.parent / name, frozenset(str(t.get("set", t.get("x"))) for t in stored["tasks"]))
             for meta in sorted(models.glob("*/meta.json")) for stored in [json.loads(meta.read_text())]
             for name in stored["files"].values()]
    for model, sets in sorted(files, key=lambda f: f[0].stat().st_size):
        if sets <= done:
            continue
        scores, why = lacuna("eval", model, "--limit", 2)
        if scores is None and ("no task" in why or "is not scored" in why):
            continue
        with tempfile.TemporaryDirectory() as folder:
            small = pathlib.Path(folder) / model.name
            for words in (("compress", model, "--scheme", "int8", "--output", small),
                          ("eval", small, "--limit", 2)):
                if scores is not None:
                    scores, why = lacuna(*words)
        if scores is None:
            failures.append(f"{model}: {why}")
        done |= sets
        print(f"{model.parent.name}: {', '.join(sorted(sets))}", flush=True)
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures or len(done) < 5 else 0


def check(model, label, tasks):
    """What to print, failures, figures checked, int8 figures checked."""
    title, lines, failures, checked, compressed = f"{model.parent.name}/{model.name}", [], [], 0, 0
    scores, why = lacuna("eval", model, "--threads", 1)
    if scores is None:
        if "no task" in why or "is not scored" in why:
            return [f"{title}: no scored task"], [], 0, 0
        return [], [why], 0, 0
    for row in scores["rows"]:
        of_set = [task for task in tasks if task.get("set", task.get("x")) == row["set"]
                  and task.get("model", label) == label]
        if len(of_set) != 1:
            failures.append(f"{title} {row['set']}: {len(of_set)} tasks of this set are stored")
            continue
        for figure in {"value", "top5"} & of_set[0].keys():
            value, want = row[figure], of_set[0][figure]
            allowed = (0.002 if row["metric"] == "spearman" else max(1, 0.002 * row["n"]) / row["n"])
            wrong = value is None or abs(value - want) > allowed + 1e-9
            lines.append(f"{title} {row['set']} {figure}: {value}, stored {want}: "
                         f"{'WRONG' if wrong else 'ok'}")
            checked += 1
            if wrong:
                failures.append(lines[-1])
    if not any(row["n"] >= 500 for row in scores["rows"]):
        return lines, failures, checked, 0
    with tempfile.TemporaryDirectory() as folder:
        small = pathlib.Path(folder) / model.name
        done, why = lacuna("compress", model, "--scheme", "int8", "--output", small, "--threads", 1)
        # The calibration part is not scored, in either network.
        after, why = lacuna("eval", small, "--skip", 64, "--threads", 1) if done else (None, why)
        before, why = (lacuna("eval", model, "--skip", 64, "--threads", 1) if after
                       else (None, why))
        if before is None:
            return lines, failures + [f"{title}: {why}"], checked, 0
        for a, b in zip(after["rows"], before["rows"]):
            if b["n"] < 500 - 64:
                continue
            lost = 100 * (b["value"] - a["value"])
            lines.append(f"  int8 {a['set']}: {a['value']:.4f}, loses {lost:.2f} points")
            compressed += 1
            if lost > 1.0:
                failures.append(f"{title} {a['set']}: int8 loses {lost:.2f} points")
    return lines, failures, checked, compressed


def main():
    models = SHARED / "data" / "models"
    if not models.is_dir():
        print(f"SKIP: {models} is absent: no accuracy is checked")
        return 77
    if SHORT:
        return short(models)
    files = [(meta.parent / name, label, stored["tasks"]) for meta in sorted(models.glob("*/meta.json"))
             for stored in [json.loads(meta.read_text())]
             for label, name in sorted(stored["files"].items())]
    failures, checked, compressed = [], 0, 0
    # One thread a network, one network a core: less waiting than two threads on one network.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines, wrong, n_checked, n_compressed in pool.map(lambda file: check(*file), files):
            print("\n".join(lines), flush=True)
            failures += wrong
            checked += n_checked
            compressed += n_compressed
    for failure in failures:
        print("FAILED", failure)
    print(f"{checked} scores, {compressed} int8 networks, {len(failures)} failures")
    return 1 if failures or checked < 5 or compressed < 5 else 0


if __name__ == "__main__":
    sys.exit(main())
