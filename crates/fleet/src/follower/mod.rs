//! A guard's copy of a community's ban set.
//!
//! It takes the stream's frames and yields what the kernel must do. It believes signatures only:
//! frames, generations and digests are the hub's claims. Whatever it refuses changes nothing, and
//! no silence, however long, takes a ban away: bans end by themselves in the kernel.
//!
//! How to drive it:
//! 1. Open the stream with `from` = [`Position::generation`] and `roster` = [`Position::roster`],
//!    then call [`Follower::connected`].
//! 2. Give each frame to [`Follower::take_frame`]. On an error do what [`FollowError::remedy`]
//!    says.
//! 3. On [`Effect::Fetch`] get that snapshot and give it to [`Follower::take_snapshot`]; go on
//!    reading the stream meanwhile (the follower queues what must wait).
//! 4. Call [`Follower::tick`] about once a second.
//! 5. Ask the never-ban guard for the prefix of every [`Effect::Put`] before the kernel.

mod flood;
mod force;
mod save;
mod take;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use model::Prefix;

use crate::{
    Acceptance, Accepted, Body, CommunityId, Digest, Entry, FleetError, Frame, Generation, HubTime,
    KeyId, Moment, Offer, Op, OrgId, PublicKey, Roster, SignedRosterEntry, SnapshotHash, Standing,
    Statement, Unwanted, end_of,
    live::Live,
    set::{check_ops, check_time, target},
};
use flood::Floods;
use force::{Ban, Force, Measure, Now, Out};

/// Bytes of frames that may wait for a snapshot.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// After a differing digest the next snapshot is asked for at the soonest after so long; twice as
/// long each time that the digest goes on to differ.
const SNAPSHOT_AGAIN: Duration = Duration::from_secs(30);
const SNAPSHOT_AGAIN_MAX: Duration = Duration::from_secs(3_600);
/// Frames refused in a row at one generation, after which the snapshot is asked for.
const BAD_FRAMES_MAX: u32 = 2;
/// The hub is silent for so long: what ended long ago is forgotten without its word.
const SILENCE: Duration = Duration::from_secs(600);

/// What a guard learned when it joined, and what its operator wants.
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    pub community: CommunityId,
    /// The hub's own organisation.
    pub hub: OrgId,
    pub roster_key: PublicKey,
    pub acceptance: Acceptance,
    /// Entries kept, over all issuers; a set beyond it is not followed. 2,000,000 is a good value.
    pub bans_max: usize,
    /// Bytes of a snapshot that is fetched. 24 MiB is a good value.
    pub snapshot_bytes_max: usize,
    /// How far [`crate::Statement::at`] may be from the time at which the hub accepted it: as
    /// [`crate::Limits::signed_within`]. 10 min.
    pub signed_within: Duration,
}

impl FollowerConfig {
    /// With everything that has a good value.
    pub fn new(community: CommunityId, hub: OrgId, roster_key: PublicKey) -> Self {
        Self {
            community,
            hub,
            roster_key,
            acceptance: Acceptance::default(),
            bans_max: 2_000_000,
            snapshot_bytes_max: 24 << 20,
            signed_within: Duration::from_secs(600),
        }
    }
}

/// Where to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// For the stream's `from`; zero when a snapshot is wanted.
    pub generation: Generation,
    /// For the stream's `roster`: the greatest serial known.
    pub roster: u64,
}

/// What the guard must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put the ban into force, or move its end: it lasts `lasts` from now on, whatever was said
    /// before. The longest of all accepted bans on the prefix.
    Put { prefix: Prefix, lasts: Duration },
    /// No accepted ban is left on exactly this prefix. Never sent for a ban that just ended.
    Release { prefix: Prefix },
    /// A ban or a statement was not taken. To be recorded.
    Refused(Refused),
    /// Get this snapshot and give it to [`Follower::take_snapshot`].
    Fetch(Offer),
    /// Something the operator should know.
    Alarm(Alarm),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This guard's policy does not take it.
    Unwanted {
        prefix: Prefix,
        issuer: OrgId,
        kind: Arc<str>,
        why: Unwanted,
    },
    /// It was not signed by whom it should be, was seen before, or breaks a limit.
    Statement {
        key: Option<KeyId>,
        why: FleetError,
    },
    Roster {
        why: FleetError,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// `held` bans of `issuer` came faster than [`crate::Flood`] allows and wait.
    Flood { issuer: OrgId, held: usize },
    /// So many releases came within a minute. They are done, but look whether that is meant.
    ManyReleases { issuer: OrgId, released: usize },
    /// The hub's digest differs from ours at the same generation, for the `times`th time in a row:
    /// the snapshot is asked for. More than once in a row means that the hub is broken or lies.
    Differs {
        generation: Generation,
        ours: Digest,
        theirs: Digest,
        times: u32,
    },
    /// The hub is at an older generation than this guard: it lost something, or it replays.
    /// Nothing is undone.
    Behind {
        ours: Generation,
        theirs: Generation,
    },
    /// The hub's time, as a new stream tells it, is so far behind what an earlier one told. Bans
    /// in force keep their ends.
    TimeBack { seconds: u64 },
}

