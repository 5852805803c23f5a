//! How the command line speaks to a running guard: one JSON object each way over a Unix socket in
//! the state folder.
//!
//! The guard thread never waits for a client or for the disk: a connection has its own thread,
//! which hands the request to the guard, gets back what was done and what is to be recorded,
//! waits for the record itself, and only then answers. So an answer with an index is an
//! acknowledged entry.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use model::{AlertId, Entry, Happening, Prefix, RefusalReason};
use serde::{Deserialize, Serialize};
use store::Recorder;
use uplink::Uplink;

use crate::{board::Board, feed::Feed, hub_command::HubOrder, watch};

/// Room for the entries of [`Request::Record`]; everything else is far smaller.
pub(crate) const REQUEST_BYTES_MAX: u64 = 8 << 20;
const CONNECTIONS_MAX: usize = 16;
/// Of them at most so many may stay to watch, so that there is always room for an order.
const WATCHERS_MAX: usize = 8;
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// `id` absent: all.
    Acknowledge {
        id: Option<String>,
        by: String,
    },
    Ban {
        prefix: Prefix,
        seconds: u64,
        reason: String,
        by: String,
    },
    Digest,
    /// Puts entries on the ledger: what people do with cases, exhibits and hand-overs. Never what
    /// only the guard itself may say.
    Record {
        entries: Vec<Entry>,
    },
    /// What is known of an address from the hub.
    Explain {
        address: std::net::IpAddr,
    },
    /// For a hub only.
    Hub {
        order: HubOrder,
        by: String,
    },
    Status,
    /// Grave alerts that wait for somebody.
    Unacknowledged,
    /// The answer is a stream; see [`crate::watch`].
    Watch,
    /// `prefix` absent: all.
    Unban {
        prefix: Option<Prefix>,
        by: String,
    },
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// What went wrong, with what to do; absent when all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<RefusalReason>,
    /// In the kernel now (`false`: observe mode).
    #[serde(default)]
    pub(crate) enforced: bool,
    /// Bans made or lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) prefixes: Vec<Prefix>,
    /// Ledger index of the last entry this request led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u64>,
    /// Ledger indices of the entries that were to be recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) indices: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<serde_json::Value>,
    /// Alerts acknowledged, or those that wait for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alerts: Vec<AlertId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// What communities say of an address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) fleet: Vec<serde_json::Value>,
    /// From a hub: so many members have a stream open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<usize>,
}

/// A request on its way to the guard, with the way back.
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) answer: Sender<(Reply, Vec<Entry>)>,
}

pub(crate) fn socket_path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

//------------ The guard's side ----------------------------------------------

/// What a connection's thread works with.
struct Desk {
    sender: Sender<Pending>,
    doorbell: UnixStream,
    recorder: Arc<Recorder>,
    feed: Feed,
    board: Board,
    uplink: Option<Uplink>,
    watchers: AtomicUsize,
}

/// Listens in `state`; each request rings `doorbell` after it was queued.
pub(crate) fn serve(
    state: &Path,
    doorbell: UnixStream,
    recorder: Arc<Recorder>,
    feed: Feed,
    board: Board,
    uplink: Option<Uplink>,
) -> Result<Receiver<Pending>> {
    let (sender, receiver) = bounded(CONNECTIONS_MAX);
    let shared = Arc::new(Desk {
        sender,
        doorbell,
        recorder,
        feed,
        board,
        uplink,
        watchers: AtomicUsize::new(0),
    });
    listen(state, shared, converse)?;
    Ok(receiver)
}

/// Listens on the socket in `state`, and lets each client talk on a thread of its own.
pub(crate) fn listen<D: Send + Sync + 'static>(
    state: &Path,
    desk: Arc<D>,
    converse: fn(&UnixStream, &D) -> Result<()>,
) -> Result<()> {
    let path = socket_path(state);
    // The state folder's lock is ours, so a socket here is of a program that died.
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if Arc::strong_count(&desk) > CONNECTIONS_MAX {
                    continue;
                }
                let desk = Arc::clone(&desk);
                // A client that goes away or a thread that cannot start costs nobody anything.
                thread::Builder::new()
                    .name("control-client".into())
                    .spawn(move || converse(&stream, &desk).ok())
                    .ok();
            }
        })?;
    Ok(())
}

