//! The state directory opened: appending and the log's own facts. Queries are in `query`.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use ledger::{Checkpoint, CompactTree, Hash, Leaf, Salt, commitment, leaf_hash};
use model::{
    Entry, Timestamp, format_duration,
    limits::{LEAF_BYTES_MAX, PAYLOAD_BYTES_MAX},
};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior,
    config::DbConfig, params,
};

use crate::{
    Appended, Durability, Progress, StoreError, StoreOptions,
    convert::{sql, unsigned},
    dir::StateDir,
    erasure,
    keys::Keys,
    projection, query,
    schema::{self, Migrated},
};

/// Checkpoints kept: the newest half as they come, older ones thinned out.
pub(crate) const CHECKPOINTS_MAX: i64 = 2_048;
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// The write-ahead log is cut back to this when it has been taken over.
const WAL_BYTES_KEPT: i64 = 16 << 20;

/// One state directory. The one value that writes to it; readers of the same directory, in this
/// process or another, use [`Store::open_read_only`].
pub struct Store {
    pub(crate) db: Connection,
    pub(crate) keys: Keys,
    pub(crate) dir: PathBuf,
    /// Absent when the store is for reading only.
    writer: Option<Writer>,
}

struct Writer {
    /// The tree as the database has it; `None` when a failure made that unsure.
    tree: Option<CompactTree>,
    _lock: File,
}

/// The `log` row.
pub(crate) struct LogRow {
    pub(crate) size: u64,
    pub(crate) edge: Vec<u8>,
    pub(crate) checkpoint: String,
}

