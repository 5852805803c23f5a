//! A community's live bans at the hub.
//!
//! The hub's core thread owns it. [`BanSet::accept`] takes one statement, [`BanSet::commit`] makes
//! one generation of all that was accepted since the last: call it every few tens of milliseconds,
//! make its frame durable, and only then send the frame and answer those who sent statements. A
//! set whose frame could not be made durable must be thrown away and restored.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use model::{Prefix, Tlp};

use crate::{
    Accepted, Body, CommunityId, Digest, FRAME_BYTES_MAX, FleetError, Frame, Generation, HubTime,
    KeyId, Op, OrgId, PublicKey, Role, Roster, SignedRosterEntry, SignedStatement, SigningKey,
    Snapshot, Statement, end_of,
    live::Live,
    snapshot::{self, Head, SnapshotReader},
    table::LabelId,
};

/// Frames that bring a guard up to date are cut at about so many bytes.
const RESUME_FRAME_BYTES: usize = FRAME_BYTES_MAX / 8;
/// Statements and roster entries of one generation.
const COMMIT_ITEMS_MAX: usize = 10_000;

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

/// A community's bans. See the module's text for how it is driven.
pub struct BanSet {
    config: SetConfig,
    roster: Roster,
    live: Live,
    generation: Generation,
    /// The last sequence of each key.
    sequences: BTreeMap<KeyId, u64>,
    /// The latest time anything was accepted at.
    accepted: HubTime,
    pending: Pending,
    log: VecDeque<Logged>,
    log_bytes: usize,
    kept: Kept,
}

#[derive(Default)]
struct Pending {
    roster: Vec<SignedRosterEntry>,
    statements: Vec<Accepted>,
    added: usize,
    removed: usize,
}

/// One generation's change set.
struct Logged {
    to: Generation,
    roster: Vec<SignedRosterEntry>,
    statements: Vec<Accepted>,
    bytes: usize,
}

/// Members' statements that a snapshot must carry. One stays until everything has ended that it
/// put, prolonged, cut short or took away: then no older statement can be undone by its absence.
#[derive(Default)]
struct Kept {
    statements: Vec<(u32, OrgId, Accepted)>,
    bytes: BTreeMap<OrgId, usize>,
}

impl BanSet {
    pub fn new(config: SetConfig) -> Self {
        let roster = Roster::new(config.community.clone(), config.roster_key);
        Self {
            config,
            roster,
            live: Live::default(),
            generation: Generation::ZERO,
            sequences: BTreeMap::new(),
            accepted: HubTime::ZERO,
            pending: Pending::default(),
            log: VecDeque::new(),
            log_bytes: 0,
            kept: Kept::default(),
        }
    }

    /// The set as it was when [`BanSet::snapshot`] wrote `snapshot`; the roster in it is checked
    /// against the roster key, and its signature against the roster. [`BanSet::replay`] of all
    /// later frames must follow.
    pub fn restore(config: SetConfig, snapshot: &[u8]) -> Result<Self, FleetError> {
        let reader = SnapshotReader::new(snapshot)?;
        let head = &reader.head;
        let mut set = Self::new(config);
        if head.community != set.config.community {
            return Err(FleetError::Community {
                found: head.community.clone(),
                wanted: set.config.community.clone(),
            });
        }
        for entry in &head.roster {
            set.roster.take(entry.clone())?;
        }
        reader.verify(&hub_key(&set.roster, head.key, &set.config.hub)?)?;
        for accepted in &head.statements {
            let statement = accepted.signed.read()?;
            set.apply(accepted, &statement, Part::Members)?;
        }
        set.sequences = head.sequences.iter().copied().collect();
        let issuer = set.live.issuer(&set.config.hub.clone());
        let live = &mut set.live;
        reader.for_each(set.config.limits.bans_max, &mut |group, row| {
            let label = live.intern(issuer, &group.kind, group.tlp)?;
            live.put(row.prefix, label, row.until, 0);
            Ok(())
        })?;
        set.generation = head.generation;
        set.accepted = head.accepted;
        set.sweep_to(head.swept_to);
        Ok(set)
    }

