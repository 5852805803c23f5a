//! The community's bans in a kernel table of their own.
//!
//! Stands after the follower (which says what the community and the operator's policy want) and
//! asks the never-ban guard for every prefix. Changes go to the kernel in small batches, so that
//! a ban in the local table never waits noticeably for the kernel's lock. Nothing is ever
//! flushed; ends live in the kernel's timeouts.

use std::{net::IpAddr, sync::Arc, time::Duration};

use decide::{Guard, NeverBanConfig, Screen};
use enforce::{
    Applied, CompactDesired, EnforceError, Firewall, FirewallOptions, KernelChange, LargeSets,
    Monitor, Sighting,
};
use model::{HostFacts, Prefix, RefusalReason, Timestamp};

/// Changes that go to the kernel at once: the lock is held for a few milliseconds.
const CHANGES_PER_BATCH: usize = 1_000;
/// The same in bytes, for the first load.
const LOAD_BYTES: usize = 64 << 10;
/// Ends that differ by less are the same ban.
const TOLERANCE: Duration = Duration::from_secs(3);
/// Bans of one community in the kernel.
const BANS_MAX: usize = 2_000_000;
/// Pause between walks that forget what has ended.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Pause before the kernel is tried again after it refused.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// The kernel lists a set in time that grows with the square of its size.
const SMALL: usize = 50_000;
/// Against changes that no notification told of, while the set is small.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// Resolvers that half of the internet asks. No community's word suffices to cut them off; an
/// operator's own ban does.
const PUBLIC_RESOLVERS: [IpAddr; 12] = [
    v4(8, 8, 8, 8),
    v4(8, 8, 4, 4),
    v4(1, 1, 1, 1),
    v4(1, 0, 0, 1),
    v4(9, 9, 9, 9),
    v4(149, 112, 112, 112),
    v4(208, 67, 222, 222),
    v4(208, 67, 220, 220),
    v6(0x2001_4860_4860_0000_0000_0000_0000_8888),
    v6(0x2001_4860_4860_0000_0000_0000_0000_8844),
    v6(0x2606_4700_4700_0000_0000_0000_0000_1111),
    v6(0x2620_00fe_0000_0000_0000_0000_0000_00fe),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d))
}

const fn v6(bits: u128) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::from_bits(bits))
}

/// The never-ban guard as it stands now.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    guard: Guard,
    /// Lets nearly all pass in a fraction of the guard's time.
    screen: Screen,
    facts: Arc<HostFacts>,
}

impl Gate {
    /// `hubs` and `never` are protected beyond what the operator's own bans must respect.
    pub(crate) fn new(
        mut config: NeverBanConfig,
        never: &[Prefix],
        hubs: &[IpAddr],
        facts: Arc<HostFacts>,
    ) -> Self {
        let hosts = hubs.iter().chain(&PUBLIC_RESOLVERS);
        config.allow.extend(never);
        config
            .allow
            .extend(hosts.map(|address| Prefix::host(*address)));
        let guard = Guard::new(config);
        Self {
            screen: guard.screen(&facts),
            guard,
            facts,
        }
    }

    /// Whether these are the facts it judges by.
    pub(crate) fn knows(&self, facts: &Arc<HostFacts>) -> bool {
        Arc::ptr_eq(&self.facts, facts)
    }

    pub(crate) fn check(&self, prefix: Prefix) -> Result<(), RefusalReason> {
        if self.screen.clears(prefix) {
            return Ok(());
        }
        self.guard.check_automatic(prefix, &self.facts)
    }
}

pub(crate) struct Ward {
    desired: CompactDesired,
    kernel: Option<Kernel>,
    pending: Vec<KernelChange>,
    next_sweep: Timestamp,
    /// What ought to hold is known whole. Before, what the kernel holds beyond it may be bans
    /// whose record was lost, and stays.
    settled: bool,
}

struct Kernel {
    firewall: Firewall,
    monitor: Option<Monitor>,
    behind: bool,
    /// It refused a change before all that ought to hold was known: what it has too much stayed.
    owes: bool,
    next_try: Timestamp,
    next_reconcile: Timestamp,
}

