//! What waits for one channel: a bounded queue, when to try next, and what is on disk of it.
//!
//! Pure: time and chance are arguments, the disk and the network are somebody else's. Nothing is
//! silently lost: when the queue is full, the oldest messages become one; when a backlog has
//! built up behind a dead channel, it leaves as one message that says how many.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use model::{AlertId, Timestamp};

use crate::message::{Kind, Message};

/// Messages that wait for one channel.
pub(crate) const MESSAGES_MAX: usize = 128;
/// Their bytes, as they are on disk.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// First pause after a failure; each further one doubles it.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest pause a channel may ask for (HTTP `Retry-After`).
const RETRY_ASKED_MAX: Duration = Duration::from_secs(3_600);
/// A message refused for good so many times is given up, and counted.
const REFUSALS_MAX: u32 = 8;
/// From the second refusal on the message goes without what may have been the cause.
const REFUSALS_PLAIN: u32 = 2;
const ERROR_CHARS_MAX: usize = 300;

/// Why a message did not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) text: String,
    /// The other side will never take this message.
    pub(crate) permanent: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            permanent: false,
            retry_after: None,
        }
    }

    pub(crate) fn permanent(text: impl Into<String>) -> Self {
        Self {
            permanent: true,
            ..Self::passing(text)
        }
    }
}

/// Since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    /// Messages that became part of another.
    pub(crate) merged: u64,
    /// Alerts that no message will tell of.
    pub(crate) dropped: u64,
    pub(crate) last_sent: Option<Timestamp>,
    pub(crate) last_error: Option<String>,
    pub(crate) disk_error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    bytes: usize,
    next: u64,
    retry_max: Duration,
    failures: u32,
    failing_since: Option<Timestamp>,
    retry: Option<Retry>,
    /// Files whose messages went or became part of another.
    gone: Vec<u64>,
    pub(crate) counters: Counters,
}

/// What the disk lacks, and what it has too much once it lacks nothing.
#[derive(Debug)]
pub(crate) struct ToKeep {
    /// Messages with their numbers.
    pub(crate) unsaved: Vec<(u64, Arc<Message>)>,
    /// Files to remove when all of the unsaved are on disk.
    pub(crate) gone: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    from: Timestamp,
    at: Timestamp,
}

#[derive(Debug)]
struct Item {
    number: u64,
    message: Arc<Message>,
    bytes: usize,
    saved: bool,
    in_flight: bool,
    refusals: u32,
}

impl Outbox {
    pub(crate) fn new(retry_max: Duration) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            next: 1,
            retry_max,
            failures: 0,
            failing_since: None,
            retry: None,
            gone: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// What was on disk at the start, in its order.
    pub(crate) fn restore(&mut self, number: u64, message: Message) {
        self.next = self.next.max(number.saturating_add(1));
        self.insert(number, message, true);
        self.make_room();
    }

