//! Why the hub did not do what it was asked.

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
