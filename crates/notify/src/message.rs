//! What is sent: incidents, and messages that speak of one or of very many of them.
//!
//! Messages add up: grouping a flood, merging a backlog and making room in a full queue are all
//! [`Message::absorb`]. Counts stay exact, details are kept up to named limits.

use model::{Alert, AlertId, Prefix, RawText, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{severity::Severity, tally::Tally, text::harmless};

/// Incidents that a message tells in full.
pub(crate) const INCIDENTS_MAX: usize = 5;
/// Bans that a message names; all are counted.
pub(crate) const BANS_NAMED_MAX: usize = 1_000;
/// Deciding lines of an alert: the last ones.
const LINES_MAX: usize = 10;
const LINE_CHARS_MAX: usize = 400;
const TEXT_CHARS_MAX: usize = 600;
const NAME_CHARS_MAX: usize = 200;
/// Measures of one alert: its source, then wider ranges.
const OUTCOMES_MAX: usize = 4;

/// Something that happened, with what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub id: AlertId,
    pub seen: Timestamp,
    pub severity: Severity,
    pub what: What,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    Alert(Attack),
    /// A ban that no alert of this hour led to: an operator's, or one of a whole range.
    Ban {
        reason: String,
        by: String,
    },
    Notice {
        code: String,
        text: String,
    },
    Release {
        by: String,
    },
}

/// An alert in the words of a message: nothing in it can steer its reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attack {
    pub rule: String,
    pub message: String,
    pub scope: String,
    pub source: String,
    pub first: Timestamp,
    pub last: Timestamp,
    pub events: u64,
    /// The deciding raw lines, the last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Why no ban was asked for, when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_measure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Outcome {
    Banned {
        prefix: Prefix,
        from: Timestamp,
        until: Timestamp,
        /// When the kernel had it; absent in observe mode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_kernel: Option<Timestamp>,
        /// How many times it was banned before.
        #[serde(default)]
        repeat: u32,
    },
    Refused {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prefix: Option<Prefix>,
        why: String,
    },
    Released {
        prefix: Prefix,
    },
}

impl Attack {
    pub fn of(alert: &Alert) -> Self {
        let skip = alert.evidence.len().saturating_sub(LINES_MAX);
        let lines = alert
            .evidence
            .iter()
            .skip(skip)
            .map(|line| match &line.raw {
                RawText::Text(text) => harmless(text, LINE_CHARS_MAX),
                raw @ RawText::Base64(_) => {
                    let bytes = raw.to_bytes().unwrap_or_default();
                    harmless(&String::from_utf8_lossy(&bytes), LINE_CHARS_MAX)
                }
            });
        let no_measure = if alert.simulated {
            Some("the rule is on trial: recorded only")
        } else if !alert.remediation {
            Some("the rule asks for no measure: look at it yourself")
        } else {
            None
        };
        Self {
            rule: harmless(&alert.rule, NAME_CHARS_MAX),
            message: harmless(&alert.message, TEXT_CHARS_MAX),
            scope: harmless(&alert.scope.to_string(), NAME_CHARS_MAX),
            source: harmless(&alert.value, NAME_CHARS_MAX),
            first: alert.first,
            last: alert.last,
            events: alert.events_count,
            lines: lines.collect(),
            no_measure: no_measure.map(str::to_owned),
        }
    }
}

impl Incident {
    pub fn of_alert(alert: &Alert, seen: Timestamp) -> Self {
        Self {
            id: alert.id,
            seen,
            severity: Severity::of_alert(alert),
            what: What::Alert(Attack::of(alert)),
            outcomes: Vec::new(),
        }
    }

    pub fn of_notice(code: &str, text: &str, seen: Timestamp) -> Self {
        Self {
            id: AlertId::derive(&[b"notice", code.as_bytes(), &seen.nanos().to_be_bytes()]),
            seen,
            severity: Severity::of_notice(code),
            what: What::Notice {
                code: harmless(code, NAME_CHARS_MAX),
                text: harmless(text, TEXT_CHARS_MAX),
            },
            outcomes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        if self.outcomes.len() < OUTCOMES_MAX {
            self.outcomes.push(outcome);
        }
    }

    /// What to call it in a list.
    pub(crate) fn topic(&self) -> &str {
        match &self.what {
            What::Alert(attack) => &attack.rule,
            What::Ban { .. } => "ban",
            What::Notice { code, .. } => code,
            What::Release { .. } => "release",
        }
    }
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Digest,
    Escalation,
    News,
    Test,
}

/// What one channel gets at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same message sent twice has the same id.
    pub id: AlertId,
    pub kind: Kind,
    pub host: String,
    pub severity: Severity,
    /// The first and the last thing it speaks of.
    pub first: Timestamp,
    pub last: Timestamp,
    pub alerts: u64,
    pub bans: u64,
    pub refusals: u64,
    pub notices: u64,
    #[serde(default)]
    pub releases: u64,
    pub rules: Tally,
    pub sources: Tally,
    /// The first [`BANS_NAMED_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub banned: Vec<Prefix>,
    /// The gravest and then the first of them, in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Incident>,
    /// What a digest or a test says in so many words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Message {
    /// A message that speaks of nothing yet.
    pub fn empty(kind: Kind, host: &str, id: AlertId, at: Timestamp) -> Self {
        Self {
            id,
            kind,
            host: harmless(host, NAME_CHARS_MAX),
            severity: Severity::Info,
            first: at,
            last: at,
            alerts: 0,
            bans: 0,
            refusals: 0,
            notices: 0,
            releases: 0,
            rules: Tally::default(),
            sources: Tally::default(),
            banned: Vec::new(),
            incidents: Vec::new(),
            text: None,
        }
    }

