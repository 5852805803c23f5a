//! Dates as Go's `time.Parse` reads them.
//!
//! Rules name date layouts in Go's notation (the reference time is `Mon Jan 2 15:04:05 MST 2006`)
//! and rely on Go's leniency: a run of spaces in the layout matches any run, a fraction of a second
//! is read even where the layout has none, `_2` takes a space or a digit. Pure: "now" is an
//! argument, needed because most syslog dates have no year. The common forms are read by hand
//! before any layout is tried.

use std::fmt::Write as _;

use model::Timestamp;

/// An instant and the offset it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub time: Timestamp,
    /// Seconds east of UTC.
    pub offset: i32,
}

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// What dates are tried against when a rule names no layout, in this order.
pub const LAYOUTS: [&str; 16] = [
    RFC3339,
    "02/Jan/2006:15:04:05 -0700",
    "Mon Jan 2 15:04:05 2006",
    "02-Jan-2006 15:04:05 europe/paris",
    "01/02/2006 15:04:05",
    "2006-01-02 15:04:05.999999999 -0700 MST",
    "Jan  2 15:04:05",
    "Mon Jan 02 15:04:05.000000 2006",
    "2006-01-02T15:04:05Z07:00",
    "2006/01/02",
    "2006/01/02 15:04",
    "2006/01/02 15:04:05",
    "2006-01-02",
    "2006-01-02 15:04",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05",
];

/// Longer texts are no dates.
const TEXT_MAX: usize = 256;

/// Reads `text` by `layout` if one is given, else by the usual layouts, else as Unix seconds.
pub fn read(text: &str, layout: &str, now: Timestamp) -> Option<Date> {
    if text.len() > TEXT_MAX || layout.len() > TEXT_MAX {
        return None;
    }
    if !layout.is_empty()
        && let Some(date) = parse(layout, text, now)
    {
        return Some(date);
    }
    quick(text, now)
        .or_else(|| LAYOUTS.iter().find_map(|layout| parse(layout, text, now)))
        .or_else(|| unix_seconds(text))
}

/// Reads what [`write`] wrote.
pub fn read_rfc3339(text: &str, now: Timestamp) -> Option<Date> {
    quick(text, now).or_else(|| parse(RFC3339, text, now))
}

/// Go's RFC 3339 with nanoseconds, trailing zeros left out, in the date's own offset.
pub fn write(date: Date, out: &mut String) {
    let local = date.time.seconds().saturating_add(i64::from(date.offset));
    let (days, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
    let nanos = date.time.nanos().rem_euclid(1_000_000_000);
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    if date.offset == 0 {
        out.push('Z');
    } else {
        let sign = if date.offset < 0 { '-' } else { '+' };
        let minutes = date.offset.unsigned_abs() / 60;
        let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

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

/// The forms that nearly all lines have; `None` means "ask the layouts", never "no date".
fn quick(text: &str, now: Timestamp) -> Option<Date> {
    let b = text.as_bytes();
    let mut parts = Parts::default();
    match b {
        // Jan _2 15:04:05
        [m0, m1, m2, b' ', d0, d1, b' ', clock @ ..] if clock.len() == 8 => {
            parts.month = month(&[*m0, *m1, *m2])?;
            parts.day = if *d0 == b' ' {
                digits(&[*d1])?
            } else {
                digits(&[*d0, *d1])?
            };
            parts.clock(clock)?;
        }
        // 02/Jan/2006:15:04:05 -0700
        [d0, d1, b'/', m0, m1, m2, b'/', rest @ ..] if rest.len() == 19 => {
            let [y0, y1, y2, y3, b':', clock @ .., b' ', sign, h0, h1, o0, o1] = rest else {
                return None;
            };
            parts.day = digits(&[*d0, *d1])?;
            parts.month = month(&[*m0, *m1, *m2])?;
            parts.year = digits(&[*y0, *y1, *y2, *y3])?;
            parts.clock(clock)?;
            parts.offset = Some(offset(*sign, &[*h0, *h1], &[*o0, *o1])?);
        }
        // 2006-01-02T15:04:05[.999999999]Z07:00
        [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', rest @ ..] => {
            parts.year = digits(&[*y0, *y1, *y2, *y3])?;
            parts.month = digits(&[*m0, *m1])?;
            parts.day = digits(&[*d0, *d1])?;
            parts.clock(rest.get(..8)?)?;
            let rest = parts.fraction(rest.get(8..)?);
            parts.offset = Some(match rest {
                [b'Z'] => 0,
                [sign, h0, h1, b':', o0, o1] => offset(*sign, &[*h0, *h1], &[*o0, *o1])?,
                _ => return None,
            });
        }
        _ => return None,
    }
    parts.date(now)
}

fn unix_seconds(text: &str) -> Option<Date> {
    let seconds: i64 = text.parse().ok()?;
    let time = Timestamp::from_nanos(seconds.checked_mul(1_000_000_000)?);
    Some(Date { time, offset: 0 })
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0_i64, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0'))
    })
}

fn offset(sign: u8, hours: &[u8], minutes: &[u8]) -> Option<i32> {
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    if hours > 24 || minutes > 60 {
        return None;
    }
    let seconds = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

fn month(short: &[u8; 3]) -> Option<i64> {
    let found = MONTHS.iter().position(|name| {
        name.as_bytes()
            .get(..3)
            .is_some_and(|n| n.eq_ignore_ascii_case(short))
    })?;
    i64::try_from(found + 1).ok()
}

/// What a text said so far. Fields that it did not mention keep Go's defaults.
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i64,
    afternoon: Option<Half>,
    offset: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Am,
    Pm,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            year: 0,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            minute: 0,
            second: 0,
            nanos: 0,
            afternoon: None,
            offset: None,
        }
    }
}

