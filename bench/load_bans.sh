#!/usr/bin/env bash
# A million bans into the kernel, and then single ones into the full set: Posse beside nft.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

usage() {
    cat <<'T'
usage: bench/load_bans.sh [--bans N] [--singles N] [--interval] [--seed N] [--timeout S]
Loads the same N (default 1000000) random IPv4 addresses, each with a timeout of 4 h, with
  posse         posse run on a state folder whose ledger has these bans, on an empty kernel: from
                the start of the process to its word that all are in force; singles by lines of a
                log, from the write of the line to the kernel's notification
  posse-kernel  the crate enforce alone: desired set, then netlink batches (bench/load_bans);
                singles within its process
  nft           nft -f FILE into a set of the same make (hash, timeout, gc-interval 60s); singles
                one process each, as a tool that calls it would, clocked from outside
  nft-interval  only with --interval: a set with flags interval, as some tools make; a single
                ban into it then takes longer than most will wait
and then --singles (100; interval: 3) bans one at a time. A sample of 100 is looked up in the
kernel afterwards. Each way has a network namespace of its own. A single that takes longer than --timeout (60) seconds is cut off and marked ">".
Needs root (own namespaces), python3, time, util-linux, iproute2, nftables, cargo
(apt-get install python3 time util-linux iproute2 nftables; https://rustup.rs), and about 2 GiB
of memory (interval: 3 GiB) and 1 GiB of disk in $TMPDIR. $POSSE, $LOAD_BANS and $FILL_BANS name
ready binaries to use instead of built ones.
T
}

bans=1000000 singles=100 interval=no seed=1 timeout=60
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --bans) bans=$2; shift 2 ;;
        --singles) singles=$2; shift 2 ;;
        --interval) interval=yes; shift ;;
        --seed) seed=$2; shift 2 ;;
        --timeout) timeout=$2; shift 2 ;;
        *) usage >&2; exit 2 ;;
    esac
done

if [ -z "${POSSE_BENCH_INSIDE:-}" ]; then
    need nft nftables
    need python3 python3
    if [ -z "${LOAD_BANS:-}" ]; then
        need cargo rustup
        say "building bench/load_bans"
        target=${CARGO_TARGET_DIR:-$here/load_bans/target}
        if cargo build --quiet --release --manifest-path "$here/load_bans/Cargo.toml" \
            --target-dir "$target" >&2; then
            export LOAD_BANS=$target/release/load_bans
        else
            skip "posse-kernel: bench/load_bans does not build; LOAD_BANS may name a built one"
        fi
    fi
    POSSE=$(find_posse)
    export POSSE
    [ -n "$POSSE" ] || skip "posse: no binary; build it (cargo build --release) or set POSSE"
    if [ -n "$POSSE" ] && [ -z "${FILL_BANS:-}" ]; then
        need cargo rustup
        say "building the example fill_bans of crates/store"
        target=${CARGO_TARGET_DIR:-$here/../target}
        if cargo build --quiet --release --manifest-path "$here/../Cargo.toml" -p store \
            --example fill_bans --target-dir "$target" >&2; then
            export FILL_BANS=$target/release/examples/fill_bans
        else
            skip "posse: fill_bans does not build; FILL_BANS may name a built one"
        fi
    fi
    enter_namespaces "${arguments[@]}"
fi

measure() {
    local name=$1
    shift
    say "$name: loading $bans"
    "$here/measure.py" --timeout 600 --stdout "$WORK/$name.out" --stderr "$WORK/$name.err" -- \
        "$@" >"$WORK/$name.json" || cat "$WORK/$name.err" >&2
}

# nft_singles NAME HOW-MANY: milliseconds of each, one a line
nft_singles() {
    local name=$1 number
    say "$name: $2 single bans"
    for ((number = 1; number <= $2; number++)); do
        "$here/measure.py" --timeout "$timeout" -- nft add element inet bench bans \
            "{ 240.0.$((number / 250)).$((number % 250 + 1)) timeout 4h }" || true
    done >"$WORK/$name.singles"
}

say "choosing $bans addresses, seed $seed"
python3 - "$bans" "$seed" "$WORK" <<'P'
import random, sys
count, rng, work = int(sys.argv[1]), random.Random(int(sys.argv[2])), sys.argv[3]
chosen = {}
while len(chosen) < count:
    number = rng.randrange(1 << 24, 224 << 24)
    if number >> 24 not in (10, 127):
        chosen[number] = None
texts = [".".join(map(str, n.to_bytes(4, "big"))) for n in chosen]
with open(f"{work}/addresses", "w") as out:
    out.write("\n".join(texts) + "\n")
for name, flags in (("nft", "timeout; gc-interval 60s"), ("nft-interval", "interval,timeout")):
    with open(f"{work}/{name}.nft", "w") as out:
        out.write("add table inet bench\n")
        out.write(f"add set inet bench bans {{ type ipv4_addr; flags {flags}; }}\n")
        for at in range(0, count, 1000):
            items = ", ".join(f"{text} timeout 4h" for text in texts[at : at + 1000])
            out.write(f"add element inet bench bans {{ {items} }}\n")
