//! What is durable, for readers: bans in force by id and prefix, the sequence of changes, keys,
//! allowlists. Written by the core's thread only, after ledger and `hub.db` took the change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use model::Prefix;

use crate::{
    ban::{Ban, BanId, Change, Changes, EndCause, Point},
    caller::{Caller, KeyKind},
    limits::CHANGES_MAX,
    names::HubTime,
    order::Allowlist,
    secret::KeyHash,
};

#[derive(Default)]
pub(crate) struct View {
    pub(crate) bans: BTreeMap<BanId, Arc<Ban>>,
    by_prefix: BTreeSet<(Prefix, BanId)>,
    pub(crate) by_end: BTreeSet<(HubTime, BanId)>,
    changes: VecDeque<Change>,
    /// Changes up to here are no longer kept.
    floor: Point,
    pub(crate) point: Point,
    /// Bouncers by the hash of their key.
    pub(crate) bouncers: HashMap<KeyHash, Arc<KeyEntry>>,
    /// All keys by kind and name.
    pub(crate) keys: BTreeMap<(KeyKind, Arc<str>), Arc<KeyEntry>>,
    pub(crate) allowlists: BTreeMap<String, Arc<Allowlist>>,
}

/// An API key or a machine.
#[derive(Clone, Debug)]
pub(crate) struct KeyEntry {
    pub(crate) caller: Caller,
    pub(crate) kind: KeyKind,
    pub(crate) secret: KeptSecret,
    pub(crate) accepted: bool,
    pub(crate) created_unix_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum KeptSecret {
    Key(Box<KeyHash>),
    /// PHC string.
    Password(Arc<str>),
}

impl View {
    pub(crate) fn add(&mut self, ban: Arc<Ban>) {
        self.by_prefix.insert((ban.prefix, ban.id));
        self.by_end.insert((ban.until, ban.id));
        self.point = self.point.max(ban.point);
        self.bans.insert(ban.id, Arc::clone(&ban));
        self.remember(Change::Added(ban));
    }

    pub(crate) fn end(&mut self, id: BanId, cause: EndCause, at: HubTime, point: Point) {
        let Some(ban) = self.bans.remove(&id) else {
            return;
        };
        self.by_prefix.remove(&(ban.prefix, id));
        self.by_end.remove(&(ban.until, id));
        self.point = self.point.max(point);
        self.remember(Change::Ended {
            ban,
            cause,
            at,
            point,
        });
    }

    fn remember(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > CHANGES_MAX
            && let Some(old) = self.changes.pop_front()
        {
            self.floor = self.floor.max(old.point());
        }
    }

    /// In order of their ids, behind `after`.
    pub(crate) fn page(&self, caller: &Caller, after: BanId, limit: usize) -> Vec<Arc<Ban>> {
        self.bans
            .range((Excluded(after), Unbounded))
            .map(|(_, ban)| ban)
            .filter(|ban| caller.may_see(ban))
            .take(limit)
            .cloned()
            .collect()
    }

    /// Ids of bans on exactly `prefix`.
    pub(crate) fn on(&self, prefix: Prefix) -> impl Iterator<Item = &Arc<Ban>> {
        self.by_prefix
            .range((Included((prefix, 0)), Included((prefix, BanId::MAX))))
            .filter_map(|(_, id)| self.bans.get(id))
    }

    /// Bans on networks that hold all of `prefix`, itself included.
    pub(crate) fn covering(&self, prefix: Prefix) -> impl Iterator<Item = &Arc<Ban>> {
        self.around(prefix, 0)
    }

    pub(crate) const fn oldest_point(&self) -> Point {
        self.floor
    }

    /// Bans on `prefix` and on networks around it that have at least `reach` bits.
    pub(crate) fn around(&self, prefix: Prefix, reach: u8) -> impl Iterator<Item = &Arc<Ban>> {
        (reach..=prefix.len())
            .rev()
            .filter_map(move |len| prefix.widen(len))
            .flat_map(|wider| self.on(wider))
    }

    /// Bans on networks within `prefix`, itself included.
    pub(crate) fn within(&self, prefix: Prefix) -> impl Iterator<Item = &Arc<Ban>> {
        let last = Prefix::host(prefix.last());
        self.by_prefix
            .range((Included((prefix, 0)), Included((last, BanId::MAX))))
            .filter_map(|(_, id)| self.bans.get(id))
    }

    pub(crate) fn changes(&self, caller: &Caller, since: Point, limit: usize) -> Option<Changes> {
        if since < self.floor || since > self.point {
            return None;
        }
        let start = self.changes.partition_point(|c| c.point() <= since);
        let mut answer = Changes {
            list: Vec::new(),
            up_to: since,
            more: false,
        };
        for change in self.changes.range(start..) {
            if answer.list.len() >= limit {
                answer.more = true;
                return Some(answer);
            }
            answer.up_to = change.point();
            if caller.may_see(change.ban()) {
                answer.list.push(change.clone());
            }
        }
        answer.up_to = self.point;
        Some(answer)
    }

    /// The allowlist of the caller's organisation, or of the hub's, that holds all of `prefix`.
    pub(crate) fn allowed(
        &self,
        caller: &Caller,
        prefix: Prefix,
        now: HubTime,
    ) -> Option<(Arc<Allowlist>, usize)> {
        let mine = |list: &&Arc<Allowlist>| caller.sees.contains(&list.organisation);
        self.allowlists.values().filter(mine).find_map(|list| {
            let at = list.items.iter().position(|item| {
                item.until.is_none_or(|until| until > now) && item.prefix.covers(prefix)
            });
            at.map(|at| (Arc::clone(list), at))
        })
    }
}
