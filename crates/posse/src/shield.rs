//! The bans that ought to hold, and the kernel that holds them.
//!
//! One place turns decisions into kernel changes, whether the kernel is ours to change (enforce)
//! or not (observe): the desired set is the same. The kernel's set is never flushed; only
//! differences change.

use std::{os::fd::BorrowedFd, time::Duration};

use anyhow::Result;
use enforce::{
    Applied, Counters, Desired, DesiredFull, EnforceError, Firewall, FirewallOptions, KernelChange,
    LargeSets, Monitor, Sighting,
};
use model::{Prefix, Timestamp};

use crate::config::{EnforceConfig, Mode};

/// Ends that differ by less are the same ban: kernel timeouts count in ticks from when they were
/// set, ours from when they were decided.
const TOLERANCE: Duration = Duration::from_secs(2);
/// The kernel lists a set in time that grows with the square of its size.
const SMALL: usize = 50_000;

pub(crate) struct Shield {
    desired: Desired,
    kernel: Option<Kernel>,
    /// Why the kernel is not ours, and what to do about it.
    observing: Option<String>,
}

struct Kernel {
    firewall: Firewall,
    monitor: Option<Monitor>,
    /// The last change failed; the kernel may be behind until a reconcile succeeds.
    behind: bool,
    /// The table was made by us just now, so that everything in it is ours.
    started_empty: bool,
}

impl Shield {
    pub(crate) fn open(config: &EnforceConfig, observe: bool) -> Self {
        let desired = Desired::new();
        if observe || config.mode == Mode::Observe {
            return Self::observing(desired, "observe mode was asked for".into());
        }
        let options = FirewallOptions {
            table: config.table.clone(),
            ..FirewallOptions::default()
        };
        match Firewall::open(options) {
            Ok(mut firewall) => {
                let started_empty = firewall.is_empty().unwrap_or(false);
                let kernel = Kernel {
                    firewall,
                    monitor: None,
                    behind: false,
                    started_empty,
                };
                Self {
                    desired,
                    kernel: Some(kernel),
                    observing: None,
                }
            }
            Err(e) => Self::observing(desired, e.to_string()),
        }
    }

    const fn observing(desired: Desired, why: String) -> Self {
        Self {
            desired,
            kernel: None,
            observing: Some(why),
        }
    }

    pub(crate) const fn enforces(&self) -> bool {
        self.kernel.is_some()
    }

    pub(crate) fn observing_because(&self) -> Option<&str> {
        self.observing.as_deref()
    }

    /// The monitor's descriptor, for the guard to wait on; there is one after [`Shield::fill`].
    pub(crate) fn monitor(&self) -> Option<BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        self.kernel
            .as_ref()
            .and_then(|k| k.monitor.as_ref())
            .map(Monitor::as_fd)
    }

    /// Takes the bans of an earlier run for what ought to hold, and for what the kernel holds.
    pub(crate) fn assume(
        &mut self,
        bans: &mut dyn Iterator<Item = (Prefix, Timestamp)>,
        now: Timestamp,
    ) {
        self.desired = Desired::restored(bans, now);
    }

    /// Puts every ban in that the kernel lacks; takes nothing out. For the start, when elements
    /// that no ban of ours explains may be bans whose record a crash cut off: the lines that
    /// caused them are about to be read again. From then on others' changes are watched for.
    pub(crate) fn fill(&mut self, now: Timestamp) -> Result<usize, EnforceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(0);
        };
        kernel.behind = true;
        let mut elements = self
            .desired
            .elements()
            .map(|(prefix, until)| (prefix, (until != Timestamp::MAX).then(|| until.since(now))));
        let loaded = kernel.firewall.load(&mut elements);
        // Not before: the kernel would prepare a notification of every element, which takes it
        // longer than putting the element in.
        kernel.monitor = Monitor::open(&kernel.firewall).ok();
        let count = loaded?;
        // What somebody did to the table meanwhile was not seen.
        kernel.behind = kernel.firewall.ensure()?;
        Ok(count)
    }

    /// Adds one ban to what ought to hold; the changes are for [`Shield::apply`].
    pub(crate) fn ban(
        &mut self,
        prefix: Prefix,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<KernelChange>, DesiredFull> {
        self.desired.set(prefix, until, now)
    }

    /// See [`Desired::clock_was_set`].
    pub(crate) fn clock_was_set(&mut self, by: i64, now: Timestamp) {
        self.desired.clock_was_set(by, now);
    }

    pub(crate) fn release(&mut self, prefix: Prefix, now: Timestamp) -> Vec<KernelChange> {
        self.desired.remove(prefix, now)
    }

    /// One atomic batch. On failure the next [`Shield::tick`] reconciles.
    pub(crate) fn apply(&mut self, changes: &[KernelChange]) -> Result<(), EnforceError> {
        let Some(kernel) = self.kernel.as_mut().filter(|_| !changes.is_empty()) else {
            return Ok(());
        };
        let outcome = kernel.firewall.apply(changes);
        kernel.behind |= !outcome.as_ref().is_ok_and(|applied| !applied.repaired);
        outcome.map(|_| ())
    }

    /// Makes the kernel hold exactly what ought to hold; returns what had to change.
    pub(crate) fn reconcile(&mut self, now: Timestamp) -> Result<Applied, EnforceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(Applied::default());
        };
        kernel.behind = true;
        kernel.firewall.ensure()?;
        let synced = kernel
            .firewall
            .sync(&self.desired, now, TOLERANCE, LargeSets::Replace)?;
        kernel.behind = false;
        kernel.started_empty = false;
        Ok(synced.applied)
    }

    /// Whether a full comparison is cheap enough to make without a cause.
    pub(crate) fn is_small(&self) -> bool {
        self.desired.len() <= SMALL
    }

    /// Whether elements may be in the kernel that no ban of ours explains.
    pub(crate) fn may_hold_strangers(&self) -> bool {
        self.kernel.as_ref().is_some_and(|k| !k.started_empty)
    }

    /// Someone else may have changed our table.
    pub(crate) fn foreign_change(&mut self) -> bool {
        let monitor = self.kernel.as_mut().and_then(|k| k.monitor.as_mut());
        monitor.is_some_and(|m| !matches!(m.read(), Ok(Sighting::Quiet)))
    }

    /// Forgets bans that are over, and catches up after a failed change.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Result<Applied, EnforceError> {
        self.desired.expire(now);
        if self.kernel.as_ref().is_some_and(|k| k.behind) {
            return self.reconcile(now);
        }
        Ok(Applied::default())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.desired.poll_timeout()
    }

    pub(crate) fn len(&self) -> usize {
        self.desired.len()
    }

    pub(crate) fn counters(&mut self) -> Option<Counters> {
        self.kernel
            .as_mut()
            .and_then(|k| k.firewall.counters().ok())
    }
}
