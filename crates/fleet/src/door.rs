//! What a guard and its hub say to each other beside the stream, as JSON: joining, renewing,
//! telemetry, and the answer to a statement.
//!
//! A guard makes both of its keys itself: one for TLS (ECDSA P-256), one that signs statements
//! (Ed25519). Only the public halves travel.

use std::{fmt, str::FromStr};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{CommunityId, Digest, FleetError, OrgId, PublicKey, Role, key::unhex};

/// POST, without a client certificate: [`JoinRequest`] to [`JoinAnswer`].
pub const JOIN_PATH: &str = "/fleet/v1/join";
/// POST: [`RenewRequest`] to [`RenewAnswer`].
pub const RENEW_PATH: &str = "/fleet/v1/renew";
/// POST: [`Here`]; any 2xx will do.
pub const HERE_PATH: &str = "/fleet/v1/here";

const TOKEN_PREFIX: &str = "posse-join-1-";
const SECRET_BYTES: usize = 20;
/// Bytes of a guard's name: printable ASCII without space.
pub const MEMBER_NAME_BYTES_MAX: usize = 64;

/// What an invitation prints: the hub's CA by its hash, and the one-time secret. Its `Debug` hides
/// the secret, its `Display` is for the invited.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the DER of the hub's CA certificate.
    pub authority: [u8; 32],
    pub secret: [u8; SECRET_BYTES],
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TOKEN_PREFIX)?;
        let all = self.authority.iter().chain(&self.secret);
        all.into_iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}

impl FromStr for JoinToken {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let mut bytes = [0; 32 + SECRET_BYTES];
        let digits = text.trim().strip_prefix(TOKEN_PREFIX).unwrap_or_default();
        unhex(digits, &mut bytes).ok_or(FleetError::Token)?;
        let (authority, secret) = bytes.split_at(32);
        match (authority.try_into(), secret.try_into()) {
            (Ok(authority), Ok(secret)) => Ok(Self { authority, secret }),
            _ => Err(FleetError::Token),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The whole token, as it was printed.
    pub token: String,
    /// How the machine calls itself; unique in its organisation.
    pub name: String,
    /// The TLS key's public half: an uncompressed P-256 point (65 bytes) in hex.
    pub tls_key: String,
    /// The key that its statements will be signed by.
    pub statement_key: PublicKey,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The hub's own organisation.
    pub hub: OrgId,
    /// The one that the guard belongs to now.
    pub organisation: OrgId,
    pub role: Role,
    /// Its name, as the hub keeps it.
    pub name: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// How long it is valid from now on.
    pub valid_seconds: u64,
    /// Signs the rosters of all communities of this hub.
    pub roster_key: PublicKey,
    pub communities: Vec<CommunityId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// A new TLS key's public half, as in [`JoinRequest`].
    pub tls_key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewAnswer {
    pub certificate: String,
    pub valid_seconds: u64,
    /// The communities that the guard's organisation is a member of now.
    #[serde(default)]
    pub communities: Vec<CommunityId>,
}

/// To a POST of a signed statement, once it is durable. A statement that was taken before is
/// answered as it was then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementAnswer {
    /// The hub's ledger index.
    pub index: u64,
    /// Ops that were not taken, with the reason.
    #[serde(default)]
    pub refused: Vec<RefusedOp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOp {
    pub prefix: Prefix,
    pub reason: String,
}

/// Any answer that is no 2xx.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorError {
    /// For people: what, and what to do next.
    pub error: String,
    /// A stable word: `token_used`, `token_expired`, `revoked`, `sequence_seen`, `not_member`, …
    #[serde(default)]
    pub code: String,
    /// With `sequence_seen`: the least that the next statement must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sequence: Option<u64>,
}

/// How a guard is, every few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    pub version: String,
    /// Log sources watched.
    pub sources: u64,
    /// What it dropped anywhere since its start: lines, records, reports.
    pub drops: u64,
    /// Reports that wait to be sent.
    pub reports_waiting: u64,
    pub communities: Vec<HereCommunity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HereCommunity {
    pub community: CommunityId,
    pub generation: u64,
    pub digest: Digest,
    /// From the hub's last frame to its arrival in the kernel.
    pub lag_ms: u64,
    /// Community bans in its kernel.
    pub enforced: u64,
    /// Community bans that its own policy or never-ban guard keeps out.
    pub refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_spelling() {
        let token = JoinToken {
            authority: [7; 32],
            secret: [9; SECRET_BYTES],
        };
        let text = token.to_string();
        assert_eq!(text.parse::<JoinToken>(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse::<JoinToken>(), Ok(token.clone()));
        let cut = text.get(..text.len() - 1).unwrap();
        for wrong in ["", "posse-join-1-", cut, &text.to_uppercase()] {
            assert_eq!(wrong.parse::<JoinToken>(), Err(FleetError::Token));
        }
        assert!(!format!("{token:?}").contains("09"));
    }
}
