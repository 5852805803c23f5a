//! The tree's right edge: enough to append and to know the root, in O(log n) memory.

use crate::{EMPTY_ROOT, Hash, LedgerError, Node, node_hash};

/// A tree of `size` leaves, kept as the roots of its perfect subtrees, the widest first: one for
/// each bit set in `size`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactTree {
    size: u64,
    edge: Vec<Hash>,
}

impl CompactTree {
    pub const fn new() -> Self {
        Self {
            size: 0,
            edge: Vec::new(),
        }
    }

    /// Takes up a tree where another left off; `edge` is what [`Self::edge`] gave.
    pub fn from_parts(size: u64, edge: Vec<Hash>) -> Result<Self, LedgerError> {
        if edge.len() == size.count_ones() as usize {
            Ok(Self { size, edge })
        } else {
            Err(LedgerError::OutOfTree { size })
        }
    }

    pub const fn size(&self) -> u64 {
        self.size
    }

    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// Appends a leaf and tells of every perfect subtree that it completes, the lowest first,
    /// beginning with the leaf itself (height 0).
    pub fn push(&mut self, leaf: Hash, completed: &mut dyn FnMut(Node, &Hash)) {
        let index = self.size;
        let mut hash = leaf;
        let mut height = 0u8;
        completed(Node { height, index }, &hash);
        // Each bit set from the bottom up is a subtree whose right sibling is now whole.
        while height < 63 && index >> height & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            hash = node_hash(&left, &hash);
            height += 1;
            completed(
                Node {
                    height,
                    index: index >> height,
                },
                &hash,
            );
        }
        self.edge.push(hash);
        self.size = index.saturating_add(1);
    }

    pub fn root(&self) -> Hash {
        let mut hashes = self.edge.iter().rev();
        let Some(&last) = hashes.next() else {
            return EMPTY_ROOT;
        };
        hashes.fold(last, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf_hash;

    // transparency-dev/merkle testonly/constants.go
    const INPUTS: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn published_roots() {
        let mut tree = CompactTree::new();
        assert_eq!(tree.root(), EMPTY_ROOT);
        for (input, root) in INPUTS.iter().zip(ROOTS) {
            let bytes: Vec<u8> = (0..input.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&input[i..i + 2], 16).unwrap())
                .collect();
            tree.push(leaf_hash(&bytes), &mut |_, _| {});
            assert_eq!(tree.root().to_string(), root);
            let again = CompactTree::from_parts(tree.size(), tree.edge().to_vec()).unwrap();
            assert_eq!(again, tree);
        }
        assert!(CompactTree::from_parts(7, tree.edge().to_vec()).is_err());
    }
}
