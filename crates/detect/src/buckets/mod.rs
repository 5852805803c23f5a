//! Scenarios and their buckets: what has been seen of whom, and when it is enough.
//!
//! Third step of the data's way: a parsed event is poured into the buckets of the scenarios it
//! matches; a bucket that runs over leaves as a [`Full`], from which `overflow` makes what
//! postoverflow parsers and alerts need. Owns all bucket state. Must not read a clock: the time
//! of every step is an argument, the wall clock's or the recording's as the caller says.

mod blackhole;
mod codec;
mod expressions;
pub(crate) mod fed;
#[cfg(test)]
mod flood;
mod key;
mod limiter;
mod looking;
mod overflow;
mod packed;
mod pouring;
mod remnant;
mod returners;
mod snapshot;
mod spec;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use model::Timestamp;

pub use self::looking::{BucketState, ScenarioAccount, ScenarioEnd};
use self::{
    blackhole::{Blackholes, Hearing},
    expressions::QueueLook,
    packed::{Notable, Packed},
    pouring::{Packs, Poured, Pouring},
    remnant::{Remnant, Remnants},
    returners::Returners,
    spec::Kind,
    store::{Bucket, Slot, Store},
};
pub(crate) use self::{
    expressions::Context,
    key::Key,
    overflow::Lines,
    packed::{LineRef, Unpacked},
    snapshot::{Saved, encode},
    spec::{Scenario, load, load_jail},
};
use crate::{
    candidates::Candidates,
    engine::{EngineOptions, EngineStats},
    event::{Event, FieldMap, TimeMode},
    expr::{DataFiles, Expr, Services},
    symbols::{Sym, Symbols},
};

/// An event to be poured.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) line: LineRef<'a>,
    pub(crate) time: Timestamp,
    pub(crate) mode: TimeMode,
    /// Whether `time` is the line's own, where that is the time that counts.
    pub(crate) dating: Dating,
    /// How many overflows deep this event is.
    pub(crate) depth: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dating {
    Dated,
    /// A recording's line without a time: only triggers, which keep no bucket, can take it.
    Undated,
}

/// A bucket that ran over.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) scenario: u32,
    pub(crate) key: Key,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// When it ran over.
    pub(crate) time: Timestamp,
    pub(crate) total: u64,
    pub(crate) mode: TimeMode,
    queue: VecDeque<Packed>,
}

impl Full {
    /// The event that made it run over.
    pub(crate) fn deciding(&self) -> Option<Unpacked<'_>> {
        Unpacked::read(self.queue.back()?)
    }
}

/// All buckets of all scenarios.
#[derive(Debug)]
pub(crate) struct Buckets {
    scenarios: Arc<[Scenario]>,
    /// For each scenario the one whose buckets it pours into: the first of its name and filter.
    shares: Vec<u32>,
    index: Candidates,
    notable: Notable,
    /// The fields beside `Meta` that are packed.
    kept_fields: Vec<(FieldMap, Sym)>,
    store: Store,
    blackholes: Blackholes,
    remnants: Remnants,
    returners: Returners,
    options: EngineOptions,
    /// The latest time that a recording has shown.
    watermark: i64,
    candidates: Vec<u32>,
    scratch: [Vec<u8>; 2],
}

impl Buckets {
    pub(crate) fn new(
        scenarios: Vec<Scenario>,
        symbols: &mut Symbols,
        data: &DataFiles,
        options: EngineOptions,
    ) -> Self {
        let notable = packed::notable(symbols);
        Self {
            index: Candidates::new(filters(&scenarios), data),
            shares: shares(&scenarios),
            remnants: remnants(&scenarios, options),
            scenarios: scenarios.into(),
            notable,
            kept_fields: notable.extra.to_vec(),
            store: Store::new(),
            blackholes: Blackholes::default(),
            returners: Returners::new(options.returner_bytes_max),
            options,
            watermark: i64::MIN,
            candidates: Vec::new(),
            scratch: Default::default(),
        }
    }

