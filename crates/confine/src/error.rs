//! What can go wrong while the walls are put up.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    #[error("cannot set no_new_privs: {0}")]
    NoNewPrivileges(rustix::io::Errno),
    #[error("cannot give up capabilities ({doing}): {why}")]
    Capabilities { doing: &'static str, why: String },
    #[error("cannot restrict files and ports with landlock: {why}")]
    Landlock { why: String },
    #[error("cannot filter system calls: {why}")]
    Filter { why: String },
    #[error(
        "the sandbox is not complete, and [sandbox] mode = \"require\" asks for all of it: {gaps}; \
         use a newer kernel, or mode = \"auto\" to run with what there is"
    )]
    Incomplete { gaps: String },
    /// A file that others can change, so that they could tell the guard what to do.
    #[error("{path}: {why}; fix: {fix}")]
    Permissions {
        path: PathBuf,
        why: String,
        fix: String,
    },
}
