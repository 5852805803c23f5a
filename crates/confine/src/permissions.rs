//! Who else could change what the guard believes: checked before anything is read.
//!
//! A file is judged by what its path leads to, and by the folder that it is in: who can write the
//! folder can put another file there. Links are followed to the end, and each end is judged.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::error::ConfineError;

const ROOT: u32 = 0;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ANYTHING: u32 = 0o007;
const STICKY: u32 = 0o1000;

/// A file that tells the guard what to do (configuration, rules): nobody but root and we
/// ourselves may write it. One that is missing is no concern of this check.
pub fn check_trusted(path: &Path) -> Result<(), ConfineError> {
    for (path, meta) in ends(path)? {
        check_owner(&path, &meta)?;
        if meta.mode() & (GROUP_WRITES | OTHERS_WRITE) != 0 && !is_sticky_folder(&meta) {
            return Err(ConfineError::Permissions {
                why: format!(
                    "others can write it (mode {:04o}), and so tell the guard what to do",
                    meta.mode() & 0o7777
                ),
                fix: format!("chmod go-w {}", path.display()),
                path,
            });
        }
    }
    Ok(())
}

/// A file with a password or key in it: as [`check_trusted`], and others may not read it.
pub fn check_secret(path: &Path) -> Result<(), ConfineError> {
    check_trusted(path)?;
    let Some(meta) = existing(path, fs::metadata(path))? else {
        return Ok(());
    };
    if meta.mode() & OTHERS_ANYTHING != 0 {
        return Err(ConfineError::Permissions {
            path: path.to_owned(),
            why: format!("everybody can read it (mode {:04o})", meta.mode() & 0o7777),
            fix: format!("chmod o= {}", path.display()),
        });
    }
    Ok(())
}

/// The state folder is ours alone. One that is missing will be made so.
pub fn check_state(path: &Path) -> Result<(), ConfineError> {
    let us = rustix::process::geteuid().as_raw();
    let Some(meta) = existing(path, fs::metadata(path))? else {
        return Ok(());
    };
    if meta.uid() != us {
        return Err(ConfineError::Permissions {
            path: path.to_owned(),
            why: format!("it belongs to user {}, and we run as user {us}", meta.uid()),
            fix: format!(
                "run as that user (`systemctl start posse` does), or: chown -R {us} {}",
                path.display()
            ),
        });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(ConfineError::Permissions {
            path: path.to_owned(),
            why: format!(
                "others can look into it (mode {:04o})",
                meta.mode() & 0o7777
            ),
            fix: format!("chmod 0700 {}", path.display()),
        });
    }
    Ok(())
}

/// Whether we could read this file or folder by its owner, group and mode alone.
pub fn is_readable_without_capabilities(path: &Path) -> bool {
    let Ok(meta) = fs::metadata(path) else {
        return true;
    };
    let groups: Vec<u32> = rustix::process::getgroups()
        .map(|all| all.iter().map(|g| g.as_raw()).collect())
        .unwrap_or_default();
    let needed = if meta.is_dir() { 0o5 } else { 0o4 };
    let shift = if meta.uid() == rustix::process::geteuid().as_raw() {
        6
    } else if meta.gid() == rustix::process::getegid().as_raw() || groups.contains(&meta.gid()) {
        3
    } else {
        0
    };
    (meta.mode() >> shift) & needed == needed
}

/// The path's folder, and where the path leads with the folder there.
fn ends(path: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, ConfineError> {
    let absolute = std::path::absolute(path).map_err(unreadable(path))?;
    let mut seen = Vec::new();
    let real = existing(path, absolute.canonicalize())?;
    let folders = [Some(absolute.as_path()), real.as_deref()];
    for folder in folders.into_iter().flatten().filter_map(Path::parent) {
        if let Some(meta) = existing(folder, fs::metadata(folder))? {
            seen.push((folder.to_owned(), meta));
        }
    }
    if let Some(real) = &real
        && let Some(meta) = existing(real, fs::metadata(real))?
    {
        seen.push((real.clone(), meta));
    }
    Ok(seen)
}

fn existing<T>(path: &Path, outcome: io::Result<T>) -> Result<Option<T>, ConfineError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(path)(e)),
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> ConfineError {
    move |e| ConfineError::Permissions {
        path: path.to_owned(),
        why: format!("cannot be examined: {e}"),
        fix: "check the path and its permissions".to_owned(),
    }
}

