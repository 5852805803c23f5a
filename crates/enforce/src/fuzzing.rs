//! Doors for fuzzing: every decoder of netlink replies over plain types. Not part of the data's
//! way; what must hold of the results stands with the fuzz target.

use std::time::Duration;

use model::Prefix;

use crate::{
    decode::{self, Messages},
    element::write_changes,
    monitor,
    plan::KernelChange,
    set::SetKind,
    wire::Batch,
};

/// All that the decoders made of some bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub messages: usize,
    /// Error texts and rule comments.
    pub texts: Vec<String>,
    /// Bytes of tables' user data.
    pub userdata: usize,
    /// Set elements, over all kinds of sets.
    pub elements: usize,
    /// First and last address, whether of an IPv4 set, and the ban that this is, if it is one.
    pub ranges: Vec<(u128, u128, bool, Option<Prefix>)>,
    /// Bans that belong into another set than the one they were found in.
    pub misplaced: usize,
    /// Messages that the monitor would heed.
    pub heeded: usize,
}

/// Shows `bytes` to every decoder, as a datagram from the kernel.
pub fn read(bytes: &[u8]) -> Read {
    let mut out = Read::default();
    for message in Messages(bytes) {
        out.messages += 1;
        out.texts
            .extend(decode::status(message).and_then(|status| status.text));
        out.userdata += decode::table(message).userdata.len();
        out.texts.push(decode::rule(message).tag);
        out.heeded += usize::from(monitor::concerns(message, "posse", 1));
    }
    for set in SetKind::ALL {
        let mut elements = Vec::new();
        for message in Messages(bytes) {
            decode::elements(message, set, &mut elements);
        }
        out.elements += elements.len();
        for range in decode::ranges(elements, set) {
            let prefix = range.prefix(set);
            out.misplaced += usize::from(prefix.is_some_and(|p| SetKind::of(p) != set));
            out.ranges
                .push((range.first, range.last, set.is_ipv4(), prefix));
        }
    }
    out
}

/// The messages that add `prefixes`; the kernel's dump of a set looks the same inside.
pub fn written(prefixes: &[Prefix], timeout: Option<Duration>) -> Vec<u8> {
    let changes: Vec<_> = prefixes
        .iter()
        .map(|&prefix| KernelChange::Add { prefix, timeout })
        .collect();
    let mut batch = Batch::new(0);
    write_changes(&changes, "posse", 0, &mut batch);
    batch.finish().to_vec()
}
