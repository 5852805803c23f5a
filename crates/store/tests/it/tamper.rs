//! What was changed behind the program's back is found, by us and by others.

use std::{fs, path::Path};

use rusqlite::Connection;
use store::{Store, StoreError};

use crate::samples::{filled, options, quiet};

/// Each change, and what the verification must name.
const CHANGES: &[(&str, &str)] = &[
    (
        "UPDATE entry SET payload = replace(CAST(payload AS TEXT), 'five', 'four') WHERE idx = 7",
        "entry 7:",
    ),
    (
        "UPDATE entry SET payload = CAST(replace(payload, 'five', 'four') AS BLOB) WHERE idx = 7",
        "entry 7:",
    ),
    (
        "UPDATE entry SET payload = CAST(payload || ' ' AS BLOB) WHERE idx = 8",
        "entry 8:",
    ),
    (
        "UPDATE entry SET salt = zeroblob(32) WHERE idx = 9",
        "entry 9:",
    ),
    (
        "UPDATE entry SET salt = zeroblob(31) WHERE idx = 9",
        "entry 9:",
    ),
    (
        "UPDATE entry SET payload = NULL WHERE idx = 10",
        "entry 10:",
    ),
    (
        "UPDATE entry SET salt = NULL, payload = NULL WHERE idx = 10",
        "entry 10:",
    ),
    ("UPDATE entry SET erased_at = 5 WHERE idx = 10", "entry 10:"),
    (
        "UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 11",
        "entry 11:",
    ),
    (
        "UPDATE entry SET leaf = CAST(replace(leaf, 'alert', 'alarm') AS BLOB) WHERE idx = 14",
        "entry 14:",
    ),
    (
        "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 12),
        leaf_hash = (SELECT leaf_hash FROM entry WHERE idx = 12) WHERE idx = 13",
        "entry 13:",
    ),
    ("DELETE FROM entry WHERE idx = 15", "entry 15:"),
    ("DELETE FROM entry WHERE idx = 299", "log row:"),
    ("DELETE FROM entry", "log row:"),
    (
        "INSERT INTO entry SELECT 300, leaf, leaf_hash, salt, payload, erased_at FROM entry
        WHERE idx = 0",
        "entry 300:",
    ),
    ("UPDATE node SET hash = zeroblob(32)", "entry 255:"),
    ("DELETE FROM node", "entry 255:"),
    (
        "INSERT INTO node VALUES (1, 1, zeroblob(32))",
        "tree nodes:",
    ),
    ("UPDATE log SET size = 299", "log row:"),
    ("UPDATE log SET edge = zeroblob(length(edge))", "log row:"),
    (
        "UPDATE log SET checkpoint = replace(checkpoint, '300', '301')",
        "checkpoint:",
    ),
    (
        "UPDATE log SET checkpoint = (SELECT note FROM checkpoint WHERE size = 0)",
        "checkpoint:",
    ),
    ("DELETE FROM log", "database:"),
    (
        "UPDATE checkpoint SET note = 'x' WHERE size = 1",
        "checkpoint of size 1:",
    ),
    (
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 0) WHERE size = 1",
        "checkpoint of size 1:",
    ),
    (
        "UPDATE checkpoint SET size = 2 WHERE size = 1",
        "checkpoint of size 2:",
    ),
    (
        "UPDATE checkpoint SET size = 999 WHERE size = 1",
        "checkpoint of size 999:",
    ),
    (
        "DELETE FROM checkpoint WHERE size = 300",
        "checkpoint history:",
    ),
    (
        "UPDATE alert SET value = '192.0.2.1' WHERE idx = 7",
        "of projection alert:",
    ),
    (
        "DELETE FROM ban WHERE prefix = (SELECT min(prefix) FROM ban)",
        "of projection ban:",
    ),
    ("UPDATE ban SET until = until + 1", "of projection ban:"),
    (
        "UPDATE offender SET bans = bans + 1",
        "of projection offender:",
    ),
    ("DELETE FROM refusal", "of projection refusal:"),
    ("INSERT INTO loss VALUES (1, 1)", "of projection loss:"),
    (
        "UPDATE kind_count SET entries = 0 WHERE kind = 'release'",
        "of projection kind_count:",
    ),
    ("UPDATE entry_key SET idx = 0", "of projection entry_key:"),
    (
        "CREATE TRIGGER quiet AFTER INSERT ON ban BEGIN DELETE FROM ban; END",
        "database schema:",
    ),
    ("DROP INDEX ban_until", "database schema:"),
];

