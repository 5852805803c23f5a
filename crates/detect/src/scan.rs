//! Which of some fixed texts stand in a line: the prefilter's eyes.
//!
//! Every line is looked at from end to end, so this is the hottest loop of all. A small set of
//! texts is found by its first three bytes: at each place of the line they are hashed into a table
//! that says which texts may begin there. Unlike an automaton's steps these look-ups do not wait
//! for each other. Very short texts are searched one by one, and a large set by an automaton.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;

/// More texts than this are left to an automaton.
const WINDOW_TEXTS_MAX: usize = 256;
/// More texts too short for a window than this, likewise.
const SHORT_TEXTS_MAX: usize = 16;
/// The bytes by which a text is found.
const WINDOW: usize = 3;
const TABLE_BITS: u32 = 12;
/// Words of bits for [`WINDOW_TEXTS_MAX`] texts.
pub(crate) const SMALL_WORDS: usize = WINDOW_TEXTS_MAX / 64;

#[derive(Debug)]
pub(crate) enum Scanner {
    Automaton(AhoCorasick),
    Windows(Box<Windows>),
}

impl Scanner {
    /// The texts are numbered as they stand; none may be empty.
    pub(crate) fn new(texts: &[Vec<u8>]) -> Option<Self> {
        if let Some(windows) = Windows::new(texts) {
            return Some(Self::Windows(Box::new(windows)));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind((texts.len() <= 1_000).then_some(AhoCorasickKind::DFA))
            .build(texts);
        automaton.ok().map(Self::Automaton)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Automaton(automaton) => automaton.patterns_len(),
            Self::Windows(windows) => windows.count,
        }
    }
}

/// A small set of texts by their first bytes.
#[derive(Debug)]
pub(crate) struct Windows {
    count: usize,
    /// By hash: 0, or one more than the number of a group.
    table: Box<[u8; 1 << TABLE_BITS]>,
    /// Texts whose first bytes have the same hash.
    groups: Vec<Vec<Text>>,
    short: Vec<(usize, Finder<'static>)>,
}

#[derive(Debug)]
struct Text {
    number: usize,
    whole: Box<[u8]>,
    /// Its first eight bytes, or all, and which of the eight they are.
    head: u64,
    mask: u64,
}

impl Text {
    fn new(number: usize, whole: &[u8]) -> Self {
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(whole) {
            (*head, *mask) = (*byte, 0xff);
        }
        Self {
            number,
            whole: whole.into(),
            head: u64::from_le_bytes(head),
            mask: u64::from_le_bytes(mask),
        }
    }
}

impl Windows {
    fn new(texts: &[Vec<u8>]) -> Option<Self> {
        if texts.len() > WINDOW_TEXTS_MAX {
            return None;
        }
        let mut windows = Self {
            count: texts.len(),
            table: Box::new([0; 1 << TABLE_BITS]),
            groups: Vec::new(),
            short: Vec::new(),
        };
        for (number, text) in texts.iter().enumerate() {
            let Some(head) = text.first_chunk::<WINDOW>() else {
                windows.short.push((number, Finder::new(text).into_owned()));
                continue;
            };
            let group = windows.table.get_mut(hash(*head))?;
            if *group == 0 {
                windows.groups.push(Vec::new());
                *group = u8::try_from(windows.groups.len()).ok()?;
            }
            let group = windows.groups.get_mut(usize::from(*group) - 1)?;
            group.push(Text::new(number, text));
        }
        (windows.short.len() <= SHORT_TEXTS_MAX).then_some(windows)
    }

    /// A bit for each text that stands in `line`.
    pub(crate) fn find(&self, line: &[u8]) -> [u64; SMALL_WORDS] {
        let mut seen = [0; SMALL_WORDS];
        for (number, finder) in &self.short {
            if finder.find(line).is_some() {
                set(&mut seen, *number);
            }
        }
        for (at, window) in line.windows(WINDOW).enumerate() {
            let head = <[u8; WINDOW]>::try_from(window).unwrap_or_default();
            let group = self.table.get(hash(head)).copied().unwrap_or(0);
            if group != 0 {
                self.compare(usize::from(group) - 1, line, at, &mut seen);
            }
        }
        seen
    }

