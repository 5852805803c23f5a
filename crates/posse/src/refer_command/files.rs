//! Folders and files that are there whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Component, Path},
};

use anyhow::{Context as _, Result, bail};

/// Files of one folder that are read back, and their bytes.
const FILES_MAX: usize = 10_000;
const FOLDER_BYTES_MAX: u64 = 256 << 20;

/// Writes the files below `folder`, in place of what was there: under another name, synchronised,
/// renamed.
pub(crate) fn write_folder(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    let failed = || format!("cannot write {}", folder.display());
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let parent = folder.parent().unwrap_or_else(|| Path::new("."));
    let temporary = parent.join(format!(".{name}.new"));
    remove(&temporary).with_context(failed)?;
    make_folder(&temporary).with_context(failed)?;
    for (path, bytes) in files {
        let plain = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            bail!("{path:?} is no plain path");
        }
        let path = temporary.join(path);
        if let Some(within) = path.parent() {
            make_folder(within).with_context(failed)?;
        }
        write_synced(&path, bytes).with_context(failed)?;
    }
    remove(folder).with_context(failed)?;
    fs::rename(&temporary, folder).with_context(failed)?;
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .with_context(failed)
}

/// A file of its own that was not there before.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let temporary = path.with_extension("new");
    remove(&temporary).with_context(failed)?;
    write_synced(&temporary, bytes).with_context(failed)?;
    fs::rename(&temporary, path).with_context(failed)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))
        .and_then(|dir| dir.sync_all())
        .with_context(failed)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn remove(path: &Path) -> std::io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Gives what root wrote below a state folder to the folder's owner, whom the service runs as.
pub(crate) fn owned_by(state: &Path, path: &Path) -> Result<()> {
    let owner = fs::metadata(state)?;
    let found = fs::symlink_metadata(path)?;
    if found.uid() != owner.uid() {
        chown(path, Some(owner.uid()), Some(owner.gid()))
            .with_context(|| format!("cannot give {} to its owner", path.display()))?;
    }
    if found.is_dir() {
        for inner in fs::read_dir(path)? {
            owned_by(state, &inner?.path())?;
        }
    }
    Ok(())
}

/// Every file below a folder, sorted by path; no links are followed.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    let mut left = FOLDER_BYTES_MAX;
    while let Some(next) = waiting.pop() {
        let listed = fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()));
        for inner in listed? {
            let inner = inner?;
            let (path, kind) = (inner.path(), inner.file_type()?);
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                let mut bytes = Vec::new();
                File::open(&path)?.take(left + 1).read_to_end(&mut bytes)?;
                left = match left.checked_sub(bytes.len() as u64) {
                    Some(left) if files.len() < FILES_MAX => left,
                    _ => bail!("{} is too large to be handed over", folder.display()),
                };
                let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                files.push((name, bytes));
            } else {
                bail!("{} is neither file nor folder", path.display());
            }
        }
    }
    files.sort();
    Ok(files)
}
