//! The witness's port: one thing to post, one thing to get. Plain HTTP: what is sent is signed
//! and public; a reverse proxy adds TLS where the path is to be hidden.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::to_bytes,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use ledger::{REQUEST_BYTES_MAX, WitnessRefusal};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{Declined, Witness};
use crate::error::full;

const CONNECTIONS_MAX: usize = 256;
/// Requests that wait for the disk at a time; each holds its body.
const WRITES_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
const HEAD_WAIT: Duration = Duration::from_secs(60);
const BODY_WAIT: Duration = Duration::from_secs(15);
/// No connection outlives this, however slowly its far end reads.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Pause after the kernel refused a connection (no descriptors left).
const RECOVERY: Duration = Duration::from_millis(200);

struct Shared {
    witness: Arc<Witness>,
    writes: Semaphore,
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, witness: Arc<Witness>) -> io::Result<()> {
    let shared = Arc::new(Shared {
        witness,
        writes: Semaphore::new(WRITES_MAX),
    });
    let router = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{id}/checkpoint", get(latest))
        .with_state(shared);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Whoever comes while all places are taken waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    converse(stream, router).await;
                    drop(place);
                });
            }
            Err(e) => {
                tracing::debug!(error = %e, "a connection could not be taken");
                sleep(RECOVERY).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    stream.set_nodelay(true).ok();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(e)) = timeout(CONNECTION_LIFE, connection).await {
        tracing::debug!(error = %e, "a connection ended early");
    }
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let body = to_bytes(request.into_body(), REQUEST_BYTES_MAX);
    let Ok(Ok(body)) = timeout(BODY_WAIT, body).await else {
        let text = format!("a body of at most {REQUEST_BYTES_MAX} bytes, in time\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    let Ok(_turn) = shared.writes.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let witness = Arc::clone(&shared.witness);
    match spawn_blocking(move || witness.add_checkpoint(&body)).await {
        Ok(Ok(lines)) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response()
        }
        Ok(Err(Declined::Refused(refusal))) => refuse(&refusal),
        Ok(Err(Declined::Unkept(e))) => {
            tracing::error!(error = %full(&e), "a checkpoint could not be kept");
            let text = "the checkpoint could not be kept, so it is not cosigned\n";
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refuse(refusal: &WitnessRefusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    // tlog-witness: a 409 tells the size cosigned last, and nothing else.
    match refusal.size() {
        Some(size) => {
            let head = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            (status, head, format!("{size}\n")).into_response()
        }
        None => (status, format!("{refusal}\n")).into_response(),
    }
}

async fn latest(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match shared.witness.latest(&id) {
        Some(note) => {
            let head = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "public, max-age=3"),
            ];
            (head, note).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no checkpoint of such a log\n").into_response(),
    }
}
