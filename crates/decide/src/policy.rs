//! The policy.

use std::net::IpAddr;
use std::time::Duration;

use model::{Alert, Decision, HostFacts, Notice, Origin, Prefix, Refusal, Release, Timestamp};

use crate::config::{ConfigError, PolicyConfig};
use crate::history::Ban;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ban, or extend the ban on the same prefix.
    Ban(Decision),
    /// A ban was called for and must not be.
    Refuse(Refusal),
    /// Lift this ban: a wider one took its place, or it is protected now.
    Supersede(Release),
    /// Tell the operator.
    Notice(Notice),
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyStats {
    pub alerts: u64,
    pub bans: u64,
    pub extensions: u64,
    pub already_banned: u64,
    pub alert_only: u64,
    pub refusals: u64,
    pub offenders_evicted: u64,
    pub good_evicted: u64,
    pub active: u64,
}

#[derive(Debug)]
pub struct Policy {}

impl Policy {
    /// Fails on a configuration that cannot be meant; see [`PolicyConfig::check`].
    pub fn new(config: PolicyConfig) -> Result<Self, ConfigError> {
        let _ = config;
        Ok(Self {})
    }
    /// Takes a new configuration and keeps what is known; on error nothing changes.
    pub fn reconfigure(&mut self, _config: PolicyConfig) -> Result<(), ConfigError> {
        Ok(())
    }
    /// Takes back decisions from the store, oldest first and without those that were released:
    /// active ones are in force again, past ones make their sources repeat offenders.
    pub fn restore(&mut self, _decisions: &[Decision], _now: Timestamp) {}
    /// Judges alerts in their order.
    pub fn judge(&mut self, _: &[Alert], _: &HostFacts, _now: Timestamp) -> Vec<Verdict> {
        Vec::new()
    }
    /// An operator (or another authority) asks for a ban: `Ban` or `Refuse`.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing")]
    pub fn request(
        &mut self,
        _prefix: Prefix,
        _duration: Duration,
        _reason: &str,
        _by: Origin,
        _facts: &HostFacts,
        _now: Timestamp,
    ) -> Verdict {
        todo_verdict()
    }
    /// Lifts the ban on `prefix` and all narrower ones in it; forgets that they were offenders.
    pub fn release(&mut self, _prefix: Prefix, _by: &Origin, _now: Timestamp) -> Vec<Release> {
        Vec::new()
    }
    /// Lifts every ban.
    pub fn release_all(&mut self, _by: &Origin, _now: Timestamp) -> Vec<Release> {
        Vec::new()
    }
    /// Lifts bans that the guard would refuse today; call when facts or configuration changed.
    pub fn recheck(&mut self, _facts: &HostFacts, _now: Timestamp) -> Vec<Verdict> {
        Vec::new()
    }
    /// An address did something good (such as a successful login): its range is not banned.
    pub fn record_good(&mut self, _address: IpAddr, _at: Timestamp) {}
    pub fn known_good(&self) -> Vec<(IpAddr, Timestamp)> {
        Vec::new()
    }
    /// Forgets what is over; gives the notice when the circuit breaker closes.
    pub fn tick(&mut self, _now: Timestamp) -> Vec<Verdict> {
        Vec::new()
    }
    /// When [`Policy::tick`] next has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
    /// Bans in force, by prefix.
    pub fn bans(&self) -> impl Iterator<Item = (Prefix, &Ban)> {
        std::iter::empty()
    }
    /// The narrowest ban in force that covers `prefix`.
    pub fn covering(&self, _prefix: Prefix, _now: Timestamp) -> Option<(Prefix, &Ban)> {
        None
    }
    pub fn stats(&self) -> PolicyStats {
        PolicyStats::default()
    }
}

fn todo_verdict() -> Verdict {
    Verdict::Notice(Notice {
        at: Timestamp::EPOCH,
        code: String::new(),
        text: String::new(),
        prefixes: Vec::new(),
    })
}
