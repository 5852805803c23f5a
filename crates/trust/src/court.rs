//! The court: standings, open cases, the bans in force, and the indexes that keep them bounded.

use std::{
    collections::{BTreeMap, HashMap, hash_map::DefaultHasher},
    hash::BuildHasherDefault,
};

use model::{Prefix, PrefixEnds, PrefixMap, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    Classes, HoldReason, Kind, Org, Rules, Standing, StandingView,
    breaker::Breakers,
    budget::Hourly,
    case::{Case, Deed, unit},
    limits,
    peers::Peers,
    rules::DAY,
};

/// Ends and forgotten cases that one call looks after; the rest wait for the next.
const SWEPT_PER_CALL: usize = 4;

/// Why the court could not do what it was told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrustError {
    #[error("{text:?} is no organisation's name; write a-z, 0-9 and -, at most 63, first no -")]
    OrgName { text: String },
    #[error("nothing is known of the organisation {org}; it joins with its first report")]
    UnknownOrg { org: Org },
    #[error("nothing is held against {target}")]
    NoCase { target: Prefix },
    #[error("{org} is not trusted enough for this (its trust is below {needed}); ask a person")]
    Standing { org: Org, needed: f64 },
    #[error("more than {per_hour} reversals in an hour from {org}; ask a person")]
    Budget { org: Org, per_hour: u32 },
    #[error("{org} is on probation; its daily peers count afterwards")]
    Probation { org: Org },
    #[error("{target} is never banned: {list}")]
    Never { target: Prefix, list: String },
    #[error("no room for another of these (limit {limit})")]
    Full { limit: usize },
}

/// Counters since the court was first opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CourtStats {
    pub reports: u64,
    pub bans_by_quorum: u64,
    pub bans_alone: u64,
    pub bans_by_person: u64,
    pub renewals: u64,
    pub noted: u64,
    pub refused: u64,
    pub held: u64,
    pub reversals: u64,
    pub cases_evicted: u64,
    pub votes_dropped: u64,
    pub kinds_demoted: u64,
    pub held_unlisted: u64,
}

/// Everything that trust knows. Serialisable whole; [`Classes`] and [`Rules`] are configuration
/// and are set anew after reading it back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct Court {
    #[serde(skip)]
    pub(crate) rules: Rules,
    #[serde(skip)]
    pub(crate) classes: Classes,
    #[serde(serialize_with = "sorted_orgs")]
    pub(crate) orgs: Orgs,
    /// A case is away only while one call works on it.
    #[serde(serialize_with = "sorted_cases")]
    pub(crate) cases: PrefixMap<Option<Box<Case>>>,
    pub(crate) breakers: Breakers,
    pub(crate) peers: Peers,
    pub(crate) growth: Hourly,
    pub(crate) held: BTreeMap<Prefix, HoldReason>,
    pub(crate) stats: CourtStats,
    /// The latest time seen: the timeline never goes back.
    pub(crate) now: u64,
    /// Cases without a ban or protection, by when they were touched last.
    #[serde(skip)]
    idle: PrefixEnds,
    /// Bans and protections by their end.
    #[serde(skip)]
    ends: PrefixEnds,
    #[serde(skip)]
    pub(crate) in_force: usize,
}

/// For looking up only: whatever goes through all of them sorts them first.
pub(crate) type Orgs = HashMap<Org, Standing, BuildHasherDefault<DefaultHasher>>;

fn sorted_orgs<S: Serializer>(orgs: &Orgs, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(orgs.iter().collect::<BTreeMap<_, _>>())
}

fn sorted_cases<S: Serializer>(
    cases: &PrefixMap<Option<Box<Case>>>,
    s: S,
) -> Result<S::Ok, S::Error> {
    let all = cases.iter();
    s.collect_map(all.filter_map(|(target, case)| Some((target, case.as_ref()?))))
}

#[derive(Deserialize)]
struct Kept {
    orgs: BTreeMap<Org, Standing>,
    cases: BTreeMap<Prefix, Box<Case>>,
    breakers: Breakers,
    peers: Peers,
    growth: Hourly,
    held: BTreeMap<Prefix, HoldReason>,
    stats: CourtStats,
    now: u64,
}

impl From<Kept> for Court {
    fn from(kept: Kept) -> Self {
        let mut court = Self {
            orgs: kept.orgs.into_iter().collect(),
            breakers: kept.breakers,
            peers: kept.peers,
            growth: kept.growth,
            held: kept.held,
            stats: kept.stats,
            now: kept.now,
            ..Self::default()
        };
        for (target, case) in kept.cases {
            court.put(target, case);
        }
        court
    }
}

impl Court {
    pub fn new(rules: Rules, classes: Classes) -> Self {
        Self {
            rules,
            classes,
            ..Self::default()
        }
    }

    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    pub fn set_classes(&mut self, classes: Classes) {
        self.classes = classes;
    }

    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub const fn classes(&self) -> &Classes {
        &self.classes
    }

    pub const fn stats(&self) -> CourtStats {
        self.stats
    }

