//! C2SP signed-note: a text, and signatures by named keys. Ed25519 only: signature type 0x01 of
//! logs here, 0x04 of witnesses in `cosignature`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::{Hash, LedgerError, text};

/// Bytes of a note, signatures and all.
pub(crate) const NOTE_BYTES_MAX: usize = 64 << 10;
/// Signatures on a note; signed-note asks for at least 16.
pub(crate) const NOTE_SIGNATURES_MAX: usize = 100;

/// A log's signature on its checkpoints.
pub(crate) const TYPE_ED25519: u8 = 1;
/// A witness's timestamped signature on them.
pub(crate) const TYPE_COSIGNATURE: u8 = 4;
const PUBLIC_KEY_BYTES: usize = 32;
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The first four bytes of a hash over a key's name, type and public bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub [u8; 4]);

impl KeyId {
    fn new(name: &str, typed_key: &[u8]) -> Self {
        let Hash([a, b, c, d, ..]) = Hash::of(&[name.as_bytes(), b"\n", typed_key]);
        Self([a, b, c, d])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// A key that checks a log's signatures. It prints as its vkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: KeyId,
    /// The signature type, part of the key's id.
    kind: u8,
    key: [u8; PUBLIC_KEY_BYTES],
}

impl VerifyingKey {
    fn new(name: &str, kind: u8, key: [u8; PUBLIC_KEY_BYTES]) -> Self {
        let typed = [[kind].as_slice(), &key].concat();
        Self {
            name: name.to_owned(),
            id: KeyId::new(name, &typed),
            kind,
            key,
        }
    }

    /// Reads `name+hex8+base64`.
    pub fn parse(vkey: &str) -> Result<Self, LedgerError> {
        Self::parse_kind(vkey, TYPE_ED25519)
    }

    pub(crate) fn parse_kind(vkey: &str, kind: u8) -> Result<Self, LedgerError> {
        let (name, id, typed) = split_key(vkey)?;
        let key = typed_bytes(typed, kind)?;
        let parsed = Self::new(name, kind, key);
        if parsed.id.to_string() == id {
            Ok(parsed)
        } else {
            Err(LedgerError::Key {
                why: "its id is another key's",
            })
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The text of a signed note that this key signed.
    pub fn open_note<'a>(&self, note: &'a str) -> Result<&'a str, LedgerError> {
        let note = Note::parse(note.as_bytes())?;
        note.verify_any(std::slice::from_ref(self))?;
        Ok(note.text)
    }

    /// The 32 bytes of Ed25519, whatever the name.
    pub(crate) const fn public_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.key
    }

    /// Whether `signature` is by this key over exactly `text`.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE_BYTES
            && UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(text, signature)
                .is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [[self.kind].as_slice(), &self.key].concat();
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

/// A key that signs a log's checkpoints.
pub struct SigningKey {
    public: VerifyingKey,
    pair: Ed25519KeyPair,
    seed: [u8; 32],
}

impl SigningKey {
    const FILE_PREFIX: &str = "PRIVATE+KEY+";

    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, LedgerError> {
        Self::of_kind(name, TYPE_ED25519, seed)
    }

    pub(crate) fn of_kind(name: &str, kind: u8, seed: [u8; 32]) -> Result<Self, LedgerError> {
        if !text::is_key_name(name) {
            return Err(LedgerError::KeyName);
        }
        let bad = LedgerError::Key {
            why: "no Ed25519 seed",
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| bad.clone())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| bad)?;
        Ok(Self {
            public: VerifyingKey::new(name, kind, public),
            pair,
            seed,
        })
    }

    /// Reads what [`Self::to_secret_text`] wrote.
    pub fn parse(secret: &str) -> Result<Self, LedgerError> {
        Self::parse_kind(secret, TYPE_ED25519)
    }

    pub(crate) fn parse_kind(secret: &str, kind: u8) -> Result<Self, LedgerError> {
        const WHY: LedgerError = LedgerError::Key {
            why: "it does not begin as a private key does",
        };
        let rest = secret.strip_prefix(Self::FILE_PREFIX).ok_or(WHY)?;
        let (name, id, typed) = split_key(rest)?;
        let key = Self::of_kind(name, kind, typed_bytes(typed, kind)?)?;
        if key.public.id.to_string() == id {
            Ok(key)
        } else {
            Err(LedgerError::Key {
                why: "its id is another key's",
            })
        }
    }

    /// The secret, as it is kept in a file: `PRIVATE+KEY+name+hex8+base64`.
    pub fn to_secret_text(&self) -> String {
        let typed = [[self.public.kind].as_slice(), &self.seed].concat();
        let (name, id) = (&self.public.name, self.public.id);
        format!(
            "{}{name}+{id}+{}",
            Self::FILE_PREFIX,
            STANDARD.encode(typed)
        )
    }

