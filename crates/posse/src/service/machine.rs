//! What there is on this machine to install a service into.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::plan::{LOG_GROUPS, Machine, Manager, USER, UserTool};

pub(super) fn examine() -> Result<Machine> {
    let here = |path: &str| Path::new(path).exists();
    let systemd_runs = here("/run/systemd/system");
    let openrc_runs = here("/run/openrc");
    let manager = if systemd_runs || (!openrc_runs && on_path("systemctl").is_some()) {
        Manager::Systemd
    } else if openrc_runs || here("/sbin/openrc-run") {
        Manager::OpenRc
    } else {
        bail!(
            "neither systemd nor OpenRC is here; start `posse run` from what supervises services \
             on this machine (docs/install.md names what it needs)"
        );
    };
    let own_program = std::env::current_exe()
        .and_then(fs::canonicalize)
        .context("cannot tell where this program is")?;
    Ok(Machine {
        manager,
        is_live: systemd_runs || openrc_runs,
        has_user: number("/etc/passwd", USER).is_some(),
        user_tool: if on_path("useradd").is_some() {
            UserTool::Useradd
        } else {
            UserTool::Adduser
        },
        log_groups: LOG_GROUPS
            .into_iter()
            .filter(|group| group_number(group).is_some())
            .collect(),
        own_program,
    })
}

pub(super) fn group_number(name: &str) -> Option<u32> {
    number("/etc/group", name)
}

/// The third column of passwd(5) and group(5).
fn number(file: &str, name: &str) -> Option<u32> {
    number_in(&fs::read_to_string(file).ok()?, name)
}

fn number_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next()? == name).then_some(())?;
        columns.nth(1)?.parse().ok()
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_third_column() {
        let text = "root:x:0:\nposse-old:x:3:\nrubbish\nposse:x:997:adm\n";
        assert_eq!(number_in(text, "posse"), Some(997));
        assert_eq!(number_in(text, "nobody"), None);
        assert_eq!(number_in("posse", "posse"), None);
    }
}
