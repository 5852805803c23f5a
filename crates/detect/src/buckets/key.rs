//! What tells buckets of one scenario apart: the value of `groupby`, in 16 bytes.

use sha2::{Digest as _, Sha256};

/// A group's value: itself when it has at most 15 bytes (every IPv4 address), else its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(super) [u8; 16]);

const HASHED: u8 = 0xff;

impl Key {
    pub(crate) fn of(value: &str) -> Self {
        let mut key = [0; 16];
        let [tag, room @ ..] = &mut key;
        match room.get_mut(..value.len()) {
            Some(room) => {
                *tag = value.len() as u8;
                room.copy_from_slice(value.as_bytes());
            }
            None => {
                *tag = HASHED;
                for (to, from) in room.iter_mut().zip(Sha256::digest(value.as_bytes())) {
                    *to = from;
                }
            }
        }
        Self(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_are_kept_and_long_ones_hashed() {
        let values = [
            "",
            "\0",
            "a",
            "203.0.113.255",
            "123456789012345",
            "1234567890123456",
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(Key::of(a) == Key::of(b), i == j, "{a:?} {b:?}");
            }
        }
        assert_eq!(Key::of("1234567890123456").0[0], HASHED);
        assert_eq!(Key::of("203.0.113.255").0[1..14], *b"203.0.113.255");
    }
}
