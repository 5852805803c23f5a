//! One hub, one guard, a kernel, and a stream between them that the test delivers.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use fleet::*;
use model::{Prefix, Tlp};

pub(crate) const HUB: u8 = 1;
pub(crate) const ROSTER: u8 = 2;
pub(crate) const MEMBER: u8 = 3;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

pub(crate) fn org(name: &str) -> OrgId {
    OrgId::new(name).unwrap()
}

pub(crate) fn community() -> CommunityId {
    CommunityId::new("example").unwrap()
}

pub(crate) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// A host address out of a documentation range, by number.
pub(crate) fn host(n: u16) -> Prefix {
    let [high, low] = n.to_be_bytes();
    p(&format!("198.18.{high}.{low}"))
}

pub(crate) fn ban(prefix: Prefix, lasts: u32) -> Op {
    kind_of_ban(prefix, lasts, "ssh-bruteforce")
}

pub(crate) fn kind_of_ban(prefix: Prefix, lasts: u32, kind: &str) -> Op {
    Op::Ban(Ban {
        prefix,
        lasts,
        kind: kind.into(),
        reason: "seen by three members".into(),
        tlp: Tlp::Green,
        provenance: [9; 16],
    })
}

pub(crate) fn release(prefix: Prefix) -> Op {
    Op::Release(Release {
        prefix,
        reason: "appeal".into(),
        of: None,
    })
}

pub(crate) fn release_of(prefix: Prefix, of: &str) -> Op {
    Op::Release(Release {
        prefix,
        reason: "appeal".into(),
        of: Some(org(of)),
    })
}

pub(crate) fn roster_entry(name: &str, seed: u8, serial: u64) -> RosterEntry {
    RosterEntry {
        community: community(),
        org: org(name),
        key: key(seed).public(),
        role: Role::Guard,
        standing: Standing::Active,
        serial,
    }
}

pub(crate) fn enrolled(name: &str, seed: u8, serial: u64) -> SignedRosterEntry {
    SignedRosterEntry::sign(roster_entry(name, seed, serial), &key(ROSTER))
}

/// A statement as its issuer would make it at hub time `at`.
pub(crate) fn signed(seed: u8, sequence: u64, at: HubTime, ops: Vec<Op>) -> SignedStatement {
    let statement = Statement {
        community: community(),
        key: KeyId([0; 8]),
        sequence,
        at,
        ops,
    };
    SignedStatement::sign(statement, &key(seed)).unwrap()
}

pub(crate) fn set_config() -> SetConfig {
    SetConfig {
        community: community(),
        hub: org("hub"),
        roster_key: key(ROSTER).public(),
        limits: Limits::default(),
    }
}

pub(crate) fn take_all() -> Acceptance {
    Acceptance {
        orgs: None,
        width_v4_min: 0,
        width_v6_min: 0,
        seconds_max: u32::MAX,
        ..Acceptance::default()
    }
}

pub(crate) fn follower_config() -> FollowerConfig {
    FollowerConfig {
        acceptance: take_all(),
        ..FollowerConfig::new(community(), org("hub"), key(ROSTER).public())
    }
}

