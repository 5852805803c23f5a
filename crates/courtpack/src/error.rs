//! What can go wrong with a pack on disk.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum PackIoError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is there already; packs are not written over", path.display())]
    Exists { path: PathBuf },
    #[error(
        "the bytes of {exhibit} are not those that were taken in ({what}); nothing was exported. \
         `posse exhibit verify {exhibit}` tells more"
    )]
    NotAsTaken { exhibit: String, what: &'static str },
    #[error("the bytes of {exhibit} cannot be had: {why}")]
    NoBytes { exhibit: String, why: String },
    #[error("the pack is not given out, because that could not be recorded: {why}")]
    NotRecorded { why: String },
    #[error("the ZIP archive could not be written: {0}")]
    Zip(String),
    #[error("no randomness for the encryption")]
    Random,
    #[error("{} is no pack: {why}", path.display())]
    NoPack { path: PathBuf, why: String },
    #[error("the pack is hostile or broken: {0}")]
    Hostile(String),
    #[error("{path} is not in the pack")]
    Missing { path: String },
    #[error("{path} has more than {limit} bytes")]
    TooLarge { path: String, limit: u64 },
    #[error("{path} cannot be read to its end: {source}")]
    Torn { path: String, source: io::Error },
}

pub(crate) fn at(
    path: &std::path::Path,
    doing: &'static str,
) -> impl FnOnce(io::Error) -> PackIoError {
    let path = path.to_owned();
    move |source| PackIoError::Io {
        doing,
        path,
        source,
    }
}
