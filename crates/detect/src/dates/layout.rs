//! Go's date layouts: what stands in one, and how text is read by it.

use model::Timestamp;

use super::{DAYS, Date, Half, MONTHS, Parts, digits, nanos};

/// Go's `time.Parse`. A date without a year is in the year of `now` (UTC).
pub fn parse(layout: &str, text: &str, now: Timestamp) -> Option<Date> {
    let mut reader = Reader {
        text,
        parts: Parts::default(),
    };
    let mut layout = layout;
    loop {
        let (literal, chunk, rest) = next_chunk(layout);
        reader.literal(literal)?;
        match chunk {
            None => {
                return reader
                    .text
                    .is_empty()
                    .then(|| reader.parts.date(now))
                    .flatten();
            }
            Some(chunk) => reader.chunk(chunk, rest)?,
        }
        layout = rest;
    }
}

/// One element of a layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunk {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    DayOfYear,
    UnderDayOfYear,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    Pm,
    SmallPm,
    Zone,
    /// Offset digits: whether `Z` may stand for zero, with colons, and how many fields.
    Offset {
        z: bool,
        colons: bool,
        fields: u8,
    },
    /// `.000`: exactly this many digits.
    Fraction(u8),
    /// `.999`: any digits, or nothing.
    FractionMaybe,
}

/// Chunks by how they are written, each longer form before its own beginnings.
const CHUNKS: [(&str, Chunk); 36] = [
    ("January", Chunk::LongMonth),
    ("Jan", Chunk::Month),
    ("Monday", Chunk::LongWeekday),
    ("Mon", Chunk::Weekday),
    ("MST", Chunk::Zone),
    ("002", Chunk::DayOfYear),
    ("01", Chunk::ZeroMonth),
    ("02", Chunk::ZeroDay),
    ("03", Chunk::ZeroHour12),
    ("04", Chunk::ZeroMinute),
    ("05", Chunk::ZeroSecond),
    ("06", Chunk::Year),
    ("15", Chunk::Hour),
    ("1", Chunk::NumMonth),
    ("2006", Chunk::LongYear),
    ("2", Chunk::Day),
    ("__2", Chunk::UnderDayOfYear),
    ("_2006", Chunk::LongYear),
    ("_2", Chunk::UnderDay),
    ("3", Chunk::Hour12),
    ("4", Chunk::Minute),
    ("5", Chunk::Second),
    ("PM", Chunk::Pm),
    ("pm", Chunk::SmallPm),
    (
        "-070000",
        Chunk::Offset {
            z: false,
            colons: false,
            fields: 3,
        },
    ),
    (
        "-07:00:00",
        Chunk::Offset {
            z: false,
            colons: true,
            fields: 3,
        },
    ),
    (
        "-0700",
        Chunk::Offset {
            z: false,
            colons: false,
            fields: 2,
        },
    ),
    (
        "-07:00",
        Chunk::Offset {
            z: false,
            colons: true,
            fields: 2,
        },
    ),
    (
        "-07",
        Chunk::Offset {
            z: false,
            colons: false,
            fields: 1,
        },
    ),
    (
        "Z070000",
        Chunk::Offset {
            z: true,
            colons: false,
            fields: 3,
        },
    ),
    (
        "Z07:00:00",
        Chunk::Offset {
            z: true,
            colons: true,
            fields: 3,
        },
    ),
    (
        "Z0700",
        Chunk::Offset {
            z: true,
            colons: false,
            fields: 2,
        },
    ),
    (
        "Z07:00",
        Chunk::Offset {
            z: true,
            colons: true,
            fields: 2,
        },
    ),
    (
        "Z07",
        Chunk::Offset {
            z: true,
            colons: false,
            fields: 1,
        },
    ),
    (".0", Chunk::Fraction(0)),
    (".9", Chunk::FractionMaybe),
];

/// The literal text before the next chunk, the chunk, and what follows.
fn next_chunk(layout: &str) -> (&str, Option<Chunk>, &str) {
    for (at, c) in layout.char_indices() {
        if !matches!(
            c,
            'J' | 'M' | '0'..='6' | '_' | 'P' | 'p' | '-' | 'Z' | '.' | ','
        ) {
            continue;
        }
        let rest = layout.get(at..).unwrap_or_default();
        if let Some((chunk, len)) = chunk_at(rest) {
            // `_2006` is an underscore and a year.
            let literal = if rest.starts_with("_2006") {
                at + 1
            } else {
                at
            };
            let (before, after) = (layout.get(..literal), layout.get(at + len..));
            return (
                before.unwrap_or_default(),
                Some(chunk),
                after.unwrap_or_default(),
            );
        }
    }
    (layout, None, "")
}

