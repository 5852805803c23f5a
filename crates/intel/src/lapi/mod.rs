//! CrowdSec's Local API: what its agents and bouncers send, and what they read.
//!
//! Shapes and rules only; `hub::lapi` has the routes. Requests are taken as upstream takes them:
//! unknown fields are passed over, missing and null ones are named in the refusal. Answers are
//! exact where programs depend on it: which lists are `null` when empty, which numbers are texts,
//! which fields are never absent.

mod alert;
mod answer;
mod decision;
mod metrics;
mod question;
mod stream;

pub use self::{
    alert::{ALERTS_MAX, Alert, AlertError, Decision, Event, Item, Source, read_alerts},
    answer::{
        AllowlistAnswer, AllowlistCheck, AllowlistItemAnswer, BulkCheck, BulkCheckAnswer,
        BulkCheckResult, Credentials, Deleted, Message, NEVER, Refused, Registration, Token,
    },
    decision::{Reader, Shown, write_decision},
    metrics::{ActiveComponent, read_metrics},
    question::{AlertQuestion, DecisionQuestion, QuestionError, Relation},
    stream::{Admits, StreamQuestion, longest},
};
