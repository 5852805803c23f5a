//! The hub's tests through the real command, on the shared sample of them where it is there; GeoIP
//! databases are made here, with what those tests' assertions name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    geoip::write,
    support::{posse, stderr, stdout},
};

const CITY: &str = "GeoLite2-City.mmdb";
const ASN: &str = "GeoLite2-ASN.mmdb";

fn corpora() -> Option<PathBuf> {
    outside::shared("corpora/crowdsec-hub/tests")?;
    outside::shared("corpora")
}

/// What the command prints, and whether it says that all is well.
fn run(corpora: &Path, data: &Path, only: &[&str]) -> (String, bool) {
    let at = |name: &str| corpora.join(name).display().to_string();
    let (hub, patterns) = (at("crowdsec-hub"), at("grok-patterns"));
    let (tests, data) = (at("crowdsec-hub/tests"), data.display().to_string());
    let mut words = vec!["rules", "test", "--hubtest", "--hub", &hub, "--data", &data];
    words.extend(["--patterns", &patterns, "--tests", &tests]);
    words.extend(only.iter().flat_map(|name| ["--only", name]));
    let output = posse(&words);
    let said = stdout(&output);
    assert!(said.ends_with(" failed\n"), "{said}{}", stderr(&output));
    (said, output.status.success())
}

fn totals(said: &str) -> (usize, usize) {
    let last = said.lines().last().unwrap();
    let (passed, rest) = last.split_once(" passed, ").unwrap();
    let failed = rest.strip_suffix(" failed").unwrap();
    (passed.parse().unwrap(), failed.parse().unwrap())
}

#[test]
fn the_sample_passes() {
    let Some(corpora) = corpora() else { return };
    let (said, well) = run(&corpora, &corpora.join("sec-lists"), &[]);
    let (passed, failed) = totals(&said);
    assert!(well && failed == 0, "{said}");
    let skipped = said.lines().filter(|l| l.starts_with("SKIPPED ")).count();
    let folders = fs::read_dir(corpora.join("crowdsec-hub/tests")).unwrap();
    let tests = folders
        .flatten()
        .filter(|entry| entry.path().join("config.yaml").is_file())
        .count();
    assert_eq!(passed + skipped, tests, "{said}");
    for line in said.lines().filter(|l| l.starts_with("SKIPPED ")) {
        assert!(line.contains(".mmdb"), "{line}");
    }
}

/// Tests of the sample that need databases, with a database of the facts that they assert.
#[test]
fn the_tests_that_need_geoip_pass_with_a_database() {
    let Some(corpora) = corpora() else { return };
    let place = |country: &str, union: bool, latitude: f64, longitude: f64| {
        json!({
            "country": {"iso_code": country, "is_in_european_union": union},
            "location": {"latitude": latitude, "longitude": longitude},
        })
    };
    let network = json!({
        "autonomous_system_number": 4242,
        "autonomous_system_organization": "Crowdsec",
    });
    let shops = [("1.2.3.0/24", place("FR", true, 48.8, 2.4))];
    let travellers = [
        ("1.2.3.0/24", place("AU", false, -33.5, 143.25)),
        ("9.8.8.0/24", place("US", false, 37.75, -97.5)),
    ];
    let mut tried = 0;
    for (prefix, cities, networks) in [
        (
            "magento-ccs-by-",
            &shops[..],
            &[("1.2.3.0/24", network)][..],
        ),
        ("geoip-enrich", &shops[..], &[]),
        ("impossible-travel", &travellers[..], &[]),
    ] {
        let names = tests_with(&corpora, prefix);
        if names.is_empty() {
            continue;
        }
        let data = tempfile::tempdir().unwrap();
        write(&data.path().join(CITY), cities);
        write(&data.path().join(ASN), networks);
        let only: Vec<&str> = names.iter().map(String::as_str).collect();
        let (said, well) = run(&corpora, data.path(), &only);
        assert!(well && totals(&said) == (names.len(), 0), "{said}");
        tried += names.len();
    }
    assert!(tried > 0, "the sample holds no test that needs a database");
}

