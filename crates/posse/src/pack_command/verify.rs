//! `posse verify`: what a pack proves, by whom, and what not.

use std::{fs, io::Write};

use anyhow::{Context as _, Result};
use courtpack::{Findings, OpenPack, Trust, Verified};
use ledger::{CosignerKey, POLICY_BYTES_MAX, Policy, VerifyingKey};
use model::{Timestamp, harmless};
use serde_json::json;

use super::{
    PackVerifyArgs,
    reproduce::{self, Outcome},
};
use crate::exit::Exit;

pub(crate) fn run(arguments: &PackVerifyArgs, out: &mut dyn Write) -> Result<Exit> {
    let trust = trust(arguments)?;
    let mut pack = OpenPack::open(&arguments.pack)?;
    let (findings, seen) = courtpack::verify(&mut pack, &trust);
    let again = match (arguments.reproduce, &findings.mistake) {
        // Rules of a pack that does not hold are not run.
        (true, None) => Some(reproduce::run(&mut pack, &seen)?),
        _ => None,
    };
    let holds =
        findings.mistake.is_none() && again.iter().flatten().all(|outcome| outcome.how.agrees());
    if arguments.json {
        print_json(&findings, &seen, again.as_deref(), holds, out)?;
    } else {
        print(&findings, &seen, again.as_deref(), holds, out)?;
    }
    Ok(if holds { Exit::Success } else { Exit::Failure })
}

fn trust(arguments: &PackVerifyArgs) -> Result<Trust> {
    let key = |text: &String| VerifyingKey::parse(text).with_context(|| format!("--key {text}"));
    let witness =
        |text: &String| CosignerKey::parse(text).with_context(|| format!("--witness {text}"));
    let policy = match &arguments.policy {
        None => None,
        Some(path) => {
            let size = fs::metadata(path)
                .with_context(|| format!("cannot read {}", path.display()))?
                .len();
            anyhow::ensure!(
                size <= POLICY_BYTES_MAX as u64,
                "{}: a policy has at most {POLICY_BYTES_MAX} bytes",
                path.display()
            );
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(Policy::parse(&bytes).with_context(|| path.display().to_string())?)
        }
    };
    Ok(Trust {
        keys: arguments.key.iter().map(key).collect::<Result<_>>()?,
        witnesses: arguments
            .witness
            .iter()
            .map(witness)
            .collect::<Result<_>>()?,
        policy,
        authority: match &arguments.tsa {
            None => None,
            Some(path) => Some(
                fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
            ),
        },
        stamps: Some(stamp),
    })
}

fn stamp(
    token: &[u8],
    stamped: &str,
    certificate: Option<String>,
) -> Result<(Timestamp, bool), String> {
    let token =
        openlog::verify_token(token, stamped, certificate.as_deref()).map_err(|e| e.to_string())?;
    Ok((token.at, token.vouched))
}

fn print(
    findings: &Findings,
    seen: &Verified,
    again: Option<&[Outcome]>,
    holds: bool,
    out: &mut dyn Write,
) -> Result<()> {
    // What a pack says goes to a terminal; nothing in it may steer that.
    if findings.mistake.is_none() {
        let clock = seen
            .clock
            .map_or_else(|| "an unknown time".to_owned(), casework::pack::seconds_utc);
        writeln!(
            out,
            "{} as it stood at {clock}, held by {}\nmanifest {}",
            harmless(&seen.case),
            harmless(&seen.origin),
            seen.manifest
        )?;
    }
    for (title, lines) in [
        ("PROVEN", &findings.proven),
        ("NOT PROVEN", &findings.unproven),
    ] {
        writeln!(out, "{title}")?;
        for line in lines {
            writeln!(out, "  - {}", harmless(line))?;
        }
    }
    if let Some(again) = again {
        writeln!(out, "REPRODUCED")?;
        for outcome in again {
            writeln!(
                out,
                "  - alert {} ({}): {}",
                outcome.alert,
                harmless(&outcome.rule),
                outcome.how
            )?;
        }
    }
    match &findings.mistake {
        Some(mistake) => writeln!(out, "FAILED: {}", harmless(&mistake.0))?,
        None if holds => writeln!(out, "OK")?,
        None => writeln!(out, "FAILED: not every alert came out again")?,
    }
    Ok(())
}

fn print_json(
    findings: &Findings,
    seen: &Verified,
    again: Option<&[Outcome]>,
    holds: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let again = again.map(|outcomes| {
        let one = |o: &Outcome| {
            json!({
                "alert": o.alert,
                "rule": o.rule,
                "same": o.how.is_same(),
                "how": o.how.to_string(),
            })
        };
        outcomes.iter().map(one).collect::<Vec<_>>()
    });
    let line = json!({
        "ok": holds,
        "mistake": findings.mistake.as_ref().map(|m| &m.0),
        "case": seen.case,
        "origin": seen.origin,
        "clock": seen.clock,
        "manifest": seen.manifest,
        "entries": seen.entries,
        "proven": findings.proven,
        "unproven": findings.unproven,
        "reproduced": again,
    });
    writeln!(out, "{line}")?;
    Ok(())
}