fn chunk_at(rest: &str) -> Option<(Chunk, usize)> {
    if rest.starts_with([',', '.']) {
        return fraction_at(rest);
    }
    let (text, chunk) = CHUNKS.iter().find(|(text, _)| rest.starts_with(text))?;
    let after = rest.as_bytes().get(text.len()).copied();
    // "Month" and "Januarys" are words, not chunks; Go asks that only of the short forms.
    if matches!(chunk, Chunk::Month | Chunk::Weekday)
        && after.is_some_and(|b| b.is_ascii_lowercase())
    {
        return None;
    }
    Some((*chunk, text.len()))
}

/// A fraction's digits are all 0 or all 9, and no other digit may follow.
fn fraction_at(rest: &str) -> Option<(Chunk, usize)> {
    let bytes = rest.as_bytes();
    let kind = *bytes.get(1)?;
    if !matches!(kind, b'0' | b'9') {
        return None;
    }
    let count = bytes.iter().skip(1).take_while(|b| **b == kind).count();
    if bytes.get(1 + count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let chunk = if kind == b'0' {
        Chunk::Fraction(u8::try_from(count).unwrap_or(u8::MAX))
    } else {
        Chunk::FractionMaybe
    };
    Some((chunk, 1 + count))
}

struct Reader<'t> {
    text: &'t str,
    parts: Parts,
}

