//! The pack's own JSON documents: what the ledger says, in the ledger's own words.

use model::{Acquisition, Alert, ExhibitAct};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{PackError, SealedEntry};
use crate::{Dossier, ExhibitRecord};

/// `data/exhibits/…/acquisition.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcquisitionFile {
    /// The ledger entry that says the same.
    pub entry: u64,
    pub acquisition: Acquisition,
}

/// `data/exhibits/…/custody.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustodyFile {
    pub exhibit: String,
    pub custody: Vec<CustodyLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustodyLine {
    pub entry: u64,
    pub act: ExhibitAct,
}

/// One of `data/alerts.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertFile {
    pub entry: u64,
    pub alert: Alert,
}

/// `proofs/….json`: what opens the leaf beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryFile {
    pub index: u64,
    /// Lower-case hex; absent together with the payload when that was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The payload's exact bytes, which are JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

pub(super) fn acquisition(exhibit: &ExhibitRecord) -> Result<Vec<u8>, PackError> {
    pretty(&AcquisitionFile {
        entry: exhibit.acquired.index,
        acquisition: exhibit.acquired.what.clone(),
    })
}

pub(super) fn custody(exhibit: &ExhibitRecord) -> Result<Vec<u8>, PackError> {
    let custody = exhibit.custody.iter().map(|step| CustodyLine {
        entry: step.index,
        act: step.what.clone(),
    });
    pretty(&CustodyFile {
        exhibit: exhibit.acquired.what.exhibit.clone(),
        custody: custody.collect(),
    })
}

pub(super) fn alerts(dossier: &Dossier) -> Result<Vec<u8>, PackError> {
    let alerts = dossier.alerts.iter().map(|alert| AlertFile {
        entry: alert.index,
        alert: alert.what.clone(),
    });
    pretty(&alerts.collect::<Vec<_>>())
}

/// Everything else that the ledger has of the case.
pub(super) fn case(dossier: &Dossier) -> Result<Vec<u8>, PackError> {
    let case = &dossier.case;
    let steps = case
        .steps
        .iter()
        .map(|step| json!({ "entry": step.index, "act": step.act }));
    let bans = dossier
        .bans
        .iter()
        .map(|ban| json!({ "entry": ban.index, "decision": ban.what }));
    let releases = dossier
        .releases
        .iter()
        .map(|release| json!({ "entry": release.index, "release": release.what }));
    let handovers = dossier
        .handovers
        .iter()
        .map(|act| json!({ "entry": act.index, "act": act.what }));
    pretty(&json!({
        "case": case.id,
        "clock": dossier.now,
        "holder": dossier.holder,
        "steps": steps.collect::<Vec<_>>(),
        "bans": bans.collect::<Vec<_>>(),
        "releases": releases.collect::<Vec<_>>(),
        "handovers": handovers.collect::<Vec<_>>(),
    }))
}

pub(super) fn entry(entry: &SealedEntry) -> Result<Vec<u8>, PackError> {
    pretty(&EntryFile {
        index: entry.index,
        salt: entry.opened.as_ref().map(|o| super::bag::hex(&o.salt)),
        payload: entry.opened.as_ref().map(|o| o.payload.clone()),
    })
}

pub(super) fn pretty<T: Serialize>(value: &T) -> Result<Vec<u8>, PackError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| PackError::Json(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
