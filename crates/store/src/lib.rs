//! The state directory: the ledger and its projections in SQLite, and the intake journal.
//!
//! Stands beside the data's way: entries come in from the guard through the [`Recorder`], which
//! it never waits for, and from operators, who wait until their entries are durable. The tree,
//! its checkpoint and every table change in one transaction, so a crash leaves all or nothing.
//! The tables can always be made anew from the entries. All formats and hashing are `ledger`'s;
//! here is only IO. One process at a time writes to a state directory; any may read beside it.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod attest;
mod convert;
mod dir;
mod erasure;
mod error;
mod evidence;
mod export;
mod intake;
mod keys;
mod packing;
mod projection;
mod query;
mod recorder;
mod schema;
mod store;
mod types;
mod verify;
mod verify_others;

pub use attest::{
    Alarm, Attestations, STAMP_BYTES_MAX, Stamp, WITNESSES_MAX, WitnessSetup, WitnessState,
};
pub use error::StoreError;
pub use intake::{IntakeJournal, JOURNAL_BYTES_MAX, Recovered};
pub use packing::Excerpt;
pub use recorder::{Recorder, RecorderEvent, RecorderStatus};
pub use store::Store;
pub use types::{
    ActiveBan, AlertFilter, Appended, Content, Durability, ExportReport, Offender, Progress,
    RecordedAlert, RecordedRefusal, StoreOptions, StoredEntry, VerifyAgainst, VerifyFailure,
    VerifyReport,
};
