#!/bin/bash
# Every command explains itself; help, man page, completion, version and the tables are well formed.
set -u
lacuna=${LACUNA:?path of the command}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# Runs the command: status 0, something on stdout, nothing on stderr.
good() {
    "$lacuna" "$@" >"$work/out" 2>"$work/err" </dev/null ||
        fail "lacuna $*: status $?: $(head -c 300 "$work/err")"
    [ -s "$work/out" ] || fail "lacuna $*: prints nothing"
    [ -s "$work/err" ] && fail "lacuna $*: writes to stderr: $(head -c 300 "$work/err")"
    return 0
}

json() { # ARGUMENTS...: and the output is JSON
    good "$@"
    python3 -m json.tool "$work/out" >/dev/null 2>"$work/err" ||
        fail "lacuna $*: not JSON: $(head -c 200 "$work/err")"
}

good help
commands=$(sed -n '/^usage:/,/^.lacuna help/s/^  \([a-z][a-z]*\)  *[a-z].*/\1/p' "$work/out")
count=$(echo "$commands" | wc -w)
[ "$count" -ge 8 ] || fail "help names only $count commands: $commands"

for command in $commands; do
    good "$command" --help
    head -1 "$work/out" | grep -q "^lacuna $command: ." || fail "$command --help: no title"
    grep -q "^usage: lacuna $command" "$work/out" || fail "$command --help: no usage"
    grep -q -- "--json" "$work/out" || fail "$command --help: no --json"
    cp "$work/out" "$work/first"
    good help "$command"
    cmp -s "$work/first" "$work/out" || fail "help $command differs from $command --help"
done

good version
head -1 "$work/out" | grep -Eq '^lacuna [0-9]+\.[0-9]+\.[0-9]+$' || fail "version: no number"
cp "$work/out" "$work/first"
good --version
cmp -s "$work/first" "$work/out" || fail "--version differs from version"

good list man
cp "$work/out" "$work/lacuna.1"
if command -v mandoc >/dev/null; then
    # Before the release the date is the word "unreleased".
    mandoc -T lint -W warning "$work/lacuna.1" 2>&1 | grep -v "cannot parse date" >"$work/lint" &&
        fail "man page: $(head -5 "$work/lint")"
else
    echo "no mandoc here: the man page is not linted"
fi
date=$(sed -n 's/^## \[[0-9][0-9.]*\] - \([0-9-]*\)$/\1/p' CHANGELOG.md | head -1)
head -1 "$work/lacuna.1" | grep -q "^\.TH LACUNA 1 \"${date:-unreleased}\" " ||
    fail "man page: its date is not the release's: $(head -1 "$work/lacuna.1")"
for command in $commands; do
    grep -q "^\.SS \"$command" "$work/lacuna.1" || fail "man page: no $command"
done

good list completion
cp "$work/out" "$work/completion"
bash -n "$work/completion" 2>"$work/err" || fail "completion: $(cat "$work/err")"
# What a shell would offer for "lacuna <TAB>" and "lacuna COMMAND --<TAB>".
offers() {
    bash -c '. "$1"; shift; COMP_WORDS=(lacuna "$@"); COMP_CWORD=$#; _lacuna
             printf "%s\n" "${COMPREPLY[@]}"' bash "$work/completion" "$@"
}
for command in $commands; do
    offers "" | grep -qx "$command" || fail "completion does not offer $command"
    offers "$command" "--" | grep -qx -- "--help" || fail "completion: no --help for $command"
done

for table in ops layers formats kernels schemes accels; do
    good list $table
    [ "$(wc -l <"$work/out")" -ge 4 ] || fail "list $table: no rows"
    json list $table --json
    python3 - "$work/out" $table <<'PY' || fail "list $table --json: rows"
import json, sys
rows = json.load(open(sys.argv[1]))
names = [(row.get("domain"), row["name"]) for row in rows]
assert rows and all(row["summary"] for row in rows), "a row without name or summary"
if sys.argv[2] in ("formats", "schemes", "accels", "layers"):
    assert len(set(names)) == len(names), "a name twice"
