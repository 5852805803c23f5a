//! Functions on lists and maps.

use super::{EvalError, Evaluated, Machine, Value, list, text, wants, whole};
use crate::expr::{
    access, compare, loops,
    value::{List, Map, Missing, Text},
};

fn count<'a>(n: usize) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

pub(super) fn len<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match arguments.first() {
        Some(Value::Text(text)) => {
            machine.spend_search(text.len())?;
            Ok(count(text.chars().count()))
        }
        Some(Value::List(list)) => Ok(count(list.len())),
        Some(Value::Map(map)) => Ok(count(access::entries(machine.env, map).len())),
        Some(Value::Object(object)) => match object.0.length() {
            Some(len) => Ok(count(len)),
            None => Err(wants("len", "text, a list or a map", arguments.first())),
        },
        other => Err(wants("len", "text, a list or a map", other)),
    }
}

/// `get(map, key)` and `get(list, index)`: nil where there is nothing.
pub(super) fn get<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let [of, key] = arguments else {
        return Ok(Value::Nil);
    };
    match of {
        Value::Map(map) => Ok(key
            .as_str()
            .and_then(|key| access::get(machine.env, map, key, None))
            .unwrap_or_default()),
        Value::Nil => Ok(Value::Nil),
        _ => match access::index(machine.env, of, key) {
            Err(EvalError::Index | EvalError::Part { .. }) => Ok(Value::Nil),
            other => other,
        },
    }
}

/// `Get(list, index)`: `""` beyond the end.
pub(super) fn get_text<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let items = list(machine, "Get", arguments, 0)?;
    let index = usize::try_from(whole("Get", arguments, 1)?).map_err(|_| EvalError::Index)?;
    Ok(items.get(index).unwrap_or(Value::text("")))
}

pub(super) fn first<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(list(machine, "first", arguments, 0)?
        .get(0)
        .unwrap_or_default())
}

pub(super) fn last<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "last", arguments, 0)?;
    Ok(items
        .len()
        .checked_sub(1)
        .and_then(|i| items.get(i))
        .unwrap_or_default())
}

pub(super) fn take<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "take", arguments, 0)?;
    let most = usize::try_from(whole("take", arguments, 1)?).map_err(|_| EvalError::Index)?;
    machine.spend(items.len())?;
    Ok(Value::list(items.iter().take(most).collect()))
}

pub(super) fn reverse<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "reverse", arguments, 0)?;
    machine.spend(items.len())?;
    let mut items: Vec<Value<'a>> = items.iter().collect();
    items.reverse();
    Ok(Value::list(items))
}

pub(super) fn sort<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "sort", arguments, 0)?;
    machine.spend(items.len().saturating_mul(8))?;
    let mut items: Vec<Value<'a>> = items.iter().collect();
    items.sort_by(access::sort_order);
    if arguments.get(1).and_then(Value::as_str) == Some("desc") {
        items.reverse();
    }
    Ok(Value::list(items))
}

pub(super) fn sum<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "sum", arguments, 0)?;
    machine.spend(items.len())?;
    loops::sum(&items.iter().collect::<Vec<_>>())
}

pub(super) fn join<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = list(machine, "join", arguments, 0)?;
    let separator = if arguments.len() > 1 {
        text("join", arguments, 1)?
    } else {
        ""
    };
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        let item = item
            .as_str()
            .ok_or_else(|| wants("join", "a list of texts", Some(&item)))?;
        machine.spend_text(item.len() + separator.len())?;
        if i > 0 {
            out.push_str(separator);
        }
        out.push_str(item);
    }
    Ok(Value::shared(out))
}

pub(super) fn concat<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let mut out = Vec::new();
    for i in 0..arguments.len() {
        let items = list(machine, "concat", arguments, i)?;
        machine.spend(items.len())?;
        out.extend(items.iter());
    }
    Ok(Value::list(out))
}

pub(super) fn flatten<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let mut out = Vec::new();
    for argument in arguments {
        flatten_into(machine, argument, &mut out)?;
    }
    Ok(Value::list(out))
}

// Values nest no deeper than the expression or the JSON they come from, both of which are bounded.
fn flatten_into<'a>(
    machine: &mut Machine<'_, 'a>,
    value: &Value<'a>,
    out: &mut Vec<Value<'a>>,
) -> Result<(), EvalError> {
    machine.spend(1)?;
    match value {
        Value::List(list) => list
            .iter()
            .try_for_each(|item| flatten_into(machine, &item, out)),
        other => {
            out.push(other.clone());
            Ok(())
        }
    }
}

