//! Dates as Go's `time.Parse` reads them.
//!
//! Rules name date layouts in Go's notation (the reference time is `Mon Jan 2 15:04:05 MST 2006`)
//! and rely on Go's leniency: a run of spaces in the layout matches any run, a fraction of a second
//! is read even where the layout has none, `_2` takes a space or a digit. Pure: "now" is an
//! argument, needed because most syslog dates have no year. The common forms are read by hand
//! before any layout is tried.

mod layout;

use std::fmt::Write as _;

use model::Timestamp;

pub use self::layout::parse;

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
    if (0..=9_999).contains(&year) {
        two(out, year / 100);
        two(out, year % 100);
    } else {
        let _ = write!(out, "{year:04}");
    }
    let clock = [second / 3_600, second / 60 % 60, second % 60];
    for (mark, number) in ['-', '-', 'T', ':', ':']
        .into_iter()
        .zip([month, day].into_iter().chain(clock))
    {
        out.push(mark);
        two(out, number);
    }
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

/// Every dated line is written anew, so this does not go through `fmt`. `number` has two digits.
fn two(out: &mut String, number: i64) {
    for digit in [number / 10, number % 10] {
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
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

/// Seconds since 1970, perhaps with a fraction or an exponent (`1.7e+09`); the fraction is dropped,
/// as existing content expects.
fn unix_seconds(text: &str) -> Option<Date> {
    let seconds = text.parse::<f64>().ok().filter(|s| s.abs() < 9e9)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "in range, and only whole seconds count"
    )]
    let time = Timestamp::from_seconds(seconds as i64);
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

#[cfg(test)]
mod tests;
