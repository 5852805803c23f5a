//! The one place where this room reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet::Moment;
use model::Timestamp;

/// Added to the time since boot, so that what happened before the last boot has a place too.
const ORIGIN: Duration = Duration::from_secs(400 * 86_400);

/// Time since boot, sleep included. Nobody sets this clock.
pub(crate) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

pub(crate) fn moment() -> Moment {
    Moment(since_boot() + ORIGIN)
}

/// A point on the clock that the kernel table's ends are kept on: it begins with the boot.
pub(crate) fn kernel_time() -> Timestamp {
    Timestamp::from_nanos(i64::try_from(since_boot().as_nanos()).unwrap_or(i64::MAX))
}

pub(crate) fn wall() -> Timestamp {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Names this run of the kernel; readings of [`since_boot`] compare within one only.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
