//! Doors for fuzzing: this room's parsers over plain types, as the sensors use them. Not part of
//! the data's way; what must hold of the results stands with the fuzz targets.

use std::net::SocketAddr;

use jiff::tz::TimeZone;
use model::Timestamp;

use crate::{
    framer::{Frame, Framer, Framing},
    journal::export,
    syslog::{self, parse},
};

/// A syslog message taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syslog<'a> {
    pub priority: Option<u8>,
    pub time: Option<Timestamp>,
    /// The sender wrote no year.
    pub guessed_year: bool,
    pub host: &'a [u8],
    pub ident: &'a [u8],
    pub pid: &'a [u8],
    pub structured: &'a [u8],
    pub text: &'a [u8],
}

/// Takes one message apart, as received at `received` in UTC.
pub fn syslog(frame: &[u8], received: Timestamp) -> Syslog<'_> {
    let message = parse::parse(frame);
    Syslog {
        priority: message.priority,
        time: message
            .time
            .and_then(|time| time.resolve(received, &TimeZone::UTC)),
        guessed_year: matches!(message.time, Some(parse::Time::Wall { year: None, .. })),
        host: message.host,
        ident: message.ident,
        pid: message.pid,
        structured: message.structured,
        text: message.text,
    }
}

/// The line that rules get to see of a message.
pub fn syslog_line(frame: &[u8], peer: SocketAddr, received: Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    syslog::render_message(frame, peer, received, &TimeZone::UTC, &mut out);
    out
}

/// What came out of a stream, and the most bytes that were held at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// With whether it was truncated.
    pub frames: Vec<(Vec<u8>, bool)>,
    pub oversize: u64,
    pub held_max: usize,
}

/// Cuts a stream that arrives in pieces of `size` bytes, as TCP syslog does.
pub fn syslog_stream(stream: &[u8], size: usize, max: usize) -> Cut {
    cut(stream, size, Framer::new(Framing::Syslog, max))
}

/// Cuts a stream that arrives in pieces of `size` bytes, as standard input does.
pub fn line_stream(stream: &[u8], size: usize, max: usize) -> Cut {
    cut(stream, size, Framer::new(Framing::Lines, max))
}

fn cut(stream: &[u8], size: usize, mut framer: Framer) -> Cut {
    let owned = |frame: Frame<'_>| (frame.bytes.to_vec(), frame.truncated);
    let mut out = Cut::default();
    for piece in stream.chunks(size.max(1)) {
        framer.feed(piece);
        out.held_max = out.held_max.max(framer.held());
        while let Some(frame) = framer.next() {
            out.frames.push(owned(frame));
        }
    }
    out.frames.extend(framer.last().map(owned));
    out
}

/// Cuts a journal export that arrives in pieces of `size` bytes.
pub fn journal_stream(stream: &[u8], size: usize, max: usize) -> Cut {
    let mut reader = export::Reader::new(max);
    let mut out = Cut::default();
    for piece in stream.chunks(size.max(1)) {
        reader.feed(piece);
        out.held_max = out.held_max.max(reader.held());
        while let Some(entry) = reader.next() {
            out.frames.push((entry.to_vec(), false));
        }
    }
    out.oversize = reader.oversize;
    out
}

/// The parts of a journal entry that a line is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    pub cursor: &'a [u8],
    pub time: Option<Timestamp>,
    pub host: &'a [u8],
    pub ident: &'a [u8],
    pub pid: &'a [u8],
    pub message: &'a [u8],
}

/// Takes one entry apart.
pub fn journal_entry(bytes: &[u8]) -> JournalEntry<'_> {
    let entry = export::parse(bytes);
    JournalEntry {
        cursor: entry.cursor,
        time: entry.time,
        host: entry.host,
        ident: entry.ident,
        pid: entry.pid,
        message: entry.message,
    }
}