PY
done

# ---- accel, reproduce

good accel list
json accel list --json
accels=$(python3 -c 'import json,sys; print(*[a["name"] for a in json.load(open(sys.argv[1]))["accels"]])' \
    "$work/out")
for accel in $accels; do
    good accel show "$accel"
    json accel show "$accel" --json
    python3 - "$work/out" "$accel" <<'PY' || fail "accel show $accel --json"
import json, sys
card = json.load(open(sys.argv[1]))
assert card["schema"] == "lacuna.accel/1" and card["name"] == sys.argv[2]
assert card["title"] and card["source"] and card["card"] and card["clock_mhz"] > 0
assert card["identities"], "no identity"
known = {"published", "from memory", "derived", "assumed", "option"}
for p in card["parameters"]:
    assert p["provenance"] in known, p
    assert p["provenance"] == "option" or p["source"], f"{p['name']} has no source"
    if p["type"] in ("int", "real"):
        assert p["min"] <= p["value"] <= p["max"], p
    elif p["type"] == "choice":
        assert p["value"] in p["choices"], p
PY
done

printf '# half\nR: 8\nenc: index\n' >"$work/half.yaml"
json accel show sta --arch "$work/half.yaml" --set C=8 --json
python3 - "$work/out" <<'PY' || fail "accel show --arch --set"
import json, sys
values = {p["name"]: (p["value"], p["set"]) for p in json.load(open(sys.argv[1]))["parameters"]}
assert values["R"] == (8, True) and values["C"] == (8, True), values
assert values["enc"] == ("index", True) and values["L"] == (4, False), values
PY

good reproduce sta
json reproduce sta --json
python3 - "$work/out" <<'PY' || fail "reproduce sta --json"
import json, sys
whole = json.load(open(sys.argv[1]))
assert whole["schema"] == "lacuna.reproduce/1" and whole["rows"]
keys = {"table", "row", "metric", "unit", "paper", "ours", "ours_is", "error", "provenance", "note"}
for row in whole["rows"]:
    assert set(row) == keys, row
    if row["paper"] and row["ours"] is not None:
        assert abs(row["error"] - (row["ours"] - row["paper"]) / abs(row["paper"])) < 1e-9, row
PY

# ---- inspect: what is printed is what is stored

stored() { # FILE SCHEME FORMAT: the weights' bytes by format and in the file
    json inspect "$1" --json
    python3 - "$work/out" "$1" "$2" "$3" <<'PY' || fail "inspect --json of scheme $2"
import json, os, sys
whole = json.load(open(sys.argv[1]))
path, scheme, form = sys.argv[2:]
assert whole["schema"] == "lacuna.inspect/1"
assert whole["file_bytes"] == os.stat(path).st_size, "file_bytes"
beside = path + ".data"
assert whole["external_bytes"] == (os.stat(beside).st_size if os.path.exists(beside) else 0)
assert whole["metadata"].get("lacuna.scheme", "") == scheme, whole["metadata"]
assert whole["parameters"] == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 16 + 16, "parameters"
layers = whole["layers"]
assert [(w["rows"], w["cols"]) for w in layers] == [(300, 784), (100, 300), (16, 100)]
for w in layers:
    exact = w["formats"][form]
    assert exact == {"bytes": w["stored_bytes"], "fits": True, "after": None, "why_not": None}, w
    if scheme.startswith("nm:2:4"):
        assert w["pattern"] == "2:4" and w["zeros"] * 2 >= w["rows"] * w["cols"], w
assert whole["total"]["stored_bytes"] == sum(w["stored_bytes"] for w in layers)
assert whole["total"]["stored_bytes"] < whole["file_bytes"] + whole["external_bytes"]
PY
}
good compress glyph_mlp --scheme dense --output "$work/dense.onnx"
stored "$work/dense.onnx" dense dense
good compress glyph_mlp --scheme nm:2:4 --output "$work/nm.onnx"
stored "$work/nm.onnx" nm:2:4 nm
good compress glyph_mlp --scheme nm:2:4+int8 --output "$work/nm8.onnx"
stored "$work/nm8.onnx" nm:2:4+int8 nm
good compress glyph_mlp --scheme nm:2:4 --external 1000 --output "$work/out.onnx"
stored "$work/out.onnx" nm:2:4 nm
good compress glyph_mlp --scheme nm:5:8 --output "$work/nm78.onnx"
stored "$work/nm78.onnx" nm:5:8 nm # by the parameters it is held with, though 5:8 does not pay
good inspect glyph_vit
grep -q "array_top1 on glyphs:test" "$work/out" || fail "inspect: no task"
grep -q '^~ nm: after pruning to n:m (n=2,m=4,bits=8); 25 of 26$' "$work/out" || fail "inspect: no ~ note"
grep -q '^- nm: the channels of a window (1) are no multiple of m = 4; 1 of 26$' "$work/out" ||
    fail "inspect: not why a convolution of one channel has no nm"
