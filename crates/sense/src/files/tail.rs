//! One open file, read line by line into batches.
//!
//! Bytes go straight from the file into the batch's buffer. A last line without its end stays in
//! the file: `offset` is where it begins, `scanned` how far it is known to have no end, so that a
//! long line that grows slowly is not read over and over.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    time::Instant,
};

use model::{
    Batch, FileId, LineOrigin, RecordMeta, SourceId,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, LINE_BYTES_MAX},
};

use crate::{
    clock,
    positions::{Fingerprint, HEAD_BYTES_MAX, Standing},
    table::SourceTable,
};

/// Bytes asked of a file at a time.
const CHUNK: u64 = 128 << 10;
/// Bytes of one endless line looked through before others get their turn.
const SCAN_MAX: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: File,
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    pub(super) spec: usize,
    pub(super) source: SourceId,
    pub(super) standing: Standing,
    /// Where the next line begins.
    pub(super) offset: u64,
    scanned: u64,
    head: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
    /// Lines that begin before this were there at start.
    pub(super) catch_up_until: u64,
    /// The tail whose lines come before this one's.
    pub(super) after: Option<u64>,
    pub(super) watch: Option<i32>,
    pub(super) is_queued: bool,
    pub(super) last_growth: Instant,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All complete lines there are have been read.
    Drained,
    More,
    /// The file holds other lines than before: it was cut and perhaps written anew.
    Replaced,
}

impl Tail {
    pub(super) fn new(
        file: File,
        id: FileId,
        path: PathBuf,
        spec: usize,
        source: SourceId,
        head: Vec<u8>,
    ) -> Self {
        Self {
            file,
            id,
            path,
            spec,
            source,
            standing: Standing::Current,
            offset: 0,
            scanned: 0,
            fingerprint: Fingerprint::of(&head),
            head,
            catch_up_until: 0,
            after: None,
            watch: None,
            is_queued: false,
            last_growth: Instant::now(),
        }
    }

    pub(super) fn start_at(&mut self, offset: u64) {
        self.offset = offset;
        self.scanned = offset;
    }

    /// Begins anew with what the file holds now.
    pub(super) fn restart(&mut self) {
        self.start_at(0);
        self.head = super::siblings::read_head(&self.file);
        self.fingerprint = Fingerprint::of(&self.head);
        self.catch_up_until = 0;
    }

