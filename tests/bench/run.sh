#!/usr/bin/env bash
# The benchmark: Chapar against Envoy, nginx, HAProxy and two bare proxies on the same work. See tests/bench/README.md.
#
#   tests/bench/run.sh                 the whole table, under ten minutes
#   tests/bench/run.sh --smoke         half a second per entry and load, only with the peers that are there; fails if any call fails
#   tests/bench/run.sh --rounds 3 --only envoy,chapar --loads 8,64
#
# Knobs, all optional: CHAPAR_BIN and BENCH_BIN (measure with these binaries instead of building them), CARGO_TARGET_DIR.
set -euo pipefail
exec </dev/null
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools.sh
. tests/tools.sh

smoke=
if [ "${1:-}" = --smoke ]; then smoke=1; shift; fi
command -v taskset >/dev/null || need_debian util-linux
if [ "$(nproc)" -lt 2 ]; then die "two cores are needed: one for the generator, one for the proxy"; fi

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

# peer NAME: installs it from Debian if it is missing. The service that the package may start is stopped at once.
peer() {
    if [ -x "/usr/sbin/$1" ] || command -v "$1" >/dev/null || [ -n "$smoke" ]; then return; fi
    (need_debian "$1") || return 0
    if command -v service >/dev/null; then service "$1" stop >/dev/null 2>&1 || true; fi
}
peer nginx
peer haproxy
[ -n "$smoke" ] || venv "$target/tools/bench" tests/bench/requirements.txt || true
find_program() { PATH="$PATH:/usr/sbin" command -v "$1" || true; }
BENCH_NGINX="$(find_program nginx)"
BENCH_HAPROXY="$(find_program haproxy)"
BENCH_ENVOY="$(find "$target/tools/bench" -path '*/envoy/_bin/envoy' -type f 2>/dev/null | head -n 1 || true)"
export BENCH_NGINX BENCH_HAPROXY BENCH_ENVOY

if [ -n "$smoke" ]; then
    timeout 120 taskset -c 0 "$BENCH_BIN" measure --rounds 1 --window-ms 200 "$@"
    exit
fi
raw="$target/bench-$(date +%Y%m%dT%H%M%S).tsv"
say "$(date): $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg)"
for version in "$BENCH_ENVOY --version" "$BENCH_NGINX -v" "$BENCH_HAPROXY -v"; do
    # shellcheck disable=SC2086 # a program and its argument
    $version 2>&1 | grep -i version | head -n 1 >&2 || true
done
timeout 600 taskset -c 0 "$BENCH_BIN" measure --raw "$raw" "$@"
say "every measurement: $raw"
