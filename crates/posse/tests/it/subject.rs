//! What a state folder holds about one address or name, through the real binary.

use std::fs;

use serde_json::Value;

use crate::support::{Guard, Site, failed_login, stderr, stdout, wait_until};

const SUBJECT: &str = "203.0.113.9";
const OTHER: &str = "198.51.100.4";

fn rows(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let output = site.ask(&[&["subject", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ok(site: &Site, arguments: &[&str]) -> String {
    let output = site.ask(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn json(site: &Site, arguments: &[&str]) -> Value {
    let text = ok(site, &[arguments, &["--json"]].concat());
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

fn summary(rows: &[Value]) -> &Value {
    &rows.last().unwrap()["summary"]
}

fn kinds(rows: &[Value]) -> Vec<&str> {
    rows.iter().filter_map(|row| row["kind"].as_str()).collect()
}

/// Two attackers, a case about the first one with its lines as an exhibit, and the case's number.
fn attacked() -> (Site, String) {
    let site = Site::new();
    site.append("");
    let mut guard = Guard::start(&site, None, &["--observe"]);
    for address in [SUBJECT, OTHER] {
        let lines: String = (0..8).map(|n| failed_login(address, 4_000 + n)).collect();
        site.append(&lines);
    }
    wait_until("both are recorded", || {
        let alerts = site.alerts();
        [SUBJECT, OTHER]
            .iter()
            .all(|address| alerts.iter().any(|a| a["alert"]["value"] == *address))
    });
    guard.stop();
    let opened = [
        "case",
        "open",
        "--title",
        "Guessing",
        "--authority",
        "contract 7",
    ];
    let case = json(&site, &opened)["case"].as_str().unwrap().to_owned();
    let alerts = site.alerts();
    let alert = alerts
        .iter()
        .find(|a| a["alert"]["value"] == SUBJECT)
        .unwrap();
    let id = alert["alert"]["id"].as_str().unwrap();
    ok(&site, &["case", "add-alerts", &case, id]);
    (site, case)
}

#[test]
fn everything_of_an_address_is_told_with_its_purpose_and_nothing_of_others() {
    let (site, case) = attacked();
    let rows = rows(&site, &[SUBJECT]);
    let kinds = kinds(&rows);
    for kind in ["alert", "decision", "exhibit", "case"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    let text = rows.iter().map(Value::to_string).collect::<String>();
    assert!(!text.contains(OTHER), "{text}");
    let told = rows
        .iter()
        .find(|row| row["case"] == *case && row["title"].is_string());
    let told = told.unwrap_or_else(|| panic!("{case} in {text}"));
    assert_eq!(told["authority"], "contract 7");
    assert_eq!(told["state"], "open");
    let exhibit = rows.iter().find(|row| row["exhibit"].is_string()).unwrap();
    assert!(
        exhibit["kept"].as_str().unwrap().starts_with("until "),
        "{exhibit}"
    );
    assert_eq!(exhibit["looks"], 0);
    let sum = summary(&rows);
    assert!(
        sum["withholding"].as_str().unwrap().contains(&case),
        "{sum}"
    );
    assert!(
        sum["purpose"].as_str().unwrap().contains("6(1)(f)"),
        "{sum}"
    );
    assert!(sum["exhibits_bytes"].is_null());
    let plain = ok(&site, &["subject", SUBJECT]);
    assert!(plain.contains("Guessing; purpose: "), "{plain}");
    assert!(plain.contains("withheld"), "{plain}");
}

#[test]
fn the_search_is_on_the_ledger_and_looks_into_exhibits_are_too() {
    let (site, _) = attacked();
    let first = rows(&site, &[SUBJECT]);
    let index = first[0]["search"].as_u64().unwrap();
    let entry = ok(
        &site,
        &["ledger", "show", &index.to_string(), "--limit", "1"],
    );
    assert!(
        entry.contains(&format!("subject {SUBJECT}: request for access")),
        "{entry}"
    );
    // Without a reason nobody looks into exhibits.
    let output = site.ask(&["subject", SUBJECT, "--in-exhibits"]);
    assert!(!output.status.success() && stderr(&output).contains("--reason"));
    let words = [
        SUBJECT,
        "--in-exhibits",
        "--reason",
        "letter of the 3rd",
        "--by",
        "ada",
    ];
    let second = rows(&site, &words);
    let hit = second
        .iter()
        .find(|row| row["in_exhibit"].is_string())
        .unwrap();
    assert!(hit["lines"].as_u64() > Some(0), "{hit}");
    assert!(summary(&second)["exhibits_bytes"]["searched"].as_u64() > Some(0));
    let exhibit = hit["in_exhibit"].as_str().unwrap();
    let shown = json(&site, &["exhibit", "show", exhibit]);
    let custody = shown["custody"].to_string();
    assert!(
        custody.contains("letter of the 3rd") && custody.contains("\"search\""),
        "{custody}"
    );
    // The search before is known of now.
    let commands = second.iter().filter(|row| row["kind"] == "command");
    assert!(commands.count() > 0);
    assert!(site.ask(&["ledger", "verify"]).status.success());
}

#[test]
fn names_networks_and_times_are_minded() {
    let site = Site::new();
    let opened = [
        "case",
        "open",
        "--title",
        "Guessing",
        "--authority",
        "contract 7",
    ];
    let case = json(&site, &opened)["case"].as_str().unwrap().to_owned();
    let party = [
        "--id",
        "v1",
        "--role",
        "victim",
        "--name",
        "Example \"Shop\" AS",
    ];
    ok(&site, &[&["case", "party", &case], &party[..]].concat());
    ok(&site, &["ban", "203.0.113.0/24", "--for", "1h"]);
    let by_name = rows(&site, &["example \"shop\" as"]);
    assert_eq!(kinds(&by_name), ["case"]);
    let places = by_name[1]["places"][0].as_str().unwrap();
    assert!(places.ends_with("/name"), "{places}");
    let by_network = rows(&site, &[SUBJECT]);
    assert!(kinds(&by_network).contains(&"decision"), "{by_network:?}");
    let before = rows(&site, &[SUBJECT, "--at", "2001-01-01T00:00:00Z"]);
    assert_eq!(kinds(&before), Vec::<&str>::new());
    let nobody = rows(&site, &["192.0.2.200"]);
    assert_eq!(summary(&nobody)["entries"], 0);
    // What cannot be recorded is not told.
    fs::set_permissions(
        site.state(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let output = site.ask(&["subject", SUBJECT, "--json"]);
    assert!(!output.status.success());
    assert_eq!(stdout(&output), "");
}
