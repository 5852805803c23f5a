//! Live response through the real binary: the order of the steps, what they bring, and that what
//! fails is told.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{POSSE, Site, stderr, stdout};

const ORDER: [&str; 11] = [
    "sockets",
    "neighbours",
    "routes",
    "firewall",
    "processes",
    "sessions",
    "modules",
    "mounts",
    "journal",
    "logs",
    "disk",
];

fn collect(site: &Site, more: &[&str]) -> Output {
    Command::new(POSSE)
        .args(["exhibit", "collect", "--authority", "contract 7", "--json"])
        .args(more)
        .arg("--config")
        .arg(site.config())
        .arg("--state")
        .arg(site.state())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The exhibits made, and the rows of the last one: the list of actions.
fn outcome(site: &Site, output: &Output) -> (Vec<Value>, Vec<Value>) {
    let text = stdout(output);
    let made: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = made
        .last()
        .unwrap_or_else(|| panic!("nothing taken: {}", stderr(output)));
    let actions = rows(site, last["exhibit"].as_str().unwrap());
    (made, actions)
}

fn rows(site: &Site, exhibit: &str) -> Vec<Value> {
    let seen = site.ask(&["exhibit", "view", exhibit, "--reason", "to read it"]);
    assert!(seen.status.success(), "{}", stderr(&seen));
    let text = stdout(&seen);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn action<'a>(actions: &'a [Value], step: &str) -> &'a Value {
    let found = actions
        .iter()
        .find(|a| a["step"] == step && a["action"].is_u64());
    found.unwrap_or_else(|| panic!("no {step} in {actions:?}"))
}

/// Everything but the programs' hashes and the journal, which may take their time.
const QUICK: [&str; 9] = [
    "sockets",
    "neighbours",
    "routes",
    "firewall",
    "sessions",
    "modules",
    "mounts",
    "logs",
    "disk",
];

#[test]
fn everything_is_taken_in_the_order_of_volatility_and_the_list_of_it_is_an_exhibit() {
    let site = Site::new();
    site.append("a line\nand another\n");
    let listed = site.path("listed");
    fs::create_dir(&listed).unwrap();
    fs::write(listed.join("file"), "abc").unwrap();
    let open = TcpListener::bind("127.0.0.1:0").unwrap();
    let only: Vec<&str> = QUICK.iter().flat_map(|step| ["--only", step]).collect();
    let path = listed.display().to_string();
    let output = collect(&site, &[&only[..], &["--path", &path]].concat());
    let (made, actions) = outcome(&site, &output);
    let steps: Vec<&str> = actions[1..]
        .iter()
        .map(|a| a["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ORDER);
    let times: Vec<&str> = actions[1..]
        .iter()
        .map(|a| a["began"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    for action in &actions[1..] {
        let (end, why) = (
            action["end"].as_str().unwrap(),
            action["why"].as_str().unwrap(),
        );
        assert_eq!(end == "complete", why.is_empty(), "{action}");
        assert_eq!(
            action["exhibit"].is_string(),
            matches!(end, "complete" | "partial")
        );
    }
    for left_out in ["processes", "journal"] {
        assert_eq!(action(&actions, left_out)["end"], "left_out");
    }

    let sockets = action(&actions, "sockets");
    let sockets = rows(&site, sockets["exhibit"].as_str().unwrap());
    assert_eq!(sockets[0]["format"], "posse-live/1");
    let ours = open.local_addr().unwrap().to_string();
    let row = sockets.iter().find(|row| row["local"] == ours).unwrap();
    assert_eq!(row["state"], "listen");
    assert_eq!(row["held_by"][0]["pid"], std::process::id());

    let disk = rows(&site, action(&actions, "disk")["exhibit"].as_str().unwrap());
    let row = disk.iter().find(|row| row["type"] == "file").unwrap();
    assert_eq!(row["sha256"], hex(b"abc"));

    let log = action(&actions, "logs");
    assert_eq!(
        (log["end"].as_str(), log["rows"].as_u64()),
        (Some("complete"), Some(2))
    );
    assert_eq!(log["sha256"], hex(b"a line\nand another\n"));
    let shown = site.ask(&[
        "exhibit",
        "show",
        log["exhibit"].as_str().unwrap(),
        "--json",
    ]);
    let shown: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    assert_eq!(shown["acquisition"]["method"], "live collection: logs");
    assert_eq!(shown["acquisition"]["authority"], "contract 7");
    assert!(made.len() >= 5, "{made:?}");
    assert!(
        stderr(&output).contains("1/11 sockets"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn processes_are_told_with_the_hashes_of_their_programs() {
    let site = Site::new();
    let output = collect(&site, &["--only", "processes", "--time", "20s"]);
    let (_, actions) = outcome(&site, &output);
    let exhibit = action(&actions, "processes")["exhibit"].as_str().unwrap();
    let rows = rows(&site, exhibit);
    let own = rows
        .iter()
        .find(|row| row["process"] == std::process::id())
        .unwrap();
    let exe = std::env::current_exe().unwrap().display().to_string();
    assert_eq!(own["exe"], exe);
    assert!(
        own["started"].is_string() && own["parent"].is_u64(),
        "{own}"
    );
}

#[test]
fn what_fails_or_does_not_fit_is_on_the_list_with_its_reason() {
    let site = Site::new();
    let log = site.log().display().to_string();
    let words = ["--only", "logs", "--only", "mounts", "--bytes", "200"];
    // There is no log, and two hundred bytes hold no table of mounts.
    let output = collect(&site, &words);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let (_, actions) = outcome(&site, &output);
    let missing = action(&actions, "logs");
    assert_eq!(
        (missing["end"].as_str(), missing["of"].as_str()),
        (Some("failed"), Some(&*log))
    );
    assert!(
        missing["why"].as_str().unwrap().contains("no such file"),
        "{missing}"
    );
    let mounts = action(&actions, "mounts");
    assert!(
        mounts["why"].as_str().unwrap().contains("limit of bytes"),
        "{mounts}"
    );
    // Of a log that is too long, the end.
    site.append(&format!("{}\nlast\n", "x".repeat(300)));
    let output = collect(&site, &words);
    let (_, actions) = outcome(&site, &output);
    let cut = action(&actions, "logs");
    assert_eq!(
        (cut["end"].as_str(), cut["bytes"].as_u64()),
        (Some("partial"), Some(200))
    );
    assert!(
        cut["why"].as_str().unwrap().contains("first 106 bytes"),
        "{cut}"
    );
}

#[test]
fn nothing_is_collected_without_an_authority() {
    let site = Site::new();
    let words = ["exhibit", "collect", "--authority", " "];
    let output = site.ask(&words);
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("authority is empty"),
        "{}",
        stderr(&output)
    );
}
