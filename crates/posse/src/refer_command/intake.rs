//! `posse intake`: orders by which an authority asks the operator for data, with their clocks.

use std::{fs, io::Write};

use anyhow::{Context as _, Result, bail};
use casework::intake::{Pressure, deadline, orders};
use model::{AuthorityAct, ContentHash, Entry, OrderStep, OrderTaken, Timestamp, harmless};
use serde_json::json;

use super::{
    acts,
    args::{IntakeAddArgs, IntakeCommand, IntakeStepArgs},
    table,
};
use crate::{
    case_command::Desk,
    cli::ListArgs,
    clock,
    exit::Exit,
    operator::open_to_read,
    record::{Numbers, reading, record},
};

const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

pub(crate) fn run(command: &IntakeCommand, out: &mut dyn Write) -> Result<Exit> {
    match command {
        IntakeCommand::Add(arguments) => add(arguments, out),
        IntakeCommand::List(arguments) => list(arguments, out),
        IntakeCommand::Step(arguments) => step(arguments, out),
    }
}

fn add(arguments: &IntakeAddArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let table = table(arguments.table.as_deref())?;
    let now = clock::now();
    let received = arguments.received.unwrap_or(now);
    if received > now {
        bail!("--received lies ahead; an order that has not come cannot be taken in");
    }
    let deadline = deadline(
        &table,
        &arguments.instrument,
        arguments.country,
        arguments.urgency(),
        received,
        arguments.due,
    )?;
    for (name, text) in [
        ("--issuer", &arguments.issuer),
        ("--reference", &arguments.reference),
        ("--asks", &arguments.asks),
    ] {
        if text.trim().is_empty() {
            bail!("{name} is empty");
        }
    }
    let document = arguments.document.as_deref().map(hash).transpose()?;
    let numbers = Numbers::lock(&desk.dir)?;
    let store = reading(&desk.dir)?;
    if let Some(case) = &arguments.case {
        evidence::read_case(&store, case, Timestamp::MAX)?;
    }
    let known = orders(&acts(&store)?);
    let taken = known.iter().map(|order| order.taken.order.as_str());
    let order = numbers.next("IN", 4, now, taken);
    let taken = OrderTaken {
        at: now,
        order: order.clone(),
        instrument: arguments.instrument.clone(),
        issuer: arguments.issuer.clone(),
        country: arguments.country.to_string(),
        reference: arguments.reference.clone(),
        asks: arguments.asks.clone(),
        by: desk.by.clone(),
        received,
        due: deadline.due,
        alarm: deadline.alarm,
        document,
        case: arguments.case.clone(),
    };
    let act = AuthorityAct::OrderTaken(Box::new(taken));
    let index = record(&desk.dir, vec![Entry::Authority(act)])?.pop();
    if desk.json {
        let line = json!({ "order": order, "due": deadline.due, "alarm": deadline.alarm,
                           "index": index });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{order}: due {}", deadline.due)?;
    }
    Ok(Exit::Success)
}

fn hash(path: &std::path::Path) -> Result<ContentHash> {
    let shown = path.display();
    let size = fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    if size > DOCUMENT_BYTES_MAX {
        bail!("{shown} is larger than {DOCUMENT_BYTES_MAX} bytes");
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    Ok(ContentHash::of(&bytes))
}

fn list(arguments: &ListArgs, out: &mut dyn Write) -> Result<Exit> {
    let store = open_to_read(arguments.state.state.as_deref())?;
    let now = clock::now();
    let mut worst = Pressure::Done;
    let all = orders(&acts(&store)?);
    for order in &all {
        let pressure = order.pressure(now);
        worst = worst.max(pressure);
        let taken = &order.taken;
        if arguments.json {
            let line = json!({
                "order": taken.order, "instrument": taken.instrument, "issuer": taken.issuer,
                "country": taken.country, "reference": taken.reference, "asks": taken.asks,
                "received": taken.received, "due": order.due, "state": pressure.word(),
                "case": taken.case, "document": taken.document,
            });
            writeln!(out, "{line}")?;
            continue;
        }
        writeln!(
            out,
            "{}  {:<8}  {}  {}  {} ({}): due {}, {}",
            taken.order,
            taken.instrument,
            taken.country,
            harmless(&taken.issuer),
            harmless(&taken.reference),
            harmless(&taken.asks),
            order.due,
            order.in_words(now)
        )?;
    }
    if all.is_empty() && !arguments.json {
        writeln!(out, "no orders were taken in")?;
    }
    Ok(match worst {
        Pressure::Done | Pressure::Running => Exit::Success,
        Pressure::Alarm | Pressure::Breach => Exit::Degraded,
    })
}

fn step(arguments: &IntakeStepArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let _numbers = Numbers::lock(&desk.dir)?;
    let known = orders(&acts(&reading(&desk.dir)?)?);
    let order = known.iter().find(|o| o.taken.order == arguments.order);
    let Some(order) = order else {
        bail!(
            "there is no order {}; posse intake list shows all",
            arguments.order
        );
    };
    if order.ended.is_some() {
        bail!("{} is done; nothing was changed", arguments.order);
    }
    let step = match arguments {
        IntakeStepArgs {
            moved: Some(due), ..
        } => OrderStep::Moved { due: *due },
        IntakeStepArgs { answered: true, .. } => OrderStep::Answered,
        IntakeStepArgs {
            withdrawn: true, ..
        } => OrderStep::Withdrawn,
        _ if arguments.note.trim().is_empty() => {
            bail!("say in --note why it cannot be carried out")
        }
        _ => OrderStep::Objected,
    };
    let act = AuthorityAct::OrderStep {
        at: clock::now(),
        order: arguments.order.clone(),
        by: desk.by.clone(),
        step,
        note: arguments.note.clone(),
    };
    let index = record(&desk.dir, vec![Entry::Authority(act)])?.pop();
    let entry = index.map_or_else(String::new, |i| format!(" (ledger entry {i})"));
    writeln!(out, "{}{entry}", arguments.order)?;
    Ok(Exit::Success)
}
