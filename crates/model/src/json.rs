//! Alerts as JSON: byte for byte what `serde_json` writes, at a fraction of the cost.
//!
//! Who replays a log prints alerts by the thousand, and most of their bytes are raw lines and other
//! texts of which none needs an escape. `serde_json` looks at each byte by itself; here eight are
//! looked at together and all are copied at once. What is rare (escapes, labels) is left to
//! `serde_json`. The caller owns the buffer and keeps its memory.

use std::io::Write as _;

use serde::Serialize;
use serde_json::Result;

use crate::{Alert, AlertEvent, ContentHash, EvidenceLine, LineOrigin, RawText, Timestamp};

impl Alert {
    /// Appends the alert to `to`, as `serde_json` would.
    pub fn put_json(&self, to: &mut Vec<u8>) -> Result<()> {
        let Self {
            id,
            rule,
            rule_hash,
            scope,
            value,
            address,
            range,
            first,
            last,
            events_count,
            message,
            remediation,
            simulated,
            labels,
            context,
            events,
            evidence,
        } = self;
        to.extend_from_slice(b"{\"id\":");
        put(to, id)?;
        put_named(to, b",\"rule\":", rule)?;
        put_named(to, b",\"rule_hash\":", rule_hash)?;
        put_named(to, b",\"scope\":", &scope.to_string())?;
        put_named(to, b",\"value\":", value)?;
        if let Some(address) = address {
            put_other(to, b",\"address\":", address)?;
        }
        if let Some(range) = range {
            put_other(to, b",\"range\":", range)?;
        }
        put_time(to, b",\"first\":\"", *first);
        put_time(to, b",\"last\":\"", *last);
        put_other(to, b",\"events_count\":", events_count)?;
        put_named(to, b",\"message\":", message)?;
        put_other(to, b",\"remediation\":", remediation)?;
        put_other(to, b",\"simulated\":", simulated)?;
        if !labels.is_empty() {
            put_other(to, b",\"labels\":", labels)?;
        }
        if !context.is_empty() {
            put_other(to, b",\"context\":", context)?;
        }
        put_all(to, b",\"events\":[", events, put_event)?;
        put_all(to, b",\"evidence\":[", evidence, put_evidence)?;
        to.push(b'}');
        Ok(())
    }
}

/// An array that is left out when there is nothing in it.
fn put_all<T>(
    to: &mut Vec<u8>,
    name: &[u8],
    items: &[T],
    put_one: fn(&mut Vec<u8>, &T) -> Result<()>,
) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    to.extend_from_slice(name);
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            to.push(b',');
        }
        put_one(to, item)?;
    }
    to.push(b']');
    Ok(())
}

fn put_event(to: &mut Vec<u8>, event: &AlertEvent) -> Result<()> {
    let AlertEvent { time, meta } = event;
    put_time(to, b"{\"time\":\"", *time);
    to.extend_from_slice(b",\"meta\":{");
    for (number, (name, text)) in meta.iter().enumerate() {
        if number > 0 {
            to.push(b',');
        }
        put_text(to, name)?;
        put_named(to, b":", text)?;
    }
    to.extend_from_slice(b"}}");
    Ok(())
}

fn put_evidence(to: &mut Vec<u8>, line: &EvidenceLine) -> Result<()> {
    let EvidenceLine {
        source,
        origin,
        received,
        sha256,
        bytes,
        raw,
    } = line;
    put_named(to, b"{\"source\":", source)?;
    match origin {
        LineOrigin::File { file, offset } => {
            to.extend_from_slice(b",\"origin\":{\"at\":\"file\",\"file\":{");
            put_other(to, b"\"device\":", &file.device)?;
            put_other(to, b",\"inode\":", &file.inode)?;
            put_other(to, b"},\"offset\":", offset)?;
            to.push(b'}');
        }
        other => put_other(to, b",\"origin\":", other)?,
    }
    put_time(to, b",\"received\":\"", *received);
    put_hash(to, b",\"sha256\":\"", sha256);
    put_other(to, b",\"bytes\":", bytes)?;
    match raw {
        RawText::Text(text) => put_named(to, b",\"raw\":{\"text\":", text)?,
        RawText::Base64(text) => put_named(to, b",\"raw\":{\"base64\":", text)?,
    }
    to.extend_from_slice(b"}}");
    Ok(())
}

fn put_time(to: &mut Vec<u8>, name: &[u8], time: Timestamp) {
    to.extend_from_slice(name);
    time.with_text(|text| to.extend_from_slice(text.as_bytes()));
    to.push(b'"');
}

fn put_hash(to: &mut Vec<u8>, name: &[u8], hash: &ContentHash) {
    to.extend_from_slice(name);
    hash.with_hex(|text| to.extend_from_slice(text.as_bytes()));
    to.push(b'"');
}

#[inline(always)]
fn put_named(to: &mut Vec<u8>, name: &[u8], text: &str) -> Result<()> {
    to.extend_from_slice(name);
    put_text(to, text)
}

#[inline(always)]
fn put_other<T: Serialize>(to: &mut Vec<u8>, name: &[u8], value: &T) -> Result<()> {
    to.extend_from_slice(name);
    put(to, value)
}

