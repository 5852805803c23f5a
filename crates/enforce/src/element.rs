//! Set elements as netlink attributes. Pure.
//!
//! A hash set's element is one key. An interval set's is two: the first address, and the address
//! after the last one with the flag "interval end"; a network that reaches the end of the address
//! space has no such address and stays open.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use model::Prefix;

use crate::{
    plan::KernelChange,
    set::SetKind,
    wire::{Batch, F_CREATE, Kind, Writer},
};

pub(crate) const ELEM_KEY: u16 = 1;
pub(crate) const ELEM_FLAGS: u16 = 3;
pub(crate) const ELEM_TIMEOUT: u16 = 4;
pub(crate) const ELEM_EXPIRATION: u16 = 5;
pub(crate) const LIST_TABLE: u16 = 1;
pub(crate) const LIST_SET: u16 = 2;
pub(crate) const LIST_ELEMENTS: u16 = 3;
pub(crate) const LIST_ELEM: u16 = 1;
pub(crate) const DATA_VALUE: u16 = 1;
pub(crate) const INTERVAL_END: u32 = 1;

/// Bytes of elements in one message: a nested attribute's length has 16 bits.
const LIST_BYTES_MAX: usize = 65_000;
/// More than the two elements of an IPv6 network take.
const ELEMENT_BYTES_MAX: usize = 128;
const _: () = assert!(LIST_BYTES_MAX + ELEMENT_BYTES_MAX + 4 <= u16::MAX as usize);

/// Collects elements of one set and writes them as messages.
#[derive(Debug)]
pub(crate) struct ElementList {
    set: SetKind,
    kind: Kind,
    flags: u16,
    attrs: Writer,
}

impl ElementList {
    /// Elements to put in. `exclusive` is `F_EXCL` to have one that is there already refused.
    pub(crate) fn adding(set: SetKind, exclusive: u16) -> Self {
        let flags = F_CREATE | exclusive;
        Self {
            set,
            kind: Kind::NewSetElem,
            flags,
            attrs: Writer::default(),
        }
    }

    pub(crate) fn removing(set: SetKind) -> Self {
        Self {
            set,
            kind: Kind::DelSetElem,
            flags: 0,
            attrs: Writer::default(),
        }
    }

    pub(crate) fn push(
        &mut self,
        prefix: Prefix,
        timeout: Option<Duration>,
        table: &str,
        batch: &mut Batch,
    ) {
        write_prefix(&mut self.attrs, self.set, prefix, timeout);
        if self.attrs.len() > LIST_BYTES_MAX {
            self.flush(table, batch);
        }
    }

    /// A raw interval, for those that no ban of ours could have made.
    pub(crate) fn push_range(&mut self, first: u128, last: u128, table: &str, batch: &mut Batch) {
        write_range(&mut self.attrs, self.set, first, last, None);
        if self.attrs.len() > LIST_BYTES_MAX {
            self.flush(table, batch);
        }
    }

    pub(crate) fn flush(&mut self, table: &str, batch: &mut Batch) {
        if self.attrs.len() == 0 {
            return;
        }
        let (set, attrs) = (self.set.name(), self.attrs.bytes());
        batch.push(self.kind, self.flags, |w| {
            w.attr_str(LIST_TABLE, table);
            w.attr_str(LIST_SET, set);
            let list = w.nest(LIST_ELEMENTS);
            w.raw(attrs);
            w.end_nest(list);
        });
        self.attrs.clear();
    }
}

/// Writes `changes` so that within the batch what goes goes before what comes: an update is both,
/// and an interval may only come where none is left.
pub(crate) fn write_changes(
    changes: &[KernelChange],
    table: &str,
    exclusive: u16,
    batch: &mut Batch,
) {
    for set in SetKind::ALL {
        let mut list = ElementList::removing(set);
        for change in changes.iter().filter(|c| SetKind::of(c.prefix()) == set) {
            match *change {
                KernelChange::Update { prefix, .. } | KernelChange::Remove { prefix } => {
                    list.push(prefix, None, table, batch);
                }
                KernelChange::Add { .. } => {}
            }
        }
        list.flush(table, batch);
    }
    for set in SetKind::ALL {
        let mut list = ElementList::adding(set, exclusive);
        for change in changes.iter().filter(|c| SetKind::of(c.prefix()) == set) {
            match *change {
                KernelChange::Add { prefix, timeout }
                | KernelChange::Update { prefix, timeout } => {
                    list.push(prefix, timeout, table, batch);
                }
                KernelChange::Remove { .. } => {}
            }
        }
        list.flush(table, batch);
    }
}

