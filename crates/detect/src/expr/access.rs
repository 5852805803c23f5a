//! Reading parts of values: fields, keys, elements, methods.

use std::cmp::Ordering;

use model::{AlertEvent, Timestamp};

use super::{
    Env, EvalError, compare,
    eval::{Evaluated, Machine},
    time,
    value::{List, Map, Missing, ObjectRef, Text, Value, View},
};
use crate::{
    event::{Event, FieldMap},
    overflow::{Overflow, OverflowSource},
    symbols::Sym,
};

/// `of.name`.
pub(super) fn member<'a>(
    env: &Env<'a>,
    of: &Value<'a>,
    name: &str,
    sym: Option<Sym>,
) -> Evaluated<'a> {
    match of {
        Value::Map(map) => Ok(get(env, map, name, sym).unwrap_or_else(|| missing(map))),
        Value::View(view) => part(*view, name).ok_or_else(|| EvalError::Part { kind: of.kind() }),
        Value::Object(ObjectRef(object)) => Ok(object.member(name).unwrap_or_default()),
        Value::Nil => Err(EvalError::Nil),
        other => Err(EvalError::Part { kind: other.kind() }),
    }
}

/// `of[key]`.
pub(super) fn index<'a>(env: &Env<'a>, of: &Value<'a>, key: &Value<'a>) -> Evaluated<'a> {
    let position = |len: usize| match key {
        Value::Int(n) => usize::try_from(*n)
            .ok()
            .or_else(|| len.checked_sub(usize::try_from(n.unsigned_abs()).ok()?))
            .ok_or(EvalError::Index),
        other => Err(EvalError::Argument {
            function: "[ ]",
            wants: "a whole number",
            got: other.kind(),
        }),
    };
    match (of, key) {
        (_, Value::Text(name)) => member(env, of, name, None),
        (Value::List(list), _) => list.get(position(list.len())?).ok_or(EvalError::Index),
        (Value::Text(text), _) => {
            let byte = text
                .as_bytes()
                .get(position(text.len())?)
                .ok_or(EvalError::Index)?;
            Ok(Value::Int(i64::from(*byte)))
        }
        (Value::Object(ObjectRef(object)), _) => {
            let at = position(object.length().unwrap_or(0))?;
            object.item(at).ok_or(EvalError::Index)
        }
        (Value::Map(map), Value::Nil) => Ok(missing(map)),
        (Value::Nil, _) => Err(EvalError::Nil),
        (other, _) => Err(EvalError::Part { kind: other.kind() }),
    }
}

/// What the map answers for a key it does not have.
const fn missing<'a>(map: &Map<'a>) -> Value<'a> {
    match map {
        Map::Fields(..)
        | Map::QueueFields(..)
        | Map::Strings(_)
        | Map::Json(_, Missing::Empty)
        | Map::Shared(_, Missing::Empty) => Value::text(""),
        Map::Json(_, Missing::Nil)
        | Map::QueueUnmarshaled(..)
        | Map::Shared(_, Missing::Nil)
        | Map::Sources(_)
        | Map::Tree(_)
        | Map::Unmarshaled(_) => Value::Nil,
    }
}

/// The value at a key; `None` when the map does not have it.
pub(super) fn get<'a>(
    env: &Env<'a>,
    map: &Map<'a>,
    name: &str,
    sym: Option<Sym>,
) -> Option<Value<'a>> {
    let sym = || sym.or_else(|| env.symbols.lookup(name));
    match map {
        Map::Fields(event, fields) => {
            let span = event.fields(*fields).find(sym()?)?;
            Some(Value::text(event.read(span)))
        }
        Map::Json(map, _) => map.get(name).map(Value::from_json),
        Map::QueueFields(queue, i, fields) => Some(Value::text(queue.field(*i, *fields, sym()?))),
        Map::QueueUnmarshaled(queue, i) => queue.unmarshaled(*i, name).map(Value::from_json),
        Map::Shared(entries, _) => entries
            .iter()
            .find(|(key, _)| **key == *name)
            .map(|(_, value)| value.clone()),
        Map::Sources(sources) => sources
            .get(name)
            .map(|s| Value::View(View::Source(s.as_ref()))),
        Map::Strings(map) => map.get(name).map(Value::text),
        Map::Tree(map) => map.get(name).map(Value::from_json),
        Map::Unmarshaled(event) => match event.unmarshaled.get(name)? {
            serde_json::Value::Object(map) if event.string_maps.contains(name) => {
                Some(Value::Map(Map::Json(map, Missing::Empty)))
            }
            json => Some(Value::from_json(json)),
        },
    }
}

