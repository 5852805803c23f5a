//! From a report to a verdict, in the order of the rules.

use std::collections::BTreeSet;

use model::Prefix;

use crate::{
    Class, CommunityBan, Court, Grounds, HoldReason, Kind, Missing, Org, Refusal, Report, Rules,
    Verdict, Vote,
    case::{Case, Deed, Live, is_unit, unit},
    limits,
    quorum::{Counts, Tally, Voice, roof},
    rules::DAY,
};

impl Court {
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
        if paid.is_some_and(|paid| paid > 0.0)
            && self.breakers.fault((kind, org, target), &self.rules, now)
        {
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
            .iter()
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
        let accusers: Vec<&Org> = tally.voices.iter().map(|(v, _)| &v.vote.org).collect();
        let harmless = self.peers.besides(target, accusers) == 0;
        if class != Class::Plain || !is_unit(target) || !harmless {
            return Verdict::Noted(missing);
        }
        let mut trusted = voters(&tally);
        trusted.retain(|v| {
            self.orgs
                .get(&v.org)
                .is_some_and(|s| s.suffices_alone(&self.rules, now))
        });
        if trusted.iter().any(|vote| vote.org == *org) {
            self.by_standing(case, org, target, trusted, missing, now)
        } else {
            Verdict::Noted(missing)
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

    /// One whose standing suffices makes a short ban; two of them, independent of each other, make
    /// it as long as a quorum's.
    fn by_standing(
        &mut self,
        case: &mut Case,
        org: &Org,
        target: Prefix,
        voters: Vec<Vote>,
        missing: Missing,
        now: u64,
    ) -> Verdict {
        let weight = voters.iter().map(|v| v.weight).sum();
        let asked = voters.iter().map(|v| v.lasts).max().unwrap_or_default();
        let lasts = match voters.len() {
            0 | 1 => self.rules.alone_lasts,
            _ => self.rules.ladder(missing.class, weight, 0),
        };
        let lasts = lasts.min(asked);
        let repeats = case.ballots.get(org).map_or(0, |b| b.alone);
        // Half the room is kept for what more have seen.
        if !worth_renewing(case, lasts, now)
            || repeats >= self.rules.alone_repeats
            || !self.has_room(0.5, now)
        {
            return Verdict::Noted(missing);
        }
        let per_hour = self.rules.alone_per_hour;
        let Some(standing) = self.orgs.get_mut(org) else {
            return Verdict::Noted(missing);
        };
        if !standing.alone.admit(now, per_hour) {
            return Verdict::Noted(missing);
        }
        standing.banned_alone(target, now);
        let orgs: Vec<Org> = voters.iter().map(|v| v.org.clone()).collect();
        if let [_, _, ..] = orgs.as_slice() {
            standing.seconded(target);
        }
        if let Some(ballot) = case.ballots.get_mut(org) {
            ballot.alone += 1;
        }
        if case.ban.is_none() {
            self.growth.add(now);
            self.stats.bans_alone += 1;
        }
        let ban = CommunityBan {
            prefix: target,
            lasts,
            class: missing.class,
            grounds: Grounds::Standing { orgs },
            weight,
            voters,
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
        let voices = case.ballots.iter().map(|ballot| Voice {
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
}

/// A ban in force is renewed when it stood on one voice, or when half its time is over.
fn worth_renewing(case: &Case, lasts: u64, now: u64) -> bool {
    let lasts = lasts.saturating_mul(1_000);
    case.ban.as_ref().is_none_or(|ban| {
        let until = now.saturating_add(lasts);
        let left = ban.until.saturating_sub(now);
        until > ban.until && (stands_on_one(&ban.grounds) || left < lasts / 2)
    })
}

pub(crate) fn stands_on_one(grounds: &Grounds) -> bool {
    matches!(grounds, Grounds::Standing { orgs } if orgs.len() < 2)
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
