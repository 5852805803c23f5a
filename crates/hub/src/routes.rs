//! The guards' own protocol; `docs/hub.md` has its shapes.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use casework::spread::SpreadQuestion;
use fleet::{
    CommunityId, Generation, SignedStatement, SnapshotHash,
    api::{
        AppealAnswer, AppealRequest, Fault, Here, HereAnswer, JoinRequest, Membership, RefusedOp,
        RenewRequest, StatementAnswer,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::{
    Caller, Core, OrderError,
    core::unix_ms,
    fanout::Next,
    gate::{self, Act, Needs},
    limits,
    member::{Join, Joined, Opening, Renew, token_secret},
    registry::{Certificate, Fingerprint},
    server::Session,
    tls::ca::CLIENT_LIFE,
};

/// How often a guard is asked to tell how it is.
const HERE_SECONDS: u64 = 10;
/// What a client is told to wait when the hub is busy.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

struct Shared {
    core: Core,
    /// The root certificate, PEM.
    root: String,
}

type Fleet = State<Arc<Shared>>;

pub(crate) fn router(core: Core, root: String) -> Router {
    let fleet = Router::new()
        .route("/join", post(join))
        .route("/renew", post(renew))
        .route("/here", post(here))
        .route("/{community}/stream", get(stream))
        .route("/{community}/snapshot/{hash}", get(snapshot))
        .route("/{community}/statements", post(statements))
        .route("/{community}/appeals", post(appeals))
        .route("/{community}/spread", post(spread))
        .with_state(Arc::new(Shared { core, root }));
    Router::new().nest("/fleet/v1", fleet)
}

//------------ Joining -------------------------------------------------------

async fn join(State(shared): Fleet, request: Request) -> Result<Response, Refused> {
    let session = session(&request)?;
    let asked: JoinRequest = json(request).await?;
    let join = Join {
        secret: token_secret(&asked.token).ok_or(OrderError::Token("wrong"))?,
        name: asked.name,
        tls_point: point(&asked.tls_key)?,
        statement_key: asked.statement_key,
        from: session.from.ip().to_canonical(),
    };
    let joined = shared.core.join(join).await?;
    Ok(answer(&shared.membership(joined)?))
}

async fn renew(State(shared): Fleet, request: Request) -> Result<Response, Refused> {
    let (_, fingerprint) = shared.known(&request)?;
    let asked: RenewRequest = json(request).await?;
    let tls_point = point(&asked.tls_key)?;
    let joined = shared
        .core
        .renew(Renew {
            fingerprint,
            tls_point,
        })
        .await?;
    Ok(answer(&shared.membership(joined)?))
}

fn point(text: &str) -> Result<Vec<u8>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| Refused::malformed("tls_key is not base64url without padding"))
}

impl Shared {
    fn membership(&self, joined: Joined) -> Result<Membership, Refused> {
        let roster_key = self
            .core
            .shared()
            .roster_key()
            .ok_or(OrderError::Stopping)?;
        Ok(Membership {
            organisation: joined.member.organisation.clone(),
            role: joined.member.role,
            name: joined.member.name.clone(),
            communities: joined.communities,
            hub_organisation: self.core.hub_organisation().clone(),
            certificate: joined.certificate,
            ca: self.root.clone(),
            roster_key,
            valid_seconds: CLIENT_LIFE.as_secs(),
            renew_after_seconds: CLIENT_LIFE.as_secs() / 2,
            now: self.core.now(),
        })
    }

    /// Who asks, by the connection's certificate, if the route is open to their role.
    fn known(&self, request: &Request) -> Result<(Caller, Fingerprint), Refused> {
        let session = session(request)?;
        let fingerprint = session.fingerprint.ok_or(Refused::NoCertificate)?;
        match self.core.caller_by_certificate(fingerprint) {
            Ok(caller) => {
                let from = session.from.ip().to_canonical();
                let presences = &self.core.shared().presences;
                presences.heard(&caller.organisation, &caller.name, from, |_| {});
                let needs = Needs::of(request.method(), request.extensions());
                self.core.admit(&caller, needs)?;
                Ok((caller, fingerprint))
            }
            Err(OrderError::Unknown) => Err(Refused::NoCertificate),
            Err(e) => Err(e.into()),
        }
    }
}

fn session(request: &Request) -> Result<Session, Refused> {
    let found = request.extensions().get::<Session>();
    found.copied().ok_or(Refused::NoCertificate)
}

//------------ Presence ------------------------------------------------------

