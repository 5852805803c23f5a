//! An exhibit comes in: what is said of it is judged first, then its bytes are hashed and sealed
//! as they come, then it is recorded, then it is acknowledged.

use std::{io, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use casework::submission::{Digests, SUBMISSION_HEADER, Submission, SubmissionError};
use evidence::{Acquired, EvidenceError, Facts, Vault};
use model::{Sender, Timestamp, ToolUsed};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::{
    Here, Room, aside,
    places::Place,
    pour::{Piece, Pour, channel, pump},
    refused::Refused,
};
use crate::{Caller, server::Session};

const CONTENT_DIGEST: &str = "content-digest";

/// What is known before the first byte.
struct Announced {
    by: Caller,
    from: String,
    said: Submission,
    digests: Digests,
    /// Bytes that are to come, if that was said.
    length: u64,
}

pub(super) async fn take(State(room): Here, request: Request) -> Response {
    room.serve(request, async |room, by, request| {
        let announced = announced(&room, by, &request)?;
        taken(room, announced, request).await
    })
    .await
}

fn announced(room: &Room, by: Caller, request: &Request) -> Result<Announced, Refused> {
    let headers = request.headers();
    let header = one(headers, SUBMISSION_HEADER)?.ok_or(SubmissionError::Absent)?;
    let said = Submission::read(header.as_bytes())?;
    let digests = match one(headers, CONTENT_DIGEST)? {
        Some(header) => Digests::read(header.as_bytes())?,
        None => Digests::default(),
    };
    let policy = &room.options.policy;
    if !policy.knows(&said.class) {
        let known: Vec<&str> = policy.classes().map(|(class, _)| class).collect();
        let known = known.join(", ");
        let text = format!("class has no retention period here; use one of {known}");
        return Err(Refused::Lacking(text));
    }
    let length = one(headers, header::CONTENT_LENGTH.as_str())?;
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let length: u64 = length.unwrap_or(0);
    if length > room.options.bytes_max {
        return Err(Refused::TooLarge(room.options.bytes_max));
    }
    let session = request.extensions().get::<Session>();
    let from = session.map(|session| session.from.ip().to_canonical().to_string());
    Ok(Announced {
        by,
        from: from.unwrap_or_default(),
        said,
        digests,
        length,
    })
}

/// A header that comes twice says two things.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, Refused> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(Refused::Query(format!("the header {name} comes twice"))),
    }
}

async fn taken(
    room: Arc<Room>,
    announced: Announced,
    request: Request,
) -> Result<Response, Refused> {
    let organisation = &announced.by.organisation;
    let place = room.places.take(organisation).ok_or(Refused::TooMany)?;
    let bytes_max = room.options.bytes_max;
    let (to, from) = channel();
    let (vault, announced) = {
        let room = Arc::clone(&room);
        aside(move || {
            let vault = room.vault()?;
            room.ready(&vault, &announced)?;
            Ok((vault, announced))
        })
        .await?
    };
    // Whatever becomes of the connection, this thread ends what it began.
    let work = tokio::task::spawn_blocking(move || room.keep(&vault, from, announced, place));
    let poured = pump(request.into_body(), to, bytes_max).await;
    let kept = work
        .await
        .map_err(|_| Refused::Order(crate::OrderError::Stopping))?;
    poured?;
    Ok(acknowledged(&kept?))
}

impl Room {
    /// Said before the bytes are read: a refusal must not cost an hour of sending.
    fn ready(&self, vault: &Vault, announced: &Announced) -> Result<(), Refused> {
        let left = vault.room()?;
        if left < self.options.room_min.saturating_add(announced.length) {
            return Err(Refused::NoRoom);
        }
        let Some(case) = &announced.said.case else {
            return Ok(());
        };
        let store = self.options.ledger.read()?;
        match evidence::read_case(&store, case, Timestamp::MAX) {
            Ok(case) if case.closed.is_none() => Ok(()),
            // Which of the two it is, is not for everyone.
            Ok(_) | Err(EvidenceError::NoSuchCase { .. }) => Err(Refused::Lacking(
                "case is none that is open here; ask the hub's operator".to_owned(),
            )),
            Err(e) => Err(e.into()),
        }
    }

    /// Blocks until the end of the bytes.
    fn keep(
        &self,
        vault: &Vault,
        from: Receiver<Piece>,
        announced: Announced,
        _place: Place,
    ) -> Result<Acquired, Refused> {
        let least = self.options.room_min;
        let room = || match vault.room() {
            Ok(left) if left < least => Err(io::ErrorKind::StorageFull.into()),
            Ok(_) => Ok(()),
            Err(e) => Err(io::Error::other(e)),
        };
        let incoming = vault.take_in(&mut Pour::new(from, &room))?;
        if !announced.digests.fit(&incoming.sha256, &incoming.sha512) {
            return Err(Refused::OtherBytes);
        }
        let sender = sender(&announced);
        let facts = self.facts(announced, &sender);
        let ledger = self.options.ledger.as_ref();
        Ok(vault.acquire_from(ledger, &incoming, facts, Some(Box::new(sender)))?)
    }

    fn facts(&self, announced: Announced, sender: &Sender) -> Facts {
        let Announced { by, said, .. } = announced;
        Facts {
            case: said.case,
            title: said.title,
            file_name: said.file_name,
            media_type: said.media_type,
            by: format!("{}/{}", by.organisation, by.name),
            role: by.role.to_string(),
            place: self.options.place.clone(),
            method: "api".to_owned(),
            authority: said.authority,
            reason: said.reason,
            tool: ToolUsed {
                name: "posse".to_owned(),
                version: self.options.version.clone(),
                rules_hash: String::new(),
                arguments: "hub POST /evidence/v1/exhibits".to_owned(),
            },
            class: said.class,
            tlp: said.tlp,
            sources: Vec::new(),
            alert: None,
            note: note(sender, &said.note),
            parent: None,
        }
    }
}

fn sender(announced: &Announced) -> Sender {
    let Announced { by, from, said, .. } = announced;
    Sender {
        organisation: by.organisation.to_string(),
        name: by.name.to_string(),
        from: from.clone(),
        method: said.method.clone(),
        place: said.place.clone(),
        first_seen: said.first_seen,
        tool: said.tool.clone(),
        clock: said.clock.clone(),
    }
}

/// What every reader must know: which of it is the hub's word, and which the sender's.
fn note(sender: &Sender, said: &str) -> String {
    let mut note = format!(
        "sent by {} of {} from {}; by their word taken by {}",
        sender.name, sender.organisation, sender.from, sender.method
    );
    if !sender.place.is_empty() {
        note.push_str(&format!(" at {}", sender.place));
    }
    if let Some(tool) = &sender.tool {
        note.push_str(&format!(" with {} {}", tool.name, tool.version));
    }
    if let Some(seen) = sender.first_seen {
        note.push_str(&format!(", first seen {seen}"));
    }
    if !said.is_empty() {
        note.push_str(". They say: ");
        note.push_str(said);
    }
    note
}

fn acknowledged(acquired: &Acquired) -> Response {
    let what = &acquired.acquisition;
    let body: Value = json!({
        "exhibit": what.exhibit, "index": acquired.index, "at": what.at, "bytes": what.bytes,
        "sha256": what.sha256, "sha512": what.sha512,
    });
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    let location = format!("/evidence/v1/exhibits/{}", what.exhibit);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
