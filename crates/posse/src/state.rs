//! Where state is kept when nobody says.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

const AS_ROOT: &str = "/var/lib/posse";

/// The folder named, or the default for who we are.
pub(crate) fn folder(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    if rustix::process::geteuid().is_root() {
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

/// Who is at the command line, for the record.
pub(crate) fn operator() -> String {
    let name = |variable: &str| std::env::var(variable).ok().filter(|n| !n.is_empty());
    let user = name("SUDO_USER")
        .or_else(|| name("USER"))
        .or_else(|| name("LOGNAME"));
    user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
