//! The never-ban guard: the last gate before the kernel, whatever anyone says.
//!
//! A ban is refused when it touches anything protected, from inside (the address itself) or from
//! outside (a range that would cover it).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{HostFacts, Prefix, RefusalReason};

use crate::config::NeverBanConfig;

/// Usable alone; holds configuration only, no state.
#[derive(Clone, Debug)]
pub struct Guard {
    config: NeverBanConfig,
}

impl Guard {
    pub const fn new(config: NeverBanConfig) -> Self {
        Self { config }
    }

    /// The outer gate, for whoever asks.
    pub fn check(&self, prefix: Prefix, facts: &HostFacts) -> Result<(), RefusalReason> {
        let widest = (self.config.widest_ipv4, self.config.widest_ipv6);
        self.check_width(prefix, widest)?;
        self.check_protected(prefix, facts)
    }

    /// The gate for bans made without a person, which may be less wide.
    pub fn check_automatic(&self, prefix: Prefix, facts: &HostFacts) -> Result<(), RefusalReason> {
        let widest = (
            self.config.widest_automatic_ipv4,
            self.config.widest_automatic_ipv6,
        );
        self.check_width(prefix, widest)?;
        self.check(prefix, facts)
    }

    /// Everything that a ban must not touch.
    pub(crate) fn protected(&self, facts: &HostFacts) -> Vec<Prefix> {
        let HostFacts {
            own_addresses,
            gateways,
            resolvers,
            admin_peers,
        } = facts;
        let hosts = [own_addresses, gateways, resolvers, admin_peers];
        let private = if self.config.private_ranges {
            PRIVATE.as_slice()
        } else {
            &[]
        };
        let ranges = LOOPBACK.iter().chain(&SPECIAL).chain(private);
        let mut all: Vec<Prefix> = ranges.map(|range| range.prefix()).collect();
        all.extend(&self.config.allow);
        all.extend(
            hosts
                .into_iter()
                .flatten()
                .map(|address| Prefix::host(*address)),
        );
        all
    }

    /// The widest IPv4 prefix that [`Guard::check_automatic`] lets pass.
    pub(crate) fn widest_ipv4(&self) -> u8 {
        let NeverBanConfig {
            widest_ipv4,
            widest_automatic_ipv4,
            ..
        } = self.config;
        widest_ipv4.max(widest_automatic_ipv4)
    }

    fn check_width(&self, prefix: Prefix, (v4, v6): (u8, u8)) -> Result<(), RefusalReason> {
        let limit = if shared(prefix) {
            128
        } else if prefix.is_ipv4() {
            v4
        } else {
            v6
        };
        if prefix.len() < limit {
            Err(RefusalReason::TooWide { limit })
        } else {
            Ok(())
        }
    }

    fn check_protected(&self, prefix: Prefix, facts: &HostFacts) -> Result<(), RefusalReason> {
        if LOOPBACK.iter().any(|range| range.touches(prefix)) {
            return Err(RefusalReason::Loopback);
        }
        if let Some(range) = SPECIAL.iter().find(|range| range.touches(prefix)) {
            return Err(RefusalReason::Special {
                range: range.prefix(),
            });
        }
        let hit = |addresses: &[IpAddr]| addresses.iter().any(|a| prefix.contains(*a));
        if hit(&facts.own_addresses) {
            return Err(RefusalReason::OwnAddress);
        }
        if hit(&facts.gateways) {
            return Err(RefusalReason::Gateway);
        }
        if hit(&facts.resolvers) {
            return Err(RefusalReason::Resolver);
        }
        if hit(&facts.admin_peers) {
            return Err(RefusalReason::AdminSession);
        }
        if let Some(entry) = self
            .config
            .allow
            .iter()
            .find(|entry| entry.overlaps(prefix))
        {
            return Err(RefusalReason::Allowlist { entry: *entry });
        }
        if self.config.private_ranges
            && let Some(range) = PRIVATE.iter().find(|range| range.touches(prefix))
        {
            return Err(RefusalReason::Private {
                range: range.prefix(),
            });
        }
        Ok(())
    }
}

/// Whether the addresses of `prefix` carry the IPv4 internet inside IPv6, where a range is not
/// one customer but everyone.
pub(crate) fn shared(prefix: Prefix) -> bool {
    SHARED.iter().any(|range| range.touches(prefix))
}

/// A range known when the program was written.
#[derive(Clone, Copy, Debug)]
enum Range {
    V4(Ipv4Addr, u8),
    V6(Ipv6Addr, u8),
}

impl Range {
    fn touches(self, prefix: Prefix) -> bool {
        self.prefix().overlaps(prefix)
    }

    fn prefix(self) -> Prefix {
        let (addr, len) = match self {
            Self::V4(addr, len) => (IpAddr::V4(addr), len),
            Self::V6(addr, len) => (IpAddr::V6(addr), len),
        };
        Prefix::new(addr, len).unwrap_or_else(|_| Prefix::host(addr))
    }
}

const fn v4(a: u8, b: u8, len: u8) -> Range {
    Range::V4(Ipv4Addr::new(a, b, 0, 0), len)
}

const fn v6(a: u16, b: u16, len: u8) -> Range {
    Range::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), len)
}

/// RFC 1122 section 3.2.1.3 (g); RFC 4291 section 2.5.3.
const LOOPBACK: [Range; 2] = [v4(127, 0, 8), Range::V6(Ipv6Addr::LOCALHOST, 128)];

/// RFC 1122 section 3.2.1.3 (this network), RFC 5771 (multicast), RFC 1112 section 4 (reserved,
/// with the broadcast address); RFC 4291 sections 2.5.2, 2.5.5 and 2.7. `::/80` holds the
/// unspecified address and the two old ways of writing IPv4 in IPv6.
const SPECIAL: [Range; 5] = [
    v4(0, 0, 8),
    v4(224, 0, 4),
    v4(240, 0, 4),
    v6(0, 0, 80),
    v6(0xff00, 0, 8),
];

