"""What a busy server's logs say in a week, and the truth about it.

Three logs: auth (sshd), access (nginx) and mail (postfix, dovecot), in steps of half a minute.
Ordinary traffic is made from blocks that come again every half hour with other times, so that
millions of lines cost next to nothing; attackers are made one by one. The same arguments always
give the same lines.
"""

import datetime
import ipaddress
import random

STEP = 30
BLOCKS = 64
SHARES = {"access": 0.75, "auth": 0.13, "mail": 0.12}
PAGES = ["/", "/about", "/blog/", "/blog/first", "/products", "/contact", "/cart", "/api/items"]
ASSETS = ["/css/site.css", "/js/app.js", "/img/logo.png", "/favicon.ico", "/fonts/sans.woff2"]
BROWSERS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36",
]
STAFF = ["admin1", "backup", "deploy", "git", "monitor", "ops1", "report"]
GUESSES = ["admin", "oracle", "test", "ubuntu", "guest", "ftpuser", "pi", "hadoop", "jenkins"]
GONE = ["/.env", "/.git/config", "/old.zip", "/backup.sql", "/phpinfo.php", "/config.bak",
        "/server-status", "/admin.php", "/shell.php", "/test.php", "/wp-config.php.bak",
        "/vendor/phpunit/x.php", "/cgi-bin/x", "/solr/x", "/login.action", "/owa/x"]
# Half a minute's date stands as these in a block; `tens` is the first digit of the seconds.
DAY, MINUTE = b"\x01DDD\x01", b"\x02MMM\x02"
TENS = [b"\x03", b"\x04", b"\x05"]
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Addresses:
    """Distinct public IPv4 addresses. Quiet ones and attackers never share a /16, so that a
    range banned for its attackers says nothing about the quiet."""

    def __init__(self, rng):
        self.rng, self.seen = rng, set()

    def take(self, parity):
        while True:
            number = self.rng.randrange(1 << 24, 224 << 24)
            address = ipaddress.IPv4Address(number)
            odd = (number >> 16) & 1
            if odd != parity or number & 255 in (0, 255) or number in self.seen:
                continue
            if address.is_global and not address in ipaddress.IPv4Network("192.88.99.0/24"):
                self.seen.add(number)
                return str(address)


def stamp(log, second):
    """A time within the step, to be filled in; `second` counts from the step's beginning."""
    tens, ones = divmod(int(second), 10)
    clock = f"{chr(3 + tens)}{ones}"
    if log == "access":
        return f"{DAY.decode()}:{MINUTE.decode()}:{clock} +0000"
    return f"{DAY.decode()}T{MINUTE.decode()}:{clock}.{int(second * 1e6) % 1000000:06}+00:00"


def access(second, address, verb, path, status, agent, size=512):
    when = stamp("access", second)
    return f'{address} - - [{when}] "{verb} {path} HTTP/1.1" {status} {size} "-" "{agent}"\n'


def sshd(second, pid, text):
    return f"{stamp('auth', second)} gw1 sshd[{pid}]: {text}\n"


def mail(second, program, text):
    return f"{stamp('mail', second)} mx1 {program}: {text}\n"


def quiet_access(rng, second, address):
    path = rng.choice(PAGES if rng.random() < 0.4 else ASSETS)
    status = 304 if rng.random() < 0.2 else 200
    return access(second, address, "GET", path, status, rng.choice(BROWSERS), rng.randrange(9000))


def quiet_auth(rng, second, address):
    pid, port, user = rng.randrange(800, 60000), rng.randrange(1024, 65536), rng.choice(STAFF)
    return sshd(second, pid, rng.choice([
        f"Accepted publickey for {user} from {address} port {port} ssh2: ED25519 SHA256:abcdef",
        f"pam_unix(sshd:session): session opened for user {user}(uid=1001) by (uid=0)",
        f"pam_unix(sshd:session): session closed for user {user}",
        f"Received disconnect from {address} port {port}:11: disconnected by user",
        f"Disconnected from user {user} {address} port {port}",
    ]))


