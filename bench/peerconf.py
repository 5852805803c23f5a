#!/usr/bin/env python3
"""Write the peers' configuration into a private folder, as their Debian packages would have it.

    bench/peerconf.py crowdsec --peers DIR --shared DIR --dir DIR --api stub|local [--log FILE]
                               [--items DIR]
    bench/peerconf.py bouncer  --dir DIR --key KEY
    bench/peerconf.py fail2ban --peers DIR --dir DIR --backend pyinotify|polling --log FILE

crowdsec  the hub's syslog, sshd and date parsers with the scenarios ssh-bf and ssh-slow-bf,
          read from SHARED/corpora/crowdsec-hub; central API off; all paths inside --dir.
          Labels that are lists are left out: version 1.4.6 cannot read them.
          --items: all that lies in a folder made by hub_rules.py instead, with its lists. Items
          that version 1.4.6 refuses are taken out of --dir and of --items, and named
bouncer   crowdsec-firewall-bouncer in nftables mode; everything else as shipped
fail2ban  the package's filter, jail defaults (maxretry 5, findtime 10m) and action nftables

Needs Python 3.9 or newer. Used by replay.sh and latency.py; of no use by itself.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

HUB_FILES = {
    "parsers/s00-raw": ["syslog-logs"],
    "parsers/s01-parse": ["sshd-logs"],
    "parsers/s02-enrich": ["dateparse-enrich"],
    "scenarios": ["ssh-bf", "ssh-slow-bf"],
}
# Version 1.4.6 cannot read lists in labels; they say nothing about what is detected.
CLASSIFICATION = re.compile(r"^  classification:\n(?:    - .*\n)+", re.MULTILINE)
# Nor how the results of a list of patterns are to be remembered.
CACHING = re.compile(r"^    (?:strategy|size|ttl): .*\n", re.MULTILINE)
REFUSED = re.compile(r"([\w.+-]+\.ya?ml)")
CROWDSEC = """\
common: {{daemonize: false, log_media: stdout, log_level: warning, working_dir: {dir}}}
config_paths:
  config_dir: {dir}
  data_dir: {dir}/data
  simulation_path: {dir}/simulation.yaml
  hub_dir: {dir}/hub
  index_path: {dir}/hub/.index.json
  notification_dir: {dir}/notifications
  plugin_dir: {dir}/plugins
crowdsec_service: {{acquisition_path: {dir}/acquis.yaml, parser_routines: 1}}
cscli: {{output: raw}}
db_config: {{log_level: warning, type: sqlite, db_path: {dir}/data/crowdsec.db}}
plugin_config: {{user: nobody, group: nogroup}}
api:
  client: {{insecure_skip_verify: false, credentials_path: {dir}/credentials.yaml}}
{server}
prometheus: {{enabled: false}}
"""
SERVER = """\
  server:
    log_level: warning
    listen_uri: 127.0.0.1:8080
    profiles_path: {dir}/profiles.yaml
    console_path: {dir}/console.yaml
"""
BOUNCER = """\
mode: nftables
pid_dir: {dir}
update_frequency: 10s
daemonize: false
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:8080/
api_key: {key}
insecure_skip_verify: false
disable_ipv6: false
deny_action: DROP
deny_log: false
supported_decisions_types: [ban]
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
ipset_type: nethash
iptables_chains: [INPUT]
nftables:
  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}
  ipv6: {{enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}}
