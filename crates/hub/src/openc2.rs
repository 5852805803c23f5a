//! OpenC2 commands of orchestrators: deny and allow on networks, delete a rule, query features.
//!
//! The consumer of `intel::openc2`, over HTTPS (`POST /.well-known/openc2`, transfer
//! specification 1.1). Producers are machines, by name and password; what they order is an order
//! of their organisation. A `deny` is a ban, its rule number the ban's id; an `allow` lifts the
//! organisation's bans there and keeps new ones away, as an item of its allowlist.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response as Answer},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use intel::openc2::{
    BYTES_MAX, CONTENT_TYPE, Order, Request, Requested, Response, Status, Window, read,
    rule_number_max,
};
use model::{Prefix, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    Allowlist, AllowlistItem, Caller, Core, LoginError, NewBan, OrderError, Release, Report,
    core::unix_ms, gate::Needs, lapi::Peer, limits, rate::Rate,
};

/// Commands of one producer: what `query features` tells, with a burst.
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_millis(100);
/// Bytes of a request id that is given back.
const ID_BYTES_MAX: usize = 256;
/// Rules of `allow` have numbers from here on, those of `deny` are ids of bans below.
const ALLOWED_FROM: u64 = 1 << 52;

struct Door {
    core: Core,
    rate: Rate,
    /// Allowlists are read, changed and written back: one at a time.
    allowing: tokio::sync::Mutex<()>,
}

pub fn router(core: Core) -> Router {
    let door = Door {
        core,
        rate: Rate::new(BURST, EVERY),
        allowing: tokio::sync::Mutex::new(()),
    };
    Router::new()
        .route("/.well-known/openc2", post(command))
        .route("/openc2", post(command))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(door))
}

async fn command(
    State(door): State<Arc<Door>>,
    peer: Peer,
    needs: Needs,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let caller = match door.producer(&headers, peer).await {
        Ok(caller) => caller,
        Err(status) => return challenge(status),
    };
    if let Err(error) = door.core.admit(&caller, needs) {
        return (StatusCode::FORBIDDEN, format!("{error}\n")).into_response();
    }
    if let Err(wait) = door.rate.take(&caller.name, Instant::now()) {
        let retry = [(header::RETRY_AFTER, (wait.as_secs() + 1).to_string())];
        return (StatusCode::SERVICE_UNAVAILABLE, retry).into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BYTES_MAX).await else {
        let text = format!("a command has at most {BYTES_MAX} bytes\n");
        return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
    };
    let now_ms = unix_ms().cast_signed();
    let (envelope, response) = match read(&body, now_ms) {
        Ok(request) => {
            let response = door.carry_out(&caller, &request).await;
            let refused = response.status.code() >= 300;
            let response = match request.requested {
                // Nothing was asked for, and HTTP wants an answer.
                Requested::None => return StatusCode::NO_CONTENT.into_response(),
                _ if refused => response,
                Requested::Ack => Response {
                    status: Status::Processing,
                    ..Response::ok()
                },
                Requested::Status => Response::ok(),
                Requested::Complete => response,
            };
            (request.envelope, response)
        }
        Err(refusal) => {
            let response = Response::from(&refusal);
            (refusal.envelope, response)
        }
    };
    let id = headers
        .get("x-request-id")
        .filter(|id| id.len() <= ID_BYTES_MAX);
    let text = response.body(&envelope, id.and_then(|id| id.to_str().ok()), now_ms);
    // 102 is an interim answer in HTTP, so the body alone can say it.
    let code = response.status.code().max(200);
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response();
    if let Some(id) = id {
        answer.headers_mut().insert("x-request-id", id.clone());
    }
    answer
}

fn challenge(status: StatusCode) -> Answer {
    let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"posse openc2\"")];
    (status, how, "a machine's name and password are needed\n").into_response()
}

