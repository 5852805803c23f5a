//! `posse person …`: keys of people, and who of them is enrolled on a ledger. What counts is
//! `casework::persons`' to say; here are the files, the terminal and the ledger.

mod args;
mod hand;
mod terminal;

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use casework::{
    jurisdiction::same_person,
    persons::{Person, PersonError, PersonKey, Persons, sign_person_act},
};
use evidence::person_key::{SealedKey, read_passphrase};
use model::{Entry, Notice, PersonAct, harmless};
use serde_json::{Value, json};

pub(crate) use args::{PersonCommand, Signing};
pub(crate) use hand::Hand;

use crate::{
    cli::ListArgs,
    clock,
    exit::Exit,
    operator::open_to_read,
    record::{Numbers, reading, record},
    state,
};
use args::{EnrollArgs, KeyArgs, RevokeArgs};

const NEEDS_ANOTHER: &str = "one person is enrolled: what takes two people needs another";

pub(crate) fn run(command: &PersonCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        PersonCommand::Key(arguments) => key(arguments, out),
        PersonCommand::Enroll(arguments) => enroll(arguments, out),
        PersonCommand::Revoke(arguments) => revoke(arguments, out),
        PersonCommand::List(arguments) => list(arguments, out),
    }
}

fn key(arguments: &KeyArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.out.symlink_metadata().is_ok() {
        bail!(
            "{} exists; a key is never written over",
            arguments.out.display()
        );
    }
    let passphrase = match &arguments.passphrase_file {
        Some(file) => read_passphrase(file)?,
        None => terminal::ask_anew()?,
    };
    let made = SealedKey::make(&arguments.name, &passphrase)?;
    made.write(&arguments.out)?;
    writeln!(out, "{}", made.key())?;
    out.flush()?;
    eprintln!(
        "posse: fingerprint {}; have it enrolled with: posse person enroll --name {} --key {}",
        made.key().fingerprint(),
        hand::shown(arguments.name.as_ref()),
        made.key()
    );
    Ok(Exit::Success)
}

/// Everybody of the ledger in the folder.
pub(crate) fn persons(dir: &std::path::Path) -> Result<Persons> {
    Ok(evidence::persons(&reading(dir)?)?)
}

fn enroll(arguments: &EnrollArgs, out: &mut dyn Write) -> Result<Exit> {
    let hand = Hand::take(&arguments.list.state, None, &arguments.signing)?;
    let make = |by: String| PersonAct::Enrolled {
        at: clock::now(),
        name: arguments.name.clone(),
        key: arguments.key.to_string(),
        by,
        signed: None,
    };
    let (persons, index) = put(&arguments.list, &hand, make)?;
    let found = persons.all().iter().find(|p| p.key == arguments.key);
    let person = found.context("the enrolment is not on the ledger")?;
    tell(person, &persons, index, &arguments.list, out)
}

fn revoke(arguments: &RevokeArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.reason.trim().is_empty() {
        bail!("--reason is empty");
    }
    let hand = Hand::take(&arguments.list.state, None, &arguments.signing)?;
    let dir = state::folder(arguments.list.state.state.as_deref())?;
    let before = persons(&dir)?;
    let mut enrolled = before.enrolled();
    let found = enrolled.find(|one| same_person(&one.name, &arguments.name));
    let key = found
        .with_context(|| format!("nobody of the name {:?} is enrolled", arguments.name))?
        .key;
    let make = |by: String| PersonAct::Revoked {
        at: clock::now(),
        name: arguments.name.clone(),
        key: key.to_string(),
        by,
        reason: arguments.reason.clone(),
        signed: None,
    };
    let (persons, index) = put(&arguments.list, &hand, make)?;
    let found = persons.all().iter().find(|person| person.key == key);
    let person = found.context("the revocation is not on the ledger")?;
    tell(person, &persons, index, &arguments.list, out)
}

/// Signs and records an act that counts; everybody as they are after it, and its entry.
fn put(
    list: &ListArgs,
    hand: &Hand,
    make: impl FnOnce(String) -> PersonAct,
) -> Result<(Persons, u64)> {
    let dir = state::folder(list.state.state.as_deref())?;
    let before = persons(&dir)?;
    // The first has nobody to vouch for them.
    let signer = if hand.is_empty() {
        None
    } else {
        Some(hand.open(&before)?)
    };
    // Nobody is enrolled between the check and the entry.
    let _numbers = Numbers::lock(&dir)?;
    let before = persons(&dir)?;
    let mut act = make(state::operator());
    if let Some(signer) = &signer {
        sign_person_act(&mut act, before.origin(), signer);
    }
    match before.check(&act) {
        Err(PersonError::Unsigned { .. }) => bail!(
            "someone is enrolled already; a person who is must vouch: add --as KEYFILE \
             (`posse person list` shows who is)"
        ),
        checked => checked?,
    }
    let notice = notice(&act);
    let indices = record(&dir, vec![Entry::Person(act), Entry::Notice(notice)])?;
    Ok((persons(&dir)?, indices.first().copied().unwrap_or_default()))
}

