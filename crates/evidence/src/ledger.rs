//! What the vault needs of the ledger: to read it, and to have entries made durable.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use model::{Entry, Timestamp};
use store::Store;

use crate::{EvidenceError, error::io_at};

/// The ledger of one state folder, whoever writes to it.
pub trait Ledger {
    /// As it is now.
    fn read(&self) -> Result<Store, EvidenceError>;

    /// Their places, once they are durable. [`EvidenceError::NotRecorded`] when none of them is
    /// there and none will be.
    fn record(&self, entries: Vec<Entry>) -> Result<Vec<u64>, EvidenceError>;
}

/// Whoever takes the next free number of cases, exhibits, referrals or hand-overs holds this file's
/// lock from reading the ledger until the entry is on it, so that no number is given twice.
const NUMBERS: &str = "numbers.lock";

/// The lock under which numbers are taken; let go when it is dropped.
#[derive(Debug)]
pub struct Numbers {
    _lock: File,
}

impl Numbers {
    /// Waits for its turn.
    pub fn lock(state: &Path) -> Result<Self, EvidenceError> {
        let path = state.join(NUMBERS);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_at(&path, "open the lock on numbers"))?;
        lock.lock()
            .map_err(io_at(path, "take the lock on numbers"))?;
        Ok(Self { _lock: lock })
    }

    /// The first free number after `taken`, of the form `CASE-2026-0001`: numbers of a year count
    /// up from one. Only who holds the lock may take one.
    pub fn next<'a>(
        &self,
        prefix: &str,
        digits: usize,
        now: Timestamp,
        taken: impl Iterator<Item = &'a str>,
    ) -> String {
        let year = now.to_string().get(..4).unwrap_or_default().to_owned();
        let head = format!("{prefix}-{year}-");
        let last = taken
            .filter_map(|one| one.strip_prefix(&head)?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        format!("{head}{:0digits$}", last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_within_a_year() {
        let dir = tempfile::tempdir().unwrap();
        let numbers = Numbers::lock(dir.path()).unwrap();
        let now = "2026-11-21T20:15:00Z".parse().unwrap();
        let taken = ["CASE-2025-0009", "CASE-2026-0003", "CASE-2026-0001", "x"];
        let next = numbers.next("CASE", 4, now, taken.into_iter());
        assert_eq!(next, "CASE-2026-0004");
        assert_eq!(numbers.next("EX", 6, now, [].into_iter()), "EX-2026-000001");
    }
}
