//! One event into one bucket, in the order that scenarios are written for: `distinct`, `cancel_on`,
//! the limiter, then the condition.

use std::{collections::VecDeque, sync::Arc};

use model::limits;

use super::{
    Arrival, Buckets, Context, Dating, Full, Key,
    expressions::QueueLook,
    full_of,
    limiter::Verdict,
    packed::{self, Detail, Packed, Parts, Unpacked},
    remnant,
    spec::{Bayesian, Kind, Program, Scenario},
    store::{Slot, Store},
};
use crate::{engine::EngineStats, event::TimeMode};

/// What became of one event in one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poured {
    Counted,
    /// Seen before, cancelled, or without a time.
    Passed,
}

/// The packed forms of the event at hand, made when first asked for.
#[derive(Default)]
pub(super) struct Packs {
    pub(super) alert: Option<Packed>,
    pub(super) everything: Option<Packed>,
}

/// One event on its way into one scenario's bucket.
pub(super) struct Pouring<'p, 'a> {
    pub(super) buckets: &'p mut Buckets,
    pub(super) cx: &'p mut Context<'a>,
    pub(super) arrival: &'p Arrival<'p>,
    /// The scenario whose filter took the event.
    pub(super) own: &'p Scenario,
    /// The one whose bucket it goes into.
    pub(super) scenario: &'p Scenario,
    pub(super) number: u32,
    pub(super) packs: &'p mut Packs,
    /// The group, where the caller knows it; else `groupby` gives it.
    pub(super) key: Option<Key>,
}

impl Pouring<'_, '_> {
    pub(super) fn run(&mut self, full: &mut Vec<Full>) -> Poured {
        let Some(key) = self.key() else {
            return Poured::Passed;
        };
        if matches!(self.scenario.kind, Kind::Trigger) {
            return self.trigger(key, full);
        }
        if self.arrival.dating == Dating::Undated {
            self.cx.stats.timeless += 1;
            return Poured::Passed;
        }
        let Some(slot) = self.slot(key, full) else {
            return Poured::Passed;
        };
        if self.is_repeated(slot) {
            return Poured::Passed;
        }
        if self.is_cancelled() {
            self.cx.stats.canceled += 1;
            if let Some(bucket) = self.buckets.store.remove(slot) {
                self.buckets.release_all(bucket.queue);
            }
            return Poured::Passed;
        }
        let verdict = self.count(slot);
        if verdict == Verdict::Overflows
            || self.condition(slot)
            || self.is_probable(slot)
            || self.correlates(slot)
        {
            let bucket = self.buckets.store.remove(slot);
            full.extend(bucket.map(|bucket| full_of(bucket, self.arrival.time.nanos())));
        } else if let Some(deadline) = self.buckets.deadline(slot) {
            self.buckets.store.schedule(slot, deadline);
        }
        Poured::Counted
    }

    /// The group; `None` when `groupby` fails, which is counted.
    fn key(&mut self) -> Option<Key> {
        if self.key.is_some() {
            return self.key;
        }
        match &self.own.groupby {
            None => Some(Key::of("")),
            Some(program) => self.cx.key(program, self.own),
        }
    }

    /// Every event is an overflow of its own; there is no bucket.
    fn trigger(&mut self, key: Key, full: &mut Vec<Full>) -> Poured {
        let packed = self.pack();
        full.push(Full {
            scenario: self.number,
            key,
            first: self.arrival.time,
            last: self.arrival.time,
            time: self.arrival.time,
            total: 1,
            mode: self.arrival.mode,
            queue: VecDeque::from([packed]),
        });
        Poured::Counted
    }

