//! Millions of networks in little memory: an IPv4 network takes eight bytes as a key here, a
//! [`Prefix`] eighteen.
//!
//! Made in one go from what a store gives, the trees are filled to the brim; grown one by one they
//! are filled to two thirds.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Prefix, Timestamp};

/// Values by network, in the order of [`Prefix`].
#[derive(Clone, Debug)]
pub struct PrefixMap<V> {
    v4: BTreeMap<u64, V>,
    v6: BTreeMap<Prefix, V>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> PrefixMap<V> {
    pub const fn new() -> Self {
        Self {
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn get(&self, prefix: Prefix) -> Option<&V> {
        match prefix.to_number() {
            Some(number) => self.v4.get(&number),
            None => self.v6.get(&prefix),
        }
    }

    pub fn get_mut(&mut self, prefix: Prefix) -> Option<&mut V> {
        match prefix.to_number() {
            Some(number) => self.v4.get_mut(&number),
            None => self.v6.get_mut(&prefix),
        }
    }

    /// Returns the value that stood there.
    pub fn insert(&mut self, prefix: Prefix, value: V) -> Option<V> {
        match prefix.to_number() {
            Some(number) => self.v4.insert(number, value),
            None => self.v6.insert(prefix, value),
        }
    }

    pub fn remove(&mut self, prefix: Prefix) -> Option<V> {
        match prefix.to_number() {
            Some(number) => self.v4.remove(&number),
            None => self.v6.remove(&prefix),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &V)> {
        let v4 = self.v4.iter().map(|(n, v)| (Prefix::from_number(*n), v));
        v4.chain(self.v6.iter().map(|(prefix, v)| (*prefix, v)))
    }

    /// From `first` on, in the order of [`Prefix`]: all of IPv6 comes after IPv4.
    pub fn iter_from(&self, first: Prefix) -> impl Iterator<Item = (Prefix, &V)> {
        let v4 = first.to_number().map(|n| self.v4.range(n..));
        let v4 = v4.into_iter().flatten();
        let v4 = v4.map(|(n, v)| (Prefix::from_number(*n), v));
        v4.chain(self.v6.range(first..).map(|(prefix, v)| (*prefix, v)))
    }
}

impl<V> FromIterator<(Prefix, V)> for PrefixMap<V> {
    fn from_iter<I: IntoIterator<Item = (Prefix, V)>>(all: I) -> Self {
        let mut rows = PrefixRows::default();
        all.into_iter()
            .for_each(|(prefix, value)| rows.push(prefix, value));
        rows.into()
    }
}

/// What is to become a [`PrefixMap`]; of equal networks the last one counts.
#[derive(Clone, Debug)]
pub struct PrefixRows<V> {
    v4: Vec<(u64, V)>,
    v6: Vec<(Prefix, V)>,
}

impl<V> Default for PrefixRows<V> {
    fn default() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }
}

impl<V> PrefixRows<V> {
    pub fn push(&mut self, prefix: Prefix, value: V) {
        match prefix.to_number() {
            Some(number) => self.v4.push((number, value)),
            None => self.v6.push((prefix, value)),
        }
    }

    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &V)> {
        let v4 = self.v4.iter().map(|(n, v)| (Prefix::from_number(*n), v));
        v4.chain(self.v6.iter().map(|(prefix, v)| (*prefix, v)))
    }

    pub fn into_rows(self) -> impl Iterator<Item = (Prefix, V)> {
        let v4 = self.v4.into_iter();
        let v4 = v4.map(|(number, value)| (Prefix::from_number(number), value));
        v4.chain(self.v6)
    }

    /// Keeps those that `stays` says yes to.
    pub fn retain(&mut self, mut stays: impl FnMut(Prefix, &V) -> bool) {
        self.v4.retain(|(n, v)| stays(Prefix::from_number(*n), v));
        self.v6.retain(|(prefix, v)| stays(*prefix, v));
    }
}

impl<V> From<PrefixRows<V>> for PrefixMap<V> {
    fn from(rows: PrefixRows<V>) -> Self {
        Self {
            v4: BTreeMap::from_iter(rows.v4),
            v6: BTreeMap::from_iter(rows.v6),
        }
    }
}

/// Networks by a point in time, the earliest first.
#[derive(Clone, Debug, Default)]
pub struct PrefixEnds {
    v4: BTreeSet<(Timestamp, u64)>,
    v6: BTreeSet<(Timestamp, Prefix)>,
}

impl PrefixEnds {
    pub const fn new() -> Self {
        Self {
            v4: BTreeSet::new(),
            v6: BTreeSet::new(),
        }
    }

    pub fn insert(&mut self, time: Timestamp, prefix: Prefix) {
        match prefix.to_number() {
            Some(number) => self.v4.insert((time, number)),
            None => self.v6.insert((time, prefix)),
        };
    }

    pub fn remove(&mut self, time: Timestamp, prefix: Prefix) {
        match prefix.to_number() {
            Some(number) => self.v4.remove(&(time, number)),
            None => self.v6.remove(&(time, prefix)),
        };
    }

    pub fn first(&self) -> Option<(Timestamp, Prefix)> {
        let v4 = self.v4.first().map(|(t, n)| (*t, Prefix::from_number(*n)));
        let v6 = self.v6.first().copied();
        match (v4, v6) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl FromIterator<(Timestamp, Prefix)> for PrefixEnds {
    fn from_iter<I: IntoIterator<Item = (Timestamp, Prefix)>>(all: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (time, prefix) in all {
            match prefix.to_number() {
                Some(number) => v4.push((time, number)),
                None => v6.push((time, prefix)),
            }
        }
        Self {
            v4: BTreeSet::from_iter(v4),
            v6: BTreeSet::from_iter(v6),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, len)| Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap());
        let v6 = (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, len)| Prefix::new(Ipv6Addr::from_bits(bits).into(), len).unwrap());
        let few = (0u32..4, 30u8..=32)
            .prop_map(|(bits, len)| Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap());
        prop_oneof![v4, v6, few]
    }

    proptest! {
        #[test]
        fn a_map_is_as_an_ordinary_one(
            steps in proptest::collection::vec((a_prefix(), any::<u8>(), any::<bool>()), 0..60),
            first in a_prefix(),
        ) {
            let mut plain = BTreeMap::new();
            let mut map = PrefixMap::new();
            let mut kept = Vec::new();
            for (prefix, value, stays) in steps {
                prop_assert_eq!(map.insert(prefix, value), plain.insert(prefix, value));
                kept.push((prefix, value));
                if !stays {
                    prop_assert_eq!(map.remove(prefix), plain.remove(&prefix));
                    kept.retain(|(p, _)| *p != prefix);
                }
                prop_assert_eq!(map.get(prefix), plain.get(&prefix));
            }
            let owned = |all: &mut dyn Iterator<Item = (Prefix, &u8)>| -> Vec<(Prefix, u8)> {
                all.map(|(p, v)| (p, *v)).collect()
            };
            let wanted: Vec<_> = plain.iter().map(|(p, v)| (*p, *v)).collect();
            prop_assert_eq!(owned(&mut map.iter()), &wanted[..]);
            prop_assert_eq!(owned(&mut PrefixMap::from_iter(kept).iter()), wanted);
            let wanted: Vec<_> = plain.range(first..).map(|(p, v)| (*p, *v)).collect();
            prop_assert_eq!(owned(&mut map.iter_from(first)), wanted);
            prop_assert_eq!((map.len(), map.is_empty()), (plain.len(), plain.is_empty()));
        }

        #[test]
        fn ends_come_in_order(all in proptest::collection::vec((0i64..5, a_prefix()), 0..40)) {
            let all: Vec<_> = all.into_iter().map(|(t, p)| (Timestamp::from_seconds(t), p)).collect();
            let mut plain: BTreeSet<_> = all.iter().copied().collect();
            let mut one_by_one = PrefixEnds::new();
            all.iter().for_each(|(t, p)| one_by_one.insert(*t, *p));
            let mut at_once = PrefixEnds::from_iter(all);
            loop {
                let wanted = plain.pop_first();
                prop_assert_eq!(one_by_one.first(), wanted);
                prop_assert_eq!(at_once.first(), wanted);
                let Some((time, prefix)) = wanted else { break };
                one_by_one.remove(time, prefix);
                at_once.remove(time, prefix);
            }
        }
    }

    #[test]
    fn the_unspecified_networks_have_their_place() {
        let all = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        let map: PrefixMap<()> = all
            .iter()
            .map(|a| (Prefix::new(*a, 0).unwrap(), ()))
            .collect();
        assert_eq!(map.len(), 2);
        assert_eq!(map.get("0.0.0.0/0".parse().unwrap()), Some(&()));
    }
}
