//! Whatever happens on the way, hub, guard and kernel end up with the same bans.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::world::*;
use fleet::*;

#[derive(Clone, Debug)]
enum Step {
    HubBan(u16, u32, bool),
    MemberBan(u16, u32, bool),
    HubRelease(u16),
    MemberRelease(u16),
    ReleaseOf(u16),
    Pass(u64),
    Commit,
    Digest,
    Deliver(u8),
    Lose(u8),
    Duplicate,
    Reorder,
    Connect,
    Store,
    RestartHub,
    RestartGuard,
    Tick,
}

fn a_step() -> impl Strategy<Value = Step> {
    let place = || 0u16..12;
    let lasts = || prop_oneof![1u32..200, 3_000u32..8_000];
    prop_oneof![
        6 => (place(), lasts(), any::<bool>()).prop_map(|(p, l, k)| Step::HubBan(p, l, k)),
        4 => (place(), lasts(), any::<bool>()).prop_map(|(p, l, k)| Step::MemberBan(p, l, k)),
        2 => place().prop_map(Step::HubRelease),
        2 => place().prop_map(Step::MemberRelease),
        2 => place().prop_map(Step::ReleaseOf),
        3 => (1u64..90).prop_map(Step::Pass),
        5 => Just(Step::Commit),
        2 => Just(Step::Digest),
        5 => (1u8..5).prop_map(Step::Deliver),
        1 => (1u8..3).prop_map(Step::Lose),
        1 => Just(Step::Duplicate),
        1 => Just(Step::Reorder),
        2 => Just(Step::Connect),
        1 => Just(Step::Store),
        1 => Just(Step::RestartHub),
        1 => Just(Step::RestartGuard),
        2 => Just(Step::Tick),
    ]
}

fn kind(other: bool) -> &'static str {
    if other { "scan" } else { "ssh" }
}

