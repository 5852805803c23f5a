//! Overflows whose order is nowhere defined: is there one in which the assertions hold?
//!
//! Upstream sorts them by a key that several may share, with a sort that keeps no order among
//! equals; so an assertion about the third of five equals means one of the five. A perfect
//! matching between places and overflows decides, and no overflow stands in two places.

use std::{collections::VecDeque, ops::Range};

use super::{
    asserts::{Assertion, Bench},
    results::Overflows,
};

/// Assertions evaluated to find an order; beyond it the order stays as sorted.
const TRIALS_MAX: usize = 2_000_000;

/// The order in which as many places as possible get an overflow of which all is true.
pub(super) fn settle(
    asserts: &[Assertion<'_>],
    overflows: &Overflows,
    ties: &[Range<usize>],
    bench: &Bench<'_>,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..overflows.len()).collect();
    let mut trials = 0;
    for tie in ties {
        let mut about: Vec<Vec<&Assertion<'_>>> = vec![Vec::new(); tie.len()];
        for assert in asserts {
            let place = assert.index.and_then(|i| i.checked_sub(tie.start));
            if let Some(list) = place.and_then(|place| about.get_mut(place)) {
                list.push(assert);
            }
        }
        let mut trial: Vec<usize> = order.clone();
        let mut fits = |place: usize, overflow: usize| {
            let Some(slot) = trial.get_mut(tie.start + place) else {
                return false;
            };
            let before = std::mem::replace(slot, tie.start + overflow);
            let list = about.get(place).map_or(&[][..], Vec::as_slice);
            let fit = list.iter().all(|assert| {
                trials += 1;
                trials <= TRIALS_MAX && assert.holds(bench, &overflows.ordered(&trial))
            });
            if let Some(slot) = trial.get_mut(tie.start + place) {
                *slot = before;
            }
            fit
        };
        let chosen = matching(tie.len(), &mut fits);
        if trials > TRIALS_MAX {
            break;
        }
        for (place, overflow) in chosen.into_iter().enumerate() {
            if let Some(slot) = order.get_mut(tie.start + place) {
                *slot = tie.start + overflow;
            }
        }
    }
    order
}

/// Gives each of `n` places one of `n` things, as many as possible so that `fits`.
fn matching(n: usize, fits: &mut dyn FnMut(usize, usize) -> bool) -> Vec<usize> {
    let mut known: Vec<Option<bool>> = vec![None; n.saturating_mul(n)];
    let mut fits = |place: usize, thing: usize| match known.get_mut(place * n + thing) {
        Some(cell) => *cell.get_or_insert_with(|| fits(place, thing)),
        None => false,
    };
    let mut thing_at: Vec<Option<usize>> = vec![None; n];
    let mut place_of: Vec<Option<usize>> = vec![None; n];
    for root in 0..n {
        // Where it stands already is tried first: most need no search.
        if place_of.get(root) == Some(&None) && fits(root, root) {
            set(&mut thing_at, root, Some(root));
            set(&mut place_of, root, Some(root));
            continue;
        }
        augment(root, &mut fits, &mut thing_at, &mut place_of);
    }
    let mut spare: VecDeque<usize> = (0..n)
        .filter(|thing| place_of.get(*thing) == Some(&None))
        .collect();
    thing_at
        .into_iter()
        .enumerate()
        .map(|(place, thing)| thing.or_else(|| spare.pop_front()).unwrap_or(place))
        .collect()
}

/// Finds room for `root`, moving others if that helps (an augmenting path, by breadth first).
fn augment(
    root: usize,
    fits: &mut dyn FnMut(usize, usize) -> bool,
    thing_at: &mut [Option<usize>],
    place_of: &mut [Option<usize>],
) {
    let n = thing_at.len();
    let mut came_from: Vec<Option<usize>> = vec![None; n];
    let mut queue = VecDeque::from([root]);
    while let Some(place) = queue.pop_front() {
        for thing in 0..n {
            if came_from.get(thing) != Some(&None) || !fits(place, thing) {
                continue;
            }
            set(&mut came_from, thing, Some(place));
            if let Some(Some(owner)) = place_of.get(thing) {
                queue.push_back(*owner);
                continue;
            }
            let mut free = Some(thing);
            while let Some(thing) = free {
                let Some(Some(place)) = came_from.get(thing).copied() else {
                    return;
                };
                free = thing_at.get(place).copied().flatten();
                set(thing_at, place, Some(thing));
                set(place_of, thing, Some(place));
                if place == root {
                    return;
                }
            }
            return;
        }
    }
}

fn set(list: &mut [Option<usize>], at: usize, value: Option<usize>) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(rows: &[&[usize]]) -> Vec<usize> {
        matching(rows.len(), &mut |place, thing| rows[place].contains(&thing))
    }

    #[test]
    fn what_fits_stays() {
        assert_eq!(solve(&[&[0, 1], &[0, 1], &[2]]), [0, 1, 2]);
        assert_eq!(solve(&[]), Vec::<usize>::new());
    }

    #[test]
    fn others_move_to_make_room() {
        // 2 must have 0, so 0 must have 1, so 1 must have 2.
        assert_eq!(solve(&[&[0, 1], &[1, 2], &[0]]), [1, 2, 0]);
        assert_eq!(solve(&[&[1], &[0]]), [1, 0]);
    }

    #[test]
    fn nothing_stands_in_two_places() {
        // Both want 0: one of them fails.
        assert_eq!(solve(&[&[0], &[0]]), [0, 1]);
        assert_eq!(solve(&[&[], &[0]]), [1, 0]);
    }

    #[test]
    fn a_full_matching_is_found_whenever_there_is_one() {
        // Against all permutations, for every relation on 4 places.
        let mut all = vec![vec![]];
        for n in 0..4_usize {
            all = all
                .into_iter()
                .flat_map(|p: Vec<usize>| {
                    (0..=n).map(move |at| {
                        let mut q = p.clone();
                        q.insert(at, n);
                        q
                    })
                })
                .collect();
        }
        assert_eq!(all.len(), 24);
        for relation in 0..1_u32 << 16 {
            let fits = |p: usize, t: usize| relation >> (p * 4 + t) & 1 == 1;
            let possible = all.iter().any(|o| (0..4).all(|p| fits(p, o[p])));
            let found = matching(4, &mut |p, t| fits(p, t));
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            assert_eq!((0..4).all(|p| fits(p, found[p])), possible, "{relation:b}");
        }
    }
}
