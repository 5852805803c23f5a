//! An operator's order, carried out on policy and shield. The running guard and the command line
//! without one do the same thing here; only who applies and records it differs.

use std::time::Duration;

use decide::{Policy, Verdict};
use enforce::KernelChange;
use model::{Command, Decision, Entry, HostFacts, Notice, Origin, Prefix, Timestamp};

use crate::{control::Reply, shield::Shield};

/// What an order led to: verdicts to tell, changes for the kernel, entries for the record.
pub(crate) struct Outcome {
    pub(crate) reply: Reply,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) changes: Vec<KernelChange>,
    command: Command,
}

impl Outcome {
    fn new(line: String, by: &str, now: Timestamp) -> Self {
        Self {
            reply: Reply::default(),
            verdicts: Vec::new(),
            changes: Vec::new(),
            command: Command {
                at: now,
                by: by.to_owned(),
                line,
            },
        }
    }

    /// The command first, then what came of it, with when the kernel had it.
    pub(crate) fn entries(&self, in_kernel: Option<Timestamp>) -> Vec<Entry> {
        let verdicts = self.verdicts.iter().cloned();
        let verdicts = verdicts.map(|verdict| entry_of(verdict, in_kernel));
        std::iter::once(Entry::Command(self.command.clone()))
            .chain(verdicts)
            .collect()
    }
}

/// A ban as an operator asks for it.
pub(crate) struct Wish<'a> {
    pub(crate) prefix: Prefix,
    pub(crate) duration: Duration,
    pub(crate) reason: &'a str,
    pub(crate) by: &'a str,
}

pub(crate) fn ban(
    wish: &Wish<'_>,
    policy: &mut Policy,
    shield: &mut Shield,
    facts: &HostFacts,
    now: Timestamp,
) -> Outcome {
    let Wish {
        prefix,
        duration,
        reason,
        by,
    } = *wish;
    let line = format!(
        "ban {prefix} --for {}s --reason {reason:?}",
        duration.as_secs()
    );
    let mut outcome = Outcome::new(line, by, now);
    let origin = Origin::Operator {
        name: by.to_owned(),
    };
    let mut verdict = policy.request(prefix, duration, reason, origin, facts, now);
    match &verdict {
        Verdict::Ban(decision) => match shield.ban(decision.prefix, decision.until, now) {
            Ok(changes) => {
                outcome.reply.prefixes.push(decision.prefix);
                outcome.changes = changes;
            }
            Err(e) => {
                outcome.reply.error = Some(e.to_string());
                let prefixes = vec![decision.prefix];
                let code = "ban_table_full".to_owned();
                verdict = Verdict::Notice(Notice {
                    at: now,
                    code,
                    text: e.to_string(),
                    prefixes,
                });
            }
        },
        Verdict::Refuse(refusal) => outcome.reply.refused = Some(refusal.reason.clone()),
        Verdict::Notice(notice) => outcome.reply.error = Some(notice.text.clone()),
        Verdict::Supersede(_) => {}
    }
    outcome.verdicts.push(verdict);
    outcome
}

/// `prefix` absent: all.
pub(crate) fn unban(
    prefix: Option<Prefix>,
    by: &str,
    policy: &mut Policy,
    shield: &mut Shield,
    now: Timestamp,
) -> Outcome {
    let line = prefix.map_or_else(|| "unban --all".to_owned(), |p| format!("unban {p}"));
    let mut outcome = Outcome::new(line, by, now);
    let origin = Origin::Operator {
        name: by.to_owned(),
    };
    let released = match prefix {
        Some(prefix) => policy.release(prefix, &origin, now),
        None => policy.release_all(&origin, now),
    };
    for release in released {
        outcome.changes.extend(shield.release(release.prefix, now));
        outcome.reply.prefixes.push(release.prefix);
        outcome.verdicts.push(Verdict::Supersede(release));
    }
    outcome
}

/// What the record says of a verdict.
pub(crate) fn entry_of(verdict: Verdict, in_kernel: Option<Timestamp>) -> Entry {
    match verdict {
        Verdict::Ban(decision) => Entry::Decision(Decision {
            in_kernel,
            ..decision
        }),
        Verdict::Refuse(refusal) => Entry::Refusal(refusal),
        Verdict::Supersede(release) => Entry::Release(release),
        Verdict::Notice(notice) => Entry::Notice(notice),
    }
}
