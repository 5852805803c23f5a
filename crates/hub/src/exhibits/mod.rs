//! The door for evidence: exhibits come in as a stream and are sealed as they come; records and
//! bytes go out to the organisation whose they are. Shapes in `docs/exhibits.md`.
//!
//! Members come with their certificate, people with the token of their login, over TLS only. The
//! vault does the hashing, sealing and recording; here is who may, how much, and for how long.
//! Must not: hold an exhibit in memory, give a byte out before the look is on the ledger, or
//! change an exhibit.

mod give;
mod places;
mod pour;
mod refused;
mod take;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use casework::{ExhibitRecord, RetentionPolicy};
use evidence::{Ledger, TimeServer, Vault};
use tokio::sync::Semaphore;

use self::{places::Places, refused::Refused};
use crate::{
    Caller, Core, OrderError,
    gate::{self, Act},
    lapi::People,
    limits::{EXHIBIT_QUESTIONS_MAX, EXHIBITS_MOVING_MAX, EXHIBITS_MOVING_PER_ORGANISATION_MAX},
    server::Session,
    worker::{Order, wall_clock},
};

/// How exhibits are kept here.
#[derive(Clone)]
pub struct ExhibitOptions {
    /// The state folder.
    pub state: PathBuf,
    pub ledger: Arc<dyn Ledger + Send + Sync>,
    /// The classes there are.
    pub policy: RetentionPolicy,
    /// Bytes of one exhibit.
    pub bytes_max: u64,
    /// Bytes that are left free on the disk.
    pub room_min: u64,
    /// Asked how far the clock is off when an exhibit is taken.
    pub time_servers: Vec<TimeServer>,
    /// The version of the program, for the record.
    pub version: String,
    /// This machine's name, for the record.
    pub place: String,
}

impl fmt::Debug for ExhibitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExhibitOptions")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What all routes share.
struct Room {
    core: Core,
    people: Option<People>,
    options: ExhibitOptions,
    /// Opened by the first who needs it: a hub that takes no evidence has no vault.
    vault: Mutex<Option<Arc<Vault>>>,
    places: Places,
    questions: Semaphore,
}

type Here = State<Arc<Room>>;

pub(crate) fn router(core: Core, people: Option<People>, options: ExhibitOptions) -> Router {
    let room = Arc::new(Room {
        core,
        people,
        options,
        vault: Mutex::default(),
        places: Places::new(EXHIBITS_MOVING_MAX, EXHIBITS_MOVING_PER_ORGANISATION_MAX),
        questions: Semaphore::new(EXHIBIT_QUESTIONS_MAX),
    });
    let tidying = Arc::clone(&room);
    tokio::task::spawn_blocking(move || tidying.tidy());
    let routes = Router::new()
        .route("/exhibits", get(give::list).post(take::take))
        .route("/exhibits/{number}", get(give::show))
        .route("/exhibits/{number}/raw", get(give::raw))
        .method_not_allowed_fallback(never_changed)
        .with_state(room);
    Router::new().nest("/evidence/v1", routes)
}

/// What was acquired stays as it is: there is no verb that changes or removes it.
async fn never_changed(State(room): Here, request: Request) -> Response {
    let allowed = match request.uri().path().ends_with("/exhibits") {
        true => "GET, HEAD, POST",
        false => "GET, HEAD",
    };
    let refused = match room.known(&request) {
        Ok(by) => room.refused(&by, Refused::Never).await,
        Err(refused) => refused.into_response(),
    };
    let mut response = refused;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

impl Room {
    /// Who asks: by the connection's certificate, else by a person's token.
    fn known(&self, request: &Request) -> Result<Caller, Refused> {
        let session = request.extensions().get::<Session>();
        match session.and_then(|session| session.fingerprint) {
            Some(fingerprint) => match self.core.caller_by_certificate(fingerprint) {
                Err(OrderError::Unknown) => Err(Refused::NobodyKnown),
                other => Ok(other?),
            },
            None => {
                let people = self.people.as_ref();
                let person = people.and_then(|people| people.caller(request.headers()));
                person.ok_or(Refused::NobodyKnown)
            }
        }
    }

    /// The answer to a refused request, once the refusal is on record.
    async fn refused(&self, by: &Caller, refused: Refused) -> Response {
        let reason = refused.for_the_record();
        let recorded = self.core.note_refusal(by, "exhibit", &reason).await;
        if let Err(e) = recorded {
            tracing::warn!(error = %e, "a refusal is not on record");
        }
        refused.into_response()
    }

    /// Works for who may, and puts on record what is refused.
    async fn serve(
        self: Arc<Self>,
        request: Request,
        work: impl AsyncFnOnce(Arc<Self>, Caller, Request) -> Result<Response, Refused>,
    ) -> Response {
        let by = match self.known(&request) {
            Ok(by) => by,
            Err(refused) => return refused.into_response(),
        };
        if let Err(e) = gate::may(&by, Act::Exhibit) {
            return self.refused(&by, e.into()).await;
        }
        let (room, who) = (Arc::clone(&self), by.clone());
        match work(room, who, request).await {
            Ok(response) => response,
            Err(refused) => self.refused(&by, refused).await,
        }
    }

    /// Whether the caller may know of an exhibit. What nobody sent is the hub's own.
    fn is_theirs(&self, by: &Caller, record: &ExhibitRecord) -> bool {
        let owner = record.acquired.what.sender.as_ref();
        match owner {
            Some(sender) => sender.organisation == by.organisation.as_str(),
            None => &by.organisation == self.core.hub_organisation(),
        }
    }

    /// Blocks.
    fn vault(&self) -> Result<Arc<Vault>, Refused> {
        let mut known = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(vault) = known.as_ref() {
            return Ok(Arc::clone(vault));
        }
        let vault = Vault::open(&self.options.state, wall_clock)?;
        let vault = Arc::new(vault.asking(self.options.time_servers.clone()));
        *known = Some(Arc::clone(&vault));
        Ok(vault)
    }

    /// Clears away what a killed hub left half-way. Blocks.
    fn tidy(&self) {
        if !self.options.state.join("exhibits").exists() {
            return;
        }
        let tidied = self.vault().and_then(|vault| {
            let ledger = self.options.ledger.as_ref();
            Ok(vault.tidy(ledger)?)
        });
        match tidied {
            Ok(tidied) if tidied.missing.is_empty() => {}
            Ok(tidied) => {
                tracing::error!(exhibits = ?tidied.missing, "their bytes are not in the vault");
            }
            Err(e) => tracing::warn!(error = %e.for_the_record(), "the vault is not tidied"),
        }
    }
}

/// Runs on a thread that may wait.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refused::Order(OrderError::Stopping))?
}

impl Core {
    /// On the ledger when it is answered; the same one again within a minute only counts.
    pub(crate) async fn note_refusal(
        &self,
        by: &Caller,
        what: &str,
        reason: &str,
    ) -> Result<(), OrderError> {
        let (by, what, reason) = (by.clone(), what.to_owned(), reason.to_owned());
        self.order(|reply| Order::Refused {
            by,
            what,
            reason,
            reply,
        })
        .await
    }
}
