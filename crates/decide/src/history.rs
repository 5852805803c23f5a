//! Bans in force.

use std::collections::BTreeMap;

use model::{AlertId, KnownBan, Prefix, PrefixEnds, PrefixMap, PrefixRows, Timestamp};

/// A ban in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    pub from: Timestamp,
    pub until: Timestamp,
    /// The alert that led here; none for an operator's ban.
    pub alert: Option<AlertId>,
    /// How many different sources led here.
    pub sources: u32,
    /// How many times this offender was banned before.
    pub repeat: u32,
}

impl From<&KnownBan> for Ban {
    fn from(known: &KnownBan) -> Self {
        Self {
            from: known.from,
            until: known.until,
            alert: known.alert,
            sources: known.sources,
            repeat: known.repeat,
        }
    }
}

/// All bans in force, by prefix and by end.
#[derive(Clone, Debug, Default)]
pub struct BanHistory {
    bans: PrefixMap<Ban>,
    ends: PrefixEnds,
    /// How many bans there are of each prefix length, so that a lookup asks for those only.
    lengths: BTreeMap<(Family, u8), u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn of(prefix: Prefix) -> Self {
        if prefix.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

impl BanHistory {
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    pub fn get(&self, prefix: Prefix) -> Option<&Ban> {
        self.bans.get(prefix)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Prefix, &Ban)> {
        self.bans.iter()
    }

    /// Sets the ban on `prefix`; a former one on the same prefix is replaced.
    pub fn insert(&mut self, prefix: Prefix, ban: Ban) {
        self.remove(prefix);
        self.bans.insert(prefix, ban);
        self.ends.insert(ban.until, prefix);
        *self
            .lengths
            .entry((Family::of(prefix), prefix.len()))
            .or_default() += 1;
    }

    /// [`BanHistory::insert`] for each, in a fraction of its time and room when there is nothing
    /// yet.
    pub(crate) fn restore(&mut self, known: PrefixRows<Ban>) {
        if !self.is_empty() {
            let rows = known.into_rows();
            return rows.for_each(|(prefix, ban)| self.insert(prefix, ban));
        }
        self.bans = PrefixMap::from(known);
        self.ends = self.bans.iter().map(|(p, ban)| (ban.until, p)).collect();
        self.lengths.clear();
        for (prefix, _) in self.bans.iter() {
            *self
                .lengths
                .entry((Family::of(prefix), prefix.len()))
                .or_default() += 1;
        }
    }

    pub fn remove(&mut self, prefix: Prefix) -> Option<Ban> {
        let ban = self.bans.remove(prefix)?;
        self.ends.remove(ban.until, prefix);
        let key = (Family::of(prefix), prefix.len());
        if let Some(count) = self.lengths.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&key);
            }
        }
        Some(ban)
    }

    /// Moves every beginning and end.
    pub(crate) fn shift(&mut self, move_on: &dyn Fn(Timestamp) -> Timestamp) {
        let bans = std::mem::take(&mut self.bans);
        let mut rows = PrefixRows::default();
        for (prefix, ban) in bans.iter() {
            let (from, until) = (move_on(ban.from), move_on(ban.until));
            rows.push(
                prefix,
                Ban {
                    from,
                    until,
                    ..*ban
                },
            );
        }
        self.restore(rows);
    }

    /// Drops bans that ended at or before `now`.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((until, prefix)) = self.ends.first() {
            if until > now {
                break;
            }
            self.remove(prefix);
        }
    }

    /// Bans whose prefix is `prefix` or wider, narrowest first.
    pub fn covering(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, &Ban)> {
        let family = Family::of(prefix);
        self.lengths
            .range((family, 0)..=(family, prefix.len()))
            .rev()
            .filter_map(move |((_, len), _)| {
                let wider = prefix.widen(*len)?;
                self.bans.get(wider).map(|ban| (wider, ban))
            })
    }

    /// Bans whose prefix is `prefix` or narrower, in the order of addresses.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = (Prefix, &Ban)> {
        // Not `range(prefix..=last)`: the last address of a wide IPv6 range may be a mapped one,
        // whose canonical form sorts before the first.
        self.bans
            .iter_from(prefix)
            .take_while(move |(other, _)| other.addr() <= prefix.last())
            .filter(move |(other, _)| prefix.covers(*other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().unwrap()
    }

    fn until(seconds: i64) -> Ban {
        Ban {
            from: Timestamp::EPOCH,
            until: Timestamp::from_seconds(seconds),
            alert: None,
            sources: 1,
            repeat: 0,
        }
    }

    #[test]
    fn lookups_go_by_network_and_family() {
        let mut history = BanHistory::default();
        for (prefix, end) in [
            ("203.0.113.0/24", 9),
            ("203.0.113.7", 5),
            ("2001:db8::/64", 5),
        ] {
            history.insert(p(prefix), until(end));
        }
        let names = |found: Vec<(Prefix, &Ban)>| -> Vec<String> {
            found.iter().map(|(prefix, _)| prefix.to_string()).collect()
        };
        let found = names(history.covering(p("203.0.113.7")).collect());
        assert_eq!(found, ["203.0.113.7", "203.0.113.0/24"]);
        assert_eq!(
            names(history.covering(p("2001:db8::9")).collect()),
            ["2001:db8::/64"]
        );
        assert_eq!(
            names(history.within(p("203.0.112.0/23")).collect()).len(),
            2
        );
        assert_eq!(
            names(history.within(p("::/0")).collect()),
            ["2001:db8::/64"]
        );
        history.expire(Timestamp::from_seconds(5));
        assert_eq!(names(history.iter().collect()), ["203.0.113.0/24"]);
        assert_eq!(history.covering(p("2001:db8::9")).count(), 0);
    }

    #[test]
    fn replacing_moves_the_end() {
        let mut history = BanHistory::default();
        history.insert(p("192.0.2.1"), until(5));
        history.insert(p("192.0.2.1"), until(9));
        history.expire(Timestamp::from_seconds(6));
        assert_eq!(history.len(), 1);
        history.expire(Timestamp::from_seconds(9));
        assert!(history.is_empty());
    }
}
