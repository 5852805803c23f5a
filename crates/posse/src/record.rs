//! Putting entries on the ledger from the command line: through the program that runs on the state
//! folder, or by opening the folder when none runs. An answer means that they are durable.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use evidence::{EvidenceError, Ledger};
use model::Entry;
use store::{Durability, Store, StoreOptions};

pub(crate) use evidence::Numbers;

use crate::{
    clock,
    config::Config,
    control::{self, Request},
};

/// The ledger of a state folder, as the vault needs it.
#[derive(Debug)]
pub(crate) struct StateLedger(pub(crate) PathBuf);

impl Ledger for StateLedger {
    fn read(&self) -> Result<Store, EvidenceError> {
        Ok(Store::open_read_only(&self.0)?)
    }

    fn record(&self, entries: Vec<Entry>) -> Result<Vec<u64>, EvidenceError> {
        append(&self.0, entries)
    }
}

/// Appends to the ledger in `state`; the entries' places, once they are durable.
pub(crate) fn record(state: &Path, entries: Vec<Entry>) -> Result<Vec<u64>> {
    Ok(append(state, entries)?)
}

fn append(state: &Path, entries: Vec<Entry>) -> Result<Vec<u64>, EvidenceError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let request = Request::Record { entries };
    // A guard that was asked and did not answer may still record it.
    let answer = control::ask(state, &request).map_err(|e| EvidenceError::Unsure {
        why: format!("{e:#}"),
    })?;
    match (answer, request) {
        (Some(reply), _) => match reply.error {
            None => Ok(reply.indices),
            Some(why) => Err(EvidenceError::NotRecorded { why }),
        },
        (None, Request::Record { entries }) => {
            let refused = |e: anyhow::Error| EvidenceError::NotRecorded {
                why: format!("{e:#}"),
            };
            let mut store = open(state).map_err(refused)?;
            let appended = store.append(&entries, clock::now());
            let appended = appended.map_err(|e| refused(e.into()))?;
            Ok(appended.into_iter().map(|one| one.index).collect())
        }
        (None, _) => Ok(Vec::new()),
    }
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
