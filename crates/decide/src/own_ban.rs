//! A rule's own word on how long its bans last: the label `ban` of its alerts.
//!
//! Jails taken over from fail2ban carry their `bantime` and `bantime.increment` this way. What the
//! operator's configuration says of the rule stands above it.

use std::time::Duration;

use model::Alert;

/// No ban lasts longer, whatever a rule says.
const SECONDS_MAX: u64 = 10 * 365 * 86_400;
/// How often the usual growth doubles.
const DOUBLINGS_MAX: u32 = 20;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnBan {
    /// Length of a first ban.
    pub(crate) first: Option<Duration>,
    growth: Option<Growth>,
}

#[derive(Clone, Debug, PartialEq)]
enum Growth {
    /// Each ban is as long as the first.
    Never,
    Doubling {
        factor: f64,
        max: u64,
    },
    /// By how often the source was banned before; the last stands for all after it.
    Steps {
        multipliers: Vec<f64>,
        factor: f64,
        max: u64,
    },
}

impl OwnBan {
    pub(crate) fn of(alert: &Alert) -> Option<Self> {
        let label = alert.labels.get("ban")?.as_object()?;
        let seconds = label.get("seconds").and_then(|s| s.as_u64());
        let max = label.get("max_seconds").and_then(|s| s.as_u64());
        let max = max.unwrap_or(SECONDS_MAX).min(SECONDS_MAX);
        let factor = label.get("factor").and_then(|f| f.as_f64()).unwrap_or(1.0);
        let growth = label.get("grows").and_then(|g| g.as_bool()).map(|grows| {
            let steps = label.get("multipliers").and_then(|m| m.as_array());
            match (grows, steps) {
                (false, _) => Growth::Never,
                (true, None) => Growth::Doubling { factor, max },
                (true, Some(steps)) => Growth::Steps {
                    multipliers: steps.iter().filter_map(|s| s.as_f64()).collect(),
                    factor,
                    max,
                },
            }
        });
        Some(Self {
            first: seconds.map(|s| Duration::from_secs(s.clamp(1, SECONDS_MAX))),
            growth,
        })
    }

    /// Length of the ban after `repeat` earlier ones; `None` leaves it to the configuration.
    pub(crate) fn grown(&self, base: Duration, repeat: u32) -> Option<Duration> {
        let (by, max) = match self.growth.as_ref()? {
            _ if repeat == 0 => return Some(base),
            Growth::Never => return Some(base),
            Growth::Doubling { factor, max } => {
                let doublings = i32::try_from(repeat.min(DOUBLINGS_MAX)).unwrap_or(0);
                (2f64.powi(doublings) * factor, *max)
            }
            Growth::Steps {
                multipliers,
                factor,
                max,
            } => {
                let at = usize::try_from(repeat).unwrap_or(usize::MAX);
                let step = multipliers.get(at).or_else(|| multipliers.last());
                (step.copied().unwrap_or(1.0) * factor, *max)
            }
        };
        let seconds = base.as_secs_f64() * by;
        let max = max as f64;
        let seconds = if seconds.is_finite() {
            seconds.clamp(1.0, max.max(1.0))
        } else {
            max
        };
        Some(Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lengths(label: serde_json::Value) -> Vec<u64> {
        let text = json!({
            "id": "0".repeat(32), "rule": "fail2ban/x", "rule_hash": "", "scope": "Ip",
            "value": "192.0.2.1", "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z",
            "events_count": 1, "message": "", "remediation": true, "labels": {"ban": label},
        });
        let alert: Alert = serde_json::from_value(text).unwrap();
        let own = OwnBan::of(&alert).unwrap();
        let base = own.first.unwrap();
        (0..4)
            .map(|n| own.grown(base, n).unwrap().as_secs())
            .collect()
    }

    #[test]
    fn bans_grow_as_the_jail_says() {
        assert_eq!(lengths(json!({"seconds": 600, "grows": false})), [600; 4]);
        assert_eq!(
            lengths(json!({"seconds": 600, "grows": true, "max_seconds": 2000})),
            [600, 1200, 2000, 2000]
        );
        assert_eq!(
            lengths(
                json!({"seconds": 60, "grows": true, "factor": 2.0, "multipliers": [1, 5, 30]})
            ),
            [60, 600, 3600, 3600]
        );
        assert_eq!(
            lengths(json!({"seconds": u64::MAX, "grows": true, "factor": 1e300})),
            [SECONDS_MAX; 4]
        );
    }
}
