//! What others say of the ledger, kept beside it: cosignatures of witnesses, time stamps.
//!
//! None of it is in the tree: a witness can only speak of a tree that is there already. Written
//! through a connection of its own, because whoever asks witnesses is not the recorder, and a
//! stamp can be taken beside a running guard; SQLite puts the writes in order.

use std::path::Path;

use ledger::{Checkpoint, CosignerKey, Hash, Policy, add_signatures};
use model::Timestamp;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, TransactionBehavior, config::DbConfig,
    params,
};

use crate::{
    Store, StoreError,
    convert::{sql, unsigned},
    dir::StateDir,
    export::consistency,
    keys::Keys,
    schema,
    store::{BUSY_TIMEOUT, CHECKPOINTS_MAX, damaged, log_row},
};

/// Witnesses of one log.
pub const WITNESSES_MAX: usize = 32;
/// A time stamp token with its certificates.
pub const STAMP_BYTES_MAX: usize = 64 << 10;
/// Characters kept of what went wrong.
const TROUBLE_CHARS_MAX: usize = 400;

/// A witness as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessSetup {
    pub name: String,
    pub vkey: String,
    pub url: String,
}

/// A witness, and how asking it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessState {
    pub setup: WitnessSetup,
    /// The last size that it is known to have cosigned.
    pub size: u64,
    pub cosigned_at: Option<Timestamp>,
    pub asked_at: Option<Timestamp>,
    /// What went wrong when it was last asked.
    pub trouble: Option<String>,
    /// It refused because it saw another history.
    pub alarm: bool,
}

/// An RFC 3161 time stamp of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What was stamped, byte for byte: the token is over its SHA-256.
    pub checkpoint: String,
    pub authority: String,
    /// When, as the authority says.
    pub at: Timestamp,
    /// The whole answer of the authority (`TimeStampResp`, DER).
    pub tsr: Vec<u8>,
    /// What the authority's certificate was checked against.
    pub ca_pem: Option<String>,
}

impl Store {
    /// The newest checkpoint that has the cosignatures asked for; the newest of all while there
    /// is none, or nobody is asked. This is what readers are shown.
    pub fn cosigned_checkpoint(&self) -> Result<String, StoreError> {
        Ok(published(&self.db, &self.keys)?.1)
    }

    /// All time stamps, the oldest first.
    pub fn stamps(&self) -> Result<Vec<Stamp>, StoreError> {
        stamps(&self.db)
    }

    /// Name and vkey of each witness asked.
    pub fn witness_vkeys(&self) -> Result<Vec<(String, String)>, StoreError> {
        let all = witnesses(&self.db)?.into_iter();
        Ok(all.map(|w| (w.setup.name, w.setup.vkey)).collect())
    }

    pub fn witnesses(&self) -> Result<Vec<WitnessState>, StoreError> {
        witnesses(&self.db)
    }

    /// The policy that a published checkpoint meets, if one is configured.
    pub fn policy(&self) -> Result<Option<String>, StoreError> {
        policy(&self.db)
    }
}

/// Writes what others say of a ledger.
pub struct Attestations {
    db: Connection,
    keys: Keys,
}

impl Attestations {
    /// Beside the one who writes the ledger, in this process or another.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let state = StateDir::existing(dir)?;
        if !state.database().exists() {
            return Err(StoreError::Missing {
                dir: dir.to_owned(),
            });
        }
        let (key, database) = (state.key_file(), state.database());
        let keys = Keys::read(&state)?.ok_or(StoreError::KeyMissing { key, database })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(state.database(), flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // As the recorder has it: whoever closes last must not take the write-ahead log away.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        schema::check_current(&db)?;
        Ok(Self { db, keys })
    }

    /// Takes the configuration up. What is known of a witness stays as long as it is configured;
    /// the cosignatures of one that is not any more stay on the checkpoints that have them.
    pub fn configure(
        &mut self,
        witnesses: &[WitnessSetup],
        policy: Option<&str>,
    ) -> Result<(), StoreError> {
        let refuse = |what: &str, why: String| StoreError::Attestation {
            what: what.to_owned(),
            why,
        };
        if witnesses.len() > WITNESSES_MAX {
            let why = format!("there are more than {WITNESSES_MAX}");
            return Err(refuse("the list of witnesses", why));
        }
        for witness in witnesses {
            CosignerKey::parse(&witness.vkey)
                .map_err(|e| refuse(&format!("the witness {}", witness.name), e.to_string()))?;
        }
        if let Some(text) = policy {
            Policy::parse(text.as_bytes()).map_err(|e| refuse("the policy", e.to_string()))?;
        }
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let known = self::witnesses(&tx)?;
        for gone in known
            .iter()
            .filter(|w| witnesses.iter().all(|new| new.vkey != w.setup.vkey))
        {
            tx.execute("DELETE FROM witness WHERE vkey = ?1", [&gone.setup.vkey])?;
        }
        for new in witnesses {
            tx.execute(
                "INSERT INTO witness (vkey, name, url, size, alarm) VALUES (?1, ?2, ?3, 0, 0)
                 ON CONFLICT (vkey) DO UPDATE SET name = excluded.name, url = excluded.url",
                params![new.vkey, new.name, new.url],
            )?;
        }
        match policy {
            Some(text) => tx.execute(
                "INSERT INTO policy (one, text) VALUES (1, ?1)
                 ON CONFLICT (one) DO UPDATE SET text = excluded.text",
                [text],
            )?,
            None => tx.execute("DELETE FROM policy", [])?,
        };
        tx.commit()?;
        Ok(())
    }

