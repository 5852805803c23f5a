//! The single tests of all rules, each once, however many rules ask it.
//!
//! A test is either decided by the scan over a field's value (equal, begins with, ends with,
//! contains), made possible by it and then verified, or only verified when a rule gets that far.

use std::net::IpAddr;

use hashbrown::HashMap;
use model::{Prefix, Timestamp, limits};
use regex::{Regex, RegexBuilder};
use sigma::{Case, Check, Pattern, Piece, RegexFlags, Relation, Test, TimePart};

use super::{
    fields::{FieldId, Fields, WHOLE},
    values::Values,
};
use crate::{dates, literals};

pub(super) type AtomId = u32;

/// One test of one field.
#[derive(Debug)]
pub(super) struct Atom {
    pub(super) field: FieldId,
    pub(super) scan: Scan,
    pub(super) verify: Option<Verify>,
}

/// What the scan over a field looks for; texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scan {
    /// Nothing.
    Never,
    Equal(Box<str>),
    Starts(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
}

#[derive(Debug)]
pub(super) enum Verify {
    /// Against the value in lower case.
    Glob(Pattern),
    /// Against the value as it is written.
    Cased(Pattern),
    Regex(Regex, RegexFlags),
    Null,
    NotNull,
    Exists,
    Number {
        part: Option<TimePart>,
        relation: Relation,
        value: f64,
    },
    Network(Prefix),
    Field {
        other: FieldId,
        open_start: bool,
        open_end: bool,
        case: Case,
    },
}

/// What tells tests apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Same {
    Scan(Scan),
    Text(Pattern, Case),
    Regex(String, RegexFlags),
    Other(String),
}

#[derive(Debug, Default)]
pub(super) struct Atoms {
    pub(super) all: Vec<Atom>,
    known: HashMap<(FieldId, Same), AtomId>,
}

impl Atoms {
    pub(super) fn get(&self, id: AtomId) -> Option<&Atom> {
        self.all.get(id as usize)
    }

    fn add(&mut self, same: Same, atom: Atom) -> AtomId {
        let next = AtomId::try_from(self.all.len()).unwrap_or(AtomId::MAX);
        let id = *self.known.entry((atom.field, same)).or_insert(next);
        if id == next {
            self.all.push(atom);
        }
        id
    }

    /// A test that only the scan decides.
    fn scanned(&mut self, field: FieldId, scan: Scan) -> AtomId {
        self.add(
            Same::Scan(scan.clone()),
            Atom {
                field,
                scan,
                verify: None,
            },
        )
    }

    fn other(&mut self, field: FieldId, verify: Verify) -> AtomId {
        self.add(
            Same::Other(format!("{verify:?}")),
            Atom {
                field,
                scan: Scan::Never,
                verify: Some(verify),
            },
        )
    }

    /// The test's number; `None` for one that nobody can decide. `Err`: why it cannot be run.
    pub(super) fn of(
        &mut self,
        test: &Test,
        fields: &mut Fields,
    ) -> Result<Option<AtomId>, String> {
        let field = test
            .field
            .as_deref()
            .map_or(WHOLE, |name| fields.intern(name));
        let id = match &test.check {
            Check::Unknown(_) => return Ok(None),
            Check::Text { pattern, case } if field == WHOLE => {
                // A keyword is looked for anywhere.
                let mut open = Pattern::default();
                open.pieces.push(Piece::Many);
                open.pieces.extend(pattern.pieces.iter().cloned());
                open.pieces.push(Piece::Many);
                open.pieces
                    .dedup_by(|a, b| *a == Piece::Many && *b == Piece::Many);
                self.text(field, &open, *case)
            }
            Check::Text { pattern, case } => self.text(field, pattern, *case),
            Check::Null => self.other(field, Verify::Null),
            Check::Exists => self.other(field, Verify::Exists),
            Check::Number {
                part,
                relation,
                value,
            } => self.other(
                field,
                Verify::Number {
                    part: *part,
                    relation: *relation,
                    value: *value,
                },
            ),
            Check::Network(prefix) => self.other(field, Verify::Network(*prefix)),
            Check::Field {
                name,
                open_start,
                open_end,
                case,
            } => {
                let verify = Verify::Field {
                    other: fields.intern(name),
                    open_start: *open_start,
                    open_end: *open_end,
                    case: *case,
                };
                self.other(field, verify)
            }
            Check::Regex { source, flags } => self.regex(field, source, *flags)?,
        };
        Ok(Some(id))
    }

