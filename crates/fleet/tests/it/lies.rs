//! A hub that lies, replays or breaks changes nothing at a guard, and every refusal is told.

use crate::world::*;
use fleet::*;

/// The guard has one ban of the hub's and one of the member's.
fn at_peace() -> World {
    let mut world = World::new();
    world.connect();
    world.say(HUB, vec![ban(host(1), 86_400)]).unwrap();
    world.say(MEMBER, vec![ban(host(2), 86_400)]).unwrap();
    world.settle();
    assert_eq!(world.kernel.len(), 2);
    world.effects.clear();
    world
}

fn change(world: &World, leap: u64, statements: Vec<SignedStatement>) -> Frame {
    let from = world.follower.generation();
    let at = world.hub_now();
    let accepted = |signed| Accepted { at, signed };
    Frame {
        community: community(),
        from,
        to: Generation(from.0 + leap),
        now: at,
        body: Body::Change {
            roster: Vec::new(),
            statements: statements.into_iter().map(accepted).collect(),
        },
    }
}

/// Nothing of the frame was taken; the refusal is returned.
fn refused(world: &mut World, frame: &Frame) -> FollowError {
    let (kernel, generation) = (world.kernel.clone(), world.follower.generation());
    let digest = world.follower.digest();
    let error = world.take(&body_of(frame)).unwrap_err();
    assert_eq!(world.kernel, kernel);
    assert_eq!(
        (world.follower.generation(), world.follower.digest()),
        (generation, digest)
    );
    error
}

#[test]
fn a_statement_nobody_signed_is_refused() {
    let mut world = at_peace();
    // A key that no roster names, though it says that it is the hub's.
    let stranger = signed(77, 1, world.hub_now(), vec![ban(host(9), 60)]);
    let frame = change(&world, 1, vec![stranger]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::UnknownKey { .. })),
        "{error}"
    );
    assert_eq!(error.remedy(), Remedy::BackOff);
    assert!(matches!(
        &world.effects[..],
        [Effect::Refused(Refused::Statement {
            key: Some(_),
            why: FleetError::UnknownKey { .. }
        })]
    ));

    // The member's bytes with one bit changed.
    let honest = signed(MEMBER, 50, world.hub_now(), vec![ban(host(9), 60)]);
    let mut bytes = honest.encode();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    if let Ok(forged) = SignedStatement::decode(&bytes) {
        let frame = change(&world, 1, vec![forged]);
        let error = refused(&mut world, &frame);
        assert!(matches!(error, FollowError::Fleet(_)), "{error}");
    }
}

#[test]
fn a_replayed_statement_is_refused() {
    let mut world = at_peace();
    let old = world.frames.iter().find_map(|frame| match &frame.body {
        Body::Change { statements, .. } => statements.last().cloned(),
        _ => None,
    });
    let old = old.unwrap().signed;
    world.say(MEMBER, vec![release(host(2))]).unwrap();
    world.settle();
    let frame = change(&world, 1, vec![old.clone()]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::Replayed { .. })),
        "{error}"
    );
    let again = world.set.accept(old, world.hub_now());
    assert!(
        matches!(again, Err(FleetError::Replayed { .. })),
        "the hub refuses it, too"
    );
}

#[test]
fn an_old_statement_cannot_be_dated_anew() {
    let mut world = at_peace();
    let kept_back = signed(MEMBER, 50, world.hub_now(), vec![ban(host(9), 3_600)]);
    world.pass(86_400);
    world.send_digest();
    world.deliver().unwrap();
    let frame = change(&world, 1, vec![kept_back]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::WrongTime { .. })),
        "{error}"
    );
}

#[test]
fn a_frame_read_twice_or_too_late_changes_nothing() {
    let mut world = at_peace();
    world.say(MEMBER, vec![release(host(2))]).unwrap();
    world.settle();
    let kernel = world.kernel.clone();
    for frame in world.frames.clone() {
        // The stream's time goes back, or the generation is an old one: both change nothing.
        let _ = world.take(&body_of(&frame));
        let now = Frame {
            now: world.hub_now(),
            ..frame
        };
        assert_eq!(world.take(&body_of(&now)), Ok(()));
    }
    assert_eq!(world.kernel, kernel);
    world.settle();
    assert_eq!(world.kernel, kernel);
}

