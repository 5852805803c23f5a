//! `posse bans` and `posse status` where the state folder is a hub's.

use std::{io::Write, path::Path};

use anyhow::Result;
use model::{format_duration, harmless};
use serde_json::Value;

use super::{
    desk::{HubOrder, ask},
    holds_hub,
};
use crate::{
    cli::{ListArgs, StateArgs},
    exit::Exit,
    state,
};

/// Whether these arguments mean a hub's state folder.
pub(crate) fn is_hub(named: &StateArgs) -> bool {
    state::folder(named.state.as_deref()).is_ok_and(|dir: std::path::PathBuf| {
        let dir: &Path = &dir;
        holds_hub(dir)
    })
}

pub(crate) fn bans(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let mut after = 0;
    let mut count = 0_u64;
    loop {
        let page = ask(&arguments.state, &HubOrder::Bans { after })?
            .status
            .unwrap_or_default();
        let Some(page) = page.as_array().filter(|page| !page.is_empty()) else {
            break;
        };
        for ban in page {
            count += 1;
            after = ban["id"].as_u64().unwrap_or(u64::MAX);
            if arguments.json {
                writeln!(out, "{ban}")?;
                continue;
            }
            if count == 1 {
                writeln!(
                    out,
                    "BANNED                      REMAINING  BY                   REASON"
                )?;
            }
            let word = |name: &str| harmless(ban[name].as_str().unwrap_or_default()).to_string();
            let left = ban["remaining_seconds"].as_u64().unwrap_or(0);
            let left = format_duration(std::time::Duration::from_secs(left));
            writeln!(
                out,
                "{:<24} {left:>12}  {:<20} {}",
                word("prefix"),
                word("organisation"),
                word("reason")
            )?;
        }
    }
    if !arguments.json {
        match count {
            0 => writeln!(out, "no bans in force")?,
            n => writeln!(out, "{n} in force")?,
        }
    }
    Ok(Exit::Success)
}

/// For people: what a hub's `status` says.
pub(crate) fn status(value: &Value, out: &mut dyn Write) -> Result<()> {
    let hub = &value["hub"];
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    writeln!(
        out,
        "hub of {}: {} members of {} organisations, {} streams, {} keys, {} bans in force",
        hub["hub"].as_str().unwrap_or_default(),
        number(&hub["members"]),
        number(&hub["organisations"]),
        number(&hub["members_connected"]),
        number(&hub["keys"]),
        number(&hub["bans"]),
    )?;
    for c in hub["communities"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "community {}: generation {}, {} entries, digest {}, {} streams ({} dropped), {} \
             cases ({} wait for a person)",
            c["community"].as_str().unwrap_or_default(),
            number(&c["generation"]),
            number(&c["bans"]),
            c["digest"].as_str().unwrap_or_default(),
            number(&c["streams"]),
            number(&c["streams_dropped"]),
            number(&c["cases"]),
            number(&c["held"]),
        )?;
    }
    let record = &value["record"];
    writeln!(
        out,
        "record: {} entries, {} waiting, {} lost",
        number(&record["size"]),
        number(&record["queued"]),
        number(&record["lost"])
    )?;
    if let Some(cause) = record["paused"].as_str() {
        writeln!(out, "RECORDING IS PAUSED: {cause}")?;
    }
    Ok(())
}