impl Door {
    async fn producer(&self, headers: &HeaderMap, peer: Peer) -> Result<Caller, StatusCode> {
        let basic = || {
            let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let (scheme, coded) = text.split_once(' ')?;
            let decoded = scheme
                .eq_ignore_ascii_case("basic")
                .then(|| STANDARD.decode(coded))?;
            String::from_utf8(decoded.ok()?).ok()
        };
        let given = basic();
        let given = given.as_deref().and_then(|text| text.split_once(':'));
        let (name, password) = given.ok_or(StatusCode::UNAUTHORIZED)?;
        let login = self.core.login(name, password, peer.ip()).await;
        login.map_err(|error| match error {
            LoginError::Wrong | LoginError::NotAccepted => StatusCode::UNAUTHORIZED,
            LoginError::TooOften | LoginError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        })
    }

    async fn carry_out(&self, caller: &Caller, request: &Request) -> Response {
        let group = request.named_group.as_deref();
        let is_ours = |group: &str| {
            group == caller.organisation.as_str()
                || caller.communities.iter().any(|c| c.as_str() == group)
        };
        if let Some(group) = group.filter(|group| !is_ours(group)) {
            let text = format!("no group {group:?}; known are your organisation and communities");
            return Response::refused(Status::NotFound, text);
        }
        let done = match &request.order {
            Order::Features(features) => return Request::features(features),
            Order::Deny { network, window } => self.deny(caller, request, *network, *window).await,
            Order::Allow { network, window } => self.allow(caller, *network, *window).await,
            Order::Delete { rule } => self.delete(caller, *rule).await.map(|()| None),
        };
        match done {
            Ok(Some(rule)) => Response::ok().with_rule(request.profile, rule),
            Ok(None) => Response::ok(),
            Err(response) => *response,
        }
    }

    async fn deny(
        &self,
        caller: &Caller,
        request: &Request,
        network: Prefix,
        window: Window,
    ) -> Result<Option<u64>, Box<Response>> {
        let id = request.command_id.as_deref().unwrap_or("without an id");
        let reason = format!("OpenC2 deny {id}");
        let scope = if network.is_host() { "Ip" } else { "Range" };
        let report = Report {
            alert: Some(alert(&caller.name, &reason, scope, network)),
            scenario: reason.clone(),
            scope: scope.to_owned(),
            value: network.to_string(),
            bans: vec![NewBan {
                prefix: network,
                seconds: window.seconds.unwrap_or(limits::BAN_SECONDS_MAX),
                kind: "ban".to_owned(),
                origin: "openc2".to_owned(),
                scenario: reason,
            }],
        };
        let mut reported = self
            .core
            .report(caller, vec![report])
            .await
            .map_err(failed)?;
        match reported.pop().and_then(|mut r| r.bans.pop()) {
            Some(Ok(rule)) => Ok(Some(rule)),
            Some(Err(why)) => Err(not_updated(&why)),
            None => Err(not_updated("the hub took no ban")),
        }
    }

    async fn allow(
        &self,
        caller: &Caller,
        network: Prefix,
        window: Window,
    ) -> Result<Option<u64>, Box<Response>> {
        let rule = allow_rule(caller, network);
        let until = window
            .seconds
            .map(|s| self.core.now().plus(Duration::from_secs(s)));
        self.edit(caller, |items| {
            items.retain(|item| item.prefix != network);
            items.push(AllowlistItem {
                prefix: network,
                description: format!("OpenC2 allow by {}", caller.name),
                created_unix_ms: unix_ms(),
                until,
            });
            true
        })
        .await?;
        let release = Release {
            prefix: Some(network),
            within: true,
            reason: format!("OpenC2 allow by {}", caller.name),
            ..Release::default()
        };
        self.core.release(caller, release).await.map_err(failed)?;
        Ok(Some(rule))
    }

