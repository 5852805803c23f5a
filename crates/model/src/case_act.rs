//! What happens in a case, for the ledger. A case is the sum of its acts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{AlertId, ContentHash, Prefix, Timestamp, Tlp};

/// One step in a case. `by` is the person or the part of the program that did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseAct {
    pub at: Timestamp,
    /// `CASE-2026-0001`.
    pub case: String,
    pub by: String,
    pub step: CaseStep,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum CaseStep {
    Opened {
        title: String,
        /// Who asked for it and may use it for what: a contract, a complaint, a request.
        authority: String,
        purpose: String,
        tlp: Tlp,
        pap: Pap,
        /// The rule that grouped the alerts, when no person opened it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grouped_by: Option<String>,
    },
    Retitled {
        title: String,
    },
    AlertsAdded {
        alerts: Vec<AlertId>,
        reason: String,
    },
    AlertsTaken {
        alerts: Vec<AlertId>,
        reason: String,
    },
    ExhibitAdded {
        exhibit: String,
    },
    PartyAdded(Party),
    TaskSet(Task),
    NoteAdded {
        text: String,
        tlp: Tlp,
    },
    LossAdded(LossFigure),
    /// Something done to stop or to limit the harm.
    MeasureTaken {
        when: Timestamp,
        what: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        prefixes: Vec<Prefix>,
        /// What was measured of it: `ban in force after 214 ms`.
        effect: String,
    },
    /// A community's ban against a source of this case was in force at its members.
    BanSpread(BanSpread),
    /// Something that others did, with who said so: an order, a takedown, an arrest.
    Milestone(Milestone),
    /// Something that could have been done and was not, and why: no step onto others' machines.
    Forborne {
        what: String,
        reason: String,
    },
    /// Another country's part was made ready or went its way; see the hand-overs.
    Referred {
        referral: String,
        country: String,
        authority: String,
        profile: String,
        manifest: ContentHash,
    },
    OutcomeRecorded(Outcome),
    /// A court pack was made: the hash of its tag manifest names it.
    Packed {
        manifest: ContentHash,
        /// The moment that it shows.
        clock: Timestamp,
        /// To how many it was encrypted; none when it was not.
        recipients: u64,
    },
    Closed {
        reason: String,
    },
    Reopened {
        reason: String,
    },
}

/// Permissible Actions Protocol: what the receiver may do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pap {
    Clear,
    Green,
    #[default]
    Amber,
    Red,
}

/// Somebody who has a part in the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Short and unique in the case; later entries with the same replace it.
    pub id: String,
    pub role: PartyRole,
    pub name: String,
    /// ISO 3166-1 alpha-2; empty when it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub country: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Prefix>,
    /// E-mail, telephone, postal address, in the party's own words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyRole {
    Victim,
    /// What the hostile traffic came from; an address that did something is not a person.
    Source,
    /// A machine or service that the attack used, often itself harmed.
    Infrastructure,
    /// A provider that holds data or can act.
    Provider,
    Witness,
    Responder,
    Authority,
    Other,
}

/// A later one with the same id replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub assignee: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    pub done: bool,
}

/// How far a community's ban has come, by its hub's ledger and clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanSpread {
    /// What was to be banned; the community's ban may be on a network around it.
    pub prefix: Prefix,
    pub community: String,
    /// The organisation that the hub is of.
    pub hub: String,
    /// When the hub took the first report of it that the asker may know of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Timestamp>,
    /// When it became the community's ban, and as which change of its set.
    pub accepted: Timestamp,
    pub generation: u64,
    /// The entry of the hub's ledger that says so.
    pub entry: u64,
    /// When it was in force at all members that were connected; absent while nobody can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<ReachedAll>,
}

/// The first moment at which a hub knew that all its connected guards enforce a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedAll {
    pub at: Timestamp,
    pub connected: u64,
    pub away: u64,
    /// Of the connected ones: not that far yet.
    #[serde(default)]
    pub behind: u64,
    /// Connected beside them, and enforcing nothing by their operators' will.
    #[serde(default)]
    pub observing: u64,
    /// The entry of the hub's ledger.
    pub entry: u64,
}

/// A loss in money or time: a range, with where it comes from and how it was reckoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossFigure {
    /// The party that bore it.
    pub party: String,
    pub what: String,
    /// In hundredths of the unit: cents, hundredths of an hour.
    pub low: u64,
    pub high: u64,
    /// `EUR`, `USD`, `hours`, `bytes`.
    pub unit: String,
    pub source: String,
    pub method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    pub kind: MilestoneKind,
    pub when: Timestamp,
    /// Who says so, by what document.
    pub source: String,
    /// The referral, request or preservation it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When what was granted lapses, for those that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lapses: Option<Timestamp>,
    /// The instrument by its name in the table of jurisdictions: `budapest`, `e_evidence`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instrument: String,
}

/// The way from the first complaint to the law's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MilestoneKind {
    Referred,
    Received,
    PreservationAsked,
    PreservationConfirmed,
    OrderIssued,
    TakenDown,
    Arrest,
    Other,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub kind: OutcomeKind,
    pub when: Timestamp,
    /// How many persons, servers, hosts; or hundredths of the unit for money.
    pub count: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    pub source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Arrests,
    Charges,
    Convictions,
    Seizures,
    ServersTakenDown,
    HostsCleaned,
    MoneyRecovered,
    NoAction,
    Other,
}
