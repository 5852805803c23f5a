//! C2SP tlog-cosignature: a witness's word that it saw a checkpoint, and when. Ed25519 only
//! (signature type 0x04).

use std::fmt;

use crate::{
    LedgerError, SigningKey, VerifyingKey,
    note::{Note, SIGNATURE_BYTES, TYPE_COSIGNATURE},
};

/// tlog-cosignature: times do not exceed 2^63 - 1.
const TIME_MAX: u64 = i64::MAX as u64;

/// What a witness signs: its domain, its time, and the checkpoint's text.
fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// A key that checks a witness's cosignatures. It prints as its vkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignerKey(VerifyingKey);

impl CosignerKey {
    /// Reads a vkey of type 0x04.
    pub fn parse(vkey: &str) -> Result<Self, LedgerError> {
        VerifyingKey::parse_kind(vkey, TYPE_COSIGNATURE).map(Self)
    }

    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether both wrap the same public key, whatever their names (tlog-policy: duplicates).
    pub fn is_same_key(&self, other: &Self) -> bool {
        self.0.public_bytes() == other.0.public_bytes()
    }

    /// When this witness cosigned the note last, in seconds; `None` when it did not. One bad
    /// cosignature by this key spoils the note.
    pub fn verify(&self, note: &[u8]) -> Result<Option<u64>, LedgerError> {
        self.verify_note(&Note::parse(note)?)
    }

    pub(crate) fn verify_note(&self, note: &Note<'_>) -> Result<Option<u64>, LedgerError> {
        let bad = || LedgerError::BadSignature {
            name: self.0.name().to_owned(),
        };
        let mut newest = None;
        for stamped in note.by(&self.0) {
            let (time, signature) = stamped.split_first_chunk::<8>().ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            let good = signature.len() == SIGNATURE_BYTES
                && time <= TIME_MAX
                && self
                    .0
                    .verify(message(time, note.text).as_bytes(), signature);
            if !good {
                return Err(bad());
            }
            newest = newest.max(Some(time));
        }
        Ok(newest)
    }

