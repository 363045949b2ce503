#!/bin/bash
# retrain: the four stages of the manual page on the built-in network, with few items; what is held
# (zeros, codes), what is refused, and that a refusal writes nothing.
set -eu
lacuna=${LACUNA:?path of the command}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$lacuna" compress glyph_mlp -s magnitude:density=0.1 -o a.onnx --json >/dev/null
"$lacuna" retrain a.onnx -o b.onnx -e 2 -n 4096 --json >masked
"$lacuna" compress b.onnx -s deep-compression:density=1 -o c.onnx --json >/dev/null
"$lacuna" retrain c.onnx -o d.onnx -e 1 -n 2048 --lr 0.001 --json >shared
"$lacuna" retrain c.onnx -o e.onnx -e 1 -n 2048 --lr 0.001 --threads 1 --json >/dev/null
cmp d.onnx e.onnx # the same bits for any number of threads
"$lacuna" eval d.onnx --json >eval
"$lacuna" retrain b.onnx -o f.onnx -e 1 -n 64 >text
grep -q 'masked, 23520 of 235200 not 0' text
grep -q 'trained on glyphs:train, items 0 to 63; scored on glyphs:test, items 0 to 3999' text
grep -Eq '^ +1 +[0-9.]+ +[0-9]+\.[0-9]{2} +[0-9]+\.[0-9]{2}$' text
"$lacuna" retrain b.onnx -o h.onnx -e 0 >text
grep -q 'nothing was trained (0 epochs); scored on glyphs:test' text
python3 - <<'PY'
import json
masked, shared, ev = (json.load(open(name)) for name in ("masked", "shared", "eval"))
assert masked["schema"] == "lacuna.retrain/1"
rows = masked["rows"]
assert [r["epoch"] for r in rows] == [0, 1, 2] and rows[0].get("loss") is None
assert rows[2]["loss"] < rows[1]["loss"], rows
assert rows[2]["scored"] > rows[0]["scored"] + 0.3, rows
by_size = {p["elements"]: p for p in masked["parameters"]}
assert by_size[235200]["constraint"] == "masked" and by_size[235200]["nonzeros"] == 23520
assert by_size[300]["constraint"] == "free"
by_size = {p["elements"]: p for p in shared["parameters"]}
assert by_size[235200] == dict(by_size[235200], constraint="shared", centroids=15, nonzeros=23520)
# what was printed is the accuracy of the file that was written
assert abs(shared["rows"][-1]["scored"] - ev["value"]) < 1e-9, (shared["rows"], ev["value"])
PY

refused() { # PATTERN ARGUMENTS...
    local pattern=$1
    shift
    if "$lacuna" retrain "$@" -o refused.onnx >out 2>err; then
        echo "retrain $*: accepted"
        exit 1
    fi
    grep -q -- "$pattern" err || {
        echo "retrain $*: want '$pattern': $(cat err)"
        exit 1
    }
    [ ! -e refused.onnx ]
}
"$lacuna" compress glyph_mlp -s int8 -o int8.onnx --json >/dev/null
refused 'operator LayerNormalization' glyph_vit -n 64
refused 'retrain before quantising' int8.onnx -n 64
refused 'learning rate -1' glyph_mlp --lr -1
refused 'the learning rate 1e+30 is too large' glyph_mlp --lr 1e30 -n 640
refused '--lr fast: want a number' glyph_mlp --lr fast
refused 'momentum 1' glyph_mlp --momentum 1
refused '--batch 0' glyph_mlp --batch 0
refused 'nowhere: no train_u8.npy' glyph_mlp --data nowhere
refused 'none behind the first 1048576' glyph_mlp --skip 1048576

cp int8.onnx same.onnx
if "$lacuna" retrain same.onnx -o ./same.onnx >text 2>&1; then
    echo "retrain wrote over its input"
    exit 1
fi
grep -q 'would overwrite the input' text
cmp int8.onnx same.onnx

# --data: items of another folder, here draws that are no digits of anything
mkdir set
python3 - <<'PY'
import struct
def npy(name, kind, shape, data):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, shape)
    head = head.ljust(117) + "\n"
    open(name, "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)
npy("set/train_u8.npy", "|u1", (32, 28, 28), bytes(i * 7 % 251 for i in range(32 * 784)))
npy("set/train_labels.npy", "|u1", (32,), bytes(i % 16 for i in range(32)))
npy("set/bad_labels.npy", "|u1", (32,), bytes(16 for i in range(32)))
PY
"$lacuna" retrain glyph_mlp -o g.onnx -e 1 --data set >text
grep -q 'trained on set/train, items 0 to 31;' text
mv set/bad_labels.npy set/train_labels.npy
refused 'class 16 of 16' glyph_mlp --data set
