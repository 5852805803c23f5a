//! The numbers of the court. An operator may change each of them; the defaults are what
//! `bench/trust` simulates.

use serde::{Deserialize, Serialize};

use crate::Class;

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const HOUR: u64 = 3_600 * SECOND;
pub(crate) const DAY: u64 = 24 * HOUR;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Independent organisations against a plain host, one in a pool of customers, and one of the
    /// large shared services.
    pub quorum_plain: u32,
    pub quorum_shared: u32,
    pub quorum_service: u32,
    /// And the weights of those that count must reach this.
    pub weight_needed: f64,
    /// Organisations that count from one autonomous system.
    pub votes_per_asn: u32,
    /// How long a report counts, in hours.
    pub vote_hours: u64,

    /// What a day leaves of the good and bad that is known of an organisation.
    pub forgetting_per_day: f64,
    /// What a false report costs (a report proved right brings 1).
    pub cost_of_false: f64,
    /// What an organisation pays that takes its own report back before others do.
    pub cost_of_admission: f64,
    /// No more than this is earned in a day, so that standing needs time.
    pub credits_per_day: u32,
    /// A new organisation weighs `probation_factor` of its weight for so many days.
    pub probation_days: u64,
    pub probation_factor: f64,

    /// One organisation suffices from this trust on, and this long after it joined.
    pub alone_trust: f64,
    pub alone_after_days: u64,
    /// Such a ban lasts at most so many seconds until others second it.
    pub alone_lasts: u64,
    pub alone_per_hour: u32,
    /// Bans of one target that one organisation may cause alone within `vote_hours`.
    pub alone_repeats: u32,
    /// After a reversal nobody is believed alone for so many days.
    pub alone_pause_days: u64,
    /// Of an organisation's last bans alone at least this share must have been seconded.
    pub alone_seconded_share: f64,

    pub reports_per_hour: u32,
    pub reversals_per_hour: u32,
    /// New community bans in an hour: this share of those in force, but always so many.
    pub growth_per_hour: f64,
    pub growth_floor: u32,
    /// Of a kind's bans this share may prove wrong before it needs a person.
    pub kind_fault_share: f64,
    /// And so many organisations must have been wrong with it.
    pub kind_fault_orgs: u32,

    /// A person decides when so many organisations talk with the target daily (and no fewer than
    /// accuse it); one suffices against a ban on standing alone.
    pub blast_organisations: u32,
    /// Trust that lets an organisation reverse without a person.
    pub reversal_trust: f64,
    /// Days that a reversed target is protected.
    pub protected_days: u64,
    /// A target that was quiet for so many days begins again at the shortest time.
    pub quiet_days: u64,
    /// Longest ban of a host in a pool of customers, in seconds: the next one is somebody else.
    pub shared_lasts: u64,
    /// Widest networks that can be reported at all; anything beyond one host or /64 needs a person.
    pub widest_ipv4: u8,
    pub widest_ipv6: u8,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            quorum_plain: 3,
            quorum_shared: 6,
            quorum_service: 12,
            weight_needed: 5.0,
            votes_per_asn: 2,
            vote_hours: 24,
            forgetting_per_day: 0.98,
            cost_of_false: 5.0,
            cost_of_admission: 1.0,
            credits_per_day: 3,
            probation_days: 14,
            probation_factor: 0.15,
            alone_trust: 0.85,
            alone_after_days: 21,
            alone_lasts: 3_600,
            alone_per_hour: 4,
            alone_repeats: 4,
            alone_pause_days: 7,
            alone_seconded_share: 0.2,
            reports_per_hour: 2_000,
            reversals_per_hour: 10,
            growth_per_hour: 0.01,
            growth_floor: 500,
            kind_fault_share: 0.02,
            kind_fault_orgs: 5,
            blast_organisations: 3,
            reversal_trust: 0.5,
            protected_days: 30,
            quiet_days: 7,
            shared_lasts: 4 * 3_600,
            widest_ipv4: 24,
            widest_ipv6: 48,
        }
    }
}

impl Rules {
    pub(crate) const fn independent_needed(&self, class: Class) -> u32 {
        match class {
            Class::Plain => self.quorum_plain,
            Class::Shared => self.quorum_shared,
            Class::Cloud
            | Class::Infrastructure
            | Class::Mail
            | Class::Resolver
            | Class::Monitoring
            | Class::Canary
            | Class::Never => self.quorum_service,
        }
    }

    /// How long a ban by quorum lasts, in seconds: by weight, doubled on each recurrence.
    pub(crate) fn ladder(&self, class: Class, weight: f64, recurrence: u32) -> u64 {
        const RUNGS: [(f64, u64); 3] = [(20.0, 7 * 86_400), (12.0, 86_400), (0.0, 4 * 3_600)];
        let rung = RUNGS.iter().find(|(least, _)| weight >= *least);
        let first = rung.map_or(3_600, |(_, seconds)| *seconds);
        let longest = match class {
            Class::Plain => 7 * 86_400,
            _ => self.shared_lasts,
        };
        doubled(first, recurrence).min(longest)
    }

    pub(crate) const fn vote_window(&self) -> u64 {
        self.vote_hours.saturating_mul(HOUR)
    }
}

pub(crate) const fn doubled(seconds: u64, times: u32) -> u64 {
    let times = if times > 20 { 20 } else { times };
    seconds.saturating_mul(1 << times)
}
