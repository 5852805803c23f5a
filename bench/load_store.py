#!/usr/bin/env python3
"""`posse run` on a state folder full of bans: how long until the kernel has them, and what then.

    bench/load_store.py POSSE STATE LOG [--singles 100] [--idle 5] [--seed 1]

To be run in a network namespace of its own whose firewall is empty (bench/load_bans.sh does so).
Prints one line of JSON:

load_s      from the start of the process to its word that it enforces, which it gives after the
            kernel's last answer and after its own memory of the bans is complete
rss_mib     peak resident set until then; rss_after_mib what is resident then
cpu_s       user + system seconds until then
singles_ms  from write(2) of the line that crosses a threshold to the kernel's notification that
            the address is in the set, one attacker at a time
ban_ms      the same attackers by the program's own clock: from the decision to the kernel's answer
idle_cpu_s  user + system seconds over --idle seconds in which nothing happens
stop_s      from SIGTERM to the end; the bans stay in the kernel

Needs Python 3.9 or newer and root.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import latency

CONFIG = """\
[never_ban]
bans_max = 4000000
bans_per_minute = 100000
[[source]]
file = {log}
type = "syslog"
start = "end"
"""
THRESHOLD = 6
PATIENCE = 10.0


class Guard:
    def __init__(self, posse, state, log):
        self.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        self.config.write(CONFIG.format(log=json.dumps(str(log))))
        self.config.flush()
        words = [posse, "run", "--json", "--config", self.config.name, "--state", state]
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        self.own_ms = []
        threading.Thread(target=self.listen, daemon=True).start()

    def wait(self):
        """Seconds until it enforces."""
        for line in self.process.stderr:
            if "ENFORCING" in line:
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return time.monotonic() - self.started
            if "OBSERVE" in line:
                sys.exit(f"error: {line.strip()}")
        sys.exit("error: posse ended before it enforced")

    def listen(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "ban" and "in_kernel" in event:
                self.own_ms.append(seconds(event["in_kernel"]) - seconds(event["from"]))

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        before = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return time.monotonic() - before


def seconds(text):
    """The seconds of a point in time, within its minute; enough for a difference."""
    clock = text.split("T")[1].rstrip("Z").split(":")
    return (int(clock[0]) * 3600 + int(clock[1]) * 60 + float(clock[2])) * 1e3


def singles(watch, log, number, rng):
    attack = latency.Attack(log, rng)
    times, missing = [], 0
    for _ in range(number):
        address = attack.address()
        for _ in range(THRESHOLD - 1):
            attack.line(address)
        time.sleep(rng.uniform(0.02, 0.06))
        written = attack.line(address)
        end = time.monotonic() + PATIENCE
        while address not in watch.seen and time.monotonic() < end:
            time.sleep(0.002)
        if address in watch.seen:
            times.append((watch.seen[address] - written) / 1e6)
        else:
            missing += 1
    return times, missing


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("posse")
    parser.add_argument("state")
    parser.add_argument("log")
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--idle", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    log = pathlib.Path(options.log)
    log.write_bytes(b"")
    guard = Guard(options.posse, options.state, log)
    result = {"load_s": guard.wait(), "cpu_s": guard.cpu()}
    result.update(rss_mib=guard.status("VmHWM:"), rss_after_mib=guard.status("VmRSS:"))
    # Only now: the kernel would have to tell the watcher of each element of the load.
    watch = latency.Watch()
    watch.start()
    time.sleep(1)
    before = guard.cpu()
    time.sleep(options.idle)
    result["idle_cpu_s"] = guard.cpu() - before
    # Not the generator that chose the bans: it would name addresses that are banned already.
    rng = random.Random(f"attackers {options.seed}")
    times, missing = singles(watch, log, options.singles + 1, rng)
    # The first one warms code and caches that no guard has cold for long.
    result.update(singles_ms=times[1:], missing=missing, ban_ms=guard.own_ms[1:])
    result["stop_s"] = guard.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
