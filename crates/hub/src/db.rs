//! `hub.db`: what the hub must know again after it was killed. One connection, the core's.
//!
//! Everything of one batch is one transaction; what it tells is read back by [`Db::load`].

use std::{os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use fleet::{CommunityId, Frame, Generation, HubTime};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    ban::{Ban, BanId, EndCause, Point},
    error::HubError,
    limits,
    order::StoredAlert,
    registry::Record,
};

const FILE: &str = "hub.db";
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE blobs (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE registry (kind TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (kind, key))
        WITHOUT ROWID;
    CREATE TABLE bans (
        id INTEGER PRIMARY KEY, community TEXT NOT NULL, organisation TEXT NOT NULL,
        prefix TEXT NOT NULL, kind TEXT NOT NULL, origin TEXT NOT NULL, scenario TEXT NOT NULL,
        alert INTEGER, added INTEGER NOT NULL, until INTEGER NOT NULL, point INTEGER NOT NULL,
        end_cause INTEGER, end_at INTEGER, end_point INTEGER);
    CREATE INDEX bans_ended ON bans (end_point) WHERE end_point IS NOT NULL;
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY, organisation TEXT NOT NULL, machine TEXT NOT NULL,
        created INTEGER NOT NULL, created_unix_ms INTEGER NOT NULL, value TEXT NOT NULL,
        bans TEXT NOT NULL, alert TEXT NOT NULL);
    CREATE INDEX alerts_value ON alerts (value);
    CREATE TABLE frames (
        community TEXT, generation INTEGER, at INTEGER NOT NULL, frame BLOB NOT NULL,
        PRIMARY KEY (community, generation)) WITHOUT ROWID;
    CREATE TABLE hearings (id INTEGER PRIMARY KEY, community TEXT NOT NULL, at INTEGER NOT NULL,
        report TEXT NOT NULL);
";

pub(crate) struct Db {
    connection: Connection,
}

/// An ended ban, for pollers that come back.
pub(crate) struct Ended {
    pub(crate) ban: Ban,
    pub(crate) cause: EndCause,
    pub(crate) at: HubTime,
    pub(crate) point: Point,
}

impl Db {
    pub(crate) fn open(dir: &Path) -> Result<Self, HubError> {
        let path = dir.join(FILE);
        // Keys and password hashes are in it.
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        options
            .open(&path)
            .map_err(|e| HubError::io("open", &path, e))?;
        Self::begin_with(Connection::open(&path)?)
    }

    pub(crate) fn in_memory() -> Result<Self, HubError> {
        Self::begin_with(Connection::open_in_memory()?)
    }

