//! What concerns members: invitations, joining, renewing, statements, streams.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use fleet::{CommunityId, Generation, OrgId, PublicKey, Role};
use model::{Prefix, Tlp};
use serde::{Deserialize, Serialize};

use crate::{
    fanout::Reader,
    registry::{Fingerprint, Member},
};

/// Bytes of a member's name.
pub(crate) const MEMBER_NAME_BYTES_MAX: usize = 64;
const TOKEN_PREFIX: &str = "pj1.";

/// What an invitation prints: the authority to trust, and the secret.
pub(crate) fn token(authority: &[u8; 32], secret: &[u8; 32]) -> String {
    let all = [authority.as_slice(), secret].concat();
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(all))
}

/// The secret of a token.
pub(crate) fn token_secret(token: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD
        .decode(token.trim().strip_prefix(TOKEN_PREFIX)?)
        .ok()?;
    bytes
        .get(32..64)
        .filter(|_| bytes.len() == 64)
        .map(<[u8]>::to_vec)
}

/// What an invitation allows its holder to become.
#[derive(Clone, Debug)]
pub struct Invite {
    pub organisation: OrgId,
    pub role: Role,
    /// Communities; made with the organisation as their member if they do not exist. Empty:
    /// `main`.
    pub communities: Vec<CommunityId>,
    pub seconds: u64,
}

pub(crate) struct Join {
    pub(crate) secret: Vec<u8>,
    pub(crate) name: String,
    pub(crate) tls_point: Vec<u8>,
    pub(crate) statement_key: PublicKey,
    pub(crate) from: IpAddr,
}

pub(crate) struct Renew {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) tls_point: Vec<u8>,
}

/// Both joining and renewal end in a certificate.
pub(crate) struct Joined {
    pub(crate) member: Arc<Member>,
    pub(crate) certificate: String,
    pub(crate) communities: Vec<CommunityId>,
}

/// A ban of a statement that policy forbids, or that does not count for the community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBan {
    /// Its place in the statement.
    pub op: usize,
    pub prefix: model::Prefix,
    pub reason: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct StatementTaken {
    pub(crate) index: Option<u64>,
    pub(crate) generation: Option<Generation>,
    /// It was taken before; its answer was lost.
    pub(crate) repeated: bool,
    pub(crate) refused: Vec<RefusedBan>,
}

/// How a stream begins, and the place in the log from which it goes on.
pub(crate) struct Opening {
    pub(crate) first: Bytes,
    pub(crate) reader: Reader,
}

/// An operator's change to who belongs where.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Makes the community, or the organisation its member.
    Admit {
        organisation: OrgId,
        community: CommunityId,
    },
    /// The organisation is no longer a member; its bans there end with their time.
    Expel {
        organisation: OrgId,
        community: CommunityId,
    },
    /// Answers for an organisation as if it had been right so many times.
    Vouch {
        organisation: OrgId,
        community: CommunityId,
        reports: u32,
    },
    /// Changes what a community takes; nothing named: says what it takes.
    Rule {
        community: CommunityId,
        change: RulesChange,
    },
}

/// What to change of a community's rules; what is `None` or empty stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesChange {
    pub tlp_ceiling: Option<Tlp>,
    pub widest_ipv4: Option<u8>,
    pub widest_ipv6: Option<u8>,
    pub bans_per_hour: Option<u32>,
    pub never: Vec<Prefix>,
    pub not_never: Vec<Prefix>,
}
