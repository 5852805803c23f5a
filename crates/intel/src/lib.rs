//! What others speak, as values.
//!
//! A format room: bytes of third parties come in as typed values, values go out as the bytes
//! third parties read. Stands between the hub's doors and the programs that are installed
//! already: CrowdSec's agents and bouncers (`lapi`), firewalls that fetch lists (`feed`),
//! orchestrators (`openc2`), and the lists of addresses that no one should ban (`warninglist`).
//! It knows no hub: the doors ask it what a request means and how an answer is written. Must
//! not read a disk, a socket or a clock.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod feed;
mod go_duration;
pub mod lapi;
pub mod openc2;
mod query;
pub mod warninglist;

pub use crate::{
    go_duration::{GoDuration, GoDurationError},
    query::{Pairs, pairs},
};
