//! What an organisation signs: bans and releases, with durations and never with wall times.
//!
//! The signed bytes are kept and passed on as they are, so that everyone checks the issuer's
//! signature and nobody else's word for it.

use std::sync::Arc;

use model::{Prefix, Tlp};
use serde::{Deserialize, Serialize};

use crate::{
    CommunityId, FleetError, HubTime, KeyId, OrgId, PublicKey, Signature, SigningKey,
    cbor::{Reader, Writer, Written, prefix_bytes, written},
};

/// Ops of one statement.
pub const STATEMENT_OPS_MAX: usize = 1_000;
/// Bytes of one encoded statement, without its signature.
pub const STATEMENT_BYTES_MAX: usize = 384 << 10;
/// Bytes of a ban's kind: printable ASCII without space, at least one.
pub const KIND_BYTES_MAX: usize = 64;
/// Bytes of a reason (UTF-8 without control characters; may be empty).
pub const REASON_BYTES_MAX: usize = 200;
/// Bytes of a ban's provenance: a hash over the alerts or reports behind it.
pub const PROVENANCE_BYTES: usize = 16;
/// The longest ban: 366 days.
pub const LASTS_SECONDS_MAX: u32 = 366 * 86_400;

/// Bans of at least so many seconds end on a whole minute of the hub's time, so that a snapshot
/// can tell their ends in minutes.
const WHOLE_MINUTES_FROM: u32 = 3_600;
const VERSION: u64 = 1;
const DOMAIN: &[u8] = b"posse fleet statement 1\0";

/// One organisation's word to one community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub community: CommunityId,
    /// The key that signs it; [`SignedStatement::sign`] fills it in.
    pub key: KeyId,
    /// Greater than that of every earlier statement by this key. Gaps are allowed.
    pub sequence: u64,
    /// The hub's time as the issuer knew it when it signed. The hub takes the statement only
    /// within [`crate::Limits::signed_within`] of its own time, and guards check that it did: so
    /// a hub cannot bring an old statement to life again.
    pub at: HubTime,
    /// 1 to [`STATEMENT_OPS_MAX`], applied in this order.
    pub ops: Vec<Op>,
}

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts the issuer's ban on a prefix, whatever its earlier one there was.
    Ban(Ban),
    /// Takes the issuer's ban from exactly this prefix; others' bans on it stay.
    Release(Release),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    pub prefix: Prefix,
    /// Whole seconds from the moment the hub accepts it: 1 to [`LASTS_SECONDS_MAX`].
    pub lasts: u32,
    /// A word such as `ssh-bruteforce`, at most [`KIND_BYTES_MAX`] bytes.
    pub kind: Arc<str>,
    /// For people; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: Arc<str>,
    pub tlp: Tlp,
    pub provenance: [u8; PROVENANCE_BYTES],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub prefix: Prefix,
    /// For people; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: Arc<str>,
    /// Whose ban it takes away: `None` is the issuer's own. Only the hub's organisation may name
    /// another (an appeal or a reversal by the community's rules).
    pub of: Option<OrgId>,
}

