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

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_interval_is_two_elements() {
        let mut w = Writer::default();
        let timeout = Some(Duration::from_micros(1_500));
        write_prefix(&mut w, SetKind::Range4, p("10.1.0.0/16"), timeout);
        #[rustfmt::skip]
        let expected: &[u8] = &[
            28, 0, 1, 0x80, // NFTA_LIST_ELEM, nested
              12, 0, 1, 0x80,  8, 0, 1, 0,  10, 1, 0, 0, // key → value
              12, 0, 4, 0,  0, 0, 0, 0, 0, 0, 0, 2, // timeout: 1.5 ms, rounded up
            24, 0, 1, 0x80,
              12, 0, 1, 0x80,  8, 0, 1, 0,  10, 2, 0, 0,
              8, 0, 3, 0,  0, 0, 0, 1, // NFT_SET_ELEM_INTERVAL_END
        ];
        assert_eq!(w.bytes(), expected);
    }

    #[test]
    fn the_last_network_stays_open() {
        for (set, prefix) in [
            (SetKind::Range4, "255.0.0.0/8"),
            (SetKind::Range6, "ff00::/8"),
        ] {
            let mut w = Writer::default();
            write_prefix(&mut w, set, p(prefix), None);
            assert_eq!(w.len(), 12 + set.key_len(), "{prefix}");
        }
    }

    #[test]
    fn a_long_list_is_cut_within_an_attribute_s_sixteen_bits() {
        let mut batch = Batch::new(0);
        let changes: Vec<_> = (0..20_000u32)
            .map(|i| KernelChange::Add {
                prefix: Prefix::host(Ipv6Addr::from_bits(u128::from(i) << 64 | 1).into()),
                timeout: Some(Duration::from_secs(9)),
            })
            .collect();
        write_changes(&changes, "posse", 0, &mut batch);
        let mut elements = Vec::new();
        for message in crate::decode::Messages(batch.finish()) {
            assert!(message.payload.len() <= usize::from(u16::MAX) + 64);
            crate::decode::elements(message, SetKind::Host6, &mut elements);
        }
        assert_eq!(elements.len(), changes.len());
    }

    #[test]
    fn only_exact_networks_of_the_set_s_width_are_prefixes() {
        let of = |set, first, last| prefix_of_range(set, first, last).map(|p| p.to_string());
        assert_eq!(
            of(SetKind::Range4, 0x0a00_0000, 0x0aff_ffff).as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(
            of(SetKind::Range4, 0, 0xffff_ffff).as_deref(),
            Some("0.0.0.0/0")
        );
        assert_eq!(of(SetKind::Range6, 0, u128::MAX).as_deref(), Some("::/0"));
        assert_eq!(of(SetKind::Range4, 0x0a00_0000, 0x0a00_0000), None);
        assert_eq!(of(SetKind::Range4, 0x0a00_0001, 0x0a00_0002), None);
        assert_eq!(of(SetKind::Range4, 5, 4), None);
        // IPv6 text for an IPv4 network: not something an IPv6 packet can carry as ours.
        assert_eq!(
            of(SetKind::Range6, 0xffff_0000_0000, 0xffff_ffff_ffff),
            None
        );
    }
}