/// RFC 1918, RFC 3927, RFC 6598; RFC 4193, RFC 4291 section 2.5.6, RFC 3879.
const PRIVATE: [Range; 8] = [
    v4(10, 0, 8),
    v4(100, 64, 10),
    v4(169, 254, 16),
    v4(172, 16, 12),
    v4(192, 168, 16),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 10),
    v6(0xfec0, 0, 10),
];

/// NAT64 (RFC 6052 section 2.1, RFC 8215) and Teredo (RFC 4380 section 2.6).
const SHARED: [Range; 3] = [
    v6(0x64, 0xff9b, 96),
    Range::V6(NAT64_LOCAL, 48),
    v6(0x2001, 0, 32),
];

const NAT64_LOCAL: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap()
    }

    fn facts() -> HostFacts {
        let one = |s: &str| vec![s.parse().unwrap()];
        HostFacts {
            own_addresses: one("198.51.100.10"),
            gateways: one("198.51.100.1"),
            resolvers: one("2001:db8:53::53"),
            admin_peers: one("::ffff:203.0.113.77"),
        }
    }

    fn reason(prefix: &str) -> Option<RefusalReason> {
        let config = NeverBanConfig {
            allow: vec![p("192.0.2.64/26")],
            ..Default::default()
        };
        Guard::new(config).check(p(prefix), &facts()).err()
    }

    #[test]
    fn every_reason_has_its_addresses() {
        use RefusalReason::{
            AdminSession, Allowlist, Gateway, Loopback, OwnAddress, Private, Resolver, Special,
            TooWide,
        };
        for (prefix, expected) in [
            ("127.0.0.53", Loopback),
            ("::1", Loopback),
            (
                "0.0.0.0",
                Special {
                    range: p("0.0.0.0/8"),
                },
            ),
            (
                "224.0.0.251",
                Special {
                    range: p("224.0.0.0/4"),
                },
            ),
            (
                "255.255.255.255",
                Special {
                    range: p("240.0.0.0/4"),
                },
            ),
            ("::", Special { range: p("::/80") }),
            (
                "ff02::1",
                Special {
                    range: p("ff00::/8"),
                },
            ),
            ("198.51.100.10", OwnAddress),
            ("198.51.100.1", Gateway),
            ("2001:db8:53::53", Resolver),
            ("203.0.113.77", AdminSession),
            ("::ffff:203.0.113.77", AdminSession),
            (
                "192.0.2.65",
                Allowlist {
                    entry: p("192.0.2.64/26"),
                },
            ),
            (
                "10.1.2.3",
                Private {
                    range: p("10.0.0.0/8"),
                },
            ),
            (
                "100.64.0.1",
                Private {
                    range: p("100.64.0.0/10"),
                },
            ),
            (
                "169.254.169.254",
                Private {
                    range: p("169.254.0.0/16"),
                },
            ),
            (
                "172.31.255.255",
                Private {
                    range: p("172.16.0.0/12"),
                },
            ),
            (
                "192.168.0.1",
                Private {
                    range: p("192.168.0.0/16"),
                },
            ),
            (
                "fd00::1",
                Private {
                    range: p("fc00::/7"),
                },
            ),
            (
                "fe80::1",
                Private {
                    range: p("fe80::/10"),
                },
            ),
            (
                "fec0::1",
                Private {
                    range: p("fec0::/10"),
                },
            ),
            ("8.0.0.0/15", TooWide { limit: 16 }),
            ("2400::/31", TooWide { limit: 32 }),
            ("64:ff9b::/96", TooWide { limit: 128 }),
            ("2001:0:1:2::/64", TooWide { limit: 128 }),
        ] {
            assert_eq!(reason(prefix), Some(expected), "{prefix}");
        }
    }

    #[test]
    fn a_range_that_covers_something_protected_is_refused() {
        for (prefix, expected) in [
            ("198.51.100.8/29", RefusalReason::OwnAddress),
            ("198.51.100.0/29", RefusalReason::Gateway),
            ("203.0.113.0/24", RefusalReason::AdminSession),
            ("2001:db8:53::/64", RefusalReason::Resolver),
            (
                "192.0.2.0/24",
                RefusalReason::Allowlist {
                    entry: p("192.0.2.64/26"),
                },
            ),
            ("172.0.0.0/16", RefusalReason::TooWide { limit: 24 }),
        ] {
            let guard = Guard::new(NeverBanConfig {
                allow: vec![p("192.0.2.64/26")],
                ..Default::default()
            });
            assert_eq!(
                guard.check_automatic(p(prefix), &facts()),
                Err(expected),
                "{prefix}"
            );
        }
    }

    #[test]
    fn the_rest_may_be_banned() {
        for prefix in [
            "192.0.2.1",
            "203.0.113.9",
            "198.51.100.128/25",
            "2001:db8::/64",
            "8.8.0.0/16",
            "64:ff9b::203.0.113.9",
            "2001:db8:53:1::/64",
        ] {
            assert_eq!(reason(prefix), None, "{prefix}");
        }
    }

    #[test]
    fn private_ranges_are_a_switch_and_loopback_is_not() {
        let config = NeverBanConfig {
            private_ranges: false,
            ..Default::default()
        };
        let guard = Guard::new(config);
        assert_eq!(guard.check(p("10.1.2.3"), &facts()), Ok(()));
        assert_eq!(guard.check(p("fe80::1"), &facts()), Ok(()));
        assert_eq!(
            guard.check(p("127.0.0.1"), &facts()),
            Err(RefusalReason::Loopback)
        );
    }
}
