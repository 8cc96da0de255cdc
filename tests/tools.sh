# What `.ci/run` and `tests/run.sh` share; sourced, never run. Bash.
#
# Everything that is installed goes through the machine's ordinary clients (apt-get, pip, cargo) with the registries that
# they are set up for, and all but Debian packages stays under the target folder.

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
target="$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# step NAME COMMAND...: runs the command under a headline and tells how long it took. The command's exit code is kept.
# Bash ignores `set -e` in a function that is called like this, so such functions end themselves: `… || return`.
step() {
    local name="$1" began code=0
    shift
    began=$(date +%s.%N)
    say "== $name"
    "$@" || code=$?
    say "== $name: $([ "$code" -eq 0 ] && echo ok || echo "FAILED (exit $code)") in $(elapsed "$began") s"
    return "$code"
}

elapsed() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }

# need_debian PACKAGE...: installs Debian packages.
need_debian() {
    command -v apt-get >/dev/null || die "please install: $*"
    [ "$(id -u)" -eq 0 ] || die "please install, as root: apt-get install $*"
    say "installing $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# need_compiler: SQLite and the TLS library are C.
need_compiler() { command -v cc >/dev/null || need_debian gcc libc6-dev; }

# venv FOLDER REQUIREMENTS: a Python environment with exactly these packages, made again only when the file changes.
venv() {
    local folder="$1" requirements="$2" python=python3
    if cmp -s "$requirements" "$folder/requirements.txt"; then return 0; fi
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        need_debian python3 python3-venv || return
        python=/usr/bin/python3
    fi
    rm -rf "$folder" && mkdir -p "$(dirname "$folder")" && "$python" -m venv "$folder" || return
    # Binary wheels only: nothing of a package runs while it is installed.
    "$folder/bin/pip" install --quiet --disable-pip-version-check --no-input --only-binary :all: -r "$requirements" >&2 &&
        cp "$requirements" "$folder/requirements.txt"
}

# node_packages FOLDER SOURCE: the scripts of SOURCE with exactly the packages of its lock, made again only when it changes.
node_packages() {
    local folder="$1" source="$2"
    command -v node >/dev/null && command -v npm >/dev/null || need_debian nodejs npm || return
    mkdir -p "$folder" && cp "$source"/*.mjs "$folder/" || return
    if cmp -s "$source/package-lock.json" "$folder/package-lock.json" && [ -d "$folder/node_modules" ]; then return 0; fi
    cp "$source/package.json" "$source/package-lock.json" "$folder/" || return
    # Nothing of a package runs while it is installed.
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >&2)
}
