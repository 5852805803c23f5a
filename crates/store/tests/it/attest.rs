//! What others say of the ledger, and two keys at once: kept, published, checked.

use std::{fs, path::Path};

use ledger::{AddCheckpoint, Checkpoint, CosigningKey, Seen, VerifyingKey, judge};
use rusqlite::Connection;
use store::{Alarm, Attestations, Content, Stamp, Store, StoreError, VerifyAgainst, WitnessSetup};

use crate::samples::{any, at, filled, many, notice, options, quiet};

fn witness(seed: u8) -> CosigningKey {
    CosigningKey::from_seed(&format!("w{seed}.example/witness"), [seed; 32]).unwrap()
}

fn setup(seed: u8) -> WitnessSetup {
    WitnessSetup {
        name: format!("w{seed}"),
        vkey: witness(seed).public().to_string(),
        url: format!("http://127.0.0.1:{seed}/"),
    }
}

fn both() -> String {
    format!(
        "witness w1 {}\nwitness w2 {}\ngroup g all w1 w2\nquorum g\n",
        witness(1).public(),
        witness(2).public()
    )
}

/// A ledger with two witnesses and a policy that wants both.
fn watched(size: u64) -> (tempfile::TempDir, Store, Attestations) {
    let (dir, store) = filled(size);
    let mut attestations = Attestations::open(store.dir()).unwrap();
    attestations
        .configure(&[setup(1), setup(2)], Some(&both()))
        .unwrap();
    (dir, store, attestations)
}

fn cosign(attestations: &mut Attestations, seed: u8, time: u64) -> bool {
    let (_, note) = attestations.newest().unwrap();
    let line = witness(seed).cosign(note.as_bytes(), time).unwrap();
    let vkey = witness(seed).public().to_string();
    attestations
        .cosigned(&note, &vkey, &line, at(time))
        .unwrap()
}

fn opened(note: &str, store: &Store) -> u64 {
    let key = VerifyingKey::parse(&store.vkey()).unwrap();
    Checkpoint::open(note.as_bytes(), &key).unwrap().size
}

#[test]
fn a_checkpoint_is_published_when_the_policy_is_met_and_proofs_carry_it() {
    let (_dir, mut store, mut attestations) = watched(300);
    assert!(!cosign(&mut attestations, 1, 7), "one of two is too few");
    assert!(store.cosigned_checkpoint().unwrap() == store.checkpoint().unwrap());
    assert!(cosign(&mut attestations, 2, 8));
    store.append(&many(300..400), at(400)).unwrap();
    let shown = store.cosigned_checkpoint().unwrap();
    assert_eq!(opened(&shown, &store), 300);
    for seed in [1, 2] {
        let time = witness(seed).public().verify(shown.as_bytes());
        assert_eq!(time, Ok(Some(6 + u64::from(seed))));
    }
    let key = VerifyingKey::parse(&store.vkey()).unwrap();
    for (index, covered) in [(0, true), (299, true), (300, false), (399, false)] {
        let proof = store.proof(index).unwrap();
        let leaf = store.entry(index).unwrap().leaf_bytes;
        proof.verify(&leaf, &key).unwrap();
        assert_eq!(proof.checkpoint == shown, covered, "{index}");
    }
    assert_eq!(
        store.witness_vkeys().unwrap(),
        [1, 2].map(|seed| (setup(seed).name, setup(seed).vkey))
    );
    assert_eq!(store.policy().unwrap(), Some(both()));
    let report = store.verify(&mut quiet).unwrap();
    assert_eq!((report.cosignatures, report.cosigned), (2, Some(300)));
    // Configured anew, what is known of those who stay is kept.
    attestations.configure(&[setup(2)], None).unwrap();
    let states = store.witnesses().unwrap();
    assert_eq!((states.len(), states[0].size), (1, 300));
    assert_eq!(store.cosigned_checkpoint().unwrap(), shown);
    // Where nobody is asked any more, readers are not held back; proofs still carry the best.
    attestations.configure(&[], None).unwrap();
    assert_eq!(
        store.cosigned_checkpoint().unwrap(),
        store.checkpoint().unwrap()
    );
    assert_eq!(store.proof(7).unwrap().checkpoint, shown);
}

#[test]
fn foreign_and_moved_cosignatures_are_refused() {
    let (_dir, mut store, mut attestations) = watched(20);
    let old = store.checkpoint().unwrap();
    let vkey = witness(1).public().to_string();
    let line = witness(1).cosign(old.as_bytes(), 7).unwrap();
    let by_other = witness(2).cosign(old.as_bytes(), 7).unwrap();
    store.append(&[any(20)], at(20)).unwrap();
    let new = store.checkpoint().unwrap();
    let mut refused = |note: &str, line: &str| {
        let outcome = attestations.cosigned(note, &vkey, line, at(21));
        assert!(
            matches!(outcome, Err(StoreError::Attestation { .. })),
            "{outcome:?}"
        );
    };
    refused(&new, &line);
    refused(&old, &by_other);
    refused(&old, "");
    refused(&old.replace("\n20\n", "\n19\n"), &line);
    let bad = Attestations::open(store.dir())
        .unwrap()
        .configure(&[setup(1)], Some("quorum nobody\n"));
    assert!(bad.is_err());
}

