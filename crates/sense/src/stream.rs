//! Standard input, or any other pipe of lines.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
};

use model::{
    Batch, LineOrigin, RecordMeta, SourceId,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, LINE_BYTES_MAX},
};

use crate::{
    clock,
    framer::{Frame, Framer, Framing},
    syslog::{Turn, is_for_later},
    table::SourceTable,
};

const CHUNK: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) file: File,
    source: SourceId,
    framer: Framer,
    line: u64,
    has_ended: bool,
}

impl Stream {
    pub(crate) fn new(fd: OwnedFd, source: SourceId) -> Self {
        let framer = Framer::new(Framing::Lines, LINE_BYTES_MAX);
        Self {
            file: File::from(fd),
            source,
            framer,
            line: 0,
            has_ended: false,
        }
    }

    /// Reads once: the descriptor may be a blocking one, which belongs to others too.
    pub(crate) fn read(&mut self, batch: &mut Batch, table: &mut SourceTable) -> Turn {
        if self.pull(batch, table) == Turn::Again {
            return Turn::Again;
        }
        if !self.has_ended {
            let mut buffer = [0; CHUNK];
            match self.file.read(&mut buffer) {
                Ok(0) => self.has_ended = true,
                Ok(length) => self.framer.feed(buffer.get(..length).unwrap_or_default()),
                Err(error) if is_for_later(&error) => return Turn::Wait,
                Err(error) => {
                    table.count(self.source, |status| status.error = Some(error.to_string()));
                    self.has_ended = true;
                }
            }
        }
        if self.pull(batch, table) == Turn::Again {
            return Turn::Again;
        }
        if !self.has_ended {
            return Turn::Wait;
        }
        let received = clock::now();
        if let Some(frame) = self.framer.last() {
            self.line += 1;
            append(self.source, self.line, frame, received, batch, table);
        }
        Turn::Ended
    }

    fn pull(&mut self, batch: &mut Batch, table: &mut SourceTable) -> Turn {
        let received = clock::now();
        loop {
            if batch.records.len() >= BATCH_LINES_MAX || batch.buffer.len() >= BATCH_BYTES_MAX {
                return Turn::Again;
            }
            let Some(frame) = self.framer.next() else {
                return Turn::Wait;
            };
            self.line += 1;
            append(self.source, self.line, frame, received, batch, table);
        }
    }
}

fn append(
    source: SourceId,
    line: u64,
    frame: Frame<'_>,
    received: model::Timestamp,
    batch: &mut Batch,
    table: &mut SourceTable,
) {
    if frame.bytes.is_empty() {
        return;
    }
    table.count(source, |status| {
        status.lines += 1;
        status.bytes += frame.bytes.len() as u64;
        status.truncated += u64::from(frame.truncated);
        status.last_line = Some(received);
    });
    let text = batch.store(frame.bytes);
    batch.records.push(RecordMeta {
        source,
        origin: LineOrigin::Stream { line },
        received,
        text,
        raw: 0..0,
        truncated: frame.truncated,
        catch_up: false,
    });
}

/// This process's standard input, as a descriptor of its own.
pub(crate) fn standard_input() -> io::Result<OwnedFd> {
    use std::os::fd::AsFd as _;
    io::stdin().as_fd().try_clone_to_owned()
}
