//! Inclusion and consistency proofs: made from perfect subtrees, checked as RFC 9162 says.

use crate::{EMPTY_ROOT, Hash, LedgerError, node_hash};

/// The root of the perfect subtree over leaves `index << height .. (index + 1) << height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    pub height: u8,
    pub index: u64,
}

/// Looks a perfect subtree's hash up; `None` when it is not to be had.
pub type ReadNode<'a> = &'a mut dyn FnMut(Node) -> Option<Hash>;

/// The path from leaf `index` to the root of the tree of `size`, the leaf's sibling first.
pub fn inclusion_proof(
    index: u64,
    size: u64,
    read: ReadNode<'_>,
) -> Result<Vec<Hash>, LedgerError> {
    if index >= size {
        return Err(LedgerError::OutOfTree { size });
    }
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(subtree_hash(middle, high, read)?);
            high = middle;
        } else {
            path.push(subtree_hash(low, middle, read)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// RFC 6962 section 2.1.2: the tree of `old` leaves is the beginning of that of `new` leaves.
pub fn consistency_proof(old: u64, new: u64, read: ReadNode<'_>) -> Result<Vec<Hash>, LedgerError> {
    if old > new {
        return Err(LedgerError::Backwards { old, new });
    }
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut low, mut high) = (0, new);
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(subtree_hash(middle, high, read)?);
            high = middle;
        } else {
            path.push(subtree_hash(low, middle, read)?);
            low = middle;
        }
    }
    // The old root itself is known to the verifier when it is one perfect subtree.
    if low > 0 {
        path.push(subtree_hash(low, high, read)?);
    }
    path.reverse();
    Ok(path)
}

/// The hash over leaves `low .. high`, where `low` is a multiple of the power of two that is not
/// less than the range's length (as all ranges are into which RFC 6962 splits a tree).
pub fn subtree_hash(low: u64, high: u64, read: ReadNode<'_>) -> Result<Hash, LedgerError> {
    let mut perfect = Vec::new();
    let mut at = low;
    while at < high {
        let height = u8::try_from((high - at).ilog2()).unwrap_or(u8::MAX);
        let node = Node {
            height,
            index: at >> height,
        };
        let missing = LedgerError::NodeMissing {
            height,
            index: node.index,
        };
        perfect.push(read(node).ok_or(missing)?);
        at += 1 << height;
    }
    let Some(last) = perfect.pop() else {
        return Ok(EMPTY_ROOT);
    };
    Ok(perfect
        .iter()
        .rev()
        .fold(last, |right, left| node_hash(left, &right)))
}

/// The largest power of two less than `n`, for `n` of at least 2.
const fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), LedgerError> {
    if index >= size {
        return Err(LedgerError::OutOfTree { size });
    }
    let (mut first, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for p in proof {
        if last == 0 {
            return Err(LedgerError::ProofTooLong);
        }
        if first & 1 == 1 || first == last {
            hash = node_hash(p, &hash);
            while first & 1 == 0 && first != 0 {
                (first, last) = (first >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, p);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(LedgerError::WrongRoot { which: "tree's" }),
        _ => Err(LedgerError::ProofTooShort),
    }
}

/// RFC 9162 section 2.1.4.2; and, after C2SP tlog-witness, the empty tree is the beginning of
/// every tree.
pub fn verify_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), LedgerError> {
    if old > new {
        return Err(LedgerError::Backwards { old, new });
    }
    if old == 0 || old == new {
        let expected = if old == new { new_root } else { &EMPTY_ROOT };
        return match (proof.is_empty(), old_root == expected) {
            (true, true) => Ok(()),
            (false, _) => Err(LedgerError::ProofTooLong),
            (true, false) => Err(LedgerError::WrongRoot { which: "old" }),
        };
    }
    let (seed, rest) = match (old.is_power_of_two(), proof) {
        (_, []) => return Err(LedgerError::ProofTooShort),
        (true, all) => (old_root, all),
        (false, [seed, rest @ ..]) => (seed, rest),
    };
    let (mut first, mut last) = (old - 1, new - 1);
    while first & 1 == 1 {
        (first, last) = (first >> 1, last >> 1);
    }
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for p in rest {
        if last == 0 {
            return Err(LedgerError::ProofTooLong);
        }
        if first & 1 == 1 || first == last {
            (old_hash, new_hash) = (node_hash(p, &old_hash), node_hash(p, &new_hash));
            while first & 1 == 0 && first != 0 {
                (first, last) = (first >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(&new_hash, p);
        }
        (first, last) = (first >> 1, last >> 1);
    }
    match (last, old_hash == *old_root, new_hash == *new_root) {
        (0, true, true) => Ok(()),
        (0, false, _) => Err(LedgerError::WrongRoot { which: "old" }),
        (0, true, false) => Err(LedgerError::WrongRoot { which: "new" }),
        _ => Err(LedgerError::ProofTooShort),
    }
}
