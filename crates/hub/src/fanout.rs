//! One log of frames for all streams of a community.
//!
//! A frame is encoded once. Streams wait for the log's head and write what lies between; several
//! frames between two announcements go out as one piece that all streams share. The next
//! announcement waits until most streams have taken the last one, so that a busy machine sends
//! fewer, larger pieces instead of falling behind.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

/// Shortest time between two announcements.
const COALESCE: Duration = Duration::from_millis(25);
/// Longest: whoever has not taken the last one by then is on its own.
const COALESCE_MAX: Duration = Duration::from_millis(400);
/// Longest rest after an announcement that took long.
const REST_MAX: Duration = Duration::from_millis(150);
/// Bytes of frames kept; a stream further behind is closed and resumes, or takes the snapshot.
const LOG_BYTES_MAX: usize = 32 << 20;
/// Pieces that were put together lately.
const PIECES_MAX: usize = 8;

pub(crate) struct FanOut {
    log: Mutex<Log>,
    /// Place in the log up to which streams may read.
    head: watch::Sender<u64>,
    streams: AtomicUsize,
    /// Streams that have everything up to the head.
    arrived: AtomicUsize,
    /// Frames written to streams, for `posse status`.
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
    ring: tokio::sync::Notify,
}

#[derive(Default)]
struct Log {
    first: u64,
    frames: VecDeque<Bytes>,
    bytes: usize,
    pieces: VecDeque<(u64, u64, Bytes)>,
}

/// A stream's place in the log.
pub(crate) struct Reader {
    fan: Arc<FanOut>,
    head: watch::Receiver<u64>,
    next: u64,
}

/// What a stream does next.
pub(crate) enum Next {
    Piece(Bytes),
    /// It fell too far behind.
    Lost,
}

impl FanOut {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::default(),
            head: watch::Sender::new(0),
            streams: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ring: tokio::sync::Notify::new(),
        })
    }

    /// Puts a frame (with its length before it) behind the others.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut log = self.log();
        log.bytes += frame.len();
        log.frames.push_back(frame);
        while log.bytes > LOG_BYTES_MAX
            && log.frames.len() > 1
            && let Some(old) = log.frames.pop_front()
        {
            log.bytes -= old.len();
            log.first += 1;
        }
        drop(log);
        self.ring.notify_one();
    }

    /// A reader of what is pushed from now on.
    pub(crate) fn reader(self: &Arc<Self>) -> Reader {
        let next = self.log().end();
        self.streams.fetch_add(1, Relaxed);
        // Until it was announced what lies before, it counts as one that has it.
        Reader {
            fan: Arc::clone(self),
            head: self.head.subscribe(),
            next,
        }
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// Wakes every stream, so that it looks whether it may go on.
    pub(crate) fn wake(&self) {
        self.head.send_modify(|_| {});
    }

    /// Announces frames at a bearable pace; runs as long as the hub does.
    pub(crate) async fn announce(self: Arc<Self>) {
        loop {
            self.ring.notified().await;
            let end = self.log().end();
            if *self.head.borrow() == end {
                continue;
            }
            self.arrived.store(0, Relaxed);
            let began = Instant::now();
            self.head.send_replace(end);
            tokio::time::sleep(COALESCE).await;
            while began.elapsed() < COALESCE_MAX && !self.most_arrived() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if self.log().end() != end {
                // More came meanwhile, and more will.
                if began.elapsed() > COALESCE * 2 {
                    tokio::time::sleep((began.elapsed() / 2).min(REST_MAX)).await;
                }
                self.ring.notify_one();
            }
        }
    }

    fn most_arrived(&self) -> bool {
        let streams = self.streams.load(Relaxed);
        self.arrived.load(Relaxed) >= streams - streams / 16
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn piece(&mut self, from: u64, to: u64) -> Option<Bytes> {
        if let Some((.., bytes)) = self.pieces.iter().rev().find(|p| (p.0, p.1) == (from, to)) {
            return Some(bytes.clone());
        }
        let place = |n: u64| usize::try_from(n.checked_sub(self.first)?).ok();
        let (start, end) = (place(from)?, place(to)?);
        let joined = match end.checked_sub(start)? {
            1 => self.frames.get(start)?.clone(),
            _ => {
                let mut joined = BytesMut::new();
                let range = self.frames.range(start..end.min(self.frames.len()));
                range.for_each(|frame| joined.extend_from_slice(frame));
                joined.freeze()
            }
        };
        if self.pieces.len() >= PIECES_MAX {
            self.pieces.pop_front();
        }
        self.pieces.push_back((from, to, joined.clone()));
        Some(joined)
    }
}

impl Reader {
    /// Waits for the next piece. Whether the stream must end is asked quickly before each, and
    /// wholly when it was woken for nothing else.
    pub(crate) async fn next(
        &mut self,
        quick: impl Fn() -> bool,
        whole: impl Fn() -> bool,
    ) -> Next {
        let mut woken = false;
        loop {
            if quick() {
                return Next::Lost;
            }
            let head = *self.head.borrow_and_update();
            if head > self.next {
                let piece = self.fan.log().piece(self.next, head);
                let Some(piece) = piece else {
                    self.fan.dropped.fetch_add(1, Relaxed);
                    return Next::Lost;
                };
                self.fan.sent.fetch_add(head - self.next, Relaxed);
                self.next = head;
                self.fan.arrived.fetch_add(1, Relaxed);
                return Next::Piece(piece);
            }
            if woken && whole() {
                return Next::Lost;
            }
            woken = true;
            if self.head.changed().await.is_err() {
                return Next::Lost;
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fan.streams.fetch_sub(1, Relaxed);
    }
}
