//! Small requests and answers of the Local API. Field names are upstream's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What every refusal outside of logins looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message<'a> {
    pub message: Cow<'a, str>,
}

/// A refused login or token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused<'a> {
    pub code: u16,
    pub message: Cow<'a, str>,
}

/// `POST /v1/watchers/login`. Agents name the scenarios they run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    pub machine_id: Option<String>,
    pub password: Option<String>,
    pub scenarios: Option<Vec<String>>,
}

/// `POST /v1/watchers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Registration {
    pub machine_id: Option<String>,
    pub password: Option<String>,
    /// 32 to 255 bytes; accepted at once where it is the hub's.
    pub registration_token: Option<String>,
}

/// A login that worked. Agents look at `expire`, not into the token.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    pub code: u16,
    /// RFC 3339.
    pub expire: String,
    pub token: String,
}

/// How many were deleted; a number as text (upstream's quirk, and cscli reads it so).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deleted {
    #[serde(rename = "nbDeleted")]
    pub count: String,
}

impl From<usize> for Deleted {
    fn from(count: usize) -> Self {
        Self {
            count: count.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowlistAnswer {
    pub allowlist_id: String,
    pub console_managed: bool,
    pub created_at: String,
    pub description: String,
    pub items: Vec<AllowlistItemAnswer>,
    pub name: String,
    pub updated_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowlistItemAnswer {
    pub created_at: String,
    pub description: String,
    /// RFC 3339; the year 1 where it never ends, which is Go's zero time.
    pub expiration: String,
    pub value: String,
}

/// Go's zero time: "never" in an item of an allowlist.
pub const NEVER: &str = "0001-01-01T00:00:00.000Z";

/// `GET /v1/allowlists/check/VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowlistCheck {
    pub allowlisted: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// `POST /v1/allowlists/check`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BulkCheck {
    pub targets: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkCheckAnswer {
    pub results: Vec<BulkCheckResult>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkCheckResult {
    pub allowlists: Vec<String>,
    pub target: String,
}
