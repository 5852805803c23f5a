//! Responses to OpenC2 commands.

use serde_json::{Map, Value, json};

use super::command::Profile;

/// Status codes of the Language Specification 1.0 section 3.3.2.2 that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Taken, and perhaps not yet done.
    Processing,
    Ok,
    BadRequest,
    NotFound,
    InternalError,
    NotImplemented,
    Unavailable,
}

impl Status {
    pub const fn code(self) -> u16 {
        match self {
            Self::Processing => 102,
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::InternalError => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
        }
    }
}

/// How the command came, so that the response goes back alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// The command alone was the body (transfer specification 1.0).
    #[default]
    Bare,
    /// `{"headers":…,"body":{"openc2":{"request":…}}}` (transfer specification 1.1 section 3.3.2).
    Message {
        request_id: Option<String>,
        from: Option<String>,
    },
}

/// A command that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub envelope: Envelope,
    pub status: Status,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: Status,
    pub text: Option<String>,
    pub results: Map<String, Value>,
}

impl Response {
    pub fn ok() -> Self {
        Self {
            status: Status::Ok,
            text: None,
            results: Map::new(),
        }
    }

    pub fn refused(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            text: Some(text.into()),
            results: Map::new(),
        }
    }

    /// The rule a `deny` or `allow` made.
    pub fn with_rule(mut self, profile: Profile, number: u64) -> Self {
        let rule = json!({ "rule_number": number });
        self.results.insert(profile.word().to_owned(), rule);
        self
    }

    /// The response as its body. `x_request_id`: the HTTP header of that name, which takes the
    /// place of a request id that the message does not have (transfer 1.1 section 3.3.3).
    /// `created_ms`: milliseconds since 1970.
    pub fn body(
        &self,
        envelope: &Envelope,
        x_request_id: Option<&str>,
        created_ms: i64,
    ) -> Vec<u8> {
        let mut response = Map::new();
        response.insert("status".into(), self.status.code().into());
        if let Some(text) = &self.text {
            response.insert("status_text".into(), text.as_str().into());
        }
        if !self.results.is_empty() {
            response.insert("results".into(), self.results.clone().into());
        }
        let value = match envelope {
            Envelope::Bare => Value::Object(response),
            Envelope::Message { request_id, from } => {
                let mut headers = Map::new();
                if let Some(id) = request_id.as_deref().or(x_request_id) {
                    headers.insert("request_id".into(), id.into());
                }
                headers.insert("created".into(), created_ms.into());
                if let Some(to) = from {
                    headers.insert("to".into(), to.as_str().into());
                }
                json!({ "headers": headers, "body": { "openc2": { "response": response } } })
            }
        };
        value.to_string().into_bytes()
    }
}

impl From<&Refusal> for Response {
    fn from(refusal: &Refusal) -> Self {
        Self::refused(refusal.status, refusal.text.clone())
    }
}
