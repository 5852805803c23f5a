#!/usr/bin/env python3
"""Write a realistic OpenSSH log and the truth about it.

    bench/sshd_log.py --lines 1000000 --out auth.log --truth truth.json

Needs Python 3.9 or newer and nothing else (apt-get install python3). The same arguments
always give the same two files, byte for byte.

The log is what Debian 12 writes to auth.log: sshd, CRON, sudo, systemd-logind, in order of
time. By default 30 % of the lines come from 5,000 attackers; the rest is daily work, in which
people mistype a password now and then and a monitoring host knocks at the port.

Styles of attackers
  fast      guesses passwords every 1 to 4 seconds
  enum      tries user names, one a connection, every 2 to 6 seconds
  slow      one guess every 20 to 40 seconds: too slow for the first threshold
  drip      one guess every 3 to 10 minutes: below every threshold
  oneoff    one or two failures hours apart, never seen again
  injector  only with --inject: user names that read "root from <benign address>"

Truth
  An "attempt" is one refused guess: one line "Failed password for ...".
  A "failure line" is any line in which sshd says that an authentication failed:
    Failed <method> for ... | Invalid user ... | pam_unix(sshd:auth): authentication failure; ...
    Connection closed by authenticating|invalid user ... [preauth]
    Disconnected from authenticating|invalid user ... [preauth]
  One attempt makes one to four failure lines, and tools differ in what they count, so both are
  simulated. Two thresholds: "bf" = capacity 5, leak 10 s; "slow" = capacity 10, leak 60 s.
  The bucket of one address, at a failure at time t (the time as written in the log):
    level = max(0, level - (t - last) / leak);  last = t
    if level + 1 > capacity: it crosses, at t     (so 6, or 11, at once cross)
    else: level = level + 1
  "crosses" is "yes" if a threshold is crossed counting attempts only (then it is also crossed
  counting all failure lines), "no" if none is crossed counting all failure lines, and "either"
  in between: there a tool may be right both ways.
"""

import argparse
import datetime
import heapq
import ipaddress
import json
import random
import sys

THRESHOLDS = {"bf": (5, 10.0), "slow": (10, 60.0)}
SHARES = {"fast": 0.22, "enum": 0.16, "slow": 0.16, "drip": 0.08, "oneoff": 0.38}
STAFF = (
    "admin1 admin2 ansible backup build ci cron1 dba deploy dev1 dev2 dev3 dev4 etl git mirror "
    "monitor ops1 ops2 ops3 release report rsync stage"
).split()
KNOWN_TARGETS = ["root", "backup", "git", "www-data", "daemon", "mysql"]
GUESSES = (
    "admin test user ubuntu oracle postgres guest ftpuser pi hadoop jenkins nagios tomcat "
    "support centos ec2-user minecraft steam teamspeak dev devops docker elastic es zabbix "
    "vagrant ansible1 administrator info sales www web webmaster server student teacher demo "
    "svn redis kafka spark solr odoo gitlab-runner nexus sonar mongodb vnc debian linaro "
    "ts3 csgo sinusbot ubnt cisco Admin a test1 test2 user1 user2 temp usuario operator"
).split()
COMMANDS = (
    "/usr/bin/apt-get update|/usr/bin/systemctl restart nginx|/usr/bin/journalctl -u nginx -n 50|"
    "/usr/bin/tail -f /var/log/syslog|/usr/sbin/nft list ruleset|/usr/bin/docker ps|"
    "/usr/bin/rsync -a /srv/www/ /srv/backup/www/|/usr/bin/cat /var/log/auth.log"
).split("|")
CLOSE_BY, DISCONNECT_BY, SILENT = "close", "disconnect", "silent"
LOGIND = -512


class Log:
    """Collects (time, sequence, program, pid, text) and failures by address."""

    def __init__(self, rng):
        self.rng = rng
        self.rows = []
        self.next_pid = 0

    def pid(self):
        """A mark for one process; its number is given out when the log is put in order."""
        self.next_pid += 1
        return self.next_pid

    def add(self, at, program, pid, text, source=None, kind=None):
        self.rows.append((at, len(self.rows), program, pid, text, source, kind))


