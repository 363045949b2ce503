#!/usr/bin/env python3
"""`lacuna compare`: killed in the middle and started again it repeats no finished cell, and the result
is the same as that of an undisturbed run; the page stands alone."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

LACUNA = os.environ.get("LACUNA", "build/lacuna")
SHORT = os.environ.get("LACUNA_SHORT") # under sanitizers everything is 20 times slower
WORDS = ["compare", "glyph_mlp", "--images", "32" if SHORT else "1000", "--runs",
         "1" if SHORT else "3", "--agree", "2" if SHORT else "16", "--json"]


def simulated(result):
    """The figures that do not depend on the clock."""
    row_sets = []
    for model in result["models"]:
        row_sets.append([{k: v for k, v in row.items() if not k.startswith("cpu_")}
                         for row in model["rows"]])
    return row_sets


def main():
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder) / "report.html"
        command = [LACUNA, *WORDS, "--report", str(page)]
        log = pathlib.Path(f"{page}.cells") / "cells.log"
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.time() + 300
        while time.time() < deadline and first.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) >= 4:
                break
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert not page.exists(), "a killed run leaves no page"
        finished = [line.split()[1] for line in log.read_text().splitlines()]
        print(f"killed after {len(finished)} cells")
        assert 4 <= len(finished) < 20, finished

        second = subprocess.run(command, capture_output=True, text=True, check=True)
        result = json.loads(second.stdout)
        lines = [line.split() for line in log.read_text().splitlines()]
        computed = [line[1] for line in lines if line[0] == "computed"]
        assert len(computed) == len(set(computed)), "a cell was computed twice"
        assert result["cells_kept"] == len(finished), (result["cells_kept"], len(finished))
        # 5 schemes: a CPU cell each, and 3 accelerators for all but the dense one
        assert len(computed) == 5 + 4 * 3, len(computed)

        third = subprocess.run([*command, "--fresh"], capture_output=True, text=True, check=True)
        assert simulated(json.loads(third.stdout)) == simulated(result), "not reproducible"

        html = page.read_text()
        assert html.count("<svg") >= 4 and "</html>" in html
        outside = re.findall(r'(?:src|href)="(?!#)[^"]*"', html)
        assert not outside and "<script" not in html, outside
        for row in result["models"][0]["rows"]:
            assert row["scheme"] in html
            if row["scheme"] == "dense":
                assert "systolic_cycles" not in row
            else:
                assert row["systolic_cycles"] > 0 and row["sta_uj"] > 0 and row["eie_cycles"] > 0
        print(f"kept {result['cells_kept']}, computed {result['cells_computed']}, page "
              f"{len(html)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
