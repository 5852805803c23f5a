//! The small spellings that several formats share, each in its one canonical form.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::LedgerError;

/// Standard base64 with padding, and only as the encoder would have written it.
pub(crate) fn base64(s: &str) -> Result<Vec<u8>, LedgerError> {
    let bytes = STANDARD.decode(s).map_err(|_| LedgerError::Base64)?;
    if STANDARD.encode(&bytes) == s {
        Ok(bytes)
    } else {
        Err(LedgerError::Base64)
    }
}

/// A decimal number without sign or leading zeros.
pub(crate) fn decimal(s: &str) -> Option<u64> {
    let plain = s.bytes().all(|b| b.is_ascii_digit()) && (s == "0" || !s.starts_with('0'));
    if plain { s.parse().ok() } else { None }
}

/// signed-note: names are non-empty and have no Unicode space and no plus sign. Line ends are
/// spaces; other control characters could not stand in a note at all.
pub(crate) fn is_key_name(s: &str) -> bool {
    !s.is_empty()
        && !s
            .chars()
            .any(|c| c == '+' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "18446744073709551616",
            "1_0",
        ] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn names() {
        assert!(is_key_name("example.com/log"));
        for bad in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\0b"] {
            assert!(!is_key_name(bad), "{bad:?}");
        }
    }
}
