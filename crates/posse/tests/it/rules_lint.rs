//! `posse rules lint`: our own rules stand, a known mistake is found with its proof, and the rule
//! sets of others are examined in bounded time.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{posse, stdout};

/// The exit code and the findings; the totals stand last.
fn lint(folder: &Path) -> (Option<i32>, Vec<Value>, Value) {
    let output = posse(&["rules", "lint", &folder.display().to_string(), "--json"]);
    let text = stdout(&output);
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let totals = lines.pop().unwrap();
    (output.status.code(), lines, totals)
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

#[test]
fn no_client_can_steer_our_own_rules() {
    let (code, found, totals) = lint(&shipped());
    assert_eq!(found, Vec::<Value>::new());
    assert_eq!(code, Some(0));
    assert!(totals["probes"].as_u64() > Some(10_000), "{totals}");
    assert_eq!(totals["left_out"], 0);
}

#[test]
fn an_open_pattern_is_found_with_a_line_that_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "mine/s01-parse/mine.yaml",
        "name: me/mine\nfilter: \"evt.Parsed.program == 'mine'\"\nonsuccess: next_stage\ngrok:\n  \
         apply_on: message\n  pattern: 'failed for %{DATA:user} from %{IPV4:source_ip}'\nstatics:\n  \
         - meta: source_ip\n    expression: evt.Parsed.source_ip\n  - meta: log_type\n    value: mine\n",
    );
    write(
        "mine/scenarios/mine.yaml",
        "type: leaky\nname: me/mine-bf\ndescription: d\nfilter: \"evt.Meta.log_type == 'mine'\"\n\
         groupby: evt.Meta.source_ip\ncapacity: 5\nleakspeed: 10s\nlabels:\n  remediation: true\n",
    );
    write("mine/test/expect.toml", "type = \"syslog\"\n");
    write(
        "mine/test/sample.log",
        "2026-11-21T04:00:00.000000+00:00 host mine[1]: login failed for root from 198.51.100.9\n",
    );
    let (code, found, totals) = lint(folder.path());
    assert_eq!((code, &totals["errors"]), (Some(1), &Value::from(1)));
    let error = found.iter().find(|f| f["severity"] == "error").unwrap();
    assert_eq!(
        (&error["code"], &error["line"]),
        (&"steering".into(), &6.into())
    );
    let line = error["example"]["line"].as_str().unwrap();
    assert!(
        line.ends_with("from 198.51.100.9"),
        "the true author stands where it stood: {line}"
    );
    assert_ne!(error["example"]["taken_for"], "198.51.100.9");
}

#[test]
fn the_rules_of_others_are_examined_in_bounded_time() {
    let Some(hub) = outside::shared("corpora/crowdsec-hub") else {
        return;
    };
    let start = Instant::now();
    let (code, found, totals) = lint(&hub);
    println!(
        "{} findings in {:?}: {totals}",
        found.len(),
        start.elapsed()
    );
    assert_eq!(code, Some(1), "it has patterns that can be steered");
    assert!(start.elapsed() < Duration::from_secs(300));
    for finding in found.iter().filter(|f| f["code"] == "steering") {
        let example = &finding["example"];
        assert_ne!(example["taken_for"], example["written_by"], "{finding}");
    }
}
