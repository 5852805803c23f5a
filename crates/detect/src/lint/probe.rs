//! Lines as an attacker would have them written: where a client's text stands in a line, and what
//! to put there.
//!
//! Texts only; [`super::steer`] and [`super::pattern`] run the results.

use std::{net::IpAddr, ops::Range};

/// Addresses that did nothing; the first that a line does not hold is its victim.
const VICTIMS: [&str; 3] = ["203.0.113.251", "203.0.113.252", "198.51.100.253"];
/// Quoted texts of one line that are tried.
const QUOTED_MAX: usize = 48;

/// Parts of names of what clients choose.
const CLIENTS_OWN: [&str; 33] = [
    "user",
    "login",
    "account",
    "uri",
    "url",
    "request",
    "path",
    "query",
    "agent",
    "refer",
    "helo",
    "ehlo",
    "from",
    "sender",
    "rcpt",
    "recipient",
    "subject",
    "vhost",
    "http_host",
    "sni",
    "server_name",
    "ident",
    "passw",
    "cmd",
    "command",
    "realm",
    "workstation",
    "qname",
    "cookie",
    "header",
    "body",
    "client_id",
    "cert",
];
/// Parts of names of what the resolver says: letters, digits, dots and dashes only.
const RESOLVED: [&str; 6] = [
    "remote_host",
    "rhost",
    "rdns",
    "reverse",
    "ptr",
    "peer_name",
];
/// Parts of names of what the system writes, or of a part that holds all others.
const SYSTEMS_OWN: [&str; 29] = [
    "where",
    "head",
    "timestamp",
    "time",
    "date",
    "pid",
    "program",
    "logsource",
    "facility",
    "priority",
    "machine",
    "level",
    "thread",
    "message",
    "month",
    "day",
    "year",
    "hour",
    "minute",
    "second",
    "port",
    "status",
    "bytes",
    "size",
    "process_name",
    "hostname",
    "httpversion",
    "http_version",
    "identifier",
];
/// Parts of names of request headers that say for whom a request came.
const FORWARDED: [&str; 8] = [
    "forwarded",
    "x-real-ip",
    "x_real_ip",
    "xff",
    "real_ip",
    "realip",
    "cf-connecting",
    "true-client",
];

/// Whose text a part of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Client,
    /// A header that names another address: the client's word as well.
    Forwarded,
    /// A name that was looked up: whoever owns the address chose it, as far as names go.
    Resolver,
    /// Somebody's. Only taken for a client's where it is free text.
    Unknown,
}

/// How the product writes a text that holds quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Backslash,
    None,
}

/// A part of a line that a client may have chosen.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) range: Range<usize>,
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) escape: Escape,
}

/// A forged line.
#[derive(Clone, Debug)]
pub(super) struct Forgery {
    pub(super) line: String,
    /// The text holds the very sign that ends it in the line, which a product might escape.
    pub(super) breaks_out: bool,
    /// The whole text was replaced by the address.
    pub(super) bare: bool,
}

pub(super) fn victim(line: &str) -> &'static str {
    VICTIMS
        .into_iter()
        .find(|victim| !line.contains(victim))
        .unwrap_or("192.0.2.251")
}

/// `None` for what no client writes.
pub(super) fn owner(name: &str, text: &str) -> Option<Owner> {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&FORWARDED) {
        return Some(Owner::Forwarded);
    }
    let number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if number || is_address(text) || has(&SYSTEMS_OWN) && !has(&["user", "helo", "header"]) {
        return None;
    }
    Some(if has(&RESOLVED) {
        Owner::Resolver
    } else if has(&CLIENTS_OWN) {
        Owner::Client
    } else {
        Owner::Unknown
    })
}

pub(super) fn is_address(text: &str) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    text.parse::<IpAddr>().is_ok()
}

