//! What can go wrong with the sensors as a whole. Trouble with one source is a
//! [`crate::SourceProblem`] instead: the others go on.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SenseError {
    #[error("cannot set up {what}")]
    Setup {
        what: &'static str,
        source: io::Error,
    },
    #[error("cannot wait for log lines")]
    Wait { source: io::Error },
    #[error("cannot watch descriptor for wake-up token {token}")]
    WakeFd { token: u32, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}
