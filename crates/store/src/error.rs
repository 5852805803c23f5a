//! What can go wrong with the state directory.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: cannot {action}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    },
    #[error(
        "{} is open to others (mode {mode:03o}); run: chmod {wanted:03o} {}",
        path.display(), path.display()
    )]
    Permissions {
        path: PathBuf,
        mode: u32,
        wanted: u32,
    },
    #[error("{} is in use by process {pid}; stop it first, or use another state directory", dir.display())]
    Locked { dir: PathBuf, pid: String },
    #[error("{} holds no ledger", dir.display())]
    Missing { dir: PathBuf },
    #[error(
        "{} is missing although {} has entries; put the key back from a backup",
        key.display(), database.display()
    )]
    KeyMissing { key: PathBuf, database: PathBuf },
    #[error("{} is no ledger key", path.display())]
    Key {
        path: PathBuf,
        source: ledger::LedgerError,
    },
    #[error("the log's name is {is:?} and cannot become {asked:?}")]
    OriginDiffers { is: String, asked: String },
    #[error(
        "the database has schema version {found}, this program knows up to {known}; use a newer program"
    )]
    SchemaTooNew { found: u32, known: u32 },
    #[error(
        "the database has schema version {found}, this program reads {known}; it is brought up to \
         date by the next `posse run` or `posse ledger rebuild`"
    )]
    SchemaTooOld { found: u32, known: u32 },
    #[error("the disk is full")]
    DiskFull { source: rusqlite::Error },
    #[error("the database failed")]
    Database { source: rusqlite::Error },
    #[error("entry {position} of the batch is {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        position: usize,
        bytes: usize,
        limit: usize,
    },
    #[error("entry {position} of the batch has no JSON form")]
    Json {
        position: usize,
        source: serde_json::Error,
    },
    #[error("{what} is damaged: {why}; run: posse ledger verify")]
    Damaged { what: String, why: String },
    #[error("recording is paused: {cause}")]
    Paused { cause: String },
    #[error("the store is open for reading only")]
    ReadOnly,
    #[error("{} is not empty and holds no export of this log", dir.display())]
    ForeignExport { dir: PathBuf },
    #[error("the ledger has {size} entries, so no entry {index}")]
    NoSuchEntry { index: u64, size: u64 },
    #[error("{what} cannot be kept: {why}")]
    Attestation { what: String, why: String },
    #[error(
        "a change of the log's key is under way; finish it first: posse ledger rotate-key --finish"
    )]
    RotationUnderWay,
    #[error("no change of the log's key is under way; begin one: posse ledger rotate-key")]
    NoRotation,
    #[error("the operating system gave no random bytes")]
    Random,
}

impl StoreError {
    /// Whether the same call may go through later.
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Database { .. }
                | Self::DiskFull { .. }
                | Self::Io { .. }
                | Self::Paused { .. }
                | Self::Random
        )
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull { source },
            _ => Self::Database { source },
        }
    }
}

pub(crate) fn io_at(
    path: impl Into<PathBuf>,
    action: &'static str,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.into();
    move |source| StoreError::Io {
        path,
        action,
        source,
    }
}
