//! Recorded logs, read at full speed.

use std::{ops::ControlFlow, path::Path};

use model::{Batch, SourceId};

use crate::SenseError;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes_done: u64,
    /// `None` when the input has no known size (a pipe).
    pub bytes_total: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    pub bytes: u64,
    pub lines: u64,
    pub truncated: u64,
}

/// Streams the whole file (`-` is standard input) as batches. Stops early when `each` breaks.
pub fn read_file(
    _path: &Path,
    _source: SourceId,
    _each: &mut dyn FnMut(&Batch, Progress) -> ControlFlow<()>,
) -> Result<ReplaySummary, SenseError> {
    Ok(ReplaySummary::default())
}
