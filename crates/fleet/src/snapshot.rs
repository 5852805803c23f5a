//! A whole ban set in few bytes, named by its hash and signed by the community's key.
//!
//! The hub's own bans stand in it packed: sorted, gaps Rice-coded, ends in minutes where they are
//! whole minutes. Members' bans stand in it as the statements that made them, so that each carries
//! its issuer's signature. A reader never holds a second copy: it walks the bytes.

use crate::{Generation, HubTime};

/// Bytes of one snapshot at most: what a hub makes and a guard reads. A million IPv4 addresses with
/// ends at random take 3.5 MB, a million IPv6 addresses at random 16 MB.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// The SHA-256 of a snapshot's bytes. Prints as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotHash(pub [u8; 32]);

crate::key::as_hex!(SnapshotHash, 32);

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
    pub fn offer(&self) -> crate::Offer {
        crate::Offer {
            hash: self.hash,
            generation: self.generation,
            bytes: self.bytes.len() as u64,
        }
    }
}