    #[inline(never)]
    fn compare(&self, group: usize, line: &[u8], at: usize, seen: &mut [u64; SMALL_WORDS]) {
        let rest = line.get(at..).unwrap_or_default();
        let head = rest.first_chunk().map(|head| u64::from_le_bytes(*head));
        for text in self.groups.get(group).into_iter().flatten() {
            // The first eight bytes decide nearly always.
            if head.is_some_and(|head| head & text.mask != text.head) {
                continue;
            }
            if rest.starts_with(&text.whole) {
                set(seen, text.number);
            }
        }
    }
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4).
const fn hash(head: [u8; WINDOW]) -> usize {
    let [a, b, c] = head;
    (u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

fn set(seen: &mut [u64], text: usize) {
    if let Some(word) = seen.get_mut(text / 64) {
        *word |= 1 << (text % 64);
    }
}

/// Judgements on what lines contain. Lines are of few kinds, so most are judged by memory. Each
/// kind has a few places where it may be kept, lest two that meet drive each other out.
#[derive(Debug)]
pub(crate) struct Memo {
    places: Vec<[Option<Judged>; WAYS]>,
    /// Which place of a full set goes next.
    next: usize,
}

type Judged = ([u64; SMALL_WORDS], bool);

const WAYS: usize = 4;
const MEMO_SETS: usize = 128;

impl Default for Memo {
    fn default() -> Self {
        Self {
            places: vec![[None; WAYS]; MEMO_SETS],
            next: 0,
        }
    }
}

impl Memo {
    pub(crate) fn judge(
        &mut self,
        seen: &[u64; SMALL_WORDS],
        judge: impl FnOnce() -> bool,
    ) -> bool {
        let mix = |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = seen.iter().fold(0, mix) >> 32;
        let Some(set) = self.places.get_mut(hash as usize % MEMO_SETS) else {
            return judge();
        };
        if let Some((_, holds)) = set.iter().flatten().find(|(known, _)| known == seen) {
            return *holds;
        }
        let holds = judge();
        self.next = (self.next + 1) % WAYS;
        if let Some(place) = set.get_mut(self.next) {
            *place = Some((*seen, holds));
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[Vec<u8>], line: &[u8]) -> Vec<usize> {
        let windows = Windows::new(texts).unwrap();
        let seen = windows.find(line);
        let has = |n: &usize| seen[n / 64] & (1 << (n % 64)) != 0;
        (0..texts.len()).filter(has).collect()
    }

    proptest! {
        #[test]
        fn finds_what_is_there(
            texts in proptest::collection::btree_set("[ab]{1,7}", 1..40),
            line in "[abc]{0,40}",
        ) {
            let texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            prop_assume!(texts.iter().filter(|t| t.len() < WINDOW).count() <= SHORT_TEXTS_MAX);
            let there = |n: &usize| memchr::memmem::find(line.as_bytes(), &texts[*n]).is_some();
            let expected: Vec<usize> = (0..texts.len()).filter(there).collect();
            prop_assert_eq!(found(&texts, line.as_bytes()), expected);
        }
    }

    #[test]
    fn large_sets_are_left_to_an_automaton() {
        let many: Vec<Vec<u8>> = (0..1_000)
            .map(|n| format!("text{n}").into_bytes())
            .collect();
        assert!(matches!(Scanner::new(&many), Some(Scanner::Automaton(_))));
        assert!(matches!(
            Scanner::new(&many[..200]),
            Some(Scanner::Windows(_))
        ));
        let short: Vec<Vec<u8>> = (b'a'..=b'z').map(|b| vec![b]).collect();
        assert!(matches!(Scanner::new(&short), Some(Scanner::Automaton(_))));
    }

    #[test]
    fn memory_judges_like_the_judge() {
        let mut memo = Memo::default();
        for n in (0..5_000_u64).chain(0..5_000) {
            let seen = [n, n * 3, 0, n % 7];
            assert_eq!(memo.judge(&seen, || n % 3 == 0), n % 3 == 0);
        }
    }
}
