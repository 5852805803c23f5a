//! The one place where the wall clock is read.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

pub(crate) fn now() -> Timestamp {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}