fn put<T: Serialize>(to: &mut Vec<u8>, value: &T) -> Result<()> {
    serde_json::to_writer(to.by_ref(), value)
}

fn put_text(to: &mut Vec<u8>, text: &str) -> Result<()> {
    if !is_plain(text.as_bytes()) {
        return put(to, &text);
    }
    to.reserve(text.len() + 2);
    to.push(b'"');
    to.extend_from_slice(text.as_bytes());
    to.push(b'"');
    Ok(())
}

/// A byte in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Whether no byte of a text needs an escape (RFC 8259, section 7).
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return !text.iter().any(|byte| is_strange(*byte));
    };
    let (words, _) = text.as_chunks();
    // The last bytes are looked at together with some of those before them, again.
    let last = strange(u64::from_le_bytes(*last));
    let all = words.iter().map(|word| strange(u64::from_le_bytes(*word)));
    all.fold(last, |any, marks| any | marks) == 0
}

const fn is_strange(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// Not zero if one of the word's bytes needs an escape. Subtracting sets the highest bit of a byte
/// that is too small and had it not set (Hacker's Delight, section 6-1).
const fn strange(word: u64) -> u64 {
    let quote = word ^ (EACH * b'"' as u64);
    let slash = word ^ (EACH * b'\\' as u64);
    let small = word.wrapping_sub(EACH * b' ' as u64) & !word;
    let marks = small | quote.wrapping_sub(EACH) & !quote | slash.wrapping_sub(EACH) & !slash;
    marks & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{AlertId, FileId, Scope};

    fn origin() -> impl Strategy<Value = LineOrigin> {
        prop_oneof![
            any::<[u64; 3]>().prop_map(|[device, inode, offset]| LineOrigin::File {
                file: FileId { device, inode },
                offset,
            }),
            "(?s).{0,9}".prop_map(|cursor| LineOrigin::Journal { cursor }),
            any::<(std::net::Ipv6Addr, u16)>()
                .prop_map(|peer| LineOrigin::Network { peer: peer.into() }),
            any::<u64>().prop_map(|line| LineOrigin::Stream { line }),
        ]
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        any::<i64>().prop_map(Timestamp::from_nanos)
    }

    fn event() -> impl Strategy<Value = AlertEvent> {
        let meta = proptest::collection::btree_map("(?s).{0,9}", "(?s).{0,20}", 0..4);
        (time(), meta).prop_map(|(time, meta)| AlertEvent {
            time,
            meta: meta.iter().collect(),
        })
    }

    fn line() -> impl Strategy<Value = EvidenceLine> {
        let raw = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "(?s).{0,60}".prop_map(String::into_bytes),
        ];
        ("(?s).{0,12}", origin(), time(), raw).prop_map(|(source, origin, time, raw)| {
            EvidenceLine::new(source.into(), origin, time, &raw)
        })
    }

    fn alert() -> impl Strategy<Value = Alert> {
        let labels = proptest::collection::btree_map("(?s).{0,9}", any::<Option<bool>>(), 0..3);
        let context = proptest::collection::btree_map(
            "(?s).{0,9}",
            proptest::collection::vec("(?s).{0,9}", 0..3),
            0..3,
        );
        let lists = (
            proptest::collection::vec(event(), 0..4),
            proptest::collection::vec(line(), 0..4),
        );
        let texts = ["(?s).{0,40}", "(?s).{0,40}", "(?s).{0,9}", "(?s).{0,9}"];
        let address = any::<Option<std::net::IpAddr>>();
        let facts = (any::<[u8; 16]>(), time(), any::<(u64, bool, bool)>());
        (texts, address, facts, labels, context, lists).prop_map(
            |([rule, message, value, scope], address, facts, labels, context, lists)| {
                let (id, time, (count, remediation, simulated)) = facts;
                let labels: BTreeMap<String, serde_json::Value> = labels
                    .into_iter()
                    .map(|(name, yes)| (name, json!(yes)))
                    .collect();
                Alert {
                    id: AlertId::from_bytes(id),
                    rule_hash: rule.clone(),
                    rule,
                    scope: Scope::from(scope),
                    value,
                    range: address.and_then(|a| format!("{a}/17").parse().ok()),
                    address,
                    first: time,
                    last: time,
                    events_count: count,
                    message,
                    remediation,
                    simulated,
                    labels: Arc::new(labels),
                    context,
                    events: lists.0,
                    evidence: lists.1,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn any_alert_is_written_as_the_library_writes_it(alert in alert()) {
            let mut to = b"kept ".to_vec();
            alert.put_json(&mut to).unwrap();
            let expected = format!("kept {}", serde_json::to_string(&alert).unwrap());
            prop_assert_eq!(String::from_utf8(to).unwrap(), expected);
        }

        /// Wherever in a text the one byte stands that needs an escape.
        #[test]
        fn no_escape_is_missed(length in 1_usize..70, at in 0_usize..70, strange in 0_u8..128) {
            let mut text = vec![b'a'; length];
            text[at % length] = strange;
            let text = String::from_utf8(text).unwrap();
            let mut to = Vec::new();
            put_text(&mut to, &text).unwrap();
            prop_assert_eq!(String::from_utf8(to).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
