//! Where state is kept when nobody says, and opening it for this process alone.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use store::{Durability, Store, StoreError, StoreOptions};

const AS_ROOT: &str = "/var/lib/posse";
/// A process that was killed keeps its lock until the kernel has closed all that it had open: with
/// thousands of connections that takes seconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_TRY_EVERY: Duration = Duration::from_millis(100);

/// The folder named, or the default for who we are.
pub(crate) fn folder(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    if rustix::process::geteuid().is_root() || is_ours(Path::new(AS_ROOT)) {
        return Ok(PathBuf::from(AS_ROOT));
    }
    let home = |variable: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    if let Some(base) = home("XDG_STATE_HOME") {
        return Ok(base.join("posse"));
    }
    match home("HOME") {
        Some(base) => Ok(base.join(".local/state/posse")),
        None => bail!("no state folder: set --state DIR (neither XDG_STATE_HOME nor HOME is set)"),
    }
}

/// Opens the ledger in a state folder; waits a moment for one that another process still has.
pub(crate) fn open_store(dir: &Path, origin: Option<&str>) -> Result<Store> {
    open_within(LOCK_WAIT, dir, origin)
        .with_context(|| format!("cannot open the state folder {}", dir.display()))
}

fn open_within(patience: Duration, dir: &Path, origin: Option<&str>) -> Result<Store, StoreError> {
    let until = Instant::now() + patience;
    let mut told = false;
    loop {
        let options = StoreOptions {
            origin: origin.map(str::to_owned),
            durability: Durability::PowerLoss,
        };
        let held = match Store::open(dir, options) {
            Err(held @ StoreError::Locked { .. }) if Instant::now() < until => held,
            outcome => return outcome,
        };
        if !told {
            let seconds = patience.as_secs();
            eprintln!("posse: {held}; waiting up to {seconds} s for it to end");
            told = true;
        }
        std::thread::sleep(LOCK_TRY_EVERY);
    }
}

/// The service's user has the machine's state folder as its own.
fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let own = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == own)
}

/// Who is at the command line, for the record.
pub(crate) fn operator() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|n| !n.is_empty());
    let user = name("SUDO_USER")
        .or_else(|| name("USER"))
        .or_else(|| name("LOGNAME"));
    user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The account that this session was logged in with, as the kernel kept it through `su` and `sudo`;
/// empty when it knows none, or root's own, which says nothing of the person.
pub(crate) fn account() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    match login.trim().parse::<u32>() {
        Ok(0 | u32::MAX) | Err(_) => String::new(),
        Ok(uid) => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_let_go_of_in_time_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let held = open_within(Duration::ZERO, &folder, None).unwrap();
        let refused = open_within(Duration::from_millis(200), &folder, None);
        assert!(matches!(refused, Err(StoreError::Locked { .. })));
        let holder = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(held);
        });
        open_within(Duration::from_secs(20), &folder, None).unwrap();
        holder.join().unwrap();
    }
}
