//! How far a grok pattern gets in a text that it does not match, for explanations.
//!
//! A pattern is a row of parts. If its first parts match together, so do fewer of them, so the most
//! that match are found by halving. Costs some compilations: never on the way of a line.

use std::collections::BTreeMap;

use regex_automata::meta;
use regex_syntax::hir::{Hir, HirKind, Look};
use serde::Serialize;

use crate::{grok, patterns::Library};

/// How far a pattern got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// What the parts that matched stand for; empty when none did.
    pub matched: String,
    /// The text behind it, where the next part should have stood.
    pub rest: String,
    /// The part that was wanted there.
    pub wanted: String,
}

/// Bytes shown of each.
const SHOWN_BYTES_MAX: usize = 80;
/// Parts of one pattern that are looked at.
const PARTS_MAX: usize = 1_024;

/// `None` when the pattern matches or does not compile.
pub(crate) fn reach(pattern: &str, library: &Library, text: &str) -> Option<Reach> {
    let (hir, groups) = grok::outline(pattern, library)?;
    let names: BTreeMap<String, String> = groups.into_iter().collect();
    let mut parts = Vec::new();
    flatten(&hir, &mut parts);
    if parts.len() > PARTS_MAX {
        return None;
    }
    let (mut good, mut bad) = (0, parts.len());
    if find(&parts, text).is_some() {
        return None;
    }
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        match parts.get(..middle).and_then(|first| find(first, text)) {
            Some(_) => good = middle,
            None => bad = middle,
        }
    }
    let range = parts.get(..good).and_then(|first| find(first, text));
    let range = range.filter(|_| good > 0).unwrap_or(0..0);
    Some(Reach {
        matched: tail(text.get(range.clone())?),
        rest: head(text.get(range.end..)?),
        wanted: parts.get(good).map(|part| word(part, &names))?,
    })
}

fn flatten(hir: &Hir, parts: &mut Vec<Hir>) {
    match hir.kind() {
        HirKind::Concat(inner) => inner.iter().for_each(|part| flatten(part, parts)),
        _ => parts.push(hir.clone()),
    }
}

fn find(parts: &[Hir], text: &str) -> Option<std::ops::Range<usize>> {
    let whole = Hir::concat(parts.to_vec());
    let regex = meta::Regex::builder().build_from_hir(&whole).ok()?;
    regex.find(text).map(|found| found.range())
}

fn word(part: &Hir, names: &BTreeMap<String, String>) -> String {
    match part.kind() {
        HirKind::Literal(text) => format!("`{}`", head(&String::from_utf8_lossy(&text.0))),
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) => "the end".to_owned(),
        HirKind::Look(Look::Start | Look::StartLF | Look::StartCRLF) => "the beginning".to_owned(),
        HirKind::Capture(capture) => match capture.name.as_deref().and_then(|n| names.get(n)) {
            Some(name) => format!("the field {name}"),
            None => word(&capture.sub, names),
        },
        _ => format!("/{}/", head(&part.to_string())),
    }
}

fn head(text: &str) -> String {
    let kept = text.floor_char_boundary(SHOWN_BYTES_MAX);
    match text.get(..kept) {
        Some(head) if kept < text.len() => format!("{head}…"),
        _ => text.to_owned(),
    }
}

fn tail(text: &str) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(SHOWN_BYTES_MAX));
    match text.get(from..) {
        Some(tail) if from > 0 => format!("…{tail}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pattern: &str, text: &str) -> Option<(String, String, String)> {
        let found = reach(pattern, &Library::standard(), text)?;
        Some((found.matched, found.rest, found.wanted))
    }

    #[test]
    fn the_longest_part_that_matched_is_told() {
        let pattern = "^Failed password for %{USERNAME:user} from %{IP:ip} port %{INT:port}$";
        let is = |text: &str, matched: &str, rest: &str, wanted: &str| {
            let expected = (matched.to_owned(), rest.to_owned(), wanted.to_owned());
            assert_eq!(told(pattern, text), Some(expected), "{text}");
        };
        let good = "Failed password for root from 203.0.113.9 port 4";
        assert_eq!(told(pattern, good), None);
        let part = "Failed password for root from 203.0.113.9 port 4";
        is(&format!("{good} ssh2"), part, " ssh2", "the end");
        is(
            "Failed password for root by 203.0.113.9",
            "Failed password for root",
            " by 203.0.113.9",
            "` from `",
        );
        is(
            "Failed password for root from nowhere",
            "Failed password for root from ",
            "nowhere",
            "the field ip",
        );
        is("Accepted", "", "Accepted", "`Failed password for `");
    }

    #[test]
    fn a_pattern_that_does_not_compile_tells_nothing() {
        assert_eq!(told("%{NO_SUCH_THING:x}", "a"), None);
        assert_eq!(told("(", "a"), None);
    }
}
