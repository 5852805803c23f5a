//! Functions that run a closure on each element of a list: `any`, `filter`, `map` and their kin.

use super::{
    EvalError, access, compare,
    eval::{Evaluated, Frame, Machine},
    node::{Loop, LoopKind, Node},
    value::{List, Map, Missing, Text, Value},
};

pub(super) fn run<'a>(machine: &mut Machine<'_, 'a>, of: &'a Loop) -> Evaluated<'a> {
    if let Some(shortcut) = &of.shortcut
        && let Some(known) = shortcut.ask(machine)?
    {
        return Ok(Value::Bool(known));
    }
    let list = list(machine, &of.list)?;
    let extra = match (of.kind, &of.extra) {
        (LoopKind::Reduce | LoopKind::SortBy, Some(extra)) => Some(machine.eval(extra)?),
        _ => None,
    };
    if machine.cache.len() < of.slots.end {
        machine.cache.resize(of.slots.end, None);
    }
    for slot in machine
        .cache
        .get_mut(of.slots.clone())
        .into_iter()
        .flatten()
    {
        *slot = None;
    }
    machine.frames.push(Frame::default());
    let result = each(machine, of, &list, extra);
    machine.frames.pop();
    result
}

/// The elements to go through: of a list, or the values of a map.
fn list<'a>(machine: &mut Machine<'_, 'a>, node: &'a Node) -> Result<List<'a>, EvalError> {
    let value = machine.eval(node)?;
    match access::as_list(machine.env, &value) {
        Some(list) => Ok(list),
        None => Err(EvalError::Argument {
            function: "a closure function",
            wants: "a list",
            got: value.kind(),
        }),
    }
}

fn set<'a>(machine: &mut Machine<'_, 'a>, index: usize, item: Value<'a>) {
    if let Some(frame) = machine.frames.last_mut() {
        frame.index = index;
        frame.item = item;
    }
}

fn each<'a>(
    machine: &mut Machine<'_, 'a>,
    of: &'a Loop,
    list: &List<'a>,
    extra: Option<Value<'a>>,
) -> Evaluated<'a> {
    match of.kind {
        LoopKind::Reduce => reduce(machine, of, list, extra),
        LoopKind::Map | LoopKind::Sum | LoopKind::GroupBy | LoopKind::SortBy => {
            let values = values(machine, of, list)?;
            match of.kind {
                LoopKind::Map => Ok(Value::list(values)),
                LoopKind::Sum => sum(&values),
                LoopKind::GroupBy => group(machine, list, values),
                _ => Ok(sort(list, values, extra.as_ref())),
            }
        }
        LoopKind::FindLast | LoopKind::FindLastIndex => {
            for i in (0..list.len()).rev() {
                if truth(machine, of, list, i)? {
                    return Ok(found(of.kind, list, i));
                }
            }
            Ok(absent(of.kind))
        }
        _ => forward(machine, of, list),
    }
}

/// The closure's truth for one element.
fn truth<'a>(
    machine: &mut Machine<'_, 'a>,
    of: &'a Loop,
    list: &List<'a>,
    i: usize,
) -> Result<bool, EvalError> {
    if let (List::Queue(queue), Some((map, sym, text))) = (list, &of.quick) {
        return Ok(queue.field(i, *map, *sym) == &**text);
    }
    let item = list.get(i).unwrap_or_default();
    match &of.body {
        Some(body) => {
            set(machine, i, item);
            machine.test(body)
        }
        None => match item {
            Value::Bool(b) => Ok(b),
            other => Err(EvalError::NotBool { got: other.kind() }),
        },
    }
}

fn forward<'a>(machine: &mut Machine<'_, 'a>, of: &'a Loop, list: &List<'a>) -> Evaluated<'a> {
    let mut count = 0;
    let mut kept = Vec::new();
    for i in 0..list.len() {
        machine.spend(1)?;
        let is = truth(machine, of, list, i)?;
        match of.kind {
            LoopKind::All if !is => return Ok(Value::Bool(false)),
            LoopKind::Any if is => return Ok(Value::Bool(true)),
            LoopKind::None if is => return Ok(Value::Bool(false)),
            LoopKind::Find | LoopKind::FindIndex if is => return Ok(found(of.kind, list, i)),
            LoopKind::Filter if is => kept.extend(list.get(i)),
            _ => {}
        }
        count += i64::from(is);
    }
    Ok(match of.kind {
        LoopKind::All | LoopKind::None => Value::Bool(true),
        LoopKind::Any => Value::Bool(false),
        LoopKind::One => Value::Bool(count == 1),
        LoopKind::Count => Value::Int(count),
        LoopKind::Filter => Value::list(kept),
        kind => absent(kind),
    })
}

