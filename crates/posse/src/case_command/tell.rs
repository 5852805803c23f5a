//! Cases as people and programs read them.

use std::io::Write;

use anyhow::Result;
use casework::{Case, Dossier};
use model::{Timestamp, harmless};
use serde_json::{Value, json};

use crate::{
    case_command::args::OneCaseArgs, cli::ListArgs, clock, exit::Exit, operator::open_to_read,
};

pub(super) fn list(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let mut count = 0;
    for number in store.cases()? {
        let case = evidence::read_case(&store, &number, Timestamp::MAX)?;
        count += 1;
        if arguments.json {
            writeln!(out, "{}", summary(&case))?;
        } else {
            let state = if case.closed.is_some() {
                "closed"
            } else {
                "open"
            };
            writeln!(
                out,
                "{number}  {state:<6}  {}  {:>4} alerts {:>4} exhibits  {}",
                case.opened,
                case.alerts.len(),
                case.exhibits.len(),
                harmless(&case.title)
            )?;
        }
    }
    if count == 0 && !arguments.json {
        writeln!(out, "no cases; open one with `posse case open`")?;
    }
    Ok(Exit::Success)
}

fn summary(case: &Case) -> Value {
    json!({
        "case": case.id,
        "title": case.title,
        "authority": case.authority,
        "purpose": case.purpose,
        "tlp": case.tlp,
        "pap": case.pap,
        "opened": case.opened,
        "opened_by": case.opened_by,
        "grouped_by": case.grouped_by,
        "closed": case.closed.as_ref().map(|c| json!({ "at": c.at, "reason": c.reason })),
        "alerts": case.alerts,
        "exhibits": case.exhibits,
        "referrals": case.referrals.len(),
    })
}

pub(super) fn show(arguments: &OneCaseArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let dossier = evidence::dossier(&store, &arguments.case, clock::now())?;
    if arguments.json {
        writeln!(out, "{}", whole(&dossier))?;
    } else {
        human(&dossier, out)?;
    }
    Ok(Exit::Success)
}

fn whole(dossier: &Dossier) -> Value {
    let case = &dossier.case;
    let steps: Vec<Value> = case
        .steps
        .iter()
        .map(|step| json!({ "index": step.index, "act": step.act }))
        .collect();
    let exhibits: Vec<Value> = dossier
        .exhibits
        .iter()
        .map(|exhibit| {
            json!({
                "index": exhibit.acquired.index,
                "acquisition": exhibit.acquired.what,
                "purged": exhibit.purged,
                "custody_steps": exhibit.custody.len(),
            })
        })
        .collect();
    let mut value = summary(case);
    let rest = json!({
        "holder": dossier.holder,
        "at": dossier.now,
        "steps": steps,
        "parties": case.parties.values().collect::<Vec<_>>(),
        "tasks": case.tasks.values().collect::<Vec<_>>(),
        "losses": case.losses,
        "milestones": case.milestones,
        "outcomes": case.outcomes,
        "bans": dossier.bans.iter()
            .map(|b| json!({ "index": b.index, "ban": b.what })).collect::<Vec<_>>(),
        "releases": dossier.releases.iter()
            .map(|r| json!({ "index": r.index, "release": r.what })).collect::<Vec<_>>(),
        "exhibit_records": exhibits,
        "handovers": dossier.handovers.iter()
            .map(|h| json!({ "index": h.index, "act": h.what })).collect::<Vec<_>>(),
    });
    if let (Some(value), Value::Object(rest)) = (value.as_object_mut(), rest) {
        value.extend(rest);
    }
    value
}

/// Alerts, bans and exhibits.
fn found(dossier: &Dossier, out: &mut dyn Write) -> Result<()> {
    for alert in &dossier.alerts {
        let message = harmless(&alert.what.message);
        writeln!(
            out,
            "  alert      {} [{}] {message}",
            alert.what.last, alert.index
        )?;
    }
    for ban in &dossier.bans {
        let (what, index) = (&ban.what, ban.index);
        writeln!(
            out,
            "  ban        {} [{index}] {} until {}",
            what.from, what.prefix, what.until
        )?;
    }
    for exhibit in &dossier.exhibits {
        let what = &exhibit.acquired.what;
        let gone = if exhibit.purged { " (destroyed)" } else { "" };
        writeln!(
            out,
            "  exhibit    {} {} bytes, SHA-256 {}{gone}: {}",
            what.exhibit,
            what.bytes,
            what.sha256,
            harmless(&what.title)
        )?;
    }
    Ok(())
}

fn human(dossier: &Dossier, out: &mut dyn Write) -> Result<()> {
    let case = &dossier.case;
    writeln!(out, "{}  {}", case.id, harmless(&case.title))?;
    writeln!(out, "  authority  {}", harmless(&case.authority))?;
    writeln!(out, "  purpose    {}", harmless(&case.purpose))?;
    writeln!(
        out,
        "  opened     {} by {}",
        case.opened,
        harmless(&case.opened_by)
    )?;
    if let Some(closed) = &case.closed {
        writeln!(
            out,
            "  closed     {}: {}",
            closed.at,
            harmless(&closed.reason)
        )?;
    }
    writeln!(out, "  marked     TLP:{} PAP:{:?}", case.tlp, case.pap)?;
    found(dossier, out)?;
    for party in case.parties.values() {
        let (name, country) = (harmless(&party.name), harmless(&party.country));
        writeln!(
            out,
            "  party      {} {:?} {name} {country}",
            harmless(&party.id),
            party.role
        )?;
    }
    for task in case.tasks.values() {
        let state = if task.done { "done" } else { "to do" };
        writeln!(out, "  task       {state}: {}", harmless(&task.title))?;
    }
    for step in &case.steps {
        let word = serde_json::to_value(&step.act.step)?;
        let word = word["step"].as_str().unwrap_or_default().to_owned();
        writeln!(
            out,
            "  {} [{}] {} by {}",
            step.act.at,
            step.index,
            word.replace('_', " "),
            harmless(&step.act.by)
        )?;
    }
    Ok(())
}
