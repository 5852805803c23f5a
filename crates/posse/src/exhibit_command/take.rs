//! Taking evidence in: files, alerts, and what is made from other exhibits.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use evidence::{Acquired, Cut, EvidenceError, Facts};
use model::{AlertId, Redaction, Timestamp, ToolUsed, harmless};
use serde_json::json;

use super::{
    Desk, LogFiles, Taking,
    alert::acquire_alerts,
    args::{AddArgs, ExtractArgs, RedactArgs},
};
use crate::{
    case_command::{Acting, find_alert},
    config::Config,
    exit::Exit,
    record::reading,
    service, state,
};

const UNKNOWN_BYTES: &str = "application/octet-stream";

pub(super) fn add(arguments: &AddArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    check_class(&config, &arguments.taking.class)?;
    let dir = state::folder(arguments.acting.state.state.as_deref())?;
    // While we still are who called: the files are theirs to read.
    let Some(file) = &arguments.file else {
        let logs = LogFiles::open(&config);
        service::step_down(&dir)?;
        return add_alert(arguments, &config, &logs, out);
    };
    let mut source = open(file)?;
    service::step_down(&dir)?;
    let desk = Desk::at(&arguments.acting)?.asking(&config);
    desk.tidy();
    check_case(&desk, &arguments.taking)?;
    let name = file.file_name().map_or_else(
        || "standard input".to_owned(),
        |n| n.to_string_lossy().into_owned(),
    );
    let name = if name == "-" {
        "standard input".to_owned()
    } else {
        name
    };
    let facts = Facts {
        title: arguments.title.clone().unwrap_or_else(|| name.clone()),
        file_name: name,
        method: "upload".to_owned(),
        tool: tool("exhibit add", String::new()),
        ..facts(&desk, &arguments.taking)
    };
    // Said before the bytes are read: a refusal must not cost an hour of copying.
    if facts.authority.trim().is_empty() {
        return Err(EvidenceError::Empty { what: "authority" }.into());
    }
    let incoming = desk.vault.take_in(&mut source)?;
    let acquired = desk.vault.acquire(&desk.ledger, &incoming, facts)?;
    tell(&[acquired], arguments.acting.json, out)
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    if opened.metadata()?.is_dir() {
        bail!("{} is a folder; take its files one by one", file.display());
    }
    Ok(Box::new(opened))
}

fn add_alert(
    arguments: &AddArgs,
    config: &Config,
    logs: &LogFiles,
    out: &mut dyn Write,
) -> Result<Exit> {
    let dir = state::folder(arguments.acting.state.state.as_deref())?;
    let text = arguments.alert.as_deref().unwrap_or_default();
    let id = find_alert(&reading(&dir)?, text)?;
    take_alerts(
        &arguments.acting,
        &arguments.taking,
        &[id],
        config,
        logs,
        out,
    )
}

/// Raw lines and rules of alerts.
pub(crate) fn take_alerts(
    acting: &Acting,
    taking: &Taking,
    ids: &[AlertId],
    config: &Config,
    logs: &LogFiles,
    out: &mut dyn Write,
) -> Result<Exit> {
    let desk = Desk::at(acting)?.asking(config);
    desk.tidy();
    check_case(&desk, taking)?;
    let acquired = acquire_alerts(&desk, taking, ids, config, logs)?;
    tell(&acquired, acting.json, out)
}

pub(crate) fn check_class(config: &Config, class: &str) -> Result<()> {
    let policy = config.evidence.policy();
    if policy.knows(class) {
        return Ok(());
    }
    let known: Vec<&str> = policy.classes().map(|(class, _)| class).collect();
    Err(EvidenceError::UnknownClass {
        class: class.to_owned(),
        known: known.join(", "),
    }
    .into())
}

/// Nothing is taken for a case that is not there or is over.
pub(crate) fn check_case(desk: &Desk, taking: &Taking) -> Result<()> {
    let Some(case) = &taking.case else {
        return Ok(());
    };
    let case = evidence::read_case(&reading(&desk.dir)?, case, Timestamp::MAX)?;
    if case.closed.is_some() {
        bail!(
            "{} is closed; open it again first: posse case reopen",
            case.id
        );
    }
    Ok(())
}

