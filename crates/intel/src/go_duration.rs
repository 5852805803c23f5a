//! A Go `time.Duration` as text: `4h0m0s`, `1.5s`, `-1m3s`, `300ms`.
//!
//! The Local API writes what is left of a decision this way, with a minus when it is over, and
//! programs send their ban times this way. Differs from [`model::parse_duration`] in the sign and
//! in reading exactly what Go reads; `d` (24 h), which newer CrowdSec versions take, is read too.

use std::{fmt, str::FromStr};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Longer texts are refused unread; Go's longest own form has 25 bytes.
const TEXT_BYTES_MAX: usize = 64;

/// Nanoseconds with a sign, as Go counts: at most 292 years either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// The text was not a Go duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write numbers with units (h, m, s, ms), such as 4h or 1h30m")]
pub struct GoDurationError(String);

impl GoDuration {
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Rounded to whole seconds, halves away from zero, as `Duration.Round` does.
    pub const fn from_millis_rounded(millis: i64) -> Self {
        let half = if millis < 0 { -500 } else { 500 };
        Self::from_seconds(millis.saturating_add(half) / 1_000)
    }

    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds, cut towards zero.
    pub const fn seconds(self) -> i64 {
        self.0 / NANOS_PER_SECOND
    }
}

impl FromStr for GoDuration {
    type Err = GoDurationError;

    fn from_str(text: &str) -> Result<Self, GoDurationError> {
        let fail = || GoDurationError(text.chars().take(TEXT_BYTES_MAX).collect());
        if text.len() > TEXT_BYTES_MAX {
            return Err(fail());
        }
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(fail());
        }
        let mut total = 0i128;
        while !rest.is_empty() {
            let (nanos, next) = part(rest).ok_or_else(fail)?;
            total += nanos;
            rest = next;
        }
        let total = if negative { -total } else { total };
        i64::try_from(total).map(Self).map_err(|_| fail())
    }
}

/// One number with its unit, in nanoseconds, and what follows.
fn part(text: &str) -> Option<(i128, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(digits(rest))?,
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, next) = rest.split_at_checked(end)?;
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    // Nineteen digits are more than any duration has, and keep the arithmetic in range.
    if whole.len() > 19 {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut nanos = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.bytes() {
        scale /= 10;
        nanos += i128::from(digit - b'0') * scale;
    }
    Some((nanos, next))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{nanos}ns"),
            1_000..1_000_000 => return decimal(f, nanos, 1_000, 3, "µs"),
            1_000_000..1_000_000_000 => return decimal(f, nanos, 1_000_000, 6, "ms"),
            _ => {}
        }
        let minute = 60_000_000_000;
        let (hours, minutes) = (nanos / (60 * minute), nanos / minute % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        decimal(f, nanos % minute, 1_000_000_000, 9, "s")
    }
}

/// `nanos` in a unit of `size` nanoseconds, without trailing zeroes.
fn decimal(
    f: &mut fmt::Formatter<'_>,
    nanos: u64,
    size: u64,
    places: usize,
    unit: &str,
) -> fmt::Result {
    let (whole, rest) = (nanos / size, nanos % size);
    if rest == 0 {
        return write!(f, "{whole}{unit}");
    }
    let rest = format!("{rest:0places$}");
    write!(f, "{whole}.{}{unit}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("4h", 14_400 * NANOS_PER_SECOND),
            ("3h59m57s", 14_397 * NANOS_PER_SECOND),
            ("-1m3s", -63 * NANOS_PER_SECOND),
            ("+5s", 5 * NANOS_PER_SECOND),
            ("123.4s", 123_400_000_000),
            (".5s", 500_000_000),
            ("5.s", 5 * NANOS_PER_SECOND),
            ("1.9ms", 1_900_000),
            ("10us", 10_000),
            ("10µs", 10_000),
            ("7d", 7 * 86_400 * NANOS_PER_SECOND),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().nanos(), nanos, "{text}");
        }
        for bad in [
            "",
            "-",
            "4",
            "h",
            ".s",
            "4x",
            "1h-",
            " 4h",
            "4 h",
            "1e3s",
            "é",
            "3000000h",
            "--1s",
            "99999999999999999999s",
        ] {
            assert!(bad.parse::<GoDuration>().is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_what_go_writes() {
        for (seconds, text) in [
            (0, "0s"),
            (57, "57s"),
            (240, "4m0s"),
            (14_400, "4h0m0s"),
            (14_397, "3h59m57s"),
            (-63, "-1m3s"),
            (604_800, "168h0m0s"),
        ] {
            assert_eq!(GoDuration::from_seconds(seconds).to_string(), text);
        }
        assert_eq!(GoDuration(1_500_000).to_string(), "1.5ms");
        assert_eq!(GoDuration(2_000).to_string(), "2µs");
        assert_eq!(GoDuration(1_100_000_000).to_string(), "1.1s");
        assert_eq!(
            GoDuration::from_millis_rounded(14_399_500).to_string(),
            "4h0m0s"
        );
        assert_eq!(GoDuration::from_millis_rounded(-1_499).to_string(), "-1s");
    }

    proptest! {
        #[test]
        fn text_round_trips(nanos: i64) {
            let duration = GoDuration(nanos);
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,70}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
