//! What an alert's events and lines tell of one contact: when, from which port, by which protocol,
//! to which address. What a log does not say is said to be missing, never guessed.

use std::net::IpAddr;

use model::{Alert, AlertEvent, EvidenceLine, RawText, Timestamp};

const SOURCE_PORT: [&str; 6] = [
    "source_port",
    "src_port",
    "sport",
    "client_port",
    "remote_port",
    "source.port",
];
const TARGET: [&str; 6] = [
    "target_ip",
    "dest_ip",
    "dst_ip",
    "destination_ip",
    "server_ip",
    "destination.ip",
];
const TARGET_PORT: [&str; 6] = [
    "target_port",
    "dest_port",
    "dst_port",
    "dport",
    "destination_port",
    "destination.port",
];
const PROTOCOL: [&str; 4] = ["protocol", "proto", "transport", "network.transport"];
const USER: [&str; 8] = [
    "user",
    "username",
    "target_user",
    "source_user",
    "login",
    "account",
    "email",
    "mailbox",
];
/// Services that are spoken over TCP alone.
const OVER_TCP: [&str; 14] = [
    "ssh",
    "ftp",
    "smtp",
    "imap",
    "pop3",
    "mysql",
    "postgres",
    "postgresql",
    "rdp",
    "smb",
    "telnet",
    "vnc",
    "mssql",
    "mongodb",
];

/// One contact as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting<'a> {
    pub(super) at: Timestamp,
    pub(super) clock: Clock,
    pub(super) source_port: Option<u16>,
    pub(super) protocol: Option<&'static str>,
    pub(super) service: Option<&'a str>,
    pub(super) target: Option<IpAddr>,
    pub(super) target_port: Option<u16>,
    /// The whole line and its hash, where the alert kept it.
    pub(super) line: Option<&'a EvidenceLine>,
}

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Log,
    /// The line has no time that was kept; this is when it was read.
    Read,
}

/// What an alert holds of its source's contacts, in its order.
pub(super) fn sightings<'a>(alert: &'a Alert, source: IpAddr) -> Vec<Sighting<'a>> {
    let service = service_of(alert);
    if alert.events.is_empty() {
        let of_line = |line: &'a EvidenceLine| of(None, Some(line), service, source);
        return alert.evidence.iter().map(of_line).collect();
    }
    // Both lists keep the last ones; only when they are as long as each other do they go together.
    let paired = alert.events.len() == alert.evidence.len();
    let of_event = |(i, event): (usize, &'a AlertEvent)| {
        let line = alert.evidence.get(i).filter(|_| paired);
        of(Some(event), line, service, source)
    };
    alert.events.iter().enumerate().map(of_event).collect()
}

fn of<'a>(
    event: Option<&'a AlertEvent>,
    line: Option<&'a EvidenceLine>,
    service: Option<&'a str>,
    source: IpAddr,
) -> Sighting<'a> {
    let meta = |names: &[&str]| {
        let event = event?;
        names.iter().find_map(|name| event.meta.get(name))
    };
    let text = line.and_then(|line| match &line.raw {
        RawText::Text(text) => Some(text.as_str()),
        RawText::Base64(_) => None,
    });
    let port = |names: &[&str]| meta(names).and_then(number);
    let service = event.and_then(|e| e.meta.get("service")).or(service);
    let (at, clock) = match (event, line) {
        (Some(event), _) => (event.time, Clock::Log),
        (None, Some(line)) => (line.received, Clock::Read),
        (None, None) => (Timestamp::EPOCH, Clock::Read),
    };
    let protocol = meta(&PROTOCOL)
        .and_then(protocol)
        .or_else(|| protocol(value_of(text?, "PROTO=")?))
        .or_else(|| OVER_TCP.contains(&service?).then_some("tcp"));
    Sighting {
        at,
        clock,
        source_port: port(&SOURCE_PORT).or_else(|| port_beside(text?, source)),
        protocol,
        service,
        target: meta(&TARGET)
            .or_else(|| value_of(text?, "DST="))
            .and_then(|t| t.parse().ok()),
        target_port: port(&TARGET_PORT).or_else(|| number(value_of(text?, "DPT=")?)),
        line,
    }
}

fn service_of(alert: &Alert) -> Option<&str> {
    let label = alert.labels.get("service")?;
    label.as_str().filter(|service| !service.is_empty())
}

fn protocol(text: &str) -> Option<&'static str> {
    let known = ["tcp", "udp", "icmp", "sctp"];
    known.into_iter().find(|p| p.eq_ignore_ascii_case(text))
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// As the kernel's packet filter writes it: `SPT=51000 DPT=22`.
fn value_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix(name))
        .filter(|value| !value.is_empty())
}

/// The port that a line writes right behind an address.
fn port_beside(text: &str, source: IpAddr) -> Option<u16> {
    let places = super::cut::addresses(text);
    let (place, _) = places
        .into_iter()
        .find(|(_, address)| *address == source.to_canonical())?;
    if let Some(port) = value_of(text, "SPT=") {
        return number(port);
    }
    let after = text.get(place.end..)?;
    let after = after.strip_prefix(']').unwrap_or(after);
    let rest = [":", "#", " port ", ", port "]
        .into_iter()
        .find_map(|sign| after.strip_prefix(sign))?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    number(rest.get(..digits)?)
}

/// Names of accounts in an event, which are not handed on.
pub(super) fn users(event: &AlertEvent) -> impl Iterator<Item = &str> {
    USER.iter().filter_map(|name| event.meta.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_where_logs_write_them() {
        let source: IpAddr = "203.0.113.9".parse().unwrap();
        for (line, port) in [
            (
                "Failed password for root from 203.0.113.9 port 51234 ssh2",
                Some(51_234),
            ),
            ("client 203.0.113.9#4711 (x): query", Some(4_711)),
            ("203.0.113.9:8000 - - GET /", Some(8_000)),
            (
                "IN=eth0 SRC=203.0.113.9 DST=192.0.2.1 PROTO=TCP SPT=5 DPT=22",
                Some(5),
            ),
            ("203.0.113.9 - - [22/Nov/2026] \"GET / HTTP/1.1\" 404", None),
            ("from 203.0.113.90 port 5", None),
            ("from 203.0.113.9 port 0", None),
            ("from 203.0.113.9 port 99999", None),
        ] {
            assert_eq!(port_beside(line, source), port, "{line}");
        }
        let v6: IpAddr = "2001:db8::9".parse().unwrap();
        assert_eq!(port_beside("peer [2001:db8::9]:443 gone", v6), Some(443));
        assert_eq!(port_beside("from 2001:db8::9 port 7", v6), Some(7));
    }

    #[test]
    fn a_packet_filters_line_tells_protocol_and_target() {
        let text = b"SRC=203.0.113.9 DST=192.0.2.1 PROTO=UDP SPT=5 DPT=53";
        let origin = model::LineOrigin::Stream { line: 1 };
        let line = EvidenceLine::new("log".into(), origin, Timestamp::from_seconds(5), text);
        let seen = of(None, Some(&line), None, "203.0.113.9".parse().unwrap());
        assert_eq!((seen.protocol, seen.target_port), (Some("udp"), Some(53)));
        assert_eq!(seen.target, Some("192.0.2.1".parse().unwrap()));
        assert_eq!((seen.clock, seen.source_port), (Clock::Read, Some(5)));
    }
}