    fn begin_with(connection: Connection) -> Result<Self, HubError> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.set_prepared_statement_cache_capacity(64);
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found {
            0 => {
                let schema =
                    format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;");
                connection.execute_batch(&schema)?;
            }
            SCHEMA_VERSION => {}
            newer => {
                return Err(HubError::Corrupt(format!(
                    "schema version {newer}, this program knows {SCHEMA_VERSION}; use a newer one"
                )));
            }
        }
        Ok(Self { connection })
    }

    pub(crate) fn begin(&self) -> Result<(), HubError> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Rows changed since the connection was opened: equal before and after is nothing to commit.
    pub(crate) fn changes(&self) -> Result<i64, HubError> {
        let mut statement = self.connection.prepare_cached("SELECT total_changes()")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    pub(crate) fn commit(&self) -> Result<(), HubError> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    pub(crate) fn rollback(&self) {
        if let Err(e) = self.connection.execute_batch("ROLLBACK") {
            tracing::debug!(error = %e, "nothing to roll back in hub.db");
        }
    }

    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Result<usize, HubError> {
        Ok(self.connection.prepare_cached(sql)?.execute(values)?)
    }

    //-------- Numbers and blobs ---------------------------------------------

    pub(crate) fn number(&self, name: &str) -> Result<u64, HubError> {
        let sql = "SELECT value FROM meta WHERE name = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found: Option<i64> = statement.query_row([name], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0).cast_unsigned())
    }

    pub(crate) fn set_number(&self, name: &str, value: u64) -> Result<(), HubError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        self.run(sql, params![name, value.cast_signed()]).map(drop)
    }

    pub(crate) fn blob(&self, name: &str) -> Result<Option<Vec<u8>>, HubError> {
        let sql = "SELECT value FROM blobs WHERE name = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    pub(crate) fn set_blob(&self, name: &str, value: &[u8]) -> Result<(), HubError> {
        let sql = "INSERT OR REPLACE INTO blobs VALUES (?1, ?2)";
        self.run(sql, params![name, value]).map(drop)
    }

    //-------- Registry ------------------------------------------------------

    pub(crate) fn put(&self, record: &Record) -> Result<(), HubError> {
        let value = serde_json::to_string(record).map_err(corrupt)?;
        let sql = "INSERT OR REPLACE INTO registry VALUES (?1, ?2, ?3)";
        self.run(sql, params![record.kind(), record.key(), value])
            .map(drop)
    }

    pub(crate) fn remove(&self, record: &Record) -> Result<(), HubError> {
        let sql = "DELETE FROM registry WHERE kind = ?1 AND key = ?2";
        self.run(sql, params![record.kind(), record.key()])
            .map(drop)
    }

    pub(crate) fn records(&self, each: &mut dyn FnMut(Record)) -> Result<(), HubError> {
        let mut statement = self.connection.prepare("SELECT value FROM registry")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            each(serde_json::from_str(&text).map_err(corrupt)?);
        }
        Ok(())
    }

    //-------- Bans ----------------------------------------------------------

    pub(crate) fn add_ban(&self, ban: &Ban) -> Result<(), HubError> {
        let sql = "INSERT INTO bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
                   NULL, NULL, NULL)";
        let values = params![
            ban.id.cast_signed(),
            ban.community.as_str(),
            ban.organisation.as_str(),
            ban.prefix.to_string(),
            ban.kind,
            ban.origin,
            ban.scenario,
            ban.alert.map(u64::cast_signed),
            ban.added.0.cast_signed(),
            ban.until.0.cast_signed(),
            ban.point.0.cast_signed(),
        ];
        self.run(sql, values).map(drop)
    }

    pub(crate) fn end_ban(
        &self,
        id: BanId,
        cause: EndCause,
        at: HubTime,
        point: Point,
    ) -> Result<(), HubError> {
        let sql = "UPDATE bans SET end_cause = ?2, end_at = ?3, end_point = ?4 WHERE id = ?1";
        let values = params![
            id.cast_signed(),
            cause_number(cause),
            at.0.cast_signed(),
            point.0.cast_signed()
        ];
        self.run(sql, values).map(drop)
    }

    /// Forgets the oldest ended bans beyond what pollers are served from.
    pub(crate) fn prune_ended(&self) -> Result<usize, HubError> {
        let sql = "DELETE FROM bans WHERE end_point IS NOT NULL AND end_point <= \
                   (SELECT end_point FROM bans WHERE end_point IS NOT NULL \
                    ORDER BY end_point DESC LIMIT 1 OFFSET ?1)";
        self.run(
            sql,
            [i64::try_from(limits::CHANGES_MAX / 2).unwrap_or(i64::MAX)],
        )
    }

    pub(crate) fn live_bans(&self, each: &mut dyn FnMut(Ban)) -> Result<(), HubError> {
        let sql = "SELECT * FROM bans WHERE end_point IS NULL ORDER BY point";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(ban_of(row)?);
        }
        Ok(())
    }

    pub(crate) fn ended_bans(&self, each: &mut dyn FnMut(Ended)) -> Result<(), HubError> {
        let sql = "SELECT * FROM bans WHERE end_point IS NOT NULL ORDER BY end_point";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let cause: i64 = row.get("end_cause")?;
            each(Ended {
                ban: ban_of(row)?,
                cause: cause_of(cause),
                at: HubTime(row.get::<_, i64>("end_at")?.cast_unsigned()),
                point: Point(row.get::<_, i64>("end_point")?.cast_unsigned()),
            });
        }
        Ok(())
    }

    //-------- Alerts --------------------------------------------------------

    pub(crate) fn add_alert(&self, alert: &StoredAlert, value: &str) -> Result<(), HubError> {
        let sql = "INSERT INTO alerts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let values = params![
            alert.id.cast_signed(),
            alert.organisation.as_str(),
            alert.machine,
            alert.created.0.cast_signed(),
            alert.created_unix_ms.cast_signed(),
            value,
            serde_json::to_string(&alert.bans).map_err(corrupt)?,
            serde_json::to_string(&alert.alert).map_err(corrupt)?,
        ];
        self.run(sql, values)?;
        let oldest = alert.id.saturating_sub(limits::ALERTS_MAX).cast_signed();
        self.run("DELETE FROM alerts WHERE id <= ?1", [oldest])
            .map(drop)
    }

    pub(crate) fn remove_alert(&self, id: u64) -> Result<(), HubError> {
        self.run("DELETE FROM alerts WHERE id = ?1", [id.cast_signed()])
            .map(drop)
    }

    /// Newest first, until `each` says that it has enough. `organisation` absent: all.
    pub(crate) fn alerts(
        &self,
        organisation: Option<&str>,
        id: Option<u64>,
        value: Option<&str>,
        each: &mut dyn FnMut(StoredAlert) -> bool,
    ) -> Result<(), HubError> {
        let sql = "SELECT * FROM alerts WHERE (?1 IS NULL OR organisation = ?1) \
                   AND (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR value = ?3) ORDER BY id DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![organisation, id.map(u64::cast_signed), value])?;
        while let Some(row) = rows.next()? {
            let bans: String = row.get("bans")?;
            let alert: String = row.get("alert")?;
            let organisation: String = row.get("organisation")?;
            let found = StoredAlert {
                id: row.get::<_, i64>("id")?.cast_unsigned(),
                organisation: organisation.parse().map_err(corrupt)?,
                machine: row.get("machine")?,
                created: HubTime(row.get::<_, i64>("created")?.cast_unsigned()),
                created_unix_ms: row.get::<_, i64>("created_unix_ms")?.cast_unsigned(),
                alert: serde_json::from_str(&alert).map_err(corrupt)?,
                bans: serde_json::from_str(&bans).map_err(corrupt)?,
            };
            if !each(found) {
                break;
            }
        }
        Ok(())
    }

    //-------- Frames and snapshots ------------------------------------------

    /// `encoded` with its length before it, as it goes out.
    pub(crate) fn add_frame(&self, frame: &Frame, encoded: &[u8]) -> Result<(), HubError> {
        let sql = "INSERT INTO frames VALUES (?1, ?2, ?3, ?4)";
        let values = params![
            frame.community.as_str(),
            frame.to.0.cast_signed(),
            frame.now.0.cast_signed(),
            encoded
        ];
        self.run(sql, values).map(drop)
    }

    pub(crate) fn frames(
        &self,
        community: &CommunityId,
        each: &mut dyn FnMut(Frame) -> Result<(), HubError>,
    ) -> Result<(), HubError> {
        let sql = "SELECT frame FROM frames WHERE community = ?1 ORDER BY generation";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([community.as_str()])?;
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(0)?;
            let Some((frame, _)) = Frame::split(&bytes)? else {
                return Err(HubError::Corrupt("a frame that was cut off".to_owned()));
            };
            each(Frame::decode(frame)?)?;
        }
        Ok(())
    }

    /// A snapshot stands for the frames up to its generation; those before `keep_from` go.
    pub(crate) fn set_snapshot(
        &self,
        community: &CommunityId,
        bytes: &[u8],
        keep_from: Generation,
    ) -> Result<(), HubError> {
        self.set_blob(&format!("snapshot/{community}"), bytes)?;
        let sql = "DELETE FROM frames WHERE community = ?1 AND generation < ?2";
        self.run(sql, params![community.as_str(), keep_from.0.cast_signed()])
            .map(drop)
    }

    pub(crate) fn snapshot(&self, community: &CommunityId) -> Result<Option<Vec<u8>>, HubError> {
        self.blob(&format!("snapshot/{community}"))
    }

    //-------- What the court heard since it was stored ----------------------

    pub(crate) fn add_hearing(
        &self,
        community: &CommunityId,
        report: &trust::Report,
        at: HubTime,
    ) -> Result<(), HubError> {
        let text = serde_json::to_string(report).map_err(corrupt)?;
        let sql = "INSERT INTO hearings (community, at, report) VALUES (?1, ?2, ?3)";
        self.run(sql, params![community.as_str(), at.0.cast_signed(), text])
            .map(drop)
    }

    pub(crate) fn hearings(
        &self,
        community: &CommunityId,
        each: &mut dyn FnMut(&trust::Report, HubTime),
    ) -> Result<(), HubError> {
        let sql = "SELECT at, report FROM hearings WHERE community = ?1 ORDER BY id";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([community.as_str()])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            let report = serde_json::from_str(&text).map_err(corrupt)?;
            each(&report, HubTime(row.get::<_, i64>(0)?.cast_unsigned()));
        }
        Ok(())
    }

    pub(crate) fn set_court(
        &self,
        community: &CommunityId,
        court: &trust::Court,
    ) -> Result<(), HubError> {
        let bytes = serde_json::to_vec(court).map_err(corrupt)?;
        self.set_blob(&format!("court/{community}"), &bytes)?;
        self.run(
            "DELETE FROM hearings WHERE community = ?1",
            [community.as_str()],
        )
        .map(drop)
    }

    pub(crate) fn court(&self, community: &CommunityId) -> Result<Option<trust::Court>, HubError> {
        let bytes = self.blob(&format!("court/{community}"))?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes).map_err(corrupt))
            .transpose()
    }
}

