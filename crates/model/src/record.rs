//! What the sensors hand on: lines of any bytes, with where they came from.
//!
//! A [`Batch`] owns one buffer and is reused, so that taking in a line allocates nothing.

use std::{collections::BTreeMap, net::SocketAddr, ops::Range};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Index of a source in the sensors' table; stable for the life of the process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A log source as the rules and the evidence speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// `/var/log/auth.log`, `journal`, `udp://0.0.0.0:514`, `stdin`.
    pub name: String,
    /// `file`, `journalctl`, `syslog` or `stdin` (the data source names that rules test).
    pub module: String,
    /// At least `type` (`syslog`, `nginx`, …), which the first parser stage dispatches on.
    pub labels: BTreeMap<String, String>,
}

impl SourceInfo {
    pub fn kind(&self) -> &str {
        self.labels.get("type").map_or("", String::as_str)
    }
}

/// Which file on disk, whatever its name is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// Where exactly a line stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Origin {
    /// `offset` is the byte at which the line begins.
    File {
        file: FileId,
        offset: u64,
    },
    Journal {
        cursor: String,
    },
    Network {
        peer: SocketAddr,
    },
    /// Standard input; `line` counts from 1.
    Stream {
        line: u64,
    },
}

/// One line of a batch, as ranges into the batch's buffer.
#[derive(Clone, Debug)]
pub struct RecordMeta {
    pub source: SourceId,
    pub origin: Origin,
    /// When the sensor read it (the wall clock of this machine).
    pub received: Timestamp,
    /// The line as rules see it, without its line end.
    pub text: Range<usize>,
    /// The bytes as they arrived, if the sensor had to re-write them (syslog, journal); else empty.
    pub raw: Range<usize>,
    /// The line was longer than [`crate::limits::LINE_BYTES_MAX`] and its tail was dropped.
    pub truncated: bool,
    /// The line was there before the sensor began to follow the source (after a restart).
    pub catch_up: bool,
}

/// One line, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub meta: &'a RecordMeta,
    pub text: &'a [u8],
    /// The bytes as they arrived; equals `text` unless the sensor re-wrote them.
    pub raw: &'a [u8],
}

/// Lines taken in together. Reused: [`Batch::clear`] keeps the memory.
#[derive(Debug, Default)]
pub struct Batch {
    pub buffer: Vec<u8>,
    pub records: Vec<RecordMeta>,
}

impl Batch {
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.records.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends `bytes` to the buffer and says where they are.
    pub fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.records.iter().map(|meta| {
            let text = self.buffer.get(meta.text.clone()).unwrap_or_default();
            let raw = self.buffer.get(meta.raw.clone()).unwrap_or_default();
            Record {
                meta,
                text,
                raw: if raw.is_empty() { text } else { raw },
            }
        })
    }
}
