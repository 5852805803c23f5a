//! The uplink's thread: one connection at a time, one stream for each community, requests beside
//! them. It passes bytes on and knows nothing of bans; what the room has not yet taken is bounded
//! by bytes, so that a hub that sends faster than the kernel takes is slowed down by TCP.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use crossbeam_channel::Sender;
use fleet::{Backoff, BackoffConfig, CommunityId, Frame, Offer, Position, api};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::{Instant as Deadline, sleep_until, timeout},
};

use crate::{
    address::HubUrl,
    client::Connection,
    clock,
    error::UplinkError,
    membership::{Membership, TlsKey},
    tls,
};

/// Bytes on their way to the room.
const IN_FLIGHT_BYTES: u32 = 4 << 20;
const REQUEST_WAIT: Duration = Duration::from_secs(30);
const SNAPSHOT_WAIT: Duration = Duration::from_secs(300);
/// Streams opened anew within one session before the hub is left alone for a while.
const REOPENS_MAX: u32 = 5;
/// A hub that says we are no member is asked again after so long.
const EXPELLED_WAIT: Duration = Duration::from_secs(300);
/// A renewal that failed is tried again after so long.
const RENEW_RETRY: Duration = Duration::from_secs(600);

/// What the network tells the room.
pub(crate) enum NetEvent {
    /// A stream is about to be opened: from where?
    Position {
        community: CommunityId,
        answer: oneshot::Sender<Option<Position>>,
    },
    Frame {
        community: CommunityId,
        bytes: Vec<u8>,
        arrived: Duration,
        _room: OwnedSemaphorePermit,
    },
    Snapshot {
        community: CommunityId,
        outcome: Result<Vec<u8>, UplinkError>,
    },
    Answer {
        community: CommunityId,
        sequence: u64,
        outcome: Result<api::StatementAnswer, UplinkError>,
    },
    Connected {
        hub: String,
    },
    Lost {
        hub: String,
        why: UplinkError,
        /// When the next attempt comes.
        wait: Duration,
    },
    Renewed(Box<Membership>),
    RenewalFailed(UplinkError),
    /// The hubs' addresses, which no ban may hit.
    Addresses(Vec<IpAddr>),
}

/// What the room asks of the network.
pub(crate) enum Command {
    Fetch {
        community: CommunityId,
        offer: Offer,
    },
    Post {
        community: CommunityId,
        sequence: u64,
        bytes: Vec<u8>,
    },
    Here(Box<api::Here>),
    /// Close the community's stream and open it again.
    Reopen(CommunityId),
    /// The hub does not keep to the contract: hang up and wait.
    HangUp(String),
    Stop,
}

pub(crate) struct Network {
    pub(crate) membership: Membership,
    pub(crate) hubs: Vec<HubUrl>,
    pub(crate) communities: Vec<CommunityId>,
    pub(crate) state: PathBuf,
    pub(crate) backoff: BackoffConfig,
    pub(crate) version: String,
    pub(crate) events: Sender<NetEvent>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
}

/// How a session ended.
enum End {
    Stopped,
    /// At once again: the certificate is new.
    Renewed,
    Failed(UplinkError),
}

