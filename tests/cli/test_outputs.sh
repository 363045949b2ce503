#!/bin/bash
# What the commands write: whole or not at all, JSON that any program reads, the same keys in every row,
# tables for other programs.
set -u
lacuna=${LACUNA:?path of the command}
export PYTHONPATH=tests/cli PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache" # the machine is measured for this test alone
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

good() {
    "$lacuna" "$@" >"$work/out" 2>"$work/err" </dev/null ||
        fail "lacuna $*: status $?: $(head -c 300 "$work/err")"
}

bad() { # WORD ARGUMENTS...
    local word=$1
    shift
    "$lacuna" "$@" >"$work/out" 2>"$work/err" </dev/null && fail "lacuna $*: status 0"
    grep -Eq -- "$word" "$work/err" || fail "lacuna $*: no '$word': $(head -c 300 "$work/err")"
}

check() { # WHAT FILE: the Python on stdin holds for the file
    python3 - "$2" "$work" || fail "$1: $(head -c 300 "$2")"
}

python3 - "$work" <<'PY' || exit 1
import os, struct, sys, zipfile
from onnx_bytes import *

def write(name, data):
    path = os.path.join(sys.argv[1], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)

weights = [((i * 7) % 11 - 5) / 4 for i in range(16)]
def network(product, output):
    nodes = [node("MatMul", ["x", "w"], [product]), node("Relu", [product], [output])]
    data = model(nodes, [value("x", 1, 4)], [value(product, 1, 4), value(output, 1, 4)],
                 [tensor("w", [4, 4], weights)])
    return data
write("two.onnx", network("a", "b"))
for folder in ("first", "second"):
    write(f"{folder}/model.onnx", network("a", "b"))
# A lone continuation byte, an overlong slash, a surrogate, a good letter: and all that as a node's
# name and as an output's.
odd = b"\x80\xc0\xaf\xed\xa0\x80\xc3\xa9"
write("odd.onnx", network("a", "12345678").replace(b"12345678", odd)
      .replace(b"the_MatMul", odd + b"_M"))
to_float = node("Cast", ["h"], ["w"]) + msg(5, msg(1, "to") + num(3, 1) + num(20, 2))
write("half.onnx", model([to_float, node("MatMul", ["x", "w"], ["y"])], [value("x", 1, 64)],
                         [value("y", 1, 64)],
                         [tensor("h", [64, 64], None, 10, b"".join(
                             struct.pack("<e", (i * 37 % 101 - 50) / 64) for i in range(4096)))]))
x = npy("<f4", "(1, 4)", struct.pack("<4f", 1, 2, 3, 4))
write("x.npy", x)
write("x.pb", tensor("x", [1, 4], [1, 2, 3, 4]))
for name, arrays in (("x", ("x", "labels")), ("none", ("y",))):
    with zipfile.ZipFile(os.path.join(sys.argv[1], name + ".npz"), "w") as archive:
        for array in arrays:
            archive.writestr(array + ".npy", x)
PY

# ---- names that are no UTF-8: every byte that is not part of a character is U+FFFD

