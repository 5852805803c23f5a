//! One number that two equal ban sets share.

use std::{fmt, net::IpAddr};

use model::Prefix;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{FleetError, OrgId};

const DOMAIN: &[u8] = b"posse fleet entry 1\0";

/// The sum, mod 2^128, of the first 16 bytes (big-endian) of the SHA-256 of each live entry's
/// canonical bytes. The empty set's is zero. Prints as 32 hex digits.
///
/// An order of entries does not enter, so both adding and removing take one step. It finds
/// differences that befall; it is no proof against one who makes entries to fit (statements and
/// snapshots are signed for that).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    pub(crate) fn add(&mut self, entry: Self) {
        self.0 = self.0.wrapping_add(entry.0);
    }

    pub(crate) fn subtract(&mut self, entry: Self) {
        self.0 = self.0.wrapping_sub(entry.0);
    }

    /// One entry's part. `until` is in whole seconds of the hub's time.
    pub(crate) fn of_entry(prefix: Prefix, until: u32, issuer: &OrgId, kind: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(DOMAIN);
        hash.update(&[prefix.len()]);
        match prefix.addr() {
            IpAddr::V4(addr) => {
                hash.update(&[4]);
                hash.update(&addr.octets());
            }
            IpAddr::V6(addr) => {
                hash.update(&[6]);
                hash.update(&addr.octets());
            }
        }
        hash.update(&until.to_be_bytes());
        // A short name holds no zero byte.
        hash.update(issuer.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(kind.as_bytes());
        let hash = hash.finish();
        let bytes = hash.as_ref().first_chunk::<16>();
        Self(bytes.map_or(0, |bytes| u128::from_be_bytes(*bytes)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl std::str::FromStr for Digest {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let mut bytes = [0; 16];
        crate::key::unhex(text, &mut bytes).ok_or(FleetError::Hex { bytes: 16 })?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
