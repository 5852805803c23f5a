//! What happens in sixty days, the same whatever rule is in force: who attacks whom and when, who
//! is named by mistake, and what the poisoner does. The first thirty days are not measured.

use std::net::{IpAddr, Ipv4Addr};

use model::Prefix;
use trust::Class;

use super::dice::Dice;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const MEASURED_FROM: u64 = 30 * DAY;
pub(crate) const END: u64 = 60 * DAY;
/// When the poisoner shows itself.
const POISON_FROM: u64 = 40 * DAY;

const SYSTEMS: usize = 150;
pub(crate) const INNOCENTS: usize = 20_000;
const WRONG_RULES_EVERY_DAYS: f64 = 4.0;
const KINDS: usize = 8;
/// The word of a rule that is wrong for everybody at once.
pub(crate) const WRONG_RULE: usize = KINDS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poisoner {
    None,
    Slow,
    Sybil,
    Hijacked,
    Colluders,
}

/// What may be turned to see how much the outcome hangs on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size {
    pub(crate) members: usize,
    pub(crate) orgs: usize,
    pub(crate) attackers_per_day: f64,
    /// Wrong reports by mistake, of a member in a day.
    pub(crate) strays: f64,
    /// Of a hundred attackers, those behind a carrier's NAT, and as many at dynamic addresses.
    pub(crate) shared: usize,
    /// The share of organisations that name their daily peers.
    pub(crate) peers: f64,
    /// Mean time until a person has an innocent address released.
    pub(crate) appeal_hours: f64,
}

impl Size {
    pub(crate) const fn whole() -> Self {
        Self {
            members: 1_000,
            orgs: 400,
            attackers_per_day: 300.0,
            strays: 0.03,
            shared: 8,
            peers: 0.0,
            appeal_hours: 8.0,
        }
    }

    /// For a test that has only seconds.
    #[allow(dead_code, reason = "each of the two programs uses its own")]
    pub(crate) const fn small() -> Self {
        Self {
            members: 300,
            orgs: 120,
            attackers_per_day: 90.0,
            ..Self::whole()
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) org: usize,
    pub(crate) asn: u32,
    pub(crate) network: Prefix,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    /// What the lists say it is.
    pub(crate) listed: Class,
    /// From when to when a ban of it hits nobody innocent.
    pub(crate) guilty: (u64, u64),
}

/// One attacker at one member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encounter {
    pub(crate) member: usize,
    pub(crate) address: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Exposure after which the member's own guard has seen enough.
    pub(crate) seen_after: u64,
    pub(crate) kind: usize,
}

/// A report that is wrong, by mistake or on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct False {
    pub(crate) at: u64,
    pub(crate) member: usize,
    pub(crate) address: usize,
    pub(crate) kind: usize,
    pub(crate) poison: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) size: Size,
    pub(crate) members: Vec<Member>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) encounters: Vec<Encounter>,
    pub(crate) falses: Vec<False>,
    /// Organisation and the innocents it talks with daily.
    pub(crate) peers: Vec<(usize, Vec<usize>)>,
    /// When each organisation joined.
    pub(crate) joined: Vec<u64>,
    pub(crate) founders: usize,
}

pub(crate) fn prefix(address: usize) -> Prefix {
    let low = u32::try_from(address).unwrap_or(u32::MAX) & 0x0001_ffff;
    Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 | low)))
}

impl World {
    pub(crate) fn new(seed: u64, poisoner: Poisoner, size: &Size) -> Self {
        let mut world = Self {
            seed,
            size: *size,
            members: Vec::new(),
            addresses: Vec::new(),
            encounters: Vec::new(),
            falses: Vec::new(),
            peers: Vec::new(),
            joined: vec![0; size.orgs],
            founders: 20,
        };
        // The world without a poisoner is the same for all of them.
        let mut dice = Dice::new(seed);
        world.people(&mut dice);
        world.innocents(&mut dice);
        world.mistakes(&mut dice);
        world.attackers(&mut dice);
        world.poison(poisoner, &mut Dice::new(seed ^ 0xbad0_5eed));
        assert!(
            world.addresses.len() < 1 << 17,
            "addresses must fit into their range"
        );
        world
    }

    fn people(&mut self, dice: &mut Dice) {
        let Size { members, orgs, .. } = self.size;
        let systems: Vec<u32> = (0..orgs).map(|_| dice.zipf(SYSTEMS) as u32).collect();
        for member in 0..members {
            let org = if member < orgs {
                member
            } else {
                dice.zipf(orgs)
            };
            self.add_member(org, 64_500 + systems[org]);
        }
    }

