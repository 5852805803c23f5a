//! What one member's word weighs for all the others, and what becomes a ban of the whole community.
//!
//! Stands in the hub between the statements that members send and the community's ban set: a
//! [`Report`] goes in, a [`Verdict`] comes out, and a reversal gives the list of what to release.
//! A member's ban on its own machines is never asked about here: it stands whatever the verdict.
//! Pure: no clock, no files, no network, no dice; time is an argument, in milliseconds of the
//! hub's timeline. It must not let one organisation speak with several voices, must never ban what
//! the classes say is never to be banned, and must not grow beyond its [`limits`].
//!
//! Begin reading at `hearing.rs`: [`Court::report`] is the order of the rules.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod appeal;
mod ballots;
mod breaker;
mod budget;
mod case;
mod classes;
mod court;
mod exact;
mod explain;
mod hearing;
pub mod limits;
mod lists;
mod peers;
mod quorum;
mod report;
mod rules;
mod standing;
mod verdict;

pub use appeal::{Confirmation, Reversal};
pub use case::{Act, Deed};
pub use classes::{Class, Classes, Listing};
pub use court::{Court, CourtStats, TrustError};
pub use explain::{ExplainedBan, ExplainedProtection, ExplainedVote, Explanation};
pub use lists::{builtin, class_of};
pub use peers::peer_key;
pub use quorum::Counts;
pub use report::{Evidence, Kind, Org, Report, ReportId};
pub use rules::Rules;
pub use standing::{Standing, StandingView};
pub use verdict::{By, CommunityBan, Grounds, HoldReason, Missing, Refusal, Verdict, Vote};