    /// An organisation joins with its first report, or earlier by [`Court::join`].
    pub(crate) fn enrol(&mut self, org: &Org, now: u64) -> bool {
        if self.orgs.contains_key(org) {
            return true;
        }
        let room = self.orgs.len() < limits::ORGS_MAX;
        if room {
            self.orgs.insert(org.clone(), Standing::new(now));
        }
        room
    }

    pub fn standing(&self, org: &Org, now: u64) -> Option<StandingView> {
        let now = now.max(self.now);
        self.orgs
            .get(org)
            .map(|standing| standing.view(&self.rules, now))
    }

    pub fn standings(&self, now: u64) -> impl Iterator<Item = (&Org, StandingView)> {
        let now = now.max(self.now);
        let sorted: BTreeMap<&Org, &Standing> = self.orgs.iter().collect();
        let all = sorted.into_iter();
        all.map(move |(org, s)| (org, s.view(&self.rules, now)))
    }

    /// What waits for a person, and why.
    pub fn held(&self) -> impl Iterator<Item = (Prefix, &HoldReason)> {
        self.held.iter().map(|(target, reason)| (*target, reason))
    }

    pub fn demoted_kinds(&self, now: u64) -> impl Iterator<Item = &Kind> {
        self.breakers.all_demoted(now.max(self.now))
    }

    /// The end of the community's ban on exactly this target, if one is in force.
    pub fn banned_until(&self, target: Prefix, now: u64) -> Option<u64> {
        let ban = self.case(unit(target))?.ban.as_ref()?;
        (ban.until > now.max(self.now)).then_some(ban.until)
    }

    /// Bans in force.
    pub const fn bans(&self) -> usize {
        self.in_force
    }

    pub fn cases(&self) -> usize {
        self.cases.len()
    }

    /// Ends what has ended. Returns the time that counts.
    pub(crate) fn advance(&mut self, now: u64) -> u64 {
        self.now = self.now.max(now);
        let now = self.now;
        for _ in 0..SWEPT_PER_CALL {
            let Some((end, target)) = self.ends.first().filter(|(end, _)| *end <= stamp(now))
            else {
                break;
            };
            let Some(mut case) = self.take(target) else {
                self.ends.remove(end, target);
                continue;
            };
            end_of(&mut case, now);
            self.put(target, case);
        }
        let quiet = self.rules.quiet_days.saturating_mul(DAY);
        let kept = quiet.max(self.rules.vote_window());
        let oldest = stamp(now.saturating_sub(kept));
        for _ in 0..SWEPT_PER_CALL {
            match self.idle.first() {
                Some((touched, target)) if touched < oldest => self.forget(target),
                _ => break,
            }
        }
        now
    }

    pub(crate) fn take_or_open(&mut self, target: Prefix) -> Option<Box<Case>> {
        let now = self.now;
        if let Some(mut case) = self.take(target) {
            end_of(&mut case, now);
            return Some(case);
        }
        self.make_room().then(Box::default)
    }

    /// For one more case; what is banned or protected does not go.
    pub(crate) fn make_room(&mut self) -> bool {
        if self.cases.len() < limits::CASES_MAX {
            return true;
        }
        let Some((_, oldest)) = self.idle.first() else {
            return false;
        };
        self.forget(oldest);
        self.stats.cases_evicted += 1;
        true
    }

    pub(crate) fn case(&self, target: Prefix) -> Option<&Case> {
        self.cases.get(target)?.as_deref()
    }

    /// Takes a case out, to be put back by [`Court::put`]: so the indexes are always right.
    pub(crate) fn take(&mut self, target: Prefix) -> Option<Box<Case>> {
        let case = self.cases.get_mut(target)?.take()?;
        self.in_force -= usize::from(case.ban.is_some());
        match end(&case) {
            Some(end) => self.ends.remove(stamp(end), target),
            None => self.idle.remove(stamp(case.touched), target),
        }
        Some(case)
    }

    pub(crate) fn put(&mut self, target: Prefix, case: Box<Case>) {
        self.in_force += usize::from(case.ban.is_some());
        match end(&case) {
            Some(end) => self.ends.insert(stamp(end), target),
            None => self.idle.insert(stamp(case.touched), target),
        }
        match self.cases.get_mut(target) {
            Some(place) => *place = Some(case),
            None => drop(self.cases.insert(target, Some(case))),
        }
    }

    fn forget(&mut self, target: Prefix) {
        self.take(target);
        self.cases.remove(target);
        self.held.remove(&target);
    }
}

/// Milliseconds of the hub's timeline as a place in an index.
fn stamp(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn end(case: &Case) -> Option<u64> {
    let ban = case.ban.as_ref().map(|ban| ban.until);
    let protection = case.protection.as_ref().map(|p| p.until);
    match (ban, protection) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(crate) fn end_of(case: &mut Case, now: u64) {
    if let Some(ban) = case.ban.take_if(|ban| ban.until <= now) {
        // A ban on one voice is no proof that the target is a recidivist.
        if !crate::hearing::stands_on_one(&ban.grounds) {
            case.last_end = Some(ban.until);
        }
        case.note(ban.until, Deed::Ended);
    }
    case.protection.take_if(|p| p.until <= now);
}
