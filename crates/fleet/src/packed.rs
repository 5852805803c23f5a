//! Bans packed by groups: all of one group have the same family, prefix length, issuer, kind, TLP,
//! state and unit of time. Within a group prefixes ascend, and what is written of each is the
//! Rice-coded gap to the one before and its end, as a number of minutes or seconds above the least
//! end of its block.
//!
//! Layout of a group: CBOR `[family, length, issuer, kind, tlp, state, unit, count]`, then blocks
//! of at most [`BLOCK_ROWS`] rows: Rice parameter (7 bits), width of ends (6 bits), least end (32
//! bits), rows; after the last block zeros to the next whole byte. Groups ascend, too.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use model::{Prefix, Tlp};

use crate::{
    FleetError, OrgId,
    bits::{BitReader, BitWriter},
    cbor::{Reader, written},
    live::{Label, Live},
    statement,
    table::{LabelId, Row},
};

const BLOCK_ROWS: usize = 1_024;
/// Groups of one snapshot.
const GROUPS_MAX: usize = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    /// 4 or 6.
    family: u8,
    len: u8,
    pub(crate) issuer: OrgId,
    pub(crate) kind: Arc<str>,
    pub(crate) tlp: Tlp,
    pub(crate) state: u8,
    /// Seconds in which ends are told: 1 or 60.
    unit: u32,
}

/// Groups that are written by a walk over the whole set each; with more of them, all rows are
/// sorted in memory.
const WALKS_MAX: usize = 64;

/// Of what [`pack`] wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) groups: usize,
    pub(crate) rows: u64,
}

/// What rows of one group have in common, as the set has it.
type Place = (u8, u8, LabelId, u8, u32);

fn place(row: &Row, state: u8) -> Place {
    let family = if row.prefix.is_ipv4() { 4 } else { 6 };
    (
        family,
        row.prefix.len(),
        row.label,
        state,
        unit_of(row.until),
    )
}

/// Writes the rows that `state` gives a state to write after `out`.
pub(crate) fn pack(
    live: &Live,
    state: &dyn Fn(Row, &Label) -> Option<u8>,
    out: &mut Vec<u8>,
) -> Counts {
    let chosen = || {
        let rows = live
            .iter()
            .filter_map(|row| Some((row, live.label(row.label)?)));
        rows.filter_map(|(row, label)| Some((row, state(row, label)?)))
    };
    let mut counts: BTreeMap<Place, u64> = BTreeMap::new();
    for (row, state) in chosen() {
        *counts.entry(place(&row, state)).or_default() += 1;
    }
    let group = |place: &Place| Group::of(live, place);
    let mut groups: Vec<_> = counts
        .iter()
        .filter_map(|(place, count)| Some((group(place)?, *place, *count)))
        .collect();
    groups.sort_unstable();
    if groups.len() <= WALKS_MAX {
        for (group, wanted, count) in &groups {
            let rows = chosen().filter(|(row, state)| place(row, *state) == *wanted);
            let mut ends = rows.map(|(row, _)| (row.prefix, row.until));
            group.write(*count, &mut ends, out);
        }
    } else {
        // A set with many kinds: by group, and within it as they come.
        let orders = (0u32..).zip(&groups).map(|(n, (_, place, _))| (*place, n));
        let orders: BTreeMap<Place, u32> = orders.collect();
        let row = |(row, state): (Row, u8)| {
            let order = *orders.get(&place(&row, state))?;
            Some((order, row.prefix, row.until))
        };
        let mut rows: Vec<_> = chosen().filter_map(row).collect();
        rows.sort_unstable();
        let parts = rows.chunk_by(|a, b| a.0 == b.0);
        for ((group, _, count), part) in groups.iter().zip(parts) {
            let mut ends = part.iter().map(|(_, prefix, until)| (*prefix, *until));
            group.write(*count, &mut ends, out);
        }
    }
    Counts {
        groups: groups.len(),
        rows: groups.iter().map(|(.., count)| count).sum(),
    }
}

