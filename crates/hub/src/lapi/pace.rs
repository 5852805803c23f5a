//! When a polling client will ask next, seen from the server.
//!
//! Clients built on CrowdSec's Go library ask, apply, and wait for a ticker that keeps one missed
//! tick. So a client whose request was held over a tick asks again as soon as it is answered; one
//! whose tick has not come stays away until it comes. From the times of requests and answers the
//! phase of that ticker is learnt, and with it when an answer is cheap (the next request follows
//! at once) and when it costs up to a whole interval without a request to answer.

use std::time::{Duration, Instant};

/// What clients ship with.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// A request this soon after an answer did not have to wait for a tick.
const PROMPT: Duration = Duration::from_millis(400);
/// How exact the learnt ticks are.
const BLUR: Duration = Duration::from_millis(100);
/// How long a request is held while its client's ticks are not known: longer than an interval.
const HOLD_BLIND: Duration = Duration::from_secs(11);
/// And when they are. Well below the timeouts of proxies.
const HOLD: Duration = Duration::from_secs(25);
/// So long before a tick an idle request is answered: the client asks again at once, and the
/// tick that comes then is its next missed one.
const LEAD: Duration = Duration::from_millis(300);
/// What happens close together is told together.
const TOGETHER: Duration = Duration::from_millis(60);
/// The same where an answer leaves nobody to tell for a while.
const TOGETHER_LAST: Duration = Duration::from_millis(600);
/// Gaps between ticks that are remembered.
const GAPS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    arrived: Option<Instant>,
    answered: Option<Instant>,
    /// A tick of the client's ticker.
    tick: Option<Instant>,
    /// Times between requests that waited for a tick: whole intervals, the newest first.
    gaps: [Option<Duration>; GAPS],
}

impl Pace {
    pub(super) fn arrived(&mut self, now: Instant) {
        if let Some(answered) = self.answered
            && now.duration_since(answered) > PROMPT
        {
            if let Some(tick) = self.tick {
                let gap = now.duration_since(tick).clamp(INTERVAL_MIN, INTERVAL_MAX);
                self.gaps.rotate_right(1);
                self.gaps[0] = Some(gap);
            }
            self.tick = Some(now);
        }
        self.arrived = Some(now);
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// The shortest gap seen, once there are enough to trust.
    fn interval(&self) -> Duration {
        match self.gaps.iter().flatten().min() {
            Some(gap) if self.gaps.iter().all(Option::is_some) => *gap,
            _ => INTERVAL_DEFAULT,
        }
    }

    /// The first tick after `time`.
    fn tick_after(&self, time: Instant) -> Option<Instant> {
        let tick = self.tick?;
        let interval = self.interval();
        let passed = time.saturating_duration_since(tick).as_nanos() / interval.as_nanos().max(1);
        tick.checked_add(interval.checked_mul(u32::try_from(passed + 1).ok()?)?)
    }

    /// Whether the client will ask again at once if it is answered now.
    fn asks_again_at_once(&self, now: Instant) -> bool {
        let Some(arrived) = self.arrived else {
            return false;
        };
        match self.tick_after(arrived + BLUR) {
            Some(tick) => now >= tick + BLUR,
            None => now.duration_since(arrived) >= self.interval() + BLUR,
        }
    }

    /// When to answer a request to which nothing happened.
    pub(super) fn hold_until(&self) -> Instant {
        let arrived = self.arrived.unwrap_or_else(Instant::now);
        let latest = arrived + HOLD;
        // The last tick within the hold; the one behind `latest` is too late.
        let last = latest
            .checked_sub(self.interval())
            .and_then(|t| self.tick_after(t));
        match last {
            Some(tick) if tick > arrived + LEAD + BLUR => tick - LEAD,
            _ => arrived + HOLD_BLIND,
        }
    }

    /// When to tell what first happened at `first`.
    pub(super) fn tell_at(&self, first: Instant) -> Instant {
        let soon = first + TOGETHER;
        let cheap = self.asks_again_at_once(soon)
            || self
                .tick_after(soon)
                .is_some_and(|tick| tick.duration_since(soon) < TOGETHER_LAST);
        if cheap { soon } else { first + TOGETHER_LAST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A client as the Go library has it: asks at once when a tick was missed, else at the next.
    struct Client {
        start: Instant,
        interval: Duration,
        /// Ticks that were used up.
        used: u32,
    }

    impl Client {
        /// When it asks, having been answered at `now`.
        fn asks(&mut self, now: Instant) -> Instant {
            let passed = now.duration_since(self.start).as_nanos() / self.interval.as_nanos();
            let passed = u32::try_from(passed).unwrap();
            if passed > self.used {
                self.used = passed;
                now + Duration::from_millis(2)
            } else {
                self.used = passed + 1;
                self.start + self.interval * self.used
            }
        }
    }

    fn met(interval: Duration) -> (Pace, Client, Instant) {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut client = Client {
            start,
            interval,
            used: 0,
        };
        pace.arrived(start + Duration::from_millis(5));
        pace.answered(start + Duration::from_millis(9));
        let asked = client.asks(start + Duration::from_millis(9));
        pace.arrived(asked);
        (pace, client, asked)
    }

    #[test]
    fn an_idle_client_nearly_always_has_a_tick_to_spare() {
        let (mut pace, mut client, mut asked) = met(10 * SECOND);
        let mut costly = Duration::ZERO;
        let mut total = Duration::ZERO;
        for _ in 0..20 {
            let until = pace.hold_until();
            assert!(until > asked && until <= asked + HOLD);
            let mut at = asked;
            while at < until {
                if pace.tell_at(at) > at + TOGETHER {
                    costly += SECOND / 20;
                }
                total += SECOND / 20;
                at += SECOND / 20;
            }
            pace.answered(until);
            asked = client.asks(until);
            assert!(asked < until + PROMPT, "the client had to wait");
            pace.arrived(asked);
        }
        // Only the first hold begins without one.
        assert!(costly < 13 * SECOND, "{costly:?} of {total:?}");
        assert!(total > 300 * SECOND);
    }

    #[test]
    fn a_lone_ban_is_told_at_once_and_the_next_one_too() {
        let (mut pace, mut client, asked) = met(10 * SECOND);
        let first = asked + 11 * SECOND;
        assert_eq!(pace.tell_at(first), first + TOGETHER);
        pace.answered(first + TOGETHER);
        let asked = client.asks(first + TOGETHER);
        pace.arrived(asked);
        // Now no tick is to spare, so more is waited for before the client is let go.
        let second = asked + SECOND;
        assert_eq!(pace.tell_at(second), second + TOGETHER_LAST);
        pace.answered(second + TOGETHER_LAST);
        let asked = client.asks(second + TOGETHER_LAST);
        assert!(asked > second + 5 * SECOND);
        pace.arrived(asked);
        // Just before a tick, nothing is gained by waiting.
        let third = asked + Duration::from_millis(9_500);
        assert_eq!(pace.tell_at(third), third + TOGETHER);
    }

    #[test]
    fn other_intervals_are_learnt() {
        let (mut pace, mut client, _) = met(3 * SECOND);
        let mut now = pace.arrived.unwrap();
        for _ in 0..6 {
            now += Duration::from_millis(20);
            pace.answered(now);
            now = client.asks(now);
            pace.arrived(now);
        }
        assert_eq!(pace.interval().as_secs(), 3);
    }
}