#[test]
fn refusals_of_witnesses_are_kept_until_they_cosign() {
    let (_dir, store, mut attestations) = watched(20);
    let vkey = setup(1).vkey;
    attestations
        .refused(
            &vkey,
            "it saw another",
            Some(25),
            Alarm::OtherHistory,
            at(30),
        )
        .unwrap();
    let state = store.witnesses().unwrap().remove(0);
    assert_eq!(
        (state.size, state.alarm, state.trouble.as_deref()),
        (25, true, Some("it saw another"))
    );
    cosign(&mut attestations, 1, 31);
    let state = store.witnesses().unwrap().remove(0);
    assert_eq!((state.size, state.alarm, state.trouble), (20, false, None));
}

const TAMPERINGS: &[(&str, &str)] = &[
    (
        "UPDATE cosignature SET size = 20 WHERE size = 30 AND witness LIKE 'w1%'",
        "cosignature of w1.example/witness on size 20: the signature by w1.example/witness does \
         not verify: it is of another checkpoint",
    ),
    (
        "UPDATE cosignature SET at = at + 1",
        "another than the one signed",
    ),
    (
        "UPDATE cosignature SET witness = (SELECT max(witness) FROM cosignature) WHERE witness LIKE 'w1%'",
        "UNIQUE",
    ),
    (
        "UPDATE cosignature SET line = (SELECT line FROM cosignature WHERE witness LIKE 'w2%')
         WHERE witness LIKE 'w1%'",
        "by another key",
    ),
    (
        "UPDATE cosigned SET size = 20",
        "cosigned checkpoint of size 20: it is of 30",
    ),
    (
        "UPDATE cosigned SET note = (SELECT note FROM checkpoint WHERE size = 30)",
        "published checkpoint: it does not meet the policy: cosigned by no witness",
    ),
    (
        "UPDATE cosigned SET note = replace(note, char(8212) || ' w2', char(8212) || ' w3')",
        "does not meet the policy: cosigned by w1",
    ),
    (
        "DELETE FROM cosigned",
        "published checkpoint: it does not meet the policy",
    ),
    (
        "UPDATE stamp SET checkpoint = (SELECT note FROM checkpoint WHERE size = 1) || 'x'",
        "time stamp of",
    ),
];

#[test]
fn changed_attestations_are_named() {
    let (dir, store, mut attestations) = watched(30);
    cosign(&mut attestations, 1, 7);
    cosign(&mut attestations, 2, 8);
    let stamp = Stamp {
        checkpoint: store.cosigned_checkpoint().unwrap(),
        authority: "tsa".into(),
        at: at(9),
        tsr: vec![1, 2, 3],
        ca_pem: None,
    };
    attestations.stamp(&stamp).unwrap();
    assert_eq!(store.stamps().unwrap(), [stamp]);
    assert_eq!(store.verify(&mut quiet).unwrap().stamps, 1);
    drop((store, attestations));
    let state = dir.path().join("state");
    let database = state.join("ledger.db");
    let whole = fs::read(&database).unwrap();
    for (change, named) in TAMPERINGS {
        restore(&state, &whole);
        let done = Connection::open(&database).unwrap().execute(change, []);
        match done {
            Err(e) => assert!(e.to_string().contains(named), "{change}: {e}"),
            Ok(rows) => {
                assert!(rows > 0, "nothing changed: {change}");
                let store = Store::open_read_only(&state).unwrap();
                let failure = store.verify(&mut quiet).expect_err(change).to_string();
                assert!(failure.contains(named), "{change}\n{failure}");
            }
        }
    }
}

fn restore(state: &Path, whole: &[u8]) {
    fs::write(state.join("ledger.db"), whole).unwrap();
    let _ = fs::remove_file(state.join("ledger.db-wal"));
    let _ = fs::remove_file(state.join("ledger.db-shm"));
}

/// Writes the whole history anew under the same key, with one word changed.
fn rewrite(state: &Path) {
    let store = Store::open_read_only(state).unwrap();
    let entries = store.entries(0..u64::MAX).unwrap();
    let size = entries.len() as u64;
    drop(store);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(state.join(name));
    }
    // The key is there without a database: a new one is begun by hand.
    Connection::open(state.join("ledger.db"))
        .unwrap()
        .pragma_update(None, "user_version", 0)
        .unwrap();
    let mut store = Store::open(state, options()).unwrap();
    for stored in entries {
        let Content::Kept { entry, .. } = stored.content else {
            panic!("nothing was erased");
        };
        let entry = if stored.index == 12 {
            notice(12)
        } else {
            entry
        };
        store.append(&[entry], stored.leaf.time).unwrap();
    }
    assert_eq!(store.size().unwrap(), size);
}

