//! What a running guard tells to whoever listens: the terminal, watchers, the status page, alerts.

use serde::{Deserialize, Serialize};

use crate::{Alert, Decision, Notice, Refusal, Release, Timestamp};

/// Something worth a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    Alert(Box<Alert>),
    Ban {
        #[serde(flatten)]
        decision: Decision,
        /// When the kernel had it; absent in observe mode.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_kernel: Option<Timestamp>,
    },
    Notice(Notice),
    Refused(Refusal),
    Release(Release),
}

/// A happening, and when the guard saw it. Listeners share one copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    pub seen: Timestamp,
    #[serde(flatten)]
    pub happening: Happening,
}
