"""The machine of the week: its logs, its guard, and the clock that both go by."""

import datetime
import ipaddress
import json
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from channels import Channels

PATIENCE = 60.0
LOGS = {"auth": ("auth.log", "syslog"), "access": ("access.log", "nginx"),
        "mail": ("mail.log", "syslog")}
CONFIG = """\
{sources}
[ban]
duration = "{duration}"

[never_ban]
allow = ["198.51.100.10"]

[ledger]
keep = "{keep}"

[sandbox]
mode = "{sandbox}"
write = ["{pages}"]
{channels}"""


def same(bans, in_kernel):
    """Whether these bans are what the kernel holds; a narrower one in a wider one need not be."""
    if in_kernel is None:
        return True
    known = [ipaddress.ip_network(p) for p in bans]
    held = {ipaddress.ip_network(p) for p in in_kernel}
    return held == set(known)


def seconds(text):
    """Of a time in UTC (RFC 3339), without fractions."""
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()


class Clock:
    """The wall clock of the processes that load the shared object."""

    def __init__(self, folder):
        here = Path(__file__).resolve().parent
        self.library, self.path = folder / "moved_clock.so", folder / "clock"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", self.library,
                        here / "moved_clock.c"], check=True)
        self.path.write_bytes(bytes(16))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 16)

    def set(self, moment):
        nanos = int(moment.timestamp()) * 1_000_000_000
        self.page[:] = struct.pack("qq", nanos, time.monotonic_ns())

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "MOVED_CLOCK": str(self.path)}


