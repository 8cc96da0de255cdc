#!/usr/bin/env bash
# Instructions that the gateway executes per call: callgrind's count of 3,000 calls minus that of 1,000, divided by 2,000. Start-up and
# handshakes cancel out, and the figure hardly depends on what else the machine does. One call in flight, then eight.
#
#   tests/bench/instructions.sh
#
# Needs valgrind (installed from Debian if missing). Knobs: CHAPAR_BIN, BENCH_BIN, as in run.sh.
set -euo pipefail
exec </dev/null
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools.sh
. tests/tools.sh
command -v valgrind >/dev/null || need_debian valgrind
if [ -z "${CHAPAR_BIN:-}" ]; then
    cargo build --profile dist --locked -p chapar
    CHAPAR_BIN="$target/dist/chapar"
fi
if [ -z "${BENCH_BIN:-}" ]; then
    cargo build --profile dist --locked -p chapar-tests --bin bench
    BENCH_BIN="$target/dist/bench"
fi
CHAPAR_BIN="$(realpath "$CHAPAR_BIN")"
export CHAPAR_BIN
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# count WIDTH CALLS: instructions of a gateway that serves so many calls.
count() {
    timeout 300 taskset -c 0 "$BENCH_BIN" load --only chapar --loads "$1" --calls "$2" \
        --under "valgrind --tool=callgrind --callgrind-out-file=$folder/$1.$2" >/dev/null
    sed -n 's/^\(summary\|totals\): //p' "$folder/$1.$2" | head -n 1
}
for width in 1 8; do
    few="$(count "$width" 1000)"
    many="$(count "$width" 3000)"
    printf '%s in flight: %s instructions per call\n' "$width" "$(((many - few) / 2000))"
done