# Digits and dashes of a column end at the same place.
python3 - "$work/out" <<'PY' || fail "inspect: columns are not aligned"
import sys
lines = open(sys.argv[1]).read().splitlines()
rule = next(i for i, line in enumerate(lines) if line.startswith("----"))
end = next(i for i, line in enumerate(lines) if line.startswith("total"))
nm = lines[rule - 1].index("nm [bytes]") + len("nm [bytes]")
cells = [line[:nm].split()[-1] for line in lines[rule + 1:end + 1]]
assert cells[0] == "-" and all(cell.startswith("~") for cell in cells[1:]), cells
assert all(len(line) == nm or line[nm] == " " for line in lines[rule + 1:end + 1])
PY

# What inspect says a weight would take is what the scheme then stores.
would() { # MODEL FORMAT AFTER SCHEME
    json inspect "$1" --json
    cp "$work/out" "$work/inspected"
    json compress "$1" --scheme "$4" --output "$work/would.onnx" --json
    python3 - "$work/inspected" "$work/out" "$2" "$3" <<'PY' || fail "inspect $1: bytes of $2 after $4"
import json, sys
inspected, compressed = (json.load(open(path)) for path in sys.argv[1:3])
form, after = sys.argv[3:]
assert len(inspected["layers"]) == len(compressed["rows"]) == 3
for w, row in zip(inspected["layers"], compressed["rows"]):
    said = w["formats"][form]
    assert said["fits"] is False and said["after"] == after and said["why_not"] is None, said
    assert said["bytes"] == row["bytes_after"], (said, row)
total = inspected["total"]["formats"][form]
assert total == {"bytes": sum(w["formats"][form]["bytes"] for w in inspected["layers"]),
                 "fits": False, "layers": 3, "of": 3}, total
PY
}
good compress glyph_mlp --scheme int8 --output "$work/int8.onnx"
good compress glyph_mlp --scheme magnitude:density=0.3 --output "$work/sparse.onnx"
would glyph_mlp nm "pruning to n:m (n=2,m=4,bits=8)" nm:2:4
would "$work/int8.onnx" nm "pruning to n:m (n=2,m=4,bits=8), int8" nm:2:4+int8
would "$work/sparse.onnx" eie-csc "sharing 2^code_bits - 1 values (pe=1,index_bits=4,code_bits=4)" \
    deep-compression:density=0.3
json inspect "$work/nm8.onnx" --json
python3 - "$work/out" <<'PY' || fail "inspect --json: sta and codebook of a 2:4 int8 network"
import json, sys
for w in json.load(open(sys.argv[1]))["layers"]:
    assert w["formats"]["sta"]["fits"] and w["formats"]["int8"]["fits"], w
json.dumps(w)
PY
json inspect glyph_vit --json
python3 - "$work/out" <<'PY' || fail "inspect --json: a format that cannot hold a weight"
import json, sys
whole = json.load(open(sys.argv[1]))
first = whole["layers"][0]["formats"]["nm"]
assert first["bytes"] is None and first["after"] is None and "channels" in first["why_not"], first
total = whole["total"]["formats"]["nm"]
assert total["layers"] == 25 and total["of"] == 26 and not total["fits"], total
assert all(w["pattern"] is None for w in whole["layers"]), "a dense network has no pattern"
PY

