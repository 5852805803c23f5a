//! CrowdSec's Local API: stock agents, bouncers and cscli, unchanged.
//!
//! Agents' alerts become reports of their key's organisation, and bans by the hub's policy;
//! bouncers get what their key's organisation sees. Better than a plain server in three ways:
//! clients that bear it are held until something changes (`stream`), what may have been lost on
//! the way is sent again (`pollers`), and networks reach a client that would cut them to one
//! address as all of their addresses (`units`). Keeps nothing that must survive.

mod alerts;
mod allowlists;
mod auth;
mod body;
mod decisions;
mod machines;
mod pace;
mod people;
mod pollers;
mod profile;
mod reply;
mod stream;
mod token;
mod units;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode},
    routing::{delete, get, post},
};
use tokio::sync::Semaphore;

pub(crate) use self::auth::Peer;
use crate::{Caller, Core, Means, gate::Needs};
use pollers::Pollers;
use token::Tokens;

/// Pushes of alerts that are read at a time; each may have [`body::AUTHENTICATED_MAX`] bytes.
const PUSHES_MAX: usize = 8;

/// What an operator may set.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long an alert without a decision of its own bans.
    pub ban: Duration,
    /// Machines that register with it are accepted at once; 32 to 255 bytes.
    pub registration_token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ban: Duration::from_secs(4 * 3_600),
            registration_token: None,
        }
    }
}

/// What all routes share.
struct Door {
    core: Core,
    config: Config,
    tokens: Tokens,
    pollers: Pollers,
    registrations: machines::Registrations,
    pushes: Semaphore,
}

pub fn router(core: Core) -> Router {
    router_with(core, Config::default())
}

pub fn router_with(core: Core, config: Config) -> Router {
    open(core, config).0
}

/// Who of the people logged in, for the doors beside this one.
#[derive(Clone)]
pub(crate) struct People(Arc<Door>);

impl People {
    /// The person whose token this request bears.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let caller = self.0.machine(headers, Needs::Member).ok()?;
        (caller.means == Means::Password).then_some(caller)
    }
}

/// The routes, and who came in by them.
pub(crate) fn open(core: Core, config: Config) -> (Router, Option<People>) {
    let tokens = match Tokens::new() {
        Ok(tokens) => tokens,
        Err(error) => {
            tracing::error!(%error, "no randomness, so no logins: the Local API stays closed");
            return (Router::new(), None);
        }
    };
    let door = Arc::new(Door {
        core,
        config,
        tokens,
        pollers: Pollers::default(),
        registrations: machines::Registrations::default(),
        pushes: Semaphore::new(PUSHES_MAX),
    });
    (routes(&door), Some(People(door)))
}

fn routes(door: &Arc<Door>) -> Router {
    let v1 = Router::new()
        .route(
            "/decisions",
            get(decisions::live)
                .head(decisions::known)
                .delete(decisions::delete_many),
        )
        .route("/decisions/stream", get(stream::get).head(decisions::known))
        .route("/decisions/{id}", delete(decisions::delete_one))
        .route("/usage-metrics", post(machines::metrics))
        .route("/watchers", post(machines::register))
        .route("/watchers/login", post(machines::login))
        .route("/watchers/self", delete(machines::leave))
        .route("/refresh_token", get(machines::refresh))
        .route("/heartbeat", get(machines::heartbeat))
        .route(
            "/alerts",
            post(alerts::push)
                .get(alerts::list)
                .head(alerts::list)
                .delete(alerts::delete_many),
        )
        .route(
            "/alerts/{id}",
            get(alerts::one)
                .head(alerts::one)
                .delete(alerts::delete_one),
        )
        .route("/allowlists", get(allowlists::list).head(allowlists::list))
        .route("/allowlists/check", post(allowlists::check_many))
        .route(
            "/allowlists/check/{*value}",
            get(allowlists::check).head(allowlists::is_listed),
        )
        .route(
            "/allowlists/{name}",
            get(allowlists::one).head(allowlists::one),
        )
        .fallback(async || reply::message(StatusCode::NOT_FOUND, "Page or Method not found"))
        .method_not_allowed_fallback(async || {
            reply::message(StatusCode::METHOD_NOT_ALLOWED, "Page or Method not found")
        })
        // Bodies are read, and bounded, by `body`.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(door));
    let people = Router::new()
        .route("/people/v1/login", post(people::login))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(door));
    Router::new()
        .nest("/v1", v1)
        .merge(people)
        .route("/health", get(async || reply::json(StatusCode::OK, &"ok")))
}
