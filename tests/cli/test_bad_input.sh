#!/bin/bash
# Bad input of every kind: status 1, one line on stderr that says what is wrong, nothing on stdout,
# no file left behind.
set -u
lacuna=${LACUNA:?path of the command}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/in" "$work/out" "$work/in/sub"
failures=0
checks=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

# bad WORD ARGUMENTS...: refused, with WORD (an extended regular expression) in the message.
bad() {
    local word=$1 status
    shift
    checks=$((checks + 1))
    timeout 60 "$lacuna" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
    status=$?
    [ $status -eq 1 ] || fail "lacuna $*: status $status, want 1"
    [ -s "$work/stdout" ] && fail "lacuna $*: prints on stdout: $(head -c 200 "$work/stdout")"
    [ "$(wc -l <"$work/stderr")" -eq 1 ] && head -1 "$work/stderr" | grep -q '^lacuna: .' ||
        fail "lacuna $*: want one line 'lacuna: ...', got: $(head -c 400 "$work/stderr")"
    grep -Eqi -- "$word" "$work/stderr" ||
        fail "lacuna $*: the message lacks '$word': $(head -c 400 "$work/stderr")"
    if [ -n "$(ls -A "$work/out")" ]; then
        fail "lacuna $*: leaves $(ls -A "$work/out")"
        rm -rf "$work/out"
        mkdir "$work/out"
    fi
}

# ---- files

export PYTHONPATH=tests/cli PYTHONDONTWRITEBYTECODE=1
python3 - "$work/in" <<'PY' || exit 1
import os, struct, sys
from onnx_bytes import *

folder = sys.argv[1]

def write(name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)

x, y = value("x", 1, 4), value("y", 1, 4)
weights = [((i * 7) % 11 - 5) / 4 for i in range(16)]
product = [node("MatMul", ["x", "w"], ["y"])]
good = model(product, [x], [y], [tensor("w", [4, 4], weights)])
write("good.onnx", good)
write("batch.onnx", model(product, [value("x", "N", 4)], [value("y", "N", 4)],
                          [tensor("w", [4, 4], weights)]))
write("names.onnx", good.replace(b"the_MatMul", b"\xff\xfe\xfd_MatMul"))
write("truncated.onnx", good[:-9])
write("empty.onnx", b"")
write("text.onnx", b"this is no model\n")
write("unknown_op.onnx", model([node("Wibble", ["x"], ["y"])], [x], [y]))
write("unknown_domain.onnx", model([node("Relu", ["x"], ["y"], "org.nobody")], [x], [y]))
write("opset_new.onnx", model(product, [x], [y], [tensor("w", [4, 4], weights)], opset=99))
write("opset_old.onnx", model(product, [x], [y], [tensor("w", [4, 4], weights)], opset=1))
write("cycle.onnx", model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]),
                           node("Relu", ["b"], ["y"])], [x], [y]))
write("undefined.onnx", model([node("Add", ["x", "nowhere"], ["y"])], [x], [y]))
write("nan.onnx", model(product, [x], [y],
                        [tensor("w", [4, 4], weights[:7] + [float("nan")] + weights[8:])]))
write("infinite.onnx", model(product, [x], [y],
                             [tensor("w", [4, 4], weights[:7] + [float("inf")] + weights[8:])]))
write("short_data.onnx", model(product, [x], [y], [tensor("w", [4, 4], weights[:15])]))
write("negative.onnx", model(product, [x], [y], [tensor("w", [-4, 4], weights)]))
write("overflow.onnx", model(product, [x], [y], [tensor("w", [2**40, 2**40], weights)]))
write("rank.onnx", model(product, [x], [y], [tensor("w", [1] * 40, weights[:1])]))
write("dtype.onnx", model(product, [x], [y], [tensor("w", [4, 4], weights, dtype=77)]))
write("mismatch.onnx", model(product, [x], [y], [tensor("w", [5, 4], weights + weights[:4])]))
# one panel of 16 outputs (4 of them are there), 2 steps of 4 slots; places 0 and 1 of every group
kept = [w for o in range(4) for w in (weights[o], weights[4 + o], 0.0, 0.0)] + [0.0] * 112
fields = [tensor("v", [128], kept), tensor("i", [64], None, 2, b"\x00\x05" * 32)]
for name, form, params in (("good", "nm", "n=2,m=4"), ("format", "wibble", ""), ("params", "nm", "n=9,m=4"),
                           ("field", "nm", "n=3,m=4"), ("index", "nm", "n=2,m=4")):
    if name == "index": # positions of a group must rise
        fields[1] = tensor("i", [64], None, 2, b"\x00" * 64)
    write(f"unpack_{name}.onnx", model([packed("w", ["v", "i"], form, params)] + product, [x], [y],
                                       fields))
