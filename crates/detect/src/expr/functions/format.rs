//! Go's `fmt`: what `Sprintf` and `string` print.

use super::{EvalError, Evaluated, Machine, Value, text};
use crate::expr::{access, compare::number, time};

/// Widest padding and longest fraction of one verb.
const WIDTH_MAX: usize = 1_024;

pub(super) fn string<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    match arguments.first() {
        Some(Value::Text(text)) => Ok(Value::Text(text.clone())),
        Some(value) => {
            let mut out = String::new();
            write_plain(machine, value, &mut out)?;
            Ok(Value::shared(out))
        }
        None => Ok(Value::text("")),
    }
}

pub(super) fn sprintf<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let format = text("Sprintf", arguments, 0)?;
    machine.spend_text(format.len())?;
    let mut values = arguments.iter().skip(1);
    let mut out = String::new();
    let mut rest: &str = format;
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (verb, len) = Verb::read(rest);
        rest = rest.get(len..).unwrap_or_default();
        let Some(verb) = verb else {
            out.push_str("%!(NOVERB)");
            continue;
        };
        let Some(value) = values.next() else {
            out.push_str(&format!("%!{}(MISSING)", verb.letter));
            continue;
        };
        let start = out.len();
        verb.write(machine, value, &mut out)?;
        verb.pad(&mut out, start);
        machine.spend_text(out.len() - start)?;
    }
    out.push_str(rest);
    let extra: Vec<&Value<'a>> = values.collect();
    if !extra.is_empty() {
        write_extra(machine, &extra, &mut out)?;
    }
    Ok(Value::shared(out))
}

fn write_extra(
    machine: &mut Machine<'_, '_>,
    extra: &[&Value<'_>],
    out: &mut String,
) -> Result<(), EvalError> {
    out.push_str("%!(EXTRA ");
    for (i, value) in extra.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        out.push_str(go_type(value));
        out.push('=');
        write_plain(machine, value, out)?;
    }
    out.push(')');
    Ok(())
}

