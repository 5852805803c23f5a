//! JSON bodies between a guard and its hub: joining, renewal, presence, appeals.
//!
//! Statements, frames and snapshots are CBOR (`statement`, `frame`, `snapshot`). Every refusal is
//! an HTTP status with a [`Fault`].

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{CommunityId, Digest, Generation, HubTime, KeyId, OrgId, PublicKey, Role};

/// Bytes of one body here; a hub refuses longer ones.
pub const API_BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a guard's name, version, and other short texts.
pub const API_TEXT_BYTES_MAX: usize = 128;

/// `POST /fleet/v1/join`, without a client certificate. The same token with the same keys may be
/// sent again (the answer was lost); with other keys it is used up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The whole token, as `posse hub invite` printed it.
    pub token: String,
    /// What the guard calls itself; unique in its organisation.
    pub name: String,
    /// ECDSA P-256 public key for the client certificate: the uncompressed point (SEC 1 section
    /// 2.3.3, 65 bytes) in base64url without padding.
    pub tls_key: String,
    /// The Ed25519 key that will sign its statements.
    pub statement_key: PublicKey,
    pub version: String,
}

/// `POST /fleet/v1/renew`, with the certificate that is to be renewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// As in [`JoinRequest`]; the old key or a new one.
    pub tls_key: String,
    pub version: String,
}

/// The answer to both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub organisation: OrgId,
    pub role: Role,
    pub name: String,
    pub communities: Vec<CommunityId>,
    /// Who issues what a community decided, and may lift everybody's bans.
    pub hub_organisation: OrgId,
    /// The client certificate, PEM.
    pub certificate: String,
    /// The hub's root certificate, PEM; its SHA-256 is in the token.
    pub ca: String,
    /// Signs roster entries; pinned at join.
    pub roster_key: PublicKey,
    /// Of the certificate, from now. Durations, since clocks differ.
    pub valid_seconds: u64,
    pub renew_after_seconds: u64,
    pub now: HubTime,
}

/// `POST /fleet/v1/here`, every [`HereAnswer::next_seconds`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Here {
    pub version: String,
    pub communities: Vec<HereCommunity>,
    /// Log sources watched.
    pub sources: u64,
    /// Bans of its own detection in its kernel.
    pub bans_local: u64,
    /// Everything it had to drop, by what.
    pub drops: Vec<(String, u64)>,
    /// Seconds since it started.
    pub uptime_seconds: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HereCommunity {
    pub community: CommunityId,
    pub generation: Generation,
    pub digest: Digest,
    /// `swept_to` of the digest: whole seconds of the hub's time.
    pub swept_to: u32,
    /// From acceptance at the hub to the kernel, of the newest change, milliseconds.
    pub lag_ms: u64,
    /// Bans of the community in its kernel.
    pub enforced: u64,
    /// Prefixes that its own policy or its never-ban guard did not let through.
    pub refused: u64,
    /// Whether `generation` is in its kernel.
    #[serde(default)]
    pub kernel: KernelStanding,
}

/// How a guard's kernel stands to what the guard knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelStanding {
    /// It holds what it ought to.
    InStep,
    /// A change was refused or undone, and is being put right.
    Behind,
    /// The operator wants nothing enforced.
    Observing,
    /// Not told: an older version, or a word that this one does not know.
    #[default]
    #[serde(other)]
    Untold,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HereAnswer {
    pub now: HubTime,
    pub next_seconds: u64,
    /// Renew now, though it is not time yet (the hub changed what a certificate says).
    #[serde(default)]
    pub renew: bool,
}

/// `POST /fleet/v1/{community}/appeals`: this ban is wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppealRequest {
    pub prefix: Prefix,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppealAnswer {
    /// It was lifted at once; otherwise a person decides.
    pub released: bool,
    pub text: String,
    /// The ledger's index of the appeal.
    pub index: u64,
}

/// The answer to `POST /fleet/v1/{community}/statements` (body: the signed statement's bytes):
/// 200 once it is durable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatementAnswer {
    /// The ledger's index.
    pub index: u64,
    pub generation: Generation,
    /// Set when the whole statement had been taken before: its answer was lost.
    #[serde(default)]
    pub repeated: bool,
    /// Ops that were taken as the organisation's own but do not count for the community, by
    /// their place.
    #[serde(default)]
    pub refused: Vec<RefusedOp>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefusedOp {
    pub op: usize,
    /// A stable word.
    pub reason: String,
    pub text: String,
}

/// What a refusal looks like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// What was wrong and what to do.
    pub error: String,
    /// A stable word, such as `token_used`, `token_expired`, `certificate_revoked`, `role`,
    /// `replayed`, `too_large`, `busy`.
    pub code: String,
    /// For `replayed`: the key and the last sequence that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    /// For `ops_refused`: why nothing of the statement was taken; sign the others anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedOp>,
}