write("bytes.bin", struct.pack("<16f", *weights))
write("sub/outside.onnx", model(product, [x], [y], [external("w", [4, 4], "../bytes.bin")]))
write("absolute.onnx", model(product, [x], [y],
                             [external("w", [4, 4], os.path.join(folder, "bytes.bin"))]))
write("no_file.onnx", model(product, [x], [y], [external("w", [4, 4], "nowhere.bin")]))
write("too_short.onnx", model(product, [x], [y], [external("w", [40, 40], "bytes.bin")]))
write("beside.onnx", model(product, [x], [y], [external("w", [4, 4], "bytes.bin")]))

def write_npy(name, *content):
    write(name, npy(*content))

four = struct.pack("<4f", 1, 2, 3, 4)
write_npy("x.npy", "<f4", "(1, 4)", four)
write_npy("truncated.npy", "<f4", "(1, 4)", four[:13])
write_npy("double.npy", "<f8", "(1, 4)", struct.pack("<4d", 1, 2, 3, 4))
write_npy("shape.npy", "<f4", "(1, 5)", four + four[:4])
write_npy("none.npy", "<f4", "(0, 4)", b"")
write_npy("rank.npy", "<f4", "(4,)", four)
write_npy("overflow.npy", "<f4", "(4611686018427387904, 4)", four)
write_npy("negative.npy", "<f4", "(-1, 4)", four)
write_npy("object.npy", "|O", "(1, 4)", four)
write_npy("magic.npy", "<f4", "(1, 4)", four, b"\x93NUMPX\x01\x00")
write("unknown.yaml", b"R: 8\ncolumns: 3\n")
write("range.yaml", b"R: 0\n")
write("broken.yaml", b"R: [8\n")
write("list.yaml", b"- 1\n- 2\n")
write("empty.yaml", b"")
write("broken.json", b"[{\"task\": ")
PY

in=$work/in out=$work/out
run() { # WORD MODEL: the model is refused by every command that opens it
    bad "$1" run "$in/$2" --input "x=$in/x.npy" --output-dir "$out"
    bad "$1" inspect "$in/$2"
    bad "$1" compress "$in/$2" --scheme magnitude --output "$out/o.onnx"
}

# The good ones are good: else every refusal below proves nothing.
for model in good beside unpack_good; do
    "$lacuna" run "$in/$model.onnx" --input "x=$in/x.npy" >"$work/stdout" 2>&1 ||
        fail "run $model.onnx: $(cat "$work/stdout")"
    "$lacuna" inspect "$in/$model.onnx" >"$work/stdout" 2>&1 ||
        fail "inspect $model.onnx: $(cat "$work/stdout")"
done
"$lacuna" compress "$in/good.onnx" --scheme magnitude --output "$work/kept.onnx" \
    >"$work/stdout" 2>&1 || fail "compress good.onnx: $(cat "$work/stdout")"

"$lacuna" inspect "$in/beside.onnx" --json | grep -q '"external_bytes": 64' ||
    fail "inspect beside.onnx: not 64 bytes beside it"
"$lacuna" inspect "$in/names.onnx" --json | python3 -m json.tool | grep -q 'ufffd_MatMul"' ||
    fail "inspect names.onnx: a name that is no UTF-8"

# ---- models

