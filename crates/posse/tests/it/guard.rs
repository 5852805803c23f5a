//! A running guard without the kernel: what it sees, what it remembers, how it is told.

use std::fs;

use crate::support::{Guard, Site, failed_login, posse, stderr, stdout, wait_until};

const OBSERVE: &[&str] = &["--observe"];

fn attack(site: &Site, address: &str, lines: u32) {
    let text: String = (0..lines)
        .map(|n| failed_login(address, 40_000 + n))
        .collect();
    site.append(&text);
}

#[test]
fn an_attack_becomes_an_alert_with_its_lines_and_a_decision() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    attack(&site, "198.51.100.7", 6);
    wait_until("the attacker is decided on", || {
        site.bans() == ["198.51.100.7"]
    });
    let alerts = site.alerts();
    let alert = &alerts[0]["alert"];
    assert_eq!(alert["rule"], "posse/ssh-bf");
    let evidence = alert["evidence"].as_array().unwrap();
    assert_eq!(evidence.len(), 6);
    let text = fs::read_to_string(site.log()).unwrap();
    for (line, proof) in text.lines().zip(evidence) {
        assert_eq!(proof["raw"]["text"].as_str(), Some(line));
        assert_eq!(proof["origin"]["at"], "file");
    }
}

#[test]
fn four_of_five_before_a_crash_and_the_fifth_after_it() {
    let site = Site::new();
    let mut guard = Guard::start(&site, None, OBSERVE);
    attack(&site, "198.51.100.8", 5);
    wait_until("the lines were read", || lines_read(&site) >= 5);
    guard.kill();
    assert!(site.bans().is_empty());
    let _again = Guard::start(&site, None, OBSERVE);
    attack(&site, "198.51.100.8", 1);
    wait_until("the last attempt is enough", || {
        site.bans() == ["198.51.100.8"]
    });
}

#[test]
fn lines_of_any_bytes_do_no_harm() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    let mut noise = vec![b'x'; (1 << 20) + 500];
    noise.push(b'\n');
    noise.extend(b"\0\xff\xfe broken \x80 bytes\n\n\r\n");
    // A name of bytes that are no text, in a line that counts.
    let hostile = failed_login("198.51.100.9", 1);
    let (head, tail) = hostile.split_once("root").unwrap();
    noise.extend([head.as_bytes(), b"\xff\xfe", tail.as_bytes()].concat());
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(site.log())
        .unwrap();
    std::io::Write::write_all(&mut file, &noise).unwrap();
    attack(&site, "198.51.100.9", 5);
    wait_until("the attack behind the noise is seen", || {
        site.bans() == ["198.51.100.9"]
    });
    let status = status(&site);
    assert_eq!(status["sources"][0]["truncated"], 1, "{status}");
    assert!(
        status["engine"]["invalid_utf8"].as_u64() >= Some(1),
        "{status}"
    );
}

#[test]
fn a_broken_reload_keeps_the_last_good_configuration() {
    let site = Site::new();
    let guard = Guard::start(&site, None, OBSERVE);
    site.configure("[nonsense]\n");
    guard.signal("-HUP");
    wait_until("the failure is on the record", || {
        let entries = stdout(&site.ask(&["ledger", "show"]));
        entries.contains("reload_failed") && entries.contains("nonsense")
    });
    attack(&site, "198.51.100.10", 6);
    wait_until("detection goes on", || site.bans() == ["198.51.100.10"]);
    site.configure("[ban]\nduration = \"1h\"\n");
    guard.signal("-HUP");
    wait_until("the reload is on the record", || {
        stdout(&site.ask(&["ledger", "show"])).contains("\"reloaded\"")
    });
    attack(&site, "198.51.100.11", 6);
    wait_until("detection goes on after a reload", || {
        site.bans().len() == 2
    });
}

