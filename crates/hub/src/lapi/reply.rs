//! Answers of the Local API. Never compressed: some bouncers ask for it and cannot read it.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use intel::lapi::{Message, Refused};
use serde::Serialize;

use crate::{LoginError, OrderError};

/// A refusal on its way out; boxed because answers are large and mostly not refusals.
pub(super) type Refusal = Box<Response>;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) fn json_bytes(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.into()).into_response()
}

pub(super) fn message(status: StatusCode, text: &str) -> Response {
    json(
        status,
        &Message {
            message: text.into(),
        },
    )
}

/// A refused login or token has its status in the body as well.
pub(super) fn refused(status: StatusCode, text: &str) -> Response {
    let refused = Refused {
        code: status.as_u16(),
        message: text.into(),
    };
    json(status, &refused)
}

/// A key that is none: the same words whatever is wrong with it.
pub(super) fn forbidden() -> Response {
    message(StatusCode::FORBIDDEN, "access forbidden")
}

pub(super) fn order_failed(error: &OrderError) -> Response {
    let status = match error {
        OrderError::Forbidden { .. }
        | OrderError::NotMember { .. }
        | OrderError::Revoked
        | OrderError::Token(_) => StatusCode::FORBIDDEN,
        OrderError::Budget(_) => StatusCode::TOO_MANY_REQUESTS,
        OrderError::Refused(_)
        | OrderError::TooMany { .. }
        | OrderError::OpsRefused(_)
        | OrderError::SequenceSeen { .. }
        | OrderError::Signature
        | OrderError::NameTaken(_)
        | OrderError::KeyTaken => StatusCode::BAD_REQUEST,
        OrderError::Unknown => return message(StatusCode::NOT_FOUND, "object not found"),
        OrderError::Busy | OrderError::Unrecorded(_) | OrderError::Stopping => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    message(status, &error.to_string())
}

pub(super) fn login_failed(error: LoginError) -> Response {
    let status = match error {
        // Both the same to the outside: which names exist is nobody's business.
        LoginError::Wrong => {
            return refused(StatusCode::UNAUTHORIZED, "incorrect Username or Password");
        }
        LoginError::NotAccepted => StatusCode::UNAUTHORIZED,
        LoginError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        LoginError::TooOften => StatusCode::TOO_MANY_REQUESTS,
    };
    refused(status, &error.to_string())
}
