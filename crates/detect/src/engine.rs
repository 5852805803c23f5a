//! The whole room behind one door: a record goes in, alerts come out.
//!
//! `observe` takes one line through prefilter, parsers, buckets and postoverflow; `tick` ends what
//! time alone ends. The caller owns clock, disk and threads; the engine owns all mutable state of
//! detection, and [`Engine::snapshot`] carries it over a restart.

use std::collections::BTreeMap;

use model::{Alert, Diagnostic, Record, SourceInfo, Timestamp, limits};

pub use crate::rules::RuleFile;

/// A data file that rules name (`File`, `RegexpInFile`, `LookupFile`), read by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The name by which rules call it (`dest_file`), relative to the data folder.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a loaded rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    Parser,
    Postoverflow,
    Scenario,
}

/// One loaded rule, as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    pub kind: EntryKind,
    pub name: String,
    pub file: String,
    pub description: String,
    /// SHA-256 of the file's text, lower-case hex.
    pub hash: String,
}

/// All detection content, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    entries: Vec<RuleEntry>,
    hash: String,
}

impl Rules {
    /// Compiles what can be compiled; every mistake is one diagnostic, and the other rules load.
    pub fn load(_files: Vec<RuleFile>, _data: &[DataFile]) -> (Self, Vec<Diagnostic>) {
        (Self::default(), Vec::new())
    }

    /// SHA-256 over all files and data files, lower-case hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub fn entries(&self) -> &[RuleEntry] {
        &self.entries
    }
}

#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Live buckets; beyond it the one that was quiet longest goes, counted.
    pub buckets_max: usize,
    /// Bytes of events that wait in buckets; beyond it the bucket that was quiet longest goes.
    pub queue_bytes_max: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { buckets_max: limits::BUCKETS_MAX, queue_bytes_max: 1 << 30 }
    }
}

/// By which time buckets run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Live {
        now: Timestamp,
    },
    /// The time that stands in each line.
    Recording,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No parser or scenario could care: the prefilter let it go.
    Skipped,
    Unparsed,
    Whitelisted,
    /// `poured` scenarios counted it.
    Parsed {
        poured: u32,
    },
}

/// Counters since the engine was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub lines: u64,
    pub skipped: u64,
    pub unparsed: u64,
    pub parsed: u64,
    pub whitelisted: u64,
    /// Lines that were not UTF-8 and were read lossily.
    pub invalid_utf8: u64,
    pub poured: u64,
    pub buckets_live: u64,
    pub queue_bytes: u64,
    pub overflows: u64,
    pub alerts: u64,
    /// Buckets that ended quietly.
    pub underflows: u64,
    pub canceled: u64,
    pub overflows_blackholed: u64,
    pub overflows_filtered: u64,
    pub overflows_whitelisted: u64,
    /// Overflows that named no usable source.
    pub overflows_sourceless: u64,
    /// Events that could not pour because a recording's line had no time.
    pub timeless: u64,
    /// By scenario: buckets dropped because a ceiling was reached.
    pub evicted: BTreeMap<String, u64>,
    /// By scenario: expressions that failed while running.
    pub expression_errors: BTreeMap<String, u64>,
    /// By scenario: values that `distinct` could no longer remember.
    pub distinct_full: BTreeMap<String, u64>,
}

/// What [`Engine::restore`] took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    pub buckets: u64,
    pub blackholes: u64,
    /// Buckets of scenarios that are gone or have changed.
    pub dropped: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RestoreError {
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    #[error("the snapshot has format {found}, this program reads format {expected}")]
    Version { found: u32, expected: u32 },
}

/// Detection's state and its rules.
#[derive(Debug)]
pub struct Engine {
    rules: Rules,
    options: EngineOptions,
    stats: EngineStats,
}

impl Engine {
    pub fn new(rules: Rules, options: EngineOptions) -> Self {
        Self { rules, options, stats: EngineStats::default() }
    }

    /// Takes in one line; alerts that it completes are appended.
    pub fn observe(
        &mut self,
        _record: &Record<'_>,
        _source: &SourceInfo,
        _clock: Clock,
        _alerts: &mut Vec<Alert>,
    ) -> Outcome {
        self.stats.lines += 1;
        Outcome::Skipped
    }

    /// Ends what is due at `now`: quiet buckets go, counters overflow.
    pub fn tick(&mut self, _now: Timestamp, _alerts: &mut Vec<Alert>) {}

    /// When [`Engine::tick`] has something to do next.
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// All live state, as bytes that [`Engine::restore`] reads.
    pub fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Replaces the live state by a snapshot's.
    pub fn restore(&mut self, _bytes: &[u8]) -> Result<RestoreReport, RestoreError> {
        Ok(RestoreReport::default())
    }

    pub const fn stats(&self) -> &EngineStats {
        &self.stats
    }

    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub const fn options(&self) -> &EngineOptions {
        &self.options
    }
}
