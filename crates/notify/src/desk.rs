//! News becomes incidents: an alert waits a moment for what was done about it, so that one
//! message can say both.
//!
//! Pure: time is an argument. The guard tells an alert and its verdicts in one breath, so the
//! wait is short; the limit is for alerts that lead to nothing.

use std::{collections::VecDeque, time::Duration};

use model::{AlertId, Decision, Happening, News, Origin, Timestamp};

use crate::{
    message::{Incident, Outcome, What},
    severity::Severity,
    text::harmless,
};

/// Longest wait for the outcome of an alert.
pub(crate) const OUTCOME_WAIT: Duration = Duration::from_millis(200);
/// After an outcome, the wait for a further one (a wider range banned with the source).
const NEXT_WAIT: Duration = Duration::from_millis(10);
/// Alerts that wait at a time; beyond it the oldest goes on without waiting.
const WAITING_MAX: usize = 1_024;
const REASON_CHARS_MAX: usize = 300;

#[derive(Debug, Default)]
pub(crate) struct Desk {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    incident: Incident,
    due: Timestamp,
    since: Timestamp,
}

impl Desk {
    /// Takes one piece of news; what is complete comes out of [`Desk::ready`].
    pub(crate) fn hear(&mut self, news: &News, now: Timestamp) -> Vec<Incident> {
        let mut complete = Vec::new();
        match &news.happening {
            Happening::Alert(alert) => {
                self.waiting.push_back(Waiting {
                    incident: Incident::of_alert(alert, news.seen),
                    due: now.plus(OUTCOME_WAIT),
                    since: now,
                });
                if self.waiting.len() > WAITING_MAX {
                    complete.extend(self.waiting.pop_front().map(|w| w.incident));
                }
            }
            Happening::Ban {
                decision,
                in_kernel,
            } => {
                let outcome = banned(decision, *in_kernel);
                if !self.settle(&decision.alerts, &outcome, Severity::Info, now) {
                    complete.push(order(decision, outcome, news.seen));
                }
            }
            Happening::Refused(refusal) => {
                let outcome = Outcome::Refused {
                    prefix: refusal.prefix,
                    why: harmless(&refusal.reason.to_string(), REASON_CHARS_MAX),
                };
                // An operator who was refused knows it.
                let raise = Severity::of_refusal(&refusal.reason);
                self.settle(&refusal.alerts, &outcome, raise, now);
            }
            Happening::Notice(notice) => {
                complete.push(Incident::of_notice(&notice.code, &notice.text, news.seen));
            }
            Happening::Release(release) => {
                let by = match &release.by {
                    Origin::Guard => return complete,
                    Origin::Operator { name } => harmless(name, REASON_CHARS_MAX),
                };
                let id = [b"release".as_slice(), &news.seen.nanos().to_be_bytes()];
                complete.push(Incident {
                    id: AlertId::derive(&id),
                    seen: news.seen,
                    severity: Severity::Info,
                    what: What::Release { by },
                    outcomes: vec![Outcome::Released {
                        prefix: release.prefix,
                    }],
                });
            }
        }
        complete
    }

    /// Incidents that have waited enough.
    pub(crate) fn ready(&mut self, now: Timestamp) -> Vec<Incident> {
        let mut ready = Vec::new();
        self.waiting.retain(|waiting| {
            // A clock that was set back must not hold anything up.
            let due = now >= waiting.due || now < waiting.since;
            if due {
                ready.push(waiting.incident.clone());
            }
            !due
        });
        ready
    }

    /// Everything, at the end.
    pub(crate) fn drain(&mut self) -> Vec<Incident> {
        self.waiting.drain(..).map(|w| w.incident).collect()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|w| w.due).min()
    }

    /// Adds the outcome to the alert that led to it, the newest of several.
    fn settle(
        &mut self,
        alerts: &[AlertId],
        outcome: &Outcome,
        raise: Severity,
        now: Timestamp,
    ) -> bool {
        let found = self
            .waiting
            .iter_mut()
            .rev()
            .find(|w| alerts.contains(&w.incident.id));
        let Some(waiting) = found else {
            return false;
        };
        waiting.incident.add(outcome.clone());
        waiting.incident.severity = waiting.incident.severity.max(raise);
        waiting.due = now.plus(NEXT_WAIT);
        true
    }
}

