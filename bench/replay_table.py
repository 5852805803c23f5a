#!/usr/bin/env python3
"""Print the table of replay.sh from the files it left in a folder.

    bench/replay_table.py DIR

Needs Python 3.9 or newer. Reads DIR/done, DIR/truth.json and, for every tool, its costs for one
line (start-up) and for the whole file, and what it printed.
"""

import json
import pathlib
import re
import sys

ADDRESS = re.compile(r"^\d+\.\d+\.\d+\.\d+$")
JUDGED = {"posse": "alerts", "crowdsec": "alerts"}


def objects(text):
    """JSON values one after the other, or in one array."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        while at < len(text) and text[at] in " \r\n\t,":
            at += 1
        if at >= len(text):
            return
        value, at = decoder.raw_decode(text, at)
        yield from value if isinstance(value, list) else [value]


def posse_sources(text):
    for item in objects(text):
        alert = item.get("alert", item) if isinstance(item, dict) else {}
        if alert.get("remediation") is False:
            continue
        source = str(alert.get("address") or alert.get("value") or "")
        if ADDRESS.match(source):
            yield source


def named(folder, tool):
    """The addresses a tool raised an alert about."""
    if tool == "posse":
        return set(posse_sources((folder / "posse.full.out").read_text()))
    lines = (folder / "crowdsec.alerts").read_text().splitlines()
    return {line.split("\t")[1] for line in lines}


def last_time(folder, count, truth):
    """The time of the last line a tool was given, in the truth's spelling."""
    log = folder / ("auth.log" if count == truth["lines"] else f"auth.{count}.log")
    with open(log, "rb") as file:
        file.seek(-4096, 2)
        line = file.read().decode().splitlines()[-1]
    if truth["format"] == "rfc3339":
        return line[:19]
    day = next(e["crosses_at"] for e in truth["attackers"].values() if e["crosses_at"])[:8]
    return f"{day}{int(line[4:6]):02d}T{line[7:15]}"


def judge(folder, tool, count, truth):
    found, until = named(folder, tool), last_time(folder, count, truth)
    attackers, benign = truth["attackers"], set(truth["benign"])
    due = {
        address
        for address, entry in attackers.items()
        if entry["crosses"] == "yes" and entry["crosses_at"] < until
    }
    below = {a for a, entry in attackers.items() if entry["crosses"] == "no"}
    return (
        f"{len(due & found)} of {len(due)} due; missed {len(due - found)}; "
        f"benign {len(found & benign)}; below threshold {len(found & below)}; "
        f"unknown {len(found - benign - set(attackers))}"
    )


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0 if len(sys.argv) == 2 else 2)
    folder = pathlib.Path(sys.argv[1])
    truth = json.loads((folder / "truth.json").read_text())
    rows = []
    for line in (folder / "done").read_text().splitlines():
        tool, count = line.split()
        costs = [json.loads((folder / f"{tool}.{s}.json").read_text()) for s in ("one", "full")]
        rows.append((tool, int(count), *costs))
    speed = {tool: count / full["cpu_s"] for tool, count, _, full in rows if full["cpu_s"]}
    base = speed.get("posse")
    print(f"\n{truth['lines']} lines, {truth['hostile_lines']} hostile, seed {truth['seed']}, "
          f"{truth['format']}; start-up = CPU seconds for one line, included in CPU\n")
    head = ("tool", "lines", "CPU s", "start-up", "wall s", "RSS MiB", "lines/CPU-s", "posse is")
    print("{:10}{:>9}{:>9}{:>10}{:>9}{:>9}{:>13}{:>11}".format(*head))
    for tool, count, one, full in rows:
        ratio = f"{base / speed[tool]:.2f}x" if base and tool in speed else "-"
        note = f"  exit {full['exit']}" if full["exit"] else ""
        print(
            f"{tool:10}{count:>9}{full['cpu_s']:>9.2f}{one['cpu_s']:>10.2f}{full['wall_s']:>9.2f}"
            f"{full['rss_mib']:>9.1f}{speed.get(tool, 0):>13,.0f}{ratio:>11}{note}"
        )
    print('\n"posse is" = lines per CPU-second of posse divided by those of the tool')
    for tool, count, _, _ in rows:
        if tool in JUDGED:
            print(f"{tool}: attackers {judge(folder, tool, count, truth)}")


if __name__ == "__main__":
    main()
