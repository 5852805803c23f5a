//! Decisions into the kernel: the set of bans that ought to hold, the set that does, and the
//! netlink messages that turn the second into the first.
//!
//! Stands after `decide` (which has already asked the never-ban guard) and before the kernel.
//! [`Desired`] owns what ought to hold and is pure: time is an argument, kernel work comes out as
//! [`KernelChange`] values. [`Firewall`] owns one nf_tables table and carries them out over one
//! netlink socket, with no other program in the path. [`Monitor`] says when somebody else touched
//! the table; [`reconcile`] then works out what to repair.
//!
//! Must not: decide whether an address may be banned, touch any table but its own, flush anything
//! (bans survive a restart and a crash), or trust a length the kernel's reply claims.
//! Unsafe code is in `socket.rs` alone.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod compact;
mod decode;
mod desired;
mod element;
mod error;
mod exchange;
mod firewall;
#[doc(hidden)]
pub mod fuzzing;
mod layout;
mod monitor;
mod plan;
mod project;
mod set;
mod socket;
mod wire;

pub use compact::CompactDesired;
pub use desired::{Desired, DesiredFull};
pub use error::EnforceError;
pub use firewall::{Applied, Counter, Counters, Firewall, FirewallOptions, LargeSets, Synced};
pub use monitor::{Monitor, Sighting};
pub use plan::{KernelChange, Wanted, reconcile};
pub use set::SetKind;
