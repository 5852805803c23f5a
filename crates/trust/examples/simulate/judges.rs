//! The three rules. Each hears the same reports and says for how long the community bans.

use std::collections::{BTreeMap, BTreeSet};

use model::Prefix;
use trust::{
    By, Class, Classes, Court, Evidence, Kind, Org, Report, ReportId, Rules, Verdict, peer_key,
};

use super::world::{DAY, HOUR, World, prefix};

/// What every member asks for, and bans for itself, in seconds.
pub(crate) const ASKED: u64 = 4 * 3_600;

pub(crate) trait Judge {
    /// Milliseconds that the community bans the address from now, if it does.
    fn report(&mut self, member: usize, address: usize, kind: usize, now: u64) -> Option<u64>;
    /// A person found the ban wrong. What is to be released.
    fn reverse(&mut self, address: usize, now: u64) -> Vec<usize>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    AcceptAll,
    KOfN,
    /// Not one of the three: k of n that also reads the lists, to show what those alone do.
    #[allow(dead_code, reason = "the test leaves it out")]
    KOfNWithLists,
    Ours,
}

impl Rule {
    pub(crate) fn judge(self, world: &World) -> Box<dyn Judge> {
        match self {
            Self::AcceptAll => Box::new(Plain::new(1, None)),
            Self::KOfN => Box::new(Plain::new(3, None)),
            Self::KOfNWithLists => {
                let listed = world.addresses.iter().map(|a| a.listed).collect();
                Box::new(Plain::new(3, Some(listed)))
            }
            Self::Ours => Box::new(Ours::new(world)),
        }
    }
}

/// k distinct members within a day.
struct Plain {
    k: usize,
    listed: Option<Vec<Class>>,
    reports: BTreeMap<usize, BTreeMap<usize, u64>>,
    protected: BTreeMap<usize, u64>,
}

impl Plain {
    const fn new(k: usize, listed: Option<Vec<Class>>) -> Self {
        Self {
            k,
            listed,
            reports: BTreeMap::new(),
            protected: BTreeMap::new(),
        }
    }
}

impl Judge for Plain {
    fn report(&mut self, member: usize, address: usize, _: usize, now: u64) -> Option<u64> {
        let listed = self.listed.as_ref();
        if listed.is_some_and(|listed| listed[address] >= Class::Cloud)
            || self
                .protected
                .get(&address)
                .is_some_and(|until| *until > now)
        {
            return None;
        }
        let reports = self.reports.entry(address).or_default();
        reports.insert(member, now);
        reports.retain(|_, at| *at + DAY > now);
        (reports.len() >= self.k).then_some(ASKED * 1_000)
    }

    fn reverse(&mut self, address: usize, now: u64) -> Vec<usize> {
        self.protected.insert(address, now + 30 * DAY);
        self.reports.remove(&address);
        vec![address]
    }
}

struct Ours {
    court: Court,
    members: Vec<(Org, u32, Prefix)>,
    peers: Vec<(Org, Vec<u64>)>,
    kinds: Vec<Kind>,
    addresses: BTreeMap<Prefix, usize>,
}

impl Ours {
    fn new(world: &World) -> Self {
        let org = |n: usize| Org::new(&format!("org{n}")).expect("a name");
        let listed = world.addresses.iter().enumerate();
        let listed = listed.filter(|(_, address)| address.listed != Class::Plain);
        let classes = Classes::new(listed.map(|(n, a)| (prefix(n), a.listed, "list")));
        let mut court = Court::new(Rules::default(), classes);
        let mut joining: Vec<usize> = (0..world.joined.len()).collect();
        joining.sort_by_key(|n| world.joined[*n]);
        let early = joining.into_iter().filter(|n| world.joined[*n] == 0);
        early.for_each(|n| {
            court.join(&org(n), 0);
        });
        for founder in 0..world.founders {
            court.vouch(&org(founder), 30.0, 0).expect("room");
        }
        let members = world
            .members
            .iter()
            .map(|m| (org(m.org), m.asn, m.network))
            .collect();
        let keys = |peers: &Vec<usize>| peers.iter().map(|n| peer_key(prefix(*n))).collect();
        Self {
            court,
            members,
            peers: world
                .peers
                .iter()
                .map(|(n, peers)| (org(*n), keys(peers)))
                .collect(),
            kinds: (0..=super::world::WRONG_RULE)
                .map(|n| Kind::new(&format!("kind{n}")))
                .collect(),
            addresses: (0..world.addresses.len()).map(|n| (prefix(n), n)).collect(),
        }
    }
}

impl Judge for Ours {
    fn report(&mut self, member: usize, address: usize, kind: usize, now: u64) -> Option<u64> {
        if now > 20 * DAY {
            for (org, peers) in std::mem::take(&mut self.peers) {
                self.court
                    .set_peers(&org, peers, now)
                    .expect("no longer on probation");
            }
        }
        let (org, asn, network) = self.members[member].clone();
        let report = Report {
            id: ReportId::default(),
            org,
            asn: Some(asn),
            network,
            target: prefix(address),
            kind: self.kinds[kind].clone(),
            evidence: Evidence::Payload,
            lasts: ASKED,
        };
        match self.court.report(&report, now) {
            Verdict::Ban(ban) => Some(ban.lasts * 1_000),
            // Nobody answers: the worst case for the attacks, the best for the innocent would be
            // a person who decides well.
            Verdict::HoldForPerson(_) | Verdict::Noted(_) | Verdict::Refused(_) => None,
        }
    }

    fn reverse(&mut self, address: usize, now: u64) -> Vec<usize> {
        let by = By::Person("operator".to_owned());
        let reversal = self.court.reverse(prefix(address), &by, "appeal", now);
        let released = reversal.map(|r| r.released).unwrap_or_default();
        let mut released: BTreeSet<usize> = released
            .iter()
            .filter_map(|p| self.addresses.get(p))
            .copied()
            .collect();
        released.insert(address);
        released.into_iter().collect()
    }
}

const _: () = assert!(ASKED * 1_000 == 4 * HOUR);
