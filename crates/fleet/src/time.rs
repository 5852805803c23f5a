//! The hub's timeline, a guard's own clock, and the count of changes.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Milliseconds on the hub's own timeline. At the hub's start it is the greater of the wall clock
/// (Unix time) and the last value the hub stored; from then on it runs with the hub's monotonic
/// clock. It never goes back. No guard's wall clock is ever compared with it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HubTime(pub u64);

impl HubTime {
    pub const ZERO: Self = Self(0);

    /// `seconds` whole seconds after the timeline's beginning.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds as u64 * 1_000)
    }

    /// Whole seconds, rounded down. Saturates in 2106, which no end of a ban may reach.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0 / 1_000).unwrap_or(u32::MAX)
    }

    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Says how many change sets a community's ban set has seen. One more with each; never goes back,
/// not even when the hub starts anew. `Generation(0)` is the empty set that nobody changed yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    pub const ZERO: Self = Self(0);

    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point on a guard's own clock, which must be monotonic and go on while the machine sleeps
/// (`CLOCK_BOOTTIME`). Its zero has no meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}
