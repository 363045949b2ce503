#!/usr/bin/env python3
# once: it reads sources and runs nothing of ours
"""Fails on an include that goes up or sideways between the rooms of src/, on a second list of rows,
and on a file of src/ that lies in no room."""
import pathlib
import re
import sys

FLOOR = {
    "core": 0, "graph": 1, "format": 2, "op": 3, "cpu": 3, "gpu": 3, "io": 4, "exec": 5,
    "scheme": 6, "accel": 6, "train": 7, "report": 7, "study": 8, "serve": 9, "dist": 9, "cli": 10,
}
# The public headers and the rooms whose contract they hold.
PUBLIC = {
    "core.h": "core", "graph.h": "graph", "layer.h": "graph", "format.h": "format", "op.h": "op",
    "kernel.h": "cpu", "lacuna.h": "exec", "scheme.h": "scheme", "accel.h": "accel",
    "train.h": "train",
}
# lacuna.h declares the functions a user calls; the rooms that implement some of them include it.
IMPLEMENTS = {("core", "lacuna.h"), ("io", "lacuna.h"), ("cpu", "lacuna.h")}

root = pathlib.Path(__file__).resolve().parent.parent


def check(source: str, room: str, included: str) -> str:
    """What is wrong with `source` of `room` including `included`, or ''."""
    parts = included.split("/")
    if parts[0] == "lacuna":
        if (room, parts[1]) in IMPLEMENTS:
            return ""
        if parts[1] == "plugin.h":
            return "" if FLOOR[room] > FLOOR["accel"] else "plugin.h is above"
        target = PUBLIC.get(parts[1])
        if target is None:
            return "public header without a room"
    elif parts[0] in FLOOR and len(parts) > 1:
        target = parts[0]
    else:
        return ""
    if target == room or FLOOR[target] < FLOOR[room]:
        return ""
    return f"{room} (floor {FLOOR[room]}) must not include {target} (floor {FLOOR[target]})"


def main() -> int:
    faults, includes = [], 0
    assert check("x", "op", "cpu/isa.h") and check("x", "core", "graph/x.h"), "the test can fail"
    assert not check("x", "study", "exec/capture.h")
    for path in sorted((root / "src").rglob("*.[ch]")) + sorted((root / "src").rglob("*.inc")):
        relative = path.relative_to(root / "src")
        room = relative.parts[0]
        if room not in FLOOR:
            faults.append(f"src/{relative}: in no room")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
            if not found:
                continue
            includes += 1
            wrong = check(str(relative), room, found.group(1))
            if wrong:
                faults.append(f"src/{relative}:{number}: {wrong}")
    for path in (root / "include" / "lacuna").glob("*.h"):
        room = PUBLIC.get(path.name)
        for found in re.findall(r"#include <lacuna/([^>]+)>", path.read_text()):
            if room and FLOOR[PUBLIC[found]] > FLOOR[room]:
                faults.append(f"include/lacuna/{path.name}: includes {found}, which is above")
    for fault in faults:
        print(fault)
    print(f"{includes} includes checked, {len(faults)} against the arrow")
    return 1 if faults or includes < 50 else 0


if __name__ == "__main__":
    sys.exit(main())
