//! Too much at once is held, told of, and let in slowly.

use std::collections::BTreeSet;

use crate::world::*;
use fleet::*;

fn flood_of(world: &mut World, seed: u8, count: u32) {
    for first in (0..count).step_by(1_000) {
        let hosts = first..(first + 1_000).min(count);
        let ops = hosts.map(|n| {
            ban(
                p(&format!("2001:db8:{:x}:{:x}::/64", n >> 16, n & 0xffff)),
                86_400,
            )
        });
        world.say(seed, ops.collect()).unwrap();
        world.commit();
    }
}

fn deliver_all(world: &mut World) {
    while !world.stream.is_empty() {
        world.deliver().unwrap();
    }
}

#[test]
fn a_hundred_thousand_at_once_are_held_told_and_reversible() {
    let mut world = World::new();
    world.connect();
    flood_of(&mut world, MEMBER, 100_000);
    deliver_all(&mut world);
    let flood = Flood::default();
    assert_eq!(world.kernel.len(), flood.burst as usize);
    assert_eq!(world.follower.held(), 80_000);
    let alarms = world
        .effects
        .iter()
        .filter(|e| matches!(e, Effect::Alarm(_)));
    assert_eq!(alarms.count(), 1, "a flood is told once");
    assert_eq!(
        world.follower.digest(),
        world.set.digest(),
        "the copy is whole"
    );

    // Half of it is reversed while it waits.
    let mut waiting = BTreeSet::new();
    world.set.for_each(&mut |entry| {
        if !world.kernel.contains_key(&entry.prefix) {
            waiting.insert(entry.prefix);
        }
    });
    let half: Vec<_> = waiting.iter().copied().take(40_000).collect();
    for chunk in half.chunks(1_000) {
        let ops = chunk.iter().map(|prefix| release_of(*prefix, "member"));
        world.say(HUB, ops.collect()).unwrap();
    }
    world.commit();
    deliver_all(&mut world);
    assert_eq!(world.follower.held(), 40_000);

    // Nothing moves before the time is up, then it moves at the rate.
    world.pass(u64::from(flood.hold_seconds) - 1);
    world.tick();
    assert_eq!(world.kernel.len(), 20_000);
    for _ in 0..300 {
        world.pass(1);
        world.tick();
    }
    assert_eq!(world.follower.held(), 0);
    assert_eq!(world.in_kernel(), world.wanted());
    assert!(half.iter().all(|prefix| !world.kernel.contains_key(prefix)));
}

#[test]
fn the_operator_can_let_a_flood_in() {
    let mut world = World::new();
    world.connect();
    flood_of(&mut world, MEMBER, 30_000);
    deliver_all(&mut world);
    let (here, mut puts) = (world.here(), 0);
    let applied = world
        .follower
        .let_in(&org("member"), here, &mut |_| puts += 1);
    assert_eq!((applied.unwrap().added, puts), (10_000, 10_000));
    assert_eq!(world.follower.held(), 0);
}

#[test]
fn two_hundred_a_second_are_no_flood_and_a_first_snapshot_is_none() {
    let mut world = World::new();
    world.connect();
    for second in 0..200u16 {
        let ops = (0..200).map(|n| ban(p(&format!("10.{}.{second}.{n}", second >> 8)), 86_400));
        world.say(HUB, ops.collect()).unwrap();
        world.commit();
        world.pass(1);
        deliver_all(&mut world);
        world.tick();
    }
    assert_eq!((world.follower.held(), world.kernel.len()), (0, 40_000));

    world.follower = Follower::new(follower_config());
    world.kernel.clear();
    world.connect();
    deliver_all(&mut world);
    assert_eq!((world.follower.held(), world.kernel.len()), (0, 40_000));
}

#[test]
fn a_policy_says_which_bans_count_and_can_change() {
    let mut world = World::new();
    let picky = Acceptance {
        orgs: Some(BTreeSet::new()),
        kinds: vec!["ssh*".to_owned()],
        width_v4_min: 24,
        seconds_max: 600,
        ..Acceptance::default()
    };
    let config = FollowerConfig {
        acceptance: picky.clone(),
        ..follower_config()
    };
    world.follower = Follower::new(config);
    world.connect();
    let hub = vec![
        ban(host(1), 86_400),
        ban(p("0.0.0.0/0"), 60),
        ban(p("10.0.0.0/8"), 60),
        kind_of_ban(host(2), 60, "http-probing"),
    ];
    world.say(HUB, hub).unwrap();
    world.say(MEMBER, vec![ban(host(3), 60)]).unwrap();
    world.settle();
    assert_eq!(world.kernel.keys().copied().collect::<Vec<_>>(), [host(1)]);
    assert_eq!(
        world.kernel[&host(1)] - world.now,
        std::time::Duration::from_secs(600)
    );
    let refused: Vec<_> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Refused(Refused::Unwanted { prefix, why, .. }) => Some((*prefix, *why)),
            _ => None,
        })
        .collect();
    let wide = Unwanted::Width { min: 24 };
    let wanted = [
        (p("0.0.0.0/0"), wide),
        (p("10.0.0.0/8"), wide),
        (host(2), Unwanted::Kind),
        (host(3), Unwanted::Org),
    ];
    assert_eq!(refused, wanted);
    assert_eq!(world.applied.iter().map(|a| a.refused).sum::<usize>(), 4);

    let (here, mut effects) = (world.here(), Vec::new());
    let open = Acceptance {
        orgs: None,
        kinds: vec!["http*".to_owned()],
        ..picky
    };
    world
        .follower
        .set_acceptance(open, here, &mut |e| effects.push(e));
    world.carry_out(&effects);
    assert_eq!(world.kernel.keys().copied().collect::<Vec<_>>(), [host(2)]);
}

#[test]
fn one_organisation_has_so_many_bans_at_most() {
    let mut world = World::new();
    let config = FollowerConfig {
        acceptance: Acceptance {
            bans_per_issuer_max: 5,
            ..take_all()
        },
        ..follower_config()
    };
    world.follower = Follower::new(config);
    world.connect();
    world
        .say(MEMBER, (0..8).map(|n| ban(host(n), 60)).collect())
        .unwrap();
    world
        .say(HUB, (8..11).map(|n| ban(host(n), 60)).collect())
        .unwrap();
    world.settle();
    assert_eq!(world.kernel.len(), 5 + 3);
    assert_eq!(world.follower.digest(), world.set.digest());
}