fn tests_with(corpora: &Path, part: &str) -> Vec<String> {
    let folders = fs::read_dir(corpora.join("crowdsec-hub/tests")).unwrap();
    let names = folders
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(part)).collect()
}

/// A hub, lists and tests of one's own.
struct Own {
    dir: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        let own = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        own.put(
            "hub/parsers/s01-parse/me/door.yaml",
            "name: me/door\nonsuccess: next_stage\ngrok:\n  pattern: 'bad %{WORD:user} from %{IP:ip}'\n  \
             apply_on: Line.Raw\nstatics:\n- meta: source_ip\n  expression: evt.Parsed.ip\n\
             - target: MarshaledTime\n  value: \"2026-11-20T10:00:00Z\"\n",
        );
        own.put(
            "hub/scenarios/me/listed.yaml",
            "type: trigger\nname: me/listed\ndescription: a name from the list\n\
             filter: \"any(File('names.txt'), {evt.Parsed.user == #})\"\n\
             data:\n- source_url: https://example.org/web/names.txt\n  dest_file: names.txt\n  \
             type: string\nlabels:\n  remediation: true\n",
        );
        own.put("lists/web/names.txt", "# names\nanna\n");
        own.test("listed", "len(results) == 1\n");
        own
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn test(&self, name: &str, scenario_asserts: &str) {
        let put = |file: &str, text: &str| self.put(&format!("tests/{name}/{file}"), text);
        put(
            "config.yaml",
            "parsers: [me/door]\nscenarios: [./scenarios/me/listed.yaml]\nlog_file: a.log\n\
             log_type: door\nignore_parsers: true\n",
        );
        put(
            "a.log",
            "bad anna from 192.0.2.1\nbad otto from 192.0.2.2\n",
        );
        put("scenario.assert", scenario_asserts);
    }

    fn run(&self, more: &[&str]) -> (String, Option<i32>) {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let (hub, tests) = (at("hub"), at("tests"));
        let mut words = vec![
            "rules",
            "test",
            "--hubtest",
            "--hub",
            &hub,
            "--tests",
            &tests,
        ];
        words.extend(more);
        let output = posse(&words);
        (stdout(&output) + &stderr(&output), output.status.code())
    }

    fn with_lists(&self) -> (String, Option<i32>) {
        self.run(&[
            "--data",
            &self.dir.path().join("lists").display().to_string(),
        ])
    }
}

#[test]
fn a_list_is_found_by_its_address_and_its_absence_is_named() {
    let own = Own::new();
    assert_eq!(
        own.with_lists(),
        ("1 passed, 0 failed\n".to_owned(), Some(0))
    );
    let (said, code) = own.run(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("FAIL listed: 1 of 1 assertions"), "{said}");
    assert!(
        said.contains("scenario.assert:1: found 0, asserted: len(results) == 1"),
        "{said}"
    );
    assert!(said.contains("names.txt is empty: name a mirror"), "{said}");
    assert!(said.ends_with("0 passed, 1 failed\n"), "{said}");
}

