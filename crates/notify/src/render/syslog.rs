//! Syslog lines: RFC 5424 for the network, the local form for `/dev/log`.

use jiff::tz::TimeZone;

use super::words;
use crate::{
    message::Message,
    severity::Severity,
    text::{cut, harmless},
};

/// Security and authorisation messages (RFC 5424 §6.2.1, table 1: 10).
pub(crate) const FACILITY_DEFAULT: u8 = 10;
/// Receivers should take 2,048 bytes (RFC 5424 §6.1).
pub(crate) const BYTES_MAX: usize = 2_048;
const TEXT_CHARS_MAX: usize = 900;
/// The enterprise number for examples and documentation (RFC 5612); Posse has none of its own.
const STRUCTURED_ID: &str = "posse@32473";

/// RFC 5424 §6.2.1, table 2.
pub(crate) const fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
        Severity::Critical => 2,
    }
}

fn priority(message: &Message, facility: u8) -> u16 {
    u16::from(facility) * 8 + u16::from(level(message.severity))
}

/// RFC 5424 §6, without a trailing newline.
pub(crate) fn rfc5424(message: &Message, facility: u8, process: u32, zone: &TimeZone) -> String {
    let time = jiff::Timestamp::from(words::when(message)).strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    let mut data = format!("[{STRUCTURED_ID} id=\"{}\"", message.id);
    let counts = [
        ("alerts", message.alerts),
        ("bans", message.bans),
        ("refusals", message.refusals),
        ("notices", message.notices),
    ];
    for (name, count) in counts {
        data += &format!(" {name}=\"{count}\"");
    }
    for (name, value) in words::facts(message, zone) {
        let field = name.to_ascii_lowercase().replace(' ', "_");
        if matches!(
            field.as_str(),
            "source" | "rule" | "sources" | "rules" | "severity"
        ) {
            data += &format!(" {field}=\"{}\"", quoted(&harmless(&value, 120)));
        }
    }
    data.push(']');
    let host = word(&message.host, 255);
    // RFC 5424 §6.4: a UTF-8 message begins with the byte order mark.
    let line = format!(
        "<{}>1 {time} {host} posse {process} {} {data} \u{feff}{}",
        priority(message, facility),
        kind(message),
        text(message)
    );
    cut(&line, BYTES_MAX).to_owned()
}

/// What `syslog(3)` writes to `/dev/log`: no host name, local time.
pub(crate) fn local(message: &Message, facility: u8, process: u32, zone: &TimeZone) -> String {
    let time = jiff::Timestamp::from(words::when(message)).to_zoned(zone.clone());
    let line = format!(
        "<{}>{} posse[{process}]: {}",
        priority(message, facility),
        time.strftime("%b %e %H:%M:%S"),
        text(message)
    );
    cut(&line, BYTES_MAX).to_owned()
}

fn text(message: &Message) -> String {
    let mut text = words::headline(message);
    if let Some(incident) = message.single()
        && let Some(prefix) = incident.outcomes.iter().find_map(banned)
    {
        text += &format!(" (undo: {})", words::undo(prefix));
    }
    harmless(&text, TEXT_CHARS_MAX)
}

const fn banned(outcome: &crate::message::Outcome) -> Option<&model::Prefix> {
    match outcome {
        crate::message::Outcome::Banned { prefix, .. } => Some(prefix),
        crate::message::Outcome::Refused { .. } | crate::message::Outcome::Released { .. } => None,
    }
}

/// RFC 5424 §6.2.7: what kind of message it is.
const fn kind(message: &Message) -> &'static str {
    match message.kind {
        crate::message::Kind::Digest => "digest",
        crate::message::Kind::Escalation => "escalation",
        crate::message::Kind::News => "alert",
        crate::message::Kind::Test => "test",
    }
}

/// RFC 5424 §6.3.3: `"`, `\` and `]` are escaped in a parameter's value.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Printable ASCII without spaces (RFC 5424 §6: PRINTUSASCII); `-` for nothing.
fn word(text: &str, bytes_max: usize) -> String {
    let ascii: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(bytes_max)
        .collect();
    if ascii.is_empty() {
        "-".to_owned()
    } else {
        ascii
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Incident, Kind},
        samples,
    };

    #[test]
    fn it_is_rfc_5424() {
        let message = Message::of(Kind::News, "web 1", samples::banned(9));
        let line = rfc5424(&message, FACILITY_DEFAULT, 7, &TimeZone::UTC);
        let id = message.id;
        assert_eq!(
            line,
            format!(
                "<84>1 1970-01-01T00:00:10.000000Z web1 posse 7 alert [posse@32473 id=\"{id}\" \
                 alerts=\"1\" bans=\"1\" refusals=\"0\" notices=\"0\" severity=\"medium\" \
                 source=\"198.18.0.9\" rule=\"posse/ssh-bf\"] \u{feff}medium: posse/ssh-bf: \
                 198.18.0.9, 198.18.0.9 banned for 4h (undo: posse unban 198.18.0.9)"
            )
        );
        assert_eq!(
            local(&message, FACILITY_DEFAULT, 7, &TimeZone::UTC),
            "<84>Jan  1 00:00:10 posse[7]: medium: posse/ssh-bf: 198.18.0.9, 198.18.0.9 banned \
             for 4h (undo: posse unban 198.18.0.9)"
        );
    }

    #[test]
    fn hostile_text_stays_within_its_field_and_the_line() {
        let mut alert = samples::alert("203.0.113.9", 1);
        alert.value = "a\"] \\ x\r\n<0>1 - fake".repeat(1_000);
        alert.rule = "]".repeat(5_000);
        let incident = Incident::of_alert(&alert, alert.last);
        let message = Message::of(Kind::News, "h", incident);
        let line = rfc5424(&message, 10, 7, &TimeZone::UTC);
        assert!(
            line.len() <= BYTES_MAX && !line.contains(['\r', '\n']),
            "{line}"
        );
        assert!(
            line.contains("source=\"a\\\"\\] \\\\ x\\\\r\\\\n<0>1 - fake"),
            "{line}"
        );
    }
}