fn banned(decision: &Decision, in_kernel: Option<Timestamp>) -> Outcome {
    Outcome::Banned {
        prefix: decision.prefix,
        from: decision.from,
        until: decision.until,
        in_kernel,
        repeat: decision.repeat,
    }
}

fn order(decision: &Decision, outcome: Outcome, seen: Timestamp) -> Incident {
    let (by, severity) = match &decision.origin {
        Origin::Guard => ("this machine".to_owned(), Severity::Low),
        Origin::Operator { name } => (harmless(name, REASON_CHARS_MAX), Severity::Info),
    };
    let prefix = decision.prefix.to_string();
    Incident {
        id: AlertId::derive(&[
            b"ban",
            prefix.as_bytes(),
            &decision.from.nanos().to_be_bytes(),
        ]),
        seen,
        severity,
        what: What::Ban {
            reason: harmless(&decision.reason, REASON_CHARS_MAX),
            by,
        },
        outcomes: vec![outcome],
    }
}

#[cfg(test)]
mod tests {
    use model::{Refusal, RefusalReason};

    use super::*;
    use crate::samples;

    fn news(happening: Happening) -> News {
        News {
            seen: Timestamp::from_seconds(1),
            happening,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn an_alert_and_its_ban_are_one_incident() {
        let mut desk = Desk::default();
        let alert = samples::alert("203.0.113.9", 1);
        let ban = Happening::Ban {
            decision: samples::decision(&alert),
            in_kernel: Some(at(0)),
        };
        desk.hear(&news(Happening::Alert(Box::new(alert))), at(0));
        assert!(desk.ready(at(1)).is_empty(), "it waits for the outcome");
        assert!(desk.hear(&news(ban.clone()), at(1)).is_empty());
        let ready = desk.ready(at(11));
        assert_eq!(ready.len(), 1);
        assert!(matches!(ready[0].outcomes[..], [Outcome::Banned { .. }]));
        assert_eq!(desk.poll_timeout(), None);
        // What comes after belongs to nothing that waits.
        assert_eq!(desk.hear(&news(ban), at(20)).len(), 1);
    }

    #[test]
    fn an_alert_without_outcome_waits_no_longer_than_it_must() {
        let mut desk = Desk::default();
        let alert = samples::alert("203.0.113.9", 1);
        desk.hear(&news(Happening::Alert(Box::new(alert.clone()))), at(0));
        assert_eq!(desk.poll_timeout(), Some(at(200)));
        assert!(desk.ready(at(199)).is_empty());
        assert_eq!(desk.ready(at(200)).len(), 1);
        desk.hear(&news(Happening::Alert(Box::new(alert))), at(0));
        assert_eq!(desk.ready(at(-60_000)).len(), 1, "the clock was set back");
    }

    #[test]
    fn a_refusal_makes_it_graver() {
        let mut desk = Desk::default();
        let alert = samples::alert("192.168.1.7", 1);
        let refusal = Refusal {
            at: at(0),
            prefix: None,
            reason: RefusalReason::Gateway,
            origin: Origin::Guard,
            alerts: vec![alert.id],
        };
        desk.hear(&news(Happening::Alert(Box::new(alert))), at(0));
        desk.hear(&news(Happening::Refused(refusal)), at(0));
        let ready = desk.ready(at(10));
        assert_eq!(ready[0].severity, Severity::High);
        assert!(matches!(ready[0].outcomes[..], [Outcome::Refused { .. }]));
    }

    #[test]
    fn a_storm_does_not_pile_up() {
        let mut desk = Desk::default();
        let mut out = 0;
        for n in 0..5_000 {
            let alert = samples::alert(&samples::address(n), 1);
            out += desk
                .hear(&news(Happening::Alert(Box::new(alert))), at(0))
                .len();
        }
        assert_eq!(desk.waiting.len(), WAITING_MAX);
        assert_eq!(out + desk.drain().len(), 5_000);
    }
}
