//! Who may stand for one of two people, for the ledger: persons with keys of their own.
//!
//! A key is Ed25519 (RFC 8032). Its public half goes by `posse-person-` and 64 digits of hex; the
//! secret half is never here. What counts of these acts is `casework`'s to say.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum PersonAct {
    /// A key is this person's, by the word of one who is enrolled already. The first has nobody
    /// to vouch for them.
    Enrolled {
        at: Timestamp,
        name: String,
        /// The public half of the person's key.
        key: String,
        /// Whose word it is.
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// From here on nothing that the key signs counts.
    Revoked {
        at: Timestamp,
        name: String,
        key: String,
        by: String,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
}

/// A person's own signature on an act, over the text that `casework::persons` makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonSignature {
    /// The public half of the key.
    pub key: String,
    /// 64 bytes as lower-case hex.
    pub signature: String,
}

impl PersonAct {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Enrolled { at, .. } | Self::Revoked { at, .. } => *at,
        }
    }
}
