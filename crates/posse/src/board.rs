//! Where the guard puts its newest numbers for whoever shows them: the status page, metrics, the
//! daily digest. Readers never wait for the guard, and the guard only swaps a pointer.

use std::sync::{Arc, Mutex, PoisonError};

use model::Status;

#[derive(Clone, Default)]
pub(crate) struct Board {
    newest: Arc<Mutex<Option<Arc<Status>>>>,
}

impl Board {
    pub(crate) fn publish(&self, status: Status) {
        let status = Some(Arc::new(status));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// `None` until the guard has published for the first time.
    pub(crate) fn latest(&self) -> Option<Arc<Status>> {
        self.newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_seen_by_all_who_hold_the_board() {
        let board = Board::default();
        let reader = board.clone();
        assert!(reader.latest().is_none());
        for bans in [1, 2] {
            board.publish(Status {
                bans,
                ..Status::default()
            });
        }
        assert_eq!(reader.latest().map(|s| s.bans), Some(2));
    }
}
