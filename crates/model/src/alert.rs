//! An alert: a rule saw enough. It carries the lines that made it so.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use crate::{LineOrigin, Meta, Prefix, Timestamp};

/// Names one alert for good. Derived from what caused it, so that a line read twice gives the
/// same alert twice, and the second can be recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId([u8; 16]);

impl AlertId {
    /// The first 16 bytes of SHA-256 over the parts, each preceded by its length.
    pub fn derive(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(id)
    }

    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What [`AlertId::bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl AlertId {
    /// An alert has one, but there may be many alerts: not through `fmt` digit by digit either.
    fn with_hex<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        let mut text = [0; 32];
        put_hex(&self.0, &mut text);
        read(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.write_str(text))
    }
}

impl fmt::Debug for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AlertId {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "an alert id is 32 hexadecimal digits";
        if s.len() != 32 || !s.is_ascii() {
            return Err(WHY);
        }
        u128::from_str_radix(s, 16)
            .map(|n| Self(n.to_be_bytes()))
            .map_err(|_| WHY)
    }
}

impl Serialize for AlertId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| s.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// SHA-256 of some bytes; written as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// What SHA-256 gave.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Alerts hold many hashes, so this does not go through `fmt` digit by digit.
    pub(crate) fn with_hex<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        let mut text = [0; 64];
        put_hex(&self.0, &mut text);
        read(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes two digits for each byte.
fn put_hex(bytes: &[u8], text: &mut [u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
    }
}

const fn digit(n: u8) -> u8 {
    if n < 10 { b'0' + n } else { b'a' + n - 10 }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.write_str(text))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentHash {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        const WHY: &str = "a SHA-256 is 64 hexadecimal digits";
        let mut bytes = [0; 32];
        let pairs = s.as_bytes().chunks_exact(2);
        if s.len() != 64 {
            return Err(WHY);
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let value = |c: u8| {
                char::from(c)
                    .to_digit(16)
                    .and_then(|n| u8::try_from(n).ok())
            };
            *byte = match pair {
                [high, low] => value(*high).zip(value(*low)).map(|(h, l)| h << 4 | l),
                _ => None,
            }
            .ok_or(WHY)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|text| s.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// What kind of thing the alert is about. The spellings are those that rules and bouncers use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Scope {
    As,
    Country,
    Ip,
    Range,
    /// Anything a rule names: a user, a process, a session.
    Other(String),
}

impl From<String> for Scope {
    fn from(s: String) -> Self {
        match s.to_ascii_lowercase().as_str() {
            "as" => Self::As,
            "country" => Self::Country,
            "ip" => Self::Ip,
            "range" => Self::Range,
            _ => Self::Other(s),
        }
    }
}

impl From<Scope> for String {
    fn from(s: Scope) -> Self {
        s.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::As => "AS",
            Self::Country => "Country",
            Self::Ip => "Ip",
            Self::Range => "Range",
            Self::Other(name) => name,
        })
    }
}

/// Bytes that are usually text: written as text when they are UTF-8, else as base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawText {
    Base64(String),
    Text(String),
}

impl RawText {
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Base64(text) => STANDARD.decode(text).ok(),
            Self::Text(text) => Some(text.clone().into_bytes()),
        }
    }
}

/// A raw line that counted towards an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    pub source: Arc<str>,
    pub origin: LineOrigin,
    pub received: Timestamp,
    /// Of the whole raw line, without its line end.
    pub sha256: ContentHash,
    /// Length of the whole raw line in bytes.
    pub bytes: u64,
    /// The raw line, or its first [`crate::limits::EVIDENCE_LINE_BYTES_MAX`] bytes.
    pub raw: RawText,
}

impl EvidenceLine {
    pub fn new(source: Arc<str>, origin: LineOrigin, received: Timestamp, raw: &[u8]) -> Self {
        let kept = raw
            .get(..crate::limits::EVIDENCE_LINE_BYTES_MAX)
            .unwrap_or(raw);
        Self {
            source,
            origin,
            received,
            sha256: ContentHash::of(raw),
            bytes: raw.len() as u64,
            raw: RawText::new(kept),
        }
    }
}

/// What the parsers learnt from one line that counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertEvent {
    pub time: Timestamp,
    pub meta: Meta,
}

/// A rule saw enough of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    /// The name of the rule (scenario).
    pub rule: String,
    /// SHA-256 of the rule's file, lower-case hex.
    pub rule_hash: String,
    pub scope: Scope,
    /// The source in the scope's own terms: an address, a network, a user.
    pub value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Prefix>,
    /// The first and the last line that counted, by the clock the engine was run with.
    pub first: Timestamp,
    pub last: Timestamp,
    /// How many events counted; `events` and `evidence` keep the last ones only.
    pub events_count: u64,
    pub message: String,
    /// The rule asks for a measure against the source.
    pub remediation: bool,
    /// The rule is on trial: record, do not act.
    #[serde(default)]
    pub simulated: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    /// Shared: all alerts of a rule have the same.
    pub labels: Arc<BTreeMap<String, serde_json::Value>>,
    /// What alert contexts tell of the events, by key: who was the target, which paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<AlertEvent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceLine>,
}

impl Alert {
    /// The rule reports something good (label `good: true`), such as a login that succeeded.
    pub fn is_good_news(&self) -> bool {
        self.labels.get("good") == Some(&serde_json::Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_every_part_and_its_border() {
        let id = |parts: &[&[u8]]| AlertId::derive(parts);
        assert_ne!(id(&[b"ab", b"c"]), id(&[b"a", b"bc"]));
        assert_eq!(
            id(&[b"a"]).to_string().parse::<AlertId>().unwrap(),
            id(&[b"a"])
        );
    }

    #[test]
    fn hashes_are_lower_case_hex_both_ways() {
        let hash = ContentHash::of(b"abc");
        // The example of FIPS 180-4.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(serde_json::to_string(&hash).unwrap(), format!("\"{text}\""));
        for bad in [
            "",
            "ba78",
            &text.replace('b', "g"),
            &text.replace("ba", "\u{e4}"),
        ] {
            assert!(bad.parse::<ContentHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn raw_bytes_survive_json() {
        for bytes in [b"plain".as_slice(), b"\xff\x00\xfe"] {
            let json = serde_json::to_string(&RawText::new(bytes)).unwrap();
            let back: RawText = serde_json::from_str(&json).unwrap();
            assert_eq!(back.to_bytes().unwrap(), bytes);
        }
    }
}
