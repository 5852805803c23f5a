//! A whole ban set in few bytes, named by its hash and signed by the community's key.
//!
//! The hub's own bans stand in it packed: sorted, gaps Rice-coded, ends in minutes where they are
//! whole minutes. Members' bans stand in it as the statements that made them, so that each carries
//! its issuer's signature. A reader never holds a second copy: it walks the bytes.
//!
//! Layout: eight bytes of magic; CBOR head; packed groups (see `packed.rs`); the signature's 64
//! bytes over the SHA-256 of all before them.

use ring::digest::{SHA256, digest};

use crate::{
    Accepted, CommunityId, Digest, FleetError, Generation, HubTime, KeyId, OrgId, PublicKey,
    Signature, SignedRosterEntry, SigningKey,
    cbor::{Reader, written},
    frame::{read_list, read_roster, write_roster},
    live::{Label, Live},
    packed::{self, Group, Unpacked},
    roster::ROSTER_MAX,
    table::Row,
};

/// Bytes of one snapshot at most: what a hub makes and a guard reads. A million IPv4 addresses with
/// ends at random take 3.5 MB, a million IPv6 addresses at random 16 MB.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

const MAGIC: &[u8; 8] = b"PSNAP\0\0\x01";
const DOMAIN: &[u8] = b"posse fleet snapshot 1\0";
const SIGNATURE_BYTES: usize = 64;
/// Members' statements in one snapshot.
const STATEMENTS_MAX: usize = 1_000_000;

/// The SHA-256 of a snapshot's bytes. Prints as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotHash(pub [u8; 32]);

crate::key::as_hex!(SnapshotHash, 32);

impl SnapshotHash {
    pub fn of(bytes: &[u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        Self(hash.as_ref().try_into().unwrap_or_default())
    }
}

/// What [`crate::BanSet::snapshot`] made: immutable, to be served under its hash.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub hash: SnapshotHash,
    pub generation: Generation,
    pub now: HubTime,
    pub bytes: Vec<u8>,
}

impl Snapshot {
    /// What to tell a guard of it.
    pub const fn offer(&self) -> crate::Offer {
        crate::Offer {
            hash: self.hash,
            generation: self.generation,
            bytes: self.bytes.len() as u64,
        }
    }
}

pub(crate) fn sealed(mut bytes: Vec<u8>, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(DOMAIN, &SnapshotHash::of(&bytes).0);
    bytes.extend(signature.0);
    bytes
}

/// Everything in a snapshot but the packed bans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) community: CommunityId,
    pub(crate) hub: OrgId,
    pub(crate) key: KeyId,
    pub(crate) generation: Generation,
    pub(crate) now: HubTime,
    /// The latest time at which a statement was accepted.
    pub(crate) accepted: HubTime,
    /// No entry ends before or at it, in seconds.
    pub(crate) swept_to: u32,
    pub(crate) digest: Digest,
    /// The last sequence of each key, in the order of keys.
    pub(crate) sequences: Vec<(KeyId, u64)>,
    pub(crate) roster: Vec<SignedRosterEntry>,
    /// Members' statements whose bans may still live, in the order in which they were accepted.
    pub(crate) statements: Vec<Accepted>,
    pub(crate) bans: u64,
    pub(crate) groups: u64,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        written(|w| {
            w.array(13)?
                .str(self.community.as_str())?
                .str(self.hub.as_str())?;
            w.bytes(&self.key.0)?.u64(self.generation.0)?;
            w.u64(self.now.0)?
                .u64(self.accepted.0)?
                .u32(self.swept_to)?;
            w.bytes(&self.digest.0.to_be_bytes())?;
            w.array(self.sequences.len() as u64)?;
            for (key, sequence) in &self.sequences {
                w.array(2)?.bytes(&key.0)?.u64(*sequence)?;
            }
            write_roster(w, &self.roster)?;
            w.array(self.statements.len() as u64)?;
            for accepted in &self.statements {
                w.array(2)?.u64(accepted.at.0)?;
                accepted.signed.write(w)?;
            }
            w.u64(self.bans)?.u64(self.groups)?;
            Ok(())
        })
    }

    fn read(r: &mut Reader) -> Result<Self, FleetError> {
        r.tuple(13)?;
        let head = Self {
            community: r.community()?,
            hub: r.org()?,
            key: r.key_id()?,
            generation: Generation(r.u64()?),
            now: HubTime(r.u64()?),
            accepted: HubTime(r.u64()?),
            swept_to: r.u32()?,
            digest: Digest(u128::from_be_bytes(r.exactly()?)),
            sequences: read_list(r, ROSTER_MAX, |r| {
                r.tuple(2)?;
                Ok((r.key_id()?, r.u64()?))
            })?,
            roster: read_roster(r)?,
            statements: read_list(r, STATEMENTS_MAX, Accepted::read_from)?,
            bans: r.u64()?,
            groups: r.u64()?,
        };
        let keys = head.sequences.iter().map(|(key, _)| key);
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(r.fail("the sequences' keys do not ascend"));
        }
        if !head.statements.is_sorted_by_key(|accepted| accepted.at) {
            return Err(r.fail("the statements' times do not ascend"));
        }
        Ok(head)
    }
}