name='\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\u00e9'
for words in "run --input x=$work/x.npy" "bench --runs 1" "simulate --accel systolic"; do
    # shellcheck disable=SC2086
    good ${words%% *} "$work/odd.onnx" ${words#* } --json
    check "lacuna $words: name" "$work/out" <<PY
import json, sys
text = open(sys.argv[1], encoding="utf-8", errors="strict").read()
whole = json.loads(text)
name = "$name"
names = [row.get("layer", row.get("name")) for row in
         whole.get("outputs") or whole.get("layers") or whole["accels"][0]["layers"]]
assert any(n in (name, name + "_M") for n in names), names
PY
done
good inspect "$work/odd.onnx" --json
check "inspect: JSON" "$work/out" <<'PY'
import json, sys
json.load(open(sys.argv[1], encoding="utf-8"))
PY
good compare "$work/odd.onnx" -s int8 -a systolic --runs 1 --report "$work/odd.html" --json
python3 -c 'import sys; open(sys.argv[1], encoding="utf-8").read()' "$work/odd.html" ||
    fail "compare: the page is no UTF-8"

# ---- run: all outputs or none

mkdir -p "$work/o1/b.npy"
bad 'b.npy: cannot replace: Is a directory' run "$work/two.onnx" -i "x=$work/x.npy" -o "$work/o1"
[ "$(ls -A "$work/o1")" = b.npy ] || fail "run: leaves $(ls -A "$work/o1")"
echo before >"$work/o1/a.npy"
bad 'cannot replace' run "$work/two.onnx" -i "x=$work/x.npy" -o "$work/o1"
[ "$(cat "$work/o1/a.npy")" = before ] || fail "run: the first output was replaced all the same"
good run "$work/two.onnx" -i "x=$work/x.npy" -o "$work/o2"
[ "$(ls -A "$work/o2" | tr '\n' ' ')" = "a.npy b.npy " ] || fail "run: writes $(ls -A "$work/o2")"

# ---- run: inputs from an archive; captured layers

good run "$work/two.onnx" --input "$work/x.npz" -o "$work/o3"
cmp -s "$work/o2/a.npy" "$work/o3/a.npy" || fail "run: another result from x.npz"
good run "$work/two.onnx" --input "x=$work/x.pb" -o "$work/o4"
cmp -s "$work/o2/a.npy" "$work/o4/a.npy" || fail "run: another result from x.pb"
bad 'no array is named like an input' run "$work/two.onnx" --input "$work/none.npz"
bad 'given twice' run "$work/two.onnx" --input "x=$work/x.npy" --input "$work/x.npz"
good run "$work/two.onnx" --input "$work/x.npz" --capture "$work/layers" --json
grep -q '"captured_layers": 1' "$work/out" || fail "run --capture: not one layer"
check "run --capture" "$work/layers/layers.json" <<'PY'
import json, os, struct, sys
whole = json.load(open(sys.argv[1]))
assert whole["schema"] == "lacuna.capture/1" and len(whole["layers"]) == 1, whole
layer, = whole["layers"]
assert layer["kind"] == "gemm" and layer["text"].startswith("gemm:m=1,n=4,k=4"), layer
folder = os.path.dirname(sys.argv[1])
def floats(role):
    data = open(os.path.join(folder, layer["operands"][role]["file"]), "rb").read()
    return [v for v, in struct.iter_unpack("<f", data[10 + struct.unpack("<H", data[8:10])[0]:])]
weights = [((i * 7) % 11 - 5) / 4 for i in range(16)]
assert floats("activations") == [1, 2, 3, 4]
assert floats("weights") == [weights[k * 4 + n] for n in range(4) for k in range(4)] # [n][k]
assert len(os.listdir(folder)) == 1 + len(layer["operands"]), os.listdir(folder)
PY
mkdir -p "$work/full/layers.json"
bad 'layers.json: cannot replace' run "$work/two.onnx" --input "$work/x.npz" --capture "$work/full"
[ "$(ls -A "$work/full")" = layers.json ] || fail "run --capture: leaves $(ls -A "$work/full")"

# ---- simulate: the same keys for layers that ran and for host layers

good simulate glyph_vit --accel eie --schedule-only --json
check "simulate --json" "$work/out" <<'PY'
import json, sys
layers = json.load(open(sys.argv[1]))["accels"][0]["layers"]
keys = {"layer", "kind", "status", "reason", "exact", "cycles", "macs", "effectual_macs", "stalls",
        "dram_bytes", "sram_bytes", "energy_pj", "energy", "utilization", "counters", "checksum"}
assert {l["status"] for l in layers} == {"ok", "host"}
for layer in layers:
    assert set(layer) == keys, set(layer) ^ keys
    host = layer["status"] == "host"
    assert bool(layer["reason"]) == host and (layer["cycles"] == 0) == host, layer
    if host:
        assert layer["exact"] is False and layer["counters"] == {}
        assert layer["checksum"] == {"sum": "0", "weighted": "0"}, layer
    else: # schedule only: neither checked nor computed
        assert layer["exact"] is None and layer["checksum"] is None, layer
PY
good simulate glyph_vit --accel eie --schedule-only
grep -Eq '^/conv_1 +conv +host \[1\]$' "$work/out" || fail "simulate: no mark of the host layer"
[ "$(grep -c 'only 1x1 maps' "$work/out")" -eq 1 ] || fail "simulate: the reason is not said once"

# One grammar of --set: comma lists, accel.NAME for one of several; what is too long is said at once.
good simulate -l fc:in=64,out=64,batch=1 -a systolic --set rows=8,cols=8 --json
cp "$work/out" "$work/joined"
good simulate -l fc:in=64,out=64,batch=1 -a systolic --set rows=8 --set systolic.cols=8 --json
cmp -s "$work/joined" "$work/out" || fail "simulate --set: a comma list is not two options"
good accel show systolic --set systolic.rows=8,cols=8 --json
check "accel show --set" "$work/out" <<'PY'
import json, sys
values = {p["name"]: p["value"] for p in json.load(open(sys.argv[1]))["parameters"]}
assert values["rows"] == values["cols"] == 8, values
PY
good simulate -l gemm:m=2000000000,n=1,k=1 -a eie
grep -q '2000000000 matrix-vector products: .* at most 4194304' "$work/out" ||
    fail "simulate: a layer for days: $(cat "$work/out")"

# ---- bench: the same keys in every row, one direction of the ratio

good bench "$work/two.onnx" --runs 3 --json
check "bench --json" "$work/out" <<'PY'
import json, sys
whole = json.load(open(sys.argv[1]))
for row in whole["layers"]:
    assert {"ms_dense", "speedup", "gbps", "ms_dense_int8", "roofline", "break_even_sparsity",
            "break_even_label", "shape", "bound"} <= set(row), row
    if row["macs"]:
        assert row["roofline"] > 0 and row["density"] > 0 and row["shape"], row
        assert row["break_even_label"] in (None, "estimated"), row
assert any(row["speedup"] is None for row in whole["layers"]) or all(r["macs"] for r in whole["layers"])
total = whole["total"]
assert abs(total["speedup"] - total["ms_dense"] / total["ms"]) < 1e-9, total
PY
good bench --machine --json
check "bench --machine" "$work/out" <<'PY'
import json, sys
machine = json.load(open(sys.argv[1]))
assert machine["schema"] == "lacuna.machine/1", machine
assert machine["l1_read_gbps"] > 0 and machine["one_thread"][0]["isa"] == "ref", machine
assert machine["threads"][0]["threads"] == 1, machine
PY
cp "$work/out" "$work/machine"
good bench --machine --json
cmp -s "$work/machine" "$work/out" || fail "bench --machine: not kept"
good bench "$work/two.onnx" --runs 3 --break-even --svg "$work/roof.svg"
python3 -c 'import sys, xml.etree.ElementTree as e; assert e.parse(sys.argv[1]).getroot().tag.endswith("svg")' \
    "$work/roof.svg" || fail "bench --svg: not SVG"
grep -q 'break-even: the least share of zeros' "$work/out" || fail "bench: no break-even"
good bench "$work/two.onnx" --runs 3
grep -q '^speed-up: the dense time over this one' "$work/out" || fail "bench: no direction"

# ---- threads: more than there are processors is said, in one line, and done

good inspect glyph_mlp --threads 4096
[ "$(wc -l <"$work/err")" -eq 1 ] && grep -q '^lacuna: --threads 4096: this machine has' "$work/err" ||
    fail "--threads 4096: $(head -c 300 "$work/err")"
OMP_NUM_THREADS=1 good bench "$work/two.onnx" --runs 1 --json
grep -q '"threads": 1,' "$work/out" || fail "OMP_NUM_THREADS=1 is not heard"

# ---- compress: sizes in words

good compress "$work/two.onnx" -s magnitude:density=0 -o "$work/zero.onnx"
grep -q 'all zeros' "$work/out" || fail "compress: $(cat "$work/out")"
good compress glyph_mlp -s dense -o "$work/same.onnx"
grep -Eq '^.*same.onnx: [0-9]+(,[0-9]+)+ bytes, glyph_mlp was [0-9]+(,[0-9]+)+: same size' "$work/out" ||
    fail "compress: $(tail -1 "$work/out")"
good compress "$work/half.onnx" -s magnitude:density=0.9 -o "$work/wide.onnx"
grep -q '^larger than the input: its float16 weights became float32; add int8' "$work/out" ||
    fail "compress: $(cat "$work/out")"

# ---- eval: what is stated is called so, in the unit of what was measured

good eval glyph_mlp --limit 50
grep -Eq '^data set +metric +value +stated ' "$work/out" || fail "eval: no stated column"
sed -n 3p "$work/out" | grep -Eq '^ +measured +stated ' || fail "eval: stated is not labelled so"
grep -Eq '^glyphs:test +top1 +[0-9.]+ % +[0-9.]+ % ' "$work/out" || fail "eval: not in per cent"
bad 'limit 0: want' eval glyph_mlp --limit 0

# ---- list models, reproduce

good list models
grep -Eq '^glyph_vit +pixels float32\[N,1,28,28\] +array_top1 on glyphs:test +[0-9,]+$' "$work/out" ||
    fail "list models: $(cat "$work/out")"
good list models --json
check "list models --json" "$work/out" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))
assert [row["name"] for row in rows] == ["glyph_vit", "glyph_mlp"]
assert all(row["inputs"] and row["tasks"] and row["file_bytes"] > 100000 for row in rows), rows
PY
bad '/nonexistent: no such folder; give' reproduce eie --data /nonexistent
bad 'eie_fc8/entries.npy: No such file.*leave --data out' reproduce eie --data "$work"
good reproduce eie --json
check "reproduce --json" "$work/out" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
kinds = {row["metric"]: row["ours_is"] for row in rows if row["ours"] is not None}
assert kinds["time_us"] == "simulated" and kinds["power_W"] == "computed", kinds
units = {row["metric"]: row["unit"] for row in rows}
assert units["time_us"] == "us" and units["area_mm2"] == "mm2" and units["GOP/s"] == "GOP/s", units
assert all((row["ours"] is None) == (row["ours_is"] == "not run") for row in rows)
PY