impl Store {
    /// Opens the ledger in `dir`, or begins one there.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let state = StateDir::create(dir)?;
        let lock = state.lock()?;
        let keys = match Keys::read(&state)? {
            Some(keys) => keys,
            None if state.database().exists() => {
                let (key, database) = (state.key_file(), state.database());
                return Err(StoreError::KeyMissing { key, database });
            }
            None => Keys::of(state.create_key(options.origin.as_deref())?),
        };
        if let Some(asked) = options.origin
            && asked != keys.origin()
        {
            return Err(StoreError::OriginDiffers {
                is: keys.origin().to_owned(),
                asked,
            });
        }
        let mut db = Connection::open(state.database())?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        // The pragma answers with the mode it set.
        db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        db.query_row(
            &format!("PRAGMA journal_size_limit = {WAL_BYTES_KEPT}"),
            [],
            |_| Ok(()),
        )?;
        let synchronous = match options.durability {
            Durability::PowerLoss => "FULL",
            Durability::ProcessCrash => "NORMAL",
        };
        db.pragma_update(None, "synchronous", synchronous)?;
        // The write-ahead log and its index stay when the store is closed: without room to make
        // them again, a guard could not even read its bans after a restart on a full disk.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // A guard behind its walls can write nowhere but in its state folder.
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // What is erased is overwritten, not only forgotten.
        db.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if schema::migrate(&tx)? == Migrated::Reshaped {
            make_projections(&tx, &mut |_, _| {})?;
        }
        begin_log(&tx, &keys)?;
        tx.commit()?;
        let tree = load_tree(&db, &keys)?;
        let writer = Some(Writer {
            tree: Some(tree),
            _lock: lock,
        });
        Ok(Self {
            db,
            keys,
            dir: state.path().to_owned(),
            writer,
        })
    }

    /// Opens an existing ledger beside its writer, damaged or not.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let state = StateDir::existing(dir)?;
        if !state.database().exists() {
            return Err(StoreError::Missing {
                dir: dir.to_owned(),
            });
        }
        let (key, database) = (state.key_file(), state.database());
        let keys = Keys::read(&state)?.ok_or(StoreError::KeyMissing { key, database })?;
        let db = open_for_reading(&state.database())?;
        Ok(Self {
            db,
            keys,
            dir: dir.to_owned(),
            writer: None,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.writer.is_none()
    }

    /// Puts entries on the ledger, all or none, in one transaction with the checkpoint and the
    /// projections. What has the key of an entry that is there already is not put there again.
    pub fn append(
        &mut self,
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let payloads = encode(entries)?;
        let salts = salts(entries.len())?;
        let writer = self.writer.as_mut().ok_or(StoreError::ReadOnly)?;
        // After a failed commit only the database knows what it has.
        let before = match writer.tree.take() {
            Some(tree) => tree,
            None => load_tree(&self.db, &self.keys)?,
        };
        let mut tree = before.clone();
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut appended = Vec::with_capacity(entries.len());
        for ((entry, payload), salt) in entries.iter().zip(&payloads).zip(&salts) {
            appended.push(append_one(&tx, &mut tree, (entry, payload, salt), now)?);
        }
        if tree.size() != before.size() {
            save_tree(&tx, &tree, &self.keys)?;
        }
        tx.commit()?;
        writer.tree = Some(tree);
        Ok(appended)
    }

    /// How many entries the ledger has.
    pub fn size(&self) -> Result<u64, StoreError> {
        Ok(log_row(&self.db)?.size)
    }

    /// When the newest entry was recorded.
    pub fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        let leaf: Option<Vec<u8>> = self
            .db
            .prepare_cached("SELECT leaf FROM entry ORDER BY idx DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let time = |leaf: Vec<u8>| {
            Leaf::parse(&leaf)
                .map(|leaf| leaf.time)
                .map_err(|e| damaged("the newest entry", &e.to_string()))
        };
        leaf.map(time).transpose()
    }

    /// The newest checkpoint, signed by the log alone: what witnesses are asked to cosign. What
    /// readers are shown is [`Store::cosigned_checkpoint`].
    pub fn checkpoint(&self) -> Result<String, StoreError> {
        Ok(log_row(&self.db)?.checkpoint)
    }

    /// The public key that checks the log's checkpoints, in C2SP's vkey form.
    pub fn vkey(&self) -> String {
        self.keys.current().to_string()
    }

    /// `text`, which must end in a line end, as a note signed with the log's key. What is signed
    /// must not read as a checkpoint: its second line is no number.
    pub fn sign_note(&self, text: &str) -> String {
        self.keys.sign_note(text)
    }

    /// Makes every projection anew from the entries.
    pub fn rebuild(&mut self, progress: Progress<'_>) -> Result<(), StoreError> {
        if self.writer.is_none() {
            return Err(StoreError::ReadOnly);
        }
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        make_projections(&tx, progress)?;
        tx.commit()?;
        Ok(())
    }

    /// Erases the payloads and salts of entries for good. Their leaves stay, so every proof still
    /// holds, and a notice on the ledger says what was erased and why. What the entries said
    /// leaves the projections too, so a happening that is erased could be recorded again.
    pub fn erase(
        &mut self,
        entries: Range<u64>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let size = self.size()?;
        if entries.is_empty() || entries.end > size {
            let index = entries.end.saturating_sub(1);
            return Err(StoreError::NoSuchEntry { index, size });
        }
        self.erase_runs(std::slice::from_ref(&entries), &entries, reason, now)
    }

    /// Erases what is older than `keep`, but no decision that is still in force and no word of an
    /// erasure. `None` when there is nothing so old. A leaf stays of each entry.
    pub fn erase_older(
        &mut self,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Option<Appended>, StoreError> {
        let end = erasure::first_since(&self.db, self.size()?, now.minus(keep))?;
        let runs = erasure::erasable(&self.db, end, now)?;
        let Some((first, last)) = runs.first().zip(runs.last()) else {
            return Ok(None);
        };
        let whole = first.start..last.end;
        let reason = format!("kept for {}", format_duration(keep));
        self.erase_runs(&runs, &whole, &reason, now).map(Some)
    }

    /// `whole` is announced: from the first run to the last.
    fn erase_runs(
        &mut self,
        runs: &[Range<u64>],
        whole: &Range<u64>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let notice = erasure::notice(whole, reason, now);
        let payloads = encode(std::slice::from_ref(&notice))?;
        let salts = salts(1)?;
        let (payload, salt) = payloads
            .first()
            .zip(salts.first())
            .ok_or(StoreError::Random)?;
        let writer = self.writer.as_mut().ok_or(StoreError::ReadOnly)?;
        let mut tree = match writer.tree.take() {
            Some(tree) => tree,
            None => load_tree(&self.db, &self.keys)?,
        };
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for run in runs {
            erasure::erase(&tx, run, now)?;
        }
        let appended = append_one(&tx, &mut tree, (&notice, payload, salt), now)?;
        make_projections(&tx, &mut |_, _| {})?;
        save_tree(&tx, &tree, &self.keys)?;
        tx.commit()?;
        writer.tree = Some(tree);
        // The write-ahead log still holds the old pages.
        self.db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(appended)
    }
}

