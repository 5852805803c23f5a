//! The court: standings, open cases, the bans in force. [`Court::report`] is the order of the rules.

use std::collections::{BTreeMap, BTreeSet};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    Class, Classes, CommunityBan, Grounds, HoldReason, Kind, Missing, Org, Refusal, Report, Rules,
    Standing, StandingView, Verdict, Vote,
    breaker::Breakers,
    budget::Hourly,
    case::{Case, Deed, Live, is_unit, unit},
    limits,
    peers::Peers,
    quorum::{Counts, Tally, Voice, roof},
    rules::DAY,
};

/// Ends and forgotten cases that one call looks after; the rest wait for the next.
const SWEPT_PER_CALL: usize = 16;

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
    pub(crate) orgs: BTreeMap<Org, Standing>,
    pub(crate) cases: BTreeMap<Prefix, Case>,
    pub(crate) breakers: Breakers,
    pub(crate) peers: Peers,
    pub(crate) growth: Hourly,
    pub(crate) held: BTreeMap<Prefix, HoldReason>,
    pub(crate) stats: CourtStats,
    /// The latest time seen: the timeline never goes back.
    pub(crate) now: u64,
    /// Cases without a ban or protection, by when they were touched last.
    #[serde(skip)]
    idle: BTreeSet<(u64, Prefix)>,
    /// Bans and protections by their end.
    #[serde(skip)]
    ends: BTreeSet<(u64, Prefix)>,
    #[serde(skip)]
    in_force: usize,
}