#[test]
fn failures_stand_in_the_tests_order_and_can_be_looked_at_alone() {
    let own = Own::new();
    own.test("a-wrong", "len(results) == 1\nlen(results) == 2\n");
    own.test("z-wrong", "");
    own.put("tests/leftover/parser.assert", "true");
    own.put("tests/README.md", "no test");
    let (said, code) = own.with_lists();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(code, Some(1), "{said}");
    assert!(lines[0].starts_with("FAIL a-wrong: 1 of 2"), "{said}");
    assert!(lines[1].starts_with("FAIL leftover: cannot read"), "{said}");
    assert!(
        lines[2].starts_with("FAIL z-wrong: scenario.assert holds no assertion"),
        "{said}"
    );
    assert_eq!(lines[3], "1 passed, 3 failed");
    let lists = own.dir.path().join("lists").display().to_string();
    let (said, code) = own.run(&["--data", &lists, "--only", "listed"]);
    assert_eq!((said.as_str(), code), ("1 passed, 0 failed\n", Some(0)));
    let (said, _) = own.run(&["--data", &lists, "--only", "z-wrong"]);
    let line = "\nresults[0].Overflow.Alert.GetScenario() == \"me/listed\"\n";
    assert!(said.contains(line), "{said}");
    let (said, code) = own.run(&["--only", "lsited"]);
    assert!(
        said.contains("--only lsited: there is no test of that name"),
        "{said}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn parsers_of_the_test_itself_and_items_that_are_nowhere() {
    let own = Own::new();
    let door = "name: me/own\nonsuccess: next_stage\nfilter: evt.Line.Labels.type == 'door'\n\
                statics:\n- parsed: user\n  value: anna\n- meta: source_ip\n  value: 192.0.2.9\n";
    own.put("tests/listed/parsers/s00-raw/me/own.yaml", door);
    let config = "parsers: [parsers/s00-raw/me/own.yaml]\nscenarios: [me/listed]\nlog_file: a.log\n\
                  log_type: door\nignore_parsers: true\n";
    own.put("tests/listed/config.yaml", config);
    own.put(
        "tests/listed/scenario.assert",
        "len(results) == 2\n\"192.0.2.9\" in results[1].Overflow.GetSources()\n",
    );
    assert_eq!(
        own.with_lists(),
        ("1 passed, 0 failed\n".to_owned(), Some(0))
    );
    own.put(
        "tests/listed/config.yaml",
        &config.replace("me/listed", "me/listet"),
    );
    let (said, _) = own.with_lists();
    assert!(said.contains("me/listet is no item of the hub"), "{said}");
    assert!(said.contains("did you mean me/listed?"), "{said}");
}

#[test]
fn without_a_database_such_tests_are_skipped_and_a_broken_one_is_named() {
    let own = Own::new();
    let geo = "name: me/geo\nstatics:\n- method: GeoIpCity\n  expression: evt.Meta.source_ip\n\
               - meta: country\n  expression: evt.Enriched.IsoCode\ndata:\n\
               - source_url: https://example.org/mmdb/GeoLite2-City.mmdb\n  \
               dest_file: GeoLite2-City.mmdb\n";
    own.put("hub/parsers/s02-enrich/me/geo.yaml", geo);
    own.put(
        "tests/listed/config.yaml",
        "parsers: [me/door, me/geo]\nlog_file: a.log\nlog_type: door\n",
    );
    let assert = "results[\"s02-enrich\"][\"me/geo\"][0].Evt.Meta[\"country\"] == \"NL\"\n";
    own.put("tests/listed/parser.assert", assert);
    let skipped = "SKIPPED listed: needs GeoLite2-City.mmdb\n0 passed, 0 failed\n";
    assert_eq!(own.with_lists(), (skipped.to_owned(), Some(0)));
    own.put("lists/mmdb/GeoLite2-City.mmdb", "<html>not found</html>");
    let (said, code) = own.with_lists();
    assert!(said.contains("is no whole GeoIP database"), "{said}");
    assert_eq!(code, Some(1));
    let record = json!({"country": {"iso_code": "NL"}});
    let path = own.dir.path().join("lists/mmdb").join(CITY);
    write(&path, &[("192.0.2.0/24", record)]);
    assert_eq!(
        own.with_lists(),
        ("1 passed, 0 failed\n".to_owned(), Some(0))
    );
}

#[test]
fn folders_that_are_not_what_they_are_named_for_are_refused() {
    let own = Own::new();
    let (said, code) = own.run(&["--data", "/nowhere/at/all"]);
    assert!(
        said.contains("--data /nowhere/at/all: there is no such folder"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    fs::remove_dir_all(own.dir.path().join("hub")).unwrap();
    let (said, code) = own.run(&[]);
    assert!(said.contains("there is no parsers/"), "{said}");
    assert_eq!(code, Some(1));
}
