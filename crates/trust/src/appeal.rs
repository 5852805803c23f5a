//! What people and members do to a verdict: reverse it, confirm it, vouch for an organisation.
//!
//! A reversal is as fast as a ban: it names at once what to release. It costs those who were wrong,
//! and for a while it protects the target. A member that reverses wrongly pays the same.

use std::collections::BTreeSet;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    By, Class, CommunityBan, Court, Grounds, HoldReason, Kind, Org, Refusal, TrustError, Verdict,
    case::{Case, Deed, Protection, reason, unit},
    limits,
    rules::DAY,
};

/// What came of an appeal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reversal {
    pub target: Prefix,
    /// Community bans to release now: this one, and the others that stood on the word of an
    /// organisation that was wrong.
    pub released: Vec<Prefix>,
    /// Who paid, and how much was added to its b.
    pub charged: Vec<(Org, f64)>,
    /// No ban of the target by machine until then; `None` when a report was only taken back.
    pub protected_until: Option<u64>,
}

/// What came of a confirmation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    pub credited: Vec<Org>,
    /// Set when a person confirmed what was held.
    pub ban: Option<CommunityBan>,
}

impl Court {
    /// An organisation joins; its probation begins. `false` when there is no room or it had joined.
    pub fn join(&mut self, org: &Org, now: u64) -> bool {
        let now = self.advance(now);
        !self.orgs.contains_key(org) && self.enrol(org, now)
    }

    /// A person answers for an organisation as if it had been right `reports` times: how the first
    /// members of a community come to their standing.
    pub fn vouch(&mut self, org: &Org, reports: f64, now: u64) -> Result<(), TrustError> {
        let now = self.advance(now);
        if !self.enrol(org, now) {
            return Err(TrustError::Full {
                limit: limits::ORGS_MAX,
            });
        }
        if let Some(standing) = self.orgs.get_mut(org) {
            standing.vouch(&self.rules, reports, now);
        }
        Ok(())
    }

    /// Its reports weigh nothing until then, and what stood on its word alone is to be released.
    pub fn suspend(&mut self, org: &Org, until: u64, now: u64) -> Result<Vec<Prefix>, TrustError> {
        let now = self.advance(now);
        let standing = self.orgs.get_mut(org);
        let standing = standing.ok_or_else(|| TrustError::UnknownOrg { org: org.clone() })?;
        standing.suspended_until = until;
        self.peers.remove(org);
        Ok(self.release_alone(org, now))
    }

    /// The daily peers of an organisation, as [`crate::peer_key`]s; replaces the last ones.
    pub fn set_peers(&mut self, org: &Org, peers: Vec<u64>, now: u64) -> Result<(), TrustError> {
        let now = self.advance(now);
        let standing = self.orgs.get(org);
        let standing = standing.ok_or_else(|| TrustError::UnknownOrg { org: org.clone() })?;
        if standing.on_probation(&self.rules, now) || standing.suspended_until > now {
            return Err(TrustError::Probation { org: org.clone() });
        }
        self.peers.set(org, peers);
        Ok(())
    }

    /// A person looked at a demoted kind: it counts again.
    pub fn restore_kind(&mut self, kind: &Kind) -> bool {
        self.breakers.restore(kind)
    }

    /// Ends a ban at nobody's cost: the address is somebody else's by now, or the case is settled.
    /// Whether there was one.
    pub fn release(&mut self, target: Prefix, now: u64) -> bool {
        let (now, target) = (self.advance(now), unit(target));
        self.held.remove(&target);
        let Some(mut case) = self.take(target) else {
            return false;
        };
        let ban = case.ban.take();
        case.ballots.clear();
        if ban.is_some() {
            case.note(now, Deed::Released);
        }
        self.put(target, case);
        ban.is_some()
    }

    /// The ban of `target` was wrong, or its report.
    pub fn reverse(
        &mut self,
        target: Prefix,
        by: &By,
        why: &str,
        now: u64,
    ) -> Result<Reversal, TrustError> {
        let (now, target) = (self.advance(now), unit(target));
        match by {
            By::Org(org) => self.reverse_by_org(target, org, why, now),
            By::Person(_) => {
                let case = self.take(target).unwrap_or_default();
                Ok(self.overturn(target, case, by, why, now))
            }
        }
    }

