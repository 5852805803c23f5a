//! C2SP tlog-witness: what a log asks of a witness, and the witness's decision. The decision is a
//! function of the request, the keys trusted for the log and the last checkpoint cosigned; that
//! no two decisions cross, and that each is kept before it is told, is the server's part.

use crate::{
    Checkpoint, Hash, LedgerError, VerifyingKey,
    note::{NOTE_BYTES_MAX, Note},
    text, verify_consistency,
};

/// tlog-witness: at most 63 lines of proof.
const PROOF_HASHES_MAX: usize = 63;
/// 32 bytes in base64, and a line end.
const HASH_LINE_BYTES: usize = 45;
/// `old `, a number of 64 bits, two line ends.
const HEAD_BYTES_MAX: usize = 4 + 20 + 2;
pub const REQUEST_BYTES_MAX: usize =
    HEAD_BYTES_MAX + PROOF_HASHES_MAX * HASH_LINE_BYTES + NOTE_BYTES_MAX;

/// The body of `POST …/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness is believed to have cosigned last.
    pub old: u64,
    /// From `old` to the checkpoint's size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl AddCheckpoint {
    pub fn encode(&self) -> String {
        let mut out = format!("old {}\n", self.old);
        for hash in &self.proof {
            out.push_str(&hash.to_base64());
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        let bad = |why| LedgerError::Request { why };
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(LedgerError::TooLong {
                limit: REQUEST_BYTES_MAX,
            });
        }
        let all = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
        let (head, checkpoint) = all
            .split_once("\n\n")
            .ok_or_else(|| bad("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old
            .and_then(text::decimal)
            .ok_or_else(|| bad("the first line is not `old SIZE`"))?;
        let proof = lines
            .take(PROOF_HASHES_MAX + 1)
            .map(Hash::from_base64)
            .collect::<Result<Vec<_>, _>>()?;
        if proof.len() > PROOF_HASHES_MAX {
            return Err(bad("more than 63 lines of proof"));
        }
        Ok(Self {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }

    /// The log that the checkpoint says it is of.
    pub fn origin(&self) -> Result<String, LedgerError> {
        Checkpoint::unverified(self.checkpoint.as_bytes()).map(|checkpoint| checkpoint.origin)
    }
}

/// The last checkpoint of a log that a witness cosigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub root: Hash,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    #[error("{0}")]
    Malformed(LedgerError),
    #[error("this witness does not know the log {origin:?}")]
    UnknownLog { origin: String },
    #[error("not signed by a key that this witness trusts for the log: {0}")]
    Unsigned(LedgerError),
    #[error("the old size {old} is larger than the checkpoint's {size}")]
    OldTooLarge { old: u64, size: u64 },
    #[error("the last checkpoint cosigned is of size {size}")]
    OtherOld { size: u64 },
    #[error("a checkpoint of size {size} with another root was cosigned before")]
    OtherRoot { size: u64 },
    #[error("the consistency proof does not hold: {0}")]
    Inconsistent(LedgerError),
}

impl WitnessRefusal {
    /// The HTTP status that tlog-witness gives it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldTooLarge { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::OtherOld { .. } | Self::OtherRoot { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }

    /// What a 409 tells: the size cosigned last.
    pub const fn size(&self) -> Option<u64> {
        match self {
            Self::OtherOld { size } | Self::OtherRoot { size } => Some(*size),
            _ => None,
        }
    }
}

/// Whether to cosign: in the order of tlog-witness. `keys` are those trusted for the log that
/// the request names, `seen` what was cosigned of it last; the empty tree, if nothing was.
pub fn judge(
    request: &AddCheckpoint,
    keys: &[VerifyingKey],
    seen: Option<Seen>,
) -> Result<Checkpoint, WitnessRefusal> {
    let note = Note::parse(request.checkpoint.as_bytes()).map_err(WitnessRefusal::Malformed)?;
    let said =
        Checkpoint::unverified(request.checkpoint.as_bytes()).map_err(WitnessRefusal::Malformed)?;
    if !keys.iter().any(|key| key.name() == said.origin) {
        return Err(WitnessRefusal::UnknownLog {
            origin: said.origin,
        });
    }
    let checkpoint = Checkpoint::open_note(&note, keys).map_err(WitnessRefusal::Unsigned)?;
    let (old, size) = (request.old, checkpoint.size);
    if old > size {
        return Err(WitnessRefusal::OldTooLarge { old, size });
    }
    let seen = seen.unwrap_or(Seen {
        size: 0,
        root: crate::EMPTY_ROOT,
    });
    if old != seen.size {
        return Err(WitnessRefusal::OtherOld { size: seen.size });
    }
    if old == size && checkpoint.root != seen.root {
        return Err(WitnessRefusal::OtherRoot { size });
    }
    verify_consistency(
        (seen.size, &seen.root),
        (size, &checkpoint.root),
        &request.proof,
    )
    .map_err(WitnessRefusal::Inconsistent)?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CompactTree, Node, SigningKey, consistency_proof, leaf_hash};

    struct Log {
        key: SigningKey,
        nodes: std::collections::BTreeMap<Node, Hash>,
        roots: Vec<Hash>,
    }

    impl Log {
        fn new(name: &str, salt: u8, size: u64) -> Self {
            let key = SigningKey::from_seed(name, [3; 32]).unwrap();
            let mut tree = CompactTree::new();
            let (mut nodes, mut roots) = (std::collections::BTreeMap::new(), vec![tree.root()]);
            for i in 0..size {
                tree.push(
                    leaf_hash(&[&[salt], &i.to_be_bytes()[..]].concat()),
                    &mut |n, h| {
                        nodes.insert(n, *h);
                    },
                );
                roots.push(tree.root());
            }
            Self { key, nodes, roots }
        }

        fn ask(&self, old: u64, size: u64) -> AddCheckpoint {
            AddCheckpoint {
                old,
                proof: consistency_proof(old.min(size), size, &mut |n| self.nodes.get(&n).copied())
                    .unwrap(),
                checkpoint: Checkpoint::sign(size, &self.roots[size as usize], &self.key),
            }
        }

        fn seen(&self, size: u64) -> Option<Seen> {
            Some(Seen {
                size,
                root: self.roots[size as usize],
            })
        }
    }

    const NAME: &str = "log.example/evidence";

    #[test]
    fn every_status_of_the_specification() {
        let log = Log::new(NAME, 0, 20);
        let fork = Log::new(NAME, 1, 20);
        let keys = [log.key.public().clone()];
        let status = |request: &AddCheckpoint, seen| match judge(request, &keys, seen) {
            Ok(_) => 200,
            Err(e) => e.status(),
        };
        assert_eq!(status(&log.ask(0, 7), None), 200);
        assert_eq!(status(&log.ask(0, 0), None), 200);
        assert_eq!(status(&log.ask(7, 20), log.seen(7)), 200);
        assert_eq!(status(&log.ask(7, 7), log.seen(7)), 200);
        // 404: another log; 403: a stranger's key; 400: sizes run backwards.
        assert_eq!(
            status(&Log::new("other.example", 0, 7).ask(0, 7), None),
            404
        );
        let mut stranger = Log::new(NAME, 0, 7);
        stranger.key = SigningKey::from_seed(NAME, [4; 32]).unwrap();
        assert_eq!(status(&stranger.ask(0, 7), None), 403);
        let mut backwards = log.ask(0, 7);
        backwards.old = 8;
        assert_eq!(status(&backwards, log.seen(8)), 400);
        // 409: not the size seen last, or that size with another root.
        let conflict = judge(&log.ask(0, 20), &keys, log.seen(7)).unwrap_err();
        assert_eq!((conflict.status(), conflict.size()), (409, Some(7)));
        let split = judge(&fork.ask(7, 7), &keys, log.seen(7)).unwrap_err();
        assert_eq!((split.status(), split.size()), (409, Some(7)));
        // 422: no proof, a fork's proof, a proof where there must be none.
        assert_eq!(status(&fork.ask(7, 20), log.seen(7)), 422);
        let mut unproven = log.ask(7, 20);
        unproven.proof.clear();
        assert_eq!(status(&unproven, log.seen(7)), 422);
        let mut needless = log.ask(0, 7);
        needless.proof.push(Hash([1; 32]));
        assert_eq!(status(&needless, None), 422);
        let mut broken = log.ask(0, 7);
        broken.checkpoint = "nonsense\n".into();
        assert_eq!(status(&broken, None), 400);
    }

    #[test]
    fn one_of_two_trusted_keys_is_enough_and_strangers_are_passed_over() {
        let log = Log::new(NAME, 0, 7);
        let next = SigningKey::from_seed(NAME, [4; 32]).unwrap();
        let mut request = log.ask(0, 7);
        request.checkpoint = Checkpoint::sign_by_both(7, &log.roots[7], &log.key, &next);
        for keys in [
            vec![log.key.public().clone()],
            vec![next.public().clone()],
            vec![log.key.public().clone(), next.public().clone()],
        ] {
            assert_eq!(judge(&request, &keys, None).unwrap().size, 7);
        }
    }

    #[test]
    fn requests_have_one_spelling() {
        let log = Log::new(NAME, 0, 20);
        let request = log.ask(7, 20);
        let text = request.encode();
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Ok(request.clone()));
        assert_eq!(request.origin().as_deref(), Ok(NAME));
        for bad in [
            text.replacen("old 7", "old 07", 1),
            text.replacen("old 7", "old +7", 1),
            text.replacen("old 7", "old  7", 1),
            text.replacen("old 7", "size 7", 1),
            text.replacen("old 7\n", "old 7\r\n", 1),
            text.replacen("=\n", "\n", 1),
            text.replacen(
                "old 7\n",
                &format!(
                    "old 7\n{}",
                    format!("{}\n", request.proof[0].to_base64()).repeat(64)
                ),
                1,
            ),
            "old 7\n".to_owned(),
            String::new(),
        ] {
            assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(AddCheckpoint::parse(&vec![b'\n'; REQUEST_BYTES_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, text in "old [0-9]{1,3}\n([A-Za-z0-9+/=]{44}\n){0,3}\n.{0,80}") {
            let _ = AddCheckpoint::parse(&bytes);
            if let Ok(request) = AddCheckpoint::parse(text.as_bytes()) {
                prop_assert_eq!(request.encode(), text);
            }
        }

        #[test]
        fn a_witness_follows_a_log_and_no_fork(sizes in proptest::collection::vec(0u64..40, 1..8)) {
            let (log, fork) = (Log::new(NAME, 0, 40), Log::new(NAME, 1, 40));
            let keys = [log.key.public().clone()];
            let mut seen: Option<Seen> = None;
            for size in sizes {
                let old = seen.map_or(0, |s| s.size);
                if size < old {
                    prop_assert!(judge(&log.ask(size, old), &keys, seen).is_err());
                    continue;
                }
                let taken = judge(&log.ask(old, size), &keys, seen);
                prop_assert!(taken.is_ok());
                seen = log.seen(size);
                if size > 0 {
                    prop_assert!(judge(&fork.ask(size, 40), &keys, seen).is_err());
                }
            }
        }
    }
}