    /// Begins after the last line end before `size`.
    pub(super) fn start_at_end(&mut self, size: u64) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut end = size;
        while end > 0 {
            let from = end.saturating_sub(buffer.len() as u64);
            let want = usize::try_from(end - from).unwrap_or(0);
            let got = self
                .file
                .read_at(buffer.get_mut(..want).unwrap_or_default(), from)?;
            let read = buffer.get(..got).unwrap_or_default();
            if let Some(at) = memchr::memrchr(b'\n', read) {
                self.start_at(from + at as u64 + 1);
                return Ok(());
            }
            // A last line longer than what is kept anyway: its beginning does not matter.
            if size - from > LINE_BYTES_MAX as u64 {
                self.start_at(size);
                return Ok(());
            }
            end = from;
        }
        self.start_at(0);
        Ok(())
    }

    /// Reads complete lines until the batch is full or the file has no more.
    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> io::Result<Outcome> {
        let size = self.file.metadata()?.size();
        if self.is_replaced(size)? {
            return Ok(Outcome::Replaced);
        }
        if size > self.scanned {
            self.last_growth = Instant::now();
        }
        while self.scanned < size {
            if batch.records.len() >= BATCH_LINES_MAX || batch.buffer.len() >= BATCH_BYTES_MAX {
                return Ok(Outcome::More);
            }
            let outcome = if self.scanned > self.offset {
                self.read_long_line(size, batch, table)?
            } else {
                self.read_chunk(size, batch, table)?
            };
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Drained)
    }

    /// Takes the last line although it has no end, because none will come.
    pub(super) fn read_rest(
        &mut self,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> io::Result<()> {
        let size = self.file.metadata()?.size();
        if size > self.offset {
            self.emit_from_file(size, batch, table)?;
            self.start_at(size);
        }
        Ok(())
    }

    pub(super) fn was_replaced(&mut self) -> bool {
        let size = self.file.metadata().map(|meta| meta.size());
        size.is_ok_and(|size| self.is_replaced(size).unwrap_or(false))
    }

    // Compares the head on every read: a file cut and written past the old offset before we look
    // has nothing else to tell.
    fn is_replaced(&mut self, size: u64) -> io::Result<bool> {
        let mut head = [0; HEAD_BYTES_MAX];
        let n = if self.head.len() == HEAD_BYTES_MAX || size > 0 {
            self.file.read_at(&mut head, 0)?
        } else {
            0
        };
        let head = head.get(..n).unwrap_or_default();
        if !head.starts_with(&self.head) {
            return Ok(true);
        }
        if head.len() > self.head.len() {
            self.head = head.to_vec();
            self.fingerprint = Fingerprint::of(&self.head);
        }
        if size < self.scanned {
            // The same lines as before, but fewer: those that are left were read already.
            self.start_at(self.offset.min(size));
        }
        Ok(false)
    }

    fn read_chunk(
        &mut self,
        size: u64,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> io::Result<Option<Outcome>> {
        let base = batch.buffer.len();
        let want = usize::try_from((size - self.offset).min(CHUNK)).unwrap_or(0);
        batch.buffer.resize(base + want, 0);
        let got = match self.file.read_at(
            batch.buffer.get_mut(base..).unwrap_or_default(),
            self.offset,
        ) {
            Ok(got) => got,
            Err(error) => {
                batch.buffer.truncate(base);
                return Err(error);
            }
        };
        batch.buffer.truncate(base + got);
        if got == 0 {
            return Ok(Some(Outcome::Drained));
        }
        let mut begin = base;
        let received = clock::now();
        let Batch { buffer, records } = batch;
        let mut is_full = false;
        for at in memchr::memchr_iter(b'\n', buffer.get(base..).unwrap_or_default()) {
            if records.len() >= BATCH_LINES_MAX {
                is_full = true;
                break;
            }
            let end = base + at;
            let line = begin..without_return(buffer, begin, end);
            if !line.is_empty() {
                let offset = self.offset + (begin - base) as u64;
                count(table, self.source, line.len(), received);
                records.push(RecordMeta {
                    source: self.source,
                    origin: LineOrigin::File {
                        file: self.id,
                        offset,
                    },
                    received,
                    text: line,
                    raw: 0..0,
                    truncated: false,
                    catch_up: offset < self.catch_up_until,
                });
            }
            begin = end + 1;
        }
        buffer.truncate(begin);
        let consumed = (begin - base) as u64;
        self.start_at(self.offset + consumed);
        if is_full {
            return Ok(Some(Outcome::More));
        }
        // What is left of the chunk has no line end.
        self.scanned = self.offset + (got as u64 - consumed);
        Ok(None)
    }

    fn read_long_line(
        &mut self,
        size: u64,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> io::Result<Option<Outcome>> {
        let kept = size.saturating_sub(self.offset).min(LINE_BYTES_MAX as u64);
        if !batch.is_empty() && batch.buffer.len() as u64 + kept > BATCH_BYTES_MAX as u64 {
            return Ok(Some(Outcome::More));
        }
        let mut buffer = [0; 16 << 10];
        let stop = size.min(self.scanned.saturating_add(SCAN_MAX));
        while self.scanned < stop {
            let want = usize::try_from(stop - self.scanned)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let got = self
                .file
                .read_at(buffer.get_mut(..want).unwrap_or_default(), self.scanned)?;
            if got == 0 {
                return Ok(Some(Outcome::Drained));
            }
            if let Some(at) = memchr::memchr(b'\n', buffer.get(..got).unwrap_or_default()) {
                let end = self.scanned + at as u64;
                self.emit_from_file(end, batch, table)?;
                self.start_at(end + 1);
                return Ok(None);
            }
            self.scanned += got as u64;
        }
        Ok(Some(if self.scanned < size {
            Outcome::More
        } else {
            Outcome::Drained
        }))
    }

    /// Takes the line from `offset` to `end`, or as much of it as a line may have.
    fn emit_from_file(
        &self,
        end: u64,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> io::Result<()> {
        let length = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
        let base = batch.buffer.len();
        batch.buffer.resize(base + length.min(LINE_BYTES_MAX), 0);
        let read = self.file.read_exact_at(
            batch.buffer.get_mut(base..).unwrap_or_default(),
            self.offset,
        );
        if let Err(error) = read {
            batch.buffer.truncate(base);
            return Err(error);
        }
        let truncated = length > LINE_BYTES_MAX;
        let full = batch.buffer.len();
        let line = base..if truncated {
            full
        } else {
            without_return(&batch.buffer, base, full)
        };
        if line.is_empty() {
            return Ok(());
        }
        let received = clock::now();
        count(table, self.source, line.len(), received);
        if truncated {
            table.count(self.source, |status| status.truncated += 1);
        }
        batch.records.push(RecordMeta {
            source: self.source,
            origin: LineOrigin::File {
                file: self.id,
                offset: self.offset,
            },
            received,
            text: line,
            raw: 0..0,
            truncated,
            catch_up: self.offset < self.catch_up_until,
        });
        Ok(())
    }
}

fn without_return(buffer: &[u8], begin: usize, end: usize) -> usize {
    if end > begin && buffer.get(end - 1) == Some(&b'\r') {
        end - 1
    } else {
        end
    }
}

fn count(table: &mut SourceTable, source: SourceId, bytes: usize, received: model::Timestamp) {
    table.count(source, |status| {
        status.lines += 1;
        status.bytes += bytes as u64;
        status.last_line = Some(received);
    });
}
