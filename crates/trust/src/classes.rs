//! What is known about addresses before anybody reports them: whom a ban would hit besides.
//!
//! Made once from lists of networks (MISP warninglists, allowlists, the members' own networks) and
//! then only read: the lists are flattened into ranges that do not overlap, each with the
//! strictest class that covers it, so that a look-up is one binary search.

use std::{fmt, net::IpAddr};

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::limits;

/// From plain to strict; where lists disagree, the stricter one counts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    #[default]
    Plain,
    /// Many customers behind one address, or one after another: carrier NAT, dynamic pools.
    Shared,
    /// Clouds, CDNs, proxies: a ban hits whoever else is served from there.
    Cloud,
    Mail,
    Monitoring,
    Resolver,
    Infrastructure,
    /// An address of the community's own that nobody has reason to name: who does, is wrong.
    Canary,
    /// Not banned by any machine, whoever asks.
    Never,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain host",
            Self::Shared => "shared or dynamic address",
            Self::Cloud => "cloud or CDN",
            Self::Mail => "mail provider",
            Self::Monitoring => "monitoring service",
            Self::Resolver => "resolver",
            Self::Infrastructure => "infrastructure",
            Self::Canary => "canary",
            Self::Never => "never banned",
        })
    }
}

/// What the table says of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    pub class: Class,
    /// The list it stands on; empty for a plain host.
    pub list: &'a str,
}

/// A table of networks and their classes.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    names: Vec<String>,
    v4: Table<u32>,
    v6: Table<u128>,
    dropped: usize,
}

/// The ends stand apart, so that a search walks through little memory.
#[derive(Clone, Debug, Default)]
struct Table<T> {
    lasts: Vec<T>,
    ranges: Vec<Range<T>>,
}

impl<T: Copy> Table<T> {
    fn new(ranges: Vec<Range<T>>) -> Self {
        Self {
            lasts: ranges.iter().map(|range| range.last).collect(),
            ranges,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range<T> {
    first: T,
    last: T,
    class: Class,
    name: u32,
}

impl Classes {
    /// From networks with their class and the name of the list they stand on.
    pub fn new<'a>(entries: impl IntoIterator<Item = (Prefix, Class, &'a str)>) -> Self {
        let mut table = Self::default();
        let mut known = std::collections::BTreeMap::new();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, class, name) in entries {
            if v4.len() + v6.len() >= limits::CLASS_ENTRIES_MAX {
                table.dropped += 1;
                continue;
            }
            let name = *known.entry(name).or_insert_with(|| {
                table.names.push(name.to_owned());
                u32::try_from(table.names.len() - 1).unwrap_or(u32::MAX)
            });
            match ends(prefix) {
                Ends::V4(first, last) => v4.push(Range {
                    first,
                    last,
                    class,
                    name,
                }),
                Ends::V6(first, last) => v6.push(Range {
                    first,
                    last,
                    class,
                    name,
                }),
            }
        }
        table.v4 = Table::new(flatten(v4, |n| n.checked_add(1), |n| n.saturating_sub(1)));
        table.v6 = Table::new(flatten(v6, |n| n.checked_add(1), |n| n.saturating_sub(1)));
        table
    }

    /// The strictest class that any address of `target` has.
    pub fn of(&self, target: Prefix) -> Listing<'_> {
        let found = match ends(target) {
            Ends::V4(first, last) => strictest(&self.v4, first, last),
            Ends::V6(first, last) => strictest(&self.v6, first, last),
        };
        let Some((class, name)) = found else {
            return Listing {
                class: Class::Plain,
                list: "",
            };
        };
        let list = usize::try_from(name).ok().and_then(|n| self.names.get(n));
        Listing {
            class,
            list: list.map_or("", String::as_str),
        }
    }

    /// Ranges in the table, after flattening.
    pub fn len(&self) -> usize {
        self.v4.lasts.len() + self.v6.lasts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.v4.lasts.is_empty() && self.v6.lasts.is_empty()
    }

    /// Networks beyond [`limits::CLASS_ENTRIES_MAX`], which do not count.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }
}

enum Ends {
    V4(u32, u32),
    V6(u128, u128),
}

