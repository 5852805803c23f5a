//! A bounded map that forgets by time: the room's memory of offenders, good visitors and things
//! already said.

use model::{Prefix, PrefixEnds, PrefixMap, PrefixRows, Timestamp};

/// Keeps at most `max` networks; beyond it the one with the earliest time goes, and is counted.
#[derive(Clone, Debug)]
pub(crate) struct Recent<V> {
    entries: PrefixMap<(Timestamp, V)>,
    order: PrefixEnds,
    max: usize,
    evicted: u64,
}

impl<V> Recent<V> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            entries: PrefixMap::new(),
            order: PrefixEnds::new(),
            max,
            evicted: 0,
        }
    }

    pub(crate) const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    pub(crate) fn get(&self, key: Prefix) -> Option<&(Timestamp, V)> {
        self.entries.get(key)
    }

    pub(crate) fn set(&mut self, key: Prefix, time: Timestamp, value: V) {
        self.remove(key);
        while self.entries.len() >= self.max {
            let Some((time, oldest)) = self.order.first() else {
                break;
            };
            self.order.remove(time, oldest);
            self.entries.remove(oldest);
            self.evicted += 1;
        }
        self.entries.insert(key, (time, value));
        self.order.insert(time, key);
    }

    pub(crate) fn remove(&mut self, key: Prefix) {
        if let Some((time, _)) = self.entries.remove(key) {
            self.order.remove(time, key);
        }
    }

    /// Forgets what has a time at or before `limit`.
    pub(crate) fn expire(&mut self, limit: Timestamp) {
        while let Some((time, key)) = self.order.first() {
            if time > limit {
                break;
            }
            self.remove(key);
        }
    }

    /// Moves every time, without changing their order.
    pub(crate) fn shift(&mut self, move_on: &dyn Fn(Timestamp) -> Timestamp)
    where
        V: Clone,
    {
        let entries = std::mem::replace(&mut self.entries, PrefixMap::new());
        let mut rows = PrefixRows::default();
        for (key, (time, value)) in entries.iter() {
            rows.push(key, (move_on(*time), value.clone()));
        }
        self.restore(rows);
    }

    pub(crate) fn iter_from(&self, first: Prefix) -> impl Iterator<Item = (Prefix, Timestamp)> {
        self.entries
            .iter_from(first)
            .map(|(key, (time, _))| (key, *time))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, Timestamp)> {
        self.entries.iter().map(|(key, (time, _))| (key, *time))
    }

    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes all of `known` in, later ones in place of earlier ones; as [`Recent::set`] for each,
    /// in a fraction of its time and room when nothing was there before.
    pub(crate) fn restore(&mut self, known: PrefixRows<(Timestamp, V)>) {
        if !self.entries.is_empty() {
            for (key, (time, value)) in known.into_rows() {
                self.set(key, time, value);
            }
            return;
        }
        self.entries = PrefixMap::from(known);
        self.order = self
            .entries
            .iter()
            .map(|(key, (time, _))| (*time, key))
            .collect();
        while self.entries.len() > self.max {
            let Some((_, oldest)) = self.order.first() else {
                break;
            };
            self.remove(oldest);
            self.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn names<V>(recent: &Recent<V>) -> Vec<String> {
        recent.iter().map(|(key, _)| key.to_string()).collect()
    }

    #[test]
    fn the_earliest_goes_first() {
        let at = Timestamp::from_seconds;
        let (a, b, c) = (p("192.0.2.1"), p("192.0.2.2"), p("2001:db8::/64"));
        let mut recent = Recent::new(2);
        recent.set(a, at(1), ());
        recent.set(b, at(2), ());
        recent.set(a, at(3), ());
        recent.set(c, at(4), ());
        assert_eq!(names(&recent), ["192.0.2.1", "2001:db8::/64"]);
        assert_eq!(recent.evicted(), 1);
        recent.expire(at(3));
        assert_eq!(names(&recent), ["2001:db8::/64"]);
    }

    #[test]
    fn what_is_restored_is_bounded_too() {
        let at = Timestamp::from_seconds;
        let known = |all: &[(&str, i64)]| {
            let mut rows = PrefixRows::default();
            all.iter()
                .for_each(|(key, t)| rows.push(p(key), (at(*t), *t)));
            rows
        };
        let first = [
            ("192.0.2.1", 9),
            ("192.0.2.2", 2),
            ("192.0.2.3", 3),
            ("192.0.2.1", 1),
        ];
        let mut recent = Recent::new(2);
        recent.restore(known(&first));
        assert_eq!(names(&recent), ["192.0.2.2", "192.0.2.3"]);
        assert_eq!(recent.evicted(), 1);
        recent.restore(known(&[("192.0.2.3", 5), ("192.0.2.4", 4)]));
        assert_eq!(names(&recent), ["192.0.2.3", "192.0.2.4"]);
        assert_eq!(recent.get(p("192.0.2.3")), Some(&(at(5), 5)));
        recent.expire(at(4));
        assert_eq!(names(&recent), ["192.0.2.3"]);
    }
}
