//! One date pattern: fail2ban's %-codes as a regular expression.

use super::{
    Frame,
    fields::{Fields, digits},
};
use crate::fail2ban::python::{Machine, Pattern, PatternError};
use model::Timestamp;

#[derive(Debug)]
pub(super) struct Template {
    pub(super) pattern: Pattern,
    /// Only at the line's start.
    pub(super) at_start: bool,
    kind: Kind,
    /// Which group holds which part.
    parts: Vec<(Part, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Written,
    /// Unix seconds, or by their number of digits milli- or microseconds.
    Epoch,
    Tai,
}

/// A part of a date, by the letter of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part(char);

const SECONDS: &str = r"(?P<t_s>\d{10,11}\b(?:\.\d{3,6})?)";
const LONG_SECONDS: &str = r"(?P<t_s>\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?(?:\.\d{3,6})?)";
const TAI: &str = "(?P<t_t>@[0-9a-f]{24})";

/// The text of a usual form as it stands within `{DATE}`.
pub(super) fn inner(usual: &str) -> Option<String> {
    match usual {
        "EPOCH" | "TAI64N" => None,
        usual => Some(usual.to_owned()),
    }
}

impl Template {
    pub(super) fn new(source: &str) -> Result<Self, PatternError> {
        let (bound, body) = bounds(source);
        let (kind, body) = match body.to_ascii_uppercase().as_str() {
            "EPOCH" => (Kind::Epoch, epoch(bound)),
            "LEPOCH" => (Kind::Epoch, format!("({LONG_SECONDS})")),
            "TAI64N" => (Kind::Tai, format!("({TAI})")),
            "ISO8601" => (
                Kind::Written,
                written(r"%Y-%m-%d(?:T|\s{1,2})%H:%M:%S(?:[.,]%f)?(?:\s*%z)?"),
            ),
            _ if body.contains("{EPOCH}") => (
                Kind::Epoch,
                body.replace("{EPOCH}", &format!("({SECONDS})")),
            ),
            _ if body.contains("{LEPOCH}") => (
                Kind::Epoch,
                body.replace("{LEPOCH}", &format!("({LONG_SECONDS})")),
            ),
            _ => (Kind::Written, written(body)),
        };
        let whole = format!("{}{body}{}", bound.before(), bound.after(&body));
        let pattern = Pattern::new(&whole)?;
        let parts = pattern
            .names()
            .filter_map(|(name, group)| {
                let letter = name.strip_prefix("t_")?.chars().next()?;
                Some((Part(letter), group))
            })
            .collect();
        Ok(Self {
            at_start: bound == Bound::LineStart || body.starts_with('^') || body.starts_with("(^"),
            pattern,
            kind,
            parts,
        })
    }

    /// What the match that the machine holds cuts out.
    pub(super) fn cut(&self, machine: &Machine) -> Option<(usize, usize)> {
        match self.kind {
            Kind::Epoch => self.parts.iter().find_map(|part| machine.span(part.1)),
            Kind::Written | Kind::Tai => machine.span(1),
        }
    }

    /// The time of the match that the machine holds.
    pub(super) fn time(
        &self,
        line: &str,
        machine: &Machine,
        frame: Frame<'_>,
    ) -> Option<Timestamp> {
        let text = |part: &(Part, usize)| machine.group(line, part.1);
        match self.kind {
            Kind::Epoch => epoch_time(self.parts.iter().find_map(text)?),
            Kind::Tai => tai_time(self.parts.first().and_then(text)?),
            Kind::Written => {
                let mark = |letter| {
                    self.parts
                        .iter()
                        .find(|p| p.0 == Part(letter))
                        .and_then(text)
                };
                if mark('q') != mark('r') {
                    return None;
                }
                let mut fields = Fields::default();
                for part in &self.parts {
                    if let Some(text) = text(part) {
                        fields.read(part.0.0, text)?;
                    }
                }
                fields.time(frame)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// At the line's start, but for up to two characters that are of no word.
    LineStart,
    /// Where a word begins and ends.
    Word,
    /// The pattern says itself where it begins.
    Own,
    Nothing,
}

impl Bound {
    const fn before(self) -> &'static str {
        match self {
            Self::LineStart => r"^\W{0,2}?",
            Self::Word => r"(?:^|\b|(?=\W))",
            Self::Own | Self::Nothing => "",
        }
    }

    fn after(self, body: &str) -> &'static str {
        let open = body.ends_with('$') || body.ends_with(r"\s+") || body.ends_with(r"\s*)");
        match self {
            Self::Nothing => "",
            _ if open => "",
            _ => r"(?:\b|(?=\W)|$)",
        }
    }
}

fn bounds(source: &str) -> (Bound, &str) {
    for (prefix, bound) in [("{^LN-BEG}", Bound::LineStart), ("{UNB}", Bound::Nothing)] {
        let head = source.get(..prefix.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(prefix)) {
            return (bound, source.get(prefix.len()..).unwrap_or_default());
        }
    }
    if source.starts_with('^') || source.starts_with("(?:^") || source.starts_with("(?i)^") {
        return (Bound::Own, source);
    }
    (Bound::Word, source)
}

/// Seconds at the line's start, in brackets there, or as the audit daemon writes them.
fn epoch(bound: Bound) -> String {
    let named = |name: &str| SECONDS.replacen("t_s", name, 1);
    match bound {
        Bound::LineStart => format!("({SECONDS})"),
        _ => format!(
            r"(?:^({SECONDS})|^\[{}\]|\baudit\({}:\d+\))",
            named("t_sb"),
            named("t_sa")
        ),
    }
}

/// The pattern with codes replaced; the first group is what is cut out.
fn written(body: &str) -> String {
    let expanded = expand(body);
    if has_group(body) {
        expanded
    } else {
        format!("({expanded})")
    }
}

/// Whether the author grouped what is to be cut out.
fn has_group(body: &str) -> bool {
    let bytes = body.as_bytes();
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            b'(' if !escaped && bytes.get(at + 1) != Some(&b'?') => return true,
            _ => {}
        }
        escaped = false;
    }
    false
}

