//! Machines come, log in, say that they live, report their numbers, and go.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use intel::lapi::{Credentials, Registration, Token, read_metrics};
use model::Timestamp;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;

use super::{
    Door,
    auth::Peer,
    body::{self, STRANGERS_MAX},
    reply::{self, Refusal},
    token::Bearer,
};
use crate::{KeyKind, Means, NewKey, OrderError, core::unix_ms, gate::Needs};

/// Registrations that strangers may make in [`REGISTRATIONS_WINDOW`], one address and all
/// together: each costs a slow hash and waits for an operator.
const REGISTRATIONS_MAX: u32 = 60;
const REGISTRATIONS_OF_ONE_MAX: u32 = 5;
const REGISTRATIONS_WINDOW: Duration = Duration::from_secs(60);
/// Bytes of a registration token (upstream's bounds).
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 32..=255;

type Doors = State<Arc<Door>>;

/// Who registered in the current window.
#[derive(Default)]
pub(super) struct Registrations {
    window: Mutex<(Option<Instant>, Vec<IpAddr>)>,
}

impl Registrations {
    fn admits(&self, from: IpAddr) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window
            .0
            .is_none_or(|s| now.duration_since(s) >= REGISTRATIONS_WINDOW)
        {
            *window = (Some(now), Vec::new());
        }
        let mine = window.1.iter().filter(|&&ip| ip == from).count();
        let admitted =
            window.1.len() < REGISTRATIONS_MAX as usize && mine < REGISTRATIONS_OF_ONE_MAX as usize;
        if admitted {
            window.1.push(from);
        }
        admitted
    }
}

pub(super) async fn parsed<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Refusal> {
    let bytes = body::read(headers, body, STRANGERS_MAX).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| Box::new(reply::message(StatusCode::BAD_REQUEST, &e.to_string())))
}

pub(super) async fn login(
    State(door): Doors,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let credentials: Credentials = match parsed(&headers, body).await {
        Ok(credentials) => credentials,
        Err(refusal) => return *refusal,
    };
    let (Some(name), Some(password)) = (credentials.machine_id, credentials.password) else {
        return reply::refused(StatusCode::UNAUTHORIZED, "missing: machine_id or password");
    };
    match door.core.login(&name, &password, peer.ip()).await {
        Ok(caller) => door.token(Bearer::Machine(caller.name.to_string())),
        Err(error) => reply::login_failed(error),
    }
}

impl Door {
    pub(super) fn token(&self, bearer: Bearer) -> Response {
        let seconds = bearer.seconds();
        let expire =
            Timestamp::from_millis(unix_ms().cast_signed()).plus(Duration::from_secs(seconds));
        let token = Token {
            code: StatusCode::OK.as_u16(),
            expire: Timestamp::from_seconds(expire.seconds()).to_string(),
            token: self.tokens.make(bearer, self.core.now()),
        };
        reply::json(StatusCode::OK, &token)
    }

    /// Whether the token given is the one an operator set.
    fn is_invited(&self, given: Option<&str>) -> bool {
        match (&self.config.registration_token, given) {
            (Some(set), Some(given)) => {
                TOKEN_BYTES.contains(&set.len()) && set.as_bytes().ct_eq(given.as_bytes()).into()
            }
            _ => false,
        }
    }
}

pub(super) async fn refresh(State(door): Doors, needs: Needs, headers: HeaderMap) -> Response {
    match door.machine(&headers, needs) {
        Ok(caller) if caller.means == Means::Password => reply::refused(
            StatusCode::UNAUTHORIZED,
            "people log in again, with a new code",
        ),
        Ok(caller) => door.token(Bearer::Machine(caller.name.to_string())),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn register(
    State(door): Doors,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let registration: Registration = match parsed(&headers, body).await {
        Ok(registration) => registration,
        Err(refusal) => return *refusal,
    };
    let (Some(name), Some(password)) = (registration.machine_id, registration.password) else {
        let text = "validation failure list:\nmachine_id and password in body are required";
        return reply::message(StatusCode::UNPROCESSABLE_ENTITY, text);
    };
    if !door.registrations.admits(peer.ip()) {
        let text = "too many registrations; wait a minute";
        return reply::message(StatusCode::TOO_MANY_REQUESTS, text);
    }
    let accepted = door.is_invited(registration.registration_token.as_deref());
    let key = NewKey {
        name,
        kind: KeyKind::Machine,
        organisation: None,
        community: None,
        secret: Some(password),
        accepted,
        from: Some(peer.ip()),
    };
    let by = door.core.operator("registration");
    match door.core.add_key(&by, key).await {
        Ok(_) if accepted => StatusCode::ACCEPTED.into_response(),
        Ok(_) => StatusCode::CREATED.into_response(),
        // Upstream's word for a name that is taken.
        Err(OrderError::Refused(why) | OrderError::NameTaken(why)) => {
            reply::message(StatusCode::FORBIDDEN, &why)
        }
        Err(error) => reply::order_failed(&error),
    }
}

pub(super) async fn leave(State(door): Doors, needs: Needs, headers: HeaderMap) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    // A machine may take itself away, which takes an operator's right over keys.
    let by = door.core.operator(&caller.name);
    match door
        .core
        .remove_key(&by, KeyKind::Machine, &caller.name)
        .await
    {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => reply::order_failed(&error),
    }
}

pub(super) async fn heartbeat(State(door): Doors, needs: Needs, headers: HeaderMap) -> Response {
    match door.machine(&headers, needs) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn metrics(
    State(door): Doors,
    needs: Needs,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = match door.either(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let bytes = match body::read(&headers, body, STRANGERS_MAX).await {
        Ok(bytes) => bytes,
        Err(refusal) => return *refusal,
    };
    match read_metrics(&bytes) {
        Ok(components) => {
            for it in components {
                tracing::debug!(
                    key = %caller.name, kind = it.kind, version = it.version,
                    active = it.active, dropped = it.dropped_packets, "usage metrics"
                );
            }
            StatusCode::CREATED.into_response()
        }
        Err(error) => reply::message(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
