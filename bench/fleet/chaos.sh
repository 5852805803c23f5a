#!/usr/bin/env bash
# One hub, many guards with real kernels, and everything that can break, for long.
set -euo pipefail

usage() {
    cat <<'T'
usage: bench/fleet/chaos.sh [--guards N] [--seconds N] [--seed N]
Runs the test `chaos` (crates/posse/tests/it/chaos.rs) long and wide: a real hub, N guards (50) in
network namespaces with kernels of their own; for so many seconds (600) links are cut, the hub is
killed (-9), started again, and told of bans and releases without a pause. It fails unless in the
end every guard and its kernel hold exactly what the hub acknowledged, when a released ban comes
back at a guard, or when a ban at a guard itself waits for 3 s. Prints what happened and how long
local bans took.
Needs root, nftables, iproute2 and cargo. $POSSE names a `posse` to test, such as a release build;
otherwise it is the tests' own.
T
}

guards=50 seconds=600 seed=7
while [ $# -gt 0 ]; do
    case "$1" in
        --guards) guards=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=bench/lib.sh
. "$here/../lib.sh"
[ "$(id -u)" = 0 ] || die "must run as root: it makes network namespaces"
need cargo rustup
need nft nftables
need ip iproute2
[ -z "${POSSE:-}" ] || export POSSE_CHAOS_PROGRAM=$POSSE
export POSSE_CHAOS_GUARDS=$guards POSSE_CHAOS_SECONDS=$seconds POSSE_CHAOS_SEED=$seed
cd "$here/../.."
exec cargo test --quiet -p posse --test it -- --exact --nocapture \
    chaos::no_ban_is_lost_and_none_comes_back_whatever_breaks