    /// Takes a frame that an earlier run committed and stored: its statements are believed, and
    /// count from the time at which they were accepted. Frames must come in order. Those that lie
    /// before the set's generation change nothing, but guards that stand there can then resume.
    pub fn replay(&mut self, frame: &Frame) -> Result<(), FleetError> {
        let Body::Change { roster, statements } = &frame.body else {
            return Ok(());
        };
        let last = self.log.back().map(|logged| logged.to);
        let is_old = frame.to <= self.generation && self.log_follows(last, frame.from);
        if !is_old && frame.from != self.generation {
            return Err(FleetError::Order {
                found: frame.from,
                last: self.generation,
            });
        }
        if !is_old {
            for entry in roster {
                self.roster.take(entry.clone())?;
            }
            for accepted in statements {
                let statement = accepted.signed.read()?;
                self.apply(accepted, &statement, Part::All)?;
            }
            self.generation = frame.to;
        }
        self.pending = Pending::default();
        self.log(frame.to, roster.clone(), statements.clone());
        Ok(())
    }

    fn log_follows(&self, last: Option<Generation>, from: Generation) -> bool {
        last.is_none_or(|last| last == from)
    }

    /// Whether [`BanSet::accept`] would take it, and what it says. Costs one signature check.
    pub fn check(&self, signed: &SignedStatement, now: HubTime) -> Result<Statement, FleetError> {
        let unread = signed.read()?;
        if unread.community != self.config.community {
            return Err(FleetError::Community {
                found: unread.community,
                wanted: self.config.community.clone(),
            });
        }
        let entry = self.roster.active(unread.key)?;
        if !entry.role.may_ban() {
            return Err(FleetError::Role {
                org: entry.org.clone(),
                role: entry.role,
            });
        }
        let statement = signed.verify(&entry.key)?;
        let last = self.sequences.get(&statement.key).copied().unwrap_or(0);
        if statement.sequence <= last {
            return Err(FleetError::Replayed {
                key: statement.key,
                found: statement.sequence,
                last,
            });
        }
        let now = now.max(self.accepted);
        check_time(statement.at, now, self.config.limits.signed_within)?;
        check_ops(&statement.ops, &entry.org, &self.config.hub, now)?;
        self.check_room(&statement.ops, &entry.org, signed)?;
        Ok(statement)
    }

    fn check_room(
        &self,
        ops: &[Op],
        org: &OrgId,
        signed: &SignedStatement,
    ) -> Result<(), FleetError> {
        let limits = &self.config.limits;
        let bans = ops.iter().filter(|op| matches!(op, Op::Ban(_))).count();
        if self.live.len() + bans > limits.bans_max {
            return Err(FleetError::Full {
                what: "bans of the community",
                limit: limits.bans_max,
            });
        }
        let kept = self.kept.bytes.get(org).copied().unwrap_or(0);
        if *org != self.config.hub && kept + signed.encoded_len() > limits.issuer_bytes_max {
            return Err(FleetError::Full {
                what: "bytes of one organisation's statements with live bans",
                limit: limits.issuer_bytes_max,
            });
        }
        let items = self.pending.statements.len() + self.pending.roster.len();
        if items >= COMMIT_ITEMS_MAX {
            return Err(FleetError::Full {
                what: "statements before the next commit",
                limit: COMMIT_ITEMS_MAX,
            });
        }
        Ok(())
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
        let statement = self.check(&signed, now)?;
        let at = now.max(self.accepted);
        let accepted = Accepted { at, signed };
        self.apply(&accepted, &statement, Part::All)?;
        self.pending.statements.push(accepted);
        Ok(statement)
    }

    /// Takes a roster entry (a new key, a revocation); it travels with the next commit.
    pub fn enroll(&mut self, entry: SignedRosterEntry) -> Result<(), FleetError> {
        self.roster.take(entry.clone())?;
        self.pending.roster.push(entry);
        Ok(())
    }

