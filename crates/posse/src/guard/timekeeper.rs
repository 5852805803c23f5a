//! Whether somebody set the wall clock.
//!
//! Bans, counts and silences are spans of time, but are kept as points on the wall clock, so that
//! they survive a restart. When the clock is set, the points must move with it: a ban of four
//! hours lasts four hours, whatever the clock says. The steady clock (time since boot, sleep
//! included) tells a clock that was set from time that passed.

use std::time::Duration;

use model::Timestamp;

/// By how much a clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jump {
    /// Nanoseconds; negative: back.
    pub(crate) by: i64,
}

impl Jump {
    pub(crate) const fn is_forward(self) -> bool {
        self.by > 0
    }

    pub(crate) const fn span(self) -> Duration {
        Duration::from_nanos(self.by.unsigned_abs())
    }
}

#[derive(Debug)]
pub(crate) struct Timekeeper {
    wall: Timestamp,
    steady: Duration,
}

impl Timekeeper {
    pub(crate) const fn new(wall: Timestamp, steady: Duration) -> Self {
        Self { wall, steady }
    }

    /// The jump since the last call, if the clocks are further apart than `limit`. Slow drift and
    /// small corrections are no jump: nothing here is that exact.
    pub(crate) fn check(
        &mut self,
        wall: Timestamp,
        steady: Duration,
        limit: Duration,
    ) -> Option<Jump> {
        let expected = self.wall.plus(steady.saturating_sub(self.steady));
        let by = wall.nanos().saturating_sub(expected.nanos());
        (self.wall, self.steady) = (wall, steady);
        (by.unsigned_abs() >= u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
            .then_some(Jump { by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn check(clock: &mut Timekeeper, wall: i64, steady: u64) -> Option<i64> {
        let found = clock.check(
            Timestamp::from_seconds(wall),
            Duration::from_secs(steady),
            LIMIT,
        );
        found.map(|jump| jump.by / 1_000_000_000)
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let mut clock = Timekeeper::new(Timestamp::from_seconds(1_000), Duration::from_secs(10));
        assert_eq!(check(&mut clock, 1_001, 11), None);
        // Asleep for a day: both clocks went on.
        assert_eq!(check(&mut clock, 87_401, 86_411), None);
        // Put right by half a minute, twice.
        assert_eq!(check(&mut clock, 87_432, 86_412), None);
        assert_eq!(check(&mut clock, 87_463, 86_413), None);
    }

    #[test]
    fn a_clock_that_was_set_is_told_once_with_its_distance() {
        let mut clock = Timekeeper::new(Timestamp::from_seconds(1_000), Duration::ZERO);
        assert_eq!(
            check(&mut clock, 1_000 + 31_536_000 + 1, 1),
            Some(31_536_000)
        );
        assert_eq!(check(&mut clock, 1_000 + 31_536_000 + 2, 2), None);
        assert_eq!(check(&mut clock, 1_003, 3), Some(-31_536_000));
        assert_eq!(check(&mut clock, 1_004, 4), None);
    }
}