/// All keys and values of a map, as far as they can be listed.
pub(super) fn entries<'a>(env: &Env<'a>, map: &Map<'a>) -> Vec<(Text<'a>, Value<'a>)> {
    let json =
        |(k, v): (&'a String, &'a serde_json::Value)| (Text::Borrowed(k), Value::from_json(v));
    match map {
        Map::Fields(event, fields) => {
            let entry = |(sym, span)| {
                (
                    Text::Borrowed(env.symbols.name(sym)),
                    Value::text(event.read(span)),
                )
            };
            event.fields(*fields).iter().map(entry).collect()
        }
        Map::Json(map, _) => map.iter().map(json).collect(),
        Map::QueueFields(..) | Map::QueueUnmarshaled(..) => Vec::new(),
        Map::Shared(entries, _) => entries.to_vec(),
        Map::Sources(sources) => sources
            .iter()
            .map(|(k, s)| (Text::Borrowed(k), Value::View(View::Source(s.as_ref()))))
            .collect(),
        Map::Strings(map) => map
            .iter()
            .map(|(k, v)| (Text::Borrowed(k), Value::text(v)))
            .collect(),
        Map::Tree(map) => map.iter().map(json).collect(),
        Map::Unmarshaled(event) => event.unmarshaled.iter().map(json).collect(),
    }
}

/// A value's elements: of a list, of a listing object, or the values of a map.
pub(super) fn as_list<'a>(env: &Env<'a>, value: &Value<'a>) -> Option<List<'a>> {
    Some(match value {
        Value::List(list) => list.clone(),
        Value::Map(map) => List::Shared(
            entries(env, map)
                .into_iter()
                .map(|(_, value)| value)
                .collect(),
        ),
        Value::Object(ObjectRef(object)) => List::Shared(
            (0..object.length()?)
                .filter_map(|i| object.item(i))
                .collect(),
        ),
        _ => return None,
    })
}

/// The order that sorting goes by; values without an order are equal.
pub(super) fn sort_order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => (**a).cmp(&**b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        _ => match (compare::number(a), compare::number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => Ordering::Equal,
        },
    }
}

/// A part of a thing of fixed layout.
fn part<'a>(view: View<'a>, name: &str) -> Option<Value<'a>> {
    match view {
        View::Alert(alert) => alert_part(alert, name),
        View::AlertEvent(event) => match name {
            "Meta" => Some(Value::Map(Map::Strings(&event.meta))),
            "Timestamp" => Some(Value::shared(event.time.to_string())),
            _ => None,
        },
        View::AlertSource(alert) => alert_source_part(alert, name),
        View::Event(event) => event_part(event, name),
        View::Leaky(queue) => match name {
            "Name" => Some(Value::text(queue.name())),
            "Total_count" => Some(Value::Int(i64::try_from(queue.total()).unwrap_or(i64::MAX))),
            _ => None,
        },
        View::Line(event) => line_part(event, name),
        View::Overflow(overflow) => match name {
            "Alert" => Some(Value::View(View::OverflowAlert(overflow))),
            "APIAlerts" => Some(Value::list(vec![Value::View(View::OverflowAlert(
                overflow,
            ))])),
            "Reprocess" => Some(Value::Bool(overflow.reprocess)),
            "Sources" => Some(Value::Map(Map::Sources(&overflow.sources))),
            "Whitelisted" => Some(Value::Bool(overflow.whitelisted)),
            _ => None,
        },
        View::OverflowAlert(overflow) => overflow_part(overflow, name),
        View::Queue(queue) => (name == "Queue").then_some(Value::List(List::Queue(queue))),
        View::QueueEvent(queue, i) => {
            let fields = |map| Some(Value::Map(Map::QueueFields(queue, i, map)));
            match name {
                "Enriched" => fields(FieldMap::Enriched),
                "Line" => Some(Value::View(View::QueueLine(queue, i))),
                "Meta" => fields(FieldMap::Meta),
                "Parsed" => fields(FieldMap::Parsed),
                "Time" => Some(Value::Time(queue.time(i))),
                "Unmarshaled" => Some(Value::Map(Map::QueueUnmarshaled(queue, i))),
                _ => None,
            }
        }
        View::QueueLine(queue, i) => (name == "Raw").then_some(Value::text(queue.raw(i))),
        View::Source(source) => source_part(source, name),
    }
}

