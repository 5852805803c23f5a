//! What passes between the holder of a case and an authority, for the ledgers of both.

use serde::{Deserialize, Serialize};

use crate::{ContentHash, Timestamp};

/// Offer and receipt are two entries, each signed by its own side over the same manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum HandoverAct {
    Offered {
        at: Timestamp,
        /// Names the hand-over: `HO-2026-0001`.
        handover: String,
        case: String,
        referral: String,
        /// The organisation that offers it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        from: String,
        /// The organisation that is to receive it.
        to: String,
        by: String,
        /// SHA-256 of the bag's `tagmanifest-sha256.txt`.
        manifest: ContentHash,
        /// SHA-256 of the file as it is handed over.
        package: ContentHash,
        bytes: u64,
        /// The sender's key (verifier key of a signed note) and signature over the offer.
        key: String,
        signature: String,
    },
    Received {
        at: Timestamp,
        handover: String,
        by: String,
        manifest: ContentHash,
        key: String,
        signature: String,
    },
    Declined {
        at: Timestamp,
        handover: String,
        by: String,
        reason: String,
    },
    /// The receiver took the bytes once more, or looked at the list.
    Looked {
        at: Timestamp,
        handover: String,
        by: String,
        what: String,
    },
    /// The receiver asks for more, under a stated basis and with a deadline.
    MoreAsked {
        at: Timestamp,
        handover: String,
        request: String,
        by: String,
        wish: String,
        legal_basis: String,
        due: Timestamp,
    },
    Answered {
        at: Timestamp,
        handover: String,
        request: String,
        by: String,
        answer: String,
    },
    /// The receiver tells what became of it.
    OutcomeReported {
        at: Timestamp,
        handover: String,
        by: String,
        outcome: crate::Outcome,
    },
}

impl HandoverAct {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Offered { at, .. }
            | Self::Received { at, .. }
            | Self::Declined { at, .. }
            | Self::Looked { at, .. }
            | Self::MoreAsked { at, .. }
            | Self::Answered { at, .. }
            | Self::OutcomeReported { at, .. } => *at,
        }
    }

    /// The hand-over's number. On a hub's ledger the offering organisation stands before it:
    /// `acme/HO-2026-0001`.
    pub fn handover(&self) -> &str {
        match self {
            Self::Offered { handover, .. }
            | Self::Received { handover, .. }
            | Self::Declined { handover, .. }
            | Self::Looked { handover, .. }
            | Self::MoreAsked { handover, .. }
            | Self::Answered { handover, .. }
            | Self::OutcomeReported { handover, .. } => handover,
        }
    }
}