const fn unit_of(until: u32) -> u32 {
    if until.is_multiple_of(60) { 60 } else { 1 }
}

impl Group {
    fn of(live: &Live, place: &Place) -> Option<Self> {
        let (family, len, label, state, unit) = *place;
        let label = live.label(label)?;
        Some(Self {
            family,
            len,
            issuer: live.org(label.issuer)?.clone(),
            kind: Arc::clone(&label.kind),
            tlp: label.tlp,
            state,
            unit,
        })
    }

    /// `ends` are the group's `count` prefixes, ascending, and their ends.
    fn write(&self, count: u64, ends: &mut dyn Iterator<Item = (Prefix, u32)>, out: &mut Vec<u8>) {
        out.extend(written(|w| {
            w.array(8)?.u8(self.family)?.u8(self.len)?;
            w.str(self.issuer.as_str())?.str(&self.kind)?;
            w.u8(self.tlp.number())?.u8(self.state)?.u32(self.unit)?;
            w.u64(count)?;
            Ok(())
        }));
        let mut bits = BitWriter::new(out);
        let mut next = 0;
        let mut block = Vec::with_capacity(BLOCK_ROWS);
        for end in ends {
            block.push(end);
            if block.len() == BLOCK_ROWS {
                self.write_block(&block, &mut next, &mut bits);
                block.clear();
            }
        }
        if !block.is_empty() {
            self.write_block(&block, &mut next, &mut bits);
        }
        bits.finish();
    }

    /// `next` is the least number that the first row may have.
    fn write_block(&self, block: &[(Prefix, u32)], next: &mut u128, bits: &mut BitWriter) {
        let width = u32::from(self.len);
        let last = block
            .last()
            .map_or(*next, |(prefix, _)| self.number(*prefix));
        let mean = last.saturating_sub(*next) / block.len().max(1) as u128;
        let rice = rice_for(mean).min(width);
        let ends = || block.iter().map(|(_, until)| until / self.unit);
        let least = ends().min().unwrap_or(0);
        let span = ends().max().unwrap_or(0) - least;
        let end_width = u32::BITS - span.leading_zeros();
        bits.put(u128::from(rice), 7);
        bits.put(u128::from(end_width), 6);
        bits.put(u128::from(least), 32);
        for ((prefix, _), end) in block.iter().zip(ends()) {
            let number = self.number(*prefix);
            bits.put_rice(number.saturating_sub(*next), rice, width);
            bits.put(u128::from(end - least), end_width);
            // The whole address space, ::/0, is a group of one row.
            *next = number.saturating_add(1);
        }
    }

    /// The leading bits of a prefix of this group.
    fn number(&self, prefix: Prefix) -> u128 {
        let (bits, all) = match prefix.addr() {
            IpAddr::V4(addr) => (u128::from(addr.to_bits()), 32),
            IpAddr::V6(addr) => (addr.to_bits(), 128),
        };
        bits.checked_shr(all - u32::from(self.len)).unwrap_or(0)
    }

    /// The prefix with these leading bits; `None` when there is none in canonical form.
    #[expect(clippy::cast_possible_truncation, reason = "IPv4 has 32 bits")]
    fn prefix(&self, number: u128) -> Option<Prefix> {
        let addr = if self.family == 4 {
            let bits = (number as u32)
                .checked_shl(32 - u32::from(self.len))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        } else {
            let bits = number.checked_shl(128 - u32::from(self.len)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        };
        let prefix = Prefix::new(addr, self.len).ok()?;
        (prefix.addr() == addr && prefix.len() == self.len).then_some(prefix)
    }

    fn read(r: &mut Reader) -> Result<(Self, u64), FleetError> {
        r.tuple(8)?;
        let (family, len) = (r.u8()?, r.u8()?);
        if !matches!((family, len), (4, 0..=32) | (6, 0..=128)) {
            return Err(r.fail("no such family and prefix length"));
        }
        let group = Self {
            family,
            len,
            issuer: r.org()?,
            kind: statement::kind(r)?,
            tlp: r.tlp()?,
            state: r.u8()?,
            unit: r.u32()?,
        };
        if !matches!(group.unit, 1 | 60) {
            return Err(r.fail("ends are told in seconds or minutes"));
        }
        Ok((group, r.u64()?))
    }
}

/// The parameter with which gaps of that mean take the fewest bits: about log2(mean * ln 2).
fn rice_for(mean: u128) -> u32 {
    let scaled = mean.saturating_mul(69) / 100;
    u128::BITS - scaled.leading_zeros() - u32::from(scaled > 0)
}

/// One unpacked ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) prefix: Prefix,
    pub(crate) until: u32,
}