impl Network {
    pub(crate) fn run(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(self.keep_connected());
                // A resolver that hangs must not keep the process from ending.
                runtime.shutdown_background();
            }
            Err(e) => tracing::error!(error = %e, "no runtime for the hub's connection"),
        }
    }

    async fn keep_connected(&mut self) {
        let mut seed = [0; 9];
        getrandom::fill(&mut seed).ok();
        let (share, seed) = (seed[8], seed.first_chunk().copied().unwrap_or_default());
        let mut backoff = Backoff::new(self.backoff, u64::from_le_bytes(seed));
        let mut turn = 0;
        loop {
            let Some(hub) = self.hubs.get(turn % self.hubs.len().max(1)).cloned() else {
                return;
            };
            let began = Instant::now();
            match self.session(&hub, share).await {
                End::Stopped => return,
                End::Renewed => {}
                End::Failed(why) => {
                    turn += 1;
                    let expelled = why.is_expulsion().then_some(EXPELLED_WAIT);
                    let wait = backoff.wait(began.elapsed(), why.retry_after().or(expelled));
                    let hub = hub.to_string();
                    self.tell(NetEvent::Lost { hub, why, wait });
                    if self.pause(wait).await {
                        return;
                    }
                }
            }
        }
    }

    /// Waits; what the room asks meanwhile fails. `true`: we are to stop.
    async fn pause(&mut self, wait: Duration) -> bool {
        let until = Deadline::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return false,
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return true,
                    Some(Command::Post { community, sequence, .. }) => {
                        let outcome = Err(UplinkError::Silent { hub: String::new(), seconds: 0 });
                        self.tell(NetEvent::Answer { community, sequence, outcome });
                    }
                    Some(_) => {}
                },
            }
        }
    }

    async fn session(&mut self, hub: &HubUrl, share: u8) -> End {
        let connection = match self.connect(hub).await {
            Ok(connection) => connection,
            Err(e) => return End::Failed(e),
        };
        self.tell(NetEvent::Connected {
            hub: hub.to_string(),
        });
        let mut streams = Streams::default();
        for community in self.communities.clone() {
            self.open_stream(&connection, &mut streams, community);
        }
        let mut reopened = 0;
        let (asked, mut renewals) = mpsc::unbounded_channel();
        let mut renew_at = Deadline::now() + self.membership.renew_in(clock::wall(), share);
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => return End::Stopped,
                    Some(Command::HangUp(why)) => return End::Failed(connection.unusable(why)),
                    Some(Command::Reopen(community)) => {
                        reopened += 1;
                        if reopened > REOPENS_MAX {
                            let why = format!("the stream was begun anew {reopened} times");
                            return End::Failed(connection.unusable(why));
                        }
                        self.open_stream(&connection, &mut streams, community);
                    }
                    Some(command) => self.request(&connection, command, asked.clone()),
                },
                ended = streams.tasks.join_next(), if !streams.tasks.is_empty() => {
                    // One that was closed by us says nothing.
                    if let Some(Ok(why)) = ended {
                        return End::Failed(why);
                    }
                }
                Some(()) = renewals.recv() => renew_at = Deadline::now(),
                () = sleep_until(renew_at) => match self.renew(connection.clone()).await {
                    Ok(()) => return End::Renewed,
                    // Without streams nothing else tells that the connection is dead.
                    Err(e) if streams.tasks.is_empty() => return End::Failed(e),
                    Err(e) => {
                        renew_at = Deadline::now() + RENEW_RETRY;
                        self.tell(NetEvent::RenewalFailed(e));
                    }
                },
            }
        }
    }

    async fn connect(&self, hub: &HubUrl) -> Result<Connection, UplinkError> {
        let connection = Connection::open(hub, tls::member(&self.membership)?).await?;
        let hubs = self.hubs.clone();
        let found = tokio::task::spawn_blocking(move || {
            let found = hubs.iter().filter_map(|hub| hub.resolve().ok());
            found.flatten().map(|address| address.ip()).collect()
        });
        if let Ok(addresses) = found.await {
            self.tell(NetEvent::Addresses(addresses));
        }
        Ok(connection)
    }

    fn open_stream(&self, connection: &Connection, streams: &mut Streams, community: CommunityId) {
        let events = self.events.clone();
        let (connection, name) = (connection.clone(), community.clone());
        let task = streams.tasks.spawn(async move {
            match follow(connection, community, events).await {
                Ok(never) => match never {},
                Err(e) => e,
            }
        });
        if let Some(old) = streams.open.insert(name, task) {
            old.abort();
        }
    }

    /// Beside everything else; the answer goes to the room.
    fn request(
        &self,
        connection: &Connection,
        command: Command,
        renewals: mpsc::UnboundedSender<()>,
    ) {
        let (mut connection, events) = (connection.clone(), self.events.clone());
        tokio::spawn(async move {
            match command {
                Command::Fetch { community, offer } => {
                    let outcome = fetch(&mut connection, &community, offer).await;
                    events.send(NetEvent::Snapshot { community, outcome }).ok();
                }
                Command::Post {
                    community,
                    sequence,
                    bytes,
                } => {
                    let path = format!("/fleet/v1/{community}/statements");
                    let kind = "application/cbor";
                    let post = connection.clone().post_owned(path, kind, bytes.into());
                    let outcome = within(REQUEST_WAIT, post).await;
                    let event = NetEvent::Answer {
                        community,
                        sequence,
                        outcome,
                    };
                    events.send(event).ok();
                }
                Command::Here(here) => {
                    let post = connection.post_json("/fleet/v1/here", &*here);
                    let answer: Result<api::HereAnswer, _> = within(REQUEST_WAIT, post).await;
                    if answer.is_ok_and(|answer| answer.renew) {
                        renewals.send(()).ok();
                    }
                }
                Command::Reopen(_) | Command::HangUp(_) | Command::Stop => {}
            }
        });
    }

    async fn renew(&mut self, mut connection: Connection) -> Result<(), UplinkError> {
        let key = TlsKey::generate()?;
        let request = api::RenewRequest {
            tls_key: key.public,
            version: self.version.clone(),
        };
        let post = connection.post_json("/fleet/v1/renew", &request);
        let answer: api::Membership = within(REQUEST_WAIT, post).await?;
        let membership = Membership {
            communities: answer.communities,
            role: answer.role,
            certificate: answer.certificate,
            issued: clock::wall(),
            valid_seconds: answer.valid_seconds,
            renew_after_seconds: answer.renew_after_seconds,
            tls_key: key.pkcs8,
            ..self.membership.clone()
        };
        // The CA and the roster's key stay as they were pinned, whatever the answer says.
        tls::member(&membership)?;
        membership.save(&self.state)?;
        self.membership = membership.clone();
        self.tell(NetEvent::Renewed(Box::new(membership)));
        Ok(())
    }

    fn tell(&self, event: NetEvent) {
        self.events.send(event).ok();
    }
}

