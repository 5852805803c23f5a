//! All that is held against one target, and what became of it.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{
    By, Evidence, Grounds, HoldReason, Org, Report, Vote, ballots::Ballots, limits, report::shorten,
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) ballots: Ballots,
    pub(crate) touched: u64,
    pub(crate) ban: Option<Live>,
    /// Bans by quorum before, without a quiet time in between.
    pub(crate) recurrence: u32,
    pub(crate) last_end: Option<u64>,
    pub(crate) protection: Option<Protection>,
    /// Organisations without enough standing to reverse it that asked for it.
    pub(crate) appeals: BTreeSet<Org>,
    pub(crate) acts: VecDeque<Act>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) vote: Vote,
    /// It was proved right, and that was credited.
    pub(crate) credited: bool,
    /// Bans that stood on this alone.
    pub(crate) alone: u32,
}

/// The community's ban in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) grounds: Grounds,
    pub(crate) voters: Vec<Org>,
}

/// After a reversal: no ban until then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Protection {
    pub(crate) until: u64,
    pub(crate) by: By,
    pub(crate) why: String,
    /// Who paid for the report, and what, to be given back if the reversal proves wrong.
    pub(crate) charged: Vec<(Org, f64)>,
    /// Who had a voice then: they do not count against the protection.
    pub(crate) parties: BTreeSet<Org>,
}

/// One line of a target's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    pub at: u64,
    pub what: Deed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    Banned { lasts: u64, grounds: Grounds },
    Renewed { lasts: u64, grounds: Grounds },
    Ended,
    Released,
    Held(HoldReason),
    Confirmed { by: By },
    Reversed { by: By, why: String },
    Withdrawn { by: Org },
    Appealed { by: Org },
    ReversalOverruled,
}

impl Case {
    pub(crate) fn protected_until(&self, now: u64) -> Option<u64> {
        self.protection
            .as_ref()
            .map(|p| p.until)
            .filter(|until| *until > now)
    }

    pub(crate) fn note(&mut self, at: u64, what: Deed) {
        // A held case is reported again and again; once is enough.
        if self.acts.back().is_some_and(|last| last.what == what) {
            return;
        }
        if self.acts.len() >= limits::ACTS_PER_CASE_MAX {
            self.acts.pop_front();
        }
        self.acts.push_back(Act { at, what });
    }

    /// Forgets what no longer counts.
    pub(crate) fn prune(&mut self, window: u64, now: u64) {
        self.ballots
            .retain(|b| b.vote.at.saturating_add(window) > now);
    }

    /// Takes a report in. Whether there was room for it.
    pub(crate) fn enter(&mut self, report: &Report, weight: f64, now: u64) -> bool {
        if let Some(ballot) = self.ballots.get_mut(&report.org) {
            let vote = &mut ballot.vote;
            vote.reports = vote.reports.saturating_add(1);
            vote.at = now;
            (vote.asn, vote.network) = (report.asn, report.network);
            (vote.evidence, vote.id) = (report.evidence, report.id);
            vote.kind = report.kind.clone();
            (vote.lasts, vote.weight) = (report.lasts, weight);
            return true;
        }
        if self.ballots.len() >= limits::VOTES_PER_CASE_MAX && !self.make_room(weight) {
            return false;
        }
        self.ballots.insert(Ballot::new(report, weight, now));
        true
    }

    fn make_room(&mut self, weight: f64) -> bool {
        let lightest = self
            .ballots
            .iter()
            .min_by(|a, b| a.vote.weight.total_cmp(&b.vote.weight));
        let Some(vote) = lightest
            .map(|b| &b.vote)
            .filter(|vote| vote.weight < weight)
        else {
            return false;
        };
        let org = vote.org.clone();
        self.ballots.remove(&org)
    }
}

impl Ballot {
    fn new(report: &Report, weight: f64, now: u64) -> Self {
        let vote = Vote {
            org: report.org.clone(),
            asn: report.asn,
            network: report.network,
            kind: report.kind.clone(),
            evidence: report.evidence,
            id: report.id,
            lasts: report.lasts,
            first: now,
            at: now,
            reports: 1,
            weight,
        };
        Self {
            vote,
            credited: false,
            alone: 0,
        }
    }
}

impl Evidence {
    /// A forgeable source is no evidence against its owner.
    pub(crate) const fn factor(self) -> f64 {
        match self {
            Self::Handshake | Self::Payload => 1.0,
            Self::Datagram => 0.0,
        }
    }
}

/// What a machine may ban at most: one IPv4 host or one IPv6 /64, which is one customer.
pub(crate) fn unit(prefix: Prefix) -> Prefix {
    // RFC 6052, RFC 8215: there the last bits are an IPv4 host each.
    const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    let carries_ipv4 =
        Prefix::new(IpAddr::V6(NAT64), 32).is_ok_and(|network| network.covers(prefix));
    if prefix.is_ipv4() || prefix.len() <= 64 || carries_ipv4 {
        prefix
    } else {
        prefix.widen(64).unwrap_or(prefix)
    }
}

pub(crate) fn is_unit(prefix: Prefix) -> bool {
    prefix.len() >= if prefix.is_ipv4() { 32 } else { 64 }
}

pub(crate) fn reason(why: &str) -> String {
    shorten(why, limits::WHY_BYTES_MAX).to_owned()
}
