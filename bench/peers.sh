#!/usr/bin/env bash
# Fetches the peers' Debian packages and unpacks them into a private folder. Nothing is
# installed: no service starts, no maintainer script runs, no file outside the folder changes.
set -euo pipefail

usage() {
    cat <<'T'
usage: bench/peers.sh [DIR]
Downloads (apt-get download) and unpacks (dpkg-deb -x) crowdsec, crowdsec-firewall-bouncer,
sshguard, fail2ban and python3-pyinotify into DIR/<package>; prints DIR.
DIR defaults to $BENCH_PEERS, else ${XDG_CACHE_HOME:-~/.cache}/posse-bench/peers.
Needs Debian 12 (or a relative of it), dpkg-deb and, the first time, the network.
For rg: apt-get install ripgrep. For nft: apt-get install nftables. CrowdSec needs
libsqlite3-0, which Debian installs with Python.
To throw everything away: rm -r DIR.
T
}

case "${1:-}" in -h | --help) usage; exit 0 ;; esac

dir=${1:-${BENCH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/posse-bench/peers}}
mkdir -p "$dir"
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
for package in crowdsec crowdsec-firewall-bouncer sshguard fail2ban python3-pyinotify; do
    [ -e "$dir/$package/.complete" ] && continue
    echo "fetching $package" >&2
    if ! (cd "$work" && apt-get download -qq "$package" 2>"$work/err"); then
        echo "cannot fetch $package: $(tail -1 "$work/err"); try: apt-get update" >&2
        continue
    fi
    rm -rf "${dir:?}/$package"
    mkdir "$work/$package"
    dpkg-deb -x "$work/$package"_*.deb "$work/$package"
    dpkg-deb -f "$work/$package"_*.deb Version >"$work/$package/.complete"
    mv "$work/$package" "$dir/$package"
done
echo "$dir"
