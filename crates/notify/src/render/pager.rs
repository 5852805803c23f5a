//! PagerDuty's Events API v2: one trigger event a message.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::words;
use crate::{message::Message, severity::Severity, text::cut};

/// A summary holds 1,024 characters.
pub(crate) fn event(message: &Message, routing_key: &str, zone: &TimeZone) -> Value {
    let severity = match message.severity {
        Severity::Info | Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    };
    let facts = words::facts(message, zone).into_iter();
    let mut details: serde_json::Map<String, Value> = facts
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    details.insert(
        "lines".into(),
        Value::String(words::evidence(message, 4_000)),
    );
    details.insert(
        "text".into(),
        Value::String(cut(&words::body(message, zone), 8_000).into()),
    );
    let class = message
        .incidents
        .first()
        .map(|incident| incident.topic().to_owned());
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": message.id,
        "client": "Posse",
        "payload": {
            "summary": words::subject(message),
            "source": message.host,
            "severity": severity,
            "timestamp": words::when(message),
            "component": "posse",
            "class": class,
            "custom_details": details,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Kind, samples};

    #[test]
    fn the_required_fields_are_there() {
        let message = Message::of(Kind::News, "web1", samples::banned(1));
        let event = event(&message, "key", &TimeZone::UTC);
        assert_eq!(event["event_action"], "trigger");
        assert_eq!(event["routing_key"], "key");
        assert_eq!(event["payload"]["severity"], "warning");
        assert_eq!(event["payload"]["source"], "web1");
        assert_eq!(event["dedup_key"], message.id.to_string());
    }
}