    /// The live bucket of `key`, new if there is none or its time is over.
    fn slot(&mut self, key: Key, full: &mut Vec<Full>) -> Option<Slot> {
        let found = self.buckets.store.find(self.number, key);
        if let Some(slot) = found.filter(|slot| !self.is_over(*slot)) {
            self.buckets.store.touch(slot);
            return Some(slot);
        }
        if let Some(slot) = found {
            let time = self
                .buckets
                .deadline(slot)
                .unwrap_or_else(|| self.arrival.time.nanos());
            full.extend(self.buckets.end(slot, time, self.cx.stats));
        }
        while self.buckets.store.len() >= self.buckets.options.buckets_max.max(1)
            && self.buckets.evict(self.arrival.time, self.cx.stats)
        {}
        let now = self.arrival.time.nanos();
        let bucket = self
            .buckets
            .new_bucket(self.number, self.scenario, key, now);
        self.buckets.store.insert(bucket)
    }

    fn is_over(&self, slot: Slot) -> bool {
        let Some(bucket) = self.buckets.store.get(slot) else {
            return false;
        };
        let life = i64::try_from(self.scenario.lifetime.as_nanos()).unwrap_or(i64::MAX);
        let now = self.arrival.time.nanos();
        match (&self.scenario.kind, self.arrival.mode) {
            (Kind::Counter, _) => now >= bucket.first.saturating_add(life),
            // The timer fires at the deadline; a recording's event at the deadline still counts.
            (_, TimeMode::Live) => now >= bucket.last.saturating_add(life),
            (_, TimeMode::Recording) => now > bucket.last.saturating_add(life),
        }
    }

    /// `distinct`: whether this value was counted before. One that cannot be read counts as new.
    fn is_repeated(&mut self, slot: Slot) -> bool {
        let Some(program) = &self.scenario.distinct else {
            return false;
        };
        let Some(value) = self.cx.key(program, self.scenario) else {
            return false;
        };
        let Some(bucket) = self.buckets.store.get_mut(slot) else {
            return false;
        };
        let extra = bucket.extra();
        if extra.seen_before != 0 && extra.seen_before == remnant::short(value) {
            return true;
        }
        let seen = &mut extra.seen;
        match seen.binary_search(&value) {
            Ok(_) => true,
            Err(at) if seen.len() < limits::BUCKET_DISTINCT_MAX => {
                seen.insert(at, value);
                self.buckets.store.grow(1);
                false
            }
            Err(_) => {
                EngineStats::count(&mut self.cx.stats.distinct_full, &self.scenario.name);
                false
            }
        }
    }

    fn is_cancelled(&mut self) -> bool {
        let Some(program) = &self.scenario.cancel_on else {
            return false;
        };
        self.cx.test(program, self.scenario, None) == Some(true)
    }

    /// Adds the event to the bucket and asks the limiter.
    fn count(&mut self, slot: Slot) -> Verdict {
        let packed = self.pack();
        let now = self.arrival.time.nanos();
        let Some(bucket) = self.buckets.store.get_mut(slot) else {
            return Verdict::Fits;
        };
        if bucket.total == 0 {
            (bucket.first, bucket.last) = (now, now);
        }
        let verdict = match &self.scenario.kind {
            Kind::Leaky(limiter) => limiter.take(&mut bucket.credit, bucket.last, now),
            Kind::Retries(retries) => {
                retries.take(&mut bucket.credit, &mut bucket.first, bucket.last, now)
            }
            _ => Verdict::Fits,
        };
        bucket.total = bucket.total.saturating_add(1);
        bucket.last = now;
        bucket.recorded = self.arrival.mode == TimeMode::Recording;
        bucket.queue.push_back(packed);
        if bucket.queue.len() <= self.scenario.queue_max {
            self.buckets.store.grow(1);
        } else if let Some(oldest) = bucket.queue.pop_front() {
            self.buckets.release(oldest);
        }
        verdict
    }