/// What one frame or snapshot changed; one ledger entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub from: Generation,
    pub to: Generation,
    /// [`Effect::Put`]s.
    pub added: usize,
    /// [`Effect::Release`]s.
    pub removed: usize,
    /// By this guard's policy.
    pub refused: usize,
    /// By the flood limit.
    pub held: usize,
    /// Of the whole copy afterwards.
    pub digest: Digest,
}

/// What to do about a [`FollowError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Close the stream and open it again at [`Follower::position`]: at once when it had held for
    /// a while, else as [`crate::Backoff`] says.
    Reconnect,
    /// Close the stream and wait as [`crate::Backoff`] says: the hub does not keep to the
    /// contract.
    BackOff,
}

/// Why a frame or snapshot was not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("a frame leads on from generation {from}, but this guard stands at {have}")]
    Gap { have: Generation, from: Generation },
    #[error("a frame leaps from generation {from} to {to} with {items} statements")]
    Leap {
        from: Generation,
        to: Generation,
        items: usize,
    },
    #[error("the hub's time went back from {last} ms to {found} ms")]
    TimeBack { last: u64, found: u64 },
    #[error("the snapshot has hash {found}, not {wanted} as offered")]
    Hash {
        wanted: SnapshotHash,
        found: SnapshotHash,
    },
    #[error("no snapshot was asked for")]
    Unasked,
    #[error("the snapshot is of generation {found}, older than {have}")]
    Old { have: Generation, found: Generation },
    #[error("the digest differs at generation {at}; the snapshot is needed")]
    Differs { at: Generation },
    #[error("too much arrived while the snapshot was on its way")]
    Overrun,
    #[error("the hub's roster goes up to {theirs}, ours only to {ours}")]
    RosterBehind { ours: u64, theirs: u64 },
}

impl FollowError {
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Gap { .. } | Self::Differs { .. } | Self::Overrun | Self::RosterBehind { .. } => {
                Remedy::Reconnect
            }
            Self::Fleet(_)
            | Self::Leap { .. }
            | Self::TimeBack { .. }
            | Self::Hash { .. }
            | Self::Unasked
            | Self::Old { .. } => Remedy::BackOff,
        }
    }
}

/// A guard's copy of one community's set. See the module's text for how it is driven.
pub struct Follower {
    config: FollowerConfig,
    roster: Roster,
    force: Force,
    generation: Generation,
    /// The last sequence seen of each key.
    sequences: BTreeMap<KeyId, u64>,
    /// The latest time at which the hub accepted something.
    accepted: HubTime,
    /// The hub's time at a moment of ours.
    clock: Option<(HubTime, Moment)>,
    /// No frame of this stream was read yet.
    is_fresh: bool,
    wants_snapshot: bool,
    waiting: Option<Waiting>,
    /// Digests that differed in a row, and when the next one may ask for a snapshot.
    differed: u32,
    snapshot_from: Moment,
    bad_frames: u32,
    /// The serial up to which roster entries have led on to a generation. It lags behind the
    /// roster, which a hello brings whole, and is not known after a snapshot.
    roster_led: u64,
}

