//! The bans that ought to hold, and what the kernel must do when one comes or goes. Pure.
//!
//! A ban ends by itself in the kernel (every element has a timeout), so [`Desired::expire`] only
//! frees memory here and never asks for a kernel change.

use std::{collections::BTreeMap, net::IpAddr};

use model::{Prefix, PrefixEnds, PrefixMap, Timestamp, limits::BANS_MAX};

use crate::{
    plan::{KernelChange, Wanted, diff, timeout},
    project::project,
    set::SetKind,
};

/// Every ban that ought to hold, with its end; `Timestamp::MAX` is without end.
#[derive(Debug)]
pub struct Desired {
    /// Single addresses and IPv6 /64: each is one element of a hash set.
    singles: PrefixMap<Timestamp>,
    /// All other widths: projected onto an interval set.
    nets: BTreeMap<Prefix, Timestamp>,
    ends: PrefixEnds,
    /// How many bans have each prefix length, so that lookups try only lengths in use.
    lengths4: [usize; 33],
    lengths6: [usize; 129],
    limit: usize,
}

/// No room for one more ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{prefix} was not banned: {limit} bans are the limit")]
pub struct DesiredFull {
    pub prefix: Prefix,
    pub limit: usize,
}

impl Default for Desired {
    fn default() -> Self {
        Self::new()
    }
}

impl Desired {
    pub const fn new() -> Self {
        Self::with_limit(BANS_MAX)
    }

    /// Holds at most `limit` bans.
    pub const fn with_limit(limit: usize) -> Self {
        Self {
            singles: PrefixMap::new(),
            nets: BTreeMap::new(),
            ends: PrefixEnds::new(),
            lengths4: [0; 33],
            lengths6: [0; 129],
            limit,
        }
    }

    /// The bans of an earlier run, in any order, up to the limit: as [`Desired::set`] for each,
    /// in a fraction of its time and room.
    pub fn restored(bans: &mut dyn Iterator<Item = (Prefix, Timestamp)>, now: Timestamp) -> Self {
        let mut desired = Self::new();
        let mut nets = Vec::new();
        let live = bans.filter(|(_, until)| *until > now).take(desired.limit);
        desired.singles = live
            .filter(|ban| {
                let is_net = SetKind::of(ban.0).is_interval();
                if is_net {
                    nets.push(*ban);
                }
                !is_net
            })
            .collect();
        desired.nets = BTreeMap::from_iter(nets);
        desired.ends = desired
            .iter()
            .map(|(prefix, until)| (until, prefix))
            .collect();
        let (mut lengths4, mut lengths6) = (desired.lengths4, desired.lengths6);
        for (prefix, _) in desired.iter() {
            let counts: &mut [usize] = if prefix.is_ipv4() {
                &mut lengths4
            } else {
                &mut lengths6
            };
            if let Some(count) = counts.get_mut(usize::from(prefix.len())) {
                *count += 1;
            }
        }
        (desired.lengths4, desired.lengths6) = (lengths4, lengths6);
        desired
    }

    /// The wall clock was set by so many nanoseconds (negative: back). The kernel counts down by a
    /// clock that nobody sets; with every end moved, the two agree again.
    pub fn clock_was_set(&mut self, by: i64, now: Timestamp) {
        let move_on = |until: Timestamp| {
            if until == Timestamp::MAX {
                until
            } else {
                Timestamp::from_nanos(until.nanos().saturating_add(by))
            }
        };
        let limit = self.limit;
        let moved: Vec<_> = self.iter().map(|(p, until)| (p, move_on(until))).collect();
        *self = Self::restored(&mut moved.into_iter(), now);
        self.limit = limit;
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
        if SetKind::of(prefix).is_interval() {
            return Ok(self.change_net(prefix, Some(until), now));
        }
        let timeout = timeout(until, now);
        Ok(match self.put(prefix, Some(until)) {
            // An ended ban may be gone from the kernel already.
            Some(was) if was == until => Vec::new(),
            Some(was) if was > now => vec![KernelChange::Update { prefix, timeout }],
            Some(_) | None => vec![KernelChange::Add { prefix, timeout }],
        })
    }

