#!/usr/bin/env python3
"""From the write of the line that crosses the threshold to the address in the kernel's set.

    bench/latency.py [--bans 100] [--only NAME,NAME] [--seed 1] [--shared DIR]

Runs each tool live, one after the other, in one network namespace of its own, on one log file:
  posse             posse run --config FILE --state DIR
  sshguard          tail -F | sshg-parser | sshg-blocker | sshg-fw-nft-sets, as its wrapper does
  fail2ban          backend pyinotify, action nftables (Debian's, with python3-pyinotify)
  fail2ban-polling  backend polling (Debian's without it)
  crowdsec          agent and local API 1.4.6, crowdsec-firewall-bouncer 0.0.25 in nftables mode,
                    which asks for news every 10 s

For attacker i all lines but the last are written, a pause of 150 to 350 ms, then the line that
crosses (the 6th for posse and crowdsec, the 5th for fail2ban, the 3rd for sshguard: each tool's
own defaults) with the clock read just before write(2). The next attacker comes 200 to 800 ms
later whether or not the ban is there, so a slow tool does not set its own pace. A raw netlink
socket in the group NFNLGRP_NFTABLES gets NEWSETELEM when the kernel commits the element; the
clock is CLOCK_MONOTONIC on both sides. A ban that comes before its line counts as early, one
that has not come 30 s after the last line as missing.

Needs root, Python 3.9 or newer, util-linux (unshare), iproute2, nftables
(apt-get install python3 util-linux iproute2 nftables). Peers: bench/peers.sh, run by itself.
crowdsec also needs corpora/crowdsec-hub under --shared or $POSSE_SHARED. posse: $POSSE, else
target/dist, target/release (or $CARGO_TARGET_DIR), else the PATH.
Everything runs in namespaces that end with this script, also when it is interrupted.
"""

import argparse
import ipaddress
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
NETLINK_NETFILTER, NFNLGRP_NFTABLES = 12, 7
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, SO_RCVBUFFORCE = 270, 1, 33
NEWSETELEM = (10 << 8) | 12  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWSETELEM
ATTR_ELEMENTS, ATTR_LIST_ELEM, ATTR_KEY, ATTR_VALUE = 3, 1, 1, 1
PATIENCE = 30.0


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def attributes(data):
    """Splits netlink attributes into (type without flags, payload)."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def added_addresses(packet):
    """IPv4 keys of all NEWSETELEM messages in one packet."""
    at = 0
    while at + 20 <= len(packet):
        length, kind = struct.unpack_from("=IH", packet, at)
        if kind == NEWSETELEM:
            for attr, elements in attributes(packet[at + 20 : at + length]):
                if attr == ATTR_ELEMENTS:
                    for item, element in attributes(elements):
                        if item == ATTR_LIST_ELEM:
                            yield from keys(element)
        at += max(16, (length + 3) & ~3)


def keys(element):
    for attr, key in attributes(element):
        if attr == ATTR_KEY:
            for inner, value in attributes(key):
                if inner == ATTR_VALUE and len(value) == 4:
                    yield str(ipaddress.IPv4Address(value))


class Watch(threading.Thread):
    """Notes when each address first appeared in any nf_tables set of this namespace."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = {}
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)

    def run(self):
        while True:
            packet = self.socket.recv(1 << 18)
            now = time.monotonic_ns()
            for address in added_addresses(packet):
                self.seen.setdefault(address, now)


class Attack:
    """Writes sshd's lines as syslogd would: one write(2) each, at the end of the file."""

    def __init__(self, path, rng):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.rng = rng
        self.used = set()

    def address(self):
        while True:
            address = ipaddress.IPv4Address(self.rng.randrange(1 << 24, 224 << 24))
            last = int(address) & 255
            if address.is_global and address not in self.used and last not in (0, 255):
                self.used.add(address)
                return str(address)

    def line(self, address):
        now = time.gmtime()
        stamp = f"{time.strftime('%b', now)} {now.tm_mday:2d} {time.strftime('%H:%M:%S', now)}"
        number, port = self.rng.randrange(1000, 30000), self.rng.randrange(1024, 65536)
        text = f"Failed password for root from {address} port {port} ssh2"
        data = f"{stamp} gw1 sshd[{number}]: {text}\n".encode()
        before = time.monotonic_ns()
        os.write(self.file, data)
        return before

    def cross(self, threshold):
        """One attacker; returns its address and when the line that crosses was written."""
        address = self.address()
        for _ in range(threshold - 1):
            self.line(address)
        time.sleep(self.rng.uniform(0.15, 0.35))
        return address, self.line(address)