#[test]
fn generations_neither_leap_nor_go_back() {
    let mut world = at_peace();
    let good = signed(MEMBER, 50, world.hub_now(), vec![ban(host(9), 60)]);
    let frame = change(&world, 1_000_000, vec![good.clone()]);
    let error = refused(&mut world, &frame);
    assert!(matches!(error, FollowError::Leap { .. }), "{error}");
    let frame = change(&world, 1, Vec::new());
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Leap { .. }),
        "an empty change: {error}"
    );
    let ahead = Frame {
        from: Generation(world.follower.generation().0 + 5),
        to: Generation(world.follower.generation().0 + 6),
        ..change(&world, 1, vec![good])
    };
    let error = refused(&mut world, &ahead);
    assert!(matches!(error, FollowError::Gap { .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::Reconnect);

    // A hub that lost its memory says so by its hello.
    world.follower.connected();
    let mut poor = BanSet::new(set_config());
    poor.enroll(enrolled("hub", HUB, 1)).unwrap();
    world.effects.clear();
    let hello = poor.hello(0, world.hub_now());
    world.take(&body_of(&hello)).unwrap();
    assert!(matches!(
        &world.effects[..],
        [Effect::Alarm(Alarm::Behind { .. })]
    ));
    assert_eq!(world.kernel.len(), 2);
}

#[test]
fn a_roster_entry_of_another_key_is_refused() {
    let mut world = at_peace();
    let forged = SignedRosterEntry::sign(roster_entry("police", 66, 900), &key(HUB));
    let hello = Frame {
        body: Body::Hello {
            roster: vec![forged],
        },
        ..world.set.hello(0, world.hub_now())
    };
    let error = refused(&mut world, &hello);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::BadSignature { .. })),
        "{error}"
    );
    assert!(matches!(
        &world.effects[..],
        [Effect::Refused(Refused::Roster { .. })]
    ));
    // A key cannot be moved to another organisation, not even by the roster key.
    let moved = enrolled("police", MEMBER, 901);
    let error = world.set.enroll(moved).unwrap_err();
    assert!(matches!(error, FleetError::NotTheirs { .. }), "{error}");
}

#[test]
fn a_stolen_key_is_refused_once_it_is_revoked() {
    let mut world = at_peace();
    world.say(MEMBER, vec![ban(host(5), 60)]).unwrap();
    let gone = RosterEntry {
        standing: Standing::Revoked,
        ..roster_entry("member", MEMBER, 10)
    };
    let gone = SignedRosterEntry::sign(gone, &key(ROSTER));
    world.set.enroll(gone).unwrap();
    let said = world.say(MEMBER, vec![ban(host(9), 60)]);
    assert!(matches!(said, Err(FleetError::RevokedKey { .. })));
    world.settle();
    assert!(
        world.kernel.contains_key(&host(5)),
        "said before the same frame revoked the key"
    );
    let late = signed(MEMBER, 60, world.hub_now(), vec![ban(host(9), 60)]);
    let frame = change(&world, 1, vec![late]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::RevokedKey { .. })),
        "{error}"
    );
    assert_eq!(
        world.kernel.len(),
        3,
        "earlier bans stay until the hub releases them"
    );
}

#[test]
fn a_witness_bans_nobody_and_members_release_only_their_own() {
    let mut world = at_peace();
    let witness = RosterEntry {
        role: Role::Witness,
        ..roster_entry("witness", 8, 20)
    };
    world
        .set
        .enroll(SignedRosterEntry::sign(witness, &key(ROSTER)))
        .unwrap();
    world.settle();
    let said = world.say(8, vec![ban(host(9), 60)]);
    assert!(matches!(said, Err(FleetError::Role { .. })));
    let frame = change(
        &world,
        1,
        vec![signed(8, 1, world.hub_now(), vec![ban(host(9), 60)])],
    );
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::Role { .. })),
        "{error}"
    );

    let said = world.say(MEMBER, vec![release_of(host(1), "hub")]);
    assert!(matches!(said, Err(FleetError::NotTheirs { .. })));
    let theirs = signed(
        MEMBER,
        70,
        world.hub_now(),
        vec![release_of(host(1), "hub")],
    );
    let frame = change(&world, 1, vec![theirs]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::NotTheirs { .. })),
        "{error}"
    );
}

#[test]
fn another_communitys_statements_and_frames_are_refused() {
    let mut world = at_peace();
    let other = CommunityId::new("elsewhere").unwrap();
    let statement = Statement {
        community: other.clone(),
        key: KeyId([0; 8]),
        sequence: 99,
        at: world.hub_now(),
        ops: vec![ban(host(9), 60)],
    };
    let foreign = SignedStatement::sign(statement, &key(MEMBER)).unwrap();
    let said = world.set.accept(foreign.clone(), world.hub_now());
    assert!(matches!(said, Err(FleetError::Community { .. })));
    let frame = change(&world, 1, vec![foreign]);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::Community { .. })),
        "{error}"
    );
    let honest = signed(MEMBER, 98, world.hub_now(), vec![ban(host(9), 60)]);
    let frame = Frame {
        community: other,
        ..change(&world, 1, vec![honest])
    };
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::Community { .. })),
        "{error}"
    );
}