# ---- compress: what it says of each weight

good compress glyph_vit --scheme nm:2:4+int8 --output "$work/vit.onnx"
awk 'length > 110 && !/^[0-9]*: / && !/bytes, /' "$work/out" | grep . && fail "compress: a wide table"
grep -q '^[0-9]: not pruned: the channels of a window (1)' "$work/out" ||
    fail "compress: not why the patch convolution is not pruned"
good compress glyph_mlp --scheme deep-compression+int8 --output "$work/dc8.onnx"
grep -q 'int8 elements do not fit eie-csc:pe=1,index_bits=4,code_bits=4' "$work/out" ||
    fail "compress deep-compression+int8: not why the codes are wider"
good eval "$work/dc8.onnx" --limit 100

# ---- a compressed file finds its data from any folder, and names none of this machine

mkdir -p "$work/lab/models/net" "$work/lab/sets" "$work/elsewhere/deep" "$work/sent"
"$lacuna" compress glyph_mlp --scheme dense --output "$work/glyph.onnx" >/dev/null
python3 - "$work" <<'PY' || fail "a data set of noise"
import json, pathlib, random, struct, sys
work = pathlib.Path(sys.argv[1])
def npy(path, kind, shape, data):
    head = str({"descr": kind, "fortran_order": False, "shape": shape})
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
random.seed(1)
npy(work / "lab/sets/noise_u8.npy", "|u1", (20, 1, 28, 28), random.randbytes(20 * 784))
npy(work / "lab/sets/noise_labels.npy", "|u1", (20,), bytes(i % 16 for i in range(20)))
(work / "lab/models/net/meta.json").write_text(json.dumps({"tasks": [
    {"task": "array_top1", "set": "sets/noise", "input": "pixels",
     "preprocess": {"kind": "scale", "scale": 0.0078125}}]}))
PY
good compress "$work/glyph.onnx" --meta "$work/lab/models/net/meta.json" --scheme int8 \
    --output "$work/elsewhere/deep/small.onnx"
grep -q "calibrated on the first 10 of 20 items of sets/noise, .* (eval --skip 10)" "$work/out" ||
    fail "compress --meta: not calibrated: $(tail -2 "$work/out")"
grep -aq "$work" "$work/elsewhere/deep/small.onnx" && fail "compress: the file names a folder of this machine"
grep -aq '"base":"../../lab"' "$work/elsewhere/deep/small.onnx" || fail "compress: no way to the data"
(cd / && good eval "$work/elsewhere/deep/small.onnx" && exit $failures) || fail "eval from another folder"
(cd "$work/elsewhere" && good eval deep/small.onnx && exit $failures) || fail "eval by a relative path"
cp "$work/elsewhere/deep/small.onnx" "$work/sent/small.onnx" # without its data
if "$lacuna" eval "$work/sent/small.onnx" >"$work/out" 2>&1; then
    fail "eval of a file without its data: status 0"
fi
LACUNA_DATA="$work/lab" good eval "$work/sent/small.onnx"

# ---- schemes as users type them

good list schemes
grep -Eq '^dense +every weight as it is' "$work/out" || fail "list schemes: no dense"
grep -q 'nm:N:M' "$work/out" || fail "list schemes: no alias nm:N:M"

# ---- a full disk or a closed pipe is an error

for arguments in help version "list man" "list ops" "accel show eie" "inspect glyph_mlp --json"; do
    # shellcheck disable=SC2086
    if "$lacuna" $arguments >/dev/full 2>"$work/err"; then
        fail "lacuna $arguments >/dev/full: status 0"
    fi
    grep -q "^lacuna: .*standard output: " "$work/err" || fail "lacuna $arguments >/dev/full: no line"
done

[ $failures -eq 0 ] && echo "$count commands, accelerators: $accels: all well formed"
[ $failures -eq 0 ]