pub(super) fn flatten_unique<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let flat = flatten(machine, arguments)?;
    unique(machine, &[flat])
}

pub(super) fn unique<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let items = match arguments.first() {
        Some(Value::List(list)) => list.clone(),
        _ => return Ok(Value::Nil),
    };
    let mut out: Vec<Value<'a>> = Vec::new();
    for item in items.iter() {
        let mut known = false;
        for kept in &out {
            if compare::equal(machine, kept, &item)? {
                known = true;
                break;
            }
        }
        if !known {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn map<'v, 'a>(
    function: &'static str,
    arguments: &'v [Value<'a>],
    i: usize,
) -> Result<&'v Map<'a>, EvalError> {
    match arguments.get(i) {
        Some(Value::Map(map)) => Ok(map),
        other => Err(wants(function, "a map", other)),
    }
}

pub(super) fn keys<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let entries = access::entries(machine.env, map("keys", arguments, 0)?);
    machine.spend(entries.len())?;
    Ok(Value::list(
        entries
            .into_iter()
            .map(|(key, _)| Value::Text(key))
            .collect(),
    ))
}

pub(super) fn values<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let entries = access::entries(machine.env, map("values", arguments, 0)?);
    machine.spend(entries.len())?;
    Ok(Value::list(
        entries.into_iter().map(|(_, value)| value).collect(),
    ))
}

pub(super) fn to_pairs<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let entries = access::entries(machine.env, map("toPairs", arguments, 0)?);
    machine.spend(entries.len())?;
    let pair = |(key, value)| Value::list(vec![Value::Text(key), value]);
    Ok(Value::list(entries.into_iter().map(pair).collect()))
}

pub(super) fn from_pairs<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let pairs = list(machine, "fromPairs", arguments, 0)?;
    machine.spend(pairs.len())?;
    let mut entries: Vec<(Text<'a>, Value<'a>)> = Vec::new();
    for pair in pairs.iter() {
        let Value::List(pair) = pair else {
            return Err(wants("fromPairs", "a list of pairs", Some(&pair)));
        };
        let Some(Value::Text(key)) = pair.get(0) else {
            return Err(EvalError::Index);
        };
        entries.push((key, pair.get(1).unwrap_or_default()));
    }
    Ok(Value::Map(Map::Shared(entries.into(), Missing::Nil)))
}

pub(super) fn key_exists<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let key = text("KeyExists", arguments, 0)?;
    let of = map("KeyExists", arguments, 1)?;
    Ok(Value::Bool(
        access::get(machine.env, of, key, None).is_some(),
    ))
}

/// The spans between times in order, as `MedianInterval` and `AverageInterval` want them.
fn intervals(
    machine: &mut Machine<'_, '_>,
    times: &List<'_>,
    function: &'static str,
) -> Result<Vec<i64>, EvalError> {
    machine.spend(times.len())?;
    let mut sorted = Vec::with_capacity(times.len());
    for time in times.iter() {
        match time {
            Value::Time(time) => sorted.push(time.nanos()),
            other => return Err(wants(function, "a list of times", Some(&other))),
        }
    }
    if sorted.len() < 2 {
        return Err(EvalError::Function {
            function,
            reason: "two times are needed at least",
        });
    }
    sorted.sort_unstable();
    Ok(sorted
        .iter()
        .zip(sorted.iter().skip(1))
        .map(|(a, b)| b.saturating_sub(*a))
        .collect())
}

pub(super) fn average<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let times = list(machine, "AverageInterval", arguments, 0)?;
    let spans = intervals(machine, &times, "AverageInterval")?;
    let total: i128 = spans.iter().map(|n| i128::from(*n)).sum();
    let average = total / i128::try_from(spans.len()).unwrap_or(1).max(1);
    Ok(Value::Duration(i64::try_from(average).unwrap_or(i64::MAX)))
}

pub(super) fn median<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let times = list(machine, "MedianInterval", arguments, 0)?;
    let mut spans = intervals(machine, &times, "MedianInterval")?;
    spans.sort_unstable();
    let at = |i: usize| spans.get(i).copied().unwrap_or(0);
    let middle = spans.len() / 2;
    let median = match spans.len() % 2 {
        1 => at(middle),
        _ => {
            let (low, high) = (at(middle.saturating_sub(1)), at(middle));
            low.saturating_add(high.saturating_sub(low) / 2)
        }
    };
    Ok(Value::Duration(median))
}
