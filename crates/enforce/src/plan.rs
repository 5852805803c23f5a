//! Changes to the kernel as values, and the reconciler that finds them. Pure.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use model::{Prefix, Timestamp};

/// What ought to hold in the kernel, element by element.
pub trait Wanted {
    /// Every element with its end; single addresses first.
    fn wanted(&self) -> Box<dyn Iterator<Item = (Prefix, Timestamp)> + '_>;

    /// The same, one call each.
    fn for_each_element(&self, each: &mut dyn FnMut(Prefix, Timestamp)) {
        self.wanted()
            .for_each(|(prefix, until)| each(prefix, until));
    }
}

/// One change of one set element. A timeout of `None` is a ban without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelChange {
    Add {
        prefix: Prefix,
        timeout: Option<Duration>,
    },
    /// The element is there with another end: taken out and put in again in one batch, since
    /// kernels before 6.12 ignore a new timeout for an element they have.
    Update {
        prefix: Prefix,
        timeout: Option<Duration>,
    },
    Remove {
        prefix: Prefix,
    },
}

impl KernelChange {
    pub const fn prefix(&self) -> Prefix {
        match self {
            Self::Add { prefix, .. } | Self::Update { prefix, .. } | Self::Remove { prefix } => {
                *prefix
            }
        }
    }
}

/// The kernel timeout for a ban until `until`; `Timestamp::MAX` means without end.
pub(crate) fn timeout(until: Timestamp, now: Timestamp) -> Option<Duration> {
    (until != Timestamp::MAX).then(|| until.since(now))
}

/// What turns `before` into `after`; both sorted by prefix.
pub(crate) fn diff(
    before: &[(Prefix, Timestamp)],
    after: &[(Prefix, Timestamp)],
    now: Timestamp,
) -> Vec<KernelChange> {
    let old: BTreeMap<_, _> = before.iter().copied().collect();
    let new: BTreeMap<_, _> = after.iter().copied().collect();
    let gone = old.keys().filter(|p| !new.contains_key(p));
    let mut changes: Vec<_> = gone.map(|p| KernelChange::Remove { prefix: *p }).collect();
    changes.extend(new.iter().filter_map(|(&prefix, &until)| {
        let timeout = timeout(until, now);
        match old.get(&prefix) {
            None => Some(KernelChange::Add { prefix, timeout }),
            Some(was) if *was != until => Some(KernelChange::Update { prefix, timeout }),
            Some(_) => None,
        }
    }));
    changes
}

/// What `changes`, made one after another, come to: at most one change of each prefix. A batch
/// cannot say it otherwise, for in it everything that goes goes before everything that comes.
///
/// The first change of a prefix tells whether it was there before, the last whether it is there
/// afterwards.
pub(crate) fn condense(changes: &[KernelChange]) -> Cow<'_, [KernelChange]> {
    if changes.is_sorted_by(|a, b| a.prefix() < b.prefix()) {
        return Cow::Borrowed(changes);
    }
    let mut places: BTreeMap<Prefix, usize> = BTreeMap::new();
    let mut kept: Vec<Option<KernelChange>> = Vec::with_capacity(changes.len());
    // Prefixes whose first change took them for absent.
    let mut absent = Vec::with_capacity(changes.len());
    for change in changes {
        let place = *places.entry(change.prefix()).or_insert(kept.len());
        let Some((slot, was_absent)) = kept.get_mut(place).zip(absent.get(place)) else {
            kept.push(Some(*change));
            absent.push(matches!(change, KernelChange::Add { .. }));
            continue;
        };
        *slot = match (*change, *was_absent) {
            (KernelChange::Remove { .. }, true) => None,
            (KernelChange::Remove { prefix }, false) => Some(KernelChange::Remove { prefix }),
            (
                KernelChange::Add { prefix, timeout } | KernelChange::Update { prefix, timeout },
                was_absent,
            ) => Some(if was_absent {
                KernelChange::Add { prefix, timeout }
            } else {
                KernelChange::Update { prefix, timeout }
            }),
        };
    }
    kept.into_iter().flatten().collect::<Vec<_>>().into()
}

