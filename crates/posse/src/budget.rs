//! A ceiling on the memory of the whole program, and what of it each part may take.
//!
//! What the program and its rules take before the first line is measured; a reserve is kept for
//! what is small and fixed (buffers, regular expressions' caches, the allocator); the rest is
//! shared by what grows with what sources do.

use std::{fmt, fs, str::FromStr};

use anyhow::{Result, bail};
use decide::Policy;
use detect::engine::EngineOptions;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::config::LimitsConfig;

/// A number of bytes: `256M`, `1G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount of memory; write 256M or 2G");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text.get(digits.len()..).unwrap_or_default();
        let shift = match unit.to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB", self.0 as f64 / f64::from(1 << 20))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Kept for buffers and caches.
const RESERVE: u64 = 12 << 20;
/// And of the ceiling, in percent, for what the allocator cannot reuse.
const RESERVE_PERCENT: u64 = 12;
/// With less the parts that grow would hold next to nothing.
const SHARE_MIN: u64 = 8 << 20;

/// What of the ceiling each part may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) ceiling: Option<Bytes>,
    /// What the program took before.
    pub(crate) base: u64,
    pub(crate) engine: EngineOptions,
    /// For bans in force, offenders and good visitors.
    policy: Option<usize>,
    /// For what `--what-if` remembers.
    pub(crate) what_if: Option<usize>,
}

/// Who takes part in the sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Detect,
    DetectAndJudge,
}

impl Budget {
    /// `base` is what [`resident`] told when the rules were loaded and the engine not yet made.
    pub(crate) fn plan(
        ceiling: Option<Bytes>,
        limits: &LimitsConfig,
        r#use: Use,
        base: u64,
    ) -> Result<Self> {
        let ceiling = ceiling.or(limits.memory);
        let Some(Bytes(total)) = ceiling else {
            return Ok(Self {
                ceiling,
                base,
                engine: EngineOptions {
                    buckets_max: limits.buckets,
                    ..EngineOptions::default()
                },
                policy: None,
                what_if: None,
            });
        };
        let share = total
            .saturating_sub(base)
            .saturating_sub(RESERVE + total / 100 * RESERVE_PERCENT);
        if share < SHARE_MIN {
            let least = (base + RESERVE + SHARE_MIN) * 100 / (100 - RESERVE_PERCENT);
            let least = least.div_ceil(1 << 20);
            bail!("the program and these rules need a memory ceiling of at least {least}M");
        }
        let share = usize::try_from(share).unwrap_or(usize::MAX);
        let (engine, others) = match r#use {
            Use::Detect => (share, 0),
            Use::DetectAndJudge => (share / 10 * 6, share / 10 * 2),
        };
        let engine = EngineOptions::within(engine);
        Ok(Self {
            ceiling,
            base,
            engine: EngineOptions {
                buckets_max: engine.buckets_max.min(limits.buckets),
                ..engine
            },
            policy: (others > 0).then_some(others),
            what_if: (others > 0).then_some(others),
        })
    }

    /// Bounds what the policy remembers.
    pub(crate) fn bound(&self, policy: &mut Policy) {
        if let Some(bytes) = self.policy {
            policy.bound_memory(bytes);
        }
    }
}

/// The memory that this process holds now.
pub(crate) fn resident() -> u64 {
    status("VmRSS:").unwrap_or(0)
}

/// The most memory that this process ever held.
pub(crate) fn peak() -> Option<u64> {
    status("VmHWM:")
}

fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, bytes) in [
            ("7", 7),
            ("512k", 512 << 10),
            ("256M", 256 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        for text in ["", "M", "1T", "-1", "1.5G", "99999999999G"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_parts_fit_under_the_ceiling() {
        let limits = LimitsConfig::default();
        let total = 1 << 30;
        let plan = Budget::plan(Some(Bytes(total)), &limits, Use::DetectAndJudge, 0).unwrap();
        let EngineOptions {
            bucket_bytes_max,
            remnant_bytes_max,
            ..
        } = plan.engine;
        let parts = bucket_bytes_max + remnant_bytes_max + plan.policy.unwrap() * 2;
        assert!(
            (parts as u64) < total && (parts as u64) > total / 3,
            "{parts}"
        );
        let error = Budget::plan(Some(Bytes(1 << 20)), &limits, Use::Detect, 0).unwrap_err();
        assert!(error.to_string().contains("at least"), "{error}");
    }
}