class Site:
    def __init__(self, folder, posse, enforce, sandbox):
        self.folder, self.posse = folder, str(Path(posse).resolve())
        self.state, self.logs = folder / "state", folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.clock = Clock(folder)
        self.sandbox = "auto" if sandbox else "off"
        self.files = {}
        for log in LOGS:
            self.files[log] = open(self.log(log), "ab", buffering=0)
        self.guard, self.channels = None, None
        self.net = self.namespace() if enforce else None
        self.inside = ["ip", "netns", "exec", self.net] if self.net else []
        self.channels = Channels(folder, self.inside, self.clock.environment())
        self.config()
        self.begun = time.monotonic()
        self.expected = 0
        self.samples, self.said = [], {"restarts": 0, "kills": 0, "reloads": 0, "rotations": 0}
        self.orders = []
        self.entries_seen, self.alerted, self.banned, self.notices = 0, {}, {}, {}
        self.ever_banned, self.alert_times, self.probes = set(), [], []

    # ------------------------------------------------------------ files

    def log(self, name):
        return self.logs / LOGS[name][0]

    def write(self, texts, count):
        for log, text in texts.items():
            view = memoryview(text)
            while view:
                view = view[self.files[log].write(view):]
        self.expected += count

    def rotate_by_rename(self):
        for log in ("auth", "mail"):
            path = self.log(log)
            path.replace(path.with_suffix(".log.1"))
            self.files[log].close()
            self.files[log] = open(path, "ab", buffering=0)
        self.said["rotations"] += 2

    def rotate_by_copy(self):
        path = self.log("access")
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)
        self.said["rotations"] += 1

    def config(self, broken=False):
        sources = "".join(
            f'[[source]]\nfile = "{self.log(log)}"\ntype = "{kind}"\nstart = "beginning"\n'
            for log, (_, kind) in LOGS.items()
        )
        text = CONFIG.format(sources=sources, duration="4h", keep="36h",
                             sandbox=self.sandbox, pages=self.channels.pages,
                             channels=self.channels.config())
        (self.folder / "posse.toml").write_text(text + ("\n[nonsense]\n" if broken else ""))

    # ------------------------------------------------------------ the guard

    def namespace(self):
        name = f"posse-week-{os.getpid()}"
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
        if made.returncode:
            print("note: no network namespace (root and iproute2 are needed): observing only")
            return None
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        return name

    def start(self, moment):
        self.clock.set(moment)
        mode = [] if self.net else ["--observe"]
        self.guard = subprocess.Popen(
            [*self.inside, self.posse, "run", "--config", self.folder / "posse.toml", "--state",
             self.state, *mode],
            env=self.clock.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.folder / "guard.stderr", "ab"),
        )
        end = time.monotonic() + PATIENCE
        while self.status() is None:
            if time.monotonic() > end or self.guard.poll() is not None:
                raise SystemExit(f"the guard did not start; see {self.folder}/guard.stderr")
            time.sleep(0.01)
        self.settle()

    def settle(self):
        """After a start it reads what waited; from there on lines are counted."""
        quiet, last = 0, -1
        while quiet < 4:
            lines = self.lines()
            quiet = quiet + 1 if lines == last else 0
            last = lines
            time.sleep(0.02)
        self.expected = last

    def stop(self):
        self.guard.send_signal(signal.SIGTERM)
        code = self.guard.wait(PATIENCE)
        if code not in (0, 3):
            raise SystemExit(f"the guard ended with {code}; see {self.folder}/guard.stderr")
        self.said["restarts"] += 1

    def kill(self, moment):
        self.channels.killed(moment, self.status())
        self.guard.kill()
        self.guard.wait()
        self.said["kills"] += 1

    def reload(self, broken):
        self.config(broken=broken)
        self.read_record()
        code = "reload_failed" if broken else "reloaded"
        before = self.notices.get(code, 0)
        self.guard.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        # It is done beside the guard's thread; only the record says when.
        while self.notices.get(code, 0) == before and time.monotonic() < end:
            time.sleep(0.05)
            self.read_record()
        self.config()
        self.said["reloads"] += 1
        self.settle()

    def move(self, moment):
        self.clock.set(moment)

    def ask(self, request):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(self.state / "control.sock"))
            line.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                more = line.recv(1 << 16)
                if not more:
                    break
                answer += more
        return json.loads(answer)

    def status(self):
        try:
            return self.ask({"do": "status"})["status"]
        except (OSError, ValueError, KeyError):
            return None

    def lines(self):
        status = self.status()
        return status["engine"]["lines"] if status else -1

    def wait_read(self):
        end = time.monotonic() + PATIENCE
        while (lines := self.lines()) < self.expected:
            if time.monotonic() > end:
                raise SystemExit(f"{self.expected} lines were written, {lines} read")
            time.sleep(0.0005)

    # ------------------------------------------------------------ the operator

    def command(self, *words):
        return subprocess.run([self.posse, *words, "--state", self.state], capture_output=True,
                              text=True, env=self.clock.environment(), check=False)

    def order(self, rng):
        """Unbans someone, bans someone else."""
        bans = self.bans()
        if bans:
            released = rng.choice(bans)
            self.command("unban", released)
            self.orders.append(("unban", released, released not in self.bans()))
        wanted = f"203.0.113.{rng.randrange(1, 255)}"
        self.command("ban", wanted, "--for", "2h")
        self.orders.append(("ban", wanted, wanted in self.bans()))

    def bans(self):
        answer = self.command("bans", "--json").stdout
        return [json.loads(line)["prefix"] for line in answer.splitlines()]

    def read_record(self):
        """What is new on the ledger: who was alerted on, banned, and what was noticed."""
        while True:
            answer = self.command("ledger", "show", str(self.entries_seen), "--limit", "20000")
            rows = [json.loads(line) for line in answer.stdout.splitlines()]
            if not rows:
                return
            for row in rows:
                self.take(row)
            self.entries_seen = rows[-1]["index"] + 1

    def take(self, row):
        entry = row.get("entry") or {}
        kind = entry.get("kind")
        if kind == "alert":
            self.alert_times.append(seconds(entry["last"]))
            self.alerted.setdefault(entry["value"], entry["rule"])
        elif kind == "decision":
            self.ever_banned.add(entry["prefix"])
        elif kind == "notice":
            code = entry["code"]
            self.notices[code] = self.notices.get(code, 0) + 1

    # ------------------------------------------------------------ measuring

    def rss_mib(self):
        try:
            with open(f"/proc/{self.guard.pid}/status", encoding="ascii") as file:
                for line in file:
                    if line.startswith("VmRSS"):
                        return int(line.split()[1]) / 1024
        except OSError:
            pass
        return 0.0

    def sample(self, step):
        sizes = {p.name: p.stat().st_size for p in self.state.iterdir() if p.is_file()}
        handles = len(os.listdir(f"/proc/{self.guard.pid}/fd"))
        self.samples.append({"step": step, "pid": self.guard.pid, "rss": self.rss_mib(),
                             "files": sizes, "handles": handles,
                             "ahead": self.lines() - self.expected})
        self.read_record()
        self.channels.sample()

    def turn(self, mode):
        """The webhook's far end, from now on."""
        self.read_record()
        self.channels.turn(mode, len(self.alert_times), self.status)

    def probe(self, text, count):
        """How long an attack takes to be a ban, in this machine's time."""
        before = self.status()["policy"]["bans"]
        begun = time.monotonic()
        self.write({"auth": text}, count)
        while self.status()["policy"]["bans"] == before:
            if time.monotonic() - begun > PATIENCE:
                raise SystemExit("an attack was not answered")
        self.probes.append((self.channels.mode, time.monotonic() - begun))
        self.wait_read()

    def finish(self, moment):
        """The kernel counts down by its own clock: what the moved one has ended is taken out when
        the guard next compares, which it does every minute."""
        self.move(moment)
        self.wait_read()
        end = time.monotonic() + 10
        while True:
            moment += datetime.timedelta(seconds=50)
            self.move(moment)
            time.sleep(1.2)
            self.last_bans = sorted(self.bans())
            self.in_kernel = self.kernel_set() if self.net else None
            if same(self.last_bans, self.in_kernel) or time.monotonic() > end:
                break
        self.last_status = self.status()
        self.stop()
        self.said["restarts"] -= 1
        self.read_record()
        self.seconds = time.monotonic() - self.begun

    def kernel_set(self):
        listed = subprocess.run(["ip", "netns", "exec", self.net, "nft", "-j", "list", "table",
                                 "inet", "posse"], capture_output=True, text=True, check=False)
        found = []
        for row in json.loads(listed.stdout or "{}").get("nftables", []):
            for element in row.get("set", {}).get("elem", []):
                value = element["elem"]["val"] if "elem" in element else element
                if isinstance(value, dict):
                    value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
                found.append(value)
        return sorted(found)

    def clean(self, keep):
        if self.guard and self.guard.poll() is None:
            self.guard.kill()
            self.guard.wait()
        if self.channels:
            self.channels.end()
        if self.net:
            subprocess.run(["ip", "netns", "del", self.net], check=False)
        if keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
