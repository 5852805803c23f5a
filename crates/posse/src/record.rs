//! Putting entries on the ledger from the command line: through the program that runs on the state
//! folder, or by opening the folder when none runs. An answer means that they are durable.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use model::Entry;
use store::{Durability, Store, StoreOptions};

use crate::{
    clock,
    config::Config,
    control::{self, Request},
};

/// Whoever takes the next free number of cases, exhibits, referrals or hand-overs holds this file's
/// lock from reading the ledger until the entry is on it, so that no number is given twice.
const NUMBERS: &str = "numbers.lock";

/// Appends to the ledger in `state`; the entries' places, once they are durable.
pub(crate) fn record(state: &Path, entries: Vec<Entry>) -> Result<Vec<u64>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let request = Request::Record { entries };
    if let Some(reply) = control::ask(state, &request)? {
        if let Some(error) = reply.error {
            bail!("not recorded: {error}");
        }
        return Ok(reply.indices);
    }
    let Request::Record { entries } = request else {
        return Ok(Vec::new());
    };
    let mut store = open(state)?;
    let appended = store
        .append(&entries, clock::now())
        .context("not recorded")?;
    Ok(appended.into_iter().map(|one| one.index).collect())
}

/// The ledger in `state`, for reading; begun if there is none yet.
pub(crate) fn reading(state: &Path) -> Result<Store> {
    match Store::open_read_only(state) {
        Err(store::StoreError::Missing { .. } | store::StoreError::SchemaTooOld { .. }) => {
            drop(open(state)?);
        }
        other => {
            return other
                .with_context(|| format!("cannot read the state folder {}", state.display()));
        }
    }
    Store::open_read_only(state)
        .with_context(|| format!("cannot read the state folder {}", state.display()))
}

fn open(state: &Path) -> Result<Store> {
    let config = Config::load(None).map_err(|d| anyhow::anyhow!("{d}"))?;
    let options = StoreOptions {
        origin: None,
        durability: Durability::PowerLoss,
    };
    // A log that exists has its name already.
    let options = if state.join("ledger.db").exists() {
        options
    } else {
        StoreOptions {
            origin: config.ledger.origin,
            ..options
        }
    };
    Store::open(state, options)
        .with_context(|| format!("cannot open the state folder {}", state.display()))
}

/// The lock under which numbers are taken; let go when it is dropped.
#[derive(Debug)]
pub(crate) struct Numbers {
    _lock: File,
}

impl Numbers {
    /// Waits for its turn.
    pub(crate) fn lock(state: &Path) -> Result<Self> {
        let path = state.join(NUMBERS);
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
        };
        let lock = open().with_context(|| format!("cannot open {}", path.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { _lock: lock })
    }

    /// The first free number after `taken`, of the form `CASE-2026-0001`: numbers of a year count
    /// up from one.
    #[expect(
        clippy::unused_self,
        reason = "only who holds the lock may take a number"
    )]
    pub(crate) fn next<'a>(
        &self,
        prefix: &str,
        digits: usize,
        now: model::Timestamp,
        taken: impl Iterator<Item = &'a str>,
    ) -> String {
        let year = now.to_string().get(..4).unwrap_or_default().to_owned();
        let head = format!("{prefix}-{year}-");
        let last = taken
            .filter_map(|one| one.strip_prefix(&head)?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        format!("{head}{:0digits$}", last + 1)
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
