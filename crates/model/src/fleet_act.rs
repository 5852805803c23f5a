//! What happened between a hub and its members, for the ledger of either.

use serde::{Deserialize, Serialize};

use crate::{Prefix, Timestamp};

/// Names are plain text here: a record must stay readable whatever rooms come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum FleetAct {
    /// An operator made an invitation.
    Invited {
        at: Timestamp,
        by: String,
        organisation: String,
        role: String,
        communities: Vec<String>,
        /// How long it stands.
        seconds: u64,
    },
    /// A member came by an invitation.
    Joined {
        at: Timestamp,
        organisation: String,
        name: String,
        role: String,
        communities: Vec<String>,
        /// SHA-256 of the certificate, hex.
        certificate: String,
        /// The id of the key that signs its statements.
        key: String,
    },
    Renewed {
        at: Timestamp,
        organisation: String,
        name: String,
        certificate: String,
    },
    /// A member's certificates and its key no longer count.
    Revoked {
        at: Timestamp,
        by: String,
        organisation: String,
        name: String,
        reason: String,
    },
    /// An organisation, a community, a role or a membership was made or changed.
    Changed {
        at: Timestamp,
        by: String,
        what: String,
    },
    KeyAdded {
        at: Timestamp,
        by: String,
        organisation: String,
        name: String,
        /// `bouncer` or `machine`.
        key_kind: String,
    },
    KeyRemoved {
        at: Timestamp,
        by: String,
        organisation: String,
        name: String,
        key_kind: String,
    },
    Login {
        at: Timestamp,
        organisation: String,
        name: String,
        from: String,
    },
    LoginRefused {
        at: Timestamp,
        name: String,
        from: String,
        reason: String,
        /// So many of the same kind, this one included, that share this entry.
        times: u64,
    },
    /// Someone known asked for what they may not have, or sent what could not be taken.
    RequestRefused {
        at: Timestamp,
        organisation: String,
        name: String,
        what: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prefixes: Vec<Prefix>,
        times: u64,
    },
    /// A signed statement became part of a community's ban set.
    StatementAccepted {
        at: Timestamp,
        community: String,
        organisation: String,
        key: String,
        sequence: u64,
        generation: u64,
        bans: Vec<Prefix>,
        releases: Vec<Prefix>,
        reason: String,
        /// SHA-256 of the signed bytes, hex.
        statement: String,
    },
    /// The community's rules made a ban from its members' reports.
    CommunityBan {
        at: Timestamp,
        community: String,
        prefix: Prefix,
        seconds: u64,
        /// Who reported, with what weight, and which rule it met.
        grounds: String,
    },
    /// So far have the guards come that are connected, by what each says of its kernel. Once for
    /// each step forward, and never more often than the hub looks.
    Reached {
        at: Timestamp,
        community: String,
        /// All that are counted as connected have put this generation, and all before, in force.
        generation: u64,
        connected: u64,
        /// Members of the community that were not connected.
        away: u64,
        /// Connected, and not that far for a minute or more.
        #[serde(default, skip_serializing_if = "is_none")]
        behind: u64,
        /// Connected, and told by their operators not to touch their kernels.
        #[serde(default, skip_serializing_if = "is_none")]
        observing: u64,
    },
    /// A community's ban was found wrong.
    Reversal {
        at: Timestamp,
        by: String,
        community: String,
        prefix: Prefix,
        reason: String,
    },
    Appeal {
        at: Timestamp,
        organisation: String,
        name: String,
        community: String,
        prefix: Prefix,
        reason: String,
        outcome: String,
    },
    /// Alerts that came through a door.
    AlertsTaken {
        at: Timestamp,
        organisation: String,
        name: String,
        alerts: u64,
        /// SHA-256 over the alerts' JSON in order, hex.
        content: String,
    },
    /// A guard put a community's change into its kernel.
    ChangeApplied {
        at: Timestamp,
        community: String,
        from: u64,
        to: u64,
        added: u64,
        removed: u64,
        refused: u64,
        digest: String,
    },
    HubFound {
        at: Timestamp,
        hub: String,
    },
    HubLost {
        at: Timestamp,
        hub: String,
        reason: String,
    },
}

impl FleetAct {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Invited { at, .. }
            | Self::Joined { at, .. }
            | Self::Renewed { at, .. }
            | Self::Revoked { at, .. }
            | Self::Changed { at, .. }
            | Self::KeyAdded { at, .. }
            | Self::KeyRemoved { at, .. }
            | Self::Login { at, .. }
            | Self::LoginRefused { at, .. }
            | Self::RequestRefused { at, .. }
            | Self::StatementAccepted { at, .. }
            | Self::CommunityBan { at, .. }
            | Self::Reached { at, .. }
            | Self::Reversal { at, .. }
            | Self::Appeal { at, .. }
            | Self::AlertsTaken { at, .. }
            | Self::ChangeApplied { at, .. }
            | Self::HubFound { at, .. }
            | Self::HubLost { at, .. } => *at,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}
