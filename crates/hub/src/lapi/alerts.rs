//! Alerts: pushed by agents and cscli, shown to cscli.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use intel::{
    lapi::{AlertError, AlertQuestion, Deleted, Reader, read_alerts},
    pairs,
};
use model::Timestamp;
use serde_json::Value;

use super::{
    Door,
    body::{self, AUTHENTICATED_MAX},
    decisions::write_ban,
    profile,
    reply::{self, Refusal},
};
use crate::{
    AlertFilter, Ban, Caller, OrderError, StoredAlert, gate::Needs, limits::REPORTS_PER_ORDER_MAX,
};

type Doors = State<Arc<Door>>;

pub(super) async fn push(
    State(door): Doors,
    needs: Needs,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let caller = match door.machine(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let Ok(_place) = door.pushes.acquire().await else {
        return reply::order_failed(&OrderError::Stopping);
    };
    let bytes = match body::read(&headers, body, AUTHENTICATED_MAX).await {
        Ok(bytes) => bytes,
        Err(refusal) => return *refusal,
    };
    let alerts = match read_alerts(&bytes) {
        Ok(alerts) => alerts,
        Err(error) => {
            let status = match error {
                AlertError::Json(_) => StatusCode::BAD_REQUEST,
                AlertError::Missing(_) | AlertError::TooMany { .. } => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            };
            return reply::message(status, &error.to_string());
        }
    };
    drop(bytes);
    let ban = door.config.ban;
    let reports: Result<Vec<_>, String> = alerts
        .into_iter()
        .map(|a| profile::report(a, ban))
        .collect();
    match reports {
        Ok(reports) => door.take(&caller, reports).await,
        Err(why) => reply::message(StatusCode::BAD_REQUEST, &why),
    }
}

impl Door {
    async fn take(&self, caller: &Caller, mut reports: Vec<crate::Report>) -> Response {
        let mut ids = Vec::with_capacity(reports.len());
        while !reports.is_empty() {
            let rest = reports.split_off(reports.len().min(REPORTS_PER_ORDER_MAX));
            let part = std::mem::replace(&mut reports, rest);
            match self.core.report(caller, part).await {
                Ok(answers) => {
                    for answer in answers {
                        for why in answer.bans.iter().filter_map(|b| b.as_ref().err()) {
                            tracing::info!(machine = %caller.name, why, "a ban was refused");
                        }
                        ids.extend(answer.alert.map(|id| id.to_string()));
                    }
                }
                // What came before stands; the agent sends all of it again, and the same ban
                // twice is one ban.
                Err(error) => return reply::order_failed(&error),
            }
        }
        reply::json(StatusCode::CREATED, &ids)
    }
}

pub(super) async fn list(
    State(door): Doors,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let (caller, question) = match asked(&door, needs, &headers, query.as_deref()) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let alerts = match door.core.alerts(&caller, filter(&question)).await {
        Ok(alerts) => alerts,
        Err(error) => return reply::order_failed(&error),
    };
    let mut body = Vec::new();
    for alert in alerts {
        let bans = door.bans_of(&caller, &alert);
        if !fits(&question, &bans) {
            continue;
        }
        body.push(if body.is_empty() { b'[' } else { b',' });
        door.write_alert(alert, &bans, &mut body);
    }
    if body.is_empty() {
        return reply::json_bytes(StatusCode::OK, "null");
    }
    body.push(b']');
    reply::json_bytes(StatusCode::OK, body)
}

fn asked(
    door: &Door,
    needs: Needs,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(Caller, AlertQuestion), Refusal> {
    let caller = door.machine(headers, needs)?;
    let question = AlertQuestion::read(&pairs(query.unwrap_or_default()))
        .map_err(|error| Box::new(reply::message(StatusCode::BAD_REQUEST, &error.to_string())))?;
    Ok((caller, question))
}

fn filter(question: &AlertQuestion) -> AlertFilter {
    AlertFilter {
        id: None,
        scope: question.scope.clone(),
        value: question.value.clone(),
        scenario: question.scenario.clone(),
        within: question.network,
        newer_than_seconds: question.since_seconds,
        older_than_seconds: question.until_seconds,
        has_active_ban: question.has_active_decision,
        limit: question.limit.unwrap_or(0),
    }
}

fn fits(question: &AlertQuestion, bans: &[Arc<Ban>]) -> bool {
    let has = |asked: &Option<String>, of: fn(&Ban) -> &str| {
        asked
            .as_ref()
            .is_none_or(|asked| bans.iter().any(|b| of(b).eq_ignore_ascii_case(asked)))
    };
    has(&question.decision_type, |b| &b.kind) && has(&question.origin, |b| &b.origin)
}

impl Door {
    /// Those still in force.
    fn bans_of(&self, caller: &Caller, alert: &StoredAlert) -> Vec<Arc<Ban>> {
        let ban = |&id| self.core.ban(caller, id);
        alert.bans.iter().filter_map(ban).collect()
    }

    fn write_alert(&self, alert: StoredAlert, bans: &[Arc<Ban>], out: &mut Vec<u8>) {
        let mut fields = match alert.alert {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        fields.insert("id".into(), alert.id.into());
        fields.insert(
            "uuid".into(),
            uuid(&alert.organisation.to_string(), alert.id).into(),
        );
        fields.insert("machine_id".into(), alert.machine.into());
        let created = Timestamp::from_millis(alert.created_unix_ms.cast_signed());
        fields.insert("created_at".into(), created.to_string().into());
        fields.remove("decisions");
        // Into memory, and texts and numbers only: nothing of it can fail.
        let _ = serde_json::to_writer(&mut *out, &fields);
        // The object stays open for the decisions, which are written as bouncers get them.
        if out.last() == Some(&b'}') {
            out.pop();
        }
        out.extend_from_slice(b",\"decisions\":[");
        let now = self.core.now();
        for (number, ban) in bans.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_ban(ban, now, Reader::Cscli, out);
        }
        out.extend_from_slice(b"]}");
    }
}

/// A name for an alert in the form of a UUID, the same at every look (RFC 9562 version 8).
fn uuid(organisation: &str, id: u64) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    hash.update(organisation);
    hash.update(id.to_be_bytes());
    let mut text = String::with_capacity(36);
    for (at, byte) in hash.finalize().iter().take(16).enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let byte = match at {
            6 => byte & 0x0f | 0x80,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) async fn one(
    State(door): Doors,
    Path(id): Path<String>,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let (caller, id) = match named(&door, needs, &headers, &id) {
        Ok(named) => named,
        Err(refusal) => return *refusal,
    };
    match door.core.alert(&caller, id).await {
        Ok(alert) => {
            let bans = door.bans_of(&caller, &alert);
            let mut body = Vec::new();
            door.write_alert(alert, &bans, &mut body);
            reply::json_bytes(StatusCode::OK, body)
        }
        Err(error) => reply::order_failed(&error),
    }
}

fn named(
    door: &Door,
    needs: Needs,
    headers: &HeaderMap,
    id: &str,
) -> Result<(Caller, u64), Refusal> {
    let caller = door.machine(headers, needs)?;
    match id.parse() {
        Ok(id) => Ok((caller, id)),
        Err(_) => Err(Box::new(reply::message(
            StatusCode::BAD_REQUEST,
            "alert id must be valid integer",
        ))),
    }
}

pub(super) async fn delete_one(
    State(door): Doors,
    Path(id): Path<String>,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let (caller, id) = match named(&door, needs, &headers, &id) {
        Ok(named) => named,
        Err(refusal) => return *refusal,
    };
    let filter = AlertFilter {
        id: Some(id),
        ..AlertFilter::default()
    };
    match door.core.delete_alerts(&caller, filter).await {
        Ok(0) => reply::order_failed(&OrderError::Unknown),
        Ok(count) => deleted(count),
        Err(error) => reply::order_failed(&error),
    }
}

pub(super) async fn delete_many(
    State(door): Doors,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let (caller, mut question) = match asked(&door, needs, &headers, query.as_deref()) {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    if question.decision_type.is_some() || question.origin.is_some() {
        let text = "alerts are deleted by scope, value, scenario, ip, range, since and until";
        return reply::message(StatusCode::BAD_REQUEST, text);
    }
    // A limit is for showing.
    question.limit = None;
    let mut count = 0;
    // The core takes as many at a time as an answer may hold.
    loop {
        match door.core.delete_alerts(&caller, filter(&question)).await {
            Ok(0) => return deleted(count),
            Ok(some) => count += some,
            Err(error) => return reply::order_failed(&error),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn deleted(count: u64) -> Response {
    reply::json(
        StatusCode::OK,
        &Deleted {
            count: count.to_string(),
        },
    )
}
