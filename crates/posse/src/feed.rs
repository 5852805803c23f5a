//! What a running guard says on standard output: one line a happening, for people or as JSON.
//!
//! Written by a thread of its own, so that a terminal that does not read cannot hold up a ban.
//! What does not fit the queue is dropped and counted.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, TrySendError, bounded};
use model::{Alert, Decision, Notice, Refusal, RefusalReason, Release, Timestamp, format_duration};
use serde::Serialize;

const QUEUE_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Human,
    Json,
}

/// Something worth a line.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Happening {
    Alert(Box<Alert>),
    Ban {
        #[serde(flatten)]
        decision: Decision,
        /// When the kernel had it; absent in observe mode.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_kernel: Option<Timestamp>,
    },
    Notice(Notice),
    Refused(Refusal),
    Release(Release),
}

pub(crate) struct Feed {
    sender: Sender<(Timestamp, Happening)>,
    dropped: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Feed {
    pub(crate) fn start(style: Style) -> std::io::Result<Self> {
        let (sender, receiver) = bounded::<(Timestamp, Happening)>(QUEUE_MAX);
        let writer = thread::Builder::new().name("feed".into()).spawn(move || {
            let mut out = std::io::stdout();
            for (at, happening) in receiver {
                let line = match style {
                    Style::Human => human(at, &happening),
                    Style::Json => json(at, &happening),
                };
                // A closed standard output silences the feed, never the guard.
                if writeln!(out, "{line}").is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            sender,
            dropped: Arc::default(),
            writer,
        })
    }

    pub(crate) fn say(&self, at: Timestamp, happening: Happening) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send((at, happening)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Writes what is queued and ends.
    pub(crate) fn finish(self) {
        drop(self.sender);
        self.writer.join().ok();
    }
}

fn json(at: Timestamp, happening: &Happening) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        seen: Timestamp,
        #[serde(flatten)]
        happening: &'a Happening,
    }
    serde_json::to_string(&Line {
        seen: at,
        happening,
    })
    .unwrap_or_default()
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
            format!("{clock} REFUSED  {prefix}: {}", explain(&refusal.reason))
        }
        Happening::Release(release) => format!("{clock} RELEASE  {}", release.prefix),
    }
}

/// The guard's reason in a sentence, with what to do if it is wrong.
pub(crate) fn explain(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::AdminSession => "the far end of an administrator's open SSH session".into(),
        RefusalReason::Allowlist { entry } => format!("on the allowlist ({entry})"),
        RefusalReason::CircuitOpen { limit_per_minute } => format!(
            "circuit breaker: more than {limit_per_minute} automatic bans in a minute; \
             see [never_ban] bans_per_minute"
        ),
        RefusalReason::Gateway => "this machine's default gateway".into(),
        RefusalReason::Loopback => "loopback".into(),
        RefusalReason::OwnAddress => "an address of this machine".into(),
        RefusalReason::Private { range } => {
            format!("in the private range {range}; [never_ban] private_ranges = false allows it")
        }
        RefusalReason::Resolver => "a resolver of this machine".into(),
        RefusalReason::Special { range } => {
            format!("in {range}, which is no one machine's address")
        }
        RefusalReason::NoAddress => "the alert names no address that a firewall could ban".into(),
        RefusalReason::TooWide { limit } => format!("wider than /{limit}; ban narrower networks"),
        RefusalReason::TooMany { limit } => {
            format!("{limit} bans are in force, which is the limit")
        }
        RefusalReason::Collateral { addresses, limit } => format!(
            "would cut off {addresses} sources that did nothing (at most {limit} are allowed)"
        ),
    }
}
