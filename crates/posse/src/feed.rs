//! What a running guard tells, handed to whoever listens: the terminal, watchers, the status
//! page, alerts.
//!
//! Each listener has a bounded queue of its own and its own thread behind it, so that none of them
//! can hold up a ban or another listener. What does not fit a queue is dropped and counted.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use model::{Happening, News, Timestamp, format_duration};

const QUEUE_MAX: usize = 4_096;
/// Beyond it no further listener is taken.
pub(crate) const LISTENERS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Human,
    Json,
}

/// Where news go out. Cheap to clone; the guard holds one, each door that lets listeners in another.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    listeners: Arc<Mutex<Vec<Listener>>>,
    dropped: Arc<AtomicU64>,
}

struct Listener {
    queue: Sender<Arc<News>>,
}

impl Feed {
    /// Everything said from now on; `None` when too many listen already.
    pub(crate) fn listen(&self) -> Option<Receiver<Arc<News>>> {
        let (queue, receiver) = bounded(QUEUE_MAX);
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listeners.len() >= LISTENERS_MAX {
            return None;
        }
        listeners.push(Listener { queue });
        Some(receiver)
    }

    pub(crate) fn say(&self, seen: Timestamp, happening: Happening) {
        let news = Arc::new(News { seen, happening });
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(
            |listener| match listener.queue.try_send(Arc::clone(&news)) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            },
        );
    }

    /// News that some listener did not get because it was too slow.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends every listener's queue; what is queued is still read.
    pub(crate) fn close(&self) {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Writes the news to standard output until the feed is closed.
pub(crate) fn print(news: Receiver<Arc<News>>, style: Style) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("feed".into()).spawn(move || {
        let mut out = std::io::stdout();
        for one in news {
            // A closed standard output silences the feed, never the guard.
            if writeln!(out, "{}", line(&one, style)).is_err() {
                return;
            }
        }
    })
}

/// One line of news, for people or as JSON.
pub(crate) fn line(news: &News, style: Style) -> String {
    match style {
        Style::Human => human(news.seen, &news.happening),
        Style::Json => serde_json::to_string(news).unwrap_or_default(),
    }
}

fn human(at: Timestamp, happening: &Happening) -> String {
    let clock = jiff::Timestamp::from(at).strftime("%H:%M:%S%.3f");
    match happening {
        Happening::Alert(alert) => format!("{clock} ALERT    {}", alert.message),
        Happening::Ban {
            decision,
            in_kernel,
        } => {
            let length = format_duration(decision.until.since(decision.from));
            let place = if in_kernel.is_some() {
                "in the kernel"
            } else {
                "observed only"
            };
            format!(
                "{clock} BAN      {} for {length} ({place}): {}",
                decision.prefix, decision.reason
            )
        }
        Happening::Notice(notice) => format!("{clock} NOTICE   {}", notice.text),
        Happening::Refused(refusal) => {
            let prefix = refusal
                .prefix
                .map_or_else(|| "(no address)".to_owned(), |p| p.to_string());
            format!("{clock} REFUSED  {prefix}: {}", refusal.reason)
        }
        Happening::Release(release) => format!("{clock} RELEASE  {}", release.prefix),
    }
}