fn go(world: &mut World, step: Step) {
    match step {
        Step::HubBan(n, lasts, k) => {
            world
                .say(HUB, vec![kind_of_ban(host(n), lasts, kind(k))])
                .unwrap();
        }
        Step::MemberBan(n, lasts, k) => {
            let more = kind_of_ban(p("2001:db8:5::/48"), lasts, kind(k));
            world
                .say(MEMBER, vec![kind_of_ban(host(n), lasts, kind(k)), more])
                .unwrap();
        }
        Step::HubRelease(n) => drop(world.say(HUB, vec![release(host(n))]).unwrap()),
        Step::MemberRelease(n) => drop(world.say(MEMBER, vec![release(host(n))]).unwrap()),
        Step::ReleaseOf(n) => {
            world
                .say(
                    HUB,
                    vec![ban(host(n + 1), 50), release_of(host(n), "member")],
                )
                .unwrap();
        }
        Step::Pass(seconds) => world.pass(seconds),
        Step::Commit => world.commit(),
        Step::Digest => world.send_digest(),
        Step::Deliver(n) => {
            for _ in 0..n {
                if world.deliver().is_err() {
                    world.connect();
                }
            }
        }
        Step::Lose(n) => (0..n).for_each(|_| drop(world.stream.pop_front())),
        Step::Duplicate => {
            let again = world.stream.front().cloned();
            world.stream.extend(again);
        }
        Step::Reorder => {
            if world.stream.len() > 1 {
                world.stream.swap(0, 1);
            }
        }
        Step::Connect => world.connect(),
        Step::Store => world.store(),
        Step::RestartHub => {
            world.restart_hub();
            world.connect();
        }
        Step::RestartGuard => {
            world.restart_guard();
            world.connect();
        }
        Step::Tick => world.tick(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn hub_guard_and_kernel_agree(steps in proptest::collection::vec(a_step(), 1..120)) {
        let mut world = World::new();
        world.connect();
        let mut generation = Generation::ZERO;
        for step in steps {
            go(&mut world, step);
            prop_assert!(world.follower.generation() >= generation, "went back");
            generation = world.follower.generation();
        }
        // The last word may lie before the hub's memory of what it had asked.
        world.pass(4_000);
        world.settle();
        prop_assert_eq!(world.follower.generation(), world.set.generation());
        prop_assert_eq!(world.follower.digest(), world.set.digest());
        prop_assert_eq!(world.follower.len(), world.set.len());
        let (wanted, kernel) = (world.wanted(), world.in_kernel());
        for (prefix, end) in &wanted {
            let found = kernel.get(prefix);
            prop_assert!(found.is_some_and(|found| found >= end), "{prefix} is missing");
        }
        // A frame that lay on the way for a while makes a ban longer by that while.
        for (prefix, end) in &kernel {
            let late = wanted.get(prefix).map_or(world.now, |wanted| *wanted);
            prop_assert!(end.saturating_sub(late).as_secs() < 12_000, "{prefix} stays");
        }
        let mut mine = Vec::new();
        world.follower.for_each(world.here(), &mut |prefix, _| mine.push(prefix));
        prop_assert_eq!(mine, wanted.into_keys().collect::<Vec<_>>());
    }

    /// With every frame delivered at once, the kernel's ends are the hub's to the millisecond.
    #[test]
    fn ends_are_exact(steps in proptest::collection::vec(a_step(), 1..80)) {
        let mut world = World::new();
        world.connect();
        for step in steps {
            if !matches!(step, Step::Lose(_) | Step::Reorder | Step::Duplicate | Step::Pass(_)) {
                go(&mut world, step.clone());
            }
            world.commit();
            while !world.stream.is_empty() {
                world.deliver().unwrap();
            }
            if let Step::Pass(seconds) = step {
                world.pass(seconds);
                world.set.sweep(world.hub_now());
            }
            prop_assert_eq!(world.in_kernel(), world.wanted());
        }
    }
}

#[test]
fn a_restored_hub_is_the_same() {
    let mut world = World::new();
    world
        .say(HUB, vec![ban(host(1), 7_200), ban(p("192.0.2.0/24"), 90)])
        .unwrap();
    world
        .say(MEMBER, vec![ban(host(1), 600), ban(host(2), 600)])
        .unwrap();
    world.store();
    world.pass(10);
    world.say(MEMBER, vec![release(host(2))]).unwrap();
    world.commit();
    let (generation, digest) = (world.set.generation(), world.set.digest());
    world.restart_hub();
    assert_eq!(
        (world.set.generation(), world.set.digest()),
        (generation, digest)
    );
    assert_eq!(world.set.len(), 3);
    let next = world.set.next_sequence(key(MEMBER).id());
    assert_eq!(next, 3, "sequences survive");
}

#[test]
fn a_release_leaves_others_bans() {
    let mut world = World::new();
    world.connect();
    world.say(HUB, vec![ban(host(1), 100)]).unwrap();
    world.say(MEMBER, vec![ban(host(1), 50)]).unwrap();
    world.settle();
    world.say(HUB, vec![release(host(1))]).unwrap();
    world.settle();
    assert_eq!(world.kernel[&host(1)], world.wanted()[&host(1)]);
    assert!(
        world
            .set
            .bans_on(host(1))
            .iter()
            .all(|entry| entry.issuer == org("member"))
    );
    world.say(HUB, vec![release_of(host(1), "member")]).unwrap();
    world.settle();
    assert!(world.kernel.is_empty() && world.set.is_empty());
}

#[test]
fn a_hub_that_is_gone_takes_nothing_away() {
    let mut world = World::new();
    world.connect();
    world.say(HUB, vec![ban(host(1), 86_400)]).unwrap();
    world.settle();
    for _ in 0..100 {
        world.pass(800);
        world.tick();
    }
    assert!(world.in_kernel().contains_key(&host(1)));
    assert!(
        !world
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Release { .. }))
    );
    world.pass(10_000);
    world.tick();
    assert!(world.follower.is_empty(), "what has ended is forgotten");
    assert!(world.in_kernel().is_empty());
}

#[test]
fn a_guards_wall_clock_never_enters() {
    // The hub's time may be anything at all against the guard's.
    let mut world = World::new();
    world.hub_zero = HubTime(77);
    world.set = BanSet::new(set_config());
    world.set.enroll(enrolled("hub", HUB, 1)).unwrap();
    world.connect();
    world.say(HUB, vec![ban(host(1), 100)]).unwrap();
    world.settle();
    let left = world.kernel[&host(1)] - world.now;
    assert!(left.as_secs().abs_diff(100) <= 1, "{left:?}");
}

#[test]
fn a_ban_cut_short_while_the_guard_was_away_goes_by_the_snapshot() {
    let mut world = World::new();
    world.connect();
    let steps = [
        Step::MemberBan(0, 4_055, false),
        Step::Connect,
        Step::Deliver(2),
        Step::HubBan(0, 1, false),
        Step::Commit,
        Step::HubBan(0, 1, false),
        Step::Commit,
        Step::HubBan(0, 1, false),
        Step::Commit,
        Step::HubBan(0, 1, false),
        Step::Store,
        Step::MemberBan(0, 1, false),
        Step::Pass(2),
        // The frames that the guard lacks are gone: the hub offers a snapshot.
        Step::RestartHub,
    ];
    for step in steps {
        go(&mut world, step);
    }
    assert!(world.in_kernel().contains_key(&host(0)));
    world.settle();
    assert_eq!(world.follower.digest(), world.set.digest());
    assert_eq!(world.in_kernel(), BTreeMap::new());
}