    /// Further fields that alerts will be asked for.
    pub(crate) fn keep_fields(&mut self, fields: &[(FieldMap, Sym)]) {
        let is_new = |field: &&(FieldMap, Sym)| {
            field.0 != FieldMap::Meta && !self.notable.extra.contains(field)
        };
        let new: Vec<_> = fields.iter().filter(is_new).copied().collect();
        self.kept_fields.extend(new);
    }

    pub(crate) fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    pub(crate) fn measure(&self, stats: &mut EngineStats) {
        stats.buckets_live = self.store.len() as u64;
        stats.queue_bytes = self.store.queue_bytes as u64;
        stats.remnants_live = self.remnants.len() as u64;
        stats.remnants_lost = self.remnants.lost;
        stats.blackholes_live = self.blackholes.len() as u64;
        stats.blackholes_dropped = self.blackholes.dropped;
    }

    /// Pours the event of `cx` into every scenario it matches. Returns how many counted it.
    pub(crate) fn pour(
        &mut self,
        cx: &mut Context<'_>,
        arrival: &Arrival<'_>,
        full: &mut Vec<Full>,
    ) -> u32 {
        let scenarios = Arc::clone(&self.scenarios);
        let mut candidates = std::mem::take(&mut self.candidates);
        self.index.find(cx.event, &mut candidates);
        let mut packs = Packs::default();
        let mut poured = 0;
        let (mut next, mut writes) = (0, cx.writes());
        while let Some(number) = candidates.get(next).copied() {
            next += 1;
            if cx.writes() != writes {
                // An expression wrote into the event: others may match it now.
                writes = cx.writes();
                self.index.find(cx.event, &mut candidates);
                next = candidates.partition_point(|candidate| *candidate < number);
                continue;
            }
            let Some(own) = scenarios.get(number as usize) else {
                continue;
            };
            if cx.test(&own.filter, own, None) != Some(true) {
                continue;
            }
            let shared = self.shares.get(number as usize).copied();
            let shared = shared.unwrap_or(number);
            let scenario = scenarios.get(shared as usize).unwrap_or(own);
            let mut pouring = Pouring {
                buckets: self,
                cx,
                arrival,
                own,
                scenario,
                number: shared,
                packs: &mut packs,
                key: None,
            };
            if pouring.run(full) == Poured::Counted {
                poured += 1;
            }
        }
        self.candidates = candidates;
        [packs.alert, packs.everything]
            .into_iter()
            .flatten()
            .for_each(|p| self.release(p));
        while self.is_too_much() && self.evict(arrival.time, cx.stats) {}
        cx.stats.poured += u64::from(poured);
        poured
    }

    /// Moves the recording's clock on; counters whose time is over run over.
    pub(crate) fn advance(
        &mut self,
        time: Timestamp,
        stats: &mut EngineStats,
        full: &mut Vec<Full>,
    ) {
        if time.nanos() > self.watermark {
            self.watermark = time.nanos();
            self.end_due(time.nanos(), stats, full);
        }
    }

    /// Ends what is due at `now`.
    pub(crate) fn tick(&mut self, now: Timestamp, stats: &mut EngineStats, full: &mut Vec<Full>) {
        self.blackholes.expire(now.nanos());
        self.end_due(now.nanos(), stats, full);
    }

    /// The clock was set by so many nanoseconds: no bucket may notice.
    pub(crate) fn shift(&mut self, by: i64) {
        self.store.shift(by);
        self.blackholes.shift(by);
        self.remnants.shift(by);
    }

    const fn is_too_much(&self) -> bool {
        let queues = self.store.queue_bytes;
        queues > self.options.queue_bytes_max
            || queues + self.store.bucket_bytes > self.options.bucket_bytes_max
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let next = [self.store.next_due(), self.blackholes.next_end()]
            .into_iter()
            .flatten()
            .min();
        next.map(Timestamp::from_nanos)
    }