class Addresses:
    """Distinct addresses from the public unicast space of IPv4."""

    def __init__(self, rng):
        self.rng = rng
        self.seen = set()

    def take(self):
        while True:
            address = ipaddress.IPv4Address(self.rng.randrange(1 << 24, 224 << 24))
            last = int(address) & 255
            if address in self.seen or last in (0, 255) or not address.is_global:
                continue
            if address in ipaddress.IPv4Network("192.88.99.0/24"):
                continue  # deprecated 6to4 relays, RFC 7526
            self.seen.add(address)
            return str(address)


def attempt(log, at, address, user, known, ending, tries=1):
    """One connection with `tries` refused guesses; returns the time it ended."""
    rng, pid, port = log.rng, log.pid(), log.rng.randrange(1024, 65536)
    tail = f"{user} from {address} port {port}"
    if not known:
        log.add(at, "sshd", pid, f"Invalid user {tail}", address, "line")
    for number in range(tries):
        if not known:
            log.add(at + 0.001, "sshd", pid, "pam_unix(sshd:auth): check pass; user unknown")
        if number == 0:
            whom = f"  user={user}" if known else ""
            log.add(
                at + 0.002,
                "sshd",
                pid,
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh "
                f"ruser= rhost={address}{whom}",
                address,
                "line",
            )
        at += rng.uniform(1.3, 2.6)  # pam_unix waits before it says no
        invalid = "" if known else "invalid user "
        log.add(at, "sshd", pid, f"Failed password for {invalid}{tail} ssh2", address, "attempt")
        at += rng.uniform(0.05, 0.5)
    state = "authenticating" if known else "invalid"
    if tries == 6:
        whom = user if known else f"invalid user {user}"
        log.add(at, "sshd", pid, "error: maximum authentication attempts exceeded for "
                f"{whom} from {address} port {port} ssh2 [preauth]")
        log.add(at + 0.001, "sshd", pid, f"Disconnecting {state} user {user} {address} port "
                f"{port}: Too many authentication failures [preauth]")
    elif ending == CLOSE_BY:
        text = f"Connection closed by {state} user {user} {address} port {port} [preauth]"
        log.add(at, "sshd", pid, text, address, "line")
    elif ending == DISCONNECT_BY:
        bye = f"Received disconnect from {address} port {port}:11: Bye Bye [preauth]"
        log.add(at, "sshd", pid, bye)
        text = f"Disconnected from {state} user {user} {address} port {port} [preauth]"
        log.add(at + 0.001, "sshd", pid, text, address, "line")
    if tries > 1:
        more = f"{tries - 1} more authentication failure" + ("s" if tries > 2 else "")
        whom = f"  user={user}" if known else ""
        log.add(at + 0.002, "sshd", pid, f"PAM {more}; logname= uid=0 euid=0 tty=ssh ruser= "
                f"rhost={address}{whom}")
    if tries > 3:
        text = f"PAM service(sshd) ignoring max retries; {tries} > 3"
        log.add(at + 0.003, "sshd", pid, text)
    return at


def target(rng, known_share):
    if rng.random() < known_share:
        return rng.choice(KNOWN_TARGETS), True
    return rng.choice(GUESSES), False


def attack(log, style, address, start, guesses, victim=None):
    """Adds `guesses` connections of one attacker and returns when it stopped."""
    rng, at = log.rng, start
    ending = rng.choice([CLOSE_BY, DISCONNECT_BY, DISCONNECT_BY])
    for _ in range(guesses):
        if style == "fast":
            user, known = target(rng, 0.6)
            tries = rng.choice([1, 1, 1, 1, 1, 1, 1, 1, 3, 6])
            at = attempt(log, at, address, user, known, ending, tries) + rng.uniform(0.1, 1.5)
        elif style == "enum":
            at = attempt(log, at, address, rng.choice(GUESSES), False, ending)
            at += rng.uniform(1.0, 3.5)
        elif style == "slow":
            attempt(log, at, address, "root", True, SILENT)
            at += rng.uniform(20.0, 40.0)
        elif style == "drip":
            attempt(log, at, address, "root", True, ending)
            at += rng.uniform(180.0, 600.0)
        elif style == "oneoff":
            user, known = target(rng, 0.5)
            attempt(log, at, address, user, known, ending)
            at += rng.uniform(3600.0, 14400.0)
        else:
            attempt(log, at, address, f"root from {victim}", False, SILENT)
            at += rng.uniform(0.5, 2.0)
    return at


