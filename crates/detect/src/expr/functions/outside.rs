//! Functions that look at data files, the stash, past decisions and the time.

use super::{Evaluated, Machine, Value, format, text};
use crate::expr::{
    Effect,
    services::{DataFile, LookupKind},
    time,
    value::{List, Map, Missing, Text},
};

/// `File('name')`: the lines of a data file; none when it is not loaded.
pub(super) fn file<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let name = text("File", arguments, 0)?;
    Ok(Value::List(List::Lines(
        machine.env.services.data.strings(name),
    )))
}

pub(super) fn file_map<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let name = text("FileMap", arguments, 0)?;
    let Some(DataFile::Map(lookup)) = machine.env.services.data.get(name) else {
        return Ok(Value::list(Vec::new()));
    };
    machine.spend(lookup.rows().len())?;
    let kind = |kind| match kind {
        LookupKind::Contains => "contains",
        LookupKind::Equals => "equals",
        LookupKind::Regex => "regex",
    };
    let rows = lookup.rows().iter().map(|row| {
        let entry = |key, value| (Text::Borrowed(key), Value::text(value));
        let entries = [
            entry("pattern", &row.pattern),
            entry("tag", &row.tag),
            entry("type", kind(row.kind)),
        ];
        Value::Map(Map::Shared(entries.into(), Missing::Empty))
    });
    Ok(Value::list(rows.collect()))
}

pub(super) fn lookup_file<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (of, name) = (
        text("LookupFile", arguments, 0)?,
        text("LookupFile", arguments, 1)?,
    );
    let Some(DataFile::Map(lookup)) = machine.env.services.data.get(name) else {
        return Ok(Value::text(""));
    };
    machine.spend(1 + lookup.rows().len() / 16 + of.len() / 64)?;
    Ok(Value::text(lookup.find(of).unwrap_or_default()))
}

pub(super) fn regexp_in_file<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (of, name) = (
        text("RegexpInFile", arguments, 0)?,
        text("RegexpInFile", arguments, 1)?,
    );
    let Some(DataFile::Regexes(regexes)) = machine.env.services.data.get(name) else {
        return Ok(Value::Bool(false));
    };
    machine.spend(1 + of.len() / 16)?;
    Ok(Value::Bool(regexes.is_match(of)))
}

pub(super) fn stashed<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (cache, key) = (
        text("GetFromStash", arguments, 0)?,
        text("GetFromStash", arguments, 1)?,
    );
    let services = machine.env.services;
    Ok(Value::text(
        services
            .stash
            .get(cache, key, services.now)
            .unwrap_or_default(),
    ))
}

fn count<'a>(n: Option<u64>) -> Value<'a> {
    Value::Int(i64::try_from(n.unwrap_or(0)).unwrap_or(i64::MAX))
}

pub(super) fn decisions<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let value = text("GetDecisionsCount", arguments, 0)?;
    Ok(count(
        machine
            .env
            .services
            .decisions
            .as_ref()
            .map(|d| d.total(value)),
    ))
}

pub(super) fn active_decisions<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let value = text("GetActiveDecisionsCount", arguments, 0)?;
    Ok(count(
        machine
            .env
            .services
            .decisions
            .as_ref()
            .map(|d| d.active(value)),
    ))
}

/// A span that cannot be read counts nothing.
pub(super) fn decisions_since<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let value = text("GetDecisionsSinceCount", arguments, 0)?;
    let span = time::parse_duration(text("GetDecisionsSinceCount", arguments, 1)?);
    let services = machine.env.services;
    let since = span.map(|s| model::Timestamp::from_nanos(services.now.nanos().saturating_sub(s)));
    let counts = services.decisions.as_ref().zip(since);
    Ok(count(
        counts.map(|(decisions, since)| decisions.since(value, since)),
    ))
}

pub(super) fn hostname<'a>(machine: &mut Machine<'_, 'a>, _: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::text(&machine.env.services.hostname))
}

/// RFC 3339 to the second.
pub(super) fn time_now<'a>(machine: &mut Machine<'_, 'a>, _: &[Value<'a>]) -> Evaluated<'a> {
    let now = model::Timestamp::from_seconds(machine.env.services.now.seconds());
    Ok(Value::shared(now.to_string()))
}

pub(super) fn now<'a>(machine: &mut Machine<'_, 'a>, _: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Time(machine.env.services.now))
}

/// Leaves the text for the caller to log; true.
pub(super) fn log<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let written = format::sprintf(machine, arguments)?;
    let text = written.as_str().unwrap_or_default().to_owned();
    machine.env.effects.borrow_mut().push(Effect::Log(text));
    Ok(Value::Bool(true))
}
