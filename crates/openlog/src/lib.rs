//! The ledger as outsiders meet it.
//!
//! Stands beside the data's way, behind the store: hands the log out as C2SP tiles over HTTP
//! ([`router`]), asks witnesses to cosign its checkpoints and authorities to stamp them
//! ([`start`]), and is itself a witness for other logs ([`Witness`]). What it hands out are
//! hashes and leaves, which name no one; payloads stay in the store. It must never hold the guard
//! up: each witness and the stamps have a thread of their own, the store is read through
//! connections that only read, and whatever fails is tried again and told of. All formats and
//! decisions are `ledger`'s.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod ask;
mod clock;
mod config;
mod error;
mod http;
mod serve;
mod stamp;
mod stamping;
mod witness;

pub use ask::{Asking, Outlet, start};
pub use config::{AuthorityConfig, Setup, WitnessConfig, WitnessesConfig};
pub use error::OpenLogError;
pub use serve::router;
pub use stamp::{Imprint, StampError, Token, checked, request};
pub use stamping::{Stamped, stamp_now, verify_stamp, verify_token};
pub use witness::{
    KnownLog, Witness, WitnessOptions, logs_in as witness_logs, serve as serve_witness,
    vkey_in as witness_vkey,
};
