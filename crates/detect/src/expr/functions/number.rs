//! Functions on numbers, times and types.

use super::{EvalError, Evaluated, Machine, Value, text, wants};
use crate::expr::{access, compare::number, loops, time, value::List};

fn fail<'a>(function: &'static str, reason: &'static str) -> Evaluated<'a> {
    Err(EvalError::Function { function, reason })
}

pub(super) fn int<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match arguments.first() {
        Some(Value::Int(n) | Value::Duration(n)) => Ok(Value::Int(*n)),
        Some(Value::Float(f)) => Ok(Value::Int(*f as i64)),
        Some(Value::Weekday(n) | Value::Month(n)) => Ok(Value::Int(i64::from(*n))),
        Some(Value::Text(text)) => match text.parse() {
            Ok(n) => Ok(Value::Int(n)),
            Err(_) => fail("int", "the text is not a whole number"),
        },
        other => Err(wants("int", "a number or text", other)),
    }
}

pub(super) fn float<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match arguments.first() {
        Some(Value::Text(text)) => match text.parse() {
            Ok(f) => Ok(Value::Float(f)),
            Err(_) => fail("float", "the text is not a number"),
        },
        Some(value) if number(value).is_some() => {
            Ok(number(value).map_or(Value::Nil, Value::Float))
        }
        other => Err(wants("float", "a number or text", other)),
    }
}

/// Text that is no number is 0.
pub(super) fn atof<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Float(
        text("Atof", arguments, 0)?.parse().unwrap_or(0.0),
    ))
}

fn float_of(function: &'static str, arguments: &[Value<'_>]) -> Result<f64, EvalError> {
    let argument = arguments.first();
    argument
        .and_then(number)
        .ok_or_else(|| wants(function, "a number", argument))
}

pub(super) fn abs<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match arguments.first() {
        Some(Value::Int(n)) => Ok(Value::Int(n.wrapping_abs())),
        _ => Ok(Value::Float(float_of("abs", arguments)?.abs())),
    }
}

pub(super) fn ceil<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Float(float_of("ceil", arguments)?.ceil()))
}

pub(super) fn floor<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Float(float_of("floor", arguments)?.floor()))
}

pub(super) fn round<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Float(float_of("round", arguments)?.round()))
}

/// The numbers of `min(1, 2)` or `min([1, 2])`.
fn numbers<'a>(
    machine: &mut Machine<'_, 'a>,
    function: &'static str,
    arguments: &[Value<'a>],
) -> Result<Vec<Value<'a>>, EvalError> {
    let mut out = Vec::new();
    for argument in arguments {
        let items = match argument {
            Value::List(list) => list.clone(),
            other => List::Shared([other.clone()].into()),
        };
        machine.spend(items.len())?;
        for item in items.iter() {
            if number(&item).is_none() && !matches!(item, Value::Duration(_)) {
                return Err(wants(function, "numbers", Some(&item)));
            }
            out.push(item);
        }
    }
    Ok(out)
}

pub(super) fn max<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let all = numbers(machine, "max", arguments)?;
    Ok(all
        .into_iter()
        .max_by(access::sort_order)
        .unwrap_or_default())
}

pub(super) fn min<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let all = numbers(machine, "min", arguments)?;
    Ok(all
        .into_iter()
        .min_by(access::sort_order)
        .unwrap_or_default())
}

pub(super) fn mean<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let all = numbers(machine, "mean", arguments)?;
    let sum = number(&loops::sum(&all)?).unwrap_or(0.0);
    Ok(Value::Float(if all.is_empty() {
        0.0
    } else {
        sum / all.len() as f64
    }))
}

pub(super) fn median<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let mut all = numbers(machine, "median", arguments)?;
    all.sort_by(access::sort_order);
    let at = |i: usize| all.get(i).and_then(number).unwrap_or(0.0);
    let middle = all.len() / 2;
    Ok(Value::Float(match all.len() % 2 {
        1 => at(middle),
        _ if all.is_empty() => 0.0,
        _ => f64::midpoint(at(middle - 1), at(middle)),
    }))
}

fn whole_pair(function: &'static str, arguments: &[Value<'_>]) -> Result<(i64, i64), EvalError> {
    Ok((
        super::whole(function, arguments, 0)?,
        super::whole(function, arguments, 1)?,
    ))
}

pub(super) fn bitand<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    whole_pair("bitand", arguments).map(|(a, b)| Value::Int(a & b))
}

pub(super) fn bitor<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    whole_pair("bitor", arguments).map(|(a, b)| Value::Int(a | b))
}

pub(super) fn bitxor<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    whole_pair("bitxor", arguments).map(|(a, b)| Value::Int(a ^ b))
}

pub(super) fn bitnot<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    super::whole("bitnot", arguments, 0).map(|a| Value::Int(!a))
}

/// Equal to within a millionth.
pub(super) fn approximately<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let side = |i: usize| {
        let argument = arguments.get(i);
        argument
            .and_then(number)
            .ok_or_else(|| wants("FloatApproxEqual", "a number", argument))
    };
    Ok(Value::Bool((side(0)? - side(1)?).abs() < 1e-6))
}

pub(super) fn duration<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match time::parse_duration(text("duration", arguments, 0)?) {
        Some(nanos) => Ok(Value::Duration(nanos)),
        None => fail("duration", "write a number and a unit, such as 10m"),
    }
}

pub(super) fn date<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match time::parse_date(text("date", arguments, 0)?) {
        Some(time) => Ok(Value::Time(time)),
        None => fail("date", "write it as 2026-01-31 or 2026-01-31T10:00:00Z"),
    }
}

/// Unix seconds (a fraction is cut off) as RFC 3339; `""` when the text is none.
pub(super) fn parse_unix<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("ParseUnix", arguments, 0)?;
    let seconds = of
        .split('.')
        .next()
        .and_then(|s| s.parse::<i64>().ok())
        .filter(|s| *s > 0);
    Ok(match seconds {
        Some(seconds) => Value::shared(model::Timestamp::from_seconds(seconds).to_string()),
        None => Value::text(""),
    })
}

pub(super) fn type_of<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::text(arguments.first().unwrap_or(&Value::Nil).kind()))
}