fn expand(body: &str) -> String {
    let mut out = String::with_capacity(body.len() * 4);
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let strict = chars.peek() == Some(&'E') && {
            chars.next();
            chars.next_if_eq(&'x').is_some()
        };
        match chars.next() {
            Some('%') => out.push('%'),
            Some(letter) => match code(letter, strict) {
                Some((part, text)) => {
                    out.push_str(&format!("(?P<t_{part}>{text})"));
                }
                None => out.push(letter),
            },
            None => out.push('%'),
        }
    }
    out
}

/// The part that a code stands for, and how it is written. A strict one has all its digits.
fn code(letter: char, strict: bool) -> Option<(char, &'static str)> {
    Some(match (letter, strict) {
        ('Y', true) => ('Y', r"(?:199|20[0-4])\d"),
        ('Y', false) => ('Y', r"\d{4}"),
        ('y', _) => ('y', r"\d\d"),
        ('m', true) => ('m', "0[1-9]|1[0-2]"),
        ('m', false) => ('m', "1[0-2]|0[1-9]|[1-9]"),
        ('d', true) => ('d', r"0[1-9]|[12]\d|3[01]"),
        ('d', false) => ('d', r"3[01]|[12]\d|0[1-9]| ?[1-9]"),
        ('H', true) => ('H', r"[01]\d|2[0-4]"),
        ('H', false) => ('H', r"2[0-3]|[01]\d|\d"),
        ('k', _) => ('H', r" ?2[0-3]| ?[01]\d| ?\d"),
        ('I', _) => ('I', r"1[0-2]|0[1-9]| ?[1-9]"),
        ('M', true) => ('M', r"[0-5]\d"),
        ('M', false) => ('M', r"[0-5]\d|\d"),
        ('S', true) => ('S', r"[0-5]\d|6[01]"),
        ('S', false) => ('S', r"6[01]|[0-5]\d|\d"),
        ('f', _) => ('f', r"\d{1,6}"),
        ('p', _) => ('p', "[AaPp][Mm]"),
        ('j', _) => ('j', r"36[0-6]|3[0-5]\d|[12]\d\d|0?[1-9]\d|0{0,2}[1-9]"),
        ('z', _) => ('z', r"Z|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?"),
        ('Z', _) => ('Z', r"Z|[A-Z]{3,5}(?:[+-]\d\d(?::?\d\d)?)?"),
        ('b' | 'h', _) => ('b', "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"),
        ('B', _) => (
            'b',
            "(?i:january|february|march|april|may|june|july|august|september|october|november\
             |december)",
        ),
        ('a', _) => ('a', "(?i:mon|tue|wed|thu|fri|sat|sun)"),
        ('A', _) => (
            'a',
            "(?i:monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
        ),
        ('s', _) => ('s', r"\d{1,11}"),
        ('w', _) => ('a', "[0-6]"),
        _ => return None,
    })
}

/// Digits beyond ten or eleven are milli- or microseconds.
fn epoch_time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i64 = whole.parse().ok()?;
    let unit: i64 = match whole.len() {
        0..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        _ => 1_000,
    };
    let parts = fields_fraction(fraction)?.checked_mul(unit)? / 1_000_000_000;
    let nanos = number.checked_mul(unit)?.checked_add(parts)?;
    Some(Timestamp::from_nanos(nanos))
}

/// Nanoseconds of a decimal fraction.
pub(super) fn fields_fraction(text: &str) -> Option<i64> {
    let text = text.get(..text.len().min(9))?;
    if text.is_empty() {
        return Some(0);
    }
    let scale = 10i64.checked_pow(u32::try_from(9 - text.len()).ok()?)?;
    Some(digits(text)? * scale)
}

/// TAI64N counts from 1970 plus 2^62; like fail2ban, leap seconds are not counted.
fn tai_time(text: &str) -> Option<Timestamp> {
    let seconds = u64::from_str_radix(text.get(2..17)?, 16).ok()?;
    let seconds = i64::try_from(seconds & 0x0FFF_FFFF_FFFF_FFFF).ok()?;
    Some(Timestamp::from_nanos(seconds.checked_mul(1_000_000_000)?))
}