    /// Makes one generation of what was accepted and enrolled since the last commit; `None` when
    /// that is nothing.
    pub fn commit(&mut self, now: HubTime) -> Option<Change> {
        if self.pending.is_empty() {
            return None;
        }
        let pending = std::mem::take(&mut self.pending);
        let from = self.generation;
        self.generation = from.next();
        self.log(
            self.generation,
            pending.roster.clone(),
            pending.statements.clone(),
        );
        let body = Body::Change {
            roster: pending.roster,
            statements: pending.statements,
        };
        Some(Change {
            frame: self.frame(from, self.generation, now, body),
            added: pending.added,
            removed: pending.removed,
        })
    }

    /// What a guard at `from` needs. `Generation::ZERO` asks for a snapshot.
    pub fn since(&self, from: Generation, now: HubTime) -> Resume {
        if from == self.generation {
            return Resume::Current;
        }
        if from > self.generation {
            return Resume::Ahead;
        }
        let oldest = self.log.front().map(|logged| logged.to);
        if from == Generation::ZERO || oldest.is_none_or(|oldest| oldest > from.next()) {
            return Resume::Snapshot;
        }
        Resume::Frames(self.merged(from, now))
    }

    fn merged(&self, from: Generation, now: HubTime) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (mut begin, mut end, mut bytes) = (from, from, 0);
        let (mut roster, mut statements) = (Vec::new(), Vec::new());
        for logged in self.log.iter().filter(|logged| logged.to > from) {
            let items = roster.len() + statements.len();
            if bytes + logged.bytes > RESUME_FRAME_BYTES && items > 0 {
                let body = Body::Change {
                    roster: std::mem::take(&mut roster),
                    statements: std::mem::take(&mut statements),
                };
                frames.push(self.frame(begin, end, now, body));
                (begin, bytes) = (end, 0);
            }
            roster.extend(logged.roster.iter().cloned());
            statements.extend(logged.statements.iter().cloned());
            bytes += logged.bytes;
            end = logged.to;
        }
        let body = Body::Change { roster, statements };
        frames.push(self.frame(begin, end, now, body));
        frames
    }

    /// The first frame of a stream of a guard whose roster goes up to `roster_serial`.
    pub fn hello(&self, roster_serial: u64, now: HubTime) -> Frame {
        let roster = self.roster.since(roster_serial);
        self.frame(
            self.generation,
            self.generation,
            now,
            Body::Hello { roster },
        )
    }

    /// Sweeps to `now` and says the digest. Send it every few seconds to streams that have all
    /// frames before it. `None` while something accepted is not yet committed.
    pub fn digest_frame(&mut self, now: HubTime) -> Option<Frame> {
        if !self.pending.is_empty() {
            return None;
        }
        self.sweep(now);
        let body = Body::Digest {
            swept_to: self.live.swept_to(),
            digest: self.live.digest(),
            roster: self.roster.serial(),
        };
        Some(self.frame(self.generation, self.generation, now, body))
    }

    fn frame(&self, from: Generation, to: Generation, now: HubTime, body: Body) -> Frame {
        Frame {
            community: self.config.community.clone(),
            from,
            to,
            now: now.max(self.accepted),
            body,
        }
    }

    /// Forgets the bans that have ended by `now`. They end everywhere by themselves: no frame is
    /// sent. Returns how many.
    pub fn sweep(&mut self, now: HubTime) -> usize {
        self.sweep_to(now.seconds())
    }

    fn sweep_to(&mut self, to: u32) -> usize {
        let before = self.live.len();
        self.live.sweep(to, &mut |_| {});
        self.kept.sweep(self.live.swept_to());
        before - self.live.len()
    }

    /// A copy of the whole set that can be encoded elsewhere, while this one goes on: 13 to 20 MB
    /// for a million IPv4 bans. Fails while something accepted is not yet committed.
    pub fn freeze(&mut self, now: HubTime) -> Result<Frozen, FleetError> {
        if !self.pending.is_empty() {
            return Err(FleetError::Pending);
        }
        self.sweep(now);
        let head = Head {
            community: self.config.community.clone(),
            hub: self.config.hub.clone(),
            key: KeyId([0; 8]),
            generation: self.generation,
            now: now.max(self.accepted),
            accepted: self.accepted,
            swept_to: self.live.swept_to(),
            digest: self.live.digest(),
            sequences: self.sequences.iter().map(|(k, s)| (*k, *s)).collect(),
            roster: self.roster.since(0),
            statements: self.kept.statements.iter().map(|k| k.2.clone()).collect(),
            bans: 0,
            groups: 0,
        };
        Ok(Frozen {
            head,
            live: self.live.clone(),
        })
    }

    /// The whole set, signed by the community's key (which must be on the roster as the hub's):
    /// [`BanSet::freeze`] and [`Frozen::encode`] in one, some 0.3 s for a million bans.
    pub fn snapshot(&mut self, key: &SigningKey, now: HubTime) -> Result<Snapshot, FleetError> {
        self.freeze(now)?.encode(key)
    }

    /// The least sequence that the next statement by `key` may have.
    pub fn next_sequence(&self, key: KeyId) -> u64 {
        self.sequences
            .get(&key)
            .map_or(1, |last| last.saturating_add(1))
    }

    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Of the entries that end after the last sweep.
    pub const fn digest(&self) -> Digest {
        self.live.digest()
    }

    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    pub const fn config(&self) -> &SetConfig {
        &self.config
    }

    /// Entries, the same prefix counted once for each issuer.
    pub const fn len(&self) -> usize {
        self.live.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.live.len() == 0
    }

    /// Everyone's bans on exactly `prefix`.
    pub fn bans_on(&self, prefix: Prefix) -> Vec<Entry> {
        let rows = self.live.on(prefix);
        rows.filter_map(|row| self.live.entry(row)).collect()
    }

    /// All entries: IPv4 first, each family in the order of its prefixes.
    pub fn for_each(&self, each: &mut dyn FnMut(Entry)) {
        let entries = self.live.iter().filter_map(|row| self.live.entry(row));
        entries.for_each(each);
    }

    fn log(&mut self, to: Generation, roster: Vec<SignedRosterEntry>, statements: Vec<Accepted>) {
        let of_statements: usize = statements.iter().map(|a| a.signed.encoded_len() + 16).sum();
        let bytes = of_statements + roster.len() * 320;
        self.log.push_back(Logged {
            to,
            roster,
            statements,
            bytes,
        });
        self.log_bytes += bytes;
        while self.log_bytes > self.config.limits.log_bytes_max {
            let Some(oldest) = self.log.pop_front() else {
                break;
            };
            self.log_bytes -= oldest.bytes;
        }
    }

    /// Does what a statement says. Its signer is on the roster, perhaps revoked since.
    fn apply(
        &mut self,
        accepted: &Accepted,
        statement: &Statement,
        part: Part,
    ) -> Result<(), FleetError> {
        let entry = self.roster.get(statement.key);
        let org = entry.map(|entry| entry.org.clone());
        let org = org.ok_or_else(|| FleetError::UnknownKey {
            key: statement.key,
            community: self.config.community.clone(),
        })?;
        let labels = self.labels(&org, &statement.ops)?;
        let mut keep_until = 0;
        for (op, label) in statement.ops.iter().zip(labels) {
            let of = target(op, &org);
            let is_members = of != &self.config.hub;
            if part == Part::Members && !is_members {
                continue;
            }
            let ended = self.apply_op(op, of, label, accepted.at);
            if is_members {
                keep_until = keep_until.max(ended);
            }
        }
        if keep_until > 0 {
            self.kept.put(keep_until, org, accepted.clone());
        }
        self.sequences.insert(statement.key, statement.sequence);
        self.accepted = self.accepted.max(accepted.at);
        Ok(())
    }

    /// Everything that can fail comes before anything that changes a ban.
    fn labels(&mut self, org: &OrgId, ops: &[Op]) -> Result<Vec<Option<LabelId>>, FleetError> {
        let issuer = self.live.issuer(org);
        let label = |op: &Op| match op {
            Op::Ban(ban) => self.live.intern(issuer, &ban.kind, ban.tlp).map(Some),
            Op::Release(_) => Ok(None),
        };
        ops.iter().map(label).collect()
    }

    /// Returns the later of the ends before and after.
    fn apply_op(&mut self, op: &Op, of: &OrgId, label: Option<LabelId>, at: HubTime) -> u32 {
        match (op, label) {
            (Op::Ban(ban), Some(label)) => {
                let until = end_of(at, ban.lasts).unwrap_or(u32::MAX);
                let was = self.live.put(ban.prefix, label, until, 0);
                self.pending.added += 1;
                was.map_or(until, |was| was.until.max(until))
            }
            (op, _) => {
                let issuer = self.live.issuer_known(of);
                let was = issuer.and_then(|issuer| self.live.take(op.prefix(), issuer));
                self.pending.removed += usize::from(was.is_some());
                was.map_or(0, |was| was.until)
            }
        }
    }
}

