//! `posse watch` beside a guard that works, dies and comes back.

use std::{
    fs::File,
    io::Write as _,
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
};

use crate::support::{Guard, POSSE, Site, failed_login, stdout, wait_until};

const OBSERVE: &[&str] = &["--observe"];

/// A watcher whose words go into a file; killed when dropped.
struct Watcher {
    child: Child,
    said: std::path::PathBuf,
}

impl Watcher {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let said = site.path("watch.out");
        let child = Command::new(POSSE)
            .arg("watch")
            .args(arguments)
            .arg("--state")
            .arg(site.state())
            .stdin(Stdio::null())
            .stdout(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { child, said }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn attack(site: &Site, address: &str) {
    let text: String = (0..6).map(|n| failed_login(address, 40_000 + n)).collect();
    site.append(&text);
}

#[test]
fn without_a_guard_it_says_so() {
    let site = Site::new();
    let output = site.ask(&["watch"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("no guard is running"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn every_happening_is_seen_also_after_the_guard_came_back() {
    let site = Site::new();
    let mut guard = Guard::start(&site, None, OBSERVE);
    let watcher = Watcher::start(&site, &["--json"]);
    wait_until("the watcher was greeted", || {
        watcher.said().contains("\"event\":\"status\"")
    });
    attack(&site, "198.51.100.7");
    wait_until("the ban is seen", || {
        let said = watcher.said();
        said.contains("\"event\":\"alert\"") && said.contains("\"event\":\"ban\"")
    });
    guard.kill();
    wait_until("its end is seen", || watcher.said().contains("guard_gone"));
    let _again = Guard::start(&site, None, OBSERVE);
    let greetings = || watcher.said().matches("\"event\":\"status\"").count();
    let before = greetings();
    wait_until("the new guard is found", || greetings() > before);
    attack(&site, "198.51.100.8");
    wait_until("its ban is seen", || {
        watcher.said().contains("198.51.100.8")
    });
    for line in watcher.said().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn people_see_one_harmless_line_for_each_happening() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    attack(&site, "198.51.100.9");
    wait_until("the attacker is decided on", || !site.bans().is_empty());
    let watcher = Watcher::start(&site, &[]);
    wait_until("the headline is there", || {
        watcher.said().contains("OBSERVING")
    });
    assert!(watcher.said().contains("earlier"), "{}", watcher.said());
    let hostile = "\x1b]0;owned\x07\u{202e}\x1b[2J";
    site.ask(&["ban", "198.51.100.10", "--reason", hostile]);
    wait_until("the ban is seen", || {
        watcher.said().contains("198.51.100.10")
    });
    let said = watcher.said();
    assert!(said.contains("\\x1b]0;owned\\x07\\u{202e}"), "{said}");
    assert!(!said.contains(['\x1b', '\u{202e}']), "{said:?}");
    let listed = stdout(&site.ask(&["bans"]));
    assert!(!listed.contains('\x1b'), "{listed:?}");
}

#[test]
fn a_watcher_that_never_reads_holds_up_nothing() {
    let site = Site::new();
    let _guard = Guard::start(&site, None, OBSERVE);
    let deaf: Vec<UnixStream> = (0..12)
        .map(|_| {
            let mut stream = UnixStream::connect(site.state().join("control.sock")).unwrap();
            stream.write_all(b"{\"do\":\"watch\"}\n").unwrap();
            stream
        })
        .collect();
    for n in 1..=40 {
        attack(&site, &format!("198.51.100.{n}"));
    }
    wait_until("all are decided on", || site.alerts().len() >= 40);
    // There is room for orders beside those who watch.
    let answer = site.ask(&["status"]);
    assert!(answer.status.success(), "{}", stdout(&answer));
    drop(deaf);
}
