//! The log over HTTP: C2SP tlog-tiles, from a connection that only reads.
//!
//! One thread reads the store for all who ask; its queue is short, and what does not fit is told
//! to come back. Nothing here names anyone: leaves hold commitments, kinds and times.

use std::{path::PathBuf, sync::Arc, thread};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use ledger::Tile;
use store::{Store, StoreError};
use tokio::sync::oneshot;

use crate::error::full;

/// Questions that wait at a time.
const QUESTIONS_MAX: usize = 256;
/// What was served once is never anything else.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const A_MOMENT: &str = "public, max-age=3";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What is asked of the store; `None`: there is no such thing.
enum Wanted {
    Checkpoint,
    Tile(Tile),
    Vkeys,
    Policy,
}

type Found = Result<Option<Vec<u8>>, StoreError>;

struct Question {
    wanted: Wanted,
    answer: oneshot::Sender<Found>,
}

#[derive(Clone)]
struct Reader {
    questions: Sender<Question>,
}

/// `checkpoint`, `tile/…`, `vkeys` and `policy` of the ledger in a state folder; to be nested
/// below a prefix. Opens the folder when first asked.
pub fn router(state: PathBuf) -> Router {
    let (questions, queue) = bounded(QUESTIONS_MAX);
    let begun = thread::Builder::new()
        .name("ledger-reader".into())
        .spawn(move || answer_all(&queue, &state));
    if let Err(e) = begun {
        // The queue has no far end then, and every question is told so.
        tracing::error!(error = %e, "the ledger is not served: no thread for it");
    }
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/vkeys", get(vkeys))
        .route("/policy", get(policy))
        .with_state(Arc::new(Reader { questions }))
}

fn answer_all(queue: &Receiver<Question>, state: &std::path::Path) {
    let mut store: Option<Store> = None;
    for question in queue {
        let opened = match store.take() {
            Some(open) => Ok(open),
            None => Store::open_read_only(state),
        };
        let found = opened.and_then(|open| {
            let found = look_up(&open, &question.wanted);
            // After a fault the next question opens it anew.
            if found.is_ok() {
                store = Some(open);
            }
            found
        });
        // Whoever asked may have gone.
        question.answer.send(found).ok();
    }
}

fn look_up(store: &Store, wanted: &Wanted) -> Found {
    Ok(match wanted {
        Wanted::Checkpoint => Some(store.cosigned_checkpoint()?.into_bytes()),
        Wanted::Tile(tile) => store.tile(tile)?,
        Wanted::Vkeys => {
            let lines = store.vkeys().into_iter().map(|vkey| vkey + "\n");
            Some(lines.collect::<String>().into_bytes())
        }
        Wanted::Policy => store.policy()?.map(String::into_bytes),
    })
}

impl Reader {
    async fn ask(&self, wanted: Wanted, kind: &'static str, caching: &'static str) -> Response {
        let (answer, wait) = oneshot::channel();
        if self
            .questions
            .try_send(Question { wanted, answer })
            .is_err()
        {
            return busy();
        }
        match wait.await {
            Ok(Ok(Some(bytes))) => {
                let head = [
                    (header::CONTENT_TYPE, kind),
                    (header::CACHE_CONTROL, caching),
                ];
                (head, bytes).into_response()
            }
            Ok(Ok(None)) => nothing(),
            Ok(Err(e)) => {
                tracing::warn!(error = %full(&e), "the ledger cannot be served");
                let status = if e.is_temporary() {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                (status, "the ledger cannot be read\n").into_response()
            }
            Err(_) => busy(),
        }
    }
}

fn busy() -> Response {
    let head = [(header::RETRY_AFTER, RETRY_AFTER)];
    let text = "too many questions; come back in a moment\n";
    (StatusCode::SERVICE_UNAVAILABLE, head, text).into_response()
}

/// Tiles that are not there yet may be there soon.
fn nothing() -> Response {
    let head = [(header::CACHE_CONTROL, "no-store")];
    (StatusCode::NOT_FOUND, head, "the log has no such thing\n").into_response()
}

type Ctx = State<Arc<Reader>>;

async fn checkpoint(State(reader): Ctx) -> Response {
    reader.ask(Wanted::Checkpoint, TEXT, A_MOMENT).await
}

async fn tile(State(reader): Ctx, Path(path): Path<String>) -> Response {
    match Tile::parse(&format!("tile/{path}")) {
        Ok(tile) => reader.ask(Wanted::Tile(tile), BYTES, FOR_EVER).await,
        Err(_) => nothing(),
    }
}

async fn vkeys(State(reader): Ctx) -> Response {
    reader.ask(Wanted::Vkeys, TEXT, A_MOMENT).await
}

async fn policy(State(reader): Ctx) -> Response {
    reader.ask(Wanted::Policy, TEXT, A_MOMENT).await
}
