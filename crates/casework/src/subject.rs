//! Where a ledger speaks of one person: an address, or a name (of an account, of a party).
//!
//! Pure: entries and texts come in, the places in them go out. Whoever answers a request for
//! access (GDPR, article 15) reads the entries one by one and keeps what this room found.

use std::{fmt, net::IpAddr, str::FromStr};

use model::Prefix;
use serde_json::Value;

/// A shorter name is in everything.
const NAME_CHARS_MIN: usize = 2;
const NAME_CHARS_MAX: usize = 200;
/// Places told of one entry.
pub const PLACES_MAX: usize = 50;
/// What an IPv4 address has, and IPv6 has at least.
const DOTS: usize = 3;
const COLONS: usize = 2;

/// Of whom it is asked what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Networks that it lies in count too.
    Address(IpAddr),
    /// In lower case; letters and digits around it would make it another name.
    Name(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor a name of {NAME_CHARS_MIN} to {NAME_CHARS_MAX} characters"
)]
pub struct SubjectError(String);

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let length = text.chars().count();
        if !(NAME_CHARS_MIN..=NAME_CHARS_MAX).contains(&length) {
            return Err(SubjectError(text.chars().take(NAME_CHARS_MAX).collect()));
        }
        Ok(Self::Name(text.to_lowercase()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Subject {
    /// Whether it is worth a closer look; says yes too often rather than too seldom.
    pub fn may_be_in(&self, json: &str) -> bool {
        match self {
            // Behind an escape there may be letters that are none.
            Self::Address(_) => json.contains('\\') || self.is_in(json),
            Self::Name(name) => {
                let plain = name
                    .chars()
                    .all(|c| c != '"' && c != '\\' && !c.is_control());
                !plain || json.to_lowercase().contains(name)
            }
        }
    }

    /// The places in an entry, as JSON pointers (RFC 6901), [`PLACES_MAX`] at most.
    pub fn places_in(&self, value: &Value) -> Vec<String> {
        let mut places = Vec::new();
        // A list of what is still to be looked at, and no recursion.
        let mut waiting = vec![(String::new(), value)];
        while let Some((place, value)) = waiting.pop() {
            if places.len() == PLACES_MAX {
                break;
            }
            match value {
                Value::String(text) if self.is_in(text) => places.push(place),
                Value::Array(all) => {
                    let inside = all.iter().enumerate().rev();
                    waiting.extend(inside.map(|(at, one)| (format!("{place}/{at}"), one)));
                }
                Value::Object(all) => {
                    let named = all.keys().any(|key| self.is_in(key));
                    if named {
                        places.push(place.clone());
                    }
                    let inside = all.iter().rev();
                    waiting.extend(inside.map(|(key, one)| {
                        let key = key.replace('~', "~0").replace('/', "~1");
                        (format!("{place}/{key}"), one)
                    }));
                }
                Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        places
    }

    pub fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Address(address) => numbers(text).any(|token| names(token, *address)),
            Self::Name(name) => is_word_in(&text.to_lowercase(), name),
        }
    }
}

/// The stretches of a text that addresses and networks are made of.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let belongs = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'/');
    let tokens = text.split(move |c: char| !u8::try_from(c).is_ok_and(belongs));
    tokens.filter(|token| {
        let count = |wanted: u8| token.bytes().filter(|byte| *byte == wanted).count();
        count(b'.') >= DOTS || count(b':') >= COLONS
    })
}

/// Whether one of these numbers is the address, or a network that it lies in: as it stands, without
/// what ends a sentence, or without a port.
fn names(token: &str, address: IpAddr) -> bool {
    let bare = token.trim_matches(['.', ':', '/']);
    let parts = [token, bare].into_iter().flat_map(|text| {
        let without = [
            text.split_once(':'),
            text.rsplit_once(':'),
            text.split_once('/'),
        ];
        let [host, behind, network] = without;
        [
            Some(text),
            host.map(|(host, _)| host),
            behind.map(|(_, host)| host),
            network.map(|(host, _)| host),
        ]
    });
    parts.flatten().any(|part| match part.parse::<IpAddr>() {
        Ok(found) => found.to_canonical() == address,
        Err(_) => part.contains('/') && part.parse::<Prefix>().is_ok_and(|p| p.contains(address)),
    })
}

fn is_word_in(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text
            .get(at + found.len()..)
            .and_then(|tail| tail.chars().next());
        let apart = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
        apart(before) && apart(after)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_found_however_it_is_written() {
        let four = subject("192.0.2.7");
        for text in [
            "192.0.2.7",
            "from 192.0.2.7 port 22",
            "at 192.0.2.7.",
            "192.0.2.7:443",
            "[::ffff:192.0.2.7]:443",
            "a=192.0.2.7,b",
            "http://192.0.2.7/path",
            "192.0.2.0/24",
            "0.0.0.0/0",
        ] {
            assert!(four.is_in(text), "{text}");
        }
        for text in [
            "192.0.2.77",
            "1192.0.2.7",
            "192.0.2.7.1",
            "192.0.2.8/32",
            "12:40:39",
            "",
        ] {
            assert!(!four.is_in(text), "{text}");
        }
        let six = subject("2001:db8::7");
        for text in [
            "2001:DB8:0:0:0:0:0:7",
            "[2001:db8::7]:443",
            "2001:db8::/32",
            "2001:db8::7:",
        ] {
            assert!(six.is_in(text), "{text}");
        }
        assert!(!six.is_in("2001:db8::70") && !six.is_in("2001:db9::/32"));
    }

    #[test]
    fn a_name_is_a_word_whatever_its_case() {
        let name = subject("Ola Nordmann");
        assert!(name.is_in("OLA NORDMANN called") && name.is_in("(ola nordmann)"));
        assert!(!name.is_in("ola nordmanns") && !name.is_in("xola nordmann"));
        assert!(subject("root").is_in("for root from"));
        assert!(!subject("root").is_in("chroot"));
        assert!("".parse::<Subject>().is_err() && "x".parse::<Subject>().is_err());
    }

    #[test]
    fn places_are_told_and_escapes_do_not_hide() {
        let value = json!({
            "prefix": "192.0.2.0/24", "n": 3, "a/b": ["x", "seen\t192.0.2.7"],
            "by": { "192.0.2.7": true },
        });
        let four = subject("192.0.2.7");
        let mut places = four.places_in(&value);
        places.sort();
        assert_eq!(places, ["/a~1b/1", "/by", "/prefix"]);
        let text = value.to_string();
        assert!(four.may_be_in(&text));
        assert!(four.may_be_in(r#"{"a":"\b192.0.2.7"}"#));
        assert!(!four.may_be_in(r#"{"a":"198.51.100.7"}"#));
        let quoted = subject("a \"b\" c");
        let value = json!({ "name": "A \"B\" C" });
        assert!(quoted.may_be_in(&value.to_string()));
        assert_eq!(quoted.places_in(&value), ["/name"]);
    }

    #[test]
    fn places_are_bounded() {
        let many = json!(vec!["192.0.2.7"; PLACES_MAX + 9]);
        assert_eq!(subject("192.0.2.7").places_in(&many).len(), PLACES_MAX);
    }
}
