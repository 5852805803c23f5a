//! What detection must not forget over a crash, as records of the intake journal.
//!
//! After each batch the journal gets, in one write, the lines that any bucket counted (with the
//! clock they were counted by) and how far each source was read. After a crash the last snapshot
//! is loaded, the journalled lines are observed again by the same clock, and the sensors resume
//! behind them: every line counts exactly once. Alerts that come out again are recognised by
//! their id.

use anyhow::{Context as _, Result, ensure};
use detect::engine::Clock;
use model::{Record, RecordMeta, SourceInfo, Timestamp};
use sense::{PositionChange, Positions};
use serde::{Deserialize, Serialize};

/// One record of the journal.
pub(super) enum Remembered {
    Line(Line),
    Positions(Vec<PositionChange>),
}

/// A line that counted.
pub(super) struct Line {
    head: LineHead,
    text: Vec<u8>,
    raw: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct LineHead {
    source: SourceInfo,
    origin: model::LineOrigin,
    received: Timestamp,
    truncated: bool,
    catch_up: bool,
    now: Timestamp,
    /// Counted by the time that stands in it ([`Clock::CatchUp`]).
    own_time: bool,
}

#[derive(Serialize, Deserialize)]
struct SnapshotHead {
    positions: Positions,
}

const LINE: u8 = b'L';
const POSITIONS: u8 = b'P';

impl Line {
    /// The line as the engine takes it.
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&Record<'_>, &SourceInfo, Clock) -> T) -> T {
        let meta = RecordMeta {
            source: model::SourceId(0),
            origin: self.head.origin.clone(),
            received: self.head.received,
            text: 0..self.text.len(),
            raw: 0..self.raw.len(),
            truncated: self.head.truncated,
            catch_up: self.head.catch_up,
        };
        let raw = if self.raw.is_empty() {
            &self.text
        } else {
            &self.raw
        };
        let now = self.head.now;
        let clock = if self.head.own_time {
            Clock::CatchUp { now }
        } else {
            Clock::Live { now }
        };
        use_it(
            &Record {
                meta: &meta,
                text: &self.text,
                raw,
            },
            &self.head.source,
            clock,
        )
    }
}

/// Kind, length of the JSON head, head, length of the text, text, raw (when it differs).
pub(super) fn encode_line(record: &Record<'_>, source: &SourceInfo, clock: Clock) -> Vec<u8> {
    let (now, own_time) = match clock {
        Clock::CatchUp { now } => (now, true),
        Clock::Live { now } => (now, false),
        // A guard never counts so; its own arrival is the best that can be said.
        Clock::Recording => (record.meta.received, true),
    };
    let head = LineHead {
        source: source.clone(),
        origin: record.meta.origin.clone(),
        received: record.meta.received,
        truncated: record.meta.truncated,
        catch_up: record.meta.catch_up,
        now,
        own_time,
    };
    let head = serde_json::to_vec(&head).unwrap_or_default();
    let mut out = Vec::with_capacity(9 + head.len() + record.text.len());
    out.push(LINE);
    put(&mut out, &head);
    put(&mut out, record.text);
    if record.raw != record.text {
        out.extend_from_slice(record.raw);
    }
    out
}

pub(super) fn encode_positions(changes: &[PositionChange]) -> Vec<u8> {
    let mut out = vec![POSITIONS];
    out.extend(serde_json::to_vec(changes).unwrap_or_default());
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Remembered> {
    let (kind, rest) = bytes.split_first().context("an empty journal record")?;
    if *kind == POSITIONS {
        return Ok(Remembered::Positions(serde_json::from_slice(rest)?));
    }
    ensure!(*kind == LINE, "a journal record of unknown kind {kind}");
    let (head, rest) = take(rest)?;
    let (text, raw) = take(rest)?;
    Ok(Remembered::Line(Line {
        head: serde_json::from_slice(head)?,
        text: text.to_vec(),
        raw: raw.to_vec(),
    }))
}

/// Positions, then the engine's own snapshot.
pub(super) fn encode_snapshot(positions: &Positions, engine: &[u8]) -> Vec<u8> {
    let head = SnapshotHead {
        positions: positions.clone(),
    };
    let mut out = Vec::with_capacity(engine.len() + 1_024);
    put(&mut out, &serde_json::to_vec(&head).unwrap_or_default());
    out.extend_from_slice(engine);
    out
}

pub(super) fn decode_snapshot(bytes: &[u8]) -> Result<(Positions, &[u8])> {
    let (head, engine) = take(bytes)?;
    let head: SnapshotHead = serde_json::from_slice(head)?;
    Ok((head.positions, engine))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .context("a cut journal record")?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        .context("a cut journal record")
}

#[cfg(test)]
mod tests {
    use model::{FileId, LineOrigin};

    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        let meta = RecordMeta {
            source: model::SourceId(3),
            origin: LineOrigin::File {
                file: FileId {
                    device: 1,
                    inode: 2,
                },
                offset: 77,
            },
            received: Timestamp::from_seconds(5),
            text: 0..3,
            raw: 0..0,
            truncated: false,
            catch_up: true,
        };
        let source = SourceInfo {
            name: "/var/log/auth.log".into(),
            module: "file".into(),
            labels: [("type".to_owned(), "syslog".to_owned())].into(),
        };
        let record = Record {
            meta: &meta,
            text: b"a\xffb",
            raw: b"a\xffb",
        };
        let clock = Clock::Live {
            now: Timestamp::from_seconds(6),
        };
        let Remembered::Line(line) = decode(&encode_line(&record, &source, clock)).unwrap() else {
            panic!("not a line");
        };
        line.with(|back, from, by| {
            assert_eq!((back.text, back.raw), (record.text, record.raw));
            assert_eq!(back.meta.origin, meta.origin);
            assert_eq!(from, &source);
            assert_eq!(by, clock);
        });
    }

    #[test]
    fn torn_records_are_errors() {
        for bytes in [&b""[..], b"X", b"L", b"L\x09\0\0\0{}", b"P{"] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(decode_snapshot(b"\x01\0").is_err());
    }

    #[test]
    fn a_snapshot_comes_back() {
        let bytes = encode_snapshot(&Positions::default(), b"engine");
        let (positions, engine) = decode_snapshot(&bytes).unwrap();
        assert_eq!((positions, engine), (Positions::default(), &b"engine"[..]));
    }
}
