//! Millions of bans in little memory: 13 bytes for one of IPv4, 25 for one of IPv6.
//!
//! Sorted rows in chunks of a few hundred, three plain columns each. A chunk knows the earliest
//! end in it, so a sweep passes over chunks in which nothing has ended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Prefix;

/// Rows of one chunk: few enough that making room in the middle is cheap.
const CHUNK_ROWS_MAX: usize = 512;
const CHUNK_ROWS_FEW: usize = CHUNK_ROWS_MAX / 4;
/// Columns grow by so many rows, so that little room is kept for nothing.
const CHUNK_ROWS_STEP: usize = 64;

/// Who and why, as a number; 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LabelId(pub(crate) u32);

impl LabelId {
    pub(crate) const MAX: Self = Self((1 << 24) - 1);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) prefix: Prefix,
    pub(crate) label: LabelId,
    /// Whole seconds of the hub's time.
    pub(crate) until: u32,
    /// Of the owner's meaning.
    pub(crate) state: u8,
}

/// Rows by prefix, then label; IPv4 before IPv6.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    v4: Rows<Key4>,
    v6: Rows<Key6>,
}

impl Table {
    pub(crate) const fn len(&self) -> usize {
        self.v4.len + self.v6.len
    }

    /// Writes the row of its prefix and label, whatever stood there.
    pub(crate) fn put(&mut self, row: Row) {
        let (prefix, label) = (row.prefix, row.label);
        match prefix.addr() {
            IpAddr::V4(_) => self.v4.put(Key4::new(prefix, label), row.until, row.state),
            IpAddr::V6(_) => self.v6.put(Key6::new(prefix, label), row.until, row.state),
        }
    }

    pub(crate) fn remove(&mut self, prefix: Prefix, label: LabelId) {
        match prefix.addr() {
            IpAddr::V4(_) => self.v4.remove(Key4::new(prefix, label)),
            IpAddr::V6(_) => self.v6.remove(Key6::new(prefix, label)),
        }
    }

    /// The rows of exactly `prefix`.
    pub(crate) fn on(&self, prefix: Prefix) -> impl Iterator<Item = Row> + '_ {
        self.from(prefix, LabelId(0))
            .take_while(move |row| row.prefix == prefix)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.v4.iter().chain(self.v6.iter())
    }

    /// All rows from this prefix and label on.
    pub(crate) fn from(&self, prefix: Prefix, label: LabelId) -> impl Iterator<Item = Row> + '_ {
        let (v4, v6) = match prefix.addr() {
            IpAddr::V4(_) => (Some(Key4::new(prefix, label)), None),
            IpAddr::V6(_) => (None, Some(Key6::new(prefix, label))),
        };
        let v6_from = self.v6.from(v6.unwrap_or(Key6::FIRST));
        let v4 = v4.map(|key| self.v4.from(key)).into_iter().flatten();
        v4.chain(v6_from)
    }

    /// Changes every row's state.
    pub(crate) fn set_states(&mut self, change: impl Fn(u8) -> u8 + Copy) {
        self.v4.set_states(change);
        self.v6.set_states(change);
    }

    /// Takes out the rows that end at `to` or before.
    pub(crate) fn sweep(&mut self, to: u32, each: &mut dyn FnMut(Row)) {
        self.v4.sweep(to, each);
        self.v6.sweep(to, each);
    }
}

trait Key: Copy + Ord {
    fn row(self, until: u32, state: u8) -> Row;
}

/// Address, six bits of length, label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key4(u64);

const KEY4_LABEL_BITS: u32 = 26;

impl Key4 {
    fn new(prefix: Prefix, label: LabelId) -> Self {
        let addr = match prefix.addr() {
            IpAddr::V4(addr) => addr.to_bits(),
            IpAddr::V6(_) => 0,
        };
        let len = u64::from(prefix.len()) << KEY4_LABEL_BITS;
        Self(u64::from(addr) << 32 | len | u64::from(label.0))
    }
}

impl Key for Key4 {
    #[expect(clippy::cast_possible_truncation, reason = "the parts lie apart")]
    fn row(self, until: u32, state: u8) -> Row {
        let addr = Ipv4Addr::from_bits((self.0 >> 32) as u32);
        let len = (self.0 as u32 >> KEY4_LABEL_BITS) as u8;
        Row {
            prefix: network(IpAddr::V4(addr), len),
            label: LabelId(self.0 as u32 & ((1 << KEY4_LABEL_BITS) - 1)),
            until,
            state,
        }
    }
}

