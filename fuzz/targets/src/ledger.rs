//! What an outsider hands a verifier: checkpoints, tiles, leaves, proofs and keys.

use std::sync::LazyLock;

use ledger::{
    AddCheckpoint, Checkpoint, CosignerKey, CosigningKey, Hash, Leaf, Policy, ProofFile, Seen,
    SigningKey, Tile, VerifyingKey, add_signatures, decode_tile, encode_bundle_entry, fuzzing,
    judge, leaf_hash, parse_bundle, verify_consistency, verify_inclusion,
};

use crate::knob;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    SigningKey::from_seed("log.example/evidence", [3; 32]).expect("a name and a seed")
});

/// The first byte says what the rest is to be read as; what is taken prints as it was read.
pub fn checkpoint(data: &[u8]) {
    let (kind, data) = knob(data);
    let text = std::str::from_utf8(data).ok();
    match (kind % 10, text) {
        (0, _) => drop(Checkpoint::open(data, KEY.public())),
        (1, Some(text)) => signed_text(text),
        (2, Some(text)) => {
            if let Ok(tile) = Tile::parse(text) {
                assert_eq!(tile.to_string(), text);
                let _ = (tile.height(), tile.first());
            }
        }
        (3, _) => {
            if let Ok(leaf) = Leaf::parse(data) {
                assert_eq!(leaf.encode(), data);
            }
        }
        (4, _) => {
            if let Ok(file) = ProofFile::parse(data) {
                assert_eq!(file.encode().as_bytes(), data);
                assert!(
                    file.verify(b"leaf", KEY.public()).is_err(),
                    "a proof from nothing"
                );
            }
        }
        (5, Some(text)) => {
            if let Ok(key) = VerifyingKey::parse(text) {
                assert_eq!(key.to_string(), text);
            }
        }
        (6, Some(text)) => {
            if let Ok(key) = SigningKey::parse(text) {
                assert_eq!(key.to_secret_text(), text);
            }
        }
        (7, _) => bundle(data),
        (8, _) => {
            let (width, bytes) = knob(data);
            if let Ok(hashes) = decode_tile(bytes, u16::from(width)) {
                assert_eq!(hashes.len(), usize::from(width));
                assert!(
                    hashes
                        .iter()
                        .map(|hash| hash.0)
                        .collect::<Vec<_>>()
                        .concat()
                        == bytes
                );
            }
        }
        (9, _) => proofs(data),
        _ => {}
    }
}

/// A log may sign anything: what is taken must still be the one spelling.
fn signed_text(text: &str) {
    if !text.ends_with('\n') {
        return;
    }
    let note = fuzzing::signed(text, &KEY);
    let Ok(opened) = Checkpoint::open(note.as_bytes(), KEY.public()) else {
        return;
    };
    let root = opened.root.to_base64();
    let mut again = format!("{}\n{}\n{root}\n", opened.origin, opened.size);
    for extension in &opened.extensions {
        again += extension;
        again.push('\n');
    }
    assert_eq!(again, text);
}

fn bundle(data: &[u8]) {
    let (width, bytes) = knob(data);
    if let Ok(entries) = parse_bundle(bytes, u16::from(width)) {
        assert_eq!(entries.len(), usize::from(width));
        let mut again = Vec::new();
        for entry in entries {
            encode_bundle_entry(entry, &mut again).expect("it was in a bundle");
        }
        assert_eq!(again, bytes);
    }
}

/// Two numbers, two hashes and a path: a path that was not computed proves nothing.
fn proofs(data: &[u8]) {
    let Some((numbers, rest)) = data.split_at_checked(16) else {
        return;
    };
    let number = |at: usize| {
        numbers
            .iter()
            .skip(at)
            .take(8)
            .fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
    };
    let (small, large) = (number(0), number(8));
    let hashes: Vec<Hash> = rest
        .chunks_exact(Hash::BYTES)
        .filter_map(Hash::from_slice)
        .collect();
    let [first, second, path @ ..] = hashes.as_slice() else {
        return;
    };
    let leaf = leaf_hash(b"leaf");
    let included = verify_inclusion(small, large, &leaf, path, first);
    assert!(included.is_err(), "an inclusion from nothing");
    if verify_consistency((small, first), (large, second), path).is_ok() {
        // Every tree grows from the empty one, and is as it is.
        assert!(
            small == 0 || small == large && first == second,
            "a consistency from nothing"
        );
    }
}

static WITNESS: LazyLock<CosigningKey> = LazyLock::new(|| {
    CosigningKey::from_seed("w.example/witness", [5; 32]).expect("a name and a seed")
});

/// What logs ask of witnesses, what witnesses answer, and policies about both.
pub fn witness(data: &[u8]) {
    let (kind, data) = knob(data);
    let text = std::str::from_utf8(data).ok();
    match (kind % 5, text) {
        (0, _) => request(data),
        (1, Some(text)) => policy(text),
        (2, Some(text)) => {
            if let Ok(key) = CosignerKey::parse(text) {
                assert_eq!(key.to_string(), text);
            }
        }
        (3, _) => {
            // Nobody but us has the key.
            assert!(!matches!(WITNESS.public().verify(data), Ok(Some(_))));
        }
        (4, Some(text)) => answer(text),
        _ => {}
    }
}

/// A request that someone made up is never cosigned; what is taken prints as it was read.
fn request(data: &[u8]) {
    let Ok(request) = AddCheckpoint::parse(data) else {
        return;
    };
    assert_eq!(request.encode().as_bytes(), data);
    let keys = [KEY.public().clone()];
    let seen = Seen {
        size: 7,
        root: Hash([7; 32]),
    };
    assert!(judge(&request, &keys, Some(seen)).is_err());
    assert!(judge(&request, &keys, None).is_err());
}

fn policy(text: &str) {
    let Ok(policy) = Policy::parse(text.as_bytes()) else {
        return;
    };
    let note = Checkpoint::sign(42, &Hash([9; 32]), &KEY);
    if let Ok(judged) = policy.judge(note.as_bytes(), &[KEY.public().clone()]) {
        assert!(judged.cosigned.is_empty(), "cosigned by nobody");
    }
}

/// A witness's answer: of it only a cosignature that holds is picked.
fn answer(lines: &str) {
    let note = Checkpoint::sign(42, &Hash([9; 32]), &KEY);
    assert!(!matches!(WITNESS.public().pick(&note, lines), Ok(Some(_))));
    if let Ok(sum) = add_signatures(&note, lines) {
        assert!(Checkpoint::open(sum.as_bytes(), KEY.public()).is_ok() || lines.contains("log."));
    }
}

/// An authority's answer, over what the seeds were made for. Without a root nobody is vouched for,
/// and the answer to another question is never taken.
pub fn time_stamp(data: &[u8]) {
    let imprint = openlog::Imprint::of(b"seed");
    if let Ok(token) = openlog::checked(data, imprint, None, &[]) {
        assert!(!token.vouched && !token.serial.is_empty());
    }
    assert!(openlog::checked(data, openlog::Imprint([9; 32]), None, &[]).is_err());
    assert!(openlog::checked(data, imprint, Some([0; 8]), &[]).is_err());
}
