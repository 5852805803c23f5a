//! One channel at work: its queue, its own thread, and the disk's side of both.
//!
//! The queue's lock is held for memory work only, never while something is sent or written.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use model::{ChannelStatus, Timestamp};

use crate::{
    config::ChannelPlan,
    disk::Folder,
    message::Message,
    notifier::Ring,
    outbox::{Failure, Outbox},
    send::{Answer, Way},
};

/// Longest sleep of a sender.
const NAP: Duration = Duration::from_secs(1);
/// What the grouping holds back, on disk.
const HELD: &str = "held.json";

pub(crate) struct Channel {
    pub(crate) name: String,
    kind: &'static str,
    outbox: Mutex<Outbox>,
    wake: Condvar,
    setup: Mutex<Setup>,
    held: Mutex<Held>,
    closed: AtomicBool,
}

/// How to send; renewed by a reload.
struct Setup {
    plan: ChannelPlan,
    zone: TimeZone,
    way: Option<Arc<Way>>,
}

/// What the grouping holds back, on its way to the disk.
#[derive(Default)]
struct Held {
    message: Option<Message>,
    changed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Channel {
    /// With what waited on disk. What cannot be opened now is tried again with each message.
    pub(crate) fn open(
        plan: &ChannelPlan,
        retry_max: Duration,
        zone: &TimeZone,
        all: &Folder,
    ) -> Self {
        let mut outbox = Outbox::new(retry_max);
        let mut held = Held::default();
        match all.channel(&plan.name) {
            Ok(folder) => {
                let found = folder.messages();
                for number in found.broken {
                    eprintln!(
                        "posse: a waiting alert of channel {} cannot be read",
                        plan.name
                    );
                    outbox.skip_to(number);
                    folder.remove_message(number);
                }
                for (number, message) in found.messages {
                    outbox.restore(number, message);
                }
                held.message = folder.load(HELD);
            }
            Err(e) => outbox.save_failed(&e.to_string()),
        }
        let way = match Way::open(plan, zone) {
            Ok(way) => Some(Arc::new(way)),
            Err(e) => {
                eprintln!("posse: alerts by {} cannot be sent: {e}", plan.name);
                outbox.counters.last_error = Some(e.to_string());
                None
            }
        };
        Self {
            name: plan.name.clone(),
            kind: plan.kind,
            outbox: Mutex::new(outbox),
            wake: Condvar::new(),
            setup: Mutex::new(Setup {
                plan: plan.clone(),
                zone: zone.clone(),
                way,
            }),
            held: Mutex::new(held),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn push(&self, message: Message) {
        lock(&self.outbox).push(message);
        self.wake.notify_all();
    }

    /// Sends by another plan from now on; what waits stays.
    pub(crate) fn reconfigure(&self, plan: &ChannelPlan, retry_max: Duration) {
        let zone = lock(&self.setup).zone.clone();
        let opened = Way::open(plan, &zone);
        let mut setup = lock(&self.setup);
        setup.plan = plan.clone();
        setup.way = match opened {
            Ok(way) => Some(Arc::new(way)),
            Err(e) => {
                eprintln!("posse: alerts by {} cannot be sent: {e}", plan.name);
                None
            }
        };
        drop(setup);
        lock(&self.outbox).retry_now(retry_max);
        self.wake.notify_all();
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.wake.notify_all();
    }

    /// The sender's thread.
    pub(crate) fn deliver(&self, keeper: &Ring) {
        while let Some((number, message)) = self.next() {
            let answer = self.way().and_then(|way| way.send(&message));
            let mut outbox = lock(&self.outbox);
            match answer {
                Ok(_) => outbox.sent(number, crate::now()),
                Err(failure) => outbox.failed(number, &failure, crate::now(), chance()),
            }
            drop(outbox);
            keeper.ring();
        }
    }

    /// Waits for the next message; `None` when the channel is closed.
    fn next(&self) -> Option<(u64, Arc<Message>)> {
        let mut outbox = lock(&self.outbox);
        loop {
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            let now = crate::now();
            if let Some(next) = outbox.next(now) {
                return Some(next);
            }
            let pause = outbox
                .pause(now)
                .unwrap_or(NAP)
                .clamp(Duration::from_millis(1), NAP);
            outbox = self
                .wake
                .wait_timeout(outbox, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn way(&self) -> Result<Arc<Way>, Failure> {
        let setup = lock(&self.setup);
        if let Some(way) = &setup.way {
            return Ok(Arc::clone(way));
        }
        let (plan, zone) = (setup.plan.clone(), setup.zone.clone());
        drop(setup);
        let way = Way::open(&plan, &zone).map_err(|e| Failure::passing(e.to_string()))?;
        let way = Arc::new(way);
        let mut setup = lock(&self.setup);
        if setup.plan == plan {
            setup.way = Some(Arc::clone(&way));
        }
        Ok(way)
    }

    /// Sent, or failing, so that there is nothing to wait for.
    pub(crate) fn is_settled(&self) -> bool {
        let outbox = lock(&self.outbox);
        outbox.is_empty() || outbox.failing_since().is_some()
    }

    pub(crate) fn failing_since(&self) -> Option<(Timestamp, String)> {
        let outbox = lock(&self.outbox);
        let error = outbox.counters.last_error.clone().unwrap_or_default();
        outbox.failing_since().map(|since| (since, error))
    }

    pub(crate) fn status(&self) -> ChannelStatus {
        let outbox = lock(&self.outbox);
        let (queued, queued_alerts) = outbox.waiting();
        let counters = outbox.counters.clone();
        ChannelStatus {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            sent: counters.sent,
            failed: counters.failed,
            queued,
            queued_alerts,
            merged: counters.merged,
            dropped: counters.dropped,
            last_sent: counters.last_sent,
            last_error: counters.last_error,
            disk_error: counters.disk_error,
        }
    }

    //--- the disk's side

    pub(crate) fn take_held(&self) -> Option<Message> {
        lock(&self.held).message.clone()
    }

    pub(crate) fn hold(&self, message: Option<&Message>) {
        let mut held = lock(&self.held);
        if held.message.as_ref() != message {
            held.message = message.cloned();
            held.changed = true;
        }
    }

    /// Brings the disk up to date with the queue. Runs on the keeper's thread.
    pub(crate) fn keep(&self, all: &Folder) {
        let folder = match all.channel(&self.name) {
            Ok(folder) => folder,
            Err(e) => return lock(&self.outbox).save_failed(&e.to_string()),
        };
        // New files first: what was merged must not be nowhere in between.
        let work = lock(&self.outbox).take_unkept();
        let mut whole = true;
        for (number, message) in work.unsaved {
            let saved = folder.save_message(number, &message);
            whole &= saved.is_ok();
            let mut outbox = lock(&self.outbox);
            match saved {
                Ok(()) => outbox.saved(number),
                Err(e) => outbox.save_failed(&e.to_string()),
            }
        }
        if whole {
            for number in work.gone {
                folder.remove_message(number);
            }
        } else {
            lock(&self.outbox).not_removed(work.gone);
        }
        let mut held = lock(&self.held);
        if !std::mem::take(&mut held.changed) {
            return;
        }
        let message = held.message.clone();
        drop(held);
        let saved = match &message {
            Some(message) => folder.save(HELD, message),
            None => {
                folder.remove(HELD);
                Ok(())
            }
        };
        if let Err(e) = saved {
            lock(&self.held).changed = true;
            lock(&self.outbox).save_failed(&e.to_string());
        }
    }

    /// Tries the channel once, past the queue.
    pub(crate) fn try_once(plan: &ChannelPlan, zone: &TimeZone, message: &Message) -> Answer {
        let way = Way::open(plan, zone).map_err(|e| Failure::passing(e.to_string()))?;
        way.send(message)
    }
}

fn chance() -> u64 {
    getrandom::u64().unwrap_or(250)
}
