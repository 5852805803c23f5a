//! What jails keep of lines, packed: one piece of memory for many short texts.
//!
//! Sessions are made and ended with nearly every line; what they hold is cleared and used again
//! instead of being given back piece by piece.

/// Bytes that memory which is kept for the next use may have.
const KEPT_BYTES_MAX: usize = 1_024;
/// Bytes from which on overwritten values are thrown out.
const LOOSE_BYTES_MAX: usize = 1_024;

/// Some texts in their order.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub(super) fn append(&mut self, others: &Self) {
        let before = self.text.len();
        self.text.push_str(&others.text);
        self.ends.extend(others.ends.iter().map(|end| before + end));
    }

    pub(super) fn truncate(&mut self, count: usize) {
        if count < self.ends.len() {
            self.ends.truncate(count);
            self.text.truncate(self.ends.last().copied().unwrap_or(0));
        }
    }

    /// Adds a text to sorted ones, unless it is there or there are `max`.
    pub(super) fn insert_sorted(&mut self, text: &str, max: usize) {
        let before = self.iter().take_while(|known| *known < text).count();
        if self.iter().nth(before) == Some(text) || self.len() >= max {
            return;
        }
        let start = self.start(before);
        self.text.insert_str(start, text);
        self.ends.insert(before, start);
        for end in self.ends.iter_mut().skip(before) {
            *end += text.len();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| {
            let range = self.start(at)..self.start(at + 1);
            self.text.get(range).unwrap_or_default()
        })
    }

    /// Where the text of this number begins, or the one before it ends.
    fn start(&self, at: usize) -> usize {
        let end = at.checked_sub(1).and_then(|at| self.ends.get(at));
        end.copied().unwrap_or(0)
    }

    /// Empties it for another use.
    pub(super) fn reuse(&mut self) {
        if self.text.capacity() > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.clear();
    }
}

/// What named groups took, by the number of their name.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: String,
    places: Vec<(u16, usize, usize)>,
}

impl Values {
    pub(super) fn get(&self, name: u16) -> Option<&str> {
        let (_, start, end) = self.places.iter().find(|(n, ..)| *n == name)?;
        self.text.get(*start..*end)
    }

    /// The value, unless it is empty.
    pub(super) fn filled(&self, name: u16) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn set(&mut self, name: u16, value: &str) {
        let start = self.text.len();
        let end = start + value.len();
        match self.places.iter_mut().find(|(n, ..)| *n == name) {
            Some((_, from, to)) => {
                if self.text.get(*from..*to) == Some(value) {
                    return;
                }
                (*from, *to) = (start, end);
            }
            None => self.places.push((name, start, end)),
        }
        self.text.push_str(value);
        if end > LOOSE_BYTES_MAX {
            self.tighten();
        }
    }

    /// Throws out values that were overwritten, if they are the larger part.
    fn tighten(&mut self) {
        let held: usize = self.places.iter().map(|(_, from, to)| to - from).sum();
        if held * 2 > self.text.len() {
            return;
        }
        let mut text = String::with_capacity(held);
        for (_, from, to) in &mut self.places {
            let start = text.len();
            text.push_str(self.text.get(*from..*to).unwrap_or_default());
            (*from, *to) = (start, text.len());
        }
        self.text = text;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        self.places
            .iter()
            .map(|(name, from, to)| (*name, self.text.get(*from..*to).unwrap_or_default()))
    }

    pub(super) fn update(&mut self, newer: &Self) {
        if self.places.is_empty() {
            self.text.push_str(&newer.text);
            self.places.extend_from_slice(&newer.places);
            return;
        }
        for (name, value) in newer.iter() {
            self.set(name, value);
        }
    }

    /// Empties it for another use.
    pub(super) fn reuse(&mut self) {
        if self.text.capacity() > KEPT_BYTES_MAX {
            *self = Self::default();
        }
        self.text.clear();
        self.places.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_are_those_set_last(sets in proptest::collection::vec((0u16..6, "[aé]{0,400}"), 0..60)) {
            let (mut values, mut expected) = (Values::default(), BTreeMap::new());
            for (name, value) in &sets {
                values.set(*name, value);
                expected.insert(*name, value.as_str());
            }
            let found: BTreeMap<u16, &str> = values.iter().collect();
            prop_assert_eq!(&found, &expected);
            let held: usize = expected.values().map(|v| v.len()).sum();
            prop_assert!(values.text.len() <= LOOSE_BYTES_MAX + 2 * held + 800);
        }

        #[test]
        fn sorted_texts_are_a_set(texts in proptest::collection::vec("[ab]{0,3}", 0..30)) {
            let mut kept = Texts::default();
            texts.iter().for_each(|text| kept.insert_sorted(text, 100));
            let expected: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
            prop_assert!(kept.iter().eq(expected));
        }
    }

    #[test]
    fn texts_are_appended_and_cut_off() {
        let (mut one, mut two) = (Texts::default(), Texts::default());
        one.push("a");
        two.push("");
        two.push("bc");
        one.append(&two);
        assert!(one.iter().eq(["a", "", "bc"]));
        one.truncate(2);
        one.push("d");
        assert!(one.iter().eq(["a", "", "d"]));
    }
}