async fn here(State(shared): Fleet, request: Request) -> Result<Response, Refused> {
    let (caller, _) = shared.known(&request)?;
    let from = session(&request)?.from.ip().to_canonical();
    let told: Here = json(request).await?;
    let presences = &shared.core.shared().presences;
    presences.heard(&caller.organisation, &caller.name, from, |presence| {
        presence.agent = told.version.chars().take(64).collect();
        presence.here = Some(told);
    });
    Ok(answer(&HereAnswer {
        now: shared.core.now(),
        next_seconds: HERE_SECONDS,
        renew: false,
    }))
}

//------------ The stream ----------------------------------------------------

#[derive(Deserialize)]
struct Place {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    roster: u64,
}

async fn stream(
    State(shared): Fleet,
    Path(community): Path<String>,
    Query(place): Query<Place>,
    request: Request,
) -> Result<Response, Refused> {
    let (caller, fingerprint) = shared.known(&request)?;
    let community = community_of(&community)?;
    gate::may_in(&caller, Act::Read, &community)?;
    let presences = &shared.core.shared().presences;
    if presences.streams_of(&caller.organisation) >= limits::STREAMS_PER_ORGANISATION_MAX {
        let max = limits::STREAMS_PER_ORGANISATION_MAX;
        return Err(OrderError::TooMany {
            max,
            what: "streams of one organisation",
        }
        .into());
    }
    let certificate = {
        let view = shared.core.shared().view();
        view.registry.certificates.get(&fingerprint).cloned()
    };
    let certificate = certificate.ok_or(Refused::NoCertificate)?;
    let from = session(&request)?.from.ip().to_canonical();
    let opening = shared
        .core
        .open_stream(&community, Generation(place.from), place.roster)
        .await?;
    let Opening { first, reader } = opening;
    let place = Following {
        _watched: Watched::new(&shared.core, &caller, from),
        core: shared.core.clone(),
        certificate,
        community,
        reader,
        first: Some(first),
    };
    let body = futures_util::stream::unfold(place, |mut place| async move {
        let piece = place.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), place))
    });
    let mut response = Response::new(Body::from_stream(body));
    let binary = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, binary);
    Ok(response)
}

struct Following {
    _watched: Watched,
    core: Core,
    certificate: Arc<Certificate>,
    community: CommunityId,
    reader: crate::fanout::Reader,
    first: Option<Bytes>,
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let certificate = &self.certificate;
        let quick = || certificate.revoked.is_set() || certificate.not_after_unix_ms <= unix_ms();
        let whole = || match self.core.caller_by_certificate(certificate.fingerprint) {
            Ok(caller) => gate::may_in(&caller, Act::Read, &self.community).is_err(),
            Err(_) => true,
        };
        match self.reader.next(quick, whole).await {
            Next::Piece(piece) => Some(piece),
            Next::Lost => None,
        }
    }
}

/// A stream counts as long as it lives.
struct Watched {
    core: Core,
    caller: Caller,
    from: IpAddr,
}

impl Watched {
    fn new(core: &Core, caller: &Caller, from: IpAddr) -> Self {
        let presences = &core.shared().presences;
        presences.heard(&caller.organisation, &caller.name, from, |p| {
            p.streams += 1;
        });
        presences.stream_began(&caller.organisation);
        Self {
            core: core.clone(),
            caller: caller.clone(),
            from,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let presences = &self.core.shared().presences;
        let Caller {
            organisation, name, ..
        } = &self.caller;
        presences.heard(organisation, name, self.from, |p| {
            p.streams = p.streams.saturating_sub(1);
        });
        presences.stream_ended(organisation);
    }
}

async fn snapshot(
    State(shared): Fleet,
    Path((community, hash)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let (caller, _) = shared.known(&request)?;
    let community = community_of(&community)?;
    gate::may_in(&caller, Act::Read, &community)?;
    let hash: SnapshotHash = hash.parse().map_err(|_| OrderError::Unknown)?;
    let found = shared
        .core
        .snapshot(&community, &hash)
        .ok_or(OrderError::Unknown)?;
    let mut response = Response::new(Body::from(Bytes::from_owner(Owned(found))));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=31536000, immutable"),
    );
    Ok(response)
}

/// All who fetch a snapshot share its bytes.
struct Owned(Arc<fleet::Snapshot>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

//------------ Statements and appeals ----------------------------------------

async fn statements(
    State(shared): Fleet,
    Path(community): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (caller, _) = shared.known(&request)?;
    let community = community_of(&community)?;
    gate::may_in(&caller, Act::State, &community)?;
    let from = session(&request)?.from.ip().to_canonical();
    let bytes = body(request).await?;
    let signed = SignedStatement::decode(&bytes).map_err(|e| Refused::malformed(&e.to_string()))?;
    let (index, taken) = shared.core.state(&caller, &community, signed, from).await?;
    Ok(answer(&StatementAnswer {
        index,
        generation: taken.generation.unwrap_or_default(),
        repeated: taken.repeated,
        refused: refused_ops(&taken.refused),
    }))
}

fn refused_ops(refused: &[crate::RefusedBan]) -> Vec<RefusedOp> {
    let op = |r: &crate::RefusedBan| RefusedOp {
        op: r.op,
        reason: "policy".to_owned(),
        text: format!("{}: {}", r.prefix, r.reason),
    };
    refused.iter().map(op).collect()
}

async fn appeals(
    State(shared): Fleet,
    Path(community): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (caller, _) = shared.known(&request)?;
    let community = community_of(&community)?;
    let asked: AppealRequest = json(request).await?;
    let ruled = shared
        .core
        .appeal(&caller, &community, asked.prefix, &asked.reason)
        .await?;
    let (released, text, index) = ruled;
    Ok(answer(&AppealAnswer {
        released,
        text,
        index,
    }))
}

async fn spread(
    State(shared): Fleet,
    Path(community): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let (caller, _) = shared.known(&request)?;
    let community = community_of(&community)?;
    gate::may_in(&caller, Act::Read, &community)?;
    let asked: SpreadQuestion = json(request).await?;
    let told = shared.core.spreads(&caller, &community, asked).await?;
    Ok(answer(&told))
}

//------------ Bodies and refusals -------------------------------------------

fn community_of(text: &str) -> Result<CommunityId, Refused> {
    text.parse().map_err(|_| OrderError::Unknown.into())
}

async fn body(request: Request) -> Result<Bytes, Refused> {
    let read = to_bytes(request.into_body(), limits::BODY_BYTES_MAX);
    match timeout(limits::BODY_WAIT_MAX, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Refused::TooLarge),
        Err(_) => Err(Refused::malformed("the body did not come in time")),
    }
}

async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    let bytes = body(request).await?;
    serde_json::from_slice(&bytes).map_err(|e| Refused::malformed(&e.to_string()))
}