/// Four words of address; eight bits of length and the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key6([u32; 4], u32);

const KEY6_LABEL_BITS: u32 = 24;

impl Key6 {
    const FIRST: Self = Self([0; 4], 0);

    #[expect(clippy::cast_possible_truncation, reason = "cut into words")]
    fn new(prefix: Prefix, label: LabelId) -> Self {
        let bits = match prefix.addr() {
            IpAddr::V6(addr) => addr.to_bits(),
            IpAddr::V4(_) => 0,
        };
        let words = [96, 64, 32, 0].map(|shift| (bits >> shift) as u32);
        Self(words, u32::from(prefix.len()) << KEY6_LABEL_BITS | label.0)
    }
}

impl Key for Key6 {
    fn row(self, until: u32, state: u8) -> Row {
        let bits = self
            .0
            .iter()
            .fold(0, |bits, word| bits << 32 | u128::from(*word));
        let len = (self.1 >> KEY6_LABEL_BITS) as u8;
        Row {
            prefix: network(IpAddr::V6(Ipv6Addr::from_bits(bits)), len),
            label: LabelId(self.1 & ((1 << KEY6_LABEL_BITS) - 1)),
            until,
            state,
        }
    }
}

/// Back from a key that a prefix went into.
fn network(addr: IpAddr, len: u8) -> Prefix {
    Prefix::new(addr, len).unwrap_or_else(|_| Prefix::host(addr))
}

#[derive(Clone, Debug)]
struct Rows<K> {
    chunks: Vec<Chunk<K>>,
    len: usize,
}

/// Never empty once it is in [`Rows`]; the columns are equally long.
#[derive(Clone, Debug)]
struct Chunk<K> {
    first: K,
    /// No row ends before it.
    ends_from: u32,
    keys: Vec<K>,
    untils: Vec<u32>,
    states: Vec<u8>,
}

impl<K> Default for Rows<K> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Key> Rows<K> {
    fn put(&mut self, key: K, until: u32, state: u8) {
        let at = self.chunk_of(key);
        let is_last = at + 1 == self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::new(key, until, state));
            self.len += 1;
            return;
        };
        let new_last = chunk.is_full() && chunk.keys.last().is_some_and(|last| *last < key);
        if new_last && is_last {
            // Rows that come sorted fill their chunks to the brim.
            self.chunks.push(Chunk::new(key, until, state));
            self.len += 1;
            return;
        }
        if chunk.put(key, until, state) {
            self.len += 1;
        }
        if let Some(upper) = chunk.split() {
            self.chunks.insert(at + 1, upper);
        }
    }

    fn remove(&mut self, key: K) {
        let at = self.chunk_of(key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if chunk.remove(key) {
            self.len -= 1;
            self.tidy(at);
        }
    }

    /// Joins a chunk that has become small with the next, and drops an empty one.
    fn tidy(&mut self, at: usize) {
        let len_of = |chunks: &[Chunk<K>], at: usize| chunks.get(at).map(|c| c.keys.len());
        match (len_of(&self.chunks, at), len_of(&self.chunks, at + 1)) {
            (Some(0), _) => {
                self.chunks.remove(at);
            }
            (Some(few), Some(next)) if few <= CHUNK_ROWS_FEW && next <= CHUNK_ROWS_FEW * 2 => {
                let next = self.chunks.remove(at + 1);
                if let Some(chunk) = self.chunks.get_mut(at) {
                    chunk.append(next);
                }
            }
            _ => {}
        }
    }

    /// The chunk that holds `key` or would.
    fn chunk_of(&self, key: K) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk.first <= key);
        after.saturating_sub(1)
    }

    fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.rows(0))
    }

    fn from(&self, key: K) -> impl Iterator<Item = Row> + '_ {
        let at = self.chunk_of(key);
        let mut chunks = self.chunks.get(at..).unwrap_or_default().iter();
        let first = chunks.next().map(|chunk| {
            let begin = chunk.keys.partition_point(|k| *k < key);
            chunk.rows(begin)
        });
        let rest = chunks.flat_map(|chunk| chunk.rows(0));
        first.into_iter().flatten().chain(rest)
    }

    fn set_states(&mut self, change: impl Fn(u8) -> u8) {
        let states = self.chunks.iter_mut().flat_map(|c| &mut c.states);
        states.for_each(|state| *state = change(*state));
    }

    fn sweep(&mut self, to: u32, each: &mut dyn FnMut(Row)) {
        let mut swept = 0;
        for chunk in &mut self.chunks {
            if chunk.ends_from <= to {
                swept += chunk.sweep(to, each);
            }
        }
        if swept > 0 {
            self.len -= swept;
            self.chunks.retain(|chunk| !chunk.keys.is_empty());
            self.join_small();
        }
    }

    fn join_small(&mut self) {
        let mut joined: Vec<Chunk<K>> = Vec::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            match joined.last_mut() {
                Some(last) if last.keys.len() + chunk.keys.len() <= CHUNK_ROWS_MAX / 2 => {
                    last.append(chunk);
                }
                _ => joined.push(chunk),
            }
        }
        self.chunks = joined;
    }
}