fn found<'a>(kind: LoopKind, list: &List<'a>, i: usize) -> Value<'a> {
    match kind {
        LoopKind::FindIndex | LoopKind::FindLastIndex => {
            Value::Int(i64::try_from(i).unwrap_or(i64::MAX))
        }
        _ => list.get(i).unwrap_or_default(),
    }
}

const fn absent<'a>(kind: LoopKind) -> Value<'a> {
    match kind {
        LoopKind::FindIndex | LoopKind::FindLastIndex => Value::Int(-1),
        _ => Value::Nil,
    }
}

fn values<'a>(
    machine: &mut Machine<'_, 'a>,
    of: &'a Loop,
    list: &List<'a>,
) -> Result<Vec<Value<'a>>, EvalError> {
    let mut out = Vec::with_capacity(list.len());
    for i in 0..list.len() {
        machine.spend(1)?;
        let item = list.get(i).unwrap_or_default();
        out.push(match &of.body {
            Some(body) => {
                set(machine, i, item);
                machine.eval(body)?
            }
            None => item,
        });
    }
    Ok(out)
}

pub(super) fn sum<'a>(values: &[Value<'a>]) -> Evaluated<'a> {
    let mut sum = Value::Int(0);
    for value in values {
        sum = compare::plus(&sum, value)?;
    }
    Ok(sum)
}

fn reduce<'a>(
    machine: &mut Machine<'_, 'a>,
    of: &'a Loop,
    list: &List<'a>,
    start: Option<Value<'a>>,
) -> Evaluated<'a> {
    let Some(body) = &of.body else {
        return Ok(Value::Nil);
    };
    let first = usize::from(start.is_none());
    let mut result = match start {
        Some(start) => start,
        None => list.get(0).ok_or(EvalError::Index)?,
    };
    for i in first..list.len() {
        machine.spend(1)?;
        set(machine, i, list.get(i).unwrap_or_default());
        if let Some(frame) = machine.frames.last_mut() {
            frame.accumulator = result;
        }
        result = machine.eval(body)?;
        // Rounds can wrap lists in lists; everything that walks values relies on them being flat.
        if !is_shallow(machine, &result, NESTING_MAX)? {
            return Err(EvalError::Budget);
        }
    }
    Ok(result)
}

/// Depth of lists in lists that `reduce` may build.
const NESTING_MAX: u32 = 32;

fn is_shallow<'a>(
    machine: &mut Machine<'_, 'a>,
    value: &Value<'a>,
    left: u32,
) -> Result<bool, EvalError> {
    let Some(left) = left.checked_sub(1) else {
        return Ok(false);
    };
    match value {
        Value::List(List::Shared(items)) => {
            machine.spend(items.len() / 16)?;
            for item in items.iter() {
                if !is_shallow(machine, item, left)? {
                    return Ok(false);
                }
            }
        }
        Value::Map(Map::Shared(entries, _)) => {
            machine.spend(entries.len() / 16)?;
            for (_, item) in entries.iter() {
                if !is_shallow(machine, item, left)? {
                    return Ok(false);
                }
            }
        }
        _ => {}
    }
    Ok(true)
}

fn group<'a>(
    machine: &mut Machine<'_, 'a>,
    list: &List<'a>,
    keys: Vec<Value<'a>>,
) -> Evaluated<'a> {
    let mut groups: Vec<(Text<'a>, Vec<Value<'a>>)> = Vec::new();
    for (i, key) in keys.into_iter().enumerate() {
        machine.spend(groups.len())?;
        let Value::Text(key) = key else {
            return Err(EvalError::Argument {
                function: "groupBy",
                wants: "text keys",
                got: key.kind(),
            });
        };
        let item = list.get(i).unwrap_or_default();
        match groups.iter_mut().find(|(k, _)| **k == *key) {
            Some((_, items)) => items.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    let entries = groups
        .into_iter()
        .map(|(key, items)| (key, Value::list(items)))
        .collect();
    Ok(Value::Map(Map::Shared(entries, Missing::Nil)))
}

fn sort<'a>(list: &List<'a>, keys: Vec<Value<'a>>, order: Option<&Value<'a>>) -> Value<'a> {
    let mut pairs: Vec<(Value<'a>, Value<'a>)> = keys.into_iter().zip(list.iter()).collect();
    pairs.sort_by(|(a, _), (b, _)| access::sort_order(a, b));
    if order.and_then(Value::as_str) == Some("desc") {
        pairs.reverse();
    }
    Value::list(pairs.into_iter().map(|(_, item)| item).collect())
}
