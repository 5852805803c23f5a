//! The `[ban]` and `[never_ban]` tables of the configuration file.

use std::time::Duration;

use model::{Prefix, limits::BANS_MAX};
use serde::{Deserialize, Deserializer, de::Error as _};

/// Both tables. Every field has a default, so an empty configuration is a working one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    pub ban: BanConfig,
    pub never_ban: NeverBanConfig,
}

/// How long and how widely sources are banned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BanConfig {
    /// Length of a first ban.
    #[serde(deserialize_with = "span")]
    pub duration: Duration,
    /// Each further ban of the same source is this many times longer; 1 switches growth off.
    pub repeat_factor: u32,
    /// No automatic ban is longer than this.
    #[serde(deserialize_with = "span")]
    pub duration_max: Duration,
    /// A source that stayed quiet this long after its last ban ended starts anew.
    #[serde(deserialize_with = "span")]
    pub forget_after: Duration,
    /// What single rules do otherwise; the first entry whose pattern fits counts.
    pub rules: Vec<RuleOverride>,
    #[serde(deserialize_with = "ipv4_range")]
    pub ipv4: RangeConfig,
    #[serde(deserialize_with = "ipv6_range")]
    pub ipv6: RangeConfig,
    /// Ranges are not banned while an address in them did something good (such as a successful
    /// login) within this time.
    #[serde(deserialize_with = "span")]
    pub good_for: Duration,
}

/// `[[ban.rules]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleOverride {
    /// A rule name; `*` stands for any characters, `?` for one.
    pub rule: String,
    #[serde(default)]
    pub action: RuleAction,
    /// Length of a first ban by this rule.
    #[serde(default, deserialize_with = "some_span")]
    pub duration: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Record and tell, do not ban.
    AlertOnly,
    #[default]
    Ban,
}

/// `[ban.ipv4]`, `[ban.ipv6]`: what one source is, and when its neighbourhood is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeConfig {
    /// Length of the prefix that counts as one source: 32 for IPv4; 64 for IPv6, where one
    /// customer has at least that much (RFC 6177).
    pub prefix: u8,
    /// Neighbours count together when they were banned within this time.
    pub window: Duration,
    /// When to ban a wider range; empty switches widening off.
    pub steps: Vec<Step>,
    /// Most sources in a range that did nothing and are cut off with it.
    pub bystanders_max: u64,
    /// The same as a share of all sources in the range, in percent.
    pub bystanders_percent_max: u8,
}

/// Ban the enclosing range of length `prefix` once `sources` different sources in it were banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub prefix: u8,
    pub sources: u32,
}

/// What is never banned, and how much at most.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeverBanConfig {
    /// Addresses and networks that are never banned, nor any range that touches them.
    pub allow: Vec<Prefix>,
    /// Protect private, link-local, shared (CGNAT) and unique-local ranges.
    pub private_ranges: bool,
    /// Widest range that an operator may ban.
    pub widest_ipv4: u8,
    pub widest_ipv6: u8,
    /// Widest range that is banned without a person.
    pub widest_automatic_ipv4: u8,
    pub widest_automatic_ipv6: u8,
    /// Circuit breaker: most automatic bans in any one minute.
    pub bans_per_minute: u32,
    /// Most bans in force at a time.
    pub bans_max: u64,
}

/// A configuration that cannot be meant.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{field} = {value}: must lie between {min} and {max}")]
    Range {
        field: &'static str,
        value: u64,
        min: u64,
        max: u64,
    },
    #[error("ban.rules: {rule:?} has action alert_only and a duration; remove one of them")]
    IdleDuration { rule: String },
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

impl Default for BanConfig {
    fn default() -> Self {
        Self {
            duration: HOUR * 4,
            repeat_factor: 2,
            duration_max: DAY * 7,
            forget_after: DAY * 30,
            rules: Vec::new(),
            ipv4: RangeConfig::ipv4(),
            ipv6: RangeConfig::ipv6(),
            good_for: DAY,
        }
    }
}

impl RangeConfig {
    pub fn ipv4() -> Self {
        Self {
            prefix: 32,
            window: HOUR,
            steps: vec![Step {
                prefix: 24,
                sources: 8,
            }],
            bystanders_max: 256,
            bystanders_percent_max: 97,
        }
    }

    pub fn ipv6() -> Self {
        Self {
            prefix: 64,
            window: HOUR,
            steps: vec![
                Step {
                    prefix: 56,
                    sources: 4,
                },
                Step {
                    prefix: 48,
                    sources: 16,
                },
            ],
            bystanders_max: 1 << 16,
            bystanders_percent_max: 100,
        }
    }
}

impl Default for NeverBanConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            private_ranges: true,
            widest_ipv4: 16,
            widest_ipv6: 32,
            widest_automatic_ipv4: 24,
            widest_automatic_ipv6: 48,
            bans_per_minute: 600,
            bans_max: 1_000_000,
        }
    }
}

