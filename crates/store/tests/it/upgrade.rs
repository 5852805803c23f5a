//! A state folder that an earlier version left behind: taken over with everything in it.

use std::path::Path;

use rusqlite::Connection;
use store::{Store, StoreError};

use crate::samples::{at, filled, many, options, quiet};

const LEDGER: &str = include_str!("../../migrations/0001_ledger.sql");
const PROJECTIONS: &str = include_str!("../../migrations/0002_projections.sql");
const BANS: &str = include_str!("../../migrations/0003_bans.sql");
const EVIDENCE: &str = include_str!("../../migrations/0004_evidence.sql");
const ENTRIES: u64 = 300;

/// Makes the database what it was under an earlier schema: that schema's tables, the entries kept,
/// the projections as empty as a crash in the middle of everything could leave them.
fn go_back_to(version: usize, database: &Path) {
    let now = Connection::open(database).unwrap();
    let then = Connection::open_in_memory().unwrap();
    for migration in [LEDGER, PROJECTIONS, BANS, EVIDENCE]
        .into_iter()
        .take(version)
    {
        then.execute_batch(migration).unwrap();
    }
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC";
    let listed = |db: &Connection| -> Vec<(String, String)> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let (is, was) = (listed(&now), listed(&then));
    for (name, _) in is.iter().filter(|object| !was.contains(object)) {
        // An index goes with its table.
        now.execute_batch(&format!("DROP TABLE IF EXISTS \"{name}\""))
            .ok();
    }
    let left = listed(&now);
    for (_, sql) in was.iter().filter(|object| !left.contains(object)) {
        now.execute_batch(sql).unwrap();
    }
    assert_eq!(sorted(listed(&now)), sorted(was), "version {version}");
    now.pragma_update(None, "user_version", version as u32)
        .unwrap();
}

fn sorted(mut objects: Vec<(String, String)>) -> Vec<(String, String)> {
    objects.sort();
    objects
}

#[test]
fn every_earlier_schema_is_taken_over_whole() {
    for version in [1, 2, 3, 4] {
        let (dir, store) = filled(ENTRIES);
        let state = dir.path().join("state");
        let (bans, counts, key) = (
            store.bans(at(ENTRIES)).unwrap().len(),
            store.counts().unwrap(),
            store.vkey(),
        );
        assert!(bans > 0, "a test without bans shows nothing");
        drop(store);
        go_back_to(version, &state.join("ledger.db"));
        assert!(matches!(
            Store::open_read_only(&state),
            Err(StoreError::SchemaTooOld { .. })
        ));

        let mut store = Store::open(&state, options()).unwrap();
        assert_eq!(store.bans(at(ENTRIES)).unwrap().len(), bans);
        assert_eq!(store.counts().unwrap(), counts);
        assert_eq!(store.vkey(), key);
        assert_eq!(store.verify(&mut quiet).unwrap().entries, ENTRIES);
        store
            .append(&many(ENTRIES..ENTRIES + 20), at(ENTRIES + 20))
            .unwrap();
        let report = store.verify(&mut quiet).unwrap();
        assert_eq!(report.entries, store.size().unwrap());
        assert!(report.entries > ENTRIES, "the ledger goes on");
    }
}

#[test]
fn a_takeover_that_is_cut_off_leaves_the_old_state() {
    let (dir, store) = filled(ENTRIES);
    let state = dir.path().join("state");
    drop(store);
    let database = state.join("ledger.db");
    go_back_to(2, &database);
    // Somebody else is writing: the takeover cannot begin, and must not have begun.
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(Store::open(&state, options()).is_err());
    other.execute_batch("ROLLBACK").unwrap();
    let version: u32 = other
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2);
    drop(other);
    let store = Store::open(&state, options()).unwrap();
    assert_eq!(store.verify(&mut quiet).unwrap().entries, ENTRIES);
}