fn event_part<'a>(event: &'a Event, name: &str) -> Option<Value<'a>> {
    let fields = |map| Value::Map(Map::Fields(event, map));
    Some(match name {
        "Appsec" => Value::Nil,
        "Enriched" => fields(FieldMap::Enriched),
        // In the language: 0 live, 1 recording.
        "ExpectMode" => Value::Int(i64::from(event.mode == crate::event::TimeMode::Recording)),
        "Line" => Value::View(View::Line(event)),
        "MarshaledTime" => match event.marshaled_time {
            Some(time) => Value::shared(time.to_string()),
            None => Value::text(""),
        },
        "Meta" => fields(FieldMap::Meta),
        "Overflow" => match &event.overflow {
            Some(overflow) => Value::View(View::Overflow(overflow)),
            None => Value::Nil,
        },
        "Parsed" => fields(FieldMap::Parsed),
        "Process" => Value::Bool(true),
        "Stage" => Value::Int(i64::from(event.stage)),
        "StrTime" => Value::text(event.read(event.str_time)),
        "StrTimeFormat" => Value::text(event.read(event.str_time_format)),
        "Time" => Value::Time(event.time),
        "Type" => Value::Int(i64::from(event.overflow.is_some())),
        "Unmarshaled" => Value::Map(Map::Unmarshaled(event)),
        "WhitelistReason" => Value::text(event.read(event.whitelist_reason)),
        "Whitelisted" => Value::Bool(event.whitelisted),
        _ => return None,
    })
}

fn line_part<'a>(event: &'a Event, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "Labels" => Value::Map(Map::Fields(event, FieldMap::Labels)),
        "Module" => Value::text(event.read(event.module)),
        "Process" => Value::Bool(true),
        "Raw" => Value::text(event.line()),
        "Src" => Value::text(event.read(event.source_name)),
        "Time" => Value::Time(event.time),
        _ => return None,
    })
}

fn overflow_part<'a>(overflow: &'a Overflow, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "Events" => Value::List(List::Events(&overflow.events)),
        "EventsCount" => count(overflow.events_count),
        "Labels" => Value::Map(Map::Tree(&overflow.labels)),
        "Message" => Value::text(&overflow.message),
        "Remediation" => Value::Bool(overflow.remediation),
        "Scenario" => Value::text(&overflow.scenario),
        "ScenarioHash" => Value::text(&overflow.scenario_hash),
        "Simulated" => Value::Bool(overflow.simulated),
        "Source" => match overflow.sources.values().next() {
            Some(source) => Value::View(View::Source(source)),
            None => Value::Nil,
        },
        "StartAt" => Value::shared(overflow.first.to_string()),
        "StopAt" => Value::shared(overflow.last.to_string()),
        _ => return None,
    })
}

fn source_part<'a>(source: &'a OverflowSource, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "AsName" => Value::text(&source.as_name),
        "AsNumber" => Value::text(&source.as_number),
        "Cn" => Value::text(&source.country),
        // As the event spelt it: content compares it with what it gave.
        "IP" => match &source.spelling {
            Some(text) => Value::text(text),
            None if source.scope == model::Scope::Ip => Value::text(&source.value),
            None => Value::shared(source.address.map(|a| a.to_string()).unwrap_or_default()),
        },
        "Range" => match source.range {
            // Upstream's ranges always show their length, also a full one.
            Some(range) => Value::shared(format!("{}/{}", range.addr(), range.len())),
            None => Value::text(""),
        },
        "Scope" => Value::shared(source.scope.to_string()),
        "Value" => Value::text(&source.value),
        _ => return None,
    })
}

fn alert_part<'a>(alert: &'a model::Alert, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "Events" => Value::List(List::Events(&alert.events)),
        "EventsCount" => count(alert.events_count),
        "Labels" => Value::Map(Map::Tree(&alert.labels)),
        "Message" => Value::text(&alert.message),
        "Remediation" => Value::Bool(alert.remediation),
        "Scenario" => Value::text(&alert.rule),
        "ScenarioHash" => Value::text(&alert.rule_hash),
        "Simulated" => Value::Bool(alert.simulated),
        "Source" => Value::View(View::AlertSource(alert)),
        "StartAt" => Value::shared(alert.first.to_string()),
        "StopAt" => Value::shared(alert.last.to_string()),
        _ => return None,
    })
}

