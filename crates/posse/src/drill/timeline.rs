//! What happened when, and whether it was right.

use std::{fmt::Write as _, net::IpAddr, path::Path};

use anyhow::Result;
use model::{Prefix, Timestamp};
use serde_json::{Value, json};
use store::Store;

use super::{
    hosts::{ATTACKER_V4, ATTACKER_V6, CLIENT, Host},
    report::{Said, Step},
};

/// One line from a part of the drill.
pub(super) enum Seen {
    /// The guard's feed.
    Guard(Value),
    Part(Said),
}

#[derive(Default)]
pub(super) struct Timeline {
    service_ready: bool,
    attacks: [Attack; 2],
    client_served: u64,
    client_failed: u64,
    checks: Vec<Check>,
}

#[derive(Default)]
struct Attack {
    address: Option<IpAddr>,
    first_packet: Option<Timestamp>,
    /// The last line written before the alert: the one that crossed the threshold.
    threshold_line: Option<Timestamp>,
    lines: u64,
    alert: Option<Timestamp>,
    rule: String,
    in_kernel: Option<Timestamp>,
    banned: Option<Prefix>,
    /// When the first attempt without an answer was begun.
    unanswered: Option<Timestamp>,
    answered: usize,
    held_alive: Option<bool>,
    over: bool,
    ledger_index: Option<u64>,
}

struct Check {
    what: String,
    holds: bool,
}

impl Timeline {
    pub(super) const fn service_ready(&self) -> bool {
        self.service_ready
    }

    pub(super) const fn client_served(&self) -> u64 {
        self.client_served
    }

    pub(super) fn attack_over(&self, host: Host) -> bool {
        slot(host)
            .and_then(|n| self.attacks.get(n))
            .is_some_and(|a| a.over)
    }

    pub(super) fn add(&mut self, host: Host, seen: Seen) {
        match seen {
            Seen::Guard(event) => self.add_guard(&event),
            Seen::Part(said) => self.add_part(host, said),
        }
    }

    fn add_part(&mut self, host: Host, said: Said) {
        match said.step {
            Step::Ready => self.service_ready = true,
            Step::Served { ok: true } => self.client_served += 1,
            Step::Served { ok: false } => self.client_failed += 1,
            Step::Line { peer } => {
                if let Some(attack) = self.by_address(peer).filter(|a| a.alert.is_none()) {
                    attack.lines += 1;
                    attack.threshold_line = Some(said.at);
                }
            }
            Step::FirstPacket => self.attack(host, |a| a.first_packet = Some(said.at)),
            Step::Attempt { number } => self.attack(host, |a| a.answered = number + 1),
            Step::CutOff { sent, .. } => self.attack(host, |a| a.unanswered = Some(sent)),
            Step::Held { alive } => self.attack(host, |a| {
                a.held_alive = Some(alive);
                a.over = true;
            }),
            Step::NeverCutOff => self.attack(host, |a| a.over = true),
        }
    }

    fn attack(&mut self, host: Host, change: impl FnOnce(&mut Attack)) {
        if let Some(attack) = slot(host).and_then(|n| self.attacks.get_mut(n)) {
            change(attack);
        }
    }

    fn by_address(&mut self, address: IpAddr) -> Option<&mut Attack> {
        let n = [ATTACKER_V4, ATTACKER_V6]
            .iter()
            .position(|a| a.parse() == Ok(address))?;
        self.attacks.get_mut(n)
    }

    fn add_guard(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
        let time = |key: &str| text(key).parse::<Timestamp>().ok();
        match text("event") {
            "alert" => {
                let Ok(address) = text("value").parse::<IpAddr>() else {
                    return;
                };
                if let Some(attack) = self.by_address(address).filter(|a| a.alert.is_none()) {
                    attack.alert = time("seen");
                    text("rule").clone_into(&mut attack.rule);
                }
            }
            "ban" => {
                let Ok(prefix) = text("prefix").parse::<Prefix>() else {
                    return;
                };
                let (from, in_kernel) = (time("from"), time("in_kernel"));
                let hit = |a: &&mut Attack| a.address.is_some_and(|ip| prefix.contains(ip));
                self.name_attackers();
                if let Some(attack) = self
                    .attacks
                    .iter_mut()
                    .find(hit)
                    .filter(|a| a.banned.is_none())
                {
                    attack.banned = Some(prefix);
                    attack.in_kernel = in_kernel;
                    attack.alert = attack.alert.or(from);
                }
            }
            _ => {}
        }
    }

    fn name_attackers(&mut self) {
        for (attack, address) in self.attacks.iter_mut().zip([ATTACKER_V4, ATTACKER_V6]) {
            attack.address = address.parse().ok();
        }
    }

