//! What time servers said of this machine's clock, for the record of an acquisition.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Servers were asked; whether any answered, its fields say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTime {
    /// When they were asked, by the clock in question.
    pub asked: Timestamp,
    /// How long before the clock's time was taken down: answers are used for a while.
    pub age_milliseconds: u64,
    /// What must be added to the clock to have the servers' time: the median of those that
    /// answered. Absent when none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_microseconds: Option<i64>,
    /// The offset is right to within this, if the servers are: half of the way there and back,
    /// half of their own root delay, and their root dispersion (RFC 5905, section 11.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_bound_microseconds: Option<u64>,
    /// The acquisition's time with the offset added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Timestamp>,
    pub servers: Vec<AskedServer>,
}

impl NetworkTime {
    /// For people: how far the clock was off, by how many servers, how long before.
    pub fn in_words(&self) -> String {
        let heard = self.servers.iter().filter(|s| s.answer.is_some()).count();
        let asked = self.servers.len();
        let age = seconds_of(
            i64::try_from(self.age_milliseconds).unwrap_or(i64::MAX),
            1_000,
        );
        match (self.offset_microseconds, self.error_bound_microseconds) {
            (Some(offset), Some(bound)) => {
                let by = seconds_of(offset.saturating_abs(), 1_000_000);
                let bound = seconds_of(i64::try_from(bound).unwrap_or(i64::MAX), 1_000_000);
                let side = if offset < 0 { "ahead of" } else { "behind" };
                format!(
                    "the clock was {by} s {side} NTP, within {bound} s ({heard} of {asked} servers \
                     answered, asked {age} s before)"
                )
            }
            _ => format!("none of {asked} time servers answered, asked {age} s before"),
        }
    }
}

impl AskedServer {
    pub fn in_words(&self) -> String {
        match &self.answer {
            None => format!("{}: {}", self.server, self.failure),
            Some(a) => format!(
                "{} ({}): stratum {} of {}, offset {} \u{b5}s, delay {} \u{b5}s, root delay {} \
                 \u{b5}s, root dispersion {} \u{b5}s",
                self.server,
                a.address,
                a.stratum,
                a.reference,
                a.offset_microseconds,
                a.delay_microseconds,
                a.root_delay_microseconds,
                a.root_dispersion_microseconds
            ),
        }
    }
}

/// With all its decimals.
fn seconds_of(units: i64, each: i64) -> String {
    let (whole, rest) = (units / each, units % each);
    let digits = each.ilog10() as usize;
    format!("{whole}.{rest:0digits$}")
}

/// One server: what it said, or why that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedServer {
    /// As it is configured.
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ServerAnswer>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failure: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// The address that answered.
    pub address: String,
    /// 1 has a clock of its own; each further one is a step away from it.
    pub stratum: u8,
    /// Where it has its time from: `GPS`, `PTP`, or the number of the server above it.
    pub reference: String,
    pub offset_microseconds: i64,
    pub delay_microseconds: u64,
    pub root_delay_microseconds: u64,
    pub root_dispersion_microseconds: u64,
}

impl Timestamp {
    /// With an offset added, or the nearest instant that there is.
    #[must_use]
    pub const fn shifted(self, microseconds: i64) -> Self {
        Self::from_nanos(
            self.nanos()
                .saturating_add(microseconds.saturating_mul(1_000)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_is_told_so() {
        let server = AskedServer {
            server: "ntp.example.org".into(),
            answer: None,
            failure: "no answer".into(),
        };
        let mut said = NetworkTime {
            asked: Timestamp::EPOCH,
            age_milliseconds: 1_005,
            offset_microseconds: Some(-7_000_020),
            error_bound_microseconds: Some(1_500),
            corrected: None,
            servers: vec![server],
        };
        assert_eq!(
            said.in_words(),
            "the clock was 7.000020 s ahead of NTP, within 0.001500 s (0 of 1 servers answered, \
             asked 1.005 s before)"
        );
        said.offset_microseconds = None;
        assert!(said.in_words().starts_with("none of 1 time servers"));
        let corrected = Timestamp::from_seconds(10).shifted(-7_000_020);
        assert_eq!(corrected.to_string(), "1970-01-01T00:00:02.99998Z");
    }

    #[test]
    fn entries_from_before_time_servers_read_and_write_the_same() {
        let text = r#"{"synchronised":true,"offset_microseconds":3,"error_bound_microseconds":9,"told_by":"adjtimex","time_zone":"UTC"}"#;
        let truth: crate::ClockTruth = serde_json::from_str(text).unwrap();
        assert_eq!(truth.corrected(Timestamp::EPOCH), None);
        assert_eq!(serde_json::to_string(&truth).unwrap(), text);
    }
}
