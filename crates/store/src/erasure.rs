//! Erasing payloads on schedule: the leaf stays, and the ledger says who went and why.

use std::ops::Range;

use model::{Entry, Notice, Timestamp};
use rusqlite::{Transaction, params};

use crate::{StoreError, convert::sql};

/// The code of the notices that announce erasures.
const CODE: &str = "payload_erased";
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