fn ban_of(row: &Row<'_>) -> Result<Ban, HubError> {
    let number = |name: &str| row.get::<_, i64>(name).map(i64::cast_unsigned);
    let text = |name: &str| row.get::<_, String>(name);
    let alert: Option<i64> = row.get("alert")?;
    Ok(Ban {
        id: number("id")?,
        community: text("community")?.parse().map_err(corrupt)?,
        organisation: text("organisation")?.parse().map_err(corrupt)?,
        prefix: text("prefix")?.parse().map_err(corrupt)?,
        kind: Arc::from(text("kind")?),
        origin: Arc::from(text("origin")?),
        scenario: Arc::from(text("scenario")?),
        alert: alert.map(i64::cast_unsigned),
        added: HubTime(number("added")?),
        until: HubTime(number("until")?),
        point: Point(number("point")?),
    })
}

const fn cause_number(cause: EndCause) -> i64 {
    match cause {
        EndCause::Expired => 0,
        EndCause::Released => 1,
        EndCause::Replaced => 2,
    }
}

const fn cause_of(number: i64) -> EndCause {
    match number {
        0 => EndCause::Expired,
        1 => EndCause::Released,
        _ => EndCause::Replaced,
    }
}

fn corrupt(error: impl std::fmt::Display) -> HubError {
    HubError::Corrupt(error.to_string())
}