impl Ward {
    /// Only thinks: for `--observe`.
    pub(crate) const fn observing() -> Self {
        Self {
            desired: CompactDesired::with_limit(BANS_MAX),
            kernel: None,
            pending: Vec::new(),
            next_sweep: Timestamp::EPOCH,
            settled: false,
        }
    }

    pub(crate) fn open(table: String) -> Result<Self, EnforceError> {
        let firewall = Firewall::open(FirewallOptions {
            table,
            load_bytes: LOAD_BYTES,
            ..FirewallOptions::default()
        })?;
        let kernel = Kernel {
            firewall,
            monitor: None,
            behind: false,
            owes: false,
            next_try: Timestamp::EPOCH,
            next_reconcile: Timestamp::EPOCH,
        };
        Ok(Self {
            kernel: Some(kernel),
            ..Self::observing()
        })
    }

    pub(crate) const fn enforces(&self) -> bool {
        self.kernel.is_some()
    }

    /// From now on what the kernel holds beyond what ought to hold is nobody's.
    pub(crate) const fn settle(&mut self) {
        if let (false, Some(kernel)) = (self.settled, &mut self.kernel) {
            kernel.behind |= kernel.owes;
            kernel.next_reconcile = Timestamp::EPOCH;
        }
        self.settled = true;
    }

    /// Takes a ban for one that the kernel holds already: for the start; [`Ward::fill`] follows.
    pub(crate) fn assume(&mut self, prefix: Prefix, lasts: Duration, now: Timestamp) {
        // Beyond the limit it stays out of force; `len` shows it.
        self.desired.set(prefix, now.plus(lasts), now).ok();
    }

