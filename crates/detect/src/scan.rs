//! Which of some fixed texts stand in a line: the prefilter's eyes.
//!
//! Every line is looked at from end to end, so this is the hottest loop of all. Texts are found by
//! three of their bytes: at a place of the line they are hashed into a table that says which texts
//! may stand around it. Unlike an automaton's steps these look-ups do not wait for each other.
//! Where texts are long enough they are in the table more than once, by their first bytes, by those
//! from the second on and so on: then it does to look at every second or third place. A few short
//! ones, which would not allow that, are looked for by themselves.

use memchr::memmem::Finder;

/// Shorter texts cannot be looked for.
pub(crate) const TEXT_BYTES_MIN: usize = WINDOW;
/// The bytes by which a text is found.
const WINDOW: usize = 3;
const TABLE_BITS: u32 = 13;
/// Places of a line from one look to the next, at most.
const STRIDE_MAX: usize = 4;
/// Entries of the table beyond which looking seldom no longer pays: too many have the same hash.
const ENTRIES_MAX: usize = 1 << (TABLE_BITS - 1);
/// Texts that are looked for by themselves, at most.
const ASIDE_MAX: usize = 2;
/// What a line costs that is looked at in every place, in terms of what one such text costs.
const PLACES_COST: usize = 12;

/// Texts by their first bytes.
#[derive(Debug)]
pub(crate) struct Scanner {
    count: usize,
    /// Short texts, with their numbers.
    aside: Vec<(usize, Finder<'static>)>,
    /// Every how many places the line is looked at for the others.
    stride: usize,
    /// By hash: 0, or one more than the number of a group.
    table: Box<[u16; 1 << TABLE_BITS]>,
    /// Texts of which some bytes have the same hash.
    groups: Vec<Vec<Text>>,
}

#[derive(Debug)]
struct Text {
    number: usize,
    /// Where in the text the bytes stand by which it is found.
    skipped: usize,
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
        let stride = stride(texts)?;
        let mut scanner = Self {
            count: texts.len(),
            aside: Vec::new(),
            stride,
            table: Box::new([0; 1 << TABLE_BITS]),
            groups: Vec::new(),
        };
        for (number, text) in texts.iter().enumerate() {
            if text.len() < WINDOW + stride - 1 {
                let finder = Finder::new(text).into_owned();
                scanner.aside.push((number, finder));
                continue;
            }
            for (skipped, part) in text.windows(WINDOW).take(stride).enumerate() {
                let text = Needle::new(text);
                scanner.add(
                    part,
                    Text {
                        number,
                        skipped,
                        text,
                    },
                )?;
            }
        }
        Some(scanner)
    }

    fn add(&mut self, part: &[u8], text: Text) -> Option<()> {
        let [a, b, c] = *part.first_chunk::<WINDOW>()?;
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
        for (number, finder) in &self.aside {
            if finder.find(line).is_some() {
                set(seen, *number);
            }
        }
        match self.stride {
            1 => self.find_every::<1>(line, seen),
            2 => self.find_every::<2>(line, seen),
            3 => self.find_every::<3>(line, seen),
            _ => self.find_every::<STRIDE_MAX>(line, seen),
        }
    }

    fn find_every<const STRIDE: usize>(&self, line: &[u8], seen: &mut [u64]) {
        let mut at = 0;
        // Four bytes at once are one load; the last place has only three.
        while let Some(four) = line.get(at..).and_then(<[u8]>::first_chunk) {
            self.look(u32::from_le_bytes(*four), line, at, seen);
            at += STRIDE;
        }
        if let Some([a, b, c]) = line.get(at..).and_then(<[u8]>::first_chunk) {
            self.look(u32::from_le_bytes([*a, *b, *c, 0]), line, at, seen);
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
        for text in self.groups.get(group).into_iter().flatten() {
            let begin = at.checked_sub(text.skipped);
            let rest = begin.and_then(|begin| line.get(begin..));
            if rest.is_some_and(|rest| text.text.begins(rest)) {
                set(seen, text.number);
            }
        }
    }
}

/// Every how many places a line must be looked at for these texts. `None` if one is too short.
fn stride(texts: &[Vec<u8>]) -> Option<usize> {
    let mut lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    lengths.sort_unstable();
    if lengths.first().is_some_and(|shortest| *shortest < WINDOW) {
        return None;
    }
    let most = (ENTRIES_MAX / texts.len().max(1)).clamp(1, STRIDE_MAX);
    let allowed = |shortest: &usize| (shortest + 1 - WINDOW).min(most);
    let strides = lengths.iter().map(allowed).enumerate().take(ASIDE_MAX + 1);
    let best = strides.min_by_key(|(aside, stride)| aside + PLACES_COST / stride);
    Some(best.map_or(1, |(_, stride)| stride))
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
            texts in proptest::collection::btree_set("[ab]{3,9}", 1..40),
            least in 3_usize..8,
            line in "[abc]{0,40}",
        ) {
            let texts = texts.into_iter().filter(|text| text.len() >= least);
            let texts: Vec<Vec<u8>> = texts.map(String::into_bytes).collect();
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
