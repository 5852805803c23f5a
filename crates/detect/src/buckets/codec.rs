//! Numbers and texts as bytes, for packed events and snapshots. Reading never trusts a length.

/// LEB128.
pub(super) fn put_varint(to: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        to.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    to.push(n as u8);
}

pub(super) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

pub(super) fn put_i64(to: &mut Vec<u8>, n: i64) {
    to.extend_from_slice(&n.to_le_bytes());
}

/// Reads from the front; every method is `None` when the bytes do not hold what is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            n |= part << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.varint()?).ok()?;
        self.take(n)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_bytes_round_trip(n: u64, i: i64, bytes: Vec<u8>) {
            let mut to = Vec::new();
            put_varint(&mut to, n);
            put_i64(&mut to, i);
            put_bytes(&mut to, &bytes);
            let mut from = Reader(&to);
            prop_assert_eq!(from.varint(), Some(n));
            prop_assert_eq!(from.i64(), Some(i));
            prop_assert_eq!(from.bytes(), Some(bytes.as_slice()));
            prop_assert!(from.is_empty());
        }
    }

    #[test]
    fn short_and_overlong_bytes_are_refused() {
        assert_eq!(Reader(&[0x80]).varint(), None);
        assert_eq!(Reader(&[0xff; 11]).varint(), None);
        assert_eq!(Reader(&[5, 1, 2]).bytes(), None);
        assert_eq!(Reader(&[1, 0xff]).text(), None);
    }
}
