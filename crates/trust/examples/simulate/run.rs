//! Plays a world under a rule and measures.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::{
    dice::Dice,
    judges::{ASKED, Judge, Rule},
    world::{DAY, END, HOUR, INNOCENTS, MEASURED_FROM, World},
};

/// Hours, within the measured thirty days.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Innocent addresses in the community's ban set, summed over addresses.
    pub(crate) wrong: f64,
    /// Of these: named by the poisoner; by mistake; shared with or inherited from an attacker.
    pub(crate) poisoned: f64,
    pub(crate) mistaken: f64,
    pub(crate) shared: f64,
    /// Attackers at members that nothing held off, summed over members.
    pub(crate) attacks: f64,
    /// Innocent addresses in the own bans of single members; no rule decides about these.
    pub(crate) own_wrong: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    BanEnds(usize),
    Starts(usize),
    Seen { encounter: usize, epoch: u32 },
    False(usize),
    Appeal { address: usize, since: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Exposure {
    /// Exposed since, or held off.
    since: Option<u64>,
    seen: u64,
    epoch: u32,
}

struct Run<'a> {
    world: &'a World,
    judge: Box<dyn Judge>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    /// Community bans: since and until.
    bans: BTreeMap<usize, (u64, u64)>,
    own: BTreeMap<(usize, usize), u64>,
    exposures: Vec<Exposure>,
    /// Encounters in progress by address.
    active: BTreeMap<usize, BTreeSet<usize>>,
    poisoned: BTreeSet<usize>,
    dice: Dice,
    score: Score,
}

pub(crate) fn run(world: &World, rule: Rule) -> Score {
    let exposure = |e: &super::world::Encounter| Exposure {
        since: None,
        seen: e.seen_after,
        epoch: 0,
    };
    let mut run = Run {
        world,
        judge: rule.judge(world),
        queue: BinaryHeap::new(),
        order: 0,
        bans: BTreeMap::new(),
        own: BTreeMap::new(),
        exposures: world.encounters.iter().map(exposure).collect(),
        active: BTreeMap::new(),
        poisoned: BTreeSet::new(),
        dice: Dice::new(world.seed ^ 0xa99e_a150),
        score: Score::default(),
    };
    for (n, encounter) in world.encounters.iter().enumerate() {
        run.push(encounter.from, Event::Starts(n));
    }
    for (n, report) in world.falses.iter().enumerate() {
        run.push(report.at, Event::False(n));
    }
    while let Some(Reverse((now, _, event))) = run.queue.pop() {
        if now >= END {
            break;
        }
        run.happen(event, now);
    }
    run.close();
    run.score
}

