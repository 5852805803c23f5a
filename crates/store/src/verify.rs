//! The whole ledger computed again from its entries, and compared with what is kept.

use std::{collections::BTreeMap, ops::Range};

use ledger::{Checkpoint, CompactTree, Hash, Leaf, Salt, commitment, leaf_hash};
use model::Entry;
use rusqlite::{Connection, Row, types::Value};

use crate::{
    Progress, Store, StoreError, VerifyAgainst, VerifyFailure, VerifyReport,
    convert::unsigned,
    erasure, projection, query,
    schema::{self, PROJECTIONS},
    store::{LogRow, log_row},
    verify_others::Others,
};

impl Store {
    /// Checks every payload against its commitment, every leaf and tree hash, the root, the
    /// signature of every checkpoint kept and that each is of a beginning of this very ledger,
    /// that the projections are what a rebuild would give, and every cosignature and the
    /// checkpoint of every time stamp. (The tokens themselves are another room's to check.)
    pub fn verify(&self, progress: Progress<'_>) -> Result<VerifyReport, VerifyFailure> {
        self.verify_against(&VerifyAgainst::default(), progress)
    }

    /// As [`Store::verify`], and held against what is known from elsewhere: whoever has the
    /// ledger's key can write all of it anew, and nothing in it would tell.
    pub fn verify_against(
        &self,
        against: &VerifyAgainst,
        progress: Progress<'_>,
    ) -> Result<VerifyReport, VerifyFailure> {
        // One snapshot, so that a writer at work does not look like damage.
        let tx = self
            .db
            .unchecked_transaction()
            .map_err(|e| broken(e.into()))?;
        let scratch = schema::scratch().map_err(broken)?;
        check_schema(&tx, &scratch)?;
        let mut check = Check {
            db: &tx,
            scratch: &scratch,
            log: log_row(&tx).map_err(broken)?,
            tree: CompactTree::new(),
            nodes: 0,
            roots: BTreeMap::new(),
            erased: Vec::new(),
            announced: Vec::new(),
        };
        let kept = query::checkpoints(&tx).map_err(broken)?;
        let others = Others::read(&tx, self, against)?;
        let sizes = kept.iter().map(|(size, _)| *size).chain(others.sizes());
        check.roots = sizes.map(|size| (size, None)).collect();
        check.entries(progress)?;
        check.erasures()?;
        check.log_row(self)?;
        check.node_count()?;
        check.checkpoints(self, &kept)?;
        let told = others.check(&check.roots, &check.log.checkpoint)?;
        let projection_rows = compare_projections(&tx, &scratch)?;
        Ok(VerifyReport {
            entries: check.tree.size(),
            erased: check.erased.iter().map(|run| run.end - run.start).sum(),
            checkpoints: kept.len() as u64,
            projection_rows,
            cosignatures: told.cosignatures,
            cosigned: told.cosigned,
            stamps: told.stamps,
            earlier: against.earlier.len() as u64,
            root: check.tree.root(),
        })
    }
}

struct Check<'a> {
    db: &'a Connection,
    /// The projections as they are when made anew.
    scratch: &'a Connection,
    log: LogRow,
    tree: CompactTree,
    /// Inner nodes seen so far.
    nodes: u64,
    /// The root at the size of each checkpoint kept, once the tree has grown to it.
    roots: BTreeMap<u64, Option<Hash>>,
    /// Runs of entries without a payload.
    erased: Vec<Range<u64>>,
    /// What the ledger itself says was erased.
    announced: Vec<Range<u64>>,
}