    fn text(&mut self, field: FieldId, pattern: &Pattern, case: Case) -> AtomId {
        let lowered = lower(pattern);
        let plain = |text: &str| -> Box<str> { text.into() };
        let scan = match lowered.pieces.as_slice() {
            [] => Some(Scan::Equal(plain(""))),
            [Piece::Text(text)] => Some(Scan::Equal(plain(text))),
            [Piece::Many, Piece::Text(text), Piece::Many] => Some(Scan::Contains(plain(text))),
            [Piece::Text(text), Piece::Many] => Some(Scan::Starts(plain(text))),
            [Piece::Many, Piece::Text(text)] => Some(Scan::Ends(plain(text))),
            [Piece::Many] => return self.other(field, Verify::NotNull),
            _ => None,
        };
        match (scan, case) {
            (Some(scan), Case::Ignored) => self.scanned(field, scan),
            (scan, case) => {
                let longest = || {
                    let texts = lowered.pieces.iter().filter_map(|piece| match piece {
                        Piece::Text(text) => Some(text.as_str()),
                        _ => None,
                    });
                    texts.max_by_key(|text| text.len())
                };
                let scan = scan
                    .or_else(|| longest().map(|text| Scan::Contains(plain(text))))
                    .unwrap_or(Scan::Never);
                let verify = match case {
                    Case::Kept => Verify::Cased(pattern.clone()),
                    Case::Ignored => Verify::Glob(lowered.clone()),
                };
                self.add(
                    Same::Text(pattern.clone(), case),
                    Atom {
                        field,
                        scan,
                        verify: Some(verify),
                    },
                )
            }
        }
    }

    fn regex(&mut self, field: FieldId, source: &str, flags: RegexFlags) -> Result<AtomId, String> {
        let same = Same::Regex(source.to_owned(), flags);
        if let Some(id) = self.known.get(&(field, same.clone())) {
            return Ok(*id);
        }
        let regex = RegexBuilder::new(source)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_matches_newline)
            .size_limit(limits::REGEX_BYTES_MAX)
            .build()
            .map_err(|e| {
                let text = e.to_string();
                let last = text.lines().last().unwrap_or("it does not compile");
                last.chars().take(200).collect::<String>()
            })?;
        Ok(self.add(
            same,
            Atom {
                field,
                scan: Scan::Never,
                verify: Some(Verify::Regex(regex, flags)),
            },
        ))
    }

    /// Tests of the scan, one of which holds whenever `atom` does; `None` when there are none.
    pub(super) fn needs(&mut self, id: AtomId) -> Option<Vec<AtomId>> {
        let atom = self.get(id)?;
        if atom.scan != Scan::Never {
            return Some(vec![id]);
        }
        let field = atom.field;
        match atom.verify.as_ref()? {
            Verify::Regex(regex, flags) => {
                let hir = regex_syntax::ParserBuilder::new()
                    .case_insensitive(flags.ignore_case)
                    .multi_line(flags.multi_line)
                    .dot_matches_new_line(flags.dot_matches_newline)
                    .build()
                    .parse(regex.as_str())
                    .ok()?;
                let texts = literals::required(&hir)?;
                let texts: Option<Vec<String>> = texts.0.into_iter().map(ascii_lower).collect();
                let ids = texts?.into_iter();
                Some(
                    ids.map(|text| self.scanned(field, Scan::Contains(text.into())))
                        .collect(),
                )
            }
            _ => None,
        }
    }
}

/// In lower case, where that cannot change what the text is part of.
fn ascii_lower(text: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(text).ok().filter(|t| t.is_ascii())?;
    Some(text.to_ascii_lowercase())
}

