//! Netlink replies from bytes. Pure; no length in them is trusted.

use std::time::Duration;

use model::Prefix;

use crate::{
    element::{
        DATA_VALUE, ELEM_EXPIRATION, ELEM_FLAGS, ELEM_KEY, ELEM_TIMEOUT, INTERVAL_END, LIST_ELEM,
        LIST_ELEMENTS, max_bits, prefix_of_range,
    },
    layout::{
        COUNTER_BYTES, COUNTER_PACKETS, EXPR_DATA, EXPR_NAME, RULE_EXPRESSIONS, RULE_USERDATA,
        TABLE_FLAGS, TABLE_USERDATA,
    },
    set::SetKind,
};

/// Extended acknowledgement: `NLMSGERR_ATTR_MSG`.
const ERROR_TEXT: u16 = 1;
const FLAG_CAPPED: u16 = 0x100;
const FLAG_TLVS: u16 = 0x200;
const TEXT_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) port: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after `struct nfgenmsg`.
    pub(crate) fn attrs(self) -> Attrs<'a> {
        Attrs(self.payload.get(4..).unwrap_or_default())
    }

    pub(crate) fn family(self) -> Option<u8> {
        self.payload.first().copied()
    }
}

/// The messages of one datagram. A broken one ends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (header, _) = self.0.split_first_chunk::<16>()?;
        let [
            l0,
            l1,
            l2,
            l3,
            k0,
            k1,
            f0,
            f1,
            s0,
            s1,
            s2,
            s3,
            p0,
            p1,
            p2,
            p3,
        ] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let payload = self.0.get(16..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            payload,
        })
    }
}

/// Attributes as (type, value). A broken one ends them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attrs<'a>(pub(crate) &'a [u8]);

impl<'a> Attrs<'a> {
    pub(crate) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find_map(|(k, value)| (k == kind).then_some(value))
    }

    fn find_u32(self, kind: u16) -> Option<u32> {
        self.find(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn find_u64(self, kind: u16) -> Option<u64> {
        self.find(kind)?.try_into().ok().map(u64::from_be_bytes)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[l0, l1, k0, k1], _) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        // The two upper bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER.
        Some((u16::from_ne_bytes([k0, k1]) & 0x3fff, value))
    }
}

/// The text of an attribute up to its NUL, made printable.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    let shown = value.get(..end.min(TEXT_BYTES_MAX)).unwrap_or_default();
    String::from_utf8_lossy(shown)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

/// An error number (positive; 0 is success) with the kernel's words if it gave any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) errno: i32,
    pub(crate) text: Option<String>,
}

/// `struct nlmsgerr`, and what follows it.
pub(crate) fn status(message: Message<'_>) -> Option<Status> {
    let (errno, rest) = message.payload.split_first_chunk::<4>()?;
    let errno = i32::from_ne_bytes(*errno).saturating_neg();
    let text = (message.flags & FLAG_TLVS != 0).then(|| {
        let (len, _) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_ne_bytes(*len)).ok()?;
        // A capped reply has only the header of the message it answers.
        let skip = if message.flags & FLAG_CAPPED != 0 {
            16
        } else {
            len.next_multiple_of(4)
        };
        Attrs(rest.get(skip..)?).find(ERROR_TEXT).map(text)
    });
    Some(Status {
        errno,
        text: text.flatten(),
    })
}

/// What the kernel says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) flags: u32,
    pub(crate) userdata: Vec<u8>,
}

pub(crate) fn table(message: Message<'_>) -> TableFacts {
    TableFacts {
        flags: message.attrs().find_u32(TABLE_FLAGS).unwrap_or(0),
        userdata: message
            .attrs()
            .find(TABLE_USERDATA)
            .unwrap_or_default()
            .to_vec(),
    }
}

/// A rule's comment and what it counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleFacts {
    pub(crate) tag: String,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) drops: bool,
}

pub(crate) fn rule(message: Message<'_>) -> RuleFacts {
    let mut facts = RuleFacts::default();
    // Type 0, length, text: see `layout::comment`.
    if let Some(&[0, _, ref tag @ ..]) = message.attrs().find(RULE_USERDATA) {
        facts.tag = text(tag);
    }
    for (_, expression) in Attrs(message.attrs().find(RULE_EXPRESSIONS).unwrap_or_default()) {
        let expression = Attrs(expression);
        let data = Attrs(expression.find(EXPR_DATA).unwrap_or_default());
        match expression.find(EXPR_NAME) {
            Some(b"counter\0") => {
                facts.packets = data.find_u64(COUNTER_PACKETS).unwrap_or(0);
                facts.bytes = data.find_u64(COUNTER_BYTES).unwrap_or(0);
            }
            Some(b"immediate\0") => facts.drops = true,
            Some(_) | None => {}
        }
    }
    facts
}

/// A set element as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: u128,
    pub(crate) is_end: bool,
    pub(crate) remaining: Option<Duration>,
}

/// The elements in one message of a set's dump.
pub(crate) fn elements(message: Message<'_>, set: SetKind, out: &mut Vec<Element>) {
    for (kind, element) in Attrs(message.attrs().find(LIST_ELEMENTS).unwrap_or_default()) {
        if kind == LIST_ELEM {
            out.extend(read_element(Attrs(element), set));
        }
    }
}