    /// What the record says, and whether it holds.
    pub(super) fn read_ledger(&mut self, state: &Path) -> Result<()> {
        self.name_attackers();
        let store = Store::open_read_only(state)?;
        for ban in store.bans(Timestamp::EPOCH)? {
            for attack in &mut self.attacks {
                if attack.banned == Some(ban.decision.prefix) {
                    attack.ledger_index = Some(ban.index);
                }
            }
            if ban.decision.prefix.contains(CLIENT.parse()?) {
                self.checks.push(Check {
                    what: "the benign client was banned".into(),
                    holds: false,
                });
            }
        }
        let verified = store.verify(&mut |_, _| ());
        let what = match &verified {
            Ok(report) => format!("the ledger verifies ({} entries)", report.entries),
            Err(failure) => format!("the ledger verifies: {failure}"),
        };
        self.judge();
        self.checks.push(Check {
            what,
            holds: verified.is_ok(),
        });
        Ok(())
    }

    fn judge(&mut self) {
        for (attack, name) in self.attacks.iter().zip([ATTACKER_V4, ATTACKER_V6]) {
            let mut check = |what: &str, holds: bool| {
                self.checks.push(Check {
                    what: format!("{name}: {what}"),
                    holds,
                });
            };
            check("banned in the kernel", attack.in_kernel.is_some());
            check("cut off", attack.unanswered.is_some());
            check(
                "its open connection is dead",
                attack.held_alive == Some(false),
            );
            check("the ban is on the ledger", attack.ledger_index.is_some());
        }
        let what = format!(
            "{CLIENT}: served throughout ({} rounds, {} failed)",
            self.client_served, self.client_failed
        );
        let holds = self.client_served > 0 && self.client_failed == 0;
        self.checks.push(Check { what, holds });
    }

    /// The checks that did not hold.
    pub(super) fn verdict(&self) -> Vec<&str> {
        self.checks
            .iter()
            .filter(|c| !c.holds)
            .map(|c| c.what.as_str())
            .collect()
    }

    pub(super) fn json(&self) -> Value {
        let attacks: Vec<Value> = self.attacks.iter().map(Attack::json).collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|c| json!({ "check": c.what, "holds": c.holds }))
            .collect();
        json!({ "passed": self.verdict().is_empty(), "attacks": attacks, "checks": checks })
    }

    pub(super) fn human(&self) -> String {
        let mut out = String::new();
        for attack in &self.attacks {
            attack.write(&mut out);
        }
        for check in &self.checks {
            let mark = if check.holds { "ok  " } else { "FAIL" };
            writeln!(out, "  {mark}  {}", check.what).ok();
        }
        let word = if self.verdict().is_empty() {
            "PASSED"
        } else {
            "FAILED"
        };
        writeln!(
            out,
            "\nDrill {word}: attackers cut off, benign client served."
        )
        .ok();
        out
    }
}

const fn slot(host: Host) -> Option<usize> {
    match host {
        Host::AttackerV4 => Some(0),
        Host::AttackerV6 => Some(1),
        Host::Client | Host::Victim => None,
    }
}

impl Attack {
    fn steps(&self) -> [(&'static str, Option<Timestamp>); 5] {
        [
            ("first hostile packet", self.first_packet),
            ("threshold line written", self.threshold_line),
            ("alert", self.alert),
            ("ban in the kernel", self.in_kernel),
            ("first dropped packet", self.first_dropped()),
        ]
    }

    /// An attempt that was under way when the ban came loses its next packet, not its first.
    fn first_dropped(&self) -> Option<Timestamp> {
        Some(self.unanswered?.max(self.in_kernel?))
    }

    fn write(&self, out: &mut String) {
        let who = self.address.map_or_else(String::new, |a| a.to_string());
        let banned = self
            .banned
            .map_or_else(|| "nothing".to_owned(), |p| p.to_string());
        writeln!(out, "{who} by {} — banned {banned}", self.rule).ok();
        let start = self.first_packet.unwrap_or_default();
        let line = self.threshold_line.unwrap_or_default();
        for (what, at) in self.steps() {
            let Some(at) = at else {
                writeln!(out, "  {what:<24} never").ok();
                continue;
            };
            let since_start = at.since(start).as_secs_f64() * 1e3;
            write!(out, "  {what:<24} {since_start:>9.2} ms").ok();
            if at > line {
                let after_line = at.since(line).as_secs_f64() * 1e3;
                write!(out, "   ({after_line:.2} ms after the line)").ok();
            }
            out.push('\n');
        }
        let index = self
            .ledger_index
            .map_or_else(|| "none".to_owned(), |i| i.to_string());
        writeln!(out, "  {:<24} {index:>9}\n", "ledger entry").ok();
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "address": self.address,
            "rule": self.rule,
            "banned": self.banned,
            "attempts_answered": self.answered,
            "held_connection_alive": self.held_alive,
            "ledger_index": self.ledger_index,
        });
        if let Some(object) = value.as_object_mut() {
            for (what, at) in self.steps() {
                object.insert(what.replace(' ', "_"), json!(at));
            }
        }
        value
    }
}
