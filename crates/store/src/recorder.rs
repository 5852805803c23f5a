use model::Entry;

use crate::{Appended, Store, StoreError};

/// What the recorder tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecorderEvent {
    /// `entries` are durable on the ledger, of which now `size`.
    Recorded {
        entries: u64,
        size: u64,
    },
    /// Recording failed and is tried again.
    Paused {
        cause: String,
    },
    Resumed,
    /// Entries were dropped because the queue was full or they cannot be recorded.
    Lost {
        entries: u64,
        cause: String,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Entries that wait.
    pub queued: u64,
    /// Entries recorded since the start.
    pub recorded: u64,
    /// Entries lost since the start.
    pub lost: u64,
    /// Why recording is paused now, if it is.
    pub paused: Option<String>,
    /// The last error, though it may be over.
    pub last_error: Option<String>,
    /// The ledger's size.
    pub size: u64,
}

/// The recorder: its own thread.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
}

impl Recorder {
    pub fn start(
        store: Store,
        _on_event: Box<dyn Fn(RecorderEvent) + Send>,
    ) -> Result<Self, StoreError> {
        Ok(Self { store })
    }
    /// Never blocks.
    pub fn offer(&self, _entries: Vec<Entry>) {}
    pub fn record_and_wait(&self, _entries: Vec<Entry>) -> Result<Vec<Appended>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn status(&self) -> RecorderStatus {
        RecorderStatus::default()
    }
    /// Drains the queue and gives the store back.
    pub fn stop(self) -> Store {
        self.store
    }
}