    /// Unbans exactly `prefix`; wider and narrower bans stay.
    pub fn remove(&mut self, prefix: Prefix, now: Timestamp) -> Vec<KernelChange> {
        if SetKind::of(prefix).is_interval() {
            return self.change_net(prefix, None, now);
        }
        match self.put(prefix, None) {
            Some(was) if was > now => vec![KernelChange::Remove { prefix }],
            Some(_) | None => Vec::new(),
        }
    }

    /// Forgets the bans that have ended, and returns them. The kernel has dropped them by itself.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Prefix> {
        let mut ended = Vec::new();
        while let Some((until, prefix)) = self.ends.first() {
            if until > now {
                break;
            }
            self.put(prefix, None);
            ended.push(prefix);
        }
        ended
    }

    /// When [`Desired::expire`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.ends
            .first()
            .map(|(until, _)| until)
            .filter(|t| *t != Timestamp::MAX)
    }

    pub fn get(&self, prefix: Prefix) -> Option<Timestamp> {
        if SetKind::of(prefix).is_interval() {
            self.nets.get(&prefix).copied()
        } else {
            self.singles.get(prefix).copied()
        }
    }

    /// All bans: single addresses and IPv6 /64 first, then the other widths, each sorted.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        let singles = self.singles.iter().map(|(p, t)| (p, *t));
        singles.chain(self.nets.iter().map(|(p, t)| (*p, *t)))
    }

    pub fn len(&self) -> usize {
        self.singles.len() + self.nets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of the bans that cover `addr` the one that ends last; of equal ones the widest.
    pub fn covering(&self, addr: IpAddr) -> Option<(Prefix, Timestamp)> {
        let host = Prefix::host(addr);
        let mut best: Option<(Prefix, Timestamp)> = None;
        for len in self.lengths_in_use(host) {
            let Some(prefix) = host.widen(len) else {
                continue;
            };
            let Some(until) = self.get(prefix) else {
                continue;
            };
            if best.is_none_or(|(_, b)| until > b) {
                best = Some((prefix, until));
            }
        }
        best
    }

    /// Every element the kernel ought to hold, single addresses first.
    pub fn elements(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        let nets: Vec<_> = self.nets.iter().map(|(p, t)| (*p, *t)).collect();
        let singles = self.singles.iter().map(|(p, t)| (p, *t));
        singles.chain(project(&nets))
    }

    fn change_net(
        &mut self,
        prefix: Prefix,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<KernelChange> {
        let region = self.outermost_net(prefix);
        // What has ended by now is gone from the kernel, so it is left out on both sides.
        let before = self.project_region(region, now);
        self.put(prefix, until);
        diff(&before, &self.project_region(region, now), now)
    }

    fn project_region(&self, region: Prefix, now: Timestamp) -> Vec<(Prefix, Timestamp)> {
        let last = Prefix::host(region.last());
        let live = self.nets.range(region..=last).filter(|(_, t)| **t > now);
        project(&live.map(|(p, t)| (*p, *t)).collect::<Vec<_>>())
    }

    fn outermost_net(&self, prefix: Prefix) -> Prefix {
        let wider = self
            .lengths_in_use(prefix)
            .filter_map(|len| prefix.widen(len));
        wider
            .into_iter()
            .find(|p| self.nets.contains_key(p))
            .unwrap_or(prefix)
    }

    fn lengths_in_use(&self, prefix: Prefix) -> impl Iterator<Item = u8> + '_ {
        let counts: &[usize] = if prefix.is_ipv4() {
            &self.lengths4
        } else {
            &self.lengths6
        };
        (0u8..)
            .zip(counts)
            .filter(|(_, n)| **n > 0)
            .map(|(len, _)| len)
    }

    /// Writes one ban or its absence to every index and returns the end it had.
    fn put(&mut self, prefix: Prefix, until: Option<Timestamp>) -> Option<Timestamp> {
        let was = match (SetKind::of(prefix).is_interval(), until) {
            (true, Some(until)) => self.nets.insert(prefix, until),
            (true, None) => self.nets.remove(&prefix),
            (false, Some(until)) => self.singles.insert(prefix, until),
            (false, None) => self.singles.remove(prefix),
        };
        if let Some(was) = was {
            self.ends.remove(was, prefix);
        }
        if let Some(until) = until {
            self.ends.insert(until, prefix);
        }
        let counts: &mut [usize] = if prefix.is_ipv4() {
            &mut self.lengths4
        } else {
            &mut self.lengths6
        };
        if let Some(count) = counts.get_mut(usize::from(prefix.len())) {
            match (was, until) {
                (None, Some(_)) => *count += 1,
                (Some(_), None) => *count = count.saturating_sub(1),
                (None, None) | (Some(_), Some(_)) => {}
            }
        }
        was
    }
}

