//! The never-ban guard's quick half: for millions of bans of which nearly none touches anything
//! protected.

use std::net::IpAddr;

use model::{HostFacts, Prefix};

use crate::Guard;

/// What a [`Guard`] protects among IPv4 addresses under certain facts, as ranges to be searched.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Sorted, disjoint, both ends included.
    ranges: Vec<(u32, u32)>,
    /// Wider prefixes are the guard's business.
    widest: u8,
}

impl Guard {
    pub fn screen(&self, facts: &HostFacts) -> Screen {
        let protected = self.protected(facts);
        let mut all: Vec<_> = protected.into_iter().filter_map(ends).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        let widest = self.widest_ipv4();
        Screen { ranges, widest }
    }
}

impl Screen {
    /// Whether [`Guard::check_automatic`] surely lets it pass. If not, ask it.
    pub fn clears(&self, prefix: Prefix) -> bool {
        let Some((first, last)) = ends(prefix).filter(|_| prefix.len() >= self.widest) else {
            return false;
        };
        let next = self.ranges.partition_point(|range| range.1 < first);
        self.ranges.get(next).is_none_or(|range| range.0 > last)
    }
}

fn ends(prefix: Prefix) -> Option<(u32, u32)> {
    match (prefix.addr(), prefix.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Some((first.to_bits(), last.to_bits())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::NeverBanConfig;

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let first = prop_oneof![
            any::<u32>(),
            (0u32..2_048).prop_map(|n| u32::from_be_bytes([198, 51, 100, 0]) + n),
        ];
        (first, 6u8..=32).prop_map(|(bits, len)| {
            Prefix::host(Ipv4Addr::from_bits(bits).into())
                .widen(len)
                .unwrap()
        })
    }

    proptest! {
        #[test]
        fn it_clears_just_what_the_guard_lets_pass(
            prefix in a_prefix(),
            allow in proptest::collection::vec(a_prefix(), 0..4),
            own in proptest::collection::vec(0u32..2_048, 0..4),
            private_ranges in any::<bool>(),
        ) {
            let base = u32::from_be_bytes([198, 51, 100, 0]);
            let facts = HostFacts {
                own_addresses: own.iter().map(|n| Ipv4Addr::from_bits(base + n).into()).collect(),
                ..HostFacts::default()
            };
            let config = NeverBanConfig { allow, private_ranges, ..NeverBanConfig::default() };
            let guard = Guard::new(config);
            let lets_pass = guard.check_automatic(prefix, &facts).is_ok();
            prop_assert_eq!(guard.screen(&facts).clears(prefix), lets_pass);
        }
    }

    #[test]
    fn ipv6_is_the_guard_s_business() {
        let screen = Guard::new(NeverBanConfig::default()).screen(&HostFacts::default());
        assert!(!screen.clears("2001:db8::/64".parse().unwrap()));
        assert!(screen.clears("192.0.2.1".parse().unwrap()));
    }
}
