//! Why evidence was not taken or not given out, for the client and for the record.

use std::io;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use casework::submission::SubmissionError;
use evidence::EvidenceError;
use fleet::api::Fault;

use crate::{OrderError, routes::status_of, worker::chain};

const ERROR_CHARS_MAX: usize = 500;
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

#[derive(Debug)]
pub(super) enum Refused {
    NobodyKnown,
    Never,
    TooLarge(u64),
    TooMany,
    NoRoom,
    Torn(&'static str),
    /// The bytes are not those that were meant.
    OtherBytes,
    Submission(SubmissionError),
    Query(String),
    /// Understood, and not done.
    Lacking(String),
    Evidence(EvidenceError),
    Order(OrderError),
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl From<SubmissionError> for Refused {
    fn from(error: SubmissionError) -> Self {
        Self::Submission(error)
    }
}

impl From<EvidenceError> for Refused {
    fn from(error: EvidenceError) -> Self {
        match &error {
            EvidenceError::Reading { source } | EvidenceError::Io { source, .. } => {
                match source.kind() {
                    io::ErrorKind::StorageFull => Self::NoRoom,
                    io::ErrorKind::UnexpectedEof => Self::Torn("it broke off"),
                    _ => Self::Evidence(error),
                }
            }
            _ => Self::Evidence(error),
        }
    }
}

impl Refused {
    /// No bytes of a stranger's text: what is shared by all refusals of one kind.
    pub(super) fn for_the_record(&self) -> String {
        let (_, code) = self.status();
        match self {
            Self::Torn(why) => format!("{code}: {why}"),
            Self::Order(OrderError::Forbidden { role, act, .. }) => {
                format!("{code}: {role} may not {act}")
            }
            Self::Submission(SubmissionError::Empty(what)) => format!("{code}: no {what}"),
            _ => code.to_owned(),
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NobodyKnown => (StatusCode::UNAUTHORIZED, "nobody_known"),
            Self::Never => (StatusCode::METHOD_NOT_ALLOWED, "never_changed"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
            Self::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
            Self::Torn(_) => (StatusCode::BAD_REQUEST, "torn"),
            Self::OtherBytes => (StatusCode::UNPROCESSABLE_ENTITY, "other_bytes"),
            Self::Submission(e) if e.is_lacking() => (StatusCode::UNPROCESSABLE_ENTITY, "lacking"),
            Self::Submission(_) | Self::Query(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Lacking(_) => (StatusCode::UNPROCESSABLE_ENTITY, "lacking"),
            Self::Evidence(e) => of_evidence(e),
            Self::Order(e) => status_of(e),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::NobodyKnown => "no client certificate or person's token that this hub knows; \
                                  join with `posse join`, or log in at /people/v1/login"
                .to_owned(),
            Self::Never => "an exhibit is never changed or removed here; what is made of one is \
                            a new one"
                .to_owned(),
            Self::TooLarge(max) => {
                format!("at most {max} bytes are taken as one exhibit; split it")
            }
            Self::TooMany => {
                "too many exhibits are on their way; come again in a moment".to_owned()
            }
            Self::NoRoom => "the hub's disk has no room for it; tell its operator".to_owned(),
            Self::Torn(why) => format!("nothing of it was kept: {why}; send it again"),
            Self::OtherBytes => "the bytes are not those of Content-Digest; nothing of them was \
                                 kept, send them again"
                .to_owned(),
            Self::Submission(e) => e.to_string(),
            Self::Query(why) | Self::Lacking(why) => why.clone(),
            // Paths of the hub are nobody's business.
            Self::Evidence(EvidenceError::Io { .. } | EvidenceError::Store(_)) => {
                "the hub cannot keep or read this now; tell its operator".to_owned()
            }
            Self::Evidence(e) => e.to_string(),
            Self::Order(e) => e.to_string(),
        }
    }
}

fn of_evidence(error: &EvidenceError) -> (StatusCode, &'static str) {
    match error {
        EvidenceError::NoSuchCase { .. }
        | EvidenceError::UnknownClass { .. }
        | EvidenceError::Empty { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "lacking"),
        EvidenceError::NoSuchExhibit { .. } => (StatusCode::NOT_FOUND, "not_found"),
        EvidenceError::Destroyed { .. } => (StatusCode::GONE, "destroyed"),
        EvidenceError::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        EvidenceError::Damaged { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
        EvidenceError::Reading { .. }
        | EvidenceError::Io { .. }
        | EvidenceError::KeyMissing { .. }
        | EvidenceError::BadKey { .. }
        | EvidenceError::Random
        | EvidenceError::Cipher
        | EvidenceError::NotRecorded { .. }
        | EvidenceError::Unsure { .. }
        | EvidenceError::Range { .. }
        | EvidenceError::KeyFile { .. }
        | EvidenceError::Passphrase
        | EvidenceError::PassphraseShort
        | EvidenceError::PersonName
        | EvidenceError::Custody(_)
        | EvidenceError::Case(_)
        | EvidenceError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "unrecorded"),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        if let Self::Evidence(error) = &self
            && status.is_server_error()
        {
            tracing::error!(error = %chain(error), "an exhibit was refused");
        }
        let fault = Fault {
            error: self.words().chars().take(ERROR_CHARS_MAX).collect(),
            code: code.to_owned(),
            key: None,
            last_sequence: None,
            refused: Vec::new(),
        };
        let mut response = (status, Json(fault)).into_response();
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
