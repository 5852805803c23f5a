//! Log files: found by pattern, followed through every kind of rotation.
//!
//! inotify says which file grew and which directory changed; a slow re-scan catches what it
//! missed. A file is its device and inode: names come and go. A file that leaves its path is read
//! on by its open descriptor until it has been quiet for a while.

pub(crate) mod pattern;
mod scan;
mod siblings;
mod tail;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::Metadata,
    io,
    os::{fd::BorrowedFd, unix::fs::MetadataExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use model::{
    Batch, FileId,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, ROTATED_FILES_MAX},
};

use self::{
    pattern::FilePattern,
    tail::{Outcome, Tail},
    watch::{Seen, Watches},
};
use crate::{
    SourceProblem, SourceSpec, StartAt,
    positions::{FilePosition, Marks, PositionChange, Standing},
    table::SourceTable,
};

/// The safety net for events that never came (network file systems, lost watches).
const RESCAN_EVERY: Duration = Duration::from_secs(5);
/// A rotated file that was quiet for so long is let go.
const ROTATED_QUIET: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct FileSpec {
    pattern: FilePattern,
    text: String,
    start: StartAt,
    spec: SourceSpec,
    /// The tail that stands, or stood last, at each path.
    by_path: HashMap<PathBuf, u64>,
    needs_scan: bool,
    /// Problems as last reported, so that each is said once.
    said: BTreeMap<PathBuf, String>,
}

#[derive(Debug)]
pub(crate) struct Files {
    watches: Watches,
    specs: Vec<FileSpec>,
    tails: BTreeMap<u64, Tail>,
    next_key: u64,
    by_id: HashMap<FileId, u64>,
    ready: VecDeque<u64>,
    /// Where earlier runs stopped, until the file is opened.
    resume: HashMap<FileId, FilePosition>,
    closing: Vec<u64>,
    next_scan: Instant,
    pub(crate) problems: Vec<SourceProblem>,
}

impl Files {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            watches: Watches::new()?,
            specs: Vec::new(),
            tails: BTreeMap::new(),
            next_key: 0,
            by_id: HashMap::new(),
            ready: VecDeque::new(),
            resume: HashMap::new(),
            closing: Vec::new(),
            next_scan: Instant::now() + RESCAN_EVERY,
            problems: Vec::new(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.watches.fd()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    pub(crate) fn add(&mut self, spec: &SourceSpec, pattern: FilePattern, start: StartAt) {
        self.specs.push(FileSpec {
            pattern,
            text: spec.input.to_string(),
            start,
            spec: spec.clone(),
            by_path: HashMap::new(),
            needs_scan: true,
            said: BTreeMap::new(),
        });
    }

    /// Opens all files that are there. Positions of files that no source wants are forgotten.
    pub(crate) fn start(&mut self, marks: &mut Marks, table: &mut SourceTable) {
        let positions: Vec<FilePosition> = marks.positions.files().cloned().collect();
        for position in positions {
            if self.specs.iter().any(|s| s.pattern.matches(&position.path)) {
                self.resume.insert(position.file, position);
            } else {
                marks.record(PositionChange::ForgetFile {
                    file: position.file,
                });
            }
        }
        self.scan(scan::Occasion::Start, marks, table);
    }

    /// Work that is due without any event.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.closing.is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        self.next_scan
    }

    /// Takes in what inotify has to say.
    pub(crate) fn on_event(&mut self, marks: &mut Marks, table: &mut SourceTable) {
        let mut grown: HashSet<u64> = HashSet::new();
        let Self {
            watches,
            specs,
            tails,
            ..
        } = self;
        watches.drain(&mut |seen| match seen {
            Seen::FileGrew(key) => {
                grown.insert(key);
            }
            Seen::FileMoved(key) => {
                grown.insert(key);
                if let Some(spec) = tails.get(&key).and_then(|tail| specs.get_mut(tail.spec)) {
                    spec.needs_scan = true;
                }
            }
            Seen::Entry { spec, depth, name } => {
                if let Some(spec) = specs.get_mut(spec)
                    && depth.is_none_or(|depth| spec.pattern.cares(depth, name))
                {
                    spec.needs_scan = true;
                }
            }
            Seen::DirectoryGone { spec } => {
                if let Some(spec) = specs.get_mut(spec) {
                    spec.needs_scan = true;
                }
            }
            Seen::Overflow => {
                specs.iter_mut().for_each(|spec| spec.needs_scan = true);
                grown.extend(tails.keys());
            }
        });
        for key in grown {
            self.queue(key);
        }
        if self.specs.iter().any(|spec| spec.needs_scan) {
            self.scan(scan::Occasion::Change, marks, table);
        }
    }