    fn reverse_by_org(
        &mut self,
        target: Prefix,
        org: &Org,
        why: &str,
        now: u64,
    ) -> Result<Reversal, TrustError> {
        if self.cases.get(target).is_none() {
            return Err(TrustError::NoCase { target });
        }
        let rules = &self.rules;
        let (needed, per_hour) = (rules.reversal_trust, rules.reversals_per_hour);
        let standing = self.orgs.get_mut(org);
        let standing = standing.ok_or_else(|| TrustError::UnknownOrg { org: org.clone() })?;
        if !standing.reversals.admit(now, per_hour) {
            return Err(TrustError::Budget {
                org: org.clone(),
                per_hour,
            });
        }
        let trusted = !standing.on_probation(rules, now)
            && standing.suspended_until <= now
            && standing.trust(rules, now) >= needed;
        let mut case = self.take(target).unwrap_or_default();
        if case.ballots.has(org) {
            return Ok(self.withdraw(target, case, org, now));
        }
        if !trusted {
            if case.appeals.len() < limits::FAULTY_ORGS_MAX && case.appeals.insert(org.clone()) {
                case.note(now, Deed::Appealed { by: org.clone() });
            }
            self.put(target, case);
            return Err(TrustError::Standing {
                org: org.clone(),
                needed,
            });
        }
        Ok(self.overturn(target, case, &By::Org(org.clone()), why, now))
    }

    /// Taking back one's own report is cheap, and decides nothing for the others.
    fn withdraw(&mut self, target: Prefix, mut case: Box<Case>, org: &Org, now: u64) -> Reversal {
        let cost = self.rules.cost_of_admission;
        let paid = self
            .orgs
            .get_mut(org)
            .map(|s| s.charge(&self.rules, target, cost, now));
        case.ballots.remove(org);
        case.note(now, Deed::Withdrawn { by: org.clone() });
        let class = self.classes.of(target).class;
        let (needed, enough) = (
            self.rules.independent_needed(class),
            self.rules.weight_needed,
        );
        let rested = case
            .ban
            .as_ref()
            .is_some_and(|ban| ban.voters.contains(org));
        let released = rested && !self.tally(&case, now).reaches(needed, enough);
        if released {
            case.ban = None;
        }
        self.put(target, case);
        self.stats.reversals += 1;
        Reversal {
            target,
            released: if released { vec![target] } else { Vec::new() },
            charged: paid.into_iter().map(|paid| (org.clone(), paid)).collect(),
            protected_until: None,
        }
    }

    fn overturn(
        &mut self,
        target: Prefix,
        mut case: Box<Case>,
        by: &By,
        why: &str,
        now: u64,
    ) -> Reversal {
        self.stats.reversals += 1;
        self.held.remove(&target);
        let ban = case.ban.take();
        let mut charged = Vec::new();
        let mut released: Vec<Prefix> = ban.iter().map(|_| target).collect();
        for ballot in case.ballots.iter() {
            let org = &ballot.vote.org;
            let cost = self.rules.cost_of_false;
            let Some(standing) = self.orgs.get_mut(org) else {
                continue;
            };
            let paid = standing.charge(&self.rules, target, cost, now);
            if ballot.alone > 0 {
                let pause = self.rules.alone_pause_days.saturating_mul(DAY);
                standing.alone_from = now.saturating_add(pause);
            }
            charged.push((org.clone(), paid));
            let kind = &ballot.vote.kind;
            if paid > 0.0 && self.breakers.fault((kind, org, target), &self.rules, now) {
                self.stats.kinds_demoted += 1;
            }
        }
        let until = now.saturating_add(self.rules.protected_days.saturating_mul(DAY));
        let alone = case.ballots.iter().filter(|b| b.alone > 0);
        let alone: Vec<Org> = alone.map(|b| b.vote.org.clone()).collect();
        let mut parties: BTreeSet<Org> = case.ballots.iter().map(|b| b.vote.org.clone()).collect();
        if let By::Org(org) = by {
            parties.insert(org.clone());
        }
        case.ballots.clear();
        case.appeals.clear();
        case.note(
            now,
            Deed::Reversed {
                by: by.clone(),
                why: reason(why),
            },
        );
        case.protection = Some(Protection {
            until,
            by: by.clone(),
            why: reason(why),
            charged: charged.clone(),
            parties,
        });
        case.touched = now;
        self.make_room();
        self.put(target, case);
        // Whoever was wrong alone once is not to be believed alone elsewhere.
        released.extend(alone.iter().flat_map(|org| self.release_alone(org, now)));
        Reversal {
            target,
            released,
            charged,
            protected_until: Some(until),
        }
    }

    fn release_alone(&mut self, org: &Org, now: u64) -> Vec<Prefix> {
        let standing = self.orgs.get(org);
        let targets: BTreeSet<Prefix> = standing
            .into_iter()
            .flat_map(|s| s.alone_unseconded())
            .collect();
        let mut released = Vec::new();
        for target in targets {
            let Some(mut case) = self.take(target) else {
                continue;
            };
            let alone = |grounds: &Grounds| match grounds {
                Grounds::Standing { orgs } => orgs.as_slice() == [org.clone()],
                Grounds::Quorum { .. } | Grounds::Person { .. } => false,
            };
            if case.ban.take_if(|ban| alone(&ban.grounds)).is_some() {
                case.note(now, Deed::Withdrawn { by: org.clone() });
                released.push(target);
            }
            self.put(target, case);
        }
        released
    }

