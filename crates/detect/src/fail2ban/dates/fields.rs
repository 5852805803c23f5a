//! The parts of a written date, and the time they make.

use jiff::{
    civil,
    tz::{Offset, TimeZone},
};
use model::Timestamp;

use super::Frame;

/// What a date says; what it does not say comes from "now". Fractions of a second are not kept:
/// fail2ban drops them too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    /// Whether a twelve-hour clock is past noon.
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    /// Seconds east of UTC.
    offset: Option<i64>,
    /// The date is a number of seconds.
    unix: Option<i64>,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

pub(super) fn digits(text: &str) -> Option<i64> {
    text.trim_start().parse().ok()
}

fn month(name: &[u8]) -> Option<i64> {
    let at = MONTHS.iter().position(|m| {
        name.get(..3)
            .is_some_and(|n| n.eq_ignore_ascii_case(m.as_bytes()))
    })?;
    i64::try_from(at + 1).ok()
}

impl Fields {
    /// `Jan _2 15:04:05`.
    pub(super) fn syslog(text: &[u8]) -> Option<Self> {
        let two = |at: usize| {
            let (a, b) = (*text.get(at)?, *text.get(at + 1)?);
            let a = if a == b' ' { b'0' } else { a };
            (a.is_ascii_digit() && b.is_ascii_digit())
                .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
        };
        let fields = Self {
            month: Some(month(text)?),
            day: Some(two(4).filter(|d| (1..=31).contains(d))?),
            hour: two(7).filter(|h| *h < 24)?,
            minute: two(10).filter(|m| *m < 60)?,
            second: two(13).filter(|s| *s < 62)?,
            ..Self::default()
        };
        Some(fields)
    }

    /// Takes in what the code of this letter stands for.
    pub(super) fn read(&mut self, letter: char, text: &str) -> Option<()> {
        match letter {
            'Y' => self.year = Some(digits(text)?),
            // Two digits are of this century.
            'y' => self.year = Some(digits(text)? + 2_000),
            'm' => self.month = Some(digits(text)?),
            'b' => self.month = Some(month(text.as_bytes())?),
            'd' => self.day = Some(digits(text)?),
            'j' => self.day_of_year = Some(digits(text)?),
            'H' => self.hour = digits(text)?,
            'I' => self.hour = digits(text)? % 12,
            'M' => self.minute = digits(text)?,
            'S' => self.second = digits(text)?,
            'p' => self.afternoon = Some(text.starts_with(['p', 'P'])),
            'z' | 'Z' => self.offset = offset(text),
            's' => self.unix = Some(digits(text)?),
            _ => {}
        }
        Some(())
    }

    pub(super) fn time(&self, frame: Frame<'_>) -> Option<Timestamp> {
        if let Some(seconds) = self.unix {
            return Some(Timestamp::from_nanos(seconds.checked_mul(1_000_000_000)?));
        }
        let here = self
            .offset
            .and_then(|o| i32::try_from(o).ok())
            .and_then(|o| Offset::from_seconds(o).ok())
            .map(TimeZone::fixed);
        let zone = here.as_ref().unwrap_or(frame.zone);
        let needs_now = self.year.is_none() || (self.month.is_none() && self.day.is_none());
        if !needs_now {
            return self.in_year(self.year?, zone, None);
        }
        let now = jiff::Timestamp::from_nanosecond(i128::from(frame.now.nanos())).ok()?;
        let today = now.to_zoned(zone.clone()).date();
        let year = self.year.unwrap_or_else(|| i64::from(today.year()));
        let time = self.in_year(year, zone, Some(today))?;
        let ahead = time.nanos() - frame.now.nanos();
        if self.month.is_none() && self.day.is_none() && self.day_of_year.is_none() {
            // A time alone is today's, or yesterday's if that is still to come.
            return Some(if ahead > 0 {
                Timestamp::from_nanos(time.nanos() - DAY_NANOS)
            } else {
                time
            });
        }
        // A day of clocks that differ is allowed for.
        if self.year.is_none() && ahead > DAY_NANOS {
            return self.in_year(year - 1, zone, Some(today));
        }
        Some(time)
    }

    fn in_year(&self, year: i64, zone: &TimeZone, today: Option<civil::Date>) -> Option<Timestamp> {
        let year = i16::try_from(year).ok()?;
        let (month, day) = match (self.month, self.day, self.day_of_year) {
            (None, None, Some(number)) => {
                let first = civil::Date::new(year, 1, 1).ok()?;
                let date = first
                    .checked_add(jiff::Span::new().try_days(number - 1).ok()?)
                    .ok()?;
                (i64::from(date.month()), i64::from(date.day()))
            }
            (None, None, None) => {
                let today = today?;
                (i64::from(today.month()), i64::from(today.day()))
            }
            (month, day, _) => (month.unwrap_or(1), day.unwrap_or(1)),
        };
        let hour = match self.afternoon {
            Some(true) => self.hour % 12 + 12,
            _ => self.hour,
        };
        // Before a leap day of a year that has none: the last of February's own year is unknown.
        let date =
            civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        // A leap second and midnight's 24 run over into what follows.
        let seconds = hour * 3_600 + self.minute * 60 + self.second;
        let midnight = date.to_datetime(civil::Time::midnight());
        if *zone == TimeZone::UTC {
            let days = days_from_civil(i64::from(year), month, day);
            let nanos = (days * 86_400 + seconds).checked_mul(1_000_000_000)?;
            return Some(Timestamp::from_nanos(nanos));
        }
        let local = midnight
            .checked_add(jiff::Span::new().try_seconds(seconds).ok()?)
            .ok()?;
        let time = zone.to_timestamp(local).ok()?;
        let nanos = i64::try_from(time.as_nanosecond()).ok()?;
        Some(Timestamp::from_nanos(nanos))
    }
}

/// Days since 1970-01-01 of a day in the Gregorian calendar.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds east of UTC of `+0200`, `Z` or a zone's usual short name; `None` for others, which are
/// taken as local.
fn offset(text: &str) -> Option<i64> {
    let (name, rest) = match text.find(['+', '-']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let hours = match name {
        "" | "Z" | "UTC" | "GMT" | "WET" => 0,
        "CET" | "BST" | "WEST" | "MEZ" => 1,
        "CEST" | "EET" | "MESZ" => 2,
        "EEST" | "MSK" => 3,
        "MSD" => 4,
        "JST" | "KST" => 9,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    let mut seconds = hours * 3_600;
    if let Some(sign) = rest.chars().next() {
        let number: String = rest.chars().filter(char::is_ascii_digit).collect();
        let hours = digits(number.get(..2)?)?;
        let minutes = number.get(2..4).and_then(digits).unwrap_or(0);
        let own = hours * 3_600 + minutes * 60;
        seconds += if sign == '-' { -own } else { own };
    }
    Some(seconds)
}
