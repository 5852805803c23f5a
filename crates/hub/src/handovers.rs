//! The door through which files of cases change hands: an organisation offers one to another, which
//! lists, takes and signs for what was offered to it, asks for more and tells what came of it.
//! Shapes in `docs/handover.md`.
//!
//! Members come with their certificate, as in the guards' protocol. Whatever leaves is on the
//! ledger before its first byte goes out. A package lies in the state folder under its hash,
//! there whole or not at all. Must not: show anybody a hand-over they have no part in, or open a
//! package.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path as UrlPath, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use casework::handover::{
    Handover, Standing,
    api::{
        Answer, Ask, BODY_BYTES_MAX, Decline, Done, OFFER_HEADER, PACKAGE_BYTES_MAX, Receipt,
        Report, Told,
    },
};
use fleet::api::Fault;
use futures_util::StreamExt as _;
use model::{ContentHash, HandoverAct};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    Caller, Core, OrderError,
    gate::Needs,
    limits::{BODY_WAIT_MAX, HANDOVERS_LISTED_MAX, PACKAGE_WAIT_MAX},
    registry::HandoverFile,
    routes::status_of,
    server::Session,
    worker::{Order, handovers::seen_by, wall_clock},
};

/// Below the state folder.
const FOLDER: &str = "handovers";
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are read ahead of a slow receiver.
const PIECES_AHEAD: usize = 4;

pub(crate) fn router(core: Core) -> Router {
    let routes = Router::new()
        .route("/offers", get(list).post(offer))
        .route("/offers/{org}/{number}", get(show))
        .route("/offers/{org}/{number}/package", get(package))
        .route("/offers/{org}/{number}/receipt", post(receipt))
        .route("/offers/{org}/{number}/decline", post(decline))
        .route("/offers/{org}/{number}/requests", post(ask))
        .route("/offers/{org}/{number}/answers", post(answer))
        .route("/offers/{org}/{number}/outcomes", post(outcome))
        .with_state(core);
    Router::new().nest("/handover/v1", routes)
}

type Hub = State<Core>;
type Place = UrlPath<(String, String)>;

/// Who asks, by the connection's certificate, if the route is open to their role.
fn known(core: &Core, request: &Request) -> Result<Caller, Refused> {
    let session = request.extensions().get::<Session>().copied();
    let fingerprint = session.and_then(|s| s.fingerprint);
    match core.caller_by_certificate(fingerprint.ok_or(Refused::NoCertificate)?) {
        Err(OrderError::Unknown) => Err(Refused::NoCertificate),
        other => {
            let by = other?;
            core.admit(&by, Needs::of(request.method(), request.extensions()))?;
            Ok(by)
        }
    }
}

//------------ Looking -------------------------------------------------------

async fn list(State(core): Hub, request: Request) -> Result<Response, Refused> {
    let by = known(&core, &request)?;
    let now = wall_clock();
    // The first sight of an offer is a look: on the ledger before the list goes out.
    let unseen: Vec<String> = {
        let view = core.shared().view();
        let unseen = seen_by(&by, view.registry.handovers.values())
            .filter(|file| file.to == by.organisation && file.acts.len() == 1);
        unseen.map(|file| file.key.clone()).collect()
    };
    for key in unseen.into_iter().take(HANDOVERS_LISTED_MAX) {
        let act = HandoverAct::Looked {
            at: now,
            handover: key.clone(),
            by: by.name.to_string(),
            what: "list".to_owned(),
        };
        hand_over(&core, &by, key, act).await?;
    }
    let view = core.shared().view();
    let all = seen_by(&by, view.registry.handovers.values());
    // The newest are the last by their numbers.
    let mut told: Vec<Told> = all.map(|file| tell(file, now)).collect();
    let skip = told.len().saturating_sub(HANDOVERS_LISTED_MAX);
    told.drain(..skip);
    Ok(Json(told).into_response())
}

async fn show(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    let by = known(&core, &request)?;
    let file = find(&core, &by, &format!("{org}/{number}"))?;
    Ok(Json(tell(&file, wall_clock())).into_response())
}

fn find(core: &Core, by: &Caller, key: &str) -> Result<Arc<HandoverFile>, Refused> {
    let view = core.shared().view();
    let file = view.registry.handovers.get(key);
    let found = file.and_then(|file| seen_by(by, std::iter::once(file)).next().cloned());
    found.ok_or_else(|| OrderError::Unknown.into())
}

fn tell(file: &HandoverFile, now: model::Timestamp) -> Told {
    let standing = Handover::of(&file.acts).map(|sum| sum.in_words(now));
    Told {
        handover: file.key.clone(),
        standing: standing.unwrap_or_default(),
        acts: file.acts.clone(),
    }
}