    /// Of the lines of a witness's answer those that are this key's and hold for the checkpoint:
    /// the last one, and its time.
    pub fn pick(
        &self,
        checkpoint: &str,
        lines: &str,
    ) -> Result<Option<(String, u64)>, LedgerError> {
        let text = Note::parse(checkpoint.as_bytes())?.text;
        let mut found = None;
        for line in lines.split_inclusive('\n') {
            let note = format!("{text}\n{line}");
            if let Some(time) = self.verify(note.as_bytes())? {
                found = Some((line.to_owned(), time));
            }
        }
        Ok(found)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A key that cosigns checkpoints.
#[derive(Debug)]
pub struct CosigningKey {
    key: SigningKey,
    public: CosignerKey,
}

impl CosigningKey {
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, LedgerError> {
        Ok(Self::of(SigningKey::of_kind(name, TYPE_COSIGNATURE, seed)?))
    }

    /// Reads what [`Self::to_secret_text`] wrote.
    pub fn parse(secret: &str) -> Result<Self, LedgerError> {
        Ok(Self::of(SigningKey::parse_kind(secret, TYPE_COSIGNATURE)?))
    }

    fn of(key: SigningKey) -> Self {
        let public = CosignerKey(key.public().clone());
        Self { key, public }
    }

    pub fn to_secret_text(&self) -> String {
        self.key.to_secret_text()
    }

    pub const fn public(&self) -> &CosignerKey {
        &self.public
    }

    /// The signature line for a checkpoint that the caller has verified.
    pub fn cosign(&self, note: &[u8], time: u64) -> Result<String, LedgerError> {
        let note = Note::parse(note)?;
        let time = time.min(TIME_MAX);
        let signature = self.key.sign_bytes(message(time, note.text).as_bytes());
        let stamped = [time.to_be_bytes().as_slice(), signature.as_ref()].concat();
        Ok(self.key.line(&stamped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Hash, add_signatures};

    fn witness(seed: u8) -> CosigningKey {
        CosigningKey::from_seed(&format!("w{seed}.example/witness"), [seed; 32]).unwrap()
    }

    fn checkpoint(size: u64) -> String {
        let key = SigningKey::from_seed("log.example/evidence", [3; 32]).unwrap();
        Checkpoint::sign(size, &Hash([9; 32]), &key)
    }

    #[test]
    fn a_cosignature_holds_for_its_checkpoint_alone() {
        let key = witness(5);
        let note = checkpoint(42);
        let line = key.cosign(note.as_bytes(), 1_679_315_147).unwrap();
        let cosigned = add_signatures(&note, &line).unwrap();
        assert_eq!(
            key.public().verify(cosigned.as_bytes()),
            Ok(Some(1_679_315_147))
        );
        assert_eq!(key.public().verify(note.as_bytes()), Ok(None));
        let moved = add_signatures(&checkpoint(43), &line).unwrap();
        assert!(matches!(
            key.public().verify(moved.as_bytes()),
            Err(LedgerError::BadSignature { .. })
        ));
        // The time is signed too: each of its eight bytes.
        for at in 4..12 {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let (head, base64) = line.trim_end().rsplit_once(' ').unwrap();
            let mut bytes = STANDARD.decode(base64).unwrap();
            bytes[at] ^= 1;
            let changed = format!("{head} {}\n", STANDARD.encode(bytes));
            let changed = add_signatures(&note, &changed).unwrap();
            assert!(key.public().verify(changed.as_bytes()).is_err(), "{at}");
        }
    }

    #[test]
    fn the_message_is_that_of_the_specification() {
        assert_eq!(
            message(
                1_679_315_147,
                "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
            ),
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
             CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        );
    }

    #[test]
    fn keys_of_logs_and_of_witnesses_are_not_mixed_up() {
        let key = witness(5);
        let vkey = key.public().to_string();
        assert_eq!(CosignerKey::parse(&vkey).as_ref(), Ok(key.public()));
        assert!(VerifyingKey::parse(&vkey).is_err());
        assert!(SigningKey::parse(&key.to_secret_text()).is_err());
        let again = CosigningKey::parse(&key.to_secret_text()).unwrap();
        assert_eq!(again.public(), key.public());
        let log = SigningKey::from_seed("w5.example/witness", [5; 32]).unwrap();
        assert!(CosignerKey::parse(&log.public().to_string()).is_err());
        assert_ne!(log.public().to_string(), vkey);
        // A log's signature under a witness's name is not a cosignature.
        let note = log.sign_note("text\n");
        assert_eq!(key.public().verify(note.as_bytes()), Ok(None));
    }

    #[test]
    fn of_an_answer_only_the_own_line_is_picked() {
        let (ours, other) = (witness(5), witness(6));
        let note = checkpoint(42);
        let answer = format!(
            "{}{}",
            other.cosign(note.as_bytes(), 7).unwrap(),
            ours.cosign(note.as_bytes(), 8).unwrap()
        );
        let (line, time) = ours.public().pick(&note, &answer).unwrap().unwrap();
        assert_eq!(time, 8);
        assert!(line.starts_with("\u{2014} w5.example/witness "));
        assert_eq!(witness(7).public().pick(&note, &answer), Ok(None));
        assert!(ours.public().pick(&checkpoint(43), &answer).is_err());
        assert!(ours.public().pick(&note, "nonsense\n").is_err());
    }

    #[test]
    fn signatures_are_added_once_and_within_bounds() {
        let note = checkpoint(42);
        let line = witness(5).cosign(note.as_bytes(), 7).unwrap();
        let once = add_signatures(&note, &line).unwrap();
        assert_eq!(add_signatures(&once, &line).unwrap(), once);
        assert!(add_signatures(&note, "text\n").is_err());
        assert!(add_signatures(&note, line.trim_end()).is_err());
        let many: String = (0..=crate::note::NOTE_SIGNATURES_MAX as u64)
            .map(|time| witness(5).cosign(note.as_bytes(), time).unwrap())
            .collect();
        assert!(add_signatures(&note, &many).is_err());
    }
}
