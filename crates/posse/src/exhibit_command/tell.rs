//! What is known of exhibits, and whether they are still what they were.

use std::io::Write;

use anyhow::{Context as _, Result};
use casework::{ExhibitRecord, persons::PersonKey};
use model::{Acquisition, Derivation, Timestamp, harmless};
use serde_json::{Value, json};
use store::Store;

use super::{
    Desk,
    args::{ListExhibitsArgs, OneArgs, VerifyArgs},
};
use crate::{cli::ListArgs, clock, exit::Exit, operator::open_to_read, record::reading};

pub(super) fn list(arguments: &ListExhibitsArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.list.state.state.as_deref())?;
    let numbers = match &arguments.case {
        Some(case) => {
            let dossier = evidence::dossier(&store, case, Timestamp::MAX)?;
            let numbers = dossier
                .exhibits
                .into_iter()
                .map(|e| e.acquired.what.exhibit);
            numbers.collect()
        }
        None => store.exhibits()?,
    };
    for number in &numbers {
        let record = known(&store, number)?;
        let custody = record.sum();
        let acquired = &record.acquired.what;
        let now = clock::now();
        let state = match (custody.purged, custody.hold_in_force(now), custody.fixity) {
            (Some(_), ..) => "destroyed",
            (None, _, Some((_, false))) => "DAMAGED",
            (None, Some(_), _) => "held",
            (None, None, _) => "kept",
        };
        if arguments.list.json {
            let line = json!({
                "exhibit": number,
                "state": state,
                "index": record.acquired.index,
                "acquisition": acquired,
                "looks": custody.looks,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(
                out,
                "{number}  {state:<9}  {:>12} bytes  {:<10} {:<15} {:.16}…  {}",
                acquired.bytes,
                acquired.class,
                acquired.case.as_deref().unwrap_or("-"),
                acquired.sha256.to_string(),
                harmless(&acquired.title)
            )?;
        }
    }
    if numbers.is_empty() && !arguments.list.json {
        writeln!(out, "no exhibits; take one with `posse exhibit add`")?;
    }
    Ok(Exit::Success)
}

fn known(store: &Store, number: &str) -> Result<ExhibitRecord> {
    evidence::exhibit(store, number, Timestamp::MAX)?
        .with_context(|| format!("there is no exhibit {number}; `posse exhibit list` shows all"))
}

pub(super) fn show(arguments: &OneArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.list.state.state.as_deref())?;
    let record = known(&store, &arguments.exhibit)?;
    if arguments.list.json {
        writeln!(out, "{}", whole(&record))?;
    } else {
        human(&record, out)?;
    }
    Ok(Exit::Success)
}

fn whole(record: &ExhibitRecord) -> Value {
    let custody = record.sum();
    let steps: Vec<Value> = record
        .custody
        .iter()
        .map(|step| json!({ "index": step.index, "act": step.what }))
        .collect();
    let holds: Vec<Value> = custody
        .holds
        .iter()
        .map(|(name, hold)| {
            json!({
                "hold": name, "by": hold.by, "authority": hold.authority, "reason": hold.reason,
                "until": hold.until, "released": hold.released,
                "in_force": hold.in_force(clock::now()),
            })
        })
        .collect();
    let without_effect: Vec<Value> = custody
        .strays
        .iter()
        .map(|(index, why)| json!({ "index": index, "why": why.to_string() }))
        .collect();
    json!({
        "exhibit": record.acquired.what.exhibit,
        "index": record.acquired.index,
        "acquisition": record.acquired.what,
        "custody": steps,
        "holds": holds,
        "purged": custody.purged,
        "without_effect": without_effect,
    })
}

fn human(record: &ExhibitRecord, out: &mut dyn Write) -> Result<()> {
    let a = &record.acquired.what;
    writeln!(out, "{}  {}", a.exhibit, harmless(&a.title))?;
    writeln!(out, "  bytes      {}", a.bytes)?;
    writeln!(out, "  SHA-256    {}", a.sha256)?;
    writeln!(out, "  SHA-512    {}", a.sha512)?;
    writeln!(out, "  acquired   {} to {}", a.began, a.at)?;
    writeln!(
        out,
        "  by         {} ({})",
        harmless(&a.by),
        harmless(&a.role)
    )?;
    writeln!(out, "  at         {}", harmless(&a.place))?;
    writeln!(out, "  how        {}", harmless(&a.method))?;
    writeln!(out, "  authority  {}", harmless(&a.authority))?;
    writeln!(out, "  reason     {}", harmless(&a.reason))?;
    writeln!(
        out,
        "  tool       {} {} ({})",
        a.tool.name,
        a.tool.version,
        harmless(&a.tool.arguments)
    )?;
    clock_lines(a, out)?;
    writeln!(out, "  class      {}, TLP:{}", harmless(&a.class), a.tlp)?;
    writeln!(out, "  sealed     {}", harmless(&a.sealed_with))?;
    if let Some(parent) = &a.parent {
        made_from(parent, out)?;
    }
    if !a.note.is_empty() {
        writeln!(out, "  note       {}", harmless(&a.note))?;
    }
    custody(record, out)
}