/// Whoever keeps an eye on the machine hears of it.
fn notice(act: &PersonAct) -> Notice {
    let (code, done, name, by) = match act {
        PersonAct::Enrolled { name, by, .. } => ("person_enrolled", "enrolled", name, by),
        PersonAct::Revoked { name, by, .. } => ("person_revoked", "revoked", name, by),
    };
    Notice {
        at: act.at(),
        code: code.to_owned(),
        text: format!("{name} is to be {done} as a person with a key, by the word of {by}"),
        prefixes: Vec::new(),
    }
}

fn tell(
    person: &Person,
    persons: &Persons,
    index: u64,
    list: &ListArgs,
    out: &mut dyn Write,
) -> Result<Exit> {
    if list.json {
        let mut line = line(person, persons);
        if let Some(map) = line.as_object_mut() {
            map.insert("index".to_owned(), index.into());
        }
        writeln!(out, "{line}")?;
        return Ok(Exit::Success);
    }
    let name = harmless(&person.name);
    writeln!(out, "{name}: {} (ledger entry {index})", word(person))?;
    match word(person) {
        "enrolled" if person.against.is_empty() => writeln!(
            out,
            "compare this fingerprint with the person: {}",
            person.key.fingerprint()
        )?,
        "enrolled" => writeln!(
            out,
            "to be revoked; another person must too: posse person revoke --name {} --reason TEXT \
             --as KEYFILE",
            hand::shown(person.name.as_ref())
        )?,
        "waiting" => writeln!(
            out,
            "another person who is enrolled must vouch too: posse person enroll --name {} --key \
             {} --as KEYFILE",
            hand::shown(person.name.as_ref()),
            person.key
        )?,
        _ => {}
    }
    if persons.enrolled().count() == 1 {
        writeln!(out, "{NEEDS_ANOTHER}: posse person enroll … --as KEYFILE")?;
    }
    Ok(Exit::Success)
}

const fn word(person: &Person) -> &'static str {
    match (person.enrolled, person.revoked) {
        (_, Some(_)) => "revoked",
        (Some(_), None) => "enrolled",
        (None, None) => "waiting",
    }
}

fn line(person: &Person, persons: &Persons) -> Value {
    let names = |keys: &[PersonKey]| -> Vec<String> {
        let of = |key: &PersonKey| persons.all().iter().find(|p| p.key == *key);
        keys.iter().filter_map(of).map(|p| p.name.clone()).collect()
    };
    json!({
        "name": person.name, "state": word(person), "key": person.key.to_string(),
        "fingerprint": person.key.fingerprint(), "at": person.at,
        "enrolled_by_entry": person.enrolled, "revoked_by_entry": person.revoked,
        "vouched_by": names(&person.vouched), "revocation_asked_by": names(&person.against),
    })
}

fn list(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let persons = evidence::persons(&store)?;
    for person in persons.all() {
        let line = line(person, &persons);
        if arguments.json {
            writeln!(out, "{line}")?;
            continue;
        }
        let vouched = match line["vouched_by"].as_array() {
            Some(by) if !by.is_empty() => {
                let by: Vec<&str> = by.iter().filter_map(Value::as_str).collect();
                format!("by the word of {}", by.join(" and "))
            }
            _ => "by nobody's word".to_owned(),
        };
        let entry = person.revoked.or(person.enrolled);
        let entry = entry.map_or_else(String::new, |index| format!(" (ledger entry {index})"));
        writeln!(
            out,
            "{:<8}  {}  {}  {}, {}{entry}",
            word(person),
            person.at,
            person.key.fingerprint(),
            harmless(&person.name),
            harmless(&vouched)
        )?;
    }
    if arguments.json {
        return Ok(Exit::Success);
    }
    for (index, why) in &persons.strays {
        writeln!(
            out,
            "entry {index} had no effect: {}",
            harmless(&why.to_string())
        )?;
    }
    match persons.enrolled().count() {
        0 => writeln!(
            out,
            "nobody is enrolled: posse person key, then posse person enroll"
        )?,
        1 => writeln!(out, "{NEEDS_ANOTHER}: posse person enroll … --as KEYFILE")?,
        _ => {}
    }
    Ok(Exit::Success)
}
