//! Whose voices count, and how many independent ones they make.
//!
//! Independent is another organisation in another network, and no more than a few of one
//! autonomous system: a thousand sock puppets of one member have one voice.

use std::collections::BTreeMap;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Org, Rules, Vote};

/// Reporters in one such network stand under one roof.
const ROOF_IPV4: u8 = 24;
const ROOF_IPV6: u8 = 48;
/// Where the autonomous system is not known, a network this wide stands for it.
const REGION_IPV4: u8 = 16;
const REGION_IPV6: u8 = 32;

/// What one vote is to the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    Yes,
    /// It stands in one network with a heavier voice.
    SameNetwork {
        as_org: Org,
    },
    /// Enough others of its autonomous system count already.
    SameSystem,
    /// Its kind was wrong too often lately.
    KindDemoted,
    /// Its organisation is suspended, or its evidence is nothing.
    Weightless,
}

/// A vote and what it weighs now. An organisation has one.
#[derive(Clone, Debug)]
pub(crate) struct Voice<'a> {
    pub(crate) vote: &'a Vote,
    pub(crate) weight: f64,
    pub(crate) kind_demoted: bool,
}

/// The votes on one target, the heaviest first.
#[derive(Clone, Debug)]
pub(crate) struct Tally<'a> {
    pub(crate) voices: Vec<(Voice<'a>, Counts)>,
    pub(crate) independent: u32,
    pub(crate) weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    System(u32),
    Region(Prefix),
}

impl<'a> Tally<'a> {
    pub(crate) fn new(mut voices: Vec<Voice<'a>>, rules: &Rules) -> Self {
        voices.sort_by(|a, b| {
            b.weight
                .total_cmp(&a.weight)
                .then_with(|| a.vote.org.cmp(&b.vote.org))
        });
        let mut roofs: BTreeMap<Prefix, &Org> = BTreeMap::new();
        let mut homes: BTreeMap<Home, u32> = BTreeMap::new();
        let mut tally = Self {
            voices: Vec::with_capacity(voices.len()),
            independent: 0,
            weight: 0.0,
        };
        for voice in voices {
            let vote = voice.vote;
            let (roof, home) = (roof(vote.network), home(vote));
            let counts = if voice.weight <= 0.0 {
                Counts::Weightless
            } else if voice.kind_demoted {
                Counts::KindDemoted
            } else if let Some(first) = roofs.get(&roof) {
                Counts::SameNetwork {
                    as_org: (*first).clone(),
                }
            } else if homes.get(&home).is_some_and(|n| *n >= rules.votes_per_asn) {
                Counts::SameSystem
            } else {
                Counts::Yes
            };
            if counts == Counts::Yes {
                roofs.insert(roof, &vote.org);
                *homes.entry(home).or_default() += 1;
                tally.independent += 1;
                tally.weight += voice.weight;
            }
            tally.voices.push((voice, counts));
        }
        tally
    }

    pub(crate) fn counted(&self) -> impl Iterator<Item = &Voice<'a>> {
        let counted = self
            .voices
            .iter()
            .filter(|(_, counts)| *counts == Counts::Yes);
        counted.map(|(voice, _)| voice)
    }

    pub(crate) fn reaches(&self, independent: u32, weight: f64) -> bool {
        self.independent >= independent && self.weight >= weight
    }
}

pub(crate) fn roof(network: Prefix) -> Prefix {
    let len = if network.is_ipv4() {
        ROOF_IPV4
    } else {
        ROOF_IPV6
    };
    network.widen(len).unwrap_or(network)
}

fn home(vote: &Vote) -> Home {
    vote.asn.map_or_else(
        || {
            let len = if vote.network.is_ipv4() {
                REGION_IPV4
            } else {
                REGION_IPV6
            };
            Home::Region(vote.network.widen(len).unwrap_or(vote.network))
        },
        Home::System,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, Kind, ReportId};

    fn vote(org: &str, asn: Option<u32>, network: &str, weight: f64) -> Vote {
        Vote {
            org: Org::new(org).unwrap(),
            asn,
            network: network.parse().unwrap(),
            kind: Kind::new("ssh"),
            evidence: Evidence::Handshake,
            id: ReportId::default(),
            lasts: 60,
            first: 0,
            at: 0,
            reports: 1,
            weight,
        }
    }

    fn counts(votes: &[Vote]) -> Vec<(String, Counts)> {
        let voices = votes.iter().map(|vote| Voice {
            vote,
            weight: vote.weight,
            kind_demoted: false,
        });
        let tally = Tally::new(voices.collect(), &Rules::default());
        let all = tally.voices.into_iter();
        all.map(|(voice, counts)| (voice.vote.org.to_string(), counts))
            .collect()
    }

    #[test]
    fn one_roof_one_voice_and_two_a_system() {
        let all = counts(&[
            vote("a", Some(64500), "192.0.2.1", 3.0),
            vote("b", Some(64501), "192.0.2.9", 2.0),
            vote("c", Some(64500), "198.51.100.1", 2.5),
            vote("d", Some(64500), "203.0.113.1", 1.0),
            vote("e", Some(64502), "203.0.113.200", 0.0),
        ]);
        let expected = [
            ("a", Counts::Yes),
            ("c", Counts::Yes),
            (
                "b",
                Counts::SameNetwork {
                    as_org: Org::new("a").unwrap(),
                },
            ),
            ("d", Counts::SameSystem),
            ("e", Counts::Weightless),
        ];
        assert_eq!(all, expected.map(|(org, counts)| (org.to_owned(), counts)));
    }

    #[test]
    fn an_unknown_system_is_the_wider_network() {
        let all = counts(&[
            vote("a", None, "192.0.2.1", 3.0),
            vote("b", None, "192.0.3.1", 3.0),
            vote("c", None, "192.0.4.1", 3.0),
            vote("d", None, "198.51.100.1", 3.0),
        ]);
        let yes = all.iter().filter(|(_, counts)| *counts == Counts::Yes);
        assert_eq!(
            yes.map(|(org, _)| org.as_str()).collect::<Vec<_>>(),
            ["a", "b", "d"]
        );
    }
}
