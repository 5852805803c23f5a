//! Files that are there whole or not at all, closed to others, and known by their hash.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ring::digest::{SHA256, digest};

use crate::error::UplinkError;

const HASH_BYTES: usize = 32;

/// The folder of all that is kept here, within the state folder.
pub(crate) fn folder(state: &Path) -> PathBuf {
    state.join("fleet")
}

pub(crate) fn make_folder(path: &Path) -> Result<(), UplinkError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| failed(path, "cannot make the folder", source))
}

/// Writes `parts`, and a hash after them, in place of what was there: under another name,
/// synchronised, renamed.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> Result<(), UplinkError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut hash = ring::digest::Context::new(&SHA256);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        for part in parts {
            hash.update(part);
            file.write_all(part)?;
        }
        file.write_all(hash.finish().as_ref())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|source| failed(path, "cannot write", source))
}

/// What [`replace`] wrote; `None` when there is no such file.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, UplinkError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, "cannot read", source)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| failed(path, "cannot read", source))?;
    let damaged = |why| UplinkError::Damaged {
        path: path.to_owned(),
        why,
        next: "it is left out; remove it",
    };
    if bytes.len() as u64 > bytes_max {
        return Err(damaged("it is too long"));
    }
    let end = bytes.len().checked_sub(HASH_BYTES);
    let end = end.ok_or_else(|| damaged("it is too short"))?;
    let (content, hash) = bytes.split_at(end);
    if digest(&SHA256, content).as_ref() != hash {
        return Err(damaged("its hash differs"));
    }
    bytes.truncate(end);
    Ok(Some(bytes))
}

pub(crate) fn failed(path: &Path, doing: &'static str, source: io::Error) -> UplinkError {
    UplinkError::File {
        path: path.to_owned(),
        doing,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.set");
        assert_eq!(read(&path, 100).unwrap(), None);
        replace(&path, &[b"one", b"two"]).unwrap();
        assert_eq!(read(&path, 100).unwrap().unwrap(), b"onetwo");
        assert!(read(&path, 20).is_err());
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut bytes = fs::read(&path).unwrap();
        bytes[1] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(read(&path, 100), Err(UplinkError::Damaged { .. })));
        fs::write(&path, b"short").unwrap();
        assert!(matches!(read(&path, 100), Err(UplinkError::Damaged { .. })));
    }
}
