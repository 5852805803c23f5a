//! Posse's own JSON: the body of a signed webhook and the standard input of a command.
//!
//! The form is documented in `docs/alerts.md`; fields are added, never changed.

use jiff::tz::TimeZone;
use ring::hmac;
use serde_json::{Value, json};

use super::words;
use crate::message::{Incident, Message, Outcome, What};

const VERSION: u32 = 1;

pub(crate) fn value(message: &Message, zone: &TimeZone) -> Value {
    let top = |tally: &crate::tally::Tally| -> Vec<Value> {
        let top = tally.top(10).into_iter();
        top.map(|(name, count)| json!({ "name": name, "count": count }))
            .collect()
    };
    let (sources, more) = message.sources.names();
    json!({
        "version": VERSION,
        "id": message.id,
        "kind": message.kind,
        "host": message.host,
        "severity": message.severity,
        "first": message.first,
        "last": message.last,
        "subject": words::subject(message),
        "text": words::body(message, zone),
        "counts": {
            "alerts": message.alerts,
            "sources": sources,
            "more_sources": more,
            "bans": message.bans,
            "refusals": message.refusals,
            "notices": message.notices,
            "releases": message.releases,
        },
        "rules": top(&message.rules),
        "sources": top(&message.sources),
        "banned": message.banned,
        "incidents": message.incidents.iter().map(incident).collect::<Vec<_>>(),
    })
}

fn incident(incident: &Incident) -> Value {
    let undo: Vec<String> = incident
        .outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Banned { prefix, .. } => Some(words::undo(prefix)),
            Outcome::Refused { .. } | Outcome::Released { .. } => None,
        })
        .collect();
    let mut value = serde_json::to_value(incident).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("undo".into(), json!(undo));
        if matches!(incident.what, What::Alert(_)) {
            object.insert("acknowledge".into(), json!(words::short_id(incident)));
        }
    }
    value
}

/// Lower-case hex of HMAC-SHA256 (RFC 2104) over `timestamp.body`, the timestamp in whole seconds
/// since the epoch as decimal digits.
pub(crate) fn signature(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    hex(context.sign().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Kind, samples};

    #[test]
    fn the_signature_is_what_openssl_computes() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac Jefe
        assert_eq!(
            signature(b"Jefe", 1_700_000_000, b"{}"),
            "d3793e2b4103edfbd98cc19591832f5fad701d413db9fcae0ae7dab8184ed207"
        );
    }

    #[test]
    fn it_says_everything() {
        let message = Message::of(Kind::News, "web1", samples::banned(9));
        let value = value(&message, &TimeZone::UTC);
        assert_eq!(value["counts"]["bans"], 1);
        assert_eq!(value["incidents"][0]["undo"][0], "posse unban 198.18.0.9");
        assert_eq!(value["incidents"][0]["what"]["source"], "198.18.0.9");
        assert_eq!(value["kind"], "news");
        assert_eq!(value["severity"], "medium");
    }
}