#[derive(Deserialize)]
struct Kept {
    orgs: BTreeMap<Org, Standing>,
    cases: BTreeMap<Prefix, Case>,
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
            orgs: kept.orgs,
            breakers: kept.breakers,
            peers: kept.peers,
            growth: kept.growth,
            held: kept.held,
            stats: kept.stats,
            now: kept.now,
            ..Self::default()
        };
        kept.cases
            .into_iter()
            .for_each(|(target, case)| court.put(target, case));
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

    /// One member's word. Its own ban stands whatever comes out.
    pub fn report(&mut self, report: &Report, now: u64) -> Verdict {
        let now = self.advance(now);
        self.stats.reports += 1;
        let target = unit(report.target);
        let verdict = match self.admit(report, target, now) {
            Ok(class) => self.hear(report, target, class, now),
            Err(refusal) => Verdict::Refused(refusal),
        };
        match &verdict {
            Verdict::Ban(_) => {}
            Verdict::Noted(_) => self.stats.noted += 1,
            Verdict::Refused(_) => self.stats.refused += 1,
            Verdict::HoldForPerson(_) => self.stats.held += 1,
        }
        verdict
    }

    /// Whether the report may be heard at all.
    fn admit(&mut self, report: &Report, target: Prefix, now: u64) -> Result<Class, Refusal> {
        if report.lasts == 0 {
            return Err(Refusal::NoTime);
        }
        if !self.enrol(&report.org, now) {
            return Err(Refusal::TooManyOrganisations {
                limit: limits::ORGS_MAX,
            });
        }
        let per_hour = self.rules.reports_per_hour;
        if let Some(standing) = self.orgs.get_mut(&report.org) {
            let until = standing.suspended_until;
            if until > now {
                return Err(Refusal::Suspended {
                    org: report.org.clone(),
                    until,
                });
            }
            if !standing.reports.admit(now, per_hour) {
                return Err(Refusal::Budget {
                    org: report.org.clone(),
                    per_hour,
                });
            }
        }
        let Rules {
            widest_ipv4,
            widest_ipv6,
            ..
        } = self.rules;
        let limit = if target.is_ipv4() {
            widest_ipv4
        } else {
            widest_ipv6
        };
        if target.len() < limit {
            return Err(Refusal::TooWide { limit });
        }
        // Before the classes: nobody must pay for what somebody else could forge.
        if report.evidence.factor() <= 0.0 {
            return Err(Refusal::Forgeable);
        }
        let listing = self.classes.of(target);
        if listing.class < Class::Canary {
            return Ok(listing.class);
        }
        // A canary is no longer one when its finder is told.
        let canary = listing.class == Class::Canary;
        let list = if canary { "known good" } else { listing.list }.to_owned();
        self.fault(&report.org, &report.kind, target, now);
        Err(Refusal::Never { list })
    }

    /// What is never to be banned was named: the reporter pays, and its kind is watched.
    fn fault(&mut self, org: &Org, kind: &Kind, target: Prefix, now: u64) {
        let cost = self.rules.cost_of_false;
        let paid = self
            .orgs
            .get_mut(org)
            .map(|s| s.charge(&self.rules, target, cost, now));
        if paid.is_some_and(|paid| paid > 0.0) && self.breakers.fault(kind, org, &self.rules, now) {
            self.stats.kinds_demoted += 1;
        }
    }

    fn hear(&mut self, report: &Report, target: Prefix, class: Class, now: u64) -> Verdict {
        let Some(mut case) = self.take_or_open(target) else {
            self.stats.votes_dropped += 1;
            return Verdict::Refused(Refusal::NoRoom {
                limit: limits::CASES_MAX,
            });
        };
        case.prune(self.rules.vote_window(), now);
        case.touched = now;
        let weight = self.weight(&report.org, now) * report.evidence.factor();
        if !case.enter(report, weight, now) {
            self.stats.votes_dropped += 1;
        }
        self.second(&case, report, target, now);
        let verdict = self.judge(&mut case, &report.org, target, class, now);
        if let Verdict::HoldForPerson(reason) = &verdict {
            case.note(now, Deed::Held(reason.clone()));
            self.hold(target, reason);
        }
        self.put(target, case);
        verdict
    }

    /// Marks the bans that others caused alone as seconded by this independent voice.
    fn second(&mut self, case: &Case, report: &Report, target: Prefix, now: u64) {
        let independent = self.orgs.get(&report.org).is_some_and(|standing| {
            !standing.on_probation(&self.rules, now)
                && standing.trust(&self.rules, now) >= self.rules.reversal_trust
        });
        if !independent {
            return;
        }
        let here = roof(report.network);
        let alone = case
            .ballots
            .values()
            .filter(|b| b.alone > 0 && b.vote.org != report.org);
        for ballot in alone.filter(|b| roof(b.vote.network) != here) {
            if let Some(standing) = self.orgs.get_mut(&ballot.vote.org) {
                standing.seconded(target);
            }
        }
    }

    fn judge(
        &mut self,
        case: &mut Case,
        org: &Org,
        target: Prefix,
        class: Class,
        now: u64,
    ) -> Verdict {
        if let Some(until) = case.protected_until(now)
            && let Some(verdict) = self.contest(case, target, class, until, now)
        {
            return verdict;
        }
        let tally = self.tally(case, now);
        let needed = self.rules.independent_needed(class);
        let enough = self.rules.weight_needed;
        let missing = Missing {
            class,
            independent: tally.independent,
            independent_needed: needed,
            weight: tally.weight,
            weight_needed: enough,
            banned_until: case.ban.as_ref().map(|ban| ban.until),
        };
        if tally.reaches(needed, enough) {
            let voters = voters(&tally);
            return self.by_quorum(case, target, class, voters, missing, now);
        }
        if let Some(reason) = self.worth_a_person(&tally, target, class) {
            return Verdict::HoldForPerson(reason);
        }
        let vote = tally
            .counted()
            .find(|voice| voice.vote.org == *org)
            .map(|v| v.vote.clone());
        let accusers: Vec<&Org> = tally.voices.iter().map(|(v, _)| &v.vote.org).collect();
        let harmless = self.peers.besides(target, accusers) == 0;
        match vote {
            Some(vote) if class == Class::Plain && is_unit(target) && harmless => {
                self.alone(case, target, vote, missing, now)
            }
            _ => Verdict::Noted(missing),
        }
    }

    /// What would be a ban of a plain host, but is not one by itself here.
    fn worth_a_person(&self, tally: &Tally, target: Prefix, class: Class) -> Option<HoldReason> {
        let (plain, enough) = (self.rules.quorum_plain, self.rules.weight_needed);
        if class > Class::Shared && tally.reaches(plain, enough) {
            return Some(HoldReason::Class {
                class,
                list: self.classes.of(target).list.to_owned(),
                independent: tally.independent,
                needed: self.rules.independent_needed(class),
            });
        }
        let demoted = tally
            .voices
            .iter()
            .filter(|(_, c)| *c == Counts::KindDemoted);
        let (mut count, mut weight, mut kind) = (0u32, 0.0, None);
        for (voice, _) in demoted {
            count += 1;
            weight += voice.weight;
            kind = Some(voice.vote.kind.clone());
        }
        let with_them = tally.independent + count >= self.rules.independent_needed(class)
            && tally.weight + weight >= enough;
        kind.filter(|_| with_them)
            .map(|kind| HoldReason::KindDemoted { kind })
    }

    fn by_quorum(
        &mut self,
        case: &mut Case,
        target: Prefix,
        class: Class,
        voters: Vec<Vote>,
        missing: Missing,
        now: u64,
    ) -> Verdict {
        if !is_unit(target) {
            return Verdict::HoldForPerson(HoldReason::Width);
        }
        let organisations = self.peers.besides(target, voters.iter().map(|v| &v.org));
        if organisations >= self.rules.blast_organisations && organisations >= missing.independent {
            return Verdict::HoldForPerson(HoldReason::BlastRadius { organisations });
        }
        let asked = voters.iter().map(|v| v.lasts).max().unwrap_or_default();
        let recurrence = self.recurrence(case, now);
        let lasts = self
            .rules
            .ladder(class, missing.weight, recurrence)
            .min(asked);
        if !worth_renewing(case, lasts, now) {
            self.credit(case, &voters, now);
            return Verdict::Noted(missing);
        }
        if case.ban.is_none()
            && let Err(reason) = self.grow(1.0, now)
        {
            return Verdict::HoldForPerson(reason);
        }
        self.credit(case, &voters, now);
        case.recurrence = recurrence;
        let grounds = Grounds::Quorum {
            independent: missing.independent,
            needed: missing.independent_needed,
        };
        self.stats.bans_by_quorum += u64::from(case.ban.is_none());
        let weight = missing.weight;
        let ban = CommunityBan {
            prefix: target,
            lasts,
            class,
            grounds,
            voters,
            weight,
            recurrence,
        };
        self.enforce(case, ban, now)
    }

    fn alone(
        &mut self,
        case: &mut Case,
        target: Prefix,
        vote: Vote,
        missing: Missing,
        now: u64,
    ) -> Verdict {
        let repeats = case.ballots.get(&vote.org).map_or(0, |b| b.alone);
        let Some(standing) = self.orgs.get(&vote.org) else {
            return Verdict::Noted(missing);
        };
        let free = case.ban.is_none() && repeats < self.rules.alone_repeats;
        // Half the room is kept for what several have seen.
        if !free || !standing.suffices_alone(&self.rules, now) || !self.has_room(0.5, now) {
            return Verdict::Noted(missing);
        }
        let per_hour = self.rules.alone_per_hour;
        let org = vote.org.clone();
        if !self
            .orgs
            .get_mut(&org)
            .is_some_and(|s| s.alone.admit(now, per_hour))
        {
            return Verdict::Noted(missing);
        }
        self.growth.add(now);
        if let Some(standing) = self.orgs.get_mut(&org) {
            standing.banned_alone(target, now);
        }
        if let Some(ballot) = case.ballots.get_mut(&org) {
            ballot.alone += 1;
        }
        self.stats.bans_alone += 1;
        let ban = CommunityBan {
            prefix: target,
            lasts: self.rules.alone_lasts.min(vote.lasts),
            class: missing.class,
            grounds: Grounds::Standing { org },
            weight: vote.weight,
            voters: vec![vote],
            recurrence: case.recurrence,
        };
        self.enforce(case, ban, now)
    }

    pub(crate) fn enforce(&mut self, case: &mut Case, ban: CommunityBan, now: u64) -> Verdict {
        let (lasts, grounds) = (ban.lasts, ban.grounds.clone());
        let deed = if case.ban.is_some() {
            self.stats.renewals += 1;
            Deed::Renewed { lasts, grounds }
        } else {
            let kinds: BTreeSet<&Kind> = ban.voters.iter().map(|v| &v.kind).collect();
            kinds
                .into_iter()
                .for_each(|kind| self.breakers.banned(kind, now));
            Deed::Banned { lasts, grounds }
        };
        case.note(now, deed);
        case.ban = Some(Live {
            since: case.ban.as_ref().map_or(now, |before| before.since),
            until: now.saturating_add(lasts.saturating_mul(1_000)),
            grounds: ban.grounds.clone(),
            voters: ban.voters.iter().map(|v| v.org.clone()).collect(),
        });
        self.held.remove(&ban.prefix);
        Verdict::Ban(Box::new(ban))
    }

    /// Those that were right are known to be: others, independent of them, saw the same.
    pub(crate) fn credit(&mut self, case: &mut Case, voters: &[Vote], now: u64) {
        for vote in voters {
            let Some(ballot) = case.ballots.get_mut(&vote.org) else {
                continue;
            };
            if ballot.credited {
                continue;
            }
            ballot.credited = true;
            if let Some(standing) = self.orgs.get_mut(&vote.org) {
                standing.credit(&self.rules, now);
            }
        }
    }

    fn recurrence(&self, case: &Case, now: u64) -> u32 {
        let quiet = self.rules.quiet_days.saturating_mul(DAY);
        match (&case.ban, case.last_end) {
            (Some(_), _) => case.recurrence,
            (None, Some(end)) if end.saturating_add(quiet) > now => {
                case.recurrence.saturating_add(1)
            }
            (None, _) => 0,
        }
    }

    pub(crate) fn grow(&mut self, share: f64, now: u64) -> Result<(), HoldReason> {
        if !self.has_room(share, now) {
            let per_hour = self.growth_limit();
            return Err(HoldReason::Growth { per_hour });
        }
        self.growth.add(now);
        Ok(())
    }

    fn has_room(&mut self, share: f64, now: u64) -> bool {
        let limit = f64::from(self.growth_limit()) * share;
        f64::from(self.growth.count(now)) < limit
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a bounded count"
    )]
    fn growth_limit(&self) -> u32 {
        let share = (self.in_force as f64 * self.rules.growth_per_hour).max(0.0) as u32;
        share.max(self.rules.growth_floor)
    }

    pub(crate) fn tally<'a>(&self, case: &'a Case, now: u64) -> Tally<'a> {
        let voices = case.ballots.values().map(|ballot| Voice {
            vote: &ballot.vote,
            weight: self.weight(&ballot.vote.org, now) * ballot.vote.evidence.factor(),
            kind_demoted: self.breakers.demoted(&ballot.vote.kind, now),
        });
        Tally::new(voices.collect(), &self.rules)
    }

    pub(crate) fn weight(&self, org: &Org, now: u64) -> f64 {
        self.orgs
            .get(org)
            .map_or(0.0, |s| s.weight(&self.rules, now))
    }

    fn hold(&mut self, target: Prefix, reason: &HoldReason) {
        if self.held.len() < limits::HELD_MAX || self.held.contains_key(&target) {
            self.held.insert(target, reason.clone());
        } else {
            self.stats.held_unlisted += 1;
        }
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
        self.orgs
            .iter()
            .map(move |(org, s)| (org, s.view(&self.rules, now)))
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
        let ban = self.cases.get(&unit(target))?.ban.as_ref()?;
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
            let Some((end, target)) = self.ends.first().copied().filter(|(end, _)| *end <= now)
            else {
                break;
            };
            let Some(mut case) = self.take(target) else {
                self.ends.remove(&(end, target));
                continue;
            };
            end_of(&mut case, now);
            self.put(target, case);
        }
        let kept = self
            .rules
            .quiet_days
            .saturating_mul(DAY)
            .max(self.rules.vote_window());
        for _ in 0..SWEPT_PER_CALL {
            match self.idle.first().copied() {
                Some((touched, target)) if touched.saturating_add(kept) < now => {
                    self.take(target);
                    self.held.remove(&target);
                }
                _ => break,
            }
        }
        now
    }

    fn take_or_open(&mut self, target: Prefix) -> Option<Case> {
        let now = self.now;
        if let Some(mut case) = self.take(target) {
            end_of(&mut case, now);
            return Some(case);
        }
        self.make_room().then(Case::default)
    }

    /// For one more case; what is banned or protected does not go.
    pub(crate) fn make_room(&mut self) -> bool {
        if self.cases.len() < limits::CASES_MAX {
            return true;
        }
        let Some((_, oldest)) = self.idle.first().copied() else {
            return false;
        };
        self.take(oldest);
        self.held.remove(&oldest);
        self.stats.cases_evicted += 1;
        true
    }

    /// Takes a case out, to be put back by [`Court::put`]: so the indexes are always right.
    pub(crate) fn take(&mut self, target: Prefix) -> Option<Case> {
        let case = self.cases.remove(&target)?;
        self.in_force -= usize::from(case.ban.is_some());
        match end(&case) {
            Some(end) => self.ends.remove(&(end, target)),
            None => self.idle.remove(&(case.touched, target)),
        };
        Some(case)
    }

    pub(crate) fn put(&mut self, target: Prefix, case: Case) {
        self.in_force += usize::from(case.ban.is_some());
        match end(&case) {
            Some(end) => self.ends.insert((end, target)),
            None => self.idle.insert((case.touched, target)),
        };
        self.cases.insert(target, case);
    }
}

