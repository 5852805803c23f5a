//! The database's shape: numbered SQL files, run once each, in order.

use rusqlite::{Connection, Transaction};

use crate::StoreError;

const MIGRATIONS: [&str; 7] = [
    include_str!("../migrations/0001_ledger.sql"),
    include_str!("../migrations/0002_projections.sql"),
    include_str!("../migrations/0003_bans.sql"),
    include_str!("../migrations/0004_evidence.sql"),
    include_str!("../migrations/0005_attestations.sql"),
    include_str!("../migrations/0006_authority.sql"),
    include_str!("../migrations/0007_persons.sql"),
];

/// The last migration that changed the shape of a projection.
const PROJECTIONS_CHANGED: usize = 6;

/// The tables that `projection` fills, each with the columns that order it.
pub(crate) const PROJECTIONS: [(&str, &str); 14] = [
    ("alert", "idx"),
    ("authority_act", "idx"),
    ("ban", "prefix"),
    ("case_act", "idx"),
    ("case_alert", "case_no, alert"),
    ("entry_key", "key"),
    ("exhibit_act", "idx"),
    ("handover_act", "idx"),
    ("kind_count", "kind"),
    ("loss", "idx"),
    ("offender", "prefix"),
    ("person_act", "idx"),
    ("refusal", "idx"),
    ("release", "idx"),
];

pub(crate) fn version(db: &Connection) -> Result<u32, StoreError> {
    Ok(db.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// What is left to do after [`migrate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Migrated {
    Current,
    /// Tables have another shape now: the projections must be made anew from the entries.
    Reshaped,
}

/// Brings a database of any known version to the present one; all or nothing.
pub(crate) fn migrate(tx: &Transaction<'_>) -> Result<Migrated, StoreError> {
    let found = check_version(tx)?;
    for (migration, version) in MIGRATIONS.iter().zip(1u32..).skip(found) {
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", version)?;
    }
    Ok(if found == 0 || found >= PROJECTIONS_CHANGED {
        Migrated::Current
    } else {
        Migrated::Reshaped
    })
}

/// For those who cannot migrate: an older shape is an error too.
pub(crate) fn check_current(db: &Connection) -> Result<(), StoreError> {
    let found = check_version(db)?;
    if found < MIGRATIONS.len() {
        return Err(StoreError::SchemaTooOld {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX),
        });
    }
    Ok(())
}

/// How many of the migrations were run; an error when it is more than are known.
pub(crate) fn check_version(db: &Connection) -> Result<usize, StoreError> {
    let found = version(db)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    Ok(found as usize)
}

/// A database with every table and nothing in them, for comparison; in memory, or in a file of
/// its own when it grows.
pub(crate) fn scratch() -> Result<Connection, StoreError> {
    let mut db = Connection::open("")?;
    db.pragma_update(None, "synchronous", "OFF")?;
    let tx = db.transaction()?;
    migrate(&tx)?;
    tx.commit()?;
    Ok(db)
}

/// Every table, index, trigger and view, as the database describes itself.
pub(crate) fn describe(db: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_once_and_newer_databases_are_refused() {
        let mut db = scratch().unwrap();
        assert_eq!(version(&db).unwrap() as usize, MIGRATIONS.len());
        let tx = db.transaction().unwrap();
        assert_eq!(migrate(&tx).unwrap(), Migrated::Current);
        tx.commit().unwrap();
        db.pragma_update(None, "user_version", 99).unwrap();
        let tx = db.transaction().unwrap();
        assert!(matches!(
            migrate(&tx),
            Err(StoreError::SchemaTooNew {
                found: 99,
                known,
            }) if known as usize == MIGRATIONS.len()
        ));
    }

    #[test]
    fn every_table_is_the_ledgers_or_a_projection() {
        let tables: Vec<String> = scratch()
            .unwrap()
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let mut known = vec![
            "checkpoint",
            "cosignature",
            "cosigned",
            "entry",
            "log",
            "node",
            "policy",
            "stamp",
            "witness",
        ];
        known.extend(PROJECTIONS.map(|(name, _)| name));
        known.sort_unstable();
        assert_eq!(tables, known);
    }
}