fn check_owner(path: &Path, meta: &fs::Metadata) -> Result<(), ConfineError> {
    let us = rustix::process::geteuid().as_raw();
    // In a user namespace root's files may show as nobody's; then root there is not ours either.
    if meta.uid() == ROOT || meta.uid() == us {
        return Ok(());
    }
    Err(ConfineError::Permissions {
        path: path.to_owned(),
        why: format!(
            "it belongs to user {}, who could tell the guard what to do",
            meta.uid()
        ),
        fix: format!("chown root {}", path.display()),
    })
}

/// In `/tmp` and its like nobody can replace another's file.
fn is_sticky_folder(meta: &fs::Metadata) -> bool {
    meta.is_dir() && meta.mode() & STICKY != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "x").unwrap();
        chmod(&path, mode);
        path
    }

    #[test]
    fn a_configuration_that_others_can_write_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        check_trusted(&file(dir.path(), "good", 0o644)).unwrap();
        check_trusted(&dir.path().join("missing")).unwrap();
        for mode in [0o664, 0o646, 0o666] {
            let path = file(dir.path(), "bad", mode);
            let error = check_trusted(&path).unwrap_err().to_string();
            assert!(
                error.contains(&format!("chmod go-w {}", path.display())),
                "{error}"
            );
        }
    }

    #[test]
    fn so_is_one_whose_folder_or_target_others_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let (open, tidy) = (dir.path().join("open"), dir.path().join("tidy"));
        for folder in [&open, &tidy] {
            fs::create_dir(folder).unwrap();
        }
        let inside = file(&open, "a", 0o644);
        let link = tidy.join("link");
        symlink(&inside, &link).unwrap();
        check_trusted(&link).unwrap();
        chmod(&open, 0o777);
        assert!(check_trusted(&inside).is_err());
        assert!(check_trusted(&link).is_err());
        chmod(&open, 0o1777);
        check_trusted(&link).unwrap();
        chmod(&inside, 0o666);
        assert!(check_trusted(&link).is_err());
    }

    #[test]
    fn one_of_another_user_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(dir.path(), "theirs", 0o644);
        if std::os::unix::fs::chown(&path, Some(4_242), None).is_err() {
            eprintln!("SKIPPED: only root can give a file away");
            return;
        }
        let error = check_trusted(&path).unwrap_err().to_string();
        assert!(error.contains("user 4242"), "{error}");
        fs::create_dir(dir.path().join("state")).unwrap();
        std::os::unix::fs::chown(dir.path().join("state"), Some(4_242), None).unwrap();
        assert!(check_state(&dir.path().join("state")).is_err());
    }

    #[test]
    fn secrets_and_state_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        check_secret(&file(dir.path(), "key", 0o640)).unwrap();
        assert!(check_secret(&file(dir.path(), "key", 0o644)).is_err());
        let state = dir.path().join("state");
        check_state(&state).unwrap();
        fs::create_dir(&state).unwrap();
        chmod(&state, 0o750);
        let error = check_state(&state).unwrap_err().to_string();
        assert!(error.contains("chmod 0700"), "{error}");
        chmod(&state, 0o700);
        check_state(&state).unwrap();
    }

    #[test]
    fn readable_by_mode_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_readable_without_capabilities(&file(
            dir.path(),
            "a",
            0o400
        )));
        assert!(!is_readable_without_capabilities(&file(
            dir.path(),
            "b",
            0o040
        )));
        assert!(is_readable_without_capabilities(Path::new("/nonexistent")));
    }
}
