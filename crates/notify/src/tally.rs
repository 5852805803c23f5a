//! How often each of many names came, in bounded memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names counted one by one; those beyond are counted together.
pub(crate) const NAMES_MAX: usize = 2_048;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    counts: BTreeMap<String, u64>,
    /// Counted for names beyond the limit.
    others: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, name: &str, times: u64) {
        if let Some(count) = self.counts.get_mut(name) {
            *count = count.saturating_add(times);
        } else if self.counts.len() < NAMES_MAX {
            self.counts.insert(name.to_owned(), times);
        } else {
            self.others = self.others.saturating_add(times);
        }
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        for (name, times) in &other.counts {
            self.add(name, *times);
        }
        self.others = self.others.saturating_add(other.others);
    }

    /// Different names; with `true` there were more than could be told apart.
    pub fn names(&self) -> (u64, bool) {
        (self.counts.len() as u64, self.others > 0)
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The most frequent ones, most first; equals by name.
    pub fn top(&self, n: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(n);
        all
    }

    /// `at least 2048` when not all could be told apart.
    pub(crate) fn spoken(&self, one: &str, many: &str) -> String {
        let (names, more) = self.names();
        let text = crate::text::counted(names, one, many);
        if more {
            format!("at least {text}")
        } else {
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut tally = Tally::default();
        for n in 0..NAMES_MAX + 10 {
            tally.add(&format!("{n:05}"), 2);
        }
        tally.add("00000", 1);
        assert_eq!(tally.names(), (NAMES_MAX as u64, true));
        assert_eq!(tally.others, 20);
        assert_eq!(tally.top(2), [("00000", 3), ("00001", 2)]);
        let mut sum = Tally::default();
        sum.absorb(&tally);
        sum.absorb(&tally);
        assert_eq!((sum.others, sum.top(1)[0]), (40, ("00000", 6)));
    }
}
