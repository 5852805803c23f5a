//! Where state is kept when nobody says.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const AS_ROOT: &str = "/var/lib/posse";

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
