//! C2SP tlog-checkpoint: a log's promise of its size and root.

use std::fmt::Write as _;

use crate::{EMPTY_ROOT, Hash, LedgerError, SigningKey, VerifyingKey, note::Note, text};

/// What a checkpoint says; its signature was checked, unless it came from
/// [`Checkpoint::unverified`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The signed note for a tree; the key's name is the origin.
    pub fn sign(size: u64, root: &Hash, key: &SigningKey) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{}\n{size}\n{}\n",
            key.public().name(),
            root.to_base64()
        );
        key.sign_note(&text)
    }

    /// The same by two keys of one name, while the log goes over from one to the other.
    pub fn sign_by_both(size: u64, root: &Hash, key: &SigningKey, other: &SigningKey) -> String {
        let note = Self::sign(size, root, key);
        // The signature covers the text up to the blank line.
        let text_len = note.rfind("\n\n").map_or(0, |at| at + 1);
        let line = other.sign_line(note.get(..text_len).unwrap_or_default());
        note + &line
    }

    /// Takes a note apart and checks the log's signature on it.
    pub fn open(note: &[u8], key: &VerifyingKey) -> Result<Self, LedgerError> {
        Self::open_any(note, std::slice::from_ref(key))
    }

    /// The same for a log with several keys: one must have signed, and none of them badly.
    pub fn open_any(note: &[u8], keys: &[VerifyingKey]) -> Result<Self, LedgerError> {
        let note = Note::parse(note)?;
        Self::open_note(&note, keys)
    }

    pub(crate) fn open_note(note: &Note<'_>, keys: &[VerifyingKey]) -> Result<Self, LedgerError> {
        let checkpoint = Self::parse_text(note.text)?;
        // tlog-checkpoint: the origin is the name of the log's key.
        let own: Vec<VerifyingKey> = keys
            .iter()
            .filter(|key| key.name() == checkpoint.origin)
            .cloned()
            .collect();
        if own.is_empty() {
            let wanted = keys.first().map_or("no log at all", |key| key.name());
            return Err(LedgerError::Origin {
                found: checkpoint.origin,
                wanted: wanted.to_owned(),
            });
        }
        note.verify_any(&own)?;
        Ok(checkpoint)
    }

    /// What a note says of itself, its signatures not looked at.
    pub fn unverified(note: &[u8]) -> Result<Self, LedgerError> {
        Self::parse_text(Note::parse(note)?.text)
    }

    fn parse_text(text: &str) -> Result<Self, LedgerError> {
        let bad = |why| LedgerError::Checkpoint { why };
        let body = text.strip_suffix('\n').ok_or_else(|| bad("no line end"))?;
        let mut lines = body.split('\n');
        let mut next = || lines.next().filter(|line| !line.is_empty());
        let origin = next().ok_or_else(|| bad("no origin"))?;
        let size = next().and_then(text::decimal).ok_or(LedgerError::Size)?;
        let root = next().ok_or_else(|| bad("no root"))?;
        let root = Hash::from_base64(root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(bad("empty extension line"));
        }
        if size == 0 && root != EMPTY_ROOT {
            return Err(bad("size 0 with a root that is not the empty tree's"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example/evidence", [3; 32]).unwrap()
    }

    fn open(note: &str) -> Result<Checkpoint, LedgerError> {
        Checkpoint::open(note.as_bytes(), key().public())
    }

    #[test]
    fn signs_and_opens() {
        let note = Checkpoint::sign(42, &Hash([9; 32]), &key());
        let opened = open(&note).unwrap();
        assert_eq!((opened.size, opened.root), (42, Hash([9; 32])));
        assert_eq!(opened.origin, "log.example/evidence");
        assert!(open(&note.replace("\n42\n", "\n43\n")).is_err());
        assert!(
            Checkpoint::open(
                note.as_bytes(),
                SigningKey::from_seed("log.example/other", [3; 32])
                    .unwrap()
                    .public()
            )
            .is_err()
        );
    }

    #[test]
    fn only_the_canonical_text_is_taken_even_when_signed() {
        let root = Hash([9; 32]).to_base64();
        let sign = |text: &str| key().sign_note(text);
        let good = format!("log.example/evidence\n42\n{root}\n");
        assert!(open(&sign(&good)).is_ok());
        assert!(open(&sign(&format!("{good}extension\n"))).is_ok());
        for bad in [
            good.replace("42", "042"),
            good.replace("42", "+42"),
            good.replace("42", ""),
            good.replace("42", "0"),
            good.replace("log.example/evidence", "log.example/other"),
            good.replace(&root, "AAAA"),
            "log.example/evidence\n42\n".to_owned(),
            format!("\n{good}"),
            format!("{good}\nextension\n"),
            "x\n".to_owned(),
        ] {
            assert!(open(&sign(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let note = Checkpoint::sign(42, &Hash([9; 32]), &key());
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(
                Checkpoint::open(&bytes, key().public()).is_err(),
                "byte {at}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, text in "[\\n0-9a-zA-Z=+\u{2014} ]{0,200}") {
            let _ = Checkpoint::open(&bytes, key().public());
            prop_assert!(open(&text).is_err());
        }
    }
}
