use std::{io, path::Path};

/// What a journal held.
#[derive(Debug, Default)]
pub struct Recovered {
    pub snapshot: Option<Vec<u8>>,
    pub since: Vec<Vec<u8>>,
    /// What was wrong with the file, and where the bad one is kept.
    pub damage: Option<String>,
}

/// Crash-safe detection state.
#[derive(Debug)]
pub struct IntakeJournal {}

impl IntakeJournal {
    pub fn open(_dir: &Path) -> io::Result<(Self, Recovered)> {
        Ok((Self {}, Recovered::default()))
    }
    pub fn append(&mut self, _records: &[&[u8]]) -> io::Result<()> {
        Ok(())
    }
    pub fn compact(&mut self, _snapshot: &[u8]) -> io::Result<()> {
        Ok(())
    }
    pub fn bytes_since_snapshot(&self) -> u64 {
        0
    }
}
