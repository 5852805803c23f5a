//! What the threads of this room share. The lock is held for as long as it takes to copy rows;
//! the guard never takes it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use model::{News, Status, Timestamp};
use tokio::sync::{Semaphore, watch};

use crate::{
    gate::Gate,
    history::History,
    limits::{CONNECTIONS_MAX, STREAMS_MAX},
    metrics::OwnNumbers,
    pages::Pages,
    picture::{Picture, Version},
    view::{self, Overview},
};

/// How the console reads the newest numbers.
pub type Latest = Box<dyn Fn() -> Option<Arc<Status>> + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) pages: Pages,
    pub(crate) history: History,
    pub(crate) host: String,
    /// Differs from run to run: versions of another run mean nothing.
    boot: String,
    latest: Latest,
    picture: Mutex<Picture>,
    /// Rings whenever news came; holds the version.
    pub(crate) rung: watch::Sender<Version>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        gate: Gate,
        pages: Pages,
        history: History,
        latest: Latest,
        now: Timestamp,
    ) -> Self {
        Self {
            gate,
            pages,
            history,
            host: host_name(),
            boot: format!("{:x}", now.nanos()),
            latest,
            picture: Mutex::default(),
            rung: watch::Sender::new(0),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            streams_refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hear(&self, news: &News) {
        let mut picture = self.picture();
        picture.hear(news);
        let version = picture.version;
        drop(picture);
        self.rung.send_replace(version);
    }

    /// Takes the newest numbers into the picture.
    pub(crate) fn read(&self) {
        if let Some(status) = (self.latest)() {
            self.picture().read(&status);
        }
    }

    pub(crate) fn status(&self) -> Option<Arc<Status>> {
        (self.latest)()
    }

    pub(crate) fn overview(&self, now: Timestamp) -> (Overview, Version) {
        self.read();
        let picture = self.picture();
        (view::overview(&picture, &self.host, now), picture.version)
    }

    /// A version as it is said to the outside.
    pub(crate) fn event_id(&self, version: Version) -> String {
        format!("{}-{version}", self.boot)
    }

    /// The version that an id names, if it is of this run.
    pub(crate) fn version_of(&self, id: &str) -> Option<Version> {
        let (boot, version) = id.rsplit_once('-')?;
        if boot == self.boot {
            version.parse().ok()
        } else {
            None
        }
    }

    pub(crate) fn own_numbers(&self) -> OwnNumbers {
        let used = |max: usize, free: &Semaphore| (max - free.available_permits()) as u64;
        OwnNumbers {
            requests: self.requests.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            connections: used(CONNECTIONS_MAX, &self.connections),
            streams: used(STREAMS_MAX, &self.streams),
            streams_refused: self.streams_refused.load(Ordering::Relaxed),
            news: self.picture().version,
        }
    }
}

fn host_name() -> String {
    // No file to be read: the walls around the guard may stand already.
    match rustix::system::uname().nodename().to_str() {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => "this machine".to_owned(),
    }
}
