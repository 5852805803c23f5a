//! What is left of leaky buckets that had to go before their time.
//!
//! When memory ends, a flood of sources that come once must not wash out those that keep coming.
//! An evicted bucket loses its events, but how far it had come fits into a few bytes: the moment
//! at which it would have run dry. A source that comes back before that moment goes on where it
//! was, so it overflows at the same event as with memory without end; its alert shows fewer lines.
//!
//! A fixed table of small sets. In a full set the remnant goes that has least left to leak, in
//! parts of one event, so that slow scenarios do not push out fast ones; of equals the oldest.
//! Hashing is not seeded: the same lines leave the same remnants, after a restart too.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::key::Key;

/// Places in one set.
const WAYS: usize = 8;

/// How far one bucket had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remnant {
    pub(super) key: Key,
    pub(super) scenario: u16,
    /// Events it had counted. None: an empty place.
    pub(super) total: u16,
    /// When it would have run dry. By then it is worth nothing.
    pub(super) dry: i64,
    /// When it began.
    pub(super) first: i64,
    /// What `distinct` had seen, in short; 0 is nothing.
    pub(super) seen: u32,
    /// The source was here before: that weighs as one event more.
    pub(super) returned: bool,
}

/// Bytes of one place.
pub(super) const REMNANT_BYTES: usize = size_of::<Remnant>();

const EMPTY: Remnant = Remnant {
    key: Key([0; 16]),
    scenario: 0,
    total: 0,
    dry: 0,
    first: 0,
    seen: 0,
    returned: false,
};

#[derive(Debug, Default)]
pub(super) struct Remnants {
    /// Made when the first one comes.
    sets: Vec<[Remnant; WAYS]>,
    /// By scenario: nanoseconds in which one event leaks.
    costs: Box<[i64]>,
    max: usize,
    held: usize,
    /// Remnants that went while they were still worth something.
    pub(super) lost: u64,
}

impl Remnants {
    pub(super) fn new(bytes: usize, costs: Box<[i64]>) -> Self {
        Self {
            max: bytes / REMNANT_BYTES,
            costs,
            ..Self::default()
        }
    }

    /// Keeps `remnant`; `now` tells which others are still worth something.
    pub(super) fn put(&mut self, remnant: Remnant, now: i64) {
        if self.max < WAYS || remnant.total == 0 {
            return;
        }
        if self.sets.is_empty() {
            self.sets = vec![[EMPTY; WAYS]; self.max / WAYS];
        }
        let at = self.set(remnant.scenario, remnant.key);
        let Some(set) = self.sets.get_mut(at) else {
            return;
        };
        let same = |r: &Remnant| is(r, remnant.scenario, remnant.key);
        let rank = |r: &Remnant| (r.worth(now, &self.costs), r.dry, r.scenario, r.key);
        let place = set.iter().position(same).or_else(|| {
            let places = set.iter().enumerate();
            places.min_by_key(|(_, r)| rank(r)).map(|(at, _)| at)
        });
        let Some(place) = place.and_then(|at| set.get_mut(at)) else {
            return;
        };
        let old = std::mem::replace(place, remnant);
        if old.total == 0 {
            self.held += 1;
        } else if old.worth(now, &self.costs) > 0 && !same(&old) {
            self.lost += 1;
        }
    }

    /// Takes out the remnant of a source that came back.
    pub(super) fn take(&mut self, scenario: u16, key: Key, now: i64) -> Option<Remnant> {
        if self.held == 0 {
            return None;
        }
        let at = self.set(scenario, key);
        let set = self.sets.get_mut(at)?;
        let place = set.iter_mut().find(|r| is(r, scenario, key))?;
        let found = std::mem::replace(place, EMPTY);
        self.held -= 1;
        (found.dry > now).then_some(found)
    }

    /// The clock was set: every time moves with it.
    pub(super) fn shift(&mut self, by: i64) {
        for remnant in self.sets.iter_mut().flatten() {
            remnant.dry = remnant.dry.saturating_add(by);
            remnant.first = remnant.first.saturating_add(by);
        }
    }