    /// The log's newest checkpoint, which witnesses should cosign.
    pub fn newest(&self) -> Result<(u64, String), StoreError> {
        let row = log_row(&self.db)?;
        Ok((row.size, row.checkpoint))
    }

    /// As [`Store::consistency`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        consistency(&self.db, old, new)
    }

    pub fn witnesses(&self) -> Result<Vec<WitnessState>, StoreError> {
        witnesses(&self.db)
    }

    /// Keeps a witness's cosignature on `checkpoint`, which must be this log's, and publishes the
    /// checkpoint once that is enough. Says whether it is.
    pub fn cosigned(
        &mut self,
        checkpoint: &str,
        vkey: &str,
        lines: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let refuse = |why: String| StoreError::Attestation {
            what: "the cosignature".to_owned(),
            why,
        };
        let text = |e: ledger::LedgerError| refuse(e.to_string());
        let opened =
            Checkpoint::open_any(checkpoint.as_bytes(), self.keys.known()).map_err(text)?;
        let key = CosignerKey::parse(vkey).map_err(text)?;
        let (line, at) = key
            .pick(checkpoint, lines)
            .map_err(text)?
            .ok_or_else(|| refuse(format!("the answer has none by {}", key.name())))?;
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute(
            "INSERT OR REPLACE INTO cosignature (size, witness, at, line) VALUES (?1, ?2, ?3, ?4)",
            params![sql(opened.size), vkey, sql(at), line],
        )?;
        tx.execute(
            "UPDATE witness SET size = ?2, cosigned_at = ?3, asked_at = ?3, trouble = NULL,
             alarm = 0 WHERE vkey = ?1",
            params![vkey, sql(opened.size), now.nanos()],
        )?;
        let enough = publish(&tx, &self.keys, opened.size, checkpoint)?;
        thin(&tx, "cosignature")?;
        thin(&tx, "cosigned")?;
        tx.commit()?;
        Ok(enough)
    }

    /// A witness did not cosign. With `size`, what it says it cosigned last.
    pub fn refused(
        &self,
        vkey: &str,
        trouble: &str,
        size: Option<u64>,
        alarm: Alarm,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let trouble: String = trouble.chars().take(TROUBLE_CHARS_MAX).collect();
        self.db.execute(
            "UPDATE witness SET asked_at = ?2, trouble = ?3, alarm = ?4,
             size = coalesce(?5, size) WHERE vkey = ?1",
            params![
                vkey,
                now.nanos(),
                trouble,
                i64::from(alarm == Alarm::OtherHistory),
                size.map(sql)
            ],
        )?;
        Ok(())
    }

    /// Keeps a stamp, which the caller has checked.
    pub fn stamp(&self, stamp: &Stamp) -> Result<(), StoreError> {
        let refuse = |why: String| StoreError::Attestation {
            what: "the time stamp".to_owned(),
            why,
        };
        if stamp.tsr.len() > STAMP_BYTES_MAX {
            let why = format!("it has more than {STAMP_BYTES_MAX} bytes");
            return Err(refuse(why));
        }
        let opened = Checkpoint::open_any(stamp.checkpoint.as_bytes(), self.keys.known())
            .map_err(|e| refuse(e.to_string()))?;
        self.db.execute(
            "INSERT INTO stamp (size, checkpoint, authority, at, tsr, ca)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                sql(opened.size),
                stamp.checkpoint,
                stamp.authority,
                stamp.at.nanos(),
                stamp.tsr,
                stamp.ca_pem
            ],
        )?;
        Ok(())
    }

    /// When each authority stamped last.
    pub fn last_stamps(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT authority, max(at) FROM stamp GROUP BY authority")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, Timestamp::from_nanos(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What readers are shown; see [`Store::cosigned_checkpoint`].
    pub fn published(&self) -> Result<String, StoreError> {
        Ok(published(&self.db, &self.keys)?.1)
    }
}

