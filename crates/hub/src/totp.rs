//! Time-based one-time passwords (RFC 6238): six digits, thirty seconds, HMAC-SHA-1, which is what
//! every authenticator program has. Pure.

use ring::hmac;

use crate::registry::Hash;

pub(crate) type Secret = Hash<20>;

pub(crate) const STEP_SECONDS: u64 = 30;
const DIGITS: usize = 6;
/// Codes of so many steps before and after now count (RFC 6238 section 5.2).
const STEPS_ASIDE: u64 = 1;

/// The step whose code this is, if that is near `unix_seconds` and after `last`, the newest step
/// whose code was used.
pub(crate) fn step_of(code: &str, secret: &Secret, unix_seconds: u64, last: u64) -> Option<u64> {
    let code = code.trim();
    let now = unix_seconds / STEP_SECONDS;
    let near = now.saturating_sub(STEPS_ASIDE)..=now.saturating_add(STEPS_ASIDE);
    near.filter(|step| *step > last)
        .find(|step| crate::secret::same(of_step(secret, *step).as_bytes(), code.as_bytes()))
}

/// The code of one step (RFC 4226 section 5.3).
pub(crate) fn of_step(secret: &Secret, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret.0);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let at = usize::from(bytes.last().copied().unwrap_or(0) & 15);
    let four = bytes.get(at..at + 4).unwrap_or(&[0; 4]);
    let number = four.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) & 0x7fff_ffff;
    format!("{:0DIGITS$}", number % 10_u32.pow(DIGITS as u32))
}

/// What an authenticator program reads, as a link or a picture of it (the form that Google
/// Authenticator brought up).
pub(crate) fn link(secret: &Secret, issuer: &str, name: &str) -> String {
    let safe = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let (issuer, name) = (safe(issuer), safe(name));
    let secret = base32(&secret.0);
    format!("otpauth://totp/{issuer}:{name}?secret={secret}&issuer={issuer}")
}

/// RFC 4648 section 6, for whole groups of five bytes.
fn base32(bytes: &[u8; 20]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let group = |five: &[u8]| {
        let number = five.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        (0..8).rev().map(move |at| number >> (5 * at) & 31)
    };
    let digits = bytes.chunks_exact(5).flat_map(group);
    digits
        .filter_map(|d| DIGITS.get(usize::try_from(d).ok()?))
        .map(|c| char::from(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: Secret = Hash(*b"12345678901234567890");

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238 appendix B has eight digits; six are the last of them.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(of_step(&RFC, seconds / STEP_SECONDS), code);
        }
    }

    #[test]
    fn a_code_counts_once_and_only_near_its_time() {
        assert_eq!(step_of("287082", &RFC, 59, 0), Some(1));
        assert_eq!(step_of(" 287082 ", &RFC, 89, 0), Some(1));
        assert_eq!(step_of("287082", &RFC, 90, 0), None);
        assert_eq!(step_of("287082", &RFC, 59, 1), None, "used before");
        for wrong in ["", "287083", "2870820", "28708"] {
            assert_eq!(step_of(wrong, &RFC, 59, 0), None, "{wrong}");
        }
    }

    #[test]
    fn the_link_holds_the_secret_as_programs_read_it() {
        assert_eq!(
            link(&RFC, "hub", "ana maria"),
            "otpauth://totp/hub:ana%20maria?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=hub"
        );
    }
}