/// The texts in double quotes, with the word before them as their name: JSON, logfmt, `key="…"`.
pub(super) fn quoted(line: &str) -> Vec<Place> {
    let bytes = line.as_bytes();
    let mut found = Vec::new();
    let mut key = String::new();
    let mut at = 0;
    while let Some(start) = next_quote(bytes, at) {
        let Some(end) = closing(bytes, start + 1) else {
            break;
        };
        let text = line.get(start + 1..end).unwrap_or_default();
        let after = bytes.get(end + 1..).unwrap_or_default();
        let is_key = after.iter().find(|b| **b != b' ') == Some(&b':');
        if is_key {
            text.clone_into(&mut key);
        } else {
            let before = line.get(..start).unwrap_or_default();
            let name = match before.strip_suffix('=') {
                Some(rest) => last_word(rest).to_owned(),
                None => key.clone(),
            };
            let owner = owner(&name, text).filter(|_| !text.contains("://") || name != "schema");
            found.extend(owner.map(|owner| Place {
                range: start + 1..end,
                name,
                owner,
                escape: Escape::Backslash,
            }));
        }
        if found.len() >= QUOTED_MAX {
            break;
        }
        at = end + 1;
    }
    found
}

fn next_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|b| *b == b'"').map(|n| from + n)
}

fn closing(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn last_word(text: &str) -> &str {
    let start = text
        .rfind(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)))
        .map_or(0, |n| n + 1);
    text.get(start..).unwrap_or_default()
}

/// Everything worth trying at `place` of `line`. `address` is where the client's own stands;
/// `imitations` are whole messages of the product about `victim`.
pub(super) fn forge(
    line: &str,
    place: &Place,
    address: Option<&Range<usize>>,
    victim: &str,
    imitations: &[String],
) -> Vec<Forgery> {
    let part = |range: Range<usize>| line.get(range).unwrap_or_default();
    let own = part(place.range.clone());
    let mut texts: Vec<String> = Vec::new();
    match address {
        Some(at) if at.start >= place.range.end => {
            let head = part(place.range.end..at.start);
            let tail = part(at.end..line.len());
            texts.push(format!("{own}{head}{victim}{tail}"));
            texts.push(format!("{own}{head}{victim}"));
            texts.push(format!("{own}{head}{victim} {own}"));
            texts.push(format!("{head}{victim}{tail}"));
        }
        Some(at) => {
            let between = part(at.end..place.range.start);
            let before = part(0..at.start);
            for words in [1, 2, 3, usize::MAX] {
                let head = last_words(before, words);
                texts.push(format!("{own} {head}{victim}{between}{own}"));
                texts.push(format!("{own}{head}{victim}"));
            }
        }
        None => {}
    }
    texts.extend(imitations.iter().cloned());
    texts.extend(imitations.iter().map(|text| format!("{own} {text}")));
    texts.push(format!("{own} {victim}"));
    texts.push(format!("{own}@{victim}"));
    texts.push(format!("{victim}.{own}"));
    let fits = |text: &String| match place.owner {
        Owner::Client | Owner::Forwarded => true,
        Owner::Resolver => {
            let label = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
            text.chars().all(label)
        }
        // What never holds a blank is a word of the product's own.
        Owner::Unknown => own.contains(' '),
    };
    let mut all: Vec<Forgery> = texts
        .into_iter()
        .filter(fits)
        .map(|text| written(line, place, &text))
        .filter(|forgery| place.owner != Owner::Unknown || !forgery.breaks_out)
        .collect();
    let mut bare = written(line, place, victim);
    bare.bare = true;
    all.push(bare);
    all
}

fn written(line: &str, place: &Place, text: &str) -> Forgery {
    let ends = line
        .get(place.range.end..)
        .and_then(|rest| rest.chars().next());
    let escaped = match place.escape {
        Escape::Backslash => text.replace('\\', "\\\\").replace('"', "\\\""),
        Escape::None => text.to_owned(),
    };
    let closes = |c: char| "\"'`>]})|;".contains(c);
    let breaks_out = ends.is_some_and(|end| closes(end) && escaped.contains(end))
        && place.escape == Escape::None;
    let (before, after) = (
        line.get(..place.range.start).unwrap_or_default(),
        line.get(place.range.end..).unwrap_or_default(),
    );
    Forgery {
        line: format!("{before}{escaped}{after}"),
        breaks_out,
        bare: false,
    }
}

/// The last `count` words of `text`, with the blanks behind each.
fn last_words(text: &str, count: usize) -> &str {
    let mut before = ' ';
    let mut starts = Vec::new();
    for (at, c) in text.char_indices() {
        if before == ' ' && c != ' ' {
            starts.push(at);
        }
        before = c;
    }
    let first = starts.len().saturating_sub(count);
    let start = starts.get(first).copied().unwrap_or(0);
    text.get(start..).unwrap_or_default()
}
