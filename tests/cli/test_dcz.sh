#!/bin/bash
# compress --dcz: one Huffman-coded file per layer with the header of docs/formats/dcz.md; refused,
# with nothing written, when no layer is stored so.
set -eu
lacuna=${LACUNA:?path of the command}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$lacuna" compress glyph_mlp -s deep-compression:density=0.2 -o "$work/m.onnx" --dcz "$work/d" --json \
    >"$work/out"
python3 - "$work" <<'PY'
import json, pathlib, struct, sys
work = pathlib.Path(sys.argv[1])
said = json.loads((work / "out").read_text())["dcz"]
files = sorted((work / "d").glob("*.dcz"))
assert len(files) == said["files"] == 3, files
assert sum(f.stat().st_size for f in files) == said["bytes"]
shapes = set()
for file in files:
    magic, rows, cols, pe, index_bits, code_bits, flags = struct.unpack_from("<4s6I", file.read_bytes())
    assert magic == b"DCZ1" and flags & 1 and index_bits == 4 and code_bits == 4
    shapes.add((rows, cols))
    dense = 4 * rows * cols
    assert file.stat().st_size * 8 < dense, (file, dense)
assert shapes == {(300, 784), (100, 300), (16, 100)}, shapes
PY
layer=$(ls "$work"/d/*.dcz | head -1)
"$lacuna" inspect "$layer" >"$work/text"
grep -Eq '^  entries +[0-9,]+: [0-9,]+ not 0 ' "$work/text"
"$lacuna" inspect "$layer" --json >"$work/out"
python3 - "$work/out" "$layer" <<'PY'
import json, os, struct, sys
said, data = json.load(open(sys.argv[1])), open(sys.argv[2], "rb").read()
_, rows, cols, pe, index_bits, code_bits, _ = struct.unpack_from("<4s6I", data)
assert said["schema"] == "lacuna.dcz/1" and said["file_bytes"] == len(data), said
assert [said[k] for k in ("rows", "cols", "pe", "index_bits", "code_bits")] == [
    rows, cols, pe, index_bits, code_bits], said
assert said["entries"] == struct.unpack_from("<Q", data, 32)[0], said
assert said["padding"] == said["entries"] - said["nonzeros"] >= 0 and said["huffman"] is True
PY
head -c 100 "$layer" >"$work/short.dcz"
if "$lacuna" inspect "$work/short.dcz" 2>"$work/err"; then
    echo "a truncated .dcz was accepted"
    exit 1
fi
if "$lacuna" compress glyph_mlp -s int8 -o "$work/n.onnx" --dcz "$work/e" 2>"$work/err"; then
    echo "int8 has no .dcz, yet it was accepted"
    exit 1
fi
grep -q 'deep-compression' "$work/err"
[ ! -e "$work/n.onnx" ] && [ ! -e "$work/e" ]
