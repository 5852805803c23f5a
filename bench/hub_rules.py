#!/usr/bin/env python3
"""Put the hub's items that some collections name into one rules folder.

    bench/hub_rules.py --shared DIR --out DIR COLLECTION...
    bench/hub_rules.py --shared DIR --out DIR --all

Reads DIR/corpora/crowdsec-hub (items), sec-lists (lists, found by the path of source_url) and
grok-patterns; writes OUT/parsers/<stage>/, scenarios/, postoverflows/<stage>/, patterns/ and data/.
COLLECTION is a name like crowdsecurity/nginx; those it names are followed. --all takes every
item of the hub. The parsers of syslog lines and of dates are always there: every log needs them.

Needs Python 3.9 or newer. Used by bench/engine; of no use by itself.
"""

import argparse
import pathlib
import re
import shutil
import sys

ALWAYS = ["crowdsecurity/syslog-logs", "crowdsecurity/dateparse-enrich"]
KINDS = ("parsers", "postoverflows", "scenarios")
NAMED = re.compile(r"^(\w+):\s*$|^\s+-\s+([\w.-]+/[\w.-]+)\s*(?:#.*)?$")
URL = re.compile(r"source_url:\s*['\"]?https?://[^/\s]+/(\S+?)['\"]?\s*$")
FILE = re.compile(r"dest_file:\s*['\"]?(\S+?)['\"]?\s*$")


def named_items(text):
    """(kind, name) of what a collection lists."""
    kind = None
    for line in text.splitlines():
        found = NAMED.match(line)
        if found and found.group(1):
            kind = found.group(1)
        elif found and kind:
            yield kind, found.group(2)
        elif line and not line.startswith((" ", "-", "#")):
            kind = None


def follow(hub, collections):
    wanted, seen, queue = set(), set(), list(collections)
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        path = hub / "collections" / f"{name}.yaml"
        if not path.is_file():
            sys.exit(f"SKIPPED: no collection {name} in {hub}")
        for kind, item in named_items(path.read_text()):
            if kind == "collections":
                queue.append(item)
            elif kind in KINDS:
                wanted.add((kind, item))
    return wanted | {("parsers", name) for name in ALWAYS}


def place(path, hub):
    """(kind, "author/name") of an item's file."""
    parts = path.relative_to(hub).parts
    return parts[0], f"{parts[-2]}/{path.stem}"


def copy_items(hub, wanted, out):
    count = 0
    for kind in KINDS:
        for path in sorted((hub / kind).rglob("*.y*ml")):
            if wanted is not None and place(path, hub) not in wanted:
                continue
            to = out / path.relative_to(hub)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
            count += 1
    return count


def copy_lists(lists, out):
    (out / "data").mkdir(parents=True, exist_ok=True)
    for path in [p for p in out.rglob("*.y*ml") if "data" not in p.relative_to(out).parts[:1]]:
        url = name = None
        for line in path.read_text().splitlines():
            url = URL.search(line).group(1) if URL.search(line) else url
            name = FILE.search(line).group(1) if FILE.search(line) else name
            if url and name:
                if (lists / url).is_file():
                    shutil.copy(lists / url, out / "data" / name)
                url = name = None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("collections", nargs="*")
    options = parser.parse_args()
    corpora = options.shared / "corpora"
    hub = corpora / "crowdsec-hub"
    if not hub.is_dir():
        sys.exit(f"SKIPPED: no {hub}; set POSSE_SHARED")
    if options.out.exists():
        shutil.rmtree(options.out)
    wanted = None if options.all else follow(hub, options.collections)
    count = copy_items(hub, wanted, options.out)
    shutil.copytree(corpora / "grok-patterns", options.out / "patterns")
    copy_lists(corpora / "sec-lists", options.out)
    print(f"{options.out}: {count} items")


if __name__ == "__main__":
    main()
