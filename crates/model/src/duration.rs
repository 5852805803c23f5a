//! Durations as operators and rule authors write them: Go's form (`1h30m`, `0.5s`, `250ms`), with
//! `d` (24 h) and `w` (7 d) added.

use std::time::Duration;

/// The text was not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a duration; write a number and a unit (ms, s, m, h, d, w), such as 4h or 1h30m"
)]
pub struct DurationError(String);

/// Reads `4h`, `1h30m`, `0.5s`, `2d`, `1w`. A bare `0` is allowed, a negative value is not.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = || DurationError(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total = 0f64;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(fail)?;
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(fail)?;
        let value: f64 = number.parse().map_err(|_| fail())?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(unit_end).ok_or_else(fail)?;
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 604_800.0,
            _ => return Err(fail()),
        };
        total += value * scale;
        rest = next;
    }
    Duration::try_from_secs_f64(total).map_err(|_| fail())
}

/// Writes a duration the way Go does (`4h0m0s`, `1m30s`, `250ms`), rounded to the millisecond.
pub fn format_duration(d: Duration) -> String {
    let millis = d.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (seconds, rest) = (millis / 1_000, millis % 1_000);
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:03}").trim_end_matches('0').to_owned()
    };
    match (h, m) {
        (0, 0) => format!("{s}{fraction}s"),
        (0, _) => format!("{m}m{s}{fraction}s"),
        _ => format!("{h}h{m}m{s}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_duration("4h").unwrap(), Duration::from_secs(14_400));
        assert_eq!(parse_duration("1h30m").unwrap(), Duration::from_secs(5_400));
        assert_eq!(parse_duration("0.5s").unwrap(), Duration::from_millis(500));
        assert_eq!(parse_duration("2d").unwrap(), Duration::from_secs(172_800));
        for bad in [
            "",
            "4",
            "h",
            "4x",
            "-1h",
            "1h-",
            "4 h x",
            "é",
            "99999999999999999999w",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_what_go_writes() {
        assert_eq!(format_duration(Duration::from_secs(14_400)), "4h0m0s");
        assert_eq!(format_duration(Duration::from_millis(90_500)), "1m30.5s");
        assert_eq!(format_duration(Duration::from_millis(7)), "7ms");
    }
}
