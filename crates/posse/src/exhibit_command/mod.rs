//! `posse exhibit …`: the vault's command line.

mod alert;
mod args;
mod decide;
mod logs;
mod take;
mod tell;

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use evidence::{Look, Looked, Vault};
use model::harmless;

pub(crate) use args::{ExhibitCommand, Taking};
pub(crate) use logs::LogFiles;
pub(crate) use take::{check_case, check_class, facts, host, take_alerts, tell, tool};

use crate::{
    case_command::Acting,
    cli::{ListArgs, StateArgs},
    clock, collect,
    config::Config,
    exit::Exit,
    record::{StateLedger, reading},
    service, state,
};
use args::{ExportArgs, ViewArgs};

pub(crate) fn run(command: &ExhibitCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        ExhibitCommand::Add(arguments) => take::add(arguments, out),
        ExhibitCommand::Collect(arguments) => collect::run(arguments, out),
        ExhibitCommand::CollectPart(arguments) => collect::part(arguments),
        ExhibitCommand::Redact(arguments) => take::redact(arguments, out),
        ExhibitCommand::Extract(arguments) => take::extract(arguments, out),
        ExhibitCommand::List(arguments) => tell::list(arguments, out),
        ExhibitCommand::Show(arguments) => tell::show(arguments, out),
        ExhibitCommand::Key(arguments) => tell::key(arguments, out),
        ExhibitCommand::View(arguments) => view(arguments, out),
        ExhibitCommand::Export(arguments) => export(arguments, out),
        ExhibitCommand::Verify(arguments) => tell::verify(arguments, out),
        ExhibitCommand::Hold(arguments) => decide::hold(arguments, out),
        ExhibitCommand::Release(arguments) => decide::release(arguments, out),
        ExhibitCommand::Purge(arguments) => decide::purge(arguments, out),
        ExhibitCommand::Agree(arguments) => decide::agree(arguments, out),
        ExhibitCommand::Decline(arguments) => decide::decline(arguments, out),
        ExhibitCommand::Retire(arguments) => decide::retire(arguments, out),
    }
}

/// Who acts, on which vault.
pub(crate) struct Desk {
    pub(crate) dir: PathBuf,
    pub(crate) by: String,
    pub(crate) json: bool,
    pub(crate) ledger: StateLedger,
    pub(crate) vault: Vault,
}

impl Desk {
    pub(crate) fn at(acting: &Acting) -> Result<Self> {
        Self::open(&acting.state, acting.by.as_deref(), acting.json)
    }

    fn of(list: &ListArgs) -> Result<Self> {
        Self::open(&list.state, None, list.json)
    }

    pub(crate) fn open(state: &StateArgs, by: Option<&str>, json: bool) -> Result<Self> {
        let by = by.map_or_else(state::operator, str::to_owned);
        if by.trim().is_empty() {
            bail!("--by is empty; nothing is done by nobody");
        }
        let dir = state::folder(state.state.as_deref())?;
        // The first act of all begins the ledger.
        drop(reading(&dir)?);
        let vault = Vault::open(&dir, clock::now)
            .with_context(|| format!("cannot open the vault in {}", dir.display()))?;
        Ok(Self {
            ledger: StateLedger(dir.clone()),
            dir,
            by,
            json,
            vault,
        }
        .asking(&default_config()))
    }

    /// Has the time servers of this configuration asked when something is taken.
    pub(crate) fn asking(self, config: &Config) -> Self {
        let vault = self.vault.asking(config.evidence.time_servers.clone());
        Self { vault, ..self }
    }

    pub(crate) fn look(&self, exhibit: &str, how: &str, reason: &str) -> Result<Looked> {
        let look = Look {
            by: &self.by,
            how,
            reason,
        };
        let looked = self.vault.look(&self.ledger, exhibit, &look);
        looked.with_context(|| format!("{exhibit} is not shown"))
    }

    /// Clears away what killed acquisitions left, and says so; trouble with that stops nobody.
    pub(crate) fn tidy(&self) {
        match self.vault.tidy(&self.ledger) {
            Ok(tidied) => {
                if tidied.removed > 0 {
                    eprintln!(
                        "posse: removed {} leftovers of acquisitions that were cut off",
                        tidied.removed
                    );
                }
                for exhibit in &tidied.missing {
                    eprintln!("posse: the bytes of {exhibit} are not in the vault");
                }
            }
            Err(e) => eprintln!("posse: the vault could not be tidied: {e:#}"),
        }
    }
}

/// Evidence does not wait for a configuration to be mended.
fn default_config() -> Config {
    Config::load(None).unwrap_or_else(|d| {
        eprintln!("posse: time servers are not asked: {d}");
        Config::default()
    })
}

fn view(arguments: &ViewArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::open(&arguments.state, arguments.by.as_deref(), false)?;
    let mut looked = desk.look(&arguments.exhibit, "view", &arguments.reason)?;
    pour(&mut looked.bytes, out)?;
    Ok(Exit::Success)
}

fn export(arguments: &ExportArgs, out: &mut dyn Write) -> Result<Exit> {
    // While we still are who called: the file is theirs to make.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&arguments.to)
        .with_context(|| format!("cannot make {}", arguments.to.display()))?;
    let dir = state::folder(arguments.acting.state.state.as_deref())?;
    service::step_down(&dir)?;
    let written = Desk::at(&arguments.acting).and_then(|desk| {
        let mut looked = desk.look(&arguments.exhibit, "export", &arguments.reason)?;
        pour(&mut looked.bytes, &mut file)?;
        file.sync_all()?;
        Ok(looked)
    });
    let looked = match written {
        Ok(looked) => looked,
        Err(e) => {
            // Half of it, or nothing, must not pass for the exhibit.
            let _ = file.set_len(0);
            let _ = std::fs::remove_file(&arguments.to);
            return Err(e);
        }
    };
    let acquired = &looked.record.acquired.what;
    if arguments.acting.json {
        let line = serde_json::json!({
            "exhibit": acquired.exhibit, "index": looked.index, "bytes": acquired.bytes,
            "sha256": acquired.sha256, "file": arguments.to.display().to_string(),
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{}: {} bytes to {} (ledger entry {}), SHA-256 {}",
            acquired.exhibit,
            acquired.bytes,
            harmless(&arguments.to.display().to_string()),
            looked.index,
            acquired.sha256
        )?;
    }
    Ok(Exit::Success)
}

fn pour(from: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
    io::copy(from, to)?;
    to.flush()?;
    Ok(())
}
