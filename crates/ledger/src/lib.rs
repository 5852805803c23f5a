//! The Merkle log: hashing, the growing tree, tiles, checkpoints, proofs and leaves.
//!
//! A floor under all rooms: `store` keeps what is computed here. Pure: no clock, no files, no
//! randomness; keys and salts come in as arguments. Hashing is RFC 6962, the bytes of tiles,
//! checkpoints, notes, proofs, cosignatures, witnesses' messages and policies are those of C2SP
//! (tlog-tiles, tlog-checkpoint, signed-note, tlog-proof, tlog-cosignature, tlog-witness,
//! tlog-policy), so any tool that knows these can check a log without this program. Parsers take
//! the one canonical spelling of everything and refuse all others.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod checkpoint;
mod cosignature;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod leaf;
mod note;
mod policy;
mod proof;
mod proof_file;
mod text;
mod tile;
mod tree;
mod witness;

pub use checkpoint::Checkpoint;
pub use cosignature::{CosignerKey, CosigningKey};
pub use error::LedgerError;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use leaf::{Leaf, Salt, commitment};
pub use note::{KeyId, SigningKey, VerifyingKey, add_signatures, is_by_any};
pub use policy::{Judgement, POLICY_BYTES_MAX, Policy, PolicyLog, PolicyWitness};
pub use proof::{
    Node, ReadNode, consistency_proof, inclusion_proof, subtree_hash, verify_consistency,
    verify_inclusion,
};
pub use proof_file::ProofFile;
pub use tile::{
    BundleEntries, TILE_WIDTH, Tile, TileKind, decode_tile, encode_bundle_entry, parse_bundle,
    tiles_of,
};
pub use tree::CompactTree;
pub use witness::{AddCheckpoint, REQUEST_BYTES_MAX, Seen, WitnessRefusal, judge};
