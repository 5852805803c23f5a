//! Encryption to recipients in the format of age (age-encryption.org/v1), X25519 recipients only.
//!
//! Encryption alone: whoever has the key opens the file with age itself. All cryptography is
//! ring's; here is the format. Why not a library: see docs/adr.

use std::{
    io::{Read, Write},
    path::Path,
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

use crate::{PackIoError, error::at};

const VERSION: &str = "age-encryption.org/v1";
const CHUNK: usize = 64 << 10;
const FILE_KEY: usize = 16;

/// Whoever can open the file: `age1…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no recipient of age; it begins with age1 and comes from `age-keygen -y`")]
pub struct RecipientError(String);

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        bech32(text.trim())
            .map(Self)
            .ok_or_else(|| RecipientError(text.chars().take(80).collect()))
    }
}

/// BIP 173, for the prefix `age` and 32 bytes.
fn bech32(text: &str) -> Option<[u8; 32]> {
    const LETTERS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const PREFIX: &[u8] = b"age";
    let data = text.strip_prefix("age1")?;
    let values: Vec<u8> = data
        .bytes()
        .map(|b| LETTERS.iter().position(|l| *l == b))
        .map(|at| at.and_then(|at| u8::try_from(at).ok()))
        .collect::<Option<_>>()?;
    let high = PREFIX.iter().map(|b| b >> 5);
    let low = PREFIX.iter().map(|b| b & 31);
    let sum = high.chain([0]).chain(low).chain(values.iter().copied());
    if checksum(sum) != 1 {
        return None;
    }
    let (data, _) = values.split_at_checked(values.len().checked_sub(6)?)?;
    let (mut bits, mut held) = (0u32, 0u32);
    let mut out = Vec::with_capacity(32);
    for value in data {
        held = held << 5 | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    // What is left over is filling, and zero.
    if bits >= 5 || held & ((1 << bits) - 1) != 0 {
        return None;
    }
    out.try_into().ok()
}

fn checksum(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..)
            .zip(GENERATOR)
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, g)| sum ^ g)
    })
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn hkdf(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; 32], PackIoError> {
    let mut key = [0; 32];
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Length(32))
        .and_then(|okm| okm.fill(&mut key))
        .map_err(|_| PackIoError::Random)?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, PackIoError> {
    UnboundKey::new(&CHACHA20_POLY1305, key)
        .map(LessSafeKey::new)
        .map_err(|_| PackIoError::Random)
}

pub(crate) fn encrypt(
    recipients: &[Recipient],
    from: &mut dyn Read,
    to: &mut dyn Write,
    path: &Path,
) -> Result<(), PackIoError> {
    let random = SystemRandom::new();
    let mut file_key = [0; FILE_KEY];
    let mut nonce = [0; 16];
    for bytes in [&mut file_key[..], &mut nonce[..]] {
        random.fill(bytes).map_err(|_| PackIoError::Random)?;
    }
    let mut header = format!("{VERSION}\n");
    for recipient in recipients {
        header.push_str(&stanza(recipient, &file_key, &random)?);
    }
    header.push_str("---");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(&[], &file_key, b"header")?);
    let mac = hmac::sign(&key, header.as_bytes());
    header.push_str(&format!(" {}\n", STANDARD_NO_PAD.encode(mac.as_ref())));
    let write = |to: &mut dyn Write, bytes: &[u8]| to.write_all(bytes).map_err(at(path, "write"));
    write(to, header.as_bytes())?;
    write(to, &nonce)?;
    let cipher = cipher(&hkdf(&nonce, &file_key, b"payload")?)?;
    let mut chunk = read_chunk(from, path)?;
    let mut counter = 0u64;
    loop {
        // Only an empty file ends in an empty chunk.
        let next = if chunk.len() == CHUNK {
            read_chunk(from, path)?
        } else {
            Vec::new()
        };
        let last = next.is_empty();
        let mut sealed = chunk;
        cipher
            .seal_in_place_append_tag(chunk_nonce(counter, last), Aad::empty(), &mut sealed)
            .map_err(|_| PackIoError::Random)?;
        write(to, &sealed)?;
        if last {
            return Ok(());
        }
        (chunk, counter) = (next, counter + 1);
    }
}

/// Eleven bytes of counter and the mark of the last chunk.
fn chunk_nonce(counter: u64, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(3).zip(counter.to_be_bytes()) {
        *to = from;
    }
    let [.., mark] = &mut nonce;
    *mark = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

fn read_chunk(from: &mut dyn Read, path: &Path) -> Result<Vec<u8>, PackIoError> {
    let mut chunk = Vec::with_capacity(CHUNK + 16);
    from.take(CHUNK as u64)
        .read_to_end(&mut chunk)
        .map_err(at(path, "read back for"))?;
    Ok(chunk)
}

/// The file's key, wrapped for one recipient.
fn stanza(
    recipient: &Recipient,
    file_key: &[u8; FILE_KEY],
    random: &SystemRandom,
) -> Result<String, PackIoError> {
    let private =
        EphemeralPrivateKey::generate(&X25519, random).map_err(|_| PackIoError::Random)?;
    let share = private
        .compute_public_key()
        .map_err(|_| PackIoError::Random)?;
    let salt = [share.as_ref(), &recipient.0].concat();
    let theirs = UnparsedPublicKey::new(&X25519, recipient.0);
    let info = b"age-encryption.org/v1/X25519";
    let key = agree_ephemeral(private, &theirs, |secret| hkdf(&salt, secret, info))
        .map_err(|_| PackIoError::Random)??;
    let mut sealed = file_key.to_vec();
    cipher(&key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key([0; 12]),
            Aad::empty(),
            &mut sealed,
        )
        .map_err(|_| PackIoError::Random)?;
    Ok(format!(
        "-> X25519 {}\n{}\n",
        STANDARD_NO_PAD.encode(share.as_ref()),
        STANDARD_NO_PAD.encode(sealed)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_read_strictly() {
        // The recipient of the example in age's specification of X25519 identities.
        let good = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        assert!(good.parse::<Recipient>().is_ok());
        for bad in [
            "",
            "age1",
            &good.replace('z', "y"),
            &good.to_uppercase(),
            &good[..40],
            "age1\u{e4}",
        ] {
            assert!(bad.parse::<Recipient>().is_err(), "{bad}");
        }
    }
}
