//! What somebody says of evidence that they send to a hub, and the hashes they say it has.
//!
//! Stands before the vault: the bytes are the body of a request, this is its head. All of it is
//! from outside, so all of it is bounded here; nothing here vouches for what it says. Shapes in
//! `docs/exhibits.md`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{ClockTruth, ContentHash, Timestamp, Tlp, ToolUsed};
use serde::{Deserialize, Serialize};

/// The header that holds it: JSON in base64.
pub const SUBMISSION_HEADER: &str = "posse-exhibit";
/// Bytes of that header.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Bytes of a `Content-Digest`.
pub const DIGEST_BYTES_MAX: usize = 1_024;
/// Characters of a reason, an authority, a note.
const TEXT_CHARS_MAX: usize = 2_000;
/// Characters of a name, a class, a case.
const WORD_CHARS_MAX: usize = 200;

/// Only the first two must be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Submission {
    pub file_name: String,
    /// The contract, consent or order that allows it.
    pub authority: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// How it was taken where it comes from.
    pub method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    pub class: String,
    pub tlp: Tlp,
    pub reason: String,
    pub media_type: String,
    /// Host, site, sensor that it was taken at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolUsed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockTruth>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Default for Submission {
    fn default() -> Self {
        Self {
            file_name: String::new(),
            authority: String::new(),
            title: String::new(),
            method: "upload".to_owned(),
            case: None,
            class: "evidence".to_owned(),
            tlp: Tlp::Amber,
            reason: "evidence of an attack".to_owned(),
            media_type: "application/octet-stream".to_owned(),
            place: String::new(),
            first_seen: None,
            tool: None,
            clock: None,
            note: String::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmissionError {
    #[error("the header {SUBMISSION_HEADER} is missing; see docs/exhibits.md")]
    Absent,
    #[error("the header {SUBMISSION_HEADER} has more than {HEADER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the header {SUBMISSION_HEADER} is not base64 (RFC 4648 section 4)")]
    Base64,
    #[error("the header {SUBMISSION_HEADER} does not hold what docs/exhibits.md says: {0}")]
    Json(String),
    #[error("{0} is empty: an exhibit without it proves nothing")]
    Empty(&'static str),
    #[error("{what} is longer than {max} characters")]
    Text { what: &'static str, max: usize },
    #[error("{0} holds control characters")]
    Control(&'static str),
    #[error("media_type is not of the form text/plain")]
    MediaType,
    #[error("Content-Digest is not as RFC 9530 has it, with sha-256 or sha-512")]
    Digest,
}

impl SubmissionError {
    /// Whether it was understood and is not enough.
    pub const fn is_lacking(&self) -> bool {
        matches!(self, Self::Empty(_))
    }
}

impl Submission {
    /// Reads the header's value.
    pub fn read(header: &[u8]) -> Result<Self, SubmissionError> {
        if header.len() > HEADER_BYTES_MAX {
            return Err(SubmissionError::TooLong);
        }
        let json = STANDARD
            .decode(header.trim_ascii())
            .map_err(|_| SubmissionError::Base64)?;
        let mut read: Self =
            serde_json::from_slice(&json).map_err(|e| SubmissionError::Json(e.to_string()))?;
        read.check()?;
        if read.title.trim().is_empty() {
            read.title.clone_from(&read.file_name);
        }
        Ok(read)
    }

    /// What stands in the header.
    pub fn write(&self) -> String {
        // A struct of texts always becomes JSON.
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn check(&self) -> Result<(), SubmissionError> {
        for (what, text) in [
            ("authority", &self.authority),
            ("file_name", &self.file_name),
            ("reason", &self.reason),
            ("class", &self.class),
            ("method", &self.method),
        ] {
            if text.trim().is_empty() {
                return Err(SubmissionError::Empty(what));
            }
        }
        for (what, text) in self.words() {
            bounded(what, text, WORD_CHARS_MAX)?;
            if text.chars().any(char::is_control) {
                return Err(SubmissionError::Control(what));
            }
        }
        for (what, text) in [
            ("authority", &self.authority),
            ("reason", &self.reason),
            ("note", &self.note),
        ] {
            bounded(what, text, TEXT_CHARS_MAX)?;
            if text.chars().any(|c| c.is_control() && c != '\n') {
                return Err(SubmissionError::Control(what));
            }
        }
        is_media_type(&self.media_type)
            .then_some(())
            .ok_or(SubmissionError::MediaType)
    }

    fn words(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let tool = self.tool.iter().flat_map(|tool| {
            [
                ("tool.name", tool.name.as_str()),
                ("tool.version", &tool.version),
                ("tool.rules_hash", &tool.rules_hash),
                ("tool.arguments", &tool.arguments),
            ]
        });
        let clock = self.clock.iter().flat_map(|clock| {
            [
                ("clock.told_by", clock.told_by.as_str()),
                ("clock.time_zone", &clock.time_zone),
            ]
        });
        let own = [
            ("file_name", self.file_name.as_str()),
            ("title", &self.title),
            ("method", &self.method),
            ("case", self.case.as_deref().unwrap_or_default()),
            ("class", &self.class),
            ("media_type", &self.media_type),
            ("place", &self.place),
        ];
        own.into_iter().chain(tool).chain(clock)
    }
}

fn bounded(what: &'static str, text: &str, max: usize) -> Result<(), SubmissionError> {
    if text.chars().count() > max {
        return Err(SubmissionError::Text { what, max });
    }
    Ok(())
}

/// RFC 9110 section 8.3.1, without parameters.
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !part.is_empty() && part.bytes().all(fits)
    };
    text.split_once('/')
        .is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

/// What a sender says the bytes' hashes are (RFC 9530).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    pub sha256: Option<ContentHash>,
    /// Lower-case hex.
    pub sha512: Option<String>,
}

impl Digests {
    /// Reads `Content-Digest`, a dictionary of byte sequences (RFC 8941 section 3.2). Hashes of
    /// other kinds are passed over; one of those we know must be there.
    pub fn read(header: &[u8]) -> Result<Self, SubmissionError> {
        let bad = || SubmissionError::Digest;
        if header.len() > DIGEST_BYTES_MAX {
            return Err(bad());
        }
        let text = std::str::from_utf8(header).map_err(|_| bad())?;
        let mut read = Self::default();
        // Of a key that comes again the last counts.
        for member in text.split(',') {
            let (key, value) = member.trim().split_once('=').ok_or_else(bad)?;
            match key {
                "sha-256" => {
                    let bytes = bytes_of(value).ok_or_else(bad)?;
                    let hash = <[u8; 32]>::try_from(bytes).map_err(|_| bad())?;
                    read.sha256 = Some(ContentHash::from_bytes(hash));
                }
                "sha-512" => {
                    let bytes = bytes_of(value).ok_or_else(bad)?;
                    let hash = <[u8; 64]>::try_from(bytes).map_err(|_| bad())?;
                    read.sha512 = Some(hash.iter().map(|b| format!("{b:02x}")).collect());
                }
                _ => {}
            }
        }
        if read == Self::default() {
            return Err(bad());
        }
        Ok(read)
    }

    /// Whether bytes of these hashes are those that were meant.
    pub fn fit(&self, sha256: &ContentHash, sha512: &str) -> bool {
        self.sha256.is_none_or(|said| said == *sha256)
            && self.sha512.as_deref().is_none_or(|said| said == sha512)
    }
}

/// `:base64:`, perhaps with parameters behind it.
fn bytes_of(value: &str) -> Option<Vec<u8>> {
    let item = value.split(';').next()?.trim();
    let inner = item.strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(inner).ok()
}

/// The same header for bytes that go out.
pub fn content_digest(sha256: &ContentHash) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Vec<u8> {
        STANDARD.encode(json).into_bytes()
    }

    #[test]
    fn what_is_not_said_has_its_usual_value() {
        let read =
            Submission::read(&header(r#"{"file_name":"a.log","authority":"contract 7"}"#)).unwrap();
        assert_eq!(read.title, "a.log");
        assert_eq!(
            (read.class.as_str(), read.method.as_str()),
            ("evidence", "upload")
        );
        assert_eq!(read.tlp, Tlp::Amber);
        assert_eq!(Submission::read(read.write().as_bytes()), Ok(read));
    }

    #[test]
    fn nothing_is_taken_without_an_authority() {
        for json in [
            r#"{"file_name":"a"}"#,
            r#"{"file_name":"a","authority":" \n"}"#,
        ] {
            let refused = Submission::read(&header(json)).unwrap_err();
            assert_eq!(refused, SubmissionError::Empty("authority"));
            assert!(refused.is_lacking());
        }
    }

    #[test]
    fn what_is_malformed_is_told_apart() {
        let long = format!(
            r#"{{"file_name":"{}","authority":"x"}}"#,
            "a".repeat(WORD_CHARS_MAX + 1)
        );
        for (json, expected) in [
            (
                r#"{"file_name":"a\u0007","authority":"x"}"#,
                SubmissionError::Control("file_name"),
            ),
            (
                r#"{"file_name":"a","authority":"x","media_type":"text"}"#,
                SubmissionError::MediaType,
            ),
            (
                long.as_str(),
                SubmissionError::Text {
                    what: "file_name",
                    max: WORD_CHARS_MAX,
                },
            ),
        ] {
            assert_eq!(Submission::read(&header(json)), Err(expected), "{json}");
        }
        assert_eq!(Submission::read(b"{}"), Err(SubmissionError::Base64));
        assert_eq!(
            Submission::read(&vec![b'A'; HEADER_BYTES_MAX + 1]),
            Err(SubmissionError::TooLong)
        );
        let unknown = header(r#"{"file_name":"a","authority":"x","legal":true}"#);
        assert!(matches!(
            Submission::read(&unknown),
            Err(SubmissionError::Json(_))
        ));
    }

    #[test]
    fn digests_are_read_as_rfc_9530_writes_them() {
        // The first example of RFC 9530 appendix D, without its line break.
        let body = b"{\"hello\": \"world\"}\n";
        let said = Digests::read(
            b"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:, \
              sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        )
        .unwrap();
        assert!(said.fit(&ContentHash::of(body), "anything"));
        assert!(!said.fit(&ContentHash::of(b"other"), ""));
        assert_eq!(
            Digests::read(content_digest(&ContentHash::of(body)).as_bytes()).unwrap(),
            said
        );
    }

    #[test]
    fn a_digest_that_cannot_be_compared_is_refused() {
        for text in [
            "",
            "sha-256",
            "sha-256=abc",
            "sha-256=:YWJj:",
            "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
            "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
        ] {
            let read = Digests::read(text.as_bytes());
            assert_eq!(read, Err(SubmissionError::Digest), "{text}");
        }
    }
}