    /// All, in a fixed order.
    pub(super) fn sorted(&self) -> Vec<&Remnant> {
        let all = self.sets.iter().flatten();
        let mut all: Vec<&Remnant> = all.filter(|r| r.total > 0).collect();
        all.sort_unstable_by_key(|r| (r.scenario, r.key));
        all
    }

    pub(super) const fn len(&self) -> usize {
        self.held
    }

    fn set(&self, scenario: u16, key: Key) -> usize {
        let mut hasher = DefaultHasher::new();
        (scenario, key).hash(&mut hasher);
        let sets = self.sets.len() as u128;
        usize::try_from((u128::from(hasher.finish()) * sets) >> 64).unwrap_or(0)
    }
}

impl Remnant {
    /// What has not leaked, in thousandths of an event.
    fn worth(&self, now: i64, costs: &[i64]) -> i64 {
        if self.total == 0 {
            return -1;
        }
        let left = i128::from(self.dry.saturating_sub(now).max(0));
        let cost = costs.get(usize::from(self.scenario)).copied().unwrap_or(1);
        let left = i64::try_from(left * 1_000 / i128::from(cost.max(1))).unwrap_or(i64::MAX);
        if self.returned && left > 0 {
            left.saturating_add(1_000)
        } else {
            left
        }
    }
}

fn is(remnant: &Remnant, scenario: u16, key: Key) -> bool {
    remnant.total > 0 && remnant.scenario == scenario && remnant.key == key
}

/// A value in short, for [`Remnant::seen`]. Two values may share it: the second then counts as
/// seen, which is in the source's favour.
pub(super) fn short(key: Key) -> u32 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    ((hasher.finish() >> 32) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(places: usize) -> Remnants {
        let costs = [10, 10, 1_000];
        Remnants::new(places * REMNANT_BYTES, costs.into())
    }

    fn remnant(name: &str, dry: i64) -> Remnant {
        Remnant {
            key: Key::of(name),
            total: 1,
            dry,
            ..EMPTY
        }
    }

    #[test]
    fn what_was_put_in_comes_out_once_until_it_is_dry() {
        let mut all = table(64);
        assert!(all.take(0, Key::of("a"), 0).is_none());
        all.put(remnant("a", 10), 0);
        all.put(remnant("b", 10), 0);
        assert!(all.take(1, Key::of("a"), 5).is_none());
        assert_eq!(all.take(0, Key::of("a"), 5), Some(remnant("a", 10)));
        assert_eq!(all.take(0, Key::of("a"), 5), None);
        assert_eq!(all.take(0, Key::of("b"), 10), None);
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn in_a_full_set_the_least_worth_goes() {
        let mut all = table(WAYS);
        let name = |i: usize| format!("s{i}");
        for i in 0..WAYS {
            all.put(remnant(&name(i), 100 + i as i64), 0);
        }
        // One of a slow scenario, with less of an event left than any of the fast ones.
        let slow = Remnant {
            scenario: 2,
            ..remnant("slow", 500)
        };
        all.put(slow, 0);
        assert_eq!((all.len(), all.lost), (WAYS, 1));
        assert_eq!(all.take(0, Key::of(&name(0)), 0), None);
        all.put(remnant("t", 100), 0);
        all.put(remnant("u", 100), 0);
        assert_eq!(all.take(2, Key::of("slow"), 0), None);
        assert!(all.take(0, Key::of(&name(WAYS - 1)), 0).is_some());
    }

    #[test]
    fn the_same_source_keeps_one_place() {
        let mut all = table(WAYS);
        all.put(remnant("a", 10), 0);
        all.put(remnant("a", 20), 0);
        assert_eq!((all.len(), all.lost), (1, 0));
        all.shift(5);
        assert_eq!(all.sorted().iter().map(|r| r.dry).collect::<Vec<_>>(), [25]);
        let mut none = table(0);
        none.put(remnant("a", 10), 0);
        assert_eq!(none.len(), 0);
    }
}
