#!/usr/bin/env python3
"""Every scored task of every network under $LACUNA_SHARED/data/models: `lacuna eval` gives the stored
fp32 figures (top-1, top-5, Spearman), and int8 loses at most 1 point on sets of 500 items or more.
The meta.json beside each model says everything; no network is named here."""
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


def main():
    models = SHARED / "data" / "models"
    if not models.is_dir():
        print(f"SKIP: {models} is absent: no accuracy is checked")
        return 77
    if SHORT:
        return short(models)
    failures, checked, compressed = [], 0, 0
    for meta in sorted(models.glob("*/meta.json")):
        stored = json.loads(meta.read_text())
        for label, name in sorted(stored["files"].items()):
            model = meta.parent / name
            scores, why = lacuna("eval", model)
            if scores is None:
                if "no task" in why or "is not scored" in why:
                    print(f"{meta.parent.name}/{name}: no scored task")
                else:
                    failures.append(why)
                continue
            for row in scores["rows"]:
                tasks = [task for task in stored["tasks"] if task.get("set", task.get("x")) == row["set"]
                         and task.get("model", label) == label]
                if len(tasks) != 1:
                    failures.append(f"{model} {row['set']}: {len(tasks)} tasks of this set are stored")
                    continue
                for figure, value in (("value", row["value"]), ("top5", row.get("top5"))):
                    if figure not in tasks[0]:
                        continue
                    allowed = (0.002 if row["metric"] == "spearman"
                               else max(1, 0.002 * row["n"]) / row["n"])
                    wrong = value is None or abs(value - tasks[0][figure]) > allowed + 1e-9
                    print(f"{meta.parent.name}/{name} {row['set']} {figure}: {value:.4f}, "
                          f"stored {tasks[0][figure]:.4f}: {'WRONG' if wrong else 'ok'}")
                    checked += 1
                    if wrong:
                        failures.append(f"{model} {row['set']} {figure}: {value} against "
                                        f"{tasks[0][figure]}")
            if not any(row["n"] >= 500 for row in scores["rows"]):
                continue
            with tempfile.TemporaryDirectory() as folder:
                small = pathlib.Path(folder) / name
                done, why = lacuna("compress", model, "--scheme", "int8", "--output", small)
                if done is None:
                    failures.append(why)
                    continue
                # The calibration part is not scored, in either network.
                after, why = lacuna("eval", small, "--skip", 64)
                before, _ = lacuna("eval", model, "--skip", 64)
                if after is None:
                    failures.append(why)
                    continue
                for a, b in zip(after["rows"], before["rows"]):
                    if b["n"] < 500 - 64:
                        continue
                    lost = 100 * (b["value"] - a["value"])
                    print(f"  int8 {a['set']}: {a['value']:.4f}, loses {lost:.2f} points")
                    compressed += 1
                    if lost > 1.0:
                        failures.append(f"{model} {a['set']}: int8 loses {lost:.2f} points")
    for failure in failures:
        print("FAILED", failure)
    print(f"{checked} scores, {compressed} int8 networks, {len(failures)} failures")
    return 1 if failures or checked < 5 or compressed < 5 else 0


if __name__ == "__main__":
    sys.exit(main())