    async fn delete(&self, caller: &Caller, rule: u64) -> Result<(), Box<Response>> {
        // SLPF 1.0 section 2.3.4.1: understood, but no such rule to remove, is 500.
        let not_removed = || {
            let text = "firewall rule not removed or updated: no such rule in force";
            Box::new(Response::refused(Status::InternalError, text))
        };
        if rule >= ALLOWED_FROM {
            let found = self
                .edit(caller, |items| {
                    let before = items.len();
                    items.retain(|item| allow_rule(caller, item.prefix) != rule);
                    items.len() < before
                })
                .await?;
            return if found { Ok(()) } else { Err(not_removed()) };
        }
        let release = Release {
            ids: vec![rule],
            reason: format!("OpenC2 delete by {}", caller.name),
            ..Release::default()
        };
        let released = self.core.release(caller, release).await.map_err(failed)?;
        if released.ids.is_empty() {
            return Err(not_removed());
        }
        Ok(())
    }

    /// Changes the organisation's list of what OpenC2 allowed; what ended goes as well.
    async fn edit(
        &self,
        caller: &Caller,
        change: impl FnOnce(&mut Vec<AllowlistItem>) -> bool,
    ) -> Result<bool, Box<Response>> {
        let _turn = self.allowing.lock().await;
        let name = format!("openc2-{}", caller.organisation);
        let lists = self.core.allowlists(caller);
        let known = lists.iter().find(|list| list.name == name);
        let (now, wall) = (self.core.now(), unix_ms());
        let mut list = known.map_or_else(
            || Allowlist {
                name: name.clone(),
                organisation: caller.organisation.clone(),
                description: "allowed by OpenC2 commands".to_owned(),
                created_unix_ms: wall,
                updated_unix_ms: wall,
                items: Vec::new(),
            },
            |list| Allowlist::clone(list),
        );
        list.items
            .retain(|item| item.until.is_none_or(|until| until > now));
        let changed = change(&mut list.items);
        if !changed {
            return Ok(false);
        }
        if list.items.len() > limits::ALLOWLIST_ITEMS_MAX {
            return Err(not_updated("the allowlist is full"));
        }
        list.updated_unix_ms = wall;
        let set = self.core.set_allowlist(caller, &name, Some(list));
        set.await.map_err(failed)?;
        Ok(true)
    }
}

/// The same network of the same organisation has the same number, and no ban has it.
fn allow_rule(caller: &Caller, network: Prefix) -> u64 {
    let mut hash = Sha256::new();
    hash.update(caller.organisation.as_str());
    hash.update([0]);
    hash.update(network.to_string());
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    ALLOWED_FROM | (u64::from_be_bytes(bytes) & rule_number_max())
}

fn not_updated(why: &str) -> Box<Response> {
    let text = format!("Rule not updated: {why}");
    Box::new(Response::refused(Status::InternalError, text))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: OrderError) -> Box<Response> {
    let status = match error {
        OrderError::Busy | OrderError::Stopping | OrderError::Unrecorded(_) => Status::Unavailable,
        // What this caller may not do is, to it, not there (SLPF 1.0 section 2.3.1).
        OrderError::Forbidden { .. }
        | OrderError::NotMember { .. }
        | OrderError::Revoked
        | OrderError::Token(_) => Status::NotImplemented,
        OrderError::Refused(_)
        | OrderError::Unknown
        | OrderError::TooMany { .. }
        | OrderError::Budget(_)
        | OrderError::OpsRefused(_)
        | OrderError::SequenceSeen { .. }
        | OrderError::Signature
        | OrderError::NameTaken(_)
        | OrderError::KeyTaken => Status::InternalError,
    };
    Box::new(Response::refused(
        status,
        format!("Rule not updated: {error}"),
    ))
}

/// What is kept of a command, in the form all alerts have, so that every client can show it.
fn alert(by: &str, reason: &str, scope: &str, network: Prefix) -> serde_json::Value {
    let now = Timestamp::from_millis(unix_ms().cast_signed()).to_string();
    json!({
        "capacity": 0,
        "events": [],
        "events_count": 1,
        "leakspeed": "0s",
        "message": format!("{reason} by {by}: {network}"),
        "remediation": true,
        "scenario": reason,
        "scenario_hash": "",
        "scenario_version": "",
        "simulated": false,
        "source": { "scope": scope, "value": network.to_string() },
        "start_at": now,
        "stop_at": now,
    })
}
