#!/usr/bin/env python3
"""Every scored task of every network under $LACUNA_SHARED/data/models: `lacuna eval` gives the stored
fp32 figure, and int8 loses at most 1 point on sets of 500 items or more (3 at the very most, and then it is said). The
meta.json beside each model says everything; no network is named here."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LACUNA = os.environ.get("LACUNA", "build/lacuna")
SHARED = pathlib.Path(os.environ.get("LACUNA_SHARED", "../shared"))
# Under sanitizers everything is 20 times slower: a few items show that nothing is wrong.
SHORT = os.environ.get("LACUNA_SHORT")


def lacuna(*words):
    done = subprocess.run([LACUNA, *map(str, words), "--json"], capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip()
    return json.loads(done.stdout), ""


def main():
    models = SHARED / "data" / "models"
    if not models.is_dir():
        print(f"SKIP: {models} is absent: no accuracy is checked")
        return 77
    failures, checked, compressed = [], 0, 0
    for meta in sorted(models.glob("*/meta.json")):
        for name in sorted(json.loads(meta.read_text())["files"].values()):
            model = meta.parent / name
            limit = ["--limit", "8"] if SHORT else []
            scores, why = lacuna("eval", model, *limit)
            if scores is None:
                if "no task" in why or "is not scored" in why:
                    print(f"{meta.parent.name}/{name}: no scored task")
                else:
                    failures.append(why)
                continue
            if SHORT:
                checked += 1
                continue
            for row in scores["rows"]:
                off = abs(row["value"] - row["stated"])
                allowed = 0.002 if row["metric"] == "spearman" else max(1, 0.002 * row["n"]) / row["n"]
                verdict = "ok" if off <= allowed + 1e-9 else "WRONG"
                print(f"{meta.parent.name}/{name} {row['set']}: {row['value']:.4f}, "
                      f"stated {row['stated']:.4f}: {verdict}")
                checked += 1
                if verdict != "ok":
                    failures.append(f"{model} {row['set']}: {row['value']} against {row['stated']}")
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
                    if b["n"] < 436:
                        continue
                    lost = 100 * (b["value"] - a["value"])
                    print(f"  int8 {a['set']}: {a['value']:.4f}, loses {lost:.2f} points")
                    compressed += 1
                    if lost > 1.0: # allowed up to 3, but never silently
                        print(f"  NOTE: above 1 point: {model} {a['set']}")
                    if lost > 3.0:
                        failures.append(f"{model} {a['set']}: int8 loses {lost:.2f} points")
    for failure in failures:
        print("FAILED", failure)
    print(f"{checked} scores, {compressed} int8 networks, {len(failures)} failures")
    return 1 if failures or checked < 5 else 0


if __name__ == "__main__":
    sys.exit(main())
