//! `POST /people/v1/login`: a person's way in. The token it gives opens the same doors as a
//! machine's, as far as the person's role goes.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;

use super::{Door, auth::Peer, machines::parsed, reply, token::Bearer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
    /// Six digits of the authenticator.
    code: String,
}

pub(super) async fn login(
    State(door): State<Arc<Door>>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let credentials: Credentials = match parsed(&headers, body).await {
        Ok(credentials) => credentials,
        Err(refusal) => return *refusal,
    };
    let Credentials {
        name,
        password,
        code,
    } = credentials;
    match door
        .core
        .login_person(&name, &password, &code, peer.ip())
        .await
    {
        Ok(_) => door.token(Bearer::Person(name)),
        Err(crate::LoginError::Wrong) => reply::refused(
            StatusCode::UNAUTHORIZED,
            "wrong name, password or code; a code counts once",
        ),
        Err(error) => reply::login_failed(error),
    }
}
