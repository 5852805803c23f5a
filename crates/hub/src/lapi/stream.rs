//! `/v1/decisions/stream`: everything in force, then what changed.
//!
//! A client that bears it is held until something changes, so a ban reaches it within
//! milliseconds although it believes that it polls every ten seconds.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use intel::{lapi::StreamQuestion, pairs};
use tokio::time::{sleep, sleep_until, timeout_at};

use super::{
    Door,
    auth::Peer,
    decisions::PAGE,
    pollers::{Arrival, Identity},
    reply,
    units::{Client, Lists, Look, Touched},
};
use crate::{BanId, Caller, Point, gate::Needs};

/// Values that changed, in one answer; further ones come with the next.
const TOUCHED_MAX: usize = 65_536;
/// Lifted bans that a client hears of which begins anew.
const LIFTED_MAX: usize = 10_000;
/// An answer up to this size goes out in one piece with its length, which lets every client use
/// the connection again.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// Between two looks of a held request.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One question of one bouncer.
struct Asked {
    door: Arc<Door>,
    caller: Caller,
    question: StreamQuestion,
    client: Client,
    who: Identity,
}

pub(super) async fn get(
    State(door): State<Arc<Door>>,
    peer: Peer,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let caller = match door.bouncer(&headers, needs) {
        Ok(caller) => caller,
        Err(refusal) => return *refusal,
    };
    let agent = headers.get(header::USER_AGENT);
    let who = Identity {
        key: Arc::clone(&caller.name),
        ip: peer.ip(),
    };
    let arrival = door.pollers.arrived(&who, peer, Instant::now());
    let asked = Asked {
        question: StreamQuestion::read(&pairs(query.as_deref().unwrap_or_default())),
        client: Client::of(agent.and_then(|a| a.to_str().ok()).unwrap_or_default()),
        caller,
        who,
        door,
    };
    if asked.question.startup {
        return asked.all().await;
    }
    match arrival.fresh_from.zip(arrival.sure_from) {
        Some((fresh_from, sure_from)) => asked.changes(fresh_from, sure_from, &arrival).await,
        // It asked before, but not this process.
        None => asked.all().await,
    }
}

impl Asked {
    fn look(&self) -> Look<'_> {
        Look {
            core: &self.door.core,
            caller: &self.caller,
            client: self.client,
            admits: &self.question.admits,
            dedup: self.question.dedup,
            now: self.door.core.now(),
        }
    }

    //-------- What changed --------------------------------------------------

    async fn changes(self, fresh_from: Point, sure_from: Point, arrival: &Arrival) -> Response {
        let mut news = self.door.core.watch();
        let mut touched = Touched::default();
        let mut cursor = sure_from;
        let mut urgent_since = None;
        let hold_until = arrival.pace.hold_until();
        loop {
            news.borrow_and_update();
            let Some(more) = self.gather(&mut touched, &mut cursor, fresh_from) else {
                // Further behind than is remembered.
                return self.all().await;
            };
            let may_have_missed = sure_from < fresh_from && touched.len() > 0;
            let now = Instant::now();
            if touched.is_urgent {
                urgent_since.get_or_insert(now);
            }
            let until = match urgent_since {
                Some(first) => arrival.pace.tell_at(first),
                None => hold_until,
            };
            if more || may_have_missed || !self.client.may_be_held() || now >= until {
                break;
            }
            if urgent_since.is_some() {
                sleep_until(until.into()).await;
            } else {
                if let Ok(Err(_)) = timeout_at(until.into(), news.changed()).await {
                    // The hub stops: what is known goes out.
                    break;
                }
                // Many may wait here, and each change wakes all.
                sleep(LOOK_EVERY).await;
            }
        }
        let body = touched.lists(&self.look()).body();
        self.door
            .pollers
            .answered(&self.who, cursor, Instant::now());
        reply::json_bytes(StatusCode::OK, body)
    }

    /// Reads changes behind `cursor`. `Some(true)`: there are more than one answer takes; `None`:
    /// they are not remembered that far back.
    fn gather(&self, touched: &mut Touched, cursor: &mut Point, fresh_from: Point) -> Option<bool> {
        loop {
            let changes = self.door.core.changes(&self.caller, *cursor, PAGE)?;
            for change in &changes.list {
                touched.note(change, &self.question.admits, fresh_from);
            }
            *cursor = changes.up_to;
            if !changes.more {
                return Some(false);
            }
            if touched.len() >= TOUCHED_MAX {
                return Some(true);
            }
        }
    }

    //-------- Everything ----------------------------------------------------

    async fn all(self) -> Response {
        // Before the first look: what happens meanwhile comes again with the changes.
        let point = self.door.core.point();
        let mut pages = Pages {
            lifted: Some(self.lifted()),
            asked: self,
            after: 0,
            is_first: true,
            point,
        };
        let mut whole = Vec::new();
        while whole.len() < WHOLE_BYTES_MAX {
            match pages.next() {
                Some(part) => whole.extend_from_slice(&part),
                None => return reply::json_bytes(StatusCode::OK, whole),
            }
            tokio::task::yield_now().await;
        }
        let begun = stream::once(async { Ok::<_, Infallible>(Bytes::from(whole)) });
        let rest = stream::unfold(pages, |mut pages| async {
            tokio::task::yield_now().await;
            let part = pages.next()?;
            Some((Ok(Bytes::from(part)), pages))
        });
        reply::json_bytes(StatusCode::OK, Body::from_stream(begun.chain(rest)))
    }

    /// Bans lifted lately, for a client that kept its bans while it or the hub was away.
    fn lifted(&self) -> Vec<u8> {
        let core = &self.door.core;
        let mut touched = Touched::default();
        let mut cursor = core.oldest_point();
        while let Some(changes) = core.changes(&self.caller, cursor, PAGE) {
            for change in &changes.list {
                if touched.len() < LIFTED_MAX {
                    touched.keep_lifted(change, &self.question.admits);
                }
            }
            cursor = changes.up_to;
            if !changes.more {
                break;
            }
        }
        let Lists { deleted, .. } = touched.lists(&self.look());
        deleted
    }
}

/// The answer with everything, page by page: no one holds all of it.
struct Pages {
    asked: Asked,
    /// What the other list holds; taken when the answer is complete.
    lifted: Option<Vec<u8>>,
    after: BanId,
    is_first: bool,
    point: Point,
}

impl Pages {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.lifted.as_ref()?;
        let mut out = Vec::new();
        let page = self
            .asked
            .door
            .core
            .bans(&self.asked.caller, self.after, PAGE);
        self.asked.look().page(&page, &mut out);
        if self.after == 0 {
            out.splice(0..0, *b"{\"new\":[");
            self.is_first = out.len() == 8;
        } else if !out.is_empty() {
            if !self.is_first {
                out.insert(0, b',');
            }
            self.is_first = false;
        }
        match page.last() {
            Some(last) => self.after = last.id,
            None => {
                out.extend_from_slice(b"],\"deleted\":[");
                out.extend(self.lifted.take().unwrap_or_default());
                out.extend_from_slice(b"]}");
                // Only now: an answer that broke off before was none.
                let pollers = &self.asked.door.pollers;
                pollers.began(&self.asked.who, self.point, Instant::now());
            }
        }
        Some(out)
    }
}