async fn package(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    let by = known(&core, &request)?;
    let key = format!("{org}/{number}");
    let file = find(&core, &by, &key)?;
    let Some(HandoverAct::Offered { package, bytes, .. }) = file.acts.first() else {
        return Err(OrderError::Unknown.into());
    };
    let path = folder(&core)?.join(package.to_string());
    let opened = File::open(&path).map_err(|_| {
        Refused::Gone("the hub no longer has this package; ask its sender for it again")
    })?;
    let act = HandoverAct::Looked {
        at: wall_clock(),
        handover: key.clone(),
        by: by.name.to_string(),
        what: "package".to_owned(),
    };
    // Durable before the first byte leaves; what cannot be recorded is not handed out.
    hand_over(&core, &by, key, act).await?;
    let mut response = Response::new(Body::from_stream(pieces(opened)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/zip"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(*bytes));
    Ok(response)
}

/// Reads on a thread of its own: a disk must not hold up the others.
fn pieces(mut file: File) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = match file.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => {
                    piece.truncate(n);
                    Ok(Bytes::from(piece))
                }
                Err(e) => Err(e),
            };
            let is_last = read.is_err();
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    })
}

//------------ Acting --------------------------------------------------------

async fn offer(State(core): Hub, request: Request) -> Result<Response, Refused> {
    let by = known(&core, &request)?;
    let act = offered(request.headers())?;
    let HandoverAct::Offered { package, bytes, .. } = &act else {
        return Err(Refused::Malformed("the header holds no offer".to_owned()));
    };
    if *bytes > PACKAGE_BYTES_MAX {
        return Err(Refused::TooLarge(PACKAGE_BYTES_MAX));
    }
    casework::handover::check(&act).map_err(|e| Refused::Malformed(e.to_string()))?;
    let (package, bytes) = (*package, *bytes);
    let folder = folder(&core)?;
    let part = Part::make(&folder)?;
    let taken = timeout(PACKAGE_WAIT_MAX, take(request.into_body(), &part, bytes));
    let found = taken
        .await
        .map_err(|_| Refused::Malformed("the package did not come in time".to_owned()))??;
    if found != package {
        let why = format!("the package's SHA-256 is {found}, the offer says {package}");
        return Err(Refused::Malformed(why));
    }
    part.keep(&folder.join(package.to_string()))?;
    let key = act.handover().to_owned();
    let done = hand_over(&core, &by, key, act).await;
    if done.is_err() {
        forget(&core, &folder, package);
    }
    Ok(Json(done?).into_response())
}

fn offered(headers: &HeaderMap) -> Result<HandoverAct, Refused> {
    let bad = || Refused::Malformed(format!("the header {OFFER_HEADER} holds no offer"));
    let text = headers.get(OFFER_HEADER).ok_or_else(bad)?;
    let json = STANDARD.decode(text.as_bytes()).map_err(|_| bad())?;
    serde_json::from_slice(&json).map_err(|_| bad())
}

/// A package on its way in; gone again unless it is kept.
struct Part(PathBuf);

impl Part {
    fn make(folder: &Path) -> Result<Self, Refused> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| Refused::Disk("no randomness".to_owned()))?;
        let name = format!("{:016x}.part", u64::from_be_bytes(random));
        Ok(Self(folder.join(name)))
    }

    fn keep(&self, to: &Path) -> Result<(), Refused> {
        let sync = |path: &Path| File::open(path)?.sync_all();
        sync(&self.0)
            .and_then(|()| fs::rename(&self.0, to))
            .and_then(|()| to.parent().map_or(Ok(()), sync))
            .map_err(|e| Refused::Disk(e.to_string()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is not there when it was kept.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes while it counts and hashes.
async fn take(body: Body, part: &Part, bytes: u64) -> Result<ContentHash, Refused> {
    let disk = |e: std::io::Error| Refused::Disk(e.to_string());
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part.0)
        .map_err(disk)?;
    let mut stream = body.into_data_stream();
    let (mut hash, mut left) = (Sha256::new(), bytes);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Refused::Malformed("the package broke off".to_owned()))?;
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or(Refused::TooLarge(bytes))?;
        hash.update(&piece);
        file.write_all(&piece).map_err(disk)?;
    }
    Ok(ContentHash::from_bytes(hash.finalize().into()))
}

/// Takes a package away that no hand-over names.
fn forget(core: &Core, folder: &Path, package: ContentHash) {
    let view = core.shared().view();
    let is_named = view.registry.handovers.values().any(|file| {
        matches!(file.acts.first(),
                 Some(HandoverAct::Offered { package: p, .. }) if *p == package)
    });
    if !is_named {
        let _ = fs::remove_file(folder.join(package.to_string()));
    }
}

async fn receipt(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    act(
        &core,
        request,
        org,
        number,
        |handover, _, receipt: Receipt| HandoverAct::Received {
            at: receipt.at,
            handover,
            by: receipt.by,
            manifest: receipt.manifest,
            key: receipt.key,
            signature: receipt.signature,
        },
    )
    .await
}

async fn decline(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    act(
        &core,
        request,
        org,
        number,
        |handover, at, decline: Decline| HandoverAct::Declined {
            at,
            handover,
            by: decline.by,
            reason: decline.reason,
        },
    )
    .await
}