impl Check<'_> {
    fn entries(&mut self, progress: Progress<'_>) -> Result<(), VerifyFailure> {
        self.note_root();
        let text = "SELECT idx, leaf, leaf_hash, salt, payload, erased_at FROM entry ORDER BY idx";
        // Ten thousand rows of projections a transaction keep the scratch database quick.
        let batch = 10_000;
        let db = self.db;
        let mut statement = db.prepare(text).map_err(|e| broken(e.into()))?;
        let mut rows = statement.query([]).map_err(|e| broken(e.into()))?;
        let begin = |db: &Connection| db.execute_batch("BEGIN").map_err(|e| broken(e.into()));
        let commit = |db: &Connection| db.execute_batch("COMMIT").map_err(|e| broken(e.into()));
        begin(self.scratch)?;
        while let Some(row) = rows.next().map_err(|e| broken(e.into()))? {
            let index = self.tree.size();
            self.entry(index, row).map_err(|why| of_entry(index, why))?;
            if self.tree.size().is_multiple_of(batch) {
                commit(self.scratch)?;
                begin(self.scratch)?;
                progress(self.tree.size(), self.log.size);
            }
        }
        commit(self.scratch)?;
        progress(self.tree.size(), self.log.size);
        Ok(())
    }

    fn entry(&mut self, index: u64, row: &Row<'_>) -> Result<(), String> {
        let text = |e: rusqlite::Error| e.to_string();
        let found = unsigned(row.get(0).map_err(text)?);
        if found != index {
            return Err(format!("it is missing; the next one is {found}"));
        }
        let leaf_bytes: Vec<u8> = row.get(1).map_err(text)?;
        let kept_hash: Vec<u8> = row.get(2).map_err(text)?;
        let leaf = Leaf::parse(&leaf_bytes).map_err(|e| format!("its leaf: {e}"))?;
        if leaf.seq != index {
            return Err(format!("its leaf says it is entry {}", leaf.seq));
        }
        let hash = leaf_hash(&leaf_bytes);
        if hash.as_bytes().as_slice() != kept_hash {
            return Err("its leaf does not hash to the hash kept".into());
        }
        let salt: Option<Vec<u8>> = row.get(3).map_err(text)?;
        let payload: Option<Vec<u8>> = row.get(4).map_err(text)?;
        let erased_at: Option<i64> = row.get(5).map_err(text)?;
        match (salt, payload, erased_at) {
            (Some(salt), Some(payload), None) => self.payload(&leaf, &salt, &payload)?,
            (None, None, Some(_)) => match self.erased.last_mut() {
                Some(run) if run.end == index => run.end += 1,
                _ => self.erased.push(index..index + 1),
            },
            _ => return Err("its payload is neither kept nor marked as erased".into()),
        }
        self.push(hash)?;
        Ok(())
    }

    fn payload(&mut self, leaf: &Leaf, salt: &[u8], payload: &[u8]) -> Result<(), String> {
        let salt = salt
            .try_into()
            .map(Salt)
            .map_err(|_| "its salt is not 32 bytes".to_owned())?;
        if commitment(&salt, payload) != leaf.commitment {
            return Err("its payload is not the one its leaf commits to".into());
        }
        let entry: Entry = serde_json::from_slice(payload)
            .map_err(|e| format!("its payload is no entry that this program knows: {e}"))?;
        if entry.kind() != leaf.kind {
            return Err(format!(
                "its leaf says {}, its payload {}",
                leaf.kind,
                entry.kind()
            ));
        }
        self.announced.extend(erasure::announced(&entry));
        projection::apply(self.scratch, leaf.seq, &entry).map_err(|e| full(&e))
    }

    fn push(&mut self, leaf: Hash) -> Result<(), String> {
        let mut nodes = Vec::new();
        self.tree.push(leaf, &mut |node, hash| {
            if node.height > 0 && node.height % 8 == 0 {
                nodes.push((node.height / 8, node.index, *hash));
            }
        });
        for (level, at, hash) in nodes {
            let kept = query::hashes(self.db, level, at..at + 1).map_err(|e| full(&e))?;
            if kept != [hash] {
                return Err(format!("tree node {at} at level {level} above it is wrong"));
            }
            self.nodes += 1;
        }
        self.note_root();
        Ok(())
    }

    fn note_root(&mut self) {
        let (size, tree) = (self.tree.size(), &self.tree);
        if let Some(root) = self.roots.get_mut(&size) {
            *root = Some(tree.root());
        }
    }

    /// A payload may be gone only when a later entry says that it was erased.
    fn erasures(&mut self) -> Result<(), VerifyFailure> {
        self.announced.sort_unstable_by_key(|range| range.start);
        for run in &self.erased {
            let reached = self
                .announced
                .iter()
                .take_while(|range| range.start < run.end)
                .fold(run.start, |at, range| {
                    if range.start <= at {
                        at.max(range.end)
                    } else {
                        at
                    }
                });
            if reached < run.end {
                let why = "its payload is gone, and no entry says that it was erased";
                return Err(of_entry(reached, why.to_owned()));
            }
        }
        Ok(())
    }

    fn log_row(&self, store: &Store) -> Result<(), VerifyFailure> {
        let size = self.tree.size();
        if self.log.size != size {
            return Err(fail(
                "log row",
                format!("it says {} entries, there are {size}", self.log.size),
            ));
        }
        let edge: Vec<u8> = self.tree.edge().iter().flat_map(|hash| hash.0).collect();
        if self.log.edge != edge {
            return Err(fail("log row", "the tree's edge is wrong"));
        }
        self.checkpoint(
            store,
            "checkpoint",
            &self.log.checkpoint,
            size,
            self.tree.root(),
        )
    }

    fn checkpoint(
        &self,
        store: &Store,
        what: &str,
        note: &str,
        size: u64,
        root: Hash,
    ) -> Result<(), VerifyFailure> {
        let opened = Checkpoint::open_any(note.as_bytes(), store.keys.known())
            .map_err(|e| fail(what, e.to_string()))?;
        if opened.size != size {
            return Err(fail(
                what,
                format!("it was signed over {} entries", opened.size),
            ));
        }
        if opened.root != root {
            let why = format!("its root is {}, the entries give {root}", opened.root);
            return Err(fail(what, why));
        }
        Ok(())
    }

    /// Every node was compared when its subtree was whole; more than those are foreign.
    fn node_count(&self) -> Result<(), VerifyFailure> {
        let count = "SELECT count(*) FROM node";
        let kept: i64 = self
            .db
            .query_row(count, [], |row| row.get(0))
            .map_err(|e| broken(e.into()))?;
        if unsigned(kept) == self.nodes {
            Ok(())
        } else {
            Err(fail(
                "tree nodes",
                format!("there are {kept}, the entries give {}", self.nodes),
            ))
        }
    }

    /// A tree that had a checkpoint's root when it had its size is consistent with it.
    fn checkpoints(&self, store: &Store, kept: &[(u64, String)]) -> Result<(), VerifyFailure> {
        for (size, note) in kept {
            let what = format!("checkpoint of size {size}");
            match self.roots.get(size) {
                Some(Some(root)) => self.checkpoint(store, &what, note, *size, *root)?,
                _ => return Err(fail(&what, "the ledger has shrunk below it")),
            }
        }
        match kept.last() {
            Some((size, note)) if (*size, note) == (self.tree.size(), &self.log.checkpoint) => {
                Ok(())
            }
            _ => Err(fail(
                "checkpoint history",
                "the present checkpoint is not its last one",
            )),
        }
    }
}

