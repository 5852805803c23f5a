//! The one place of this room where the clock is read.

use std::time::SystemTime;

use model::Timestamp;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

/// As witnesses sign it.
pub(crate) fn seconds() -> u64 {
    u64::try_from(now().seconds()).unwrap_or(0)
}
