//! A point in time: nanoseconds since the Unix epoch, UTC. Written as RFC 3339.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Nanoseconds since 1970-01-01T00:00:00Z. Ranges from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    pub const fn nanos(self) -> i64 {
        self.0
    }

    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// `self` plus `span`, or the last representable instant.
    pub fn plus(self, span: Duration) -> Self {
        Self(i64::try_from(span.as_nanos()).map_or(i64::MAX, |n| self.0.saturating_add(n)))
    }

    /// `self` minus `span`, or the first representable instant.
    pub fn minus(self, span: Duration) -> Self {
        Self(i64::try_from(span.as_nanos()).map_or(i64::MIN, |n| self.0.saturating_sub(n)))
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(t: jiff::Timestamp) -> Self {
        Self(i64::try_from(t.as_nanosecond()).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(t: Timestamp) -> Self {
        Self::from_nanosecond(i128::from(t.0)).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// Bytes of the longest text: `2026-11-21T20:15:00.123456789Z`.
const TEXT_BYTES: usize = 30;
/// Where the fraction of a second begins, with its point.
const FRACTION: usize = 19;

impl Timestamp {
    /// Alerts hold many times, so this goes neither through `fmt` nor through 128-bit numbers.
    pub(crate) fn with_text<T>(self, read: impl FnOnce(&str) -> T) -> T {
        let seconds = self.seconds();
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        // The range of this type has years of four digits only.
        put(&mut text, 0..4, year);
        put(&mut text, 5..7, month);
        put(&mut text, 8..10, day);
        let second = second as u32;
        put(&mut text, 11..13, second / 3_600);
        put(&mut text, 14..16, second / 60 % 60);
        put(&mut text, 17..19, second % 60);
        let nanos = self.0.rem_euclid(1_000_000_000) as u32;
        let end = if nanos == 0 {
            FRACTION
        } else {
            put(&mut text, FRACTION + 1..TEXT_BYTES - 1, nanos);
            let digits = text.get(..TEXT_BYTES - 1).unwrap_or_default();
            digits
                .iter()
                .rposition(|digit| *digit != b'0')
                .map_or(0, |last| last + 1)
        };
        if let Some(end) = text.get_mut(end) {
            *end = b'Z';
        }
        let text = text.get(..=end).unwrap_or_default();
        read(std::str::from_utf8(text).unwrap_or_default())
    }
}

/// Year, month and day of a day since 1970, where the year has four digits: days are counted from
/// a 1st of March, so that the day that some years have more comes last (Neri and Schneider,
/// "Euclidean affine functions and their application to calendar algorithms", 2022).
const fn civil(days: i64) -> (u32, u32, u32) {
    // From the 1st of March of the year 0.
    let number = (days + 719_468) as u32;
    let (century, of_century) = ((4 * number + 3) / 146_097, (4 * number + 3) % 146_097 / 4);
    let (year, of_year) = (
        (4 * of_century + 3) / 1_461,
        (4 * of_century + 3) % 1_461 / 4,
    );
    let (month, of_month) = ((5 * of_year + 2) / 153, (5 * of_year + 2) % 153 / 5);
    let is_next = month >= 10;
    (
        100 * century + year + is_next as u32,
        if is_next { month - 9 } else { month + 3 },
        of_month + 1,
    )
}

/// Writes a number's digits into their places.
fn put(text: &mut [u8], place: std::ops::Range<usize>, mut number: u32) {
    for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The text was not an RFC 3339 time with an offset.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-11-21T20:15:00Z")]
pub struct TimestampError(String);

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse::<jiff::Timestamp>()
            .map(Self::from)
            .map_err(|_| TimestampError(s.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| s.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_to_the_nanosecond() {
        let t = Timestamp::from_nanos(1_795_000_000_123_456_789);
        assert_eq!(t.to_string().parse::<Timestamp>().unwrap(), t);
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00Z");
    }

    proptest::proptest! {
        #[test]
        fn is_written_as_the_library_writes_it(nanos: i64, digits in 0_u32..10) {
            let unit = 10_i64.pow(digits);
            for nanos in [nanos, nanos / unit * unit, i64::MIN, i64::MAX] {
                let time = Timestamp::from_nanos(nanos);
                let expected = jiff::Timestamp::from(time).to_string();
                proptest::prop_assert_eq!(time.to_string(), expected);
            }
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH.since(Timestamp::MAX), Duration::ZERO);
    }
}
