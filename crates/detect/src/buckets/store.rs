//! Live buckets: found by scenario and group, forgotten by age, bounded by a ceiling.
//!
//! A slab of plain structs, an index into it, a list by last use (who goes first when it is full),
//! and a heap of deadlines (so that `tick` looks only at what may be due).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    hash::BuildHasher as _,
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{key::Key, packed::Packed};

/// No slot.
const NONE: u32 = u32::MAX;

/// A bucket's number in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// What one bucket remembers. Times are nanoseconds since the epoch.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) scenario: u32,
    /// Poured in a recording's time; such a bucket is not ended by the wall clock.
    pub(super) recorded: bool,
    /// Somebody came back to it, and it was passed over for that at an eviction since.
    pub(super) spared: bool,
    /// The source was here before, as far as is known (`returners`).
    pub(super) returned: bool,
    /// A heap entry waits for it.
    scheduled: bool,
    generation: u32,
    pub(super) key: Key,
    pub(super) first: i64,
    pub(super) last: i64,
    /// The limiter's.
    pub(super) credit: i64,
    pub(super) total: u64,
    pub(super) queue: VecDeque<Packed>,
    pub(super) extra: Option<Box<Extra>>,
    older: u32,
    newer: u32,
    /// The store's count of touches when it was last moved to the list's end.
    moved: u32,
}

/// What few buckets need.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// The values that `distinct` has seen, sorted.
    pub(super) seen: Vec<Key>,
    /// A value seen before the bucket was evicted and came back (`remnant::short`); 0 is none.
    pub(super) seen_before: u32,
    /// Bayesian conditions that stay true, by bit.
    pub(super) guillotine: u64,
}