fn end(case: &Case) -> Option<u64> {
    let ban = case.ban.as_ref().map(|ban| ban.until);
    let protection = case.protection.as_ref().map(|p| p.until);
    match (ban, protection) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn end_of(case: &mut Case, now: u64) {
    if let Some(ban) = case.ban.take_if(|ban| ban.until <= now) {
        // A ban on one voice is no proof that the target is a recidivist.
        if !matches!(ban.grounds, Grounds::Standing { .. }) {
            case.last_end = Some(ban.until);
        }
        case.note(ban.until, Deed::Ended);
    }
    case.protection.take_if(|p| p.until <= now);
}

/// A ban in force is renewed when it stood on one voice, or when half its time is over.
fn worth_renewing(case: &Case, lasts: u64, now: u64) -> bool {
    let lasts = lasts.saturating_mul(1_000);
    case.ban.as_ref().is_none_or(|ban| {
        let until = now.saturating_add(lasts);
        let left = ban.until.saturating_sub(now);
        until > ban.until && (matches!(ban.grounds, Grounds::Standing { .. }) || left < lasts / 2)
    })
}

fn voters(tally: &Tally) -> Vec<Vote> {
    let counted = tally.counted();
    counted
        .map(|voice| Vote {
            weight: voice.weight,
            ..voice.vote.clone()
        })
        .collect()
}
