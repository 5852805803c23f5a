//! Capabilities: everything goes but what is asked to stay.

use std::collections::BTreeSet;

use caps::{CapSet, CapsHashSet};

use crate::{error::ConfineError, report::Report};

/// The capabilities that a guard may have any use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `CAP_NET_ADMIN`: nf_tables.
    Firewall,
    /// `CAP_DAC_READ_SEARCH`: logs that neither our user nor our groups can read.
    ReadAnyLog,
    /// `CAP_NET_BIND_SERVICE`: syslog on a port below 1024.
    BindLowPorts,
}

impl Capability {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firewall => "net_admin",
            Self::ReadAnyLog => "dac_read_search",
            Self::BindLowPorts => "net_bind_service",
        }
    }

    const fn kernels(self) -> caps::Capability {
        match self {
            Self::Firewall => caps::Capability::CAP_NET_ADMIN,
            Self::ReadAnyLog => caps::Capability::CAP_DAC_READ_SEARCH,
            Self::BindLowPorts => caps::Capability::CAP_NET_BIND_SERVICE,
        }
    }
}

/// Keeps of `wanted` what this thread has; gives up the rest, and what programs it starts could
/// get by any set.
pub(crate) fn keep(wanted: &BTreeSet<Capability>, report: &mut Report) -> Result<(), ConfineError> {
    let wanted: CapsHashSet = wanted.iter().map(|c| c.kernels()).collect();
    let kept = limit_to(&wanted)?;
    report.capabilities = kept.iter().map(|c| short(*c)).collect();
    report.capabilities.sort();
    let left = caps::read(None, CapSet::Bounding).map_err(failed("read the bounding set"))?;
    if rustix::process::geteuid().is_root() && !left.is_empty() {
        report.gaps.push(
            "the bounding set of capabilities cannot be emptied without CAP_SETPCAP, so only \
             no_new_privs keeps programs we start from them"
                .to_owned(),
        );
    }
    Ok(())
}

/// For the facts thread: which process holds which connection is told only to those who may
/// trace it and enter its folder in `/proc`. The calls that trace are filtered away.
pub(crate) fn keep_to_look() -> Result<(), ConfineError> {
    let wanted = CapsHashSet::from([
        caps::Capability::CAP_SYS_PTRACE,
        caps::Capability::CAP_DAC_READ_SEARCH,
    ]);
    limit_to(&wanted).map(drop)
}

/// Whether this process can see whose connections are whose, by the capability for it.
pub fn may_see_other_processes() -> bool {
    caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SYS_PTRACE).unwrap_or(false)
}

fn limit_to(wanted: &CapsHashSet) -> Result<CapsHashSet, ConfineError> {
    let held = caps::read(None, CapSet::Permitted).map_err(failed("read the permitted set"))?;
    let kept: CapsHashSet = held.intersection(wanted).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(failed("clear the ambient set"))?;
    if held.contains(&caps::Capability::CAP_SETPCAP) {
        caps::clear(None, CapSet::Bounding).map_err(failed("clear the bounding set"))?;
    }
    // In this order, since the effective set must stay within the permitted one.
    caps::clear(None, CapSet::Inheritable).map_err(failed("clear the inheritable set"))?;
    caps::set(None, CapSet::Effective, &kept).map_err(failed("set the effective set"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed("set the permitted set"))?;
    Ok(kept)
}

fn short(capability: caps::Capability) -> String {
    let name = capability.to_string().to_ascii_lowercase();
    name.strip_prefix("cap_").unwrap_or(&name).to_owned()
}

fn failed(doing: &'static str) -> impl Fn(caps::errors::CapsError) -> ConfineError {
    move |e| ConfineError::Capabilities {
        doing,
        why: e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_only_what_was_asked() {
        // Capabilities are a thread's own, so a thread can be spent on it.
        let thread = std::thread::spawn(|| {
            let before = caps::read(None, CapSet::Permitted).unwrap();
            let mut report = Report::default();
            keep(&BTreeSet::from([Capability::Firewall]), &mut report).unwrap();
            let wanted = caps::Capability::CAP_NET_ADMIN;
            let expected: CapsHashSet = before.intersection(&[wanted].into()).copied().collect();
            for set in [CapSet::Permitted, CapSet::Effective] {
                assert_eq!(caps::read(None, set).unwrap(), expected);
            }
            for set in [CapSet::Inheritable, CapSet::Ambient] {
                assert!(caps::read(None, set).unwrap().is_empty());
            }
            if before.contains(&caps::Capability::CAP_SETPCAP) {
                assert!(caps::read(None, CapSet::Bounding).unwrap().is_empty());
                assert_eq!(report.capabilities, ["net_admin"]);
                assert_eq!(report.gaps, Vec::<String>::new());
            }
        });
        thread.join().unwrap();
    }
}
