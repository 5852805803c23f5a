# shellcheck shell=bash
# Shared by the measuring scripts; to be sourced.

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

skip() { printf '\n!!! SKIPPED: %s\n\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || die "no $1; try: apt-get install $2"
}

# Runs this script again inside network, mount and process namespaces of its own, with $WORK
# naming a fresh folder. However it ends, the kernel ends everything inside with it, and the
# folder goes.
enter_namespaces() {
    [ "$(id -u)" = 0 ] || die "must run as root: it makes network namespaces"
    need unshare util-linux
    need ip iproute2
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/posse-bench.XXXXXX")
    export WORK POSSE_BENCH_INSIDE=1
    unshare --net --mount --pid --fork --kill-child --mount-proc "$BASH" "$0" "$@" &
    local inside=$!
    # shellcheck disable=SC2064
    trap "kill -KILL $inside 2>/dev/null || true; wait $inside || true; rm -rf '$WORK'" EXIT
    trap 'exit 130' INT TERM HUP
    local code=0
    wait "$inside" || code=$?
    exit "$code"
}

find_posse() {
    local candidate root
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    for candidate in "${POSSE:-}" "${CARGO_TARGET_DIR:-$root/target}/dist/posse" \
        "${CARGO_TARGET_DIR:-$root/target}/release/posse" "$(command -v posse || true)"; do
        [ -n "$candidate" ] && [ -x "$candidate" ] && { echo "$candidate"; return; }
    done
}

