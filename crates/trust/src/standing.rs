//! What is known of an organisation: a Beta distribution over how often it is right.
//!
//! It begins with one right and one wrong, as for somebody nobody knows. Reports that proved true
//! add to the one, reversed reports to the other, and both fade day by day. Trust is the mean less
//! one standard deviation: little knowledge is little trust.

use std::collections::VecDeque;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    budget::Hourly,
    limits,
    rules::{DAY, HOUR, Rules},
};

/// Nobody's word is nothing, and nobody's is certain.
const TRUST_MIN: f64 = 0.02;
const TRUST_MAX: f64 = 0.97;
/// Bans alone that are remembered, and how many must be old enough to judge by.
const ALONE_KEPT: usize = 32;
const ALONE_JUDGED_FROM: usize = 8;
const ALONE_JUDGED_AFTER: u64 = 12 * HOUR;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// When it joined, in milliseconds of the hub's timeline.
    pub(crate) since: u64,
    /// What is known beyond the prior, as of `as_of`.
    #[serde(with = "crate::exact")]
    good: f64,
    #[serde(with = "crate::exact")]
    bad: f64,
    as_of: u64,
    /// A person answers for it: no probation.
    vouched: bool,
    pub(crate) suspended_until: u64,
    /// Not believed alone before.
    pub(crate) alone_from: u64,
    pub(crate) confirmed: u64,
    pub(crate) reversed: u64,
    credits: (u64, u32),
    pub(crate) reports: Hourly,
    pub(crate) reversals: Hourly,
    pub(crate) alone: Hourly,
    /// Its bans on its word alone, the oldest first.
    alone_bans: VecDeque<Alone>,
    /// What it paid for lately, so that one mistake costs once.
    penalties: VecDeque<(Prefix, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Alone {
    prefix: Prefix,
    at: u64,
    seconded: bool,
}

/// A standing as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingView {
    pub a: f64,
    pub b: f64,
    pub mean: f64,
    pub trust: f64,
    /// What a report with full evidence weighs now.
    pub weight: f64,
    pub since: u64,
    pub on_probation: bool,
    pub vouched: bool,
    pub suspended_until: Option<u64>,
    /// Whether its word alone makes a short ban of a plain host.
    pub suffices_alone: bool,
    pub reports_confirmed: u64,
    pub reports_reversed: u64,
}

impl Standing {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            since: now,
            good: 0.0,
            bad: 0.0,
            as_of: now,
            vouched: false,
            suspended_until: 0,
            alone_from: 0,
            confirmed: 0,
            reversed: 0,
            credits: (0, 0),
            reports: Hourly::default(),
            reversals: Hourly::default(),
            alone: Hourly::default(),
            alone_bans: VecDeque::new(),
            penalties: VecDeque::new(),
        }
    }

    pub fn view(&self, rules: &Rules, now: u64) -> StandingView {
        let (a, b) = self.beta(rules, now);
        StandingView {
            a,
            b,
            mean: a / (a + b),
            trust: self.trust(rules, now),
            weight: self.weight(rules, now),
            since: self.since,
            on_probation: self.on_probation(rules, now),
            vouched: self.vouched,
            suspended_until: (self.suspended_until > now).then_some(self.suspended_until),
            suffices_alone: self.suffices_alone(rules, now),
            reports_confirmed: self.confirmed,
            reports_reversed: self.reversed,
        }
    }

    /// The two numbers of the distribution, faded to `now`.
    pub(crate) fn beta(&self, rules: &Rules, now: u64) -> (f64, f64) {
        let left = faded(rules, self.as_of, now);
        (1.0 + self.good * left, 1.0 + self.bad * left)
    }

    pub(crate) fn trust(&self, rules: &Rules, now: u64) -> f64 {
        let (a, b) = self.beta(rules, now);
        let sum = a + b;
        let deviation = (a * b / (sum * sum * (sum + 1.0))).sqrt();
        (a / sum - deviation).max(TRUST_MIN)
    }

    /// What its word weighs, with full evidence.
    pub(crate) fn weight(&self, rules: &Rules, now: u64) -> f64 {
        if now < self.suspended_until {
            return 0.0;
        }
        let weight = -(1.0 - self.trust(rules, now).min(TRUST_MAX)).ln();
        if self.on_probation(rules, now) {
            weight * rules.probation_factor
        } else {
            weight
        }
    }

    pub(crate) const fn on_probation(&self, rules: &Rules, now: u64) -> bool {
        !self.vouched && self.age(now) < rules.probation_days.saturating_mul(DAY)
    }

    /// Trust, time, no recent reversal, and a record of being seconded. Budgets are not counted.
    pub(crate) fn suffices_alone(&self, rules: &Rules, now: u64) -> bool {
        now >= self.suspended_until
            && now >= self.alone_from
            && self.age(now) >= rules.alone_after_days.saturating_mul(DAY)
            && self.trust(rules, now) >= rules.alone_trust
            && self
                .seconded_share(now)
                .is_none_or(|share| share >= rules.alone_seconded_share)
    }

    const fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.since)
    }

    /// Of its bans alone that are old enough to tell; `None` while they are too few.
    fn seconded_share(&self, now: u64) -> Option<f64> {
        let old = |b: &&Alone| b.at.saturating_add(ALONE_JUDGED_AFTER) <= now || b.seconded;
        let (all, seconded) = self
            .alone_bans
            .iter()
            .filter(old)
            .fold((0u32, 0u32), |sum, b| {
                (sum.0 + 1, sum.1 + u32::from(b.seconded))
            });
        (all as usize >= ALONE_JUDGED_FROM).then(|| f64::from(seconded) / f64::from(all))
    }

    /// A person answers for this organisation: the standing of one that was right `reports` times.
    pub(crate) fn vouch(&mut self, rules: &Rules, reports: f64, now: u64) {
        self.fade(rules, now);
        self.vouched = true;
        self.good = self.good.max(reports.clamp(0.0, 100.0));
    }

    /// One report proved right. Whether it still counted today.
    pub(crate) fn credit(&mut self, rules: &Rules, now: u64) -> bool {
        self.confirmed += 1;
        let day = now / DAY;
        if self.credits.0 != day {
            self.credits = (day, 0);
        }
        if self.credits.1 >= rules.credits_per_day {
            return false;
        }
        self.credits.1 += 1;
        self.fade(rules, now);
        self.good += 1.0;
        true
    }

    /// One report proved wrong. Returns what it cost: nothing when this target was paid for.
    pub(crate) fn charge(&mut self, rules: &Rules, target: Prefix, cost: f64, now: u64) -> f64 {
        let window = rules.protected_days.saturating_mul(DAY);
        self.penalties
            .retain(|(_, at)| at.saturating_add(window) > now);
        if self.penalties.iter().any(|(paid, _)| *paid == target) {
            return 0.0;
        }
        if self.penalties.len() >= limits::PENALTIES_PER_ORG_MAX {
            self.penalties.pop_front();
        }
        self.penalties.push_back((target, now));
        self.reversed += 1;
        self.fade(rules, now);
        self.bad += cost;
        cost
    }

    /// Gives back what a wrong reversal took.
    pub(crate) fn refund(&mut self, rules: &Rules, target: Prefix, cost: f64, now: u64) {
        self.fade(rules, now);
        self.bad = (self.bad - cost).max(0.0);
        self.reversed = self.reversed.saturating_sub(1);
        self.penalties.retain(|(paid, _)| *paid != target);
    }

    pub(crate) fn banned_alone(&mut self, prefix: Prefix, now: u64) {
        if self.alone_bans.len() >= ALONE_KEPT {
            self.alone_bans.pop_front();
        }
        self.alone_bans.push_back(Alone {
            prefix,
            at: now,
            seconded: false,
        });
    }

    pub(crate) fn seconded(&mut self, prefix: Prefix) {
        let of_it = self
            .alone_bans
            .iter_mut()
            .filter(|ban| ban.prefix == prefix);
        of_it.for_each(|ban| ban.seconded = true);
    }

    /// What stood on its word alone.
    pub(crate) fn alone_unseconded(&self) -> impl Iterator<Item = Prefix> {
        let unseconded = self.alone_bans.iter().filter(|ban| !ban.seconded);
        unseconded.map(|ban| ban.prefix)
    }

    fn fade(&mut self, rules: &Rules, now: u64) {
        let left = faded(rules, self.as_of, now);
        self.good *= left;
        self.bad *= left;
        self.as_of = self.as_of.max(now);
    }
}

