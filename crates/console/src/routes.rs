//! The pages and what answers at each path. Only looking: nothing here changes anything.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::get,
};
use minijinja::context;
use model::{AlertId, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use store::{AlertFilter, RecordedAlert};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    clock,
    gate::{Closed, dress},
    history::NoAnswer,
    limits::{ANSWER_WAIT, PAGE_ROWS, TEXT_CHARS_SHOWN},
    live, metrics,
    pages::value,
    picture::{Version, alert_row, ban_row, raw_text},
    rows::{self, Moment},
    shared::Shared,
    text::{count, visible},
};

type Ctx = State<Arc<Shared>>;
/// What stands after the question mark, or that it makes no sense.
type Said<T> = Result<Query<T>, QueryRejection>;

pub(crate) fn router(shared: Arc<Shared>, ledger: Router) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/alerts", get(alerts))
        .route("/alerts/{id}", get(alert))
        .route("/bans", get(bans))
        .route("/live", get(live_page))
        .route("/events", get(events))
        .route("/metrics", get(exposition))
        .route("/api/status.json", get(status_json))
        .route("/healthz", get(health))
        .route("/console.css", get(|| file("text/css; charset=utf-8", CSS)))
        .route(
            "/console.js",
            get(|| file("text/javascript; charset=utf-8", JS)),
        )
        .route("/icon.svg", get(|| file("image/svg+xml", ICON)))
        .nest_service("/ledger", ledger)
        .fallback(nowhere)
        .layer(from_fn_with_state(Arc::clone(&shared), door))
        .with_state(shared)
}

const CSS: &str = include_str!("../assets/console.css");
const JS: &str = include_str!("../assets/console.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// Before everything else: who asks, and for how long; after it: what every answer says.
async fn door(State(shared): Ctx, request: Request, next: Next) -> Response {
    let admitted = shared.gate.admit(request.method(), request.headers());
    let mut response = match admitted {
        Ok(()) => {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            match timeout(ANSWER_WAIT, next.run(request)).await {
                Ok(response) => response,
                Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "took too long\n"),
            }
        }
        Err(closed) => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            refuse(closed)
        }
    };
    dress(response.headers_mut());
    response
}