fn custody(record: &ExhibitRecord, out: &mut dyn Write) -> Result<()> {
    for step in &record.custody {
        let value = serde_json::to_value(&step.what)?;
        let word = value["act"].as_str().unwrap_or_default().replace('_', " ");
        let by = value["by"].as_str().unwrap_or("posse").to_owned();
        let reason = value["reason"].as_str().unwrap_or_default().to_owned();
        let key = value["signed"]["key"].as_str();
        let key = key.and_then(|key| PersonKey::parse(key).ok());
        let signed = key.map_or_else(String::new, |key| format!(" (key {})", key.fingerprint()));
        writeln!(
            out,
            "  {} [{}] {word} by {}{}: {}",
            step.what.at(),
            step.index,
            harmless(&by),
            harmless(&signed),
            harmless(&reason)
        )?;
    }
    for (index, why) in record.sum().strays {
        let why = why.to_string();
        writeln!(out, "  entry {index} had no effect: {}", harmless(&why))?;
    }
    Ok(())
}

/// The clock that the times are of, and the times as time servers would have told them.
fn clock_lines(a: &Acquisition, out: &mut dyn Write) -> Result<()> {
    let c = &a.clock;
    let kept = if c.synchronised {
        "kept by NTP or PTP"
    } else {
        "not kept by NTP"
    };
    writeln!(
        out,
        "  clock      {kept}, off by {} µs, bound {} µs ({})",
        c.offset_microseconds, c.error_bound_microseconds, c.told_by
    )?;
    let Some(network) = &c.network else {
        return Ok(writeln!(out, "  servers    none configured, none asked")?);
    };
    if let (Some(began), Some(ended)) = (c.corrected(a.began), c.corrected(a.at)) {
        writeln!(out, "  corrected  {began} to {ended}")?;
    }
    writeln!(out, "  servers    {}", network.in_words())?;
    for one in &network.servers {
        writeln!(out, "             {}", harmless(&one.in_words()))?;
    }
    Ok(())
}

fn made_from(parent: &Derivation, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "  made from  {} ({}), {} ranges not shown",
        parent.exhibit,
        parent.sha256,
        parent.redactions.len()
    )?;
    if let Some(share) = &parent.share {
        let (country, referral) = (harmless(&share.country), harmless(&share.referral));
        writeln!(out, "  share of   {country}, first made for {referral}")?;
    }
    Ok(())
}

pub(super) fn verify(arguments: &VerifyArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::of(&arguments.list)?;
    let tidied = desk.vault.tidy(&desk.ledger)?;
    let store = reading(&desk.dir)?;
    let named = !arguments.exhibits.is_empty();
    let numbers = if named {
        arguments.exhibits.clone()
    } else {
        store.exhibits()?
    };
    let (mut intact, mut damaged, mut gone) = (0u64, 0u64, 0u64);
    for number in numbers {
        if known(&store, &number)?.sum().purged.is_some() {
            gone += 1;
            if named {
                writeln!(out, "{number} was destroyed")?;
            }
            continue;
        }
        let checked = desk.vault.check_fixity(&desk.ledger, &number)?;
        if checked.intact {
            intact += 1;
        } else {
            damaged += 1;
        }
        if desk.json {
            let line = json!({
                "exhibit": number, "intact": checked.intact, "found": checked.found,
                "index": checked.index,
            });
            writeln!(out, "{line}")?;
        } else if checked.intact {
            writeln!(out, "{number} intact")?;
        } else {
            writeln!(out, "{number} DAMAGED: {}", harmless(&checked.found))?;
        }
    }
    let line = json!({
        "intact": intact, "damaged": damaged, "destroyed": gone,
        "leftovers_removed": tidied.removed, "unfinished": tidied.unfinished,
        "missing": tidied.missing,
    });
    if desk.json {
        writeln!(out, "{line}")?;
    } else {
        writeln!(
            out,
            "{intact} intact, {damaged} damaged, {gone} destroyed; {} leftovers removed, {} \
             unfinished",
            tidied.removed, tidied.unfinished
        )?;
    }
    let well = damaged == 0 && tidied.missing.is_empty();
    Ok(if well { Exit::Success } else { Exit::Failure })
}

pub(super) fn key(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::of(arguments)?;
    let (id, file) = (desk.vault.key_id(), desk.vault.key_file());
    let file = file.display();
    if desk.json {
        writeln!(out, "{}", json!({ "key": id, "file": file.to_string() }))?;
        return Ok(Exit::Success);
    }
    writeln!(
        out,
        "vault key {id} in {file}\n\
         \n\
         Each exhibit is sealed with a key of its own, and all of these by the vault key. Whoever\n\
         has the vault key and the state folder can read every exhibit; without it nobody can.\n\
         So keep a copy in escrow: on paper or a medium in a safe that two people open, apart\n\
         from the copies of the state folder. Print it for that with: sudo cat {file}\n\
         To put it back after a loss: write the same line to that file, mode 600, owned by the\n\
         owner of the folder. Exhibits that were destroyed stay so: their own keys are gone."
    )?;
    Ok(Exit::Success)
}