/// Which ops of a statement count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// Those that concern members' bans: the hub's own stand in the snapshot as they are now.
    Members,
}

/// Whose ban an op of `org` concerns.
pub(crate) fn target<'a>(op: &'a Op, org: &'a OrgId) -> &'a OrgId {
    match op {
        Op::Ban(_) => org,
        Op::Release(release) => release.of.as_ref().unwrap_or(org),
    }
}

/// The key of an entry of the hub's organisation that may sign for the community.
pub(crate) fn hub_key(roster: &Roster, key: KeyId, hub: &OrgId) -> Result<PublicKey, FleetError> {
    let entry = roster.active(key)?;
    if entry.org == *hub && entry.role != Role::Witness {
        Ok(entry.key)
    } else {
        Err(FleetError::NotTheirs {
            org: entry.org.clone(),
            of: hub.clone(),
        })
    }
}

pub(crate) fn check_time(at: HubTime, now: HubTime, within: Duration) -> Result<(), FleetError> {
    let apart = at.since(now).max(now.since(at));
    if apart <= within {
        Ok(())
    } else {
        Err(FleetError::WrongTime {
            seconds: apart.as_secs(),
        })
    }
}

/// Ends can be written, and nobody but the hub releases another's ban.
pub(crate) fn check_ops(
    ops: &[Op],
    org: &OrgId,
    hub: &OrgId,
    at: HubTime,
) -> Result<(), FleetError> {
    for op in ops {
        if let Op::Ban(ban) = op {
            end_of(at, ban.lasts).ok_or(FleetError::End)?;
        }
        let of = target(op, org);
        if of != org && org != hub {
            return Err(FleetError::NotTheirs {
                org: org.clone(),
                of: of.clone(),
            });
        }
    }
    Ok(())
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.roster.is_empty() && self.statements.is_empty()
    }
}

impl Kept {
    fn put(&mut self, until: u32, org: OrgId, accepted: Accepted) {
        let bytes = self.bytes.entry(org.clone()).or_default();
        *bytes += accepted.signed.encoded_len();
        self.statements.push((until, org, accepted));
    }

    fn sweep(&mut self, to: u32) {
        let bytes = &mut self.bytes;
        self.statements.retain(|(until, org, accepted)| {
            let stays = *until > to;
            if !stays && let Some(bytes) = bytes.get_mut(org) {
                *bytes = bytes.saturating_sub(accepted.signed.encoded_len());
            }
            stays
        });
        bytes.retain(|_, bytes| *bytes > 0);
    }
}

/// A set at one generation, to be encoded away from the thread that owns the set.
pub struct Frozen {
    head: Head,
    live: Live,
}

impl Frozen {
    /// Packs and signs by the community's key: some 0.3 s for a million bans.
    pub fn encode(self, key: &SigningKey) -> Result<Snapshot, FleetError> {
        snapshot::write(self.head, &self.live, key)
    }
}
