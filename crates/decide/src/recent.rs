//! A bounded map that forgets by time: the room's memory of offenders, good visitors and things
//! already said.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeFrom,
};

use model::Timestamp;

/// Keeps at most `max` keys; beyond it the key with the earliest time goes, and is counted.
#[derive(Clone, Debug)]
pub(crate) struct Recent<K, V> {
    entries: BTreeMap<K, (Timestamp, V)>,
    order: BTreeSet<(Timestamp, K)>,
    max: usize,
    evicted: u64,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeSet::new(),
            max,
            evicted: 0,
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&(Timestamp, V)> {
        self.entries.get(&key)
    }

    pub(crate) fn set(&mut self, key: K, time: Timestamp, value: V) {
        self.remove(key);
        while self.entries.len() >= self.max {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
            self.evicted += 1;
        }
        self.entries.insert(key, (time, value));
        self.order.insert((time, key));
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some((time, _)) = self.entries.remove(&key) {
            self.order.remove(&(time, key));
        }
    }

    /// Forgets what has a time at or before `limit`.
    pub(crate) fn expire(&mut self, limit: Timestamp) {
        while let Some(&(time, key)) = self.order.first() {
            if time > limit {
                break;
            }
            self.remove(key);
        }
    }

    pub(crate) fn range(&self, keys: RangeFrom<K>) -> impl Iterator<Item = (K, Timestamp)> {
        self.entries
            .range(keys)
            .map(|(key, (time, _))| (*key, *time))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, Timestamp)> {
        self.entries.iter().map(|(key, (time, _))| (*key, *time))
    }

    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_goes_first() {
        let at = Timestamp::from_seconds;
        let mut recent = Recent::new(2);
        recent.set('a', at(1), ());
        recent.set('b', at(2), ());
        recent.set('a', at(3), ());
        recent.set('c', at(4), ());
        assert_eq!(recent.iter().map(|(k, _)| k).collect::<String>(), "ac");
        assert_eq!(recent.evicted(), 1);
        recent.expire(at(3));
        assert_eq!(recent.iter().map(|(k, _)| k).collect::<String>(), "c");
    }
}
