//! `posse service …`: makes this program a service of the machine, takes it away again, and says
//! how it is. [`Supervisor`] is the running guard's line to the service manager.
//!
//! `plan` decides (pure), `steps` acts, `machine` looks. The unit is `packaging/posse.service`,
//! the same for the Debian package.

mod machine;
mod owner;
mod plan;
mod steps;
mod supervisor;

use std::{io::Write, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, anyhow, bail};
use clap_complete::Shell;
use enforce::{Firewall, FirewallOptions};
use plan::{Leave, Manager, Page};

pub(crate) use owner::step_down;
pub(crate) use supervisor::Supervisor;

use crate::{cli::ServiceCommand, config::Config, exit::Exit, manual};

/// Where the package's unit lies; two units of one name would hide each other.
const PACKAGED: [&str; 2] = [
    "/usr/lib/systemd/system/posse.service",
    "/lib/systemd/system/posse.service",
];

pub(crate) fn run(command: &ServiceCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        ServiceCommand::Install { prefix, dry_run } => {
            refuse_beside_package()?;
            let steps = plan::install(&machine::examine()?, prefix, pages()?);
            go(&steps, *dry_run, out)
        }
        ServiceCommand::Uninstall {
            prefix,
            purge,
            dry_run,
        } => {
            refuse_beside_package()?;
            let leave = if *purge { Leave::Nothing } else { Leave::State };
            let steps = plan::uninstall(&machine::examine()?, prefix, &pages()?, leave);
            go(&steps, *dry_run, out)
        }
        ServiceCommand::Status => status(out),
        ServiceCommand::Withdraw => {
            withdraw()?;
            writeln!(out, "no ban is in the kernel; all are still on record")?;
            Ok(Exit::Success)
        }
    }
}

fn go(steps: &[steps::Step], dry_run: bool, out: &mut dyn Write) -> Result<Exit> {
    if dry_run {
        steps::show(steps, out)?;
        return Ok(Exit::Success);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("only root can change the machine's services; use sudo, or --dry-run to look");
    }
    steps::carry_out(steps, out)?;
    Ok(Exit::Success)
}

fn refuse_beside_package() -> Result<()> {
    match PACKAGED.iter().find(|p| std::path::Path::new(p).exists()) {
        None => Ok(()),
        Some(path) => bail!(
            "{path} belongs to the installed package; use its own means \
             (apt install, apt remove, systemctl)"
        ),
    }
}

/// Manual pages and completions, where the usual programs look for them.
fn pages() -> Result<Vec<Page>> {
    let mut pages: Vec<Page> = manual::pages()?
        .into_iter()
        .map(|(name, content)| Page {
            path: PathBuf::from("share/man/man1").join(name),
            content,
        })
        .collect();
    for (shell, path) in [
        (Shell::Bash, "share/bash-completion/completions/posse"),
        (Shell::Zsh, "share/zsh/site-functions/_posse"),
        (Shell::Fish, "share/fish/vendor_completions.d/posse.fish"),
    ] {
        let content = manual::completion(shell);
        pages.push(Page {
            path: path.into(),
            content,
        });
    }
    Ok(pages)
}

/// Takes our table out of the kernel; the ledger keeps the bans, and the next start puts those
/// that are not over back.
fn withdraw() -> Result<()> {
    let config = Config::load(None).map_err(|d| anyhow!("{d}"))?;
    for table in [config.enforce.table, config.fleet.table] {
        let options = FirewallOptions {
            table,
            ..FirewallOptions::default()
        };
        Firewall::open(options)?.teardown()?;
    }
    Ok(())
}

/// The manager's view; `posse status` is the guard's own.
fn status(out: &mut dyn Write) -> Result<Exit> {
    let (program, arguments): (&str, &[&str]) = match machine::examine()?.manager {
        Manager::Systemd => (
            "systemctl",
            &["status", "--no-pager", "--lines=5", "posse.service"],
        ),
        Manager::OpenRc => ("rc-service", &["posse", "status"]),
    };
    out.flush()?;
    let status = Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(if status.success() {
        Exit::Success
    } else {
        Exit::Failure
    })
}
