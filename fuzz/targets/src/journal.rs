//! The journal's export format, as `journalctl` writes it.

use sense::fuzzing::{journal_entry, journal_stream};

use crate::{is_part, knob};

const MAX: usize = 96;

/// The first byte gives the size of the pieces in which the rest arrives. The rest is a stream of
/// entries, one entry, and the message of an entry.
pub fn journal_export(data: &[u8]) {
    let (size, data) = knob(data);
    let size = usize::from(size).max(1);
    entry(data);
    stream(data, size, usize::MAX >> 1);
    stream(data, size, MAX);
    there_and_back(data, size);
}

fn entry(bytes: &[u8]) {
    let entry = journal_entry(bytes);
    for part in [
        entry.cursor,
        entry.host,
        entry.ident,
        entry.pid,
        entry.message,
    ] {
        assert!(is_part(part, bytes), "a part from elsewhere");
    }
}

fn stream(bytes: &[u8], size: usize, max: usize) {
    let whole = journal_stream(bytes, bytes.len(), max);
    let pieces = journal_stream(bytes, size, max);
    assert_eq!(
        whole.frames, pieces.frames,
        "entries hang on how the stream was cut"
    );
    for (frame, _) in &pieces.frames {
        assert!(
            !frame.is_empty() && frame.len() <= max,
            "the limit does not hold"
        );
        entry(frame);
    }
    assert!(
        pieces.held_max <= max.saturating_mul(3).saturating_add(size),
        "memory is not bounded"
    );
}

/// Any message comes through, as a binary field and, if it has no line end, as a text field.
fn there_and_back(message: &[u8], size: usize) {
    let mut stream = b"__CURSOR=s=1\n_HOSTNAME=web1\nMESSAGE\n".to_vec();
    stream.extend((message.len() as u64).to_le_bytes());
    stream.extend(message);
    stream.extend(b"\n_PID=42\n\n");
    if !message.contains(&b'\n') {
        stream.extend([b"MESSAGE=", message, b"\n_PID=42\n\n"].concat());
    }
    let cut = journal_stream(&stream, size, usize::MAX >> 1);
    let wanted = if message.contains(&b'\n') { 1 } else { 2 };
    assert_eq!(cut.frames.len(), wanted, "an entry was lost");
    for (frame, _) in &cut.frames {
        let entry = journal_entry(frame);
        assert_eq!((entry.message, entry.pid), (message, &b"42"[..]));
    }
}
