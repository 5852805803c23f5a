//! A million bans: bytes, time and memory.

use std::{net::Ipv4Addr, time::Instant};

use model::Prefix;

use crate::world::*;
use fleet::*;

const MILLION: usize = 1_000_000;

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random addresses with ends at random to the minute within a week.
fn fill(world: &mut World) {
    let mut dice = 42;
    while world.set.len() < MILLION {
        let ops = (0..STATEMENT_OPS_MAX).map(|_| {
            let addr = Ipv4Addr::from_bits(next(&mut dice) as u32);
            let minutes = 60 + next(&mut dice) % (7 * 1_440 - 60);
            ban(
                Prefix::host(addr.into()),
                u32::try_from(minutes * 60).unwrap(),
            )
        });
        let mut ops: Vec<_> = ops.collect();
        ops.truncate(MILLION - world.set.len());
        world.say(HUB, ops).unwrap();
        world.set.commit(world.hub_now());
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_million_bans_take_less_than_four_megabytes() {
    let mut world = World::new();
    let before = resident_kib();
    let start = Instant::now();
    fill(&mut world);
    let filled = start.elapsed();
    let hub_kib = resident_kib().saturating_sub(before);
    let start = Instant::now();
    let snapshot = world.set.snapshot(&key(HUB), world.hub_now()).unwrap();
    println!(
        "1,000,000 bans: hub {} MiB after {filled:?}, snapshot {} bytes in {:?}",
        hub_kib >> 10,
        snapshot.bytes.len(),
        start.elapsed(),
    );
    assert!(
        snapshot.bytes.len() <= 3_600_000,
        "{}",
        snapshot.bytes.len()
    );
    world.snapshots.insert(snapshot.hash, snapshot.bytes);

    let before = resident_kib();
    let frame = Frame {
        body: Body::Offer(Offer {
            hash: snapshot.hash,
            generation: snapshot.generation,
            bytes: 0,
        }),
        ..world.set.hello(0, world.hub_now())
    };
    let (here, mut puts) = (world.here(), 0);
    world
        .follower
        .take_frame(&body_of(&frame), here, &mut |_| {})
        .unwrap();
    let bytes = &world.snapshots[&snapshot.hash];
    let start = Instant::now();
    let applied = world.follower.take_snapshot(bytes, here, &mut |effect| {
        puts += usize::from(matches!(effect, Effect::Put { .. }));
    });
    println!(
        "guard: {:?}, {} MiB more",
        start.elapsed(),
        resident_kib().saturating_sub(before) >> 10
    );
    assert_eq!((applied.unwrap().added, puts), (MILLION, MILLION));
    assert_eq!(world.follower.digest(), world.set.digest());
    let start = Instant::now();
    let saved = world.follower.save(here);
    println!("saved: {} bytes in {:?}", saved.len(), start.elapsed());
    let mut puts = 0;
    let each = &mut |_| puts += 1;
    let zero = std::time::Duration::ZERO;
    let again = Follower::restore(follower_config(), &saved, zero, here, each).unwrap();
    assert_eq!((again.digest(), puts), (world.set.digest(), MILLION));
}
