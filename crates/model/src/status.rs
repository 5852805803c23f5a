//! The numbers of a running guard, as its status command, its page and its metrics show them.
//!
//! Counters are since the start; `at` says when they were read.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started: Timestamp,
    pub at: Timestamp,
    /// `enforce` or `observe`.
    pub mode: String,
    pub observing_because: Option<String>,
    pub bans: u64,
    /// What the kernel dropped; absent in observe mode.
    pub dropped: Option<KeptOut>,
    pub sources: Vec<SourceStatus>,
    pub engine: DetectionStatus,
    pub policy: PolicyStatus,
    pub recorder: RecordStatus,
    /// Writes of the intake journal that failed: after a crash those lines may count twice.
    pub journal_failures: u64,
    pub feed_lines_dropped: u64,
    /// What keeps the guard from doing more than it needs to, in a few words.
    #[serde(default)]
    pub sandbox: String,
    /// How alerts leave this machine.
    #[serde(default)]
    pub channels: Vec<ChannelStatus>,
    /// Absent when this machine has joined no hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetStatus>,
    /// Absent when no witness is asked to cosign the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<WitnessesStatus>,
}

/// How the ledger stands with its witnesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessesStatus {
    pub asked: u64,
    /// Witnesses that saw another history.
    pub other_history: u64,
    /// Entries that the one furthest behind has not cosigned.
    pub behind: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOut {
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub r#type: String,
    pub lines: u64,
    pub bytes: u64,
    pub truncated: u64,
    pub dropped: u64,
    pub last_line: Option<Timestamp>,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionStatus {
    pub lines: u64,
    pub skipped: u64,
    pub unparsed: u64,
    pub parsed: u64,
    pub poured: u64,
    pub alerts: u64,
    pub buckets_live: u64,
    pub buckets_evicted: u64,
    pub invalid_utf8: u64,
    pub expression_errors: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    pub alerts: u64,
    pub bans: u64,
    pub extensions: u64,
    pub already_banned: u64,
    pub refusals: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStatus {
    pub size: u64,
    pub queued: u64,
    pub recorded: u64,
    pub lost: u64,
    pub paused: Option<String>,
}

/// One way out for alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelStatus {
    pub name: String,
    pub kind: String,
    /// Messages that arrived.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Messages that wait, and the alerts and notices they tell of.
    pub queued: u64,
    pub queued_alerts: u64,
    /// Messages that became part of another one.
    pub merged: u64,
    /// Alerts and notices that no message will tell of.
    pub dropped: u64,
    pub last_sent: Option<Timestamp>,
    /// Of the last try, when it failed.
    pub last_error: Option<String>,
    /// Why messages wait in memory only.
    pub disk_error: Option<String>,
}

/// The line to the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetStatus {
    pub hub: String,
    pub connected: bool,
    pub last_contact: Option<Timestamp>,
    /// Why there is no connection.
    pub problem: Option<String>,
    pub organisation: String,
    pub name: String,
    /// What is left of the client certificate's life.
    pub certificate_seconds: u64,
    /// Own bans that the hub will not be told of.
    pub reports_lost: u64,
    pub communities: Vec<FleetCommunityStatus>,
}

/// One community that is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetCommunityStatus {
    pub community: String,
    pub generation: u64,
    pub digest: String,
    /// From the arrival of the newest change to its end in the kernel.
    pub lag_ms: u64,
    /// Since the hub's last word; absent: none since the start.
    pub last_frame_seconds: Option<u64>,
    /// Bans in the copy, accepted or not.
    pub bans: u64,
    /// Bans in the kernel.
    pub enforced: u64,
    /// Bans that the never-ban guard keeps out now.
    pub refused: u64,
    /// Refusals of any kind since the start.
    pub refusals: u64,
    /// Bans that came in a flood and wait.
    pub held: u64,
    /// The kernel is as it ought to be, as far as is known.
    pub in_step: bool,
    pub reports_waiting: u64,
    pub reports_dropped: u64,
}
