#!/usr/bin/env bash
# A million bans into the kernel, and then single ones into the full set: Posse beside nft.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

usage() {
    cat <<'T'
usage: bench/load_bans.sh [--bans N] [--singles N] [--interval] [--seed N] [--timeout S]
Loads the same N (default 1000000) random IPv4 addresses, each with a timeout of 4 h, with
  posse         the program's own way at start: desired set, then netlink batches
                (bench/load_bans, built here with cargo; the store is not in it)
  nft           nft -f FILE into a set of the same make (hash, timeout, gc-interval 60s)
  nft-interval  only with --interval: a set with flags interval, as some tools make; a single
                ban into it then takes longer than most will wait
and then --singles (100; interval: 3) bans one at a time: posse within its process, nft as a tool
that calls it would, one process each, clocked from outside. A sample of 100 is looked up in the
kernel afterwards. A single that takes longer than --timeout (60) seconds is cut off and marked ">".
Needs root (own namespaces), python3, time, util-linux, iproute2, nftables, cargo
(apt-get install python3 time util-linux iproute2 nftables; https://rustup.rs), and about 2 GiB
of memory (interval: 3 GiB). $LOAD_BANS names a ready binary to use instead of building one.
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
            skip "posse: bench/load_bans does not build; LOAD_BANS may name a built one"
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

# Creating an element that is there must fail: that is how a sample of 100 is looked up. Listing
# or `nft get` would have the kernel walk the whole set, which takes a minute at a million.
count() {
    local wanted address
    wanted=$(awk -v step="$((bans / 100 + 1))" 'NR % step == 1 || step == 1' "$WORK/addresses")
    for address in $wanted; do
        nft create element inet "$1" "$2" "{ $address }" >/dev/null 2>&1 && echo no || echo yes
    done | sort | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? " " : ""), $1, $2 }' \
        >"$WORK/$3.count"
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

if [ -n "${LOAD_BANS:-}" ]; then
    measure posse "$LOAD_BANS" "$WORK/addresses" "$singles"
    count posse ban4 posse
    nft flush ruleset
fi
measure nft nft -f "$WORK/nft.nft"
count bench bans nft
nft_singles nft "$singles"
nft flush ruleset
if [ $interval = yes ]; then
    measure nft-interval nft -f "$WORK/nft-interval.nft"
    nft_singles nft-interval 3
fi

python3 - "$bans" "$WORK" <<'P'
import json, os, statistics, sys
bans, work = int(sys.argv[1]), sys.argv[2]
rows = {}
for name in ("posse", "nft", "nft-interval"):
    try:
        costs = json.load(open(f"{work}/{name}.json"))
    except (FileNotFoundError, ValueError):
        continue
    load, cut = costs["wall_s"], ""
    if name == "posse":
        told = json.loads(open(f"{work}/{name}.out").read() or "{}")
        times, load = told.get("singles_ms", []), told.get("load_s", 0)
    else:
        each = [json.loads(line) for line in open(f"{work}/{name}.singles")]
        times = [one["wall_s"] * 1e3 for one in each]
        cut = ">" if any(one["exit"] == 124 for one in each) else ""
    held = open(f"{work}/{name}.count").read().strip() if name != "nft-interval" else "-"
    rows[name] = (load, costs, held, cut, times)
if not rows:
    sys.exit("nothing was measured")
base = rows.get("posse")
print(f"\n{bans} bans; load average at the end {os.getloadavg()[0]:.2f}; singles in milliseconds")
head = ("way", "sample", "load s", "wall s", "CPU s", "RSS MiB", "load/posse", "single p50",
        "p99", "p50/posse")
print("{:13}{:>10}{:>8}{:>8}{:>8}{:>9}{:>12}{:>12}{:>10}{:>11}".format(*head))
for name, (load, costs, held, cut, times) in rows.items():
    p50 = statistics.median(times) if times else 0
    p99 = sorted(times)[max(0, -(-99 * len(times) // 100) - 1)] if times else 0
    ratios = ("-", "-")
    if base and base[0] and base[4]:
        ratios = f"{load / base[0]:.1f}x", f"{cut}{p50 / statistics.median(base[4]):.0f}x"
    print(f"{name:13}{held:>10}{load:>8.2f}{costs['wall_s']:>8.2f}{costs['cpu_s']:>8.2f}"
          f"{costs['rss_mib']:>9.1f}{ratios[0]:>12}{cut + format(p50, '.3f'):>12}{p99:>10.3f}"
          f"{ratios[1]:>11}")
print('\n"load s": for posse from opening the socket to the last answer, for nft the whole process')
P