    /// The event, packed as this scenario needs it.
    fn pack(&mut self) -> Packed {
        if self.cx.take_changed() {
            // An expression wrote into the event: what was packed before is another event now.
            let old = std::mem::take(self.packs);
            [old.alert, old.everything]
                .into_iter()
                .flatten()
                .for_each(|p| self.buckets.release(p));
        }
        let detail = if self.scenario.reads_queue {
            Detail::Everything
        } else {
            Detail::Alert
        };
        let scope = self.scenario.scope_value.as_ref().map(|program| {
            let value = self.cx.text(program, self.scenario, str::to_owned);
            value.unwrap_or_default()
        });
        let kept = match detail {
            Detail::Alert => &mut self.packs.alert,
            Detail::Everything => &mut self.packs.everything,
        };
        if let Some(packed) = kept.as_ref().filter(|_| scope.is_none()) {
            return Arc::clone(packed);
        }
        let parts = Parts {
            event: self.cx.event,
            time: self.arrival.time,
            line: self.arrival.line,
            detail,
            notable: &self.buckets.kept_fields,
            scope: scope.as_deref(),
            depth: self.arrival.depth,
        };
        let [scratch, fields] = &mut self.buckets.scratch;
        let packed = packed::pack(scratch, fields, &parts);
        self.buckets.store.queue_bytes += Store::weight(&packed);
        if scope.is_none() {
            *kept = Some(Arc::clone(&packed));
        }
        packed
    }

    fn condition(&mut self, slot: Slot) -> bool {
        self.scenario
            .condition
            .as_ref()
            .is_some_and(|program| self.holds(slot, program))
    }

    /// Whether `program` is true of the event and the bucket's queue.
    fn holds(&mut self, slot: Slot, program: &Program) -> bool {
        let Some(bucket) = self.buckets.store.get(slot) else {
            return false;
        };
        let look = QueueLook {
            queue: &bucket.queue,
            total: bucket.total,
            name: &self.scenario.name,
        };
        self.cx.test(program, self.scenario, Some(&look)) == Some(true)
    }

    /// Correlation: whether what waits in the queue is enough, once what is too old has gone.
    fn correlates(&mut self, slot: Slot) -> bool {
        let Kind::Correlation(correlation) = &self.scenario.kind else {
            return false;
        };
        let now = self.arrival.time;
        loop {
            let Some(bucket) = self.buckets.store.get_mut(slot) else {
                return false;
            };
            let is_past = bucket
                .queue
                .front()
                .and_then(|packed| Unpacked::read(packed))
                .is_some_and(|event| correlation.is_past(event.time, now));
            if !is_past {
                return correlation.is_met(bucket.queue.iter());
            }
            if let Some(oldest) = bucket.queue.pop_front() {
                self.buckets.release(oldest);
            }
        }
    }

    /// Bayesian: whether what is known by now is probable enough.
    fn is_probable(&mut self, slot: Slot) -> bool {
        let scenario = self.scenario;
        let Kind::Bayesian(Bayesian {
            prior,
            threshold,
            conditions,
        }) = &scenario.kind
        else {
            return false;
        };
        let mut posterior = *prior;
        for (bit, condition) in conditions.iter().enumerate() {
            let mask = 1u64
                .checked_shl(u32::try_from(bit).unwrap_or(64))
                .unwrap_or(0);
            let extra = self
                .buckets
                .store
                .get(slot)
                .and_then(|b| b.extra.as_deref());
            let stays = extra.is_some_and(|extra| extra.guillotine & mask != 0);
            let look = match self.buckets.store.get(slot) {
                Some(b) => QueueLook {
                    queue: &b.queue,
                    total: b.total,
                    name: &scenario.name,
                },
                None => return false,
            };
            let holds = match stays {
                true => Some(true),
                false => self.cx.test(&condition.condition, scenario, Some(&look)),
            };
            let (evil, benign) = match holds {
                // A condition that fails says nothing either way.
                None => continue,
                Some(true) => (condition.given_evil, condition.given_benign),
                Some(false) => (1.0 - condition.given_evil, 1.0 - condition.given_benign),
            };
            if holds == Some(true)
                && condition.guillotine
                && let Some(bucket) = self.buckets.store.get_mut(slot)
            {
                bucket.extra().guillotine |= mask;
            }
            let evidence = evil * posterior + benign * (1.0 - posterior);
            posterior = if evidence > 0.0 {
                evil * posterior / evidence
            } else {
                0.0
            };
        }
        posterior >= *threshold
    }
}