run 'truncated.onnx: not an ONNX model.*cut short' truncated.onnx
run 'empty.onnx: .*no graph' empty.onnx
run 'text.onnx: not an ONNX model' text.onnx
run 'no_such.onnx: No such file' no_such.onnx
run 'opset 99: want 7\.\.' opset_new.onnx
run 'opset 1: want 7\.\.' opset_old.onnx
run 'cycle through node .the_' cycle.onnx
run "'nowhere' read by the_Add" undefined.onnx
run "'w': 60 bytes of raw data, the shape needs 64" short_data.onnx
run "'w': dimension 0 is -4" negative.onnx
run "'w': .*overflows" overflow.onnx
run "'w': rank 40, limit 8" rank.onnx
run "'w': element type 77" dtype.onnx
run 'outside the model.s folder' sub/outside.onnx
run 'want a relative path' absolute.onnx
run "'w': .*nowhere.bin': no such file" no_file.onnx
run "'w': .*reaches behind the 64 bytes" too_short.onnx
bad 'no operator Wibble' run "$in/unknown_op.onnx" --input "x=$in/x.npy" --output-dir "$out"
bad 'no operator org.nobody.Relu' run "$in/unknown_domain.onnx" --input "x=$in/x.npy" --output-dir "$out"
bad 'the_MatMul.*4 columns, w wants 5' run "$in/mismatch.onnx" --input "x=$in/x.npy" --output-dir "$out"
bad 'the_MatMul.*element 7 is nan' compress "$in/nan.onnx" --scheme int8 --output "$out/o.onnx"
bad 'the_MatMul.*element 7 is nan' compress "$in/nan.onnx" --scheme magnitude --output "$out/o.onnx"
bad 'the_MatMul.*element 7 is nan' compress "$in/nan.onnx" --scheme deep-compression --output "$out/o.onnx"
bad 'the_MatMul.*element 7 is inf' compress "$in/infinite.onnx" --scheme int8 --output "$out/o.onnx"
bad 'regular file' inspect "$in"

for command in run inspect compress; do
    case $command in
    run) more=(--input "x=$in/x.npy" --output-dir "$out") ;;
    inspect) more=() ;;
    compress) more=(--scheme magnitude --output "$out/o.onnx") ;;
    esac
    bad "the_Unpack.*unknown format 'wibble'" $command "$in/unpack_format.onnx" "${more[@]}"
    bad 'the_(Unpack|MatMul).*n = 9 is above m = 4' $command "$in/unpack_params.onnx" "${more[@]}"
    bad "the_(Unpack|MatMul).*field 'values' has 128 elements, want 192" $command "$in/unpack_field.onnx" "${more[@]}"
    bad 'the_(Unpack|MatMul).*index 1 of row 0, window 0 is 0' $command "$in/unpack_index.onnx" "${more[@]}"
done

# A flipped bit gives a model, or one line: never a crash, never silence.
python3 - "$in/good.onnx" "$in" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
for at in range(0, len(data) * 8, 29):
    flipped = bytearray(data)
    flipped[at // 8] ^= 1 << at % 8
    open(f"{sys.argv[2]}/flip{at}.onnx", "wb").write(flipped)
PY
refused=0
for model in "$in"/flip*.onnx; do
    timeout 60 "$lacuna" run "$model" --input "x=$in/x.npy" >"$work/stdout" 2>"$work/stderr" </dev/null
    status=$?
    checks=$((checks + 1))
    if [ $status -eq 1 ]; then
        refused=$((refused + 1))
        [ -s "$work/stdout" ] && fail "$model: prints on stdout"
        [ "$(wc -l <"$work/stderr")" -eq 1 ] && grep -q '^lacuna: .' "$work/stderr" ||
            fail "$model: want one line, got: $(head -c 300 "$work/stderr")"
    elif [ $status -ne 0 ]; then
        fail "$model: status $status: $(head -c 300 "$work/stderr")"
    fi
done
[ $refused -ge 5 ] || fail "only $refused flipped models were refused"

# ---- inputs of a network

for name in truncated double shape rank overflow negative object magic; do
    case $name in
    double) word="'x' is float64\[1,4\], expected float32\[1,4\]" ;;
    shape) word="'x' is float32\[1,5\], expected float32\[1,4\]" ;;
    rank) word="'x' is float32\[4\], expected float32\[1,4\]" ;;
    *) word="$name.npy: ." ;;
    esac
    bad "$word" run "$in/good.onnx" --input "x=$in/$name.npy" --output-dir "$out"
done
bad "'x' is float32\[0,4\], expected float32\[N,4\]: want every size of at least 1" \
    run "$in/batch.onnx" --input "x=$in/none.npy" --output-dir "$out"
bad "'x' is missing" run "$in/good.onnx" --output-dir "$out"
bad 'no such input' run "$in/good.onnx" --input "z=$in/x.npy" --output-dir "$out"
bad 'twice' run "$in/good.onnx" --input "x=$in/x.npy" --input "x=$in/x.npy"
bad 'nothing.npy' run "$in/good.onnx" --input "x=$in/nothing.npy"
bad 'no task' eval "$in/good.onnx"
bad 'broken.json: line 1' eval "$in/good.onnx" --meta "$in/broken.json"

