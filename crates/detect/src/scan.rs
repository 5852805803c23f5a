//! Which of some fixed texts stand in a line: the prefilter's eyes.
//!
//! Every line is looked at from end to end, so this is the hottest loop of all. Texts are found by
//! their first three bytes: at each place of the line they are hashed into a table that says which
//! texts may begin there. Unlike an automaton's steps these look-ups do not wait for each other.

/// Shorter texts cannot be looked for.
pub(crate) const TEXT_BYTES_MIN: usize = WINDOW;
/// The bytes by which a text is found.
const WINDOW: usize = 3;
const TABLE_BITS: u32 = 13;

/// Texts by their first bytes.
#[derive(Debug)]
pub(crate) struct Scanner {
    count: usize,
    /// By hash: 0, or one more than the number of a group.
    table: Box<[u16; 1 << TABLE_BITS]>,
    /// Texts whose first bytes have the same hash.
    groups: Vec<Vec<Text>>,
}

#[derive(Debug)]
struct Text {
    number: usize,
    text: Needle,
}

/// A text that is compared with what stands at some place, often and mostly in vain.
#[derive(Debug)]
pub(crate) struct Needle {
    whole: Box<[u8]>,
    /// Its first eight bytes, or all, and which of the eight they are.
    head: u64,
    mask: u64,
}

impl Needle {
    pub(crate) fn new(whole: &[u8]) -> Self {
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(whole) {
            (*head, *mask) = (*byte, 0xff);
        }
        Self {
            whole: whole.into(),
            head: u64::from_le_bytes(head),
            mask: u64::from_le_bytes(mask),
        }
    }

    pub(crate) const fn text(&self) -> &[u8] {
        &self.whole
    }

    /// Whether `rest` begins with it. The first eight bytes decide nearly always.
    #[inline]
    pub(crate) fn begins(&self, rest: &[u8]) -> bool {
        match rest.first_chunk() {
            Some(head) if u64::from_le_bytes(*head) & self.mask != self.head => false,
            Some(_) if self.whole.len() <= 8 => true,
            _ => rest.starts_with(&self.whole),
        }
    }
}

impl Scanner {
    /// The texts are numbered as they stand. `None` if one is too short or there are too many.
    pub(crate) fn new(texts: &[Vec<u8>]) -> Option<Self> {
        let mut scanner = Self {
            count: texts.len(),
            table: Box::new([0; 1 << TABLE_BITS]),
            groups: Vec::new(),
        };
        for (number, text) in texts.iter().enumerate() {
            let head = *text.first_chunk::<WINDOW>()?;
            let text = Needle::new(text);
            scanner.add(head, Text { number, text })?;
        }
        Some(scanner)
    }

    fn add(&mut self, head: [u8; WINDOW], text: Text) -> Option<()> {
        let [a, b, c] = head;
        let group = self.table.get_mut(hash(u32::from_le_bytes([a, b, c, 0])))?;
        if *group == 0 {
            self.groups.push(Vec::new());
            *group = u16::try_from(self.groups.len()).ok()?;
        }
        self.groups.get_mut(usize::from(*group) - 1)?.push(text);
        Some(())
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Sets a bit for each text that stands in `line`.
    pub(crate) fn find(&self, line: &[u8], seen: &mut [u64]) {
        if self.count == 0 {
            return;
        }
        // Four bytes at once are one load; the last place has only three.
        let (fours, last) = (line.windows(4), line.len().saturating_sub(WINDOW));
        for (at, window) in fours.enumerate() {
            let four = <[u8; 4]>::try_from(window).unwrap_or_default();
            self.look(u32::from_le_bytes(four), line, at, seen);
        }
        if let Some([a, b, c]) = line.last_chunk::<WINDOW>() {
            self.look(u32::from_le_bytes([*a, *b, *c, 0]), line, last, seen);
        }
    }

    #[inline(always)]
    fn look(&self, four: u32, line: &[u8], at: usize, seen: &mut [u64]) {
        let group = self.table.get(hash(four)).copied().unwrap_or(0);
        if group != 0 {
            self.compare(usize::from(group) - 1, line, at, seen);
        }
    }

    #[inline(never)]
    fn compare(&self, group: usize, line: &[u8], at: usize, seen: &mut [u64]) {
        let rest = line.get(at..).unwrap_or_default();
        for text in self.groups.get(group).into_iter().flatten() {
            if text.text.begins(rest) {
                set(seen, text.number);
            }
        }
    }
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4).
/// Of the lower three bytes; the fourth is shifted out.
const fn hash(four: u32) -> usize {
    ((four << 8).wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

fn set(seen: &mut [u64], text: usize) {
    if let Some(word) = seen.get_mut(text / 64) {
        *word |= 1 << (text % 64);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[Vec<u8>], line: &[u8]) -> Vec<usize> {
        let scanner = Scanner::new(texts).unwrap();
        let mut seen = [0; 4];
        scanner.find(line, &mut seen);
        let has = |n: &usize| seen[n / 64] & (1 << (n % 64)) != 0;
        (0..texts.len()).filter(has).collect()
    }

    proptest! {
        #[test]
        fn finds_what_is_there(
            texts in proptest::collection::btree_set("[ab]{3,7}", 1..40),
            line in "[abc]{0,40}",
        ) {
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            let there = |n: &usize| memchr::memmem::find(line.as_bytes(), &texts[*n]).is_some();
            let expected: Vec<usize> = (0..texts.len()).filter(there).collect();
            prop_assert_eq!(found(&texts, line.as_bytes()), expected);
        }
    }

    #[test]
    fn texts_too_short_are_refused() {
        assert!(Scanner::new(&[b"ab".to_vec()]).is_none());
    }
}
