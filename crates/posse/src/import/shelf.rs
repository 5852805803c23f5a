//! Where imported content lies: one folder an origin, replaced as a whole or not at all.
//!
//! ```text
//! FOLDER/crowdsec/import.json      what came from where, what of it is enabled
//!                /parsers …        what the guard loads, as it came
//!                /data             the data files that it names
//!                /.source          everything the origin offered, to enable more of it later
//! ```
//!
//! A new state is written beside the old one and exchanged with it in one step of the file system;
//! names that begin with a dot are not loaded.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::{Deserialize, Serialize};

use super::{choice::Wish, data::Stamp};

pub(super) const MANIFEST: &str = "import.json";
pub(super) const SOURCE: &str = ".source";
const MANIFEST_BYTES_MAX: u64 = 32 << 20;
const FORMAT: u32 = 1;

/// What `import.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) origin: String,
    /// The folder it was imported from.
    pub(super) from: PathBuf,
    pub(super) imported: String,
    pub(super) wish: Wish,
    pub(super) items: Vec<Entry>,
    pub(super) data: BTreeMap<String, Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) enabled: bool,
    /// Why it does not run, or what to know when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// A data file that lies in `data`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) sha256: String,
    pub(super) bytes: u64,
    #[serde(flatten)]
    pub(super) stamp: Stamp,
}

impl Manifest {
    pub(super) fn new(origin: &str, from: PathBuf, imported: String, wish: Wish) -> Self {
        Self {
            format: FORMAT,
            origin: origin.to_owned(),
            from,
            imported,
            wish,
            items: Vec::new(),
            data: BTreeMap::new(),
        }
    }

    /// The manifest of an origin's folder, if there is one.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MANIFEST);
        let Ok(meta) = fs::metadata(&path) else {
            return Ok(None);
        };
        let fix = "remove the folder and import again";
        if meta.len() > MANIFEST_BYTES_MAX {
            bail!("{}: {} bytes\n  fix: {fix}", path.display(), meta.len());
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged; {fix}", path.display()))?;
        if manifest.format != FORMAT {
            bail!(
                "{} has format {}, this program reads {FORMAT}\n  fix: {fix}",
                path.display(),
                manifest.format
            );
        }
        Ok(Some(manifest))
    }
}

/// The folder of all origins, held by one import at a time.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    _lock: File,
}

impl Shelf {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        make_dir(folder)?;
        let path = folder.join(".lock");
        let lock =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another import into {} is under way", folder.display());
        }
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    pub(super) fn origin(&self, origin: &str) -> PathBuf {
        self.folder.join(origin)
    }

    /// Makes `files` (paths within the origin's folder) all that the folder holds.
    pub(super) fn replace(&self, origin: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        let (place, fresh) = (
            self.origin(origin),
            self.folder.join(format!(".{origin}.new")),
        );
        remove(&fresh)?;
        let outcome = write_all(&fresh, files).and_then(|()| exchange(&fresh, &place));
        if outcome.is_err() {
            // What was there is still there; the torn rest is nobody's.
            remove(&fresh).ok();
            return outcome;
        }
        File::open(&self.folder)?.sync_all()?;
        remove(&fresh)
    }
}

fn write_all(root: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    make_dir(root)?;
    for (name, bytes) in files {
        let path = root.join(name);
        let parent = path.parent().unwrap_or(root);
        make_dirs(root, parent)?;
        let fail = || format!("cannot write {}", path.display());
        let mut file = File::create_new(&path).with_context(fail)?;
        file.write_all(bytes).with_context(fail)?;
        file.set_permissions(fs::Permissions::from_mode(0o644))
            .with_context(fail)?;
    }
    // One flush of the file system instead of thousands.
    let root = File::open(root)?;
    rustix::fs::syncfs(&root).context("cannot write to the disk")?;
    Ok(())
}

fn make_dirs(root: &Path, path: &Path) -> Result<()> {
    if path == root || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dirs(root, parent)?;
    }
    make_dir(path)
}

/// Readable by the guard's user, whatever the caller's umask says.
fn make_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// Puts `fresh` where `place` is, and what was there where `fresh` was.
fn exchange(fresh: &Path, place: &Path) -> Result<()> {
    let fail = || format!("cannot put the new content in place at {}", place.display());
    if !place.exists() {
        return fs::rename(fresh, place).with_context(fail);
    }
    if renameat_with(CWD, fresh, CWD, place, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    // A file system that cannot exchange: two steps, and back if the second fails.
    let aside = fresh.with_extension("old");
    remove(&aside)?;
    fs::rename(place, &aside).with_context(fail)?;
    if let Err(e) = fs::rename(fresh, place) {
        fs::rename(&aside, place).with_context(fail)?;
        return Err(e).with_context(fail);
    }
    remove(&aside)
}

fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        all.iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_new_state_replaces_the_old_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        shelf
            .replace("o", &files(&[("a/b.yaml", "one"), ("c", "x")]))
            .unwrap();
        shelf.replace("o", &files(&[("a/d.yaml", "two")])).unwrap();
        assert!(!dir.path().join("o/a/b.yaml").exists());
        assert_eq!(
            fs::read_to_string(dir.path().join("o/a/d.yaml")).unwrap(),
            "two"
        );
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path()).unwrap();
        shelf.replace("o", &files(&[("a", "one")])).unwrap();
        // A file where another needs a folder.
        assert!(
            shelf
                .replace("o", &files(&[("x", "1"), ("x/y", "2")]))
                .is_err()
        );
        assert_eq!(fs::read_to_string(dir.path().join("o/a")).unwrap(), "one");
        assert!(!dir.path().join(".o.new").exists());
    }

    #[test]
    fn two_imports_at_a_time_are_one_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Shelf::open(dir.path()).unwrap();
        assert!(
            Shelf::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("under way")
        );
    }
}