impl Bucket {
    pub(super) const fn new(scenario: u32, key: Key, credit: i64) -> Self {
        Self {
            scenario,
            recorded: false,
            spared: false,
            returned: false,
            scheduled: false,
            generation: 0,
            key,
            first: 0,
            last: 0,
            credit,
            total: 0,
            queue: VecDeque::new(),
            extra: None,
            older: NONE,
            newer: NONE,
            moved: 0,
        }
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    slots: Vec<Option<Bucket>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Deadline, slot, generation. At most one entry a live bucket, plus some of dead ones.
    due: BinaryHeap<Reverse<(i64, u32, u32)>>,
    generation: u32,
    oldest: u32,
    newest: u32,
    touches: u32,
    /// Bytes of the packed events that queues hold, each counted once.
    pub(super) queue_bytes: usize,
    /// Bytes of the buckets themselves and of what only they hold.
    pub(super) bucket_bytes: usize,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            oldest: NONE,
            newest: NONE,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Bucket> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Bucket> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(super) fn find(&self, scenario: u32, key: Key) -> Option<Slot> {
        let hash = self.hasher.hash_one((scenario, key));
        let is = |slot: &u32| {
            self.get(Slot(*slot))
                .is_some_and(|b| b.scenario == scenario && b.key == key)
        };
        self.index.find(hash, is).map(|slot| Slot(*slot))
    }

    /// Adds a bucket, as the one used last. The caller has seen to it that there is room and that
    /// there is none of this scenario and key.
    pub(super) fn insert(&mut self, mut bucket: Bucket) -> Option<Slot> {
        self.generation = self.generation.wrapping_add(1);
        bucket.generation = self.generation;
        let hash = self.hasher.hash_one((bucket.scenario, bucket.key));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|slot| *slot != NONE)?;
                self.slots.push(None);
                slot
            }
        };
        self.bucket_bytes += held(&bucket);
        *self.slots.get_mut(slot as usize)? = Some(bucket);
        let Self {
            slots,
            index,
            hasher,
            ..
        } = self;
        index.insert_unique(hash, slot, |slot| {
            let bucket = slots.get(*slot as usize).and_then(Option::as_ref);
            bucket.map_or(0, |b| hasher.hash_one((b.scenario, b.key)))
        });
        self.append(slot);
        Some(Slot(slot))
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Bucket> {
        self.unlink(slot.0);
        let bucket = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.bucket_bytes = self.bucket_bytes.saturating_sub(held(&bucket));
        let hash = self.hasher.hash_one((bucket.scenario, bucket.key));
        if let Ok(entry) = self.index.find_entry(hash, |s| *s == slot.0) {
            entry.remove();
        }
        self.free.push(slot.0);
        Some(bucket)
    }

    /// Makes `slot` one of those used last. Who is near the list's end already stays where it is:
    /// moving it would take its neighbours' memory into the cache for nothing.
    pub(super) fn touch(&mut self, slot: Slot) {
        self.touches = self.touches.wrapping_add(1);
        let (touches, near) = (self.touches, self.index.len() / NEAR_END);
        let Some(bucket) = self.get_mut(slot) else {
            return;
        };
        bucket.spared = false;
        if touches.wrapping_sub(bucket.moved) as usize > near && self.newest != slot.0 {
            self.unlink(slot.0);
            self.append(slot.0);
        }
    }

    /// A bucket came to hold so many entries more, or fewer.
    pub(super) const fn grow(&mut self, by: isize) {
        let by = by.saturating_mul(ENTRY_BYTES);
        self.bucket_bytes = self.bucket_bytes.saturating_add_signed(by);
    }

    /// Passes over the quietest buckets of sources that came back, each once since it was
    /// last used, and a few at a time.
    pub(super) fn spare_returners(&mut self) {
        for _ in 0..SPARED_AT_ONCE {
            let slot = Slot(self.oldest);
            let returned = |b: &&mut Bucket| (b.total > 1 || b.returned) && !b.spared;
            let Some(bucket) = self.get_mut(slot).filter(returned) else {
                return;
            };
            bucket.spared = true;
            self.unlink(slot.0);
            self.append(slot.0);
        }
    }

    /// The bucket that was quiet longest.
    pub(super) fn quietest(&self) -> Option<Slot> {
        self.get(Slot(self.oldest)).map(|_| Slot(self.oldest))
    }

    /// All buckets, the quietest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bucket> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let bucket = self.get(Slot(at))?;
            at = bucket.newer;
            Some(bucket)
        })
    }

    /// Sees to it that `slot` comes up in [`Store::pop_due`] at `deadline` or before.
    pub(super) fn schedule(&mut self, slot: Slot, deadline: i64) {
        let Some(bucket) = self.get_mut(slot).filter(|bucket| !bucket.scheduled) else {
            return;
        };
        bucket.scheduled = true;
        let generation = bucket.generation;
        if self.due.len() > 2 * self.index.len() + 1_024 {
            self.sweep();
        }
        self.due.push(Reverse((deadline, slot.0, generation)));
    }

    /// Drops the heap entries of dead buckets.
    fn sweep(&mut self) {
        let mut due = std::mem::take(&mut self.due).into_vec();
        due.retain(|Reverse((_, slot, generation))| {
            self.get(Slot(*slot))
                .is_some_and(|b| b.generation == *generation)
        });
        self.due = due.into();
    }

    /// The clock was set: every bucket's times and deadlines move with it.
    pub(super) fn shift(&mut self, by: i64) {
        for bucket in self.slots.iter_mut().flatten() {
            bucket.first = bucket.first.saturating_add(by);
            bucket.last = bucket.last.saturating_add(by);
        }
        let due = std::mem::take(&mut self.due).into_vec().into_iter();
        self.due = due
            .map(|Reverse((at, slot, generation))| {
                Reverse((at.saturating_add(by), slot, generation))
            })
            .collect();
    }

    pub(super) fn next_due(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((deadline, ..))| *deadline)
    }

    /// The next bucket whose entry says `now` or before. It is no longer scheduled: the caller
    /// ends it or schedules it again.
    pub(super) fn pop_due(&mut self, now: i64) -> Option<Slot> {
        while self.next_due().is_some_and(|deadline| deadline <= now) {
            let Reverse((_, slot, generation)) = self.due.pop()?;
            let alive = self
                .get_mut(Slot(slot))
                .filter(|b| b.generation == generation);
            if let Some(bucket) = alive {
                bucket.scheduled = false;
                return Some(Slot(slot));
            }
        }
        None
    }

    fn append(&mut self, slot: u32) {
        let (newest, touches) = (self.newest, self.touches);
        if let Some(bucket) = self.get_mut(Slot(slot)) {
            (bucket.older, bucket.newer) = (newest, NONE);
            bucket.moved = touches;
        }
        match self.get_mut(Slot(newest)) {
            Some(bucket) => bucket.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Some((older, newer)) = self.get(Slot(slot)).map(|b| (b.older, b.newer)) else {
            return;
        };
        match self.get_mut(Slot(older)) {
            Some(bucket) => bucket.newer = newer,
            None => self.oldest = newer,
        }
        match self.get_mut(Slot(newer)) {
            Some(bucket) => bucket.older = older,
            None => self.newest = older,
        }
    }

    /// Bytes that one more packed event or one fewer makes.
    pub(super) fn weight(packed: &Packed) -> usize {
        packed.len() + PACKED_OVERHEAD
    }
}