/// Whether a witness's refusal says that it saw another history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    None,
    OtherHistory,
}

/// Puts the cosignatures there are on a checkpoint, and the checkpoint among the published, if
/// they are enough. Without a policy, one is.
fn publish(db: &Connection, keys: &Keys, size: u64, checkpoint: &str) -> Result<bool, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT line FROM cosignature WHERE size = ?1 ORDER BY witness")?;
    let lines: String = statement
        .query_map([sql(size)], |row| row.get::<_, String>(0))?
        .collect::<Result<_, _>>()?;
    let bad = |e: ledger::LedgerError| {
        damaged(&format!("the cosignatures of size {size}"), &e.to_string())
    };
    let note = add_signatures(checkpoint, &lines).map_err(bad)?;
    if let Some(text) = policy(db)? {
        let policy = Policy::parse(text.as_bytes()).map_err(bad)?;
        let judged = policy.judge(note.as_bytes(), keys.known()).map_err(bad)?;
        if !judged.quorum_met {
            return Ok(false);
        }
    }
    db.execute(
        "INSERT INTO cosigned (size, note) VALUES (?1, ?2)
         ON CONFLICT (size) DO UPDATE SET note = excluded.note",
        params![sql(size), note],
    )?;
    Ok(true)
}

/// Past the limit, every second size of the older half goes, as checkpoints do.
fn thin(db: &Connection, table: &str) -> Result<(), StoreError> {
    let count = format!("SELECT count(DISTINCT size) FROM {table}");
    let kept: i64 = db.query_row(&count, [], |row| row.get(0))?;
    if kept > CHECKPOINTS_MAX {
        db.execute(
            &format!(
                "DELETE FROM {table} WHERE size IN (
                   SELECT size FROM (
                     SELECT size, row_number() OVER (ORDER BY size) AS place
                     FROM (SELECT DISTINCT size FROM {table})
                   ) WHERE place <= ?1 AND place % 2 = 0)"
            ),
            [CHECKPOINTS_MAX / 2],
        )?;
    }
    Ok(())
}

/// The checkpoint that readers are shown, and its size. Where no witness is asked any more, what
/// they once cosigned would grow old for ever.
pub(crate) fn published(db: &Connection, keys: &Keys) -> Result<(u64, String), StoreError> {
    let asked: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM witness)")?
        .query_row([], |row| row.get(0))?;
    if asked && let Some(cosigned) = newest_cosigned(db, keys)? {
        return Ok(cosigned);
    }
    sized(log_row(db)?.checkpoint, keys)
}

/// The newest checkpoint that had enough cosignatures, and its size.
pub(crate) fn newest_cosigned(
    db: &Connection,
    keys: &Keys,
) -> Result<Option<(u64, String)>, StoreError> {
    let note: Option<String> = db
        .prepare_cached("SELECT note FROM cosigned ORDER BY size DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    note.map(|note| sized(note, keys)).transpose()
}

fn sized(note: String, keys: &Keys) -> Result<(u64, String), StoreError> {
    let opened = Checkpoint::open_any(note.as_bytes(), keys.known())
        .map_err(|e| damaged("the published checkpoint", &e.to_string()))?;
    Ok((opened.size, note))
}

pub(crate) fn policy(db: &Connection) -> Result<Option<String>, StoreError> {
    let text = db
        .prepare_cached("SELECT text FROM policy")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(text)
}

pub(crate) fn witnesses(db: &Connection) -> Result<Vec<WitnessState>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT vkey, name, url, size, cosigned_at, asked_at, trouble, alarm FROM witness
         ORDER BY name, vkey",
    )?;
    let time = |row: &Row<'_>, at| {
        let nanos: Option<i64> = row.get(at)?;
        Ok::<_, rusqlite::Error>(nanos.map(Timestamp::from_nanos))
    };
    let rows = statement.query_map([], |row| {
        Ok(WitnessState {
            setup: WitnessSetup {
                vkey: row.get(0)?,
                name: row.get(1)?,
                url: row.get(2)?,
            },
            size: unsigned(row.get(3)?),
            cosigned_at: time(row, 4)?,
            asked_at: time(row, 5)?,
            trouble: row.get(6)?,
            alarm: row.get::<_, i64>(7)? != 0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn stamps(db: &Connection) -> Result<Vec<Stamp>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT checkpoint, authority, at, tsr, ca FROM stamp ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok(Stamp {
            checkpoint: row.get(0)?,
            authority: row.get(1)?,
            at: Timestamp::from_nanos(row.get(2)?),
            tsr: row.get(3)?,
            ca_pem: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