impl Wanted for Desired {
    fn wanted(&self) -> Box<dyn Iterator<Item = (Prefix, Timestamp)> + '_> {
        Box::new(self.elements())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::reconcile;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_limit_refuses_new_bans_but_not_longer_ones() {
        let mut desired = Desired::with_limit(2);
        desired.set(p("192.0.2.1"), at(10), at(0)).unwrap();
        desired.set(p("10.0.0.0/8"), at(10), at(0)).unwrap();
        let full = desired.set(p("192.0.2.2"), at(10), at(0)).unwrap_err();
        assert_eq!(
            full,
            DesiredFull {
                prefix: p("192.0.2.2"),
                limit: 2
            }
        );
        let longer = desired.set(p("192.0.2.1"), at(20), at(0)).unwrap();
        let timeout = Some(Duration::from_secs(20));
        assert_eq!(
            longer,
            [KernelChange::Update {
                prefix: p("192.0.2.1"),
                timeout
            }]
        );
        assert_eq!(desired.expire(at(10)), [p("10.0.0.0/8")]);
        assert!(desired.set(p("192.0.2.2"), at(30), at(10)).is_ok());
        assert_eq!((desired.len(), desired.poll_timeout()), (2, Some(at(20))));
    }

    #[test]
    fn a_clock_that_was_set_changes_no_length() {
        for by in [-1_000_000, 1_000_000] {
            let mut desired = Desired::with_limit(9);
            desired.set(p("192.0.2.1"), at(70), at(0)).unwrap();
            desired.set(p("10.0.0.0/8"), at(90), at(0)).unwrap();
            desired.set(p("192.0.2.2"), Timestamp::MAX, at(0)).unwrap();
            desired.clock_was_set(by * 1_000_000_000, at(10 + by));
            assert_eq!(desired.get(p("192.0.2.1")), Some(at(70 + by)));
            assert_eq!(desired.get(p("192.0.2.2")), Some(Timestamp::MAX));
            assert_eq!(desired.poll_timeout(), Some(at(70 + by)));
            assert_eq!(desired.expire(at(90 + by)).len(), 2);
            assert_eq!(desired.limit, 9);
        }
    }

    #[test]
    fn restored_bans_are_as_if_they_had_been_set() {
        let all = [
            ("192.0.2.1", 9),
            ("10.0.0.0/8", 5),
            ("2001:db8::/64", 5),
            ("10.0.0.0/8", 7),
            ("192.0.2.2", 2),
            ("192.0.2.0/24", 3),
        ];
        let all = all.map(|(prefix, until)| (p(prefix), at(until)));
        let mut restored = Desired::restored(&mut all.into_iter(), at(2));
        let mut set = Desired::new();
        for (prefix, until) in all {
            set.set(prefix, until, at(2)).unwrap();
        }
        for time in [2, 4, 5, 7, 9] {
            assert_eq!(restored.expire(at(time)), set.expire(at(time)));
            let (a, b): (Vec<_>, Vec<_>) = (restored.iter().collect(), set.iter().collect());
            assert_eq!(a, b);
            assert_eq!(a.is_empty(), time == 9);
            assert_eq!(
                restored.elements().collect::<Vec<_>>(),
                set.elements().collect::<Vec<_>>()
            );
            assert_eq!(
                (restored.lengths4, restored.lengths6),
                (set.lengths4, set.lengths6)
            );
            let addr = "10.1.2.3".parse().unwrap();
            assert_eq!(restored.covering(addr), set.covering(addr));
        }
    }

