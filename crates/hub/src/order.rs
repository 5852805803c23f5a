//! What can be asked of the core, and what it answers.

use std::net::IpAddr;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    ban::BanId,
    caller::KeyKind,
    names::{CommunityId, HubTime, OrgId},
};

/// An alert with the bans it shall lead to, on behalf of the caller's organisation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What is kept and shown again, as the door got it (a JSON object, without its decisions).
    pub alert: Option<serde_json::Value>,
    /// For filters of the list; the alert's own words.
    pub scenario: String,
    pub scope: String,
    pub value: String,
    pub bans: Vec<NewBan>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewBan {
    pub prefix: Prefix,
    pub seconds: u64,
    /// `ban`, `captcha`, `throttle`, …; only `ban` reaches kernels of guards.
    pub kind: String,
    /// `crowdsec`, `cscli`, …
    pub origin: String,
    /// The scenario or the reason, for people.
    pub scenario: String,
}

/// What became of one [`Report`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// The alert's id, if there was one to keep.
    pub alert: Option<u64>,
    /// For each ban asked for, in order: its id, or why there is none.
    pub bans: Vec<Result<BanId, String>>,
    /// The ledger's index of the last entry this led to.
    pub index: Option<u64>,
}

/// Which bans to lift. All that is named must fit; nothing named: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Release {
    pub ids: Vec<BanId>,
    /// This prefix, and with `within` all inside it.
    pub prefix: Option<Prefix>,
    pub within: bool,
    pub kind: Option<String>,
    pub origin: Option<String>,
    pub scenario: Option<String>,
    /// Every ban the caller may lift.
    pub all: bool,
    /// For the ledger.
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    pub ids: Vec<BanId>,
    pub prefixes: Vec<Prefix>,
    pub index: Option<u64>,
}

/// An alert that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAlert {
    pub id: u64,
    pub organisation: OrgId,
    /// The machine that reported it.
    pub machine: String,
    pub created: HubTime,
    /// Wall clock at its arrival, milliseconds since 1970.
    pub created_unix_ms: u64,
    pub alert: serde_json::Value,
    /// Ids of the bans it led to.
    pub bans: Vec<BanId>,
}

/// All that is given must fit. Times are ages: how long ago, so that clocks need not agree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertFilter {
    pub id: Option<u64>,
    pub scope: Option<String>,
    pub value: Option<String>,
    /// Substring of the scenario.
    pub scenario: Option<String>,
    /// The alert's value lies in it.
    pub within: Option<Prefix>,
    pub newer_than_seconds: Option<u64>,
    pub older_than_seconds: Option<u64>,
    /// Only those with (or without) a ban in force.
    pub has_active_ban: Option<bool>,
    /// 0: as many as one answer may hold.
    pub limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowlist {
    pub name: String,
    pub organisation: OrgId,
    pub description: String,
    pub created_unix_ms: u64,
    pub updated_unix_ms: u64,
    pub items: Vec<AllowlistItem>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowlistItem {
    pub prefix: Prefix,
    pub description: String,
    pub created_unix_ms: u64,
    /// `None`: for good.
    pub until: Option<HubTime>,
}

/// A key for a third party's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub name: String,
    pub kind: KeyKind,
    /// `None`: the hub's own.
    pub organisation: Option<OrgId>,
    pub community: Option<CommunityId>,
    /// A machine's password, or a bouncer's key that exists already; `None`: one is made.
    pub secret: Option<String>,
    /// Registered by itself (`POST /v1/watchers`): no use before an operator accepts it.
    pub accepted: bool,
    pub from: Option<IpAddr>,
}

/// A person to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    pub name: String,
    pub organisation: OrgId,
    pub role: fleet::Role,
    /// `None`: one is made.
    pub password: Option<String>,
}

/// What is told once, when a person is made.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonMade {
    pub password: String,
    /// `otpauth://…`, for an authenticator program.
    pub link: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownPerson {
    pub name: String,
    pub organisation: OrgId,
    pub role: fleet::Role,
}
