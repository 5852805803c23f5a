//! A case's clocks, and what a year's cases came to.

use std::io::Write;

use anyhow::{Context as _, Result};
use casework::{
    Dossier,
    clocks::{Clocks, Deadline, OutcomeSum, clocks, report},
    jurisdiction::Jurisdictions,
    span_in_words,
};
use model::{Timestamp, harmless};
use serde_json::{Value, json};

use super::args::{OneCaseArgs, ReportArgs};
use crate::{clock, exit::Exit, operator::open_to_read};

pub(super) fn show(arguments: &OneCaseArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let dossier = evidence::dossier(&store, &arguments.case, clock::now())?;
    let table = Jurisdictions::built_in()?;
    let clocks = clocks(&dossier, Some(&table));
    if arguments.json {
        writeln!(out, "{}", as_json(&dossier, &clocks))?;
    } else {
        human(&dossier, &clocks, out)?;
    }
    Ok(Exit::Success)
}

fn as_json(dossier: &Dossier, clocks: &Clocks) -> Value {
    let aid = &clocks.first_aid;
    let seconds = |span: Option<std::time::Duration>| span.map(|s| s.as_secs_f64());
    let law: Vec<Value> = clocks
        .law
        .iter()
        .map(|step| {
            json!({
                "kind": step.kind, "when": step.when, "about": step.about, "source": step.source,
            })
        })
        .collect();
    let deadlines: Vec<Value> = clocks
        .deadlines
        .iter()
        .map(|d| {
            json!({
                "what": d.what, "about": d.about, "instrument": d.instrument, "since": d.since,
                "due": d.due, "over": d.is_over(dossier.now), "at_risk": d.at_risk,
                "seconds_left": d.due.map(|due| due.since(dossier.now).as_secs()),
                "warns": d.warning(dossier.now).is_some(),
            })
        })
        .collect();
    json!({
        "case": dossier.case.id,
        "at": dossier.now,
        "first_aid": {
            "first_hostile": aid.first_hostile,
            "alert": aid.alert,
            "ban": aid.ban,
            "seconds_to_alert": seconds(aid.to_alert()),
            "seconds_to_ban": seconds(aid.to_ban()),
        },
        "law": law,
        "deadlines": deadlines,
    })
}

fn human(dossier: &Dossier, clocks: &Clocks, out: &mut dyn Write) -> Result<()> {
    let (aid, now) = (&clocks.first_aid, dossier.now);
    writeln!(
        out,
        "{}  {}",
        dossier.case.id,
        harmless(&dossier.case.title)
    )?;
    writeln!(out, "time to first aid")?;
    let Some(first) = aid.first_hostile else {
        writeln!(out, "  no alert is in the case")?;
        return law(dossier, clocks, out);
    };
    writeln!(out, "  first hostile event   {first}")?;
    let step = |name: &str, at: Option<Timestamp>| match at {
        Some(at) => format!("  {name:<21} {at}  (after {})", precise(at.since(first))),
        None => format!("  {name:<21} -"),
    };
    writeln!(out, "{}", step("alert", aid.alert))?;
    writeln!(out, "{}", step("ban here", aid.ban))?;
    writeln!(out, "  ban at other members  their own ledgers tell")?;
    let since = now.since(first);
    writeln!(out, "  until now             {}", span_in_words(since))?;
    law(dossier, clocks, out)
}

fn precise(span: std::time::Duration) -> String {
    if span.as_secs() < 60 {
        format!("{:.3} s", span.as_secs_f64())
    } else {
        span_in_words(span)
    }
}

fn law(dossier: &Dossier, clocks: &Clocks, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "time to law")?;
    let first = clocks.law.first().map(|step| step.when);
    for step in &clocks.law {
        let after = first.map_or_else(String::new, |first| {
            format!(" (after {})", span_in_words(step.when.since(first)))
        });
        let kind = serde_json::to_value(step.kind)?;
        let kind = kind.as_str().unwrap_or_default().replace('_', " ");
        let (about, source) = (harmless(&step.about), harmless(&step.source));
        writeln!(out, "  {}{after} {kind} {about}: {source}", step.when)?;
    }
    if clocks.law.is_empty() {
        writeln!(out, "  nothing was referred yet")?;
    }
    writeln!(out, "deadlines")?;
    for deadline in &clocks.deadlines {
        writeln!(out, "  {}", line(deadline, dossier.now))?;
    }
    if clocks.deadlines.is_empty() {
        writeln!(out, "  none")?;
    }
    Ok(())
}

fn line(deadline: &Deadline, now: Timestamp) -> String {
    let when = match deadline.due {
        Some(due) if deadline.is_over(now) => {
            format!("OVER since {}", span_in_words(now.since(due)))
        }
        Some(due) => {
            let mark = if deadline.warning(now).is_some() {
                "SOON: "
            } else {
                ""
            };
            format!("{mark}{} left, until {due}", span_in_words(due.since(now)))
        }
        None => format!("waits for {}", span_in_words(now.since(deadline.since))),
    };
    let mut line = format!(
        "{} {} ({when})",
        harmless(&deadline.about),
        harmless(&deadline.what)
    );
    if !deadline.instrument.is_empty() {
        line.push_str(&format!(", by {}", harmless(&deadline.instrument)));
    }
    if !deadline.at_risk.is_empty() {
        line.push_str(&format!("; at risk: {}", harmless(&deadline.at_risk)));
    }
    line
}

pub(super) fn year(arguments: &ReportArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.list.state.state.as_deref())?;
    let begin = |year: u16| -> Result<Timestamp> {
        let text = format!("{year:04}-01-01T00:00:00Z");
        text.parse().with_context(|| format!("{year} is no year"))
    };
    let (from, to) = (begin(arguments.year)?, begin(arguments.year + 1)?);
    let mut cases = Vec::new();
    for number in store.cases()? {
        cases.push(evidence::read_case(&store, &number, Timestamp::MAX)?);
    }
    let sum = report(cases.iter(), from, to);
    if arguments.list.json {
        let outcomes: Vec<Value> = sum
            .outcomes
            .iter()
            .map(|o| {
                let sources: Vec<Value> = o
                    .sources
                    .iter()
                    .map(|(case, source)| json!({ "case": case, "source": source }))
                    .collect();
                json!({ "kind": o.kind, "unit": o.unit, "count": o.count, "sources": sources })
            })
            .collect();
        let line = json!({
            "year": arguments.year, "opened": sum.cases_opened, "closed": sum.cases_closed,
            "outcomes": outcomes,
        });
        writeln!(out, "{line}")?;
        return Ok(Exit::Success);
    }
    let (year, opened, closed) = (arguments.year, sum.cases_opened, sum.cases_closed);
    writeln!(out, "{year}: {opened} cases opened, {closed} closed")?;
    for outcome in &sum.outcomes {
        writeln!(out, "  {}", outcome_line(outcome)?)?;
        for (case, source) in &outcome.sources {
            writeln!(out, "    {case}: {}", harmless(source))?;
        }
    }
    Ok(Exit::Success)
}

fn outcome_line(outcome: &OutcomeSum) -> Result<String> {
    let kind = serde_json::to_value(outcome.kind)?;
    let kind = kind.as_str().unwrap_or_default().replace('_', " ");
    Ok(if outcome.unit.is_empty() {
        format!("{kind}: {}", outcome.count)
    } else {
        let (whole, part) = (outcome.count / 100, outcome.count % 100);
        format!("{kind}: {whole}.{part:02} {}", harmless(&outcome.unit))
    })
}
