#!/usr/bin/env python3
"""`lacuna compress --scheme auto`: the report names a form and a reason per layer; the file that it writes
has the score that it states and runs the formats that it names; wrong words are refused."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

LACUNA = os.environ.get("LACUNA", "build/lacuna")
SHORT = os.environ.get("LACUNA_SHORT")  # under sanitizers everything is 20 times slower


def run(*words):
    return subprocess.run([LACUNA, *map(str, words)], capture_output=True, text=True)


def lacuna(*words):
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(part, *words):
    done = run("compress", "glyph_mlp", *words)
    assert done.returncode != 0 and part in done.stderr, (words, done.stderr)


def main():
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "fast.onnx"
        items = 20 if SHORT else 500
        made = lacuna("compress", "glyph_mlp", "-s", "auto", "--target", "cpu", "--max-loss", "1%",
                      "--budget", 5, "--images", items, "--threads", 1, "-o", out)
        whole, layers = made["auto"], {row["layer"]: row for row in made["rows"]}
        assert len(layers) == 3, layers
        for row in layers.values():
            assert row["form"] and row["why"] and row["ms"] > 0 and row["ms_float"] > 0, row
            print(row["layer"], row["form"], row["why"])
        assert whole["items"] == items and whole["metric"] == "top1", whole
        assert whole["score"] >= whole["score_before"] - 0.01 - 1e-9, whole
        assert whole["ms"] > 0 and whole["networks"] >= 3, whole

        score = lacuna("eval", out, "--limit", items)["rows"][0]
        assert score["value"] == whole["score"] and score["n"] == items, (whole, score)

        for layer in lacuna("bench", out, "--threads", 1)["layers"]:
            if layer["layer"] in layers and layer["macs"]:
                form = layers[layer["layer"]]["form"].split(" ")[0].split(":")[0]
                assert layer["format"] == form, (layer, form)

        text = run("compress", "glyph_mlp", "-s", "auto", "--budget", 2, "--images", 10, "-o", out)
        assert text.returncode == 0 and "whole network:" in text.stdout, text
        refused("--max-loss", "-s", "auto", "--max-loss", "200%", "-o", out)
        refused("--max-loss", "-s", "auto", "--max-loss", "few", "-o", out)
        refused("--target", "-s", "auto", "--target", "gpu", "-o", out)
        refused("goes with --scheme auto", "-s", "int8", "--max-loss", "1%", "-o", out)
        refused("goes with --scheme auto", "-s", "int8", "--no-prune", "-o", out)
        integers = pathlib.Path(folder) / "int8.onnx"
        lacuna("compress", "glyph_mlp", "-s", "int8", "-o", integers)
        done = run("compress", integers, "-s", "auto", "-o", out)
        assert done.returncode != 0 and "network of floats" in done.stderr, done.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
