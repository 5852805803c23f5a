//! Why a condition did not hold: which of its parts was false, and what the event held there.
//!
//! Asked when somebody wants an explanation, never on the way of a line. Works on the text of the
//! expression: it is cut at its outermost `||` and `&&`, and each part is compiled and evaluated
//! by itself. Must not change anything: what the parts would write is thrown away.

use std::cell::RefCell;

use serde::Serialize;

use super::{
    Env, Vars, compile,
    lexer::{Token, TokenKind, tokens},
};

/// A part of a condition that was not true, and what it read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FalsePart {
    pub text: String,
    /// What it names of the event, and the values these had.
    pub values: Vec<(String, String)>,
    /// Why it has no value, when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Parts told of one condition.
const PARTS_MAX: usize = 8;
/// Nesting of parts within parts; what is deeper is told as a whole.
const DEPTH_MAX: usize = 16;
/// Bytes shown of one value.
const VALUE_BYTES_MAX: usize = 200;

/// The parts that made `source` false in `env`: of a conjunction the first, of alternatives each.
/// Empty when it is true.
pub fn false_parts(source: &str, vars: Vars, env: &Env<'_>) -> Vec<FalsePart> {
    let mut found = Vec::new();
    Asker { vars, env }.look(source.trim(), DEPTH_MAX, &mut found);
    found
}

struct Asker<'a, 'e> {
    vars: Vars,
    env: &'a Env<'e>,
}

impl Asker<'_, '_> {
    fn look(&self, source: &str, depth: usize, found: &mut Vec<FalsePart>) {
        if found.len() >= PARTS_MAX || self.test(source) == Ok(true) {
            return;
        }
        match cut(source) {
            Cut::Any(parts) if depth > 0 => {
                parts
                    .iter()
                    .for_each(|part| self.look(part, depth - 1, found));
            }
            Cut::All(parts) if depth > 0 => {
                // What stands behind the first false part may make no sense without it.
                let first = parts.iter().find(|part| self.test(part) != Ok(true));
                match first {
                    Some(part) => self.look(part, depth - 1, found),
                    None => found.push(self.part(source)),
                }
            }
            Cut::Wrapped(inner) if depth > 0 => self.look(inner, depth - 1, found),
            Cut::Any(_) | Cut::All(_) | Cut::Wrapped(_) | Cut::Whole => {
                found.push(self.part(source));
            }
        }
    }

    fn part(&self, source: &str) -> FalsePart {
        let values = names(source)
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.value(name)?)));
        FalsePart {
            text: source.split_whitespace().collect::<Vec<_>>().join(" "),
            values: values.collect(),
            error: self.test(source).err(),
        }
    }

    fn test(&self, source: &str) -> Result<bool, String> {
        let mut symbols = self.env.symbols.clone();
        let expr = compile(source, self.vars, &mut symbols).map_err(|e| e.message)?;
        let effects = RefCell::default();
        let env = Env {
            symbols: &symbols,
            effects: &effects,
            ..*self.env
        };
        expr.test(&env).map_err(|e| e.to_string())
    }

    fn value(&self, source: &str) -> Option<String> {
        let mut symbols = self.env.symbols.clone();
        let expr = compile(source, self.vars, &mut symbols).ok()?;
        let effects = RefCell::default();
        let env = Env {
            symbols: &symbols,
            effects: &effects,
            ..*self.env
        };
        let value = expr.eval(&env).ok()?;
        let text = match (value.to_static(), &value) {
            (Some(text), super::Value::Text(_)) => format!("'{text}'"),
            (Some(text), _) => text.into_owned(),
            (None, super::Value::Nil) => "nil".to_owned(),
            (None, super::Value::Bool(b)) => b.to_string(),
            (None, _) => return None,
        };
        let kept = text.floor_char_boundary(VALUE_BYTES_MAX);
        Some(match text.get(..kept) {
            Some(head) if kept < text.len() => format!("{head}…"),
            _ => text,
        })
    }
}

