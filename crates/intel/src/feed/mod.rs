//! Lists of bans for firewalls that fetch them.
//!
//! Bans come in as rows, the bytes a firewall reads go out: sorted, each network once, ranges
//! merged, cut to what the firewall can hold, written its way. `hub::feeds` fetches and serves.

mod aggregate;
mod format;
mod question;

pub use self::{
    aggregate::{Aggregation, WIDEST_V4, WIDEST_V6, aggregate},
    format::{Format, Head, Writer},
    question::{Family, FeedError, FeedQuestion, Page, cut},
};

use model::Prefix;

/// A network and when its ban ends, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub prefix: Prefix,
    pub until: i64,
}
