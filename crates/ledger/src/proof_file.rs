//! C2SP tlog-proof: one file that proves, offline, that an entry is in a log.

use crate::{Checkpoint, Hash, LedgerError, VerifyingKey, leaf_hash, text, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// A path in a tree of at most 2^63 leaves.
const PROOF_HASHES_MAX: usize = 63;
const FILE_BYTES_MAX: usize = 128 << 10;

/// A `.tlog-proof` file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    pub index: u64,
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
    /// Opaque bytes for the reader, not covered by any signature.
    pub extra: Option<Vec<u8>>,
}

impl ProofFile {
    pub fn encode(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let mut out = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            out.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        out.push_str(&format!("index {}\n", self.index));
        for hash in &self.proof {
            out.push_str(&hash.to_base64());
            out.push('\n');
        }
        out.push('\n');
        out.push_str(&self.checkpoint);
        out
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        let bad = |why| LedgerError::ProofFile { why };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(LedgerError::TooLong {
                limit: FILE_BYTES_MAX,
            });
        }
        let all = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8"))?;
        let (head, checkpoint) = all.split_once("\n\n").ok_or_else(|| bad("no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(bad("not a tlog-proof@v1"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(base64) => Some(text::base64(base64)?),
            None => None,
        };
        if extra.is_some() {
            lines.next();
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index
            .and_then(text::decimal)
            .ok_or_else(|| bad("no index line"))?;
        let proof = lines
            .take(PROOF_HASHES_MAX + 1)
            .map(Hash::from_base64)
            .collect::<Result<Vec<_>, _>>()?;
        if proof.len() > PROOF_HASHES_MAX {
            return Err(bad("too many proof lines"));
        }
        Ok(Self {
            index,
            proof,
            checkpoint: checkpoint.to_owned(),
            extra,
        })
    }

    /// Whether the file proves that `leaf` is in the log of `key`.
    pub fn verify(&self, leaf: &[u8], key: &VerifyingKey) -> Result<Checkpoint, LedgerError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), key)?;
        let hash = leaf_hash(leaf);
        verify_inclusion(
            self.index,
            checkpoint.size,
            &hash,
            &self.proof,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{SigningKey, node_hash};

    #[test]
    fn proves_a_leaf_and_no_other() {
        let key = SigningKey::from_seed("log.example/evidence", [3; 32]).unwrap();
        let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
        let file = ProofFile {
            index: 1,
            proof: vec![a],
            checkpoint: Checkpoint::sign(2, &node_hash(&a, &b), &key),
            extra: Some(b"note".to_vec()),
        };
        let text = file.encode();
        let parsed = ProofFile::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed, file);
        assert_eq!(parsed.verify(b"b", key.public()).unwrap().size, 2);
        assert!(parsed.verify(b"a", key.public()).is_err());
        for bad in [
            text.replace("index 1", "index 01"),
            text.replace("index 1", "index x"),
            text.replace("@v1", "@v2"),
            text.replace("extra ", "Extra "),
            text.replace("extra bm", "extra bm="),
        ] {
            assert!(ProofFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, text in "c2sp.org/tlog-proof@v1\n[\\na-z0-9 =]{0,80}") {
            let _ = ProofFile::parse(&bytes);
            let _ = ProofFile::parse(text.as_bytes());
        }
    }
}
