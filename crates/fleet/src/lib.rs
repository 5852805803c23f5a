//! One ban set for many machines.
//!
//! Stands beside `enforce`: what members of a community tell each other goes through here before
//! it may become a ban. The hub keeps a community's [`BanSet`]; every guard keeps a copy of it in
//! a [`Follower`], which believes nothing that is not signed by whom its [`Roster`] names, and
//! yields only what its [`Acceptance`] lets through. Between them travel [`Frame`]s on a stream
//! that never ends, and a [`Snapshot`] for those who come late.
//!
//! Pure: no clock, no files, no network, no dice. Both sides' clocks are arguments: [`HubTime`] at
//! the hub, [`Moment`] at a guard. A guard's wall clock never enters.
//!
//! What must hold whatever the hub does: a guard never goes back to an older generation, never
//! applies a statement twice, never lets a ban last longer than its issuer signed, and never drops
//! a ban because the hub is gone.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod acceptance;
pub mod api;
mod backoff;
mod bits;
mod cbor;
mod digest;
mod error;
mod follower;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod live;
mod name;
mod packed;
mod roster;
mod set;
mod snapshot;
mod statement;
mod table;
mod time;

pub use acceptance::{Acceptance, Flood, HubBans, Unwanted};
pub use backoff::{Backoff, BackoffConfig};
pub use digest::Digest;
pub use error::FleetError;
pub use follower::{
    Alarm, Applied, Effect, FollowError, Follower, FollowerConfig, Position, Refused, Remedy,
};
pub use frame::{Accepted, Body, FRAME_BYTES_MAX, Frame, Offer};
pub use key::{KeyId, PublicKey, Signature, SigningKey};
pub use name::{CommunityId, NameError, OrgId};
pub use roster::{ROSTER_MAX, Role, RoleError, Roster, RosterEntry, SignedRosterEntry, Standing};
pub use set::{BanSet, Change, Entry, Frozen, Limits, Resume, SetConfig};
pub use snapshot::{SNAPSHOT_BYTES_MAX, Snapshot, SnapshotHash};
pub use statement::{
    Ban, KIND_BYTES_MAX, LASTS_SECONDS_MAX, Op, PROVENANCE_BYTES, REASON_BYTES_MAX, Release,
    STATEMENT_BYTES_MAX, STATEMENT_OPS_MAX, SignedStatement, Statement, end_of,
};
pub use time::{Generation, HubTime, Moment};