#[test]
fn operators_ban_and_unban_through_the_running_guard() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    let banned = site.ask(&[
        "ban",
        "2001:db8:7::/64",
        "--for",
        "1h",
        "--reason",
        "seen elsewhere",
    ]);
    assert_eq!(banned.status.code(), Some(3), "{}", stdout(&banned));
    assert!(
        stdout(&banned).contains("ledger entry"),
        "{}",
        stdout(&banned)
    );
    assert_eq!(site.bans(), ["2001:db8:7::/64"]);
    let refused = site.ask(&["ban", "127.0.0.1"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        stdout(&refused).contains("loopback"),
        "{}",
        stdout(&refused)
    );
    site.ask(&["ban", "198.51.100.12"]);
    let all = site.ask(&["unban", "--all"]);
    assert!(stdout(&all).contains("released 2 bans"), "{}", stdout(&all));
    assert!(site.bans().is_empty());
    let shown = stdout(&site.ask(&["ledger", "show"]));
    for kind in ["command", "decision", "refusal", "release", "start"] {
        assert!(
            shown.contains(&format!("\"kind\":\"{kind}\"")),
            "{kind} in {shown}"
        );
    }
}

#[test]
fn operators_can_act_without_a_guard() {
    let site = Site::new();
    fs::create_dir(site.state()).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(site.state(), fs::Permissions::from_mode(0o700)).unwrap();
    let refused = site.ask(&["ban", "0.0.0.0/0"]);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    assert!(stdout(&site.ask(&["ledger", "verify"])).starts_with("OK"));
}

#[test]
fn a_second_guard_on_the_same_state_is_refused() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    let config = site.config().display().to_string();
    let state = site.state().display().to_string();
    let second = posse(&["run", "--config", &config, "--state", &state, "--observe"]);
    assert!(!second.status.success());
    assert!(stderr(&second).contains("state"), "{}", stderr(&second));
}

#[test]
fn the_guard_says_what_it_watches_and_that_it_only_observes() {
    let site = Site::new();
    site.append("");
    let mut guard = Guard::start(&site, None, OBSERVE);
    wait_until("it has spoken", || guard.said().contains("OBSERVE MODE"));
    assert!(guard.said().contains("auth.log"), "{}", guard.said());
    assert!(guard.stop().success());
    let shown = stdout(&site.ask(&["ledger", "show"]));
    assert!(shown.contains("\"kind\":\"stop\""), "{shown}");
}

fn status(site: &Site) -> serde_json::Value {
    serde_json::from_str(&stdout(&site.ask(&["status", "--json"]))).unwrap_or_default()
}

fn lines_read(site: &Site) -> u64 {
    status(site)["engine"]["lines"].as_u64().unwrap_or(0)
}

/// Processes of this site's hub, keeper included.
fn hub_processes(site: &Site) -> Vec<i32> {
    let state = site.state().join("hub").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        let name = entry.file_name().to_string_lossy().parse::<i32>();
        if let (Ok(pid), true) = (name, words.contains(&state)) {
            found.push(pid);
        }
    }
    found
}

/// The hub itself: the keeper has no `--while-input`.
fn hub_itself(site: &Site) -> Option<i32> {
    hub_processes(site).into_iter().find(|pid| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains("--while-input")
    })
}

#[test]
fn a_hub_runs_beside_the_guard_comes_back_and_ends_with_it() {
    let site = Site::with_config("[hub]\nlisten = \"127.0.0.1:0\"\norg = \"acme\"\n");
    let state = site.state().join("hub").display().to_string();
    let hub = |words: &[&str]| {
        let mut words = words.to_vec();
        words.extend(["--state", &state]);
        posse(&words)
    };
    let mut guard = Guard::start(&site, None, OBSERVE);
    wait_until("the hub takes orders", || {
        hub(&["status", "--json"]).status.success()
    });
    assert!(hub(&["ban", "203.0.113.9"]).status.success());
    let first = hub_itself(&site).unwrap();
    let pid = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    wait_until("another hub runs", || {
        hub_itself(&site).is_some_and(|now| now != first)
            && stdout(&hub(&["bans", "--json"])).contains("203.0.113.9")
    });
    guard.kill();
    wait_until("a killed guard takes the hub along", || {
        hub_processes(&site).is_empty()
    });
    let mut guard = Guard::start(&site, None, OBSERVE);
    wait_until("the hub is back", || {
        stdout(&hub(&["bans", "--json"])).contains("203.0.113.9")
    });
    guard.stop();
    assert_eq!(hub_processes(&site), Vec::<i32>::new());
}
