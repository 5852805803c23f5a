#!/usr/bin/env python3
"""A CrowdSec Local API without an agent: configuration, one machine, and N bouncers.

The machine and the first bouncer are made by cscli; the other bouncers are copies of that row
with keys of their own, since cscli takes a second for each.
"""

import argparse
import hashlib
import pathlib
import secrets
import shutil
import sqlite3
import subprocess

CONFIG = """\
common: {{daemonize: false, log_media: stdout, log_level: warning, working_dir: {dir}}}
config_paths: {{config_dir: {dir}, data_dir: {dir}/data, simulation_path: {dir}/simulation.yaml,
  hub_dir: {dir}/hub, index_path: {dir}/hub/.index.json, notification_dir: {dir}/notifications,
  plugin_dir: {dir}/plugins}}
cscli: {{output: human}}
db_config: {{log_level: warning, type: sqlite, db_path: {dir}/data/crowdsec.db, use_wal: true}}
plugin_config: {{user: nobody, group: nogroup}}
api:
  client: {{insecure_skip_verify: false, credentials_path: {dir}/credentials.yaml}}
  server: {{log_level: warning, listen_uri: 127.0.0.1:8080, profiles_path: {dir}/profiles.yaml,
    console_path: {dir}/console.yaml}}
prometheus: {{enabled: false}}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowdsec", type=pathlib.Path, required=True)
    parser.add_argument("--dir", type=pathlib.Path, required=True)
    parser.add_argument("--bouncers", type=int, required=True)
    options = parser.parse_args()
    base, package = options.dir, options.crowdsec
    for folder in ("data", "hub", "notifications", "plugins", "patterns"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for name in ("simulation.yaml", "profiles.yaml"):
        shutil.copy(package / "etc/crowdsec" / name, base)
    shutil.copy(package / "usr/share/crowdsec/hub/.index.json", base / "hub")
    (base / "config.yaml").write_text(CONFIG.format(dir=base))
    (base / "console.yaml").write_text("share_manual_decisions: false\n")
    (base / "credentials.yaml").write_text(
        "url: http://127.0.0.1:8080/\nlogin: load\npassword: load\n"
    )
    cscli = [package / "usr/bin/cscli", "-c", base / "config.yaml"]
    run = lambda *words: subprocess.run([*cscli, *words], check=True, capture_output=True)
    run("machines", "add", "load", "--password", "load", "-f", "/dev/null", "--force")
    (base / "machine").write_text("load load\n")
    run("bouncers", "add", "first", "-k", "unused")
    database = sqlite3.connect(base / "data/crowdsec.db")
    columns = [row[1] for row in database.execute("pragma table_info(bouncers)")]
    first = dict(zip(columns, database.execute("select * from bouncers").fetchone()))
    keys = [secrets.token_hex(16) for _ in range(options.bouncers)]
    for number, key in enumerate(keys):
        row = {**first, "id": first["id"] + 1 + number, "name": f"bouncer-{number}"}
        row["api_key"] = hashlib.sha512(key.encode()).hexdigest()
        marks = ",".join("?" * len(columns))
        names = ",".join(f'"{name}"' for name in columns)
        values = [row[name] for name in columns]
        database.execute(f"insert into bouncers ({names}) values ({marks})", values)
    database.commit()
    (base / "keys").write_text("".join(f"{key}\n" for key in keys))


if __name__ == "__main__":
    main()