    /// The reports on `target` were right. A person's word also makes the ban that was held.
    pub fn confirm(
        &mut self,
        target: Prefix,
        by: &By,
        lasts: u64,
        now: u64,
    ) -> Result<Confirmation, TrustError> {
        let (now, target) = (self.advance(now), unit(target));
        if let By::Org(org) = by {
            let needed = self.rules.alone_trust;
            let trusted = self
                .orgs
                .get(org)
                .is_some_and(|s| s.suffices_alone(&self.rules, now));
            if !trusted {
                return Err(TrustError::Standing {
                    org: org.clone(),
                    needed,
                });
            }
        }
        let mut case = self.take(target).ok_or(TrustError::NoCase { target })?;
        case.prune(self.rules.vote_window(), now);
        let others = case
            .ballots
            .iter()
            .filter(|b| !matches!(by, By::Org(o) if *o == b.vote.org));
        let voters: Vec<_> = others.map(|b| b.vote.clone()).collect();
        let before: Vec<Org> = uncredited(&case, &voters);
        self.credit(&mut case, &voters, now);
        case.note(now, Deed::Confirmed { by: by.clone() });
        let ban = match by {
            By::Person(name) if case.ban.is_none() && lasts > 0 => {
                self.order(&mut case, target, name, voters, lasts, now)
            }
            By::Person(_) | By::Org(_) => Ok(None),
        };
        self.put(target, case);
        Ok(Confirmation {
            credited: before,
            ban: ban?,
        })
    }

    fn order(
        &mut self,
        case: &mut Case,
        target: Prefix,
        name: &str,
        voters: Vec<crate::Vote>,
        lasts: u64,
        now: u64,
    ) -> Result<Option<CommunityBan>, TrustError> {
        let listing = self.classes.of(target);
        if listing.class >= Class::Canary {
            let list = listing.list.to_owned();
            return Err(TrustError::Never { target, list });
        }
        let class = listing.class;
        case.protection = None;
        self.growth.add(now);
        self.stats.bans_by_person += 1;
        let ban = CommunityBan {
            prefix: target,
            lasts,
            class,
            grounds: Grounds::Person { name: reason(name) },
            weight: voters.iter().map(|v| v.weight).sum(),
            voters,
            recurrence: case.recurrence,
        };
        match self.enforce(case, ban, now) {
            Verdict::Ban(ban) => Ok(Some(*ban)),
            Verdict::Noted(_) | Verdict::Refused(_) | Verdict::HoldForPerson(_) => Ok(None),
        }
    }

    /// A protected target was reported again. `None`: a member's reversal is overruled by twice a
    /// quorum of organisations that had no part in it, and the reversal is paid for.
    pub(crate) fn contest(
        &mut self,
        case: &mut Case,
        target: Prefix,
        class: Class,
        until: u64,
        now: u64,
    ) -> Option<Verdict> {
        let protection = case.protection.as_ref()?;
        let tally = self.tally(case, now);
        let fresh = tally
            .counted()
            .filter(|v| !protection.parties.contains(&v.vote.org));
        let (count, weight) = fresh.fold((0u32, 0.0), |sum, v| (sum.0 + 1, sum.1 + v.weight));
        let twice = self.rules.independent_needed(class).saturating_mul(2);
        if count < twice || weight < 2.0 * self.rules.weight_needed {
            return Some(Verdict::Refused(Refusal::Reversed { until }));
        }
        let By::Org(by) = protection.by.clone() else {
            return Some(Verdict::HoldForPerson(HoldReason::Contested));
        };
        for (org, paid) in &protection.charged {
            if let Some(standing) = self.orgs.get_mut(org) {
                standing.refund(&self.rules, target, *paid, now);
            }
        }
        let cost = self.rules.cost_of_false;
        if let Some(standing) = self.orgs.get_mut(&by) {
            standing.charge(&self.rules, target, cost, now);
        }
        case.protection = None;
        case.note(now, Deed::ReversalOverruled);
        None
    }
}

fn uncredited(case: &Case, voters: &[crate::Vote]) -> Vec<Org> {
    let fresh = voters
        .iter()
        .filter(|v| case.ballots.get(&v.org).is_some_and(|b| !b.credited));
    fresh.map(|v| v.org.clone()).collect()
}
