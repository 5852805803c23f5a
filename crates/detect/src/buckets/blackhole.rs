//! Groups that have just overflowed and stay silent for a while (`blackhole`).

use std::{cmp::Reverse, collections::BinaryHeap};

use hashbrown::HashMap;

use super::key::Key;

#[derive(Debug, Default)]
pub(super) struct Blackholes {
    until: HashMap<(u32, Key), i64>,
    /// By end. May hold entries that were renewed or dropped since.
    ends: BinaryHeap<Reverse<(i64, u32, Key)>>,
    /// The latest overflow of each scenario. What had ended by then stays ended, even when a
    /// recording jumps back in time.
    latest: HashMap<u32, i64>,
    /// Silenced groups that were dropped at the ceiling.
    pub(super) dropped: u64,
}

/// Whether an overflow is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hearing {
    Heard,
    Silenced,
}

impl Blackholes {
    /// An overflow at `now`: silenced, or heard and silencing the next ones until `end`.
    pub(super) fn pass(&mut self, id: (u32, Key), now: i64, end: i64, max: usize) -> Hearing {
        let latest = self.latest.entry(id.0).or_insert(now);
        *latest = now.max(*latest);
        if self.until.get(&id).is_some_and(|until| *until > *latest) {
            return Hearing::Silenced;
        }
        self.add(id, end);
        while self.until.len() > max.max(1) {
            let Some(Reverse((end, scenario, key))) = self.ends.pop() else {
                break;
            };
            if self.until.get(&(scenario, key)) == Some(&end) {
                self.until.remove(&(scenario, key));
                self.dropped += 1;
            }
        }
        Hearing::Heard
    }

    pub(super) fn add(&mut self, id: (u32, Key), end: i64) {
        self.until.insert(id, end);
        self.ends.push(Reverse((end, id.0, id.1)));
        if self.ends.len() > 2 * self.until.len() + 1_024 {
            let live = |Reverse((end, scenario, key)): &Reverse<(i64, u32, Key)>| {
                self.until.get(&(*scenario, *key)) == Some(end)
            };
            let mut ends = std::mem::take(&mut self.ends).into_vec();
            ends.retain(live);
            self.ends = ends.into();
        }
    }

    /// Forgets what ended by `now` on the wall clock.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some(Reverse((end, scenario, key))) = self.ends.peek().copied() {
            if end > now {
                return;
            }
            self.ends.pop();
            if self.until.get(&(scenario, key)) == Some(&end) {
                self.until.remove(&(scenario, key));
            }
        }
    }

    /// The clock was set: every end moves with it.
    pub(super) fn shift(&mut self, by: i64) {
        for end in self.until.values_mut().chain(self.latest.values_mut()) {
            *end = end.saturating_add(by);
        }
        let ends = self
            .until
            .iter()
            .map(|((s, k), end)| Reverse((*end, *s, *k)));
        self.ends = ends.collect();
    }

    pub(super) fn next_end(&self) -> Option<i64> {
        self.ends.peek().map(|Reverse((end, ..))| *end)
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    /// Those that can still silence something, in a fixed order.
    pub(super) fn sorted(&self) -> Vec<(u32, Key, i64)> {
        let latest = |scenario| self.latest.get(scenario).copied().unwrap_or(i64::MIN);
        let mut all: Vec<_> = self
            .until
            .iter()
            .filter(|((scenario, _), end)| **end > latest(scenario))
            .map(|((scenario, key), end)| (*scenario, *key, *end))
            .collect();
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;

    #[test]
    fn silence_lasts_until_its_end_and_is_not_prolonged() {
        let mut holes = Blackholes::default();
        let id = (0, Key::of("a"));
        assert_eq!(holes.pass(id, 100, 160, MAX), Hearing::Heard);
        assert_eq!(holes.pass(id, 159, 219, MAX), Hearing::Silenced);
        assert_eq!(holes.pass((1, Key::of("a")), 159, 219, MAX), Hearing::Heard);
        assert_eq!(holes.pass(id, 160, 220, MAX), Hearing::Heard);
    }

    #[test]
    fn what_has_ended_stays_ended_when_time_jumps_back() {
        let mut holes = Blackholes::default();
        let (a, b) = ((0, Key::of("a")), (0, Key::of("b")));
        holes.pass(a, 100, 160, MAX);
        holes.pass(b, 200, 260, MAX);
        assert_eq!(holes.pass(a, 150, 210, MAX), Hearing::Heard);
    }

    #[test]
    fn the_ceiling_drops_what_ends_first() {
        let mut holes = Blackholes::default();
        for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
            holes.pass((0, Key::of(name)), 0, 100 + i as i64, 2);
        }
        assert_eq!((holes.len(), holes.dropped), (2, 1));
        assert_eq!(holes.pass((0, Key::of("c")), 1, 9, 2), Hearing::Silenced);
        assert_eq!(holes.pass((0, Key::of("a")), 1, 9, 2), Hearing::Heard);
    }

    #[test]
    fn a_clock_that_was_set_changes_no_silence() {
        for by in [-1_000_000, 1_000_000] {
            let mut holes = Blackholes::default();
            let id = (0, Key::of("a"));
            holes.pass(id, 100, 160, MAX);
            holes.shift(by);
            assert_eq!(holes.pass(id, 159 + by, 219 + by, MAX), Hearing::Silenced);
            assert_eq!(holes.next_end(), Some(160 + by));
            assert_eq!(holes.pass(id, 160 + by, 220 + by, MAX), Hearing::Heard);
        }
    }

    #[test]
    fn expired_ones_take_no_memory() {
        let mut holes = Blackholes::default();
        holes.pass((0, Key::of("a")), 0, 10, MAX);
        holes.pass((0, Key::of("b")), 0, 20, MAX);
        holes.expire(10);
        assert_eq!((holes.len(), holes.next_end()), (1, Some(20)));
    }
}
