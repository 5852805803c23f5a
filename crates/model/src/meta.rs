//! Named texts of one event, packed: what alerts show of each line that counted.
//!
//! An alert holds up to hundreds of such events, so one of them is two allocations and not two
//! for every name. Reads and serializes as a map from names to texts, in the order of the names.

use std::{collections::BTreeMap, fmt, ops::Index};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A small map from names to texts that never changes once made.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name, text, name, text, …
    text: Box<str>,
    /// Where each name and each text ends.
    ends: Box<[(u32, u32)]>,
}

impl Meta {
    /// Takes the pairs as they come; of one name given twice, the last counts. `pairs` is left
    /// sorted, for the caller to use again.
    pub fn new(pairs: &mut Vec<(&str, &str)>) -> Self {
        pairs.reverse();
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by_key(|(name, _)| *name);
        let bytes: Vec<_> = pairs.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        Self::of_sorted(&bytes).unwrap_or_default()
    }

    /// Takes pairs that are in the order of their names, no name twice. The values are texts by
    /// themselves, as bytes: all are looked at together. `None` when they are no texts after all.
    pub fn of_sorted(pairs: &[(&str, &[u8])]) -> Option<Self> {
        debug_assert!(
            pairs.is_sorted_by(|a, b| a.0 < b.0),
            "not sorted: {pairs:?}"
        );
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len());
        let mut text = Vec::with_capacity(bytes.sum());
        let mut end = |part: &[u8]| {
            text.extend_from_slice(part);
            u32::try_from(text.len()).unwrap_or(u32::MAX)
        };
        let ends = pairs
            .iter()
            .map(|(name, value)| (end(name.as_bytes()), end(value)))
            .collect();
        Some(Self {
            text: String::from_utf8(text).ok()?.into_boxed_str(),
            ends,
        })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(middle, end)| {
            let (middle, end) = (*middle as usize, *end as usize);
            let name = self.text.get(start..middle).unwrap_or_default();
            let value = self.text.get(middle..end).unwrap_or_default();
            start = end;
            (name, value)
        })
    }

    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and texts.
    pub const fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Meta {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_ref(), v.as_ref()))
            .collect();
        Self::new(&mut pairs)
    }
}

impl Index<&str> for Meta {
    type Output = str;

    /// The text of a name; empty when there is none, as the rule language has it.
    fn index(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Meta {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(d)?;
        Ok(map.iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_of_one_name_counts() {
        let meta: Meta = [("b", "1"), ("a", ""), ("b", "2")].into_iter().collect();
        assert_eq!(meta.iter().collect::<Vec<_>>(), [("a", ""), ("b", "2")]);
        assert_eq!((&meta["b"], &meta["c"]), ("2", ""));
        assert_eq!((meta.get("a"), meta.get("c")), (Some(""), None));
    }

    proptest! {
        #[test]
        fn reads_as_the_map_it_was_made_of(
            map in proptest::collection::btree_map(".{0,5}", ".{0,9}", 0..9),
        ) {
            let meta: Meta = map.iter().collect();
            prop_assert_eq!(meta.len(), map.len());
            let back: BTreeMap<String, String> =
                meta.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(&back, &map);
            let text = serde_json::to_string(&meta).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(serde_json::from_str::<Meta>(&text).unwrap(), meta);
        }
    }
}
