//! Text that an attacker may have chosen, made fit for a terminal, a log or a mail.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

/// The text with every character that could move a cursor, change a title, hide or reorder what
/// stands around it written out (`\x1b`, `\u{202e}`). Text without any comes back as it is.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) {
            // Writing into a string cannot fail.
            let _: fmt::Result = match u32::from(c) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}"),
                code => write!(out, "\\u{{{code:x}}}"),
            };
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

const fn is_harmful(c: char) -> bool {
    matches!(
        c,
        // ECMA-48: C0, DEL and C1.
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Unicode TR36: marks, embeddings, overrides and isolates of direction.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Ends of line that are not LF, and characters of no width.
        | '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
        // Tags: invisible text.
        | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        for (text, shown) in [
            (
                "root\x1b[2J\x1b]0;owned\x07",
                "root\\x1b[2J\\x1b]0;owned\\x07",
            ),
            ("a\r\nb\tc\u{9b}1m", "a\\x0d\\x0ab\\x09c\\x9b1m"),
            ("txt.\u{202e}gpj", "txt.\\u{202e}gpj"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "café – 管理者 🛡 100 % 'root' [203.0.113.9]";
        assert!(matches!(harmless(text), Cow::Borrowed(same) if same == text));
    }
}
