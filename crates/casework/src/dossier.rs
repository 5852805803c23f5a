//! Everything that the ledger holds of one case, gathered for those who make something of it: a
//! timeline, a referral, a court pack.

use std::sync::Arc;

use model::{Acquisition, Alert, Decision, ExhibitAct, HandoverAct, Release, Timestamp};

use crate::{Case, Custody, persons::Persons};

/// Something with its place on the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed<T> {
    pub index: u64,
    pub what: T,
}

/// One step of an exhibit's custody, the acquisition included.
pub type CustodyStep = Indexed<ExhibitAct>;

#[derive(Clone, Debug, PartialEq)]
pub struct ExhibitRecord {
    pub acquired: Indexed<Acquisition>,
    /// In the ledger's order; the first is the acquisition.
    pub custody: Vec<CustodyStep>,
    /// The bytes are gone for good; hashes and custody stay.
    pub purged: bool,
    /// Everybody whose signatures may stand in the custody.
    pub persons: Arc<Persons>,
}

impl ExhibitRecord {
    /// What its custody comes to.
    pub fn sum(&self) -> Custody {
        Custody::of(&self.custody, &self.persons)
    }
}

/// A case with what it is about. Lists are in the ledger's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Dossier {
    pub case: Case,
    /// The moment it shows; nothing later is in it.
    pub now: Timestamp,
    /// Who holds it: the operator's name as the ledger's origin has it.
    pub holder: String,
    pub alerts: Vec<Indexed<Alert>>,
    /// Bans that followed from the alerts, or that a measure names.
    pub bans: Vec<Indexed<Decision>>,
    pub releases: Vec<Indexed<Release>>,
    pub exhibits: Vec<ExhibitRecord>,
    pub handovers: Vec<Indexed<HandoverAct>>,
}
