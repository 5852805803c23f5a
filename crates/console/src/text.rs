//! Numbers, times and foreign text as people read them. Pure.

use std::time::Duration;

use model::{Timestamp, harmless};

/// Text that an attacker may have chosen: cut, and with nothing in it that is not seen or that
/// turns the reading direction. HTML is escaped where it is made.
pub(crate) fn visible(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => harmless(text).into_owned(),
        Some((end, _)) => {
            let kept = text.get(..end).unwrap_or_default();
            format!("{}…", harmless(kept))
        }
    }
}

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `3.4 MiB`
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut scaled = number as f64;
    let mut unit = "B";
    for next in UNITS {
        unit = next;
        if scaled < 1_024.0 {
            break;
        }
        if next != "PiB" {
            scaled /= 1_024.0;
        }
    }
    if unit == "B" || scaled >= 100.0 {
        format!("{scaled:.0} {unit}")
    } else {
        format!("{scaled:.1} {unit}")
    }
}

/// A number a second: `0`, `0.3`, `12`, `4,210`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second <= 0.0 || !per_second.is_finite() {
        "0".into()
    } else if per_second < 0.05 {
        "<0.1".into()
    } else if per_second < 10.0 {
        format!("{per_second:.1}").trim_end_matches(".0").to_owned()
    } else {
        count(per_second.round() as u64)
    }
}

/// The two largest units: `3 d 4 h`, `1 h 5 min`, `42 s`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (d, h, m, s) = (
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min {s:02} s"),
        (0, _, _) => format!("{h} h {m:02} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// One unit, as "since": `now`, `42 s ago`, `5 min ago`, `3 h ago`, `12 d ago`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.since(then).as_secs() {
        0 => "now".into(),
        s @ 1..=89 => format!("{s} s ago"),
        s @ 90..=5_399 => format!("{} min ago", (s + 30) / 60),
        s @ 5_400..=129_599 => format!("{} h ago", (s + 1_800) / 3_600),
        s => format!("{} d ago", (s + 43_200) / 86_400),
    }
}

/// `21:14:07` of today, `Nov 20 21:14:07` of another day; UTC.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = 86_400;
    let same_day = at.seconds().div_euclid(day) == now.seconds().div_euclid(day);
    let pattern = if same_day {
        "%H:%M:%S"
    } else {
        "%b %-d %H:%M:%S"
    };
    jiff::Timestamp::from(at).strftime(pattern).to_string()
}

/// `2026-11-21 21:14:07.112 UTC`
pub(crate) fn full(at: Timestamp) -> String {
    jiff::Timestamp::from(at)
        .strftime("%Y-%m-%d %H:%M:%S%.3f UTC")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_hides_nothing() {
        assert_eq!(visible("a\u{202e}b\0c", 99), "a\\u{202e}b\\x00c");
        assert_eq!(visible("äöü", 2), "äö…");
        assert_eq!(visible("äö", 2), "äö");
    }

    #[test]
    fn numbers_are_grouped_and_scaled() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(200 << 20), "200 MiB");
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.01), "<0.1");
        assert_eq!(rate(2.0), "2");
        assert_eq!(rate(4_210.4), "4,210");
    }

    #[test]
    fn times_are_short() {
        let at = |s| Timestamp::from_seconds(s);
        assert_eq!(span(Duration::from_secs(14_400)), "4 h 00 min");
        assert_eq!(span(Duration::from_secs(59)), "59 s");
        assert_eq!(span(Duration::from_secs(273_600)), "3 d 4 h");
        assert_eq!(ago(at(100), at(100)), "now");
        assert_eq!(ago(at(200), at(100)), "now");
        assert_eq!(ago(at(0), at(89)), "89 s ago");
        assert_eq!(ago(at(0), at(7_200)), "2 h ago");
        assert_eq!(clock(at(0), at(5)), "00:00:00");
        assert_eq!(clock(at(0), at(86_400)), "Jan 1 00:00:00");
        assert_eq!(
            full(Timestamp::from_millis(1_500)),
            "1970-01-01 00:00:01.500 UTC"
        );
    }
}
