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

use std::{sync::Arc, time::Duration};

use model::Prefix;

use crate::{
    Acceptance, CommunityId, Digest, FleetError, Generation, HubTime, KeyId, Moment, Offer, OrgId,
    PublicKey, Roster, SnapshotHash, Unwanted,
};

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
    /// Close the stream and open it again at [`Follower::position`], at once.
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
}

impl FollowError {
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Gap { .. } | Self::Differs { .. } | Self::Overrun => Remedy::Reconnect,
            Self::Fleet(_)
            | Self::Leap { .. }
            | Self::TimeBack { .. }
            | Self::Hash { .. }
            | Self::Unasked
            | Self::Old { .. } => Remedy::BackOff,
        }
    }
}

pub struct Follower {
    config: FollowerConfig,
    roster: Roster,
    generation: Generation,
}

impl Follower {
    /// A guard that knows nothing yet.
    pub fn new(config: FollowerConfig) -> Self {
        let roster = Roster::new(config.community.clone(), config.roster_key);
        Self {
            config,
            roster,
            generation: Generation::ZERO,
        }
    }

    /// What [`Follower::save`] wrote, `asleep` ago by the best that is known (wall clock; zero
    /// when it ran backwards). The hub's next frame sets the time right. Yields a
    /// [`Effect::Put`] for every accepted ban that still lasts.
    pub fn restore(
        config: FollowerConfig,
        saved: &[u8],
        asleep: Duration,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Self, FollowError> {
        let _ = (saved, asleep, now, each);
        Ok(Self::new(config))
    }

    /// All that must outlive a restart: position, sequences, time, roster and bans. To be kept in
    /// the guard's own state folder, where nobody else writes. About 4 MB for a million bans.
    pub fn save(&self, now: Moment) -> Vec<u8> {
        let _ = now;
        Vec::new()
    }

    pub fn position(&self) -> Position {
        Position {
            generation: self.generation,
            roster: self.roster.serial(),
        }
    }

    /// A new stream was opened at [`Follower::position`]: what waited for the old one is dropped.
    pub fn connected(&mut self, now: Moment) {
        let _ = (now, &mut self.generation);
    }

    /// Takes one frame (without its length). `Ok(None)`: nothing changed.
    pub fn take_frame(
        &mut self,
        frame: &[u8],
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Option<Applied>, FollowError> {
        let _ = (now, each, &mut self.generation);
        crate::Frame::decode(frame)?;
        Ok(None)
    }

    /// Takes the snapshot that [`Effect::Fetch`] asked for, then what came meanwhile. Checks the
    /// hash, every signature and the whole form before anything changes.
    pub fn take_snapshot(
        &mut self,
        bytes: &[u8],
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Result<Applied, FollowError> {
        let _ = (bytes, now, each, &mut self.generation);
        Err(FollowError::Unasked)
    }

    /// Lets in what was held long enough, and forgets what has ended. About once a second.
    pub fn tick(&mut self, now: Moment, each: &mut dyn FnMut(Effect)) -> Option<Applied> {
        let _ = (now, each, &mut self.generation);
        None
    }

    /// The operator looked at a flood of `issuer` and lets it in now.
    pub fn let_in(
        &mut self,
        issuer: &OrgId,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Option<Applied> {
        let _ = (issuer, now, each, &mut self.generation);
        None
    }

    /// The operator changed the policy: yields what that puts and releases.
    pub fn set_acceptance(
        &mut self,
        acceptance: Acceptance,
        now: Moment,
        each: &mut dyn FnMut(Effect),
    ) -> Option<Applied> {
        let _ = (now, each);
        self.config.acceptance = acceptance;
        None
    }

    /// Every accepted ban with what is left of it: what the kernel ought to hold, were it not for
    /// the never-ban guard. IPv4 first, in the order of prefixes, each once.
    pub fn for_each(&self, now: Moment, each: &mut dyn FnMut(Prefix, Duration)) {
        let _ = (now, each);
    }

    /// Who bans exactly `prefix`, with ends in seconds of the hub's time, accepted or not.
    pub fn bans_on(&self, prefix: Prefix) -> Vec<crate::Entry> {
        let _ = prefix;
        Vec::new()
    }

    /// The hub's time as far as is known: for [`crate::Statement::at`]. `None` before the first
    /// frame.
    pub fn hub_time(&self, now: Moment) -> Option<HubTime> {
        let _ = now;
        None
    }

    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Of the whole copy, accepted or not.
    pub const fn digest(&self) -> Digest {
        Digest(0)
    }

    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Entries of the copy, accepted or not.
    pub const fn len(&self) -> usize {
        0
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefixes in force: what [`Follower::for_each`] yields.
    pub const fn in_force(&self) -> usize {
        0
    }
}
