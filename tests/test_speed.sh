#!/bin/bash
# once: times of a release build
# The times that the simulators' dossiers promise, on one core: the schedule of a 12-layer BERT encoder
# on `sta` and one layer with all its numbers, VGG-16 on `systolic`. The programs say the limits; only
# ten times a limit fails here, because machines that run tests are loaded.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${LACUNA_BUILD:-$root/build}
failed=0
for name in sta_speed systolic_speed; do
    program=$build/bench_$name
    [ -x "$program" ] || { echo "SKIP: $program is not built: its times are NOT tested" >&2; exit 77; }
    out=$("$program" 2>&1)
    [ $? -le 1 ] || { echo "FAILED: $name did not finish"; failed=1; } # 1: slower than its limits
    echo "$out"
    # "WHAT 1.234 ms limit 50 ms ...": every such line counts.
    awk -v name="$name" '
        { for (i = 1; i <= NF; i++) if ($i == "limit") { rows++; if ($(i - 2) + 0 > 10 * $(i + 1)) bad++ } }
        END { printf "%s: %d times, %d beyond ten times their limit\n", name, rows, bad
              exit rows < 4 || bad > 0 }' <<<"$out" || failed=1
done
exit "$failed"
