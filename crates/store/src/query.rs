//! Reading: entries, projections, proofs.

use std::ops::{ControlFlow, Range};

use ledger::{Checkpoint, Hash, Leaf, Node, ProofFile, Salt, inclusion_proof};
use model::{
    AlertId, Author, Entry, KnownBan, Prefix, Timestamp,
    limits::{BANS_MAX, OFFENDERS_MAX},
};
use rusqlite::{Connection, Row, params, types::Value};

use crate::{
    ActiveBan, AlertFilter, Content, Offender, RecordedAlert, RecordedRefusal, Store, StoreError,
    StoredEntry,
    attest::newest_cosigned,
    convert::{self, sql, unsigned},
    projection::author,
    store::{damaged, log_row},
};

impl Store {
    /// The decisions in force at `at`, in the order they were made.
    pub fn bans(&self, at: Timestamp) -> Result<Vec<ActiveBan>, StoreError> {
        let mut all = Vec::new();
        self.for_each_ban(at, &mut |ban| {
            all.push(ban);
            if all.len() < BANS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(all)
    }

    /// The same one at a time, until `each` has enough.
    pub fn for_each_ban(
        &self,
        at: Timestamp,
        each: &mut dyn FnMut(ActiveBan) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // One snapshot for both queries.
        let tx = self.db.unchecked_transaction()?;
        let mut indices: Vec<i64> = tx
            .prepare_cached("SELECT idx FROM ban WHERE +until > ?1")?
            .query_map([at.nanos()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        indices.sort_unstable();
        let mut entry = tx.prepare_cached("SELECT payload FROM entry WHERE idx = ?1")?;
        for index in indices {
            let bad = |why: &str| damaged(&format!("ban of entry {index}"), why);
            let payload: Option<Vec<u8>> = entry.query_row([index], |row| row.get(0))?;
            let decision = match serde_json::from_slice(&payload.unwrap_or_default()) {
                Ok(Entry::Decision(decision)) => decision,
                Ok(_) => return Err(bad("the entry is no decision")),
                Err(e) => return Err(bad(&e.to_string())),
            };
            let index = unsigned(index);
            if each(ActiveBan { index, decision }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Decisions in force at `at`, the newest first, at most `limit`; with `before`, only those
    /// that stand before that ledger index (for paging).
    pub fn newest_bans(
        &self,
        at: Timestamp,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ActiveBan>, StoreError> {
        let text = "SELECT newest.idx, entry.payload FROM
                      (SELECT idx FROM ban WHERE +until > ?1 AND (?2 IS NULL OR idx < ?2)
                       ORDER BY idx DESC LIMIT ?3) AS newest JOIN entry USING (idx)
                    ORDER BY newest.idx DESC";
        let values = [
            at.nanos().into(),
            before.map(sql).into(),
            sql(limit as u64).into(),
        ];
        payloads(&self.db, text, &values, &mut |index, entry| match entry {
            Entry::Decision(decision) => Ok(ActiveBan { index, decision }),
            _ => Err(damaged(
                &format!("ban of entry {index}"),
                "the entry is no decision",
            )),
        })
    }

    /// Hands `take` the network and the end of every ban in force at `at`, the first to end
    /// first: what must be in the kernel. On an error what was handed over is not all there is.
    pub fn ban_ends<T>(
        &self,
        at: Timestamp,
        take: impl FnOnce(&mut dyn Iterator<Item = (Prefix, Timestamp)>) -> T,
    ) -> Result<T, StoreError> {
        // Answered by the index alone.
        let text = "SELECT prefix, until FROM ban WHERE until > ?1 ORDER BY until";
        stream(&self.db, text, at, take, |row| {
            Ok((ban_prefix(row)?, Timestamp::from_nanos(row.get(1)?)))
        })
    }

    /// Hands `take` the last decision on each prefix that was not released and ended after
    /// `since`, sorted by prefix: what a policy must know to go on. On an error what was handed
    /// over is not all there is.
    pub fn known_bans<T>(
        &self,
        since: Timestamp,
        take: impl FnOnce(&mut dyn Iterator<Item = KnownBan>) -> T,
    ) -> Result<T, StoreError> {
        // Without the index, which would make SQLite look all over the table.
        let text = "SELECT prefix, begun, until, by, alert, sources, repeat FROM ban
                    WHERE +until > ?1 ORDER BY prefix";
        stream(&self.db, text, since, take, known_ban)
    }

    /// Alerts, the newest first.
    pub fn alerts(&self, filter: &AlertFilter) -> Result<Vec<RecordedAlert>, StoreError> {
        let text = "SELECT alert.idx, entry.payload FROM alert JOIN entry USING (idx)
                    WHERE (?1 IS NULL OR last >= ?1) AND (?2 IS NULL OR rule = ?2)
                      AND (?3 IS NULL OR value = ?3) AND (?4 IS NULL OR alert.idx < ?4)
                    ORDER BY alert.idx DESC LIMIT ?5";
        let values = [
            filter.since.map(Timestamp::nanos).into(),
            filter.rule.clone().into(),
            filter.value.clone().into(),
            filter.before.map(sql).into(),
            sql(filter.limit as u64).into(),
        ];
        payloads(&self.db, text, &values, &mut |index, entry| match entry {
            Entry::Alert(alert) => Ok(RecordedAlert { index, alert }),
            _ => Err(damaged(&format!("alert {index}"), "the entry is no alert")),
        })
    }

    /// One alert by its id.
    pub fn alert(&self, id: AlertId) -> Result<Option<RecordedAlert>, StoreError> {
        let text = "SELECT entry_key.idx, entry.payload FROM entry_key JOIN entry USING (idx)
                    WHERE key = ?1";
        let values = [format!("alert:{id}").into()];
        let found = payloads(&self.db, text, &values, &mut |index, entry| match entry {
            Entry::Alert(alert) => Ok(RecordedAlert { index, alert }),
            _ => Err(damaged(&format!("alert {index}"), "the entry is no alert")),
        })?;
        Ok(found.into_iter().next())
    }

    /// Refusals, the newest first.
    pub fn refusals(&self, limit: usize) -> Result<Vec<RecordedRefusal>, StoreError> {
        let text = "SELECT refusal.idx, entry.payload FROM refusal JOIN entry USING (idx)
                    ORDER BY refusal.idx DESC LIMIT ?1";
        payloads(
            &self.db,
            text,
            &[sql(limit as u64).into()],
            &mut |index, entry| match entry {
                Entry::Refusal(refusal) => Ok(RecordedRefusal { index, refusal }),
                _ => Err(damaged(
                    &format!("refusal {index}"),
                    "the entry is no refusal",
                )),
            },
        )
    }

    /// Every network that was ever banned, the latest first, up to the number remembered.
    pub fn offenders(&self) -> Result<Vec<Offender>, StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT prefix, bans, last FROM offender ORDER BY last DESC LIMIT ?1")?;
        let mut rows = statement.query([sql(OFFENDERS_MAX as u64)])?;
        let mut offenders = Vec::new();
        while let Some(row) = rows.next()? {
            let prefix: String = row.get(0)?;
            let prefix = prefix
                .parse()
                .map_err(|_| damaged(&format!("offender {prefix:?}"), "it is no network"))?;
            let bans = u32::try_from(row.get::<_, i64>(1)?).unwrap_or(u32::MAX);
            offenders.push(Offender {
                prefix,
                bans,
                last: Timestamp::from_nanos(row.get(2)?),
            });
        }
        Ok(offenders)
    }

    /// How many entries of each kind there are.
    pub fn counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT kind, entries FROM kind_count ORDER BY kind")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The entries of a range, cut to what there is.
    pub fn entries(&self, range: Range<u64>) -> Result<Vec<StoredEntry>, StoreError> {
        let mut out = Vec::new();
        each_entry(&self.db, range, &mut |stored| {
            out.push(stored);
            Ok(())
        })?;
        Ok(out)
    }

    /// The same one at a time, for ranges that need not fit into memory.
    pub fn for_each_entry(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(StoredEntry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        each_entry(&self.db, range, each)
    }

    /// Entries that were recorded at `since` or later and have their content, at most `max` looked
    /// at; says how many. A clock that was set back may hide a few.
    pub fn for_each_since(
        &self,
        since: Timestamp,
        max: u64,
        each: &mut dyn FnMut(u64, &Entry),
    ) -> Result<u64, StoreError> {
        let size = self.size()?;
        let first = crate::erasure::first_since(&self.db, size, since)?;
        let end = size.min(first.saturating_add(max));
        each_entry(&self.db, first..end, &mut |stored| {
            if let Some(entry) = stored.entry() {
                each(stored.index, entry);
            }
            Ok(())
        })?;
        Ok(end.saturating_sub(first))
    }

    pub fn entry(&self, index: u64) -> Result<StoredEntry, StoreError> {
        let found = self.entries(index..index.saturating_add(1))?.pop();
        match found {
            Some(stored) => Ok(stored),
            None => Err(StoreError::NoSuchEntry {
                index,
                size: self.size()?,
            }),
        }
    }

    /// What proves, offline, that entry `index` is on the ledger: C2SP tlog-proof. It carries the
    /// newest cosigned checkpoint; an entry that no cosigned one covers yet is proven by the
    /// newest checkpoint of the log alone.
    pub fn proof(&self, index: u64) -> Result<ProofFile, StoreError> {
        // One snapshot, so that tree and checkpoint belong together.
        let tx = self.db.unchecked_transaction()?;
        let cosigned = newest_cosigned(&tx, &self.keys)?;
        let (size, checkpoint) = match cosigned.filter(|(size, _)| index < *size) {
            Some(cosigned) => cosigned,
            None => {
                let newest = log_row(&tx)?.checkpoint;
                let opened = Checkpoint::open_any(newest.as_bytes(), self.keys.known())
                    .map_err(|e| damaged("the checkpoint", &e.to_string()))?;
                (opened.size, newest)
            }
        };
        if index >= size {
            return Err(StoreError::NoSuchEntry { index, size });
        }
        let mut failure = None;
        let proof = inclusion_proof(index, size, &mut |node| {
            node_hash_at(&tx, node).unwrap_or_else(|e| {
                failure = Some(e);
                None
            })
        });
        if let Some(e) = failure {
            return Err(e);
        }
        let proof = proof.map_err(|e| damaged("the tree", &e.to_string()))?;
        Ok(ProofFile {
            index,
            proof,
            checkpoint,
            extra: None,
        })
    }
}

/// The root of a perfect subtree, from the hashes kept for the level below it.
pub(crate) fn node_hash_at(db: &Connection, node: Node) -> Result<Option<Hash>, StoreError> {
    let (level, above) = (node.height / 8, node.height % 8);
    let first = node.index << above;
    let row = hashes(db, level, first..first + (1 << above))?;
    if row.len() as u64 != 1 << above {
        return Ok(None);
    }
    let mut tree = ledger::CompactTree::new();
    // A perfect subtree's root does not depend on what its leaves are.
    row.into_iter()
        .for_each(|hash| tree.push(hash, &mut |_, _| {}));
    Ok(Some(tree.root()))
}

/// The hashes of a level (0: the leaves) in a range; fewer when there are not so many.
pub(crate) fn hashes(
    db: &Connection,
    level: u8,
    range: Range<u64>,
) -> Result<Vec<Hash>, StoreError> {
    let text = match level {
        0 => "SELECT leaf_hash, ?1 FROM entry WHERE idx >= ?2 AND idx < ?3 ORDER BY idx",
        _ => "SELECT hash FROM node WHERE level = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx",
    };
    let mut statement = db.prepare_cached(text)?;
    let mut rows = statement.query(params![level, sql(range.start), sql(range.end)])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let hash = Hash::from_slice(row.get_ref(0)?.as_blob().unwrap_or_default());
        let bad = || damaged(&format!("a hash at level {level}"), "it is not 32 bytes");
        out.push(hash.ok_or_else(bad)?);
    }
    Ok(out)
}

/// Calls `each` for the entries of a range, in order.
pub(crate) fn each_entry(
    db: &Connection,
    range: Range<u64>,
    each: &mut dyn FnMut(StoredEntry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT idx, leaf, salt, payload, erased_at FROM entry
         WHERE idx >= ?1 AND idx < ?2 ORDER BY idx",
    )?;
    let mut rows = statement.query(params![sql(range.start), sql(range.end)])?;
    while let Some(row) = rows.next()? {
        each(stored_entry(row)?)?;
    }
    Ok(())
}

fn stored_entry(row: &Row<'_>) -> Result<StoredEntry, StoreError> {
    let index = unsigned(row.get(0)?);
    let bad = |why: &str| damaged(&format!("entry {index}"), why);
    let leaf_bytes: Vec<u8> = row.get(1)?;
    let leaf = Leaf::parse(&leaf_bytes).map_err(|e| bad(&e.to_string()))?;
    let salt: Option<Vec<u8>> = row.get(2)?;
    let payload: Option<Vec<u8>> = row.get(3)?;
    let erased_at: Option<i64> = row.get(4)?;
    let content = match (salt, payload, erased_at) {
        (Some(salt), Some(payload), None) => Content::Kept {
            salt: Salt(
                salt.try_into()
                    .map_err(|_| bad("its salt is not 32 bytes"))?,
            ),
            entry: serde_json::from_slice(&payload).map_err(|e| bad(&e.to_string()))?,
            payload,
        },
        (None, None, Some(at)) => Content::Erased {
            at: Timestamp::from_nanos(at),
        },
        _ => return Err(bad("its payload is neither kept nor marked as erased")),
    };
    Ok(StoredEntry {
        index,
        leaf_bytes,
        leaf,
        content,
    })
}

/// Runs a query and lets `take` pull its rows; the first error ends them.
fn stream<T, R>(
    db: &Connection,
    text: &str,
    since: Timestamp,
    take: impl FnOnce(&mut dyn Iterator<Item = R>) -> T,
    read: fn(&Row<'_>) -> Result<R, StoreError>,
) -> Result<T, StoreError> {
    let mut statement = db.prepare_cached(text)?;
    let mut rows = statement.query([since.nanos()])?;
    let mut failure = None;
    let taken = take(&mut std::iter::from_fn(|| match rows.next() {
        Ok(row) => row.map(read)?.map_err(|e| failure = Some(e)).ok(),
        Err(e) => {
            failure = Some(e.into());
            None
        }
    }));
    failure.map_or(Ok(taken), Err)
}

fn ban_prefix(row: &Row<'_>) -> Result<Prefix, StoreError> {
    let key = row.get_ref(0)?.as_blob().unwrap_or_default();
    convert::prefix(key).ok_or_else(|| damaged("a ban", "its key is no network"))
}

fn known_ban(row: &Row<'_>) -> Result<KnownBan, StoreError> {
    let prefix = ban_prefix(row)?;
    let bad = |why: &str| damaged(&format!("the ban on {prefix}"), why);
    let by: i64 = row.get(3)?;
    let by = [Author::Guard, Author::Operator]
        .into_iter()
        .find(|known| author(*known) == by)
        .ok_or_else(|| bad("its author is unknown"))?;
    let alert = row
        .get_ref(4)?
        .as_blob_or_null()
        .map_err(|_| bad("its alert is no id"))?
        .map(|id| id.try_into().map(AlertId::from_bytes))
        .transpose()
        .map_err(|_| bad("its alert is no id"))?;
    let number = |column| {
        row.get::<_, i64>(column)
            .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    };
    Ok(KnownBan {
        prefix,
        from: Timestamp::from_nanos(row.get(1)?),
        until: Timestamp::from_nanos(row.get(2)?),
        by,
        alert,
        sources: number(5)?,
        repeat: number(6)?,
    })
}

/// Runs a query for (index, payload) and makes something of each.
pub(crate) fn payloads<T>(
    db: &Connection,
    text: &str,
    values: &[Value],
    make: &mut dyn FnMut(u64, Entry) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare_cached(text)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let index = unsigned(row.get(0)?);
        let payload = row.get_ref(1)?.as_blob().unwrap_or_default();
        let entry = serde_json::from_slice(payload)
            .map_err(|e| damaged(&format!("entry {index}"), &e.to_string()))?;
        out.push(make(index, entry)?);
    }
    Ok(out)
}

/// Every checkpoint kept, with the size it stands under.
pub(crate) fn checkpoints(db: &Connection) -> Result<Vec<(u64, String)>, StoreError> {
    let mut statement = db.prepare("SELECT size, note FROM checkpoint ORDER BY size")?;
    let rows = statement.query_map([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
