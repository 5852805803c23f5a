//! Who asks. Every order and every look at the ban set names its caller; what a caller may see
//! and change is decided in one place, from this.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ban::Ban,
    names::{CommunityId, OrgId},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Guard,
    Analyst,
    Partner,
    Police,
    Witness,
    /// A third party's enforcement point: reads bans.
    Bouncer,
    /// A third party's agent: reports alerts, reads and lifts its own organisation's bans.
    Machine,
    /// Whoever may open the hub's control socket.
    Operator,
}

impl Role {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Analyst => "analyst",
            Self::Partner => "partner",
            Self::Police => "police",
            Self::Witness => "witness",
            Self::Bouncer => "bouncer",
            Self::Machine => "machine",
            Self::Operator => "operator",
        }
    }
}

impl From<fleet::Role> for Role {
    fn from(role: fleet::Role) -> Self {
        match role {
            fleet::Role::Guard => Self::Guard,
            fleet::Role::Analyst => Self::Analyst,
            fleet::Role::Partner => Self::Partner,
            fleet::Role::Police => Self::Police,
            fleet::Role::Witness => Self::Witness,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Bouncer,
    Machine,
}

impl KeyKind {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bouncer => "bouncer",
            Self::Machine => "machine",
        }
    }

    pub const fn role(self) -> Role {
        match self {
            Self::Bouncer => Role::Bouncer,
            Self::Machine => Role::Machine,
        }
    }
}

/// By what a caller is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// A client certificate, by the SHA-256 of its DER.
    Certificate { fingerprint: [u8; 32] },
    /// An API key or a machine's password.
    Key { kind: KeyKind },
    /// A person's password and one-time code.
    Password,
    /// The control socket.
    Control,
}

/// Someone who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's, machine's, certificate's or operator's name.
    pub name: Arc<str>,
    pub organisation: OrgId,
    /// The communities its organisation is a member of and this caller may act in; the first is
    /// where its reports go.
    pub communities: Arc<[CommunityId]>,
    pub role: Role,
    pub means: Means,
    /// Organisations whose bans it sees: its own and the hub's.
    pub sees: Arc<BTreeSet<OrgId>>,
}

impl Caller {
    /// May nothing and sees nothing.
    pub(crate) fn nobody(organisation: &OrgId) -> Self {
        Self {
            name: "nobody".into(),
            organisation: organisation.clone(),
            communities: Arc::from([]),
            role: Role::Witness,
            means: Means::Control,
            sees: Arc::default(),
        }
    }

    /// The one place that says which bans a caller may see through the doors.
    pub fn may_see(&self, ban: &Ban) -> bool {
        self.role == Role::Operator
            || (self.communities.contains(&ban.community) && self.sees.contains(&ban.organisation))
    }

    /// The one place that says which bans a caller may lift: its own organisation's.
    pub fn may_release(&self, ban: &Ban) -> bool {
        match self.role {
            Role::Operator => true,
            Role::Guard | Role::Analyst | Role::Machine => {
                self.organisation == ban.organisation && self.communities.contains(&ban.community)
            }
            Role::Partner | Role::Police | Role::Witness | Role::Bouncer => false,
        }
    }
}
