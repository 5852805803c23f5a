//! What all guards saw, in counters that they share.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use fleet::Generation;

/// Generations that one run may see.
const GENERATIONS_MAX: usize = 1 << 20;

pub(crate) struct Tally {
    base: AtomicU64,
    generations: Vec<Arrivals>,
    /// Guards with an open stream.
    pub(crate) open: AtomicUsize,
    /// Streams that have ended.
    pub(crate) ended: AtomicUsize,
    /// Of the open ones those that read a digest at their own generation.
    pub(crate) settled: AtomicUsize,
    /// The newest generation at which the whole guard's digest was the hub's.
    pub(crate) proven: AtomicU64,
    /// The newest generation that anyone has.
    pub(crate) newest: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) snapshots: AtomicU64,
    /// TLS connections by the second in which they stood.
    connections: Mutex<BTreeMap<u64, u32>>,
    faults: Mutex<BTreeMap<String, u64>>,
}

#[derive(Default)]
struct Arrivals {
    accepted_ms: AtomicU64,
    last_us: AtomicU64,
    count: AtomicU32,
}

/// How long a generation took to the last guard, and to how many it came.
pub(crate) struct Spread {
    pub(crate) guards: usize,
    pub(crate) last_ms: f64,
}

/// Microseconds since 1970 by the clock that the hub's time began with.
pub(crate) fn wall_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

impl Tally {
    pub(crate) fn new() -> Self {
        let generations = std::iter::repeat_with(Arrivals::default);
        Self {
            base: AtomicU64::new(u64::MAX),
            generations: generations.take(GENERATIONS_MAX).collect(),
            open: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            proven: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            snapshots: AtomicU64::new(0),
            connections: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The first generation that counts.
    pub(crate) fn begin(&self, at: Generation) {
        self.base.fetch_min(at.0, Relaxed);
    }

    /// One guard has everything up to `to` that it lacked after `from`.
    pub(crate) fn arrived(&self, from: Generation, to: Generation, accepted_ms: u64) {
        let now = wall_us();
        self.newest.fetch_max(to.0, Relaxed);
        for generation in from.0 + 1..=to.0 {
            let Some(arrivals) = self.place(generation) else {
                continue;
            };
            if to.0 == from.0 + 1 {
                arrivals.accepted_ms.store(accepted_ms, Relaxed);
            }
            arrivals.last_us.fetch_max(now, Relaxed);
            arrivals.count.fetch_add(1, Relaxed);
        }
    }

    /// Of each generation after `from` up to `to`.
    pub(crate) fn spreads(&self, from: Generation, to: Generation) -> Vec<Spread> {
        let places = (from.0 + 1..=to.0).filter_map(|generation| self.place(generation));
        let spread = |arrivals: &Arrivals| {
            let accepted_us = arrivals.accepted_ms.load(Relaxed).saturating_mul(1_000);
            let last = arrivals.last_us.load(Relaxed);
            Spread {
                guards: usize::try_from(arrivals.count.load(Relaxed)).unwrap_or(0),
                last_ms: last.saturating_sub(accepted_us) as f64 / 1_000.0,
            }
        };
        places
            .filter(|arrivals| arrivals.accepted_ms.load(Relaxed) > 0)
            .map(spread)
            .collect()
    }

    pub(crate) fn connected(&self) {
        let mut all = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *all.entry(wall_us() / 1_000_000).or_default() += 1;
    }

    /// Connections in each second since then.
    pub(crate) fn connections_since(&self, second: u64) -> Vec<(u64, u32)> {
        let all = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.range(second..)
            .map(|(at, n)| (at - second, *n))
            .collect()
    }

    pub(crate) fn fault(&self, what: &str) {
        let mut all = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        // A count in the text would make each one its own.
        let plain: String = what
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(100)
            .collect();
        *all.entry(plain).or_default() += 1;
    }

    pub(crate) fn take_faults(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn place(&self, generation: u64) -> Option<&Arrivals> {
        let base = self.base.load(Relaxed);
        let at = usize::try_from(generation.checked_sub(base)?).ok()?;
        self.generations.get(at)
    }
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or(f64::NAN)
}
