//! Ed25519 keys. Seeds come in as arguments: no randomness here.

use std::fmt;

use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

use crate::FleetError;

/// The first eight bytes of the SHA-256 of an Ed25519 public key. Prints as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

/// An Ed25519 public key. Prints as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl PublicKey {
    pub fn id(&self) -> KeyId {
        let hash = digest(&SHA256, &self.0);
        KeyId(first(hash.as_ref()))
    }

    /// Whether `signature` is this key's over `domain` (one of this crate's own) and `bytes`.
    pub(crate) fn verify(&self, domain: &[u8], bytes: &[u8], signature: &Signature) -> bool {
        let text = [domain, bytes].concat();
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&text, &signature.0)
            .is_ok()
    }
}

/// The secret half. Its `Debug` shows the public half only.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key that `seed` (32 random bytes, kept secret) stands for.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, FleetError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| FleetError::Seed)?;
        let public = pair.public_key().as_ref().try_into();
        let public = PublicKey(public.map_err(|_| FleetError::Seed)?);
        Ok(Self { pair, public })
    }

    pub const fn public(&self) -> PublicKey {
        self.public
    }

    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    pub(crate) fn sign(&self, domain: &[u8], bytes: &[u8]) -> Signature {
        let signature = self.pair.sign(&[domain, bytes].concat());
        Signature(first(signature.as_ref()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

/// The first `N` bytes; zeros where there are none, which callers rule out.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

/// Hex as the one text form of a newtype over bytes.
macro_rules! as_hex {
    ($name:ident, $bytes:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::FleetError;

            fn from_str(text: &str) -> Result<Self, $crate::FleetError> {
                let mut out = [0; $bytes];
                let whole = $crate::key::unhex(text, &mut out);
                whole.ok_or($crate::FleetError::Hex { bytes: $bytes })?;
                Ok(Self(out))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use as_hex;

as_hex!(KeyId, 8);
as_hex!(PublicKey, 32);
as_hex!(Signature, 64);

/// Lower-case hex digits only: one key has one spelling.
pub(crate) fn unhex(text: &str, out: &mut [u8]) -> Option<()> {
    if text.len() != out.len() * 2 {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_domain_and_bytes_only() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let signature = key.sign(b"a", b"bytes");
        assert!(key.public().verify(b"a", b"bytes", &signature));
        assert!(!key.public().verify(b"b", b"bytes", &signature));
        assert!(!key.public().verify(b"a", b"byteS", &signature));
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        assert!(!other.public().verify(b"a", b"bytes", &signature));
    }

    #[test]
    fn hex_has_one_spelling() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap().public();
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        assert!(key.to_string().to_uppercase().parse::<PublicKey>().is_err());
        assert!("00".parse::<KeyId>().is_err());
    }
}