fn lower(pattern: &Pattern) -> Pattern {
    let pieces = pattern.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => Piece::Text(text.chars().flat_map(char::to_lowercase).collect()),
        other => other.clone(),
    });
    Pattern {
        pieces: pieces.collect(),
    }
}

impl Atom {
    /// Whether it holds, found out without a scan.
    pub(super) fn holds(&self, values: &Values) -> bool {
        if let Some(verify) = &self.verify {
            return verify.holds(self.field, values);
        }
        let mut of = values.of(self.field).filter(|value| !value.is_null);
        of.any(|value| match &self.scan {
            Scan::Never => false,
            Scan::Equal(text) => value.lower == &**text,
            Scan::Starts(text) => value.lower.starts_with(&**text),
            Scan::Ends(text) => value.lower.ends_with(&**text),
            Scan::Contains(text) => value.lower.contains(&**text),
        })
    }
}

impl Verify {
    /// Whether it holds of `field`.
    pub(super) fn holds(&self, field: FieldId, values: &Values) -> bool {
        let mut of = values.of(field).filter(|value| !value.is_null);
        match self {
            Self::Glob(pattern) => of.any(|value| glob(&pattern.pieces, value.lower)),
            Self::Cased(pattern) => of.any(|value| glob(&pattern.pieces, value.text)),
            Self::Regex(regex, _) => of.any(|value| regex.is_match(value.text)),
            Self::Null => of.next().is_none(),
            Self::NotNull => of.next().is_some(),
            Self::Exists => values.has(field),
            Self::Number {
                part,
                relation,
                value: wanted,
            } => of.any(|value| {
                let number = match part {
                    None => value.text.trim().parse().ok(),
                    Some(part) => part_of(value.text, *part),
                };
                number.is_some_and(|number: f64| compares(number, *relation, *wanted))
            }),
            Self::Network(prefix) => of.any(|value| {
                let address: Result<IpAddr, _> = value.text.trim().parse();
                address.is_ok_and(|address| prefix.contains(address))
            }),
            Self::Field {
                other,
                open_start,
                open_end,
                case,
            } => of.any(|value| {
                values.of(*other).filter(|v| !v.is_null).any(|wanted| {
                    let (text, part) = match case {
                        Case::Ignored => (value.lower, wanted.lower),
                        Case::Kept => (value.text, wanted.text),
                    };
                    match (open_start, open_end) {
                        (false, false) => text == part,
                        (true, false) => text.ends_with(part),
                        (false, true) => text.starts_with(part),
                        (true, true) => text.contains(part),
                    }
                })
            }),
        }
    }
}

fn compares(number: f64, relation: Relation, wanted: f64) -> bool {
    match relation {
        Relation::Equal => number == wanted,
        Relation::Less => number < wanted,
        Relation::LessOrEqual => number <= wanted,
        Relation::Greater => number > wanted,
        Relation::GreaterOrEqual => number >= wanted,
    }
}

/// A part of a date as it is written: no time zone is changed (appendix, "Time Modifiers").
fn part_of(text: &str, part: TimePart) -> Option<f64> {
    let date = written_date(text.trim())?;
    let number = match part {
        TimePart::Minute => i64::from(date.minute()),
        TimePart::Hour => i64::from(date.hour()),
        TimePart::Day => i64::from(date.day()),
        TimePart::Week => i64::from(date.date().iso_week_date().week()),
        TimePart::Month => i64::from(date.month()),
        TimePart::Year => i64::from(date.year()),
    };
    Some(number as f64)
}

fn written_date(text: &str) -> Option<jiff::civil::DateTime> {
    // The offset is not applied, so only what stands before it is read.
    let head = text.get(..19).unwrap_or(text).replace(' ', "T");
    if let Ok(date) = head.parse() {
        return Some(date);
    }
    if let Some(date) = text
        .get(..10)
        .and_then(|day| day.parse::<jiff::civil::Date>().ok())
    {
        return Some(date.at(0, 0, 0, 0));
    }
    let date = dates::read_rfc3339(text, Timestamp::EPOCH)?;
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(date.time.nanos())).ok()?;
    Some(stamp.to_zoned(jiff::tz::TimeZone::UTC).datetime())
}