const fn go_type(value: &Value<'_>) -> &'static str {
    match value {
        Value::Float(_) => "float64",
        Value::Nil => "<nil>",
        other => other.kind(),
    }
}

/// One `%…` of a format.
struct Verb {
    letter: char,
    width: usize,
    precision: Option<usize>,
    left: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
}

impl Verb {
    /// Reads what stands behind a `%`, and how long it is.
    fn read(text: &str) -> (Option<Self>, usize) {
        let mut verb = Self {
            letter: ' ',
            width: 0,
            precision: None,
            left: false,
            plus: false,
            zero: false,
            sharp: false,
        };
        let mut width_seen = false;
        for (at, c) in text.char_indices() {
            match c {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => {}
                '0' if !width_seen && verb.precision.is_none() => verb.zero = true,
                '.' => verb.precision = Some(0),
                '0'..='9' => {
                    let digit = c.to_digit(10).unwrap_or(0) as usize;
                    let field = match &mut verb.precision {
                        Some(precision) => precision,
                        None => {
                            width_seen = true;
                            &mut verb.width
                        }
                    };
                    *field = (*field * 10 + digit).min(WIDTH_MAX);
                }
                letter => {
                    verb.letter = letter;
                    return (Some(verb), at + letter.len_utf8());
                }
            }
        }
        (None, text.len())
    }

    fn write(
        &self,
        machine: &mut Machine<'_, '_>,
        value: &Value<'_>,
        out: &mut String,
    ) -> Result<(), EvalError> {
        if self.plus && number(value).is_some_and(|n| n >= 0.0) && "dfeg".contains(self.letter) {
            out.push('+');
        }
        match (self.letter, value) {
            ('v', Value::Text(text)) if self.sharp => out.push_str(&format!("{:?}", &**text)),
            ('v', _) => write_plain(machine, value, out)?,
            ('s', Value::Text(text)) => match self.precision {
                Some(most) => out.extend(text.chars().take(most)),
                None => out.push_str(text),
            },
            ('s', Value::List(_) | Value::Map(_)) => write_plain(machine, value, out)?,
            ('q', Value::Text(text)) => out.push_str(&format!("{:?}", &**text)),
            ('s', _) if time::write(value).is_some() => write_plain(machine, value, out)?,
            ('d', Value::Int(n) | Value::Duration(n)) => out.push_str(&n.to_string()),
            ('x', Value::Int(n)) => out.push_str(&format!("{n:x}")),
            ('X', Value::Int(n)) => out.push_str(&format!("{n:X}")),
            ('o', Value::Int(n)) => out.push_str(&format!("{n:o}")),
            ('b', Value::Int(n)) => out.push_str(&format!("{n:b}")),
            ('c', Value::Int(n)) => {
                out.push(
                    u32::try_from(*n)
                        .ok()
                        .and_then(char::from_u32)
                        .unwrap_or('\u{fffd}'),
                );
            }
            ('x', Value::Text(text)) => {
                text.bytes().for_each(|b| out.push_str(&format!("{b:02x}")));
            }
            ('X', Value::Text(text)) => {
                text.bytes().for_each(|b| out.push_str(&format!("{b:02X}")));
            }
            ('f' | 'F', Value::Float(f)) => {
                out.push_str(&format!("{f:.*}", self.precision.unwrap_or(6)));
            }
            ('e', Value::Float(f)) => {
                out.push_str(&exponential(*f, Some(self.precision.unwrap_or(6))));
            }
            ('g', Value::Float(f)) => out.push_str(&float(*f)),
            ('t', Value::Bool(b)) => out.push_str(&b.to_string()),
            ('T', _) => out.push_str(go_type(value)),
            (letter, _) => {
                out.push_str(&format!("%!{letter}({}=", go_type(value)));
                write_plain(machine, value, out)?;
                out.push(')');
            }
        }
        Ok(())
    }

    /// Fills up what was written from `start` on to the verb's width.
    fn pad(&self, out: &mut String, start: usize) {
        let written = out.get(start..).map_or(0, |text| text.chars().count());
        let missing = self.width.saturating_sub(written);
        if missing == 0 {
            return;
        }
        if self.left {
            out.push_str(&" ".repeat(missing));
        } else if self.zero && !"sqvt".contains(self.letter) {
            let sign = usize::from(out.get(start..).is_some_and(|t| t.starts_with(['-', '+'])));
            out.insert_str(start + sign, &"0".repeat(missing));
        } else {
            out.insert_str(start, &" ".repeat(missing));
        }
    }
}

/// `%v`.
fn write_plain(
    machine: &mut Machine<'_, '_>,
    value: &Value<'_>,
    out: &mut String,
) -> Result<(), EvalError> {
    machine.spend(1)?;
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Text(text) => {
            machine.spend_text(text.len())?;
            out.push_str(text);
        }
        Value::List(list) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                write_plain(machine, &item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut entries = access::entries(machine.env, map);
            entries.sort_by_cached_key(|(key, _)| key.to_string());
            out.push_str("map[");
            for (i, (key, item)) in entries.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_plain(machine, item, out)?;
            }
            out.push(']');
        }
        other => out.push_str(time::write(other).as_deref().unwrap_or("{…}")),
    }
    Ok(())
}

/// A float as Go's `%v`: shortest digits, with an exponent below 1e-4 and from 1e6 on.
pub(super) fn float(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    if f == 0.0 {
        return if f.is_sign_negative() {
            "-0".into()
        } else {
            "0".into()
        };
    }
    let scientific = format!("{f:e}");
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or(0);
    if (-4..6).contains(&exponent) {
        format!("{f}")
    } else {
        exponential(f, None)
    }
}

/// Go writes at least two digits of exponent, with its sign.
fn exponential(f: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{f:.precision$e}"),
        None => format!("{f:e}"),
    };
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
pub(super) fn plain(machine: &mut Machine<'_, '_>, value: &Value<'_>) -> String {
    let mut out = String::new();
    match write_plain(machine, value, &mut out) {
        Ok(()) => out,
        Err(e) => format!("error: {e}"),
    }
}
