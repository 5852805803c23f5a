//! Why an address is banned, or is not: every voice, what it weighs, and why it counts or does not.

use std::fmt;

use model::{Prefix, format_duration};
use serde::{Deserialize, Serialize};

use crate::{
    By, Class, Court, Evidence, Grounds, HoldReason, Kind, Org, ReportId,
    case::{Act, Deed, unit},
    quorum::Counts,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub target: Prefix,
    pub class: Class,
    /// The list that says so; empty for a plain host.
    pub list: String,
    /// The time of this explanation; all times are milliseconds of the hub's timeline.
    pub at: u64,
    pub ban: Option<ExplainedBan>,
    pub protected: Option<ExplainedProtection>,
    pub held: Option<HoldReason>,
    pub independent: u32,
    pub independent_needed: u32,
    pub weight: f64,
    pub weight_needed: f64,
    /// Organisations that talk with it daily.
    pub daily_peers: u32,
    /// Bans before this one without a quiet time between.
    pub recurrence: u32,
    /// The heaviest first.
    pub votes: Vec<ExplainedVote>,
    /// The last acts, the oldest first.
    pub acts: Vec<Act>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedBan {
    pub since: u64,
    pub until: u64,
    pub grounds: Grounds,
    pub voters: Vec<Org>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedProtection {
    pub until: u64,
    pub by: By,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedVote {
    pub org: Org,
    pub asn: Option<u32>,
    pub network: Prefix,
    pub kind: Kind,
    pub evidence: Evidence,
    pub id: ReportId,
    pub first: u64,
    pub last: u64,
    pub reports: u32,
    pub trust: f64,
    pub on_probation: bool,
    pub weight: f64,
    pub counts: Counts,
}

impl Court {
    /// All that is known of `target`, counted as of now.
    pub fn explain(&self, target: Prefix, now: u64) -> Explanation {
        let (now, target) = (now.max(self.now), unit(target));
        let listing = self.classes.of(target);
        let mut told = Explanation {
            target,
            class: listing.class,
            list: listing.list.to_owned(),
            at: now,
            ban: None,
            protected: None,
            held: self.held.get(&target).cloned(),
            independent: 0,
            independent_needed: self.rules.independent_needed(listing.class),
            weight: 0.0,
            weight_needed: self.rules.weight_needed,
            daily_peers: self.peers.besides(target, []),
            recurrence: 0,
            votes: Vec::new(),
            acts: Vec::new(),
        };
        // A canary is no longer one when it is told.
        if told.class == Class::Canary {
            (told.class, told.list) = (Class::Never, "known good".to_owned());
        }
        let Some(case) = self.case(target) else {
            return told;
        };
        let mut case = case.clone();
        case.prune(self.rules.vote_window(), now);
        let tally = self.tally(&case, now);
        (told.independent, told.weight) = (tally.independent, tally.weight);
        told.votes = tally
            .voices
            .into_iter()
            .map(|(voice, counts)| self.explain_vote(voice.vote, voice.weight, counts, now))
            .collect();
        told.recurrence = case.recurrence;
        told.ban = case
            .ban
            .filter(|ban| ban.until > now)
            .map(|ban| ExplainedBan {
                since: ban.since,
                until: ban.until,
                grounds: ban.grounds,
                voters: ban.voters,
            });
        let protection = case.protection.filter(|p| p.until > now);
        told.protected = protection.map(|p| ExplainedProtection {
            until: p.until,
            by: p.by,
            why: p.why,
        });
        told.acts = case.acts.into();
        told
    }

    fn explain_vote(
        &self,
        vote: &crate::Vote,
        weight: f64,
        counts: Counts,
        now: u64,
    ) -> ExplainedVote {
        let standing = self.orgs.get(&vote.org);
        ExplainedVote {
            org: vote.org.clone(),
            asn: vote.asn,
            network: vote.network,
            kind: vote.kind.clone(),
            evidence: vote.evidence,
            id: vote.id,
            first: vote.first,
            last: vote.at,
            reports: vote.reports,
            trust: standing.map_or(0.0, |s| s.trust(&self.rules, now)),
            on_probation: standing.is_some_and(|s| s.on_probation(&self.rules, now)),
            weight,
            counts,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.class)?;
        if !self.list.is_empty() {
            write!(f, " ({})", self.list)?;
        }
        writeln!(f)?;
        self.state(f)?;
        writeln!(
            f,
            "  voices: {} independent of {} needed, weight {:.2} of {:.2}",
            self.independent, self.independent_needed, self.weight, self.weight_needed
        )?;
        if self.daily_peers > 0 {
            writeln!(f, "  {} organisations talk with it daily", self.daily_peers)?;
        }
        for vote in &self.votes {
            vote.line(f, self.at)?;
        }
        for act in &self.acts {
            writeln!(f, "  {}: {}", ago(self.at, act.at), act.what)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ban) = &self.ban {
            let (left, since) = (span(ban.until, self.at), ago(self.at, ban.since));
            writeln!(f, "  banned {since}, {left} left: {}", ban.grounds)?;
        } else if !matches!(self.class, Class::Never) {
            writeln!(f, "  not banned by the community")?;
        }
        if let Some(protected) = &self.protected {
            let left = span(protected.until, self.at);
            let (by, why) = (&protected.by, &protected.why);
            writeln!(f, "  protected for {left}: reversed by {by} ({why:?})")?;
        }
        if let Some(held) = &self.held {
            writeln!(f, "  waits for a person: {held}")?;
        }
        Ok(())
    }
}

impl ExplainedVote {
    fn line(&self, f: &mut fmt::Formatter<'_>, now: u64) -> fmt::Result {
        let asn = self
            .asn
            .map_or_else(|| "AS unknown".to_owned(), |asn| format!("AS{asn}"));
        let times = if self.reports == 1 {
            "once"
        } else {
            "several times"
        };
        let probation = if self.on_probation {
            ", on probation"
        } else {
            ""
        };
        writeln!(
            f,
            "  {} ({asn}, {}): {} by {}, {times}, last {}; trust {:.2}{probation}, weight {:.2}; {}",
            self.org,
            self.network,
            self.kind,
            self.evidence,
            ago(now, self.last),
            self.trust,
            self.weight,
            self.counts
        )
    }
}

fn ago(now: u64, then: u64) -> String {
    if now < then.saturating_add(1_000) {
        return "just now".to_owned();
    }
    format!("{} ago", span(now, then))
}

fn span(late: u64, early: u64) -> String {
    let seconds = late.saturating_sub(early) / 1_000;
    format_duration(std::time::Duration::from_secs(seconds))
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("counts"),
            Self::SameNetwork { as_org } => write!(f, "one voice with {as_org}: same network"),
            Self::SameSystem => f.write_str("does not count: others of its AS do already"),
            Self::KindDemoted => f.write_str("does not count: its kind was wrong too often"),
            Self::Weightless => f.write_str("does not count: weighs nothing"),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "completed handshake",
            Self::Payload => "payload",
            Self::Datagram => "datagram",
        })
    }
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quorum {
                independent,
                needed,
            } => {
                write!(
                    f,
                    "{independent} independent organisations ({needed} needed)"
                )
            }
            Self::Standing { orgs } => match orgs.as_slice() {
                [one] => write!(f, "the standing of {one} alone"),
                all => {
                    let names: Vec<&str> = all.iter().map(Org::as_str).collect();
                    write!(f, "the standing of {} together", names.join(" and "))
                }
            },
            Self::Person { name } => write!(f, "order of {name}"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org(org) => org.fmt(f),
            Self::Person(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds: &u64| format_duration(std::time::Duration::from_secs(*seconds));
        match self {
            Self::Banned { lasts, grounds } => write!(f, "banned for {}: {grounds}", time(lasts)),
            Self::Renewed { lasts, grounds } => write!(f, "renewed for {}: {grounds}", time(lasts)),
            Self::Released => f.write_str("released by a person, at nobody's cost"),
            Self::Ended => f.write_str("the ban ended"),
            Self::Held(reason) => write!(f, "held for a person: {reason}"),
            Self::Confirmed { by } => write!(f, "confirmed by {by}"),
            Self::Reversed { by, why } => write!(f, "reversed by {by}: {why:?}"),
            Self::Withdrawn { by } => write!(f, "taken back by {by}"),
            Self::Appealed { by } => write!(f, "{by} appealed, without the standing to reverse it"),
            Self::ReversalOverruled => {
                f.write_str("the reversal was overruled by twice a quorum of others")
            }
        }
    }
}
