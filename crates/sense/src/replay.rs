//! Recorded logs, read at full speed.
//!
//! One large buffer is filled from the file and handed on in place: lines are never copied, only
//! the broken one at a buffer's end is moved to the front.

use std::{
    fs::File,
    io::{self, Read as _},
    ops::ControlFlow,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use model::{
    Batch, FileId, LineOrigin, RecordMeta, SourceId, Timestamp,
    limits::{BATCH_LINES_MAX, LINE_BYTES_MAX},
};

use crate::{SenseError, clock, stream::standard_input};

/// More than a longest line, and small enough for a cache.
const BUFFER: usize = 2 << 20;
const _: () = assert!(BUFFER > LINE_BYTES_MAX + 1);
const READ: usize = 128 << 10;
/// A broken line up to this is moved to the front at once, so that what is read and looked at
/// stays in the cache.
const REST_MOVED_MAX: usize = 8 << 10;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes_done: u64,
    /// `None` when the input has no known size (a pipe).
    pub bytes_total: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    pub bytes: u64,
    pub lines: u64,
    pub truncated: u64,
}

/// Streams the whole file (`-` is standard input) as batches. Stops early when `each` breaks.
/// The last line needs no line end.
pub fn read_file(
    path: &Path,
    source: SourceId,
    each: &mut dyn FnMut(&Batch, Progress) -> ControlFlow<()>,
) -> Result<ReplaySummary, SenseError> {
    let fail = |source| SenseError::Read {
        path: path.to_owned(),
        source,
    };
    let file = if path == Path::new("-") {
        File::from(standard_input().map_err(fail)?)
    } else {
        File::open(path).map_err(fail)?
    };
    let meta = file.metadata().map_err(fail)?;
    let origin = meta.is_file().then(|| FileId {
        device: meta.dev(),
        inode: meta.ino(),
    });
    let mut replay = Replay {
        file,
        source,
        id: origin,
        total: origin.map(|_| meta.len()),
        batch: Batch::default(),
        base: 0,
        begin: 0,
        end: 0,
        line: 0,
        skip_line: false,
        summary: ReplaySummary::default(),
    };
    replay.run(each).map_err(fail)?;
    Ok(replay.summary)
}

struct Replay {
    file: File,
    source: SourceId,
    id: Option<FileId>,
    total: Option<u64>,
    /// Its buffer keeps its full length; `begin..end` is what is read and not yet handed on.
    batch: Batch,
    /// Where in the input the buffer begins.
    base: u64,
    begin: usize,
    end: usize,
    line: u64,
    skip_line: bool,
    summary: ReplaySummary,
}

impl Replay {
    fn run(&mut self, each: &mut dyn FnMut(&Batch, Progress) -> ControlFlow<()>) -> io::Result<()> {
        self.batch.buffer.resize(BUFFER, 0);
        loop {
            self.make_room();
            let limit = (self.end + READ).min(BUFFER);
            let free = self
                .batch
                .buffer
                .get_mut(self.end..limit)
                .unwrap_or_default();
            let got = match self.file.read(free) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let fresh = self.end;
            self.end += got;
            self.summary.bytes += got as u64;
            if self.split(fresh, got == 0, each).is_break() || got == 0 {
                return Ok(());
            }
        }
    }

    // Keeps room for a whole read behind what is pending.
    fn make_room(&mut self) {
        if self.begin == self.end {
            self.base += self.end as u64;
            (self.begin, self.end) = (0, 0);
        } else if self.end - self.begin <= REST_MOVED_MAX || self.end + READ > BUFFER {
            self.batch.buffer.copy_within(self.begin..self.end, 0);
            self.base += self.begin as u64;
            self.end -= self.begin;
            self.begin = 0;
        }
    }

    /// Hands on the lines that end at or after `fresh`; before it there is no line end.
    fn split(
        &mut self,
        mut fresh: usize,
        is_last: bool,
        each: &mut dyn FnMut(&Batch, Progress) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let received = clock::now();
        let mut batch = std::mem::take(&mut self.batch);
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() {
            let Batch { buffer, records } = &mut batch;
            let mut is_full = false;
            for at in memchr::memchr_iter(b'\n', buffer.get(fresh..self.end).unwrap_or_default()) {
                let end = fresh + at;
                self.take_line(self.begin..end, received, buffer, records);
                self.begin = end + 1;
                is_full = records.len() >= BATCH_LINES_MAX;
                if is_full {
                    break;
                }
            }
            fresh = self.begin;
            let rest = self.end - self.begin;
            if !is_full && rest > 0 && (is_last || rest > LINE_BYTES_MAX) {
                self.take_line(self.begin..self.end, received, buffer, records);
                self.begin = self.end;
                self.skip_line = !is_last;
            }
            if !batch.is_empty() {
                flow = each(&batch, self.progress());
                batch.records.clear();
            }
            if !is_full {
                break;
            }
        }
        self.batch = batch;
        flow
    }