#[test]
fn the_hubs_time_does_not_go_back_within_a_stream_and_shortens_nothing() {
    let mut world = at_peace();
    let digest = world.set.digest_frame(world.hub_now()).unwrap();
    let early = Frame {
        now: HubTime(world.hub_now().0 - 60_000),
        ..digest.clone()
    };
    let error = refused(&mut world, &early);
    assert!(matches!(error, FollowError::TimeBack { .. }), "{error}");
    // A leap ahead empties the copy, not the kernel; the true hub's digest mends the copy.
    let far = HubTime(world.hub_now().0 + 400 * 86_400_000);
    let lie = Frame {
        now: far,
        body: Body::Digest {
            swept_to: far.seconds(),
            digest: Digest(0),
            roster: 0,
        },
        ..digest
    };
    world.take(&body_of(&lie)).unwrap();
    assert!(world.follower.is_empty());
    assert_eq!(world.kernel.len(), 2);
    world.effects.clear();
    world.pass(60);
    world.connect();
    world.settle();
    assert_eq!(world.kernel.len(), 2);
    assert!(
        !world
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Release { .. }))
    );
}

#[test]
fn a_differing_digest_asks_for_the_snapshot_and_not_without_end() {
    let mut world = at_peace();
    let honest = world.set.digest_frame(world.hub_now()).unwrap();
    let Body::Digest {
        swept_to, roster, ..
    } = honest.body
    else {
        panic!()
    };
    let lie = Frame {
        body: Body::Digest {
            swept_to,
            digest: Digest(5),
            roster,
        },
        ..honest
    };
    let error = refused(&mut world, &lie);
    assert!(matches!(error, FollowError::Differs { .. }), "{error}");
    assert_eq!(world.follower.position().generation, Generation::ZERO);
    world.connect();
    world.settle();
    // The lie again and again: asked for after 30 s, then 60, 120, … at the soonest.
    let mut asked = 0;
    for _ in 0..3_600 {
        world.pass(1);
        let now = world.hub_now();
        let (swept_to, digest) = (now.seconds(), Digest(5));
        let lie = Frame {
            now,
            body: Body::Digest {
                swept_to,
                digest,
                roster,
            },
            ..lie.clone()
        };
        if world.take(&body_of(&lie)).is_err() {
            asked += 1;
            world.connect();
            while !world.stream.is_empty() {
                world.deliver().unwrap();
            }
        }
    }
    assert!((5..=8).contains(&asked), "{asked}");
    assert_eq!(world.kernel.len(), 2);
}

/// A guard that waits for a snapshot, and the true one.
fn offered() -> (World, Vec<u8>) {
    let mut world = at_peace();
    world.offer();
    let bytes = world.snapshots.values().last().unwrap().clone();
    (world, bytes)
}

fn offer_of(world: &World, bytes: &[u8], generation: Generation) -> Frame {
    Frame {
        community: community(),
        from: generation,
        to: generation,
        now: world.hub_now(),
        body: Body::Offer(Offer {
            hash: SnapshotHash::of(bytes),
            generation,
            bytes: bytes.len() as u64,
        }),
    }
}

fn refuses_snapshot(world: &mut World, bytes: &[u8]) -> FollowError {
    let generation = world.follower.generation();
    world
        .snapshots
        .insert(SnapshotHash::of(bytes), bytes.to_vec());
    let offer = offer_of(world, bytes, generation);
    refused(world, &offer)
}

#[test]
fn a_snapshot_must_be_what_was_offered_and_signed_by_the_hub() {
    let (mut world, bytes) = offered();
    let generation = world.follower.generation();
    let offer = offer_of(&world, &bytes, generation);
    world
        .snapshots
        .insert(SnapshotHash::of(&bytes), bytes[1..].to_vec());
    let error = refused(&mut world, &offer);
    assert!(matches!(error, FollowError::Hash { .. }), "{error}");
    assert!(matches!(
        world.take_snapshot(&bytes),
        Err(FollowError::Unasked)
    ));

    for at in [20, bytes.len() / 2, bytes.len() - 1] {
        let mut forged = bytes.clone();
        forged[at] ^= 0x10;
        let error = refuses_snapshot(&mut world, &forged);
        let not_form = matches!(error, FollowError::Hash { .. } | FollowError::Unasked);
        assert!(!not_form, "{at}: {error}");
    }
    // Signed by a member instead.
    let by_member = world.set.snapshot(&key(MEMBER), world.hub_now()).unwrap();
    let error = refuses_snapshot(&mut world, &by_member.bytes);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::NotTheirs { .. })),
        "{error}"
    );
    // Too large to be fetched.
    let large = Frame {
        body: Body::Offer(Offer {
            hash: SnapshotHash::of(&bytes),
            generation,
            bytes: 1 << 40,
        }),
        ..offer
    };
    let error = refused(&mut world, &large);
    assert!(
        matches!(error, FollowError::Fleet(FleetError::TooLong { .. })),
        "{error}"
    );
}

