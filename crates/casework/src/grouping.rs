//! Which alerts belong together: by source network, by campaign, by victim.
//!
//! A group's name is all that decides: alerts of one name within [`QUIET`] of each other are one
//! case. The name goes into the case's opening (`grouped_by`), so the ledger alone tells which
//! case a later alert belongs to.

use std::time::Duration;

use model::{Alert, Prefix, Timestamp};
use serde::{Deserialize, Serialize};

/// A group that was quiet for so long is over: what comes then is another case.
pub const QUIET: Duration = Duration::from_secs(7 * 86_400);
/// Networks that one party usually holds: a hoster's customer, a household.
const V4_LEN: u8 = 24;
const V6_LEN: u8 = 48;
/// Keys of alerts' contexts that name who was attacked, the best first.
const VICTIMS: [&str; 4] = ["target_fqdn", "target_host", "target_user", "service"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// The /24 or /48 that the attack came from.
    SourceNetwork,
    /// The rule that saw it, wherever it came from.
    Campaign,
    /// Who was attacked, as the alert's context names it; else the log that told of it.
    Victim,
}

impl GroupBy {
    /// The group's name, as `source_network 203.0.113.0/24`; `None` when the alert has nothing to
    /// go by.
    pub fn name(self, alert: &Alert) -> Option<String> {
        match self {
            Self::SourceNetwork => {
                let network = alert.range.or_else(|| network(alert))?;
                Some(format!("source_network {network}"))
            }
            Self::Campaign => Some(format!("campaign {}", alert.rule)),
            Self::Victim => {
                let named = VICTIMS.iter().find_map(|key| {
                    let values = alert.context.get(*key)?;
                    values.first().filter(|value| !value.is_empty()).cloned()
                });
                let log = || alert.evidence.first().map(|line| line.source.to_string());
                Some(format!("victim {}", named.or_else(log)?))
            }
        }
    }
}

fn network(alert: &Alert) -> Option<Prefix> {
    let address = alert.address?.to_canonical();
    let len = if address.is_ipv4() { V4_LEN } else { V6_LEN };
    Prefix::new(address, len).ok()
}

/// An open case that a rule opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub case: String,
    pub name: String,
    /// When its last alert was.
    pub last: Timestamp,
}

/// The case that an alert at `at` belongs to, among those that are open.
pub fn place<'a>(groups: &'a [Group], name: &str, at: Timestamp) -> Option<&'a Group> {
    let fits = |group: &&Group| {
        let apart = group.last.since(at).max(at.since(group.last));
        group.name == name && apart <= QUIET
    };
    groups.iter().filter(fits).max_by_key(|group| group.last)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use model::{AlertId, Scope};

    use super::*;

    fn alert(address: &str) -> Alert {
        Alert {
            id: AlertId::derive(&[address.as_bytes()]),
            rule: "posse/ssh-guess".to_owned(),
            rule_hash: String::new(),
            scope: Scope::Ip,
            value: address.to_owned(),
            address: Some(address.parse().unwrap()),
            range: None,
            first: Timestamp::EPOCH,
            last: Timestamp::EPOCH,
            events_count: 1,
            message: String::new(),
            remediation: true,
            simulated: false,
            labels: Arc::default(),
            context: BTreeMap::from([("target_user".to_owned(), vec!["root".to_owned()])]),
            events: Vec::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn neighbours_share_a_network_and_strangers_do_not() {
        let name = |address| GroupBy::SourceNetwork.name(&alert(address)).unwrap();
        assert_eq!(name("203.0.113.5"), name("203.0.113.200"));
        assert_ne!(name("203.0.113.5"), name("198.51.100.5"));
        assert_eq!(name("2001:db8:1::1"), name("2001:db8:1:ffff::9"));
        assert_eq!(name("203.0.113.5"), "source_network 203.0.113.0/24");
    }

    #[test]
    fn victims_and_campaigns_have_names() {
        let one = alert("203.0.113.5");
        assert_eq!(GroupBy::Victim.name(&one).unwrap(), "victim root");
        let campaign = GroupBy::Campaign.name(&one).unwrap();
        assert_eq!(campaign, "campaign posse/ssh-guess");
    }

    #[test]
    fn a_group_that_was_quiet_for_long_is_over() {
        let groups = [Group {
            case: "CASE-2026-0001".to_owned(),
            name: "campaign x".to_owned(),
            last: Timestamp::from_seconds(1_000_000),
        }];
        let at = |days: i64| Timestamp::from_seconds(1_000_000 + days * 86_400);
        assert!(place(&groups, "campaign x", at(7)).is_some());
        assert!(place(&groups, "campaign x", at(8)).is_none());
        assert!(place(&groups, "campaign y", at(1)).is_none());
    }
}
