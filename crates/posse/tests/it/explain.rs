//! `posse rules explain`: the questions that people ask of a line.

use std::fs;

use serde_json::Value;

use crate::support::{posse, stderr, stdout};

fn failed(second: u32, address: &str) -> String {
    format!(
        "2026-01-05T10:00:{second:02}+00:00 host sshd[7]: \
         Failed password for root from {address} port 40000 ssh2"
    )
}

#[test]
fn one_line_is_told_from_parser_to_bucket() {
    let text = stdout(&posse(&["rules", "explain", &failed(0, "203.0.113.9")]));
    for part in [
        "prefilter    lets it pass",
        "posse/sshd took it",
        "evt.Meta.source_ip = 203.0.113.9",
        "posse/ssh-bf counted it for 203.0.113.9: 1 of 5 in its bucket, one leaks every 10s",
        "=> no ban:",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours only on a terminal: {text}");
    assert!(
        !text.contains("posse/nginx"),
        "only what says something: {text}"
    );
    let all = stdout(&posse(&[
        "rules",
        "explain",
        "--all",
        &failed(0, "203.0.113.9"),
    ]));
    assert!(all.contains("posse/nginx does not want it"), "{all}");
}

#[test]
fn the_line_that_bans_says_so_and_a_protected_source_says_why_not() {
    let lines: Vec<String> = (0..6).map(|second| failed(second, "203.0.113.9")).collect();
    let mut arguments = vec!["rules", "explain"];
    arguments.extend(lines.iter().map(String::as_str));
    let text = stdout(&posse(&arguments));
    assert!(text.contains("line 6 (syslog)"), "{text}");
    assert!(
        text.contains("posse/ssh-bf OVERFLOWED for 203.0.113.9 after 6 events"),
        "{text}"
    );
    assert!(text.contains("=> ban 203.0.113.9 for 4h"), "{text}");
    let lines: Vec<String> = (0..6).map(|second| failed(second, "10.1.2.3")).collect();
    let mut arguments = vec!["rules", "explain"];
    arguments.extend(lines.iter().map(String::as_str));
    let text = stdout(&posse(&arguments));
    assert!(
        text.contains("no ban of 10.1.2.3: it is in the private range"),
        "{text}"
    );
}

#[test]
fn a_log_is_gone_through_for_one_address() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    let mut log = String::new();
    for second in 0..8 {
        log += &failed(second, "203.0.113.9");
        log += "\n";
        log += &failed(second, "203.0.113.90");
        log += "\n";
    }
    fs::write(&path, log).unwrap();
    let path = path.display().to_string();
    let arguments = [
        "rules",
        "explain",
        "--file",
        &path,
        "--address",
        "203.0.113.9",
        "--json",
    ];
    let told: Vec<Value> = stdout(&posse(&arguments))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<u64> = told.iter().map(|t| t["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 3, 5, 7, 9, 11, 13, 15]);
    assert_eq!(told[5]["alerts"][0]["banned"], true);
    assert_eq!(told[5]["alerts"][0]["alert"]["rule"], "posse/ssh-bf");
    let result = |told: &Value, name: &str| -> Value {
        let scenarios = told["scenarios"].as_array().unwrap();
        let found = scenarios.iter().find(|s| s["scenario"] == name);
        found.unwrap()["result"].clone()
    };
    assert_eq!(result(&told[4], "posse/ssh-bf"), "counted");
    assert_eq!(result(&told[5], "posse/ssh-bf"), "overflowed");
    assert_eq!(result(&told[0], "posse/http-flood"), "filter_false");
    let arguments = [
        "rules",
        "explain",
        "--file",
        &path,
        "--address",
        "192.0.2.77",
    ];
    let output = posse(&arguments);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("no line names 192.0.2.77"));
}

#[test]
fn a_line_that_no_parser_takes_says_how_far_the_closest_got() {
    let line = "2026-01-05T10:00:00+00:00 host sshd[7]: Failed password for root by 203.0.113.9";
    let text = stdout(&posse(&["rules", "explain", line]));
    assert!(text.contains("no parser took it"), "{text}");
    assert!(text.contains("then wants ` from `"), "{text}");
    let text = stdout(&posse(&[
        "rules",
        "explain",
        "2026-01-05T10:00:00+00:00 host x: y",
    ]));
    assert!(text.contains("prefilter    skips it"), "{text}");
    assert!(text.contains("evt.Parsed.program is 'x'"), "{text}");
}

#[test]
fn text_of_the_log_cannot_steer_the_terminal() {
    let line = "2026-01-05T10:00:00+00:00 host x: \x1b[2Jy";
    let text = stdout(&posse(&["rules", "explain", line]));
    assert!(!text.contains('\x1b'), "{text}");
}
