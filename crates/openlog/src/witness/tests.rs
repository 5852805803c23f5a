use ledger::{CompactTree, Node, SigningKey, consistency_proof, leaf_hash};

use super::*;

pub(crate) struct Log {
    pub(crate) key: SigningKey,
    nodes: BTreeMap<Node, Hash>,
    roots: Vec<Hash>,
}

impl Log {
    fn new(salt: u8, size: u64) -> Self {
        let key = SigningKey::from_seed("log.example/evidence", [3; 32]).unwrap();
        let (mut tree, mut nodes) = (CompactTree::new(), BTreeMap::new());
        let mut roots = vec![tree.root()];
        for i in 0..size {
            let leaf = leaf_hash(&[&[salt], &i.to_be_bytes()[..]].concat());
            tree.push(leaf, &mut |node, hash| {
                nodes.insert(node, *hash);
            });
            roots.push(tree.root());
        }
        Self { key, nodes, roots }
    }

    fn ask(&self, old: u64, size: u64) -> Vec<u8> {
        let proof = consistency_proof(old, size, &mut |n| self.nodes.get(&n).copied()).unwrap();
        let checkpoint = Checkpoint::sign(size, &self.roots[size as usize], &self.key);
        let request = AddCheckpoint {
            old,
            proof,
            checkpoint,
        };
        request.encode().into_bytes()
    }
}

fn options(dir: &std::path::Path, log: &Log) -> WitnessOptions {
    WitnessOptions {
        dir: dir.join("witness"),
        name: Some("w.example/witness".into()),
        logs: vec![log.key.public().clone()],
    }
}

fn status(outcome: &Result<String, Declined>) -> u16 {
    match outcome {
        Ok(_) => 200,
        Err(Declined::Refused(refusal)) => refusal.status(),
        Err(Declined::Unkept(_)) => 500,
    }
}

#[test]
fn what_was_cosigned_is_remembered_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fork) = (Log::new(0, 40), Log::new(1, 40));
    let witness = Witness::open(options(dir.path(), &log)).unwrap();
    let vkey = witness.vkey();
    let line = witness.add_checkpoint(&log.ask(0, 7)).ok().unwrap();
    let id = id_of("log.example/evidence");
    let note = witness.latest(&id).unwrap();
    assert!(note.ends_with(&line));
    assert!(witness.latest(&id_of("other")).is_none());
    assert!(matches!(
        Witness::open(options(dir.path(), &log)),
        Err(OpenLogError::Locked { .. })
    ));
    drop(witness);
    let mut again = options(dir.path(), &log);
    (again.logs, again.name) = (Vec::new(), None);
    let witness = Witness::open(again).unwrap();
    assert_eq!(witness.vkey(), vkey);
    assert_eq!(witness.latest(&id), Some(note));
    assert_eq!(status(&witness.add_checkpoint(&fork.ask(0, 8))), 409);
    assert_eq!(status(&witness.add_checkpoint(&fork.ask(7, 20))), 422);
    assert_eq!(status(&witness.add_checkpoint(&fork.ask(7, 7))), 409);
    assert_eq!(status(&witness.add_checkpoint(&log.ask(7, 20))), 200);
    assert_eq!(status(&witness.add_checkpoint(&log.ask(20, 20))), 200);
}

#[test]
fn a_damaged_memory_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(0, 40);
    let witness = Witness::open(options(dir.path(), &log)).unwrap();
    witness.add_checkpoint(&log.ask(0, 7)).ok().unwrap();
    drop(witness);
    let file = dir
        .path()
        .join("witness/logs")
        .join(id_of("log.example/evidence"));
    for bad in ["", "nonsense", "other.example\n7\nAAAA\n"] {
        std::fs::write(&file, bad).unwrap();
        let opened = Witness::open(options(dir.path(), &log));
        assert!(
            matches!(opened, Err(OpenLogError::Damaged { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn a_checkpoint_that_cannot_be_kept_is_not_cosigned_and_not_contradicted() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fork) = (Log::new(0, 40), Log::new(1, 40));
    let witness = Witness::open(options(dir.path(), &log)).unwrap();
    let logs = dir.path().join("witness/logs");
    // A folder in the place of the file that would be written: not even root gets past it.
    let blocked = logs.join(format!("{}.new", id_of("log.example/evidence")));
    std::fs::create_dir(&blocked).unwrap();
    assert_eq!(status(&witness.add_checkpoint(&log.ask(0, 7))), 500);
    std::fs::remove_dir(&blocked).unwrap();
    assert_eq!(status(&witness.add_checkpoint(&fork.ask(0, 7))), 409);
    assert_eq!(status(&witness.add_checkpoint(&log.ask(7, 8))), 200);
}

#[test]
fn strangers_signatures_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(0, 7);
    let witness = Witness::open(options(dir.path(), &log)).unwrap();
    let stranger = SigningKey::from_seed("log.example/evidence", [9; 32]).unwrap();
    let request = AddCheckpoint {
        old: 0,
        proof: Vec::new(),
        checkpoint: Checkpoint::sign_by_both(7, &log.roots[7], &stranger, &log.key),
    };
    witness
        .add_checkpoint(request.encode().as_bytes())
        .ok()
        .unwrap();
    let note = witness.latest(&id_of("log.example/evidence")).unwrap();
    assert_eq!(
        note.lines().filter(|l| l.starts_with('\u{2014}')).count(),
        2
    );
    assert!(Checkpoint::open(note.as_bytes(), stranger.public()).is_err());
}