impl Run<'_> {
    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, event)));
    }

    fn happen(&mut self, event: Event, now: u64) {
        match event {
            Event::BanEnds(address) => {
                if self
                    .bans
                    .get(&address)
                    .is_some_and(|(_, until)| *until <= now)
                {
                    self.lift(address, now);
                }
            }
            Event::Starts(n) => self.expose(n, now),
            Event::Seen { encounter, epoch } => self.seen(encounter, epoch, now),
            Event::False(n) => self.false_report(n, now),
            Event::Appeal { address, since } => {
                if self
                    .bans
                    .get(&address)
                    .is_some_and(|(from, _)| *from == since)
                {
                    for released in self.judge.reverse(address, now) {
                        self.lift(released, now);
                    }
                }
            }
        }
    }

    /// The attacker tries: what holds it off, and until when?
    fn expose(&mut self, n: usize, now: u64) {
        let encounter = self.world.encounters[n];
        if self.exposures[n].since.is_some() {
            return;
        }
        if now >= encounter.to {
            self.leave(n);
            return;
        }
        self.active.entry(encounter.address).or_default().insert(n);
        let own = self
            .own
            .get(&(encounter.member, encounter.address))
            .copied();
        let community = self.bans.get(&encounter.address).map(|(_, until)| *until);
        let until = own.max(community).filter(|until| *until > now);
        let exposure = &mut self.exposures[n];
        exposure.epoch += 1;
        if let Some(until) = until {
            exposure.since = None;
            self.push(until, Event::Starts(n));
            return;
        }
        exposure.since = Some(now);
        let (seen, epoch) = (now + exposure.seen, exposure.epoch);
        self.push(
            seen.min(encounter.to),
            Event::Seen {
                encounter: n,
                epoch,
            },
        );
    }

    fn leave(&mut self, n: usize) {
        if let Some(active) = self.active.get_mut(&self.world.encounters[n].address) {
            active.remove(&n);
        }
    }

    /// Exposure ends: it is counted, and the member's guard has seen so much more.
    fn shelter(&mut self, n: usize, now: u64) {
        let to = self.world.encounters[n].to;
        let exposure = &mut self.exposures[n];
        if let Some(since) = exposure.since.take() {
            let end = now.min(to);
            exposure.seen = exposure.seen.saturating_sub(end.saturating_sub(since));
            exposure.epoch += 1;
            self.score.attacks += measured(since, end);
        }
    }

    fn seen(&mut self, n: usize, epoch: u32, now: u64) {
        if self.exposures[n].epoch != epoch || self.exposures[n].since.is_none() {
            return;
        }
        self.shelter(n, now);
        let encounter = self.world.encounters[n];
        if self.exposures[n].seen > 0 || now >= encounter.to {
            self.leave(n);
            return;
        }
        self.own
            .insert((encounter.member, encounter.address), now + ASKED * 1_000);
        // The next time it takes as long again.
        self.exposures[n].seen = encounter.seen_after;
        self.push(now + ASKED * 1_000, Event::Starts(n));
        self.tell(encounter.member, encounter.address, encounter.kind, now);
    }

    fn false_report(&mut self, n: usize, now: u64) {
        let report = self.world.falses[n];
        if report.poison {
            self.poisoned.insert(report.address);
        } else {
            // A member does not see what is held off already.
            let own = self.own.get(&(report.member, report.address));
            if own.is_some_and(|until| *until > now) || self.bans.contains_key(&report.address) {
                return;
            }
            self.own
                .insert((report.member, report.address), now + ASKED * 1_000);
            self.score.own_wrong += measured(now, now + ASKED * 1_000);
        }
        self.tell(report.member, report.address, report.kind, now);
    }

    fn tell(&mut self, member: usize, address: usize, kind: usize, now: u64) {
        let Some(lasts) = self.judge.report(member, address, kind, now) else {
            return;
        };
        let until = now + lasts;
        let before = self.bans.get(&address).copied();
        if before.is_some_and(|(_, end)| end >= until) {
            return;
        }
        let since = before.map_or(now, |(since, _)| since);
        self.bans.insert(address, (since, until));
        self.push(until, Event::BanEnds(address));
        if before.is_some() {
            return;
        }
        if self.is_innocent(address) {
            let after = self.dice.exponential(self.world.size.appeal_hours) * HOUR as f64;
            self.push(
                now + after as u64,
                Event::Appeal {
                    address,
                    since: now,
                },
            );
        }
        for n in self.active.get(&address).cloned().unwrap_or_default() {
            if self.exposures[n].since.is_some() {
                self.shelter(n, now);
                self.push(until, Event::Starts(n));
            }
        }
    }

    /// Nobody attacks from there, ever.
    fn is_innocent(&self, address: usize) -> bool {
        address < INNOCENTS
    }

    fn lift(&mut self, address: usize, now: u64) {
        let Some((since, _)) = self.bans.remove(&address) else {
            return;
        };
        self.count(address, since, now);
        for n in self.active.get(&address).cloned().unwrap_or_default() {
            if self.exposures[n].since.is_none() {
                self.expose(n, now);
            }
        }
    }

    fn count(&mut self, address: usize, since: u64, until: u64) {
        let (from, to) = self.world.addresses[address].guilty;
        let all = measured(since, until);
        let wrong = all - measured(since.max(from), until.min(to).max(since.max(from)));
        self.score.wrong += wrong;
        if !self.is_innocent(address) {
            self.score.shared += wrong;
        } else if self.poisoned.contains(&address) {
            self.score.poisoned += wrong;
        } else {
            self.score.mistaken += wrong;
        }
    }

    fn close(&mut self) {
        for (address, (since, _)) in std::mem::take(&mut self.bans) {
            self.count(address, since, END);
        }
        for n in 0..self.exposures.len() {
            self.shelter(n, END);
        }
    }
}

fn measured(from: u64, to: u64) -> f64 {
    let (from, to) = (from.max(MEASURED_FROM), to.min(END));
    to.saturating_sub(from) as f64 / HOUR as f64
}

const _: () = assert!(MEASURED_FROM.is_multiple_of(DAY));
