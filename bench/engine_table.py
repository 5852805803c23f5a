#!/usr/bin/env python3
"""Print the table of bench/engine from the files it left in a folder.

    bench/engine_table.py DIR

Needs Python 3.9 or newer. Reads DIR/done, the truths, and for every tool its costs for one line
(start-up) and for the whole file, and what it printed.
"""

import ipaddress
import json
import pathlib
import re
import sys


# What the engine is to reach: how many times the tool's lines per CPU-second.
WANTED = {("sshd", "crowdsec"): 200, ("nginx", "crowdsec"): 500, ("sshd", "sshguard"): 6,
          ("sshd", "fail2ban"): 30}
ADDRESS = re.compile(r"^[0-9a-f.:]+$")
# A whitelist's own networks, and the lists that it looks a source's address up in.
NETWORK = re.compile(r"^\s+-\s+['\"]?([0-9a-fA-F:]*[.:][0-9a-fA-F.:]*(?:/\d+)?)['\"]?\s*$", re.M)
LISTED = re.compile(r"File\('([^']+)'\), *\{[^}]*IpInRange|Source\.IP in File\('([^']+)'\)")
FOLDERS = {"posse": "{}.common", "crowdsec": "{}.common", "posse-collection": "{}.collection",
           "posse-hub": "hub"}


def named(folder, file, tool):
    """The addresses that a tool raised an alert about."""
    if tool.startswith("posse"):
        text = (folder / f"{file}.{tool}.full.out").read_text()
        items = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
        values = (i.get("address") or i.get("value") for i in items if i.get("remediation", True))
        return {value for value in values if value and ADDRESS.match(value)}
    lines = (folder / f"{file}.{tool}.alerts").read_text().splitlines()
    return {line.split("\t")[1] for line in lines}


MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def last_time(folder, file, count, truth):
    """The time of the last line a tool was given, in the truth's spelling."""
    log = folder / (f"{file}.log" if count == truth["lines"] else f"{file}.{count}.log")
    with open(log, "rb") as lines:
        lines.seek(-8192, 2)
        line = lines.read().decode().splitlines()[-1]
    if file == "nginx":
        day, month, year, clock = re.search(r"\[(\d+)/(\w+)/(\d+):(\S+)", line).groups()
        return f"{year}-{MONTHS.index(month) + 1:02d}-{day}T{clock}"
    day = next(e["crosses_at"] for e in truth["attackers"].values() if e["crosses_at"])[:8]
    return f"{day}{int(line[4:6]):02d}T{line[7:15]}"


def networks(texts):
    for text in texts:
        try:
            yield ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            pass


def whitelists(rules):
    """(name, networks) of the whitelists of addresses in a rules folder, read without Posse."""
    places = [*rules.glob("parsers/*/*/*.y*ml"), *rules.glob("postoverflows/*/*/*.y*ml")]
    for path in sorted(places):
        text = path.read_text()
        # Those that also ask for something else than the address are not told apart here: they
        # excuse an address only if it is in their networks.
        if "\nwhitelist:" not in text:
            continue
        listed = [rules / "data" / (a or b) for a, b in LISTED.findall(text)]
        lines = [line for f in listed if f.is_file() for line in f.read_text().splitlines()]
        found = list(networks(NETWORK.findall(text) + lines))
        if found:
            yield f"{path.parent.name}/{path.stem}", found


def excused(folder, file, tool, addresses):
    """Which of the addresses the tool's own rules say never to report, by whitelist."""
    rules = folder / FOLDERS.get(tool, "").format(file)
    for name, nets in whitelists(rules) if tool in FOLDERS else ():
        inside = {a for a in addresses if any(ipaddress.ip_address(a) in net for net in nets)}
        if inside:
            yield name, inside


def judge(folder, file, tool, count, truth):
    found, until = named(folder, file, tool), last_time(folder, file, count, truth)
    attackers, benign = truth["attackers"], set(truth["benign"])
    due = {a for a, entry in attackers.items()
           if entry["crosses"] == "yes" and entry["crosses_at"] < until}
    below = {a for a, entry in attackers.items() if entry["crosses"] == "no"}
    listed, notes = set(), ""
    for name, inside in excused(folder, file, tool, due):
        listed |= inside
        notes += f"; whitelisted by {name}: {', '.join(sorted(inside))}"
        notes += f" ({len(inside & found)} reported all the same)" if inside & found else ""
    due -= listed
    return (f"{len(due & found)} of {len(due)} due; missed {len(due - found)}{notes}; "
            f"benign {len(found & benign)}; below threshold {len(found & below)}")


def print_file(folder, file, rows):
    truth = json.loads((folder / f"{file}.truth.json").read_text())
    print(f"\n{file}: {truth['lines']} lines, {truth['hostile_lines']} hostile, seed "
          f"{truth['seed']}; start-up = CPU seconds for one line, included in CPU\n")
    head = ("tool", "lines", "CPU s", "start-up", "wall s", "RSS MiB", "lines/CPU-s", "posse is",
            "memory", "wanted")
    print("{:17}{:>9}{:>9}{:>9}{:>9}{:>9}{:>13}{:>10}{:>9}{:>9}".format(*head))
    speed = {tool: count / full["cpu_s"] for tool, count, _, full in rows if full["cpu_s"]}
    memory = {tool: full["rss_mib"] for tool, _, _, full in rows}
    for tool, count, one, full in rows:
        base = "posse-fail2ban" if tool == "fail2ban" and "posse-fail2ban" in speed else "posse"
        ratio = f"{speed[base] / speed[tool]:.2f}x" if base in speed and tool in speed else "-"
        less = f"1/{full['rss_mib'] / memory[base]:.1f}" if memory.get(base) else "-"
        goal = f"{WANTED[file, tool]}x" if (file, tool) in WANTED else ""
        note = f"  exit {full['exit']}" if full["exit"] else ""
        print(f"{tool:17}{count:>9}{full['cpu_s']:>9.2f}{one['cpu_s']:>9.2f}{full['wall_s']:>9.2f}"
              f"{full['rss_mib']:>9.1f}{speed.get(tool, 0):>13,.0f}{ratio:>10}{less:>9}{goal:>9}"
              f"{note}")
    for tool, count, _, _ in rows:
        if tool.startswith("posse") or tool == "crowdsec":
            print(f"{tool}: attackers {judge(folder, file, tool, count, truth)}")
    costs = {tool: full["cpu_s"] - one["cpu_s"] for tool, _, one, full in rows}
    if costs.get("posse-collection") and costs.get("posse-hub"):
        times = costs["posse-hub"] / costs["posse-collection"]
        print(f"the whole hub costs {times:.2f} times what its collection costs, after start-up")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    folder = pathlib.Path(sys.argv[1])
    rows = {}
    for line in (folder / "done").read_text().splitlines():
        file, tool, count = line.split()
        costs = [json.loads((folder / f"{file}.{tool}.{s}.json").read_text())
                 for s in ("one", "full")]
        rows.setdefault(file, []).append((tool, int(count), *costs))
    for file, of_file in rows.items():
        print_file(folder, file, of_file)
    print('\n"posse is" = lines per CPU-second of posse divided by those of the tool; "memory" = '
          "the tool's\npeak memory as a part or multiple of posse's (1/x: posse uses one x-th)")


if __name__ == "__main__":
    main()
