//! `key=value` texts, as `ParseKV` and `ParseKVLax` read them.

use std::borrow::Cow;

/// Pairs of `ParseKV`: keys without white space and `=`; values bare up to white space or `=`, or
/// quoted with their escapes left in.
pub(in crate::expr) fn pairs(text: &str) -> Vec<(&str, Cow<'_, str>)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = word(text, at);
        let end = at + len;
        if len == 0 || bytes.get(end) != Some(&b'=') {
            // Not a key: go on behind the character that ended it.
            at = end
                + text
                    .get(end..)
                    .and_then(|r| r.chars().next())
                    .map_or(1, char::len_utf8);
            continue;
        }
        let key = text.get(at..end).unwrap_or_default();
        let (value, next) = value(text, end + 1);
        out.push((key, Cow::Borrowed(value)));
        at = next;
    }
    out
}

/// The length of the run of characters that are neither white space nor `=`.
fn word(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.find(|c: char| c == '=' || is_space(c))
        .unwrap_or(rest.len())
}

/// `\s` of RE2.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// The value at `at` and where to go on.
fn value(text: &str, at: usize) -> (&str, usize) {
    if text.as_bytes().get(at) == Some(&b'"')
        && let Some(end) = quote_end(text.as_bytes(), at + 1)
    {
        return (text.get(at + 1..end).unwrap_or_default(), end + 1);
    }
    let len = word(text, at);
    if len > 0 {
        return (text.get(at..at + len).unwrap_or_default(), at + len);
    }
    let rest = text.get(at..).unwrap_or_default();
    (
        "",
        at + rest.len() - rest.trim_start_matches(is_space).len(),
    )
}

/// Where the quoted text that starts at `at` ends; a backslash hides the next character.
fn quote_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' if bytes.get(at + 1)? == &b'\n' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Pairs of `ParseKVLax`: a value goes on until the next `key=` outside of quotes.
pub(in crate::expr) fn pairs_lax(text: &str) -> Vec<(&str, Cow<'_, str>)> {
    let keys = lax_keys(text);
    let mut out = Vec::with_capacity(keys.len());
    for (i, (start, end)) in keys.iter().enumerate() {
        let value_end = keys.get(i + 1).map_or(text.len(), |(next, _)| *next);
        let key = text.get(*start..*end).unwrap_or_default();
        let value = text.get(end + 1..value_end).unwrap_or_default().trim();
        out.push((key, lax_value(value)));
    }
    out
}

/// Where each `key=` outside of quotes starts and where its `=` stands.
fn lax_keys(text: &str) -> Vec<(usize, usize)> {
    let mut keys = Vec::new();
    let mut start: Option<usize> = None;
    let (mut quoted, mut escaped) = (false, false);
    let mut start_quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && !escaped;
        let is_start = byte.is_ascii_alphabetic() || byte == b'_';
        let is_part = is_start || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        match start {
            Some(from) if byte == b'=' => {
                if !start_quoted {
                    keys.push((from, at));
                }
                start = None;
            }
            Some(_) if is_part => {}
            _ if is_start => {
                start = Some(at);
                start_quoted = quoted;
            }
            _ => start = None,
        }
    }
    keys
}

fn lax_value(value: &str) -> Cow<'_, str> {
    let Some(body) = value.strip_prefix('"') else {
        return Cow::Borrowed(value);
    };
    match body.strip_suffix('"') {
        Some(body) if body.contains('\\') => {
            Cow::Owned(body.replace("\\\\", "\\").replace("\\\"", "\""))
        }
        Some(body) => Cow::Borrowed(body),
        None => Cow::Borrowed(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> Vec<(&str, String)> {
        pairs(text)
            .into_iter()
            .map(|(k, v)| (k, v.into_owned()))
            .collect()
    }

    #[test]
    fn strict_pairs() {
        assert_eq!(
            strict(r#"a=1 b="x y" c= d"#),
            [("a", "1".into()), ("b", "x y".into()), ("c", "".into())]
        );
        assert_eq!(
            strict(r#"m="a \" b" k=v"#),
            [("m", "a \\\" b".into()), ("k", "v".into())]
        );
        assert_eq!(
            strict("IN=eth0 OUT= MAC=aa:bb DF x"),
            [
                ("IN", "eth0".into()),
                ("OUT", "".into()),
                ("MAC", "aa:bb".into())
            ]
        );
        assert_eq!(strict("a=b=c"), [("a", "b".into())]);
        assert_eq!(
            strict(r#"a="open x=1"#),
            [("a", "\"open".into()), ("x", "1".into())]
        );
        assert_eq!(strict("é=ü =x nothing"), [("é", "ü".into())]);
    }

    #[test]
    fn lax_pairs() {
        let lax = |text| -> Vec<(String, String)> {
            pairs_lax(text)
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.into_owned()))
                .collect()
        };
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(
            lax(r#"msg=two words act=drop q="a=b \"c\"" 9x=1"#),
            [
                pair("msg", "two words"),
                pair("act", "drop"),
                pair("q", r#"a=b \"c\"" 9"#),
                pair("x", "1"),
            ]
        );
        assert_eq!(
            lax(r#"q="a=b \"c\"" z="open"#),
            [pair("q", r#"a=b "c""#), pair("z", "open")]
        );
        assert!(lax("nothing here").is_empty());
    }
}
