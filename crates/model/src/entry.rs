//! What goes on the ledger. The JSON of an [`Entry`] is the payload that a leaf commits to.

use serde::{Deserialize, Serialize};

use crate::{
    Alert, AuthorityAct, CaseAct, Decision, ExhibitAct, FleetAct, HandoverAct, PersonAct, Prefix,
    Refusal, Release, Timestamp,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    Alert(Alert),
    Authority(AuthorityAct),
    Case(CaseAct),
    Command(Command),
    Decision(Decision),
    Exhibit(ExhibitAct),
    Fleet(FleetAct),
    Handover(HandoverAct),
    Loss(Loss),
    Notice(Notice),
    Person(PersonAct),
    Refusal(Refusal),
    Release(Release),
    Start(Start),
    Stop(Stop),
}

impl Entry {
    /// The word in the `kind` field.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Alert(_) => "alert",
            Self::Authority(_) => "authority",
            Self::Case(_) => "case",
            Self::Command(_) => "command",
            Self::Decision(_) => "decision",
            Self::Exhibit(_) => "exhibit",
            Self::Fleet(_) => "fleet",
            Self::Handover(_) => "handover",
            Self::Loss(_) => "loss",
            Self::Notice(_) => "notice",
            Self::Person(_) => "person",
            Self::Refusal(_) => "refusal",
            Self::Release(_) => "release",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
        }
    }

    /// When it happened, by the clock it was made with.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Alert(a) => a.last,
            Self::Authority(a) => a.at(),
            Self::Case(c) => c.at,
            Self::Command(c) => c.at,
            Self::Decision(d) => d.from,
            Self::Exhibit(e) => e.at(),
            Self::Fleet(f) => f.at(),
            Self::Handover(h) => h.at(),
            Self::Loss(l) => l.until,
            Self::Notice(n) => n.at,
            Self::Person(p) => p.at(),
            Self::Refusal(r) => r.at,
            Self::Release(r) => r.at,
            Self::Start(s) => s.at,
            Self::Stop(s) => s.at,
        }
    }

    /// Two entries with the same key are the same happening: the ledger takes the first only.
    /// `None` for what can truly happen twice.
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Alert(a) => Some(format!("alert:{}", a.id)),
            Self::Decision(d) => d
                .alerts
                .first()
                .map(|id| format!("decision:{}:{id}", d.prefix)),
            Self::Refusal(r) => r.alerts.first().map(|id| match r.prefix {
                Some(prefix) => format!("refusal:{prefix}:{id}"),
                None => format!("refusal:{id}"),
            }),
            Self::Authority(_)
            | Self::Case(_)
            | Self::Command(_)
            | Self::Exhibit(_)
            | Self::Fleet(_)
            | Self::Handover(_)
            | Self::Loss(_)
            | Self::Notice(_)
            | Self::Person(_)
            | Self::Release(_)
            | Self::Start(_)
            | Self::Stop(_) => None,
        }
    }
}

/// A person told the program to do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub at: Timestamp,
    pub by: String,
    /// The command as typed, without secrets.
    pub line: String,
}

/// The program began to watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub at: Timestamp,
    pub version: String,
    /// SHA-256 over the loaded rules, lower-case hex.
    pub rules_hash: String,
    /// `enforce` or `observe`.
    pub mode: String,
    pub sources: Vec<String>,
    /// Bans put back into the kernel from the store.
    pub bans_restored: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub at: Timestamp,
    pub reason: String,
}

/// Entries that could not be recorded, said once recording works again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub from: Timestamp,
    pub until: Timestamp,
    pub entries_lost: u64,
    pub cause: String,
}

/// Something an operator should know: the kernel set was changed by someone else, the circuit
/// breaker opened, a source fell silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub at: Timestamp,
    /// A stable word, such as `kernel_drift` or `circuit_open`.
    pub code: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Prefix>,
}
