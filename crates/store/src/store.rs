use std::{ops::Range, path::Path};

use model::{Entry, Timestamp};

use crate::*;

/// One state directory.
#[derive(Debug)]
pub struct Store {}

impl Store {
    pub fn open(_dir: &Path, _options: StoreOptions) -> Result<Self, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn open_read_only(_dir: &Path) -> Result<Self, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn append(&mut self, _: &[Entry], _now: Timestamp) -> Result<Vec<Appended>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn bans(&self, _at: Timestamp) -> Result<Vec<ActiveBan>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn alerts(&self, _filter: &AlertFilter) -> Result<Vec<RecordedAlert>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn offenders(&self) -> Result<Vec<Offender>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn refusals(&self, _limit: usize) -> Result<Vec<RecordedRefusal>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn entries(&self, _range: Range<u64>) -> Result<Vec<StoredEntry>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn entry(&self, _index: u64) -> Result<StoredEntry, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn proof(&self, _index: u64) -> Result<ledger::ProofFile, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn size(&self) -> Result<u64, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn checkpoint(&self) -> Result<String, StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn vkey(&self) -> String {
        String::new()
    }
    pub fn rebuild(&mut self, _progress: Progress<'_>) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }
    pub fn verify(&self, _progress: Progress<'_>) -> Result<VerifyReport, VerifyFailure> {
        Err(VerifyFailure {
            what: String::new(),
            index: None,
            why: String::new(),
        })
    }
    pub fn export(&self, _d: &Path, _p: Progress<'_>) -> Result<ExportReport, StoreError> {
        Err(StoreError::ReadOnly)
    }
}
