#!/usr/bin/env bash
# Where the gateway's time goes: perf at 64 calls in flight, the gateway on a core of its own, folded by part (fold.awk).
#
#   tests/bench/profile.sh [IN_FLIGHT]
#
# Needs perf (installed from Debian if missing) and the right to use it. Knobs: CHAPAR_BIN, BENCH_BIN, as in run.sh.
set -euo pipefail
exec </dev/null
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools.sh
. tests/tools.sh
command -v perf >/dev/null || need_debian linux-perf
[ -n "${CHAPAR_BIN:-}" ] || { cargo build --profile dist --locked -p chapar && CHAPAR_BIN="$target/dist/chapar"; }
[ -n "${BENCH_BIN:-}" ] || { cargo build --profile dist --locked -p chapar-tests --bin bench && BENCH_BIN="$target/dist/bench"; }
CHAPAR_BIN="$(realpath "$CHAPAR_BIN")"
export CHAPAR_BIN
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
timeout 60 taskset -c 0 "$BENCH_BIN" load --only chapar --loads "${1:-64}" --window-ms 7000 >&2 &
load=$!
sleep 3 # it is up, and the load is on
gateway="$(pgrep -n -f "^$CHAPAR_BIN gateway --config")"
perf record -q -F 499 --call-graph dwarf,16384 -p "$gateway" -o "$folder/perf.data" -- sleep 4
wait "$load"
perf script -i "$folder/perf.data" --no-inline -F comm,ip,sym,dso 2>/dev/null >"$folder/script"
awk -f tests/bench/fold.awk "$folder/script"
