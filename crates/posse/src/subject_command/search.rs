//! Reads the ledger from one end to the other, a stretch at a time, and tells every entry that
//! speaks of the subject, in words or because it belongs to one that does.

use std::collections::BTreeSet;

use anyhow::Result;
use casework::subject::Subject;
use model::{AlertId, CaseStep, Entry, ExhibitAct, HandoverAct, Timestamp};
use serde_json::{Value, json};
use store::{Content, Store, StoredEntry};

use super::Answer;
use crate::ledger_command::{progress, show};

/// Entries of one reading, between which the bar moves and others may write.
const STRETCH: u64 = 5_000;
/// Alerts, cases, exhibits, hand-overs that are followed; beyond it they are counted.
const FOLLOWED_MAX: usize = 500_000;

/// What the ledger has; bounded by [`FOLLOWED_MAX`] of each.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) looked: u64,
    pub(super) entries: u64,
    /// Their payloads are gone, so nobody knows any more of whom they spoke.
    pub(super) erased: u64,
    pub(super) not_followed: u64,
    pub(super) cases: BTreeSet<String>,
    pub(super) exhibits: BTreeSet<String>,
    pub(super) handovers: BTreeSet<String>,
    pub(super) open_cases: BTreeSet<String>,
    alerts: BTreeSet<AlertId>,
}

pub(super) fn entries(
    store: &Store,
    subject: &Subject,
    (end, until): (u64, Timestamp),
    answer: &mut Answer<'_>,
) -> Result<Found> {
    let bar = progress("reading the ledger");
    let mut found = Found::default();
    let mut from = 0;
    while from < end {
        let to = end.min(from + STRETCH);
        let mut failed = Ok(());
        store.for_each_entry(from..to, &mut |stored| {
            if failed.is_ok() {
                failed = found.take(subject, &stored, until, answer);
            }
            Ok(())
        })?;
        failed?;
        show(&bar, to, end);
        from = to;
    }
    bar.finish_and_clear();
    Ok(found)
}

impl Found {
    fn take(
        &mut self,
        subject: &Subject,
        stored: &StoredEntry,
        until: Timestamp,
        answer: &mut Answer<'_>,
    ) -> Result<()> {
        let (payload, entry) = match &stored.content {
            Content::Erased { .. } => {
                self.looked += 1;
                self.erased += 1;
                return Ok(());
            }
            Content::Kept { payload, entry, .. } => (payload, entry),
        };
        if entry.at() > until {
            return Ok(());
        }
        self.looked += 1;
        let text = String::from_utf8_lossy(payload);
        let places = if subject.may_be_in(&text) {
            subject.places_in(&serde_json::from_slice::<Value>(payload)?)
        } else {
            Vec::new()
        };
        let through = self.through(entry);
        if places.is_empty() && through.is_none() {
            return Ok(());
        }
        self.entries += 1;
        self.follow(entry);
        let row = json!({
            "entry": stored.index, "at": entry.at(), "kind": entry.kind(), "what": what(entry),
            "places": places, "through": through,
        });
        let through = through.map_or_else(String::new, |name| format!(" (through {name})"));
        let words = format!(
            "  {} [{}] {}: {}{through} {}",
            entry.at(),
            stored.index,
            entry.kind(),
            what(entry),
            places.join(" ")
        );
        answer.row(&row, words.trim_end())
    }

    /// What it belongs to that speaks of the subject, when it does not itself.
    fn through(&self, entry: &Entry) -> Option<String> {
        let known = |alerts: &[AlertId]| {
            let alert = alerts.iter().find(|alert| self.alerts.contains(alert))?;
            Some(format!("alert {alert}"))
        };
        match entry {
            Entry::Decision(decision) => known(&decision.alerts),
            Entry::Refusal(refusal) => known(&refusal.alerts),
            Entry::Exhibit(act) => match act {
                ExhibitAct::Acquired(a) => {
                    let parent = a.parent.as_ref().map(|parent| &parent.exhibit);
                    let parent = parent
                        .filter(|parent| self.exhibits.contains(*parent))
                        .cloned();
                    known(a.alert.as_slice()).or(parent)
                }
                other => {
                    let number = other.exhibit();
                    self.exhibits.contains(number).then(|| number.to_owned())
                }
            },
            Entry::Case(act) => match &act.step {
                CaseStep::AlertsAdded { alerts, .. } | CaseStep::AlertsTaken { alerts, .. } => {
                    known(alerts)
                }
                CaseStep::ExhibitAdded { exhibit } => {
                    self.exhibits.contains(exhibit).then(|| exhibit.clone())
                }
                CaseStep::Referred { .. } | CaseStep::Packed { .. } => {
                    self.cases.contains(&act.case).then(|| act.case.clone())
                }
                _ => None,
            },
            Entry::Handover(HandoverAct::Offered { case, .. }) => {
                self.cases.contains(case).then(|| case.clone())
            }
            Entry::Handover(act) => {
                let number = act.handover();
                self.handovers.contains(number).then(|| number.to_owned())
            }
            _ => None,
        }
    }

    fn follow(&mut self, entry: &Entry) {
        let fits = match entry {
            Entry::Alert(alert) => put(&mut self.alerts, alert.id),
            Entry::Case(act) => put(&mut self.cases, act.case.clone()),
            Entry::Exhibit(act) => put(&mut self.exhibits, act.exhibit().to_owned()),
            Entry::Handover(act) => put(&mut self.handovers, act.handover().to_owned()),
            _ => true,
        };
        self.not_followed += u64::from(!fits);
    }
}

fn put<T: Ord>(all: &mut BTreeSet<T>, one: T) -> bool {
    if all.len() < FOLLOWED_MAX {
        all.insert(one);
        return true;
    }
    all.contains(&one)
}

/// In a few words; the entry itself is `posse ledger show`'s to print.
fn what(entry: &Entry) -> String {
    let named = |value: serde_json::Result<Value>, word: &str, of: &str| {
        let value = value.unwrap_or_default();
        let word = value[word].as_str().unwrap_or_default().replace('_', " ");
        format!("{of} {word}").trim().to_owned()
    };
    match entry {
        Entry::Alert(alert) => format!("{} ({})", alert.message, alert.rule),
        Entry::Decision(ban) => format!("ban of {} until {}", ban.prefix, ban.until),
        Entry::Release(release) => format!("ban of {} lifted", release.prefix),
        Entry::Refusal(refusal) => {
            let prefix = refusal.prefix.map(|prefix| format!(" of {prefix}"));
            format!("ban{} refused", prefix.unwrap_or_default())
        }
        Entry::Case(act) => named(serde_json::to_value(&act.step), "step", &act.case),
        Entry::Exhibit(act) => named(serde_json::to_value(act), "act", act.exhibit()),
        Entry::Handover(act) => named(serde_json::to_value(act), "act", act.handover()),
        Entry::Authority(act) => named(serde_json::to_value(act), "act", ""),
        Entry::Fleet(act) => named(serde_json::to_value(act), "act", ""),
        Entry::Person(act) => named(serde_json::to_value(act), "act", ""),
        Entry::Command(command) => format!("{} by {}", command.line, command.by),
        Entry::Notice(notice) => format!("{}: {}", notice.code, notice.text),
        Entry::Loss(loss) => format!("{} entries lost: {}", loss.entries_lost, loss.cause),
        Entry::Start(start) => format!("version {} began to watch", start.version),
        Entry::Stop(stop) => format!("ended: {}", stop.reason),
    }
}
