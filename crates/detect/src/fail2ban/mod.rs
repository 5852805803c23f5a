//! fail2ban's filters and jails on the engine.
//!
//! A third way into this room beside parsers and scenarios: the filters of an installed fail2ban,
//! unchanged. `python` runs their patterns at a bounded cost, `dates` finds when a line happened,
//! `filter` is one compiled filter, `jails` says which source it watches and what follows,
//! `samples` tries filters against lines whose outcome is known.
//! Must not read files or a clock.

mod dates;
mod filter;
mod jails;
mod pour;
mod python;
pub mod samples;
mod sessions;
mod texts;

pub(crate) use self::jails::{Bucket, Caught, Jails, load};
pub use self::{
    filter::{CompiledFilter, Counts, Dated, Failure, FilterError, Verdict},
    jails::JailCounts,
    python::{LINE_STEPS_MAX, PatternError},
};
pub use fail2ban as format;
