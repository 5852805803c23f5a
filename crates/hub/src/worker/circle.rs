//! One community as the core keeps it: ban set, court, keys, budgets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use fleet::{
    BanSet, CommunityId, Frame, HubTime, OrgId, PublicKey, Role, RosterEntry, SetConfig,
    SignedRosterEntry, SignedStatement, SigningKey, Snapshot, Standing, Statement,
};
use trust::{Classes, Court, Rules};

use crate::{db::Db, error::HubError, fanout::FanOut};

/// Frames between two stored snapshots: what a start has to replay.
const FRAMES_REPLAYED_MAX: u64 = 20_000;
/// Stored frames that stay behind a snapshot, so that guards that come back can resume.
const FRAMES_KEPT: u64 = 4_000;
const HOUR_MS: u64 = 3_600_000;
/// Organisations whose budgets are counted.
const BUDGETS_MAX: usize = 16_384;

pub(crate) struct Circle {
    pub(crate) set: BanSet,
    pub(crate) court: Court,
    pub(crate) fan: Arc<FanOut>,
    /// Signs for the hub's own organisation.
    pub(crate) hub_key: Arc<SigningKey>,
    roster_key: Arc<SigningKey>,
    budgets: HashMap<OrgId, (u64, u32)>,
    /// Generation of the snapshot in `hub.db`.
    stored: u64,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) court_changed: bool,
    /// What guards that come back from the same place get, made once.
    pub(crate) openings: BTreeMap<(u64, u64), (HubTime, Bytes)>,
}

pub(crate) struct CircleKeys {
    pub(crate) roster: Arc<SigningKey>,
    pub(crate) hub: Arc<SigningKey>,
    pub(crate) hub_organisation: OrgId,
}

impl Circle {
    pub(crate) fn load(
        id: &CommunityId,
        keys: &CircleKeys,
        fan: Arc<FanOut>,
        classes: &Classes,
        db: &Db,
    ) -> Result<Self, HubError> {
        let config = SetConfig {
            community: id.clone(),
            hub: keys.hub_organisation.clone(),
            roster_key: keys.roster.public(),
            limits: fleet::Limits::default(),
        };
        let (mut set, stored) = match db.snapshot(id)? {
            Some(bytes) => {
                let set = BanSet::restore(config, &bytes)?;
                let stored = set.generation().0;
                (set, stored)
            }
            None => (BanSet::new(config), 0),
        };
        db.frames(id, &mut |frame| Ok(set.replay(&frame)?))?;
        let mut court = db
            .court(id)?
            .unwrap_or_else(|| Court::new(Rules::default(), Classes::default()));
        court.set_rules(Rules::default());
        // Not part of what is stored: the lists beside the hub may have changed.
        court.set_classes(classes.clone());
        let mut court_changed = false;
        db.hearings(id, &mut |report, at| {
            court.report(report, at.0);
            court_changed = true;
        })?;
        Ok(Self {
            set,
            court,
            fan,
            hub_key: Arc::clone(&keys.hub),
            roster_key: Arc::clone(&keys.roster),
            budgets: HashMap::new(),
            stored,
            snapshot: None,
            court_changed,
            openings: BTreeMap::new(),
        })
    }

    /// Binds a key to its organisation, or takes it away.
    pub(crate) fn enroll(
        &mut self,
        org: &OrgId,
        key: PublicKey,
        role: Role,
        standing: Standing,
    ) -> Result<(), HubError> {
        let known = self.set.roster().get(key.id());
        if known.is_some_and(|e| e.standing == standing && e.role == role && e.org == *org) {
            return Ok(());
        }
        let entry = RosterEntry {
            community: self.set.config().community.clone(),
            org: org.clone(),
            key,
            role,
            standing,
            serial: self.set.roster().serial() + 1,
        };
        Ok(self
            .set
            .enroll(SignedRosterEntry::sign(entry, &self.roster_key))?)
    }

    /// Signs for the holder of `key` and takes it at once.
    pub(crate) fn issue(
        &mut self,
        key: &SigningKey,
        ops: Vec<fleet::Op>,
        now: HubTime,
    ) -> Result<(Statement, SignedStatement), fleet::FleetError> {
        let statement = Statement {
            community: self.set.config().community.clone(),
            key: key.id(),
            sequence: self.set.next_sequence(key.id()),
            at: now,
            ops,
        };
        let signed = SignedStatement::sign(statement, key)?;
        let statement = self.set.accept(signed.clone(), now)?;
        Ok((statement, signed))
    }

    /// Whether `org` may issue so many bans more within this hour.
    pub(crate) fn within_budget(
        &mut self,
        org: &OrgId,
        bans: usize,
        per_hour: u32,
        now: HubTime,
    ) -> bool {
        let hour = now.0 / HOUR_MS;
        if self.budgets.len() >= BUDGETS_MAX {
            self.budgets.retain(|_, (since, _)| *since == hour);
        }
        let used = self.budgets.entry(org.clone()).or_insert((hour, 0));
        if used.0 != hour {
            *used = (hour, 0);
        }
        let wanted = used
            .1
            .saturating_add(u32::try_from(bans).unwrap_or(u32::MAX));
        if wanted > per_hour {
            return false;
        }
        used.1 = wanted;
        true
    }

    /// Makes one generation of what was accepted; its frame goes into the transaction, and is
    /// given back to be sent once that is durable.
    pub(crate) fn commit(&mut self, db: &Db, now: HubTime) -> Result<Option<Bytes>, HubError> {
        let Some(change) = self.set.commit(now) else {
            return Ok(None);
        };
        let encoded = change.frame.encode();
        db.add_frame(&change.frame, &encoded)?;
        self.openings.clear();
        Ok(Some(encoded.into()))
    }

    /// Stores a snapshot when a start would have to replay too much.
    pub(crate) fn store(&mut self, db: &Db, now: HubTime) -> Result<(), HubError> {
        let generation = self.set.generation().0;
        if generation < self.stored + FRAMES_REPLAYED_MAX {
            return Ok(());
        }
        let snapshot = self.fresh_snapshot(now)?;
        let keep_from = fleet::Generation(generation.saturating_sub(FRAMES_KEPT));
        let id = self.set.config().community.clone();
        db.set_snapshot(&id, &snapshot.bytes, keep_from)?;
        self.stored = generation;
        Ok(())
    }

    pub(crate) fn fresh_snapshot(&mut self, now: HubTime) -> Result<Arc<Snapshot>, HubError> {
        let snapshot = Arc::new(self.set.snapshot(&self.hub_key, now)?);
        self.snapshot = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// The snapshot at hand, as long as a guard that takes it can go on from there.
    pub(crate) fn usable_snapshot(&mut self, now: HubTime) -> Result<Arc<Snapshot>, HubError> {
        if let Some(snapshot) = &self.snapshot
            && now.since(snapshot.now).as_secs() < 600
            && !matches!(
                self.set.since(snapshot.generation, now),
                fleet::Resume::Snapshot
            )
        {
            return Ok(Arc::clone(snapshot));
        }
        self.fresh_snapshot(now)
    }

    pub(crate) fn frame(&self, now: HubTime, body: fleet::Body) -> Frame {
        let generation = self.set.generation();
        Frame {
            community: self.set.config().community.clone(),
            from: generation,
            to: generation,
            now,
            body,
        }
    }
}

/// What is stored of an accepted statement, for its hash on the ledger.
pub(crate) fn statement_hash(signed: &SignedStatement) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(signed.encode());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
