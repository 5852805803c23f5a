//! A community's live bans at the hub.
//!
//! The hub's core thread owns it. [`BanSet::accept`] takes one statement, [`BanSet::commit`] makes
//! one generation of all that was accepted since the last: call it every few tens of milliseconds,
//! make its frame durable, and only then send the frame and answer those who sent statements. A
//! set whose frame could not be made durable must be thrown away and restored.

use std::{sync::Arc, time::Duration};

use model::{Prefix, Tlp};

use crate::{
    Accepted, CommunityId, Digest, FleetError, Frame, Generation, HubTime, KeyId, OrgId, PublicKey,
    Roster, SignedRosterEntry, SignedStatement, SigningKey, Snapshot, Statement,
};

/// What bounds a [`BanSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, over all issuers. 2,000,000.
    pub bans_max: usize,
    /// Bytes of recent change sets kept for guards that come back. 16 MiB.
    pub log_bytes_max: usize,
    /// Bytes of one organisation's own statements kept while their bans live (the hub's own
    /// bans need none). 16 MiB.
    pub issuer_bytes_max: usize,
    /// How far [`Statement::at`] may be from the hub's time. 10 min; guards allow the same.
    pub signed_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bans_max: 2_000_000,
            log_bytes_max: 16 << 20,
            issuer_bytes_max: 16 << 20,
            signed_within: Duration::from_secs(600),
        }
    }
}

/// One live ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub prefix: Prefix,
    /// Whole seconds of the hub's time.
    pub until: u32,
    pub issuer: OrgId,
    pub kind: Arc<str>,
    pub tlp: Tlp,
}

/// What [`BanSet::commit`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// To be stored, encoded once, and sent to every stream.
    pub frame: Frame,
    /// Entries that were not there before, or end at another time now.
    pub added: usize,
    pub removed: usize,
}

/// What a guard that stands at some generation needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing: it is where the hub is.
    Current,
    /// These frames, in this order; as few as fit [`crate::FRAME_BYTES_MAX`].
    Frames(Vec<Frame>),
    /// More than the log holds: offer it a snapshot.
    Snapshot,
    /// It is ahead of this hub, which therefore lost something: send the hello only, and tell the
    /// operator.
    Ahead,
}

/// Who a [`BanSet`] is.
#[derive(Clone, Debug)]
pub struct SetConfig {
    pub community: CommunityId,
    /// The hub's own organisation.
    pub hub: OrgId,
    pub roster_key: PublicKey,
    pub limits: Limits,
}

pub struct BanSet {
    config: SetConfig,
    roster: Roster,
    generation: Generation,
}

impl BanSet {
    pub fn new(config: SetConfig) -> Self {
        let roster = Roster::new(config.community.clone(), config.roster_key);
        Self {
            config,
            roster,
            generation: Generation::ZERO,
        }
    }

    /// The set as it was when [`BanSet::snapshot`] wrote `snapshot` (its signature is checked
    /// against the roster in it). [`BanSet::replay`] of all later frames must follow.
    pub fn restore(config: SetConfig, snapshot: &[u8]) -> Result<Self, FleetError> {
        let _ = (config, snapshot);
        Err(FleetError::Seed)
    }

    /// Takes a frame that an earlier run committed and stored: statements are believed, and
    /// counted at the time they were accepted at. Frames must come in order; one that lies wholly
    /// before the set's generation is passed over.
    pub fn replay(&mut self, frame: &Frame) -> Result<(), FleetError> {
        let _ = frame;
        Err(FleetError::Seed)
    }

    /// Whether [`BanSet::accept`] would take it, and what it says. Costs one signature check.
    pub fn check(&self, signed: &SignedStatement, now: HubTime) -> Result<Statement, FleetError> {
        let _ = now;
        self.roster.active(signed.read()?.key)?;
        Err(FleetError::Seed)
    }

    /// Takes a statement whose signer stands on the roster, whose sequence is new, whose community
    /// is this one, whose [`Statement::at`] is near `now`, and which stays within the limits. All
    /// its ops take effect, or none. Policy (never-ban lists, widths, quorum, budgets) is the
    /// caller's, before this.
    pub fn accept(
        &mut self,
        signed: SignedStatement,
        now: HubTime,
    ) -> Result<Statement, FleetError> {
        self.check(&signed, now)
    }

    /// Takes a roster entry (a new key, a revocation); it travels with the next commit.
    pub fn enroll(&mut self, entry: SignedRosterEntry) -> Result<(), FleetError> {
        self.roster.take(entry)
    }

    /// Makes one generation of what was accepted and enrolled since the last commit; `None` when
    /// that is nothing.
    pub fn commit(&mut self, now: HubTime) -> Option<Change> {
        let _ = now;
        None
    }

    /// What a guard at `from` needs. `Generation::ZERO` asks for a snapshot, unless the log goes
    /// back to the set's beginning.
    pub fn since(&self, from: Generation, now: HubTime) -> Resume {
        let _ = (from, now);
        Resume::Snapshot
    }

    /// The first frame of a stream of a guard whose roster goes up to `roster_serial`.
    pub fn hello(&self, roster_serial: u64, now: HubTime) -> Frame {
        Frame {
            community: self.config.community.clone(),
            from: self.generation,
            to: self.generation,
            now,
            body: crate::Body::Hello {
                roster: self.roster.since(roster_serial),
            },
        }
    }

    /// Sweeps to `now` and says the digest. Send it every few seconds to streams that have all
    /// frames before it. `None` while something accepted is not yet committed.
    pub fn digest_frame(&mut self, now: HubTime) -> Option<Frame> {
        let _ = now;
        None
    }

    /// Forgets the bans that have ended by `now`. They end everywhere by themselves: no frame is
    /// sent. Returns how many.
    pub fn sweep(&mut self, now: HubTime) -> usize {
        let _ = now;
        0
    }

    /// The whole set, signed by the community's key (which must be on the roster as the hub's).
    /// Fails while something accepted is not yet committed.
    pub fn snapshot(&mut self, key: &SigningKey, now: HubTime) -> Result<Snapshot, FleetError> {
        let _ = (key, now);
        Err(FleetError::Seed)
    }

    /// The sequence that the next statement by `key` must have at least.
    pub fn next_sequence(&self, key: KeyId) -> u64 {
        let _ = key;
        1
    }

    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Of the entries that end after the last sweep.
    pub const fn digest(&self) -> Digest {
        Digest(0)
    }

    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub const fn config(&self) -> &SetConfig {
        &self.config
    }

    /// Entries, the same prefix counted once for each issuer.
    pub const fn len(&self) -> usize {
        0
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everyone's bans on exactly `prefix`.
    pub fn bans_on(&self, prefix: Prefix) -> Vec<Entry> {
        let _ = prefix;
        Vec::new()
    }

    /// All entries: IPv4 first, each family in the order of its prefixes.
    pub fn for_each(&self, each: &mut dyn FnMut(Entry)) {
        let _ = each;
    }

    /// The statements in the log, the newest last: for a hub that restores.
    pub fn log(&self) -> impl Iterator<Item = (Generation, &Accepted)> {
        std::iter::empty()
    }
}