/// A trigger or a view could make any table say something else tomorrow.
fn check_schema(db: &Connection, scratch: &Connection) -> Result<(), VerifyFailure> {
    let found = schema::describe(db).map_err(broken)?;
    let wanted = schema::describe(scratch).map_err(broken)?;
    if let Some((name, _)) = found.iter().find(|item| !wanted.contains(item)) {
        return Err(fail(
            "database schema",
            format!("{name} is not as this program made it"),
        ));
    }
    if let Some((name, _)) = wanted.iter().find(|item| !found.contains(item)) {
        return Err(fail("database schema", format!("{name} is missing")));
    }
    let integrity: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|e| broken(e.into()))?;
    if integrity == "ok" {
        Ok(())
    } else {
        Err(fail("database file", integrity))
    }
}

fn compare_projections(db: &Connection, scratch: &Connection) -> Result<u64, VerifyFailure> {
    let mut total = 0;
    for (table, order) in PROJECTIONS {
        let text = format!("SELECT * FROM {table} ORDER BY {order}");
        let mut kept = db.prepare(&text).map_err(|e| broken(e.into()))?;
        let mut made = scratch.prepare(&text).map_err(|e| broken(e.into()))?;
        let mut kept = kept.query([]).map_err(|e| broken(e.into()))?;
        let mut made = made.query([]).map_err(|e| broken(e.into()))?;
        for row in 0u64.. {
            let (a, b) = (values(kept.next())?, values(made.next())?);
            if a != b {
                let what = format!("row {row} of projection {table}");
                let why = format!("it is {}, the entries give {}", show(&a), show(&b));
                return Err(fail(&what, why + "; run: posse ledger rebuild"));
            }
            if a.is_none() {
                break;
            }
            total += 1;
        }
    }
    Ok(total)
}

fn values(
    row: Result<Option<&Row<'_>>, rusqlite::Error>,
) -> Result<Option<Vec<Value>>, VerifyFailure> {
    let Some(row) = row.map_err(|e| broken(e.into()))? else {
        return Ok(None);
    };
    let count = row.as_ref().column_count();
    let all: Result<Vec<Value>, _> = (0..count).map(|i| row.get(i)).collect();
    all.map(Some).map_err(|e| broken(e.into()))
}

fn show(row: &Option<Vec<Value>>) -> String {
    let one = |value: &Value| match value {
        Value::Null => "nothing".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(n) => n.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    };
    match row {
        Some(values) => format!(
            "({})",
            values.iter().map(one).collect::<Vec<_>>().join(", ")
        ),
        None => "missing".to_owned(),
    }
}

fn of_entry(index: u64, why: String) -> VerifyFailure {
    VerifyFailure {
        what: format!("entry {index}"),
        index: Some(index),
        why,
    }
}

pub(crate) fn fail(what: &str, why: impl Into<String>) -> VerifyFailure {
    VerifyFailure {
        what: what.to_owned(),
        index: None,
        why: why.into(),
    }
}

pub(crate) fn broken(e: StoreError) -> VerifyFailure {
    fail("database", full(&e))
}

/// An error with what caused it, for a place that takes text only.
pub(crate) fn full(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(e) = source {
        text.push_str(": ");
        text.push_str(&e.to_string());
        source = e.source();
    }
    text
}
