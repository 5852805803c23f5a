//! The hub's one port: TLS or plain by the first byte, how many connections, how large, how long.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Core, Hub,
    error::HubError,
    exhibits::{self, ExhibitOptions},
    feeds, handovers, lapi, limits, openc2,
    registry::{Fingerprint, Hash},
    routes,
    tls::{self, Own, ca::SERVER_LIFE},
};

/// First byte of a TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Handshakes at a time: each takes a millisecond of computing; the others wait their turn.
const HANDSHAKES_MAX: usize = 64;
/// How long a connection waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(60);
/// Pause after the kernel refused a connection (no descriptors left).
const RECOVERY: Duration = Duration::from_millis(200);
/// A head must have come, or a connection without requests ends.
const HEAD_WAIT: Duration = Duration::from_secs(75);
/// A peer that answers no ping is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(20);
/// What a member may have on its way to the hub before it is read, for a stream and a connection.
const WINDOW_BYTES: u32 = 64 << 10;
/// What waits for a slow member, beside the shared log.
const SEND_BYTES_MAX: usize = 16 << 10;

/// What a request may know of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) from: SocketAddr,
    /// Of the client certificate, which the handshake verified.
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// Counters for the status.
#[derive(Debug, Default)]
pub struct Traffic {
    pub connections: AtomicU64,
    pub handshakes: AtomicU64,
    pub handshakes_failed: AtomicU64,
    pub turned_away: AtomicU64,
}

/// How the hub is reached.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// DNS names that the certificate holds beside the addresses.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub lapi: lapi::Config,
    /// The state folder whose ledger is handed out below `/ledger`; absent: none is.
    pub ledger: Option<PathBuf>,
    /// Where exhibits are kept; absent: none are taken.
    pub exhibits: Option<ExhibitOptions>,
}

struct Server {
    all: Router,
    doors: Router,
    tls: Arc<ServerConfig>,
    traffic: Arc<Traffic>,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    strangers: Mutex<HashMap<IpAddr, usize>>,
}

/// Serves until the process ends.
pub async fn serve(
    listener: TcpListener,
    hub: &mut Hub,
    options: ServerOptions,
    traffic: Arc<Traffic>,
) -> Result<(), HubError> {
    let core = hub.core();
    let authority = hub.authority.clone();
    let authority =
        authority.ok_or_else(|| HubError::Usage("a hub without a folder".to_owned()))?;
    core.shared().set_own_addresses(options.addresses.clone());
    let own = Own::new(Arc::clone(&authority), options.names, options.addresses)?;
    if let Some(mut fans) = hub.fans.take() {
        tokio::spawn(async move {
            while let Some(fan) = fans.recv().await {
                tokio::spawn(fan.announce());
            }
        });
    }
    let (mut doors, people) = doors(&core, options.lapi);
    if let Some(state) = options.ledger {
        doors = doors.nest_service("/ledger", openlog::router(state));
    }
    let exhibits = match options.exhibits {
        Some(exhibits) => exhibits::router(core.clone(), people, exhibits),
        None => Router::new(),
    };
    let server = Arc::new(Server {
        all: all(doors.clone(), core, authority.pem().to_owned()).merge(exhibits),
        doors,
        tls: tls::config(&own)?,
        traffic,
        places: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)),
        turns: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        strangers: Mutex::default(),
    });
    tokio::spawn(renew(own));
    server.accept(listener).await;
    Ok(())
}

/// What members meet, beside the doors for third parties and the one for exhibits.
pub(crate) fn all(doors: Router, core: Core, root: String) -> Router {
    doors
        .merge(handovers::router(core.clone()))
        .merge(routes::router(core, root))
}

pub(crate) fn doors(core: &Core, config: lapi::Config) -> (Router, Option<lapi::People>) {
    let (lapi, people) = lapi::open(core.clone(), config);
    let router = Router::new()
        .merge(lapi)
        .merge(feeds::router(core.clone()))
        .merge(openc2::router(core.clone()));
    (router, people)
}

async fn renew(own: Arc<Own>) {
    let mut half = interval(SERVER_LIFE / 2);
    half.tick().await;
    loop {
        half.tick().await;
        if let Err(e) = own.renew() {
            tracing::error!(error = %e, "the server's certificate could not be made anew");
        }
    }
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            // Whoever comes while all places are taken waits in the kernel's queue.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let server = Arc::clone(&self);
                    tokio::spawn(async move {
                        server.traffic.connections.fetch_add(1, Relaxed);
                        if let Err(e) = server.converse(stream, from).await {
                            tracing::debug!(error = %e, "a connection ended early");
                        }
                        server.traffic.connections.fetch_sub(1, Relaxed);
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

    async fn converse(&self, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut first = [0];
        let peeked = timeout(limits::HANDSHAKE_MAX, stream.peek(&mut first)).await??;
        if peeked == 0 {
            return Ok(());
        }
        if first != [TLS_HANDSHAKE] {
            let _stranger = self.stranger(from.ip())?;
            let session = Session {
                from,
                fingerprint: None,
            };
            return plain(stream, self.doors.clone(), session).await;
        }
        let turn = timeout(TURN_MAX, self.turns.acquire()).await?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let greeted = timeout(limits::HANDSHAKE_MAX, acceptor.accept(stream)).await;
        drop(turn);
        let stream = match greeted {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => {
                self.traffic.handshakes_failed.fetch_add(1, Relaxed);
                return Err(e);
            }
            Err(e) => {
                self.traffic.handshakes_failed.fetch_add(1, Relaxed);
                return Err(e.into());
            }
        };
        self.traffic.handshakes.fetch_add(1, Relaxed);
        let (_, tls) = stream.get_ref();
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        let fingerprint = certificate.map(|der| Hash(Sha256::digest(der).into()));
        let is_h2 = tls.alpn_protocol() == Some(b"h2");
        let session = Session { from, fingerprint };
        let _stranger = match fingerprint {
            Some(_) => None,
            None => Some(self.stranger(from.ip())?),
        };
        if is_h2 {
            multiplexed(stream, self.all.clone(), session).await
        } else {
            plain(stream, self.all.clone(), session).await
        }
    }

    /// One of the places that an address has for connections without a certificate.
    fn stranger(&self, from: IpAddr) -> io::Result<Stranger<'_>> {
        let mut all = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(from).or_default();
        if *count >= limits::STRANGERS_PER_ADDRESS_MAX {
            self.traffic.turned_away.fetch_add(1, Relaxed);
            return Err(io::Error::other("too many connections from one address"));
        }
        *count += 1;
        Ok(Stranger { server: self, from })
    }
}

struct Stranger<'a> {
    server: &'a Server,
    from: IpAddr,
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        let mut all = self
            .server
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.from);
            }
        }
    }
}

async fn plain<S>(stream: S, router: Router, session: Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_headers(limits::HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service(router, session))
        .await
        .map_err(io::Error::other)
}

async fn multiplexed<S>(stream: S, router: Router, session: Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::REQUESTS_AT_A_TIME_MAX)
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES * 2)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(Some(PING_EVERY))
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(TokioIo::new(stream), service(router, session))
        .await
        .map_err(io::Error::other)
}

/// The router, with what it may know of the connection on each request.
fn service(
    router: Router,
    session: Session,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone {
    let router = TowerToHyperService::new(router);
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(session);
        request.extensions_mut().insert(ConnectInfo(session.from));
        hyper::service::Service::call(&router, request)
    })
}
