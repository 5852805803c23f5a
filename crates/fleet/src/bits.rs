//! Bits in a row, the most significant first, and Rice's code for gaps.

/// After so many ones the number follows as it is: no gap takes more than this and its width.
const QUOTIENT_MAX: u32 = 24;

pub(crate) struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits not yet written out, in the low end.
    held: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Writes after what `bytes` holds.
    pub(crate) const fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self {
            bytes,
            held: 0,
            count: 0,
        }
    }

    /// The lowest `width` bits of `value`; `width` at most 128.
    #[expect(clippy::cast_possible_truncation, reason = "cut into words of 32 bits")]
    pub(crate) fn put(&mut self, value: u128, width: u32) {
        let mut left = width;
        while left > 32 {
            left -= 32;
            self.put32((value >> left) as u32, 32);
        }
        self.put32(value as u32, left);
    }

    /// `value`, which has at most `width` bits, with `rice` bits after the unary part.
    pub(crate) fn put_rice(&mut self, value: u128, rice: u32, width: u32) {
        let quotient = value.checked_shr(rice).unwrap_or(0);
        match u32::try_from(quotient) {
            Ok(ones) if ones < QUOTIENT_MAX => {
                self.put32(u32::MAX, ones);
                self.put32(0, 1);
                self.put(value, rice);
            }
            _ => {
                self.put32(u32::MAX, QUOTIENT_MAX);
                self.put(value, width);
            }
        }
    }

    /// Zeros up to the next whole byte.
    pub(crate) fn finish(mut self) {
        let gap = (8 - self.count % 8) % 8;
        self.put32(0, gap);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "bytes are cut off the held bits"
    )]
    fn put32(&mut self, value: u32, width: u32) {
        let mask = (1u64 << width) - 1;
        self.held = self.held << width | (u64::from(value) & mask);
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
    }
}

/// Reads what [`BitWriter`] wrote; `None` where the bytes end too early.
pub(crate) struct BitReader<'b> {
    bytes: &'b [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'b> BitReader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            count: 0,
        }
    }

    pub(crate) fn take(&mut self, width: u32) -> Option<u128> {
        let (mut value, mut left) = (0, width);
        while left > 32 {
            left -= 32;
            value = value << 32 | u128::from(self.take32(32)?);
        }
        Some(value << left | u128::from(self.take32(left)?))
    }

    pub(crate) fn take_rice(&mut self, rice: u32, width: u32) -> Option<u128> {
        let mut ones = 0;
        while ones < QUOTIENT_MAX {
            if self.take32(1)? == 0 {
                let low = self.take(rice)?;
                return Some(u128::from(ones).checked_shl(rice)? | low);
            }
            ones += 1;
        }
        self.take(width)
    }

    /// The bytes after the last one begun. What was left of that one must be zeros.
    pub(crate) fn finish(self) -> Option<usize> {
        // Whole bytes that were looked at but not used go back.
        let unused = self.count / 8;
        let rest = self.count % 8;
        let padding = self.held >> (unused * 8) & ((1 << rest) - 1);
        let at = self.at.checked_sub(usize::try_from(unused).ok()?)?;
        (padding == 0).then_some(at)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the width")]
    fn take32(&mut self, width: u32) -> Option<u32> {
        while self.count < width {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
        self.count -= width;
        Some((self.held >> self.count & ((1u64 << width) - 1)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(value: u128, width: u32) -> u128 {
        value & 1u128.checked_shl(width).map_or(u128::MAX, |bit| bit - 1)
    }

    proptest! {
        #[test]
        fn bits_read_back(
            values in proptest::collection::vec((any::<u128>(), 0u32..=128, 0u32..100), 0..60),
        ) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for (value, width, rice) in &values {
                writer.put(*value, *width);
                writer.put_rice(cut(*value, *width), *rice.min(width), *width);
            }
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (value, width, rice) in &values {
                let value = cut(*value, *width);
                prop_assert_eq!(reader.take(*width), Some(value));
                prop_assert_eq!(reader.take_rice(*rice.min(width), *width), Some(value));
            }
            prop_assert_eq!(reader.finish(), Some(bytes.len()));
        }
    }

    #[test]
    fn an_early_end_and_a_stray_bit_are_seen() {
        let mut reader = BitReader::new(&[0b1010_0001]);
        assert_eq!(reader.take(3), Some(0b101));
        assert_eq!(reader.finish(), None);
        assert_eq!(BitReader::new(&[0xff]).take(9), None);
        assert_eq!(BitReader::new(&[0xff, 0xff]).take_rice(3, 32), None);
    }
}
