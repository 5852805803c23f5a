//! The recorder: a thread of its own between the guard and the disk.
//!
//! Whoever offers entries never waits for it. What is queued goes into one transaction; when that
//! fails, recording pauses and is tried again, the queue fills to its limit, and what does not
//! fit is counted. The count goes on the ledger as an entry as soon as something can.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use model::{
    Entry, Loss, Timestamp,
    limits::{RECORD_QUEUE_BYTES_MAX, RECORD_QUEUE_MAX},
};

use crate::{Appended, Store, StoreError, verify::full};

/// Entries in one transaction, so long as one offer fits.
const BATCH_ENTRIES_MAX: usize = 4_096;
/// Old entries are looked for so many times within the time that they are kept.
const ERASURES_IN_KEEP: u32 = 8;
const ERASE_EVERY_MAX: Duration = Duration::from_secs(86_400);
/// How long a clock that was set must have gone on before anything is erased by it.
const CLOCK_PROVEN_MAX: Duration = Duration::from_secs(7 * 86_400);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// What the recorder tells of, on its own thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecorderEvent {
    /// `entries` are durable on the ledger, of which there are now `size`.
    Recorded { entries: u64, size: u64 },
    /// Recording failed and is tried again.
    Paused { cause: String },
    /// Recording works again.
    Resumed,
    /// Entries were dropped because they can never be recorded. (Those that found the queue full
    /// are in [`RecorderStatus::lost`].)
    Lost { entries: u64, cause: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Entries that wait.
    pub queued: u64,
    /// Entries recorded since the start.
    pub recorded: u64,
    /// Entries lost since the start.
    pub lost: u64,
    /// Why recording is paused now, if it is.
    pub paused: Option<String>,
    /// The last error, though it may be over.
    pub last_error: Option<String>,
    /// The ledger's size.
    pub size: u64,
}

/// Hands entries to the recording thread. Dropping it drains and stops the thread.
pub struct Recorder {
    shared: Arc<Shared>,
    sender: Sender<Message>,
    thread: Option<JoinHandle<Store>>,
}

#[derive(Default)]
struct Shared {
    queued: AtomicU64,
    queued_bytes: AtomicU64,
    recorded: AtomicU64,
    lost: AtomicU64,
    size: AtomicU64,
    /// What the clock was last set to; 0: it never was.
    clock_set: AtomicI64,
    trouble: Mutex<Trouble>,
    /// Losses that are not on the ledger yet.
    loss: Mutex<Option<Loss>>,
}

#[derive(Default)]
struct Trouble {
    paused: Option<String>,
    last_error: Option<String>,
}

type Reply = Sender<Result<Vec<Appended>, StoreError>>;

/// Entries that were handed over together.
struct Job {
    entries: Vec<Entry>,
    /// Someone waits for them; such a job is never kept for later.
    reply: Option<Reply>,
}

enum Message {
    Job(Job),
    Stop,
}

impl Recorder {
    pub fn start(
        store: Store,
        on_event: Box<dyn Fn(RecorderEvent) + Send>,
    ) -> Result<Self, StoreError> {
        Self::start_keeping(store, None, on_event)
    }