fn converse(stream: &UnixStream, desk: &Desk) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Watch) => return let_watch(stream, desk),
        // It may have to wait for the fleet's thread, which the guard's never does.
        Ok(Request::Explain { address }) => Reply {
            fleet: desk
                .uplink
                .iter()
                .flat_map(|uplink| uplink.explain(address))
                .collect(),
            ..Reply::default()
        },
        Ok(Request::Record { entries }) => {
            for entry in &entries {
                if let Entry::Notice(notice) = entry {
                    desk.feed.say(notice.at, Happening::Notice(notice.clone()));
                }
            }
            record(&desk.recorder, entries)
        }
        Ok(request) => pass_on(request, desk),
        Err(e) => Reply {
            error: Some(format!("not a request: {e}")),
            ..Reply::default()
        },
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    let mut out = stream;
    out.write_all(&text)?;
    Ok(())
}

/// Waits until the entries are durable.
pub(crate) fn record(recorder: &Recorder, entries: Vec<Entry>) -> Reply {
    let stranger = entries.iter().find(|entry| !may_be_told(entry));
    if let Some(stranger) = stranger {
        let why = format!("nobody may tell a {} to the ledger", stranger.kind());
        return Reply {
            error: Some(why),
            ..Reply::default()
        };
    }
    match recorder.record_and_wait(entries) {
        Ok(appended) => Reply {
            index: appended.last().map(|a| a.index),
            indices: appended.iter().map(|a| a.index).collect(),
            ..Reply::default()
        },
        Err(e) => Reply {
            error: Some(e.to_string()),
            ..Reply::default()
        },
    }
}

const fn may_be_told(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Authority(_)
            | Entry::Case(_)
            | Entry::Command(_)
            | Entry::Exhibit(_)
            | Entry::Handover(_)
            | Entry::Notice(_)
            | Entry::Person(_)
    )
}

fn let_watch(stream: &UnixStream, desk: &Desk) -> Result<()> {
    let before = desk.watchers.fetch_add(1, Ordering::Relaxed);
    let outcome = if before < WATCHERS_MAX {
        watch::serve(stream, &desk.feed, &desk.board)
    } else {
        watch::refuse(stream)
    };
    desk.watchers.fetch_sub(1, Ordering::Relaxed);
    outcome
}

fn pass_on(request: Request, desk: &Desk) -> Reply {
    let Desk {
        sender, recorder, ..
    } = desk;
    let mut doorbell = &desk.doorbell;
    let (answer, wait) = bounded(1);
    let failed = |why: &str| Reply {
        error: Some(why.to_owned()),
        ..Reply::default()
    };
    if sender
        .send_timeout(Pending { request, answer }, PATIENCE)
        .is_err()
    {
        return failed("the guard is too busy; try again");
    }
    doorbell.write_all(&[1]).ok();
    let Ok((mut reply, entries)) = wait.recv_timeout(PATIENCE) else {
        return failed("the guard did not answer in time; see its log");
    };
    if !entries.is_empty() {
        match recorder.record_and_wait(entries) {
            Ok(appended) => reply.index = appended.last().map(|a| a.index),
            Err(e) => {
                reply.error = Some(format!("done, but not recorded: {e}"));
            }
        }
    }
    reply
}

//------------ The command line's side ---------------------------------------

/// Asks the guard that runs on `state`; `None` when none does.
pub(crate) fn ask(state: &Path, request: &Request) -> Result<Option<Reply>> {
    let Some(stream) = open(state, request)? else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(PATIENCE * 3))?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .context("no answer from the guard")?;
    serde_json::from_str(&line)
        .map(Some)
        .context("the guard's answer cannot be read")
}

/// Sends the request; the answer is still to be read.
pub(crate) fn open(state: &Path, request: &Request) -> Result<Option<UnixStream>> {
    let path = socket_path(state);
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(e) => match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(None),
            io::ErrorKind::PermissionDenied => {
                bail!(
                    "{}: permission denied; run as the user the guard runs as (sudo)",
                    path.display()
                )
            }
            _ => return Err(e).with_context(|| format!("cannot connect to {}", path.display())),
        },
    };
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    Ok(Some(stream))
}
