//! Whether a source was here before, when nothing else of it is left.
//!
//! In a flood too big even for remnants a source that comes back must not look like one that comes
//! once, or it is washed out each time anew. Two Bloom filters (Communications of the ACM 13(7),
//! 1970) hold the evicted keys of late: one fills while the other is asked too, then the older is
//! emptied. An answer may be a wrong yes, for one key in fifty or so. So it counts for nothing but
//! the order of eviction. Not in snapshots: it fills again.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::key::Key;

/// Bits set for one key.
const PROBES: u32 = 4;
/// Bits of a filter for each key that it takes.
const BITS_PER_KEY: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Returners {
    /// Made when the first key comes.
    filters: [Vec<u64>; 2],
    words: usize,
    taken: usize,
}

impl Returners {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            words: bytes / 16,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, key: Key) {
        if self.words == 0 {
            return;
        }
        if self.taken >= self.words * 64 / BITS_PER_KEY || self.filters[0].is_empty() {
            self.filters.swap(0, 1);
            self.filters[0].clear();
            self.filters[0].resize(self.words, 0);
            self.taken = 0;
        }
        self.taken += 1;
        let [filter, _] = &mut self.filters;
        for bit in bits(key, self.words) {
            if let Some(word) = filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        let is_in = |filter: &Vec<u64>| {
            let set = |bit: usize| {
                filter
                    .get(bit / 64)
                    .is_some_and(|w| w & (1 << (bit % 64)) != 0)
            };
            bits(key, self.words).all(set)
        };
        // Nearly always nothing was evicted yet: no need to hash.
        let mut used = self.filters.iter().filter(|filter| !filter.is_empty());
        self.words > 0 && used.any(is_in)
    }
}

/// The bits of a key, by double hashing.
fn bits(key: Key, words: usize) -> impl Iterator<Item = usize> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let first = hasher.finish();
    let step = first.rotate_left(32) | 1;
    let all = (words * 64) as u128;
    (0..PROBES).map(move |probe| {
        let hash = first.wrapping_add(step.wrapping_mul(u64::from(probe)));
        usize::try_from((u128::from(hash) * all) >> 64).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_late_ones_and_errs_seldom() {
        let mut returners = Returners::new(16 << 10);
        let key = |i: usize| Key::of(&format!("10.{i}"));
        let room = (8 << 10) * 8 / BITS_PER_KEY;
        for i in 0..10 * room {
            returners.add(key(i));
            assert!(returners.contains(key(i)), "{i}");
        }
        assert!((9 * room..10 * room).all(|i| returners.contains(key(i))));
        let wrong = (0..10_000).filter(|i| returners.contains(key(1_000_000 + i)));
        let wrong = wrong.count();
        assert!(wrong < 1_000, "{wrong} of 10000");
        assert!(!Returners::new(0).contains(key(0)));
    }
}
