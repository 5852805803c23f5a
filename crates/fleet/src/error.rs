//! Why something from outside was not taken.

use crate::{CommunityId, Generation, KeyId, OrgId};

/// Why bytes could not be read, or what they say was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    #[error("{what} at byte {at}: {why}")]
    Malformed {
        /// `statement`, `roster entry`, `frame` or `snapshot`.
        what: &'static str,
        at: usize,
        why: &'static str,
    },
    #[error("{what} has {bytes} bytes; at most {limit} are taken")]
    TooLong {
        what: &'static str,
        bytes: usize,
        limit: usize,
    },
    #[error("not {bytes} bytes in lower-case hex")]
    Hex { bytes: usize },
    #[error("not an Ed25519 seed")]
    Seed,
    #[error("the signature of key {key} does not verify")]
    BadSignature { key: KeyId },
    #[error("key {key} is not on the roster of {community}; its holder must join first")]
    UnknownKey { key: KeyId, community: CommunityId },
    #[error("key {key} of {org} was revoked")]
    RevokedKey { key: KeyId, org: OrgId },
    #[error("{org}'s role {role} may not ban")]
    Role { org: OrgId, role: crate::Role },
    #[error("it is of community {found}, not of {wanted}")]
    Community {
        found: CommunityId,
        wanted: CommunityId,
    },
    #[error("sequence {found} of key {key} was used before: the last one was {last}")]
    Replayed { key: KeyId, found: u64, last: u64 },
    #[error(
        "signed for a time {seconds} s away from the hub's; the signer must follow the hub's stream"
    )]
    WrongTime { seconds: u64 },
    #[error("the end of a ban lies beyond what can be written")]
    End,
    #[error("{org} may not release a ban of {of}; only the hub may")]
    NotTheirs { org: OrgId, of: OrgId },
    #[error("{what}: {limit} is the limit")]
    Full { what: &'static str, limit: usize },
    #[error("roster serial {found} is not above {last}")]
    RosterOrder { found: u64, last: u64 },
    #[error("something accepted waits for its commit")]
    Pending,
    #[error("generation {found} does not follow {last}")]
    Order { found: Generation, last: Generation },
}