#[test]
fn a_rewritten_history_passes_alone_and_fails_before_a_witness() {
    let (dir, store, mut attestations) = watched(30);
    cosign(&mut attestations, 1, 7);
    cosign(&mut attestations, 2, 8);
    let seen = Checkpoint::unverified(store.checkpoint().unwrap().as_bytes()).unwrap();
    let (earlier, key) = (store.checkpoint().unwrap(), store.vkey());
    drop((store, attestations));
    let state = dir.path().join("state");
    rewrite(&state);
    let mut store = Store::open(&state, options()).unwrap();
    store.verify(&mut quiet).unwrap();
    let against = |against: VerifyAgainst| {
        let outcome = store.verify_against(&against, &mut quiet);
        outcome.expect_err("found").to_string()
    };
    let failure = against(VerifyAgainst {
        witnesses: vec![setup(1).vkey],
        ..VerifyAgainst::default()
    });
    assert!(
        failure.contains("w1.example/witness has not cosigned it"),
        "{failure}"
    );
    let failure = against(VerifyAgainst {
        policy: Some(both()),
        ..VerifyAgainst::default()
    });
    assert!(failure.contains("does not meet the policy"), "{failure}");
    let failure = against(VerifyAgainst {
        earlier: vec![("monday".into(), earlier.into_bytes())],
        ..VerifyAgainst::default()
    });
    assert!(failure.contains("monday: another history"), "{failure}");
    // Nor does the witness cosign what goes on from it.
    store.append(&[notice(31)], at(31)).unwrap();
    let request = AddCheckpoint {
        old: seen.size,
        proof: store.consistency(seen.size, store.size().unwrap()).unwrap(),
        checkpoint: store.checkpoint().unwrap(),
    };
    let seen = Seen {
        size: seen.size,
        root: seen.root,
    };
    let refusal = judge(&request, &[VerifyingKey::parse(&key).unwrap()], Some(seen));
    assert_eq!(refusal.unwrap_err().status(), 422);
}

#[test]
fn both_keys_sign_until_the_old_one_is_retired() {
    let (dir, mut store) = filled(20);
    let old = VerifyingKey::parse(&store.vkey()).unwrap();
    assert!(matches!(
        store.finish_rotation(at(20)),
        Err(StoreError::NoRotation)
    ));
    store.begin_rotation(at(21)).unwrap();
    let new = VerifyingKey::parse(&store.vkey()).unwrap();
    assert_ne!(old, new);
    assert_eq!(old.name(), new.name());
    assert!(matches!(
        store.begin_rotation(at(21)),
        Err(StoreError::RotationUnderWay)
    ));
    let during = store.checkpoint().unwrap();
    for key in [&old, &new] {
        assert_eq!(Checkpoint::open(during.as_bytes(), key).unwrap().size, 21);
    }
    drop(store);
    let mut store = Store::open(&dir.path().join("state"), options()).unwrap();
    store.verify(&mut quiet).unwrap();
    store.finish_rotation(at(22)).unwrap();
    let after = store.checkpoint().unwrap();
    assert!(Checkpoint::open(after.as_bytes(), &old).is_err());
    assert_eq!(Checkpoint::open(after.as_bytes(), &new).unwrap().size, 22);
    assert_eq!(store.vkeys(), [new.to_string(), old.to_string()]);
    assert!(!dir.path().join("state/ledger.key.previous").exists());
    // What the old key signed is still checked, by it.
    store.verify(&mut quiet).unwrap();
    drop(store);
    fs::remove_file(dir.path().join("state/ledger.vkeys")).unwrap();
    let store = Store::open_read_only(&dir.path().join("state")).unwrap();
    let failure = store.verify(&mut quiet).unwrap_err().to_string();
    assert!(failure.contains("checkpoint of size"), "{failure}");
}

#[test]
fn tiles_are_what_an_export_holds() {
    let (dir, store, mut attestations) = watched(300);
    cosign(&mut attestations, 1, 7);
    cosign(&mut attestations, 2, 8);
    let mut store = store;
    store.append(&many(300..310), at(310)).unwrap();
    let export = dir.path().join("export");
    store.export(&export, &mut quiet).unwrap();
    let shown = fs::read_to_string(export.join("checkpoint")).unwrap();
    assert_eq!(shown, store.cosigned_checkpoint().unwrap());
    let newest = fs::read_to_string(export.join("checkpoint.newest")).unwrap();
    assert_eq!(newest, store.checkpoint().unwrap());
    for size in [300, 310] {
        for tile in ledger::tiles_of(size) {
            let kept = fs::read(export.join(tile.to_string())).unwrap();
            assert_eq!(store.tile(&tile).unwrap(), Some(kept), "{tile}");
        }
    }
    for beyond in [
        "tile/entries/001.p/55",
        "tile/0/001",
        "tile/1/000.p/2",
        "tile/7/000.p/1",
        "tile/63/000.p/1",
    ] {
        let tile = ledger::Tile::parse(beyond).unwrap();
        assert_eq!(store.tile(&tile).unwrap(), None, "{beyond}");
    }
    assert_eq!(fs::read_to_string(export.join("policy")).unwrap(), both());
    // Once all is cosigned nothing is left over.
    cosign(&mut attestations, 1, 9);
    cosign(&mut attestations, 2, 9);
    store.export(&export, &mut quiet).unwrap();
    assert!(!export.join("checkpoint.newest").exists());
}
