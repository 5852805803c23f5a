//! What the court says. Every verdict carries its reasons.

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Class, Evidence, Kind, Org, ReportId};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Make this a ban of the community, or renew the one there is.
    Ban(Box<CommunityBan>),
    /// It counts, but not enough yet. The reporter's own ban stands.
    Noted(Missing),
    /// It does not count for the community. The reporter's own ban stands, if its guard lets it.
    Refused(Refusal),
    /// There is enough against the target, and a person has to decide all the same.
    HoldForPerson(HoldReason),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommunityBan {
    pub prefix: Prefix,
    /// Seconds from now.
    pub lasts: u64,
    pub class: Class,
    pub grounds: Grounds,
    /// Those that counted, the heaviest first.
    pub voters: Vec<Vote>,
    /// The sum of their weights.
    pub weight: f64,
    /// How often the target was banned before without a quiet time in between.
    pub recurrence: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// So many independent organisations, of so many that were needed.
    Quorum { independent: u32, needed: u32 },
    /// One organisation whose standing suffices: short until others second it. Or two of them.
    Standing { orgs: Vec<Org> },
    /// A person ordered it.
    Person { name: String },
}

/// One organisation's voice on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Vote {
    pub org: Org,
    pub asn: Option<u32>,
    pub network: Prefix,
    pub kind: Kind,
    pub evidence: Evidence,
    pub id: ReportId,
    /// Seconds that it asked for.
    pub lasts: u64,
    /// When, in milliseconds of the hub's timeline: its first and its newest report.
    pub first: u64,
    pub at: u64,
    pub reports: u32,
    /// What it weighed when it was last counted.
    pub weight: f64,
}

/// What a target still lacks for a ban.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    pub class: Class,
    pub independent: u32,
    pub independent_needed: u32,
    pub weight: f64,
    pub weight_needed: f64,
    /// Set while a ban is in force already, to its end.
    pub banned_until: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refused", rename_all = "snake_case")]
pub enum Refusal {
    #[error("never banned without a person: {list}")]
    Never { list: String },
    #[error("wider than /{limit}: too many bystanders for any report")]
    TooWide { limit: u8 },
    #[error("the source of datagrams can be forged; only a completed handshake counts")]
    Forgeable,
    #[error("more than {per_hour} reports in an hour from {org}")]
    Budget { org: Org, per_hour: u32 },
    #[error("reversed on appeal; protected until {until}")]
    Reversed { until: u64 },
    #[error("{org} is suspended until {until}")]
    Suspended { org: Org, until: u64 },
    #[error("no room for another organisation (limit {limit})")]
    TooManyOrganisations { limit: usize },
    #[error("no room for another target (limit {limit}): all others are banned or protected")]
    NoRoom { limit: usize },
    #[error("a ban of no time")]
    NoTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "hold", rename_all = "snake_case")]
pub enum HoldReason {
    #[error("a network of more than one host or one /64 needs a person")]
    Width,
    #[error("{list} ({class}): {independent} independent organisations of {needed}")]
    Class {
        class: Class,
        list: String,
        independent: u32,
        needed: u32,
    },
    #[error("{organisations} organisations talk with it daily")]
    BlastRadius { organisations: u32 },
    #[error("the ban set grew by {per_hour} within the hour already")]
    Growth { per_hour: u32 },
    #[error("{kind} was wrong too often lately")]
    KindDemoted { kind: Kind },
    #[error("it was reversed on appeal, and reported by twice a quorum since")]
    Contested,
}

/// Who acts where a report is not enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Org(Org),
    Person(String),
}
