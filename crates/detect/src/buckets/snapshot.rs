//! Live buckets as bytes, and back.
//!
//! A restarted engine must go on as if it had never stopped. Layout: magic, version, body, SHA-256
//! of all before it. Scenarios are named by name and hash, fields by name; a bucket whose scenario
//! is gone or changed is dropped. The bytes may be torn or hostile: every length is checked, and
//! nothing is taken over unless all of it reads.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use hashbrown::HashMap;
use model::limits;
use sha2::{Digest as _, Sha256};

use super::{
    Buckets, Kind, Scenario,
    codec::{Reader, put_bytes, put_i64, put_varint},
    key::Key,
    packed::{Packed, Unpacked},
    remnant::{Remnant, Remnants},
    store::{Bucket, Store},
};
use crate::{
    engine::{RestoreError, RestoreReport},
    symbols::Symbols,
};

const MAGIC: &[u8; 8] = b"POSSEBKT";
/// 2 has remnants, and buckets that were spared.
const VERSION: u32 = 2;
const VERSION_MIN: u32 = 1;
const CHECKSUM: usize = 32;

/// All bucket state. The same state gives the same bytes.
pub(crate) fn encode(buckets: &Buckets, symbols: &Symbols) -> Vec<u8> {
    let mut events = EventTable::default();
    let mut body = Vec::new();
    put_varint(&mut body, buckets.store.len() as u64);
    for bucket in buckets.store.iter() {
        put_bucket(&mut body, bucket, &mut events);
    }
    let blackholes = buckets.blackholes.sorted();
    put_varint(&mut body, blackholes.len() as u64);
    for (scenario, key, end) in blackholes {
        put_varint(&mut body, u64::from(scenario));
        body.extend_from_slice(&key.0);
        put_i64(&mut body, end);
    }
    put_remnants(&mut body, &buckets.remnants);
    let mut to = MAGIC.to_vec();
    to.extend_from_slice(&VERSION.to_le_bytes());
    put_i64(&mut to, buckets.watermark);
    put_varint(&mut to, buckets.scenarios.len() as u64);
    for scenario in &*buckets.scenarios {
        put_bytes(&mut to, scenario.name.as_bytes());
        put_bytes(&mut to, scenario.hash.as_bytes());
    }
    events.put(&mut to, symbols);
    to.extend_from_slice(&body);
    let checksum = Sha256::digest(&to);
    to.extend_from_slice(&checksum);
    to
}

/// Events are written once, however many buckets hold them.
#[derive(Default)]
struct EventTable {
    numbers: HashMap<*const u8, u64>,
    events: Vec<Packed>,
}

impl EventTable {
    fn number(&mut self, packed: &Packed) -> u64 {
        let next = self.events.len() as u64;
        *self.numbers.entry(packed.as_ptr()).or_insert_with(|| {
            self.events.push(Arc::clone(packed));
            next
        })
    }

    /// The names of the fields that occur, then the events with fields numbered by those.
    fn put(&self, to: &mut Vec<u8>, symbols: &Symbols) {
        let mut names: BTreeMap<u32, u32> = BTreeMap::new();
        let mut order = Vec::new();
        let mut rewritten = Vec::new();
        for packed in &self.events {
            let mut renumber = |sym| {
                Some(*names.entry(sym).or_insert_with(|| {
                    order.push(sym);
                    u32::try_from(order.len() - 1).unwrap_or(u32::MAX)
                }))
            };
            rewritten.push(Unpacked::renumbered(packed, &mut renumber).unwrap_or_default());
        }
        put_varint(to, order.len() as u64);
        for sym in order {
            let name = symbols.by_number(sym).map_or("", |sym| symbols.name(sym));
            put_bytes(to, name.as_bytes());
        }
        put_varint(to, rewritten.len() as u64);
        rewritten.iter().for_each(|event| put_bytes(to, event));
    }
}

fn put_bucket(to: &mut Vec<u8>, bucket: &Bucket, events: &mut EventTable) {
    put_varint(to, u64::from(bucket.scenario));
    to.push(
        u8::from(bucket.recorded) | u8::from(bucket.spared) << 1 | u8::from(bucket.returned) << 2,
    );
    to.extend_from_slice(&bucket.key.0);
    [bucket.first, bucket.last, bucket.credit]
        .into_iter()
        .for_each(|n| put_i64(to, n));
    put_varint(to, bucket.total);
    let extra = bucket.extra.as_deref();
    put_varint(to, extra.map_or(0, |extra| extra.guillotine));
    put_varint(to, extra.map_or(0, |extra| u64::from(extra.seen_before)));
    let seen = extra.map_or(&[] as &[Key], |extra| &extra.seen);
    put_varint(to, seen.len() as u64);
    seen.iter().for_each(|key| to.extend_from_slice(&key.0));
    put_varint(to, bucket.queue.len() as u64);
    for packed in &bucket.queue {
        let number = events.number(packed);
        put_varint(to, number);
    }
}