# ---- outputs

# A folder that was not there is not there afterwards, whatever fails: inputs, the run, the writing.
bad 'nothing.npy' run "$in/good.onnx" --input "x=$in/nothing.npy" --output-dir "$out/new"
bad "'x' is float32\[1,5\]" run "$in/good.onnx" --input "x=$in/shape.npy" --output-dir "$out/new" --capture "$out/more"
bad 'no operator Wibble' run "$in/unknown_op.onnx" --input "x=$in/x.npy" --capture "$out/new"
bad 'deep-compression' compress "$in/good.onnx" --scheme int8 --output "$out/o.onnx" --dcz "$out/new"
bad 'nowhere/deeper: No such file' run "$in/good.onnx" --input "x=$in/x.npy" --output-dir "$out/nowhere/deeper"
bad 'nowhere/o.onnx: cannot write' compress "$in/good.onnx" --scheme magnitude --output "$out/nowhere/o.onnx"
bad '/dev/full: .*No space left' compress "$in/good.onnx" --scheme magnitude --output /dev/full
[ -c /dev/full ] || fail "/dev/full is no device any more"
bad '--output' compress "$in/good.onnx" --scheme magnitude
# The input is never the output: by its name, by another, or by the data that lie beside it.
mkdir "$work/same"
cp "$in/good.onnx" "$in/x.npy" "$work/same"
"$lacuna" compress "$in/good.onnx" --scheme dense --external 1 --output "$work/same/far.onnx" >"$work/stdout"
ln -s good.onnx "$work/same/link.onnx"
cp "$work/same/far.onnx.data" "$work/same/near.onnx.data"
sed 's/far\.onnx\.data/two.onnx.data/g' "$work/same/far.onnx" >"$work/same/two.onnx"
cp "$work/same/far.onnx.data" "$work/same/two.onnx.data"
cp -r "$work/same" "$work/before"
overwrites() { # MODEL OUTPUT MORE...
    bad 'would overwrite the input' compress "$work/same/$1" --scheme int8 --output "$work/same/$2" "${@:3}"
}
overwrites good.onnx good.onnx
overwrites good.onnx ../same/./good.onnx
overwrites good.onnx link.onnx
overwrites link.onnx good.onnx
overwrites far.onnx far.onnx
overwrites far.onnx far.onnx.data
mv "$work/same/two.onnx" "$work/same/other.onnx"
overwrites other.onnx two.onnx --external 1
mv "$work/same/other.onnx" "$work/same/two.onnx"
diff -r "$work/same" "$work/before" || fail "a refused compress changed a file"
"$lacuna" compress "$work/same/two.onnx" --scheme int8 --output "$work/same/new.onnx" --external 1 \
    >"$work/stdout" 2>&1 || fail "compress beside its input: $(cat "$work/stdout")"
bad '--scheme' compress "$in/good.onnx" --output "$out/o.onnx"
bad "$out: cannot write" compress "$in/good.onnx" --scheme magnitude --output "$out"

# ---- schemes, formats, parameters

bad "unknown scheme 'wibble'" compress "$in/good.onnx" --scheme wibble --output "$out/o.onnx"
bad "unknown scheme 'wibble'" compress "$in/good.onnx" --scheme int8+wibble --output "$out/o.onnx"
bad 'wibble.*known' compress "$in/good.onnx" --scheme magnitude:wibble=1 --output "$out/o.onnx"
bad "density = '7': want a number in 0\.\.1" compress "$in/good.onnx" --scheme deep-compression:density=7 --output "$out/o.onnx"
bad 'n = 5 is above m = 4' compress "$in/good.onnx" --scheme nm:5:4 --output "$out/o.onnx"
bad "'nm:2': want nm:N:M" compress "$in/good.onnx" --scheme nm:2 --output "$out/o.onnx"
bad "'nm:2:4:8': want nm:N:M" compress "$in/good.onnx" --scheme nm:2:4:8 --output "$out/o.onnx"
bad "'nm:2:40': m = '40': want an integer in 1\.\.32" compress "$in/good.onnx" --scheme nm:2:40 --output "$out/o.onnx"
bad "m = '0': want an integer in 1\.\.32" compress "$in/good.onnx" --scheme nm:2:0 --output "$out/o.onnx"
bad 'the scheme is empty' compress "$in/good.onnx" --scheme '' --output "$out/o.onnx"
bad "scheme 'int8\+': a part of it is empty" compress "$in/good.onnx" --scheme int8+ --output "$out/o.onnx"