/// A snapshot is on its way.
struct Waiting {
    offer: Offer,
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Follower {
    /// A guard that knows nothing yet.
    pub fn new(config: FollowerConfig) -> Self {
        Self {
            roster: Roster::new(config.community.clone(), config.roster_key),
            force: Force {
                live: Live::default(),
                floods: Floods::default(),
                acceptance: config.acceptance.clone(),
                hub: config.hub.clone(),
            },
            config,
            generation: Generation::ZERO,
            sequences: BTreeMap::new(),
            accepted: HubTime::ZERO,
            clock: None,
            is_fresh: true,
            wants_snapshot: false,
            waiting: None,
            differed: 0,
            snapshot_from: Moment::default(),
            bad_frames: 0,
            roster_led: 0,
        }
    }

    /// What [`Follower::save`] wrote, `asleep` ago by the best that is known (wall clock; zero
    /// when it ran backwards). The hub's next frame sets the time right. Yields a
    /// [`Effect::Put`] for every accepted ban that still lasts. On an error begin anew with
    /// [`Follower::new`] and leave the kernel as it is.
    pub fn restore(
        config: FollowerConfig,
        saved: &[u8],
        asleep: Duration,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Self, FollowError> {
        save::restore(config, saved, asleep, now, each)
    }

    /// All that must outlive a restart: position, sequences, time, roster and bans. To be kept in
    /// the guard's own state folder, where nobody else writes. About 4 MB, 0.3 s and 30 MB of
    /// memory for a million bans: not after every frame.
    pub fn save(&self, now: Moment) -> Vec<u8> {
        save::save(self, now)
    }

    pub const fn position(&self) -> Position {
        Position {
            generation: if self.wants_snapshot {
                Generation::ZERO
            } else {
                self.generation
            },
            roster: self.roster.serial(),
        }
    }

    /// A new stream was opened at [`Follower::position`]: what waited for the old one is dropped.
    pub fn connected(&mut self) {
        self.is_fresh = true;
        self.waiting = None;
    }

    /// Takes one frame (without its length). `Ok(None)`: nothing changed.
    pub fn take_frame(
        &mut self,
        frame: &[u8],
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Option<Applied>, FollowError> {
        let bytes = frame.len();
        let frame = Frame::decode(frame)?;
        self.check_community(&frame.community)?;
        self.set_clock(frame.now, now, each)?;
        match &frame.body {
            Body::Hello { roster } => {
                self.take_roster(roster, each)?;
                if frame.to < self.generation {
                    let (ours, theirs) = (self.generation, frame.to);
                    each(Effect::Alarm(Alarm::Behind { ours, theirs }));
                }
                Ok(None)
            }
            Body::Change { .. } => match &mut self.waiting {
                Some(waiting) => waiting.queue(frame, bytes).map(|()| None),
                None => self.take_change(&frame, now, each),
            },
            Body::Digest {
                swept_to,
                digest,
                roster,
            } => self.compare(&frame, *swept_to, *digest, *roster, now, each),
            Body::Offer(offer) => self.take_offer(*offer, each).map(|()| None),
        }
    }

    /// Takes the snapshot that [`Effect::Fetch`] asked for, then what came meanwhile. Checks the
    /// hash, every signature and the whole form before anything changes.
    pub fn take_snapshot(
        &mut self,
        bytes: &[u8],
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Applied, FollowError> {
        let waiting = self.waiting.take().ok_or(FollowError::Unasked)?;
        let (wanted, found) = (waiting.offer.hash, SnapshotHash::of(bytes));
        if found != wanted {
            return Err(FollowError::Hash { wanted, found });
        }
        let from = self.generation;
        let mut out = Out::new(each);
        self.take_checked(bytes, self.both(now), &mut out)?;
        self.force.tell_of_floods(&mut out);
        let mut applied = self.summary(from, out.applied);
        self.wants_snapshot = false;
        self.bad_frames = 0;
        for frame in waiting.frames {
            // What does not fit shows as a gap in the stream's next frame.
            match self.take_change(&frame, now, each) {
                Ok(Some(more)) => applied.add(more),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        Ok(applied)
    }

    /// Lets in what was held long enough, and forgets what has ended. About once a second.
    pub fn tick(&mut self, now: Moment, each: &mut dyn FnMut(Effect)) -> Option<Applied> {
        let (hub, at) = self.clock?;
        if now.since(at) > SILENCE {
            let present = hub.plus(now.since(at).saturating_sub(SILENCE));
            self.force.sweep(present.seconds());
        }
        let mut out = Out::new(each);
        self.force.let_in_held(self.both(now), &mut out);
        self.changed(out.applied)
    }

    /// The operator looked at a flood of `issuer` and lets it in now.
    pub fn let_in(
        &mut self,
        issuer: &OrgId,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Option<Applied> {
        let issuer = self.force.live.issuer_known(issuer)?;
        let mut out = Out::new(each);
        self.force.let_all_in(issuer, self.both(now), &mut out);
        self.changed(out.applied)
    }

    /// The operator changed the policy: yields what that puts and releases.
    pub fn set_acceptance(
        &mut self,
        acceptance: Acceptance,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Option<Applied> {
        self.config.acceptance = acceptance.clone();
        let mut out = Out::new(each);
        self.force
            .set_acceptance(acceptance, self.both(now), &mut out);
        self.changed(out.applied)
    }

    /// Every accepted ban with what is left of it: what the kernel ought to hold, were it not for
    /// the never-ban guard. IPv4 first, in the order of prefixes, each once.
    pub fn for_each(&self, now: Moment, each: &mut dyn FnMut(Prefix, Duration)) {
        self.force.for_each(self.both(now).hub, each);
    }

    /// Who bans exactly `prefix`, with ends in seconds of the hub's time, accepted or not.
    pub fn bans_on(&self, prefix: Prefix) -> Vec<Entry> {
        let rows = self.force.live.on(prefix);
        rows.filter_map(|row| self.force.live.entry(row)).collect()
    }

    /// The hub's time as far as is known: for [`crate::Statement::at`]. `None` before the first
    /// frame.
    pub fn hub_time(&self, now: Moment) -> Option<HubTime> {
        self.clock.map(|(hub, at)| hub.plus(now.since(at)))
    }

    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Of the whole copy, accepted or not.
    pub const fn digest(&self) -> Digest {
        self.force.live.digest()
    }

    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub const fn config(&self) -> &FollowerConfig {
        &self.config
    }

    /// Entries of the copy, accepted or not, the same prefix counted once for each issuer.
    pub const fn len(&self) -> usize {
        self.force.live.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefixes in force: what [`Follower::for_each`] yields. Walks the whole copy (3 ms for a
    /// million).
    pub fn in_force(&self, now: Moment) -> usize {
        let mut count = 0;
        self.for_each(now, &mut |_, _| count += 1);
        count
    }

    /// Bans held back by the flood limit.
    pub fn held(&self) -> usize {
        self.force.floods.held()
    }

    fn both(&self, now: Moment) -> Now {
        Now {
            hub: self.hub_time(now).unwrap_or_default(),
            here: now,
        }
    }

    fn check_community(&self, found: &CommunityId) -> Result<(), FleetError> {
        if *found == self.config.community {
            return Ok(());
        }
        Err(FleetError::Community {
            found: found.clone(),
            wanted: self.config.community.clone(),
        })
    }

    /// Within a stream the hub's time only goes on. A new stream is believed anew, so that one lie
    /// about the time does not outlive the liar; durations are bounded without it.
    fn set_clock(
        &mut self,
        found: HubTime,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<(), FollowError> {
        let last = self.clock.map_or(HubTime::ZERO, |(hub, _)| hub);
        if found < last && !self.is_fresh {
            return Err(FollowError::TimeBack {
                last: last.0,
                found: found.0,
            });
        }
        if found < last {
            let seconds = last.since(found).as_secs();
            each(Effect::Alarm(Alarm::TimeBack { seconds }));
        }
        self.is_fresh = false;
        self.clock = Some((found, now));
        Ok(())
    }

    fn take_roster(
        &mut self,
        entries: &[SignedRosterEntry],
        each: &mut dyn FnMut(Effect),
    ) -> Result<usize, FollowError> {
        let serial = self.roster.serial();
        let newer = || entries.iter().filter(|e| e.entry().serial > serial);
        if newer().next().is_none() {
            return Ok(0);
        }
        let mut roster = self.roster.clone();
        for entry in newer() {
            if let Err(why) = roster.take(entry.clone()) {
                each(Effect::Refused(Refused::Roster { why: why.clone() }));
                return Err(why.into());
            }
        }
        self.roster = roster;
        Ok(newer().count())
    }

    fn take_change(
        &mut self,
        frame: &Frame,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Option<Applied>, FollowError> {
        let Body::Change { roster, statements } = &frame.body else {
            return Ok(None);
        };
        if frame.to <= self.generation {
            return Ok(None);
        }
        if frame.from != self.generation {
            return Err(FollowError::Gap {
                have: self.generation,
                from: frame.from,
            });
        }
        let taken = self.check_change(frame, roster, statements, each);
        let statements = taken.inspect_err(|_| {
            self.bad_frames += 1;
            self.wants_snapshot |= self.bad_frames >= BAD_FRAMES_MAX;
        })?;
        self.take_roster(roster, each)?;
        let led = roster.iter().map(|e| e.entry().serial).max();
        self.roster_led = self.roster_led.max(led.unwrap_or(0));
        self.bad_frames = 0;
        let mut out = Out::new(each);
        for (statement, org, at) in &statements {
            self.apply(statement, org, *at, now, &mut out);
        }
        self.force.tell_of_floods(&mut out);
        let applied = out.applied;
        let from = self.generation;
        self.generation = frame.to;
        Ok(Some(self.summary(from, applied)))
    }

    /// Everything in a change set must be good, or none of it is taken.
    fn check_change(
        &self,
        frame: &Frame,
        roster: &[SignedRosterEntry],
        statements: &[Accepted],
        each: &mut dyn FnMut(Effect),
    ) -> Result<Vec<(Statement, OrgId, HubTime)>, FollowError> {
        let mut checked = Vec::new();
        let mut sequences: BTreeMap<KeyId, u64> = BTreeMap::new();
        let mut accepted_last = self.accepted;
        let mut bans = 0;
        for accepted in statements {
            let mut key = None;
            let taken = self.check_statement(accepted, frame, roster, accepted_last, &mut key);
            let taken = taken.and_then(|(statement, org)| {
                let known = self.sequences.get(&statement.key).copied().unwrap_or(0);
                let last = sequences.insert(statement.key, statement.sequence);
                let last = last.unwrap_or(known);
                if statement.sequence > last {
                    return Ok((statement, org));
                }
                Err(FleetError::Replayed {
                    key: statement.key,
                    found: statement.sequence,
                    last,
                })
            });
            let (statement, org) = taken.inspect_err(|why| {
                let why = why.clone();
                each(Effect::Refused(Refused::Statement { key, why }));
            })?;
            accepted_last = accepted.at;
            bans += statement.ops.len();
            checked.push((statement, org, accepted.at));
        }
        let items = statements.len() + self.roster_steps(roster);
        let leap = frame.to.0.saturating_sub(frame.from.0);
        if leap > items as u64 {
            let (from, to) = (frame.from, frame.to);
            return Err(FollowError::Leap { from, to, items });
        }
        if self.len() + bans > self.config.bans_max {
            let limit = self.config.bans_max;
            return Err(FleetError::Full {
                what: "bans",
                limit,
            }
            .into());
        }
        Ok(checked)
    }

    /// How many generations a frame's roster entries account for: each counts once, also one that
    /// a hello brought before.
    fn roster_steps(&self, roster: &[SignedRosterEntry]) -> usize {
        let mut last = self.roster_led;
        let mut steps = 0;
        for entry in roster {
            let serial = entry.entry().serial;
            // A newer one is checked when it is taken.
            let genuine = || entry.verify(&self.config.roster_key).is_ok();
            if serial > last && (serial > self.roster.serial() || genuine()) {
                (last, steps) = (serial, steps + 1);
            }
        }
        steps
    }

    fn check_statement(
        &self,
        accepted: &Accepted,
        frame: &Frame,
        roster: &[SignedRosterEntry],
        accepted_last: HubTime,
        key: &mut Option<KeyId>,
    ) -> Result<(Statement, OrgId), FleetError> {
        let unread = accepted.signed.read()?;
        *key = Some(unread.key);
        // A key that this very frame adds or revokes signed while it was active.
        let entries = roster.iter().map(SignedRosterEntry::entry);
        let mut of_key = entries.filter(|e| e.key.id() == unread.key);
        let entry = match self.roster.active(unread.key) {
            Ok(entry) => entry,
            Err(why) => of_key.find(|e| e.standing == Standing::Active).ok_or(why)?,
        };
        if !entry.role.may_ban() {
            let (org, role) = (entry.org.clone(), entry.role);
            return Err(FleetError::Role { org, role });
        }
        let statement = accepted.signed.verify(&entry.key)?;
        self.check_community(&statement.community)?;
        if accepted.at > frame.now || accepted.at < accepted_last {
            return Err(FleetError::Malformed {
                what: "frame",
                at: 0,
                why: "a statement accepted before the one before it, or later than now",
            });
        }
        check_time(statement.at, accepted.at, self.config.signed_within)?;
        check_ops(&statement.ops, &entry.org, &self.config.hub, accepted.at)?;
        Ok((statement, entry.org.clone()))
    }

    fn apply(
        &mut self,
        statement: &Statement,
        org: &OrgId,
        at: HubTime,
        now: Moment,
        out: &mut Out,
    ) {
        let both = self.both(now);
        for op in &statement.ops {
            match op {
                Op::Ban(ban) => {
                    let ban = Ban {
                        prefix: ban.prefix,
                        issuer: self.force.live.issuer(org),
                        kind: &ban.kind,
                        tlp: ban.tlp,
                        until: end_of(at, ban.lasts).unwrap_or(u32::MAX),
                    };
                    if let Err(why) = self.force.ban(&ban, 0, Measure::Flood, both, out) {
                        let key = Some(statement.key);
                        out.refuse(Refused::Statement { key, why });
                    }
                }
                Op::Release(release) => {
                    let issuer = self.force.live.issuer_known(target(op, org));
                    if let Some(issuer) = issuer {
                        self.force.release(release.prefix, issuer, both, out);
                    }
                }
            }
        }
        self.sequences.insert(statement.key, statement.sequence);
        self.accepted = self.accepted.max(at);
    }

    fn take_offer(
        &mut self,
        offer: Offer,
        each: &mut dyn FnMut(Effect),
    ) -> Result<(), FollowError> {
        if offer.generation < self.generation {
            return Err(FollowError::Old {
                have: self.generation,
                found: offer.generation,
            });
        }
        let limit = self.config.snapshot_bytes_max;
        let bytes = usize::try_from(offer.bytes).unwrap_or(usize::MAX);
        if bytes > limit {
            let what = "snapshot";
            return Err(FleetError::TooLong { what, bytes, limit }.into());
        }
        if self
            .waiting
            .as_ref()
            .is_some_and(|w| w.offer.hash == offer.hash)
        {
            return Ok(());
        }
        self.waiting = Some(Waiting {
            offer,
            frames: VecDeque::new(),
            bytes: 0,
        });
        each(Effect::Fetch(offer));
        Ok(())
    }

    fn compare(
        &mut self,
        frame: &Frame,
        swept_to: u32,
        theirs: Digest,
        roster: u64,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Option<Applied>, FollowError> {
        if self.waiting.is_some() {
            return Ok(None);
        }
        if roster > self.roster.serial() {
            return Err(FollowError::RosterBehind {
                ours: self.roster.serial(),
                theirs: roster,
            });
        }
        if frame.to > self.generation {
            return Err(FollowError::Gap {
                have: self.generation,
                from: frame.to,
            });
        }
        let is_past = swept_to <= frame.now.seconds();
        if frame.to < self.generation || !is_past || swept_to < self.force.live.swept_to() {
            // Nothing that could be compared.
            return Ok(None);
        }
        self.force.sweep(swept_to);
        let ours = self.digest();
        if ours == theirs {
            self.differed = 0;
            return Ok(None);
        }
        if now < self.snapshot_from {
            return Ok(None);
        }
        let wait = SNAPSHOT_AGAIN.saturating_mul(1 << self.differed.min(16));
        self.snapshot_from = now.plus(wait.min(SNAPSHOT_AGAIN_MAX));
        self.differed = self.differed.saturating_add(1);
        self.wants_snapshot = true;
        each(Effect::Alarm(Alarm::Differs {
            generation: self.generation,
            ours,
            theirs,
            times: self.differed,
        }));
        Err(FollowError::Differs {
            at: self.generation,
        })
    }

    fn summary(&self, from: Generation, applied: Applied) -> Applied {
        Applied {
            from,
            to: self.generation,
            digest: self.digest(),
            ..applied
        }
    }

    /// For what changed without the hub.
    fn changed(&self, applied: Applied) -> Option<Applied> {
        let Applied { added, removed, .. } = applied;
        (added + removed > 0).then(|| self.summary(self.generation, applied))
    }
}

impl Applied {
    const fn add(&mut self, more: Self) {
        self.to = more.to;
        self.added += more.added;
        self.removed += more.removed;
        self.refused += more.refused;
        self.held += more.held;
        self.digest = more.digest;
    }
}

impl Waiting {
    fn queue(&mut self, frame: Frame, bytes: usize) -> Result<(), FollowError> {
        if frame.to <= self.offer.generation {
            return Ok(());
        }
        self.bytes += bytes;
        if self.bytes > QUEUE_BYTES_MAX {
            return Err(FollowError::Overrun);
        }
        self.frames.push_back(frame);
        Ok(())
    }
}
