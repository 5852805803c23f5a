//! Court packs on disk: written so that there is a whole one or none, read as if an enemy had made
//! them, and verified offline.
//!
//! `casework::pack` says what is in a pack; here are files, ZIP archives, encryption to a
//! recipient, and the verification of packs of others. Nothing here needs a ledger, a network or
//! a clock. What a pack claims is believed only as far as its proofs go.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod age;
mod error;
mod open;
mod verify;
mod write;

pub use age::{Recipient, RecipientError};
pub use error::PackIoError;
pub use open::{FILES_MAX, Hashes, OpenPack, SMALL_FILE_BYTES_MAX};
pub use verify::{Findings, Mistake, StampCheck, Trust, Verified, verify};
pub use write::{Exhibits, Form, write};
