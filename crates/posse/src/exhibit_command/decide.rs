//! What becomes of exhibits: holds, and what takes two people.

use std::io::Write;

use anyhow::{Context as _, Result, anyhow, bail};
use casework::{Custody, Fate, RequestState};
use evidence::Numbers;
use model::{Entry, ExhibitAct, Wish};
use serde_json::json;

use super::{
    Desk,
    args::{AnswerArgs, DeclineArgs, HoldArgs, ReleaseArgs, RequestArgs, RetireArgs},
};
use crate::{case_command::Acting, clock, config::Config, exit::Exit, record::reading, state};

pub(super) fn hold(arguments: &HoldArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.authority.trim().is_empty() {
        bail!("--authority is empty; a hold stands on somebody's order or request");
    }
    let desk = Desk::at(&arguments.acting)?;
    let act = |custody: &Custody| {
        let hold = format!("HOLD-{}", custody.holds.len() + 1);
        let act = ExhibitAct::Held {
            at: clock::now(),
            exhibit: arguments.exhibit.clone(),
            hold: hold.clone(),
            by: desk.by.clone(),
            authority: arguments.authority.clone(),
            until: arguments.until,
            reason: arguments.reason.clone(),
        };
        Ok((act, hold))
    };
    let (index, hold) = desk.act(&arguments.exhibit, act)?;
    desk.tell(&arguments.exhibit, "held", &hold, index, out)
}

pub(super) fn release(arguments: &ReleaseArgs, out: &mut dyn Write) -> Result<Exit> {
    let wish = Wish::ReleaseHold {
        hold: arguments.hold.clone(),
    };
    ask(
        &arguments.acting,
        &arguments.exhibit,
        &wish,
        &arguments.reason,
        out,
    )
}

pub(super) fn purge(arguments: &RequestArgs, out: &mut dyn Write) -> Result<Exit> {
    ask(
        &arguments.acting,
        &arguments.exhibit,
        &Wish::Purge,
        &arguments.reason,
        out,
    )
}

fn ask(
    acting: &Acting,
    exhibit: &str,
    wish: &Wish,
    reason: &str,
    out: &mut dyn Write,
) -> Result<Exit> {
    let desk = Desk::at(acting)?;
    let act = |custody: &Custody| {
        let request = format!("RQ-{}", custody.requests.len() + 1);
        let act = ExhibitAct::Asked {
            at: clock::now(),
            request: request.clone(),
            exhibit: exhibit.to_owned(),
            wish: wish.clone(),
            by: desk.by.clone(),
            account: state::account(),
            reason: reason.to_owned(),
        };
        Ok((act, request))
    };
    let (index, request) = desk.act(exhibit, act)?;
    desk.tell(exhibit, "asked", &request, index, out)?;
    if !desk.json {
        writeln!(
            out,
            "another person must agree: posse exhibit agree {exhibit} {request} --by NAME"
        )?;
    }
    Ok(Exit::Success)
}

pub(super) fn agree(arguments: &AnswerArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let (exhibit, request) = (&arguments.exhibit, &arguments.request);
    let act = |custody: &Custody| {
        let asked = custody.requests.get(request);
        let asked = asked.with_context(|| format!("{exhibit} has no request {request}"))?;
        let act = ExhibitAct::Agreed {
            at: clock::now(),
            request: request.clone(),
            exhibit: exhibit.clone(),
            wish: asked.wish.clone(),
            by: desk.by.clone(),
            account: state::account(),
        };
        Ok((act, asked.wish.clone()))
    };
    // What was agreed on and then cut off is only to be carried out.
    let waits = desk
        .custody(exhibit)?
        .agreed_purge()
        .map(|(name, _)| name == request);
    if waits == Some(true) {
        let index = desk.vault.purge(&desk.ledger, exhibit, request)?;
        return desk.tell(exhibit, "destroyed", request, index, out);
    }
    let (index, wish) = desk.act(exhibit, act)?;
    match wish {
        Wish::ReleaseHold { hold } => desk.tell(exhibit, "released", &hold, index, out),
        Wish::Purge => {
            let index = desk.vault.purge(&desk.ledger, exhibit, request)?;
            desk.tell(exhibit, "destroyed", request, index, out)
        }
    }
}

pub(super) fn decline(arguments: &DeclineArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let act = |custody: &Custody| {
        match custody.requests.get(&arguments.request) {
            Some(found) if found.state == RequestState::Open => {}
            _ => bail!(
                "{} has no open request {}",
                arguments.exhibit,
                arguments.request
            ),
        }
        let act = ExhibitAct::Declined {
            at: clock::now(),
            request: arguments.request.clone(),
            exhibit: arguments.exhibit.clone(),
            by: desk.by.clone(),
            reason: arguments.reason.clone(),
        };
        Ok((act, ()))
    };
    let (index, ()) = desk.act(&arguments.exhibit, act)?;
    desk.tell(
        &arguments.exhibit,
        "declined",
        &arguments.request,
        index,
        out,
    )
}

pub(super) fn retire(arguments: &RetireArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    let policy = config.evidence.policy();
    let desk = Desk::of(&arguments.list)?;
    desk.tidy();
    let judged = if arguments.dry_run {
        let then = clock::now().plus(arguments.ahead.unwrap_or_default());
        desk.vault.judge(&reading(&desk.dir)?, &policy, then)?
    } else {
        desk.vault.retire(&desk.ledger, &policy)?
    };
    let mut count = 0;
    for one in &judged {
        let (word, more) = match &one.fate {
            Fate::Gone => continue,
            Fate::Due { since } => {
                count += 1;
                (
                    if arguments.dry_run {
                        "due"
                    } else {
                        "destroyed"
                    },
                    since.to_string(),
                )
            }
            Fate::KeptUntil(end) => ("kept until", end.to_string()),
            Fate::Held(hold) => ("held", hold.clone()),
            Fate::InCase(case) => ("in open case", case.clone()),
            Fate::UnknownClass => ("kept", "its class has no period".to_owned()),
        };
        if desk.json {
            let line = json!({
                "exhibit": one.exhibit, "class": one.class, "fate": word, "detail": more,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}  {:<10} {word} {more}", one.exhibit, one.class)?;
        }
    }
    if !desk.json {
        let done = if arguments.dry_run {
            "would be destroyed"
        } else {
            "destroyed"
        };
        writeln!(out, "{count} {done}")?;
    }
    Ok(Exit::Success)
}

impl Desk {
    fn custody(&self, exhibit: &str) -> Result<Custody> {
        let record = self.vault.known(&self.ledger, exhibit)?;
        Ok(Custody::of(&record.custody))
    }

    /// Records what `make` makes of the custody so far, if it counts.
    fn act<T>(
        &self,
        exhibit: &str,
        make: impl FnOnce(&Custody) -> Result<(ExhibitAct, T)>,
    ) -> Result<(u64, T)> {
        // Nobody acts on it between the check and the entry.
        let _numbers = Numbers::lock(&self.dir)?;
        let custody = self.custody(exhibit)?;
        let (act, value) = make(&custody)?;
        custody.check(&act, clock::now())?;
        let indices = crate::record::record(&self.dir, vec![Entry::Exhibit(act)])?;
        Ok((indices.first().copied().unwrap_or_default(), value))
    }

    fn tell(
        &self,
        exhibit: &str,
        done: &str,
        what: &str,
        index: u64,
        out: &mut dyn Write,
    ) -> Result<Exit> {
        if self.json {
            let line = json!({ "exhibit": exhibit, "done": done, "name": what, "index": index });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{exhibit} {done}: {what} (ledger entry {index})")?;
        }
        Ok(Exit::Success)
    }
}
