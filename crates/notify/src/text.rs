//! Text from logs made fit for people, mail headers and terminals.
//!
//! Whoever attacks a machine writes parts of its log. Nothing of that may steer the reader's
//! terminal, begin a header, or turn the order of the letters round.

use std::fmt::Write as _;

/// One line without control characters, at most `chars_max` characters long. What was taken out
/// shows as an escape; what was cut off as `…`.
pub(crate) fn harmless(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars_max * 4));
    let mut left = chars_max;
    for c in text.chars() {
        if left == 0 {
            out.push('…');
            break;
        }
        left -= 1;
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push(' '),
            c if is_harmful(c) => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).ok();
            }
            c => out.push(c),
        }
    }
    out
}

/// Control characters, and those that change direction, join or hide text (Unicode TR 36).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// At most `bytes_max` bytes, cut between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// `1 alert`, `2 alerts`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A length of time as people say it: the two largest units.
pub(crate) fn spoken(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let n = left / size;
        left %= size;
        if n > 0 {
            parts.push(format!("{n}{unit}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        return format!("{}ms", span.subsec_millis());
    }
    parts.concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_steers_the_reader() {
        let hostile = "root\r\nBcc: x\u{1b}[2J\u{202e}gpj\u{0}\u{85}\u{2028}";
        let safe = harmless(hostile, 1_000);
        assert!(!safe.chars().any(is_harmful), "{safe:?}");
        assert_eq!(
            safe,
            "root\\r\\nBcc: x\\u{1b}[2J\\u{202e}gpj\\u{0}\\u{85}\\u{2028}"
        );
        assert_eq!(
            harmless("ordinary größe 漢字", 1_000),
            "ordinary größe 漢字"
        );
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(harmless("abcdef", 3), "abc…");
        assert_eq!(harmless("abc", 3), "abc");
        assert_eq!(cut("größe", 3), "gr");
    }

    #[test]
    fn spans_are_spoken_shortly() {
        for (seconds, text) in [
            (4 * 3_600, "4h"),
            (90, "1m30s"),
            (86_400 + 60, "1d"),
            (5, "5s"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
        assert_eq!(spoken(Duration::from_millis(7)), "7ms");
    }
}
