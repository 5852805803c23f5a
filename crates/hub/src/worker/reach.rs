//! How far the connected guards have come: which generation of a community all of them have in
//! their kernels, by what each told last. Looked at every few seconds while somebody lags, and on
//! the ledger once for each step forward, so that a case can say when its ban was everywhere.
//!
//! What is not told is not reckoned: a guard that has said nothing since the hub started has
//! reached nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fleet::{CommunityId, api::KernelStanding};
use model::{Entry, FleetAct, Timestamp};
use tokio::time::Instant;

use super::{Worker, wall_clock};

pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a start, until those that come back have said how they are.
const SETTLE: Duration = Duration::from_secs(15);
/// Whoever lacks what is older than this no longer keeps the others' step from being recorded.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// Generations remembered with their moments.
const MOMENTS_MAX: usize = (LATE_AFTER.as_secs() / LOOK_EVERY.as_secs()) as usize + 2;

/// What a connected guard told of one community.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    generation: u64,
    kernel: KernelStanding,
}

/// Who is there.
#[derive(Debug, Default)]
struct Roll {
    connected: Vec<Told>,
    away: u64,
}

/// A step that all have taken, those left out that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    generation: u64,
    connected: u64,
    behind: u64,
    observing: u64,
}

#[derive(Default)]
pub(super) struct Reach {
    /// The last step on record, and how many were behind then.
    generation: u64,
    behind: u64,
    /// The community's generation at the last looks, the oldest first.
    moments: VecDeque<(Instant, u64)>,
}

impl Reach {
    /// Whether a look can find anything new.
    fn is_open(&self, current: u64) -> bool {
        current > self.generation || self.behind > 0
    }

    fn look(&mut self, now: Instant, current: u64, told: &[Told]) -> Option<Step> {
        self.moments.push_back((now, current));
        let is_late = |(at, _): &(Instant, u64)| now.duration_since(*at) >= LATE_AFTER;
        // The youngest of those that are old enough stays, to be held against.
        while self.moments.len() > MOMENTS_MAX || self.moments.get(1).is_some_and(is_late) {
            self.moments.pop_front();
        }
        let late_below = self.moments.front().filter(|m| is_late(m)).map(|(_, g)| *g);
        let step = step(told, self.generation, self.behind, late_below)?;
        (self.generation, self.behind) = (step.generation, step.behind);
        Some(step)
    }
}

fn step(told: &[Told], last: u64, was_behind: u64, late_below: Option<u64>) -> Option<Step> {
    let observes = |t: &&Told| t.kernel == KernelStanding::Observing;
    let observing = told.iter().filter(observes).count() as u64;
    let reached: Vec<u64> = told
        .iter()
        .filter(|t| !observes(t))
        .map(|t| match t.kernel {
            KernelStanding::Behind => 0,
            KernelStanding::InStep | KernelStanding::Untold | KernelStanding::Observing => {
                t.generation
            }
        })
        .collect();
    let made = |generation, behind| Step {
        generation,
        connected: reached.len() as u64,
        behind,
        observing,
    };
    let all = *reached.iter().min()?;
    if all > last || (all == last && was_behind > 0) {
        return Some(made(all, 0));
    }
    let floor = late_below.filter(|floor| *floor > last)?;
    let in_time = reached.iter().filter(|g| **g >= floor);
    let behind = reached.iter().filter(|g| **g < floor).count() as u64;
    Some(made(*in_time.min()?, behind))
}

impl Worker {
    /// What is new goes on the ledger; nobody waits for it.
    pub(super) fn look_how_far(&mut self, running_since: Instant) {
        let now = Instant::now();
        if now.duration_since(running_since) < SETTLE {
            return;
        }
        let current = self.circles.iter().map(|(id, circle)| {
            let generation = circle.set.generation().0;
            (id.clone(), generation)
        });
        let current: Vec<(CommunityId, u64)> = current.collect();
        for (community, generation) in current {
            let is_open = |reach: &Reach| reach.is_open(generation);
            if !self.reaches.get(&community).is_none_or(is_open) {
                continue;
            }
            let roll = self.roll(&community);
            let reach = self.reaches.entry(community.clone()).or_default();
            if let Some(step) = reach.look(now, generation, &roll.connected) {
                self.record_step(wall_clock(), &community, step, roll.away);
            }
        }
    }

