//! One hub for many machines: who belongs, what is banned, and every door to it.
//!
//! Stands behind the guards: they send it signed statements, it hands every member one ban set.
//! The core (one thread) owns the ban set, the registry and `hub.db`; it answers only after the
//! ledger and `hub.db` are durable. Doors (`lapi`, `feeds`, `openc2`) and the guards' own
//! protocol hold a cloneable [`Core`] and own no state that must survive. It must never decide
//! for a guard: a guard asks its own policy before its kernel.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod ban;
mod caller;
mod core;
mod db;
#[cfg(test)]
mod door;
mod error;
mod exhibits;
mod fanout;
pub mod feeds;
pub mod gate;
mod handovers;
pub mod lapi;
pub mod limits;
mod lists;
mod member;
mod metrics;
mod names;
pub mod openc2;
mod order;
mod people;
mod presence;
mod rate;
mod registry;
mod routes;
mod secret;
mod server;
mod spread;
mod status;
mod tls;
mod totp;
mod view;
mod worker;

pub use ban::{Ban, BanId, Change, Changes, EndCause, Point};
pub use caller::{Caller, KeyKind, Means, Role};
pub use core::{Core, Hub, SystemOf};
pub use error::{HubError, LoginError, OrderError};
pub use exhibits::ExhibitOptions;
pub use member::{Invite, RefusedBan, RulesChange, Wish};
pub use metrics::{WitnessesNow, serve_metrics};
pub use names::{CommunityId, Generation, HubTime, NameError, OrgId};
pub use order::{
    AlertFilter, Allowlist, AllowlistItem, KnownPerson, NewBan, NewKey, NewPerson, PersonMade,
    Release, Released, Report, Reported, StoredAlert,
};
pub use registry::{Community, CommunityRules, Hash, Member};
pub use server::{ServerOptions, Traffic, serve};
pub use status::{CommunityStatus, HubStatus, KeyStatus, MemberStatus};
