//! Allowlists, for cscli and for programs that ask before they ban.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use intel::{
    lapi::{
        AllowlistAnswer, AllowlistCheck, AllowlistItemAnswer, BulkCheck, BulkCheckAnswer,
        BulkCheckResult, NEVER,
    },
    pairs,
};
use model::{Prefix, Timestamp};

use super::{
    Door,
    body::{self, STRANGERS_MAX},
    reply::{self, Refusal},
};
use crate::{Allowlist, Caller, core::unix_ms, gate::Needs};

/// Values of one bulk question.
const TARGETS_MAX: usize = 10_000;

type Doors = State<Arc<Door>>;

fn time(unix_ms: u64) -> String {
    Timestamp::from_millis(unix_ms.cast_signed()).to_string()
}

impl Door {
    fn shown(&self, list: &Allowlist, with_content: bool) -> AllowlistAnswer {
        let (now, wall) = (self.core.now(), unix_ms());
        let item = |item: &crate::AllowlistItem| AllowlistItemAnswer {
            created_at: time(item.created_unix_ms),
            description: item.description.clone(),
            expiration: item.until.map_or_else(
                || NEVER.to_owned(),
                |until| {
                    time(wall.saturating_add_signed(
                        until.0.cast_signed().saturating_sub(now.0.cast_signed()),
                    ))
                },
            ),
            value: item.prefix.to_string(),
        };
        AllowlistAnswer {
            allowlist_id: list.name.clone(),
            console_managed: false,
            created_at: time(list.created_unix_ms),
            description: list.description.clone(),
            items: if with_content {
                list.items.iter().map(item).collect()
            } else {
                Vec::new()
            },
            name: list.name.clone(),
            updated_at: time(list.updated_unix_ms),
        }
    }

    /// The lists that a value is on, for people.
    fn on_lists(&self, caller: &Caller, value: &str) -> Result<Option<(String, String)>, Refusal> {
        let prefix: Prefix = value.parse().map_err(|e: model::PrefixError| {
            Box::new(reply::message(StatusCode::BAD_REQUEST, &e.to_string()))
        })?;
        Ok(self.core.allowed(caller, prefix).map(|(list, at)| {
            let item = list.items.get(at);
            let entry = item.map_or_else(String::new, |i| i.prefix.to_string());
            let why = item.map_or("", |i| i.description.as_str());
            let note = if why.is_empty() {
                String::new()
            } else {
                format!(" ({why})")
            };
            (
                list.name.clone(),
                format!("{entry} from {}{note}", list.name),
            )
        }))
    }
}

pub(super) async fn list(
    State(door): Doors,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let with_content = asks_for_content(query.as_deref());
    let lists = door.core.allowlists(&caller);
    let shown: Vec<_> = lists.iter().map(|l| door.shown(l, with_content)).collect();
    reply::json(StatusCode::OK, &shown)
}

fn asks_for_content(query: Option<&str>) -> bool {
    let pairs = pairs(query.unwrap_or_default());
    pairs
        .iter()
        .any(|(name, value)| name == "with_content" && value == "true")
}

pub(super) async fn one(
    State(door): Doors,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let lists = door.core.allowlists(&caller);
    match lists.iter().find(|l| l.name == name) {
        Some(list) => {
            let shown = door.shown(list, asks_for_content(query.as_deref()));
            reply::json(StatusCode::OK, &shown)
        }
        None => reply::message(StatusCode::NOT_FOUND, "allowlist not found"),
    }
}

pub(super) async fn check(
    State(door): Doors,
    Path(value): Path<String>,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let listed = door
        .machine(&headers, needs)
        .and_then(|caller| door.on_lists(&caller, &value));
    match listed {
        Ok(listed) => {
            let check = AllowlistCheck {
                allowlisted: listed.is_some(),
                reason: listed.map(|(_, reason)| reason).unwrap_or_default(),
            };
            reply::json(StatusCode::OK, &check)
        }
        Err(refusal) => *refusal,
    }
}

pub(super) async fn is_listed(
    State(door): Doors,
    Path(value): Path<String>,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let listed = door
        .machine(&headers, needs)
        .and_then(|caller| door.on_lists(&caller, &value));
    match listed {
        Ok(Some(_)) => StatusCode::OK.into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn check_many(
    State(door): Doors,
    needs: Needs,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let bytes = match body::read(&headers, body, STRANGERS_MAX).await {
        Ok(bytes) => bytes,
        Err(refusal) => return *refusal,
    };
    let targets = match serde_json::from_slice::<BulkCheck>(&bytes) {
        Ok(check) => check.targets.unwrap_or_default(),
        Err(error) => return reply::message(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if targets.len() > TARGETS_MAX {
        let text = format!("{} targets; at most {TARGETS_MAX}", targets.len());
        return reply::message(StatusCode::BAD_REQUEST, &text);
    }
    let mut results = Vec::new();
    for target in targets {
        match door.on_lists(&caller, &target) {
            Ok(Some((_, reason))) => results.push(BulkCheckResult {
                allowlists: vec![reason],
                target,
            }),
            Ok(None) => {}
            Err(refusal) => return *refusal,
        }
    }
    reply::json(StatusCode::OK, &BulkCheckAnswer { results })
}