fn refuse(closed: Closed) -> Response {
    let (status, text) = match closed {
        Closed::Method => (
            StatusCode::METHOD_NOT_ALLOWED,
            "this server only shows; use the posse command to act\n",
        ),
        Closed::Host => (
            StatusCode::MISDIRECTED_REQUEST,
            "not a name of this server; use localhost, or name it in [console] hosts\n",
        ),
        Closed::OtherSite => (
            StatusCode::FORBIDDEN,
            "asked for by a page of another site\n",
        ),
        Closed::Token => (
            StatusCode::UNAUTHORIZED,
            "show the token of [console] token_file (as password, or as bearer token)\n",
        ),
    };
    let mut response = plain(status, text);
    let head = response.headers_mut();
    match closed {
        Closed::Method => {
            head.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            // A body that nobody reads must not become the next request.
            head.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Closed::Token => {
            let challenge = HeaderValue::from_static("Basic realm=\"Posse\", charset=\"UTF-8\"");
            head.insert(header::WWW_AUTHENTICATE, challenge);
        }
        Closed::Host | Closed::OtherSite => {}
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    (status, [kind], text).into_response()
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    let head = [
        (header::CONTENT_TYPE, kind),
        // The name stays the same when the program is upgraded.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (head, text).into_response()
}

async fn overview(State(shared): Ctx) -> Response {
    let now = clock::now();
    let (overview, version) = shared.overview(now);
    let after = shared.event_id(version);
    let html = shared.pages.overview(&overview, &shared.host, &after, now);
    page(&shared, StatusCode::OK, html)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    before: Option<u64>,
    rule: Option<String>,
    value: Option<String>,
}

impl Asked {
    /// The question mark and what follows it.
    fn query(&self, before: Option<u64>) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let parts = [
            before.map(|index| format!("before={index}")),
            self.rule.as_deref().map(|r| format!("rule={}", encode(r))),
            self.value
                .as_deref()
                .map(|v| format!("value={}", encode(v))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!("?{}", parts.join("&"))
        }
    }
}

async fn alerts(State(shared): Ctx, asked: Said<Asked>) -> Response {
    let Ok(Query(asked)) = asked else {
        return not_understood(&shared);
    };
    let filter = AlertFilter {
        since: None,
        rule: asked.rule.clone(),
        value: asked.value.clone(),
        before: asked.before,
        limit: PAGE_ROWS,
    };
    let found = match shared.history.alerts(filter).await {
        Ok(found) => found,
        Err(why) => return no_answer(&shared, &why),
    };
    let now = clock::now();
    let next = (found.len() == PAGE_ROWS).then(|| found.last().map(|a| a.index));
    let next = next.flatten();
    let picture = shared.picture();
    let rows: Vec<_> = found
        .iter()
        .map(|a| rows::alert(&alert_row(&a.alert, 0), &picture, now))
        .collect();
    drop(picture);
    let html = shared.pages.render(
        "alerts.html",
        context! {
            title => format!("Attacks · {} · Posse", shared.host),
            here => "/alerts",
            host => &shared.host,
            alerts => value(&rows),
            before => asked.before,
            next => next,
            next_query => asked.query(next),
            filter_query => asked.query(None),
            rule => asked.rule.as_deref().map(|r| visible(r, TEXT_CHARS_SHOWN)),
            value => asked.value.as_deref().map(|v| visible(v, TEXT_CHARS_SHOWN)),
        },
    );
    page(&shared, StatusCode::OK, html)
}

async fn alert(State(shared): Ctx, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<AlertId>() else {
        return not_found(&shared, "That is no alert's id.");
    };
    match shared.history.alert(id).await {
        Ok(Some(found)) => {
            let html = alert_page(&shared, &found, clock::now());
            page(&shared, StatusCode::OK, html)
        }
        // Recording comes after the ban; a moment later it is there.
        Ok(None) => not_found(
            &shared,
            "No alert with this id is on the ledger. If it was seen just now, reload the page.",
        ),
        Err(why) => no_answer(&shared, &why),
    }
}

fn alert_page(
    shared: &Shared,
    found: &RecordedAlert,
    now: Timestamp,
) -> Result<String, minijinja::Error> {
    let alert = &found.alert;
    let picture = shared.picture();
    let known = alert_row(alert, 0);
    let row = rows::alert(&known, &picture, now);
    let ban = picture.bans.iter().find(|ban| ban.is_about(&known));
    let ban = ban.map(|ban| rows::ban(ban, now));
    let refused = picture.refusals.iter().find(|r| r.alert == Some(alert.id));
    let refused = refused.map(|r| r.reason.clone());
    drop(picture);
    let lines = alert.evidence.iter().map(|line| {
        context! {
            source => visible(&line.source, TEXT_CHARS_SHOWN),
            raw => visible(&raw_text(&line.raw), usize::MAX),
            at => value(&Moment::new(line.received, now)),
            sha256 => line.sha256.to_string(),
        }
    });
    let last_event = alert.events.last();
    let facts: Vec<(String, String)> = last_event
        .iter()
        .flat_map(|event| event.meta.iter())
        .map(|(k, v)| (visible(k, TEXT_CHARS_SHOWN), visible(v, TEXT_CHARS_SHOWN)))
        .collect();
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    shared.pages.render(
        "alert.html",
        context! {
            title => format!("Attack by {} · {} · Posse", row.value, shared.host),
            here => "/alerts",
            host => &shared.host,
            first => value(&Moment::new(alert.first, now)),
            alert => value(&row),
            ban => ban.as_ref().map(value),
            refused => refused,
            index => found.index,
            facts => facts,
            lines => lines.collect::<Vec<_>>(),
            lines_kept => alert.evidence.len(),
            events_number => alert.events_count,
            rule_query => encode(&alert.rule),
            value_query => encode(&alert.value),
        },
    )
}

async fn bans(State(shared): Ctx, asked: Said<Asked>) -> Response {
    let Ok(Query(asked)) = asked else {
        return not_understood(&shared);
    };
    let now = clock::now();
    let found = match shared.history.bans(now, asked.before, PAGE_ROWS).await {
        Ok(found) => found,
        Err(why) => return no_answer(&shared, &why),
    };
    let next = (found.len() == PAGE_ROWS).then(|| found.last().map(|b| b.index));
    let rows: Vec<_> = found
        .iter()
        .map(|b| rows::ban(&ban_row(&b.decision, 0), now))
        .collect();
    let status = shared.status();
    let html = shared.pages.render(
        "bans.html",
        context! {
            title => format!("Bans · {} · Posse", shared.host),
            here => "/bans",
            host => &shared.host,
            bans => value(&rows),
            bans_total => status.as_ref().map_or_else(String::new, |s| count(s.bans)),
            observing => status.is_some_and(|s| s.mode == "observe"),
            before => asked.before,
            next => next.flatten(),
        },
    );
    page(&shared, StatusCode::OK, html)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Follow {
    after: Option<String>,
}

async fn live_page(State(shared): Ctx, head: HeaderMap, asked: Said<Follow>) -> Response {
    let after = after(&shared, &head, asked);
    match stream_permit(&shared) {
        Ok(permit) => live::page(shared, permit, after),
        Err(refusal) => *refusal,
    }
}

async fn events(State(shared): Ctx, head: HeaderMap, asked: Said<Follow>) -> Response {
    let after = after(&shared, &head, asked);
    match stream_permit(&shared) {
        Ok(permit) => live::events(shared, permit, after),
        Err(refusal) => *refusal,
    }
}

/// What a reader had last: by its own word when it comes back, else by its first question.
fn after(shared: &Shared, head: &HeaderMap, asked: Said<Follow>) -> Option<Version> {
    let back = head.get("last-event-id").and_then(|id| id.to_str().ok());
    let first = asked.ok().and_then(|Query(follow)| follow.after);
    shared.version_of(back.or(first.as_deref())?)
}

fn stream_permit(shared: &Shared) -> Result<OwnedSemaphorePermit, Box<Response>> {
    let permit = Arc::clone(&shared.streams).try_acquire_owned();
    permit.map_err(|_| {
        shared.streams_refused.fetch_add(1, Ordering::Relaxed);
        let mut response = plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages follow live; close one\n",
        );
        let wait = HeaderValue::from_static("5");
        response.headers_mut().insert(header::RETRY_AFTER, wait);
        Box::new(response)
    })
}

async fn exposition(State(shared): Ctx) -> Response {
    match metrics::exposition(shared.status(), shared.own_numbers()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot be written\n"),
    }
}

async fn status_json(State(shared): Ctx) -> Response {
    let Some(status) = shared.status() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the guard is starting\n");
    };
    match serde_json::to_vec(&*status) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot be written\n"),
    }
}

/// Well: the guard reported lately and what it does is recorded.
async fn health(State(shared): Ctx) -> Response {
    let ill = |text| plain(StatusCode::SERVICE_UNAVAILABLE, text);
    let Some(status) = shared.status() else {
        return ill("starting\n");
    };
    if clock::now().since(status.at) > crate::limits::STALE_AFTER {
        ill("the guard does not report\n")
    } else if status.recorder.paused.is_some() {
        ill("recording is paused\n")
    } else if status.mode == "enforce" {
        plain(StatusCode::OK, "ok\n")
    } else {
        plain(StatusCode::OK, "ok, observing only\n")
    }
}

async fn nowhere(State(shared): Ctx) -> Response {
    not_found(&shared, "There is no such page.")
}

fn not_found(shared: &Shared, text: &str) -> Response {
    excuse(shared, StatusCode::NOT_FOUND, "Not found", text)
}

fn not_understood(shared: &Shared) -> Response {
    let text = "The part of the address after the question mark cannot be read.";
    excuse(shared, StatusCode::BAD_REQUEST, "Not understood", text)
}

fn no_answer(shared: &Shared, why: &NoAnswer) -> Response {
    let text = format!("The store gave no answer: {why}.");
    excuse(shared, StatusCode::SERVICE_UNAVAILABLE, "Not now", &text)
}

fn excuse(shared: &Shared, status: StatusCode, heading: &str, text: &str) -> Response {
    let html = shared.pages.render(
        "error.html",
        context! {
            title => format!("{heading} · Posse"),
            here => "",
            host => &shared.host,
            heading => heading,
            text => text,
        },
    );
    page(shared, status, html)
}

fn page(shared: &Shared, status: StatusCode, html: Result<String, minijinja::Error>) -> Response {
    match html {
        Ok(html) => {
            let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
            (status, [kind], Body::from(html)).into_response()
        }
        Err(e) => {
            tracing::error!(error = %e, host = shared.host, "a page could not be made");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this page could not be made\n",
            )
        }
    }
}
