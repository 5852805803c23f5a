#!/usr/bin/env bash
# The same sshd log through Posse and its peers, in one run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

usage() {
    cat <<'T'
usage: bench/replay.sh [--lines N] [--peer-lines N] [--only NAME,NAME] [--shared DIR]
                       [--rules DIR] [--seed N] [--format traditional|rfc3339] [--keep DIR]
Feeds one generated sshd log (bench/sshd_log.py) to
  posse      posse replay FILE --type syslog --json --threads 1 ($POSSE, else target/ or PATH)
  crowdsec   Debian's 1.4.6 in replay mode, hub parsers and ssh scenarios; without a network,
             with a stand-in for the API it must report to (bench/lapi_stub.py, not counted)
  fail2ban   fail2ban-regex with the package's sshd filter (matches lines; does not count)
  sshguard   sshg-parser | sshg-blocker (counts by the wall clock, so its bans are not judged)
  rg         ripgrep with one regex for the same lines: a floor, it only prints what matches
and prints what each cost, its lines per CPU-second, the ratio to Posse, and whether the
addresses it named are those of the truth file.
  --lines N       lines for posse, sshguard and rg (default 1000000)
  --peer-lines N  lines for crowdsec and fail2ban, from the start of the same file (100000)
  --only LIST     of the names above
  --shared DIR    folder with corpora/crowdsec-hub (else $POSSE_SHARED); crowdsec needs it
  --rules DIR     handed to posse replay
  --keep DIR      leave log, truth and outputs there
Needs root (own namespaces), python3, time, util-linux, iproute2; ripgrep for rg
(apt-get install python3 time util-linux iproute2 ripgrep). Peers: bench/peers.sh, run by itself.
T
}

lines=1000000 peer_lines=100000 only=posse,crowdsec,fail2ban,sshguard,rg
shared=${POSSE_SHARED:-$here/../../shared} rules='' seed=1 format=traditional keep=''
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --lines) lines=$2; shift 2 ;;
        --peer-lines) peer_lines=$2; shift 2 ;;
        --only) only=$2; shift 2 ;;
        --shared) shared=$2; shift 2 ;;
        --rules) rules=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --format) format=$2; shift 2 ;;
        --keep) keep=$2; shift 2 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[ "$peer_lines" -le "$lines" ] || peer_lines=$lines

if [ -z "${POSSE_BENCH_INSIDE:-}" ]; then
    need python3 python3
    BENCH_PEERS=$("$here/peers.sh")
    export BENCH_PEERS
    enter_namespaces "${arguments[@]}"
fi
ip link set lo up
out=$WORK
[ -z "$keep" ] || { mkdir -p "$keep"; out=$(cd "$keep" && pwd); }

wanted() { case ",$only," in *",$1,"*) return 0 ;; esac; return 1; }

# measure NAME LINES STDIN FIRST-LINE-COMMAND-WORDS...: LOG in the words stands for the file
measure() {
    local name=$1 count=$2 stdin=$3 word log=$out/auth.log
    shift 3
    [ "$count" = "$lines" ] || log=$out/auth.$count.log
    say "$name: $count lines"
    local size
    for size in one full; do
        local file=$log words=()
        [ $size = full ] || file=$out/one.log
        for word in "$@"; do words+=("${word//LOG/$file}"); done
        "$here/measure.py" --stdin "${stdin//LOG/$file}" --stdout "$out/$name.$size.out" \
            --stderr "$out/$name.$size.err" -- "${words[@]}" >"$out/$name.$size.json" || true
    done
    echo "$name $count" >>"$out/done"
}

say "generating $lines lines, seed $seed"
"$here/sshd_log.py" --lines "$lines" --seed "$seed" --format "$format" \
    --out "$out/auth.log" --truth "$out/truth.json"
head -n 1 "$out/auth.log" >"$out/one.log"
head -n "$peer_lines" "$out/auth.log" >"$out/auth.$peer_lines.log"
cat "$out/auth.log" >/dev/null
rm -f "$out/done"

if wanted posse; then
    posse=$(find_posse || true)
    if [ -n "$posse" ]; then
        measure posse "$lines" /dev/null "$posse" replay LOG --type syslog --json --threads 1 \
            ${rules:+--rules "$rules"}
    else
        skip "no posse binary: build it (cargo build --release) or set POSSE"
    fi
fi

if wanted crowdsec; then
    if [ ! -d "$shared/corpora/crowdsec-hub" ]; then
        skip "crowdsec: no corpora/crowdsec-hub in ${shared:-(nothing)}; set POSSE_SHARED"
    elif [ ! -x "$BENCH_PEERS/crowdsec/usr/bin/crowdsec" ]; then
        skip "crowdsec: package not there (bench/peers.sh)"
    else
        "$here/peerconf.py" crowdsec --peers "$BENCH_PEERS" --shared "$shared" --dir "$out/cs"
        "$here/lapi_stub.py" --out "$out/crowdsec.alerts" &
        stub=$!
        sleep 1
        TZ=UTC measure crowdsec "$peer_lines" /dev/null "$BENCH_PEERS/crowdsec/usr/bin/crowdsec" \
            -c "$out/cs/config.yaml" -type syslog -dsn file://LOG -no-api
        sleep 1
        kill "$stub"
    fi
fi

if wanted fail2ban; then
    if [ -e "$BENCH_PEERS/fail2ban/.complete" ]; then
        PYTHONPATH=$BENCH_PEERS/fail2ban/usr/lib/python3/dist-packages \
            measure fail2ban "$peer_lines" /dev/null python3 \
            "$BENCH_PEERS/fail2ban/usr/bin/fail2ban-regex" -c "$BENCH_PEERS/fail2ban/etc/fail2ban" \
            --usedns=no --no-check-all -o ip LOG sshd
    else
        skip "fail2ban: package not there (bench/peers.sh)"
    fi
fi

if wanted sshguard; then
    if [ -e "$BENCH_PEERS/sshguard/.complete" ]; then
        tools=$BENCH_PEERS/sshguard/usr/libexec/sshguard
        measure sshguard "$lines" LOG "$tools/sshg-parser" --pipe \
            "$tools/sshg-blocker" -a 30 -p 120 -s 1800
    else
        skip "sshguard: package not there (bench/peers.sh)"
    fi
fi

if wanted rg; then
    if command -v rg >/dev/null; then
        who='(?:authenticating|invalid) user .*'
        regex='sshd\[\d+\]: (?:Failed \S+ for (?:invalid user )?.* from (\S+) port \d+ ssh2'
        regex+='|Invalid user .* from (\S+) port \d+'
        regex+='|pam_unix\(sshd:auth\): authentication failure; .* rhost=(\S+)'
        regex+="|(?:Connection (?:closed|reset) by|Disconnected from) $who"
        regex+=' (\S+) port \d+ \[preauth\])'
        measure rg "$lines" /dev/null rg --no-line-number --threads 1 --only-matching \
            --replace "\$1\$2\$3\$4" "$regex" LOG
    else
        skip "no rg; try: apt-get install ripgrep"
    fi
fi

[ -e "$out/done" ] || die "nothing was measured"
"$here/replay_table.py" "$out"
