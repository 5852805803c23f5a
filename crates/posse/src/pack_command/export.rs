//! `posse case export`: the case as a court pack.

use std::{io::Write, path::PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use casework::{
    Dossier,
    pack::{self, LogFacts, Opened, Pack, PackSources, RuleText, SealedEntry, Stamp},
};
use courtpack::Form;
use detect::rules::RuleFile;
use ledger::CosignerKey;
use model::{CaseAct, CaseStep, Entry, Timestamp, harmless};
use serde_json::json;
use store::{Content, Excerpt, Store};

use super::{ExportArgs, keeper::Keep, keeper::Keeper, rules};
use crate::{
    clock,
    config::Config,
    content,
    exit::Exit,
    record::{reading, record},
    state,
};

/// Name and version, as the pack names the program that made it.
const TOOL: &str = concat!("posse ", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(arguments: &ExportArgs, out: &mut dyn Write) -> Result<Exit> {
    let form = form(arguments)?;
    let dir = state::folder(arguments.acting.state.state.as_deref())?;
    let rules = match &arguments.rules {
        Some(folder) => content::files_of(Some(folder))?,
        None => {
            let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
            content::files_for(&config.rules)?
        }
    };
    let case = Case {
        dir: dir.clone(),
        case: arguments.case.clone(),
        by: arguments.acting.by.clone().unwrap_or_else(state::operator),
        reason: arguments.reason.clone(),
        at: arguments.at.unwrap_or_else(clock::now),
        rules,
        recipients: arguments.age.len(),
    };
    if case.by.trim().is_empty() || case.reason.trim().is_empty() {
        bail!("--by and --reason must not be empty: every look is on record");
    }
    let (mut keeper, pack) = Keeper::start(dir, case)?;
    courtpack::write(&pack, &mut keeper, &arguments.to, form)?;
    drop(keeper);
    if arguments.acting.json {
        let line = json!({
            "case": arguments.case,
            "clock": pack.at,
            "to": arguments.to,
            "files": pack.files.len(),
            "manifest": pack.manifest,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{}: {} files, as of {}, in {}\nmanifest {} (on the ledger)\n\
             check it: posse verify {}",
            arguments.case,
            pack.files.len(),
            pack::seconds_utc(pack.at),
            harmless(&arguments.to.display().to_string()),
            pack.manifest,
            harmless(&arguments.to.display().to_string()),
        )?;
    }
    Ok(Exit::Success)
}

/// The target's name says what it becomes, so that nobody takes one for the other.
fn form(arguments: &ExportArgs) -> Result<Form<'_>> {
    let name = arguments.to.to_string_lossy();
    match (name.ends_with(".age"), arguments.age.is_empty()) {
        (true, true) => bail!("{name} is to be encrypted, but to whom? give --age RECIPIENT"),
        (false, false) => bail!("{name} would be encrypted: let its name end in .zip.age"),
        (true, false) => Ok(Form::Encrypted(&arguments.age)),
        (false, true) if name.ends_with(".zip") => Ok(Form::Zip),
        (false, true) => Ok(Form::Folder),
    }
}

/// What the keeper's thread needs.
struct Case {
    dir: PathBuf,
    case: String,
    by: String,
    reason: String,
    at: Timestamp,
    rules: Vec<RuleFile>,
    recipients: usize,
}

impl Keep for Case {
    fn pack(&mut self) -> Result<Pack> {
        let store = reading(&self.dir)?;
        let dossier = evidence::dossier(&store, &self.case, self.at)?;
        let dossier = pack::within_tlp(dossier);
        let wanted = pack::wanted_entries(&dossier).into_keys().collect();
        let excerpt = store.excerpt(&wanted)?;
        let log = log_facts(&store, &excerpt)?;
        let rules = rules::for_alerts(
            std::mem::take(&mut self.rules),
            dossier.alerts.iter().map(|alert| &alert.what),
        );
        assemble(&dossier, &excerpt, &log, &rules)
    }

    fn open(&mut self, exhibit: &str) -> Result<Box<dyn std::io::Read>> {
        super::shelf::open(&self.dir, exhibit, &self.by, &self.reason)
    }

    fn written(&mut self, pack: &Pack) -> Result<()> {
        let act = CaseAct {
            at: clock::now(),
            case: self.case.clone(),
            by: self.by.clone(),
            step: CaseStep::Packed {
                manifest: pack.manifest,
                clock: pack.at,
                recipients: self.recipients as u64,
            },
        };
        record(&self.dir, vec![Entry::Case(act)])
            .map(drop)
            .context("the pack is not given out: that it was made could not be recorded")
    }
}

fn assemble(
    dossier: &Dossier,
    excerpt: &Excerpt,
    log: &LogFacts,
    rules: &[RuleText],
) -> Result<Pack> {
    let facts = report::LedgerFacts {
        origin: excerpt.opened.origin.clone(),
        size: excerpt.opened.size,
        root: excerpt.opened.root.to_string(),
        key: log.keys.first().cloned().unwrap_or_default(),
        witnesses: cosigners(log),
        stamps: log.stamps.iter().map(|s| s.authority.clone()).collect(),
    };
    let id = format!("{}@{}", dossier.case.id, dossier.now);
    let report = report::render(dossier, &facts, &id)?;
    let pack = pack::assemble(&PackSources {
        dossier,
        entries: &sealed(excerpt)?,
        log,
        rules,
        report: &report,
        tool: TOOL,
    })?;
    Ok(pack)
}

fn sealed(excerpt: &Excerpt) -> Result<Vec<SealedEntry>> {
    let one = |(entry, proof): &(store::StoredEntry, ledger::ProofFile)| {
        let opened = match &entry.content {
            Content::Kept { salt, payload, .. } => Some(Opened {
                salt: salt.0,
                payload: String::from_utf8(payload.clone())
                    .with_context(|| format!("entry {} is no text", entry.index))?,
            }),
            Content::Erased { .. } => None,
        };
        Ok(SealedEntry {
            index: entry.index,
            leaf: entry.leaf_bytes.clone(),
            opened,
            proof: proof.encode(),
        })
    };
    excerpt.entries.iter().map(one).collect()
}

fn log_facts(store: &Store, excerpt: &Excerpt) -> Result<LogFacts> {
    let stamps = excerpt.stamps.iter().map(|stamp| Stamp {
        authority: stamp.authority.clone(),
        at: stamp.at,
        checkpoint: stamp.checkpoint.clone(),
        token: stamp.tsr.clone(),
        ca_pem: stamp.ca_pem.clone(),
    });
    Ok(LogFacts {
        keys: store.vkeys(),
        witnesses: store.witness_vkeys()?,
        policy: store.policy()?,
        checkpoint: excerpt.checkpoint.clone(),
        stamps: stamps.collect(),
    })
}

/// The names of the witnesses whose signature is on the checkpoint.
fn cosigners(log: &LogFacts) -> Vec<String> {
    let signed = |(name, key): &(String, String)| {
        let key = CosignerKey::parse(key).ok()?;
        let time = key.verify(log.checkpoint.as_bytes()).ok()??;
        let at = Timestamp::from_seconds(i64::try_from(time).unwrap_or(i64::MAX));
        Some(format!("{name} at {}", pack::seconds_utc(at)))
    };
    log.witnesses.iter().filter_map(signed).collect()
}