impl Reader<'_> {
    fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn advance(&mut self, n: usize) -> Option<()> {
        self.text = self.text.get(n..)?;
        Some(())
    }

    /// A run of spaces in the layout matches any run of at least one, or the end of the text.
    fn literal(&mut self, literal: &str) -> Option<()> {
        let mut literal = literal;
        while let Some(c) = literal.chars().next() {
            if c == ' ' {
                if !self.text.is_empty() && !self.text.starts_with(' ') {
                    return None;
                }
                literal = literal.trim_start_matches(' ');
                self.text = self.text.trim_start_matches(' ');
            } else {
                self.text = self.text.strip_prefix(c)?;
                literal = literal.get(c.len_utf8()..)?;
            }
        }
        Some(())
    }

    fn chunk(&mut self, chunk: Chunk, rest: &str) -> Option<()> {
        match chunk {
            Chunk::LongMonth => self.parts.month = self.name(&MONTHS, usize::MAX)? + 1,
            Chunk::Month => self.parts.month = self.name(&MONTHS, 3)? + 1,
            Chunk::LongWeekday => drop(self.name(&DAYS, usize::MAX)?),
            Chunk::Weekday => drop(self.name(&DAYS, 3)?),
            Chunk::NumMonth => self.parts.month = self.number(Width::Any)?,
            Chunk::ZeroMonth => self.parts.month = self.number(Width::Two)?,
            Chunk::Day => self.parts.day = self.number(Width::Any)?,
            Chunk::ZeroDay => self.parts.day = self.number(Width::Two)?,
            Chunk::UnderDay => {
                self.text = self.text.strip_prefix(' ').unwrap_or(self.text);
                self.parts.day = self.number(Width::Any)?;
            }
            Chunk::DayOfYear | Chunk::UnderDayOfYear => self.day_of_year(chunk)?,
            Chunk::Hour => self.parts.hour = self.number(Width::Any)?,
            Chunk::Hour12 => self.parts.hour = self.number(Width::Any).filter(|h| *h <= 12)?,
            Chunk::ZeroHour12 => self.parts.hour = self.number(Width::Two).filter(|h| *h <= 12)?,
            Chunk::Minute => self.parts.minute = self.number(Width::Any)?,
            Chunk::ZeroMinute => self.parts.minute = self.number(Width::Two)?,
            Chunk::Second | Chunk::ZeroSecond => self.second(chunk, rest)?,
            Chunk::LongYear => {
                self.parts.year = digits(self.bytes().get(..4)?)?;
                self.advance(4)?;
            }
            Chunk::Year => {
                let year = digits(self.bytes().get(..2)?)?;
                self.parts.year = if year >= 69 { 1900 + year } else { 2000 + year };
                self.advance(2)?;
            }
            Chunk::Pm | Chunk::SmallPm => self.half(chunk)?,
            Chunk::Zone => self.zone()?,
            Chunk::Offset { z, colons, fields } => self.offset(z, colons, fields)?,
            Chunk::Fraction(count) => {
                let count = usize::from(count);
                let [b'.' | b',', digits @ ..] = self.bytes() else {
                    return None;
                };
                let digits = digits.get(..count)?;
                if !digits.iter().all(u8::is_ascii_digit) {
                    return None;
                }
                self.parts.nanos = nanos(digits);
                self.advance(1 + count)?;
            }
            Chunk::FractionMaybe => self.fraction()?,
        }
        Some(())
    }

    fn fraction(&mut self) -> Option<()> {
        let left = self.parts.fraction(self.text.as_bytes()).len();
        self.advance(self.text.len() - left)
    }

    /// Which of `names`, by its first `length` letters, in any case.
    fn name(&mut self, names: &[&str], length: usize) -> Option<i64> {
        let found = names.iter().position(|name| {
            let name = name.get(..length).unwrap_or(name);
            self.text
                .get(..name.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(name))
        })?;
        self.advance(names.get(found)?.len().min(length))?;
        i64::try_from(found).ok()
    }

    fn number(&mut self, width: Width) -> Option<i64> {
        match (self.bytes(), width) {
            ([a, b, ..], _) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let n = digits(&[*a, *b])?;
                self.advance(2)?;
                Some(n)
            }
            ([a, ..], Width::Any) if a.is_ascii_digit() => {
                let n = digits(&[*a])?;
                self.advance(1)?;
                Some(n)
            }
            _ => None,
        }
    }

    fn second(&mut self, chunk: Chunk, rest: &str) -> Option<()> {
        let width = if chunk == Chunk::ZeroSecond {
            Width::Two
        } else {
            Width::Any
        };
        self.parts.second = self.number(width)?;
        let next = next_chunk(rest);
        if next.0.is_empty() && matches!(next.1, Some(Chunk::Fraction(_) | Chunk::FractionMaybe)) {
            return Some(());
        }
        self.fraction()
    }

    fn day_of_year(&mut self, chunk: Chunk) -> Option<()> {
        let text = self.text.get(..3)?;
        let number = if chunk == Chunk::UnderDayOfYear {
            text.trim_start_matches(' ')
        } else {
            text
        };
        let n = digits(number.as_bytes()).filter(|n| (1..=366).contains(n))?;
        self.parts.day_of_year = Some(n);
        self.advance(3)
    }

    fn half(&mut self, chunk: Chunk) -> Option<()> {
        let (am, pm) = if chunk == Chunk::Pm {
            ("AM", "PM")
        } else {
            ("am", "pm")
        };
        let text = self.text.get(..2)?;
        self.parts.afternoon = match text {
            _ if text == pm => Some(Half::Pm),
            _ if text == am => Some(Half::Am),
            _ => return None,
        };
        self.advance(2)
    }

    fn offset(&mut self, z: bool, colons: bool, fields: u8) -> Option<()> {
        if z && self.text.starts_with('Z') {
            self.parts.offset = Some(0);
            return self.advance(1);
        }
        let sign = match self.bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (mut at, mut total) = (1, 0);
        for (field, unit) in (0..fields).zip([3_600, 60, 1]) {
            if field > 0 && colons {
                if self.bytes().get(at) != Some(&b':') {
                    return None;
                }
                at += 1;
            }
            let n = digits(self.bytes().get(at..at + 2)?)?;
            if n > if field == 0 { 24 } else { 60 } {
                return None;
            }
            (total, at) = (total + n * unit, at + 2);
        }
        self.parts.offset = i32::try_from(sign * total).ok();
        self.advance(at)
    }

    /// A zone's name tells no offset, but for `UTC` and `GMT+3`; others count as UTC, as in Go
    /// when the machine's own zone is UTC.
    fn zone(&mut self) -> Option<()> {
        if let Some(rest) = self.text.strip_prefix("UTC") {
            (self.text, self.parts.offset) = (rest, Some(0));
            return Some(());
        }
        if self.text.starts_with("ChST") || self.text.starts_with("MeST") {
            return self.advance(4);
        }
        let gmt = self.text.starts_with("GMT");
        if gmt || self.text.starts_with(['+', '-']) {
            let start = if gmt { 3 } else { 0 };
            let (len, hours) = signed_hours(self.text.get(start..)?.as_bytes());
            if len == 0 && !gmt {
                return None;
            }
            if gmt && len > 0 {
                self.parts.offset = Some(hours * 3_600);
            }
            return self.advance(start + len);
        }
        let upper = self
            .bytes()
            .iter()
            .take(6)
            .take_while(|b| b.is_ascii_uppercase())
            .count();
        let name = self.text.get(..upper)?;
        let good = match upper {
            3 => true,
            4 => name.ends_with('T') || name == "WITA",
            5 => name.ends_with('T'),
            _ => false,
        };
        if good { self.advance(upper) } else { None }
    }
}

/// `+3` or `-11`: its length and hours; length 0 when there is none (Go allows -23 to +23).
fn signed_hours(text: &[u8]) -> (usize, i32) {
    let sign = match text.first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return (0, 0),
    };
    let count = text
        .iter()
        .skip(1)
        .take_while(|b| b.is_ascii_digit())
        .count();
    match text
        .get(1..=count)
        .filter(|_| (1..=2).contains(&count))
        .and_then(digits)
    {
        Some(hours) if hours <= 23 => (1 + count, sign * i32::try_from(hours).unwrap_or(0)),
        _ => (0, 0),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// One digit or two.
    Any,
    Two,
}