def quiet_mail(rng, second, address):
    number, host = rng.randrange(1000, 9999), "mail.example.net"
    return rng.choice([
        mail(second, f"postfix/smtpd[{number}]", f"connect from {host}[{address}]"),
        mail(second, f"postfix/qmgr[{number}]", "4bXk2Q0Zn3z1: removed"),
        mail(second, f"postfix/smtpd[{number}]", f"disconnect from {host}[{address}] ehlo=2 "
             "starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7"),
        mail(second, "dovecot", "imap-login: Login: user=<info@example.com>, method=PLAIN, "
             f"rip={address}, lip=192.0.2.1, mpid={number}, TLS, session=<x>"),
    ])


def mistake(rng, second, address):
    """(log, line) of what people do wrong now and then: mistype, follow an old link."""
    pid, port = rng.randrange(800, 60000), rng.randrange(1024, 65536)
    kind = rng.randrange(3)
    if kind == 0:
        user = rng.choice(STAFF)
        return "auth", sshd(second, pid, f"Failed password for {user} from {address} port {port} "
                            "ssh2")
    if kind == 1:
        return "mail", mail(second, f"postfix/submission/smtpd[{pid}]", "warning: "
                            f"mail.example.net[{address}]: SASL PLAIN authentication failed: "
                            "authentication failure, sasl_username=info@example.com")
    return "access", access(second, address, "GET", "/moved/page", 404, BROWSERS[0])


QUIET = {"access": quiet_access, "auth": quiet_auth, "mail": quiet_mail}


def hostile_line(style, rng, second, address, guess, victim):
    """(log, line) of one act of an attacker."""
    pid, port = rng.randrange(800, 60000), rng.randrange(1024, 65536)
    if style in ("ssh_fast", "ssh_slow", "ssh_drip"):
        text = f"Failed password for root from {address} port {port} ssh2"
        return "auth", sshd(second, pid, text)
    if style == "ssh_names":
        text = f"Invalid user {GUESSES[guess % len(GUESSES)]} from {address} port {port}"
        return "auth", sshd(second, pid, text)
    if style == "ssh_forger":
        name = f"root from {victim} port 22 ssh2"
        text = f"Failed password for invalid user {name} from {address} port {port} ssh2"
        return "auth", sshd(second, pid, text)
    if style == "web_scan":
        path = GONE[guess % len(GONE)]
        return "access", access(second, address, "GET", path, 404, "curl/8.5.0")
    if style == "web_login":
        return "access", access(second, address, "POST", "/wp-login.php", 200, BROWSERS[0])
    if style == "mail_guess":
        text = (f"warning: unknown[{address}]: SASL LOGIN authentication failed: "
                "authentication failure, sasl_username=info@example.com")
        return "mail", mail(second, f"postfix/smtpd[{pid}]", text)
    text = (f"imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 2 secs) "
            f"(auth_failed): user=<root@example.org>, method=PLAIN, rip={address}, "
            "lip=192.0.2.1, TLS, session=<x>")
    return "mail", mail(second, "dovecot", text)


# Style: (share of the attackers, acts, seconds between two, must be found).
STYLES = {
    "ssh_fast": (0.25, 14, 2.0, True),
    "ssh_slow": (0.10, 30, 60.0, True),
    "ssh_names": (0.10, 12, 3.0, True),
    "ssh_forger": (0.05, 12, 2.0, True),
    "web_scan": (0.20, 16, 1.5, True),
    "web_login": (0.10, 14, 3.0, True),
    "mail_guess": (0.08, 12, 3.0, True),
    "imap_guess": (0.07, 14, 3.0, True),
    "ssh_drip": (0.05, 5, 900.0, False),
}


