#!/usr/bin/env bash
# Runs every test: the specifications in Rust (units, the harness, the story through the built binary, the README's commands),
# then the foreign clients in Python and Node against the built binary, then gRPC's interop cases from a foreign client to a foreign server
# through the built gateway. Exits with 0 only if all of them passed.
#
#   tests/run.sh              all
#   tests/run.sh ARGS...      only `cargo test --workspace ARGS...`, e.g. `tests/run.sh -p chapar-tests limits`
#
# Needs Rust. Installs what else is missing: a C compiler, openssl, curl, python3-venv, Node, Chromium, PostgreSQL, MariaDB, PgBouncer,
# Redis, Prometheus and systemd's tools by apt-get (as root), Python packages by pip and Node's by npm into the target folder.
#
# Knobs, all optional:
#   CARGO_TARGET_DIR      where to build (default: target)
#   CHAPAR_BIN            test this binary instead of building one (a release package, say)
#   CHAPAR_TEST_PEOPLE    invented citizens in the foreign client's demo (default: 500)
#   CHAPAR_TEST_CHROMIUM  the browser for the counter's page (default: /usr/bin/chromium)
#   CHAPAR_TEST_KEEP=1    keep the foreign clients' folders (keys, registry, logs) and say where they are
#   CHAPAR_SKIP_FOREIGN=1 leave the foreign clients out. The run then says so, and fails in CI: skipped is not passed.
set -euo pipefail
exec </dev/null
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
. tests/tools.sh

build() {
    need_compiler || return
    # The README's commands, the story and the foreign client run what a user runs.
    [ -n "${CHAPAR_BIN:-}" ] || cargo build --release --locked -p chapar
}

specifications() {
    command -v openssl >/dev/null && command -v curl >/dev/null || need_debian openssl curl || return
    # The tests start their own servers; nothing of what these packages set up is used.
    if ! [ -e /usr/lib/mysql/plugin/auth_ed25519.so ] || ! [ -x /usr/sbin/pgbouncer ] || ! [ -x /usr/bin/redis-server ] || ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
        need_debian postgresql mariadb-server pgbouncer redis-server || return
    fi
    command -v promtool >/dev/null || need_debian prometheus || return
    command -v systemd-analyze >/dev/null || need_debian systemd || return
    cargo test --workspace --locked --no-fail-fast "$@"
}

foreign() {
    venv "$target/tools/foreign" tests/foreign/requirements.txt || return
    node_packages "$target/tools/node" tests/foreign/node || return
    [ -x "${CHAPAR_TEST_CHROMIUM:-/usr/bin/chromium}" ] || need_debian chromium || return
    CHAPAR_TEST_NODE="$target/tools/node" "$target/tools/foreign/bin/python" -X utf8 tests/foreign "$@"
}

interop() {
    venv "$target/tools/foreign" tests/foreign/requirements.txt || return
    command -v openssl >/dev/null || need_debian openssl || return
    "$target/tools/foreign/bin/python" -X utf8 tests/foreign/interop "$@"
}

step "build" build
CHAPAR_BIN="$(realpath -m "${CHAPAR_BIN:-$target/release/chapar}")"
export CHAPAR_BIN
[ -x "$CHAPAR_BIN" ] || die "no binary at $CHAPAR_BIN"

if [ "$#" -gt 0 ]; then
    specifications "$@"
    exit
fi

failed=()
if [ -n "${CHAPAR_SKIP_FOREIGN:-}" ]; then
    say "== foreign client, interop: SKIPPED by CHAPAR_SKIP_FOREIGN"
    if [ -n "${CI:-}" ]; then failed+=("foreign client, interop (skipped)"); fi
else
    step "foreign client" foreign || failed+=("foreign client")
    step "interop" interop || failed+=("interop")
fi
step "specifications" specifications || failed+=("specifications")

if [ "${#failed[@]}" -gt 0 ]; then
    say "== FAILED: ${failed[*]}"
    exit 1
fi
