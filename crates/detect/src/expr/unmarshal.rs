//! Expressions that write: `UnmarshalJSON`, `ParseKV`, `evt.SetMeta`.
//!
//! Writes come out as [`Effect`]s for the caller to apply; until then, reads of this expression
//! look here first.

use serde_json::Value as Json;

use super::{
    Effect, Env, EvalError,
    eval::{Evaluated, Machine},
    functions::key_value,
    node::Format,
    value::{Map, Missing, Text, Value},
};
use crate::event::FieldMap;

pub(super) fn run<'a>(
    machine: &mut Machine<'_, 'a>,
    format: Format,
    text: &Value<'a>,
    key: &Value<'a>,
) -> Evaluated<'a> {
    let function = match format {
        Format::Json => "UnmarshalJSON",
        Format::KeyValue => "ParseKV",
        Format::KeyValueLax => "ParseKVLax",
    };
    let wants = |got: &Value<'_>| EvalError::Argument {
        function,
        wants: "text",
        got: got.kind(),
    };
    let text = text.as_str().ok_or_else(|| wants(text))?;
    let key = key.as_str().ok_or_else(|| wants(key))?.to_owned();
    machine.spend_text(text.len())?;
    let effect = match format {
        Format::Json => {
            let value = serde_json::from_str::<Json>(text).map_err(|_| EvalError::Function {
                function,
                reason: "the text is not JSON",
            })?;
            Effect::SetUnmarshaled { key, value }
        }
        Format::KeyValue | Format::KeyValueLax => {
            if !takes_strings(machine.env, &key) {
                let reason = "the target already holds something else";
                return Err(EvalError::Function { function, reason });
            }
            let pairs = match format {
                Format::KeyValueLax => key_value::pairs_lax(text),
                _ => key_value::pairs(text),
            };
            if pairs.is_empty() {
                return Err(EvalError::Function {
                    function,
                    reason: "no key=value in the text",
                });
            }
            let own = |(k, v): (&str, std::borrow::Cow<'_, str>)| (k.to_owned(), v.into_owned());
            Effect::SetUnmarshaledStrings {
                key,
                values: pairs.into_iter().map(own).collect(),
            }
        }
    };
    machine.env.effects.borrow_mut().push(effect);
    Ok(Value::Nil)
}

/// Whether `key` of `evt.Unmarshaled` is free or already a map of strings.
fn takes_strings(env: &Env<'_>, key: &str) -> bool {
    let effects = env.effects.borrow();
    let last = effects.iter().rev().find_map(|effect| match effect {
        Effect::SetUnmarshaled { key: k, .. } if k == key => Some(false),
        Effect::SetUnmarshaledStrings { key: k, .. } if k == key => Some(true),
        _ => None,
    });
    last.unwrap_or_else(|| {
        !env.event.unmarshaled.contains_key(key) || env.event.string_maps.contains(key)
    })
}

pub(super) fn set_field<'a>(
    machine: &Machine<'_, 'a>,
    map: FieldMap,
    key: &Value<'a>,
    value: &Value<'a>,
) -> Evaluated<'a> {
    let function = "SetMeta";
    let wants = |got: &Value<'_>| EvalError::Argument {
        function,
        wants: "text",
        got: got.kind(),
    };
    let key = key.as_str().ok_or_else(|| wants(key))?.to_owned();
    let value = value.as_str().ok_or_else(|| wants(value))?.to_owned();
    machine
        .env
        .effects
        .borrow_mut()
        .push(Effect::SetField { map, key, value });
    Ok(Value::Bool(true))
}

/// What this expression has put at `key` of `evt.Unmarshaled`.
pub(super) fn written<'a>(env: &Env<'a>, key: &str) -> Option<Value<'a>> {
    let effects = env.effects.borrow();
    if effects.is_empty() {
        return None;
    }
    let mut strings: Vec<(Text<'a>, Value<'a>)> = Vec::new();
    for effect in effects.iter().rev() {
        match effect {
            Effect::SetUnmarshaled { key: k, value } if k == key => {
                return Some(Value::from_json_owned(value.clone()));
            }
            Effect::SetUnmarshaledStrings { key: k, values } if k == key => {
                let own = |(k, v): &(String, String)| {
                    (Text::Shared(k.as_str().into()), Value::shared(v.as_str()))
                };
                strings.extend(values.iter().rev().map(own));
            }
            _ => {}
        }
    }
    if strings.is_empty() {
        return None;
    }
    // Newest first: what was there before comes last.
    if let Some(Json::Object(map)) = env.event.unmarshaled.get(key) {
        strings.extend(
            map.iter()
                .map(|(k, v)| (Text::Borrowed(k), Value::from_json(v))),
        );
    }
    Some(Value::Map(Map::Shared(strings.into(), Missing::Empty)))
}

/// What this expression has set a field to.
pub(super) fn written_field(env: &Env<'_>, map: FieldMap, name: &str) -> Option<String> {
    env.effects
        .borrow()
        .iter()
        .rev()
        .find_map(|effect| match effect {
            Effect::SetField { map: m, key, value } if *m == map && key == name => {
                Some(value.clone())
            }
            _ => None,
        })
}