fn answer<T: Serialize>(value: &T) -> Response {
    axum::Json(value).into_response()
}

/// What is not answered 2xx.
enum Refused {
    NoCertificate,
    TooLarge,
    Malformed(String),
    Order(OrderError),
}

impl Refused {
    fn malformed(why: &str) -> Self {
        Self::Malformed(why.chars().take(300).collect())
    }
}

impl std::convert::From<OrderError> for Refused {
    fn from(error: OrderError) -> Self {
        Self::Order(error)
    }
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, code, error) = match &self {
            Self::NoCertificate => (
                StatusCode::UNAUTHORIZED,
                "no_certificate",
                "no client certificate that this hub knows; join with `posse join`".to_owned(),
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("a body has at most {} bytes here", limits::BODY_BYTES_MAX),
            ),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, "malformed", why.clone()),
            Self::Order(e) => {
                let (status, code) = status_of(e);
                (status, code, e.to_string())
            }
        };
        let mut fault = Fault {
            error,
            code: code.to_owned(),
            key: None,
            last_sequence: None,
            refused: Vec::new(),
        };
        match &self {
            Self::Order(OrderError::SequenceSeen { next }) => {
                fault.last_sequence = Some(next.saturating_sub(1));
            }
            Self::Order(OrderError::OpsRefused(ops)) => fault.refused = refused_ops(ops),
            _ => {}
        }
        let mut response = (status, axum::Json(fault)).into_response();
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

pub(crate) fn status_of(error: &OrderError) -> (StatusCode, &'static str) {
    match error {
        OrderError::Forbidden { .. } => (StatusCode::FORBIDDEN, "role"),
        OrderError::NotMember { .. } => (StatusCode::FORBIDDEN, "not_member"),
        OrderError::Revoked => (StatusCode::FORBIDDEN, "revoked"),
        OrderError::Token("used") => (StatusCode::FORBIDDEN, "token_used"),
        OrderError::Token("expired") => (StatusCode::FORBIDDEN, "token_expired"),
        OrderError::Token(_) => (StatusCode::FORBIDDEN, "token_wrong"),
        OrderError::Unknown => (StatusCode::NOT_FOUND, "not_found"),
        OrderError::NameTaken(_) => (StatusCode::CONFLICT, "name_taken"),
        OrderError::KeyTaken => (StatusCode::CONFLICT, "key_taken"),
        OrderError::SequenceSeen { .. } => (StatusCode::CONFLICT, "replayed"),
        OrderError::Signature => (StatusCode::UNPROCESSABLE_ENTITY, "signature"),
        OrderError::OpsRefused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "ops_refused"),
        OrderError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
        OrderError::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
        OrderError::Budget(_) => (StatusCode::TOO_MANY_REQUESTS, "budget"),
        OrderError::Busy | OrderError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        OrderError::Unrecorded(_) => (StatusCode::SERVICE_UNAVAILABLE, "unrecorded"),
    }
}
