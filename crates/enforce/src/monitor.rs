//! Tells when somebody else changed our table.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{error::EnforceError, firewall::Firewall};

/// What the monitor saw since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing that concerns our table.
    Quiet,
    /// Somebody else changed our table, or so much happened that we cannot know: call
    /// [`Firewall::ensure`], then reconcile against [`Firewall::dump`].
    Changed,
}

/// A subscription to nf_tables notifications. Poll [`AsFd`] for reading, then call
/// [`Monitor::read`].
#[derive(Debug)]
pub struct Monitor {
    fd: OwnedFd,
}

impl Monitor {
    pub fn open(_firewall: &Firewall) -> Result<Self, EnforceError> {
        Err(EnforceError::NoNfTables {
            operation: "open the monitor",
        })
    }

    /// Reads all that is waiting; never blocks.
    pub fn read(&mut self) -> Result<Sighting, EnforceError> {
        Ok(Sighting::Quiet)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
