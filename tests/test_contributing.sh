#!/bin/bash
# once: it builds a copy of its own
# Does what CONTRIBUTING.md says, in a copy of the tree: runs its ```sh blocks (an operator, a format,
# an accelerator), each of which may add one file and one line and nothing else; builds the command
# and asks it for the three; runs the tests that walk the three tables.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${LACUNA_BUILD:-$root/build}

skip() { echo "SKIP: $*: CONTRIBUTING.md was not tried" >&2; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
for tool in git cmake ninja python3; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
done
list=(git -c safe.directory="$root" -C "$root" ls-files -z)
"${list[@]}" >/dev/null 2>&1 || skip "$root is not a git checkout"
if [ -f "$build/CMakeCache.txt" ]; then
    for part in LACUNA_SANITIZE LACUNA_COVERAGE LACUNA_FUZZ; do
        grep -q "^$part:BOOL=ON" "$build/CMakeCache.txt" && skip "$part build: the release build does it"
    done
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lacuna"
(cd "$root" && "${list[@]}" | xargs -0 cp --parents -t "$work/lacuna")
cd "$work/lacuna"
git init -q .
commit() {
    git add -A
    git -c user.name=test -c user.email=test@example.org commit -q -m "$1"
}
commit "the tree"

# Block after block, and the diff of each.
awk -v to="$work/block" '/^```sh$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print > (to n) }' \
    CONTRIBUTING.md
blocks=0
for block in "$work"/block*; do
    blocks=$((blocks + 1))
    bash -e "$block"
    git add -A
    git diff --cached --stat
    files=$(git diff --cached --name-status)
    [ "$(grep -c '^A.src/[a-z]*/[a-z_]*\.c$' <<<"$files")" -eq 1 ] || fail "not one new file: $files"
    [ "$(grep -c '^M.src/[a-z]*/rows\.inc$' <<<"$files")" -eq 1 ] || fail "not one list: $files"
    [ "$(wc -l <<<"$files")" -eq 2 ] || fail "more than a file and a list: $files"
    git diff --cached --numstat | grep -q $'^1\t0\tsrc/[a-z]*/rows.inc$' || fail "not one line"
    commit "one row"
done
[ "$blocks" -eq 3 ] || fail "CONTRIBUTING.md has $blocks blocks of commands, want 3"
[ "$(wc -l <src/accel/ideal.c)" -le 120 ] || fail "the accelerator is no longer about 100 lines"
python3 tests/test_arrows.py || fail "the additions break the arrows"

# Quickly: what the command says counts here, not how fast it runs. Below -O1 GCC warns of vectors
# in functions that it does not inline.
log=$work/build.log
{ cmake -S . -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O1 \
    -DLACUNA_TESTS=ON -DLACUNA_BENCH=OFF &&
    cmake --build "$work/build" -j "$(nproc)" --target lacuna test_registered accel.test_kit \
        $(cd tests && ls format/test_*.c op/test_*.c | sed 's,/,.,; s,\.c$,,'); } >"$log" 2>&1 ||
    { tail -50 "$log"; fail "the tree with three more rows does not build"; }
lacuna=$work/build/lacuna
"$lacuna" list ops | grep '^ *NoOp .*example' || fail "the operator is not listed"
"$lacuna" list formats | grep '^ *plain ' || fail "the format is not listed"
"$lacuna" list accels | grep '^ *ideal ' || fail "the accelerator is not listed"
"$lacuna" simulate --accel ideal --layer conv:c=4,h=5,w=5,k=4,r=3,s=3,pad=1 --json |
    grep -q '"exact": *true' || fail "the accelerator does not simulate"
# Of the page that a format needs too, CONTRIBUTING.md speaks, but an example has none.
ctest --test-dir "$work/build" --output-on-failure -R '^(format|op)\.test_|^test_registered$|^accel\.test_kit$' \
    -E '^format\.test_pages$|\.(py|sh)$' || fail "the three more rows fail the tests of their tables"
{ "$work/build/format.test_pages" || true; } 2>&1 | grep 'docs/formats/plain.md is missing' ||
    fail "a format without a page is not noticed"
echo "an operator, a format and an accelerator: one file and one line each"
