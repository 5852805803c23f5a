#!/usr/bin/env bash
# The trust simulation: three rules against poisoners. See bench/trust.md.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
    cat <<'T'
usage: bench/trust.sh [--seeds 1,2,3] [--held-out 201,202] [--turned] [--time]
Plays 1,000 members over thirty measured days (after thirty that are not) with each poisoner under
each rule, and prints wrongly banned address-hours and attack-hours let through. Same seeds, same
table, on every machine. --turned turns what the world is made of, one at a time; --time measures
one verdict instead. Needs cargo; a few minutes on one core. $SIMULATE names a ready binary.
T
    exit 0
    ;;
--time)
    exec cargo run --quiet --release -p trust --example verdict_time
    ;;
esac
if [ -n "${SIMULATE:-}" ]; then
    exec "$SIMULATE" "$@"
fi
exec cargo run --quiet --release -p trust --example simulate -- "$@"