/// What turns the kernel's elements into the desired ones. Only differences change: ends that
/// differ by no more than `tolerance` are left alone, so that running it twice changes nothing.
pub fn reconcile(
    desired: &dyn Wanted,
    kernel: &[(Prefix, Option<Duration>)],
    now: Timestamp,
    tolerance: Duration,
) -> Vec<KernelChange> {
    let mut found: BTreeMap<Prefix, Option<Duration>> = kernel.iter().copied().collect();
    let mut changes = Vec::new();
    desired.for_each_element(&mut |prefix, until| {
        if until <= now {
            return;
        }
        let timeout = timeout(until, now);
        match found.remove(&prefix) {
            None => changes.push(KernelChange::Add { prefix, timeout }),
            Some(was) if !close(was, timeout, tolerance) => {
                changes.push(KernelChange::Update { prefix, timeout });
            }
            Some(_) => {}
        }
    });
    changes.extend(
        found
            .into_keys()
            .map(|prefix| KernelChange::Remove { prefix }),
    );
    changes
}

fn close(a: Option<Duration>, b: Option<Duration>, tolerance: Duration) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.abs_diff(b) <= tolerance,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The elements after `changes`, each carried out in its turn; `None` if one of them assumes
    /// what is not so.
    fn one_by_one(
        mut elements: BTreeMap<Prefix, Option<Duration>>,
        changes: &[KernelChange],
    ) -> Option<BTreeMap<Prefix, Option<Duration>>> {
        for change in changes {
            let was = match *change {
                KernelChange::Add { prefix, timeout }
                | KernelChange::Update { prefix, timeout } => elements.insert(prefix, timeout),
                KernelChange::Remove { prefix } => elements.remove(&prefix),
            };
            if was.is_some() == matches!(change, KernelChange::Add { .. }) {
                return None;
            }
        }
        Some(elements)
    }

    /// As one batch carries them out: what goes first, then what comes.
    fn at_once(
        elements: BTreeMap<Prefix, Option<Duration>>,
        changes: &[KernelChange],
    ) -> Option<BTreeMap<Prefix, Option<Duration>>> {
        let (mut goes, mut comes) = (Vec::new(), Vec::new());
        for change in changes {
            let prefix = change.prefix();
            match *change {
                KernelChange::Add { .. } => comes.push(*change),
                KernelChange::Remove { .. } => goes.push(*change),
                KernelChange::Update { timeout, .. } => {
                    goes.push(KernelChange::Remove { prefix });
                    comes.push(KernelChange::Add { prefix, timeout });
                }
            }
        }
        one_by_one(one_by_one(elements, &goes)?, &comes)
    }

    fn prefix(n: u8) -> Prefix {
        Prefix::host(std::net::Ipv4Addr::new(192, 0, 2, n).into())
    }

    proptest! {
        #[test]
        fn condensed_changes_lead_in_one_batch_to_where_all_lead_one_by_one(
            held in proptest::collection::btree_set(0u8..6, 0..6),
            steps in proptest::collection::vec((0u8..6, 0u64..4), 0..40),
        ) {
            let before: BTreeMap<_, _> = held.iter().map(|n| (prefix(*n), None)).collect();
            let mut elements = before.clone();
            let mut changes = Vec::new();
            for (n, seconds) in steps {
                let (prefix, timeout) = (prefix(n), Some(Duration::from_secs(seconds)));
                let change = match (elements.contains_key(&prefix), seconds) {
                    (false, 0) => continue,
                    (true, 0) => KernelChange::Remove { prefix },
                    (false, _) => KernelChange::Add { prefix, timeout },
                    (true, _) => KernelChange::Update { prefix, timeout },
                };
                elements = one_by_one(elements, &[change]).unwrap();
                changes.push(change);
            }
            let condensed = condense(&changes);
            let mut touched: Vec<_> = condensed.iter().map(KernelChange::prefix).collect();
            touched.sort_unstable();
            touched.dedup();
            prop_assert_eq!(touched.len(), condensed.len(), "each prefix once");
            prop_assert_eq!(at_once(before, &condensed), Some(elements));
        }
    }

    #[test]
    fn a_ban_that_came_and_went_is_no_change() {
        let (prefix, timeout) = (prefix(1), None);
        let came_and_went = [
            KernelChange::Add { prefix, timeout },
            KernelChange::Remove { prefix },
        ];
        assert!(condense(&came_and_went).is_empty());
    }
}
