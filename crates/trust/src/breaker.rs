//! One circuit breaker per kind of detection. All members run the same rules, so that a wrong rule
//! beats every quorum: when too much of what a kind bans proves wrong, it needs a person.

use std::collections::{BTreeMap, BTreeSet};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    Kind, Org, limits,
    rules::{DAY, Rules},
};

/// How long a kind stays demoted after its last fault.
const DEMOTED_FOR: u64 = DAY;
/// What a day leaves of the counts.
const FORGETTING: f64 = 0.8;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Breakers {
    kinds: BTreeMap<Kind, Record>,
    pub(crate) evicted: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    #[serde(with = "crate::exact")]
    bans: f64,
    #[serde(with = "crate::exact")]
    faults: f64,
    as_of: u64,
    /// Neither one organisation nor one target may take a rule away from everybody: each fault
    /// that counts is of another organisation and on another target.
    orgs: BTreeSet<Org>,
    targets: BTreeSet<Prefix>,
    demoted_until: u64,
}

impl Breakers {
    pub(crate) fn demoted(&self, kind: &Kind, now: u64) -> bool {
        self.kinds
            .get(kind)
            .is_some_and(|record| now < record.demoted_until)
    }

    pub(crate) fn banned(&mut self, kind: &Kind, now: u64) {
        self.at(kind, now).bans += 1.0;
    }

    /// A ban was reversed or a report named what nobody may name. Whether it demotes the kind.
    pub(crate) fn fault(
        &mut self,
        (kind, org, target): (&Kind, &Org, Prefix),
        rules: &Rules,
        now: u64,
    ) -> bool {
        let record = self.at(kind, now);
        let fresh = !record.orgs.contains(org) && !record.targets.contains(&target);
        if fresh && record.orgs.len() < limits::FAULTY_ORGS_MAX {
            record.orgs.insert(org.clone());
            record.targets.insert(target);
            record.faults += 1.0;
        }
        let all = record.bans.max(record.faults);
        let needed = usize::try_from(rules.kind_fault_orgs).unwrap_or(usize::MAX);
        if record.orgs.len() < needed || record.faults <= all * rules.kind_fault_share {
            return false;
        }
        let fresh = record.demoted_until <= now;
        record.demoted_until = now.saturating_add(DEMOTED_FOR);
        fresh
    }

    /// A person looked at it: it counts again, and what was is forgotten.
    pub(crate) fn restore(&mut self, kind: &Kind) -> bool {
        self.kinds.remove(kind).is_some()
    }

    pub(crate) fn all_demoted(&self, now: u64) -> impl Iterator<Item = &Kind> {
        let demoted = self
            .kinds
            .iter()
            .filter(move |(_, r)| now < r.demoted_until);
        demoted.map(|(kind, _)| kind)
    }

    fn at(&mut self, kind: &Kind, now: u64) -> &mut Record {
        if !self.kinds.contains_key(kind) && self.kinds.len() >= limits::KINDS_MAX {
            let quiet = self.kinds.iter().min_by_key(|(kind, r)| (r.as_of, *kind));
            if let Some(quiet) = quiet.map(|(kind, _)| kind.clone()) {
                self.kinds.remove(&quiet);
                self.evicted += 1;
            }
        }
        let record = self.kinds.entry(kind.clone()).or_default();
        let days = now.saturating_sub(record.as_of) / DAY;
        if days > 0 {
            let left = FORGETTING.powi(i32::try_from(days).unwrap_or(i32::MAX));
            record.bans *= left;
            record.faults *= left;
            record.as_of = now;
            if record.faults < 0.5 {
                record.orgs.clear();
                record.targets.clear();
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_falls_by_the_faults_of_several_and_comes_back() {
        let (rules, kind) = (Rules::default(), Kind::new("crawler"));
        let mut breakers = Breakers::default();
        let mut fault = |o: u8, t: u8| {
            let org = Org::new(&format!("org{o}")).unwrap();
            breakers.fault(
                (&kind, &org, Prefix::host([192, 0, 2, t].into())),
                &rules,
                0,
            )
        };
        (0..50).for_each(|n| assert!(!fault(1, n), "one organisation"));
        (2..50).for_each(|n| assert!(!fault(n, 0), "one target"));
        assert_eq!([60, 61, 62].map(|n| fault(n, n)), [false; 3]);
        assert!(fault(63, 63));
        assert!(breakers.demoted(&kind, DAY - 1) && !breakers.demoted(&kind, DAY));
        assert!(breakers.restore(&kind) && !breakers.demoted(&kind, 0));
    }

    #[test]
    fn a_rare_fault_is_no_reason() {
        let (rules, kind) = (Rules::default(), Kind::new("ssh"));
        let mut breakers = Breakers::default();
        (0..1_000).for_each(|_| breakers.banned(&kind, 0));
        for n in 0..16u8 {
            let org = Org::new(&format!("o{n}")).unwrap();
            let target = Prefix::host([192, 0, 2, n].into());
            assert!(!breakers.fault((&kind, &org, target), &rules, 0));
        }
    }

    #[test]
    fn words_made_up_by_a_member_do_not_grow_it() {
        let mut breakers = Breakers::default();
        for n in 0..limits::KINDS_MAX as u64 + 50 {
            breakers.banned(&Kind::new(&n.to_string()), n);
        }
        assert_eq!(
            (breakers.kinds.len(), breakers.evicted),
            (limits::KINDS_MAX, 50)
        );
    }
}