async fn ask(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    act(&core, request, org, number, |handover, at, ask: Ask| {
        HandoverAct::MoreAsked {
            at,
            handover,
            request: "RQ-0".to_owned(),
            by: ask.by,
            wish: ask.wish,
            legal_basis: ask.legal_basis,
            due: ask.due,
        }
    })
    .await
}

async fn answer(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    act(
        &core,
        request,
        org,
        number,
        |handover, at, answer: Answer| HandoverAct::Answered {
            at,
            handover,
            request: answer.request,
            by: answer.by,
            answer: answer.answer,
        },
    )
    .await
}

async fn outcome(
    State(core): Hub,
    UrlPath((org, number)): Place,
    request: Request,
) -> Result<Response, Refused> {
    act(
        &core,
        request,
        org,
        number,
        |handover, at, report: Report| HandoverAct::OutcomeReported {
            at,
            handover,
            by: report.by,
            outcome: report.outcome,
        },
    )
    .await
}

async fn act<T: DeserializeOwned>(
    core: &Core,
    request: Request,
    org: String,
    number: String,
    make: impl FnOnce(String, model::Timestamp, T) -> HandoverAct,
) -> Result<Response, Refused> {
    let by = known(core, &request)?;
    let key = format!("{org}/{number}");
    let read = timeout(BODY_WAIT_MAX, to_bytes(request.into_body(), BODY_BYTES_MAX));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(Refused::TooLarge(BODY_BYTES_MAX as u64)),
        Err(_) => {
            return Err(Refused::Malformed(
                "the body did not come in time".to_owned(),
            ));
        }
    };
    let told = serde_json::from_slice(&bytes).map_err(|e| Refused::Malformed(e.to_string()))?;
    let act = make(key.clone(), wall_clock(), told);
    let done = hand_over(core, &by, key, act).await?;
    Ok(Json(done).into_response())
}

async fn hand_over(
    core: &Core,
    by: &Caller,
    key: String,
    act: HandoverAct,
) -> Result<Done, OrderError> {
    core.hand_over(by, key, act).await
}

fn folder(core: &Core) -> Result<PathBuf, Refused> {
    let dir = core.shared().packages.get();
    dir.cloned()
        .ok_or_else(|| Refused::Disk("this hub keeps nothing on disk".to_owned()))
}

impl Core {
    /// One act of a hand-over, durable when it is answered.
    pub async fn hand_over(
        &self,
        by: &Caller,
        key: String,
        act: HandoverAct,
    ) -> Result<Done, OrderError> {
        let by = by.clone();
        let act = Box::new(act);
        self.order(|reply| Order::HandOver {
            by,
            key,
            act,
            reply,
        })
        .await
    }

    /// Offers that nobody has signed for, and how many seconds the oldest of them has waited.
    pub fn handovers_waiting(&self) -> (usize, u64) {
        let now = wall_clock();
        let view = self.shared().view();
        let sums = view.registry.handovers.values();
        let waits: Vec<u64> = sums
            .filter_map(|file| Handover::of(&file.acts).ok())
            .filter(|sum| sum.standing == Standing::Offered)
            .map(|sum| now.since(sum.offered).as_secs())
            .collect();
        (waits.len(), waits.iter().copied().max().unwrap_or(0))
    }

    /// Makes room for packages in the state folder; what a killed hub left half-way goes.
    pub(crate) fn keep_packages_in(&self, dir: &Path) -> std::io::Result<()> {
        let folder = dir.join(FOLDER);
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&folder)?;
        for file in fs::read_dir(&folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|e| e == "part") {
                fs::remove_file(path)?;
            }
        }
        // It is set once, when the hub is opened.
        let _ = self.shared().packages.set(folder);
        Ok(())
    }
}

//------------ Refusals ------------------------------------------------------

enum Refused {
    NoCertificate,
    TooLarge(u64),
    Malformed(String),
    Gone(&'static str),
    Disk(String),
    Order(OrderError),
}

impl From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, error) = match self {
            Self::NoCertificate => (
                StatusCode::UNAUTHORIZED,
                "no_certificate",
                "no client certificate that this hub knows; join with `posse join`".to_owned(),
            ),
            Self::TooLarge(max) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("at most {max} bytes are taken here"),
            ),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, "malformed", why),
            Self::Gone(why) => (StatusCode::NOT_FOUND, "not_found", why.to_owned()),
            Self::Disk(why) => {
                tracing::error!(%why, "a package could not be kept");
                let text = "the hub cannot keep this now; tell its operator and try again";
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unrecorded",
                    text.to_owned(),
                )
            }
            Self::Order(e) => {
                let (status, code) = status_of(&e);
                (status, code, e.to_string())
            }
        };
        let fault = Fault {
            error: error.chars().take(500).collect(),
            code: code.to_owned(),
            key: None,
            last_sequence: None,
            refused: Vec::new(),
        };
        (status, Json(fault)).into_response()
    }
}