    pub const fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// `text`, which must end in a line end, with its signature below: a C2SP signed note.
    pub fn sign_note(&self, text: &str) -> String {
        format!("{text}\n{}", self.sign_line(text))
    }

    /// The signature over `text` alone, as a line.
    pub(crate) fn sign_line(&self, text: &str) -> String {
        self.line(self.sign_bytes(text.as_bytes()).as_ref())
    }

    pub(crate) fn sign_bytes(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.pair.sign(message)
    }

    /// What follows the key's id on a signature line.
    pub(crate) fn line(&self, signature: &[u8]) -> String {
        let bytes = [self.public.id.0.as_slice(), signature].concat();
        format!("\u{2014} {} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

// The secret must not end up in a log by way of `{:?}`.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

fn split_key(text: &str) -> Result<(&str, &str, &str), LedgerError> {
    const WHY: LedgerError = LedgerError::Key {
        why: "it is not name+id+base64",
    };
    let (name, rest) = text.split_once('+').ok_or(WHY)?;
    let (id, key) = rest.split_once('+').ok_or(WHY)?;
    if text::is_key_name(name) {
        Ok((name, id, key))
    } else {
        Err(LedgerError::KeyName)
    }
}

fn typed_bytes(base64: &str, kind: u8) -> Result<[u8; 32], LedgerError> {
    match text::base64(base64)?.as_slice() {
        [found, key @ ..] if *found == kind => key.try_into().map_err(|_| LedgerError::Key {
            why: "it has a wrong length",
        }),
        _ => Err(LedgerError::Key {
            why: if kind == TYPE_COSIGNATURE {
                "it is not a witness's (Ed25519 cosignature, type 0x04)"
            } else {
                "it is not of type Ed25519"
            },
        }),
    }
}

/// A note taken apart, its signatures not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    /// What is signed: with its last line end, without the blank line.
    pub(crate) text: &'a str,
    signatures: Vec<(&'a str, KeyId, Vec<u8>)>,
}

impl<'a> Note<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, LedgerError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(LedgerError::TooLong {
                limit: NOTE_BYTES_MAX,
            });
        }
        let all = std::str::from_utf8(bytes).map_err(|_| LedgerError::Note)?;
        // signed-note: no ASCII control characters but the line end.
        if all.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(LedgerError::Note);
        }
        // signed-note: the last blank line parts the text from the signatures.
        let (text_len, _) = all
            .rmatch_indices("\n\n")
            .next()
            .filter(|_| all.ends_with('\n'))
            .ok_or(LedgerError::Note)?;
        let (text, rest) = all
            .split_at_checked(text_len + 1)
            .ok_or(LedgerError::Note)?;
        let lines = rest.strip_prefix('\n').and_then(|r| r.strip_suffix('\n'));
        let mut signatures = Vec::new();
        for (i, line) in lines.ok_or(LedgerError::Note)?.split('\n').enumerate() {
            if i >= NOTE_SIGNATURES_MAX {
                return Err(LedgerError::TooManySignatures {
                    limit: NOTE_SIGNATURES_MAX,
                });
            }
            let parsed = signature_line(line);
            signatures.push(parsed.ok_or(LedgerError::SignatureLine { line: i + 1 })?);
        }
        Ok(Self { text, signatures })
    }

    #[cfg(test)]
    fn verify(&self, key: &VerifyingKey) -> Result<(), LedgerError> {
        self.verify_any(std::slice::from_ref(key))
    }

    /// One of the log's keys must have signed, and none of them badly. Unknown keys are passed
    /// over.
    pub(crate) fn verify_any(&self, keys: &[VerifyingKey]) -> Result<(), LedgerError> {
        let mut signed = false;
        for key in keys {
            for signature in self.by(key) {
                if !key.verify(self.text.as_bytes(), signature) {
                    return Err(LedgerError::BadSignature {
                        name: key.name().to_owned(),
                    });
                }
                signed = true;
            }
        }
        if signed {
            return Ok(());
        }
        let name = keys.first().map_or("a known key", |key| key.name());
        Err(LedgerError::Unsigned {
            name: name.to_owned(),
        })
    }

    /// What `key` is said to have signed with.
    pub(crate) fn by(&self, key: &VerifyingKey) -> impl Iterator<Item = &[u8]> {
        let of = (key.name(), key.id());
        self.signatures
            .iter()
            .filter(move |(name, id, _)| (*name, *id) == of)
            .map(|(_, _, signature)| signature.as_slice())
    }
}

