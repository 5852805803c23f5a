//! Times and sums as people write them, the same in every document of a pack.

use model::Timestamp;

/// To the second, in UTC: `2026-11-21 20:15:00 UTC`. The fraction is cut off, not rounded.
pub fn seconds_utc(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.seconds()).to_string();
    let plain = text.trim_end_matches('Z').replace('T', " ");
    format!("{plain} UTC")
}

/// RFC 3339 with three decimals, as STIX has it.
pub(super) fn millis(at: Timestamp) -> String {
    let millis = at.millis().rem_euclid(1_000);
    let text = Timestamp::from_seconds(at.seconds()).to_string();
    format!("{}.{millis:03}Z", text.trim_end_matches('Z'))
}

/// The day in UTC.
pub(super) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Hundredths as a decimal number with thin groups: `1 234.50 EUR`.
pub fn money(hundredths: u64, unit: &str) -> String {
    let whole = (hundredths / 100).to_string();
    let mut grouped = String::new();
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(c);
    }
    let rest = hundredths % 100;
    if rest == 0 {
        format!("{grouped} {unit}")
    } else {
        format!("{grouped}.{rest:02} {unit}")
    }
}

/// On one line and without control characters, cut after `limit` characters.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sums() {
        let at = "2026-11-21T20:15:00.9876Z".parse().unwrap();
        assert_eq!(seconds_utc(at), "2026-11-21 20:15:00 UTC");
        assert_eq!(millis(at), "2026-11-21T20:15:00.987Z");
        assert_eq!(day(at), "2026-11-21");
        assert_eq!(money(123_456_750, "EUR"), "1\u{a0}234\u{a0}567.50 EUR");
        assert_eq!(money(100, "hours"), "1 hours");
        assert_eq!(one_line(" a\nb ", 9), "a b");
    }
}
