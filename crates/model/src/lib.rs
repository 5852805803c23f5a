//! The words all rooms share.
//!
//! Pure: no clock, no files, no network. A type stands here when at least two rooms speak of it;
//! everything else stays in the room that owns it. The order below is the data's way.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod alert;
mod authority_act;
mod case_act;
mod decision;
mod diagnostic;
mod duration;
mod entry;
mod exhibit_act;
mod fleet_act;
pub mod glob;
mod handover_act;
mod harmless;
mod host;
mod json;
pub mod limits;
mod meta;
mod network_time;
mod news;
mod person_act;
mod prefix;
mod prefix_map;
mod record;
mod status;
mod time;
mod tlp;

pub use alert::{Alert, AlertEvent, AlertId, ContentHash, EvidenceLine, RawText, Scope};
pub use authority_act::{AuthorityAct, OrderStep, OrderTaken};
pub use case_act::{
    BanSpread, CaseAct, CaseStep, LossFigure, Milestone, MilestoneKind, Outcome, OutcomeKind, Pap,
    Party, PartyRole, ReachedAll, Task,
};
pub use decision::{
    Author, Decision, KnownBan, Measure, Origin, Refusal, RefusalReason, Release, ReleaseReason,
};
pub use diagnostic::{Diagnostic, Severity};
pub use duration::{DurationError, format_duration, parse_duration};
pub use entry::{Command, Entry, Loss, Notice, Start, Stop};
pub use exhibit_act::{
    Acquisition, ClockTruth, Derivation, ExhibitAct, Redaction, Sender, ShareOf, SourceSpan,
    ToolUsed, Wish,
};
pub use fleet_act::FleetAct;
pub use handover_act::HandoverAct;
pub use harmless::harmless;
pub use host::HostFacts;
pub use meta::Meta;
pub use network_time::{AskedServer, NetworkTime, ServerAnswer};
pub use news::{Happening, News};
pub use person_act::{PersonAct, PersonSignature};
pub use prefix::{Prefix, PrefixError};
pub use prefix_map::{PrefixEnds, PrefixMap, PrefixRows};
pub use record::{Batch, FileId, Origin as LineOrigin, Record, RecordMeta, SourceId, SourceInfo};
pub use status::{
    ChannelStatus, DetectionStatus, FleetCommunityStatus, FleetStatus, KeptOut, PolicyStatus,
    RecordStatus, SourceStatus, Status, WitnessesStatus,
};
pub use time::{Timestamp, TimestampError};
pub use tlp::{Tlp, TlpError};