impl Parts {
    /// `15:04:05`.
    fn clock(&mut self, text: &[u8]) -> Option<()> {
        let [h0, h1, b':', m0, m1, b':', s0, s1] = text else {
            return None;
        };
        self.hour = digits(&[*h0, *h1])?;
        self.minute = digits(&[*m0, *m1])?;
        self.second = digits(&[*s0, *s1])?;
        Some(())
    }

    /// Takes a fraction of a second off the front of `text`, if there is one.
    fn fraction<'t>(&mut self, text: &'t [u8]) -> &'t [u8] {
        let [b'.' | b',', rest @ ..] = text else {
            return text;
        };
        let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 {
            return text;
        }
        self.nanos = nanos(rest.get(..count).unwrap_or_default());
        rest.get(count..).unwrap_or_default()
    }

    fn date(mut self, now: Timestamp) -> Option<Date> {
        match self.afternoon {
            Some(Half::Pm) if self.hour < 12 => self.hour += 12,
            Some(Half::Am) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if let Some(n) = self.day_of_year {
            let (_, month, day) = civil(days_from_civil(self.year, 1, 1) + n - 1);
            (self.month, self.day) = (month, day);
        }
        let in_range = (1..=12).contains(&self.month)
            && (1..=days_in(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !in_range {
            return None;
        }
        if self.year == 0 {
            self.year = civil(now.seconds().div_euclid(86_400)).0;
        }
        let offset = self.offset.unwrap_or(0);
        let days = days_from_civil(self.year, self.month, self.day);
        let clock = self.hour * 3_600 + self.minute * 60 + self.second;
        let seconds = days * 86_400 + clock - i64::from(offset);
        let nanos = seconds
            .checked_mul(1_000_000_000)?
            .checked_add(self.nanos)?;
        Some(Date {
            time: Timestamp::from_nanos(nanos),
            offset,
        })
    }
}

/// Digits after the decimal point; those beyond the ninth do not count.
fn nanos(digits: &[u8]) -> i64 {
    let mut value = 0;
    for i in 0..9 {
        value = value * 10 + digits.get(i).map_or(0, |b| i64::from(b.wrapping_sub(b'0')));
    }
    value
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; the year is counted from
/// March so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T20:15:00Z".parse().unwrap()
    }

    fn text(date: Date) -> String {
        let mut out = String::new();
        write(date, &mut out);
        out
    }

    fn via(layout: &str, value: &str) -> Option<String> {
        parse(layout, value, now()).map(text)
    }

    fn any(value: &str) -> Option<String> {
        read(value, "", now()).map(text)
    }

    #[test]
    fn the_usual_layouts() {
        for (given, wanted) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            (
                "2026-01-02T03:04:05.120+02:00",
                "2026-01-02T03:04:05.12+02:00",
            ),
            ("02/Jan/2026:03:04:05 -0730", "2026-01-02T03:04:05-07:30"),
            ("Fri Jan 2 03:04:05 2026", "2026-01-02T03:04:05Z"),
            ("02-Jan-2026 03:04:05 europe/paris", "2026-01-02T03:04:05Z"),
            ("01/02/2026 03:04:05", "2026-01-02T03:04:05Z"),
            (
                "2026-01-02 03:04:05.5 +0100 CET",
                "2026-01-02T03:04:05.5+01:00",
            ),
            ("Jan  2 03:04:05", "2026-01-02T03:04:05Z"),
            ("Jan 12 03:04:05", "2026-01-12T03:04:05Z"),
            ("Jan 2 03:04:05.25", "2026-01-02T03:04:05.25Z"),
            (
                "Fri Jan 02 03:04:05.123456 2026",
                "2026-01-02T03:04:05.123456Z",
            ),
            ("2026/01/02", "2026-01-02T00:00:00Z"),
            ("2026/01/02 03:04", "2026-01-02T03:04:00Z"),
            ("2026/01/02 03:04:05", "2026-01-02T03:04:05Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("2026-01-02 03:04", "2026-01-02T03:04:00Z"),
            ("2026-01-02 03:04:05,5", "2026-01-02T03:04:05.5Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
            ("1767323045", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(any(given).as_deref(), Some(wanted), "{given}");
        }
        for bad in [
            "",
            "x",
            "2026-02-30",
            "Jan 32 03:04:05",
            "2026-13-01T00:00:00Z",
            "24:00:00",
            "2026-01-02T24:04:05Z",
            "99999999999999999999",
            "9223372036854775807",
            "Jan 2",
        ] {
            assert_eq!(any(bad), None, "{bad}");
        }
    }

    #[test]
    fn layouts_read_as_go_reads_them() {
        for (layout, given, wanted) in [
            ("Jan _2 15:04:05", "Feb  3 01:02:03", "2026-02-03T01:02:03Z"),
            (
                "2006-01-02 15:04:05",
                "2026-01-02    03:04:05.9",
                "2026-01-02T03:04:05.9Z",
            ),
            ("02/01/06 3:04PM", "05/04/26 1:30PM", "2026-04-05T13:30:00Z"),
            (
                "02/01/06 03:04 pm",
                "05/04/70 12:30 am",
                "1970-04-05T00:30:00Z",
            ),
            (
                "Monday, January 2 2006",
                "friday, MAY 1 2026",
                "2026-05-01T00:00:00Z",
            ),
            (
                "2006-01-02 15:04:05.000",
                "2026-01-02 03:04:05.123",
                "2026-01-02T03:04:05.123Z",
            ),
            ("2006-002", "2026-032", "2026-02-01T00:00:00Z"),
            (
                "Jan 2 15:04:05 MST 2006",
                "Jan 2 03:04:05 GMT-3 2026",
                "2026-01-02T03:04:05-03:00",
            ),
            (
                "Jan 2 15:04:05 MST 2006",
                "Jan 2 03:04:05 CEST 2026",
                "2026-01-02T03:04:05Z",
            ),
            (
                "2006-01-02T15:04:05Z0700",
                "2026-01-02T03:04:05+0100",
                "2026-01-02T03:04:05+01:00",
            ),
            (
                "2006-01-02T15:04:05-07",
                "2026-01-02T03:04:05-01",
                "2026-01-02T03:04:05-01:00",
            ),
            ("Month 1 2006", "Month 7 2026", "2026-07-01T00:00:00Z"),
            ("20060102 150405", "20260102 030405", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(
                via(layout, given).as_deref(),
                Some(wanted),
                "{layout} {given}"
            );
        }
        for (layout, given) in [
            ("2006-01-02", "2026-1-02"),
            ("2006-01-02 15:04", "2026-01-02T03:04"),
            ("15:04:05.000", "03:04:05.12"),
            ("2006-01-02", "2026-01-02 "),
            ("3:04PM", "13:04PM"),
            ("MST", "ABCDEF"),
        ] {
            assert_eq!(via(layout, given), None, "{layout} {given}");
        }
    }

    #[test]
    fn a_named_layout_comes_first_and_the_usual_ones_after() {
        let read = |value: &str| read(value, "02.01.2006", now()).map(text);
        assert_eq!(read("03.02.2026").as_deref(), Some("2026-02-03T00:00:00Z"));
        assert_eq!(read("2026/01/02").as_deref(), Some("2026-01-02T00:00:00Z"));
    }

    #[test]
    fn a_leap_day_without_a_year_normalises() {
        assert_eq!(
            any("Feb 29 00:00:00").as_deref(),
            Some("2026-03-01T00:00:00Z")
        );
    }

    proptest! {
        #[test]
        fn the_quick_way_agrees_with_the_layouts(
            seconds in 0_i64..4_000_000_000, form in 0..3, cut in 0_usize..40, junk in "[ -~]{0,2}",
        ) {
            let (y, m, d) = civil(seconds / 86_400);
            let name = &MONTHS[m as usize - 1][..3];
            let (h, n, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
            let clock = format!("{h:02}:{n:02}:{s:02}");
            let mut value = match form {
                0 => format!("{name} {d:2} {clock}"),
                1 => format!("{d:02}/{name}/{y:04}:{clock} +0130"),
                _ => format!("{y:04}-{m:02}-{d:02}T{clock}.25-02:00"),
            };
            value.insert_str(cut.min(value.len()), &junk);
            if let Some(date) = quick(&value, now()) {
                let slow = LAYOUTS.iter().find_map(|l| parse(l, &value, now()));
                prop_assert_eq!(Some(date), slow, "{}", value);
            }
        }

        #[test]
        fn any_layout_and_text_are_safe(layout in "[ -~é]{0,30}", value in "[ -~é]{0,30}") {
            let _ = read(&value, &layout, now());
        }

        #[test]
        fn what_is_written_reads_back(nanos in i64::MIN..=i64::MAX, minutes in -1439..=1439) {
            let date = Date { time: Timestamp::from_nanos(nanos), offset: minutes * 60 };
            prop_assume!(nanos.checked_add(i64::from(date.offset) * 1_000_000_000).is_some());
            prop_assert_eq!(parse(LAYOUTS[0], &text(date), now()), Some(date));
        }
    }
}
