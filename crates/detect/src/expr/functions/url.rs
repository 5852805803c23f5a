//! Functions on URLs: escaping and query parameters, by Go's rules.

use std::borrow::Cow;

use super::{Evaluated, Machine, Value, text};
use crate::expr::value::{Map, Missing, Text};

/// What `%XX` and `+` mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Path,
    /// `+` is a space.
    Query,
}

pub(super) fn path_unescape<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    unescaped(machine, arguments, Mode::Path)
}

pub(super) fn query_unescape<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    unescaped(machine, arguments, Mode::Query)
}

/// Text with a broken escape stays as it is.
fn unescaped<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
    mode: Mode,
) -> Evaluated<'a> {
    let of = text("unescape", arguments, 0)?;
    machine.spend_text(of.len())?;
    Ok(match unescape(of, mode) {
        Some(Cow::Owned(done)) => Value::shared(done),
        _ => Value::Text(of.clone()),
    })
}

fn unescape(text: &str, mode: Mode) -> Option<Cow<'_, str>> {
    if !text.contains('%') && (mode == Mode::Path || !text.contains('+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if mode == Mode::Query => out.push(b' '),
            other => out.push(other),
        }
    }
    Some(Cow::Owned(String::from_utf8(out).unwrap_or_else(|e| {
        String::from_utf8_lossy(e.as_bytes()).into_owned()
    })))
}

pub(super) fn path_escape<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    escaped(machine, arguments, Mode::Path)
}

pub(super) fn query_escape<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    escaped(machine, arguments, Mode::Query)
}

fn escaped<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
    mode: Mode,
) -> Evaluated<'a> {
    let of = text("escape", arguments, 0)?;
    machine.spend_text(of.len().saturating_mul(3))?;
    let mut out = String::with_capacity(of.len());
    for byte in of.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b'$' | b'&' | b'+' | b':' | b'=' | b'@' if mode == Mode::Path => {
                out.push(char::from(byte));
            }
            b' ' if mode == Mode::Query => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(Value::shared(out))
}

/// The query's names and values in order; `None` when an escape is broken, as Go has it.
fn query(uri: &str) -> Option<Vec<(String, String)>> {
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    let Some((_, query)) = uri.split_once('?') else {
        return Some(Vec::new());
    };
    let decode = |text| unescape(text, Mode::Query).map(Cow::into_owned);
    let mut out = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        if pair.contains(';') {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        out.push((decode(name)?, decode(value)?));
    }
    Some(out)
}

/// `ParseUri(uri)`: a map of the query's parameters to lists of values.
pub(super) fn parse<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let uri = text("ParseUri", arguments, 0)?;
    machine.spend(1 + uri.len() / 4)?;
    let mut entries: Vec<(String, Vec<Value<'a>>)> = Vec::new();
    for (name, value) in query(uri).unwrap_or_default() {
        machine.spend(1 + entries.len())?;
        match entries.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(Value::shared(value)),
            None => entries.push((name, vec![Value::shared(value)])),
        }
    }
    let entry = |(name, values): (String, _)| (Text::Shared(name.into()), Value::list(values));
    Ok(Value::Map(Map::Shared(
        entries.into_iter().map(entry).collect(),
        Missing::Nil,
    )))
}

/// `ExtractQueryParam(uri, name)`: the list of the parameter's values.
pub(super) fn parameter<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let uri = text("ExtractQueryParam", arguments, 0)?;
    let name = text("ExtractQueryParam", arguments, 1)?;
    machine.spend(1 + uri.len() / 4)?;
    let all = query(uri).unwrap_or_default().into_iter();
    Ok(Value::list(
        all.filter(|(n, _)| **n == **name)
            .map(|(_, v)| Value::shared(v))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_both_ways() {
        assert_eq!(unescape("a%20b+c", Mode::Path).as_deref(), Some("a b+c"));
        assert_eq!(unescape("a%20b+c", Mode::Query).as_deref(), Some("a b c"));
        assert_eq!(unescape("%zz", Mode::Path), None);
        assert_eq!(unescape("100%", Mode::Path), None);
        assert_eq!(unescape("%ff", Mode::Path).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn queries() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            query("/x?a=1&b=%20&a=2&c#f?z=1").unwrap(),
            [
                pair("a", "1"),
                pair("b", " "),
                pair("a", "2"),
                pair("c", "")
            ]
        );
        assert_eq!(query("/x").unwrap(), []);
        assert!(query("/x?a=%z").is_none());
    }
}