/// What was said on the command line; title, name, method and tool are still to be filled in.
pub(crate) fn facts(desk: &Desk, taking: &Taking) -> Facts {
    Facts {
        case: taking.case.clone(),
        title: String::new(),
        file_name: String::new(),
        media_type: taking
            .media_type
            .clone()
            .unwrap_or_else(|| UNKNOWN_BYTES.to_owned()),
        by: desk.by.clone(),
        role: taking.role.clone(),
        place: taking.place.clone().unwrap_or_else(host),
        method: String::new(),
        authority: taking.authority.clone(),
        reason: taking.reason.clone(),
        tool: tool("", String::new()),
        class: taking.class.clone(),
        tlp: taking.tlp,
        sources: Vec::new(),
        alert: None,
        note: String::new(),
        parent: None,
    }
}

pub(crate) fn tool(arguments: &str, rules_hash: String) -> ToolUsed {
    ToolUsed {
        name: "posse".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules_hash,
        arguments: arguments.to_owned(),
    }
}

/// This machine, for the record.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed host".to_owned(),
        name => name.to_owned(),
    }
}

pub(super) fn redact(arguments: &RedactArgs, out: &mut dyn Write) -> Result<Exit> {
    let ranges = arguments.range.iter().map(|(from, to)| Redaction {
        from: *from,
        to: *to,
        reason: arguments.reason.clone(),
    });
    let cut = Cut::Redact(ranges.collect());
    derive(
        &arguments.acting,
        &arguments.exhibit,
        cut,
        &arguments.reason,
        out,
    )
}

pub(super) fn extract(arguments: &ExtractArgs, out: &mut dyn Write) -> Result<Exit> {
    let (from, to) = arguments.range;
    let cut = Cut::Extract {
        from,
        to,
        reason: arguments.reason.clone(),
    };
    derive(
        &arguments.acting,
        &arguments.exhibit,
        cut,
        &arguments.reason,
        out,
    )
}

fn derive(
    acting: &Acting,
    exhibit: &str,
    cut: Cut,
    reason: &str,
    out: &mut dyn Write,
) -> Result<Exit> {
    let desk = Desk::at(acting)?;
    desk.tidy();
    let acquired = desk.derive(exhibit, cut, reason)?;
    tell(&[acquired], acting.json, out)
}

impl Desk {
    /// A new exhibit from one that stays as it is.
    pub(crate) fn derive(&self, exhibit: &str, cut: Cut, reason: &str) -> Result<Acquired> {
        cut.check(&self.vault.known(&self.ledger, exhibit)?)?;
        let looked = self.look(exhibit, "derive", reason)?;
        let parent = &looked.record.acquired.what;
        let method = cut.method();
        let (sources, note) = match &cut {
            // Every byte stands where it stood.
            Cut::Redact(_) => (
                parent.sources.clone(),
                format!("{exhibit} with bytes not shown, X in their place"),
            ),
            Cut::Extract { from, to, .. } => {
                let note = format!("bytes {from} to {to} of {exhibit}");
                (Vec::new(), note)
            }
        };
        let facts = Facts {
            case: parent.case.clone(),
            title: format!("{} ({method})", parent.title),
            file_name: parent.file_name.clone(),
            media_type: parent.media_type.clone(),
            by: self.by.clone(),
            role: parent.role.clone(),
            place: host(),
            method: method.to_owned(),
            authority: parent.authority.clone(),
            reason: reason.to_owned(),
            tool: tool(&format!("exhibit {method} {exhibit}"), String::new()),
            class: parent.class.clone(),
            tlp: parent.tlp,
            sources,
            alert: parent.alert,
            note,
            parent: Some((cut.derivation(&looked.record), parent.root.clone())),
        };
        let mut bytes = cut.apply(looked.bytes);
        let incoming = self.vault.take_in(&mut bytes)?;
        Ok(self.vault.acquire(&self.ledger, &incoming, facts)?)
    }
}

pub(crate) fn tell(all: &[Acquired], as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    for acquired in all {
        let what = &acquired.acquisition;
        if as_json {
            let line = json!({
                "exhibit": what.exhibit, "index": acquired.index, "bytes": what.bytes,
                "sha256": what.sha256, "sha512": what.sha512, "title": what.title,
                "note": what.note,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{}  {} bytes, SHA-256 {} (ledger entry {})  {}",
                what.exhibit,
                what.bytes,
                what.sha256,
                acquired.index,
                harmless(&what.title)
            )?;
            if !what.note.is_empty() {
                writeln!(out, "    {}", harmless(&what.note))?;
            }
        }
    }
    Ok(Exit::Success)
}
