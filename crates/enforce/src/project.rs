//! From nested networks with their own ends to disjoint ones an interval set can hold.
//!
//! An interval set refuses members that overlap, yet a /24 banned for a week may lie in a /16
//! banned for an hour. The rule: at every address the latest end of all networks that cover it
//! holds. So a network inside a wider one that ends no sooner is left out, and one that outlives
//! its cover is cut out of it: the cover goes in as the sibling networks around it. The kernel
//! then needs no action when an end comes, so no ban has a gap even when this program is dead.
//!
//! The result depends on the banned networks alone, not on the order they came in; so the change
//! of one network is the difference of two projections of the outermost network around it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Prefix, Timestamp};

use crate::set::SetKind;

/// The disjoint networks for `members`, which must be sorted, distinct, of one family, and of the
/// widths that interval sets hold. At each address the latest end holds.
pub(crate) fn project(members: &[(Prefix, Timestamp)]) -> Vec<(Prefix, Timestamp)> {
    let mut out = Vec::with_capacity(members.len());
    project_tops(members, &mut out);
    out
}

fn project_tops(mut members: &[(Prefix, Timestamp)], out: &mut Vec<(Prefix, Timestamp)>) {
    // Sorted by address and length, so a network stands right before all that it covers.
    while let Some(((top, until), rest)) = members.split_first() {
        let inside = rest.partition_point(|(p, _)| top.covers(*p));
        let (group, next) = rest.split_at(inside);
        project_node(*top, *until, group, out);
        members = next;
    }
}

// Recursion is bounded by the 128 prefix lengths: every step narrows `node`.
fn project_node(
    node: Prefix,
    until: Timestamp,
    inside: &[(Prefix, Timestamp)],
    out: &mut Vec<(Prefix, Timestamp)>,
) {
    let (until, inside) = match inside.split_first() {
        Some(((p, u), rest)) if *p == node => (until.max(*u), rest),
        _ => (until, inside),
    };
    if inside.iter().all(|(_, u)| *u <= until) {
        return emit(node, until, out);
    }
    let Some((low, high)) = halves(node) else {
        // Only ::fffe:0:0/95 ends up here; see `halves`. No packet carries such an address.
        let latest = inside.iter().map(|(_, u)| *u).max();
        return emit(node, latest.map_or(until, |u| u.max(until)), out);
    };
    let (left, right) = inside.split_at(inside.partition_point(|(p, _)| low.covers(*p)));
    project_node(low, until, left, out);
    project_node(high, until, right, out);
}

// A piece as wide as a hash set's members would land in the hash set and collide with a ban of
// its own there; its halves stay in the interval set.
fn emit(node: Prefix, until: Timestamp, out: &mut Vec<(Prefix, Timestamp)>) {
    match halves(node) {
        Some((low, high)) if !SetKind::of(node).is_interval() => {
            out.push((low, until));
            out.push((high, until));
        }
        _ => out.push((node, until)),
    }
}

fn halves(node: Prefix) -> Option<(Prefix, Prefix)> {
    let len = node.len() + 1;
    let high = match node.addr() {
        IpAddr::V4(a) if len <= 32 => IpAddr::V4(Ipv4Addr::from_bits(
            a.to_bits() | 1u32.checked_shl(32 - u32::from(len))?,
        )),
        IpAddr::V6(a) if len <= 128 => IpAddr::V6(Ipv6Addr::from_bits(
            a.to_bits() | 1u128.checked_shl(128 - u32::from(len))?,
        )),
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    let (low, high) = (
        Prefix::new(node.addr(), len).ok()?,
        Prefix::new(high, len).ok()?,
    );
    // ::ffff:0:0/96 is IPv4 in canonical form (model::Prefix); a half must not change family, or
    // half of an IPv6 network would become all of IPv4.
    let same_family = [low, high].iter().all(|p| p.is_ipv4() == node.is_ipv4());
    same_family.then_some((low, high))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn texts(members: &[(&str, i64)]) -> Vec<String> {
        let mut members: Vec<_> = members.iter().map(|(t, s)| (p(t), at(*s))).collect();
        members.sort();
        let show = |(prefix, until): (Prefix, Timestamp)| format!("{prefix} {}", until.seconds());
        project(&members).into_iter().map(show).collect()
    }

    #[test]
    fn a_network_in_a_longer_lasting_one_is_left_out() {
        assert_eq!(
            texts(&[("10.0.0.0/8", 9), ("10.1.0.0/16", 9), ("10.2.0.0/16", 3)]),
            ["10.0.0.0/8 9"]
        );
    }

    #[test]
    fn one_that_outlives_its_cover_is_cut_out_of_it() {
        let expected = [
            "10.0.0.0/10 5",
            "10.64.0.0/11 5",
            "10.96.0.0/11 9",
            "10.128.0.0/9 5",
        ];
        assert_eq!(texts(&[("10.0.0.0/8", 5), ("10.96.0.0/11", 9)]), expected);
    }

    #[test]
    fn pieces_never_have_a_hash_set_s_width() {
        let members = [
            (p("2001:db8::/62"), at(5)),
            (p("2001:db8:0:1:8000::/65"), at(9)),
        ];
        let out = project(&members);
        assert!(
            out.iter()
                .all(|(piece, _)| SetKind::of(*piece).is_interval()),
            "{out:?}"
        );
        assert_eq!(out.len(), 5);
    }

    #[test]
    fn ipv6_around_the_mapped_addresses_never_becomes_ipv4() {
        let members = [(p("::fffe:0:0/95"), at(5)), (p("::fffe:0:0/97"), at(9))];
        assert!(project(&members).iter().all(|(piece, _)| !piece.is_ipv4()));
    }

    proptest! {
        /// Against the rule itself, address by address, in 10.0.0.0/23.
        #[test]
        fn at_every_address_the_latest_end_holds(
            nets in proptest::collection::btree_map((0u32..512, 22u8..32), 1i64..6, 0..12),
        ) {
            let members: BTreeMap<Prefix, Timestamp> = nets
                .iter()
                .map(|((host, len), until)| {
                    let addr = Ipv4Addr::from_bits(0x0a00_0000 + host);
                    (Prefix::new(addr.into(), *len).unwrap(), at(*until))
                })
                .collect();
            let members: Vec<_> = members.into_iter().collect();
            let out = project(&members);
            for host in 0..1_024 {
                let addr = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host));
                let covers = members.iter().filter(|(p, _)| p.contains(addr));
                let wanted = covers.map(|(_, t)| *t).max();
                let found: Vec<_> = out.iter().filter(|(p, _)| p.contains(addr)).collect();
                prop_assert!(found.len() <= 1, "{addr} twice in {out:?}");
                prop_assert_eq!(found.first().map(|(_, t)| *t), wanted, "{} {:?}", addr, &out);
            }
        }
    }
}