fn put_remnants(to: &mut Vec<u8>, remnants: &Remnants) {
    put_varint(to, remnants.len() as u64);
    for remnant in remnants.sorted() {
        put_varint(to, u64::from(remnant.scenario));
        to.extend_from_slice(&remnant.key.0);
        put_varint(to, u64::from(remnant.total));
        put_i64(to, remnant.dry);
        put_i64(to, remnant.first);
        put_varint(
            to,
            u64::from(remnant.seen) << 1 | u64::from(remnant.returned),
        );
    }
}

/// A snapshot that was read and fits the scenarios of today.
pub(crate) struct Saved {
    watermark: i64,
    buckets: Vec<Bucket>,
    blackholes: Vec<(u32, Key, i64)>,
    remnants: Vec<Remnant>,
    dropped: u64,
    queue_bytes: usize,
}

impl Saved {
    pub(crate) fn read(
        bytes: &[u8],
        scenarios: &[Scenario],
        symbols: &mut Symbols,
    ) -> Result<Self, RestoreError> {
        const SHORT: RestoreError = RestoreError::Damaged("it is too short");
        let split = bytes.len().checked_sub(CHECKSUM).ok_or(SHORT)?;
        let (signed, checksum) = bytes.split_at_checked(split).ok_or(SHORT)?;
        let mut from = Reader(signed);
        if from.take(MAGIC.len()) != Some(MAGIC) {
            return Err(RestoreError::Damaged(
                "it does not begin as a snapshot does",
            ));
        }
        let found = from.array().map(u32::from_le_bytes).ok_or(SHORT)?;
        if !(VERSION_MIN..=VERSION).contains(&found) {
            return Err(RestoreError::Version {
                found,
                expected: VERSION,
            });
        }
        if *checksum != *Sha256::digest(signed) {
            return Err(RestoreError::Damaged("its checksum is wrong"));
        }
        let mut body = Body {
            from,
            version: found,
            scenarios,
            symbols,
            numbers: Vec::new(),
            events: Vec::new(),
        };
        body.read()
            .ok_or(RestoreError::Damaged("its parts do not fit together"))
    }

    /// Becomes the state of `buckets`.
    pub(crate) fn install(self, buckets: &mut Buckets) -> RestoreReport {
        buckets.store = Store::new();
        buckets.blackholes = super::Blackholes::default();
        buckets.watermark = self.watermark;
        buckets.remnants = super::remnants(&buckets.scenarios, buckets.options);
        // What is worth something is not known without a clock: all were when they were put by.
        for remnant in self.remnants {
            buckets.remnants.put(remnant, i64::MIN);
        }
        let mut report = RestoreReport {
            dropped: self.dropped,
            ..RestoreReport::default()
        };
        let excess = self
            .buckets
            .len()
            .saturating_sub(buckets.options.buckets_max);
        report.dropped += excess as u64;
        buckets.store.queue_bytes = self.queue_bytes;
        for (i, bucket) in self.buckets.into_iter().enumerate() {
            if i < excess {
                buckets.release_all(bucket.queue);
                continue;
            }
            let Some(slot) = buckets.store.insert(bucket) else {
                continue;
            };
            if let Some(deadline) = buckets.deadline(slot) {
                buckets.store.schedule(slot, deadline);
            }
            report.buckets += 1;
        }
        for (scenario, key, end) in self.blackholes {
            buckets.blackholes.add((scenario, key), end);
            report.blackholes += 1;
        }
        report
    }
}

/// The snapshot after its header.
struct Body<'a> {
    from: Reader<'a>,
    version: u32,
    scenarios: &'a [Scenario],
    symbols: &'a mut Symbols,
    /// The snapshot's scenario numbers as today's.
    numbers: Vec<Option<u32>>,
    events: Vec<Packed>,
}