fn alert_source_part<'a>(alert: &'a model::Alert, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "AsName" | "AsNumber" | "Cn" => Value::text(""),
        "IP" => Value::shared(alert.address.map(|a| a.to_string()).unwrap_or_default()),
        "Range" => match alert.range {
            Some(range) => Value::shared(format!("{}/{}", range.addr(), range.len())),
            None => Value::text(""),
        },
        "Scope" => Value::shared(alert.scope.to_string()),
        "Value" => Value::text(&alert.value),
        _ => return None,
    })
}

fn count<'a>(n: u64) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// `of.Name(arguments…)`.
pub(super) fn method<'a>(
    machine: &mut Machine<'_, 'a>,
    of: &Value<'a>,
    name: &str,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    machine.spend(1)?;
    let found = match of {
        Value::View(view) => view_method(machine.env, *view, name, arguments),
        Value::Object(ObjectRef(object)) => object.call(name, arguments),
        Value::Nil => return Err(EvalError::Nil),
        _ => time::method(of, name, arguments),
    };
    found.ok_or_else(|| EvalError::Part { kind: of.kind() })
}

fn view_method<'a>(
    env: &Env<'a>,
    view: View<'a>,
    name: &str,
    arguments: &[Value<'a>],
) -> Option<Value<'a>> {
    let key = || arguments.first().and_then(Value::as_str);
    match (view, name) {
        (View::Event(event), "GetType") => Some(Value::text(if event.overflow.is_some() {
            "overflow"
        } else {
            "log"
        })),
        (View::Event(event), "GetMeta") => Some(event_meta(env, event, key()?)),
        (View::Overflow(overflow), "GetSources") => Some(Value::list(
            overflow.sources.keys().map(|k| Value::text(k)).collect(),
        )),
        (View::AlertEvent(event), "GetMeta") => Some(alert_meta(event, key()?)),
        (View::QueueEvent(queue, i), "GetMeta") => {
            let sym = env.symbols.lookup(key()?);
            Some(Value::text(
                sym.map_or("", |sym| queue.field(i, FieldMap::Meta, sym)),
            ))
        }
        (View::QueueEvent(..), "GetType") => Some(Value::text("log")),
        (View::Queue(_), "GetQueue") => part(view, "Queue"),
        (View::Source(_) | View::AlertSource(_), "GetScope") => part(view, "Scope"),
        (View::Source(_) | View::AlertSource(_), "GetValue") => part(view, "Value"),
        (View::Source(source), "GetAsNumberName") => {
            let (number, name) = (&source.as_number, &source.as_name);
            Some(Value::shared(format!("{number} {name}").trim()))
        }
        (View::OverflowAlert(_) | View::Alert(_), _) => alert_method(view, name),
        _ => None,
    }
}

fn alert_method<'a>(view: View<'a>, name: &str) -> Option<Value<'a>> {
    match name {
        "GetEventsCount" => part(view, "EventsCount"),
        "GetMessage" => part(view, "Message"),
        "GetScenario" => part(view, "Scenario"),
        "GetSource" => part(view, "Source"),
        "HasRemediation" => part(view, "Remediation"),
        "GetScope" | "GetValue" => match part(view, "Source")? {
            Value::View(source) => part(source, name.trim_start_matches("Get")),
            _ => Some(Value::text("")),
        },
        _ => None,
    }
}

/// `evt.GetMeta(key)`: of an overflow, the first event of its alert that has the key.
fn event_meta<'a>(env: &Env<'a>, event: &'a Event, key: &str) -> Value<'a> {
    match &event.overflow {
        Some(overflow) => {
            let found = overflow.events.iter().find_map(|e| e.meta.get(key));
            Value::text(found.unwrap_or_default())
        }
        None => {
            let sym = env.symbols.lookup(key);
            Value::text(sym.map_or("", |sym| event.field(FieldMap::Meta, sym)))
        }
    }
}

/// `GetMeta` of an alert's event; its time counts as meta there.
fn alert_meta<'a>(event: &'a AlertEvent, key: &str) -> Value<'a> {
    match event.meta.get(key) {
        Some(text) => Value::text(text),
        None if key == "timestamp" => Value::shared(rfc3339(event.time)),
        None => Value::text(""),
    }
}

fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}
