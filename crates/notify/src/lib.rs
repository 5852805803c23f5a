//! Alerts that reach people: mail, webhooks, syslog, the journal, a command.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod calendar;
mod day;
mod desk;
mod group;
mod message;
mod open;
mod outbox;
#[cfg(test)]
mod samples;
mod severity;
mod tally;
mod text;

pub use message::{Attack, Incident, Kind, Message, Outcome, What};
pub use outbox::Failure;
pub use severity::Severity;
