//! Why the hub did not do what it was asked.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::limits;

/// Why an order was not carried out. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    #[error("{role} {name:?} may not {act}")]
    Forbidden {
        name: String,
        role: &'static str,
        act: &'static str,
    },
    #[error("{0}")]
    Refused(String),
    #[error("nothing by that name here")]
    Unknown,
    #[error("the hub is busy; try again in a moment")]
    Busy,
    #[error("the hub cannot record now, so nothing was done: {0}; see its log")]
    Unrecorded(String),
    #[error("the hub is stopping; try again in a moment")]
    Stopping,
    #[error("too many: at most {max} {what}")]
    TooMany { max: usize, what: &'static str },
    #[error("policy forbids {} of its bans; sign the others anew", .0.len())]
    OpsRefused(Vec<crate::member::RefusedBan>),
    #[error("{0}; come again later")]
    Budget(String),
    #[error("this sequence was seen before; the next must be at least {next}")]
    SequenceSeen { next: u64 },
    #[error("the signature does not verify")]
    Signature,
    #[error("the certificate or key was revoked; ask the hub's operator for a new invitation")]
    Revoked,
    #[error("{organisation} is no member of {community}")]
    NotMember {
        organisation: String,
        community: String,
    },
    #[error("the token is {0}; ask the hub's operator for a new one (`posse hub invite`)")]
    Token(&'static str),
    #[error("{0}")]
    NameTaken(String),
    #[error("this statement key belongs to another member, or was revoked; make a new one")]
    KeyTaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("wrong name or password")]
    Wrong,
    #[error(
        "too many passwords are being checked (at most {})",
        limits::PASSWORD_CHECKS_MAX
    )]
    Busy,
    #[error("too many failed logins; wait a minute")]
    TooOften,
    #[error("this machine was registered but not accepted yet: `posse keys accept NAME`")]
    NotAccepted,
}

/// Why the hub could not start, or its state could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds no certificate; restore it, or move it and its key away to make a new \
             authority (every member must then join again)", .0.display())]
    Certificate(PathBuf),
    #[error("not an ECDSA P-256 public key; send the uncompressed point, 65 bytes, in base64url")]
    TlsKey,
    #[error("the certificate authority")]
    Authority(#[from] rcgen::Error),
    #[error("the system has no randomness")]
    Randomness(#[from] getrandom::Error),
    #[error("hub.db")]
    Database(#[from] rusqlite::Error),
    #[error("hub.db holds what cannot be read: {0}")]
    Corrupt(String),
    #[error("{0}")]
    Fleet(#[from] fleet::FleetError),
    #[error("the ledger")]
    Ledger(#[from] store::StoreError),
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Usage(String),
}

impl HubError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
