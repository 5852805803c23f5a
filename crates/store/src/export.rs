//! The log as files that anyone can serve and check: C2SP tlog-tiles. No payload leaves by it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use ledger::{
    Checkpoint, Tile, TileKind, VerifyingKey, encode_bundle_entry, subtree_hash, tiles_of,
};
use rusqlite::{Connection, params};

use crate::{
    ExportReport, Progress, Store, StoreError,
    convert::sql,
    dir::sync_dir,
    error::io_at,
    query,
    store::{damaged, log_row},
};

const VKEY_FILE: &str = "vkey";

impl Store {
    /// Writes the log to `dir`: new, empty, or with an earlier export of this log. The checkpoint
    /// comes last, so that a reader of a half-written export sees the earlier one whole.
    pub fn export(&self, dir: &Path, progress: Progress<'_>) -> Result<ExportReport, StoreError> {
        let tx = self.db.unchecked_transaction()?;
        let log = log_row(&tx)?;
        let size = Checkpoint::open(log.checkpoint.as_bytes(), self.key.public())
            .map_err(|e| damaged("the checkpoint", &e.to_string()))?
            .size;
        let vkey = format!("{}\n", self.vkey());
        fs::create_dir_all(dir).map_err(io_at(dir, "make the export directory"))?;
        refuse_foreign(dir, &vkey)?;
        refuse_rollback(dir, &tx, size, self.key.public())?;
        let mut report = ExportReport {
            size,
            ..ExportReport::default()
        };
        let mut write = |name: &str, bytes: &[u8]| {
            report.files += 1;
            report.bytes += bytes.len() as u64;
            let path = dir.join(name);
            replace(&path, bytes).map_err(io_at(&path, "write"))
        };
        write(VKEY_FILE, vkey.as_bytes())?;
        let total = tiles_of(size).count() as u64;
        for (done, tile) in (1..).zip(tiles_of(size)) {
            write(&tile.to_string(), &tile_bytes(&tx, &tile)?)?;
            progress(done, total);
        }
        write("checkpoint", log.checkpoint.as_bytes())?;
        sync_dir(dir).map_err(io_at(dir, "sync"))?;
        Ok(report)
    }
}

fn refuse_foreign(dir: &Path, vkey: &str) -> Result<(), StoreError> {
    let mut names = fs::read_dir(dir).map_err(io_at(dir, "read the export directory"))?;
    if names.next().is_none() {
        return Ok(());
    }
    match fs::read(dir.join(VKEY_FILE)) {
        Ok(found) if found == vkey.as_bytes() => Ok(()),
        _ => Err(StoreError::ForeignExport {
            dir: dir.to_owned(),
        }),
    }
}

/// What was once shown to others must stay the beginning of the log: a state directory put back
/// from an old copy would tell a second history under the same key.
fn refuse_rollback(
    dir: &Path,
    db: &Connection,
    size: u64,
    key: &VerifyingKey,
) -> Result<(), StoreError> {
    let path = dir.join("checkpoint");
    let note = match fs::read(&path) {
        Ok(note) => note,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_at(path, "read")(e)),
    };
    // A checkpoint that does not verify promised nothing; it is written over.
    let Ok(shown) = Checkpoint::open(&note, key) else {
        return Ok(());
    };
    let root = || {
        subtree_hash(0, shown.size, &mut |n| {
            query::node_hash_at(db, n).ok().flatten()
        })
    };
    if shown.size <= size && root().is_ok_and(|root| root == shown.root) {
        return Ok(());
    }
    let why = format!(
        "it is of {} entries that are not the beginning of this ledger",
        shown.size
    );
    Err(damaged(
        &format!("the checkpoint in {}", path.display()),
        &why,
    ))
}

/// Readers see the old file or the new one, never a part. Not synced: after a power cut an export
/// is simply made again, and a sync for each tile would take minutes.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut fresh = path.to_owned().into_os_string();
    fresh.push(".tmp");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    fs::rename(&fresh, path)
}

fn tile_bytes(db: &Connection, tile: &Tile) -> Result<Vec<u8>, StoreError> {
    let range = tile.first()..tile.first() + u64::from(tile.width);
    let short = || damaged(&tile.to_string(), "some of what it holds is missing");
    match tile.kind {
        TileKind::Hashes { level } => {
            let hashes = query::hashes(db, level, range)?;
            if hashes.len() != usize::from(tile.width) {
                return Err(short());
            }
            Ok(hashes.iter().flat_map(|hash| hash.0).collect())
        }
        TileKind::Entries => {
            let text = "SELECT leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
            let mut statement = db.prepare_cached(text)?;
            let mut rows = statement.query(params![sql(range.start), sql(range.end)])?;
            let (mut bytes, mut count) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let leaf: Vec<u8> = row.get(0)?;
                encode_bundle_entry(&leaf, &mut bytes)
                    .map_err(|e| damaged(&tile.to_string(), &e.to_string()))?;
                count += 1;
            }
            if count == tile.width {
                Ok(bytes)
            } else {
                Err(short())
            }
        }
    }
}
