//! Whom the members talk with daily: the sample of legitimate peers against which a ban's reach is
//! estimated. Optional: an organisation may send the [`peer_key`]s of its thousand most frequent
//! peers. One organisation counts once for one peer.

use std::{collections::BTreeMap, net::IpAddr};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Org, limits};

/// The number under which a peer is named. It shortens, it does not hide: whoever has the number
/// can try all addresses.
pub fn peer_key(prefix: Prefix) -> u64 {
    let unit = crate::case::unit(prefix);
    match unit.addr() {
        IpAddr::V4(addr) => mix(u64::from(addr.to_bits()) << 8 | u64::from(unit.len())),
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            let high = u64::try_from(bits >> 64).unwrap_or_default();
            let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
            mix(mix(high) ^ low ^ u64::from(unit.len()))
        }
    }
}

// The finaliser of SplitMix64: a bijection, so that IPv4 never collides.
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Named", into = "Named")]
pub(crate) struct Peers {
    named: BTreeMap<Org, Vec<u64>>,
    counts: BTreeMap<u64, u32>,
    total: usize,
    pub(crate) dropped: u64,
}

#[derive(Serialize, Deserialize)]
struct Named {
    named: BTreeMap<Org, Vec<u64>>,
    dropped: u64,
}

impl Peers {
    /// Replaces what this organisation named before.
    pub(crate) fn set(&mut self, org: &Org, mut peers: Vec<u64>) {
        self.remove(org);
        peers.sort_unstable();
        peers.dedup();
        let room = limits::PEERS_PER_ORG_MAX.min(limits::PEERS_MAX.saturating_sub(self.total));
        let over = peers.len().saturating_sub(room);
        self.dropped = self.dropped.saturating_add(over as u64);
        peers.truncate(room);
        if peers.is_empty() {
            return;
        }
        self.total += peers.len();
        peers
            .iter()
            .for_each(|peer| *self.counts.entry(*peer).or_default() += 1);
        self.named.insert(org.clone(), peers);
    }

    pub(crate) fn remove(&mut self, org: &Org) {
        let Some(before) = self.named.remove(org) else {
            return;
        };
        self.total -= before.len();
        for peer in before {
            if let Some(count) = self.counts.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&peer);
                }
            }
        }
    }

    /// Organisations besides `accusers` that talk with the target.
    pub(crate) fn besides<'a>(
        &self,
        target: Prefix,
        accusers: impl IntoIterator<Item = &'a Org>,
    ) -> u32 {
        let key = peer_key(target);
        let Some(all) = self.counts.get(&key) else {
            return 0;
        };
        let named = |org: &&Org| {
            let peers = self.named.get(*org);
            peers.is_some_and(|peers| peers.binary_search(&key).is_ok())
        };
        let accusers = accusers.into_iter().filter(named).count();
        all.saturating_sub(u32::try_from(accusers).unwrap_or(u32::MAX))
    }
}

impl From<Named> for Peers {
    fn from(kept: Named) -> Self {
        let mut peers = Self {
            dropped: kept.dropped,
            ..Self::default()
        };
        kept.named
            .into_iter()
            .for_each(|(org, named)| peers.set(&org, named));
        peers
    }
}

impl From<Peers> for Named {
    fn from(peers: Peers) -> Self {
        Self {
            named: peers.named,
            dropped: peers.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_counts_once_and_not_against_itself() {
        let (a, b) = (Org::new("a").unwrap(), Org::new("b").unwrap());
        let target: Prefix = "192.0.2.1".parse().unwrap();
        let mut peers = Peers::default();
        peers.set(&a, vec![peer_key(target); 3]);
        peers.set(&b, vec![peer_key(target), 7]);
        assert_eq!(peers.besides(target, []), 2);
        assert_eq!(peers.besides(target, [&a]), 1);
        peers.set(&b, vec![7]);
        assert_eq!(peers.besides(target, [&a]), 0);
        let text = serde_json::to_string(&peers).unwrap();
        assert_eq!(serde_json::from_str::<Peers>(&text).unwrap(), peers);
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let key = |text: &str| peer_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