P

# Each way in a network namespace of its own: what one left in the kernel is no load for the next,
# and goes in the background with its namespace.
run_posse() {
    ip link set lo up
    "$here/load_store.py" "$POSSE" "$WORK/state" "$WORK/auth.log" --singles "$singles" \
        --seed "$seed" >"$WORK/posse.json"
    "$here/kernel_set.py" posse ban4 "$WORK/addresses" >"$WORK/posse.count"
}
run_posse_kernel() {
    measure posse-kernel "$LOAD_BANS" "$WORK/addresses" "$singles"
    "$here/kernel_set.py" posse ban4 "$WORK/addresses" >"$WORK/posse-kernel.count"
}
run_nft() {
    measure nft nft -f "$WORK/nft.nft"
    nft_singles nft "$singles"
    "$here/kernel_set.py" bench bans "$WORK/addresses" >"$WORK/nft.count"
}
run_nft_interval() {
    measure nft-interval nft -f "$WORK/nft-interval.nft"
    nft_singles nft-interval 3
}
apart() {
    export -f "$1" measure nft_singles say
    export here bans singles seed timeout
    unshare --net "$BASH" -euo pipefail -c "$1"
}

if [ -n "${POSSE:-}" ] && [ -n "${FILL_BANS:-}" ]; then
    say "posse: writing $bans bans to a ledger"
    "$FILL_BANS" "$WORK/state" "$bans" "$WORK/addresses" 2>/dev/null
    say "posse: starting on it"
    apart run_posse
    rm -rf "$WORK/state"
fi
[ -z "${LOAD_BANS:-}" ] || apart run_posse_kernel
apart run_nft
[ $interval = no ] || apart run_nft_interval

python3 - "$bans" "$WORK" <<'P'
import json, os, statistics, sys
bans, work = int(sys.argv[1]), sys.argv[2]
rows = {}
for name in ("posse", "posse-kernel", "nft", "nft-interval"):
    try:
        costs = json.load(open(f"{work}/{name}.json"))
    except (FileNotFoundError, ValueError):
        continue
    cut = ""
    if name == "posse":
        times, load = costs["singles_ms"], costs["load_s"]
    elif name == "posse-kernel":
        told = json.loads(open(f"{work}/{name}.out").read() or "{}")
        times, load = told.get("singles_ms", []), told.get("load_s", 0)
    else:
        each = [json.loads(line) for line in open(f"{work}/{name}.singles")]
        times, load = [one["wall_s"] * 1e3 for one in each], costs["wall_s"]
        cut = ">" if any(one["exit"] == 124 for one in each) else ""
    held = open(f"{work}/{name}.count").read().strip() if name != "nft-interval" else "-"
    rows[name] = (load, costs, held, cut, times)
if not rows:
    sys.exit("nothing was measured")


def rank(times, share):
    return sorted(times)[max(0, -(-share * len(times) // 100) - 1)] if times else 0


base = rows.get("posse")
print(f"\n{bans} bans; load average at the end {os.getloadavg()[0]:.2f}; singles in milliseconds")
head = ("way", "sample", "load s", "CPU s", "RSS MiB", "load/posse", "RSS/posse", "single p50",
        "p99", "p50/posse")
print("{:13}{:>10}{:>8}{:>8}{:>9}{:>12}{:>11}{:>12}{:>10}{:>11}".format(*head))
for name, (load, costs, held, cut, times) in rows.items():
    p50 = rank(times, 50)
    ratios = ["-"] * 3
    if base and base[0] and base[4]:
        ratios = (f"{load / base[0]:.1f}x", f"{costs['rss_mib'] / base[1]['rss_mib']:.1f}x",
                  f"{cut}{p50 / rank(base[4], 50):.2f}x")
    print(f"{name:13}{held:>10}{load:>8.2f}{costs['cpu_s']:>8.2f}{costs['rss_mib']:>9.1f}"
          f"{ratios[0]:>12}{ratios[1]:>11}{cut + format(p50, '.3f'):>12}{rank(times, 99):>10.3f}"
          f"{ratios[2]:>11}")
print('\n"load s": for posse from its start to its word that all are in force, for posse-kernel from'
      '\nopening the socket to the last answer, for nft the whole process')
if base:
    costs = base[1]
    own = costs["ban_ms"]
    print(f"posse: from its decision to the kernel's answer p50 {rank(own, 50):.3f} ms, p99 "
          f"{rank(own, 99):.3f} ms; {costs['missing']} of {len(own) + costs['missing']} missing;"
          f"\n{costs['rss_after_mib']:.1f} MiB resident after the load; "
          f"{costs['idle_cpu_s']:.2f} s of processor time in 5 idle seconds; "
          f"stop took {costs['stop_s']:.1f} s")
P
