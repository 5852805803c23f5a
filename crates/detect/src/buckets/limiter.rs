//! The leak: a token bucket that starts full.
//!
//! The arithmetic is that of Go's `golang.org/x/time/rate` with `burst` = capacity and one token
//! per `leakspeed`, as the scenarios were written for, but counted in nanoseconds of credit
//! instead of floating tokens, so that it is exact and the same on every machine.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limiter {
    /// Nanoseconds that one event costs.
    cost: i64,
    /// Credit of a full bucket.
    full: i64,
}

/// Whether one more event fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fits,
    Overflows,
}

impl Limiter {
    pub(crate) fn new(capacity: u32, leakspeed: Duration) -> Self {
        let cost = i64::try_from(leakspeed.as_nanos())
            .unwrap_or(i64::MAX)
            .max(1);
        Self {
            cost,
            full: cost.saturating_mul(i64::from(capacity)),
        }
    }

    pub(crate) const fn full(self) -> i64 {
        self.full
    }

    /// Nanoseconds in which one event leaks.
    pub(crate) const fn cost(self) -> i64 {
        self.cost
    }

    /// Events that a bucket holds at once.
    pub(crate) const fn capacity(self) -> u64 {
        (self.full / self.cost).unsigned_abs()
    }

    /// Seconds in which one event leaks.
    pub(crate) const fn leak_seconds(self) -> f64 {
        self.cost as f64 / 1e9
    }

    /// Events that have not leaked by `now`.
    pub(crate) fn level(self, credit: i64, last: i64, now: i64) -> f64 {
        let elapsed = now.saturating_sub(last).max(0);
        let refilled = credit.saturating_add(elapsed).min(self.full);
        (self.full - refilled) as f64 / self.cost as f64
    }

    /// Takes one event at `now`; `last` is the time of the one before it. An event older than the
    /// one before it refills nothing, and the clock goes on from it (Go: `advance`).
    pub(crate) fn take(self, credit: &mut i64, last: i64, now: i64) -> Verdict {
        let elapsed = now.saturating_sub(last).max(0);
        let refilled = credit.saturating_add(elapsed).min(self.full);
        if refilled < self.cost {
            return Verdict::Overflows;
        }
        *credit = refilled - self.cost;
        Verdict::Fits
    }
}

/// How fail2ban counts: failures within a time, those before it by estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    max: u32,
    /// Nanoseconds.
    within: i64,
}

impl Retries {
    pub(crate) fn new(max: u32, within: Duration) -> Self {
        Self {
            max: max.max(1),
            within: i64::try_from(within.as_nanos()).unwrap_or(i64::MAX).max(1),
        }
    }

    pub(crate) fn max(self) -> i64 {
        i64::from(self.max)
    }

    /// Counts one failure at `now`. `first` is where the count begins, `last` the failure before.
    /// When the count reaches further back than it may, it keeps its share of the time.
    pub(crate) fn take(self, count: &mut i64, first: &mut i64, last: i64, now: i64) -> Verdict {
        let reach = now.saturating_sub(*first);
        if now > last && reach > self.within {
            let share = i128::from(*count) * i128::from(self.within);
            let reach = i128::from(reach.max(1));
            *count = i64::try_from((2 * share + reach) / (2 * reach)).unwrap_or(*count);
            *first = now.saturating_sub(self.within);
        }
        *count = count.saturating_add(1);
        if *count >= self.max() {
            Verdict::Overflows
        } else {
            Verdict::Fits
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// The number (from 1) of the event that overflows.
    fn overflow_at(capacity: u32, leakspeed: &str, times: impl IntoIterator<Item = f64>) -> usize {
        let limiter = Limiter::new(capacity, model::parse_duration(leakspeed).unwrap());
        let mut credit = limiter.full();
        let mut last = 0;
        for (i, seconds) in times.into_iter().enumerate() {
            let now = (seconds * SECOND as f64) as i64;
            if limiter.take(&mut credit, last, now) == Verdict::Overflows {
                return i + 1;
            }
            last = now;
        }
        0
    }

    #[test]
    fn timings() {
        let every = |step: f64, n: usize| (0..n).map(move |i| i as f64 * step);
        for (capacity, leakspeed, step, overflow) in [
            (5, "10s", 0.0, 6),
            (5, "10s", 1.0, 6),
            // Five seconds apart: half a token comes back each time.
            (5, "10s", 5.0, 10),
            (5, "10s", 9.0, 42),
            (5, "10s", 10.0, 0),
            (1, "5s", 4.9, 2),
            (1, "5s", 5.0, 0),
            (1, "0.5s", 0.4, 2),
            (10, "1m", 0.0, 11),
            (1_000, "1s", 0.0, 1_001),
        ] {
            let got = overflow_at(capacity, leakspeed, every(step, 2_000));
            assert_eq!(
                got, overflow,
                "capacity {capacity} leakspeed {leakspeed} step {step}"
            );
        }
    }

    #[test]
    fn an_older_event_refills_nothing_and_moves_the_clock_back() {
        // 1 at 100 s, 1 at 0 s (clock now at 0), then at 10 s: one token has come back.
        assert_eq!(overflow_at(2, "10s", [100.0, 0.0, 0.0]), 3);
        assert_eq!(overflow_at(2, "10s", [100.0, 0.0, 10.0, 10.0]), 4);
    }

    /// Go's limiter in floating tokens, as an independent model.
    struct Reference {
        per_second: f64,
        burst: f64,
        tokens: f64,
        last: f64,
    }

    impl Reference {
        fn allow(&mut self, now: f64) -> bool {
            let last = self.last.min(now);
            let most = (self.burst - self.tokens) / self.per_second;
            let elapsed = (now - last).min(most);
            let tokens = (self.tokens + elapsed * self.per_second).min(self.burst) - 1.0;
            // Go turns the missing tokens into whole nanoseconds of waiting.
            let wait = (-tokens / self.per_second * 1e9).trunc();
            if tokens >= 0.0 || wait <= 0.0 {
                (self.tokens, self.last) = (tokens, now);
                return true;
            }
            false
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_floating_model(
            capacity in 1u32..20,
            leak_ms in 1u64..100_000,
            steps in proptest::collection::vec(-2_000i64..20_000, 1..200),
        ) {
            let limiter = Limiter::new(capacity, Duration::from_millis(leak_ms));
            let mut credit = limiter.full();
            let burst = f64::from(capacity);
            let mut model = Reference {
                per_second: 1e3 / leak_ms as f64, burst, tokens: burst, last: 0.0,
            };
            let (mut now, mut last) = (1_000_000i64, 1_000_000i64);
            model.last = now as f64 / 1e3;
            for step in steps {
                now += step;
                let fits = limiter.take(&mut credit, last * 1_000_000, now * 1_000_000);
                // Where floats round differently the model is within a nanosecond of the edge.
                let before = (model.tokens, model.last);
                let allowed = model.allow(now as f64 / 1e3);
                let edge = {
                    let elapsed = (now as f64 / 1e3 - before.1).max(0.0);
                    ((before.0 + elapsed * model.per_second).min(burst) - 1.0).abs() < 1e-6
                };
                prop_assert!(edge || (fits == Verdict::Fits) == allowed, "{fits:?} {allowed}");
                if fits == Verdict::Overflows || !allowed {
                    break;
                }
                last = now;
            }
        }
    }
}
