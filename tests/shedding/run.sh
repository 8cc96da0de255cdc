#!/bin/sh
# Compares the gateway's load shedding with published libraries in its place: tower's load_shed over concurrency_limit,
# and little-loadshedder, which follows the mean latency. Builds a gateway in which `CHAPAR_SHED` chooses (libraries.patch),
# and runs `fairness` against each. Some 12 minutes, most of them for two release builds.
#
#   tests/shedding/run.sh [--check] [FAIRNESS-OPTION…]
#
# --check: only whether the patch still applies.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
patch="$root/tests/shedding/libraries.patch"

if [ "${1:-}" = --check ]; then
    cd "$root"
    exec git apply --check "$patch"
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" archive HEAD | tar -x -C "$copy"
(cd "$copy" && git init -q && git apply "$patch")

target=${CARGO_TARGET_DIR:-$root/target}
(cd "$copy" && CARGO_TARGET_DIR="$target" cargo build --profile dist -p chapar)
cp "$target/dist/chapar" "$copy/chapar"
(cd "$root" && cargo build --profile dist -p chapar-tests --bin fairness)

for mechanism in own none tower:16 tower:64 tower:256 little:5 little:20; do
    echo "== $mechanism"
    CHAPAR_SHED=$mechanism CHAPAR_BIN="$copy/chapar" "$target/dist/fairness" "$@"
done
