#!/bin/bash
# once: what is installed is the release
# Installs the built tree into a fresh prefix and uses it as a stranger would: the example program
# by pkg-config (shared, static) and by find_package, the examples as plug-ins.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${LACUNA_BUILD:-$root/build}
compile=${CC:-cc}
strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"

skip() { echo "SKIP: $*: the installation was not tested" >&2; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
for tool in cmake pkg-config nm readelf "$compile"; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
done
for part in LACUNA_SANITIZE LACUNA_COVERAGE LACUNA_FUZZ; do
    grep -q "^$part:BOOL=ON" "$build/CMakeCache.txt" && skip "$part build, which has no installation"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >"$work/install.log" ||
    { cat "$work/install.log"; fail "cmake --install"; }
mv "$work/first" "$work/moved" # a moved tree must work too
prefix=$work/moved
pc=$(find "$prefix" -name lacuna.pc)
export PKG_CONFIG_PATH=${pc%/*}
libdir=$(pkg-config --variable=libdir lacuna)
for file in bin/lacuna include/lacuna/lacuna.h share/man/man1/lacuna.1 \
    share/bash-completion/completions/lacuna; do
    [ -s "$prefix/$file" ] || fail "$file is not installed"
done
[ "$("$prefix/bin/lacuna" --version | head -1)" = "lacuna $(pkg-config --modversion lacuna)" ] ||
    fail "lacuna --version and lacuna.pc disagree"
strangers=$(nm -D --defined-only "$libdir/liblacuna.so" | awk '$3 !~ /^lac_/ {print $3}')
[ -z "$strangers" ] || fail "the shared library exports $strangers"

# Every public header alone, as C11 and without any of our flags.
for header in "$prefix"/include/lacuna/*.h; do
    $compile $strict $(pkg-config --cflags lacuna) -fsyntax-only -x c "$header" ||
        fail "$header does not stand alone"
done

check() { # PROGRAM: runs the example and compares with the first answer
    local answer
    answer=$("$1" "$root/data/glyph_mlp.onnx") || fail "$1 does not run"
    echo "$1: $answer"
    [[ $answer =~ ^arg\ max\ [0-9]+,\ value ]] || fail "unexpected answer '$answer'"
    [ "${first:=$answer}" = "$answer" ] || fail "another answer than $first"
}
example=$root/examples/run_model.c
$compile $strict "$example" $(pkg-config --cflags --libs lacuna) -Wl,-rpath,"$libdir" \
    -o "$work/run_shared"
check "$work/run_shared"
mkdir "$work/static"
cp "$libdir/liblacuna.a" "$work/static"
$compile $strict "$example" $(pkg-config --cflags lacuna) -L"$work/static" \
    $(pkg-config --static --libs lacuna | sed 's/-L[^ ]*moved[^ ]*//') -o "$work/run_static"
readelf -d "$work/run_static" | grep -q liblacuna && fail "run_static needs liblacuna.so"
check "$work/run_static"

mkdir "$work/package"
cp "$example" "$work/package"
cat >"$work/package/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(user LANGUAGES C)
find_package(lacuna 0.1 REQUIRED COMPONENTS static)
add_executable(by_shared run_model.c)
target_link_libraries(by_shared lacuna::lacuna)
add_executable(by_static run_model.c)
target_link_libraries(by_static lacuna::static)
CMAKE
{ cmake -S "$work/package" -B "$work/package/build" -DCMAKE_PREFIX_PATH="$prefix" &&
    cmake --build "$work/package/build"; } >"$work/package.log" 2>&1 ||
    { cat "$work/package.log"; fail "find_package(lacuna)"; }
check "$work/package/build/by_shared"
check "$work/package/build/by_static"

# The examples as plug-ins, compiled with nothing but the installed headers.
lacuna=$prefix/bin/lacuna
for example in plugin_accel noop_op plain_format; do
    $compile $strict -Wmissing-prototypes -shared -fPIC -include lacuna/plugin.h \
        "$root/examples/$example.c" $(pkg-config --cflags lacuna) -o "$work/$example.so"
done
"$lacuna" list accels --plugin "$work/plugin_accel.so" | grep '^ *ideal ' ||
    fail "the plug-in's accelerator is not listed"
"$lacuna" list ops --plugin "$work/noop_op.so" | grep '^ *NoOp ' ||
    fail "the plug-in's operator is not listed"
"$lacuna" list formats --plugin "$work/plain_format.so" | grep '^ *plain ' ||
    fail "the plug-in's format is not listed"
if "$lacuna" list accels | grep -q ideal; then fail "ideal is listed without its plug-in"; fi
twice=$("$lacuna" list accels --plugin "$work/plugin_accel.so" --plugin "$work/plugin_accel.so" \
    2>&1) && fail "the same plug-in was loaded twice"
[[ $twice == *"the name is taken"* ]] || fail "unexpected refusal: $twice"

# Dense operands: 8 x 8 x 8 products less the zeros, one a cycle each on 4 multipliers.
ideal() {
    "$lacuna" simulate --plugin "$work/plugin_accel.so" --accel ideal --layer gemm:m=8,n=8,k=8 \
        --seed 1 --json "$@"
}
number() { grep -o "\"$1\": *[0-9]*" | head -1 | grep -o '[0-9]*$'; }
dense=$(ideal --wd 1 --ad 1 --set multipliers=4)
echo "$dense" | grep -q '"exact": *true' || fail "simulate: not exact: $dense"
[ "$(echo "$dense" | number cycles)" -eq $((($(echo "$dense" | number effectual_macs) + 3) / 4)) ] ||
    fail "simulate: cycles are not effectual products / 4: $dense"
sparse=$(ideal --wd 2:4 --ad 0.5 --set multipliers=4)
[ "$(echo "$sparse" | number cycles)" -lt "$(echo "$dense" | number cycles)" ] ||
    fail "simulate: sparse operands take as long as dense ones"
# The example counts what the kit counts, padding and groups included.
conv="--layer conv:c=4,h=6,w=5,k=8,r=3,s=3,pad=1,groups=2 --wd 0.5 --ad 0.5 --seed 3 --json"
ours=$("$lacuna" simulate --plugin "$work/plugin_accel.so" --accel ideal $conv | number effectual_macs)
kit=$("$lacuna" simulate --accel systolic $conv | number effectual_macs)
[ "$ours" -gt 0 ] && [ "$ours" -eq "$kit" ] || fail "ideal counts $ours products, systolic $kit"
echo "installation: all uses work"
