//! The table of sources by [`SourceId`], with what is counted of each.

use std::collections::BTreeMap;

use model::{SourceId, SourceInfo, Timestamp};

/// Names kept for good; further files are counted under their pattern.
const NAMES_MAX: usize = 65_536;

/// What became of one source so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStatus {
    pub name: String,
    pub lines: u64,
    pub bytes: u64,
    /// Lines cut at [`model::limits::LINE_BYTES_MAX`].
    pub truncated: u64,
    /// Messages or connections that were refused, and lines known to be lost.
    pub dropped: u64,
    pub last_line: Option<Timestamp>,
    /// Why the source gives nothing now.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct SourceTable {
    infos: Vec<SourceInfo>,
    status: Vec<SourceStatus>,
    by_name: BTreeMap<(String, BTreeMap<String, String>), SourceId>,
}

impl SourceTable {
    pub(crate) fn infos(&self) -> &[SourceInfo] {
        &self.infos
    }

    pub(crate) fn status(&self) -> &[SourceStatus] {
        &self.status
    }

    /// The id of the source, which is new unless one of this name and these labels is known.
    pub(crate) fn intern(&mut self, info: SourceInfo, fallback: &str) -> SourceId {
        let mut key = (info.name, info.labels);
        if self.infos.len() >= NAMES_MAX && !self.by_name.contains_key(&key) {
            fallback.clone_into(&mut key.0);
        }
        if let Some(&id) = self.by_name.get(&key) {
            return id;
        }
        let id = SourceId(u32::try_from(self.infos.len()).unwrap_or(u32::MAX));
        let (name, labels) = key.clone();
        self.by_name.insert(key, id);
        self.status.push(SourceStatus {
            name: name.clone(),
            ..SourceStatus::default()
        });
        self.infos.push(SourceInfo {
            name,
            module: info.module,
            labels,
        });
        id
    }

    pub(crate) fn count(&mut self, id: SourceId, change: impl FnOnce(&mut SourceStatus)) {
        if let Some(status) = self.status.get_mut(id.0 as usize) {
            change(status);
        }
    }

    pub(crate) fn set_error(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        error: Option<String>,
    ) {
        if let Some(&id) = self.by_name.get(&(name.to_owned(), labels.clone())) {
            self.count(id, |status| status.error = error);
        }
    }
}