def hostile(log, styles, wanted, span, benign, inject):
    """All attackers; those of style "fast" share what is left of the wanted lines."""
    rng = log.rng
    plan = {"enum": (12, 40), "slow": (24, 60), "drip": (3, 12), "oneoff": (1, 2)}
    for address, style in styles.items():
        if style in plan:
            low, high = plan[style]
            room = {"slow": 2500.0, "drip": 7200.0, "oneoff": 14500.0}.get(style, 400.0)
            start = rng.uniform(0, max(1.0, span - room))
            attack(log, style, address, start, rng.randint(low, high))
        elif style == "injector":
            attack(log, style, address, rng.uniform(0, span * 0.9), 20, rng.choice(benign))
    fast = [address for address, style in styles.items() if style == "fast"]
    weights = [rng.paretovariate(1.3) for _ in fast]
    left = max(0, wanted - len(log.rows))
    # lines one connection of this style makes, found by counting
    per_guess = 6.9
    for address, weight in zip(fast, weights):
        share = max(8, int(left / per_guess * weight / sum(weights)))
        most = max(8, int(span * 0.8 / 4.0))
        start = rng.uniform(0, max(1.0, span - min(share, most) * 4.0))
        attack(log, "fast", address, start, min(share, most))
    while fast and len(log.rows) < wanted - 8:
        start = rng.uniform(0, span * 0.95)
        attack(log, "fast", rng.choice(fast), start, min(30, 1 + (wanted - len(log.rows)) // 8))


def login(log, at, address, user, session):
    """A person's or a machine's session, some with one or two mistyped passwords first."""
    rng, pid, port = log.rng, log.pid(), log.rng.randrange(1024, 65536)
    uid = 1000 + STAFF.index(user)
    by_key = rng.random() < 0.8
    if not by_key and rng.random() < 0.15:
        for number in range(rng.choice([1, 1, 1, 2])):
            if number == 0:
                log.add(
                    at,
                    "sshd",
                    pid,
                    "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh "
                    f"ruser= rhost={address}  user={user}",
                    address,
                    "line",
                )
            at += rng.uniform(1.5, 2.6)
            text = f"Failed password for {user} from {address} port {port} ssh2"
            log.add(at, "sshd", pid, text, address, "attempt")
            at += rng.uniform(3.0, 9.0)
    how = "publickey" if by_key else "password"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    key = "".join(rng.choices(alphabet, k=43))
    proof = f": ED25519 SHA256:{key}" if by_key else ""
    log.add(at, "sshd", pid, f"Accepted {how} for {user} from {address} port {port} ssh2{proof}")
    opened = f"session opened for user {user}(uid={uid}) by (uid=0)"
    log.add(at + 0.01, "sshd", pid, f"pam_unix(sshd:session): {opened}")
    log.add(at + 0.03, "systemd-logind", LOGIND, f"New session {session} of user {user}.")
    at += 1
    for _ in range(rng.choice([0, 0, 1, 2]) if by_key else 1):
        at += rng.uniform(2, 200)
        sudo(log, at, user, uid)
    at += rng.expovariate(1 / 300.0)
    bye = f"Received disconnect from {address} port {port}:11: disconnected by user"
    child = log.pid()
    log.add(at, "sshd", child, bye)
    log.add(at + 0.001, "sshd", child, f"Disconnected from user {user} {address} port {port}")
    log.add(at + 0.002, "sshd", pid, f"pam_unix(sshd:session): session closed for user {user}")
    text = f"Session {session} logged out. Waiting for processes to exit."
    log.add(at + 0.01, "systemd-logind", LOGIND, text)
    log.add(at + 0.02, "systemd-logind", LOGIND, f"Removed session {session}.")


def sudo(log, at, user, uid):
    command = log.rng.choice(COMMANDS)
    what = f"{user:>8} : TTY=pts/{log.rng.randrange(6)} ; PWD=/home/{user} ; USER=root ; "
    log.add(at, "sudo", None, f"{what}COMMAND={command}")
    opened = f"session opened for user root(uid=0) by {user}(uid={uid})"
    log.add(at + 0.005, "sudo", None, f"pam_unix(sudo:session): {opened}")
    at += log.rng.uniform(0.1, 4.0)
    log.add(at, "sudo", None, "pam_unix(sudo:session): session closed for user root")


def daily_work(log, wanted, span, benign):
    """Cron every minute, monitoring knocks, and sessions until the wanted lines are there."""
    rng = log.rng
    users = {address: rng.choice(STAFF) for address in benign}
    monitors = benign[: max(1, len(benign) // 400)]
    end = len(log.rows) + wanted
    minutes = int(span // 60)
    step = max(1, minutes * 4 // max(1, wanted // 4))  # cron is at most a quarter of the lines
    for minute in range(0, minutes, step):
        pid, at = log.pid(), minute * 60 + 1.0 + rng.random() * 0.1
        opened = "session opened for user root(uid=0) by (uid=0)"
        log.add(at, "CRON", pid, f"pam_unix(cron:session): {opened}")
        at += rng.uniform(0.05, 3.0)
        log.add(at, "CRON", pid, "pam_unix(cron:session): session closed for user root")
        if minute % 5 == 0:
            knock, at, pid = monitors[minute // 5 % len(monitors)], at + 9, log.pid()
            text = "kex_exchange_identification: Connection closed by remote host"
            log.add(at, "sshd", pid, f"error: {text}")
            text = f"Connection closed by {knock} port {rng.randrange(1024, 65536)}"
            log.add(at + 0.001, "sshd", pid, text)
    # One address mistypes at most once in ten minutes: people do not brute-force themselves.
    free_at = [(rng.uniform(0, span / 4), index) for index in range(len(benign))]
    heapq.heapify(free_at)
    sessions = max(1, (end - len(log.rows)) // 10)
    gap = max(600.0, span * len(benign) / sessions * 0.97)
    number = 0
    while len(log.rows) < end:
        start, index = heapq.heappop(free_at)
        if start > span - 700:
            start = rng.uniform(0, span - 700)
            login_key_only(log, start, benign[index], users[benign[index]])
            heapq.heappush(free_at, (span, index))
            continue
        number += 1
        login(log, start, benign[index], users[benign[index]], number)
        heapq.heappush(free_at, (start + gap * rng.uniform(0.7, 1.3), index))
    del log.rows[end:]


def login_key_only(log, at, address, user):
    """A script that logs in by key: never fails, so it may come at any time."""
    rng, pid, port = log.rng, log.pid(), log.rng.randrange(1024, 65536)
    log.add(at, "sshd", pid, f"Accepted publickey for {user} from {address} port {port} ssh2: RSA "
            "SHA256:" + "".join(rng.choices("ABCDEFabcdef0123456789+/", k=43)))
    at += rng.uniform(0.5, 20)
    log.add(at, "sshd", pid, f"pam_unix(sshd:session): session closed for user {user}")


def simulate(times, capacity, leak):
    """The leaky bucket of the module's text; returns the time of the first crossing or None."""
    level, last = 0.0, None
    for at in times:
        if last is not None:
            level = max(0.0, level - (at - last) / leak)
        last = at
        if level + 1 > capacity:
            return at
        level += 1
    return None


def crossing(times):
    found = [(simulate(times, *THRESHOLDS[name]), name) for name in THRESHOLDS]
    return min((hit for hit in found if hit[0] is not None), default=None)


def judge(attempts, lines, start):
    by_attempts, by_lines = crossing(attempts), crossing(lines)
    verdict = "yes" if by_attempts else ("either" if by_lines else "no")
    when = by_attempts or by_lines
    return {
        "attempts": len(attempts),
        "failure_lines": len(lines),
        "crosses": verdict,
        "threshold": when[1] if when else None,
        "crosses_at": (start + datetime.timedelta(seconds=when[0])).isoformat() if when else None,
    }


def write_log(log, path, start, fmt, host, end):
    """Writes in order of time; returns the written times of failures by address."""
    log.rows.sort()
    failures, shift, numbers, number = {}, datetime.timedelta, {LOGIND: 512}, 700
    with open(path, "w", encoding="ascii") as out:
        for at, _, program, pid, text, source, kind in log.rows:
            at = min(max(at, 0.0), end)
            moment = start + shift(seconds=at)
            if fmt == "rfc3339":
                at = round(at, 6)
                stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
            else:
                at = float(int(at))
                stamp = f"{moment.strftime('%b')} {moment.day:2d} {moment.strftime('%H:%M:%S')}"
            if pid is not None and pid not in numbers:
                number = number + 1 + pid % 7 if number < 4194000 else 1000
                numbers[pid] = number
            tag = program if pid is None else f"{program}[{numbers[pid]}]"
            out.write(f"{stamp} {host} {tag}: {text}\n")
            if source is not None:
                attempts, lines = failures.setdefault(source, ([], []))
                lines.append(at)
                if kind == "attempt":
                    attempts.append(at)
    return failures


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--attackers", type=int, help="default: 5000, or lines/200 if fewer")
    parser.add_argument("--benign", type=int, help="benign addresses; default: lines/200, 20..4000")
    parser.add_argument("--hostile-share", type=float, default=0.30)
    parser.add_argument("--inject", type=int, default=0, help="attackers of style injector")
    parser.add_argument("--hours", type=float, default=24.0, help="length of the recording")
    parser.add_argument("--start", default="2026-03-02T00:00:00", help="UTC, ISO 8601")
    parser.add_argument("--format", choices=["traditional", "rfc3339"], default="traditional")
    parser.add_argument("--host", default="gw1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="auth.log")
    parser.add_argument("--truth", default="truth.json")
    options = parser.parse_args()
    if options.lines < 2000 or options.hours < 6:
        parser.error("needs at least 2000 lines and 6 hours")
    return options


def main():
    options = arguments()
    rng = random.Random(options.seed)
    addresses, log = Addresses(rng), Log(rng)
    count = options.attackers or min(5000, max(10, options.lines // 200))
    quiet = options.benign or min(4000, max(20, options.lines // 200))
    benign = [addresses.take() for _ in range(quiet)]
    styles = {}
    for style, share in SHARES.items():
        for _ in range(round(count * share)):
            styles[addresses.take()] = style
    for _ in range(options.inject):
        styles[addresses.take()] = "injector"
    span = options.hours * 3600.0
    print(f"attackers {len(styles)}, benign addresses {quiet}", file=sys.stderr)
    hostile(log, styles, int(options.lines * options.hostile_share), span, benign, options.inject)
    hostile_lines = len(log.rows)
    print(f"hostile lines {hostile_lines}", file=sys.stderr)
    daily_work(log, options.lines - hostile_lines, span, benign)
    start = datetime.datetime.fromisoformat(options.start)
    failures = write_log(log, options.out, start, options.format, options.host, span + 86400)
    none = ([], [])
    attackers = {
        address: {"style": style, **judge(*failures.get(address, none), start)}
        for address, style in styles.items()
    }
    quiet_ones = {a: judge(*failures.get(a, none), start)["crosses"] for a in benign}
    loud = [address for address, verdict in quiet_ones.items() if verdict != "no"]
    if loud:
        sys.exit(f"benign addresses that would cross a threshold: {loud[:5]}; change --seed")
    truth = {
        "lines": len(log.rows),
        "hostile_lines": hostile_lines,
        "seed": options.seed,
        "format": options.format,
        "thresholds": {k: {"capacity": c, "leak_s": s} for k, (c, s) in THRESHOLDS.items()},
        "attackers": attackers,
        "benign": benign,
    }
    with open(options.truth, "w", encoding="ascii") as out:
        json.dump(truth, out, indent=1)
    tally = {}
    for entry in attackers.values():
        key = (entry["style"], entry["crosses"])
        tally[key] = tally.get(key, 0) + 1
    for (style, verdict), number in sorted(tally.items()):
        print(f"  {style:9} crosses={verdict:7} {number}", file=sys.stderr)


if __name__ == "__main__":
    main()
