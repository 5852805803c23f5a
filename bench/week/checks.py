"""What a week must have left behind, against the truth."""

import ipaddress

import channels
from machine import same

MIB = 1 << 20
# Growth of resident memory over a week that is still called flat.
RSS_GROWTH_MIB_MAX = 48.0
RSS_MIB_MAX = 512.0
HANDLES_MAX = 200
LEDGER_BYTES_MAX = 256 * MIB
JOURNAL_BYTES_MAX = 128 * MIB
# While old entries are erased, what changes is in the write-ahead log.
WAL_BYTES_MAX = 256 * MIB
# Troubles that last are told of every six hours, and this clock looks like one that is set.
NOTICES_A_DAY_MAX = 40


def judge(traffic, site, options):
    rows = [
        ("lines read", *lines_read(traffic, site)),
        ("attackers found", *found(traffic, site)),
        ("quiet addresses banned", *quiet_banned(traffic, site)),
        ("memory flat", *memory(traffic, site)),
        ("descriptors", *handles(site)),
        ("files bounded", *files(traffic, site, options)),
        ("operator's orders", *orders(site)),
        ("entries lost", *losses(site)),
        ("ledger verifies", *verified(site)),
        ("notices few", *notices(site, options)),
    ]
    rows += channels.rows(site, options)
    if site.in_kernel is not None:
        rows.insert(3, ("kernel holds the bans", *kernel(site)))
    said = site.said
    print(f"{options.days:g} days, {traffic.lines} lines, {len(traffic.attackers)} attackers, "
          f"{len(traffic.quiet)} quiet addresses in {site.seconds:.0f} s: {said['kills']} kills, "
          f"{said['restarts']} restarts, {said['reloads']} reloads, {said['rotations']} rotations")
    width = max(len(name) for name, _, _ in rows)
    for name, held, text in rows:
        print(f"  {'ok  ' if held else 'FAIL'}  {name:<{width}}  {text}")
    told = ", ".join(f"{code} {n}" for code, n in sorted(site.notices.items()))
    print(f"  notices: {told or 'none'}")
    return all(held for _, held, _ in rows)


def lines_read(traffic, site):
    dropped = sum(s["dropped"] + s["truncated"] for s in site.last_status["sources"])
    unread = site.last_status["engine"]["lines"] < site.expected
    return dropped == 0 and not unread, f"{traffic.lines} written, {dropped} dropped or cut"


def covered(address, prefixes):
    one = ipaddress.ip_address(address)
    return any(one in net for net in prefixes)


def networks(prefixes):
    return [ipaddress.ip_network(p) for p in prefixes if ":" not in p]


def found(traffic, site):
    wide = [n for n in networks(site.ever_banned) if n.prefixlen < 32]
    must = [a for a, truth in traffic.attackers.items() if truth["must"]]
    missed = [a for a in must if a not in site.ever_banned and not covered(a, wide)]
    styles = sorted({traffic.attackers[a]["style"] for a in missed})
    text = f"{len(must) - len(missed)} of {len(must)}"
    return not missed, text + (f"; missed {missed[:3]} ({', '.join(styles)})" if missed else "")


def quiet_banned(traffic, site):
    wide = [n for n in networks(site.ever_banned) if n.prefixlen < 32]
    hit = [a for a in traffic.quiet if a in site.ever_banned or covered(a, wide)]
    return not hit, f"{len(hit)} of {len(traffic.quiet)} {hit[:3] if hit else ''}"


def kernel(site):
    held = same(site.last_bans, site.in_kernel)
    return held, f"{len(site.in_kernel)} in the set, {len(site.last_bans)} in force"


def slope(points):
    """Least squares: growth for each unit of x."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def memory(traffic, site):
    """Over the last run, which is the last third of the week, without its first third."""
    last = site.samples[-1]["pid"]
    run = [(s["step"], s["rss"]) for s in site.samples if s["pid"] == last]
    run = run[len(run) // 3:]
    growth = slope(run) * (run[-1][0] - run[0][0]) if len(run) > 2 else 0.0
    most = max(s["rss"] for s in site.samples)
    held = growth < RSS_GROWTH_MIB_MAX and most < RSS_MIB_MAX
    return held, (f"{run[0][1]:.1f} to {run[-1][1]:.1f} MiB in the last run, slope "
                  f"{growth:+.1f} MiB in all; most {most:.1f} MiB")


def handles(site):
    most = max(s["handles"] for s in site.samples)
    return most < HANDLES_MAX, f"at most {most}"


def files(traffic, site, options):
    """The ledger keeps payloads for a day and a half here: it is no larger in the last third than
    it was before, but for the leaves. All other files have bounds of their own."""
    most = {}
    for sample in site.samples:
        for name, size in sample["files"].items():
            most[name] = max(size, most.get(name, 0))
    ledger = [(s["step"], s["files"].get("ledger.db", 0)) for s in site.samples]
    early = max(size for step, size in ledger if step <= traffic.steps * 2 / 3)
    late = max(size for _, size in ledger)
    long_enough = options.days >= 5
    held = not long_enough or late <= early * 1.15 + 2 * MIB
    held = held and all(size <= bound(name) for name, size in most.items())
    names = sorted(most.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {size / MIB:.1f}" for name, size in names if size > MIB / 10)
    after = f"; ledger.db {early / MIB:.1f} by two thirds" if long_enough else ""
    return held, f"at most {shown} MiB{after}"


def bound(name):
    if name == "ledger.db":
        return LEDGER_BYTES_MAX
    return JOURNAL_BYTES_MAX if name.startswith("intake.journal") else WAL_BYTES_MAX


def orders(site):
    wrong = [o for o in site.orders if not o[2]]
    return not wrong, f"{len(site.orders)} given, {len(wrong)} not carried out {wrong[:2] or ''}"


def notices(site, options):
    """What it says of itself must be few enough to be read."""
    count = sum(site.notices.values())
    most = int(NOTICES_A_DAY_MAX * max(options.days, 0.5)) + 20
    return count <= most, f"{count}, at most {most}"


def losses(site):
    record = site.last_status["recorder"]
    return record["lost"] == 0 and record["paused"] is None, f"{record['lost']} lost"


def verified(site):
    answer = site.command("ledger", "verify")
    return answer.returncode == 0, (answer.stdout.strip() or answer.stderr.strip())[:120]
