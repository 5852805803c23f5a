//! What readers look at: bans in force by id and prefix, the sequence of changes, the registry.
//! Written by the core's thread only. A change stands here some milliseconds before it is
//! durable; nobody is told of it (answers, the watch, frames) before it is.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use model::Prefix;

use crate::{
    ban::{Ban, BanId, Change, Changes, EndCause, Point},
    caller::Caller,
    limits::CHANGES_MAX,
    names::HubTime,
    registry::Registry,
};

/// Ended bans taken out in one transaction.
const SWEPT_AT_ONCE_MAX: usize = 50_000;

#[derive(Default)]
pub(crate) struct View {
    pub(crate) bans: BTreeMap<BanId, Arc<Ban>>,
    by_prefix: BTreeSet<(Prefix, BanId)>,
    pub(crate) by_end: BTreeSet<(HubTime, BanId)>,
    changes: VecDeque<Change>,
    /// Changes up to here are no longer kept.
    floor: Point,
    pub(crate) point: Point,
    pub(crate) registry: Registry,
}

impl View {
    pub(crate) fn add(&mut self, ban: Arc<Ban>) {
        self.by_prefix.insert((ban.prefix, ban.id));
        self.by_end.insert((ban.until, ban.id));
        self.point = self.point.max(ban.point);
        self.bans.insert(ban.id, Arc::clone(&ban));
        self.remember(Change::Added(ban));
    }

    /// From `hub.db`; what happened to it is recalled later.
    pub(crate) fn restore(&mut self, ban: Arc<Ban>) {
        self.by_prefix.insert((ban.prefix, ban.id));
        self.by_end.insert((ban.until, ban.id));
        self.bans.insert(ban.id, ban);
    }

    /// Bans whose time is over.
    pub(crate) fn due(&self, now: HubTime) -> Vec<Arc<Ban>> {
        let over = self.by_end.iter().take_while(|(until, _)| *until <= now);
        over.take(SWEPT_AT_ONCE_MAX)
            .filter_map(|(_, id)| self.bans.get(id))
            .cloned()
            .collect()
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

    /// After a start: bans that ended before, and what was added, in the order of their points.
    pub(crate) fn recall(&mut self, mut past: Vec<Change>, complete: bool) {
        past.sort_by_key(Change::point);
        let oldest = past.first().map_or(self.point, Change::point);
        self.floor = if complete { Point(0) } else { oldest };
        self.changes.clear();
        past.into_iter().for_each(|change| self.remember(change));
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
}