impl Body<'_> {
    fn read(&mut self) -> Option<Saved> {
        let watermark = self.from.i64()?;
        self.read_scenarios()?;
        self.read_events()?;
        let mut saved = Saved {
            watermark,
            buckets: Vec::new(),
            blackholes: Vec::new(),
            remnants: Vec::new(),
            dropped: 0,
            queue_bytes: 0,
        };
        let mut known = hashbrown::HashSet::new();
        for _ in 0..self.from.varint()? {
            match self.read_bucket()? {
                Some(bucket) if known.insert((bucket.scenario, bucket.key)) => {
                    saved.buckets.push(bucket);
                }
                Some(_) => return None,
                None => saved.dropped += 1,
            }
        }
        for _ in 0..self.from.varint()? {
            let scenario = self.scenario()?;
            let (key, end) = (Key(self.from.array()?), self.from.i64()?);
            saved
                .blackholes
                .extend(scenario.map(|scenario| (scenario, key, end)));
        }
        if self.version > 1 {
            self.read_remnants(&mut saved)?;
        }
        if !self.from.is_empty() || saved.blackholes.len() > limits::BLACKHOLES_MAX {
            return None;
        }
        // What no bucket took is not carried.
        self.events.retain(|packed| Arc::strong_count(packed) > 1);
        saved.queue_bytes = self.events.iter().map(Store::weight).sum();
        Some(saved)
    }

    fn read_remnants(&mut self, saved: &mut Saved) -> Option<()> {
        for _ in 0..self.from.varint()? {
            let scenario = self.scenario()?;
            let key = Key(self.from.array()?);
            let total = u16::try_from(self.from.varint()?).ok()?;
            let (dry, first) = (self.from.i64()?, self.from.i64()?);
            let seen = self.from.varint()?;
            let (seen, returned) = (u32::try_from(seen >> 1).ok()?, seen & 1 != 0);
            let known = scenario.and_then(|n| Some((n, self.scenarios.get(n as usize)?)));
            if let Some((scenario, Kind::Leaky(_))) = known.map(|(n, s)| (n, &s.kind))
                && let Ok(scenario) = u16::try_from(scenario)
            {
                saved.remnants.push(Remnant {
                    key,
                    scenario,
                    total,
                    dry,
                    first,
                    seen,
                    returned,
                });
            }
        }
        Some(())
    }

    fn read_scenarios(&mut self) -> Option<()> {
        // Scenarios of one name in one file are told apart by their order.
        let mut today: BTreeMap<(&str, &str), VecDeque<u32>> = BTreeMap::new();
        for (number, scenario) in (0..).zip(self.scenarios) {
            today
                .entry((&scenario.name, &scenario.hash))
                .or_default()
                .push_back(number);
        }
        for _ in 0..self.from.varint()? {
            let id = (self.from.text()?, self.from.text()?);
            self.numbers
                .push(today.get_mut(&id).and_then(VecDeque::pop_front));
        }
        Some(())
    }

    fn read_events(&mut self) -> Option<()> {
        let mut names = Vec::new();
        for _ in 0..self.from.varint()? {
            let name = self.from.text()?;
            names.push(
                self.symbols
                    .intern_bounded(name, limits::SYMBOLS_MAX)?
                    .number(),
            );
        }
        for _ in 0..self.from.varint()? {
            let mut renumber = |n: u32| names.get(n as usize).copied();
            let event = Unpacked::renumbered(self.from.bytes()?, &mut renumber)?;
            self.events.push(event.into());
        }
        Some(())
    }

    /// `Some(None)`: of a scenario that is gone.
    #[expect(
        clippy::option_option,
        reason = "outer: readable at all; inner: still wanted"
    )]
    fn scenario(&mut self) -> Option<Option<u32>> {
        let number = usize::try_from(self.from.varint()?).ok()?;
        self.numbers.get(number).copied()
    }

    #[expect(
        clippy::option_option,
        reason = "outer: readable at all; inner: still wanted"
    )]
    fn read_bucket(&mut self) -> Option<Option<Bucket>> {
        let number = self.scenario()?;
        let scenario = number.and_then(|n| self.scenarios.get(n as usize));
        let flags = self.from.byte()?;
        if flags > 7 || (self.version == 1 && flags > 1) {
            return None;
        }
        let mut bucket = Bucket::new(number.unwrap_or(0), Key(self.from.array()?), 0);
        (bucket.recorded, bucket.spared) = (flags & 1 != 0, flags & 2 != 0);
        bucket.returned = flags & 4 != 0;
        bucket.first = self.from.i64()?;
        bucket.last = self.from.i64()?;
        bucket.credit = self.from.i64()?;
        bucket.total = self.from.varint()?;
        let guillotine = self.from.varint()?;
        let seen_before = match self.version {
            1 => 0,
            _ => u32::try_from(self.from.varint()?).ok()?,
        };
        let mut seen = Vec::new();
        for _ in 0..self.from.varint()? {
            seen.push(Key(self.from.array()?));
        }
        if !seen.is_sorted() || seen.len() > limits::BUCKET_DISTINCT_MAX {
            return None;
        }
        if guillotine != 0 || seen_before != 0 || !seen.is_empty() {
            let extra = bucket.extra();
            (extra.guillotine, extra.seen) = (guillotine, seen);
            extra.seen_before = seen_before;
        }
        for _ in 0..self.from.varint()? {
            let event = self
                .events
                .get(usize::try_from(self.from.varint()?).ok()?)?;
            bucket.queue.push_back(Arc::clone(event));
        }
        let Some(scenario) = scenario else {
            return Some(None);
        };
        let most = match &scenario.kind {
            Kind::Leaky(limiter) => limiter.full(),
            Kind::Retries(retries) => retries.max(),
            _ => 0,
        };
        let fits = bucket.queue.len() <= scenario.queue_max && (0..=most).contains(&bucket.credit);
        fits.then_some(Some(bucket))
    }
}
