//! Operators on values: equality, order, membership, arithmetic.

use super::{
    EvalError,
    ast::Binary,
    eval::{Evaluated, Machine},
    value::{Map, Value},
};
use crate::expr::access;

/// `==`: numbers by value, lists and maps by content, different types are unequal.
pub(super) fn equal(
    machine: &mut Machine<'_, '_>,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<bool, EvalError> {
    machine.spend(1)?;
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => **a == **b,
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Weekday(a), Value::Weekday(b)) | (Value::Month(a), Value::Month(b)) => a == b,
        (Value::Weekday(a) | Value::Month(a), Value::Int(b))
        | (Value::Int(b), Value::Weekday(a) | Value::Month(a)) => i64::from(*a) == *b,
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            number(left) == number(right)
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(machine, &a, &b)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => return maps_equal(machine, a, b),
        _ => false,
    })
}

fn maps_equal(
    machine: &mut Machine<'_, '_>,
    left: &Map<'_>,
    right: &Map<'_>,
) -> Result<bool, EvalError> {
    let entries = access::entries(machine.env, left);
    if entries.len() != access::entries(machine.env, right).len() {
        return Ok(false);
    }
    for (key, value) in entries {
        let Some(other) = access::get(machine.env, right, &key, None) else {
            return Ok(false);
        };
        if !equal(machine, &value, &other)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) const fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

pub(super) fn ordered(op: Binary, left: &Value<'_>, right: &Value<'_>) -> Result<bool, EvalError> {
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some((**a).cmp(&**b)),
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            match (number(left), number(right)) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            }
        }
        _ => return Err(operands(op, left, right)),
    };
    Ok(match op {
        Binary::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Binary::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Binary::More => order.is_some_and(std::cmp::Ordering::is_gt),
        _ => order.is_some_and(std::cmp::Ordering::is_ge),
    })
}

const fn operands(op: Binary, left: &Value<'_>, right: &Value<'_>) -> EvalError {
    EvalError::Operands {
        operator: op.symbol(),
        left: left.kind(),
        right: right.kind(),
    }
}

/// `in`: an element of a list, or a key of a map.
pub(super) fn is_in(
    machine: &mut Machine<'_, '_>,
    left: &Value<'_>,
    right: &Value<'_>,
) -> Result<bool, EvalError> {
    match right {
        Value::Nil => Ok(false),
        Value::List(list) => {
            for item in list.iter() {
                if equal(machine, left, &item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => Ok(left
            .as_str()
            .is_some_and(|key| access::get(machine.env, map, key, None).is_some())),
        Value::Object(object) => match object.0.length() {
            Some(len) => {
                for item in (0..len).filter_map(|i| object.0.item(i)) {
                    if equal(machine, left, &item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            None => Ok(left
                .as_str()
                .is_some_and(|key| object.0.member(key).is_some())),
        },
        other => Err(operands(Binary::In, left, other)),
    }
}

/// `+` of everything but texts.
pub(super) fn plus<'a>(left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    Ok(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.wrapping_add(*b)),
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.wrapping_add(*b)),
        (Value::Time(t), Value::Duration(d)) | (Value::Duration(d), Value::Time(t)) => {
            Value::Time(model::Timestamp::from_nanos(t.nanos().saturating_add(*d)))
        }
        _ => match (number(left), number(right)) {
            (Some(a), Some(b)) => Value::Float(a + b),
            _ => {
                let (left, right) = (left.kind(), right.kind());
                return Err(EvalError::Operands {
                    operator: "+",
                    left,
                    right,
                });
            }
        },
    })
}

pub(super) fn arithmetic<'a>(op: Binary, left: &Value<'a>, right: &Value<'a>) -> Evaluated<'a> {
    match (op, left, right) {
        (Binary::Subtract, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_sub(*b))),
        (Binary::Multiply, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_mul(*b))),
        (Binary::Remainder, Value::Int(_), Value::Int(0)) => Err(EvalError::DivisionByZero),
        (Binary::Remainder, Value::Int(a), Value::Int(b)) => Ok(Value::Int(a.wrapping_rem(*b))),
        (Binary::Subtract, Value::Time(a), Value::Time(b)) => {
            Ok(Value::Duration(a.nanos().saturating_sub(b.nanos())))
        }
        (Binary::Subtract, Value::Time(t), Value::Duration(d)) => Ok(Value::Time(
            model::Timestamp::from_nanos(t.nanos().saturating_sub(*d)),
        )),
        (Binary::Subtract, Value::Duration(a), Value::Duration(b)) => {
            Ok(Value::Duration(a.wrapping_sub(*b)))
        }
        (Binary::Multiply, Value::Duration(d), Value::Int(n))
        | (Binary::Multiply, Value::Int(n), Value::Duration(d)) => {
            Ok(Value::Duration(d.wrapping_mul(*n)))
        }
        _ => match (op, number(left), number(right)) {
            (Binary::Subtract, Some(a), Some(b)) => Ok(Value::Float(a - b)),
            (Binary::Multiply, Some(a), Some(b)) => Ok(Value::Float(a * b)),
            (Binary::Divide, Some(a), Some(b)) => Ok(Value::Float(a / b)),
            (Binary::Power, Some(a), Some(b)) => Ok(Value::Float(a.powf(b))),
            _ => Err(operands(op, left, right)),
        },
    }
}
