//! The one place where clocks are read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;

pub(crate) fn now() -> Timestamp {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    let now = Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
    #[cfg(debug_assertions)]
    let now = now.plus(moved());
    now
}

/// Builds for tests can be told that it is later.
#[cfg(debug_assertions)]
fn moved() -> Duration {
    static MOVED: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();
    *MOVED.get_or_init(|| {
        let text = std::env::var("POSSE_TEST_CLOCK_AHEAD").ok();
        let span = text.and_then(|text| model::parse_duration(&text).ok());
        span.unwrap_or_default()
    })
}

/// Time since boot, sleep included. Nobody sets this clock.
pub(crate) fn steady() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}