/// Takes the write-ahead log over, so that an orderly end leaves all in the one file.
impl Drop for Store {
    fn drop(&mut self) {
        if self.writer.is_some() {
            // What was not taken over is still in the write-ahead log, and durable there.
            let _ = self
                .db
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    let no_log = std::fs::metadata(log).map_or(true, |log| log.len() == 0);
    match schema::check_current(&db) {
        // No room for the log's index; but when the log is empty, the file alone says it all.
        Err(StoreError::DiskFull { .. } | StoreError::Database { .. }) if no_log => {}
        other => return other.map(|_| db),
    }
    let name = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let flags = flags | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?;
    schema::check_current(&db)?;
    Ok(db)
}

/// Every projection anew from the entries there are, in order.
fn make_projections(tx: &Transaction<'_>, progress: Progress<'_>) -> Result<(), StoreError> {
    projection::clear(tx)?;
    let last: Option<i64> = tx.query_row("SELECT max(idx) FROM entry", [], |row| row.get(0))?;
    let size = last.map_or(0, |last| unsigned(last).saturating_add(1));
    query::each_entry(tx, 0..size, &mut |stored| {
        if let Some(entry) = stored.entry() {
            projection::apply(tx, stored.index, entry)?;
        }
        progress(stored.index + 1, size);
        Ok(())
    })
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn encode(entries: &[Entry]) -> Result<Vec<Vec<u8>>, StoreError> {
    let one = |(position, entry): (usize, &Entry)| {
        let payload =
            serde_json::to_vec(entry).map_err(|source| StoreError::Json { position, source })?;
        let (bytes, limit) = (payload.len(), PAYLOAD_BYTES_MAX);
        if bytes > limit {
            return Err(StoreError::TooLarge {
                position,
                bytes,
                limit,
            });
        }
        Ok(payload)
    };
    entries.iter().enumerate().map(one).collect()
}

fn salts(count: usize) -> Result<Vec<Salt>, StoreError> {
    let mut bytes = vec![[0; 32]; count];
    getrandom::fill(bytes.as_flattened_mut()).map_err(|_| StoreError::Random)?;
    Ok(bytes.into_iter().map(Salt).collect())
}

fn append_one(
    tx: &Transaction<'_>,
    tree: &mut CompactTree,
    (entry, payload, salt): (&Entry, &[u8], &Salt),
    now: Timestamp,
) -> Result<Appended, StoreError> {
    if let Some(key) = entry.key() {
        let known: Option<i64> = tx
            .prepare_cached("SELECT idx FROM entry_key WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if let Some(index) = known {
            return Ok(Appended {
                index: unsigned(index),
                duplicate: true,
            });
        }
    }
    let index = tree.size();
    let kind = entry.kind().to_owned();
    let leaf = Leaf {
        seq: index,
        time: now,
        kind,
        commitment: commitment(salt, payload),
    }
    .encode();
    debug_assert!(leaf.len() <= LEAF_BYTES_MAX, "a leaf is a few fixed fields");
    let hash = leaf_hash(&leaf);
    tx.prepare_cached(
        "INSERT INTO entry (idx, leaf, leaf_hash, salt, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![sql(index), leaf, hash.0, salt.0, payload])?;
    let mut nodes = Vec::new();
    tree.push(hash, &mut |node, hash| {
        if node.height > 0 && node.height % 8 == 0 {
            nodes.push((node.height / 8, node.index, *hash));
        }
    });
    for (level, at, hash) in nodes {
        tx.prepare_cached("INSERT INTO node (level, idx, hash) VALUES (?1, ?2, ?3)")?
            .execute(params![level, sql(at), hash.0])?;
    }
    projection::apply(tx, index, entry)?;
    Ok(Appended {
        index,
        duplicate: false,
    })
}

/// A log without entries has a checkpoint too.
fn begin_log(tx: &Transaction<'_>, keys: &Keys) -> Result<(), StoreError> {
    let begun: i64 = tx.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    let entries: i64 = tx.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM entry LIMIT 1)",
        [],
        |row| row.get(0),
    )?;
    match (begun, entries) {
        (0, 0) => save_tree(tx, &CompactTree::new(), keys),
        (0, _) => Err(damaged(
            "the log row",
            "it is missing although there are entries",
        )),
        _ => Ok(()),
    }
}

fn save_tree(tx: &Transaction<'_>, tree: &CompactTree, keys: &Keys) -> Result<(), StoreError> {
    let note = keys.sign(tree.size(), &tree.root());
    let edge: Vec<u8> = tree.edge().iter().flat_map(|hash| hash.0).collect();
    tx.prepare_cached(
        "INSERT INTO log (one, size, edge, checkpoint) VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (one) DO UPDATE
         SET size = excluded.size, edge = excluded.edge, checkpoint = excluded.checkpoint",
    )?
    .execute(params![sql(tree.size()), edge, note])?;
    tx.prepare_cached("INSERT INTO checkpoint (size, note) VALUES (?1, ?2)")?
        .execute(params![sql(tree.size()), note])?;
    thin_checkpoints(tx)
}

/// Past the limit, every second one of the older half goes; the very first stays.
fn thin_checkpoints(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let kept: i64 = tx
        .prepare_cached("SELECT count(*) FROM checkpoint")?
        .query_row([], |row| row.get(0))?;
    if kept > CHECKPOINTS_MAX {
        tx.prepare_cached(
            "DELETE FROM checkpoint WHERE size IN (
               SELECT size FROM (
                 SELECT size, row_number() OVER (ORDER BY size) AS place FROM checkpoint
               ) WHERE place <= ?1 AND place % 2 = 0)",
        )?
        .execute([CHECKPOINTS_MAX / 2])?;
    }
    Ok(())
}

/// The tree where the last append left it; never signed further when it is not what the last
/// checkpoint promised.
fn load_tree(db: &Connection, keys: &Keys) -> Result<CompactTree, StoreError> {
    let row = log_row(db)?;
    let edge = row
        .edge
        .chunks(Hash::BYTES)
        .map(Hash::from_slice)
        .collect::<Option<Vec<_>>>();
    let tree = edge
        .and_then(|edge| CompactTree::from_parts(row.size, edge).ok())
        .ok_or_else(|| damaged("the tree's edge", "it is not that of the tree's size"))?;
    let checkpoint = Checkpoint::open_any(row.checkpoint.as_bytes(), keys.known())
        .map_err(|e| damaged("the checkpoint", &e.to_string()))?;
    if (checkpoint.size, checkpoint.root) != (tree.size(), tree.root()) {
        return Err(damaged(
            "the tree's edge",
            "it is not what the checkpoint was signed over",
        ));
    }
    let last: Option<i64> = db.query_row("SELECT max(idx) FROM entry", [], |row| row.get(0))?;
    if last.map_or(0, |last| unsigned(last).saturating_add(1)) != tree.size() {
        return Err(damaged(
            "the entries",
            "their number is not the checkpoint's",
        ));
    }
    Ok(tree)
}

pub(crate) fn log_row(db: &Connection) -> Result<LogRow, StoreError> {
    db.prepare_cached("SELECT size, edge, checkpoint FROM log")?
        .query_row([], |row| {
            Ok(LogRow {
                size: unsigned(row.get(0)?),
                edge: row.get(1)?,
                checkpoint: row.get(2)?,
            })
        })
        .optional()?
        .ok_or_else(|| damaged("the log row", "it is missing"))
}

pub(crate) fn damaged(what: &str, why: &str) -> StoreError {
    StoreError::Damaged {
        what: what.to_owned(),
        why: why.to_owned(),
    }
}
