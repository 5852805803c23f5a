//! What a member says about an address.

use std::{fmt, str::FromStr, sync::Arc};

use model::Prefix;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{court::TrustError, limits};

/// One member's word: this target attacked us. The member's own ban stands in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub id: ReportId,
    pub org: Org,
    /// The autonomous system the reporting guard stands in, where known.
    pub asn: Option<u32>,
    /// The network the reporting guard stands in, as the hub sees it (not as the guard says).
    pub network: Prefix,
    pub target: Prefix,
    pub kind: Kind,
    pub evidence: Evidence,
    /// Seconds that the member asks for. The community's ban is never longer than the longest
    /// that one of its voters asked for.
    pub lasts: u64,
}

/// What shows that the target itself sent it. A source address can be forged; a completed
/// handshake cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A completed handshake: the sender answers at that address.
    Handshake,
    /// What it sent over such a connection: a login, a request.
    Payload,
    /// Datagrams or bare SYNs: anybody may have sent them.
    Datagram,
}

/// Parts of the words for what is seen in packets alone, before any handshake. This keeps honest
/// members from being fooled by forged packets; against members who lie stand quorum and standing.
const PACKETS: [&str; 13] = [
    "amplification",
    "ddos",
    "dns-query",
    "icmp",
    "multi-ports",
    "multi_ports",
    "packet",
    "port-scan",
    "port_scan",
    "portscan",
    "reflection",
    "syn-flood",
    "udp",
];

impl Evidence {
    /// What a report's kind says of it.
    pub fn of_kind(kind: &Kind) -> Self {
        let word = kind.as_str().to_ascii_lowercase();
        if PACKETS.iter().any(|part| word.contains(part)) {
            Self::Datagram
        } else {
            Self::Payload
        }
    }
}

/// The hash of the alerts or of the statement, whichever the hub uses to find it again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ReportId(pub [u8; 16]);

/// The short name of an organisation: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Org(Arc<str>);

/// The word for what was detected (`ssh-bruteforce`), cut to [`limits::KIND_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Kind(Arc<str>);

impl Org {
    pub fn new(name: &str) -> Result<Self, TrustError> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let mut bytes = name.bytes();
        let good = name.len() <= limits::ORG_BYTES_MAX
            && bytes.next().is_some_and(letter)
            && bytes.all(|b| letter(b) || b == b'-');
        if good {
            Ok(Self(name.into()))
        } else {
            Err(TrustError::OrgName {
                text: name.chars().take(80).collect(),
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Kind {
    pub fn new(word: &str) -> Self {
        Self(shorten(word, limits::KIND_BYTES_MAX).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first `max` bytes, or a little less so that no character is cut in two.
pub(crate) fn shorten(text: &str, max: usize) -> &str {
    let end = text.floor_char_boundary(max);
    text.get(..end).unwrap_or_default()
}

impl FromStr for Org {
    type Err = TrustError;

    fn from_str(name: &str) -> Result<Self, TrustError> {
        Self::new(name)
    }
}

impl fmt::Display for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Org {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(d)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_in_packets_alone_is_no_evidence_against_their_sender() {
        for kind in [
            "crowdsecurity/iptables-scan-multi_ports",
            "firewall/port-scan",
            "dns/DDoS",
            "ntp-amplification",
        ] {
            assert_eq!(Evidence::of_kind(&Kind::new(kind)), Evidence::Datagram);
        }
        for kind in ["crowdsecurity/ssh-bf", "http-probing", "operator", ""] {
            assert_eq!(Evidence::of_kind(&Kind::new(kind)), Evidence::Payload);
        }
    }
}
