//! Where a hub is.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    str::FromStr,
};

use rustls::pki_types::ServerName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::UplinkError;

const PORT: u16 = 7443;
const ADDRESSES_MAX: usize = 16;

/// `https://hub.example.net:7443`; the scheme is always TLS, the port 7443 when none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubUrl {
    host: String,
    port: u16,
}

impl HubUrl {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as a request names them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// For TLS: the name that the hub's certificate must have.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, UplinkError> {
        ServerName::try_from(self.host.clone()).map_err(|_| UplinkError::Address {
            text: self.host.clone(),
        })
    }

    /// Asks the resolver, which may take its time.
    pub(crate) fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs()?;
        Ok(found.take(ADDRESSES_MAX).collect())
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for HubUrl {
    type Err = UplinkError;

    fn from_str(text: &str) -> Result<Self, UplinkError> {
        let wrong = || UplinkError::Address {
            text: text.chars().take(200).collect(),
        };
        let rest = text.trim();
        let rest = rest.strip_prefix("https://").unwrap_or(rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let (host, after) = inner.split_once(']').ok_or_else(wrong)?;
            (host, after.strip_prefix(':'))
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None => PORT,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) || port == 0 {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl Serialize for HubUrl {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HubUrl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, wanted) in [
            (
                "https://hub.example.net:8443",
                "https://hub.example.net:8443",
            ),
            ("Hub.Example.net", "https://hub.example.net:7443"),
            ("192.0.2.1:99", "https://192.0.2.1:99"),
            ("https://[2001:db8::1]/", "https://[2001:db8::1]:7443"),
        ] {
            assert_eq!(text.parse::<HubUrl>().unwrap().to_string(), wanted);
        }
        for text in [
            "",
            "http://hub.example.net",
            "hub:0",
            "hub:x",
            "a b",
            "hub/path",
            "[::1",
        ] {
            assert!(text.parse::<HubUrl>().is_err(), "{text}");
        }
    }
}
