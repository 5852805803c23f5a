//! Functions on text.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{EvalError, Evaluated, Machine, Value, part, text, whole};

pub(super) fn lower<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("lower", arguments, 0)?;
    machine.spend_text(of.len())?;
    if !of.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
        return Ok(Value::Text(of.clone()));
    }
    Ok(Value::shared(if of.is_ascii() {
        of.to_ascii_lowercase()
    } else {
        of.to_lowercase()
    }))
}

pub(super) fn upper<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("upper", arguments, 0)?;
    machine.spend_text(of.len())?;
    if !of.bytes().any(|b| b.is_ascii_lowercase() || !b.is_ascii()) {
        return Ok(Value::Text(of.clone()));
    }
    // Go maps character by character: ß stays ß.
    let upper = |c: char| {
        let mut all = c.to_uppercase();
        match (all.next(), all.next()) {
            (Some(one), None) => one,
            _ => c,
        }
    };
    Ok(Value::shared(if of.is_ascii() {
        of.to_ascii_uppercase()
    } else {
        of.chars().map(upper).collect()
    }))
}

/// What trimming functions cut: the given characters, or white space.
fn trimmed<'a>(
    arguments: &[Value<'a>],
    function: &'static str,
    cut: for<'t> fn(&'t str, &dyn Fn(char) -> bool) -> &'t str,
) -> Evaluated<'a> {
    let of = text(function, arguments, 0)?;
    if arguments.len() == 1 {
        return Ok(part(of, cut(of, &char::is_whitespace)));
    }
    let set = text(function, arguments, 1)?;
    Ok(part(of, cut(of, &|c| set.contains(c))))
}

pub(super) fn trim<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    spend_trim(machine, arguments)?;
    trimmed(arguments, "trim", |text, is| text.trim_matches(is))
}

pub(super) fn trim_left<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    spend_trim(machine, arguments)?;
    trimmed(arguments, "TrimLeft", |text, is| {
        text.trim_start_matches(is)
    })
}

pub(super) fn trim_right<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    spend_trim(machine, arguments)?;
    trimmed(arguments, "TrimRight", |text, is| text.trim_end_matches(is))
}

// The set is searched once per character cut.
fn spend_trim(machine: &mut Machine<'_, '_>, arguments: &[Value<'_>]) -> Result<(), EvalError> {
    let set = arguments.get(1).and_then(Value::as_str).map_or(1, str::len);
    let of = arguments
        .first()
        .and_then(Value::as_str)
        .map_or(0, str::len);
    machine.spend(1 + (of / 64).saturating_mul(1 + set / 16))
}

pub(super) fn trim_prefix<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("trimPrefix", arguments, 0)?;
    let prefix = if arguments.len() == 1 {
        " "
    } else {
        text("trimPrefix", arguments, 1)?
    };
    Ok(part(of, of.strip_prefix(prefix).unwrap_or(of)))
}

pub(super) fn trim_suffix<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("trimSuffix", arguments, 0)?;
    let suffix = if arguments.len() == 1 {
        " "
    } else {
        text("trimSuffix", arguments, 1)?
    };
    Ok(part(of, of.strip_suffix(suffix).unwrap_or(of)))
}

pub(super) fn has_prefix<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (of, prefix) = (
        text("hasPrefix", arguments, 0)?,
        text("hasPrefix", arguments, 1)?,
    );
    Ok(Value::Bool(of.starts_with(&**prefix)))
}

pub(super) fn has_suffix<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (of, suffix) = (
        text("hasSuffix", arguments, 0)?,
        text("hasSuffix", arguments, 1)?,
    );
    Ok(Value::Bool(of.ends_with(&**suffix)))
}

fn position<'a>(at: Option<usize>) -> Value<'a> {
    Value::Int(at.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX)))
}

pub(super) fn index_of<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (of, part) = (
        text("indexOf", arguments, 0)?,
        text("indexOf", arguments, 1)?,
    );
    machine.spend_search(of.len())?;
    Ok(position(of.find(&**part)))
}

pub(super) fn last_index_of<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (of, part) = (
        text("lastIndexOf", arguments, 0)?,
        text("lastIndexOf", arguments, 1)?,
    );
    machine.spend_search(of.len())?;
    Ok(position(of.rfind(&**part)))
}

pub(super) fn index_any<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (of, set) = (
        text("IndexAny", arguments, 0)?,
        text("IndexAny", arguments, 1)?,
    );
    spend_trim(machine, arguments)?;
    Ok(position(of.find(|c| set.contains(c))))
}

pub(super) fn split<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    pieces(machine, "Split", arguments, -1, Keep::Nothing)
}

/// `split(text, separator)` and `SplitN(text, separator, n)`.
pub(super) fn split_n<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let n = if arguments.len() > 2 {
        whole("SplitN", arguments, 2)?
    } else {
        -1
    };
    pieces(machine, "SplitN", arguments, n, Keep::Nothing)
}

pub(super) fn split_after<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    pieces(machine, "SplitAfter", arguments, -1, Keep::Separator)
}

