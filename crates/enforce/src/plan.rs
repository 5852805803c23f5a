//! Changes to the kernel as values, and the reconciler that finds them. Pure.

use std::{collections::BTreeMap, time::Duration};

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
