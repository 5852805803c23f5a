//! So many in any hour, exactly: counted in tenths of an hour, over seven of them.

use serde::{Deserialize, Serialize};

use crate::rules::HOUR;

const SLOT: u64 = HOUR / 6;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hourly {
    slot: u64,
    /// The newest first. The seventh makes the window at least, not at most, an hour.
    counts: [u32; 7],
}

impl Hourly {
    pub(crate) fn count(&mut self, now: u64) -> u32 {
        let slot = now / SLOT;
        let steps = slot.saturating_sub(self.slot).min(7);
        if steps > 0 {
            let steps = usize::try_from(steps).unwrap_or(7);
            self.counts.rotate_right(steps % 7);
            self.counts.iter_mut().take(steps).for_each(|c| *c = 0);
            self.slot = slot;
        }
        self.counts.iter().fold(0, |sum, c| sum.saturating_add(*c))
    }

    pub(crate) fn add(&mut self, now: u64) {
        self.count(now);
        if let Some(newest) = self.counts.first_mut() {
            *newest = newest.saturating_add(1);
        }
    }

    /// Counts one more if that stays within the limit.
    pub(crate) fn admit(&mut self, now: u64, limit: u32) -> bool {
        let within = self.count(now) < limit;
        if within {
            self.add(now);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_than_the_limit_in_any_hour(
            steps in prop::collection::vec(0u64..HOUR, 1..200), limit in 1u32..10,
        ) {
            let (mut budget, mut now) = (Hourly::default(), 5 * HOUR);
            let mut admitted = Vec::new();
            for step in steps {
                now += step / 8;
                if budget.admit(now, limit) {
                    admitted.push(now);
                }
            }
            for first in &admitted {
                let within = admitted.iter().filter(|t| **t >= *first && **t < *first + HOUR);
                prop_assert!(within.count() <= limit as usize);
            }
            prop_assert!(budget.admit(now + 2 * HOUR, limit));
        }
    }

    #[test]
    fn a_timeline_that_stands_still_does_not_refill() {
        let mut budget = Hourly::default();
        assert!(budget.admit(10 * HOUR, 1));
        assert!(!budget.admit(HOUR, 1));
    }
}
