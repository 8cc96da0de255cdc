#!/usr/bin/env bash
# Coverage-guided fuzzing (libFuzzer) of the parsers and decoders, with stable Rust. See tests/fuzz/README.md.
#
#   tests/fuzz/run.sh                              every target, 60 seconds each
#   tests/fuzz/run.sh --seconds 600 contract_wire  one target for ten minutes
#   tests/fuzz/run.sh --smoke                      every target, 5 seconds each, for CI
#
# Prints executions, coverage and result of each target. Exits with 1 if one crashed, and says how to reproduce that.
# Needs Rust and g++ (libFuzzer is C++), which it installs by apt-get (as root).
#
# Knobs, all optional: CARGO_TARGET_DIR (default: target). Corpora, crashing inputs and logs are in its folder `fuzz`.
set -euo pipefail
exec </dev/null
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools.sh
. tests/tools.sh

usage() { die "usage: tests/fuzz/run.sh [--seconds N | --smoke] [TARGET...]"; }

seconds=60
# Optimised as for a search of hours; a smoke run spends its time on the build, and takes what is built fast.
optimise=(-Ccodegen-units=1)
asked=()
while [ "$#" -gt 0 ]; do
    case "$1" in
    --smoke)
        seconds=5
        optimise=(-Ccodegen-units=16)
        export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
        ;;
    --seconds)
        seconds="${2:-}"
        case "$seconds" in '' | 0* | *[!0-9]*) usage ;; esac
        shift
        ;;
    -*) usage ;;
    *) asked+=("$1") ;;
    esac
    shift
done

targets=()
for file in tests/fuzz/targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
if [ "${#asked[@]}" -gt 0 ]; then
    for name in "${asked[@]}"; do
        [ -f "tests/fuzz/targets/$name.rs" ] || die "no target $name; there are: ${targets[*]}"
    done
    targets=("${asked[@]}")
fi

host="$(rustc -vV | sed -n 's/^host: //p')"
built="$target/fuzz/$host/release"

# The flags of cargo-fuzz without its sanitizer, which needs nightly: `unsafe` is forbidden here, so panics, failed
# assertions, overflows, hangs and memory are what there is to find. `--target` keeps build scripts uninstrumented.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"
flags="$(printf '%s ' --cfg fuzzing "$coverage" "${optimise[@]}" -Cdebug-assertions -Coverflow-checks | tr -s ' \n' ' ')"

build() {
    need_compiler || return
    command -v g++ >/dev/null || need_debian g++ || return
    local bins=() bin
    for bin in "${targets[@]}"; do bins+=(--bin "$bin"); done
    env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="$flags" cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml \
        --target "$host" --target-dir "$target/fuzz" "${bins[@]}"
}

step "build" build

# The targets write files; memory is faster than a disk.
memory=/dev/shm
[ -w "$memory" ] || memory="${TMPDIR:-/tmp}"
TMPDIR="$(mktemp -d "$memory/chapar-fuzz.XXXXXX")"
export TMPDIR
# Logs hold bytes of inputs, which are not always text.
export LC_ALL=C
trap 'rm -rf -- "$TMPDIR"' EXIT

# figure NAME LOG: a figure of libFuzzer's final statistics; `-` after a crash in the first inputs.
figure() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1 | grep . || echo -; }

# fuzz TARGET: one run. libFuzzer reads the seeds and writes to the corpus only.
fuzz() {
    local name="$1" corpus="$target/fuzz/corpus/$1" artifacts="$target/fuzz/artifacts/$1" seeds="tests/fuzz/seeds/$1"
    local log="$target/fuzz/$1.log" code=0 folders=("$target/fuzz/corpus/$1") edges result found
    mkdir -p "$corpus" "$artifacts" || return
    if [ -d "$seeds" ]; then folders+=("$seeds"); fi
    # libFuzzer checks its time between inputs; `timeout` is for a target that hangs where its own alarm cannot end it.
    timeout -k 10 "$((seconds + 60))" "$built/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$artifacts/" "${folders[@]}" >"$log" 2>&1 || code=$?
    edges="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)"
    result=ok
    if [ "$code" -ne 0 ]; then result="FAILED (exit $code)"; fi
    printf '%-22s %12s executions %8s edges  %s\n' "$name" "$(figure number_of_executed_units "$log")" "${edges:--}" "$result"
    [ "$code" -ne 0 ] || return 0
    grep -a -m 3 -A 1 -E "panicked at|^==[0-9]+== ?ERROR|^SUMMARY" "$log" >&2 || tail -n 5 "$log" >&2
    found="$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
    say "  log:       $log"
    if [ -n "$found" ]; then
        say "  reproduce: $built/$name $found"
        say "  shorten:   $built/$name -minimize_crash=1 -max_total_time=60 -exact_artifact_path=$found.min $found"
    fi
    return 1
}

failed=()
say "== ${#targets[@]} targets, $seconds s each"
for name in "${targets[@]}"; do
    fuzz "$name" || failed+=("$name")
done
if [ "${#failed[@]}" -gt 0 ]; then
    say "== FAILED: ${failed[*]}"
    exit 1
fi
say "== no crash"