impl<K: Key> Chunk<K> {
    fn new(key: K, until: u32, state: u8) -> Self {
        Self {
            first: key,
            ends_from: until,
            keys: vec![key],
            untils: vec![until],
            states: vec![state],
        }
    }

    const fn is_full(&self) -> bool {
        self.keys.len() >= CHUNK_ROWS_MAX
    }

    /// Says whether the row is new.
    fn put(&mut self, key: K, until: u32, state: u8) -> bool {
        self.ends_from = self.ends_from.min(until);
        self.first = self.first.min(key);
        match self.keys.binary_search(&key) {
            Ok(at) => {
                self.untils.get_mut(at).into_iter().for_each(|u| *u = until);
                self.states.get_mut(at).into_iter().for_each(|s| *s = state);
                false
            }
            Err(at) => {
                self.make_room();
                self.keys.insert(at, key);
                self.untils.insert(at, until);
                self.states.insert(at, state);
                true
            }
        }
    }

    fn make_room(&mut self) {
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(CHUNK_ROWS_STEP);
            self.untils.reserve_exact(CHUNK_ROWS_STEP);
            self.states.reserve_exact(CHUNK_ROWS_STEP);
        }
    }

    fn remove(&mut self, key: K) -> bool {
        let Ok(at) = self.keys.binary_search(&key) else {
            return false;
        };
        self.keys.remove(at);
        self.untils.remove(at);
        self.states.remove(at);
        if let Some(first) = self.keys.first() {
            self.first = *first;
        }
        true
    }

    /// The upper half, when there are more rows than may be.
    fn split(&mut self) -> Option<Self> {
        if self.keys.len() <= CHUNK_ROWS_MAX {
            return None;
        }
        let half = self.keys.len() / 2;
        let keys = self.keys.split_off(half);
        let upper = Self {
            first: *keys.first()?,
            ends_from: self.ends_from,
            untils: self.untils.split_off(half),
            states: self.states.split_off(half),
            keys,
        };
        self.shrink();
        Some(upper)
    }

    fn shrink(&mut self) {
        self.keys.shrink_to(CHUNK_ROWS_STEP);
        self.untils.shrink_to(CHUNK_ROWS_STEP);
        self.states.shrink_to(CHUNK_ROWS_STEP);
    }

    fn append(&mut self, mut next: Self) {
        self.keys.append(&mut next.keys);
        self.untils.append(&mut next.untils);
        self.states.append(&mut next.states);
        self.ends_from = self.ends_from.min(next.ends_from);
        self.shrink();
    }

    fn rows(&self, begin: usize) -> impl Iterator<Item = Row> + '_ {
        let ends = self.untils.iter().zip(&self.states);
        let rows = self.keys.iter().zip(ends).skip(begin);
        rows.map(|(key, (until, state))| key.row(*until, *state))
    }

    fn sweep(&mut self, to: u32, each: &mut dyn FnMut(Row)) -> usize {
        let before = self.keys.len();
        let ended: Vec<bool> = self.untils.iter().map(|until| *until <= to).collect();
        for (row, _) in self.rows(0).zip(&ended).filter(|(_, ended)| **ended) {
            each(row);
        }
        retain(&mut self.keys, &ended);
        retain(&mut self.untils, &ended);
        retain(&mut self.states, &ended);
        self.shrink();
        self.ends_from = self.untils.iter().min().copied().unwrap_or(u32::MAX);
        if let Some(first) = self.keys.first() {
            self.first = *first;
        }
        before - self.keys.len()
    }
}

