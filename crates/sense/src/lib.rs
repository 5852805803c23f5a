//! Log sources become raw records.
//!
//! First room in the data's way: files, the journal, syslog over the network and standard input
//! go in, [`model::Batch`]es of lines come out. One object, [`Sensors`], owns every descriptor and
//! waits on all of them with one epoll, so that the thread that reads a line is the thread that
//! detects and bans: no queue, no hand-over.
//!
//! This room does not judge lines: it splits, counts and says where each one stood. It must not
//! block on one source while another has lines, and nothing a source sends may make it grow
//! without bound.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod clock;
pub mod discover;
mod doors;
mod error;
mod files;
mod framer;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod journal;
mod positions;
mod render;
mod replay;
mod sensors;
mod spec;
mod stream;
mod syslog;
mod table;
mod utmp;

pub use doors::{Doors, Held, Listeners};
pub use error::SenseError;
pub use journal::children::Children;
pub use positions::{FilePosition, Fingerprint, PositionChange, Positions, Standing};
pub use replay::{Progress, ReplaySummary, read_file};
pub use sensors::{Sensors, Wake};
pub use spec::{Input, SourceProblem, SourceSpec, StartAt};
pub use table::SourceStatus;
