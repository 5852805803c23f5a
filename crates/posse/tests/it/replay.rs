//! Recorded logs: alerts, what-if, and a ledger of the replay's own.

use std::fs;

use serde_json::Value;

use crate::support::{posse, stderr, stdout};

fn line(second: u32, what: &str, address: &str) -> String {
    format!(
        "2026-01-05T10:{:02}:{:02}.000000+00:00 host sshd[7]: {what} from {address} port 40000 ssh2\n",
        second / 60,
        second % 60
    )
}

fn log() -> String {
    let mut text = String::new();
    for second in 0..8 {
        text += &line(second, "Failed password for root", "198.51.100.40");
        text += &line(second, "Accepted publickey for deploy", "203.0.113.40");
    }
    text
}

#[test]
fn alerts_are_printed_for_people_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    fs::write(&path, log()).unwrap();
    let path = path.display().to_string();
    let text = stdout(&posse(&["replay", &path]));
    assert!(
        text.contains("198.51.100.40") && !text.contains("203.0.113.40"),
        "{text}"
    );
    let json = stdout(&posse(&["replay", &path, "--json"]));
    let alert: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(alert["rule"], "posse/ssh-bf");
    assert_eq!(alert["value"], "198.51.100.40");
}

#[test]
fn the_same_log_gives_the_same_alerts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    fs::write(&path, log()).unwrap();
    let path = path.display().to_string();
    let strip = |text: String| -> Vec<Value> {
        let alerts = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap());
        alerts.map(|a| a["value"].clone()).collect()
    };
    let first = strip(stdout(&posse(&["replay", &path, "--json"])));
    assert_eq!(first, strip(stdout(&posse(&["replay", &path, "--json"]))));
    assert!(!first.is_empty());
}

#[test]
fn what_if_names_the_ordinary_client_it_would_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    // One address that both guesses and, far more often, logs in: a company behind one NAT.
    let mut text = log();
    for second in 60..68 {
        text += &line(second, "Failed password for root", "203.0.113.41");
    }
    for second in 0..600 {
        text += &line(second + 70, "Accepted publickey for deploy", "203.0.113.41");
    }
    fs::write(&path, text).unwrap();
    let report = stdout(&posse(&[
        "replay",
        "--what-if",
        "--json",
        &path.display().to_string(),
    ]));
    let report: Value = serde_json::from_str(&report).unwrap();
    let bans: Vec<&str> = report["bans"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|b| b["prefix"].as_str())
        .collect();
    assert!(
        bans.contains(&"198.51.100.40") && bans.contains(&"203.0.113.41"),
        "{report}"
    );
    let cut = report["ordinary_clients_cut_off"].as_array().unwrap();
    assert_eq!(cut.len(), 1, "{report}");
    assert_eq!(cut[0]["client"], "203.0.113.41");
}

#[test]
fn a_recorded_replay_has_a_ledger_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    fs::write(&path, log()).unwrap();
    let state = dir.path().join("record").display().to_string();
    let output = posse(&["replay", &path.display().to_string(), "--record", &state]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&posse(&["ledger", "verify", "--state", &state])).starts_with("OK"));
    assert!(stdout(&posse(&["alerts", "--lines", "--state", &state])).contains("Failed password"));
    // Recording it again adds nothing: the same lines are the same happening.
    let size = |text: String| text.lines().last().unwrap_or_default().to_owned();
    let first = size(stdout(&posse(&["ledger", "verify", "--state", &state])));
    posse(&["replay", &path.display().to_string(), "--record", &state]);
    assert_eq!(
        first,
        size(stdout(&posse(&["ledger", "verify", "--state", &state])))
    );
}

#[test]
fn an_unknown_kind_of_log_asks_for_its_type() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("something");
    fs::write(&path, "x\n").unwrap();
    let output = posse(&["replay", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--type"), "{}", stderr(&output));
}

#[test]
fn each_mistake_in_a_rule_file_is_named_and_the_other_rules_load() {
    let dir = tempfile::tempdir().unwrap();
    let good = "type: trigger\nname: t/good\nfilter: \"evt.Parsed.message contains 'attack'\"\n\
                groupby: evt.Meta.source_ip\nlabels:\n  remediation: true\n";
    let broken = [
        (
            "unknown_key",
            "type: trigger\nname: t/a\nfiltr: \"true\"\n",
            "3:",
        ),
        (
            "bad_expression",
            "type: trigger\nname: t/b\nfilter: \"evt.Parsed.x ==\"\n",
            "3:",
        ),
        (
            "wrong_type",
            "type: leaky\nname: t/c\nfilter: \"true\"\ncapacity: many\nleakspeed: 1s\n",
            "4:",
        ),
        (
            "bad_regex",
            "type: trigger\nname: t/d\nfilter: \"evt.Parsed.x matches '('\"\n",
            "3:",
        ),
    ];
    let scenarios = dir.path().join("x/scenarios");
    fs::create_dir_all(&scenarios).unwrap();
    fs::write(scenarios.join("good.yaml"), good).unwrap();
    for (name, text, _) in &broken {
        fs::write(scenarios.join(format!("{name}.yaml")), text).unwrap();
    }
    let parsers = dir.path().join("x/s01-parse");
    fs::create_dir_all(&parsers).unwrap();
    let cyclic = "name: t/p\nonsuccess: next_stage\npattern_syntax:\n  A: '%{B}'\n  B: '%{A}'\n\
                  grok:\n  pattern: '%{A:x}'\n  apply_on: message\n";
    fs::write(parsers.join("cyclic_grok.yaml"), cyclic).unwrap();
    let output = posse(&["rules", "check", &dir.path().display().to_string()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for (name, _, line) in &broken {
        let place = format!("{name}.yaml:{line}");
        assert!(said.contains(&place), "{place} in {said}");
    }
    assert!(said.contains("cyclic_grok.yaml:"), "{said}");
    assert_eq!(said.matches("fix:").count(), 5, "{said}");
    let listed = stdout(&posse(&[
        "rules",
        "list",
        &dir.path().display().to_string(),
    ]));
    assert!(listed.contains("t/good"), "{listed}");
}
