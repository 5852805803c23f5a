//! Twelve ways to change a ledger behind everybody's back, each found and named; and the one that
//! only a witness finds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ledger::{Checkpoint, CosigningKey, SigningKey, Tile};
use model::{Decision, Entry, Measure, Notice, Origin, Prefix, Timestamp};
use rusqlite::Connection;
use store::{Attestations, Content, Durability, Store, StoreError, StoreOptions, WitnessSetup};

use crate::support::{posse, stdout};

const SIZE: u64 = 300;
const ORIGIN: &str = "log.example/tampering";

fn at(n: u64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000).plus(std::time::Duration::from_secs(n))
}

fn entry(n: u64) -> Entry {
    if n.is_multiple_of(3) {
        return Entry::Decision(Decision {
            measure: Measure::Ban,
            prefix: Prefix::host(std::net::Ipv4Addr::new(203, 0, 113, (n % 250) as u8).into()),
            from: at(n),
            until: at(n + 14_400),
            reason: format!("by hand, number {n}"),
            origin: Origin::Operator {
                name: "root".into(),
            },
            alerts: vec![],
            repeat: 0,
            in_kernel: None,
        });
    }
    Entry::Notice(Notice {
        at: at(n),
        code: "test".into(),
        text: format!("number {n}"),
        prefixes: vec![],
    })
}

fn witness() -> CosigningKey {
    CosigningKey::from_seed("w.example/witness", [7; 32]).unwrap()
}

fn open(state: &Path) -> Store {
    open_as(state, ORIGIN)
}

