//! Fewer, wider networks for the same bans.
//!
//! Exact merging changes nothing about who is banned. Beyond it a list may be made shorter at
//! the price of neighbours who did nothing; that price is a number the administrator names, it
//! is paid only within [`WIDEST_V4`] and [`WIDEST_V6`], and never over a network that the hub
//! says must not be banned.

use model::Prefix;

use super::Row;

/// Inexact merging never makes a network wider than this.
pub const WIDEST_V4: u8 = 20;
pub const WIDEST_V6: u8 = 48;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// One line a ban; only what a wider ban covers is left out.
    None,
    /// Neighbours become one network where all of it is banned.
    #[default]
    Exact,
    /// Also where at least this share of the wider network is banned, in percent.
    Share { percent: u8 },
}

/// Sorts, leaves out what is covered, merges. A merged network ends when its last part ends:
/// lists are fetched again long before, and until then no ban may be lost.
pub fn aggregate(rows: Vec<Row>, how: Aggregation, may: &dyn Fn(Prefix) -> bool) -> Vec<Row> {
    let rows = uncovered(rows);
    match how {
        Aggregation::None => rows,
        Aggregation::Exact => merged(rows),
        Aggregation::Share { percent } => shared(&merged(rows), percent, may),
    }
}

/// Sorted, without networks inside wider ones.
fn uncovered(mut rows: Vec<Row>) -> Vec<Row> {
    // Wider networks sort before what they cover, so one look back is enough.
    rows.sort_unstable();
    rows.dedup_by(|row, kept| {
        if kept.prefix == row.prefix {
            kept.until = kept.until.max(row.until);
            return true;
        }
        kept.prefix.covers(row.prefix)
    });
    rows
}

/// Siblings become their parent, as often as it goes. `rows` are sorted and disjoint.
fn merged(rows: Vec<Row>) -> Vec<Row> {
    let mut stack: Vec<Row> = Vec::with_capacity(rows.len());
    for mut row in rows {
        while let Some(last) = stack.last() {
            let Some(parent) = parent_of_both(last.prefix, row.prefix) else {
                break;
            };
            row = Row {
                prefix: parent,
                until: last.until.max(row.until),
            };
            stack.pop();
        }
        stack.push(row);
    }
    stack
}

fn parent_of_both(a: Prefix, b: Prefix) -> Option<Prefix> {
    let parent = a.widen(a.len().checked_sub(1)?)?;
    (a.len() == b.len() && a != b && parent.covers(b)).then_some(parent)
}

fn shared(rows: &[Row], percent: u8, may: &dyn Fn(Prefix) -> bool) -> Vec<Row> {
    let split = rows.partition_point(|r| r.prefix.is_ipv4());
    let (v4, v6) = rows.split_at_checked(split).unwrap_or((rows, &[]));
    let mut share = Share {
        percent: u128::from(percent.clamp(1, 100)),
        may,
        out: Vec::with_capacity(rows.len()),
    };
    for rows in [v4, v6] {
        let all = rows.first().and_then(|r| r.prefix.widen(0));
        if let Some(all) = all {
            share.fold(all, rows);
        }
    }
    share.out
}

struct Share<'a> {
    percent: u128,
    may: &'a dyn Fn(Prefix) -> bool,
    out: Vec<Row>,
}

impl Share<'_> {
    /// Everything in `rows` lies in `node`. Goes at most as deep as a prefix is long.
    fn fold(&mut self, node: Prefix, rows: &[Row]) {
        if rows.len() < 2 {
            self.out.extend(rows);
            return;
        }
        if self.is_enough(node, rows) {
            let until = rows.iter().map(|r| r.until).max().unwrap_or_default();
            self.out.push(Row {
                prefix: node,
                until,
            });
            return;
        }
        let Some((low, high)) = halves(node) else {
            self.out.extend(rows);
            return;
        };
        let middle = rows.partition_point(|r| low.covers(r.prefix));
        if let Some((lower, upper)) = rows.split_at_checked(middle) {
            self.fold(low, lower);
            self.fold(high, upper);
        }
    }

    fn is_enough(&self, node: Prefix, rows: &[Row]) -> bool {
        let widest = if node.is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
        if node.len() < widest {
            return false;
        }
        let banned = rows
            .iter()
            .map(|r| size(r.prefix))
            .fold(0, u128::saturating_add);
        // No network here has more than 2^80 addresses, so a hundredfold fits.
        banned * 100 >= size(node) * self.percent && (self.may)(node)
    }
}