    fn end_due(&mut self, now: i64, stats: &mut EngineStats, full: &mut Vec<Full>) {
        let start = full.len();
        while let Some(slot) = self.store.pop_due(now) {
            let Some(deadline) = self.deadline(slot) else {
                continue;
            };
            if deadline > now {
                self.store.schedule(slot, deadline);
            } else {
                full.extend(self.end(slot, deadline, stats));
            }
        }
        // Slot numbers must not show: after a restore they are others.
        if let Some(new) = full.get_mut(start..) {
            new.sort_by_key(|f| (f.time, f.scenario, f.key));
        }
    }

    /// When time alone ends a bucket, if it does.
    fn deadline(&self, slot: Slot) -> Option<i64> {
        let bucket = self.store.get(slot)?;
        let scenario = self.scenarios.get(bucket.scenario as usize)?;
        let life = i64::try_from(scenario.lifetime.as_nanos()).unwrap_or(i64::MAX);
        match scenario.kind {
            Kind::Counter => Some(bucket.first.saturating_add(life)),
            _ if bucket.recorded => None,
            _ => Some(bucket.last.saturating_add(life)),
        }
    }

    /// Ends a bucket whose time is over: a counter runs over, others go quietly.
    fn end(&mut self, slot: Slot, time: i64, stats: &mut EngineStats) -> Option<Full> {
        let bucket = self.store.remove(slot)?;
        let scenario = self.scenarios.get(bucket.scenario as usize)?;
        if matches!(scenario.kind, Kind::Counter) {
            return Some(full_of(bucket, time));
        }
        stats.underflows += 1;
        self.release_all(bucket.queue);
        None
    }

    /// Drops a bucket, and keeps what is left of it; `false` when there is none. The one that was
    /// quiet longest goes, but one that was come back to is passed over once.
    fn evict(&mut self, now: Timestamp, stats: &mut EngineStats) -> bool {
        self.store.spare_returners();
        let slot = self.store.quietest();
        let Some(bucket) = slot.and_then(|slot| self.store.remove(slot)) else {
            return false;
        };
        if let Some(scenario) = self.scenarios.get(bucket.scenario as usize) {
            EngineStats::count(&mut stats.evicted, &scenario.name);
            self.returners.add(bucket.key);
            if let Some(remnant) = remnant_of(&bucket, scenario) {
                self.remnants.put(remnant, now.nanos());
            }
        }
        self.release_all(bucket.queue);
        true
    }

    /// A new bucket, or one that goes on where an evicted one was.
    fn new_bucket(&mut self, number: u32, scenario: &Scenario, key: Key, now: i64) -> Bucket {
        let full = match &scenario.kind {
            Kind::Leaky(limiter) => limiter.full(),
            Kind::Retries(_)
            | Kind::Trigger
            | Kind::Counter
            | Kind::Conditional
            | Kind::Bayesian(_)
            | Kind::Correlation(_) => 0,
        };
        let mut bucket = Bucket::new(number, key, full);
        bucket.returned = self.returners.contains(key);
        let Ok(short) = u16::try_from(number) else {
            return bucket;
        };
        if let Some(remnant) = self.remnants.take(short, key, now) {
            let owed = remnant.dry.saturating_sub(now).clamp(0, full);
            bucket.credit = full - owed;
            bucket.total = u64::from(remnant.total);
            (bucket.first, bucket.last) = (remnant.first, now);
            bucket.returned |= remnant.returned;
            if remnant.seen != 0 {
                bucket.extra().seen_before = remnant.seen;
            }
        }
        bucket
    }

    fn release_all(&mut self, queue: VecDeque<Packed>) {
        queue.into_iter().for_each(|packed| self.release(packed));
    }

    /// Lets go of a packed event; its bytes count until the last holder has.
    fn release(&mut self, packed: Packed) {
        if Arc::strong_count(&packed) == 1 {
            let weight = Store::weight(&packed);
            self.store.queue_bytes = self.store.queue_bytes.saturating_sub(weight);
        }
    }

