//! `posse refer list|confirm|contacts|agree`.

use std::io::Write;

use anyhow::{Result, bail};
use casework::{
    jurisdiction::{Confirmation, Country, Field, Jurisdictions, same_person},
    persons::sign_authority_act,
};
use model::{AuthorityAct, Entry, Timestamp, harmless};
use serde_json::json;

use super::{
    acts,
    args::{AgreeArgs, ConfirmArgs, ContactsArgs},
    table,
};
use crate::{
    case_command::Desk,
    cli::ListArgs,
    clock,
    exit::Exit,
    operator::open_to_read,
    person_command::{Hand, persons},
    record::{Numbers, reading, record},
};

const TEXT_CHARS_MAX: usize = 1_000;

pub(super) fn list(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let mut count = 0;
    for case in store.cases()? {
        let case = evidence::read_case(&store, &case, Timestamp::MAX)?;
        for one in &case.referrals {
            count += 1;
            if arguments.json {
                let line = json!({
                    "referral": one.referral, "case": case.id, "at": one.at,
                    "country": one.country, "authority": one.authority, "profile": one.profile,
                    "manifest": one.manifest,
                });
                writeln!(out, "{line}")?;
                continue;
            }
            writeln!(
                out,
                "{}  {}  {}  {} {}  {}",
                one.referral,
                one.at,
                case.id,
                one.country,
                one.profile,
                harmless(&one.authority)
            )?;
        }
    }
    if count == 0 && !arguments.json {
        writeln!(out, "nothing was referred yet; posse refer CASE does it")?;
    }
    Ok(Exit::Success)
}

pub(super) fn confirm(arguments: &ConfirmArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let desk = Desk::at(&arguments.acting)?;
    let table = table(arguments.table.as_deref())?;
    let (country, field) = (arguments.country, arguments.field);
    let command = format!("posse refer confirm {country} {field} --source WHERE");
    let persons = persons(&desk.dir)?;
    let signer = hand.of_two(&persons, &command)?;
    let _numbers = Numbers::lock(&desk.dir)?;
    let said = confirmations(&acts(&reading(&desk.dir)?)?);
    let value = match &arguments.value {
        Some(value) => value.trim().to_owned(),
        None => known_value(&table, &said, country, field)?,
    };
    for (what, text) in [("the value", &value), ("--source", &arguments.source)] {
        let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_plain || text.chars().count() > TEXT_CHARS_MAX {
            bail!("{what} must be one line of at most {TEXT_CHARS_MAX} characters");
        }
    }
    let mut act = AuthorityAct::ContactConfirmed {
        at: clock::now(),
        country: country.to_string(),
        field: field.to_string(),
        value: value.clone(),
        by: String::new(),
        source: arguments.source.clone(),
        signed: None,
    };
    sign_authority_act(&mut act, persons.origin(), &signer);
    record(&desk.dir, vec![Entry::Authority(act)])?;
    let said = confirmations(&acts(&reading(&desk.dir)?)?);
    let standing = table.contact(country, field, &said, clock::now());
    let (good, text) = match standing {
        Ok(_) => (true, format!("{country} {field} is good now: {value}")),
        Err(obstacle) => (false, obstacle.to_string()),
    };
    if desk.json {
        let line = json!({ "country": country, "field": field.name(), "value": value,
                           "good": good, "text": text });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}", harmless(&text))?;
    }
    Ok(Exit::Success)
}

fn confirmations(acts: &[AuthorityAct]) -> Vec<Confirmation> {
    acts.iter().filter_map(Confirmation::of).collect()
}

/// What the last one who looked said, else what the table says.
fn known_value(
    table: &Jurisdictions,
    said: &[Confirmation],
    country: Country,
    field: Field,
) -> Result<String> {
    let mut last = said.iter().rev();
    if let Some(found) = last.find(|c| c.country == country && c.field == field) {
        return Ok(found.value.clone());
    }
    match table.entry(country).and_then(|entry| entry.fact(field)) {
        Some(fact) => Ok(fact.value.clone()),
        None => bail!("nobody has said what the {field} of {country} is: give --value"),
    }
}