    #[test]
    fn covering_finds_the_ban_that_ends_last() {
        let mut desired = Desired::new();
        for (prefix, until) in [
            ("10.0.0.0/8", 5),
            ("10.1.0.0/16", 9),
            ("10.1.2.3", 9),
            ("2001:db8::/64", 4),
        ] {
            desired.set(p(prefix), at(until), at(0)).unwrap();
        }
        let of = |addr: &str| desired.covering(addr.parse().unwrap());
        assert_eq!(of("10.1.2.3"), Some((p("10.1.0.0/16"), at(9))));
        assert_eq!(of("10.9.9.9"), Some((p("10.0.0.0/8"), at(5))));
        assert_eq!(of("::ffff:10.9.9.9"), Some((p("10.0.0.0/8"), at(5))));
        assert_eq!(of("2001:db8::1"), Some((p("2001:db8::/64"), at(4))));
        assert_eq!(of("11.0.0.1"), None);
    }

    #[test]
    fn a_ban_without_end_has_no_timeout_and_never_expires() {
        let mut desired = Desired::new();
        let changes = desired.set(p("192.0.2.1"), Timestamp::MAX, at(0)).unwrap();
        assert_eq!(
            changes,
            [KernelChange::Add {
                prefix: p("192.0.2.1"),
                timeout: None
            }]
        );
        assert_eq!(desired.poll_timeout(), None);
        assert!(desired.expire(at(1_000_000)).is_empty());
    }

    #[test]
    fn the_ban_that_an_unban_uncovers_goes_in() {
        let mut desired = Desired::new();
        desired.set(p("10.0.0.0/8"), at(9), at(0)).unwrap();
        assert!(
            desired
                .set(p("10.1.0.0/16"), at(5), at(0))
                .unwrap()
                .is_empty()
        );
        let timeout = Some(Duration::from_secs(4));
        let expected = [
            KernelChange::Remove {
                prefix: p("10.0.0.0/8"),
            },
            KernelChange::Add {
                prefix: p("10.1.0.0/16"),
                timeout,
            },
        ];
        assert_eq!(desired.remove(p("10.0.0.0/8"), at(1)), expected);
    }

    /// A kernel that refuses what the real one refuses, with ends as points in time.
    #[derive(Default)]
    struct Kernel(BTreeMap<Prefix, Timestamp>);

    impl Kernel {
        fn apply(&mut self, changes: &[KernelChange], now: Timestamp) {
            self.0.retain(|_, until| *until > now);
            let end = |timeout: Option<Duration>| timeout.map_or(Timestamp::MAX, |t| now.plus(t));
            for change in changes {
                match change {
                    KernelChange::Update { prefix, .. } | KernelChange::Remove { prefix } => {
                        assert!(self.0.remove(prefix).is_some(), "{prefix} is not there");
                    }
                    KernelChange::Add { .. } => {}
                }
            }
            for change in changes {
                if let KernelChange::Add { prefix, timeout }
                | KernelChange::Update { prefix, timeout } = change
                {
                    let set = SetKind::of(*prefix);
                    let clash = self.0.keys().find(|p| {
                        *p == prefix
                            || (set.is_interval() && SetKind::of(**p) == set && p.overlaps(*prefix))
                    });
                    assert_eq!(clash, None, "against {prefix}");
                    self.0.insert(*prefix, end(*timeout));
                }
            }
        }