/// Whether the pieces make up all of `text`. A `*` takes as little as it can, so this is linear in
/// the text for each piece.
fn glob(pieces: &[Piece], text: &str) -> bool {
    // What stands between two `*` is found at its first place; only the last must reach the end.
    let mut parts = pieces.split(|piece| *piece == Piece::Many);
    let Some(first) = parts.next() else {
        return text.is_empty();
    };
    let Some(mut rest) = strip(first, text) else {
        return false;
    };
    let mut parts: Vec<&[Piece]> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match find(part, rest) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    ends(last, rest)
}

/// What comes after the pieces (none of them `*`) at the start of `text`.
fn strip<'t>(pieces: &[Piece], text: &'t str) -> Option<&'t str> {
    let mut rest = text;
    for piece in pieces {
        rest = match piece {
            Piece::Text(text) => rest.strip_prefix(text.as_str())?,
            Piece::One => {
                let c = rest.chars().next()?;
                rest.get(c.len_utf8()..)?
            }
            Piece::Many | Piece::Placeholder(_) => return None,
        };
    }
    Some(rest)
}

/// What comes after the first place of the pieces in `text`.
fn find<'t>(pieces: &[Piece], text: &'t str) -> Option<&'t str> {
    if let [Piece::Text(wanted)] = pieces {
        let at = text.find(wanted.as_str())?;
        return text.get(at + wanted.len()..);
    }
    text.char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .find_map(|at| strip(pieces, text.get(at..)?))
}

fn ends(pieces: &[Piece], text: &str) -> bool {
    let length: usize = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.chars().count(),
            _ => 1,
        })
        .sum();
    if length == 0 {
        return true;
    }
    let start = text.char_indices().rev().nth(length - 1).map(|(at, _)| at);
    start
        .and_then(|start| text.get(start..))
        .and_then(|tail| strip(pieces, tail))
        .is_some_and(str::is_empty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        glob(&Pattern::parse(pattern).pieces, text)
    }

    #[test]
    fn wildcards_take_all_of_a_value() {
        assert!(fits("a*b?d", "a--bcd"));
        assert!(!fits("a*b?d", "a--bcde"));
        assert!(fits("*x*y*", "--x--y--"));
        assert!(!fits("*x*y*", "--y--x--"));
        assert!(fits("a*a", "aa") && !fits("a*a", "a"));
        assert!(fits("?*", "ä") && !fits("?*", ""));
        assert!(fits("*?b", "xäb"));
    }

    proptest! {
        /// Against the plain definition, tried in every way.
        #[test]
        fn wildcards_are_what_they_say(pattern in "[ab?*]{0,8}", text in "[abä]{0,10}") {
            fn slow(pattern: &[char], text: &[char]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some(('*', rest)), None) => slow(rest, text),
                    (Some(('*', rest)), Some((_, tail))) => slow(rest, text) || slow(pattern, tail),
                    (Some(('?', rest)), Some((_, tail))) => slow(rest, tail),
                    (Some((p, rest)), Some((t, tail))) => p == t && slow(rest, tail),
                    _ => false,
                }
            }
            let p: Vec<char> = pattern.chars().collect();
            let t: Vec<char> = text.chars().collect();
            prop_assert_eq!(fits(&pattern, &text), slow(&p, &t));
        }
    }

    #[test]
    fn parts_of_dates_are_those_written() {
        for (text, part, wanted) in [
            ("2026-11-22T23:05:01+02:00", TimePart::Hour, 23.0),
            ("2026-11-22 23:05:01.5", TimePart::Minute, 5.0),
            ("2026-01-01", TimePart::Week, 1.0),
            ("2026-11-22T23:05:01Z", TimePart::Year, 2026.0),
        ] {
            assert_eq!(part_of(text, part), Some(wanted), "{text}");
        }
        assert_eq!(part_of("yesterday", TimePart::Day), None);
    }
}
