//! The vault's key, and each exhibit's own key wrapped by it.
//!
//! An exhibit's key lies in a small file of its own. To destroy the exhibit, that file is written
//! over in place, made durable and removed: without the key the sealed bytes are noise, wherever
//! copies of them lie.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use model::ContentHash;
use ring::aead::{Aad, NONCE_LEN, Nonce};

use crate::{
    EvidenceError,
    error::io_at,
    seal::{DataKey, cipher},
};

const KEY_HEAD: &str = "posse-vault-key/1 ";
const WRAP_HEAD: &str = "posse-wrapped-key/1 ";
const WRAP_DOMAIN: &[u8] = b"posse/wrapped-key/v1\0";
const ID_DOMAIN: &[u8] = b"posse/vault-key-id/v1\0";
/// Both kinds of file are one short line.
const FILE_BYTES_MAX: u64 = 4 << 10;
const MODE: u32 = 0o600;

pub(crate) struct VaultKey {
    key: [u8; 32],
}

impl VaultKey {
    /// The key in `path`; made when there is none and nothing needs an old one.
    pub(crate) fn open(path: &Path, is_new: impl FnOnce() -> bool) -> Result<Self, EvidenceError> {
        match read_line(path) {
            Ok(text) => Self::parse(path, &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound && is_new() => Self::create(path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(EvidenceError::KeyMissing {
                path: path.to_owned(),
            }),
            Err(e) => Err(io_at(path, "read the vault's key")(e)),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, EvidenceError> {
        let bad = || EvidenceError::BadKey {
            path: path.to_owned(),
        };
        let key = text.strip_prefix(KEY_HEAD).and_then(from_hex);
        let key = key.ok_or_else(bad)?.try_into().map_err(|_| bad())?;
        Ok(Self { key })
    }

    fn create(path: &Path) -> Result<Self, EvidenceError> {
        let DataKey(key) = DataKey::fresh()?;
        let fresh = path.with_extension("new");
        let write = || {
            match fs::remove_file(&fresh) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            write_new(&fresh, &format!("{KEY_HEAD}{}\n", to_hex(&key)))?;
            // Unlike a rename, a link fails when the name is taken.
            fs::hard_link(&fresh, path)?;
            fs::remove_file(&fresh)?;
            sync_parent(path)
        };
        match write() {
            Ok(()) => Ok(Self { key }),
            // Somebody else made it at the same time.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let text = read_line(path).map_err(io_at(path, "read the vault's key"))?;
                Self::parse(path, &text)
            }
            Err(e) => Err(io_at(path, "write the vault's key")(e)),
        }
    }

    /// Names the key without telling it.
    pub(crate) fn id(&self) -> String {
        let hash = ContentHash::of(&[ID_DOMAIN, &self.key].concat()).to_string();
        hash.get(..16).unwrap_or_default().to_owned()
    }

    pub(crate) fn wrap(
        &self,
        path: &Path,
        exhibit: &str,
        content: &ContentHash,
        key: &DataKey,
    ) -> Result<(), EvidenceError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| EvidenceError::Random)?;
        let mut bytes = key.0.to_vec();
        cipher(&self.key)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(exhibit, content),
                &mut bytes,
            )
            .map_err(|_| EvidenceError::Cipher)?;
        let text = format!(
            "{WRAP_HEAD}{} {} {}\n",
            self.id(),
            to_hex(&nonce),
            to_hex(&bytes)
        );
        write_new(path, &text)
            .and_then(|()| sync_parent(path))
            .map_err(io_at(path, "write the exhibit's key"))
    }

    pub(crate) fn unwrap(
        &self,
        path: &Path,
        exhibit: &str,
        content: &ContentHash,
    ) -> Result<DataKey, EvidenceError> {
        let bad = |why: &str| EvidenceError::Damaged {
            exhibit: exhibit.to_owned(),
            why: why.to_owned(),
        };
        let text = read_line(path).map_err(|e| bad(&format!("its key cannot be read: {e}")))?;
        let mut words = text.strip_prefix(WRAP_HEAD).unwrap_or_default().split(' ');
        let (id, nonce, sealed) = (words.next(), words.next(), words.next());
        if id != Some(self.id().as_str()) {
            return Err(bad("its key is not wrapped by this vault's key"));
        }
        let nonce: Option<[u8; NONCE_LEN]> =
            nonce.and_then(from_hex).and_then(|n| n.try_into().ok());
        let (nonce, mut sealed) = nonce
            .zip(sealed.and_then(from_hex))
            .ok_or_else(|| bad("its key file is damaged"))?;
        let opened = cipher(&self.key)?
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                associated(exhibit, content),
                &mut sealed,
            )
            .map_err(|_| bad("its key was changed, or is another exhibit's"))?;
        let key = (&*opened)
            .try_into()
            .map_err(|_| bad("its key is too short"))?;
        Ok(DataKey(key))
    }
}

/// The key's file is bound to the exhibit's number and to what its bytes are.
fn associated(exhibit: &str, content: &ContentHash) -> Aad<Vec<u8>> {
    let mut bytes = WRAP_DOMAIN.to_vec();
    bytes.extend(exhibit.as_bytes());
    bytes.push(0);
    bytes.extend(content.bytes());
    Aad::from(bytes)
}

/// Writes over the file before it is removed, so that its blocks do not keep the key.
pub(crate) fn destroy(path: &Path) -> Result<(), EvidenceError> {
    let write = || {
        let mut file = match OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let length = usize::try_from(file.metadata()?.size()).unwrap_or(0);
        file.write_all(&vec![b'0'; length])?;
        file.sync_all()?;
        fs::remove_file(path)?;
        sync_parent(path)
    };
    write().map_err(io_at(path, "destroy the key"))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read_line(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        let why = format!("it is open to others; run: chmod 600 {}", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Makes the names beside `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    File::open(parent)?.sync_all()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_for_its_exhibit_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = VaultKey::open(&dir.path().join("vault.key"), || true).unwrap();
        let data = DataKey::fresh().unwrap();
        let (path, hash) = (dir.path().join("a.key"), ContentHash::of(b"a"));
        key.wrap(&path, "EX-1", &hash, &data).unwrap();
        assert_eq!(key.unwrap(&path, "EX-1", &hash).unwrap().0, data.0);
        assert!(key.unwrap(&path, "EX-2", &hash).is_err());
        assert!(key.unwrap(&path, "EX-1", &ContentHash::of(b"b")).is_err());
        let other = dir.path().join("other.key");
        let other = VaultKey::open(&other, || true).unwrap();
        assert!(other.unwrap(&path, "EX-1", &hash).is_err());
        assert!(
            key.wrap(&path, "EX-1", &hash, &data).is_err(),
            "never over another"
        );
        destroy(&path).unwrap();
        assert!(!path.exists());
        destroy(&path).unwrap();
    }

    #[test]
    fn a_vault_key_is_made_once_and_never_in_place_of_a_lost_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.key");
        assert!(matches!(
            VaultKey::open(&path, || false),
            Err(EvidenceError::KeyMissing { .. })
        ));
        let id = VaultKey::open(&path, || true).unwrap().id();
        assert_eq!(VaultKey::open(&path, || false).unwrap().id(), id);
        fs::write(&path, "x").unwrap();
        assert!(VaultKey::open(&path, || true).is_err());
    }
}