/// Takes every element out of `set`.
pub(crate) fn write_flush(set: SetKind, table: &str, batch: &mut Batch) {
    // Without a list of elements: all.
    batch.push(Kind::DelSetElem, 0, |w| {
        w.attr_str(LIST_TABLE, table);
        w.attr_str(LIST_SET, set.name());
    });
}

/// The attributes of a question whether `prefix` is in its (hash) set.
pub(crate) fn write_question(w: &mut Writer, prefix: Prefix, table: &str) {
    let set = SetKind::of(prefix);
    w.attr_str(LIST_TABLE, table);
    w.attr_str(LIST_SET, set.name());
    let list = w.nest(LIST_ELEMENTS);
    write_prefix(w, set, prefix, None);
    w.end_nest(list);
}

fn write_prefix(w: &mut Writer, set: SetKind, prefix: Prefix, timeout: Option<Duration>) {
    let first = bits(prefix.addr());
    if set.is_interval() {
        write_range(w, set, first, bits(prefix.last()), timeout);
    } else {
        write_element(w, set, first, 0, timeout);
    }
}

fn write_range(w: &mut Writer, set: SetKind, first: u128, last: u128, timeout: Option<Duration>) {
    write_element(w, set, first, 0, timeout);
    if last < max_bits(set) {
        write_element(w, set, last + 1, INTERVAL_END, None);
    }
}

fn write_element(w: &mut Writer, set: SetKind, key: u128, flags: u32, timeout: Option<Duration>) {
    let element = w.nest(LIST_ELEM);
    let data = w.nest(ELEM_KEY);
    let bytes = key.to_be_bytes();
    let (_, low) = bytes.split_at(16 - set.key_len());
    w.attr(DATA_VALUE, low);
    w.end_nest(data);
    if flags != 0 {
        w.attr_u32(ELEM_FLAGS, flags);
    }
    if let Some(timeout) = timeout {
        w.attr_u64(ELEM_TIMEOUT, timeout_millis(timeout));
    }
    w.end_nest(element);
}

/// Zero would mean "without end" to the kernel, so a ban that is about to end gets its last
/// millisecond.
fn timeout_millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos().div_ceil(1_000_000))
        .unwrap_or(u64::MAX)
        .max(1)
}

pub(crate) fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

pub(crate) const fn max_bits(set: SetKind) -> u128 {
    if set.is_ipv4() {
        u32::MAX as u128
    } else {
        u128::MAX
    }
}

/// The prefix of `set`'s width that spans exactly `first` to `last`, if there is one.
pub(crate) fn prefix_of_range(set: SetKind, first: u128, last: u128) -> Option<Prefix> {
    let size = last.checked_sub(first)?;
    // All ones in the host part: size + 1 is a power of two and first a multiple of it.
    if size & size.wrapping_add(1) != 0 || first & size != 0 {
        return None;
    }
    let host_bits = size.count_ones();
    let prefix = if set.is_ipv4() {
        let addr = Ipv4Addr::from_bits(u32::try_from(first).ok()?);
        Prefix::new(
            IpAddr::V4(addr),
            u8::try_from(32u32.checked_sub(host_bits)?).ok()?,
        )
        .ok()?
    } else {
        let addr = Ipv6Addr::from_bits(first);
        Prefix::new(IpAddr::V6(addr), u8::try_from(128 - host_bits).ok()?).ok()?
    };
    (SetKind::of(prefix) == set && bits(prefix.addr()) == first).then_some(prefix)
}