#[test]
fn an_old_snapshot_brings_nothing_back() {
    let (mut world, old) = offered();
    world.say(HUB, vec![release(host(1))]).unwrap();
    world.settle();
    // Under its own generation, and under a false one.
    let generation = world.follower.generation();
    for claimed in [Generation(generation.0 - 1), generation] {
        world.snapshots.insert(SnapshotHash::of(&old), old.clone());
        let offer = offer_of(&world, &old, claimed);
        let error = refused(&mut world, &offer);
        assert!(matches!(error, FollowError::Old { .. }), "{error}");
    }
    assert!(!world.kernel.contains_key(&host(1)));
}

/// A hub that even has the community's key, and leaves out what a member said.
#[test]
fn a_snapshot_cannot_hide_a_members_release_or_drop_a_members_ban() {
    let mut world = at_peace();
    let mut liar = World::new();
    (liar.now, liar.hub_zero) = (world.now, world.hub_zero);
    liar.set = BanSet::new(set_config());
    for frame in &world.frames {
        liar.set.replay(frame).unwrap();
    }
    world.say(MEMBER, vec![release(host(2))]).unwrap();
    world.settle();
    // More generations than the truth, but the release is missing.
    for n in 0..5 {
        liar.say(HUB, vec![ban(host(100 + n), 600)]).unwrap();
        liar.commit();
    }
    let lie = liar.set.snapshot(&key(HUB), world.hub_now()).unwrap();
    world.snapshots.insert(lie.hash, lie.bytes.clone());
    world.effects.clear();
    let offer = offer_of(&world, &lie.bytes, lie.generation);
    world.take(&body_of(&offer)).unwrap();
    assert!(
        !world.kernel.contains_key(&host(2)),
        "a released ban came back"
    );
    assert!(world.effects.iter().any(|effect| matches!(
        effect,
        Effect::Refused(Refused::Statement {
            why: FleetError::Replayed { .. },
            ..
        })
    )));

    // And one that never heard of the member's ban.
    let mut world = at_peace();
    let mut liar = BanSet::new(set_config());
    liar.replay(&world.frames[0]).unwrap();
    for n in 0..5 {
        let now = world.hub_now();
        liar.accept(signed(HUB, n + 1, now, vec![ban(host(1), 600)]), now)
            .unwrap();
        liar.commit(now).unwrap();
    }
    let lie = liar.snapshot(&key(HUB), world.hub_now()).unwrap();
    world.snapshots.insert(lie.hash, lie.bytes.clone());
    let offer = offer_of(&world, &lie.bytes, lie.generation);
    world.take(&body_of(&offer)).unwrap();
    assert!(
        world.kernel.contains_key(&host(2)),
        "silence took a member's ban away"
    );
}

#[test]
fn what_a_guard_saved_is_read_back_or_refused_whole() {
    let world = at_peace();
    let saved = world.follower.save(world.here());
    let restore = |bytes: &[u8]| {
        let mut puts = 0;
        let each = &mut |_| puts += 1;
        let zero = std::time::Duration::ZERO;
        let follower = Follower::restore(follower_config(), bytes, zero, world.here(), each);
        follower.map(|follower| (follower.generation(), follower.digest(), puts))
    };
    let wanted = (world.follower.generation(), world.follower.digest(), 2);
    assert_eq!(restore(&saved), Ok(wanted));
    for at in 0..saved.len() {
        let mut broken = saved.clone();
        broken[at] ^= 1;
        assert!(restore(&broken).is_err(), "{at}");
        assert!(restore(&saved[..at]).is_err(), "{at}");
    }
}

#[test]
fn a_roster_entry_that_a_hello_brought_leads_on_once() {
    let mut world = at_peace();
    let serial = world.set.roster().serial() + 1;
    let entry = enrolled("late", 55, serial);
    world.set.enroll(entry.clone()).unwrap();
    world.follower.connected();
    let hello = world.set.hello(0, world.hub_now());
    world.take(&body_of(&hello)).unwrap();
    let with = |world: &World, entry: SignedRosterEntry| Frame {
        body: Body::Change {
            roster: vec![entry],
            statements: Vec::new(),
        },
        ..change(world, 1, Vec::new())
    };
    let forged = SignedRosterEntry::sign(roster_entry("late", 55, serial), &key(77));
    let frame = with(&world, forged);
    let error = refused(&mut world, &frame);
    assert!(matches!(error, FollowError::Leap { .. }), "{error}");
    let before = world.follower.generation();
    let frame = with(&world, entry.clone());
    world.take(&body_of(&frame)).unwrap();
    assert_eq!(world.follower.generation().0, before.0 + 1);
    let frame = with(&world, entry);
    let error = refused(&mut world, &frame);
    assert!(
        matches!(error, FollowError::Leap { .. }),
        "the same again: {error}"
    );
}
