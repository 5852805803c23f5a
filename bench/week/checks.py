"""What a week must have left behind, against the truth."""

import ipaddress

MIB = 1 << 20
# Growth of resident memory over a week that is still called flat.
RSS_GROWTH_MIB_MAX = 48.0
RSS_MIB_MAX = 512.0
HANDLES_MAX = 200


def judge(traffic, site, options):
    rows = [
        ("lines read", *lines_read(traffic, site)),
        ("attackers found", *found(traffic, site)),
        ("quiet addresses banned", *quiet_banned(traffic, site)),
        ("memory flat", *memory(traffic, site)),
        ("descriptors", *handles(site)),
        ("files bounded", *files(traffic, site)),
        ("operator's orders", *orders(site)),
        ("entries lost", *losses(site)),
        ("ledger verifies", *verified(site)),
    ]
    if site.in_kernel is not None:
        rows.insert(3, ("kernel holds the bans", *kernel(site)))
    said = site.said
    print(f"{options.days:g} days, {traffic.lines} lines, {len(traffic.attackers)} attackers, "
          f"{len(traffic.quiet)} quiet addresses in {site.seconds:.0f} s: {said['kills']} kills, "
          f"{said['restarts']} restarts, {said['reloads']} reloads, {said['rotations']} rotations")
    width = max(len(name) for name, _, _ in rows)
    for name, held, text in rows:
        print(f"  {'ok  ' if held else 'FAIL'}  {name:<{width}}  {text}")
    notices = ", ".join(f"{code} {n}" for code, n in sorted(site.notices.items()))
    print(f"  notices: {notices or 'none'}")
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
    known = {str(ipaddress.ip_network(p)) for p in site.last_bans}
    held = {str(ipaddress.ip_network(p)) for p in site.in_kernel}
    return known == held, f"{len(held)} in the set, {len(known)} in force"


def slope(points):
    """Least squares: growth for each unit of x."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def memory(traffic, site):
    """Over the last run, which is the last third of the week, without its first quarter."""
    last = site.samples[-1]["pid"]
    run = [(s["step"], s["rss"]) for s in site.samples if s["pid"] == last]
    run = run[len(run) // 4:]
    growth = slope(run) * traffic.steps if len(run) > 2 else 0.0
    most = max(s["rss"] for s in site.samples)
    held = growth < RSS_GROWTH_MIB_MAX and most < RSS_MIB_MAX
    return held, (f"{run[0][1]:.1f} to {run[-1][1]:.1f} MiB in the last run, slope "
                  f"{growth:+.1f} MiB a week; most {most:.1f} MiB")


def handles(site):
    most = max(s["handles"] for s in site.samples)
    return most < HANDLES_MAX, f"at most {most}"


def files(traffic, site):
    """The state folder in the last third is not larger than it once was in the first two."""
    totals = [(s["step"], sum(s["files"].values())) for s in site.samples]
    early = max(size for step, size in totals if step <= traffic.steps * 2 / 3)
    late = max(size for step, size in totals)
    names = sorted(site.samples[-1]["files"].items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {size / MIB:.1f}" for name, size in names if size > MIB / 10)
    held = late <= early * 1.10 + 4 * MIB
    return held, f"most {late / MIB:.1f} MiB, {early / MIB:.1f} by two thirds; at the end {shown}"


def orders(site):
    wrong = [o for o in site.orders if not o[2]]
    return not wrong, f"{len(site.orders)} given, {len(wrong)} not carried out {wrong[:2] or ''}"


def losses(site):
    record = site.last_status["recorder"]
    return record["lost"] == 0 and record["paused"] is None, f"{record['lost']} lost"


def verified(site):
    answer = site.command("ledger", "verify")
    return answer.returncode == 0, (answer.stdout.strip() or answer.stderr.strip())[:120]