        fn dump(&self, now: Timestamp) -> Vec<(Prefix, Option<Duration>)> {
            let left = |t: Timestamp| (t != Timestamp::MAX).then(|| t.since(now));
            self.0.iter().map(|(p, t)| (*p, left(*t))).collect()
        }
    }

    /// Prefixes from two small corners, so that they nest and meet often.
    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (0u32..64, 26u8..=32).prop_map(|(host, len)| {
            Prefix::new(
                std::net::Ipv4Addr::from_bits(0x0a00_0000 + host).into(),
                len,
            )
            .unwrap()
        });
        let v6 = (0u128..64, prop_oneof![60u8..=68, Just(128)]).prop_map(|(net, len)| {
            let bits = (0x2001_0db8 << 96) | (net << 62);
            Prefix::new(std::net::Ipv6Addr::from_bits(bits).into(), len).unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn the_kernel_follows(
            steps in proptest::collection::vec(
                (a_prefix(), prop_oneof![3 => Just(true), 1 => Just(false)], 1i64..40, 0i64..6),
                1..60,
            ),
        ) {
            let (mut desired, mut kernel, mut now) = (Desired::new(), Kernel::default(), at(100));
            let mut model: BTreeMap<Prefix, Timestamp> = BTreeMap::new();
            for (prefix, is_ban, span, pause) in steps {
                now = now.plus(Duration::from_secs(pause.unsigned_abs()));
                let until = if span == 39 { Timestamp::MAX } else { at(now.seconds() + span) };
                // Forgetting late must do no harm.
                if pause % 2 == 0 {
                    desired.expire(now);
                }
                model.retain(|_, t| *t > now);
                let changes = if is_ban {
                    model.insert(prefix, until);
                    desired.set(prefix, until, now).unwrap()
                } else {
                    model.remove(&prefix);
                    desired.remove(prefix, now)
                };
                kernel.apply(&changes, now);
                let live: BTreeMap<_, _> = desired.iter().filter(|(_, t)| *t > now).collect();
                prop_assert_eq!(&live, &model);
                for probe in model.keys() {
                    let addr = probe.addr();
                    let latest = |bans: &BTreeMap<Prefix, Timestamp>| {
                        bans.iter().filter(|(p, _)| p.contains(addr)).map(|(_, t)| *t).max()
                    };
                    let (wanted, found) = (latest(&model), latest(&kernel.0));
                    prop_assert_eq!(found, wanted, "{}", addr);
                    if desired.poll_timeout().is_none_or(|t| t > now) {
                        prop_assert_eq!(desired.covering(addr).map(|(_, t)| t), wanted);
                    }
                }
                desired.expire(now);
                let mending = reconcile(&desired, &kernel.dump(now), now, Duration::ZERO);
                prop_assert_eq!(mending, vec![]);
            }
        }

        #[test]
        fn reconcile_mends_any_kernel(
            wanted in proptest::collection::vec((a_prefix(), 1i64..40), 0..20),
            strangers in proptest::collection::vec((a_prefix(), 1i64..40), 0..6),
            lost in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let (mut desired, mut kernel, now) = (Desired::new(), Kernel::default(), at(100));
            for (prefix, span) in wanted {
                let changes = desired.set(prefix, at(100 + span), now).unwrap();
                kernel.apply(&changes, now);
            }
            for index in lost {
                let held: Vec<_> = kernel.0.keys().copied().collect();
                if !held.is_empty() {
                    kernel.0.remove(index.get(&held));
                }
            }
            for (prefix, span) in strangers {
                let set = SetKind::of(prefix);
                let clash = |p: &Prefix| SetKind::of(*p) == set && p.overlaps(prefix);
                if !kernel.0.keys().any(clash) {
                    kernel.0.insert(prefix, at(100 + span));
                }
            }
            let changes = reconcile(&desired, &kernel.dump(now), now, Duration::ZERO);
            kernel.apply(&changes, now);
            let mut ought = BTreeMap::new();
            desired.for_each_element(&mut |prefix, until| {
                ought.insert(prefix, until);
            });
            prop_assert_eq!(kernel.0, ought);
        }
    }
}
