//! The values that go into and come out of the store.

use model::{Decision, Entry, Prefix, Refusal, Timestamp};

/// How sure an acknowledged entry is to outlive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage when `append` returns.
    #[default]
    PowerLoss,
    /// In the kernel's hands when `append` returns: survives a killed process only.
    ProcessCrash,
}

#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The log's name on its checkpoints; made from the host name when a new log has none given.
    /// A log's name never changes: a different one for an existing log is refused.
    pub origin: Option<String>,
    pub durability: Durability,
}

/// What became of one entry handed to `append`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub index: u64,
    /// The happening was on the ledger before; `index` is where.
    pub duplicate: bool,
}

/// A decision in force, with the ledger entry that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveBan {
    pub index: u64,
    pub decision: Decision,
}

/// One network and how often it was banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offender {
    pub prefix: Prefix,
    pub bans: u32,
    /// When the last ban began.
    pub last: Timestamp,
}

/// An alert with its place on the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedAlert {
    pub index: u64,
    pub alert: model::Alert,
}

/// A refusal with its place on the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRefusal {
    pub index: u64,
    pub refusal: Refusal,
}

/// Which alerts are wanted; the newest come first.
#[derive(Clone, Debug)]
pub struct AlertFilter {
    /// Only alerts whose last line is not older.
    pub since: Option<Timestamp>,
    /// Only alerts of this rule.
    pub rule: Option<String>,
    /// Only alerts about this value: an address, a network, a user.
    pub value: Option<String>,
    /// Only alerts recorded before this ledger index (for paging).
    pub before: Option<u64>,
    pub limit: usize,
}

impl Default for AlertFilter {
    fn default() -> Self {
        Self {
            since: None,
            rule: None,
            value: None,
            before: None,
            limit: 100,
        }
    }
}

/// One ledger entry as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    pub index: u64,
    /// The leaf's exact bytes: what the tree commits to.
    pub leaf_bytes: Vec<u8>,
    pub leaf: ledger::Leaf,
    pub content: Content,
}

/// What a leaf speaks of, or the mark of its erasure.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all entries have their payload"
)]
pub enum Content {
    /// `payload` is the JSON of `entry`; `salt` opens the leaf's commitment to it.
    Kept {
        salt: ledger::Salt,
        payload: Vec<u8>,
        entry: Entry,
    },
    Erased {
        at: Timestamp,
    },
}

impl StoredEntry {
    pub const fn entry(&self) -> Option<&Entry> {
        match &self.content {
            Content::Kept { entry, .. } => Some(entry),
            Content::Erased { .. } => None,
        }
    }
}

/// What a full verification went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    pub entries: u64,
    /// Entries whose payload was erased; their leaves still count.
    pub erased: u64,
    pub checkpoints: u64,
    pub projection_rows: u64,
    /// Cosignatures kept, all checked.
    pub cosignatures: u64,
    /// The size of the newest checkpoint with enough of them; absent without any.
    pub cosigned: Option<u64>,
    pub stamps: u64,
    /// Checkpoints kept elsewhere that the ledger was held against.
    pub earlier: u64,
    pub root: ledger::Hash,
}

/// What a verification is held against beside the ledger itself: what only someone else can know.
#[derive(Clone, Debug, Default)]
pub struct VerifyAgainst {
    /// The log's key, known from elsewhere.
    pub vkey: Option<String>,
    /// Witnesses' keys: each must have cosigned the checkpoint that is shown.
    pub witnesses: Vec<String>,
    /// A policy (C2SP tlog-policy) that the checkpoint shown must meet; else the configured one.
    pub policy: Option<String>,
    /// Checkpoints of this log kept elsewhere, with a name for each.
    pub earlier: Vec<(String, Vec<u8>)>,
}

/// The first thing found wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct VerifyFailure {
    /// What is wrong, with its number: `entry 17`, `checkpoint of size 40`, `row 3 of bans`.
    pub what: String,
    /// The entry it concerns, when it concerns one.
    pub index: Option<u64>,
    pub why: String,
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    pub size: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Told how far a long task is: (done, of how many).
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);
