//! When a community's ban was at all its members: read from what a hub's ledger says of its
//! statements and of how far its guards have come. Pure: it is shown the acts, in order.
//!
//! Only the hub's own bans count. What a single member reports reaches the others' copies, and by
//! default nobody's kernel.

use std::collections::{BTreeMap, BTreeSet};

use model::{BanSpread, FleetAct, Prefix, ReachedAll, Timestamp};
use serde::{Deserialize, Serialize};

/// Networks in one question.
pub const NETWORKS_MAX: usize = 256;
/// Entries that are looked through for one answer.
pub const ENTRIES_MAX: u64 = 500_000;
/// Communities whose bans are followed for one answer, times networks.
const FOUND_MAX: usize = 4_096;
/// Acts of a member are looked for so long before the case's own beginning: clocks differ.
pub const CLOCKS_APART: std::time::Duration = std::time::Duration::from_secs(60);

/// `POST /fleet/v1/{community}/spread`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpreadQuestion {
    pub networks: Vec<Prefix>,
    /// Nothing before it is looked at.
    pub since: Timestamp,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpreadAnswer {
    pub spreads: Vec<BanSpread>,
    /// There is more on the ledger than was looked through: what is missing is not known.
    #[serde(default)]
    pub is_cut: bool,
}

/// Whose reports the asker may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reporters {
    All,
    Only(String),
}

pub struct SpreadFinder {
    wanted: BTreeSet<Prefix>,
    since: Timestamp,
    hub: String,
    reporters: Reporters,
    /// `None`: of all communities.
    community: Option<String>,
    reported: BTreeMap<(String, Prefix), Timestamp>,
    found: BTreeMap<(String, Prefix), BanSpread>,
}