    fn take_line(
        &mut self,
        line: std::ops::Range<usize>,
        received: Timestamp,
        buffer: &[u8],
        records: &mut Vec<RecordMeta>,
    ) {
        if std::mem::take(&mut self.skip_line) {
            return;
        }
        self.line += 1;
        let offset = self.base + line.start as u64;
        let truncated = line.len() > LINE_BYTES_MAX;
        let mut text = line.start..line.end.min(line.start + LINE_BYTES_MAX);
        if !truncated && text.end > text.start && buffer.get(text.end - 1) == Some(&b'\r') {
            text.end -= 1;
        }
        if text.is_empty() {
            return;
        }
        self.summary.lines += 1;
        self.summary.truncated += u64::from(truncated);
        let origin = match self.id {
            Some(file) => LineOrigin::File { file, offset },
            None => LineOrigin::Stream { line: self.line },
        };
        records.push(RecordMeta {
            source: self.source,
            origin,
            received,
            text,
            raw: 0..0,
            truncated,
            catch_up: false,
        });
    }

    fn progress(&self) -> Progress {
        Progress {
            bytes_done: self.base + self.begin as u64,
            bytes_total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> (Vec<(u64, Vec<u8>, bool)>, ReplaySummary) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, bytes).unwrap();
        let mut out = Vec::new();
        let summary = read_file(&path, SourceId(3), &mut |batch, progress| {
            assert!(batch.records.len() <= BATCH_LINES_MAX);
            assert_eq!(progress.bytes_total, Some(bytes.len() as u64));
            assert!(progress.bytes_done <= bytes.len() as u64);
            out.extend(batch.iter().map(|r| {
                let LineOrigin::File { offset, .. } = r.meta.origin else {
                    panic!("no file")
                };
                (offset, r.text.to_vec(), r.meta.truncated)
            }));
            ControlFlow::Continue(())
        });
        (out, summary.unwrap())
    }

    /// The lines by the definition, slowly.
    fn expected(bytes: &[u8]) -> Vec<(u64, Vec<u8>, bool)> {
        let mut offset = 0;
        let mut out = Vec::new();
        for line in bytes.split(|b| *b == b'\n') {
            let truncated = line.len() > LINE_BYTES_MAX;
            let kept = if truncated {
                &line[..LINE_BYTES_MAX]
            } else {
                line
            };
            let kept = if truncated {
                kept
            } else {
                kept.strip_suffix(b"\r").unwrap_or(kept)
            };
            if !kept.is_empty() {
                out.push((offset, kept.to_vec(), truncated));
            }
            offset += line.len() as u64 + 1;
        }
        out
    }

    #[test]
    fn long_lines_and_buffer_borders() {
        let long = |n: usize| vec![b'x'; n];
        let max = LINE_BYTES_MAX;
        let mut bytes = b"a\r\n\n\xff\x00\n".to_vec();
        for n in [
            READ - 3,
            READ,
            max - 1,
            max,
            max + 1,
            max + READ,
            3 * max,
            5,
            BUFFER,
        ] {
            bytes.extend(long(n));
            bytes.extend(b"\nshort\n");
        }
        bytes.extend(b"end without");
        let (lines, summary) = read(&bytes);
        let expected = expected(&bytes);
        assert_eq!(lines.len(), expected.len());
        assert!(lines == expected, "contents differ");
        assert_eq!((summary.bytes, summary.truncated), (bytes.len() as u64, 4));
    }

    #[test]
    fn a_break_stops_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "line\n".repeat(5_000)).unwrap();
        let mut calls = 0;
        let summary = read_file(&path, SourceId(0), &mut |_, _| {
            calls += 1;
            ControlFlow::Break(())
        });
        assert_eq!((calls, summary.unwrap().lines), (1, BATCH_LINES_MAX as u64));
        let missing = read_file(&dir.path().join("none"), SourceId(0), &mut |_, _| {
            ControlFlow::Continue(())
        });
        assert!(missing.unwrap_err().to_string().contains("none"));
    }

    #[test]
    #[ignore = "a measurement; run in release"]
    fn speed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line = "Nov 21 20:15:00 web1 sshd[4711]: Failed password for root from 203.0.113.9 port 55022 ssh2\n";
        fs::write(&path, line.repeat(10_000_000)).unwrap();
        let begun = Instant::now();
        let summary = read_file(&path, SourceId(0), &mut |_, _| ControlFlow::Continue(())).unwrap();
        let rate = summary.bytes as f64 / begun.elapsed().as_secs_f64() / 1e9;
        println!("{rate:.2} GB/s");
        assert!(rate > 1.0);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_definition(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..5_000),
        ) {
            prop_assert_eq!(read(&bytes).0, expected(&bytes));
        }
    }
}