#[test]
fn every_changed_row_is_named() {
    let (dir, store) = filled(300);
    store.verify(&mut quiet).unwrap();
    drop(store);
    let state = dir.path().join("state");
    let database = state.join("ledger.db");
    let whole = fs::read(&database).unwrap();
    let log = fs::metadata(state.join("ledger.db-wal")).unwrap();
    assert_eq!(log.len(), 0, "an orderly end leaves all in the one file");
    for (change, named) in CHANGES {
        fs::write(&database, &whole).unwrap();
        let _ = fs::remove_file(state.join("ledger.db-wal"));
        let _ = fs::remove_file(state.join("ledger.db-shm"));
        let db = Connection::open(&database).unwrap();
        let touched = db.execute(change, []);
        drop(db);
        match touched {
            // STRICT tables keep some kinds of damage out by themselves.
            Err(e) => assert!(
                e.to_string().contains("cannot store TEXT value"),
                "{change}: {e}"
            ),
            Ok(_) => {
                assert_ne!(
                    fs::read(&database).unwrap(),
                    whole,
                    "nothing changed: {change}"
                );
                let store = Store::open_read_only(&state).unwrap();
                let failure = store.verify(&mut quiet).expect_err(change).to_string();
                assert!(failure.contains(named), "{change}\n{failure}");
            }
        }
    }
    fs::write(&database, &whole).unwrap();
    Store::open_read_only(&state)
        .unwrap()
        .verify(&mut quiet)
        .unwrap();
}

#[test]
fn a_damaged_tree_is_not_signed_further() {
    for change in [
        "UPDATE log SET edge = zeroblob(length(edge))",
        "UPDATE log SET size = 299",
        "DELETE FROM entry WHERE idx = 299",
        "DELETE FROM log",
        "UPDATE log SET checkpoint = (SELECT note FROM checkpoint WHERE size = 0)",
    ] {
        let (dir, store) = filled(300);
        drop(store);
        let state = dir.path().join("state");
        Connection::open(state.join("ledger.db"))
            .unwrap()
            .execute(change, [])
            .unwrap();
        let opened = Store::open(&state, options());
        assert!(
            matches!(opened, Err(StoreError::Damaged { .. })),
            "{change}"
        );
    }
}

#[test]
fn bytes_flipped_in_the_database_file_are_noticed() {
    let (dir, store) = filled(60);
    drop(store);
    let state = dir.path().join("state");
    let database = state.join("ledger.db");
    let whole = fs::read(&database).unwrap();
    // Flips in free space may change nothing that anyone could read; then all must verify.
    let mut noticed = 0;
    for at in (100..whole.len()).step_by(997) {
        let mut bad = whole.clone();
        bad[at] ^= 0x04;
        fs::write(&database, &bad).unwrap();
        let opened = Store::open_read_only(&state);
        if opened.is_err() || opened.is_ok_and(|store| store.verify(&mut quiet).is_err()) {
            noticed += 1;
        }
    }
    assert!(noticed > 5, "{noticed}");
}

fn files(dir: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

/// The outside verifier, run over many changed exports in one Python process.
const MATRIX: &str = r#"
import importlib.util, os, random, sys
script, base, vkey = sys.argv[1:4]
spec = importlib.util.spec_from_file_location("verify", script)
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)

def audit():
    cp = verify.Checkpoint(verify.Tiles(base, 0).read("checkpoint"))
    cp.verify(verify.VKey(vkey))
    verify.Tiles(base, cp.size).audit(cp.root)

audit()
random.seed(5)
tried = 0
for folder, _, names in os.walk(base):
    for name in names:
        path = os.path.join(folder, name)
        # What a verifier must know from elsewhere.
        if name in ("vkey", "vkeys"):
            continue
        whole = open(path, "rb").read()
        step = max(1, len(whole) // 150)
        for at in range(0, len(whole), step):
            at = min(len(whole) - 1, at + random.randrange(step))
            bad = bytearray(whole)
            bad[at] ^= 1 << random.randrange(8)
            open(path, "wb").write(bad)
            try:
                audit()
            except (verify.Bad, ValueError):
                tried += 1
            else:
                sys.exit("accepted %s with byte %d changed" % (path, at))
        for cut in (whole[:-1], whole + b"\0", b""):
            open(path, "wb").write(cut)
            try:
                audit()
            except (verify.Bad, ValueError):
                tried += 1
            else:
                sys.exit("accepted %s with another length" % path)
        open(path, "wb").write(whole)
audit()
print("refused", tried)
"#;

#[test]
fn every_changed_byte_of_an_export_is_refused_by_the_independent_verifier() {
    let Some(script) = outside::ledger_auditor() else {
        return;
    };
    let (dir, store) = filled(300);
    let out = dir.path().join("export");
    store.export(&out, &mut quiet).unwrap();
    let mut all = Vec::new();
    files(&out, &mut all);
    assert_eq!(
        all.len(),
        1 + 1 + 1 + 2 + 2 + 1,
        "vkey, vkeys, checkpoint, bundles, leaves, level 1: {all:?}"
    );
    let output = std::process::Command::new("python3")
        .args(["-c", MATRIX])
        .args([script.as_os_str(), out.as_os_str()])
        .arg(store.vkey())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let refused: u32 = said
        .trim()
        .strip_prefix("refused ")
        .unwrap()
        .parse()
        .unwrap();
    assert!(refused > 500, "{refused}");
}
