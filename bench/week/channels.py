"""The week's alert channels: a webhook that dies and comes back, mail that nobody takes, a pager."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 30.0
# What the documents promise of a channel's queue.
MESSAGES_MAX = 128
QUEUE_BYTES_MAX = 4 << 20
# A tcpmux service is nowhere.
CLOSED_PORT = 1
# A kill -9 may cost or double what the grouping had not yet handed to the disk, and double a
# backlog that is just becoming one message. The clock runs so fast here that this is minutes.
BEFORE_KILL_SECONDS = 15 * 60
# A ban that waited for a channel would be later by the channel's timeout, a second.
SLOWER_MAX = 0.1
CONFIG = """
[[alerts.channel]]
kind = "webhook"
name = "hook"
url = "http://127.0.0.1:{port}/hook"
secret_file = "{secret}"
min_severity = "info"
timeout = "1s"

[[alerts.channel]]
kind = "email"
name = "mail"
host = "127.0.0.1"
port = {closed}
tls = "none"
from = "posse@example.net"
to = ["admin@example.net"]
min_severity = "info"

[[alerts.channel]]
kind = "command"
name = "pager"
run = ["/bin/sh", "-c", "cat >> {pager}; echo >> {pager}"]
min_severity = "high"
group_for = "0"
"""


class Channels:
    def __init__(self, folder, inside, environment):
        """`inside` is what runs a program where the guard runs."""
        self.state = folder / "state" / "alerts"
        self.told, self.secret = folder / "hook.jsonl", folder / "hook.secret"
        self.pages = folder / "pager"
        self.pages.mkdir()
        self.told.touch()
        self.secret.write_text("a secret of the week\n")
        self.secret.chmod(0o600)
        here = Path(__file__).resolve().parent
        self.hook = subprocess.Popen(
            [*inside, sys.executable, here / "hook.py", self.secret, self.told],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.port = int(self.hook.stdout.readline())
        self.mode, self.most, self.stretches, self.kills = "alive", {}, [], []

    def config(self):
        return CONFIG.format(port=self.port, secret=self.secret, closed=CLOSED_PORT,
                             pager=self.pages / "pages")

    def turn(self, mode, alerts, status):
        """`alerts`: those on the ledger so far."""
        if mode == self.mode:
            return
        if mode == "alive":
            # A small week is so quick that nothing would have failed yet.
            failed = self.wait_failed(status)
            begun = self.stretches[-1]
            begun.update(alerts=alerts - begun["alerts"], failed=failed,
                         before=len(self.messages()))
        else:
            self.stretches.append({"mode": mode, "alerts": alerts})
        self.hook.stdin.write(mode + "\n")
        self.hook.stdin.flush()
        if self.hook.stdout.readline() != "ok\n":
            raise SystemExit("the webhook's far end ended")
        self.mode = mode

    def killed(self, moment, status):
        waiting = channel(status, "hook").get("queued_alerts", 0)
        self.kills.append((moment.timestamp(), waiting))

    def wait_failed(self, status):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            hook = channel(status(), "hook")
            if hook["last_error"]:
                return hook["last_error"]
            time.sleep(0.05)
        return None

    def sample(self):
        """The longest queues there were, in messages and bytes."""
        for queue in self.state.glob("queue-*"):
            files = sizes(queue)
            messages = sum(name != "held.json" for name in files)
            most = self.most.get(queue.name, (0, 0))
            self.most[queue.name] = (max(most[0], messages), max(most[1], sum(files.values())))

    def messages(self):
        with open(self.told, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def pages_told(self):
        try:
            text = (self.pages / "pages").read_text(encoding="utf-8")
        except OSError:
            return []
        pages = []
        for line in text.splitlines():
            try:
                pages.append(json.loads(line))
            except ValueError:
                # The guard was killed while it wrote.
                pass
        return pages

    def end(self):
        if self.hook.poll() is None:
            try:
                self.hook.communicate("end\n", timeout=5)
            except (OSError, subprocess.TimeoutExpired):
                self.hook.kill()
                self.hook.wait()


def sizes(folder):
    found = {}
    for path in folder.iterdir():
        try:
            found[path.name] = path.stat().st_size
        except FileNotFoundError:
            # It was sent meanwhile.
            pass
    return found


def channel(status, name):
    known = (status or {}).get("channels", [])
    return next((c for c in known if c["name"] == name), {"last_error": None})


# ---------------------------------------------------------------- what must have come of it


def rows(site, options):
    channels = site.channels
    messages = channels.messages()
    return [
        ("webhook told all", *told(site, messages)),
        ("digests", *digests(messages, options)),
        ("messages are right", *right(messages)),
        ("backlog grouped", *grouped(channels, messages)),
        ("queues bounded", *bounded(channels)),
        ("dead mail visible", *dead_mail(site)),
        ("others were told", *down(channels)),
        ("bans not slower", *probes(site)),
    ]


def told(site, messages):
    """At least once, and a message that came twice has the same id both times."""
    once = {m["id"]: m["counts"].get("alerts", 0) for m in messages if m["kind"] == "news"}
    count, twice = sum(once.values()), len(messages) - len({m["id"] for m in messages})
    fewer, more = 0, 0
    for kill, waiting in site.channels.kills:
        fresh = sum(0 <= kill - at <= BEFORE_KILL_SECONDS for at in site.alert_times)
        fewer, more = fewer + fresh, more + fresh + waiting
    alerts = len(site.alert_times)
    text = (f"{count} alerts in {len(once)} messages, {alerts} on the ledger; kill -9 excuses "
            f"{fewer} fewer, {more} more; {twice} messages came twice")
    return alerts - fewer <= count <= alerts + more, text


def digests(messages, options):
    """One each day, also of the days when nobody took it; the week begins at midnight."""
    count = len({m["id"] for m in messages if m["kind"] == "digest"})
    return int(options.days) <= count <= int(options.days) + 1, f"{count}"


def right(messages):
    wrong = [m["wrong"] for m in messages if m["wrong"]]
    return bool(messages) and not wrong, f"{len(messages)} parsed, {len(wrong)} wrong {wrong[:1]}"


def grouped(channels, messages):
    """When the webhook lives again, most of what waited comes in the first message."""
    held, texts = True, []
    for stretch in channels.stretches:
        after = [m for m in messages[stretch["before"]:] if m["kind"] == "news"]
        first = after[0]["counts"]["alerts"] if after else 0
        held = held and bool(stretch["failed"]) and first > 1 and first * 2 >= stretch["alerts"]
        texts.append(f"{stretch['mode']}: {first} of {stretch['alerts']} in the first message")
    return held and len(texts) == 2, "; ".join(texts)


def bounded(channels):
    # While a message takes the place of others, both are there.
    held = all(count <= MESSAGES_MAX + 1 and size <= 2 * QUEUE_BYTES_MAX
               for count, size in channels.most.values())
    texts = (f"{name[6:]} {count} messages, {size / 1024:.0f} KiB"
             for name, (count, size) in sorted(channels.most.items()))
    return held and bool(channels.most), "at most " + ", ".join(texts)


def dead_mail(site):
    mail = channel(site.last_status, "mail")
    held = bool(mail["last_error"]) and mail["sent"] == 0 and mail["failed"] > 0 \
        and mail["queued"] > 0 and mail["dropped"] == 0
    return held, (f"{mail.get('failed')} tries failed, {mail.get('queued_alerts')} alerts in "
                  f"{mail.get('queued')} messages wait, {mail.get('dropped')} dropped")


def down(channels):
    """Of the mail that is never taken, and of the webhook that is dead for long."""
    text = " ".join(page["text"] for page in channels.pages_told()
                    if any(rule["name"] == "channel_down" for rule in page["rules"]))
    missing = [name for name in ("mail", "hook") if f"alerts by {name} have failed" not in text]
    return not missing, f"by {len(channels.pages_told())} pages; not of {missing}" if missing \
        else f"by {len(channels.pages_told())} pages, of mail and hook"


def probes(site):
    """From a line written to its ban decided, in this machine's time."""
    took = {}
    for mode, seconds in site.probes:
        took.setdefault(mode, []).append(seconds)
    middle = {mode: statistics.median(times) for mode, times in took.items()}
    held = len(took) == 3 and max(middle.values()) <= 2 * middle["alive"] + SLOWER_MAX
    return held, "; ".join(
        f"{mode} {middle[mode] * 1e3:.1f} ms (most {max(times) * 1e3:.1f} of {len(times)})"
        for mode, times in sorted(took.items()))