impl PolicyConfig {
    /// Whether the numbers can be meant.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (ban, never) = (&self.ban, &self.never_ban);
        within("ban.repeat_factor", u64::from(ban.repeat_factor), 1, 1_000)?;
        within("ban.ipv4.prefix", u64::from(ban.ipv4.prefix), 8, 32)?;
        within("ban.ipv6.prefix", u64::from(ban.ipv6.prefix), 32, 128)?;
        check_range("ban.ipv4", &ban.ipv4)?;
        check_range("ban.ipv6", &ban.ipv6)?;
        for rule in &ban.rules {
            if rule.action == RuleAction::AlertOnly && rule.duration.is_some() {
                return Err(ConfigError::IdleDuration {
                    rule: rule.rule.clone(),
                });
            }
        }
        for (field, value, max) in [
            ("never_ban.widest_ipv4", never.widest_ipv4, 32),
            ("never_ban.widest_ipv6", never.widest_ipv6, 128),
            (
                "never_ban.widest_automatic_ipv4",
                never.widest_automatic_ipv4,
                32,
            ),
            (
                "never_ban.widest_automatic_ipv6",
                never.widest_automatic_ipv6,
                128,
            ),
        ] {
            within(field, u64::from(value), 8, max)?;
        }
        within(
            "never_ban.bans_per_minute",
            u64::from(never.bans_per_minute),
            1,
            1_000_000,
        )?;
        within("never_ban.bans_max", never.bans_max, 1, BANS_MAX as u64)
    }
}

fn check_range(table: &'static str, range: &RangeConfig) -> Result<(), ConfigError> {
    within(table, range.steps.len() as u64, 0, STEPS_MAX)?;
    for step in &range.steps {
        // A step no wider than one source would ban nothing new.
        within(
            "prefix of a step",
            u64::from(step.prefix),
            8,
            u64::from(range.prefix) - 1,
        )?;
        within("sources of a step", u64::from(step.sources), 2, SOURCES_MAX)?;
    }
    within(
        "bystanders_percent_max",
        u64::from(range.bystanders_percent_max),
        0,
        100,
    )
}

fn within(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::Range {
            field,
            value,
            min,
            max,
        })
    }
}

/// Steps of widening in one family.
const STEPS_MAX: u64 = 8;
/// Sources that one step may wait for.
const SOURCES_MAX: u64 = 65_536;

fn span<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let span = model::parse_duration(&String::deserialize(d)?).map_err(D::Error::custom)?;
    if span.is_zero() {
        return Err(D::Error::custom("must be longer than nothing"));
    }
    Ok(span)
}

fn some_span<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    span(d).map(Some)
}

/// What an operator wrote of a [`RangeConfig`]; the rest is the family's default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartialRange {
    prefix: Option<u8>,
    #[serde(default, deserialize_with = "some_span")]
    window: Option<Duration>,
    steps: Option<Vec<Step>>,
    bystanders_max: Option<u64>,
    bystanders_percent_max: Option<u8>,
}

impl PartialRange {
    fn over(self, family: RangeConfig) -> RangeConfig {
        RangeConfig {
            prefix: self.prefix.unwrap_or(family.prefix),
            window: self.window.unwrap_or(family.window),
            steps: self.steps.unwrap_or(family.steps),
            bystanders_max: self.bystanders_max.unwrap_or(family.bystanders_max),
            bystanders_percent_max: self
                .bystanders_percent_max
                .unwrap_or(family.bystanders_percent_max),
        }
    }
}

fn ipv4_range<'de, D: Deserializer<'de>>(d: D) -> Result<RangeConfig, D::Error> {
    PartialRange::deserialize(d).map(|range| range.over(RangeConfig::ipv4()))
}

fn ipv6_range<'de, D: Deserializer<'de>>(d: D) -> Result<RangeConfig, D::Error> {
    PartialRange::deserialize(d).map(|range| range.over(RangeConfig::ipv6()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<PolicyConfig, String> {
        let config: PolicyConfig = serde_json::from_value(value).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(read(json!({})).unwrap(), PolicyConfig::default());
        let some = read(json!({"ban": {"ipv6": {"prefix": 60}}})).unwrap();
        assert_eq!(
            some.ban.ipv6,
            RangeConfig {
                prefix: 60,
                ..RangeConfig::ipv6()
            }
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            (json!({"ban": {"duratoin": "4h"}}), "duratoin"),
            (json!({"ban": {"duration": "4"}}), "not a duration"),
            (json!({"ban": {"duration": "0"}}), "longer than nothing"),
            (json!({"ban": {"repeat_factor": 0}}), "repeat_factor"),
            (
                json!({"ban": {"ipv4": {"steps": [{"prefix": 32, "sources": 8}]}}}),
                "step",
            ),
            (
                json!({"ban": {"ipv4": {"steps": [{"prefix": 24, "sources": 1}]}}}),
                "sources",
            ),
            (json!({"ban": {"ipv4": {"width": 1}}}), "width"),
            (json!({"never_ban": {"allow": ["10.0.0.0/33"]}}), "33"),
            (json!({"never_ban": {"widest_ipv4": 0}}), "widest_ipv4"),
            (
                json!({"never_ban": {"bans_per_minute": 0}}),
                "bans_per_minute",
            ),
        ] {
            let error = read(text.clone()).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
        let idle = json!({"ban": {"rules": [
            {"rule": "a/*", "action": "alert_only", "duration": "1h"}]}});
        assert!(read(idle).unwrap_err().contains("alert_only"));
    }
}
