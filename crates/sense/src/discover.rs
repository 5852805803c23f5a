//! The logs that the usual distributions keep in the usual places.

use std::path::Path;

use crate::SourceSpec;

/// A place where logs usually are, and whether they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `SSH and logins`, `nginx access`, …
    pub what: &'static str,
    pub spec: SourceSpec,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Watch,
    Missing { why: String },
    Unreadable { why: String, fix: String },
}

/// Looks below `root` (`/` but in tests). Pass those with [`Verdict::Watch`] to
/// [`crate::Sensors::open`].
pub fn usual_sources(_root: &Path) -> Vec<Candidate> {
    Vec::new()
}
