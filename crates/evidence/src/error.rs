//! What can go wrong with evidence.

use std::{io, path::PathBuf};

use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("there is no case {case}; `posse case list` shows all")]
    NoSuchCase { case: String },
    #[error("there is no exhibit {exhibit}; `posse exhibit list` shows all")]
    NoSuchExhibit { exhibit: String },
    #[error("{exhibit} was destroyed; its hashes and custody stay: posse exhibit show {exhibit}")]
    Destroyed { exhibit: String },
    #[error("{what} is empty: an exhibit without it proves nothing; say it with --{what}")]
    Empty { what: &'static str },
    #[error(
        "class {class:?} has no retention period; use one of {known}, or set its period in \
         [evidence] retention"
    )]
    UnknownClass { class: String, known: String },
    #[error("an exhibit has at most {limit} bytes; split it")]
    TooLong { limit: u64 },
    #[error("what was read is not what was written")]
    Reading { source: io::Error },
    #[error("{}: cannot {action}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    },
    #[error("{} is missing although exhibits are sealed with it; put it back from escrow", path.display())]
    KeyMissing { path: PathBuf },
    #[error("{} is no vault key", path.display())]
    BadKey { path: PathBuf },
    #[error("{exhibit} cannot be opened: {why}")]
    Damaged { exhibit: String, why: String },
    #[error("{} is no person's key file; posse person key makes one", path.display())]
    KeyFile { path: PathBuf },
    #[error("the passphrase does not open the key, or the key file was changed")]
    Passphrase,
    #[error(
        "a passphrase has at least {} characters",
        crate::person_key::PASSPHRASE_CHARS_MIN
    )]
    PassphraseShort,
    #[error(
        "a person's name is one line of at most {} characters",
        casework::persons::NAME_CHARS_MAX
    )]
    PersonName,
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("the cipher failed")]
    Cipher,
    /// None of the entries is on the ledger.
    #[error("not recorded, so not done: {why}")]
    NotRecorded { why: String },
    /// They may be there or come to be.
    #[error("whether it was recorded is not known: {why}")]
    Unsure { why: String },
    #[error("the bytes {from} to {to} are not within the {bytes} of {exhibit}")]
    Range {
        exhibit: String,
        from: u64,
        to: u64,
        bytes: u64,
    },
    #[error(transparent)]
    Custody(#[from] casework::CustodyError),
    #[error(transparent)]
    Case(#[from] casework::CaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) fn io_at(
    path: impl Into<PathBuf>,
    action: &'static str,
) -> impl FnOnce(io::Error) -> EvidenceError {
    let path = path.into();
    move |source| EvidenceError::Io {
        path,
        action,
        source,
    }
}
