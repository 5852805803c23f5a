//! What happens to exhibits, for the ledger: acquired, looked at, held, checked, purged.
//!
//! The words are those of ISO/IEC 27037 and RFC 3227: who, when, where, how, by what authority.

use serde::{Deserialize, Serialize};

use crate::{AlertId, ContentHash, LineOrigin, NetworkTime, PersonSignature, Timestamp, Tlp};

/// One step in an exhibit's life. Exhibits go by their number (`EX-2026-000001`), cases by theirs
/// (`CASE-2026-0001`); neither is ever used twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ExhibitAct {
    /// Bytes were taken in, or made from another exhibit.
    Acquired(Box<Acquisition>),
    /// Somebody is about to get the bytes: recorded before the first one leaves.
    Looked {
        at: Timestamp,
        exhibit: String,
        by: String,
        /// `view`, `export`, `pack`, `reproduce`, `derive`, `fixity`, `api`.
        how: String,
        reason: String,
    },
    /// It must be kept until the hold is released or has run out.
    Held {
        at: Timestamp,
        exhibit: String,
        hold: String,
        by: String,
        /// Who asked for it, under which order or request.
        authority: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        reason: String,
    },
    /// One person asks for what nobody may do alone.
    Asked {
        at: Timestamp,
        /// Names this request; the one who agrees names it.
        request: String,
        exhibit: String,
        wish: Wish,
        by: String,
        /// The account that the system knew the person by, as `uid 1000 (ada)`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        account: String,
        reason: String,
        /// By the person's own key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// Another person agrees: from here on it is done.
    Agreed {
        at: Timestamp,
        request: String,
        exhibit: String,
        wish: Wish,
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        account: String,
        /// By the person's own key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// A person withdrew a request or refused it.
    Declined {
        at: Timestamp,
        request: String,
        exhibit: String,
        by: String,
        reason: String,
        /// By the person's own key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// The key is gone, and with it the bytes; the hashes stay.
    Purged {
        at: Timestamp,
        exhibit: String,
        sha256: ContentHash,
        /// `retention` or the request's name.
        cause: String,
        reason: String,
    },
    /// The stored bytes were read again and compared with the hashes of the acquisition.
    FixityChecked {
        at: Timestamp,
        exhibit: String,
        intact: bool,
        /// What was found when they differ.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        found: String,
    },
}

/// What takes two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    ReleaseHold { hold: String },
    Purge,
}

/// How an exhibit came to be; complete enough for a stranger to judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acquisition {
    /// When the last byte had come.
    pub at: Timestamp,
    pub exhibit: String,
    /// The exhibit at the beginning of the chain of parents; its own number when it has none.
    pub root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Derivation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    pub title: String,
    /// As it was called where it came from; a name only, without folders.
    pub file_name: String,
    pub media_type: String,
    pub bytes: u64,
    pub sha256: ContentHash,
    /// Lower-case hex.
    pub sha512: String,
    pub began: Timestamp,
    /// Who did it, and as what.
    pub by: String,
    pub role: String,
    /// Host, site, sensor.
    pub place: String,
    /// `alert`, `upload`, `log_pull`, `api`, `redaction`, `extract`, `share`.
    pub method: String,
    /// The contract, consent or order that allows it; never empty.
    pub authority: String,
    pub reason: String,
    pub tool: ToolUsed,
    pub clock: ClockTruth,
    /// Names the retention period: `evidence`, `log`, `personal`, …
    pub class: String,
    pub tlp: Tlp,
    /// Where the bytes stood: each source with its place, in the order of the bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceSpan>,
    /// The alert whose raw lines these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertId>,
    /// Who sent it, or what it was made of, here over the network, and what they said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Box<Sender>>,
    /// Which key seals it at rest; never the key.
    pub sealed_with: String,
    /// What a reader must know of the bytes: how complete they are, what they belong to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Who sent an exhibit to a hub, which knows the first three itself; the rest is the sender's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Whose exhibit it is: only people and machines of this organisation get it back.
    pub organisation: String,
    pub name: String,
    /// The address of the connection.
    pub from: String,
    /// How it was taken where it came from: `upload`, `log_pull`, …
    pub method: String,
    /// Host, site, sensor that it was taken at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolUsed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockTruth>,
}

/// An exhibit made from another one, which stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    pub exhibit: String,
    pub sha256: ContentHash,
    /// What was left out or changed, each as a range of the parent's bytes with a reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redactions: Vec<Redaction>,
    /// For whom it was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareOf>,
}

/// The country whose share an exhibit has, and the referral that it was first made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareOf {
    pub country: String,
    pub referral: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// The first byte of the parent that is not shown, and the first after it that is.
    pub from: u64,
    pub to: u64,
    pub reason: String,
}

/// A stretch of an exhibit and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSpan {
    /// The log's name, as in the evidence of alerts.
    pub source: String,
    pub origin: LineOrigin,
    /// When Posse read it.
    pub received: Timestamp,
    /// Length here, with its line end.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsed {
    pub name: String,
    pub version: String,
    /// SHA-256 over the loaded rules, lower-case hex; empty when no rule had a part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules_hash: String,
    /// The command or the part of the program, without secrets.
    pub arguments: String,
}

/// How right the clock was that wrote the times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockTruth {
    /// Whether the kernel holds its clock to be kept by NTP or PTP.
    pub synchronised: bool,
    /// What must be added to the clock to have the true time, as far as the kernel knows.
    pub offset_microseconds: i64,
    pub error_bound_microseconds: u64,
    /// What told it: `adjtimex`, `unknown`.
    pub told_by: String,
    /// The machine's time zone, as `Europe/Oslo` or `UTC`.
    pub time_zone: String,
    /// Time since the machine began to run, at the same moment: a clock that nobody sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_boot_microseconds: Option<u64>,
    /// What time servers said; absent when none were to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkTime>,
}

impl ClockTruth {
    /// A time of this clock as the time servers would have told it.
    pub fn corrected(&self, time: Timestamp) -> Option<Timestamp> {
        let offset = self.network.as_ref()?.offset_microseconds?;
        Some(time.shifted(offset))
    }
}

impl ExhibitAct {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Acquired(a) => a.at,
            Self::Looked { at, .. }
            | Self::Held { at, .. }
            | Self::Asked { at, .. }
            | Self::Agreed { at, .. }
            | Self::Declined { at, .. }
            | Self::Purged { at, .. }
            | Self::FixityChecked { at, .. } => *at,
        }
    }

    /// The exhibit's number.
    pub fn exhibit(&self) -> &str {
        match self {
            Self::Acquired(a) => &a.exhibit,
            Self::Looked { exhibit, .. }
            | Self::Held { exhibit, .. }
            | Self::Asked { exhibit, .. }
            | Self::Agreed { exhibit, .. }
            | Self::Declined { exhibit, .. }
            | Self::Purged { exhibit, .. }
            | Self::FixityChecked { exhibit, .. } => exhibit,
        }
    }
}
