//! How grave a thing is. Rules say it with a label, or it follows from what they say about
//! themselves; notices have theirs by their code.

use std::{fmt, str::FromStr};

use model::{Alert, RefusalReason};
use serde::{Deserialize, Serialize};

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The label `severity` when the rule has one; else scans are low, attempts to get in medium,
    /// exploits and what somebody did inside high.
    pub fn of_alert(alert: &Alert) -> Self {
        let label = |name: &str| alert.labels.get(name).and_then(|v| v.as_str());
        if let Some(said) = label("severity").and_then(|word| word.parse().ok()) {
            return said;
        }
        if alert.is_good_news() {
            return Self::Info;
        }
        let behavior = label("behavior").unwrap_or_default();
        let kind = behavior.rsplit(':').next().unwrap_or_default();
        let by_kind = match kind {
            "scan" | "crawl" | "spam" | "recon" => Self::Low,
            "exploit" | "rce" | "backdoor" | "privilege-escalation" | "malware" => Self::High,
            _ if alert.remediation => Self::Medium,
            _ => Self::Low,
        };
        // A rule on trial may be wrong about everything.
        if alert.simulated {
            Self::Low.min(by_kind)
        } else {
            by_kind
        }
    }

    /// A ban that was not made means that the attack goes on.
    pub const fn of_refusal(reason: &RefusalReason) -> Self {
        match reason {
            RefusalReason::CircuitOpen { .. } | RefusalReason::TooMany { .. } => Self::Critical,
            RefusalReason::AdminSession
            | RefusalReason::Gateway
            | RefusalReason::OwnAddress
            | RefusalReason::Resolver
            | RefusalReason::Private { .. } => Self::High,
            RefusalReason::Allowlist { .. }
            | RefusalReason::Loopback
            | RefusalReason::Special { .. }
            | RefusalReason::NoAddress
            | RefusalReason::TooWide { .. }
            | RefusalReason::Collateral { .. } => Self::Medium,
        }
    }

    /// By the stable code of a notice; what is not known here is medium.
    pub fn of_notice(code: &str) -> Self {
        match code {
            "kernel_refused" | "ban_table_full" | "circuit_open" | "recording_lost"
            | "ledger_damaged" => Self::Critical,
            "kernel_drift" | "source_problem" | "source_silent" | "disk_full" | "disk_low"
            | "recording_paused" | "reload_failed" | "channel_down" | "clock_jump"
            | "not_enforcing" | "hub_lost" | "fleet_expelled" | "fleet_hub_lies"
            | "fleet_differs" | "fleet_behind" | "fleet_flood" | "fleet_kernel"
            | "fleet_kernel_drift" | "fleet_observe" => Self::High,
            "reloaded" | "started" | "stopped" | "channel_up" | "source_back" | "hub_found" => {
                Self::Info
            }
            _ => Self::Medium,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Severity {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|one| one.word() == s);
        named.ok_or("a severity is one of info, low, medium, high, critical")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_label_wins_over_the_kind() {
        let mut alert = samples::alert("203.0.113.9", 1);
        assert_eq!(Severity::of_alert(&alert), Severity::Medium);
        std::sync::Arc::make_mut(&mut alert.labels)
            .insert("behavior".into(), "http:exploit".into());
        assert_eq!(Severity::of_alert(&alert), Severity::High);
        std::sync::Arc::make_mut(&mut alert.labels).insert("behavior".into(), "tcp:scan".into());
        assert_eq!(Severity::of_alert(&alert), Severity::Low);
        std::sync::Arc::make_mut(&mut alert.labels).insert("severity".into(), "critical".into());
        assert_eq!(Severity::of_alert(&alert), Severity::Critical);
        std::sync::Arc::make_mut(&mut alert.labels).insert("severity".into(), "grave".into());
        assert_eq!(
            Severity::of_alert(&alert),
            Severity::Low,
            "an unknown word does not count"
        );
    }

    #[test]
    fn severities_are_ordered() {
        assert!(Severity::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for one in Severity::ALL {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
    }
}
