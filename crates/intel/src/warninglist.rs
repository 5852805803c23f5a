//! MISP warninglists: published lists of what is not evil by itself (resolvers, clouds, content
//! networks, private ranges, …), read so that trust can ask more of a report against one.
//!
//! One list is one JSON file, `lists/NAME/list.json`:
//! `{"name","description","version","type","list":[…],"matching_attributes":[…]}`. Entries that
//! are addresses or networks become prefixes whatever the list's type says, because several lists
//! of type `string` hold addresses; what else there is stays text. Lists are fetched from
//! elsewhere, so the number and the length of entries are bounded, and what is left out is
//! counted.

use std::fmt;

use model::Prefix;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// Bytes of one list's file.
pub const BYTES_MAX: usize = 64 << 20;
/// Entries of one list; the longest published one has a million.
pub const ENTRIES_MAX: usize = 2_000_000;
/// Bytes of an entry.
pub const ENTRY_BYTES_MAX: usize = 1_024;
/// Bytes of name, description and version that are kept.
const TEXT_BYTES_MAX: usize = 1_024;

/// How entries are to be compared with a value (the field `type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    Cidr,
    Hostname,
    Regex,
    String,
    Substring,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warninglist {
    pub name: String,
    pub description: String,
    /// A date such as `20260820` in nearly all lists; how old the list is.
    pub version: String,
    pub matching: Matching,
    /// What attributes it speaks of, such as `ip-src`; empty: any.
    pub attributes: Vec<String>,
    /// Sorted, each once.
    pub prefixes: Vec<Prefix>,
    /// Entries that are no prefixes, in their order.
    pub texts: Vec<String>,
    /// Entries that were too long, beyond the limit, or no texts.
    pub left_out: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum WarninglistError {
    #[error("the list has {bytes} bytes; at most {BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("not a warninglist: {0}; expected MISP's list.json with name, type and list")]
    Json(#[from] serde_json::Error),
    #[error("unknown type {0:?}; known are cidr, hostname, regex, string and substring")]
    Matching(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    name: Text,
    #[serde(default)]
    description: Text,
    #[serde(default)]
    version: Text,
    #[serde(rename = "type")]
    matching: Text,
    list: Entries,
    #[serde(default)]
    matching_attributes: Entries,
}

/// Reads one `list.json`.
pub fn read(bytes: &[u8]) -> Result<Warninglist, WarninglistError> {
    if bytes.len() > BYTES_MAX {
        return Err(WarninglistError::TooLarge { bytes: bytes.len() });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let file: File = serde_json::from_slice(bytes)?;
    let matching = match file.matching.0.as_str() {
        "cidr" => Matching::Cidr,
        "hostname" => Matching::Hostname,
        "regex" => Matching::Regex,
        "string" => Matching::String,
        "substring" => Matching::Substring,
        _ => return Err(WarninglistError::Matching(file.matching.0)),
    };
    let mut list = Warninglist {
        name: file.name.0,
        description: file.description.0,
        version: file.version.0,
        matching,
        attributes: file.matching_attributes.kept,
        prefixes: Vec::new(),
        texts: Vec::new(),
        left_out: file.list.left_out,
    };
    for entry in file.list.kept {
        // A pattern that reads as an address is still a pattern.
        match entry.trim().parse() {
            Ok(prefix) if matching != Matching::Regex => list.prefixes.push(prefix),
            _ => list.texts.push(entry),
        }
    }
    list.prefixes.sort_unstable();
    list.prefixes.dedup();
    Ok(list)
}

/// A text or a number, as lists have it for their version; cut where it is too long.
#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                let end = text.floor_char_boundary(TEXT_BYTES_MAX);
                Ok(Text(text.get(..end).unwrap_or_default().to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text::default())
            }
        }
        d.deserialize_any(Any)
    }
}

#[derive(Default)]
struct Entries {
    kept: Vec<String>,
    left_out: usize,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }

            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while entries.kept.len() < ENTRIES_MAX {
                    match list.next_element::<Entry>()? {
                        None => return Ok(entries),
                        Some(Entry::Text(text)) if text.len() <= ENTRY_BYTES_MAX => {
                            entries.kept.push(text);
                        }
                        Some(Entry::Text(_) | Entry::Other(_)) => entries.left_out += 1,
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    entries.left_out += 1;
                }
                Ok(entries)
            }
        }
        d.deserialize_any(List)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Other(IgnoredAny),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn a_list_of_networks_becomes_sorted_prefixes() {
        let list = read(
            br#"{"name":"Example networks","description":"d","version":20260820,"type":"cidr",
                "list":["203.0.113.0/24","2001:db8::/32","198.51.100.7","203.0.113.0/24"],
                "matching_attributes":["ip-src","ip-dst"],"unknown":{"a":[1]}}"#,
        )
        .unwrap();
        assert_eq!(list.version, "20260820");
        assert_eq!(list.matching, Matching::Cidr);
        assert_eq!(
            list.prefixes,
            prefixes(&["198.51.100.7", "203.0.113.0/24", "2001:db8::/32"])
        );
        assert_eq!(list.attributes, ["ip-src", "ip-dst"]);
        assert!(list.texts.is_empty());
    }

    #[test]
    fn addresses_in_a_list_of_strings_are_prefixes_and_names_stay_texts() {
        let list = read(
            br#"{"type":"string","version":"3","list":["192.0.2.53","dns.example.net",7,null,[1]]}"#,
        )
        .unwrap();
        assert_eq!(list.prefixes, prefixes(&["192.0.2.53"]));
        assert_eq!(list.texts, ["dns.example.net"]);
        assert_eq!(list.left_out, 3);
    }

    #[test]
    fn patterns_are_never_prefixes() {
        let list = read(br#"{"type":"regex","list":["192.0.2.1"]}"#).unwrap();
        assert!(list.prefixes.is_empty());
        assert_eq!(list.texts, ["192.0.2.1"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in [
            &b""[..],
            b"[]",
            b"{}",
            br#"{"type":"cidr"}"#,
            br#"{"type":"other","list":[]}"#,
            b"<html>404</html>",
        ] {
            assert!(read(bad).is_err());
        }
    }

    #[test]
    fn long_entries_are_left_out_and_counted() {
        let text = format!(
            r#"{{"type":"hostname","list":["{}","a.example"]}}"#,
            "x".repeat(ENTRY_BYTES_MAX + 1)
        );
        let list = read(text.as_bytes()).unwrap();
        assert_eq!((list.left_out, list.texts.len()), (1, 1));
    }
}