# ---- accelerators

fc=fc:in=64,out=64,batch=1
bad "unknown accelerator 'wibble'" accel show wibble
bad "unknown accelerator 'wibble'" reproduce wibble
bad "unknown accelerator 'wibble'" simulate --layer $fc --accel wibble
bad 'accel list.*accel show' accel wibble
bad 'wibble.*known' accel show eie --set wibble=1
bad 'pe.*1\.\.' accel show eie --set pe=0
bad 'name=value' accel show eie --set pe
bad 'pe.*1\.\.' simulate --layer $fc --accel eie --set pe=0
bad 'rows.*1\.\.' simulate --layer $fc --accel systolic --set rows=0
bad 'rows.*integer' simulate --layer $fc --accel systolic --set rows=many
bad 'dataflow.*ws' simulate --layer $fc --accel systolic --set dataflow=zz
bad 'K = 4096 is too large for the weight slot.*wslot = 1' simulate --layer gemm:m=64,n=64,k=4096 --accel sta --set wslot=1
bad "--set pe: want name=value" accel show eie --set pe=8,pe
bad 'no accelerator of this run' accel show eie --set sta.R=8
bad 'no accelerator of this run' simulate --layer $fc --accel eie,sta --set pe=8,systolic.rows=8
bad "unknown parameter 'wibble'" simulate --layer $fc --accel eie --set wibble=1
bad "layer kind 'wibble'" simulate --layer wibble:m=1 --accel eie
bad 'in=0 is outside' simulate --layer fc:in=0,out=64,batch=1 --accel eie
bad 'in=-5 is outside' simulate --layer fc:in=-5,out=64,batch=1 --accel eie
bad 'm=4000000000 is outside' simulate --layer gemm:m=4000000000,n=1,k=1 --accel eie
bad '2147483647 x 2147483647 .*overflows: the limit is 576460752303423487' simulate --layer gemm:m=2147483647,n=2147483647,k=2147483647 --accel systolic
bad "density '1.5'" simulate --layer $fc --wd 1.5 --accel eie
bad "pattern '5:4'" simulate --layer $fc --wd 5:4 --accel eie
bad '--seed many' simulate --layer $fc --seed many --accel eie
bad 'unknown.yaml.*columns.*known.*R, C' accel show sta --arch "$in/unknown.yaml"
bad 'range.yaml.*R.*1\.\.256' accel show sta --arch "$in/range.yaml"
bad 'broken.yaml' accel show sta --arch "$in/broken.yaml"
bad 'list.yaml' accel show sta --arch "$in/list.yaml"
bad 'empty.yaml' accel show sta --arch "$in/empty.yaml"
bad 'nothing.yaml' accel show sta --arch "$in/nothing.yaml"
bad 'unknown.yaml' simulate --layer $fc --accel sta --arch "$in/unknown.yaml"
bad 'arch goes with one --accel' simulate --layer $fc --accel sta,eie --arch "$in/range.yaml"

# ---- the command line itself

bad "no command 'wibble'" wibble
bad "no command 'wibble'" help wibble
bad 'list wibble: want' list wibble
bad 'list man: a text; --json' list man --json
bad 'list completion: a text; --json' list completion --json
bad '--skip 999999: glyphs:test has 4000 items' eval glyph_mlp --skip 999999
for command in run eval compress bench simulate compare inspect accel reproduce retrain; do
    bad 'unknown option --wibble' $command glyph_mlp --wibble
done
bad 'few' inspect
bad 'unexpected' inspect glyph_mlp glyph_vit
bad '--threads -1: want' inspect glyph_mlp --threads -1
bad 'threads.*value' inspect glyph_mlp --threads
bad 'no value' inspect glyph_mlp --json=1
bad 'nothing.so' inspect glyph_mlp --plugin "$in/nothing.so"
bad 'text.onnx' inspect glyph_mlp --plugin "$in/text.onnx"

[ $failures -eq 0 ] && echo "$checks bad inputs refused, $refused of the flipped models"
[ $failures -eq 0 ]
