//! What happens between the operator and authorities beside hand-overs, for the ledger: contacts
//! that people confirmed, transfers that two of them agreed to, orders that came to the operator.

use serde::{Deserialize, Serialize};

use crate::{ContentHash, PersonSignature, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum AuthorityAct {
    /// A person looked a contact up at its source. Two different persons make it good.
    ContactConfirmed {
        at: Timestamp,
        /// ISO 3166-1 alpha-2, or `EU`.
        country: String,
        /// The field's name in the table of jurisdictions.
        field: String,
        value: String,
        by: String,
        /// Where it was looked up: an address, a letter, a call.
        source: String,
        /// By the person's own key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// A person agreed that a case goes to a country on the block list. It takes two.
    TransferAgreed {
        at: Timestamp,
        case: String,
        country: String,
        by: String,
        reason: String,
        /// By the person's own key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<PersonSignature>,
    },
    /// An order to the operator came in, and its clock runs.
    OrderTaken(Box<OrderTaken>),
    OrderStep {
        at: Timestamp,
        order: String,
        by: String,
        step: OrderStep,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
}

/// An order by which an authority asks the operator for data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTaken {
    pub at: Timestamp,
    /// Names it here: `IN-2026-0001`.
    pub order: String,
    /// What it is: `epoc`, `epoc_pr`, `national`.
    pub instrument: String,
    /// The issuing authority, and the country it is of.
    pub issuer: String,
    pub country: String,
    /// The authority's own file number.
    pub reference: String,
    pub asks: String,
    pub by: String,
    /// When it reached the operator: the clock runs from here.
    pub received: Timestamp,
    pub due: Timestamp,
    /// When somebody must be woken, for orders whose time is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Timestamp>,
    /// SHA-256 of the order as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum OrderStep {
    /// The data went out, or the preservation is in place.
    Answered,
    /// The issuing authority was told that it cannot be carried out, and why.
    Objected,
    /// The authority moved the deadline.
    Moved {
        due: Timestamp,
    },
    Withdrawn,
}

impl AuthorityAct {
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::ContactConfirmed { at, .. }
            | Self::TransferAgreed { at, .. }
            | Self::OrderStep { at, .. } => *at,
            Self::OrderTaken(order) => order.at,
        }
    }
}