    /// Erases what the entries say once they are older than `keep`; see [`Store::erase_older`].
    pub fn start_keeping(
        store: Store,
        keep: Option<Duration>,
        on_event: Box<dyn Fn(RecorderEvent) + Send>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        shared.size.store(store.size()?, Relaxed);
        let (sender, receiver) = unbounded();
        let dir = store.dir().to_owned();
        let worker = Worker {
            store,
            shared: Arc::clone(&shared),
            receiver,
            on_event,
            pending: VecDeque::new(),
            retry: None,
            stopping: false,
            keep,
            next_erasure: Timestamp::EPOCH,
        };
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || worker.run())
            .map_err(crate::error::io_at(dir, "start the recorder"))?;
        Ok(Self {
            shared,
            sender,
            thread: Some(thread),
        })
    }

    /// Queues entries for recording. Never blocks: what does not fit is lost, and counted.
    pub fn offer(&self, entries: Vec<Entry>) {
        let (count, bytes) = (entries.len() as u64, weight(&entries));
        if count == 0 {
            return;
        }
        let queued = self.shared.queued.fetch_add(count, Relaxed) + count;
        let queued_bytes = self.shared.queued_bytes.fetch_add(bytes, Relaxed) + bytes;
        let fits =
            queued <= RECORD_QUEUE_MAX as u64 && queued_bytes <= RECORD_QUEUE_BYTES_MAX as u64;
        let job = Message::Job(Job {
            entries,
            reply: None,
        });
        if !fits || self.sender.send(job).is_err() {
            self.shared.leave(count, bytes);
            let paused = self.shared.trouble().paused.clone();
            let cause = paused.unwrap_or_else(|| "the recorder's queue was full".to_owned());
            self.shared.lose(count, &cause, now());
        }
    }

    /// Records entries and waits until they are durable. An error means none of them is.
    pub fn record_and_wait(&self, entries: Vec<Entry>) -> Result<Vec<Appended>, StoreError> {
        let stopped = || StoreError::Paused {
            cause: "the recorder has stopped".to_owned(),
        };
        let (count, bytes) = (entries.len() as u64, weight(&entries));
        self.shared.queued.fetch_add(count, Relaxed);
        self.shared.queued_bytes.fetch_add(bytes, Relaxed);
        let (reply, answer) = bounded(1);
        let job = Message::Job(Job {
            entries,
            reply: Some(reply),
        });
        if self.sender.send(job).is_err() {
            self.shared.leave(count, bytes);
            return Err(stopped());
        }
        answer.recv().map_err(|_| stopped())?
    }

    /// The wall clock was set to `now`. What looks old by it is not erased before it has proven
    /// itself for a while: a clock gone wrong must not cost the record.
    pub fn clock_was_set(&self, now: Timestamp) {
        self.shared.clock_set.store(now.nanos(), Relaxed);
    }

    pub fn status(&self) -> RecorderStatus {
        let trouble = self.shared.trouble();
        RecorderStatus {
            queued: self.shared.queued.load(Relaxed),
            recorded: self.shared.recorded.load(Relaxed),
            lost: self.shared.lost.load(Relaxed),
            paused: trouble.paused.clone(),
            last_error: trouble.last_error.clone(),
            size: self.shared.size.load(Relaxed),
        }
    }

    /// Records what is queued, as far as that works at once, and gives the store back.
    pub fn stop(mut self) -> Store {
        match self.join() {
            Some(Ok(store)) => store,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => unreachable!("only stop and drop join, and stop takes the value"),
        }
    }

    fn join(&mut self) -> Option<thread::Result<Store>> {
        // It fails only when the thread is gone.
        let _ = self.sender.send(Message::Stop);
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.join().is_some_and(|result| result.is_err()) {
            tracing::error!("the recorder panicked");
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loss(&self) -> MutexGuard<'_, Option<Loss>> {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, count: u64, bytes: u64) {
        self.queued.fetch_sub(count, Relaxed);
        self.queued_bytes.fetch_sub(bytes, Relaxed);
    }

    fn lose(&self, count: u64, cause: &str, at: Timestamp) {
        self.lost.fetch_add(count, Relaxed);
        let loss = Loss {
            from: at,
            until: at,
            entries_lost: count,
            cause: cause.to_owned(),
        };
        self.add_loss(loss);
    }

    /// Adds to the loss that waits to be recorded; the first cause stays.
    fn add_loss(&self, new: Loss) {
        let mut loss = self.loss();
        *loss = Some(match loss.take() {
            None => new,
            Some(old) => Loss {
                from: old.from.min(new.from),
                until: old.until.max(new.until),
                entries_lost: old.entries_lost.saturating_add(new.entries_lost),
                cause: old.cause,
            },
        });
    }
}

struct Worker {
    store: Store,
    shared: Arc<Shared>,
    receiver: Receiver<Message>,
    on_event: Box<dyn Fn(RecorderEvent) + Send>,
    /// Taken from the channel and not recorded yet; the queue's limits count it too.
    pending: VecDeque<Job>,
    retry: Option<Retry>,
    stopping: bool,
    keep: Option<Duration>,
    next_erasure: Timestamp,
}

/// Recording is paused until `at`.
struct Retry {
    at: Instant,
    wait: Duration,
    cause: String,
}

impl Worker {
    fn run(mut self) -> Store {
        loop {
            self.receive();
            let due = self
                .retry
                .as_ref()
                .is_none_or(|retry| Instant::now() >= retry.at);
            while (due || self.stopping) && self.has_work() {
                // What was offered meanwhile goes before a loss that came after it.
                self.drain();
                if !self.record_batch() {
                    break;
                }
            }
            if self.stopping {
                self.give_up();
                return self.store;
            }
            self.erase_old(now());
        }
    }

