//! Spans of time as people say them.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The two largest units that are not nothing: `60 days`, `2 days 3 h`, `1 h 30 min`, `5 s`.
pub fn span_in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours) = (seconds / DAY, seconds % DAY / HOUR);
    let (minutes, rest) = (seconds % HOUR / MINUTE, seconds % MINUTE);
    let day = |n: u64| {
        if n == 1 {
            "1 day".to_owned()
        } else {
            format!("{n} days")
        }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, n) => format!("{n} min"),
        (0, n, 0) => format!("{n} h"),
        (0, n, m) => format!("{n} h {m} min"),
        (n, 0, _) => day(n),
        (n, h, _) => format!("{} {h} h", day(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_their_largest_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (90, "1 min"),
            (8 * HOUR, "8 h"),
            (5_400, "1 h 30 min"),
            (DAY, "1 day"),
            (60 * DAY, "60 days"),
            (3 * DAY + HOUR + 5, "3 days 1 h"),
        ] {
            assert_eq!(span_in_words(Duration::from_secs(seconds)), words);
        }
    }
}
