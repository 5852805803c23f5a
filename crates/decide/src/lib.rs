//! From alerts to verdicts: who is banned, for how long, how widely, and who never is.
//!
//! Stands between `detect` (which says what happened) and `enforce` (which makes it so). Pure: no
//! clock, no files, no network; time and the facts about this machine are arguments. It must not
//! let any verdict through that the [`Guard`] refuses, and it must give the same verdicts however
//! the alerts were cut into batches.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod breaker;
mod config;
mod escalation;
mod guard;
mod history;
mod own_ban;
mod policy;
mod recent;
mod screen;

pub use config::{
    BanConfig, ConfigError, NeverBanConfig, PolicyConfig, RangeConfig, RuleAction, RuleOverride,
    Step,
};
pub use guard::Guard;
pub use history::{Ban, BanHistory};
pub use policy::{Policy, PolicyStats, Verdict};
pub use screen::Screen;
