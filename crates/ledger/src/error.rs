//! Why a text, a proof or a signature was refused.

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("not canonical base64")]
    Base64,
    #[error(
        "a note must be UTF-8 without control characters, end in a line end and have a blank line before its signatures"
    )]
    Note,
    #[error("more than {limit} bytes")]
    TooLong { limit: usize },
    #[error("signature line {line} is malformed")]
    SignatureLine { line: usize },
    #[error("more than {limit} signatures")]
    TooManySignatures { limit: usize },
    #[error("no signature by {name}")]
    Unsigned { name: String },
    #[error("the signature by {name} does not verify")]
    BadSignature { name: String },
    #[error("a key name must be non-empty, without space or plus sign")]
    KeyName,
    #[error("not a key: {why}")]
    Key { why: &'static str },
    #[error("not a checkpoint: {why}")]
    Checkpoint { why: &'static str },
    #[error("the checkpoint is of {found:?}, not of {wanted:?}")]
    Origin { found: String, wanted: String },
    #[error("not a tree size")]
    Size,
    #[error("no such node or leaf in a tree of size {size}")]
    OutOfTree { size: u64 },
    #[error("the hash of node {index} at height {height} is missing")]
    NodeMissing { height: u8, index: u64 },
    #[error("proof too long")]
    ProofTooLong,
    #[error("proof too short")]
    ProofTooShort,
    #[error("the proof does not lead to the {which} root")]
    WrongRoot { which: &'static str },
    #[error("sizes run backwards: {old} to {new}")]
    Backwards { old: u64, new: u64 },
    #[error("not a proof file: {why}")]
    ProofFile { why: &'static str },
    #[error("not a leaf: {why}")]
    Leaf { why: &'static str },
    #[error("not a tile: {why}")]
    Tile { why: &'static str },
    #[error("not an add-checkpoint request: {why}")]
    Request { why: &'static str },
    #[error("line {line} of the policy: {why}")]
    Policy { line: usize, why: &'static str },
}
