//! What a court pack needs of the ledger: some entries, proven under one checkpoint.
//!
//! Which checkpoint must not hang on what came later, so that the same pack can be made again: it
//! is the oldest that covers the entries, the best confirmed first.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Checkpoint, ProofFile, inclusion_proof};

use crate::{
    Stamp, Store, StoreError, StoredEntry, attest,
    convert::unsigned,
    query,
    store::{damaged, log_row},
};

/// Entries with their proofs, all under the same checkpoint.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// With all the signatures that are known of it.
    pub checkpoint: String,
    pub opened: Checkpoint,
    pub entries: Vec<(StoredEntry, ProofFile)>,
    /// Those over this checkpoint.
    pub stamps: Vec<Stamp>,
}

/// A checkpoint that would do.
#[derive(Default)]
struct Candidate {
    plain: Option<String>,
    cosigned: Option<String>,
    stamps: Vec<Stamp>,
}

impl Candidate {
    fn confirmations(&self) -> u8 {
        2 * u8::from(self.cosigned.is_some()) + u8::from(!self.stamps.is_empty())
    }
}

impl Store {
    /// The entries with these indices, proven under the oldest of the best confirmed checkpoints
    /// that cover them: cosigned before stamped before neither.
    pub fn excerpt(&self, indices: &BTreeSet<u64>) -> Result<Excerpt, StoreError> {
        // One snapshot, so that tree and checkpoint belong together.
        let tx = self.db.unchecked_transaction()?;
        let least = indices.last().map_or(0, |last| last.saturating_add(1));
        let newest = log_row(&tx)?;
        if least > newest.size {
            return Err(StoreError::NoSuchEntry {
                index: least.saturating_sub(1),
                size: newest.size,
            });
        }
        let mut candidates = self.candidates(&tx, least)?;
        candidates.entry(newest.size).or_default().plain = Some(newest.checkpoint);
        let (size, best) = candidates
            .into_iter()
            // Of equals the first is kept: the oldest.
            .rev()
            .max_by_key(|(_, candidate)| candidate.confirmations())
            .unwrap_or_default();
        let stamped = best.stamps.first().map(|stamp| stamp.checkpoint.clone());
        let checkpoint = best.cosigned.or(best.plain).or(stamped).unwrap_or_default();
        let opened = Checkpoint::open_any(checkpoint.as_bytes(), self.keys.known())
            .map_err(|e| damaged(&format!("the checkpoint of size {size}"), &e.to_string()))?;
        let mut entries = Vec::with_capacity(indices.len());
        for index in indices {
            let mut failure = None;
            let proof = inclusion_proof(*index, opened.size, &mut |node| {
                query::node_hash_at(&tx, node).unwrap_or_else(|e| {
                    failure = Some(e);
                    None
                })
            });
            if let Some(e) = failure {
                return Err(e);
            }
            let proof = ProofFile {
                index: *index,
                proof: proof.map_err(|e| damaged("the tree", &e.to_string()))?,
                checkpoint: checkpoint.clone(),
                extra: None,
            };
            entries.push((self.entry(*index)?, proof));
        }
        Ok(Excerpt {
            checkpoint,
            opened,
            entries,
            stamps: best.stamps,
        })
    }

    fn candidates(
        &self,
        db: &rusqlite::Connection,
        least: u64,
    ) -> Result<BTreeMap<u64, Candidate>, StoreError> {
        let mut all: BTreeMap<u64, Candidate> = BTreeMap::new();
        for (size, note) in query::checkpoints(db)? {
            if size >= least {
                all.entry(size).or_default().plain = Some(note);
            }
        }
        let mut cosigned = db.prepare_cached("SELECT size, note FROM cosigned")?;
        let rows = cosigned.query_map([], |row| Ok((unsigned(row.get(0)?), row.get(1)?)))?;
        for row in rows {
            let (size, note) = row?;
            if size >= least {
                all.entry(size).or_default().cosigned = Some(note);
            }
        }
        for stamp in attest::stamps(db)? {
            let opened = Checkpoint::open_any(stamp.checkpoint.as_bytes(), self.keys.known())
                .map_err(|e| damaged("a stamped checkpoint", &e.to_string()))?;
            if opened.size >= least {
                all.entry(opened.size).or_default().stamps.push(stamp);
            }
        }
        Ok(all)
    }
}