/// A bucket moved within so many touches, as a part of all buckets, is near the list's end.
const NEAR_END: usize = 16;
/// How many returners one eviction may pass over.
const SPARED_AT_ONCE: usize = 16;
/// A bucket's place in slab, index, list and heap, and the smallest queue.
const BUCKET_BYTES: usize = size_of::<Option<Bucket>>() + 128;
/// An entry of a queue or of `seen`, with the room that growing doubles.
const ENTRY_BYTES: isize = 32;

/// What a bucket holds, without the events that it shares with others.
fn held(bucket: &Bucket) -> usize {
    let seen = bucket.extra.as_deref().map_or(0, |extra| extra.seen.len());
    BUCKET_BYTES + (bucket.queue.len() + seen) * ENTRY_BYTES.unsigned_abs()
}

/// The counts of an `Arc` and the two words that point to it.
const PACKED_OVERHEAD: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn store(keys: &[&str]) -> (Store, Vec<Slot>) {
        let mut store = Store::new();
        let slots = keys
            .iter()
            .map(|k| store.insert(Bucket::new(0, Key::of(k), 0)).unwrap())
            .collect();
        (store, slots)
    }

    fn order(store: &Store) -> Vec<Key> {
        store.iter().map(|b| b.key).collect()
    }

    #[test]
    fn list_follows_use() {
        let (mut store, slots) = store(&["a", "b", "c"]);
        store.touch(slots[0]);
        assert_eq!(order(&store), ["b", "c", "a"].map(Key::of));
        store.touch(slots[2]);
        assert_eq!(order(&store), ["b", "a", "c"].map(Key::of));
        store.remove(slots[0]);
        assert_eq!(order(&store), ["b", "c"].map(Key::of));
        assert_eq!(store.quietest(), Some(slots[1]));
        store.remove(slots[1]);
        store.remove(slots[2]);
        assert_eq!((store.len(), store.quietest()), (0, None));
        store.insert(Bucket::new(0, Key::of("d"), 0));
        assert_eq!(order(&store), ["d"].map(Key::of));
    }

    #[test]
    fn scenario_and_key_both_count() {
        let (mut store, slots) = store(&["a"]);
        let other = store.insert(Bucket::new(1, Key::of("a"), 0)).unwrap();
        assert_eq!(store.find(0, Key::of("a")), Some(slots[0]));
        assert_eq!(store.find(1, Key::of("a")), Some(other));
        store.remove(slots[0]);
        assert_eq!(store.find(0, Key::of("a")), None);
        assert_eq!(store.find(1, Key::of("a")), Some(other));
    }

    #[test]
    fn due_comes_in_order_and_dead_entries_are_passed_over() {
        let (mut store, slots) = store(&["a", "b", "c"]);
        for (slot, deadline) in slots.iter().zip([30, 10, 20]) {
            store.schedule(*slot, deadline);
        }
        store.remove(slots[1]);
        let reused = store.insert(Bucket::new(0, Key::of("d"), 0)).unwrap();
        assert_eq!(reused, slots[1]);
        assert_eq!(store.pop_due(25), Some(slots[2]));
        assert_eq!(store.pop_due(25), None);
        store.schedule(slots[2], 40);
        assert_eq!(store.next_due(), Some(30));
    }

    #[test]
    fn heap_is_bounded_by_what_lives() {
        let mut store = Store::new();
        for i in 0..20_000 {
            let slot = store.insert(Bucket::new(0, Key::of("a"), 0)).unwrap();
            store.schedule(slot, i);
            store.remove(slot);
        }
        assert!(store.due.len() < 1_100, "{}", store.due.len());
    }
}
