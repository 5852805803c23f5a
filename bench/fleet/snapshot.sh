#!/usr/bin/env bash
# A new guard takes a million bans from a hub: bytes, seconds, memory.
set -euo pipefail

usage() {
    cat <<'T'
usage: bench/fleet/snapshot.sh [--bans N] [--runs N] [--seed N] [--check] [--no-count]
Starts `posse hub`, gives it N bans (1,000,000: IPv4 addresses at random, ends at random to the
minute between an hour and a week) through its Local API, and lets new guards (`posse guard`, each
with an empty state folder, in a network namespace of its own, with real TLS and a real kernel
table) join one after another (3). Prints for each
  - the bytes that the guard's interface received, headers and handshakes included,
  - the time from the first of them to the last element in the kernel, seen from outside,
  - the guard's greatest resident memory (VmHWM), including ten seconds afterwards,
and of the first how many elements the kernel holds in the end (it counts a million in a minute).
--check: fail above 4,000,000 bytes, 4 s or 100 MiB.
Needs root, nftables, iproute2 and `cargo build --release -p posse -p fleet-load`, or the programs
in $POSSE and $FLEET_LOAD. Everything it starts ends with it.
T
}

bans=1000000 runs=3 seed=1 count=(--count) within=()
args=("$@")
while [ $# -gt 0 ]; do
    case "$1" in
        --bans) bans=$2; shift 2 ;;
        --runs) runs=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --check) within=(--within 4000000 4000 102400); shift ;;
        --no-count) count=(); shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=bench/lib.sh
. "$here/../lib.sh"
need nft nftables
need nsenter util-linux
load=${FLEET_LOAD:-${CARGO_TARGET_DIR:-$root/target}/release/fleet-load}
posse=$(find_posse)
[ -x "$load" ] || die "no $load; run: cargo build --release -p fleet-load (or set FLEET_LOAD)"
[ -n "$posse" ] || die "no posse; run: cargo build --release -p posse (or set POSSE)"
[ -n "${POSSE_BENCH_INSIDE:-}" ] || enter_namespaces "${args[@]}"

hub=198.18.0.1
hub_state=$WORK/hub
ip link set lo up
ip link add br0 type bridge
ip addr add "$hub/16" dev br0
ip link set br0 up

say "a hub with $bans bans"
"$posse" hub --listen "$hub:7443" --state "$hub_state" >"$WORK/hub.log" 2>&1 &
for _ in $(seq 300); do
    grep -q 'listens on' "$WORK/hub.log" && break
    sleep 0.1
done
grep -q 'listens on' "$WORK/hub.log" || { cat "$WORK/hub.log" >&2; die "the hub does not start"; }
echo "load load-$seed-password" >"$WORK/machine"
"$posse" keys add load --kind machine --password "load-$seed-password" --state "$hub_state" >&2
"$load" fill --api "$hub:7443" --machine "$WORK/machine" --bans "$bans" --seed "$seed" \
    --last "$WORK/last"

for run in $(seq "$runs"); do
    state=$WORK/guard-$run
    : >"$WORK/guard.toml"
    unshare --net sleep 3600 &
    net=$!
    until [ "$(readlink "/proc/$net/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
        sleep 0.05
    done
    ip link add "far$run" type veth peer name up0 netns "$net"
    ip link set "far$run" master br0 up
    inside() { nsenter --net="/proc/$net/ns/net" "$@"; }
    # What the kernel sends of itself is not the guard's.
    inside sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    inside ip link set lo up
    inside ip addr add "198.18.1.$run/16" dev up0
    inside ip link set up0 up
    token=$("$posse" hub invite --org acme --role guard --state "$hub_state" | tail -n 1)
    inside "$posse" join "https://$hub:7443" "$token" --name "guard-$run" --state "$state" >&2
    sleep 2
    inside "$load" newcomer --posse "$posse" --state "$state" --config "$WORK/guard.toml" \
        --interface up0 --bans "$bans" --last "$WORK/last" "${count[@]}" "${within[@]}" ||
        { tail -n 20 "$WORK/hub.log" >&2; exit 1; }
    count=()
    kill "$net"
    ip link del "far$run" 2>/dev/null || true
done