# ---- a message says where once

printf 'this is no shared object' >"$work/text.so"
bad '^lacuna: [^:]*/text.so: [^/]*$' list ops --plugin "$work/text.so"
bad "^lacuna: sta, gemm:m=64,n=64,k=4096: K = 4096 is too large" simulate \
    --layer gemm:m=64,n=64,k=4096 --accel sta --set wslot=1

# ---- compare: tables for other programs; networks of one file name are told apart

good compare "$work/first/model.onnx" "$work/second/model.onnx" "$work/two.onnx" -s dense -s int8 \
    -a eie,systolic --runs 1 --report "$work/r.html" --csv "$work/r.csv" --markdown "$work/r.md"
for name in first/model.onnx second/model.onnx "${work##*/}/two.onnx"; do
    grep -qx "$name" "$work/out" || fail "compare: no table titled $name"
    grep -qx "## $name" "$work/r.md" || fail "compare --markdown: no $name"
done
check "compare --csv" "$work/r.csv" <<'PY'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
assert [(r["model"].rsplit("/", 1)[-1], r["scheme"]) for r in rows] == [
    (model, scheme) for model in ("model.onnx", "model.onnx", "two.onnx")
    for scheme in ("dense", "int8")], rows
assert len({r["model"] for r in rows}) == 3, rows
for row in rows:
    assert float(row["cpu_ms"]) > 0 and int(row["file_bytes"]) > 0, row
    assert row["systolic_cycles"] == "" if row["scheme"] == "dense" else int(row["systolic_cycles"]) > 0
    assert row["eie_host_layers"] == ("" if row["scheme"] == "dense" else "0"), row
PY
bad 'none/r.csv: cannot write: No such file' compare "$work/two.onnx" --csv "$work/none/r.csv" --report "$work/late.html"
bad 'none/r.onnx: cannot write: No such file' retrain glyph_mlp -o "$work/none/r.onnx"
[ ! -e "$work/late.html.cells" ] || fail "compare: works before it looks where to write"
[ "$(grep -c '^| dense' "$work/r.md")" -eq 3 ] || fail "compare --markdown: $(cat "$work/r.md")"

[ $failures -eq 0 ] && echo "outputs: all well"
[ $failures -eq 0 ]