    fn record_step(&self, at: Timestamp, community: &CommunityId, step: Step, away: u64) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        recorder.offer(vec![Entry::Fleet(FleetAct::Reached {
            at,
            community: community.to_string(),
            generation: step.generation,
            connected: step.connected,
            away,
            behind: step.behind,
            observing: step.observing,
        })]);
    }

    /// Members of the community that follow it: those with a stream, and how many have none.
    fn roll(&self, community: &CommunityId) -> Roll {
        let mut roll = Roll::default();
        let view = self.shared.view();
        let Some(known) = view.registry.communities.get(community) else {
            return roll;
        };
        let presences = self.shared.presences.look();
        let members = view.registry.members.values();
        let members = members.filter(|m| {
            let belongs = m.communities.contains(community);
            belongs && !m.revoked && m.role.follows() && known.members.contains(&m.organisation)
        });
        for member in members {
            let place = (member.organisation.clone(), member.name.clone());
            let Some(presence) = presences.get(&place).filter(|p| p.streams > 0) else {
                roll.away += 1;
                continue;
            };
            let here = presence.here.as_ref();
            let told = here.map(|here| here.communities.iter().find(|c| c.community == *community));
            match told {
                Some(Some(told)) => roll.connected.push(Told {
                    generation: told.generation.0,
                    kernel: told.kernel,
                }),
                // Its operator wants nothing of this community.
                Some(None) => {}
                None => roll.connected.push(Told {
                    generation: 0,
                    kernel: KernelStanding::Untold,
                }),
            }
        }
        roll
    }
}

pub(super) type Reaches = BTreeMap<CommunityId, Reach>;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(generation: u64) -> Told {
        Told {
            generation,
            kernel: KernelStanding::InStep,
        }
    }

    fn made(generation: u64, connected: u64, behind: u64) -> Option<Step> {
        Some(Step {
            generation,
            connected,
            behind,
            observing: 0,
        })
    }

    #[test]
    fn a_step_is_told_once_and_only_when_all_have_taken_it() {
        let (mut reach, now) = (Reach::default(), Instant::now());
        assert_eq!(reach.look(now, 5, &[]), None, "nobody is there");
        assert_eq!(reach.look(now, 5, &[told(5), told(0)]), None);
        assert_eq!(reach.look(now, 5, &[told(5), told(4)]), made(4, 2, 0));
        assert_eq!(reach.look(now, 5, &[told(5), told(4)]), None);
        assert_eq!(reach.look(now, 5, &[told(5), told(5)]), made(5, 2, 0));
        assert!(!reach.is_open(5) && reach.is_open(6));
    }

    #[test]
    fn one_that_stays_behind_is_counted_after_a_minute_and_told_of_when_it_comes() {
        let (mut reach, start) = (Reach::default(), Instant::now());
        let all = [told(9), told(7), told(9)];
        assert_eq!(reach.look(start, 7, &[told(7); 3]), made(7, 3, 0));
        let mut at = start;
        let mut found = None;
        while found.is_none() {
            at += LOOK_EVERY;
            assert!(at < start + LATE_AFTER * 2, "never told of");
            found = reach.look(at, 9, &all);
        }
        assert_eq!(found, made(9, 3, 1));
        assert!(at >= start + LATE_AFTER);
        assert!(reach.is_open(9), "the late one is still waited for");
        assert_eq!(reach.look(at, 9, &all), None);
        assert_eq!(reach.look(at, 9, &[told(9); 3]), made(9, 3, 0));
        assert!(reach.moments.len() <= MOMENTS_MAX);
    }

    #[test]
    fn a_kernel_that_is_behind_or_only_watched_has_not_reached_it() {
        let as_is = |kernel| Told {
            generation: 5,
            kernel,
        };
        let behind = [told(5), as_is(KernelStanding::Behind)];
        assert_eq!(Reach::default().look(Instant::now(), 5, &behind), None);
        let watched = [told(5), as_is(KernelStanding::Observing)];
        let step = Reach::default().look(Instant::now(), 5, &watched).unwrap();
        assert_eq!((step.connected, step.observing), (1, 1));
        let only = [as_is(KernelStanding::Observing)];
        assert_eq!(Reach::default().look(Instant::now(), 5, &only), None);
        let older = [as_is(KernelStanding::Untold)];
        assert_eq!(
            Reach::default().look(Instant::now(), 5, &older),
            made(5, 1, 0)
        );
    }
}