/// Walks `groups` groups in `bytes`, which lie at `offset` of a `what`, row by row, and takes
/// exactly all bytes. Needs no memory of its own. At most `rows_max` rows.
pub(crate) fn unpack(
    what: &'static str,
    bytes: &[u8],
    offset: usize,
    groups: usize,
    rows_max: usize,
    each: &mut dyn FnMut(&Group, Unpacked) -> Result<(), FleetError>,
) -> Result<(), FleetError> {
    let fail = |at: usize, why| FleetError::Malformed {
        what,
        at: offset + at,
        why,
    };
    if groups > GROUPS_MAX {
        return Err(fail(0, "more groups than are taken"));
    }
    let (mut at, mut rows_left) = (0, rows_max as u64);
    let mut last: Option<Group> = None;
    for _ in 0..groups {
        let rest = bytes.get(at..).unwrap_or_default();
        let mut r = Reader::new(what, rest);
        let (group, count) = Group::read(&mut r).map_err(|e| moved(e, offset + at))?;
        if last.as_ref().is_some_and(|last| *last >= group) {
            return Err(fail(at, "groups out of order"));
        }
        at += r.position();
        if count == 0 {
            return Err(fail(at, "a group without rows"));
        }
        rows_left = rows_left.checked_sub(count).ok_or(FleetError::Full {
            what: "bans",
            limit: rows_max,
        })?;
        let rest = bytes.get(at..).unwrap_or_default();
        at += unpack_group(&group, count, rest, &|why| fail(at, why), each)?;
        last = Some(group);
    }
    if at == bytes.len() {
        Ok(())
    } else {
        Err(fail(at, "something follows the end"))
    }
}

fn unpack_group(
    group: &Group,
    count: u64,
    bytes: &[u8],
    fail: &dyn Fn(&'static str) -> FleetError,
    each: &mut dyn FnMut(&Group, Unpacked) -> Result<(), FleetError>,
) -> Result<usize, FleetError> {
    const SHORT: &str = "the rows of this group end too early";
    let mut bits = BitReader::new(bytes);
    let width = u32::from(group.len);
    let head = |bits: &mut BitReader, width| {
        let number = bits.take(width).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| fail(SHORT))
    };
    let (mut next, mut left) = (Some(0u128), count);
    while left > 0 {
        let rice = head(&mut bits, 7)?;
        let end_width = head(&mut bits, 6)?;
        let least = head(&mut bits, 32)?;
        if rice > width || end_width > 32 {
            return Err(fail("a block's head says what cannot be"));
        }
        let rows = left.min(BLOCK_ROWS as u64);
        for _ in 0..rows {
            let gap = bits.take_rice(rice, width).ok_or_else(|| fail(SHORT))?;
            let end = head(&mut bits, end_width)?;
            let number = next.and_then(|next| next.checked_add(gap));
            let in_width = |n: &u128| width == 128 || *n >> width == 0;
            let number = number.filter(in_width);
            let number = number.ok_or_else(|| fail("a prefix beyond the last there is"))?;
            let until = least
                .checked_add(end)
                .and_then(|e| e.checked_mul(group.unit));
            let until = until.ok_or_else(|| fail("an end beyond what can be written"))?;
            let prefix = group.prefix(number);
            let prefix = prefix.ok_or_else(|| fail("an IPv4 address in an IPv6 group"))?;
            each(group, Unpacked { prefix, until })?;
            next = number.checked_add(1);
        }
        left -= rows;
    }
    bits.finish()
        .ok_or_else(|| fail("the filling bits are not zero"))
}

