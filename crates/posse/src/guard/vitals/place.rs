//! What has to be asked of the disk: room for the state, and whether log files are still there.
//! A thread of its own, because a disk that hangs must not hang the guard.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

const REFRESH: Duration = Duration::from_secs(5);

/// Room on the disk that holds the state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) free: u64,
    pub(crate) size: u64,
}

/// The newest answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Unknown until first asked, or when the folder cannot be asked about.
    pub(crate) disk: Option<Disk>,
    /// Of the log files that are watched by their name, those that are not there.
    pub(crate) missing: Vec<PathBuf>,
}

/// Asks in the background for the life of the process.
#[derive(Clone)]
pub(crate) struct Surveyor {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    files: Arc<Vec<PathBuf>>,
    newest: Arc<Place>,
}

impl Surveyor {
    pub(crate) fn watch(state: &Path) -> std::io::Result<Self> {
        let surveyor = Self {
            shared: Arc::default(),
        };
        let (shared, state) = (Arc::clone(&surveyor.shared), state.to_owned());
        thread::Builder::new().name("place".into()).spawn(move || {
            loop {
                let files = Arc::clone(&lock(&shared).files);
                let seen = Arc::new(survey(&state, &files));
                lock(&shared).newest = seen;
                thread::sleep(REFRESH);
            }
        })?;
        Ok(surveyor)
    }

    /// Which log files to look for from now on.
    pub(crate) fn look_for(&self, files: Vec<PathBuf>) {
        lock(&self.shared).files = Arc::new(files);
    }

    pub(crate) fn latest(&self) -> Arc<Place> {
        Arc::clone(&lock(&self.shared).newest)
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn survey(state: &Path, files: &[PathBuf]) -> Place {
    let disk = rustix::fs::statvfs(state).ok().map(|s| Disk {
        // What root may use beyond that is for repairs.
        free: s.f_bavail.saturating_mul(s.f_frsize),
        size: s.f_blocks.saturating_mul(s.f_frsize),
    });
    // A file that may not be looked at is another trouble, and told of by its source.
    let is_missing = |path: &&PathBuf| matches!(path.try_exists(), Ok(false));
    let missing = files.iter().filter(is_missing).cloned().collect();
    Place { disk, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_room_and_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let (there, gone) = (dir.path().join("there"), dir.path().join("gone"));
        std::fs::write(&there, "").unwrap();
        let seen = survey(dir.path(), &[there, gone.clone()]);
        assert_eq!(seen.missing, [gone]);
        assert!(seen.disk.is_some_and(|d| d.size > 0 && d.free <= d.size));
        assert_eq!(survey(Path::new("/nonexistent"), &[]).disk, None);
    }
}
