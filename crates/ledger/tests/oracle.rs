//! The same trees and proofs by another implementation of RFC 6962.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ledger::{
    CompactTree, Hash, Node, consistency_proof, inclusion_proof, leaf_hash, verify_consistency,
    verify_inclusion,
};
use proptest::prelude::*;
use sha2::Sha256;
use std::collections::HashMap;

struct Ours {
    leaves: Vec<Hash>,
    nodes: HashMap<Node, Hash>,
    /// The root at every size.
    roots: Vec<Hash>,
}

fn ours(size: u64) -> Ours {
    let mut tree = CompactTree::new();
    let mut all = Ours {
        leaves: vec![],
        nodes: HashMap::new(),
        roots: vec![tree.root()],
    };
    for i in 0..size {
        let leaf = leaf_hash(&i.to_be_bytes());
        all.leaves.push(leaf);
        tree.push(leaf, &mut |node, hash| {
            assert_eq!(
                all.nodes.insert(node, *hash),
                None,
                "each node is told of once"
            );
        });
        all.roots.push(tree.root());
    }
    all
}

fn oracle(size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|i| tree.push(i.to_be_bytes().to_vec()));
    tree
}

fn flat(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|h| h.0).collect()
}

#[test]
fn roots_and_proofs_agree() {
    let all = ours(70);
    for size in 1..=70u64 {
        let other = oracle(size);
        let root = all.roots[size as usize];
        assert_eq!(other.root().as_bytes().as_slice(), root.0);
        let mut read = |node: Node| all.nodes.get(&node).copied();
        for index in 0..size {
            let proof = inclusion_proof(index, size, &mut read).unwrap();
            assert_eq!(
                flat(&proof),
                other.prove_inclusion(index as usize).as_bytes()
            );
            let leaf = all.leaves[index as usize];
            verify_inclusion(index, size, &leaf, &proof, &root).unwrap();
        }
        for old in 1..size {
            let proof = consistency_proof(old, size, &mut read).unwrap();
            let theirs = other.prove_consistency((size - old) as usize);
            assert_eq!(flat(&proof), theirs.as_bytes(), "{old} to {size}");
            verify_consistency((old, &all.roots[old as usize]), (size, &root), &proof).unwrap();
        }
        verify_consistency((0, &all.roots[0]), (size, &root), &[]).unwrap();
        verify_consistency((size, &root), (size, &root), &[]).unwrap();
    }
}

proptest! {
    #[test]
    fn a_changed_proof_is_refused(
        size in 2u64..300, index: u64, old: u64, at: usize, bit in 0usize..256, cut: bool,
    ) {
        let all = ours(size);
        let root = all.roots[size as usize];
        let (index, old) = (index % size, 1 + old % (size - 1));
        let mut read = |node: Node| all.nodes.get(&node).copied();
        let inclusion = inclusion_proof(index, size, &mut read).unwrap();
        let consistency = consistency_proof(old, size, &mut read).unwrap();
        let old_root = all.roots[old as usize];
        let leaf = all.leaves[index as usize];
        let change = |proof: &[Hash]| {
            let mut proof = proof.to_vec();
            let at = at % proof.len();
            if cut { proof.remove(at); } else { proof[at].0[bit / 8] ^= 1 << (bit % 8); }
            proof
        };
        prop_assert!(verify_inclusion(index, size, &leaf, &inclusion, &root).is_ok());
        prop_assert!(verify_inclusion(index, size, &leaf, &change(&inclusion), &root).is_err());
        let wrong_leaf = all.leaves[((index + 1) % size) as usize];
        prop_assert!(verify_inclusion(index, size, &wrong_leaf, &inclusion, &root).is_err());
        prop_assert!(
            verify_consistency((old, &old_root), (size, &root), &consistency).is_ok()
        );
        prop_assert!(
            verify_consistency((old, &old_root), (size, &root), &change(&consistency)).is_err()
        );
        prop_assert!(
            verify_consistency((old, &root), (size, &root), &consistency).is_err()
        );
    }

    #[test]
    fn any_numbers_are_taken_or_refused(
        index: u64, size: u64, old: u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<Hash> = proof.into_iter().map(Hash).collect();
        let hash = Hash([0; 32]);
        prop_assert!(verify_inclusion(index, size, &hash, &proof, &hash).is_err());
        let _ = verify_consistency((old, &hash), (size, &hash), &proof);
        let mut none = |_: Node| None;
        let _ = inclusion_proof(index, size, &mut none);
        let _ = consistency_proof(old, size, &mut none);
    }
}
