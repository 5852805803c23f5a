//! `posse subject`: what this state folder holds about one address or name, for who must answer a
//! request for access (GDPR, article 15).
//!
//! It finds and tells; what is given to the person, and what is withheld while it would harm an
//! investigation or others, people decide. The search is on the ledger before it begins.

mod bytes;
mod holdings;
mod search;

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use casework::subject::Subject;
use clap::Args;
use model::{Command, Entry, Timestamp, format_duration};
use serde_json::json;

use crate::{
    case_command::{Acting, time},
    clock,
    config::Config,
    exhibit_command::Desk,
    exit::Exit,
    record::{reading, record},
};

#[derive(Args, Debug)]
pub(crate) struct SubjectArgs {
    /// An address, or the name of an account or a party.
    #[arg(value_name = "ADDRESS|NAME")]
    subject: Subject,
    /// Only what was on the ledger by this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Timestamp>,
    /// Search the bytes of all exhibits too: each look is on the ledger before the first byte.
    #[arg(long, requires = "reason")]
    in_exhibits: bool,
    /// Why; goes on the ledger.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Configuration whose retention to go by.
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// How answers leave: rows as JSON, or lines for people.
struct Answer<'a> {
    json: bool,
    out: &'a mut dyn Write,
}

impl Answer<'_> {
    fn row(&mut self, row: &serde_json::Value, words: &str) -> Result<()> {
        if self.json {
            writeln!(self.out, "{row}")?;
        } else {
            writeln!(self.out, "{}", model::harmless(words))?;
        }
        Ok(())
    }
}

pub(crate) fn run(arguments: &SubjectArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    let reason = arguments.reason.as_deref().unwrap_or("request for access");
    if reason.trim().is_empty() {
        bail!("--reason is empty; a search without one is not done");
    }
    let desk = Desk::at(&arguments.acting)?;
    let (subject, until) = (&arguments.subject, arguments.at.unwrap_or(Timestamp::MAX));
    let line = format!("subject {subject}: {reason}");
    let search = Entry::Command(Command {
        at: clock::now(),
        by: desk.by.clone(),
        line,
    });
    // What cannot be recorded is not done.
    let search = record(&desk.dir, vec![search])?
        .first()
        .copied()
        .unwrap_or_default();
    let store = reading(&desk.dir)?;
    let mut answer = Answer {
        json: arguments.acting.json,
        out,
    };
    let head = json!({
        "subject": subject.to_string(), "at": arguments.at, "search": search,
        "asked_by": desk.by, "reason": reason,
    });
    let words = format!("What is held about {subject} (this search is ledger entry {search})");
    answer.row(&head, &words)?;
    let mut found = search::entries(&store, subject, (search, until), &mut answer)?;
    let scope = holdings::Scope {
        store: &store,
        until,
        policy: config.evidence.policy(),
    };
    found.open_cases = holdings::open_cases(&scope, &found.cases)?;
    holdings::tell(&scope, &found, &mut answer)?;
    let bytes = if arguments.in_exhibits {
        Some(bytes::search(
            &desk,
            &store,
            (subject, reason),
            &mut answer,
        )?)
    } else {
        None
    };
    sum_up(&config, (&desk, &found), bytes, &mut answer)?;
    Ok(Exit::Success)
}

/// What was searched and what not, and what whoever answers has to think of.
fn sum_up(
    config: &Config,
    (desk, found): (&Desk, &search::Found),
    exhibits: Option<bytes::Searched>,
    answer: &mut Answer<'_>,
) -> Result<()> {
    let kept = config.ledger.keep.0;
    let kept = kept.map_or_else(|| "without end".to_owned(), format_duration);
    let hub = uplink::Membership::load(&desk.dir).ok().flatten();
    let recipients = hub.map_or_else(
        || "nobody: this machine is no hub's member".to_owned(),
        |hub| {
            format!(
                "members of its hub, as [fleet.share] says: {}",
                hub.introduce()
            )
        },
    );
    let withheld = if found.open_cases.is_empty() {
        "no open case holds anything of it".to_owned()
    } else {
        let cases: Vec<&str> = found.open_cases.iter().map(String::as_str).collect();
        format!(
            "open: {}. What would harm an investigation or the rights of others may be withheld \
             (GDPR, articles 15(4) and 23, and national law); that is for a person to decide",
            cases.join(", ")
        )
    };
    let searched = exhibits
        .as_ref()
        .map(|e| json!({ "searched": e.searched, "with_it": e.with }));
    let row = json!({
        "summary": {
            "entries": found.entries, "of": found.looked, "erased": found.erased,
            "not_followed": found.not_followed, "exhibits_bytes": searched,
            "purpose": PURPOSE, "kept": kept, "recipients_of_bans": recipients,
            "withholding": withheld, "not_searched": NOT_SEARCHED,
        },
    });
    let bytes = exhibits.map_or_else(
        || "not searched; --in-exhibits does, on record".to_owned(),
        |e| format!("{} searched, {} with it", e.searched, e.with),
    );
    let words = [
        format!("{} of {} entries speak of it", found.entries, found.looked),
        format!(
            "  erased before, so not known any more: {} entries",
            found.erased
        ),
        format!("  bytes of exhibits: {bytes}"),
        format!("  purpose and basis, where none is told: {PURPOSE}"),
        format!("  kept, where no time is told: {kept}; bans in force until they end"),
        format!("  recipients of bans: {recipients}"),
        format!("  withholding: {withheld}"),
        format!("  not searched: {NOT_SEARCHED}"),
    ];
    if answer.json {
        return answer.row(&row, "");
    }
    words.iter().try_for_each(|line| answer.row(&row, line))
}

/// What alerts and bans are recorded for.
const PURPOSE: &str = "network and information security (GDPR, article 6(1)(f), recital 49)";
/// Where else something of a person may be.
const NOT_SEARCHED: &str = "the watched logs themselves, what detection has in memory, alerts that \
                            wait to be sent, a hub's registry of members and people, copies and \
                            packs that were made";
