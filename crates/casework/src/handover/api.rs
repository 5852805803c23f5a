//! What the police's door of a hub speaks: JSON, times as RFC 3339. See docs/handover.md.

use model::{ContentHash, HandoverAct, Outcome, Timestamp};
use serde::{Deserialize, Serialize};

/// Bytes of one package that a hub takes.
pub const PACKAGE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of every other body.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of an answer of the door that is not a package.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The header of an offer's request, with the signed act as JSON; the package is the body.
pub const OFFER_HEADER: &str = "posse-offer";

/// One hand-over as the hub's ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// `acme/HO-2026-0001`.
    pub handover: String,
    /// `offered, not received (3 days)`.
    pub standing: String,
    pub acts: Vec<HandoverAct>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub at: Timestamp,
    pub by: String,
    pub manifest: ContentHash,
    pub key: String,
    pub signature: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    pub by: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub by: String,
    pub wish: String,
    pub legal_basis: String,
    pub due: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    pub by: String,
    pub request: String,
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub by: String,
    pub outcome: Outcome,
}

/// What the door answers to each of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub handover: String,
    /// On the hub's ledger.
    pub index: u64,
    /// What was recorded.
    pub act: HandoverAct,
}