    /// Puts in what the kernel lacks of what was assumed.
    pub(crate) fn fill(&mut self, now: Timestamp) -> Result<usize, EnforceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(0);
        };
        kernel.behind = true;
        kernel.next_try = now.plus(RETRY_EVERY);
        let wanted = self.desired.elements().filter(|(_, until)| *until > now);
        let mut bans = wanted.map(|(prefix, until)| (prefix, Some(until.since(now))));
        let loaded = kernel.firewall.load(&mut bans);
        // Not before: the kernel would prepare a notification of every element.
        kernel.monitor = Monitor::open(&kernel.firewall).ok();
        let count = loaded?;
        kernel.behind = false;
        // What others did before this start is found as long as the set can be read.
        (kernel.next_reconcile, kernel.next_try) = (now, now);
        Ok(count)
    }

    /// Much is about to change: until [`Ward::watch`], the kernel need not prepare a notification
    /// of every element for us.
    pub(crate) fn look_away(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.monitor = None;
        }
    }

    /// Others' changes are watched for again.
    pub(crate) fn watch(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.monitor = Monitor::open(&kernel.firewall).ok();
            // What others did to rules and chains meanwhile was not seen.
            kernel.behind |= kernel.firewall.ensure().unwrap_or(true);
        }
    }

    /// Into what ought to hold, and into the kernel with the next batch.
    pub(crate) fn put(&mut self, prefix: Prefix, lasts: Duration, now: Timestamp) {
        if let Ok(changes) = self.desired.set(prefix, now.plus(lasts), now) {
            self.pending.extend(changes);
        }
        self.send_full_batches(now);
    }

    pub(crate) fn release(&mut self, prefix: Prefix, now: Timestamp) {
        self.pending.extend(self.desired.remove(prefix, now));
        self.send_full_batches(now);
    }

    /// Sends what waits. What the kernel refuses is put right later.
    pub(crate) fn commit(&mut self, now: Timestamp) {
        let changes = std::mem::take(&mut self.pending);
        self.send(&changes, now);
    }

    fn send_full_batches(&mut self, now: Timestamp) {
        if self.pending.len() >= CHANGES_PER_BATCH {
            self.commit(now);
        }
    }

    fn send(&mut self, changes: &[KernelChange], now: Timestamp) {
        let Some(kernel) = self.kernel.as_mut().filter(|_| !changes.is_empty()) else {
            return;
        };
        match kernel.firewall.apply(changes) {
            Ok(applied) if !applied.repaired => return,
            Ok(_) => {}
            Err(e) => {
                tracing::warn!(error = %e, "the kernel refused a change of the fleet's table");
                kernel.next_try = now.plus(RETRY_EVERY);
            }
        }
        kernel.behind = true;
        kernel.owes |= !self.settled;
    }

    /// Somebody else may have changed the table; forget what ended; catch up after a failure.
    /// Returns what had to be put right.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Result<Applied, EnforceError> {
        if now >= self.next_sweep {
            self.next_sweep = now.plus(SWEEP_EVERY);
            self.desired.sweep(now);
        }
        let small = self.desired.len() <= SMALL;
        let Some(kernel) = &mut self.kernel else {
            return Ok(Applied::default());
        };
        if let Some(monitor) = &mut kernel.monitor
            && !matches!(monitor.read(), Ok(Sighting::Quiet))
        {
            kernel.behind = true;
        }
        if small && now >= kernel.next_reconcile {
            kernel.behind = true;
        }
        if !kernel.behind || now < kernel.next_try {
            return Ok(Applied::default());
        }
        self.reconcile(now)
    }

    fn reconcile(&mut self, now: Timestamp) -> Result<Applied, EnforceError> {
        let Some(kernel) = &mut self.kernel else {
            return Ok(Applied::default());
        };
        kernel.next_try = now.plus(RETRY_EVERY);
        kernel.next_reconcile = now.plus(RECONCILE_EVERY);
        let repaired = kernel.firewall.ensure()?;
        let firewall = &mut kernel.firewall;
        if !self.settled {
            let wanted = self.desired.elements().filter(|(_, until)| *until > now);
            firewall.load(&mut wanted.map(|(prefix, until)| (prefix, Some(until.since(now)))))?;
            kernel.behind = false;
            return Ok(Applied::default());
        }
        let synced = firewall.sync(&self.desired, now, TOLERANCE, LargeSets::TopUp)?;
        kernel.behind = false;
        kernel.next_try = now;
        Ok(Applied {
            repaired: repaired || synced.applied.repaired,
            ..synced.applied
        })
    }

    pub(crate) fn holds(&self, prefix: Prefix) -> bool {
        self.desired.get(prefix).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.desired.len()
    }

    /// Whether the kernel is as it ought to be, as far as is known.
    pub(crate) fn is_in_step(&self) -> bool {
        self.kernel.as_ref().is_some_and(|kernel| !kernel.behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_knows_the_hub_the_resolvers_and_what_never_names() {
        let facts = Arc::new(HostFacts::default());
        let never = ["203.0.113.0/25".parse().unwrap()];
        let hub = "198.51.100.9".parse().unwrap();
        let gate = Gate::new(NeverBanConfig::default(), &never, &[hub], facts);
        for refused in [
            "0.0.0.0/0",
            "8.8.8.8",
            "8.8.8.0/24",
            "198.51.100.9",
            "198.51.100.0/24",
            "203.0.113.7",
            "45.0.0.0/8",
            "127.0.0.1",
            "10.1.1.1",
            "2001:4860:4860::/64",
        ] {
            assert!(gate.check(refused.parse().unwrap()).is_err(), "{refused}");
        }
        for taken in ["45.66.77.88", "45.66.77.0/24", "2001:db8:1::/48"] {
            assert_eq!(gate.check(taken.parse().unwrap()), Ok(()), "{taken}");
        }
    }

    #[test]
    fn without_a_kernel_it_still_knows_what_ought_to_hold() {
        let mut ward = Ward::observing();
        let now = Timestamp::from_seconds(10);
        let prefix = "45.66.77.0/24".parse().unwrap();
        ward.put(prefix, Duration::from_secs(9), now);
        ward.commit(now);
        assert!(ward.holds(prefix));
        ward.release(prefix, now);
        assert_eq!(ward.len(), 0);
    }
}
