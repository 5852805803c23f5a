//! Evidence on disk: the vault of exhibits, and cases gathered from the ledger.
//!
//! Stands beside the data's way. Bytes come in from files and alerts, are hashed and sealed as
//! they come, and become an exhibit when the ledger has its acquisition; they leave only after
//! the ledger has the look. What may be done with an exhibit is `casework`'s to say; here is only
//! IO. It keeps no table of its own: what it knows of an exhibit are the ledger's entries.
//! Time servers are asked how far the clock is off, if any are configured; never on a ban's way.
//! One call needs `unsafe`: the kernel's word on its clock, in `clock.rs`.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod clock;
mod derive;
mod dossier;
mod error;
mod keeping;
mod keys;
mod ledger;
pub mod person_key;
mod seal;
pub mod sntp;
mod time_servers;
mod vault;

pub use clock::clock_truth;
pub use derive::{Cut, CutBytes};
pub use dossier::{dossier, exhibit, persons, read_case};
pub use error::EvidenceError;
pub use keeping::{Fixity, Judged, Tidied};
pub use ledger::{Ledger, Numbers};
pub use seal::Unsealed;
pub use time_servers::{TIME_SERVERS_MAX, TimeServer, TimeServerError};
pub use vault::{Acquired, EXHIBIT_BYTES_MAX, Facts, Incoming, Look, Looked, SOURCES_MAX, Vault};
