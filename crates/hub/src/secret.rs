//! Secrets: made from the system's randomness, kept only as hashes, compared in constant time.

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

pub(crate) type KeyHash = [u8; 64];

/// 256 bits, as text that needs no quoting anywhere.
pub(crate) fn make() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A key has 256 random bits, so a fast hash keeps it.
pub(crate) fn hash_key(secret: &str) -> KeyHash {
    Sha512::digest(secret.as_bytes()).into()
}

pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A password is a person's choice, so its hash is slow and salted: argon2id, 19 MiB, 2 passes.
pub(crate) fn hash_password(password: &str) -> Option<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).ok()?;
    Some(hash.to_string())
}

pub(crate) fn check_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}
