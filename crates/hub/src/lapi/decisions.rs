//! Single decisions: what live bouncers ask of one address, and what cscli deletes.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use intel::{
    lapi::{DecisionQuestion, Deleted, Reader, Relation, Shown, write_decision},
    pairs,
};
use model::Prefix;

use super::{Door, reply};
use crate::{Ban, BanId, Caller, HubTime, Release, gate::Needs};

/// Bans looked at in one go; between two looks others get their turn.
pub(super) const PAGE: usize = 4_096;

/// Networks this narrow are looked up at once.
const NARROW: u8 = 12;

type Doors = State<Arc<Door>>;

pub(super) const fn scope(prefix: Prefix) -> &'static str {
    if prefix.is_host() { "Ip" } else { "Range" }
}

pub(super) fn write_ban(ban: &Ban, now: HubTime, reader: Reader, out: &mut Vec<u8>) {
    let value = ban.prefix.to_string();
    let shown = Shown {
        id: ban.id,
        origin: &ban.origin,
        scenario: &ban.scenario,
        scope: scope(ban.prefix),
        kind: &ban.kind,
        value: &value,
        remaining_ms: ban.remaining_ms(now),
    };
    write_decision(&shown, reader, out);
}

/// Whether a key is good, and nothing else: no place in any sequence moves.
pub(super) async fn known(State(door): Doors, needs: Needs, headers: HeaderMap) -> Response {
    match door.bouncer(&headers, needs) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn live(
    State(door): Doors,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.bouncer(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let question = match DecisionQuestion::read(&pairs(query.as_deref().unwrap_or_default())) {
        Ok(question) => question,
        Err(error) => return reply::message(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let now = door.core.now();
    let mut body = Vec::new();
    let mut write = |ban: &Ban| {
        body.push(if body.is_empty() { b'[' } else { b',' });
        write_ban(ban, now, Reader::Bouncer, &mut body);
        body.len() < ANSWER_BYTES_MAX
    };
    door.each(&caller, &question, &mut write).await;
    if body.is_empty() {
        // Upstream's quirk, and a bouncer's sign for "nothing".
        return reply::json_bytes(StatusCode::OK, "null");
    }
    body.push(b']');
    reply::json_bytes(StatusCode::OK, body)
}

/// Bytes of an answer to a live question; who wants everything asks for the stream.
const ANSWER_BYTES_MAX: usize = 32 << 20;

impl Door {
    /// Shows `each` ban that fits until it has enough. Gives way to others between pages.
    async fn each(
        &self,
        caller: &Caller,
        question: &DecisionQuestion,
        each: &mut (dyn FnMut(&Ban) -> bool + Send),
    ) {
        let fits = |ban: &Ban| {
            let value = ban.prefix.to_string();
            let scope = scope(ban.prefix);
            question.fits(scope, &value, &ban.kind, &ban.origin, &ban.scenario)
                && question.fits_network(ban.prefix)
        };
        let exact = question.value.as_ref().and_then(|v| v.parse().ok());
        let found = match (question.network, question.relation, exact) {
            (Some(network), Relation::Containing, _) => self.core.bans_covering(caller, network),
            // Half the world is better walked in pages.
            (Some(network), Relation::Within, _) if network.len() >= NARROW => self
                .core
                .bans_within(caller, network, crate::limits::BANS_MAX),
            (None, _, Some(network)) => self.core.bans_covering(caller, network),
            (Some(_), Relation::Within, _) | (None, _, None) => {
                let mut after = 0;
                loop {
                    let page = self.core.bans(caller, after, PAGE);
                    let Some(last) = page.last() else { return };
                    after = last.id;
                    for ban in page.iter().filter(|b| fits(b)) {
                        if !each(ban) {
                            return;
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        for ban in found.iter().filter(|b| fits(b)) {
            if !each(ban) {
                return;
            }
        }
    }
}

pub(super) async fn delete_many(
    State(door): Doors,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let pairs = pairs(query.as_deref().unwrap_or_default());
    let question = match DecisionQuestion::read_strictly(&pairs) {
        Ok(question) => question,
        Err(error) => return reply::message(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let mut release = Release {
        all: question.is_all(),
        reason: format!("deleted through the Local API by {}", caller.name),
        ..Release::default()
    };
    if !release.all {
        let mut collect = |ban: &Ban| {
            if caller.may_release(ban) {
                release.ids.push(ban.id);
            }
            true
        };
        door.each(&caller, &question, &mut collect).await;
        if release.ids.is_empty() {
            return reply::json(StatusCode::OK, &Deleted::from(0));
        }
    }
    match door.core.release(&caller, release).await {
        Ok(released) => reply::json(StatusCode::OK, &Deleted::from(released.ids.len())),
        Err(error) => reply::order_failed(&error),
    }
}

pub(super) async fn delete_one(
    State(door): Doors,
    Path(id): Path<String>,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let Ok(id) = id.parse::<BanId>() else {
        return reply::message(StatusCode::BAD_REQUEST, "decision_id must be valid integer");
    };
    let release = Release {
        ids: vec![id],
        reason: format!("deleted through the Local API by {}", caller.name),
        ..Release::default()
    };
    match door.core.release(&caller, release).await {
        Ok(released) if released.ids.is_empty() => {
            let text = format!("no decision {id} in force that {} may delete", caller.name);
            reply::message(StatusCode::NOT_FOUND, &text)
        }
        Ok(released) => reply::json(StatusCode::OK, &Deleted::from(released.ids.len())),
        Err(error) => reply::order_failed(&error),
    }
}
