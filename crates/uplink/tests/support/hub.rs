//! A hub for tests: speaks the real protocol over real TLS, keeps a real ban set, and lies when
//! it is told to.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use fleet::{
    Ban, BanSet, Body as FrameBody, Frame, HubTime, Limits, Op, Release, Resume, Role, RosterEntry,
    SetConfig, SignedRosterEntry, SignedStatement, SigningKey, Snapshot, SnapshotHash, Standing,
    Statement, api,
};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Request, Response,
    body::{Body, Frame as BodyFrame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{Prefix, Tlp};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SignatureAlgorithm,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::TlsAcceptor;

pub(crate) const COMMUNITY: &str = "main";
const DIGEST_EVERY: Duration = Duration::from_secs(2);

/// What the hub answers to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Honest,
    /// The certificate was revoked.
    Expel,
}

pub(crate) struct State {
    pub(crate) set: BanSet,
    pub(crate) mood: Mood,
    /// Added to the hub's time.
    pub(crate) ahead: i64,
    /// What members sent.
    pub(crate) reports: Vec<Statement>,
    pub(crate) here: Vec<api::Here>,
    /// Every frame that was made.
    pub(crate) frames: Vec<Bytes>,
    pub(crate) joined: Vec<String>,
    streams: Vec<mpsc::UnboundedSender<Bytes>>,
    snapshots: BTreeMap<SnapshotHash, Bytes>,
    sequence: u64,
    serial: u64,
}

