//! Functions on JSON text.

use serde_json::{Value as Json, ser::PrettyFormatter};

use super::{
    EvalError, Evaluated, Machine, Value,
    json_path::{JsonKind, find, keys, unescape},
    part, text,
};
use crate::expr::{access, compare};

/// `JsonExtract(json, 'a.b[0]')`: raw, `""` when there is no such value.
pub(super) fn extract<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (json, path) = (
        text("JsonExtract", arguments, 0)?,
        text("JsonExtract", arguments, 1)?,
    );
    machine.spend(1 + json.len() / 64)?;
    Ok(find(json, &keys(path)).map_or(Value::text(""), |(value, _)| part(json, value)))
}

fn texts<'v>(arguments: &'v [Value<'_>]) -> Result<Vec<&'v str>, EvalError> {
    let keys = arguments.iter().skip(1);
    keys.map(|key| {
        key.as_str()
            .ok_or_else(|| super::wants("JsonExtractLib", "text", Some(key)))
    })
    .collect()
}

pub(super) fn extract_keys<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let json = text("JsonExtractLib", arguments, 0)?;
    machine.spend(1 + json.len() / 64)?;
    let found = find(json, &texts(arguments)?);
    Ok(found.map_or(Value::text(""), |(value, _)| part(json, value)))
}

/// `JsonExtractUnescape(json, key…)`: strings only, escapes resolved.
pub(super) fn extract_unescape<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let json = text("JsonExtractUnescape", arguments, 0)?;
    machine.spend(1 + json.len() / 64)?;
    Ok(match find(json, &texts(arguments)?) {
        Some((value, JsonKind::Text)) if value.contains('\\') => {
            unescape(value).map_or(Value::text(""), Value::shared)
        }
        Some((value, JsonKind::Text)) => part(json, value),
        _ => Value::text(""),
    })
}

pub(super) fn extract_slice<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    extract_whole(machine, arguments, JsonKind::Array)
}

pub(super) fn extract_object<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    extract_whole(machine, arguments, JsonKind::Object)
}

/// An array or object at a path, parsed; nil when there is none of that kind.
fn extract_whole<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
    kind: JsonKind,
) -> Evaluated<'a> {
    let json = text("JsonExtractObject", arguments, 0)?;
    let path = text("JsonExtractObject", arguments, 1)?;
    machine.spend_text(json.len())?;
    let found = find(json, &keys(path)).filter(|(_, k)| *k == kind);
    let parsed = found.and_then(|(value, _)| serde_json::from_str::<Json>(value).ok());
    Ok(parsed.map_or(Value::Nil, Value::from_json_owned))
}

pub(super) fn from_json<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let json = text("fromJSON", arguments, 0)?;
    machine.spend_text(json.len())?;
    match serde_json::from_str::<Json>(json) {
        Ok(value) => Ok(Value::from_json_owned(value)),
        Err(_) => Err(EvalError::Function {
            function: "fromJSON",
            reason: "the text is not JSON",
        }),
    }
}

pub(super) fn to_json<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let json = as_json(machine, arguments.first().unwrap_or(&Value::Nil))?;
    Ok(Value::shared(html_safe(&json.to_string())))
}

pub(super) fn to_json_pretty<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let json = as_json(machine, arguments.first().unwrap_or(&Value::Nil))?;
    let mut out = Vec::new();
    let mut writer =
        serde_json::Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"  "));
    let fail = EvalError::Function {
        function: "toJSON",
        reason: "the value cannot be written",
    };
    serde::Serialize::serialize(&json, &mut writer).map_err(|_| fail)?;
    Ok(Value::shared(html_safe(&String::from_utf8_lossy(&out))))
}

// Go's encoder escapes these so that JSON can stand in HTML.
fn html_safe(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// A value as JSON. Bounded by the budget and, in depth, by how values come about.
pub(in crate::expr) fn as_json(
    machine: &mut Machine<'_, '_>,
    value: &Value<'_>,
) -> Result<Json, EvalError> {
    machine.spend(1)?;
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) | Value::Duration(n) => Json::from(*n),
        // Go writes a whole float without a fraction.
        Value::Float(f) if f.fract() == 0.0 && f.abs() < 1e15 => Json::from(*f as i64),
        Value::Float(_) => compare::number(value).map_or(Json::Null, Json::from),
        Value::Text(text) => {
            machine.spend_text(text.len())?;
            Json::from(&**text)
        }
        Value::Time(time) => Json::from(time.to_string()),
        Value::Weekday(n) | Value::Month(n) => Json::from(*n),
        Value::List(list) => {
            let items: Result<Vec<Json>, EvalError> =
                list.iter().map(|item| as_json(machine, &item)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let mut out = serde_json::Map::new();
            for (key, value) in access::entries(machine.env, map) {
                let value = as_json(machine, &value)?;
                out.insert(key.to_string(), value);
            }
            Json::Object(out)
        }
        Value::View(_) | Value::Object(_) => {
            return Err(EvalError::Part { kind: value.kind() });
        }
    })
}