    /// The safety net: looks at everything, whether an event said so or not.
    pub(crate) fn on_time(&mut self, now: Instant, marks: &mut Marks, table: &mut SourceTable) {
        if now < self.next_scan {
            return;
        }
        self.next_scan = now + RESCAN_EVERY;
        self.specs
            .iter_mut()
            .for_each(|spec| spec.needs_scan = true);
        self.scan(scan::Occasion::Change, marks, table);
        let keys: Vec<u64> = self.tails.keys().copied().collect();
        for key in keys {
            self.queue(key);
        }
        self.let_go(now);
    }

    /// Reads from the files that have lines, each in its turn, until the batch is full.
    pub(crate) fn read(&mut self, batch: &mut Batch, marks: &mut Marks, table: &mut SourceTable) {
        for key in std::mem::take(&mut self.closing) {
            self.close(key, batch, marks, table);
        }
        let mut turns = self.ready.len();
        while turns > 0
            && batch.records.len() < BATCH_LINES_MAX
            && batch.buffer.len() < BATCH_BYTES_MAX
        {
            turns -= 1;
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if let Some(tail) = self.tails.get_mut(&key) {
                tail.is_queued = false;
            }
            if self.read_in_order(key, batch, marks, table) == Outcome::More {
                self.queue(key);
            }
        }
    }

    fn queue(&mut self, key: u64) {
        if let Some(tail) = self.tails.get_mut(&key)
            && !tail.is_queued
        {
            tail.is_queued = true;
            self.ready.push_back(key);
        }
    }

    /// Reads the files that come before this one, then this one.
    fn read_in_order(
        &mut self,
        key: u64,
        batch: &mut Batch,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Outcome {
        let mut chain = vec![key];
        while let Some(before) = chain.last().and_then(|k| self.tails.get(k)?.after) {
            if !self.tails.contains_key(&before) || chain.len() > ROTATED_FILES_MAX {
                break;
            }
            chain.push(before);
        }
        for key in chain.into_iter().rev() {
            match self.read_one(key, batch, marks, table) {
                Outcome::Drained => {}
                Outcome::More => return Outcome::More,
                // The lines from before the cut come first: they have become this one's chain.
                Outcome::Replaced => return Outcome::More,
            }
            if let Some(tail) = self.tails.get_mut(&key) {
                tail.after = None;
            }
        }
        Outcome::Drained
    }

    fn read_one(
        &mut self,
        key: u64,
        batch: &mut Batch,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Outcome {
        let Some(tail) = self.tails.get_mut(&key) else {
            return Outcome::Drained;
        };
        let before = (tail.offset, tail.fingerprint);
        let outcome = tail.read(batch, table);
        if before != (tail.offset, tail.fingerprint) {
            marks.record(PositionChange::File(position(tail)));
        }
        match outcome {
            Ok(Outcome::Replaced) => {
                self.on_replaced(key, marks, table);
                Outcome::Replaced
            }
            Ok(outcome) => outcome,
            Err(error) => {
                let source = tail.source;
                table.count(source, |status| status.error = Some(error.to_string()));
                Outcome::Drained
            }
        }
    }

    // Chooses the rotated files that are done with; their last lines are taken at the next read.
    fn let_go(&mut self, now: Instant) {
        let mut rotated: Vec<(Instant, u64)> = self
            .tails
            .iter()
            .filter(|(_, tail)| tail.standing == Standing::Rotated)
            .map(|(key, tail)| (tail.last_growth, *key))
            .collect();
        rotated.sort_unstable();
        let over = rotated.len().saturating_sub(ROTATED_FILES_MAX);
        let quiet = rotated.iter().enumerate().filter(|(n, (grown, _))| {
            *n < over || now.saturating_duration_since(*grown) > ROTATED_QUIET
        });
        self.closing.extend(quiet.map(|(_, (_, key))| *key));
    }

    fn close(&mut self, key: u64, batch: &mut Batch, marks: &mut Marks, table: &mut SourceTable) {
        // More may have come since it was chosen.
        if self.read_in_order(key, batch, marks, table) != Outcome::Drained {
            self.closing.push(key);
            return;
        }
        let Some(mut tail) = self.tails.remove(&key) else {
            return;
        };
        if let Err(error) = tail.read_rest(batch, table) {
            table.count(tail.source, |status| status.error = Some(error.to_string()));
        }
        if let Some(watch) = tail.watch {
            self.watches.remove_file(watch);
        }
        if self.by_id.get(&tail.id) == Some(&key) {
            self.by_id.remove(&tail.id);
            marks.record(PositionChange::ForgetFile { file: tail.id });
        }
        if let Some(spec) = self.specs.get_mut(tail.spec)
            && spec.by_path.get(&tail.path) == Some(&key)
        {
            spec.by_path.remove(&tail.path);
        }
    }
}

fn position(tail: &Tail) -> FilePosition {
    FilePosition {
        file: tail.id,
        offset: tail.offset,
        fingerprint: tail.fingerprint,
        path: tail.path.clone(),
        standing: tail.standing,
    }
}

fn file_id(meta: &Metadata) -> FileId {
    FileId {
        device: meta.dev(),
        inode: meta.ino(),
    }
}
