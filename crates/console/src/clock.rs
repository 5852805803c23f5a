//! The one place of this room that reads a clock.

use model::Timestamp;

pub(crate) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