/// The share that is left after the days since `from`.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of centuries fit")]
pub(crate) fn faded(rules: &Rules, from: u64, now: u64) -> f64 {
    let days = now.saturating_sub(from) as f64 / DAY as f64;
    rules.forgetting_per_day.clamp(0.0, 1.0).powf(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 0.001
    }

    #[test]
    fn a_stranger_is_trusted_a_little_and_weighs_next_to_nothing_on_probation() {
        let (rules, new) = (Rules::default(), Standing::new(0));
        // Beta(1, 1): mean 1/2, variance 1/12.
        assert!(near(new.trust(&rules, 0), 0.5 - (1.0f64 / 12.0).sqrt()));
        assert!(near(new.weight(&rules, 0), 0.237 * 0.15));
        assert!(near(new.weight(&rules, 14 * DAY), 0.237));
        assert!(!new.suffices_alone(&rules, 1_000 * DAY));
    }

    #[test]
    fn standing_needs_days_and_fades() {
        let (rules, mut org) = (Rules::default(), Standing::new(0));
        for report in 0..1_000u64 {
            org.credit(&rules, report);
        }
        assert!(near(org.beta(&rules, 0).0, 4.0), "three in a day at most");
        for day in 1..40 {
            (0..3).for_each(|_| {
                org.credit(&rules, day * DAY);
            });
        }
        assert!(org.suffices_alone(&rules, 39 * DAY));
        let (before, after) = (org.trust(&rules, 39 * DAY), org.trust(&rules, 250 * DAY));
        assert!(before > 0.9 && after < 0.6, "{before} {after}");
    }

    #[test]
    fn one_mistake_costs_once_and_the_right_to_be_believed_alone() {
        let (rules, mut org) = (Rules::default(), Standing::new(0));
        org.vouch(&rules, 40.0, 0);
        let target = "192.0.2.1".parse().unwrap();
        let now = 30 * DAY;
        assert!(org.suffices_alone(&rules, now));
        assert_eq!(org.charge(&rules, target, 5.0, now), 5.0);
        assert_eq!(org.charge(&rules, target, 5.0, now), 0.0);
        assert!(!org.suffices_alone(&rules, now));
        org.refund(&rules, target, 5.0, now);
        assert!(org.suffices_alone(&rules, now));
    }

    #[test]
    fn who_is_never_seconded_is_not_believed_alone() {
        let (rules, mut org) = (Rules::default(), Standing::new(0));
        org.vouch(&rules, 100.0, 0);
        let target = |n: u8| Prefix::host([192, 0, 2, n].into());
        (0..8).for_each(|n| org.banned_alone(target(n), 30 * DAY));
        assert!(org.suffices_alone(&rules, 30 * DAY), "too early to tell");
        assert!(!org.suffices_alone(&rules, 31 * DAY));
        org.seconded(target(1));
        org.seconded(target(2));
        assert!(org.suffices_alone(&rules, 31 * DAY));
        assert_eq!(org.alone_unseconded().count(), 6);
    }
}
