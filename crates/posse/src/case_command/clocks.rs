//! A case's clocks, and what a year's cases came to.

use std::{io::Write, time::Duration};

use anyhow::{Context as _, Result};
use casework::{
    Dossier,
    clocks::{Clocks, Deadline, FirstAid, OutcomeSum, clocks, median, report},
    jurisdiction::Jurisdictions,
    pack::reached_text,
    span_in_words,
};
use model::{MilestoneKind, Timestamp, harmless};
use serde_json::{Value, json};

use super::{
    args::{ClocksArgs, ReportArgs},
    spread,
};
use crate::{clock, exit::Exit, hub_command, operator::open_to_read, state};

pub(super) fn show(arguments: &ClocksArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.hub {
        spread::learn(arguments)?;
    }
    let state = arguments.acting.state.state.as_deref();
    let store = open_to_read(state)?;
    let mut dossier = evidence::dossier(&store, &arguments.case, clock::now())?;
    let dir = state::folder(state)?;
    if hub_command::holds_hub(&dir) {
        let told = spread::by_own_ledger(&dir, &store, &dossier)?;
        told.into_iter().for_each(|s| dossier.case.spread(s));
    }
    let table = Jurisdictions::built_in()?;
    let clocks = clocks(&dossier, Some(&table));
    if arguments.acting.json {
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
            "decided": aid.decided,
            "ban": aid.ban,
            "everywhere": aid.everywhere(),
            "seconds_to_alert": seconds(aid.to_alert()),
            "seconds_to_decision": seconds(aid.to_decision()),
            "seconds_to_ban": seconds(aid.to_ban()),
            "seconds_to_everywhere": seconds(aid.to_everywhere()),
            "spreads": aid.spreads,
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
        spreads(aid, out)?;
        return law(dossier, clocks, out);
    };
    writeln!(out, "  first hostile event   {first}")?;
    let step = |name: &str, at: Option<Timestamp>| match at {
        Some(at) => format!("  {name:<21} {at}  (after {})", precise(at.since(first))),
        None => format!("  {name:<21} unknown"),
    };
    writeln!(out, "{}", step("alert", aid.alert))?;
    writeln!(out, "{}", step("ban decided here", aid.decided))?;
    writeln!(out, "{}", step("ban in the kernel", aid.ban))?;
    let everywhere = aid.everywhere().map(|reached| reached.at);
    writeln!(out, "{}", step("ban at every member", everywhere))?;
    spreads(aid, out)?;
    let since = now.since(first);
    writeln!(out, "  until now             {}", span_in_words(since))?;
    law(dossier, clocks, out)
}

/// By the hub's clock; guards tell it how far they are every ten seconds.
fn spreads(aid: &FirstAid, out: &mut dyn Write) -> Result<()> {
    if aid.spreads.is_empty() {
        writeln!(
            out,
            "    no hub has told of it: posse case clocks CASE --hub asks"
        )?;
    }
    for spread in &aid.spreads {
        let (prefix, community) = (spread.prefix, harmless(&spread.community));
        if let Some(at) = spread.reported {
            writeln!(out, "    {prefix} reported to {community} at {at}")?;
        }
        let accepted = spread.accepted;
        writeln!(out, "    {prefix} banned by {community} at {accepted}")?;
        match spread.reached {
            Some(reached) => writeln!(
                out,
                "      at {} by {} (entry {} of the hub's ledger)",
                reached_text(reached),
                reached.at,
                reached.entry
            )?,
            None => writeln!(out, "      when it was at all members is unknown")?,
        }
    }
    Ok(())
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
    let mut shown = Vec::new();
    for case in cases.iter().filter(|c| from <= c.opened && c.opened < to) {
        let dossier = evidence::dossier(&store, &case.id, clock::now())?;
        shown.push(clocks(&dossier, None));
    }
    let medians = medians(&shown);
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
            "medians": medians.iter().map(|m| json!({
                "clock": m.0, "seconds": m.1.as_secs_f64(), "cases": m.2,
            })).collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
        return Ok(Exit::Success);
    }
    let (year, opened, closed) = (arguments.year, sum.cases_opened, sum.cases_closed);
    writeln!(out, "{year}: {opened} cases opened, {closed} closed")?;
    for (name, span, count) in &medians {
        let of = format!("median of {count} of the cases opened");
        writeln!(out, "  {name}: {} ({of})", precise(*span))?;
    }
    for outcome in &sum.outcomes {
        writeln!(out, "  {}", outcome_line(outcome)?)?;
        for (case, source) in &outcome.sources {
            writeln!(out, "    {case}: {}", harmless(source))?;
        }
    }
    Ok(Exit::Success)
}

/// From the first hostile event on, over the cases in which both ends are known.
fn medians(shown: &[Clocks]) -> Vec<(&'static str, Duration, usize)> {
    type Clock = fn(&Clocks) -> Option<Duration>;
    let all: [(&str, Clock); 5] = [
        ("time to the ban here", |c| c.first_aid.to_ban()),
        ("time to the ban at every member", |c| {
            c.first_aid.to_everywhere()
        }),
        ("time to the referral", |c| {
            c.to_law(MilestoneKind::Referred)
        }),
        ("time to its receipt", |c| c.to_law(MilestoneKind::Received)),
        ("time to the takedown", |c| {
            c.to_law(MilestoneKind::TakenDown)
        }),
    ];
    let median_of = |(name, clock): (&'static str, Clock)| {
        let (span, count) = median(shown.iter().map(clock))?;
        Some((name, span, count))
    };
    all.into_iter().filter_map(median_of).collect()
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
