//! The bans that ought to hold when there are a million of them and memory is dear. Pure.
//!
//! As [`Desired`], which it leans on for everything but single IPv4 addresses: those take eight
//! bytes each here and have no index by their end, so forgetting what has ended is a walk over
//! all of them ([`CompactDesired::sweep`]).

use std::{collections::BTreeMap, net::Ipv4Addr};

use model::{Prefix, Timestamp, limits::BANS_MAX};

use crate::{
    desired::{Desired, DesiredFull},
    plan::{KernelChange, Wanted, timeout},
};

/// Ends are kept in tenths of a second: 13 years of a clock that begins with the boot.
const TICK_NANOS: i64 = 100_000_000;

/// Every ban that ought to hold, with its end on a clock that begins near zero.
#[derive(Debug)]
pub struct CompactDesired {
    hosts4: BTreeMap<u32, u32>,
    rest: Desired,
    limit: usize,
}

impl Default for CompactDesired {
    fn default() -> Self {
        Self::new()
    }
}

impl CompactDesired {
    pub const fn new() -> Self {
        Self::with_limit(BANS_MAX)
    }

    /// Holds at most `limit` bans.
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            hosts4: BTreeMap::new(),
            rest: Desired::with_limit(limit),
            limit,
        }
    }

    /// Bans `prefix` until `until`, whatever its end was before. An end that has passed unbans.
    pub fn set(
        &mut self,
        prefix: Prefix,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<KernelChange>, DesiredFull> {
        if until <= now {
            return Ok(self.remove(prefix, now));
        }
        if self.len() >= self.limit && self.get(prefix).is_none() {
            return Err(DesiredFull {
                prefix,
                limit: self.limit,
            });
        }
        let Some(host) = host4(prefix) else {
            return self.rest.set(prefix, until, now);
        };
        let timeout = timeout(until, now);
        Ok(match self.hosts4.insert(host, ticks(until)) {
            Some(was) if was == ticks(until) => Vec::new(),
            // One that has ended may be gone from the kernel already.
            Some(was) if instant(was) > now => vec![KernelChange::Update { prefix, timeout }],
            Some(_) | None => vec![KernelChange::Add { prefix, timeout }],
        })
    }

    /// Unbans exactly `prefix`; wider and narrower bans stay.
    pub fn remove(&mut self, prefix: Prefix, now: Timestamp) -> Vec<KernelChange> {
        let Some(host) = host4(prefix) else {
            return self.rest.remove(prefix, now);
        };
        match self.hosts4.remove(&host) {
            Some(was) if instant(was) > now => vec![KernelChange::Remove { prefix }],
            Some(_) | None => Vec::new(),
        }
    }

    /// Forgets the bans that have ended, and says how many. The kernel has dropped them by itself.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let before = self.len();
        self.hosts4.retain(|_, until| instant(*until) > now);
        self.rest.expire(now);
        before - self.len()
    }

    /// The end, to the tenth of a second that has begun.
    pub fn get(&self, prefix: Prefix) -> Option<Timestamp> {
        match host4(prefix) {
            Some(host) => self.hosts4.get(&host).map(|ticks| instant(*ticks)),
            None => self.rest.get(prefix),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        self.hosts().chain(self.rest.iter())
    }

    /// Every element the kernel ought to hold, single addresses first.
    pub fn elements(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        self.hosts().chain(self.rest.elements())
    }

    pub fn len(&self) -> usize {
        self.hosts4.len() + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hosts(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        let prefix = |bits: u32| Prefix::host(Ipv4Addr::from_bits(bits).into());
        self.hosts4
            .iter()
            .map(move |(bits, until)| (prefix(*bits), instant(*until)))
    }
}

impl Wanted for CompactDesired {
    fn wanted(&self) -> Box<dyn Iterator<Item = (Prefix, Timestamp)> + '_> {
        Box::new(self.elements())
    }
}

fn host4(prefix: Prefix) -> Option<u32> {
    match prefix.addr() {
        std::net::IpAddr::V4(addr) if prefix.len() == 32 => Some(addr.to_bits()),
        _ => None,
    }
}

/// Rounded down: no ban lasts longer for being kept here.
fn ticks(until: Timestamp) -> u32 {
    u32::try_from(until.nanos().max(0) / TICK_NANOS).unwrap_or(u32::MAX)
}

fn instant(ticks: u32) -> Timestamp {
    Timestamp::from_nanos(i64::from(ticks).saturating_mul(TICK_NANOS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(tenths: i64) -> Timestamp {
        Timestamp::from_nanos(tenths * TICK_NANOS)
    }

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (0u32..8, prop_oneof![Just(32u8), 28u8..=32]).prop_map(|(host, len)| {
            Prefix::new(Ipv4Addr::from_bits(0xc000_0200 + host).into(), len).unwrap()
        });
        let v6 = (0u128..4, prop_oneof![Just(64u8), Just(128), 60u8..=66]).prop_map(|(n, len)| {
            let bits = (0x2001_0db8 << 96) | (n << 63);
            Prefix::new(std::net::Ipv6Addr::from_bits(bits).into(), len).unwrap()
        });
        prop_oneof![3 => v4, 1 => v6]
    }

    proptest! {
        #[test]
        fn it_says_what_the_roomy_one_says(
            steps in proptest::collection::vec((a_prefix(), 0i64..30, 0i64..4), 1..60),
        ) {
            let (mut compact, mut roomy) = (CompactDesired::with_limit(6), Desired::with_limit(6));
            let mut now = at(100);
            for (prefix, span, pause) in steps {
                now = Timestamp::from_nanos(now.nanos() + pause * TICK_NANOS);
                roomy.expire(now);
                compact.sweep(now);
                let until = Timestamp::from_nanos(now.nanos() + span * TICK_NANOS);
                prop_assert_eq!(
                    compact.set(prefix, until, now),
                    roomy.set(prefix, until, now)
                );
                prop_assert_eq!(compact.get(prefix), roomy.get(prefix));
                prop_assert_eq!(compact.len(), roomy.len());
                let (mut a, mut b): (Vec<_>, Vec<_>) =
                    (compact.elements().collect(), roomy.elements().collect());
                a.sort_unstable();
                b.sort_unstable();
                prop_assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn no_ban_lasts_longer_for_being_kept() {
        let mut compact = CompactDesired::new();
        let prefix = "192.0.2.1".parse().unwrap();
        let until = Timestamp::from_nanos(1_999_999_999);
        compact.set(prefix, until, at(0)).unwrap();
        assert_eq!(compact.get(prefix), Some(at(19)));
        assert_eq!((compact.sweep(at(18)), compact.sweep(at(19))), (0, 1));
        assert!(compact.is_empty());
    }
}