impl SpreadFinder {
    pub fn new(
        networks: &BTreeSet<Prefix>,
        since: Timestamp,
        hub: &str,
        reporters: Reporters,
        community: Option<String>,
    ) -> Self {
        Self {
            wanted: networks.iter().take(NETWORKS_MAX).copied().collect(),
            since,
            hub: hub.to_owned(),
            reporters,
            community,
            reported: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    pub fn take(&mut self, index: u64, act: &FleetAct) {
        if act.at() < self.since {
            return;
        }
        match act {
            FleetAct::StatementAccepted {
                at,
                community,
                organisation,
                generation,
                bans,
                ..
            } if self.is_asked_for(community) => {
                if *organisation == self.hub {
                    self.banned(index, *at, community, *generation, bans);
                } else {
                    self.told(*at, community, organisation, bans);
                }
            }
            FleetAct::Reached { community, .. } if self.is_asked_for(community) => {
                self.reached(index, act);
            }
            _ => {}
        }
    }

    /// Those that are everywhere first, the soonest before.
    pub fn found(self) -> Vec<BanSpread> {
        let mut all: Vec<BanSpread> = self.found.into_values().collect();
        all.sort_by_key(|s| {
            let at = s.reached.map(|reached| reached.at);
            (at.is_none(), at, s.accepted, s.prefix)
        });
        all
    }

    fn is_asked_for(&self, community: &str) -> bool {
        self.community.as_deref().is_none_or(|c| c == community)
    }

    fn hit_by(&self, bans: &[Prefix]) -> Vec<Prefix> {
        let is_hit = |wanted: &&Prefix| bans.iter().any(|ban| ban.covers(**wanted));
        self.wanted.iter().filter(is_hit).copied().collect()
    }

    fn told(&mut self, at: Timestamp, community: &str, organisation: &str, bans: &[Prefix]) {
        let may_know = match &self.reporters {
            Reporters::All => true,
            Reporters::Only(own) => own == organisation,
        };
        if !may_know || self.reported.len() >= FOUND_MAX {
            return;
        }
        for prefix in self.hit_by(bans) {
            let place = (community.to_owned(), prefix);
            self.reported.entry(place).or_insert(at);
        }
    }

    fn banned(
        &mut self,
        index: u64,
        at: Timestamp,
        community: &str,
        generation: u64,
        bans: &[Prefix],
    ) {
        for prefix in self.hit_by(bans) {
            let place = (community.to_owned(), prefix);
            if self.found.contains_key(&place) || self.found.len() >= FOUND_MAX {
                continue;
            }
            let spread = BanSpread {
                prefix,
                community: community.to_owned(),
                hub: self.hub.clone(),
                reported: self.reported.get(&place).copied(),
                accepted: at,
                generation,
                entry: index,
                reached: None,
            };
            self.found.insert(place, spread);
        }
    }

    /// The first that says "all" counts; until then the first that says how many are missing.
    fn reached(&mut self, index: u64, act: &FleetAct) {
        let FleetAct::Reached {
            at,
            community,
            generation,
            connected,
            away,
            behind,
            observing,
        } = act
        else {
            return;
        };
        let later = self.found.values_mut().filter(|spread| {
            let is_open = spread.reached.is_none_or(|known| *behind < known.behind);
            spread.community == *community && spread.generation <= *generation && is_open
        });
        for spread in later {
            spread.reached = Some(ReachedAll {
                at: *at,
                connected: *connected,
                away: *away,
                behind: *behind,
                observing: *observing,
                entry: index,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn stated(seconds: i64, organisation: &str, generation: u64, ban: &str) -> FleetAct {
        FleetAct::StatementAccepted {
            at: at(seconds),
            community: "main".to_owned(),
            organisation: organisation.to_owned(),
            key: String::new(),
            sequence: generation,
            generation,
            bans: vec![ban.parse().unwrap()],
            releases: Vec::new(),
            reason: String::new(),
            statement: String::new(),
        }
    }

    fn step(seconds: i64, community: &str, generation: u64, behind: u64) -> FleetAct {
        FleetAct::Reached {
            at: at(seconds),
            community: community.to_owned(),
            generation,
            connected: 3,
            away: 1,
            behind,
            observing: 0,
        }
    }

    fn find(reporters: Reporters, acts: &[FleetAct]) -> Vec<BanSpread> {
        let networks = BTreeSet::from(["203.0.113.9".parse().unwrap()]);
        let mut finder = SpreadFinder::new(&networks, at(100), "hub", reporters, None);
        for (index, act) in (0..).zip(acts) {
            finder.take(index, act);
        }
        finder.found()
    }

    #[test]
    fn a_ban_is_everywhere_when_its_change_was_reached_and_not_before() {
        let acts = [
            stated(90, "hub", 3, "203.0.113.9"),
            stated(100, "acme", 4, "203.0.113.9"),
            step(101, "main", 4, 0),
            stated(105, "hub", 6, "203.0.113.0/24"),
            step(106, "main", 5, 0),
            step(107, "other", 9, 0),
            step(110, "main", 6, 1),
            step(120, "main", 7, 0),
            step(130, "main", 8, 0),
        ];
        let found = find(Reporters::All, &acts);
        assert_eq!(found.len(), 1);
        let spread = &found[0];
        assert_eq!(spread.reported, Some(at(100)));
        assert_eq!(
            (spread.accepted, spread.generation, spread.entry),
            (at(105), 6, 3)
        );
        let reached = spread.reached.unwrap();
        assert_eq!((reached.at, reached.behind, reached.entry), (at(120), 0, 7));
        // Before the late one came, the others' moment is told with how many were missing.
        let reached = find(Reporters::All, &acts[..7])[0].reached.unwrap();
        assert_eq!((reached.at, reached.behind), (at(110), 1));
        assert_eq!(find(Reporters::All, &acts[..6])[0].reached, None);
    }

    #[test]
    fn a_report_alone_is_no_ban_at_others_and_others_reports_stay_theirs() {
        let report = stated(100, "acme", 4, "203.0.113.9");
        assert_eq!(
            find(Reporters::All, &[report.clone(), step(101, "main", 9, 0)]),
            []
        );
        let acts = [report, stated(105, "hub", 6, "203.0.113.9")];
        let of = |org: &str| find(Reporters::Only(org.to_owned()), &acts)[0].reported;
        assert_eq!((of("acme"), of("globex")), (Some(at(100)), None));
    }
}