fn retain<T>(column: &mut Vec<T>, gone: &[bool]) {
    let mut gone = gone.iter();
    column.retain(|_| gone.next().is_none_or(|gone| !gone));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, len)| network(IpAddr::V4(Ipv4Addr::from_bits(bits)), len));
        let v6 = (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, len)| network(IpAddr::V6(Ipv6Addr::from_bits(bits)), len));
        let few = (0u32..8, 29u8..=32)
            .prop_map(|(bits, len)| network(IpAddr::V4(Ipv4Addr::from_bits(bits)), len));
        prop_oneof![v4, v6, few]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Row),
        Remove(Prefix, LabelId),
        Sweep(u32),
    }

    fn a_step() -> impl Strategy<Value = Step> {
        let label = prop_oneof![0u32..3, Just(LabelId::MAX.0)].prop_map(LabelId);
        let row = (a_prefix(), label.clone(), 0u32..1_000, any::<u8>());
        let row = row.prop_map(|(prefix, label, until, state)| Row {
            prefix,
            label,
            until,
            state,
        });
        prop_oneof![
            20 => row.prop_map(Step::Put),
            4 => (a_prefix(), label).prop_map(|(p, l)| Step::Remove(p, l)),
            1 => (0u32..1_000).prop_map(Step::Sweep),
        ]
    }

    type Plain = BTreeMap<(Prefix, u32), (u32, u8)>;

    fn rows(plain: &Plain) -> Vec<Row> {
        let row = |(key, value): (&(Prefix, u32), &(u32, u8))| Row {
            prefix: key.0,
            label: LabelId(key.1),
            until: value.0,
            state: value.1,
        };
        plain.iter().map(row).collect()
    }

    proptest! {
        #[test]
        fn a_table_is_as_an_ordinary_map(steps in proptest::collection::vec(a_step(), 0..300)) {
            let (mut table, mut plain) = (Table::default(), Plain::new());
            for step in steps {
                match step {
                    Step::Put(row) => {
                        table.put(row);
                        plain.insert((row.prefix, row.label.0), (row.until, row.state));
                    }
                    Step::Remove(prefix, label) => {
                        table.remove(prefix, label);
                        plain.remove(&(prefix, label.0));
                    }
                    Step::Sweep(to) => {
                        let mut swept = 0;
                        table.sweep(to, &mut |row| {
                            assert!(row.until <= to);
                            swept += 1;
                        });
                        let before = plain.len();
                        plain.retain(|_, (until, _)| *until > to);
                        prop_assert_eq!(before - plain.len(), swept);
                    }
                }
            }
            prop_assert_eq!(table.len(), plain.len());
            prop_assert_eq!(table.iter().collect::<Vec<_>>(), rows(&plain));
            for (prefix, _) in plain.keys() {
                let on = plain.range((*prefix, 0)..=(*prefix, u32::MAX)).count();
                prop_assert_eq!(table.on(*prefix).count(), on);
                let from = plain.range((*prefix, 0)..).count();
                prop_assert_eq!(table.from(*prefix, LabelId(0)).count(), from);
            }
        }
    }

    /// Chunks split, shrink and join.
    #[test]
    fn many_rows_come_and_go() {
        let row = |n: u32| Row {
            prefix: network(
                IpAddr::V4(Ipv4Addr::from_bits(n.wrapping_mul(2_654_435_761))),
                32,
            ),
            label: LabelId(0),
            until: n,
            state: 0,
        };
        let mut table = Table::default();
        (0..20_000).for_each(|n| table.put(row(n)));
        assert_eq!(table.len(), 20_000);
        (0..20_000).filter(|n| n % 3 == 0).for_each(|n| {
            table.remove(row(n).prefix, LabelId(0));
        });
        let mut swept = 0;
        table.sweep(15_000, &mut |_| swept += 1);
        assert_eq!(swept, 10_000);
        let left: Vec<_> = table.iter().map(|row| row.prefix).collect();
        assert_eq!((left.len(), table.len()), (3_333, 3_333));
        assert!(left.is_sorted());
        assert!(
            table.v4.chunks.len() < 3_333 / 64,
            "{}",
            table.v4.chunks.len()
        );
        table.sweep(u32::MAX, &mut |_| {});
        assert!(table.len() == 0 && table.v4.chunks.is_empty());
    }
}