class Traffic:
    """Every line of the week, by step; `attackers` and `quiet` are the truth."""

    def __init__(self, seed, start, days, lines, attackers, quiet):
        self.rng, self.start = random.Random(seed), start
        self.steps = max(1, int(days * 86400 / STEP))
        addresses = Addresses(self.rng)
        self.quiet = [addresses.take(0) for _ in range(quiet)]
        self.attackers, self.events, self.single = {}, {}, 0
        for style, (share, *_) in STYLES.items():
            for _ in range(max(1, round(attackers * share))):
                self.plan(style, addresses.take(1))
        for address in self.quiet:
            self.err(address)
        per_step = max(4, (lines - self.single) / self.steps)
        self.blocks = {log: self.make_blocks(log, per_step * part) for log, part in SHARES.items()}
        self.lines = 0

    def plan(self, style, address):
        """One attacker: once, or again some hours later."""
        _, acts, gap, must = STYLES[style]
        rng, span = self.rng, self.steps * STEP
        room = acts * gap * 1.4 + STEP
        first = rng.uniform(0, max(1.0, span - room))
        starts = [first]
        if rng.random() < 0.3:
            starts.append(first + room + rng.uniform(3600, 86400))
        begun = None
        for start in starts:
            at = start
            if at + room > span and at != first:
                break
            for guess in range(acts):
                step, second = divmod(at, STEP)
                log, line = hostile_line(style, rng, second, address, guess,
                                         rng.choice(self.quiet))
                self.events.setdefault(int(step), {}).setdefault(log, []).append(line.encode())
                self.single += 1
                begun = at if begun is None else begun
                at += gap * rng.uniform(0.6, 1.4)
        whole = first + room <= span
        self.attackers[address] = {"style": style, "from": begun, "must": must and whole}

    def err(self, address):
        """Every few hours one mistake, in the hours when this one is awake."""
        at = self.rng.uniform(0, 36000)
        while at < self.steps * STEP:
            step, second = divmod(at, STEP)
            log, line = mistake(self.rng, second, address)
            self.events.setdefault(int(step), {}).setdefault(log, []).append(line.encode())
            self.single += 1
            at += self.rng.uniform(4 * 3600, 20 * 3600)

    def make_blocks(self, log, lines):
        rng, blocks = self.rng, []
        for number in range(BLOCKS):
            count = int(lines * (number + 1)) - int(lines * number)
            seconds = sorted(rng.uniform(0, STEP) for _ in range(count))
            text = "".join(QUIET[log](rng, s, rng.choice(self.quiet)) for s in seconds)
            blocks.append((text.encode(), count))
        return blocks

    def time(self, step):
        return self.start + datetime.timedelta(seconds=step * STEP)

    def probe(self, number, address):
        """An attack at the step's beginning, for the auth log, and its number of lines."""
        when = self.time(number).strftime("%Y-%m-%dT%H:%M:%S")
        lines = [f"{when}.{n:06}+00:00 gw1 sshd[700]: Failed password for root from {address} "
                 f"port {40000 + n} ssh2\n" for n in range(8)]
        self.lines += len(lines)
        return "".join(lines).encode(), len(lines)

    def step(self, number):
        """The bytes that each log gets in this step, and the number of lines."""
        moment = self.time(number)
        tens = [str(moment.second // 10 + n).encode() for n in range(3)]
        clock = moment.strftime("%H:%M").encode()
        out, total = {}, 0
        hostile = self.events.pop(number, {})
        for log, blocks in self.blocks.items():
            text, count = blocks[number % BLOCKS]
            more = hostile.get(log, ())
            text += b"".join(more)
            total += count + len(more)
            day = f"{moment.day:02}/{MONTHS[moment.month - 1]}/{moment.year}" \
                if log == "access" else moment.strftime("%Y-%m-%d")
            text = text.replace(DAY, day.encode()).replace(MINUTE, clock)
            for mark, digit in zip(TENS, tens):
                text = text.replace(mark, digit)
            out[log] = text
        self.lines += total
        return out, total
