//! What travels between a hub and its guards.

use std::time::Duration;

use fleet::{
    Ban, BanSet, Body, CommunityId, Effect, FollowError, Follower, FollowerConfig, Frame,
    Generation, HubTime, KeyId, Limits, Moment, Offer, Op, OrgId, Release, Role, RosterEntry,
    SetConfig, SignedRosterEntry, SignedStatement, SigningKey, SnapshotHash, Standing, Statement,
    fuzzing::sealed_snapshot,
};
use model::{Prefix, Tlp};

use crate::knob;

const AT: HubTime = HubTime(1_795_291_200_000);
const NOW: Moment = Moment(Duration::from_secs(100));
const SIGNATURE_BYTES: usize = 64;

/// Knob 0: a frame for a guard that follows. Knob 1: a signed statement; the statement in it is
/// signed anew by a member, the hub takes it, and the guard must come to the same.
pub fn fleet_frame(data: &[u8]) {
    match knob(data) {
        (0, bytes) => frame(bytes),
        (_, bytes) => statement(bytes),
    }
}

fn frame(bytes: &[u8]) {
    let _ = Frame::split(bytes).map(|split| split.map(|(frame, _)| Frame::decode(frame)));
    if let Ok(frame) = Frame::decode(bytes) {
        let again = frame.encode();
        let body = Frame::split(&again).ok().flatten();
        assert_eq!(Frame::decode(body.map_or(&[], |b| b.0)), Ok(frame));
    }
    let (set, mut follower) = peace();
    let before = picture(&follower);
    let taken = take(&mut follower, bytes);
    if taken.is_err() {
        assert_eq!(
            picture(&follower),
            before,
            "a refused frame changed something"
        );
    }
    assert!(follower.generation() >= set.generation());
}

fn statement(bytes: &[u8]) {
    let Ok(signed) = SignedStatement::decode(bytes) else {
        return;
    };
    assert_eq!(signed.encode(), bytes, "two spellings of one statement");
    let Ok(statement) = signed.read() else {
        return;
    };
    let Ok(signed) = SignedStatement::sign(statement, &key(MEMBER)) else {
        panic!("what was read cannot be written");
    };
    let (mut set, mut follower) = peace();
    let before = set.digest();
    if set.accept(signed, AT).is_err() {
        assert_eq!(
            set.digest(),
            before,
            "a refused statement changed something"
        );
        return;
    }
    let change = set.commit(AT).expect("something was accepted");
    assert_eq!(take(&mut follower, &body_of(&change.frame)), Ok(()));
    assert_eq!(follower.digest(), set.digest());
    assert_eq!(follower.len(), set.len());
}

/// Knob 0: a snapshot without its signature, which is then the hub's own. Knob 1: the same with
/// the signature that it has. Knob 2: what a guard saved, without its hash.
pub fn fleet_snapshot(data: &[u8]) {
    match knob(data) {
        (0, body) => snapshot(&sealed_snapshot(body, &key(HUB))),
        (1, bytes) => snapshot(bytes),
        (_, body) => saved(body),
    }
}

fn snapshot(bytes: &[u8]) {
    let restored = BanSet::restore(config(), bytes);
    let (_, mut follower) = peace();
    let before = picture(&follower);
    let offer = Body::Offer(Offer {
        hash: SnapshotHash::of(bytes),
        generation: Generation(1_000),
        bytes: bytes.len() as u64,
    });
    let frame = frame_of(offer);
    assert_eq!(take(&mut follower, &body_of(&frame)), Ok(()));
    if follower.take_snapshot(bytes, NOW, &mut |_| {}).is_err() {
        assert_eq!(
            picture(&follower),
            before,
            "a refused snapshot changed something"
        );
    }
    let mut fresh = Follower::new(FollowerConfig::new(community(), org("hub"), roster_key()));
    assert_eq!(take(&mut fresh, &body_of(&frame)), Ok(()));
    let taken = fresh.take_snapshot(bytes, NOW, &mut |_| {});
    let Ok(mut set) = restored else {
        assert!(taken.is_err(), "a guard took what a hub could not restore");
        return;
    };
    if taken.is_ok() {
        assert_eq!((fresh.digest(), fresh.len()), (set.digest(), set.len()));
    }
    let swept = HubTime::ZERO;
    let Ok(again) = set.snapshot(&key(HUB), swept) else {
        return;
    };
    let again = BanSet::restore(config(), &again.bytes).expect("our own snapshot");
    assert_eq!((again.digest(), again.len()), (set.digest(), set.len()));
}

fn saved(body: &[u8]) {
    let bytes = [body, &SnapshotHash::of(body).0].concat();
    let config = FollowerConfig::new(community(), org("hub"), roster_key());
    let restored = Follower::restore(config, &bytes, Duration::ZERO, NOW, &mut |_| {});
    if let Ok(follower) = restored {
        let again = follower.save(NOW);
        let config = FollowerConfig::new(community(), org("hub"), roster_key());
        let again = Follower::restore(config, &again, Duration::ZERO, NOW, &mut |_| {});
        assert_eq!(again.map(|f| picture(&f)), Ok(picture(&follower)));
    }
}

