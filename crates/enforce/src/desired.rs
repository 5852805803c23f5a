//! The bans that ought to hold, and what the kernel must do when one comes or goes. Pure.
//!
//! A ban ends by itself in the kernel (every element has a timeout), so [`Desired::expire`] only
//! frees memory here and never asks for a kernel change.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use model::{Prefix, Timestamp, limits::BANS_MAX};

use crate::{
    plan::{KernelChange, diff, timeout},
    project::project,
    set::SetKind,
};

/// Every ban that ought to hold, with its end; `Timestamp::MAX` is without end.
#[derive(Debug)]
pub struct Desired {
    /// Single addresses and IPv6 /64: each is one element of a hash set.
    singles: BTreeMap<Prefix, Timestamp>,
    /// All other widths: projected onto an interval set.
    nets: BTreeMap<Prefix, Timestamp>,
    ends: BTreeSet<(Timestamp, Prefix)>,
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
            singles: BTreeMap::new(),
            nets: BTreeMap::new(),
            ends: BTreeSet::new(),
            lengths4: [0; 33],
            lengths6: [0; 129],
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
        while let Some(&(until, prefix)) = self.ends.first() {
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
            .map(|(until, _)| *until)
            .filter(|t| *t != Timestamp::MAX)
    }

    pub fn get(&self, prefix: Prefix) -> Option<Timestamp> {
        self.map(prefix).get(&prefix).copied()
    }

    /// All bans: single addresses and IPv6 /64 first, then the other widths, each sorted.
    pub fn iter(&self) -> impl Iterator<Item = (Prefix, Timestamp)> + '_ {
        self.singles.iter().chain(&self.nets).map(|(p, t)| (*p, *t))
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
    pub fn for_each_element(&self, each: &mut dyn FnMut(Prefix, Timestamp)) {
        for (prefix, until) in &self.singles {
            each(*prefix, *until);
        }
        let nets: Vec<_> = self.nets.iter().map(|(p, t)| (*p, *t)).collect();
        for (prefix, until) in project(&nets) {
            each(prefix, until);
        }
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

    fn map(&self, prefix: Prefix) -> &BTreeMap<Prefix, Timestamp> {
        if SetKind::of(prefix).is_interval() {
            &self.nets
        } else {
            &self.singles
        }
    }

    /// Writes one ban or its absence to every index and returns the end it had.
    fn put(&mut self, prefix: Prefix, until: Option<Timestamp>) -> Option<Timestamp> {
        let map = if SetKind::of(prefix).is_interval() {
            &mut self.nets
        } else {
            &mut self.singles
        };
        let was = match until {
            Some(until) => map.insert(prefix, until),
            None => map.remove(&prefix),
        };
        if let Some(was) = was {
            self.ends.remove(&(was, prefix));
        }
        if let Some(until) = until {
            self.ends.insert((until, prefix));
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
