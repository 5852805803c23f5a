//! The ledger and its projections in SQLite.

mod error;
mod intake;
mod recorder;
mod store;
mod types;

pub use error::StoreError;
pub use intake::{IntakeJournal, Recovered};
pub use recorder::{Recorder, RecorderEvent, RecorderStatus};
pub use store::Store;
pub use types::{
    ActiveBan, AlertFilter, Appended, Content, Durability, ExportReport, Offender, Progress,
    RecordedAlert, RecordedRefusal, StoreOptions, StoredEntry, VerifyFailure, VerifyReport,
};