impl Statement {
    /// The one canonical encoding, which is what gets signed.
    fn encode(&self) -> Vec<u8> {
        written(|w| {
            w.array(6)?.u64(VERSION)?;
            w.str(self.community.as_str())?.bytes(&self.key.0)?;
            w.u64(self.sequence)?.u64(self.at.0)?;
            w.array(self.ops.len() as u64)?;
            self.ops.iter().try_for_each(|op| op.write(w))
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, FleetError> {
        let mut r = Reader::new("statement", bytes);
        r.tuple(6)?;
        if r.u64()? != VERSION {
            return Err(r.fail("a version that is not known here; update this program"));
        }
        let (community, key) = (r.community()?, r.key_id()?);
        let (sequence, at) = (r.u64()?, HubTime(r.u64()?));
        let count = r.array(STATEMENT_OPS_MAX)?;
        if count == 0 {
            return Err(r.fail("it says nothing"));
        }
        let ops = (0..count)
            .map(|_| Op::read(&mut r))
            .collect::<Result<_, _>>()?;
        r.end()?;
        let statement = Self {
            community,
            key,
            sequence,
            at,
            ops,
        };
        if statement.encode() != bytes {
            return Err(r.fail("not in canonical form"));
        }
        Ok(statement)
    }
}

impl Op {
    pub const fn prefix(&self) -> Prefix {
        match self {
            Self::Ban(ban) => ban.prefix,
            Self::Release(release) => release.prefix,
        }
    }

    fn write(&self, w: &mut Writer) -> Written {
        match self {
            Self::Ban(ban) => {
                w.array(7)?.u64(0)?.bytes(&prefix_bytes(ban.prefix))?;
                w.u32(ban.lasts)?.str(&ban.kind)?.str(&ban.reason)?;
                w.u8(ban.tlp.number())?.bytes(&ban.provenance)?;
            }
            Self::Release(release) => {
                w.array(4)?.u64(1)?.bytes(&prefix_bytes(release.prefix))?;
                w.str(&release.reason)?;
                match &release.of {
                    Some(org) => w.str(org.as_str())?,
                    None => w.null()?,
                };
            }
        }
        Ok(())
    }

    fn read(r: &mut Reader) -> Result<Self, FleetError> {
        let len = r.array(7)?;
        match (r.u64()?, len) {
            (0, 7) => Ok(Self::Ban(Ban {
                prefix: r.prefix()?,
                lasts: lasts(r)?,
                kind: kind(r)?,
                reason: reason(r)?,
                tlp: r.tlp()?,
                provenance: r.exactly()?,
            })),
            (1, 4) => Ok(Self::Release(Release {
                prefix: r.prefix()?,
                reason: reason(r)?,
                of: r.optional(Reader::org)?,
            })),
            _ => Err(r.fail("neither a ban nor a release")),
        }
    }
}

fn lasts(r: &mut Reader) -> Result<u32, FleetError> {
    match r.u32()? {
        seconds @ 1..=LASTS_SECONDS_MAX => Ok(seconds),
        _ => Err(r.fail("a ban must last 1 second to 366 days")),
    }
}

pub(crate) fn kind(r: &mut Reader) -> Result<Arc<str>, FleetError> {
    let text = r.text(KIND_BYTES_MAX)?;
    if is_kind(text) {
        Ok(text.into())
    } else {
        Err(r.fail("a kind is printable ASCII without space"))
    }
}

pub(crate) fn is_kind(text: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn reason(r: &mut Reader) -> Result<Arc<str>, FleetError> {
    let text = r.text(REASON_BYTES_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(r.fail("a reason has no control characters"));
    }
    Ok(text.into())
}

/// A statement's bytes as they were signed, and the signature. Nothing is known of either before
/// [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedStatement {
    bytes: Arc<[u8]>,
    signature: Signature,
}

impl SignedStatement {
    /// Signs `statement` by `key`, whose id replaces [`Statement::key`]. Fails when a text, the
    /// number of ops or the whole is beyond its limit.
    pub fn sign(mut statement: Statement, key: &SigningKey) -> Result<Self, FleetError> {
        statement.key = key.id();
        let bytes = statement.encode();
        too_long(bytes.len())?;
        Statement::decode(&bytes)?;
        let signature = key.sign(DOMAIN, &bytes);
        Ok(Self {
            bytes: bytes.into(),
            signature,
        })
    }

    /// What it says, whoever signed it. For looking up the key; [`Self::verify`] must follow.
    pub fn read(&self) -> Result<Statement, FleetError> {
        Statement::decode(&self.bytes)
    }

    /// What `key` signed.
    pub fn verify(&self, key: &PublicKey) -> Result<Statement, FleetError> {
        let statement = self.read()?;
        let signed = key.id() == statement.key && key.verify(DOMAIN, &self.bytes, &self.signature);
        if signed {
            Ok(statement)
        } else {
            Err(FleetError::BadSignature { key: statement.key })
        }
    }

    /// The bytes to send to the hub: CBOR `[statement bytes, signature]`.
    pub fn encode(&self) -> Vec<u8> {
        written(|w| self.write(w))
    }

    /// Reads what [`Self::encode`] wrote and nothing more. Says nothing of the signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FleetError> {
        let mut r = Reader::new("statement", bytes);
        let signed = Self::read_from(&mut r)?;
        r.end()?;
        signed.read()?;
        Ok(signed)
    }

    /// Bytes it takes in a frame.
    pub fn encoded_len(&self) -> usize {
        // Array and two byte-string heads.
        self.bytes.len() + 64 + 8
    }

    pub(crate) fn write(&self, w: &mut Writer) -> Written {
        w.array(2)?.bytes(&self.bytes)?.bytes(&self.signature.0)?;
        Ok(())
    }

    pub(crate) fn read_from(r: &mut Reader) -> Result<Self, FleetError> {
        r.tuple(2)?;
        Ok(Self {
            bytes: r.bytes(STATEMENT_BYTES_MAX)?.into(),
            signature: r.signature()?,
        })
    }
}

fn too_long(bytes: usize) -> Result<(), FleetError> {
    if bytes <= STATEMENT_BYTES_MAX {
        return Ok(());
    }
    Err(FleetError::TooLong {
        what: "statement",
        bytes,
        limit: STATEMENT_BYTES_MAX,
    })
}

/// When a ban that was accepted at `at` and lasts `lasts` seconds ends, in whole seconds of the
/// hub's time: rounded up to the second, and to the minute when it lasts an hour or more. `None`
/// when that cannot be written.
pub fn end_of(at: HubTime, lasts: u32) -> Option<u32> {
    let seconds = at.0.div_ceil(1_000).checked_add(u64::from(lasts))?;
    let whole = if lasts >= WHOLE_MINUTES_FROM { 60 } else { 1 };
    u32::try_from(seconds.checked_next_multiple_of(whole)?).ok()
}
