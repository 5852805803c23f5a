//! A guard with GeoIP databases: used, exchanged while it runs, and broken.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Guard, Site, stdout, wait_until};

#[path = "../../src/geoip/mmdb.rs"]
mod mmdb;

/// Writes a database of the type that its file's name says.
pub(crate) fn write(path: &Path, records: &[(&str, Value)]) {
    let kind = path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut writer = mmdb::Writer::new(&kind);
    for (network, record) in records {
        writer.add(network, record);
    }
    fs::write(path, writer.finish()).unwrap();
}

const PARSER: &str = "\
name: t/door
onsuccess: next_stage
filter: evt.Line.Labels.type == 'syslog'
grok:
  pattern: 'knock from %{IP:ip}'
  apply_on: Line.Raw
statics:
- meta: source_ip
  expression: evt.Parsed.ip
";
const PLACE: &str = "\
name: t/place
statics:
- method: GeoIpCity
  expression: evt.Meta.source_ip
- meta: country
  expression: evt.Enriched.IsoCode
";
const SCENARIO: &str = "\
type: trigger
name: t/neighbour
description: a knock from next door
filter: evt.Meta.country == 'NL'
groupby: evt.Meta.source_ip
labels:
  remediation: true
";

#[test]
fn a_guard_goes_on_without_a_broken_database_and_takes_a_good_one() {
    let site = Site::new();
    for (name, text) in [
        ("parsers/s01-parse/door.yaml", PARSER),
        ("parsers/s02-enrich/place.yaml", PLACE),
        ("scenarios/neighbour.yaml", SCENARIO),
    ] {
        let path = site.path("rules").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let city = site.path("Test-City.mmdb");
    fs::write(&city, "<html>gone</html>").unwrap();
    site.configure(&format!(
        "[rules]\nbuilt_in = false\nfolders = [{:?}]\n[geoip]\ncity = {city:?}\n",
        site.path("rules")
    ));
    let guard = Guard::start(&site, None, &["--observe"]);
    let said = guard.said();
    assert!(
        said.contains("going on without this GeoIP database: [geoip] city"),
        "{said}"
    );
    let on_record = |word: &str| stdout(&site.ask(&["ledger", "show"])).contains(word);

    write(
        &city,
        &[("198.51.100.0/24", json!({"country": {"iso_code": "NL"}}))],
    );
    guard.signal("-HUP");
    wait_until("the database is taken", || on_record("\"reloaded\""));
    site.append("knock from 192.0.2.1\nknock from 198.51.100.1\n");
    wait_until("the neighbour is told of", || {
        site.bans() == ["198.51.100.1"]
    });

    let whole = fs::read(&city).unwrap();
    fs::write(&city, &whole[..whole.len() / 2]).unwrap();
    guard.signal("-HUP");
    wait_until("the broken database is refused", || {
        on_record("no whole GeoIP database")
    });
    site.append("knock from 198.51.100.2\n");
    wait_until("the last good one is in force", || site.bans().len() == 2);
}