    pub fn of(kind: Kind, host: &str, incident: Incident) -> Self {
        let mut message = Self::empty(kind, host, incident.id, incident.seen);
        message.severity = incident.severity;
        message.count(&incident);
        message.incidents.push(incident);
        message
    }

    fn count(&mut self, incident: &Incident) {
        match &incident.what {
            What::Alert(attack) => {
                self.alerts += 1;
                self.first = self.first.min(attack.first);
                self.rules.add(&attack.rule, 1);
                self.sources.add(&attack.source, 1);
            }
            What::Ban { .. } | What::Release { .. } => {}
            What::Notice { code, .. } => {
                self.notices += 1;
                self.rules.add(code, 1);
            }
        }
        for outcome in &incident.outcomes {
            match outcome {
                Outcome::Banned { prefix, .. } => {
                    self.bans += 1;
                    if self.banned.len() < BANS_NAMED_MAX {
                        self.banned.push(*prefix);
                    }
                }
                Outcome::Refused { .. } => self.refusals += 1,
                Outcome::Released { .. } => self.releases += 1,
            }
        }
    }

    /// Takes in all that `other` says.
    pub fn absorb(&mut self, other: Self) {
        self.severity = self.severity.max(other.severity);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.alerts += other.alerts;
        self.bans += other.bans;
        self.refusals += other.refusals;
        self.notices += other.notices;
        self.releases += other.releases;
        self.rules.absorb(&other.rules);
        self.sources.absorb(&other.sources);
        let room = BANS_NAMED_MAX.saturating_sub(self.banned.len());
        self.banned.extend(other.banned.into_iter().take(room));
        self.incidents.extend(other.incidents);
        // A stable sort: among equals the first stays first.
        self.incidents
            .sort_by_key(|i| std::cmp::Reverse(i.severity));
        self.incidents.truncate(INCIDENTS_MAX);
        if self.text.is_none() {
            self.text = other.text;
        }
    }

    /// How many things it speaks of.
    pub fn weight(&self) -> u64 {
        let orders = self
            .incidents
            .iter()
            .filter(|i| matches!(i.what, What::Ban { .. }))
            .count();
        self.alerts + self.notices + self.releases + orders as u64
    }

    /// The one incident it speaks of, when it is only one.
    pub fn single(&self) -> Option<&Incident> {
        match self.incidents.as_slice() {
            [one] if self.weight() <= 1 => Some(one),
            _ => None,
        }
    }

    /// Bytes on disk and, roughly, in memory.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What [`Message::encode`] gave; anything else is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn counts_are_exact_and_details_bounded() {
        let mut sum: Option<Message> = None;
        for n in 0..3_000u32 {
            let next = Message::of(Kind::News, "host", samples::banned(n));
            match &mut sum {
                Some(sum) => sum.absorb(next),
                None => sum = Some(next),
            }
        }
        let sum = sum.unwrap();
        assert_eq!((sum.alerts, sum.bans), (3_000, 3_000));
        assert_eq!(sum.banned.len(), BANS_NAMED_MAX);
        assert_eq!(sum.incidents.len(), INCIDENTS_MAX);
        assert_eq!(sum.sources.names(), (crate::tally::NAMES_MAX as u64, true));
        assert!(sum.encode().len() < 200_000, "{}", sum.encode().len());
        assert_eq!(Message::decode(&sum.encode()).unwrap(), sum);
    }

    #[test]
    fn the_gravest_comes_first() {
        let mut message = Message::of(Kind::News, "host", samples::banned(1));
        for n in 2..20 {
            message.absorb(Message::of(Kind::News, "host", samples::banned(n)));
        }
        let grave = Incident::of_notice("kernel_refused", "no", Timestamp::from_seconds(9));
        message.absorb(Message::of(Kind::News, "host", grave.clone()));
        assert_eq!(message.severity, Severity::Critical);
        assert_eq!(message.incidents.first(), Some(&grave));
        assert_eq!(message.single(), None);
    }

    #[test]
    fn lines_of_an_alert_are_bounded_and_harmless() {
        let mut alert = samples::alert("203.0.113.9", 1);
        let line = alert.evidence[0].clone();
        alert.evidence = vec![line; 50];
        alert.evidence[49].raw = RawText::new(b"\x1b[31m\r\nBcc: a \xff");
        let attack = Attack::of(&alert);
        assert_eq!(attack.lines.len(), LINES_MAX);
        let last = attack.lines.last().unwrap();
        assert!(!last.chars().any(char::is_control), "{last:?}");
    }
}
