//! All sensors behind one epoll.

use std::{os::fd::BorrowedFd, time::Duration};

use model::{Batch, SourceInfo};

use crate::{
    PositionChange, Positions, SenseError, SourceProblem, SourceSpec, SourceStatus,
    table::SourceTable,
};

/// Why [`Sensors::next_batch`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The batch has lines.
    Lines,
    Timeout,
    /// The descriptor added with this token is ready. It is reported until it is no longer so.
    Signalled(u64),
    /// Every input is at its end for good.
    Finished,
}

/// Owns every log source.
#[derive(Debug)]
pub struct Sensors {
    table: SourceTable,
    positions: Positions,
}

impl Sensors {
    /// Opens what can be opened and says what cannot; the latter is tried again later.
    pub fn open(
        _specs: Vec<SourceSpec>,
        positions: &Positions,
    ) -> Result<(Self, Vec<SourceProblem>), SenseError> {
        Ok((
            Self {
                table: SourceTable::default(),
                positions: positions.clone(),
            },
            Vec::new(),
        ))
    }

    /// Clears `batch`, then waits until a source has lines, a wake-up descriptor is ready or
    /// `timeout` is over.
    pub fn next_batch(
        &mut self,
        batch: &mut Batch,
        _timeout: Duration,
    ) -> Result<Wake, SenseError> {
        batch.clear();
        Ok(Wake::Finished)
    }

    /// Makes [`Sensors::next_batch`] return [`Wake::Signalled`] while `fd` is readable. The caller
    /// keeps `fd`; closing it ends the watch.
    pub fn add_wake_fd(&mut self, _fd: BorrowedFd<'_>, _token: u64) -> Result<(), SenseError> {
        Ok(())
    }

    pub fn remove_wake_fd(&mut self, _fd: BorrowedFd<'_>) {}

    /// By [`model::SourceId`]. Grows when files appear; never shrinks or changes.
    pub fn sources(&self) -> &[SourceInfo] {
        self.table.infos()
    }

    /// As of the end of the last batch handed out.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What changed in [`Sensors::positions`] since the last call; empty when nothing did.
    pub fn take_position_changes(&mut self) -> Vec<PositionChange> {
        Vec::new()
    }

    /// Trouble that arose (and was not reported) since the last call.
    pub fn take_problems(&mut self) -> Vec<SourceProblem> {
        Vec::new()
    }

    /// By [`model::SourceId`], as [`Sensors::sources`].
    pub fn status(&self) -> Vec<SourceStatus> {
        self.table.status().to_vec()
    }
}
