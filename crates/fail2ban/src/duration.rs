//! fail2ban's time spans: seconds, or numbers with units that add up (`1h 30m`, `2w`, `1mo`).

/// Whole seconds of `text`; `None` when it cannot be read. Negative spans (`-1`: for ever) are
/// kept.
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(seconds);
    }
    let mut total = 0f64;
    let mut rest = text;
    let (sign, unsigned) = match rest.strip_prefix('-') {
        Some(unsigned) => (-1.0, unsigned),
        None => (1.0, rest),
    };
    rest = unsigned;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        total += number * unit_seconds(unit)?;
        rest = after.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | '+'));
    }
    let total = total * sign;
    (total.abs() < 1e15).then_some(total as i64)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "se" | "sec" | "secs" | "ss" | "second" | "seconds" => 1.0,
        "m" | "mi" | "min" | "mins" | "mm" | "minute" | "minutes" => 60.0,
        "h" | "ho" | "hour" | "hours" | "hh" => 3_600.0,
        "d" | "da" | "day" | "days" | "dd" => 86_400.0,
        "w" | "we" | "week" | "weeks" | "ww" => 604_800.0,
        // A month and a year by the mean length in the Gregorian calendar's four-year round.
        "mo" | "mon" | "month" | "months" => 2_629_800.0,
        "y" | "ye" | "year" | "years" | "yy" => 31_557_600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, expected) in [
            ("600", Some(600)),
            ("10m", Some(600)),
            ("1h 30m", Some(5_400)),
            ("1d12h", Some(129_600)),
            ("1w", Some(604_800)),
            ("1mo", Some(2_629_800)),
            ("1.5h", Some(5_400)),
            ("-1", Some(-1)),
            ("-10m", Some(-600)),
            ("2 hours", Some(7_200)),
            ("", None),
            ("1x", None),
            ("h", None),
            ("9999999999999999y", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