class Tools:
    """Starts the tools; every child is in this namespace and ends with it."""

    def __init__(self, options, work):
        self.options, self.work = options, work
        self.log = work / "auth.log"
        self.children = []
        self.peers = pathlib.Path(options.peers)

    def spawn(self, name, *words, **extra):
        environment = {**os.environ, "TZ": "UTC", **extra.pop("env", {})}
        errors = open(self.work / f"{name}.err", "ab")
        stdout = extra.pop("stdout", errors)
        child = subprocess.Popen(
            [str(word) for word in words], stdout=stdout, stderr=errors, env=environment, **extra
        )
        self.children.append(child)
        return child

    def stop(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for child in reversed(self.children):
                if child.poll() is None:
                    child.send_signal(number)
            end = time.monotonic() + 5
            for child in self.children:
                try:
                    child.wait(max(0.01, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass
        self.children.clear()
        subprocess.run(["nft", "flush", "ruleset"], check=False)

    def configure(self, peer, *words):
        command = [HERE / "peerconf.py", peer, "--peers", self.peers, *words]
        done = subprocess.run([str(w) for w in command], capture_output=True, text=True)
        return None if done.returncode == 0 else done.stderr.strip()

    def start_posse(self):
        posse = find_posse()
        if posse is None:
            return "no posse binary: build it (cargo build --release) or set POSSE"
        config = self.work / "posse.toml"
        text = pathlib.Path(self.options.posse_config or HERE / "latency.posse.toml").read_text()
        config.write_text(text.replace("@LOG@", str(self.log)))
        self.spawn("posse", posse, "run", "--config", config, "--state", self.work / "state")
        return None

    def start_sshguard(self):
        tools = self.peers / "sshguard/usr/libexec/sshguard"
        if not tools.is_dir():
            return "package not there (bench/peers.sh)"
        pipe = subprocess.PIPE
        tail = self.spawn("sshguard", tools / "sshg-logtail", self.log, stdout=pipe)
        parser = self.spawn("sshguard", tools / "sshg-parser", stdin=tail.stdout, stdout=pipe)
        blocker = self.spawn(
            "sshguard", tools / "sshg-blocker", "-a", 30, "-p", 120, "-s", 1800,
            stdin=parser.stdout, stdout=pipe,
        )
        self.spawn("sshguard", tools / "sshg-fw-nft-sets", stdin=blocker.stdout)
        for child in (tail, parser, blocker):
            child.stdout.close()
        return None

    def start_fail2ban(self, backend="pyinotify"):
        home = self.work / f"fail2ban-{backend}"
        if not (self.peers / "fail2ban").is_dir():
            return "package not there (bench/peers.sh)"
        words = ("--dir", home, "--backend", backend, "--log", self.log)
        problem = self.configure("fail2ban", *words)
        if problem:
            return problem
        path = ":".join(
            str(self.peers / name / "usr/lib/python3/dist-packages")
            for name in ("fail2ban", "python3-pyinotify")
        )
        server = self.peers / "fail2ban/usr/bin/fail2ban-server"
        words = ("-c", home, "-s", home / "f2b.sock", "-p", home / "f2b.pid", "-f", "start")
        self.spawn("fail2ban", "python3", server, *words, env={"PYTHONPATH": path})
        return None

    def start_crowdsec(self):
        home, shared = self.work / "cs", pathlib.Path(self.options.shared)
        if not (shared / "corpora/crowdsec-hub").is_dir():
            return f"no corpora/crowdsec-hub in {shared}; set POSSE_SHARED"
        words = ("--shared", shared, "--dir", home, "--api", "local", "--log", self.log)
        problem = self.configure("crowdsec", *words)
        problem = problem or self.configure("bouncer", "--dir", home, "--key", "bench")
        if problem:
            return problem
        tools = self.peers / "crowdsec/usr/bin"
        base = [str(tools / "cscli"), "-c", str(home / "config.yaml")]
        for words in (
            ["machines", "add", "bench", "--password", "bench", "--file", "/dev/null", "--force"],
            ["bouncers", "add", "fw", "--key", "bench"],
        ):
            done = subprocess.run(base + words, capture_output=True, text=True)
            if done.returncode:
                return f"cscli {words[0]}: {done.stderr.strip()[-300:]}"
        self.spawn("crowdsec", tools / "crowdsec", "-c", home / "config.yaml")
        if not port_open(8080, 60):
            return "the local API did not come up"
        bouncer = self.peers / "crowdsec-firewall-bouncer/usr/bin/crowdsec-firewall-bouncer"
        self.spawn("bouncer", bouncer, "-c", home / "bouncer.yaml")
        return None


def find_posse():
    root = HERE.parent
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or root / "target")
    found = [os.environ.get("POSSE"), target / "dist/posse", target / "release/posse"]
    for path in [*found, shutil.which("posse")]:
        if path and os.access(path, os.X_OK):
            return path
    return None


def port_open(port, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.2)
    return False


def warm_up(attack, watch, threshold):
    """Attacks until a ban shows that the tool is at work; the first ban is never measured."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        address, _ = attack.cross(threshold)
        pause = time.monotonic() + 1.5
        while time.monotonic() < pause:
            if any(a in watch.seen for a in map(str, attack.used)):
                time.sleep(1.0)
                return True
            time.sleep(0.05)
    return False


def run_tool(tools, watch, name, threshold, bans, rng):
    """Milliseconds of each ban, or why there are none."""
    tools.log.write_bytes(b"")
    attack = Attack(tools.log, rng)
    starters = {
        "posse": tools.start_posse,
        "sshguard": tools.start_sshguard,
        "fail2ban": tools.start_fail2ban,
        "fail2ban-polling": lambda: tools.start_fail2ban("polling"),
        "crowdsec": tools.start_crowdsec,
    }
    try:
        problem = starters[name]()
        if problem:
            return None, problem
        time.sleep(2)
        if not warm_up(attack, watch, threshold):
            return None, f"banned nobody in 60 s; see {name}.err (--keep DIR)"
        written = []
        for number in range(bans):
            written.append(attack.cross(threshold))
            time.sleep(rng.uniform(0.2, 0.8))
            if (number + 1) % 25 == 0:
                say(f"{name}: {number + 1} of {bans} attackers")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and any(a not in watch.seen for a, _ in written):
            time.sleep(0.1)
        times = [(watch.seen[a] - at) / 1e6 for a, at in written if a in watch.seen]
        return {"ms": times, "missing": bans - len(times)}, None
    finally:
        tools.stop()
        os.close(attack.file)


def percentile(values, share):
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * len(ordered)) // 100) - 1)]


def table(results):
    base = results.get("posse")
    base = percentile(base["ms"], 50) if base and base["ms"] else None
    print(f"\nload average at the end {os.getloadavg()[0]:.2f}; milliseconds")
    head = ("tool", "line", "bans", "missing", "early", "p50", "p90", "p99", "max", "p50/posse")
    print("{:18}{:>5}{:>6}{:>9}{:>7}{:>10}{:>10}{:>10}{:>10}{:>11}".format(*head))
    for name, result in results.items():
        good = [ms for ms in result["ms"] if ms >= 0]
        if not good:
            continue
        cells = "".join(f"{percentile(good, p):>10.2f}" for p in (50, 90, 99, 100))
        ratio = f"{percentile(good, 50) / base:.1f}x" if base else "-"
        print(
            f"{name:18}{THRESHOLDS[name]:>5}{len(good):>6}{result['missing']:>9}"
            f"{len(result['ms']) - len(good):>7}{cells}{ratio:>11}"
        )


THRESHOLDS = {"posse": 6, "sshguard": 3, "fail2ban": 5, "fail2ban-polling": 5, "crowdsec": 6}


def inside(options):
    """The measurement itself, within the namespaces."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    work = pathlib.Path(options.work)
    watch = Watch()
    watch.start()
    tools, results = Tools(options, work), {}
    for number, name in enumerate(THRESHOLDS):
        if name not in options.only:
            continue
        say(f"{name}: starting")
        watch.seen.clear()
        rng = random.Random(options.seed * 1000 + number)
        result, problem = run_tool(tools, watch, name, THRESHOLDS[name], options.bans, rng)
        if problem:
            say(f"!!! SKIPPED: {name}: {problem}")
        else:
            results[name] = result
    (work / "latency.json").write_text(json.dumps(results))
    if not results:
        sys.exit("nothing was measured")
    table(results)


def outside(options):
    """Makes the namespaces and sees that they and the work folder go."""
    if os.geteuid() != 0:
        sys.exit("error: must run as root: it makes network namespaces")
    for tool, package in (("unshare", "util-linux"), ("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(tool) is None:
            sys.exit(f"error: no {tool}; try: apt-get install {package}")
    found = subprocess.run([HERE / "peers.sh"], stdout=subprocess.PIPE, text=True, check=True)
    work = tempfile.mkdtemp(prefix="posse-bench.")
    os.chmod(work, 0o755)
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    words += [sys.executable, __file__, *sys.argv[1:], "--work", work]
    words += ["--peers", found.stdout.strip()]
    child = subprocess.Popen(words)

    def interrupted(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    code = 130
    try:
        code = child.wait()
    except KeyboardInterrupt:
        pass
    finally:
        child.kill()
        child.wait()
        if options.keep:
            shutil.copytree(work, options.keep, dirs_exist_ok=True, ignore=ignore_sockets)
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


def ignore_sockets(folder, names):
    return [n for n in names if not (os.path.isfile(p := f"{folder}/{n}") or os.path.isdir(p))]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bans", type=int, default=100)
    parser.add_argument("--only", default=",".join(THRESHOLDS), help="names, with commas")
    parser.add_argument("--seed", type=int, default=1)
    shared = os.environ.get("POSSE_SHARED") or HERE.parent.parent / "shared"
    parser.add_argument("--shared", default=shared)
    parser.add_argument("--posse-config", help="a file in which @LOG@ stands for the log")
    parser.add_argument("--keep", help="copy logs, configurations and raw times there")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--peers", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    unknown = set(options.only) - set(THRESHOLDS)
    if unknown or options.bans < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "at least one ban")
    inside(options) if options.work else outside(options)


if __name__ == "__main__":
    main()