    /// The ledger grows only when something is recorded, so that is often enough to look.
    fn erase_old(&mut self, now: Timestamp) {
        let Some(keep) = self.keep.filter(|_| self.retry.is_none()) else {
            return;
        };
        let every = (keep / ERASURES_IN_KEEP).min(ERASE_EVERY_MAX);
        // A clock that was set back must not put it off for as long.
        if now < self.next_erasure && self.next_erasure.since(now) <= every {
            return;
        }
        let set = Timestamp::from_nanos(self.shared.clock_set.load(Relaxed));
        if set != Timestamp::EPOCH && now.since(set) < (keep / 4).min(CLOCK_PROVEN_MAX) {
            return;
        }
        self.next_erasure = now.plus(every);
        match self.store.erase_older(keep, now) {
            Ok(None) => {}
            Ok(Some(appended)) => {
                let size = appended.index + 1;
                self.shared.size.store(size, Relaxed);
                (self.on_event)(RecorderEvent::Recorded { entries: 1, size });
            }
            Err(error) => {
                let cause = full(&error);
                tracing::warn!(%cause, "old entries could not be erased");
                self.shared.trouble().last_error = Some(cause);
            }
        }
    }

    fn has_work(&self) -> bool {
        !self.pending.is_empty() || self.shared.loss().is_some()
    }