/// Whether a note has a signature that says it is by one of `keys`; whether it holds is not
/// looked at.
pub fn is_by_any(note: &[u8], keys: &[VerifyingKey]) -> bool {
    let by = |note: Note<'_>| keys.iter().any(|key| note.by(key).next().is_some());
    Note::parse(note).is_ok_and(by)
}

/// A note with further signature lines below its own; those it has already are not repeated.
pub fn add_signatures(note: &str, lines: &str) -> Result<String, LedgerError> {
    let parsed = Note::parse(note.as_bytes())?;
    let (_, kept) = note
        .split_at_checked(parsed.text.len() + 1)
        .ok_or(LedgerError::Note)?;
    let mut out = note.to_owned();
    for (i, line) in lines.split_inclusive('\n').enumerate() {
        let bare = line.strip_suffix('\n').ok_or(LedgerError::Note)?;
        signature_line(bare).ok_or(LedgerError::SignatureLine { line: i + 1 })?;
        if !kept.split_inclusive('\n').any(|known| known == line) {
            out.push_str(line);
        }
    }
    // The sum must be a note too: neither too long nor with too many signatures.
    Note::parse(out.as_bytes())?;
    Ok(out)
}

fn signature_line(line: &str) -> Option<(&str, KeyId, Vec<u8>)> {
    let (name, base64) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = text::base64(base64).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    if !text::is_key_name(name) || signature.is_empty() {
        return None;
    }
    Some((name, KeyId(*id), signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test vector of C2SP signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
        Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn published_vector() {
        let key = VerifyingKey::parse(VKEY).unwrap();
        assert_eq!(key.to_string(), VKEY);
        let note = Note::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.text, "This is an example message.\n");
        note.verify(&key).unwrap();

        let changed = NOTE.replace("message", "massage");
        let error = Note::parse(changed.as_bytes()).unwrap().verify(&key);
        assert_eq!(
            error,
            Err(LedgerError::BadSignature {
                name: "example.com/foo".into()
            })
        );
    }

    #[test]
    fn other_keys_are_passed_over_but_a_bad_signature_of_ours_is_not() {
        let ours = SigningKey::from_seed("a.example/log", [1; 32]).unwrap();
        let other = SigningKey::from_seed("b.example/log", [2; 32]).unwrap();
        let text = "hello\n";
        let line = |key: &SigningKey, text: &str| key.sign_note(text)[text.len() + 1..].to_owned();
        let both = format!("{}{}", ours.sign_note(text), line(&other, "other\n"));
        let note = Note::parse(both.as_bytes()).unwrap();
        assert_eq!(note.verify(ours.public()), Ok(()));
        assert!(matches!(
            note.verify(other.public()),
            Err(LedgerError::BadSignature { .. })
        ));
        let spoiled = format!("{}{}", ours.sign_note(text), line(&ours, "other\n"));
        assert!(
            Note::parse(spoiled.as_bytes())
                .unwrap()
                .verify(ours.public())
                .is_err()
        );
        let unsigned = Note {
            text,
            signatures: vec![],
        };
        assert!(matches!(
            unsigned.verify(ours.public()),
            Err(LedgerError::Unsigned { .. })
        ));
    }

    #[test]
    fn malformed_notes_are_refused() {
        for bad in [
            "",
            "\n",
            "\n\n",
            "text\n",
            "text\n\n",
            NOTE.trim_end(),
            &NOTE.replace("message", "mess\rage"),
            &NOTE.replace("\u{2014} ", "- "),
            &NOTE.replace("\u{2014} ", "\u{2014}  "),
            &NOTE.replace("aQM=", "aQN="),
            &NOTE.replace("aQM=", "aQM"),
            &format!("{NOTE}\n"),
            &format!("{NOTE}trailing\n"),
        ] {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Note::parse(&vec![b'\n'; NOTE_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn keys_survive_their_text() {
        let key = SigningKey::from_seed("log.example/evidence", [7; 32]).unwrap();
        let again = SigningKey::parse(&key.to_secret_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(
            VerifyingKey::parse(&key.public().to_string()).as_ref(),
            Ok(key.public())
        );
        assert!(!format!("{key:?}").contains(&STANDARD.encode([7; 32])));
        for bad in [
            VKEY.replace("530d903a", "530d903b"),
            VKEY.replace("530d903a", "530D903A"),
            VKEY.replace("+Ae", "+Be"),
            VKEY.replace("example.com/foo", "example.com/bar"),
            VKEY.replace("example.com/foo", "example com/foo"),
            format!("{VKEY}\n"),
            "a+b".to_owned(),
        ] {
            assert!(VerifyingKey::parse(&bad).is_err(), "{bad}");
        }
    }
}
