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
    Some((
        Prefix::new(node.addr(), len).ok()?,
        Prefix::new(high, len).ok()?,
    ))
}
