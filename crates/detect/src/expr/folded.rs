//! Literals that must stand in some field for an expression to be true, whatever their case.
//!
//! Hundreds of rules ask whether one of a few fields contains one of a few texts, most of them
//! through `Upper` or `Lower`. What this finds lets an index look for all of their texts in one
//! pass. Only sure facts count, as in [`super::analysis`]: a text left out would cost an attack.

use super::{
    line_test::LineTest,
    lists::{Fits, Patterns},
    node::{LoopKind, Node},
    services::{DataFile, DataFiles},
};
use crate::{event::FieldMap, literals, symbols::Sym};

/// One of `texts` stands in the lower-cased field, or the field is not ASCII. The texts are
/// lower-case ASCII and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) map: FieldMap,
    pub(crate) sym: Sym,
    pub(crate) texts: Vec<String>,
}

/// One of these places holds.
pub(crate) type Places = Vec<Place>;

/// Texts of one fact; more are not worth an automaton's memory.
const TEXTS_MAX: usize = 2_000;
/// Texts of one list of patterns; a longer list is faster asked as one and remembered.
const PATTERN_TEXTS_MAX: usize = 200;

/// The most telling fact of a condition being true, or having been so far that it wrote anything
/// into the event.
pub(super) fn places(node: &Node, data: &DataFiles) -> Option<Places> {
    match node {
        Node::And(items) => {
            // What stands behind a part that may write is asked too late.
            let sure = items.iter().position(|item| !is_pure(item));
            let sure = sure.map_or(items.len(), |at| at + 1);
            let known = items.iter().take(sure);
            // Values are known of as such: see `Requirements::equals`.
            let is_value = |item: &&Node| matches!(item, Node::FieldEqual(..) | Node::FieldIn(..));
            known
                .filter(|item| !is_value(item))
                .filter_map(|item| places(item, data))
                .max_by_key(worth)
        }
        Node::Or(items) => {
            if !items.iter().all(is_pure) {
                return None;
            }
            let mut all = Places::new();
            for item in items
                .iter()
                .filter(|item| !matches!(item, Node::Bool(false)))
            {
                all.extend(places(item, data)?);
            }
            of_size(all)
        }
        Node::FieldEqual(map, sym, text) => place(*map, *sym, [&**text]),
        Node::FieldIn(map, sym, texts) => place(*map, *sym, texts.iter().map(|text| &**text)),
        Node::Equal(sides) => match &**sides {
            (field, Node::Text(text)) | (Node::Text(text), field) => of_field(field, vec![text]),
            _ => None,
        },
        Node::InTexts(of, texts) => of_field(of, texts.iter().map(|text| &**text).collect()),
        Node::ContainsText(parts) => {
            of_field(&parts.0, vec![std::str::from_utf8(parts.1.needle()).ok()?])
        }
        Node::StartsWithText(parts) | Node::EndsWithText(parts) => {
            of_field(&parts.0, vec![&parts.1])
        }
        Node::Matches(parts) => {
            let texts = required(parts.1.as_str())?;
            of_field(&parts.0, texts.iter().map(String::as_str).collect())
        }
        Node::Choice(parts) if matches!(parts.2, Node::Bool(false)) => {
            let test = places(&parts.0, data);
            let yes = places(&parts.1, data).filter(|_| is_pure(&parts.0));
            test.into_iter().chain(yes).max_by_key(worth)
        }
        Node::Loop(of) if of.kind == LoopKind::Any => of_lines(of.shortcut.as_deref()?, data),
        Node::Call(function, arguments) => match (function.name, &**arguments) {
            ("RegexpInFile", [field, Node::Text(file)]) => match data.get(file)? {
                DataFile::Regexes(patterns) => of_patterns(field, patterns),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether evaluating the node surely writes nothing.
// Recursion follows the tree, whose depth the parser bounds.
pub(super) fn is_pure(node: &Node) -> bool {
    match node {
        Node::Bool(_)
        | Node::Field(..)
        | Node::FieldEqual(..)
        | Node::FieldIn(..)
        | Node::FieldNow(..)
        | Node::Float(_)
        | Node::Int(_)
        | Node::Line
        | Node::Local(_)
        | Node::Pointer(_)
        | Node::Text(_) => true,
        Node::And(items) | Node::Or(items) | Node::Add(items) => items.iter().all(is_pure),
        Node::Cached(_, of) | Node::Not(of) | Node::InTexts(of, _) => is_pure(of),
        Node::Call(function, arguments) => {
            let reads = ["File", "LookupFile", "RegexpInFile"].contains(&function.name);
            (function.pure || reads) && arguments.iter().all(is_pure)
        }
        Node::Choice(parts) => is_pure(&parts.0) && is_pure(&parts.1) && is_pure(&parts.2),
        Node::Compare(_, sides) | Node::TextTest(_, sides) => {
            is_pure(&sides.0) && is_pure(&sides.1)
        }
        Node::ContainsText(parts) => is_pure(&parts.0),
        Node::Equal(sides) | Node::In(sides) => is_pure(&sides.0) && is_pure(&sides.1),
        Node::Matches(parts) => is_pure(&parts.0),
        Node::StartsWithText(parts) | Node::EndsWithText(parts) => is_pure(&parts.0),
        Node::Loop(of) => {
            let parts = [Some(&of.list), of.body.as_ref(), of.extra.as_ref()];
            parts.into_iter().flatten().all(is_pure)
        }
        _ => false,
    }
}

/// Long texts are rarest; few are cheapest.
fn worth(places: &Places) -> (usize, usize) {
    let texts = || places.iter().flat_map(|place| &place.texts);
    let shortest = texts().map(String::len).min().unwrap_or(usize::MAX);
    (shortest.min(6), TEXTS_MAX.saturating_sub(texts().count()))
}

fn of_size(places: Places) -> Option<Places> {
    let count: usize = places.iter().map(|place| place.texts.len()).sum();
    (count <= TEXTS_MAX && !places.is_empty()).then_some(places)
}

fn place<'t>(map: FieldMap, sym: Sym, texts: impl IntoIterator<Item = &'t str>) -> Option<Places> {
    let mut folded = Vec::new();
    for text in texts {
        // One that is not ASCII can only be in a field that is not, and such a field always holds.
        if text.is_ascii() {
            if text.is_empty() {
                return None;
            }
            folded.push(text.to_ascii_lowercase());
        }
    }
    folded.sort_unstable();
    folded.dedup();
    if folded.is_empty() {
        return None;
    }
    of_size(vec![Place {
        map,
        sym,
        texts: folded,
    }])
}

/// The field of a node that is one, in some case: `Upper` and `Lower` change no ASCII text but in
/// case.
fn of_field(node: &Node, mut texts: Vec<&str>) -> Option<Places> {
    match node {
        Node::Field(map, sym) => place(*map, *sym, texts),
        Node::Call(function, arguments) => match (function.name, &**arguments) {
            ("Lower" | "Upper" | "lower" | "upper", [of]) => of_field(of, texts),
            // Without one of these signs unescaping changes nothing.
            ("QueryUnescape" | "PathUnescape", [of @ Node::Field(..)]) => {
                texts.extend(["%", "+"]);
                of_field(of, texts)
            }
            _ => None,
        },
        _ => None,
    }
}

fn of_lines(test: &LineTest, data: &DataFiles) -> Option<Places> {
    if test.fits == Fits::IsWithin {
        return None;
    }
    let texts = test.texts(data.lines(&test.file)?)?;
    of_field(&test.text, texts.iter().map(String::as_str).collect())
}

fn of_patterns(field: &Node, patterns: &Patterns) -> Option<Places> {
    let mut texts = Vec::new();
    for pattern in patterns.sources() {
        texts.extend(required(pattern)?);
        if texts.len() > PATTERN_TEXTS_MAX {
            return None;
        }
    }
    of_field(field, texts.iter().map(String::as_str).collect())
}

/// What stands in each match of a regular expression, in this engine's syntax.
fn required(pattern: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let texts = literals::required(&hir)?.0;
    texts
        .into_iter()
        .map(|text| String::from_utf8(text).ok())
        .collect()
}
