//! What can go wrong where the ledger meets others.

use std::{io, path::PathBuf};

use crate::stamp::StampError;

#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    #[error("[ledger] {what}: {why}")]
    Config { what: String, why: String },
    #[error("{}: cannot {action}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    },
    #[error("{} is in use by another witness; stop it first, or name another folder", dir.display())]
    Locked { dir: PathBuf },
    #[error("{} is damaged: {why}; put it back from a backup, or name a new folder and let every log know the new key", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} is open to others; run: chmod go= {}", path.display(), path.display())]
    Permissions { path: PathBuf },
    #[error("the witness's name is {is:?} and cannot become {asked:?}; use another folder")]
    NameDiffers { is: String, asked: String },
    #[error("not a log's key: {source}")]
    LogKey { source: ledger::LedgerError },
    #[error("not a name for a witness's key: {source}")]
    Key { source: ledger::LedgerError },
    #[error("more than {max} logs")]
    TooManyLogs { max: usize },
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("{url}: {why}")]
    Http { url: String, why: String },
    #[error("the time stamp of {authority} is not accepted")]
    Stamp {
        authority: String,
        source: StampError,
    },
    #[error("the store failed")]
    Store(#[from] store::StoreError),
}

pub(crate) fn io_at(
    path: impl Into<PathBuf>,
    action: &'static str,
) -> impl FnOnce(io::Error) -> OpenLogError {
    let path = path.into();
    move |source| OpenLogError::Io {
        path,
        action,
        source,
    }
}

/// An error with what caused it, for a place that takes text only.
pub(crate) fn full(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(e) = source {
        text.push_str(": ");
        text.push_str(&e.to_string());
        source = e.source();
    }
    text
}