fn ends(prefix: Prefix) -> Ends {
    match (prefix.addr(), prefix.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Ends::V4(first.to_bits(), last.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ends::V6(first.to_bits(), last.to_bits()),
        (IpAddr::V4(a), IpAddr::V6(_)) => Ends::V4(a.to_bits(), a.to_bits()),
        (IpAddr::V6(a), IpAddr::V4(_)) => Ends::V6(a.to_bits(), a.to_bits()),
    }
}

/// Networks lie within each other or apart, so that a stack of the open ones is enough. An inner
/// one takes its parent's class where that is stricter.
fn flatten<T: Copy + Ord>(
    mut all: Vec<Range<T>>,
    after: impl Fn(T) -> Option<T>,
    before: impl Fn(T) -> T,
) -> Vec<Range<T>> {
    all.sort_by(|a, b| {
        let wider_first = b.last.cmp(&a.last);
        let strict_first = b.class.cmp(&a.class).then(a.name.cmp(&b.name));
        a.first.cmp(&b.first).then(wider_first).then(strict_first)
    });
    let mut flat: Flat<T> = Flat {
        done: Vec::new(),
        next: None,
    };
    let mut open: Vec<Range<T>> = Vec::new();
    for mut range in all {
        while let Some(top) = open.pop_if(|top| top.last < range.first) {
            flat.up_to(top.last, top, &after);
        }
        if let Some(parent) = open.last() {
            if range.first > parent.first {
                flat.up_to(before(range.first), *parent, &after);
            }
            if parent.class >= range.class {
                (range.class, range.name) = (parent.class, parent.name);
            }
        }
        if flat.next.is_none_or(|next| next < range.first) {
            flat.next = Some(range.first);
        }
        open.push(range);
    }
    while let Some(top) = open.pop() {
        flat.up_to(top.last, top, &after);
    }
    flat.done
}

struct Flat<T> {
    done: Vec<Range<T>>,
    /// The first address that is not covered yet.
    next: Option<T>,
}

impl<T: Copy + Ord> Flat<T> {
    fn up_to(&mut self, last: T, of: Range<T>, after: &impl Fn(T) -> Option<T>) {
        let Some(first) = self.next else { return };
        if first > last {
            return;
        }
        self.next = after(last);
        if let Some(before) = self.done.last_mut()
            && after(before.last) == Some(first)
            && (before.class, before.name) == (of.class, of.name)
        {
            before.last = last;
        } else {
            self.done.push(Range { first, last, ..of });
        }
    }
}

fn strictest<T: Copy + Ord>(table: &Table<T>, first: T, last: T) -> Option<(Class, u32)> {
    let from = table.lasts.partition_point(|end| *end < first);
    let mut found: Option<(Class, u32)> = None;
    for range in table
        .ranges
        .iter()
        .skip(from)
        .take_while(|r| r.first <= last)
    {
        if found.is_none_or(|(class, _)| range.class > class) {
            found = Some((range.class, range.name));
        }
        if range.class == Class::Never {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn the_strictest_list_that_covers_it_counts() {
        let table = Classes::new([
            (p("192.0.2.0/24"), Class::Cloud, "cloud"),
            (p("192.0.2.0/28"), Class::Shared, "pool"),
            (p("192.0.2.53"), Class::Never, "resolver"),
            (p("2001:db8::/32"), Class::Mail, "mail"),
        ]);
        let of = |text| {
            let listing = table.of(p(text));
            (listing.class, listing.list.to_owned())
        };
        assert_eq!(of("192.0.2.1"), (Class::Cloud, "cloud".to_owned()));
        assert_eq!(of("192.0.2.53"), (Class::Never, "resolver".to_owned()));
        assert_eq!(of("192.0.2.54").0, Class::Cloud);
        assert_eq!(of("192.0.0.0/16").0, Class::Never);
        assert_eq!(of("192.0.3.0").0, Class::Plain);
        assert_eq!(of("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff").0, Class::Mail);
        assert_eq!(of("2001:db9::").0, Class::Plain);
        assert_eq!(of("::/0").0, Class::Mail);
    }

    fn class() -> impl Strategy<Value = Class> {
        prop::sample::select(vec![
            Class::Shared,
            Class::Cloud,
            Class::Resolver,
            Class::Never,
        ])
    }

    proptest! {
        // A small corner of the address space, so that networks often lie within each other.
        #[test]
        fn agrees_with_asking_every_entry(
            entries in prop::collection::vec((0u32..256, 20u8..=32, class()), 0..40),
            asked in prop::collection::vec((0u32..256, 22u8..=32), 20),
            high in prop::bool::ANY,
        ) {
            let base = if high { u32::MAX - 255 } else { 0 };
            let prefix = |(low, len): (u32, u8)| {
                Prefix::new(IpAddr::V4((base | low).into()), len).unwrap()
            };
            let entries: Vec<_> =
                entries.into_iter().map(|(low, len, c)| (prefix((low, len)), c, "list")).collect();
            let table = Classes::new(entries.iter().copied());
            for target in asked.into_iter().map(prefix) {
                let plain = entries.iter().filter(|(p, ..)| p.overlaps(target)).map(|e| e.1).max();
                prop_assert_eq!(table.of(target).class, plain.unwrap_or_default());
            }
        }
    }
}