#[derive(Default)]
struct Streams {
    tasks: JoinSet<UplinkError>,
    open: BTreeMap<CommunityId, tokio::task::AbortHandle>,
}

async fn within<T>(
    wait: Duration,
    work: impl Future<Output = Result<T, UplinkError>>,
) -> Result<T, UplinkError> {
    let silent = UplinkError::Silent {
        hub: "the hub".to_owned(),
        seconds: wait.as_secs(),
    };
    timeout(wait, work).await.map_err(|_| silent)?
}

/// One community's stream, until it breaks.
async fn follow(
    mut connection: Connection,
    community: CommunityId,
    events: Sender<NetEvent>,
) -> Result<std::convert::Infallible, UplinkError> {
    let (answer, position) = oneshot::channel();
    let ask = NetEvent::Position {
        community: community.clone(),
        answer,
    };
    events.send(ask).ok();
    let Ok(Some(position)) = position.await else {
        // Nobody follows it here.
        std::future::pending::<()>().await;
        return Err(connection.unusable("not followed".to_owned()));
    };
    let path = format!(
        "/fleet/v1/{community}/stream?from={}&roster={}",
        position.generation, position.roster
    );
    let answer = within(REQUEST_WAIT, connection.get(&path)).await?;
    let room = Arc::new(Semaphore::new(IN_FLIGHT_BYTES as usize));
    let mut body = answer.into_body();
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| connection.broken(e))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        buffer.extend_from_slice(data);
        pass_on(&mut buffer, &community, &room, &events).await?;
    }
    Err(connection.unusable("the stream ended".to_owned()))
}

/// Takes whole frames out of the buffer.
async fn pass_on(
    buffer: &mut Vec<u8>,
    community: &CommunityId,
    room: &Arc<Semaphore>,
    events: &Sender<NetEvent>,
) -> Result<(), UplinkError> {
    let mut taken = 0;
    while let Some((frame, length)) = Frame::split(buffer.get(taken..).unwrap_or_default())? {
        let bytes = frame.to_vec();
        taken += length;
        let size = u32::try_from(bytes.len())
            .unwrap_or(u32::MAX)
            .clamp(1, IN_FLIGHT_BYTES);
        let Ok(_room) = Arc::clone(room).acquire_many_owned(size).await else {
            break;
        };
        let event = NetEvent::Frame {
            community: community.clone(),
            bytes,
            arrived: clock::since_boot(),
            _room,
        };
        events.send(event).ok();
    }
    buffer.drain(..taken);
    Ok(())
}

async fn fetch(
    connection: &mut Connection,
    community: &CommunityId,
    offer: Offer,
) -> Result<Vec<u8>, UplinkError> {
    let path = format!("/fleet/v1/{community}/snapshot/{}", offer.hash);
    let limit = usize::try_from(offer.bytes).unwrap_or(usize::MAX);
    within(SNAPSHOT_WAIT, async {
        let answer = connection.get(&path).await?;
        connection.read_all(answer, limit).await
    })
    .await
}

impl Connection {
    async fn post_owned(
        mut self,
        path: String,
        kind: &'static str,
        body: Bytes,
    ) -> Result<api::StatementAnswer, UplinkError> {
        self.post(&path, kind, body).await
    }
}
