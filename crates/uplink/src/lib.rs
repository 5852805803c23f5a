//! A guard's side of the fleet: joins a hub, keeps the hub's stream, puts the community's bans
//! into a kernel table of their own, and reports this machine's own bans.
//!
//! Two threads. `uplink` holds the network and knows nothing of bans. `fleet` (see [`room`])
//! owns the followers, the kernel table, the files and the queue of reports; it hears of the
//! guard's own bans through a bounded queue that never waits. The guard's thread needs neither:
//! no local ban depends on anything here, and a fleet change never touches the local table.
//!
//! Must not: believe the hub (the [`fleet::Follower`] checks signatures and the operator's policy,
//! the never-ban guard has the last word), take a ban out because the hub is silent, or keep a
//! secret anywhere but in the state folder's `fleet` folder (mode 0600).

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod address;
mod client;
mod clock;
mod community;
mod config;
mod error;
mod files;
mod handover;
mod join;
mod keeper;
mod membership;
mod network;
mod outbox;
mod refusals;
mod room;
mod tls;
mod ward;

pub use address::HubUrl;
pub use config::{Accept, FleetConfig, Mode, Share, SharedKind};
pub use error::UplinkError;
pub use handover::Door;
pub use join::{Existing, JoinOptions, join};
pub use membership::Membership;
pub use outbox::OwnAct;
pub use room::{FactsOf, Inputs, Outlet, Uplink, Vitals, VitalsOf};