/// Addresses in a network; of networks wider than any asked for, the most a number holds.
fn size(prefix: Prefix) -> u128 {
    let bits = if prefix.is_ipv4() { 32 } else { 128 };
    1u128
        .checked_shl(u32::from(bits - prefix.len().min(bits)))
        .unwrap_or(u128::MAX)
}

fn halves(node: Prefix) -> Option<(Prefix, Prefix)> {
    let len = node.len() + 1;
    let low = Prefix::new(node.addr(), len).ok()?;
    let high = Prefix::new(node.last(), len).ok()?;
    // An IPv6 network around ::ffff:0:0/96 may turn into IPv4, which is not meant here.
    let same = |p: Prefix| p.is_ipv4() == node.is_ipv4() && p.len() == len;
    (same(low) && same(high)).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::IpAddr};

    use proptest::prelude::*;

    use super::*;

    fn rows(texts: &[&str]) -> Vec<Row> {
        (0..)
            .zip(texts)
            .map(|(until, text)| Row {
                prefix: text.parse().unwrap(),
                until,
            })
            .collect()
    }

    fn merge(texts: &[&str], how: Aggregation) -> Vec<String> {
        let merged = aggregate(rows(texts), how, &|_| true);
        merged.iter().map(|r| r.prefix.to_string()).collect()
    }

    #[test]
    fn neighbours_become_one_network() {
        let texts = [
            "192.0.2.3",
            "192.0.2.0",
            "192.0.2.2",
            "192.0.2.1",
            "192.0.2.5",
            "198.51.100.128/25",
            "198.51.100.0/25",
            "198.51.100.7",
            "2001:db8::/33",
            "2001:db8:8000::/33",
        ];
        assert_eq!(
            merge(&texts, Aggregation::Exact),
            [
                "192.0.2.0/30",
                "192.0.2.5",
                "198.51.100.0/24",
                "2001:db8::/32"
            ]
        );
        assert_eq!(merge(&texts, Aggregation::None).len(), 9);
        assert_eq!(
            merge(&["0.0.0.0/1", "128.0.0.0/1"], Aggregation::Exact),
            ["0.0.0.0/0"]
        );
    }

    #[test]
    fn a_merged_network_ends_with_its_last_part() {
        let merged = aggregate(
            rows(&["192.0.2.0", "192.0.2.1"]),
            Aggregation::Exact,
            &|_| true,
        );
        assert_eq!(merged[0].until, 1);
    }

    #[test]
    fn inexact_merging_stays_within_the_named_share_and_width() {
        let three = ["192.0.2.0", "192.0.2.1", "192.0.2.2"];
        let share = |percent| Aggregation::Share { percent };
        assert_eq!(merge(&three, share(75)), ["192.0.2.0/30"]);
        assert_eq!(merge(&three, share(76)), ["192.0.2.0/31", "192.0.2.2"]);
        // All but one of a /19's halves: the share is there, the width is not.
        assert_eq!(
            merge(&["10.0.0.0/20", "10.0.16.0/21"], share(50)),
            ["10.0.0.0/20", "10.0.16.0/21"]
        );
        let never = |prefix: Prefix| !prefix.contains("192.0.2.3".parse().unwrap());
        let kept = aggregate(rows(&three), share(75), &never);
        assert_eq!(kept.len(), 2);
    }

    proptest! {
        #[test]
        fn exact_merging_bans_the_same_addresses(
            hosts in prop::collection::vec((0u32..64, 26u8..=32), 0..40)
        ) {
            let texts: Vec<Row> = hosts
                .iter()
                .map(|&(low, len)| Row {
                    prefix: Prefix::new(IpAddr::V4((0xc000_0200 | low).into()), len).unwrap(),
                    until: 0,
                })
                .collect();
            let addresses = |rows: &[Row]| -> BTreeSet<u32> {
                (0..64)
                    .filter(|low| {
                        let addr = IpAddr::V4((0xc000_0200 | low).into());
                        rows.iter().any(|r| r.prefix.contains(addr))
                    })
                    .collect()
            };
            let before = addresses(&texts);
            let exact = aggregate(texts.clone(), Aggregation::Exact, &|_| true);
            prop_assert_eq!(&before, &addresses(&exact));
            // Shortest: no two left could be merged, none covers another.
            for pair in exact.windows(2) {
                prop_assert!(!pair[0].prefix.overlaps(pair[1].prefix));
                prop_assert!(parent_of_both(pair[0].prefix, pair[1].prefix).is_none());
            }
            let wide = aggregate(texts, Aggregation::Share { percent: 50 }, &|_| true);
            prop_assert!(addresses(&wide).is_superset(&before));
            prop_assert!(addresses(&wide).len() <= before.len() * 2);
        }
    }
}