pub(crate) struct World {
    pub(crate) set: BanSet,
    /// What the hub has on disk.
    pub(crate) stored: Option<Vec<u8>>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) follower: Follower,
    /// Frames under way.
    pub(crate) stream: VecDeque<Vec<u8>>,
    pub(crate) snapshots: BTreeMap<SnapshotHash, Vec<u8>>,
    /// Ends by the guard's clock, as a kernel keeps them.
    pub(crate) kernel: BTreeMap<Prefix, Duration>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) applied: Vec<Applied>,
    pub(crate) now: Duration,
    /// The hub's time at the guard's zero.
    pub(crate) hub_zero: HubTime,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            set: BanSet::new(set_config()),
            stored: None,
            frames: Vec::new(),
            follower: Follower::new(follower_config()),
            stream: VecDeque::new(),
            snapshots: BTreeMap::new(),
            kernel: BTreeMap::new(),
            effects: Vec::new(),
            applied: Vec::new(),
            now: Duration::from_secs(5),
            hub_zero: HubTime(1_790_000_000_123),
        };
        world.set.enroll(enrolled("hub", HUB, 1)).unwrap();
        world.set.enroll(enrolled("member", MEMBER, 2)).unwrap();
        world.commit();
        world
    }

    pub(crate) fn hub_now(&self) -> HubTime {
        self.hub_zero.plus(self.now)
    }

    pub(crate) fn here(&self) -> Moment {
        Moment(self.now)
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    pub(crate) fn say(&mut self, seed: u8, ops: Vec<Op>) -> Result<Statement, FleetError> {
        let sequence = self.set.next_sequence(key(seed).id());
        let signed = signed(seed, sequence, self.hub_now(), ops);
        self.set.accept(signed, self.hub_now())
    }

    /// Commits, stores, sends.
    pub(crate) fn commit(&mut self) {
        if let Some(change) = self.set.commit(self.hub_now()) {
            self.stream.push_back(body_of(&change.frame));
            self.frames.push(change.frame);
        }
    }

    pub(crate) fn send_digest(&mut self) {
        let frame = self.set.digest_frame(self.hub_now());
        self.stream.extend(frame.iter().map(body_of));
    }

    /// The guard opens a new stream, as the hub serves it.
    pub(crate) fn connect(&mut self) {
        self.commit();
        self.stream.clear();
        let position = self.follower.position();
        self.follower.connected();
        let now = self.hub_now();
        self.stream
            .push_back(body_of(&self.set.hello(position.roster, now)));
        match self.set.since(position.generation, now) {
            Resume::Current | Resume::Ahead => {}
            Resume::Frames(frames) => self.stream.extend(frames.iter().map(body_of)),
            Resume::Snapshot => self.offer(),
        }
    }

    pub(crate) fn offer(&mut self) {
        let snapshot = self.set.snapshot(&key(HUB), self.hub_now()).unwrap();
        let frame = Frame {
            community: community(),
            from: snapshot.generation,
            to: snapshot.generation,
            now: self.hub_now(),
            body: Body::Offer(snapshot.offer()),
        };
        self.stream.push_back(body_of(&frame));
        self.snapshots.insert(snapshot.hash, snapshot.bytes);
    }

    /// The guard reads one frame, and fetches at once what it must fetch.
    pub(crate) fn deliver(&mut self) -> Result<(), FollowError> {
        let Some(frame) = self.stream.pop_front() else {
            return Ok(());
        };
        self.take(&frame)
    }

    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<(), FollowError> {
        let (here, mut effects) = (self.here(), Vec::new());
        let taken = self
            .follower
            .take_frame(frame, here, &mut |e| effects.push(e));
        self.carry_out(&effects);
        self.applied.extend(taken?);
        for effect in effects {
            if let Effect::Fetch(offer) = effect {
                let bytes = self.snapshots[&offer.hash].clone();
                self.take_snapshot(&bytes)?;
            }
        }
        Ok(())
    }

    pub(crate) fn take_snapshot(&mut self, bytes: &[u8]) -> Result<(), FollowError> {
        let (here, mut effects) = (self.here(), Vec::new());
        let taken = self
            .follower
            .take_snapshot(bytes, here, &mut |e| effects.push(e));
        self.carry_out(&effects);
        self.applied.push(taken?);
        Ok(())
    }

    pub(crate) fn tick(&mut self) {
        let (here, mut effects) = (self.here(), Vec::new());
        self.follower.tick(here, &mut |e| effects.push(e));
        self.carry_out(&effects);
    }

    pub(crate) fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Put { prefix, lasts } => {
                    self.kernel.insert(*prefix, self.now + *lasts);
                }
                Effect::Release { prefix } => {
                    self.kernel.remove(prefix);
                }
                Effect::Refused(_) | Effect::Fetch(_) | Effect::Alarm(_) => {}
            }
        }
        self.effects.extend(effects.iter().cloned());
    }

    /// Reads all there is; connects anew where the guard asks for it.
    pub(crate) fn settle(&mut self) {
        self.commit();
        for _ in 0..20 {
            while !self.stream.is_empty() {
                if self.deliver().is_err() {
                    self.connect();
                }
            }
            self.send_digest();
            if self.deliver().is_ok() {
                return;
            }
            self.connect();
        }
        panic!("hub and guard do not come together");
    }

    /// The hub dies and comes back from its disk.
    pub(crate) fn restart_hub(&mut self) {
        self.commit();
        self.set = match &self.stored {
            Some(bytes) => BanSet::restore(set_config(), bytes).unwrap(),
            None => BanSet::new(set_config()),
        };
        for frame in &self.frames {
            self.set.replay(frame).unwrap();
        }
        self.stream.clear();
    }

    /// The hub writes a snapshot and forgets most frames before it.
    pub(crate) fn store(&mut self) {
        self.commit();
        let snapshot = self.set.snapshot(&key(HUB), self.hub_now()).unwrap();
        self.stored = Some(snapshot.bytes);
        let many = self.frames.len();
        self.frames.drain(..many.saturating_sub(3));
    }

    pub(crate) fn restart_guard(&mut self) {
        let saved = self.follower.save(self.here());
        let (here, mut effects) = (self.here(), Vec::new());
        let each = &mut |e| effects.push(e);
        let zero = Duration::ZERO;
        let restored = Follower::restore(follower_config(), &saved, zero, here, each);
        self.follower = restored.unwrap();
        self.carry_out(&effects);
    }

    /// What the kernel should hold: the latest end of each prefix, by the guard's clock.
    pub(crate) fn wanted(&self) -> BTreeMap<Prefix, Duration> {
        let mut wanted = BTreeMap::new();
        self.set.for_each(&mut |entry| {
            let end = HubTime::from_seconds(entry.until).since(self.hub_zero);
            let known: &mut Duration = wanted.entry(entry.prefix).or_default();
            *known = end.max(*known);
        });
        wanted.retain(|_, end| *end > self.now);
        wanted
    }

    pub(crate) fn in_kernel(&self) -> BTreeMap<Prefix, Duration> {
        let live = self.kernel.iter().filter(|(_, end)| **end > self.now);
        live.map(|(prefix, end)| (*prefix, *end)).collect()
    }
}

pub(crate) fn body_of(frame: &Frame) -> Vec<u8> {
    let bytes = frame.encode();
    let (body, taken) = Frame::split(&bytes).unwrap().unwrap();
    assert_eq!(taken, bytes.len());
    assert_eq!(&Frame::decode(body).unwrap(), frame);
    body.to_vec()
}
