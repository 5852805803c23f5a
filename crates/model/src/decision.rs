//! What is to be done about a source, and what was refused.

use std::fmt;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AlertId, Prefix, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Ban,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Origin {
    /// This machine's own detection.
    Guard,
    /// A person at the command line.
    Operator { name: String },
}

/// A measure against a network until a point in time. A later decision on the same prefix
/// replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub measure: Measure,
    pub prefix: Prefix,
    pub from: Timestamp,
    pub until: Timestamp,
    pub reason: String,
    pub origin: Origin,
    /// The alerts that led here; empty for an operator's ban.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertId>,
    /// How many times this offender was banned before.
    #[serde(default)]
    pub repeat: u32,
    /// When the kernel said that it has the ban, on the ledger; absent while it has not answered,
    /// when nothing is enforced, and in entries of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_kernel: Option<Timestamp>,
}

impl Decision {
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.until.since(now)
    }

    pub fn is_active(&self, now: Timestamp) -> bool {
        self.until > now
    }
}

/// Who decided, without the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    Guard,
    Operator,
}

/// A decision in brief: what must be known of it to go on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownBan {
    pub prefix: Prefix,
    pub from: Timestamp,
    pub until: Timestamp,
    pub by: Author,
    /// The first of the alerts that led here.
    pub alert: Option<AlertId>,
    /// How many alerts led here; one for an operator's ban.
    pub sources: u32,
    pub repeat: u32,
}

impl From<&Decision> for KnownBan {
    fn from(decision: &Decision) -> Self {
        Self {
            prefix: decision.prefix,
            from: decision.from,
            until: decision.until,
            by: match decision.origin {
                Origin::Guard => Author::Guard,
                Origin::Operator { .. } => Author::Operator,
            },
            alert: decision.alerts.first().copied(),
            sources: u32::try_from(decision.alerts.len())
                .unwrap_or(u32::MAX)
                .max(1),
            repeat: decision.repeat,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// An operator lifted it.
    Operator,
    /// An operator lifted all bans at once.
    Panic,
    /// A wider ban took its place.
    Superseded,
    /// The allowlist or the guard's facts changed and now protect it.
    Protected,
}

/// A ban lifted before its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub prefix: Prefix,
    pub at: Timestamp,
    pub reason: ReleaseReason,
    pub by: Origin,
}

/// Why the never-ban guard said no.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum RefusalReason {
    /// The peer of an administrator's open session.
    AdminSession,
    Allowlist {
        entry: Prefix,
    },
    /// More bans a minute than the limit: the circuit breaker is open.
    CircuitOpen {
        limit_per_minute: u32,
    },
    Gateway,
    Loopback,
    OwnAddress,
    /// A private, link-local or shared range (RFC 1918, RFC 4193, RFC 6598, …).
    Private {
        range: Prefix,
    },
    Resolver,
    /// Multicast, unspecified, broadcast or otherwise no one machine's address.
    Special {
        range: Prefix,
    },
    /// The alert has no address that a firewall could ban.
    NoAddress,
    /// Wider than the configured limit.
    TooWide {
        limit: u8,
    },
    /// The ban table is full.
    TooMany {
        limit: u64,
    },
    /// Widening to this range would cut off neighbours who did nothing.
    Collateral {
        addresses: u64,
        limit: u64,
    },
}

/// In a sentence that goes on from "it is", with what to do if it is wrong.
impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdminSession => f.write_str("the far end of an administrator's open SSH session"),
            Self::Allowlist { entry } => write!(f, "on the allowlist ({entry})"),
            Self::CircuitOpen { limit_per_minute } => write!(
                f,
                "circuit breaker: more than {limit_per_minute} automatic bans in a minute; \
                 see [never_ban] bans_per_minute"
            ),
            Self::Gateway => f.write_str("this machine's default gateway"),
            Self::Loopback => f.write_str("loopback"),
            Self::OwnAddress => f.write_str("an address of this machine"),
            Self::Private { range } => write!(
                f,
                "in the private range {range}; [never_ban] private_ranges = false allows it"
            ),
            Self::Resolver => f.write_str("a resolver of this machine"),
            Self::Special { range } => {
                write!(f, "in {range}, which is no one machine's address")
            }
            Self::NoAddress => f.write_str("the alert names no address that a firewall could ban"),
            Self::TooWide { limit } => write!(f, "wider than /{limit}; ban narrower networks"),
            Self::TooMany { limit } => {
                write!(f, "{limit} bans are in force, which is the limit")
            }
            Self::Collateral { addresses, limit } => write!(
                f,
                "would cut off {addresses} sources that did nothing (at most {limit} are allowed)"
            ),
        }
    }
}

/// A ban that was asked for and not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub at: Timestamp,
    /// The prefix asked for; absent when the alert named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    pub reason: RefusalReason,
    pub origin: Origin,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertId>,
}
