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
use model::{Happening, News, Timestamp, format_duration, harmless};

const QUEUE_MAX: usize = 4_096;
/// Beyond it no further listener is taken.
pub(crate) const LISTENERS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Human,
    Json,
}

/// Where news go out. Cheap to clone; the guard holds one, each door that lets listeners in
/// another.
#[derive(Clone, Default)]
pub(crate) struct Feed {
    listeners: Arc<Mutex<Vec<Listener>>>,
    dropped: Arc<AtomicU64>,
}

struct Listener {
    queue: Sender<Arc<News>>,
    /// Where its losses count, when it tells of them itself.
    lost: Option<Arc<AtomicU64>>,
}

/// What a listener hears that may be slow and says itself what it lost.
pub(crate) struct Ear {
    pub(crate) news: Receiver<Arc<News>>,
    lost: Arc<AtomicU64>,
}

impl Ear {
    /// News lost since the last call.
    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Feed {
    /// Everything said from now on; `None` when too many listen already.
    pub(crate) fn listen(&self) -> Option<Receiver<Arc<News>>> {
        self.admit(None)
    }

    /// The same for someone whose losses are nobody else's concern, such as a terminal.
    pub(crate) fn listen_lossy(&self) -> Option<Ear> {
        let lost = Arc::<AtomicU64>::default();
        let news = self.admit(Some(Arc::clone(&lost)))?;
        Some(Ear { news, lost })
    }

    fn admit(&self, lost: Option<Arc<AtomicU64>>) -> Option<Receiver<Arc<News>>> {
        let (queue, receiver) = bounded(QUEUE_MAX);
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listeners.len() >= LISTENERS_MAX {
            return None;
        }
        listeners.push(Listener { queue, lost });
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
                    let count = listener.lost.as_ref().unwrap_or(&self.dropped);
                    count.fetch_add(1, Ordering::Relaxed);
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
        Happening::Alert(alert) => format!("{clock} ALERT    {}", harmless(&alert.message)),
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
                decision.prefix,
                harmless(&decision.reason)
            )
        }
        Happening::Notice(notice) => format!("{clock} NOTICE   {}", harmless(&notice.text)),
        Happening::Refused(refusal) => {
            let prefix = refusal
                .prefix
                .map_or_else(|| "(no address)".to_owned(), |p| p.to_string());
            format!("{clock} REFUSED  {prefix}: {}", refusal.reason)
        }
        Happening::Release(release) => format!("{clock} RELEASE  {}", release.prefix),
    }
}

#[cfg(test)]
mod tests {
    use model::Notice;

    use super::*;

    fn notice(text: &str) -> Happening {
        Happening::Notice(Notice {
            at: Timestamp::EPOCH,
            code: "test".into(),
            text: text.into(),
            prefixes: Vec::new(),
        })
    }

    #[test]
    fn a_slow_listener_loses_news_and_holds_up_nobody() {
        let feed = Feed::default();
        let (steady, slow) = (feed.listen().unwrap(), feed.listen_lossy().unwrap());
        for _ in 0..QUEUE_MAX + 3 {
            feed.say(Timestamp::EPOCH, notice("x"));
            steady.try_recv().unwrap();
        }
        assert_eq!((slow.take_lost(), slow.take_lost()), (3, 0));
        assert_eq!(slow.news.len(), QUEUE_MAX);
        // What a terminal lost is no trouble of the guard's.
        assert_eq!(feed.dropped(), 0);
        (0..=QUEUE_MAX).for_each(|_| feed.say(Timestamp::EPOCH, notice("x")));
        assert_eq!(feed.dropped(), 1);
    }

    #[test]
    fn a_line_for_people_is_one_line_without_commands_for_the_terminal() {
        let shown = human(Timestamp::EPOCH, &notice("a\nb\x1b[1A"));
        assert!(shown.ends_with("a\\x0ab\\x1b[1A"), "{shown}");
    }
}