fn read_element(attrs: Attrs<'_>, set: SetKind) -> Option<Element> {
    let key = Attrs(attrs.find(ELEM_KEY)?).find(DATA_VALUE)?;
    if key.len() != set.key_len() {
        return None;
    }
    let key = key
        .iter()
        .fold(0, |bits: u128, byte| bits << 8 | u128::from(*byte));
    let left = attrs
        .find_u64(ELEM_EXPIRATION)
        .or_else(|| attrs.find_u64(ELEM_TIMEOUT));
    Some(Element {
        key,
        is_end: attrs.find_u32(ELEM_FLAGS).unwrap_or(0) & INTERVAL_END != 0,
        remaining: left.map(Duration::from_millis),
    })
}

/// A stretch of addresses in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) remaining: Option<Duration>,
}

impl Range {
    /// The ban this is, if a ban of ours can have made it.
    pub(crate) fn prefix(self, set: SetKind) -> Option<Prefix> {
        prefix_of_range(set, self.first, self.last)
    }
}

/// Joins starts and ends. An end without a start is no range (`nft` adds one at zero).
pub(crate) fn ranges(mut elements: Vec<Element>, set: SetKind) -> Vec<Range> {
    if !set.is_interval() {
        return elements.into_iter().map(|e| single(e, set)).collect();
    }
    elements.sort_unstable_by_key(|e| (e.key, !e.is_end));
    let mut out = Vec::with_capacity(elements.len() / 2 + 1);
    let mut open: Option<Element> = None;
    for element in elements {
        if let Some(start) = open.take()
            && let Some(last) = element.key.checked_sub(1)
            && last >= start.key
        {
            out.push(Range {
                first: start.key,
                last,
                remaining: start.remaining,
            });
        }
        open = (!element.is_end).then_some(element);
    }
    if let Some(start) = open {
        out.push(Range {
            first: start.key,
            last: max_bits(set),
            remaining: start.remaining,
        });
    }
    out
}

fn single(element: Element, set: SetKind) -> Range {
    let host = if set == SetKind::Net64 {
        u128::from(u64::MAX)
    } else {
        0
    };
    Range {
        first: element.key,
        last: element.key | host,
        remaining: element.remaining,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        element::write_changes,
        plan::KernelChange,
        wire::{Batch, NLMSG_ERROR},
    };

    fn read_all(bytes: &[u8]) {
        for message in Messages(bytes) {
            let _ = (status(message), table(message), rule(message));
            for set in SetKind::ALL {
                let mut found = Vec::new();
                elements(message, set, &mut found);
                for range in ranges(found, set) {
                    assert!(range.first <= range.last);
                    let _ = range.prefix(set);
                }
            }
        }
    }

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (any::<u32>(), 0u8..=32)
            .prop_map(|(a, len)| Prefix::new(std::net::Ipv4Addr::from_bits(a).into(), len));
        let v6 = (any::<u128>(), 0u8..=128)
            .prop_map(|(a, len)| Prefix::new(std::net::Ipv6Addr::from_bits(a).into(), len));
        prop_oneof![v4, v6].prop_map(Result::unwrap)
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read_all(&bytes);
        }

        #[test]
        fn no_damage_can_break_it(
            prefixes in proptest::collection::vec(a_prefix(), 1..8),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = written(&prefixes);
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            read_all(&bytes);
        }

        #[test]
        fn what_is_written_is_read(prefix in a_prefix()) {
            let set = SetKind::of(prefix);
            let bytes = written(&[prefix]);
            let mut found = Vec::new();
            Messages(&bytes).for_each(|m| elements(m, set, &mut found));
            let read: Vec<_> =
                ranges(found, set).into_iter().map(|r| (r.prefix(set), r.remaining)).collect();
            prop_assert_eq!(read, vec![(Some(prefix), Some(Duration::from_secs(7)))]);
        }
    }

    fn written(prefixes: &[Prefix]) -> Vec<u8> {
        let timeout = Some(Duration::from_secs(7));
        let changes: Vec<_> = prefixes
            .iter()
            .map(|&prefix| KernelChange::Add { prefix, timeout })
            .collect();
        let mut batch = Batch::new(0);
        write_changes(&changes, "posse", 0, &mut batch);
        batch.finish().to_vec()
    }

    #[test]
    fn intervals_are_joined_as_the_kernel_means_them() {
        let at = |key, is_end| Element {
            key,
            is_end,
            remaining: None,
        };
        // A stray end at zero, two networks side by side, one that stays open.
        let found = vec![
            at(0xffff_ff00, false),
            at(20, true),
            at(10, false),
            at(0, true),
            at(20, false),
            at(24, true),
        ];
        let spans: Vec<_> = ranges(found, SetKind::Range4)
            .into_iter()
            .map(|r| (r.first, r.last))
            .collect();
        assert_eq!(spans, [(10, 19), (20, 23), (0xffff_ff00, 0xffff_ffff)]);
    }

    #[test]
    fn an_error_comes_with_the_kernel_s_words() {
        let mut payload = (-17i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[0; 16]);
        payload.extend_from_slice(&11u16.to_ne_bytes());
        payload.extend_from_slice(&ERROR_TEXT.to_ne_bytes());
        payload.extend_from_slice(b"exists\0\0");
        let flags = FLAG_CAPPED | FLAG_TLVS;
        let message = Message {
            kind: NLMSG_ERROR,
            flags,
            seq: 1,
            port: 0,
            payload: &payload,
        };
        let expected = Status {
            errno: 17,
            text: Some("exists".to_owned()),
        };
        assert_eq!(status(message), Some(expected));
        assert_eq!(
            status(Message {
                payload: &payload[..3],
                ..message
            }),
            None
        );
    }
}
