//! Searches the bytes of exhibits, each after its look is on the ledger.

use std::io::{BufRead as _, BufReader, Read};

use anyhow::Result;
use casework::subject::Subject;
use evidence::Look;
use model::Timestamp;
use serde_json::json;
use store::Store;

use super::Answer;
use crate::{
    exhibit_command::Desk,
    ledger_command::{progress, show},
};

/// Of a line without an end, looked at together.
const PIECE_BYTES: usize = 256 << 10;
/// Of one piece, looked at again with the next: a name may lie across the cut.
const OVERLAP_BYTES: usize = 1_024;

pub(super) struct Searched {
    pub(super) searched: u64,
    pub(super) with: u64,
}

pub(super) fn search(
    desk: &Desk,
    store: &Store,
    (subject, reason): (&Subject, &str),
    answer: &mut Answer<'_>,
) -> Result<Searched> {
    let numbers = store.exhibits()?;
    let bar = progress("searching exhibits");
    let mut sum = Searched {
        searched: 0,
        with: 0,
    };
    for (done, number) in (1..).zip(&numbers) {
        show(&bar, done, numbers.len() as u64);
        let record = evidence::exhibit(store, number, Timestamp::MAX)?;
        if record.is_none_or(|record| record.purged) {
            continue;
        }
        let look = Look {
            by: &desk.by,
            how: "search",
            reason,
        };
        let looked = desk.vault.look(&desk.ledger, number, &look);
        let lines = looked
            .map_err(anyhow::Error::from)
            .and_then(|looked| Ok(count(subject, looked.bytes)?));
        match lines {
            Ok(0) => sum.searched += 1,
            Ok(lines) => {
                sum.searched += 1;
                sum.with += 1;
                let row = json!({ "in_exhibit": number, "lines": lines });
                answer.row(&row, &format!("in the bytes of {number}: {lines} lines"))?;
            }
            // Of one that is damaged nobody knows what it says: that is told, not passed over.
            Err(e) => {
                let why = format!("{e:#}");
                let row = json!({ "in_exhibit": number, "not_searched": why });
                answer.row(&row, &format!("{number} could not be searched: {why}"))?;
            }
        }
    }
    bar.finish_and_clear();
    Ok(sum)
}

/// Lines that speak of it; of what is no text, pieces.
fn count(subject: &Subject, bytes: impl Read) -> std::io::Result<u64> {
    let mut from = BufReader::new(bytes);
    let (mut piece, mut lines, mut counted) = (Vec::new(), 0, false);
    loop {
        let room = PIECE_BYTES.saturating_sub(piece.len()) as u64;
        let read = from.by_ref().take(room).read_until(b'\n', &mut piece)?;
        if read == 0 && from.fill_buf()?.is_empty() {
            return Ok(lines);
        }
        if !counted && subject.is_in(&String::from_utf8_lossy(&piece)) {
            lines += 1;
            counted = true;
        }
        if piece.ends_with(b"\n") {
            piece.clear();
            counted = false;
        } else {
            let cut = piece.len().saturating_sub(OVERLAP_BYTES);
            piece.drain(..cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> u64 {
        count(&"192.0.2.7".parse().unwrap(), text).unwrap()
    }

    #[test]
    fn lines_are_counted_once_and_cuts_hide_nothing() {
        assert_eq!(lines(b"192.0.2.7 192.0.2.7\nx\n192.0.2.7"), 2);
        assert_eq!(lines(b""), 0);
        assert_eq!(lines(b"\n\n\xff\n"), 0);
        for before in (PIECE_BYTES - 12)..(PIECE_BYTES + 2) {
            let text = [vec![b' '; before], b"192.0.2.7 ".to_vec()].concat();
            assert_eq!(lines(&text), 1, "{before}");
        }
        let long = [
            vec![b' '; 3 * PIECE_BYTES],
            b"192.0.2.7\n192.0.2.8\n".to_vec(),
        ]
        .concat();
        assert_eq!(lines(&long), 1);
    }
}
