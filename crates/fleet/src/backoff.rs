//! How long a guard waits before it knocks at the hub again.
//!
//! Full jitter: the wait is anywhere between nothing and a ceiling that doubles with each failure.
//! After a hub's restart ten thousand guards lose their stream in the same instant; the first wait
//! already spreads them over [`BackoffConfig::spread`].

use std::time::Duration;

/// What a guard's [`Backoff`] works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Ceiling of the first wait: guards of one hub come back spread over it. 10 s.
    pub spread: Duration,
    /// No wait's ceiling is above it. 5 min.
    pub max: Duration,
    /// A stream that held so long counts as a success; a shorter one as one more failure. 30 s.
    pub settled: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            spread: Duration::from_secs(10),
            max: Duration::from_secs(300),
            settled: Duration::from_secs(30),
        }
    }
}

/// The longest hint of a server that is honoured.
const HINT_MAX: Duration = Duration::from_secs(3_600);

/// Waits between attempts to reach the hub.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    state: u64,
    failures: u32,
}

impl Backoff {
    /// `seed` must differ between guards (8 random bytes).
    pub const fn new(config: BackoffConfig, seed: u64) -> Self {
        Self {
            config,
            state: seed,
            failures: 0,
        }
    }

    /// The stream was lost, or could not be had, after it had held for `held` (zero when it never
    /// stood): how long to wait. `hint` is the server's `Retry-After`: the wait is then at least
    /// that long, plus jitter of the same length at most, and no longer than an hour and jitter.
    pub fn wait(&mut self, held: Duration, hint: Option<Duration>) -> Duration {
        if held >= self.config.settled {
            self.failures = 0;
        }
        let doubled = self
            .config
            .spread
            .saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        let ceiling = doubled.min(self.config.max.max(self.config.spread));
        match hint.map(|hint| hint.min(HINT_MAX)) {
            Some(hint) => hint + self.share_of(hint.max(self.config.spread)),
            None => self.share_of(ceiling),
        }
    }

    /// Failures since the stream last held for [`BackoffConfig::settled`].
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn share_of(&mut self, ceiling: Duration) -> Duration {
        // 53 bits are a fraction's worth.
        let fraction = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ceiling.mul_f64(fraction)
    }

    /// SplitMix64: any seed gives an even sequence.
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn ten_thousand_guards_come_back_evenly() {
        let mut per_second = [0; 10];
        for seed in 0..10_000 {
            let mut backoff = Backoff::new(BackoffConfig::default(), seed);
            let wait = backoff.wait(SECOND * 3_600, None);
            per_second[usize::try_from(wait.as_secs()).unwrap()] += 1;
        }
        assert!(
            per_second.iter().all(|n| (850..1_150).contains(n)),
            "{per_second:?}"
        );
    }

    #[test]
    fn ceilings_double_and_a_settled_stream_resets_them() {
        let mut backoff = Backoff::new(BackoffConfig::default(), 3);
        for ceiling in [10, 20, 40, 80, 160, 300, 300, 300] {
            assert!(backoff.wait(Duration::ZERO, None) <= SECOND * ceiling);
        }
        let longest = (0..200).map(|_| backoff.wait(SECOND, None)).max().unwrap();
        assert!(
            longest > SECOND * 250 && longest <= SECOND * 300,
            "{longest:?}"
        );
        assert!(backoff.wait(SECOND * 30, None) <= SECOND * 10);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn the_servers_hint_is_the_least_and_is_bounded() {
        let mut backoff = Backoff::new(BackoffConfig::default(), 4);
        for _ in 0..100 {
            let wait = backoff.wait(Duration::ZERO, Some(SECOND * 60));
            assert!(wait >= SECOND * 60 && wait <= SECOND * 120, "{wait:?}");
        }
        let wait = backoff.wait(Duration::ZERO, Some(Duration::MAX));
        assert!(wait <= HINT_MAX * 2);
    }
}