/// The same error, with its place counted from the beginning of the whole.
pub(crate) fn moved(error: FleetError, by: usize) -> FleetError {
    match error {
        FleetError::Malformed { what, at, why } => FleetError::Malformed {
            what,
            at: at + by,
            why,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Item = (u32, Prefix, u32);

    fn an_item() -> impl Strategy<Value = Item> {
        let v4 = (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, len)| Prefix::new(Ipv4Addr::from_bits(bits).into(), len).unwrap());
        let v6 = (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, len)| Prefix::new(Ipv6Addr::from_bits(bits).into(), len).unwrap());
        let near =
            (0u32..500).prop_map(|bits| Prefix::new(Ipv4Addr::from_bits(bits).into(), 32).unwrap());
        let prefix = prop_oneof![v4, v6, near];
        let until = prop_oneof![any::<u32>(), (0u32..100_000).prop_map(|m| m * 60)];
        (0u32..3, prefix, until)
    }

    /// Each in two states, by its end.
    fn state(until: u32) -> u8 {
        u8::from(until.is_multiple_of(3))
    }

    fn live(items: &[Item]) -> Live {
        let mut live = Live::default();
        for (name, prefix, until) in items {
            let (org, kind) = [("hub", "scan"), ("other", "ssh"), ("third", "ssh")][*name as usize];
            let issuer = live.issuer(&OrgId::new(org).unwrap());
            let label = live.intern(issuer, &kind.into(), Tlp::Green).unwrap();
            live.put(*prefix, label, *until, state(*until));
        }
        live
    }

    fn packed(live: &Live) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let counts = pack(live, &|row, _| Some(row.state), &mut bytes);
        assert_eq!(counts.rows, live.len() as u64);
        (bytes, counts.groups)
    }

    fn read(bytes: &[u8], groups: usize) -> Result<Live, FleetError> {
        let mut live = Live::default();
        unpack("snapshot", bytes, 0, groups, 10_000, &mut |group, row| {
            assert_eq!(group.state, state(row.until));
            let issuer = live.issuer(&group.issuer);
            let label = live.intern(issuer, &group.kind, group.tlp)?;
            assert!(
                live.put(row.prefix, label, row.until, group.state)
                    .is_none()
            );
            Ok(())
        })?;
        Ok(live)
    }

    proptest! {
        #[test]
        fn rows_read_back(items in proptest::collection::vec(an_item(), 0..3_000)) {
            let live = live(&items);
            let (bytes, groups) = packed(&live);
            let again = read(&bytes, groups).unwrap();
            prop_assert_eq!((again.len(), again.digest()), (live.len(), live.digest()));
            prop_assert_eq!(packed(&again), (bytes, groups), "one set has one form");
        }

        #[test]
        fn a_cut_or_lengthened_pack_is_refused(
            items in proptest::collection::vec(an_item(), 1..50),
            cut in any::<proptest::sample::Index>(),
        ) {
            let (mut bytes, groups) = packed(&live(&items));
            prop_assert!(read(&bytes[..cut.index(bytes.len())], groups).is_err());
            bytes.push(0);
            let Err(error) = read(&bytes, groups) else { panic!("taken") };
            prop_assert!(error.to_string().contains("follows the end"), "{error}");
        }
    }

    #[test]
    fn rice_is_about_the_means_logarithm() {
        assert_eq!(
            [0, 1, 2, 4_295, u128::MAX].map(rice_for)[..4],
            [0, 0, 0, 11]
        );
    }
}