prometheus: {{enabled: false}}
"""
JAIL = """\
[DEFAULT]
banaction = nftables
[sshd]
enabled = true
backend = {backend}
logpath = {log}
"""


def copy_named(base, hub):
    for folder, names in HUB_FILES.items():
        (base / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            source = hub / folder / "crowdsecurity" / f"{name}.yaml"
            if not source.is_file():
                sys.exit(f"SKIPPED: no {source}")
            text = CLASSIFICATION.sub("", source.read_text())
            (base / folder / source.name).write_text(text)


def copy_items(base, items):
    """Everything of a rules folder, flat as 1.4.6 wants it; returns where each file came from."""
    origins = {}
    for path in sorted(items.rglob("*.y*ml")):
        parts = path.relative_to(items).parts
        if parts[0] not in ("parsers", "scenarios", "postoverflows"):
            continue
        folder = base / parts[0] / (parts[1] if parts[1].startswith("s0") else "")
        folder.mkdir(parents=True, exist_ok=True)
        to = folder / path.name
        if to.exists():
            to = folder / f"{parts[-2]}-{path.name}"
        to.write_text(CACHING.sub("", CLASSIFICATION.sub("", path.read_text())))
        origins[to] = path
    shutil.copytree(items / "data", base / "data", dirs_exist_ok=True)
    return origins


def prune(base, package, origins):
    """Takes out what this version refuses, until it starts."""
    command = [package / "usr/bin/crowdsec", "-c", base / "config.yaml", "-t"]
    for _ in range(len(origins)):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = (done.stderr + done.stdout).strip().splitlines()
        # Where to read comes last; the replay's command line says it.
        if done.returncode == 0 or (said and "no datasource enabled" in said[-1]):
            return
        names = [name for line in reversed(said) for name in REFUSED.findall(line)]
        bad = [path for name in names for path in origins if path.name == name]
        if not bad:
            sys.exit(f"crowdsec does not start: {said[-1] if said else done.returncode}")
        print(f"crowdsec refuses {bad[0].name}: {said[-1][-160:]}", file=sys.stderr)
        origins.pop(bad[0]).unlink()
        bad[0].unlink()
    sys.exit("crowdsec refuses every item")


def crowdsec(options):
    base, package = options.dir, options.peers / "crowdsec"
    origins = None
    if options.items:
        origins = copy_items(base, options.items)
    else:
        copy_named(base, options.shared / "corpora" / "crowdsec-hub")
    for folder in ("data", "hub", "notifications", "plugins"):
        (base / folder).mkdir(exist_ok=True)
    shutil.copytree(package / "etc/crowdsec/patterns", base / "patterns", dirs_exist_ok=True)
    for name in ("simulation.yaml", "profiles.yaml"):
        shutil.copy(package / "etc/crowdsec" / name, base)
    shutil.copy(package / "usr/share/crowdsec/hub/.index.json", base / "hub")
    server = SERVER.format(dir=base) if options.api == "local" else ""
    (base / "config.yaml").write_text(CROWDSEC.format(dir=base, server=server))
    (base / "console.yaml").write_text("share_manual_decisions: false\n")
    (base / "credentials.yaml").write_text(
        "url: http://127.0.0.1:8080/\nlogin: bench\npassword: bench\n"
    )
    log = f"filenames: [{options.log}]\nlabels: {{type: syslog}}\n" if options.log else ""
    (base / "acquis.yaml").write_text(log)
    if origins is not None:
        prune(base, package, origins)


def bouncer(options):
    options.dir.mkdir(parents=True, exist_ok=True)
    text = BOUNCER.format(dir=options.dir, key=options.key)
    (options.dir / "bouncer.yaml").write_text(text)


def fail2ban(options):
    shutil.copytree(options.peers / "fail2ban/etc/fail2ban", options.dir, dirs_exist_ok=True)
    for path in (options.dir / "jail.d").iterdir():
        path.unlink()
    jail = JAIL.format(backend=options.backend, log=options.log)
    (options.dir / "jail.local").write_text(jail)
    (options.dir / "fail2ban.local").write_text(
        f"[Definition]\nlogtarget = {options.dir}/fail2ban.log\ndbfile = None\n"
        f"socket = {options.dir}/f2b.sock\npidfile = {options.dir}/f2b.pid\n"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=["crowdsec", "bouncer", "fail2ban"])
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--shared", type=pathlib.Path)
    parser.add_argument("--items", type=pathlib.Path)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--api", choices=["stub", "local"], default="stub")
    parser.add_argument("--backend", choices=["pyinotify", "polling"], default="pyinotify")
    parser.add_argument("--log", type=pathlib.Path)
    parser.add_argument("--key", default="bench")
    options = parser.parse_args()
    options.dir = options.dir.absolute()
    {"crowdsec": crowdsec, "bouncer": bouncer, "fail2ban": fail2ban}[options.peer](options)


if __name__ == "__main__":
    main()
