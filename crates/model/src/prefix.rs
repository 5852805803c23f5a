//! An IP network in canonical form. A single address is a prefix of full length.
//!
//! Canonical means: host bits are zero, and an IPv4-mapped IPv6 address (`::ffff:192.0.2.1`,
//! RFC 4291 section 2.5.5.2) is the IPv4 address it maps. Two texts for one network therefore
//! always compare equal, and a ban on one is a ban on the other.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

impl Prefix {
    /// The network of `addr` with `len` leading bits; host bits are cleared.
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        match addr {
            IpAddr::V4(v4) => Self::v4(v4, len),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) if len >= 96 => Self::v4(v4, len - 96),
                _ => Self::v6(v6, len),
            },
        }
    }

    pub fn host(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self {
            addr,
            len: if addr.is_ipv4() { 32 } else { 128 },
        }
    }

    /// The first address of the network.
    pub const fn addr(self) -> IpAddr {
        self.addr
    }

    /// The last address of the network.
    pub fn last(self) -> IpAddr {
        match self.addr {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() | !mask4(self.len))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() | !mask6(self.len))),
        }
    }

    #[expect(
        clippy::len_without_is_empty,
        reason = "a prefix length, not a count of items"
    )]
    pub const fn len(self) -> u8 {
        self.len
    }

    pub const fn is_ipv4(self) -> bool {
        self.addr.is_ipv4()
    }

    /// Whether the prefix is one single address.
    pub const fn is_host(self) -> bool {
        self.len == if self.addr.is_ipv4() { 32 } else { 128 }
    }

    pub fn contains(self, addr: IpAddr) -> bool {
        self.covers(Self::host(addr))
    }

    /// Whether every address of `other` is in `self`.
    pub fn covers(self, other: Self) -> bool {
        other.len >= self.len && other.widen(self.len) == Some(self)
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The enclosing network with `len` leading bits; `None` when that would be narrower.
    pub fn widen(self, len: u8) -> Option<Self> {
        if len > self.len {
            return None;
        }
        Self::new_in_family(self.addr, len).ok()
    }

    /// An IPv4 network as one number; numbers sort as their networks do.
    pub(crate) const fn to_number(self) -> Option<u64> {
        match self.addr {
            IpAddr::V4(addr) => Some((addr.to_bits() as u64) << 8 | self.len as u64),
            IpAddr::V6(_) => None,
        }
    }

    /// What [`Prefix::to_number`] gave.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "address and length lie apart"
    )]
    pub(crate) const fn from_number(number: u64) -> Self {
        Self {
            addr: IpAddr::V4(Ipv4Addr::from_bits((number >> 8) as u32)),
            len: number as u8,
        }
    }

    // A wide prefix of ::ffff:0:0/96 stays IPv6, so the family must not be re-judged.
    fn new_in_family(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        match addr {
            IpAddr::V4(v4) => Self::v4(v4, len),
            IpAddr::V6(v6) => Self::v6(v6, len),
        }
    }

    fn v4(addr: Ipv4Addr, len: u8) -> Result<Self, PrefixError> {
        if len > 32 {
            return Err(PrefixError::Length {
                text: format!("{addr}/{len}"),
                max: 32,
            });
        }
        Ok(Self {
            addr: IpAddr::V4(Ipv4Addr::from_bits(addr.to_bits() & mask4(len))),
            len,
        })
    }

    fn v6(addr: Ipv6Addr, len: u8) -> Result<Self, PrefixError> {
        if len > 128 {
            return Err(PrefixError::Length {
                text: format!("{addr}/{len}"),
                max: 128,
            });
        }
        Ok(Self {
            addr: IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & mask6(len))),
            len,
        })
    }
}

fn mask4(len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(len.min(32)))
        .unwrap_or(0)
}

fn mask6(len: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(len.min(128)))
        .unwrap_or(0)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            self.addr.fmt(f)
        } else {
            write!(f, "{}/{}", self.addr, self.len)
        }
    }
}

/// Why a text is no IP address or network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PrefixError {
    #[error(
        "{text:?} is not an IP address or network; write 203.0.113.9, 203.0.113.0/24 or 2001:db8::/64"
    )]
    Address { text: String },
    #[error("{text}: the prefix length must be 0 to {max}")]
    Length { text: String, max: u8 },
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || PrefixError::Address {
            text: text.chars().take(80).collect(),
        };
        let Some((addr, len)) = text.split_once('/') else {
            return text.parse().map(Self::host).map_err(|_| fail());
        };
        if len.is_empty() || len.len() > 3 || !len.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail());
        }
        let addr = addr.parse().map_err(|_| fail())?;
        Self::new(addr, len.parse().map_err(|_| fail())?)
    }
}

impl From<IpAddr> for Prefix {
    fn from(addr: IpAddr) -> Self {
        Self::host(addr)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap()
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_address() {
        assert_eq!(p("::ffff:192.0.2.1"), p("192.0.2.1"));
        assert_eq!(p("::ffff:192.0.2.0/120"), p("192.0.2.0/24"));
        assert_eq!(p("::ffff:192.0.2.1").to_string(), "192.0.2.1");
    }

    #[test]
    fn host_bits_are_cleared_and_full_length_is_silent() {
        assert_eq!(p("192.0.2.77/24").to_string(), "192.0.2.0/24");
        assert_eq!(p("192.0.2.77/32").to_string(), "192.0.2.77");
        assert_eq!(p("2001:db8::1/64").to_string(), "2001:db8::/64");
        assert_eq!(
            p("2001:db8::/64").last().to_string(),
            "2001:db8::ffff:ffff:ffff:ffff"
        );
    }

    #[test]
    fn covers_is_by_network() {
        assert!(p("10.0.0.0/8").covers(p("10.9.0.0/16")));
        assert!(!p("10.9.0.0/16").covers(p("10.0.0.0/8")));
        assert!(p("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(!p("::/0").contains("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn bad_texts_are_refused() {
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "a",
            "fe80::1%eth0",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bits: u128, len in 0u8..=128) {
            let prefix = Prefix::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), len).unwrap();
            prop_assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
            prop_assert!(prefix.contains(prefix.last()));
        }
    }
}
