//! Cases through the real binary: what people say of them, and what groups itself.

use std::{
    process::Command,
    sync::{Arc, Barrier},
};

use serde_json::Value;

use crate::support::{Guard, POSSE, Site, failed_login, stderr, stdout, wait_until};

fn values(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = site.ask(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let values = text.lines().map(serde_json::from_str::<Value>);
    values.map(Result::unwrap).collect()
}

fn open(site: &Site) -> String {
    let words = [
        "case",
        "open",
        "--title",
        "Guessing",
        "--authority",
        "contract 7",
        "--json",
    ];
    let said = values(site, &words);
    said[0]["case"].as_str().unwrap().to_owned()
}

#[test]
fn a_case_holds_all_that_was_said_and_is_rebuilt_from_it() {
    let site = Site::new();
    let case = open(&site);
    let say = |words: &[&str]| {
        let words = [&["case", words[0], &case], &words[1..], &["--by", "ada"]].concat();
        site.ask(&words)
    };
    let ok = |words: &[&str]| {
        let output = say(words);
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let loss = [
        "loss",
        "--party",
        "victim-1",
        "--what",
        "shop down",
        "--low",
        "1200.50",
        "--high",
        "3000",
        "--unit",
        "EUR",
        "--source",
        "invoice 5",
        "--method",
        "hours down by rate",
    ];
    // A loss is somebody's.
    assert!(stderr(&say(&loss)).contains("no party"));
    ok(&[
        "party",
        "--id",
        "victim-1",
        "--role",
        "victim",
        "--name",
        "Example Shop",
        "--country",
        "no",
        "--address",
        "192.0.2.7",
    ]);
    ok(&loss);
    ok(&["note", "They were called at noon."]);
    ok(&[
        "task",
        "--id",
        "t1",
        "--title",
        "ask the provider",
        "--due",
        "2026-12-01T12:00:00Z",
    ]);
    ok(&[
        "measure",
        "--what",
        "banned",
        "--effect",
        "after 214 ms",
        "--prefix",
        "203.0.113.0/24",
    ]);
    ok(&[
        "forborne",
        "--what",
        "logging in to their server",
        "--reason",
        "not ours",
    ]);
    ok(&[
        "milestone",
        "--kind",
        "preservation-confirmed",
        "--source",
        "letter",
        "--about",
        "p1",
        "--when",
        "2026-01-01T00:00:00Z",
        "--lapses",
        "2026-03-01T00:00:00Z",
    ]);
    ok(&[
        "outcome",
        "--kind",
        "arrests",
        "--count",
        "2",
        "--source",
        "police press release",
        "--when",
        "2026-06-01T00:00:00Z",
    ]);
    ok(&["close", "--reason", "over"]);
    assert!(stderr(&say(&["measure", "--what", "x", "--effect", "y"])).contains("closed"));
    ok(&[
        "outcome",
        "--kind",
        "money-recovered",
        "--count",
        "99.05",
        "--unit",
        "EUR",
        "--source",
        "bank",
        "--when",
        "2026-07-01T00:00:00Z",
    ]);

    let before = values(&site, &["case", "show", &case, "--json"]).remove(0);
    assert_eq!(before["parties"][0]["country"], "NO");
    assert_eq!(before["losses"][0]["low"], 120_050);
    assert_eq!(before["closed"]["reason"], "over");
    assert!(before["opened_by"].is_string());
    let clocks = values(&site, &["case", "clocks", &case, "--json"]).remove(0);
    let lapsed = &clocks["deadlines"][0];
    assert_eq!(
        (&lapsed["about"], &lapsed["over"]),
        (&"p1".into(), &true.into())
    );
    assert_ne!(lapsed["at_risk"], "");
    let year = values(&site, &["case", "report", "--year", "2026", "--json"]).remove(0);
    assert_eq!(year["outcomes"][0]["count"], 2);
    assert_eq!(year["outcomes"][1]["count"], 9_905);
    assert_eq!(year["outcomes"][1]["sources"][0]["source"], "bank");
    let other = values(&site, &["case", "report", "--year", "2025", "--json"]).remove(0);
    assert_eq!(other["outcomes"].as_array().unwrap().len(), 0);

    assert!(site.ask(&["ledger", "rebuild"]).status.success());
    assert!(site.ask(&["ledger", "verify"]).status.success());
    let mut after = values(&site, &["case", "show", &case, "--json"]).remove(0);
    after["at"] = before["at"].clone();
    assert_eq!(after, before);
}

#[test]
fn numbers_are_never_given_twice() {
    let site = Site::new();
    site.append("");
    open(&site);
    let guard = Guard::start(&site, None, &["--observe"]);
    let start = Arc::new(Barrier::new(4));
    let state = site.state();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (start, state) = (Arc::clone(&start), state.clone());
            std::thread::spawn(move || {
                start.wait();
                for _ in 0..5 {
                    let output = Command::new(POSSE)
                        .args([
                            "case",
                            "open",
                            "--title",
                            "x",
                            "--authority",
                            "y",
                            "--state",
                        ])
                        .arg(&state)
                        .output()
                        .unwrap();
                    assert!(output.status.success(), "{}", stderr(&output));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let cases = values(&site, &["case", "list", "--json"]);
    assert_eq!(cases.len(), 21);
    let mut numbers: Vec<&str> = cases.iter().map(|c| c["case"].as_str().unwrap()).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 21);
    assert!(numbers[20].ends_with("-0021"), "{}", numbers[20]);
    drop(guard);
}

#[test]
fn alerts_of_one_network_become_one_case_by_themselves() {
    let site = Site::with_config(
        "[cases]\ngroup = \"source_network\"\nalerts = 2\nauthority = \"contract 7\"",
    );
    site.append("");
    let pace = [("POSSE_TEST_EVIDENCE_PACE", "100ms")];
    let mut guard = Guard::start_with(&site, None, &["--observe"], &pace);
    let attack = |address: &str| {
        let lines: String = (0..8).map(|n| failed_login(address, 4000 + n)).collect();
        site.append(&lines);
        wait_until("the alert is recorded", || {
            let alerts = site.alerts();
            alerts.iter().any(|a| a["alert"]["value"] == address)
        });
    };
    attack("203.0.113.9");
    attack("198.51.100.4");
    attack("203.0.113.200");
    let cases = || values(&site, &["case", "list", "--json"]);
    wait_until("a case was opened", || !cases().is_empty());
    attack("203.0.113.77");
    let in_first = || cases()[0]["alerts"].as_array().unwrap().len();
    wait_until("the later alert is in the case", || in_first() >= 3);
    let all = cases();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["grouped_by"], "source_network 203.0.113.0/24");
    assert_eq!(all[0]["authority"], "contract 7");
    let case = all[0]["case"].as_str().unwrap();
    let clocks = values(&site, &["case", "clocks", case, "--json"]).remove(0);
    let aid = &clocks["first_aid"];
    assert!(aid["seconds_to_decision"].as_f64().unwrap() >= 0.0, "{aid}");
    // It only observes: no kernel, and no hub, ever said anything.
    assert!(aid["ban"].is_null() && aid["everywhere"].is_null(), "{aid}");
    // A guard that starts again goes on with it.
    guard.stop();
    let mut guard = Guard::start_with(&site, None, &["--observe"], &pace);
    attack("203.0.113.5");
    wait_until("the case goes on", || {
        cases()[0]["alerts"].as_array().unwrap().len() >= 4
    });
    assert_eq!(cases().len(), 1);
    guard.stop();
}