    /// Waits for a message, or for the next try; then takes what else is there.
    fn receive(&mut self) {
        // With nothing to try again the next try is the next message.
        let first = match self.retry.as_ref().filter(|_| self.has_work()) {
            Some(retry) => self.receiver.recv_deadline(retry.at),
            None => self
                .receiver
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(message) => self.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stopping = true,
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Ok(message) = self.receiver.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match (message, &self.retry) {
            (Message::Stop, _) => self.stopping = true,
            // A person who waits is told at once, unless it is time to try again.
            (
                Message::Job(Job {
                    entries,
                    reply: Some(reply),
                }),
                Some(retry),
            ) if Instant::now() < retry.at => {
                self.shared.leave(entries.len() as u64, weight(&entries));
                let _ = reply.send(Err(StoreError::Paused {
                    cause: retry.cause.clone(),
                }));
            }
            (Message::Job(job), _) => self.pending.push_back(job),
        }
    }

    /// One transaction; says whether it makes sense to go on at once.
    fn record_batch(&mut self) -> bool {
        let mut batch = Vec::new();
        let mut jobs: Vec<(usize, Option<Reply>)> = Vec::new();
        while let Some(job) = self.pending.pop_front() {
            if !batch.is_empty() && batch.len() + job.entries.len() > BATCH_ENTRIES_MAX {
                self.pending.push_front(job);
                break;
            }
            jobs.push((job.entries.len(), job.reply));
            batch.extend(job.entries);
        }
        let count = batch.len();
        // A loss is told of behind everything that was queued before it.
        let loss = if self.pending.is_empty() {
            self.shared.loss().take()
        } else {
            None
        };
        batch.extend(loss.clone().map(Entry::Loss));
        match self.store.append(&batch, now()) {
            Ok(appended) => {
                batch.truncate(count);
                self.recorded(&batch, &appended, jobs);
                true
            }
            Err(error) => {
                batch.truncate(count);
                if let Some(loss) = loss {
                    self.shared.add_loss(loss);
                }
                self.failed(error, batch, jobs)
            }
        }
    }

    fn recorded(
        &mut self,
        batch: &[Entry],
        appended: &[Appended],
        jobs: Vec<(usize, Option<Reply>)>,
    ) {
        self.shared.leave(batch.len() as u64, weight(batch));
        let entries = appended.len() as u64;
        self.shared.recorded.fetch_add(entries, Relaxed);
        let last = appended
            .iter()
            .filter(|a| !a.duplicate)
            .map(|a| a.index + 1)
            .max();
        if let Some(size) = last {
            self.shared.size.store(size, Relaxed);
        }
        if self.retry.take().is_some() {
            self.shared.trouble().paused = None;
            (self.on_event)(RecorderEvent::Resumed);
        }
        (self.on_event)(RecorderEvent::Recorded {
            entries,
            size: self.shared.size.load(Relaxed),
        });
        let mut rest = appended;
        for (len, reply) in jobs {
            let (own, next) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            if let Some(reply) = reply {
                // Whoever waited may have gone.
                let _ = reply.send(Ok(own.to_vec()));
            }
            rest = next;
        }
    }

    /// Puts back what may be recorded later, and says whether it may be now.
    fn failed(
        &mut self,
        error: StoreError,
        batch: Vec<Entry>,
        jobs: Vec<(usize, Option<Reply>)>,
    ) -> bool {
        let (bad, cause) = match &error {
            StoreError::TooLarge { position, .. } | StoreError::Json { position, .. } => {
                (Some(*position), full(&error))
            }
            other => (None, full(other)),
        };
        if bad.is_none() {
            self.pause(&cause);
        }
        // What is put back must stay before what waited behind it.
        let behind = std::mem::take(&mut self.pending);
        let mut entries = batch.into_iter();
        let mut start = 0;
        let mut error = Some(error);
        for (len, reply) in jobs {
            let mut own: Vec<Entry> = entries.by_ref().take(len).collect();
            let bad_here = bad
                .and_then(|at| at.checked_sub(start))
                .filter(|at| *at < len);
            start += len;
            match (reply, bad_here) {
                (Some(reply), at) if bad.is_none() || at.is_some() => {
                    self.shared.leave(own.len() as u64, weight(&own));
                    let paused = || StoreError::Paused {
                        cause: cause.clone(),
                    };
                    let _ = reply.send(Err(error.take().unwrap_or_else(paused)));
                }
                (reply, at) => {
                    if let Some(at) = at {
                        let one = own.remove(at);
                        self.shared.leave(1, weight(std::slice::from_ref(&one)));
                        self.lose(1, &cause);
                    }
                    if !own.is_empty() {
                        self.pending.push_back(Job {
                            entries: own,
                            reply,
                        });
                    }
                }
            }
        }
        self.pending.extend(behind);
        bad.is_some()
    }

    fn pause(&mut self, cause: &str) {
        let wait = self
            .retry
            .as_ref()
            .map_or(RETRY_FIRST, |r| (r.wait * 2).min(RETRY_LAST));
        if self.retry.is_none() {
            tracing::error!(cause, "recording is paused");
            (self.on_event)(RecorderEvent::Paused {
                cause: cause.to_owned(),
            });
        }
        self.retry = Some(Retry {
            at: Instant::now() + wait,
            wait,
            cause: cause.to_owned(),
        });
        let mut trouble = self.shared.trouble();
        trouble.paused = Some(cause.to_owned());
        trouble.last_error = Some(cause.to_owned());
    }

    fn lose(&self, entries: u64, cause: &str) {
        self.shared.lose(entries, cause, now());
        self.shared.trouble().last_error = Some(cause.to_owned());
        (self.on_event)(RecorderEvent::Lost {
            entries,
            cause: cause.to_owned(),
        });
    }

    /// At the end, what could not be recorded is lost.
    fn give_up(&mut self) {
        let cause = self
            .retry
            .as_ref()
            .map_or_else(String::new, |retry| retry.cause.clone());
        for job in std::mem::take(&mut self.pending) {
            self.shared
                .leave(job.entries.len() as u64, weight(&job.entries));
            match job.reply {
                Some(reply) => {
                    let _ = reply.send(Err(StoreError::Paused {
                        cause: cause.clone(),
                    }));
                }
                None => self.lose(job.entries.len() as u64, &cause),
            }
        }
    }
}

/// About how much memory entries take; exact enough to bound a queue.
fn weight(entries: &[Entry]) -> u64 {
    let one = |entry: &Entry| match entry {
        Entry::Alert(a) => {
            let raw = |raw: &model::RawText| match raw {
                model::RawText::Base64(s) | model::RawText::Text(s) => s.len(),
            };
            let evidence: usize = a.evidence.iter().map(|e| 256 + raw(&e.raw)).sum();
            let meta = |e: &model::AlertEvent| -> usize { 64 + 8 * e.meta.len() + e.meta.bytes() };
            1_024 + evidence + a.events.iter().map(meta).sum::<usize>()
        }
        Entry::Notice(n) => 512 + n.text.len() + 20 * n.prefixes.len(),
        _ => 512,
    };
    entries.iter().map(|entry| one(entry) as u64).sum()
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}
