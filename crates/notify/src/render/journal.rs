//! The journal's native protocol (systemd, "Native Journal Protocol"): one datagram of fields.

use jiff::tz::TimeZone;

use super::{syslog, words};
use crate::{
    message::{Kind, Message, What},
    text::cut,
};

/// Well below what a datagram socket takes; larger entries would need a sealed file.
const BYTES_MAX: usize = 48 << 10;
/// Names what kind of entry this is (`journalctl MESSAGE_ID=…`); random, made once for each.
const ID_ALERT: &str = "9fc02d84445543afa405a02ce2310e1f";
const ID_ESCALATION: &str = "54abbcc45ab04b41b8f430e2cc18143b";
const ID_DIGEST: &str = "a8cf7dbd22b946a48abde2a811a1cdf6";
const ID_TEST: &str = "d3722d27f9db439986aba32018759f41";

pub(crate) fn datagram(message: &Message, zone: &TimeZone) -> Vec<u8> {
    let mut out = Vec::new();
    let id = match message.kind {
        Kind::News => ID_ALERT,
        Kind::Escalation => ID_ESCALATION,
        Kind::Digest => ID_DIGEST,
        Kind::Test => ID_TEST,
    };
    field(&mut out, "MESSAGE_ID", id);
    field(
        &mut out,
        "PRIORITY",
        &syslog::level(message.severity).to_string(),
    );
    field(&mut out, "SYSLOG_IDENTIFIER", "posse");
    field(
        &mut out,
        "SYSLOG_FACILITY",
        &syslog::FACILITY_DEFAULT.to_string(),
    );
    field(&mut out, "MESSAGE", &words::headline(message));
    field(&mut out, "POSSE_ID", &message.id.to_string());
    field(&mut out, "POSSE_SEVERITY", message.severity.word());
    for (name, count) in [
        ("POSSE_ALERTS", message.alerts),
        ("POSSE_BANS", message.bans),
        ("POSSE_REFUSALS", message.refusals),
        ("POSSE_NOTICES", message.notices),
    ] {
        field(&mut out, name, &count.to_string());
    }
    if let Some(incident) = message.single()
        && let What::Alert(attack) = &incident.what
    {
        field(&mut out, "POSSE_RULE", &attack.rule);
        field(&mut out, "POSSE_SOURCE", &attack.source);
    }
    // A field may come several times: one for each ban.
    for prefix in message.banned.iter().take(200) {
        field(&mut out, "POSSE_BANNED", &prefix.to_string());
    }
    let room = BYTES_MAX.saturating_sub(out.len());
    field(
        &mut out,
        "POSSE_TEXT",
        cut(&words::body(message, zone), room),
    );
    out
}

/// A value with a newline goes with its length in 64 little-endian bits.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn fields_are_framed() {
        let message = Message::of(Kind::News, "web1", samples::banned(9));
        let datagram = datagram(&message, &TimeZone::UTC);
        let text = String::from_utf8_lossy(&datagram);
        assert!(
            text.starts_with(&format!("MESSAGE_ID={ID_ALERT}\nPRIORITY=4\n")),
            "{text}"
        );
        assert!(text.contains("\nPOSSE_BANNED=198.18.0.9\n"));
        let at = text.find("POSSE_TEXT\n").unwrap() + "POSSE_TEXT\n".len();
        let length = u64::from_le_bytes(datagram[at..at + 8].try_into().unwrap());
        assert_eq!(at + 8 + length as usize + 1, datagram.len());
    }

    #[test]
    fn it_is_bounded() {
        let mut message = Message::of(Kind::News, "web1", samples::banned(0));
        for n in 1..3_000 {
            message.absorb(Message::of(Kind::News, "web1", samples::banned(n)));
        }
        assert!(datagram(&message, &TimeZone::UTC).len() < BYTES_MAX + 100);
    }
}