    fn add_member(&mut self, org: usize, asn: u32) -> usize {
        let member = self.members.len();
        let bits = 0x6440_0000 | (member as u32) << 8 | 9;
        let network = Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(bits)));
        self.members.push(Member { org, asn, network });
        member
    }

    fn add_org(&mut self, asn: u32, joined: u64) -> usize {
        self.joined.push(joined);
        self.add_member(self.joined.len() - 1, asn)
    }

    /// Their rank is how many talk with them; the address is the rank.
    fn innocents(&mut self, dice: &mut Dice) {
        for _ in 0..INNOCENTS {
            let class = match dice.below(1_000) {
                0..5 => Class::Never,
                5..35 => Class::Cloud,
                35..50 => Class::Monitoring,
                50..150 => Class::Shared,
                _ => Class::Plain,
            };
            let listed = if dice.chance(0.8) {
                class
            } else {
                Class::Plain
            };
            self.addresses.push(Address {
                listed,
                guilty: (0, 0),
            });
        }
        for org in 0..self.size.orgs {
            if dice.chance(self.size.peers) {
                let peers = (0..300).map(|_| dice.zipf(INNOCENTS)).collect();
                self.peers.push((org, peers));
            }
        }
    }

    fn mistakes(&mut self, dice: &mut Dice) {
        let mut at = 0.0;
        let every = 1.0 / (self.size.strays * self.size.members as f64);
        while at < 60.0 {
            at += dice.exponential(every);
            let (member, address) = (dice.below(self.size.members), dice.zipf(INNOCENTS));
            let (at, kind) = (days(at), dice.below(KINDS));
            self.falses.push(False {
                at,
                member,
                address,
                kind,
                poison: false,
            });
        }
        let mut at = 0.0;
        while at < 60.0 {
            at += dice.exponential(WRONG_RULES_EVERY_DAYS);
            let address = dice.below(200);
            for _ in 0..40 {
                let at = days(at) + (dice.unit() * 3.0 * HOUR as f64) as u64;
                let member = dice.below(self.size.members);
                let kind = WRONG_RULE;
                self.falses.push(False {
                    at,
                    member,
                    address,
                    kind,
                    poison: false,
                });
            }
        }
    }

    fn attackers(&mut self, dice: &mut Dice) {
        let mut at = 0.0;
        while at < 60.0 {
            at += dice.exponential(1.0 / self.size.attackers_per_day);
            let from = days(at);
            let lasts = dice.pareto(0.9, 1.0, 96.0) * HOUR as f64;
            let to = from + lasts as u64;
            let (class, listed, guilty) = match dice.below(100) {
                // Behind a carrier's NAT: never alone.
                n if n < self.size.shared => (Class::Shared, 0.7, (0, 0)),
                // A dynamic address, a rented machine: somebody else's afterwards.
                n if n < 2 * self.size.shared => (Class::Shared, 0.7, (0, to)),
                n if n < 2 * self.size.shared + 5 => (Class::Cloud, 0.9, (0, to)),
                _ => (Class::Plain, 1.0, (0, u64::MAX)),
            };
            let listed = if dice.chance(listed) {
                class
            } else {
                Class::Plain
            };
            let address = self.addresses.len();
            self.addresses.push(Address { listed, guilty });
            let victims = dice.pareto(1.1, 2.0, 300.0) as usize;
            let kind = dice.below(KINDS);
            for _ in 0..victims {
                let start = from + (dice.unit() * lasts) as u64;
                let long = dice.exponential(40.0).max(1.0) * MINUTE as f64;
                let seen = dice.exponential(5.0).max(0.1) * MINUTE as f64;
                self.encounters.push(Encounter {
                    member: dice.below(self.size.members),
                    address,
                    from: start,
                    to: start + long as u64,
                    seen_after: seen as u64,
                    kind,
                });
            }
        }
    }

    fn poison(&mut self, poisoner: Poisoner, dice: &mut Dice) {
        match poisoner {
            Poisoner::None => {}
            // One good target an hour, from an organisation that saw and told much until then.
            Poisoner::Slow => {
                let member = self.add_org(65_000, 0);
                self.eager(member, dice);
                self.name(&[member], POISON_FROM, END, HOUR, dice);
            }
            Poisoner::Colluders => {
                let members = [65_001, 65_002, 65_003].map(|asn| self.add_org(asn, 0));
                members.iter().for_each(|member| self.eager(*member, dice));
                self.name(&members, POISON_FROM, END, HOUR, dice);
            }
            // Forty members of two organisations, new, each night together.
            Poisoner::Sybil => {
                let first = [65_010, 65_011].map(|asn| self.add_org(asn, 35 * DAY));
                let mut members = first.to_vec();
                for n in 0..38 {
                    let Member { org, asn, .. } = self.members[first[n % 2]];
                    members.push(self.add_member(org, asn));
                }
                for night in 0..20 {
                    let from = POISON_FROM + night * DAY;
                    self.name(&members, from, from + HOUR, HOUR / 50, dice);
                }
            }
            // For two days, until it is found and thrown out: two hundred an hour.
            Poisoner::Hijacked => {
                let member = self.most_telling();
                self.name(
                    &[member],
                    POISON_FROM,
                    POISON_FROM + 2 * DAY,
                    HOUR / 200,
                    dice,
                );
            }
        }
    }

    /// Attackers find this member as they find five others.
    fn eager(&mut self, member: usize, dice: &mut Dice) {
        let more: Vec<Encounter> = self
            .encounters
            .iter()
            .copied()
            .filter(|_| dice.chance(5.0 / self.size.members as f64))
            .collect();
        for mut encounter in more {
            encounter.member = member;
            encounter.seen_after = (dice.exponential(5.0).max(0.1) * MINUTE as f64) as u64;
            self.encounters.push(encounter);
        }
    }

    fn name(&mut self, members: &[usize], from: u64, to: u64, every: u64, dice: &mut Dice) {
        let mut at = from;
        while at < to {
            // Good targets that matter: the first quarter, by who talks with them.
            let address = dice.below(INNOCENTS / 4);
            let kind = dice.below(KINDS);
            for (n, member) in members.iter().enumerate() {
                let at = at + n as u64 * 1_000;
                self.falses.push(False {
                    at,
                    member: *member,
                    address,
                    kind,
                    poison: true,
                });
            }
            at += every;
        }
    }

    /// A member of the founder that is attacked most.
    fn most_telling(&self) -> usize {
        let mut seen = vec![0u32; self.members.len()];
        for encounter in self.encounters.iter().filter(|e| e.from < MEASURED_FROM) {
            seen[encounter.member] += 1;
        }
        let founders = (0..self.members.len()).filter(|m| self.members[*m].org < self.founders);
        founders
            .max_by_key(|member| seen[*member])
            .unwrap_or_default()
    }
}

fn days(days: f64) -> u64 {
    (days * DAY as f64) as u64
}
