//! RFC 6962 section 2.1: leaves and nodes are hashed apart by their first byte.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Context, SHA256};

use crate::{LedgerError, text};

/// A SHA-256 value.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The root of the empty tree: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

impl Hash {
    pub const BYTES: usize = 32;

    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        parts.iter().for_each(|part| context.update(part));
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(out)
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    pub fn from_base64(s: &str) -> Result<Self, LedgerError> {
        Self::from_slice(&text::base64(s)?).ok_or(LedgerError::Base64)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(s: &str) -> Option<Self> {
        if s.len() != 64 {
            return None;
        }
        let mut out = [0; 32];
        for (to, pair) in out.iter_mut().zip(s.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            *to = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(out))
    }
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash::of(&[&[0], leaf])
}

pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(Hash::of(&[]), EMPTY_ROOT);
        let empty_leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), empty_leaf);
        assert_eq!(Hash::from_hex(empty_leaf), Some(leaf_hash(b"")));
        assert_eq!(Hash::from_hex(&empty_leaf.to_uppercase()), None);
    }

    #[test]
    fn base64_is_canonical() {
        let text = EMPTY_ROOT.to_base64();
        assert_eq!(Hash::from_base64(&text), Ok(EMPTY_ROOT));
        let loose = text.replace("FU=", "FV=");
        assert_ne!(loose, text);
        for bad in [loose.as_str(), text.trim_end_matches('='), "", "AAAA", "é"] {
            assert!(Hash::from_base64(bad).is_err(), "{bad}");
        }
    }
}
