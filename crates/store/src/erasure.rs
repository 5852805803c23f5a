//! Erasing payloads on schedule: the leaf stays, and the ledger says who went and why.

use std::{collections::BTreeSet, ops::Range};

use ledger::Leaf;
use model::{Entry, Notice, Timestamp};
use rusqlite::{Connection, Transaction, params};

use crate::{
    StoreError,
    convert::{sql, unsigned},
    store::damaged,
};

/// The code of the notices that announce erasures.
const CODE: &str = "payload_erased";
/// The kind that an announcement has in its leaf.
const KIND: &str = "notice";
/// Held in memory while they are moved: a few hundred bytes each.
const ROWS_PACKED_AT_ONCE: u64 = 16_384;
/// Why something was erased, cut to a line.
const REASON_CHARS_MAX: usize = 500;

/// The entry that announces an erasure. Its text begins with the range, for [`announced`].
pub(crate) fn notice(entries: &Range<u64>, reason: &str, at: Timestamp) -> Entry {
    let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
    let last = entries.end.saturating_sub(1);
    let text = format!("entries {} to {last}: {reason}", entries.start);
    Entry::Notice(Notice {
        at,
        code: CODE.to_owned(),
        text,
        prefixes: Vec::new(),
    })
}

/// What an entry says was erased, if it says so.
pub(crate) fn announced(entry: &Entry) -> Option<Range<u64>> {
    let Entry::Notice(notice) = entry else {
        return None;
    };
    if notice.code != CODE {
        return None;
    }
    let (first, rest) = notice.text.strip_prefix("entries ")?.split_once(" to ")?;
    let (last, _) = rest.split_once(": ")?;
    Some(first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?)
}

/// The first entry that was recorded at `since` or later, of `size`. Found by halves: only a
/// clock that was set back puts entries out of order, and then a few are kept for longer.
pub(crate) fn first_since(db: &Connection, size: u64, since: Timestamp) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let leaf: Vec<u8> = db
            .prepare_cached("SELECT leaf FROM entry WHERE idx = ?1")?
            .query_row([sql(middle)], |row| row.get(0))?;
        let leaf =
            Leaf::parse(&leaf).map_err(|e| damaged(&format!("entry {middle}"), &e.to_string()))?;
        if leaf.time < since {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Runs of entries before `end` that have their payload and need it no more. What must stay
/// between two of them (a decision in force, an announcement, what a case is made of) parts them.
pub(crate) fn erasable(
    db: &Connection,
    end: u64,
    now: Timestamp,
) -> Result<Vec<Range<u64>>, StoreError> {
    let mut needed: BTreeSet<i64> = db
        .prepare_cached("SELECT idx FROM ban WHERE until > ?1 AND idx < ?2")?
        .query_map(params![now.nanos(), sql(end)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    needed.extend(crate::evidence::kept(db)?);
    // Only notices can be announcements.
    let mut statement = db.prepare_cached(
        "SELECT idx, CASE WHEN instr(leaf, ?2) THEN payload END FROM entry
         WHERE idx < ?1 AND erased_at IS NULL ORDER BY idx",
    )?;
    let mark = format!("\"kind\":\"{}\"", KIND);
    let mut rows = statement.query(params![sql(end), mark.as_bytes()])?;
    let mut runs: Vec<Range<u64>> = Vec::new();
    while let Some(row) = rows.next()? {
        let index: i64 = row.get(0)?;
        let payload: Option<Vec<u8>> = row.get(1)?;
        let entry = payload.and_then(|p| serde_json::from_slice::<Entry>(&p).ok());
        if needed.contains(&index) || entry.as_ref().and_then(announced).is_some() {
            continue;
        }
        let index = unsigned(index);
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    Ok(runs)
}

/// Announcements of erasures are never erased themselves: without them an erasure looks like
/// tampering, and they name no one.
pub(crate) fn erase(
    tx: &Transaction<'_>,
    entries: &Range<u64>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut keep = Vec::new();
    crate::query::each_entry(tx, entries.clone(), &mut |stored| {
        if stored.entry().and_then(announced).is_some() {
            keep.push(stored.index);
        }
        Ok(())
    })?;
    let mut statement = tx.prepare_cached(
        "UPDATE entry SET salt = NULL, payload = NULL, erased_at = ?3
         WHERE idx >= ?1 AND idx < ?2 AND erased_at IS NULL",
    )?;
    let mut start = entries.start;
    for end in keep.into_iter().chain([entries.end]) {
        statement.execute(params![sql(start), sql(end), at.nanos()])?;
        start = end.saturating_add(1);
    }
    pack(tx, entries)
}

/// A row of an erased entry: its place, leaf, leaf's hash, and when it was erased.
type Tombstone = (i64, Vec<u8>, Vec<u8>, i64);

/// SQLite does not join the pages that an update left nearly empty, so a ledger would grow by
/// a page for two tombstones. Taken out and put in again in order, a dozen share one.
fn pack(tx: &Transaction<'_>, entries: &Range<u64>) -> Result<(), StoreError> {
    let mut start = entries.start;
    while start < entries.end {
        let end = entries.end.min(start.saturating_add(ROWS_PACKED_AT_ONCE));
        let tombstones: Vec<Tombstone> = tx
            .prepare_cached(
                "SELECT idx, leaf, leaf_hash, erased_at FROM entry
                 WHERE idx >= ?1 AND idx < ?2 AND erased_at IS NOT NULL ORDER BY idx",
            )?
            .query_map(params![sql(start), sql(end)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        tx.prepare_cached(
            "DELETE FROM entry WHERE idx >= ?1 AND idx < ?2 AND erased_at IS NOT NULL",
        )?
        .execute(params![sql(start), sql(end)])?;
        let mut put = tx.prepare_cached(
            "INSERT INTO entry (idx, leaf, leaf_hash, erased_at) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for tombstone in tombstones {
            put.execute(tombstone)?;
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_says_its_range() {
        let entry = notice(&(3..10), "retention: 90 days", Timestamp::EPOCH);
        assert_eq!(announced(&entry), Some(3..10));
        let Entry::Notice(mut other) = entry else {
            unreachable!()
        };
        other.code = "kernel_drift".into();
        assert_eq!(announced(&Entry::Notice(other)), None);
    }
}