/// Frames, and statements for knob 1.
pub fn fleet_frame_seeds() -> Vec<Vec<u8>> {
    let (mut set, _) = peace();
    let statement = signed(
        MEMBER,
        9,
        vec![ban("198.51.100.7", 60), release("192.0.2.9")],
    );
    let offer = Body::Offer(Offer {
        hash: SnapshotHash([7; 32]),
        generation: Generation(9),
        bytes: 1_000,
    });
    let mut seeds = vec![
        [&[1], &statement.encode()[..]].concat(),
        [
            &[1],
            &signed(HUB, 1, vec![ban("2001:db8::/32", 1)]).encode()[..],
        ]
        .concat(),
        [&[0], &body_of(&set.hello(0, AT))[..]].concat(),
        [&[0], &body_of(&frame_of(offer))[..]].concat(),
    ];
    let digest = set.digest_frame(AT).expect("all is committed");
    seeds.push([&[0], &body_of(&digest)[..]].concat());
    set.accept(statement, AT).expect("a good statement");
    set.enroll(enrolled("late", 7, 9)).expect("a good entry");
    let change = set.commit(AT).expect("a change");
    seeds.push([&[0], &body_of(&change.frame)[..]].concat());
    seeds
}

/// Snapshots and saved states, without their seals.
pub fn fleet_snapshot_seeds() -> Vec<Vec<u8>> {
    let (mut set, follower) = peace();
    let mut seeds = Vec::new();
    let mut shot = |set: &mut BanSet| {
        let bytes = set.snapshot(&key(HUB), AT).expect("all is committed").bytes;
        let body = bytes.len() - SIGNATURE_BYTES;
        seeds.push([&[0], &bytes[..body]].concat());
        seeds.push([&[1], &bytes[..]].concat());
    };
    shot(&mut set);
    let hosts = (0..40).map(|n| ban(&format!("203.0.113.{n}"), 7_200 + n * 60));
    let wide = [
        "2001:db8:1::/48",
        "2001:db8::7",
        "10.0.0.0/8",
        "::/0",
        "0.0.0.0/0",
    ];
    let ops = hosts.chain(wide.map(|text| ban(text, 61))).collect();
    set.accept(signed(HUB, 9, ops), AT)
        .expect("a good statement");
    set.commit(AT);
    shot(&mut set);
    let saved = follower.save(NOW);
    seeds.push([&[2], &saved[..saved.len() - 32]].concat());
    seeds
}

const HUB: u8 = 1;
const ROSTER: u8 = 2;
const MEMBER: u8 = 3;

/// A hub and a guard that has all of it.
fn peace() -> (BanSet, Follower) {
    let mut set = BanSet::new(config());
    let said = [
        signed(HUB, 1, vec![ban("192.0.2.1", 86_400), ban("192.0.2.9", 60)]),
        signed(
            MEMBER,
            1,
            vec![ban("192.0.2.1", 3_600), ban("2001:db8::/48", 600)],
        ),
    ];
    for (name, seed) in [("hub", HUB), ("member", MEMBER)] {
        let entry = enrolled(name, seed, u64::from(seed));
        set.enroll(entry).expect("a good entry");
    }
    for statement in said {
        set.accept(statement, AT).expect("a good statement");
    }
    let change = set.commit(AT).expect("a change");
    let mut config = FollowerConfig::new(community(), org("hub"), roster_key());
    config.acceptance.orgs = None;
    let mut follower = Follower::new(config);
    assert_eq!(take(&mut follower, &body_of(&change.frame)), Ok(()));
    assert_eq!(follower.digest(), set.digest());
    (set, follower)
}

/// What must not change when something is refused.
fn picture(follower: &Follower) -> (Generation, fleet::Digest, usize, u64, Vec<Prefix>) {
    let mut prefixes = Vec::new();
    follower.for_each(NOW, &mut |prefix, _| prefixes.push(prefix));
    (
        follower.generation(),
        follower.digest(),
        follower.len(),
        follower.roster().serial(),
        prefixes,
    )
}

fn take(follower: &mut Follower, frame: &[u8]) -> Result<(), FollowError> {
    let mut effects: Vec<Effect> = Vec::new();
    let taken = follower.take_frame(frame, NOW, &mut |effect| effects.push(effect));
    taken.map(drop)
}

fn body_of(frame: &Frame) -> Vec<u8> {
    frame.encode().split_off(4)
}

fn frame_of(body: Body) -> Frame {
    Frame {
        community: community(),
        from: Generation(1),
        to: Generation(1),
        now: AT,
        body,
    }
}

fn config() -> SetConfig {
    SetConfig {
        community: community(),
        hub: org("hub"),
        roster_key: roster_key(),
        limits: Limits::default(),
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("a seed")
}

fn roster_key() -> fleet::PublicKey {
    key(ROSTER).public()
}

fn org(name: &str) -> OrgId {
    OrgId::new(name).expect("a short name")
}

fn community() -> CommunityId {
    CommunityId::new("example").expect("a short name")
}

fn enrolled(name: &str, seed: u8, serial: u64) -> SignedRosterEntry {
    let entry = RosterEntry {
        community: community(),
        org: org(name),
        key: key(seed).public(),
        role: Role::Guard,
        standing: Standing::Active,
        serial,
    };
    SignedRosterEntry::sign(entry, &key(ROSTER))
}

fn signed(seed: u8, sequence: u64, ops: Vec<Op>) -> SignedStatement {
    let statement = Statement {
        community: community(),
        key: KeyId([0; 8]),
        sequence,
        at: AT,
        ops,
    };
    SignedStatement::sign(statement, &key(seed)).expect("a good statement")
}

fn ban(prefix: &str, lasts: u32) -> Op {
    Op::Ban(Ban {
        prefix: prefix.parse().expect("a prefix"),
        lasts,
        kind: "ssh-bruteforce".into(),
        reason: "seen".into(),
        tlp: Tlp::Green,
        provenance: [9; 16],
    })
}

fn release(prefix: &str) -> Op {
    Op::Release(Release {
        prefix: prefix.parse().expect("a prefix"),
        reason: "appeal".into(),
        of: None,
    })
}
