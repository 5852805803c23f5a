//! A person's key in a file of their own, sealed under their passphrase.
//!
//! ```text
//! posse person key v1
//! name "duty officer"
//! public posse-person-…
//! salt (16 bytes, hex)
//! sealed (the 32 bytes of the Ed25519 seed and 16 of tag, hex)
//! ```
//!
//! The passphrase becomes a key by Argon2id with 64 MiB and three passes (RFC 9106, section 4),
//! which seals the seed by AES-256-GCM, bound to the lines above it. The state folder never holds
//! such a file, and nothing here prints a secret.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use casework::persons::{PersonKey, Signer};
use ring::aead::{Aad, NONCE_LEN, Nonce};

use crate::{
    EvidenceError,
    error::io_at,
    keys::{from_hex, sync_parent, to_hex},
    seal::cipher,
};

/// A passphrase that is shorter is none.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
const PASSPHRASE_BYTES_MAX: u64 = 1024;
const FIRST_LINE: &str = "posse person key v1";
const FILE_BYTES_MAX: u64 = 4096;
const MODE: u32 = 0o600;
const SALT: usize = 16;
const SEED: usize = 32;
const TAG: usize = 16;
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A key file's content; nobody can sign with it before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    name: String,
    key: PersonKey,
    salt: [u8; SALT],
    sealed: [u8; SEED + TAG],
}

impl SealedKey {
    /// A new key, and its public half.
    pub fn make(name: &str, passphrase: &str) -> Result<Self, EvidenceError> {
        if passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(EvidenceError::PassphraseShort);
        }
        let (mut seed, mut salt) = ([0; SEED], [0; SALT]);
        for bytes in [&mut seed[..], &mut salt[..]] {
            getrandom::fill(bytes).map_err(|_| EvidenceError::Random)?;
        }
        let signer = Signer::from_seed(name, &seed).ok_or(EvidenceError::PersonName)?;
        let (key, head) = (signer.key(), head(name, &signer.key(), &salt));
        let mut sealed = seed.to_vec();
        cipher(&stretched(passphrase, &salt)?)?
            .seal_in_place_append_tag(nonce(), Aad::from(head.as_bytes()), &mut sealed)
            .map_err(|_| EvidenceError::Cipher)?;
        Ok(Self {
            name: name.to_owned(),
            key,
            salt,
            sealed: sealed.try_into().map_err(|_| EvidenceError::Cipher)?,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn key(&self) -> PersonKey {
        self.key
    }

    /// Reads what [`Self::to_text`] wrote, and nothing else. `None`: it is no key file.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?.lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let name: String = serde_json::from_str(field("name")?).ok()?;
        let key = PersonKey::parse(field("public")?).ok()?;
        let salt = from_hex(field("salt")?)?.try_into().ok()?;
        let sealed = from_hex(field("sealed")?)?.try_into().ok()?;
        let read = Self {
            name,
            key,
            salt,
            sealed,
        };
        (read.to_text() == text).then_some(read)
    }

    pub fn to_text(&self) -> String {
        let head = head(&self.name, &self.key, &self.salt);
        format!("{head}sealed {}\n", to_hex(&self.sealed))
    }

    /// What signs in the person's name.
    pub fn open(&self, passphrase: &str) -> Result<Signer, EvidenceError> {
        let head = head(&self.name, &self.key, &self.salt);
        let mut sealed = self.sealed;
        let opened = cipher(&stretched(passphrase, &self.salt)?)?
            .open_in_place(nonce(), Aad::from(head.as_bytes()), &mut sealed)
            .map_err(|_| EvidenceError::Passphrase)?;
        let seed: &[u8; SEED] = (&*opened)
            .try_into()
            .map_err(|_| EvidenceError::Passphrase)?;
        let signer = Signer::from_seed(&self.name, seed).ok_or(EvidenceError::PersonName)?;
        if signer.key() == self.key {
            Ok(signer)
        } else {
            Err(EvidenceError::Passphrase)
        }
    }

    /// Writes it where nothing is yet.
    pub fn write(&self, path: &Path) -> Result<(), EvidenceError> {
        let write = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()?;
            sync_parent(&std::path::absolute(path)?)
        };
        write().map_err(io_at(path, "write the key file"))
    }

    pub fn read(path: &Path) -> Result<Self, EvidenceError> {
        let text = read_private(path, FILE_BYTES_MAX).map_err(io_at(path, "read the key file"))?;
        Self::parse(&text).ok_or_else(|| EvidenceError::KeyFile {
            path: path.to_owned(),
        })
    }
}

/// The first line of a file that only its owner may read.
pub fn read_passphrase(path: &Path) -> Result<String, EvidenceError> {
    let text = read_private(path, PASSPHRASE_BYTES_MAX);
    let text = text.map_err(io_at(path, "read the passphrase"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn read_private(path: &Path, most: u64) -> io::Result<String> {
    // A pipe or a terminal has no mode that says anything.
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.mode() & 0o077 != 0 {
        let why = format!("it is open to others; run: chmod 600 {}", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}

fn head(name: &str, key: &PersonKey, salt: &[u8; SALT]) -> String {
    let name = serde_json::Value::from(name);
    format!(
        "{FIRST_LINE}\nname {name}\npublic {key}\nsalt {}\n",
        to_hex(salt)
    )
}

fn stretched(passphrase: &str, salt: &[u8; SALT]) -> Result<[u8; 32], EvidenceError> {
    let mut key = [0; 32];
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(key.len()));
    let params = params.map_err(|_| EvidenceError::Cipher)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(|_| EvidenceError::Cipher)?;
    Ok(key)
}

/// Each key is stretched from a salt of its own and seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const WORDS: &str = "correct horse battery";

    #[test]
    fn a_key_opens_with_its_passphrase_and_is_never_written_over() {
        let made = SealedKey::make("duty officer", WORDS).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("officer.key");
        made.write(&path).unwrap();
        assert!(made.write(&path).is_err(), "never over another");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let read = SealedKey::read(&path).unwrap();
        assert_eq!(read, made);
        let signer = read.open(WORDS).unwrap();
        assert_eq!((signer.name(), signer.key()), ("duty officer", made.key()));
        assert!(matches!(
            read.open("correct horse batterz"),
            Err(EvidenceError::Passphrase)
        ));
        // Under another name it is no key.
        let text = made.to_text().replace("duty officer", "shift officer");
        let renamed = SealedKey::parse(&text).unwrap();
        assert!(matches!(
            renamed.open(WORDS),
            Err(EvidenceError::Passphrase)
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let why = SealedKey::read(&path).unwrap_err();
        assert!(matches!(why, EvidenceError::Io { .. }), "{why}");
    }

    #[test]
    fn there_is_no_key_without_a_passphrase_or_a_name() {
        assert!(matches!(
            SealedKey::make("x", "short"),
            Err(EvidenceError::PassphraseShort)
        ));
        assert!(matches!(
            SealedKey::make(" ", WORDS),
            Err(EvidenceError::PersonName)
        ));
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let good = SealedKey::make("a", WORDS).unwrap().to_text();
        assert!(SealedKey::parse(&good).is_some());
        for bad in [
            String::new(),
            good.replace("v1", "v2"),
            format!("{good}\n"),
            good.trim_end().to_owned(),
            good.replace("name \"a\"", "name  \"a\""),
            good.to_uppercase(),
            good.replace("salt ", "salt 00"),
        ] {
            assert_eq!(SealedKey::parse(&bad), None, "{bad}");
        }
    }
}
