//! Alerts that reach people: mail, webhooks, chat and pager services, syslog, the journal, a
//! program of the operator's.
//!
//! Last room in the data's way: it takes what the guard tells ([`model::News`]) from a bounded
//! queue, on threads of its own, and must never make the guard wait. What to say, when and to whom
//! is decided by pure state machines (`desk`, `group`, `open`, `day`, `outbox`: time is an
//! argument, messages add up); `send` and `disk` are the thin outside.
//!
//! ```text
//! news -> desk (what was done about it) -> group (a channel's own windows) -> outbox -> send
//!                                                                              |
//!                                                                            disk
//! ```
//!
//! Nothing that comes from a log may steer a reader, a mail header or a chat's markup: it goes
//! through `text::harmless` when its incident is made. Nothing is silently lost: what does not
//! fit becomes part of a message that counts it, and what no message tells of is counted.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod calendar;
mod channel;
mod config;
mod day;
mod desk;
mod disk;
mod error;
mod group;
mod message;
mod notifier;
mod open;
mod outbox;
mod render;
#[cfg(test)]
mod samples;
mod secret;
mod send;
mod severity;
mod tally;
mod target;
mod text;

pub use calendar::TimeOfDay;
pub use config::{AlertsConfig, ChannelConfig, Plan, QuietConfig};
pub use error::NotifyError;
pub use message::{Attack, Incident, Kind, Message, Outcome, What};
pub use notifier::{Notifier, Tried, World, try_channels};
pub use open::Which;
pub use severity::Severity;

/// This machine's name.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    text::harmless(&name.nodename().to_string_lossy(), 64)
}

pub(crate) fn now() -> model::Timestamp {
    jiff::Timestamp::now().into()
}