/// Writes and signs a snapshot of the hub's own rows. `head` needs neither key nor counts.
pub(crate) fn write(mut head: Head, live: &Live, key: &SigningKey) -> Result<Snapshot, FleetError> {
    head.key = key.id();
    let hub = live.issuer_known(&head.hub);
    let mut groups = Vec::new();
    let chosen = |row: Row, label: &Label| (Some(label.issuer) == hub).then_some(row.state);
    let counts = packed::pack(live, &chosen, &mut groups);
    (head.bans, head.groups) = (counts.rows, counts.groups as u64);
    let mut bytes = MAGIC.to_vec();
    let encoded = head.encode();
    bytes.reserve_exact(encoded.len() + groups.len() + SIGNATURE_BYTES);
    bytes.extend(encoded);
    bytes.append(&mut groups);
    let bytes = sealed(bytes, key);
    if bytes.len() > SNAPSHOT_BYTES_MAX {
        return Err(too_long(bytes.len()));
    }
    Ok(Snapshot {
        hash: SnapshotHash::of(&bytes),
        generation: head.generation,
        now: head.now,
        bytes,
    })
}

/// A snapshot that is being read. The head's form is right; nothing is known of the rest before
/// [`Self::verify`] and one whole [`Self::for_each`].
pub(crate) struct SnapshotReader<'b> {
    pub(crate) head: Head,
    signed: &'b [u8],
    groups: &'b [u8],
    groups_at: usize,
    signature: Signature,
}

impl<'b> SnapshotReader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, FleetError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(too_long(bytes.len()));
        }
        let fail = |why| FleetError::Malformed {
            what: "snapshot",
            at: 0,
            why,
        };
        let (signed, signature) = bytes
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or_else(|| fail("shorter than a signature"))?;
        let rest = signed.strip_prefix(MAGIC);
        let rest = rest.ok_or_else(|| fail("no snapshot, or of a version not known here"))?;
        let mut r = Reader::new("snapshot", rest);
        let head = Head::read(&mut r).map_err(|e| packed::moved(e, MAGIC.len()))?;
        let at = r.position();
        Ok(Self {
            head,
            signed,
            groups: rest.get(at..).unwrap_or_default(),
            groups_at: MAGIC.len() + at,
            signature: Signature(*signature),
        })
    }

    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), FleetError> {
        let hash = SnapshotHash::of(self.signed);
        let signed = key.id() == self.head.key && key.verify(DOMAIN, &hash.0, &self.signature);
        if signed {
            Ok(())
        } else {
            Err(FleetError::BadSignature { key: self.head.key })
        }
    }

    /// Every packed ban: all of the hub's organisation. At most `max`, and as many as the head
    /// says.
    pub(crate) fn for_each(
        &self,
        max: usize,
        each: &mut dyn FnMut(&Group, Unpacked) -> Result<(), FleetError>,
    ) -> Result<(), FleetError> {
        let fail = |why| FleetError::Malformed {
            what: "snapshot",
            at: self.groups_at,
            why,
        };
        let groups = usize::try_from(self.head.groups).unwrap_or(usize::MAX);
        let mut bans = 0;
        packed::unpack(
            "snapshot",
            self.groups,
            self.groups_at,
            groups,
            max,
            &mut |group, row| {
                if group.issuer != self.head.hub || group.state != 0 {
                    return Err(fail("a packed ban that is not the hub's"));
                }
                if row.until <= self.head.swept_to {
                    return Err(fail("a ban that had ended"));
                }
                bans += 1;
                each(group, row)
            },
        )?;
        if bans == self.head.bans {
            Ok(())
        } else {
            Err(fail("not as many bans as the head says"))
        }
    }
}

const fn too_long(bytes: usize) -> FleetError {
    FleetError::TooLong {
        what: "snapshot",
        bytes,
        limit: SNAPSHOT_BYTES_MAX,
    }
}