enum Cut<'s> {
    Any(Vec<&'s str>),
    All(Vec<&'s str>),
    /// In brackets.
    Wrapped(&'s str),
    Whole,
}

/// Cuts at the outermost operators, the weakest first.
fn cut(source: &str) -> Cut<'_> {
    let Ok(all) = tokens(source) else {
        return Cut::Whole;
    };
    let levels = levels(&all);
    let outer = |mark: &[&str]| -> Vec<&Token> {
        let pairs = all.iter().zip(&levels);
        pairs
            .filter(|(token, level)| **level == 0 && is_mark(token, mark))
            .map(|(token, _)| token)
            .collect()
    };
    // A choice, a default or a variable binds weaker than all that can be cut.
    if !outer(&["?", ":", ";", "|", "="]).is_empty() {
        return Cut::Whole;
    }
    for (marks, any) in [(&["||", "or"], true), (&["&&", "and"], false)] {
        let at = outer(marks);
        if !at.is_empty() {
            let parts = split(source, &at);
            return if any {
                Cut::Any(parts)
            } else {
                Cut::All(parts)
            };
        }
    }
    let inner = source.strip_prefix('(').and_then(|s| s.strip_suffix(')'));
    let last = all.len().saturating_sub(2);
    let closes_last = levels
        .iter()
        .skip(1)
        .take(last.saturating_sub(1))
        .all(|l| *l > 0);
    match inner {
        Some(inner) if closes_last => Cut::Wrapped(inner.trim()),
        _ => Cut::Whole,
    }
}

/// How deep in brackets each token stands; the closing one counts as outside.
fn levels(all: &[Token]) -> Vec<u32> {
    let mut level = 0u32;
    let mut levels = Vec::with_capacity(all.len());
    for token in all {
        if is_mark(token, &[")", "]", "}"]) {
            level = level.saturating_sub(1);
        }
        levels.push(level);
        if is_mark(token, &["(", "[", "{"]) {
            level += 1;
        }
    }
    levels
}

fn is_mark(token: &Token, marks: &[&str]) -> bool {
    matches!(&token.kind, TokenKind::Mark(mark) if marks.contains(mark))
}

fn split<'s>(source: &'s str, at: &[&Token]) -> Vec<&'s str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for token in at {
        let TokenKind::Mark(mark) = token.kind else {
            continue;
        };
        parts.push(source.get(start..token.at).unwrap_or_default().trim());
        start = token.at + mark.len();
    }
    parts.push(source.get(start..).unwrap_or_default().trim());
    parts
}

/// The paths that begin with `evt`, each once.
fn names(source: &str) -> Vec<&str> {
    let Ok(all) = tokens(source) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut rest = all.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if !matches!(&first.kind, TokenKind::Name(name) if name == "evt") {
            continue;
        }
        let mut end = None;
        while let [dot, name, after @ ..] = rest {
            let TokenKind::Name(text) = &name.kind else {
                break;
            };
            // A method is no field.
            if !is_mark(dot, &[".", "?."]) || after.first().is_some_and(|t| is_mark(t, &["("])) {
                break;
            }
            end = Some(name.at + text.len());
            rest = after;
        }
        if let Some(path) = end.and_then(|end| source.get(first.at..end))
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, FieldMap},
        expr::Services,
        symbols::Symbols,
    };

    fn why(source: &str) -> Vec<String> {
        let mut symbols = Symbols::default();
        let mut event = Event::default();
        event.reset("line");
        event.set_field(FieldMap::Meta, symbols.intern("service"), "ssh");
        event.set_field(FieldMap::Parsed, symbols.intern("program"), "sshd");
        let services = Services::default();
        let effects = RefCell::default();
        let env = Env::new(&event, &symbols, &services, &effects);
        let parts = false_parts(source, Vars::Event, &env);
        let told = parts.into_iter().map(|part| {
            let values = part.values.iter().map(|(k, v)| format!(" {k}={v}"));
            part.text + &values.collect::<String>()
        });
        told.collect()
    }

    #[test]
    fn the_first_false_part_of_a_conjunction_is_told() {
        assert_eq!(
            why("evt.Meta.service == 'ssh' && evt.Parsed.program == 'su' && evt.Meta.x == 'y'"),
            ["evt.Parsed.program == 'su' evt.Parsed.program='sshd'"]
        );
        assert!(why("evt.Meta.service == 'ssh' and true").is_empty());
    }

    #[test]
    fn every_alternative_is_told() {
        assert_eq!(
            why("(evt.Meta.service == 'a' || (evt.Meta.service in ['b', 'c || d']))"),
            [
                "evt.Meta.service == 'a' evt.Meta.service='ssh'",
                "evt.Meta.service in ['b', 'c || d'] evt.Meta.service='ssh'"
            ]
        );
    }

    #[test]
    fn what_cannot_be_cut_stays_whole() {
        let choice = "evt.Meta.service == 'ssh' ? false : true";
        assert_eq!(why(choice), [format!("{choice} evt.Meta.service='ssh'")]);
        assert_eq!(why("not (true && true)"), ["not (true && true)"]);
        assert_eq!(why("(false) == (true) && true"), ["(false) == (true)"],);
        assert_eq!(
            why("Upper(evt.Meta.service) startsWith 'X'"),
            ["Upper(evt.Meta.service) startsWith 'X' evt.Meta.service='ssh'"]
        );
    }

    #[test]
    fn a_part_without_a_value_says_why() {
        let mut symbols = Symbols::default();
        let _ = symbols.intern("x");
        let (event, services) = (Event::default(), Services::default());
        let effects = RefCell::default();
        let env = Env::new(&event, &symbols, &services, &effects);
        let parts = false_parts("evt.Unmarshaled.a.b.c == 1", Vars::Event, &env);
        assert_eq!(parts.len(), 1);
        assert!(parts[0].error.is_some(), "{parts:?}");
    }
}