pub(super) fn split_after_n<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let n = if arguments.len() > 2 {
        whole("SplitAfterN", arguments, 2)?
    } else {
        -1
    };
    pieces(machine, "SplitAfterN", arguments, n, Keep::Separator)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Separator,
}

/// Go's split: `n` pieces at most, all when negative; an empty separator splits at characters.
fn pieces<'a>(
    machine: &mut Machine<'_, 'a>,
    function: &'static str,
    arguments: &[Value<'a>],
    n: i64,
    keep: Keep,
) -> Evaluated<'a> {
    let (of, separator) = (text(function, arguments, 0)?, text(function, arguments, 1)?);
    machine.spend_search(of.len())?;
    let most = if n < 0 {
        usize::MAX
    } else {
        usize::try_from(n).unwrap_or(usize::MAX)
    };
    let mut out = Vec::new();
    let mut rest: &str = of;
    while out.len() + 1 < most {
        let (end, next) = if separator.is_empty() {
            let Some(c) = rest.chars().next() else { break };
            if rest.len() == c.len_utf8() {
                break;
            }
            (c.len_utf8(), c.len_utf8())
        } else {
            let Some(at) = rest.find(&**separator) else {
                break;
            };
            let next = at + separator.len();
            (if keep == Keep::Separator { next } else { at }, next)
        };
        machine.spend(4)?;
        out.push(part(of, rest.get(..end).unwrap_or_default()));
        rest = rest.get(next..).unwrap_or_default();
    }
    if most > 0 && !(separator.is_empty() && of.is_empty()) {
        out.push(part(of, rest));
    }
    Ok(Value::list(out))
}

pub(super) fn fields<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("Fields", arguments, 0)?;
    machine.spend(1 + of.len() / 4)?;
    Ok(Value::list(
        of.split_whitespace().map(|word| part(of, word)).collect(),
    ))
}

pub(super) fn replace_all<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    replaced(machine, arguments, usize::MAX)
}

/// `replace(text, old, new)` and `Replace(text, old, new, n)`.
pub(super) fn replace_some<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let n = if arguments.len() > 3 {
        whole("replace", arguments, 3)?
    } else {
        -1
    };
    replaced(machine, arguments, usize::try_from(n).unwrap_or(usize::MAX))
}

fn replaced<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
    most: usize,
) -> Evaluated<'a> {
    let of = text("replace", arguments, 0)?;
    let (old, new) = (
        text("replace", arguments, 1)?,
        text("replace", arguments, 2)?,
    );
    machine.spend_search(of.len())?;
    let count = of.matches(&**old).take(most).count();
    if count == 0 {
        return Ok(Value::Text(of.clone()));
    }
    machine.spend_text(of.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::shared(of.replacen(&**old, new, count)))
}

pub(super) fn repeat<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("repeat", arguments, 0)?;
    let count =
        usize::try_from(whole("repeat", arguments, 1)?).map_err(|_| EvalError::Function {
            function: "repeat",
            reason: "the count is negative",
        })?;
    machine.spend_text(of.len().saturating_mul(count))?;
    Ok(Value::shared(of.repeat(count)))
}

pub(super) fn base64_decode<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let of = text("B64Decode", arguments, 0)?;
    machine.spend_text(of.len())?;
    match STANDARD.decode(of.as_bytes()) {
        Ok(bytes) => Ok(Value::shared(String::from_utf8_lossy(&bytes))),
        Err(_) => Err(EvalError::Function {
            function: "B64Decode",
            reason: "the text is not base64",
        }),
    }
}

pub(super) fn base64_encode<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let of = text("toBase64", arguments, 0)?;
    machine.spend_text(of.len())?;
    Ok(Value::shared(STANDARD.encode(of.as_bytes())))
}

/// Text is itself, everything else is empty.
pub(super) fn to_string<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(match arguments.first() {
        Some(Value::Text(text)) => Value::Text(text.clone()),
        _ => Value::text(""),
    })
}

pub(super) fn base_name<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let of = text("basename", arguments, 0)?;
    let trimmed = of.trim_end_matches('/');
    Ok(match trimmed.rsplit('/').next() {
        Some("") | None if of.is_empty() => Value::text("."),
        Some("") | None => Value::text("/"),
        Some(name) => part(of, name),
    })
}

/// `Match(pattern, text)`: `*` is any text, `?` one byte.
pub(super) fn glob<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (pattern, of) = (text("Match", arguments, 0)?, text("Match", arguments, 1)?);
    machine.spend(1 + (pattern.len() / 8).saturating_mul(of.len() / 8))?;
    Ok(Value::Bool(glob_matches(pattern.as_bytes(), of.as_bytes())))
}

/// Greedy with one way back, so the work is at most pattern times text.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => {}
            Some(same) if same == byte => {}
            _ => match &mut back {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                    continue;
                }
                None => return false,
            },
        }
        p += 1;
        t += 1;
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, is) in [
            ("*.php", "/a/b.php", true),
            ("*.php", "/a/b.php5", false),
            ("a?c*", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(
                glob_matches(pattern.as_bytes(), text.as_bytes()),
                is,
                "{pattern} {text}"
            );
        }
    }
}
