//! One nf_tables table of our own, over one netlink socket.

use std::time::Duration;

use model::Prefix;

use crate::{error::EnforceError, plan::KernelChange};

/// How the table is called and where its chains hook in.
#[derive(Clone, Debug)]
pub struct FirewallOptions {
    pub table: String,
    /// Hook priority; the default is before connection tracking (-200) and before `raw` (-300).
    pub priority: i32,
}

impl Default for FirewallOptions {
    fn default() -> Self {
        Self {
            table: "posse".to_owned(),
            priority: -310,
        }
    }
}

/// What [`Firewall::apply`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub added: usize,
    pub updated: usize,
    pub removed: usize,
    /// The kernel was not as the changes assumed (an element had ended, or somebody else put one
    /// in), and the touched prefixes were brought into line.
    pub resolved: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

/// Traffic dropped, by the direction of the banned address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub from_ipv4: Counter,
    pub to_ipv4: Counter,
    pub from_ipv6: Counter,
    pub to_ipv6: Counter,
}

/// The table in the kernel, and the socket to it.
#[derive(Debug)]
pub struct Firewall {
    _options: FirewallOptions,
}

impl Firewall {
    /// Opens the table, creating or repairing it as needed; elements already there stay.
    pub fn open(_options: FirewallOptions) -> Result<Self, EnforceError> {
        Err(EnforceError::NoNfTables {
            operation: "open the table",
        })
    }

    /// Repairs chains and rules if they are not as they ought to be; elements stay. `true` if
    /// something had to be repaired.
    pub fn ensure(&mut self) -> Result<bool, EnforceError> {
        Ok(false)
    }

    /// One atomic batch: all of `changes` or none.
    pub fn apply(&mut self, _changes: &[KernelChange]) -> Result<Applied, EnforceError> {
        Ok(Applied::default())
    }

    /// Many bans at once, in several atomic batches with flat memory. An element that is there
    /// already stays.
    pub fn load(
        &mut self,
        _bans: &mut dyn Iterator<Item = (Prefix, Option<Duration>)>,
    ) -> Result<usize, EnforceError> {
        Ok(0)
    }

    /// Every element with its remaining time.
    pub fn dump(&mut self) -> Result<Vec<(Prefix, Option<Duration>)>, EnforceError> {
        Ok(Vec::new())
    }

    pub fn counters(&mut self) -> Result<Counters, EnforceError> {
        Ok(Counters::default())
    }

    /// Deletes the table and with it every ban.
    pub fn teardown(&mut self) -> Result<(), EnforceError> {
        Ok(())
    }
}