    /// Whether the overflow is heard: not filtered out and not in a blackhole.
    pub(crate) fn is_heard(
        &mut self,
        full: &Full,
        services: &Services,
        symbols: &mut Symbols,
        stats: &mut EngineStats,
    ) -> bool {
        let scenarios = Arc::clone(&self.scenarios);
        let Some(scenario) = scenarios.get(full.scenario as usize) else {
            return false;
        };
        stats.overflows += 1;
        if let Some(filter) = &scenario.overflow_filter {
            let mut event = Event::default();
            let mut cx = Context::new(&mut event, symbols, services, stats);
            let look = QueueLook {
                queue: &full.queue,
                total: full.total,
                name: &scenario.name,
            };
            if cx.test(filter, scenario, Some(&look)) == Some(false) {
                stats.overflows_filtered += 1;
                return false;
            }
        }
        let Some(silence) = scenario.blackhole else {
            return true;
        };
        let id = (full.scenario, full.key);
        let end = full.time.plus(silence).nanos();
        let hearing = self
            .blackholes
            .pass(id, full.time.nanos(), end, self.options.blackholes_max);
        if hearing == Hearing::Silenced {
            stats.overflows_blackholed += 1;
        }
        hearing == Hearing::Heard
    }

    /// Lets go of what a dealt-with overflow held.
    pub(crate) fn finish(&mut self, full: Full) {
        self.release_all(full.queue);
    }
}

/// The filters that lines are asked, by number of their scenario.
fn filters(scenarios: &[Scenario]) -> impl Iterator<Item = (u32, &Expr)> {
    (0..)
        .zip(scenarios)
        .filter(|(_, scenario)| scenario.fed.is_none())
        .map(|(number, scenario)| (number, &scenario.filter.0))
}

/// Upstream tells buckets apart by name, filter and group, so that scenarios of one name and filter
/// share theirs, with the first one's settings; published content counts on it.
fn shares(scenarios: &[Scenario]) -> Vec<u32> {
    let mut first: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    (0..)
        .zip(scenarios)
        .map(|(number, s)| {
            *first
                .entry((&s.name, s.filter.0.source()))
                .or_insert(number)
        })
        .collect()
}

fn remnants(scenarios: &[Scenario], options: EngineOptions) -> Remnants {
    let costs = scenarios.iter().map(|scenario| match &scenario.kind {
        Kind::Leaky(limiter) => limiter.cost(),
        Kind::Retries(_)
        | Kind::Trigger
        | Kind::Counter
        | Kind::Conditional
        | Kind::Bayesian(_)
        | Kind::Correlation(_) => 1,
    });
    Remnants::new(options.remnant_bytes_max, costs.collect())
}

/// What is left of an evicted bucket: only how far its limiter had come, so nothing if more than
/// that must be known to go on.
fn remnant_of(bucket: &Bucket, scenario: &Scenario) -> Option<Remnant> {
    let Kind::Leaky(limiter) = &scenario.kind else {
        return None;
    };
    if scenario.reads_queue {
        return None;
    }
    let extra = bucket.extra.as_deref();
    let seen = match extra.map(|extra| (extra.seen.as_slice(), extra.seen_before)) {
        None | Some(([], 0)) if scenario.distinct.is_some() => return None,
        None | Some(([], 0)) => 0,
        Some(([one], 0)) => remnant::short(*one),
        Some(([], before)) => before,
        Some(_) => return None,
    };
    Some(Remnant {
        key: bucket.key,
        scenario: u16::try_from(bucket.scenario).ok()?,
        total: u16::try_from(bucket.total).unwrap_or(u16::MAX),
        dry: bucket
            .last
            .saturating_add(limiter.full().saturating_sub(bucket.credit)),
        first: bucket.first,
        seen,
        returned: bucket.returned,
    })
}

fn full_of(bucket: Bucket, time: i64) -> Full {
    Full {
        scenario: bucket.scenario,
        key: bucket.key,
        first: Timestamp::from_nanos(bucket.first),
        last: Timestamp::from_nanos(bucket.last),
        time: Timestamp::from_nanos(time),
        total: bucket.total,
        mode: if bucket.recorded {
            TimeMode::Recording
        } else {
            TimeMode::Live
        },
        queue: bucket.queue,
    }
}
