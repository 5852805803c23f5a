//! A bucket that ran over: what postoverflow parsers and reprocessing scenarios see as
//! `evt.Overflow`.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{AlertEvent, EvidenceLine, Prefix, Scope, Timestamp};
use serde_json::Value as Json;

/// One source of an overflow (`evt.Overflow.Sources[key]`).
#[derive(Clone, Debug, PartialEq)]
pub struct OverflowSource {
    pub scope: Scope,
    pub value: String,
    /// `IP`: empty in the rule language when `None`.
    pub address: Option<IpAddr>,
    /// The address as the event spelt it, where `value` is something else.
    pub spelling: Option<String>,
    /// `Range` as text, as enrichment or the scenario gave it.
    pub range: Option<Prefix>,
    pub as_number: String,
    pub as_name: String,
    pub country: String,
}

/// `evt.Overflow`, with `evt.Overflow.Alert` folded in.
#[derive(Clone, Debug, PartialEq)]
pub struct Overflow {
    pub scenario: String,
    pub scenario_hash: String,
    /// Keyed by the source's value.
    pub sources: BTreeMap<String, Box<OverflowSource>>,
    pub scope: Scope,
    pub events: Vec<AlertEvent>,
    pub events_count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub message: String,
    pub remediation: bool,
    pub simulated: bool,
    pub reprocess: bool,
    pub whitelisted: bool,
    pub whitelist_reason: String,
    pub labels: Arc<BTreeMap<String, Json>>,
    pub evidence: Vec<EvidenceLine>,
}
