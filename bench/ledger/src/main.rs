//! How fast the ledger records, proves and verifies, and hashes beside Cloudflare's `tlog_tiles`.
//!
//!     cargo run --release --manifest-path bench/ledger/Cargo.toml -- [ENTRIES [FOLDER]]
//!
//! FOLDER must lie on the disk whose durability is measured (default: the temporary folder).
//! One process, one run, the same leaves for both hashers, which take turns.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use ledger::{CompactTree, leaf_hash};
use model::{Entry, Notice, Timestamp};
use store::{Durability, Store, StoreOptions};
use tlog_tiles::tlog::{self, HashReader};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Single appends wait for the disk each; this many show enough.
const SINGLES: u64 = 500;
const BATCH: u64 = 4_096;
const PROOFS: u64 = 10_000;
/// Turns of the two hashers.
const TURNS: usize = 5;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let dir = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    single(&dir.path().join("single"))?;
    let state = dir.path().join("batched");
    batched(&state, entries)?;
    proofs(&state, entries)?;
    verification(&state, entries)?;
    hashing(&state, entries)
}

fn entry(n: u64) -> Entry {
    Entry::Notice(Notice {
        at: Timestamp::from_seconds(1_795_000_000),
        code: "bench".to_owned(),
        text: format!("one of many entries, of a usual length; this one is number {n}"),
        prefixes: Vec::new(),
    })
}

fn open(state: &Path) -> Outcome<Store> {
    let options = StoreOptions {
        origin: Some("log.example/bench".to_owned()),
        durability: Durability::PowerLoss,
    };
    Ok(Store::open(state, options)?)
}

fn rate(what: &str, count: u64, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!(
        "{what:<58} {rate:>12.0} /s   ({count} in {:.3} s)",
        took.as_secs_f64()
    );
}

fn single(state: &Path) -> Outcome<()> {
    let mut store = open(state)?;
    let begin = Instant::now();
    for n in 0..SINGLES {
        store.append(&[entry(n)], Timestamp::from_seconds(1_795_000_000))?;
    }
    rate("entries, durable one by one", SINGLES, begin.elapsed());
    Ok(())
}

fn batched(state: &Path, entries: u64) -> Outcome<()> {
    let mut store = open(state)?;
    let mut took = Duration::ZERO;
    let mut done = 0;
    while done < entries {
        let next = (done + BATCH).min(entries);
        let batch: Vec<Entry> = (done..next).map(entry).collect();
        let begin = Instant::now();
        store.append(&batch, Timestamp::from_seconds(1_795_000_000))?;
        took += begin.elapsed();
        done = next;
    }
    rate("entries, durable 4,096 at a time", entries, took);
    Ok(())
}

fn proofs(state: &Path, entries: u64) -> Outcome<()> {
    let store = Store::open_read_only(state)?;
    let key = ledger::VerifyingKey::parse(&store.vkey())?;
    let begin = Instant::now();
    let mut kept = Vec::new();
    for n in 0..PROOFS {
        // Spread over the tree, the same every time.
        let index = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % entries;
        let proof = store.proof(index)?;
        if n % 100 == 0 {
            kept.push((index, proof));
        }
    }
    rate(
        "inclusion proofs made (with signed checkpoint)",
        PROOFS,
        begin.elapsed(),
    );
    for (index, proof) in kept {
        proof.verify(&store.entry(index)?.leaf_bytes, &key)?;
    }
    Ok(())
}

fn verification(state: &Path, entries: u64) -> Outcome<()> {
    let store = Store::open_read_only(state)?;
    let begin = Instant::now();
    let report = store.verify(&mut |_, _| {})?;
    assert_eq!(report.entries, entries);
    rate(
        "entries verified, from payloads to tables",
        entries,
        begin.elapsed(),
    );
    Ok(())
}

/// What `tlog_tiles` calls stored hashes, in memory.
struct Kept(Vec<tlog::Hash>);

impl HashReader for Kept {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|i| self.0[*i as usize]).collect())
    }
}

fn hashing(state: &Path, entries: u64) -> Outcome<()> {
    let store = Store::open_read_only(state)?;
    let mut leaves = Vec::new();
    store.for_each_entry(0..entries, &mut |stored| {
        leaves.push(stored.leaf_bytes);
        Ok(())
    })?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let begin = Instant::now();
        let mut tree = CompactTree::new();
        let mut kept = 0_u64;
        for leaf in &leaves {
            tree.push(leaf_hash(leaf), &mut |_, _| kept += 1);
        }
        let root = tree.root();
        ours.push(begin.elapsed());

        let begin = Instant::now();
        let mut hashes = Kept(Vec::new());
        for (n, leaf) in (0..).zip(&leaves) {
            let new = tlog::stored_hashes(n, leaf, &hashes)?;
            hashes.0.extend(new);
        }
        let other = tlog::tree_hash(entries, &hashes)?;
        theirs.push(begin.elapsed());
        assert_eq!(root.0, other.0, "both give the same root");
        assert_eq!(
            kept,
            hashes.0.len() as u64,
            "both complete the same subtrees"
        );
    }
    ours.sort();
    theirs.sort();
    let (own, other) = (ours[TURNS / 2], theirs[TURNS / 2]);
    rate(
        "leaves hashed to a root, this ledger (median of 5)",
        entries,
        own,
    );
    rate(
        "leaves hashed to a root, tlog_tiles 0.2.0 (median of 5)",
        entries,
        other,
    );
    println!(
        "{:<58} {:>12.2} x",
        "ratio",
        other.as_secs_f64() / own.as_secs_f64()
    );
    Ok(())
}
