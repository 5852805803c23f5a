//! Who asks: a bouncer by its key, a machine or a person by the token of a login.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, StatusCode, header, request::Parts},
};

use super::{
    Door,
    reply::{self, Refusal},
    token::Bearer,
};
use crate::{Caller, KeyKind, gate::Needs};

const API_KEY: &str = "x-api-key";

/// Where a request came from; also names its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(super) SocketAddr);

impl Peer {
    pub(crate) fn ip(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let known = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // A server that does not say is one in a test.
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(Self(known.map_or(unknown, |info| info.0)))
    }
}

impl Door {
    pub(super) fn bouncer(&self, headers: &HeaderMap, needs: Needs) -> Result<Caller, Refusal> {
        let known = headers
            .get(API_KEY)
            .and_then(|key| key.to_str().ok())
            .and_then(|key| self.core.caller_by_key(key))
            .ok_or_else(|| Box::new(reply::forbidden()));
        self.admitted(known?, needs)
    }

    /// The caller, if the route is open to their role.
    fn admitted(&self, caller: Caller, needs: Needs) -> Result<Caller, Refusal> {
        match self.core.admit(&caller, needs) {
            Ok(()) => Ok(caller),
            Err(error) => Err(Box::new(reply::order_failed(&error))),
        }
    }

    pub(super) fn machine(&self, headers: &HeaderMap, needs: Needs) -> Result<Caller, Refusal> {
        let refuse = |text| Err(Box::new(reply::refused(StatusCode::UNAUTHORIZED, text)));
        let header = headers.get(header::AUTHORIZATION);
        let Some(header) = header.and_then(|h| h.to_str().ok()) else {
            return refuse("no token: log in at /v1/watchers/login");
        };
        let Some(token) = header.strip_prefix("Bearer ") else {
            return refuse("the Authorization header holds no bearer token");
        };
        // Who was removed stops at once, whatever their token says.
        let (caller, gone) = match self.tokens.bearer(token.trim(), self.core.now()) {
            Some(Bearer::Machine(name)) => (
                self.core.caller_by_name(KeyKind::Machine, &name),
                "this machine was removed, or not accepted yet",
            ),
            Some(Bearer::Person(name)) => (
                self.core.caller_by_person(&name),
                "this person may no longer log in",
            ),
            None => (None, "token is expired or not from here: log in again"),
        };
        match caller {
            Some(caller) => self.admitted(caller, needs),
            None => refuse(gone),
        }
    }

    pub(super) fn either(&self, headers: &HeaderMap, needs: Needs) -> Result<Caller, Refusal> {
        if headers.contains_key(API_KEY) {
            self.bouncer(headers, needs)
        } else {
            self.machine(headers, needs)
        }
    }
}