/// A child that another test is about to start holds our lock for a moment.
pub(crate) fn open_as(state: &Path, origin: &str) -> Store {
    for _ in 0..500 {
        let options = StoreOptions {
            origin: Some(origin.to_owned()),
            durability: Durability::ProcessCrash,
        };
        match Store::open(state, options) {
            Err(StoreError::Locked { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", state.display());
}

fn cosign(store: &Store) {
    let mut book = Attestations::open(store.dir()).unwrap();
    let vkey = witness().public().to_string();
    let setup = WitnessSetup {
        name: "w".into(),
        vkey: vkey.clone(),
        url: "http://127.0.0.1:9/".into(),
    };
    let policy = format!("witness w {vkey}\nquorum w\n");
    book.configure(&[setup], Some(&policy)).unwrap();
    let (_, note) = book.newest().unwrap();
    let line = witness().cosign(note.as_bytes(), 1_795_000_000).unwrap();
    assert!(book.cosigned(&note, &vkey, &line, at(0)).unwrap());
}

/// A ledger of 300 entries, cosigned at 200 and at 300; what outsiders kept of it.
struct Scene {
    dir: tempfile::TempDir,
    vkey: String,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old");
        fs::create_dir(&old).unwrap();
        let mut store = open(&dir.path().join("state"));
        for n in 0..SIZE {
            store.append(&[entry(n)], at(n)).unwrap();
            if n + 1 == 200 || n + 1 == SIZE {
                cosign(&store);
                fs::write(old.join(format!("{}", n + 1)), store.checkpoint().unwrap()).unwrap();
            }
        }
        let vkey = store.vkey();
        drop(store);
        fs::rename(dir.path().join("state"), dir.path().join("good")).unwrap();
        let scene = Self { dir, vkey };
        scene.restore();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn restore(&self) {
        let _ = fs::remove_dir_all(self.state());
        let copied = Command::new("cp")
            .arg("-a")
            .args([self.path("good"), self.state()])
            .status();
        assert!(copied.unwrap().success());
    }

    fn sql(&self, change: &str) {
        let db = Connection::open(self.state().join("ledger.db")).unwrap();
        db.execute_batch(change).unwrap();
    }

    /// What `posse ledger verify` says, with all that an outsider knows.
    fn verify(&self, flags: &[&str]) -> (bool, String) {
        let state = self.state().display().to_string();
        let output = posse(&[&["ledger", "verify", "--state", &state], flags].concat());
        (output.status.success(), stdout(&output))
    }

    fn verify_as_outsider(&self) -> (bool, String) {
        let (old, witness) = (
            self.path("old").display().to_string(),
            witness().public().to_string(),
        );
        self.verify(&["--vkey", &self.vkey, "--witness", &witness, "--old", &old])
    }

    fn export(&self) -> PathBuf {
        let to = self.path("export");
        let _ = fs::remove_dir_all(&to);
        let words = ["ledger", "export", &to.display().to_string(), "--state"];
        let output = posse(&[&words[..], &[&self.state().display().to_string()]].concat());
        assert!(output.status.success(), "{output:?}");
        to
    }

    /// What the outside auditor says of an export; `None`: it is not here.
    fn audit(&self, export: &Path, with_witness: bool) -> Option<(bool, String)> {
        let script = outside::ledger_auditor()?;
        let mut command = Command::new("python3");
        command.arg(script).arg("audit").arg(export).arg(&self.vkey);
        if with_witness {
            command.arg("--witness").arg(witness().public().to_string());
        }
        let output = command.output().unwrap();
        Some((output.status.success(), stdout(&output)))
    }
}

/// What is done, and what `posse ledger verify` must name.
const IN_THE_DATABASE: &[(&str, &str, &str)] = &[
    (
        "an entry's payload edited",
        "UPDATE entry SET payload = CAST(replace(payload, 'number 70', 'number 71') AS BLOB) WHERE idx = 70",
        "entry 70: its payload is not the one its leaf commits to",
    ),
    (
        "an entry deleted",
        "DELETE FROM entry WHERE idx = 70",
        "entry 70: it is missing",
    ),
    (
        "two entries in each other's place",
        "CREATE TEMP TABLE t AS SELECT * FROM entry WHERE idx IN (70, 71);
         UPDATE entry SET (leaf, leaf_hash, salt, payload) =
           (SELECT leaf, leaf_hash, salt, payload FROM t WHERE t.idx = 141 - entry.idx)
         WHERE idx IN (70, 71)",
        "entry 70: its leaf says it is entry 71",
    ),
    (
        "a salt changed",
        "UPDATE entry SET salt = zeroblob(32) WHERE idx = 70",
        "entry 70: its payload is not the one its leaf commits to",
    ),
    (
        "a leaf and its hash replaced by another's",
        "UPDATE entry SET leaf_hash = (SELECT leaf_hash FROM entry WHERE idx = 5) WHERE idx = 70",
        "entry 70: its leaf does not hash to the hash kept",
    ),
    (
        "a tree node changed",
        "UPDATE node SET hash = zeroblob(32)",
        "entry 255: tree node",
    ),
    (
        "a kept checkpoint changed",
        "UPDATE checkpoint SET note = replace(note, char(10) || '9' || char(10), char(10) || '8' || char(10)) WHERE size = 9",
        "checkpoint of size 9:",
    ),
    (
        "the last checkpoint deleted",
        "DELETE FROM checkpoint WHERE size = 300",
        "checkpoint history:",
    ),
    (
        "a cosignature moved to another checkpoint",
        "DELETE FROM cosignature WHERE size = 200; UPDATE cosignature SET size = 200",
        "cosignature of w.example/witness on size 200: the signature by w.example/witness does not verify",
    ),
    (
        "a table's row changed",
        "UPDATE ban SET until = until - 1 WHERE idx = 99",
        "of projection ban:",
    ),
];

#[test]
fn twelve_tamperings_are_each_found_and_named() {
    let scene = Scene::new();
    let (good, words) = scene.verify_as_outsider();
    assert!(good, "{words}");
    for (what, change, named) in IN_THE_DATABASE {
        scene.restore();
        scene.sql(change);
        let (good, words) = scene.verify_as_outsider();
        assert!(!good, "{what} passed");
        assert!(words.contains(named), "{what}: {words}");
    }
    for (what, tamper, named) in ON_FILES {
        scene.restore();
        tamper(&scene);
        let (good, words) = scene.verify_as_outsider();
        assert!(!good, "{what} passed");
        assert!(words.contains(named), "{what}: {words}");
    }
}

type Tampering = (&'static str, fn(&Scene), &'static str);

const ON_FILES: &[Tampering] = &[
    (
        "the log's key swapped",
        swap_key,
        "no signature by log.example/tampering",
    ),
    (
        "a checkpoint forged with another key",
        forge,
        "checkpoint of size 9:",
    ),
    ("a rollback", roll_back, "another history"),
    ("a fork", fork, "another history"),
];

fn swap_key(scene: &Scene) {
    let other = SigningKey::from_seed(ORIGIN, [42; 32]).unwrap();
    let text = format!("{}\n", other.to_secret_text());
    fs::write(scene.state().join("ledger.key"), text).unwrap();
}

fn forge(scene: &Scene) {
    let store = Store::open_read_only(&scene.state()).unwrap();
    let root = Checkpoint::unverified(store.checkpoint().unwrap().as_bytes())
        .unwrap()
        .root;
    drop(store);
    let other = SigningKey::from_seed(ORIGIN, [42; 32]).unwrap();
    let note = Checkpoint::sign(9, &root, &other).replace('\'', "''");
    scene.sql(&format!(
        "UPDATE checkpoint SET note = '{note}' WHERE size = 9"
    ));
}

/// Everything as it may have been at 250 entries, and other things from there on.
fn other_end(scene: &Scene, size: u64) {
    let entries = {
        let store = Store::open_read_only(&scene.state()).unwrap();
        store.entries(0..250).unwrap()
    };
    begin_anew(&scene.state());
    let mut store = open(&scene.state());
    for stored in entries {
        let Content::Kept { entry, .. } = stored.content else {
            panic!("nothing was erased");
        };
        store.append(&[entry], stored.leaf.time).unwrap();
    }
    for n in 250..size {
        store.append(&[entry(n + 1_000)], at(n)).unwrap();
    }
}

fn begin_anew(state: &Path) {
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(state.join(name));
    }
    let db = Connection::open(state.join("ledger.db")).unwrap();
    db.pragma_update(None, "user_version", 0).unwrap();
}

fn roll_back(scene: &Scene) {
    // Salts are drawn anew, so not even the common beginning is the same.
    other_end(scene, 250);
}

fn fork(scene: &Scene) {
    other_end(scene, SIZE);
}

#[test]
fn changed_files_of_an_export_are_named_by_an_outsider() {
    let scene = Scene::new();
    let export = scene.export();
    let Some((good, words)) = scene.audit(&export, true) else {
        return;
    };
    assert!(good, "{words}");
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for (tile, named) in [
        ("tile/entries/000", "does not hash to its leaf"),
        ("tile/0/000", "does not hash to its leaf"),
        ("tile/1/000.p/1", "level-1 tile 0 is wrong"),
        ("checkpoint", "FAIL"),
    ] {
        assert!(tile == "checkpoint" || Tile::parse(tile).is_ok());
        let export = scene.export();
        flip(&export.join(tile));
        let (good, words) = scene.audit(&export, true).unwrap();
        assert!(!good, "{tile} passed");
        assert!(words.contains(named), "{tile}: {words}");
    }
}

#[test]
fn a_rewritten_and_resigned_history_passes_alone_and_fails_with_a_witness() {
    let scene = Scene::new();
    fork(&scene);
    let (good, words) = scene.verify(&["--vkey", &scene.vkey]);
    assert!(good, "{words}");
    assert!(
        words.contains("whoever has its key could have written all of it anew"),
        "{words}"
    );
    let (good, words) = scene.verify(&["--witness", &witness().public().to_string()]);
    assert!(
        !good && words.contains("the witness w.example/witness has not cosigned it"),
        "{words}"
    );
    let (good, words) = scene.verify(&["--old", &scene.path("old").display().to_string()]);
    assert!(!good && words.contains("another history"), "{words}");
    let export = scene.export();
    let Some((good, words)) = scene.audit(&export, false) else {
        return;
    };
    assert!(good, "{words}");
    let (good, words) = scene.audit(&export, true).unwrap();
    assert!(
        !good && words.contains("0 of 1 wanted witnesses cosigned"),
        "{words}"
    );
}
