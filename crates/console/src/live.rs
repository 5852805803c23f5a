//! Streams of server-sent events (WHATWG HTML §9.2): pages that follow, and readers of the news.
//!
//! Nothing is queued for a reader. It is woken when something happened and then takes what is new
//! from the picture, so a slow one misses steps in between but never holds anything up, and one
//! that comes back needs only the number of what it had last.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    clock,
    limits::{HEARTBEAT, RETRY, STREAM_LIFE, UPDATE_EVERY, UPDATE_PAUSE},
    pages::Shown,
    picture::Version,
    shared::Shared,
};

/// A page that is open.
pub(crate) fn page(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    after: Option<Version>,
) -> Response {
    let follower = Follower {
        bell: shared.rung.subscribe(),
        shared,
        shown: after.map_or_else(Shown::default, Shown::up_to),
        end: Instant::now() + STREAM_LIFE,
        begun: false,
        _permit: permit,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Sse::new(events).into_response()
}

struct Follower {
    shared: Arc<Shared>,
    bell: watch::Receiver<Version>,
    shown: Shown,
    end: Instant,
    begun: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        if self.begun {
            sleep(UPDATE_PAUSE).await;
            wait(&mut self.bell, UPDATE_EVERY.saturating_sub(UPDATE_PAUSE)).await?;
        }
        if Instant::now() >= self.end {
            return None;
        }
        self.begun = true;
        self.bell.mark_unchanged();
        let now = clock::now();
        let (overview, version) = self.shared.overview(now);
        let pages = &self.shared.pages;
        let update = pages.update(&overview, &mut self.shown, version, now);
        let update = update
            .inspect_err(|e| tracing::error!(error = %e, "a part of the status page"))
            .ok()?;
        let json = serde_json::to_string(&update).ok()?;
        let id = self.shared.event_id(version);
        Some(
            Event::default()
                .event("page")
                .id(id)
                .retry(RETRY)
                .data(json),
        )
    }
}

/// Until the bell rings or the time is up; `None` when the console ends.
async fn wait(bell: &mut watch::Receiver<Version>, time: Duration) -> Option<()> {
    match timeout(time, bell.changed()).await {
        Ok(rung) => rung.ok(),
        Err(_) => Some(()),
    }
}

/// A program that reads the news as JSON.
pub(crate) fn events(
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
    after: Option<Version>,
) -> Response {
    let after = after.unwrap_or_else(|| shared.picture().version);
    let reader = Reader {
        bell: shared.rung.subscribe(),
        shared,
        after,
        end: Instant::now() + STREAM_LIFE,
        _permit: permit,
    };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT);
    Sse::new(events).keep_alive(alive).into_response()
}

struct Reader {
    shared: Arc<Shared>,
    bell: watch::Receiver<Version>,
    after: Version,
    end: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            timeout_at(self.end, self.bell.changed()).await.ok()?.ok()?;
        }
    }

    /// The oldest event after the last one; what is no longer kept is said to be missing.
    fn take(&mut self) -> Option<Event> {
        let picture = self.shared.picture();
        if self.after < picture.forgotten {
            let missed = picture.forgotten - self.after;
            self.after = picture.forgotten;
            let id = self.shared.event_id(self.after);
            let json = format!("{{\"missed_at_most\":{missed}}}");
            return Some(Event::default().event("missed").id(id).data(json));
        }
        let next = picture.events.iter().find(|e| e.version > self.after)?;
        self.after = next.version;
        let id = self.shared.event_id(next.version);
        let event = Event::default().event(next.kind).id(id);
        Some(event.data(&*next.json))
    }
}
