//! `kill -9` at random moments of a running attack. After every restart the record verifies and
//! detection goes on where it was: who tried once too often is banned, who did not is not.
//!
//! Twenty rounds by default; `POSSE_CRASH_ROUNDS=200` for the long run.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Guard, Namespace, Site, failed_login, stdout, wait_until};

/// One line fewer must not be banned; a line counted twice would do it.
const THRESHOLD: u32 = 6;

/// A bucket that does not leak while the test runs, so that only the number of lines decides.
const RULE: &str = "\
type: leaky
name: test/bf
description: six failed logins
filter: \"evt.Meta.log_type == 'ssh_failed-auth'\"
groupby: evt.Meta.source_ip
capacity: 5
leakspeed: 24h
labels:
  remediation: true
";

/// Small, seeded, and the same on every machine (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % below
    }
}

/// Attackers take turns; the even ones stop one line short.
struct Attack {
    lines: u32,
}

impl Attack {
    const AT_A_TIME: u32 = 8;

    fn address(attacker: u32) -> String {
        format!("45.66.{}.{}", attacker / 250, attacker % 250 + 1)
    }

    const fn wanted(attacker: u32) -> u32 {
        if attacker.is_multiple_of(2) {
            THRESHOLD - 1
        } else {
            THRESHOLD
        }
    }

    /// The next line, or none for a turn of an attacker who has had enough.
    fn next(&mut self) -> Option<String> {
        let group = self.lines / (Self::AT_A_TIME * THRESHOLD);
        let attacker = group * Self::AT_A_TIME + self.lines % Self::AT_A_TIME;
        let turn = self.lines / Self::AT_A_TIME % THRESHOLD;
        self.lines += 1;
        (turn < Self::wanted(attacker)).then(|| failed_login(&Self::address(attacker), self.lines))
    }

    fn finish_group(&self) -> bool {
        self.lines.is_multiple_of(Self::AT_A_TIME * THRESHOLD)
    }

    fn attackers(&self) -> u32 {
        self.lines / THRESHOLD
    }
}

fn rounds() -> u32 {
    std::env::var("POSSE_CRASH_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20)
}

fn rule_folder(site: &Site) -> String {
    let folder = site.path("rules/own/scenarios");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bf.yaml"), RULE).unwrap();
    // The shipped parsers, without the shipped scenarios.
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    for (from, to) in [("base", "base"), ("sshd/s01-parse", "sshd/s01-parse")] {
        copy(&shipped.join(from), &site.path("rules").join(to));
    }
    format!(
        "[rules]\nbuilt_in = false\nfolders = [{:?}]\n[ban.ipv4]\nprefix = 32\nwindow = \"1h\"\n\
         steps = []\nbystanders_max = 0\nbystanders_percent_max = 0\n\
         [never_ban]\nbans_per_minute = 1000000\n",
        site.path("rules").display().to_string()
    )
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_is_lost_or_counted_twice() {
    let site = Site::new();
    site.configure(&rule_folder(&site));
    let net = Namespace::new("kill -9 during an attack: the kernel's half");
    let mut dice = Dice(0x5EED_0F90);
    let mut attack = Attack { lines: 0 };
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let observe: &[&str] = if net.is_some() { &[] } else { &["--observe"] };
    let rounds = rounds();
    for round in 0..rounds {
        let mut guard = Guard::start(&site, net.as_ref(), observe);
        for _ in 0..dice.roll(60) {
            if let Some(line) = attack.next() {
                site.append(&line);
            }
            if dice.roll(12) == 0 {
                let address = format!("198.51.100.{}", round % 250 + 1);
                if let Some(index) = operator_ban(&site, &address) {
                    acknowledged.push((index, address));
                }
            }
            std::thread::sleep(Duration::from_micros(dice.roll(3_000)));
        }
        guard.kill();
        verify(&site, round);
    }
    while !attack.finish_group() {
        if let Some(line) = attack.next() {
            site.append(&line);
        }
    }
    let mut guard = Guard::start(&site, net.as_ref(), observe);
    check_end(&site, net.as_ref(), &attack, &acknowledged);
    guard.stop();
    verify(&site, rounds);
}

fn operator_ban(site: &Site, address: &str) -> Option<u64> {
    let output = site.ask(&["ban", address, "--for", "2h", "--json"]);
    let reply: Value = serde_json::from_slice(&output.stdout).ok()?;
    reply["index"].as_u64()
}

fn verify(site: &Site, round: u32) {
    let output = site.ask(&["ledger", "verify"]);
    assert!(
        output.status.success(),
        "round {round}: {}",
        stdout(&output)
    );
}

fn check_end(
    site: &Site,
    net: Option<&Namespace>,
    attack: &Attack,
    acknowledged: &[(u64, String)],
) {
    let mut expected: BTreeSet<String> = (0..attack.attackers())
        .filter(|a| Attack::wanted(*a) >= THRESHOLD)
        .map(Attack::address)
        .collect();
    expected.extend(acknowledged.iter().map(|(_, address)| address.clone()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !expected.is_subset(&site.bans().into_iter().collect()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    // A ban that should not be would have come with the others.
    std::thread::sleep(Duration::from_millis(300));
    let bans: BTreeSet<String> = site.bans().into_iter().collect();
    assert_eq!(bans, expected, "banned against expected");
    if let Some(net) = net {
        wait_until("the kernel holds exactly the bans", || {
            net.banned().into_iter().collect::<BTreeSet<_>>() == expected
        });
    }
    let output = site.ask(&["ledger", "show", "0", "--limit", "1000000"]);
    let entries: Vec<Value> = stdout(&output)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    for (index, address) in acknowledged {
        let entry = &entries[usize::try_from(*index).unwrap()];
        assert_eq!(entry["index"].as_u64(), Some(*index));
        assert_eq!(
            entry["entry"]["prefix"].as_str(),
            Some(address.as_str()),
            "{entry}"
        );
    }
    let alerts = site.alerts();
    let about: BTreeSet<&str> = alerts
        .iter()
        .filter_map(|a| a["alert"]["value"].as_str())
        .collect();
    assert_eq!(about.len(), alerts.len(), "an alert was given twice");
}
