//! What the process tells its caller. The numbers are part of the command line's contract.

use std::process::ExitCode;

/// Documented in `docs/command-line.md`; scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Success,
    /// It was tried and did not hold: a check failed, a drill did not end as it must.
    Failure,
    /// The command line, the configuration or a rule file is wrong.
    Usage,
    /// Done, but with less than was asked for: no root, no nf_tables, a source missing.
    Degraded,
    /// The never-ban guard said no.
    Refused,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Degraded => 3,
            Self::Refused => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