    /// Numbers that are taken though nothing can be read under them.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.next = self.next.max(number.saturating_add(1));
    }

    pub(crate) fn push(&mut self, message: Message) {
        let number = self.next;
        self.next += 1;
        self.insert(number, message, false);
        self.make_room();
    }

    /// The next message to send now, marked as under way.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<(u64, Arc<Message>)> {
        if self.items.iter().any(|item| item.in_flight) || self.pause(now).is_some() {
            return None;
        }
        if self.failures > 0 {
            self.gather();
        }
        let item = self.items.front_mut()?;
        item.in_flight = true;
        Some((item.number, Arc::clone(&item.message)))
    }

    /// How long until the next try; `None`: now.
    pub(crate) fn pause(&self, now: Timestamp) -> Option<Duration> {
        let retry = self.retry?;
        // A clock that was set back must not silence a channel.
        (now >= retry.from && now < retry.at).then(|| retry.at.since(now))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn sent(&mut self, number: u64, now: Timestamp) {
        self.counters.sent += 1;
        self.counters.last_sent = Some(now);
        self.counters.last_error = None;
        self.recovered();
        self.remove(number);
    }

    pub(crate) fn failed(&mut self, number: u64, failure: &Failure, now: Timestamp, chance: u64) {
        self.counters.failed += 1;
        let text = crate::text::harmless(&failure.text, ERROR_CHARS_MAX);
        self.counters.last_error = Some(text);
        self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
        let asked = failure.retry_after.unwrap_or_default().min(RETRY_ASKED_MAX);
        let pause = backoff(self.failures, self.retry_max, chance).max(asked);
        self.retry = Some(Retry {
            from: now,
            at: now.plus(pause),
        });
        let Some(item) = self.items.iter_mut().find(|item| item.number == number) else {
            return;
        };
        item.in_flight = false;
        if !failure.permanent {
            return;
        }
        item.refusals += 1;
        if item.refusals >= REFUSALS_MAX {
            self.counters.dropped += item.message.weight().max(1);
            self.remove(number);
        } else if item.refusals == REFUSALS_PLAIN && !item.message.incidents.is_empty() {
            let mut plain = (*item.message).clone();
            plain.incidents.clear();
            self.replace(number, plain);
        }
    }

    /// Forget the pauses: the channel was set up anew.
    pub(crate) fn retry_now(&mut self, retry_max: Duration) {
        self.retry_max = retry_max;
        self.retry = None;
    }

    pub(crate) const fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    //--- the disk's side

    /// Both in one look: a message that takes the place of others later is not among the unsaved,
    /// so the files of those others must not be among the gone.
    pub(crate) fn take_unkept(&mut self) -> ToKeep {
        let unsaved = self.items.iter().filter(|item| !item.saved);
        ToKeep {
            unsaved: unsaved
                .map(|item| (item.number, Arc::clone(&item.message)))
                .collect(),
            gone: std::mem::take(&mut self.gone),
        }
    }

    /// What takes the place of these could not be saved: they go another time.
    pub(crate) fn not_removed(&mut self, gone: Vec<u64>) {
        self.gone.extend(gone);
    }

    /// The message is on disk now. If it went in the meantime, its file is among the gone.
    pub(crate) fn saved(&mut self, number: u64) {
        self.counters.disk_error = None;
        match self.items.iter_mut().find(|item| item.number == number) {
            Some(item) => item.saved = true,
            None => self.gone.push(number),
        }
    }

    pub(crate) fn save_failed(&mut self, why: &str) {
        self.counters.disk_error = Some(crate::text::harmless(why, ERROR_CHARS_MAX));
    }

    /// Messages that wait, and how many incidents they speak of.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let weight = self
            .items
            .iter()
            .map(|item| item.message.weight().max(1))
            .sum();
        (self.items.len() as u64, weight)
    }

    fn recovered(&mut self) {
        self.failures = 0;
        self.failing_since = None;
        self.retry = None;
    }

    fn insert(&mut self, number: u64, message: Message, saved: bool) {
        let bytes = message.encode().len();
        self.bytes += bytes;
        self.items.push_back(Item {
            number,
            message: Arc::new(message),
            bytes,
            saved,
            in_flight: false,
            refusals: 0,
        });
    }

    fn remove(&mut self, number: u64) {
        if let Some(at) = self.items.iter().position(|item| item.number == number)
            && let Some(item) = self.items.remove(at)
        {
            self.bytes = self.bytes.saturating_sub(item.bytes);
            if item.saved {
                self.gone.push(number);
            }
        }
    }

    /// Another text under a new number, so that the old file is never half overwritten.
    fn replace(&mut self, number: u64, message: Message) {
        let fresh = self.next;
        self.next += 1;
        let bytes = message.encode().len();
        let Some(item) = self.items.iter_mut().find(|item| item.number == number) else {
            return;
        };
        self.bytes = (self.bytes + bytes).saturating_sub(item.bytes);
        if item.saved {
            self.gone.push(number);
        }
        item.number = fresh;
        item.message = Arc::new(message);
        item.bytes = bytes;
        item.saved = false;
    }

    /// The older half becomes one message until the queue is within its bounds.
    fn make_room(&mut self) {
        while self.items.len() > MESSAGES_MAX || self.bytes > BYTES_MAX {
            let half = (self.items.len() / 2).max(2);
            if !self.merge_oldest(half) && !self.drop_oldest() {
                return;
            }
        }
    }

    /// Everything of a kind that waits becomes one message.
    fn gather(&mut self) {
        while self.merge_oldest(usize::MAX) {}
    }

    /// The oldest `count` idle messages of a kind become one; `false` when there are not two.
    fn merge_oldest(&mut self, count: usize) -> bool {
        for kind in [Kind::News, Kind::Escalation] {
            let idle = self
                .items
                .iter()
                .filter(|i| !i.in_flight && i.message.kind == kind);
            let oldest: Vec<(u64, Arc<Message>)> = idle
                .take(count)
                .map(|item| (item.number, Arc::clone(&item.message)))
                .collect();
            let [(first, head), rest @ ..] = oldest.as_slice() else {
                continue;
            };
            let Some((_, last)) = rest.last() else {
                continue;
            };
            let mut sum = (**head).clone();
            sum.id = AlertId::derive(&[head.id.bytes(), last.id.bytes()]);
            for (number, message) in rest {
                sum.absorb((**message).clone());
                self.remove(*number);
                self.counters.merged += 1;
            }
            self.replace(*first, sum);
            return true;
        }
        false
    }

    fn drop_oldest(&mut self) -> bool {
        let oldest = self.items.iter().find(|item| !item.in_flight);
        let Some((number, weight)) = oldest.map(|i| (i.number, i.message.weight().max(1))) else {
            return false;
        };
        self.counters.dropped += weight;
        self.remove(number);
        true
    }
}

