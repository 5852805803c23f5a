//! What is known of exhibits, and their bytes, to the organisation whose they are. Everybody else
//! is told that there is no such exhibit.

use std::{io::Read as _, sync::Arc};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use casework::{ExhibitRecord, submission::content_digest};
use evidence::{Look, Unsealed};
use model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::{Instant, timeout_at},
};

use super::{Here, Room, aside, places::Place, refused::Refused};
use crate::{
    Caller, OrderError,
    limits::{EXHIBIT_WAIT_MAX, EXHIBITS_LISTED_MAX, EXHIBITS_LOOKED_AT_MAX, ORDER_WAIT_MAX},
};

/// Characters of a look's reason.
const REASON_CHARS_MAX: usize = 500;
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are read ahead of a slow receiver.
const PIECES_AHEAD: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    case: Option<String>,
    /// The list goes on with those taken before this one.
    before: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    reason: Option<String>,
}

//------------ Records -------------------------------------------------------

pub(super) async fn list(
    State(room): Here,
    wanted: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Response {
    room.serve(request, async |room, by, _| {
        let Query(wanted) = wanted.map_err(|e| Refused::Query(e.body_text()))?;
        let list = room.ask(move |room| room.listed(&by, &wanted)).await?;
        Ok(Json(list).into_response())
    })
    .await
}

pub(super) async fn show(
    State(room): Here,
    Path(number): Path<String>,
    request: Request,
) -> Response {
    room.serve(request, async |room, by, _| {
        let told = room.ask(move |room| {
            let record = room.theirs(&by, &number)?;
            Ok(whole(&record))
        });
        Ok(Json(told.await?).into_response())
    })
    .await
}

impl Room {
    /// A question that reads the ledger, in its turn.
    async fn ask<T: Send + 'static>(
        self: Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let turn = tokio::time::timeout(ORDER_WAIT_MAX, self.questions.acquire()).await;
        let _turn = turn.map_err(|_| OrderError::Busy)?;
        let room = Arc::clone(&self);
        aside(move || question(&room)).await
    }

    /// The newest first. `next` is there when more may follow.
    fn listed(&self, by: &Caller, wanted: &Wanted) -> Result<Value, Refused> {
        let store = self.options.ledger.read()?;
        let mut numbers = store.exhibits().map_err(evidence::EvidenceError::from)?;
        if let Some(before) = &wanted.before {
            let place = numbers.iter().position(|number| number == before);
            numbers.truncate(place.unwrap_or(0));
        }
        let (mut told, mut next) = (Vec::new(), None);
        for (looked, number) in numbers.iter().rev().enumerate() {
            if told.len() >= EXHIBITS_LISTED_MAX || looked >= EXHIBITS_LOOKED_AT_MAX {
                // That one was looked at last, and the list goes on before it.
                next = numbers.get(numbers.len() - looked);
                break;
            }
            let Some(record) = evidence::exhibit(&store, number, Timestamp::MAX)? else {
                continue;
            };
            let case = &record.acquired.what.case;
            let is_wanted = wanted.case.is_none() || wanted.case == *case;
            if is_wanted && self.is_theirs(by, &record) {
                told.push(short(&record));
            }
        }
        Ok(json!({ "exhibits": told, "next": next }))
    }

    /// An exhibit of the caller's organisation.
    fn theirs(&self, by: &Caller, number: &str) -> Result<ExhibitRecord, Refused> {
        let store = self.options.ledger.read()?;
        let found = evidence::exhibit(&store, number, Timestamp::MAX)?;
        let theirs = found.filter(|record| self.is_theirs(by, record));
        theirs.ok_or_else(|| OrderError::Unknown.into())
    }
}

fn state(record: &ExhibitRecord) -> &'static str {
    let custody = record.sum();
    let now = crate::worker::wall_clock();
    match (custody.purged, custody.fixity, custody.hold_in_force(now)) {
        (Some(_), ..) => "destroyed",
        (None, Some((_, false)), _) => "damaged",
        (None, _, Some(_)) => "held",
        (None, _, None) => "kept",
    }
}

fn short(record: &ExhibitRecord) -> Value {
    let what = &record.acquired.what;
    json!({
        "exhibit": what.exhibit,
        "state": state(record),
        "index": record.acquired.index,
        "at": what.at,
        "title": what.title,
        "case": what.case,
        "class": what.class,
        "tlp": what.tlp,
        "bytes": what.bytes,
        "sha256": what.sha256,
    })
}

fn whole(record: &ExhibitRecord) -> Value {
    let steps = record.custody.iter();
    let steps: Vec<Value> = steps
        .map(|step| json!({ "index": step.index, "act": step.what }))
        .collect();
    json!({
        "exhibit": record.acquired.what.exhibit,
        "state": state(record),
        "index": record.acquired.index,
        "acquisition": record.acquired.what,
        "custody": steps,
    })
}

//------------ Bytes ---------------------------------------------------------

pub(super) async fn raw(
    State(room): Here,
    Path(number): Path<String>,
    why: Result<Query<Why>, QueryRejection>,
    request: Request,
) -> Response {
    room.serve(request, async |room, by, _| {
        let Query(why) = why.map_err(|e| Refused::Query(e.body_text()))?;
        let reason = why.reason.unwrap_or_default();
        if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            let text = format!("reason says why, in at most {REASON_CHARS_MAX} characters");
            return Err(Refused::Lacking(text));
        }
        given(room, by, number, reason).await
    })
    .await
}

/// The look is durable when this goes on: what cannot be recorded is not given out.
async fn given(
    room: Arc<Room>,
    by: Caller,
    number: String,
    reason: String,
) -> Result<Response, Refused> {
    let place = room.places.take(&by.organisation);
    let place = place.ok_or(Refused::TooMany)?;
    let looked = room
        .ask(move |room| {
            room.theirs(&by, &number)?;
            let look = Look {
                by: &format!("{}/{}", by.organisation, by.name),
                how: "api",
                reason: &reason,
            };
            let ledger = room.options.ledger.as_ref();
            Ok(room.vault()?.look(ledger, &number, &look)?)
        })
        .await?;
    let what = looked.record.acquired.what;
    let body = Body::from_stream(stream(pieces(looked.bytes, place)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    // Whatever it is, no browser shall run it.
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(what.bytes));
    if let Ok(digest) = HeaderValue::from_str(&content_digest(&what.sha256)) {
        headers.insert("content-digest", digest);
    }
    Ok(response)
}

type Unsealing = std::io::Result<Bytes>;

/// Reads beside the network's threads; who does not take the bytes in time gets no more.
fn pieces(mut bytes: Unsealed, place: Place) -> Receiver<Unsealing> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let deadline = Instant::now() + EXHIBIT_WAIT_MAX;
    tokio::spawn(async move {
        let _place = place;
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                let read = (&mut bytes)
                    .take(PIECE_BYTES as u64)
                    .read_to_end(&mut piece);
                (read.map(|_| Bytes::from(piece)), bytes)
            });
            let Ok((piece, rest)) = read.await else {
                return;
            };
            bytes = rest;
            // What a fault cuts off is shorter than was said: nobody takes it for whole.
            let is_last = piece.as_ref().map_or(true, Bytes::is_empty);
            let sent = timeout_at(deadline, sender.send(piece)).await;
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    receiver
}

fn stream(receiver: Receiver<Unsealing>) -> impl futures_util::Stream<Item = Unsealing> {
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}