pub(crate) struct Inner {
    state: Mutex<State>,
    authority: Authority,
    key: SigningKey,
    pub(crate) roster_key: SigningKey,
    began: Instant,
    /// Bytes of snapshots and frames that were sent.
    pub(crate) sent: AtomicU64,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

pub(crate) struct TestHub {
    pub(crate) inner: Arc<Inner>,
    pub(crate) address: SocketAddr,
    enter: Arc<dyn Fn() + Send + Sync>,
    running: Option<Running>,
}

struct Running {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TestHub {
    /// `enter` takes a thread to where the hub is to listen.
    pub(crate) fn start(address: SocketAddr, enter: Arc<dyn Fn() + Send + Sync>) -> Self {
        let key = SigningKey::from_seed(&[21; 32]).unwrap();
        let roster_key = SigningKey::from_seed(&[22; 32]).unwrap();
        let set = BanSet::new(SetConfig {
            community: COMMUNITY.parse().unwrap(),
            hub: "hub".parse().unwrap(),
            roster_key: roster_key.public(),
            limits: Limits::default(),
        });
        let state = State {
            set,
            mood: Mood::Honest,
            ahead: 0,
            reports: Vec::new(),
            here: Vec::new(),
            frames: Vec::new(),
            joined: Vec::new(),
            streams: Vec::new(),
            snapshots: BTreeMap::new(),
            sequence: 0,
            serial: 0,
        };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            authority: Authority::new(),
            roster_key,
            began: Instant::now(),
            sent: AtomicU64::new(0),
            key,
        });
        inner.enroll("hub", &inner.key, Role::Guard);
        let mut hub = Self {
            inner,
            address,
            enter,
            running: None,
        };
        hub.go();
        hub
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(crate) fn token(&self) -> String {
        let hash = ring_hash(&self.inner.authority.der);
        let bytes = [hash, [5; 32]].concat();
        format!("pj1.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(crate) fn go(&mut self) {
        assert!(self.running.is_none());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (inner, address, enter) = (
            Arc::clone(&self.inner),
            self.address,
            Arc::clone(&self.enter),
        );
        let thread = thread::spawn(move || {
            enter();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = listen(address);
                ready.send(()).unwrap();
                tokio::select! {
                    () = serve(listener, inner, address) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        is_ready.recv().unwrap();
        self.running = Some(Running {
            stop: Some(stop),
            thread: Some(thread),
        });
    }

    /// As if it were killed: every connection is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.stop.take().unwrap().send(()).ok();
            running.thread.take().unwrap().join().unwrap();
        }
        self.state().streams.clear();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.lock()
    }

    pub(crate) fn ban(&self, prefixes: &[&str], seconds: u32) {
        let ops = prefixes
            .iter()
            .map(|prefix| ban(prefix.parse().unwrap(), seconds));
        self.inner.issue(ops.collect());
    }

    pub(crate) fn release(&self, prefix: &str) {
        self.inner.issue(vec![Op::Release(Release {
            prefix: prefix.parse().unwrap(),
            reason: "a test".into(),
            of: None,
        })]);
    }

    pub(crate) fn issue(&self, ops: Vec<Op>) {
        self.inner.issue(ops);
    }

    pub(crate) fn now(&self) -> HubTime {
        self.inner.now(&self.state())
    }

    /// Whatever it is, to every guard that listens.
    pub(crate) fn say(&self, bytes: Bytes) {
        self.inner.say(&mut self.state(), &bytes);
    }

    /// A frame of the hub's own making, as it stands or not.
    pub(crate) fn frame(&self, from: u64, to: u64, body: FrameBody) -> Bytes {
        let frame = Frame {
            community: COMMUNITY.parse().unwrap(),
            from: fleet::Generation(from),
            to: fleet::Generation(to),
            now: self.now(),
            body,
        };
        frame.encode().into()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state().set.generation().0
    }

    pub(crate) fn streams(&self) -> usize {
        let mut state = self.state();
        state.streams.retain(|stream| !stream.is_closed());
        state.streams.len()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn ban(prefix: Prefix, seconds: u32) -> Op {
    Op::Ban(Ban {
        prefix,
        lasts: seconds,
        kind: "ssh-bruteforce".into(),
        reason: "a test".into(),
        tlp: Tlp::Green,
        provenance: [1; 16],
    })
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn now(&self, state: &State) -> HubTime {
        let elapsed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        HubTime(u64::try_from(1_800_000_000_000 + elapsed + state.ahead).unwrap())
    }

    pub(crate) fn enroll(&self, org: &str, key: &SigningKey, role: Role) {
        self.enter_on_roster(org, key.public(), role, Standing::Active);
    }

    pub(crate) fn enter_on_roster(
        &self,
        org: &str,
        key: fleet::PublicKey,
        role: Role,
        standing: Standing,
    ) {
        let mut state = self.lock();
        state.serial += 1;
        let entry = RosterEntry {
            community: COMMUNITY.parse().unwrap(),
            org: org.parse().unwrap(),
            key,
            role,
            standing,
            serial: state.serial,
        };
        state
            .set
            .enroll(SignedRosterEntry::sign(entry, &self.roster_key))
            .unwrap();
        self.commit(&mut state);
    }

    /// By the hub's key, at once.
    fn issue(&self, ops: Vec<Op>) {
        let mut state = self.lock();
        for ops in ops.chunks(500) {
            state.sequence += 1;
            let now = self.now(&state);
            let statement = Statement {
                community: COMMUNITY.parse().unwrap(),
                key: self.key.id(),
                sequence: state.sequence,
                at: now,
                ops: ops.to_vec(),
            };
            let signed = SignedStatement::sign(statement, &self.key).unwrap();
            state.set.accept(signed, now).unwrap();
        }
        self.commit(&mut state);
    }

    fn commit(&self, state: &mut State) {
        let now = self.now(state);
        if let Some(change) = state.set.commit(now) {
            let bytes: Bytes = change.frame.encode().into();
            state.frames.push(bytes.clone());
            self.say(state, &bytes);
        }
    }

    fn say(&self, state: &mut State, bytes: &Bytes) {
        state
            .streams
            .retain(|stream| stream.send(bytes.clone()).is_ok());
        let listeners = state.streams.len() as u64;
        self.sent
            .fetch_add(bytes.len() as u64 * listeners, Ordering::Relaxed);
    }

    fn open_stream(&self, from: u64, roster: u64) -> Pipe {
        let (sender, pipe) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let now = self.now(&state);
        let mut first = vec![state.set.hello(roster, now)];
        match state.set.since(fleet::Generation(from), now) {
            Resume::Current | Resume::Ahead => {}
            Resume::Frames(frames) => first.extend(frames),
            Resume::Snapshot => {
                let snapshot = self.snapshot(&mut state);
                first.push(Frame {
                    community: COMMUNITY.parse().unwrap(),
                    from: state.set.generation(),
                    to: state.set.generation(),
                    now,
                    body: FrameBody::Offer(snapshot.offer()),
                });
            }
        }
        for frame in first {
            let bytes = frame.encode();
            self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            sender.send(bytes.into()).ok();
        }
        state.streams.push(sender);
        Pipe(pipe)
    }

    fn snapshot(&self, state: &mut State) -> Snapshot {
        let now = self.now(state);
        let snapshot = state.set.snapshot(&self.key, now).unwrap();
        state
            .snapshots
            .insert(snapshot.hash, snapshot.bytes.clone().into());
        snapshot
    }

    fn tell_digest(&self) {
        let mut state = self.lock();
        let now = self.now(&state);
        if let Some(frame) = state.set.digest_frame(now) {
            let bytes = frame.encode().into();
            self.say(&mut state, &bytes);
        }
    }

    fn membership(&self, tls_key: &str, name: String) -> api::Membership {
        let point = URL_SAFE_NO_PAD.decode(tls_key).unwrap();
        api::Membership {
            organisation: "acme".parse().unwrap(),
            role: Role::Guard,
            name,
            communities: vec![COMMUNITY.parse().unwrap()],
            hub_organisation: "hub".parse().unwrap(),
            certificate: self.authority.client(point.try_into().unwrap()),
            ca: self.authority.pem.clone(),
            roster_key: self.roster_key.public(),
            valid_seconds: 7 * 86_400,
            renew_after_seconds: 3 * 86_400,
            now: self.now(&self.lock()),
        }
    }

    fn take_report(&self, bytes: &[u8]) -> Result<api::StatementAnswer, api::Fault> {
        let mut state = self.lock();
        let fault = |error: String, code: &str| api::Fault {
            error,
            code: code.to_owned(),
            key: None,
            last_sequence: None,
            refused: Vec::new(),
        };
        let signed =
            SignedStatement::decode(bytes).map_err(|e| fault(e.to_string(), "malformed"))?;
        let now = self.now(&state);
        let statement = state
            .set
            .accept(signed, now)
            .map_err(|e| fault(e.to_string(), "refused"))?;
        state.reports.push(statement);
        self.commit(&mut state);
        Ok(api::StatementAnswer {
            index: state.reports.len() as u64,
            generation: state.set.generation(),
            repeated: false,
            refused: Vec::new(),
        })
    }
}

fn ring_hash(bytes: &[u8]) -> [u8; 32] {
    let hash = SnapshotHash::of(bytes);
    hash.0
}

type Answer = Response<Either<Full<Bytes>, Pipe>>;

pub(crate) struct Pipe(mpsc::UnboundedReceiver<Bytes>);

impl Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(BodyFrame::data(bytes))))
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1_024).unwrap()
}

async fn serve(listener: TcpListener, inner: Arc<Inner>, address: SocketAddr) {
    let acceptor = TlsAcceptor::from(inner.authority.server(address));
    let teller = Arc::clone(&inner);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(DIGEST_EVERY).await;
            teller.tell_digest();
        }
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, inner) = (acceptor.clone(), Arc::clone(&inner));
        tokio::spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_member = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(move |request| answer(Arc::clone(&inner), request, is_member));
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
    is_member: bool,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if inner.lock().mood == Mood::Expel {
        let fault = r#"{"error":"this certificate was revoked","code":"certificate_revoked"}"#;
        return Ok(json(403, fault.as_bytes().to_vec()));
    }
    if !is_member && path != "/fleet/v1/join" {
        return Ok(json(401, Vec::new()));
    }
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let body = request
        .into_body()
        .collect()
        .await
        .map(|b| b.to_bytes())
        .unwrap_or_default();
    Ok(match parts.as_slice() {
        ["fleet", "v1", "join"] => {
            let asked: api::JoinRequest = serde_json::from_slice(&body).unwrap();
            let entry = (asked.statement_key, Role::Guard, Standing::Active);
            inner.enter_on_roster("acme", entry.0, entry.1, entry.2);
            inner.lock().joined.push(asked.name.clone());
            let membership = inner.membership(&asked.tls_key, asked.name);
            json(200, serde_json::to_vec(&membership).unwrap())
        }
        ["fleet", "v1", "here"] => {
            let mut state = inner.lock();
            state.here.push(serde_json::from_slice(&body).unwrap());
            let next = api::HereAnswer {
                now: inner.now(&state),
                next_seconds: 10,
                renew: false,
            };
            json(200, serde_json::to_vec(&next).unwrap())
        }
        ["fleet", "v1", COMMUNITY, "stream"] => {
            let number = |name: &str| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                let found = pairs.find(|(key, _)| *key == name);
                found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
            };
            let pipe = inner.open_stream(number("from"), number("roster"));
            Response::new(Either::Right(pipe))
        }
        ["fleet", "v1", COMMUNITY, "snapshot", hash] => {
            let found = hash
                .parse()
                .ok()
                .and_then(|hash| inner.lock().snapshots.get(&hash).cloned());
            let Some(bytes) = found else {
                return Ok(json(404, Vec::new()));
            };
            inner.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Response::new(Either::Left(Full::new(bytes)))
        }
        ["fleet", "v1", COMMUNITY, "statements"] => match inner.take_report(&body) {
            Ok(answer) => json(200, serde_json::to_vec(&answer).unwrap()),
            Err(fault) => json(422, serde_json::to_vec(&fault).unwrap()),
        },
        _ => json(404, Vec::new()),
    })
}

fn json(status: u16, body: Vec<u8>) -> Answer {
    Response::builder()
        .status(status)
        .body(Either::Left(Full::new(body.into())))
        .unwrap()
}

struct MemberKey([u8; 65]);

impl PublicKeyData for MemberKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = Self::params().self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(Self::params(), key),
        }
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params
    }

    fn client(&self, point: [u8; 65]) -> String {
        let params = CertificateParams::default();
        params
            .signed_by(&MemberKey(point), &self.issuer)
            .unwrap()
            .pem()
    }

    fn server(&self, address: SocketAddr) -> Arc<ServerConfig> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress(address.ip())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .unwrap();
        let chain = vec![certificate.der().clone(), self.der.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}
