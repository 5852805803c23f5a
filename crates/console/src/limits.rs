//! Every bound of this room. What hits one is refused and counted; see `posse_console_*`.

use std::time::Duration;

/// Connections open at a time; the next one waits in the kernel's queue.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Pages that follow live, and readers of `/events`, together.
pub(crate) const STREAMS_MAX: usize = 24;
/// Bytes of a request's head, and its header lines.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
pub(crate) const HEADERS_MAX: usize = 64;
/// A request's head must be there within this time; also the longest idle time between requests.
pub(crate) const HEAD_WAIT: Duration = Duration::from_secs(15);
/// Longest time to make an answer.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// A stream ends after this; browsers come back by themselves.
pub(crate) const STREAM_LIFE: Duration = Duration::from_secs(900);
/// No connection outlives this, however slowly its far end reads.
pub(crate) const CONNECTION_LIFE: Duration = Duration::from_secs(1_000);

/// Rows of each list on the overview.
pub(crate) const ALERTS_SHOWN: usize = 25;
pub(crate) const BANS_SHOWN: usize = 50;
pub(crate) const REFUSALS_SHOWN: usize = 15;
pub(crate) const NOTICES_SHOWN: usize = 15;
/// Rows of a page of history.
pub(crate) const PAGE_ROWS: usize = 100;
/// Lines of an alert kept for the overview, and characters of each; its own page has them all.
pub(crate) const LINES_SHOWN: usize = 5;
pub(crate) const LINE_CHARS_SHOWN: usize = 400;
/// Characters of any other text that came from outside.
pub(crate) const TEXT_CHARS_SHOWN: usize = 600;

/// Events kept for readers of `/events` who come back, and their bytes together.
pub(crate) const EVENTS_KEPT: usize = 512;
pub(crate) const EVENT_BYTES_KEPT: usize = 4 << 20;
/// Releases remembered, so that a record that lags does not show a lifted ban again.
pub(crate) const RELEASES_KEPT: usize = 256;

/// Shortest time between two updates of one page.
pub(crate) const UPDATE_PAUSE: Duration = Duration::from_millis(100);
/// How often a page is updated when nothing happens.
pub(crate) const UPDATE_EVERY: Duration = Duration::from_secs(1);
/// Sign of life on `/events`.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a browser tries again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// One point of the charts, and how many are kept: one hour.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(10);
pub(crate) const SAMPLES_KEPT: usize = 360;
/// Numbers older than this are said to be old.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(5);
/// A source without a line for so long is shown as quiet.
pub(crate) const QUIET_AFTER: Duration = Duration::from_secs(3_600);

/// Questions to the store that wait at a time.
pub(crate) const QUESTIONS_MAX: usize = 16;
/// How often the overview's lists are held against the store.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a token file, and the shortest token worth the name.
pub(crate) const TOKEN_BYTES_MAX: usize = 4 << 10;
pub(crate) const TOKEN_BYTES_MIN: usize = 16;