/// Exponential, with a quarter of chance either way so that many machines do not come at once.
fn backoff(failures: u32, longest: Duration, chance: u64) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1u32 << failures.saturating_sub(1).min(20));
    let pause = doubled.min(longest.max(Duration::from_millis(10)));
    let per_mille = u32::try_from(750 + chance % 501).unwrap_or(1_000);
    pause.saturating_mul(per_mille) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn outbox() -> Outbox {
        Outbox::new(Duration::from_secs(300))
    }

    fn news(n: u32) -> Message {
        Message::of(Kind::News, "host", samples::banned(n))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn a_living_channel_gets_them_one_by_one() {
        let mut outbox = outbox();
        for n in 0..3 {
            outbox.push(news(n));
        }
        for n in 0..3 {
            let (number, message) = outbox.next(at(0)).unwrap();
            assert_eq!(message.alerts, 1, "{n}");
            assert!(outbox.next(at(0)).is_none(), "one at a time");
            outbox.sent(number, at(0));
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.counters.sent, 3);
    }

    #[test]
    fn a_backlog_leaves_as_one() {
        let mut outbox = outbox();
        outbox.push(news(0));
        let (number, _) = outbox.next(at(0)).unwrap();
        outbox.failed(number, &Failure::passing("refused"), at(0), 250);
        for n in 1..1_000 {
            outbox.push(news(n));
        }
        assert!(outbox.next(at(0)).is_none(), "it waits");
        assert_eq!(outbox.pause(at(0)), Some(Duration::from_secs(1)));
        let (number, message) = outbox.next(at(2)).unwrap();
        assert_eq!((message.alerts, message.bans), (1_000, 1_000));
        outbox.sent(number, at(2));
        assert!(outbox.is_empty());
        assert_eq!(outbox.counters.dropped, 0);
    }

    #[test]
    fn the_queue_is_bounded_and_loses_no_count() {
        let mut outbox = outbox();
        for n in 0..5_000 {
            outbox.push(news(n));
            let (messages, _) = outbox.waiting();
            assert!(messages as usize <= MESSAGES_MAX && outbox.bytes <= BYTES_MAX);
        }
        assert_eq!(outbox.waiting().1, 5_000);
        let bytes: usize = outbox.items.iter().map(|item| item.bytes).sum();
        assert_eq!(bytes, outbox.bytes);
    }

    #[test]
    fn digests_are_not_merged_but_dropped_with_a_count() {
        let mut outbox = outbox();
        let digest = Message::empty(Kind::Digest, "host", AlertId::from_bytes([0; 16]), at(0));
        for _ in 0..MESSAGES_MAX + 5 {
            outbox.push(digest.clone());
        }
        assert_eq!(outbox.items.len(), MESSAGES_MAX);
        assert_eq!(outbox.counters.dropped, 5);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_vary() {
        let longest = Duration::from_secs(300);
        let of = |failures, chance| backoff(failures, longest, chance);
        assert_eq!(of(1, 250), Duration::from_secs(1));
        assert_eq!(of(4, 250), Duration::from_secs(8));
        assert_eq!(of(u32::MAX, 250), longest);
        assert!(of(4, 0) < of(4, 250) && of(4, 250) < of(4, 500));
        let mut outbox = outbox();
        outbox.push(news(0));
        let (number, _) = outbox.next(at(0)).unwrap();
        let asked = Failure {
            retry_after: Some(Duration::from_secs(1_000_000)),
            ..Failure::passing("429")
        };
        outbox.failed(number, &asked, at(0), 250);
        assert_eq!(outbox.pause(at(0)), Some(RETRY_ASKED_MAX));
        assert_eq!(outbox.pause(at(-5)), None, "the clock was set back");
    }

    #[test]
    fn what_is_refused_for_good_is_made_plain_then_given_up() {
        let mut outbox = outbox();
        outbox.push(news(0));
        let mut now = 0;
        for n in 0..REFUSALS_MAX {
            let (number, message) = outbox.next(at(now)).unwrap();
            assert_eq!(message.incidents.is_empty(), n >= REFUSALS_PLAIN, "{n}");
            outbox.failed(number, &Failure::permanent("554 no"), at(now), 250);
            now += 1_000;
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.counters.dropped, 1);
    }

    #[test]
    fn files_follow_the_messages() {
        let mut outbox = outbox();
        outbox.restore(7, news(0));
        outbox.push(news(1));
        let unsaved: Vec<u64> = outbox
            .take_unkept()
            .unsaved
            .iter()
            .map(|(n, _)| *n)
            .collect();
        assert_eq!(unsaved, [8]);
        let (number, _) = outbox.next(at(0)).unwrap();
        outbox.sent(number, at(0));
        assert_eq!(outbox.take_unkept().gone, [7]);
        let (number, _) = outbox.next(at(0)).unwrap();
        outbox.sent(number, at(0));
        outbox.saved(8);
        assert_eq!(outbox.take_unkept().gone, [8], "saved after it went");
    }

    #[test]
    fn what_is_merged_while_the_disk_is_busy_keeps_its_files() {
        let mut outbox = outbox();
        outbox.restore(1, news(1));
        outbox.restore(2, news(2));
        outbox.push(news(3));
        let work = outbox.take_unkept();
        let (number, _) = outbox.next(at(0)).unwrap();
        outbox.failed(number, &Failure::passing("refused"), at(0), 250);
        let (merged, message) = outbox.next(at(2)).unwrap();
        assert_eq!(message.alerts, 3);
        outbox.saved(3);
        assert!(
            work.gone.is_empty(),
            "{:?}: nothing else tells of it",
            work.gone
        );
        let work = outbox.take_unkept();
        assert_eq!(
            work.unsaved.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            [merged]
        );
        assert_eq!(work.gone, [2, 1, 3]);
        // A full disk.
        outbox.not_removed(work.gone);
        assert_eq!(outbox.take_unkept().gone, [2, 1, 3]);
    }
}