pub(super) fn show(arguments: &ContactsArgs, out: &mut dyn Write) -> Result<Exit> {
    let table = table(arguments.table.as_deref())?;
    let country = arguments.country;
    // Without a ledger nobody has confirmed anything.
    let said = match open_to_read(arguments.state.state.as_deref()) {
        Ok(store) => confirmations(&acts(&store)?),
        Err(_) => Vec::new(),
    };
    let now = clock::now();
    if let (Some(block), false) = (table.block.get(&country), arguments.json) {
        writeln!(out, "BLOCK LIST: {} ({})", block.reason, block.as_of)?;
    }
    for field in Field::ALL {
        let fact = table.entry(country).and_then(|entry| entry.fact(field));
        let heard = said
            .iter()
            .any(|c| c.country == country && c.field == field);
        if fact.is_none() && !heard && !arguments.json {
            continue;
        }
        let standing = table.contact(country, field, &said, now);
        if arguments.json {
            let line = match &standing {
                Ok(contact) => json!({ "field": field.name(), "good": true, "contact": contact }),
                Err(why) => json!({ "field": field.name(), "good": false, "why": why.to_string() }),
            };
            writeln!(out, "{line}")?;
            continue;
        }
        match standing {
            Ok(good) => writeln!(
                out,
                "{field}: {} (good, as of {}, {})",
                harmless(&good.value),
                good.as_of,
                harmless(&good.source)
            )?,
            Err(why) => writeln!(out, "{}", harmless(&why.to_string()))?,
        }
    }
    if !arguments.json {
        treaties(&table, country, out)?;
    }
    Ok(Exit::Success)
}

fn treaties(table: &Jurisdictions, country: Country, out: &mut dyn Write) -> Result<()> {
    let Some(entry) = table.entry(country) else {
        writeln!(out, "the table of jurisdictions does not know {country}")?;
        return Ok(());
    };
    for (name, fact) in [
        ("Budapest Convention", &entry.budapest),
        ("Second Protocol", &entry.second_protocol),
        ("UN Convention", &entry.un_convention),
        ("CLOUD Act", &entry.cloud_act),
    ] {
        if let Some(fact) = fact {
            writeln!(
                out,
                "{name}: {} ({}: {})",
                fact.value,
                fact.confidence.word(),
                table.source_in_words(&fact.source)
            )?;
        }
    }
    for text in [&entry.routing, &entry.note] {
        if !text.is_empty() {
            writeln!(out, "note: {text}")?;
        }
    }
    writeln!(out, "instruments: {}", entry.instruments.join(", "))?;
    Ok(())
}

pub(super) fn agree(arguments: &AgreeArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::of(&arguments.acting, &arguments.signing)?;
    let desk = Desk::at(&arguments.acting)?;
    if arguments.reason.trim().is_empty() {
        bail!("--reason is empty");
    }
    let country = arguments.country;
    let command = format!(
        "posse refer agree {} --country {country} --reason TEXT",
        arguments.case
    );
    let persons = persons(&desk.dir)?;
    let signer = hand.of_two(&persons, &command)?;
    let _numbers = Numbers::lock(&desk.dir)?;
    let store = reading(&desk.dir)?;
    evidence::read_case(&store, &arguments.case, Timestamp::MAX)?;
    let before = acts(&store)?;
    let twice = before.iter().any(|act| match act {
        AuthorityAct::TransferAgreed {
            case,
            country: to,
            by,
            ..
        } => case == &arguments.case && to == country.as_str() && same_person(by, signer.name()),
        _ => false,
    });
    if twice {
        bail!(
            "{} has agreed already; the second word must be another person's",
            signer.name()
        );
    }
    let mut act = AuthorityAct::TransferAgreed {
        at: clock::now(),
        case: arguments.case.clone(),
        country: country.to_string(),
        by: String::new(),
        reason: arguments.reason.clone(),
        signed: None,
    };
    sign_authority_act(&mut act, persons.origin(), &signer);
    let mut after = before;
    after.push(act.clone());
    record(&desk.dir, vec![Entry::Authority(act)])?;
    let table = table(None)?;
    match table.transfer_refused(country, &arguments.case, &after) {
        None => writeln!(out, "{} may go to {country}", arguments.case)?,
        Some(why) => writeln!(out, "{why}")?,
    }
    Ok(Exit::Success)
}
