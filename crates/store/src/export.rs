//! The log as files that anyone can serve and check: C2SP tlog-tiles. No payload leaves by it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use ledger::{
    Checkpoint, Hash, Tile, TileKind, VerifyingKey, consistency_proof, encode_bundle_entry,
    subtree_hash, tiles_of,
};
use rusqlite::{Connection, params};

use crate::{
    ExportReport, Progress, Store, StoreError,
    attest::{policy, published, stamps, witnesses},
    convert::sql,
    dir::sync_dir,
    error::io_at,
    query,
    store::{damaged, log_row},
};

const VKEY_FILE: &str = "vkey";
/// The newest checkpoint, where it is not the one that is shown.
const NEWEST_FILE: &str = "checkpoint.newest";

impl Store {
    /// Writes the log to `dir`: new, empty, or with an earlier export of this log. The checkpoint
    /// is the one that readers are shown; it comes last, so that a reader of a half-written
    /// export sees the earlier one whole. What is not cosigned yet stands under
    /// `checkpoint.newest`.
    pub fn export(&self, dir: &Path, progress: Progress<'_>) -> Result<ExportReport, StoreError> {
        let tx = self.db.unchecked_transaction()?;
        let newest = log_row(&tx)?.checkpoint;
        let size = Checkpoint::open_any(newest.as_bytes(), self.keys.known())
            .map_err(|e| damaged("the checkpoint", &e.to_string()))?
            .size;
        let (shown_size, shown) = published(&tx, &self.keys)?;
        fs::create_dir_all(dir).map_err(io_at(dir, "make the export directory"))?;
        refuse_foreign(dir, self.keys.known())?;
        refuse_rollback(dir, &tx, size, self.keys.known())?;
        let mut report = ExportReport {
            size: shown_size,
            ..ExportReport::default()
        };
        let mut write = |name: &str, bytes: &[u8]| {
            report.files += 1;
            report.bytes += bytes.len() as u64;
            let path = dir.join(name);
            replace(&path, bytes).map_err(io_at(&path, "write"))
        };
        write(VKEY_FILE, format!("{}\n", self.vkey()).as_bytes())?;
        for (name, text) in self.papers(&tx)? {
            write(&name, &text)?;
        }
        let mut tiles: BTreeSet<Tile> = tiles_of(size).collect();
        tiles.extend(tiles_of(shown_size));
        let total = tiles.len() as u64;
        for (done, tile) in (1..).zip(&tiles) {
            write(&tile.to_string(), &tile_bytes(&tx, tile)?)?;
            progress(done, total);
        }
        let unshown = dir.join(NEWEST_FILE);
        if shown_size == size {
            // An earlier export may have left one.
            fs::remove_file(unshown).ok();
        } else {
            write(NEWEST_FILE, newest.as_bytes())?;
        }
        write("checkpoint", shown.as_bytes())?;
        sync_dir(dir).map_err(io_at(dir, "sync"))?;
        Ok(report)
    }

    /// Keys, witnesses, policy and time stamps: what a verifier needs beside the log itself.
    fn papers(&self, db: &Connection) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let lines = |lines: Vec<String>| {
            let text: String = lines.into_iter().map(|line| line + "\n").collect();
            text.into_bytes()
        };
        let mut papers = vec![("vkeys".to_owned(), lines(self.vkeys()))];
        let witnesses = witnesses(db)?;
        if !witnesses.is_empty() {
            let all = witnesses.into_iter().map(|w| w.setup.vkey).collect();
            papers.push(("witnesses".to_owned(), lines(all)));
        }
        if let Some(text) = policy(db)? {
            papers.push(("policy".to_owned(), text.into_bytes()));
        }
        for (number, stamp) in (1..).zip(stamps(db)?) {
            let name = format!("stamps/{number:05}");
            papers.push((format!("{name}.checkpoint"), stamp.checkpoint.into_bytes()));
            papers.push((format!("{name}.tsr"), stamp.tsr));
            if let Some(ca) = stamp.ca_pem {
                papers.push((format!("{name}.ca.pem"), ca.into_bytes()));
            }
        }
        Ok(papers)
    }

    /// The bytes of a tile or bundle; `None` when the log has not so many entries.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, StoreError> {
        let tx = self.db.unchecked_transaction()?;
        let size = log_row(&tx)?.size;
        let there = match tile.kind {
            TileKind::Entries => size,
            TileKind::Hashes { level } => size
                .checked_shr(u32::from(level).saturating_mul(8))
                .unwrap_or(0),
        };
        if tile.first().saturating_add(u64::from(tile.width)) > there {
            return Ok(None);
        }
        tile_bytes(&tx, tile).map(Some)
    }

    /// What proves that the log of `old` entries is the beginning of that of `new` ones.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        consistency(&self.db, old, new)
    }
}

pub(crate) fn consistency(db: &Connection, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
    let tx = db.unchecked_transaction()?;
    let mut failure = None;
    let proof = consistency_proof(old, new, &mut |node| {
        query::node_hash_at(&tx, node).unwrap_or_else(|e| {
            failure = Some(e);
            None
        })
    });
    match failure {
        Some(e) => Err(e),
        None => proof.map_err(|e| damaged("the tree", &e.to_string())),
    }
}

fn refuse_foreign(dir: &Path, keys: &[VerifyingKey]) -> Result<(), StoreError> {
    let mut names = fs::read_dir(dir).map_err(io_at(dir, "read the export directory"))?;
    if names.next().is_none() {
        return Ok(());
    }
    let own = |found: &str| keys.iter().any(|key| format!("{key}\n") == found);
    match fs::read_to_string(dir.join(VKEY_FILE)) {
        Ok(found) if own(&found) => Ok(()),
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
    keys: &[VerifyingKey],
) -> Result<(), StoreError> {
    let path = dir.join("checkpoint");
    let note = match fs::read(&path) {
        Ok(note) => note,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(io_at(path, "read")(e)),
    };
    // A checkpoint that does not verify promised nothing; it is written over.
    let Ok(shown) = Checkpoint::open_any(&note, keys) else {
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
