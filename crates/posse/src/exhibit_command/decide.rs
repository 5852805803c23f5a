//! What becomes of exhibits: holds, and what takes two people.

use std::io::Write;

use anyhow::{Context as _, Result, anyhow, bail};
use casework::{
    Custody, Fate, RequestState,
    persons::{Signer, sign_exhibit_act},
};
use evidence::Numbers;
use model::{Entry, ExhibitAct, Wish};
use serde_json::json;

use super::{
    Desk,
    args::{AnswerArgs, DeclineArgs, HoldArgs, ReleaseArgs, RequestArgs, RetireArgs},
};
use crate::{
    clock,
    config::Config,
    exit::Exit,
    person_command::{Hand, persons},
    record::reading,
    state,
};

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
    let (index, hold) = desk.act(&arguments.exhibit, None, act)?;
    desk.tell(&arguments.exhibit, "held", &hold, index, out)
}

pub(super) fn release(arguments: &ReleaseArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let (exhibit, hold) = (&arguments.exhibit, &arguments.hold);
    let wish = Wish::ReleaseHold { hold: hold.clone() };
    let command = format!("posse exhibit release {exhibit} --hold {hold} --reason TEXT");
    let desk = Desk::at(&arguments.acting)?;
    let signer = hand.of_two(&persons(&desk.dir)?, &command)?;
    desk.ask((exhibit, &wish, &arguments.reason), &signer, out)
}

pub(super) fn purge(arguments: &RequestArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let exhibit = &arguments.exhibit;
    let command = format!("posse exhibit purge {exhibit} --reason TEXT");
    let desk = Desk::at(&arguments.acting)?;
    let signer = hand.of_two(&persons(&desk.dir)?, &command)?;
    desk.ask((exhibit, &Wish::Purge, &arguments.reason), &signer, out)
}

pub(super) fn agree(arguments: &AnswerArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let desk = Desk::at(&arguments.acting)?;
    let (exhibit, request) = (&arguments.exhibit, &arguments.request);
    // What was agreed on and then cut off is only to be carried out.
    let waits = desk
        .custody(exhibit)?
        .agreed_purge()
        .map(|(name, _)| name == request);
    if waits == Some(true) {
        let index = desk.vault.purge(&desk.ledger, exhibit, request)?;
        return desk.tell(exhibit, "destroyed", request, index, out);
    }
    let command = format!("posse exhibit agree {exhibit} {request}");
    let signer = hand.of_two(&persons(&desk.dir)?, &command)?;
    let act = |custody: &Custody| {
        let asked = custody.requests.get(request);
        let asked = asked.with_context(|| {
            format!(
                "{exhibit} has no request {request} that counts; posse exhibit show {exhibit} \
                 says why"
            )
        })?;
        let act = ExhibitAct::Agreed {
            at: clock::now(),
            request: request.clone(),
            exhibit: exhibit.clone(),
            wish: asked.wish.clone(),
            by: String::new(),
            account: state::account(),
            signed: None,
        };
        Ok((act, asked.wish.clone()))
    };
    let (index, wish) = desk.act(exhibit, Some(&signer), act)?;
    match wish {
        Wish::ReleaseHold { hold } => desk.tell(exhibit, "released", &hold, index, out),
        Wish::Purge => {
            let index = desk.vault.purge(&desk.ledger, exhibit, request)?;
            desk.tell(exhibit, "destroyed", request, index, out)
        }
    }
}

pub(super) fn decline(arguments: &DeclineArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let desk = Desk::at(&arguments.acting)?;
    let (exhibit, request) = (&arguments.exhibit, &arguments.request);
    let command = format!("posse exhibit decline {exhibit} {request} --reason TEXT");
    let signer = hand.of_two(&persons(&desk.dir)?, &command)?;
    let act = |custody: &Custody| {
        match custody.requests.get(request) {
            Some(found) if found.state == RequestState::Open => {}
            _ => bail!("{exhibit} has no open request {request}"),
        }
        let act = ExhibitAct::Declined {
            at: clock::now(),
            request: request.clone(),
            exhibit: exhibit.clone(),
            by: String::new(),
            reason: arguments.reason.clone(),
            signed: None,
        };
        Ok((act, ()))
    };
    let (index, ()) = desk.act(exhibit, Some(&signer), act)?;
    desk.tell(exhibit, "declined", request, index, out)
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
        Ok(record.sum())
    }

    fn ask(
        &self,
        (exhibit, wish, reason): (&str, &Wish, &str),
        signer: &Signer,
        out: &mut dyn Write,
    ) -> Result<Exit> {
        let act = |custody: &Custody| {
            let request = free_request(custody);
            let act = ExhibitAct::Asked {
                at: clock::now(),
                request: request.clone(),
                exhibit: exhibit.to_owned(),
                wish: wish.clone(),
                by: String::new(),
                account: state::account(),
                reason: reason.to_owned(),
                signed: None,
            };
            Ok((act, request))
        };
        let (index, request) = self.act(exhibit, Some(signer), act)?;
        self.tell(exhibit, "asked", &request, index, out)?;
        if !self.json {
            writeln!(
                out,
                "another person must agree: posse exhibit agree {exhibit} {request} --as KEYFILE"
            )?;
        }
        Ok(Exit::Success)
    }

    /// Records what `make` makes of the custody so far, signed if it takes two, if it counts.
    fn act<T>(
        &self,
        exhibit: &str,
        signer: Option<&Signer>,
        make: impl FnOnce(&Custody) -> Result<(ExhibitAct, T)>,
    ) -> Result<(u64, T)> {
        // Nobody acts on it between the check and the entry.
        let _numbers = Numbers::lock(&self.dir)?;
        let custody = self.custody(exhibit)?;
        let persons = persons(&self.dir)?;
        let (mut act, value) = make(&custody)?;
        if let Some(signer) = signer {
            sign_exhibit_act(&mut act, persons.origin(), signer);
        }
        custody.check(&act, clock::now(), &persons)?;
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

/// The first name that no request has.
fn free_request(custody: &Custody) -> String {
    let mut names = (custody.asked.saturating_add(1)..).map(|number| format!("RQ-{number}"));
    let free = names.find(|name| !custody.requests.contains_key(name));
    free.unwrap_or_default()
}
