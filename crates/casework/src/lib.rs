//! Cases: what is known of one, its exhibits and their custody, its clocks, its referrals, and the
//! pack that goes to court.
//!
//! Pure: no clock, no files, no network, no randomness. What happened comes in as ledger entries;
//! what is to be recorded, written or shown goes out as values. The bytes of exhibits are here
//! only while a referral's part is cut from them.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod bag;
mod case;
pub mod clocks;
mod custody;
mod dossier;
pub mod grouping;
pub mod handover;
pub mod intake;
pub mod jurisdiction;
pub mod pack;
pub mod persons;
pub mod referral;
mod retention;
mod span;
pub mod spread;
pub mod subject;
pub mod submission;

pub use bag::zip;
pub use case::{Case, CaseError, Closing, Forbearance, Note, Referral, Step, Taken};
pub use custody::{BY_RETENTION, Custody, CustodyError, Hold, Request, RequestState};
pub use dossier::{CustodyStep, Dossier, ExhibitRecord, Indexed};
pub use retention::{Fate, RetentionPolicy};
pub use span::span_in_words;
