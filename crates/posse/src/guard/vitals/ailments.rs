//! What is wrong now, what was said of it and when: each trouble is told once, again while it
//! lasts, and once more when it is over.
//!
//! Goes by the steady clock only: a wall clock that jumps must neither silence nor repeat.

use std::{collections::BTreeMap, time::Duration};

use model::format_duration;

/// A trouble must be gone for so long before it counts as over.
const CALM: Duration = Duration::from_secs(60);
/// A trouble that comes and goes is told of no more often than this.
const PAUSE: Duration = Duration::from_secs(3_600);
/// Growth of a counter is a trouble until it has stood still for so long.
const STILL: Duration = Duration::from_secs(300);
/// Troubles tracked at a time; there are a few for each source that the configuration names.
const TRACKED_MAX: usize = 16_384;

/// What to say, and the stable word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) code: String,
    pub(super) text: String,
}

type Key = (&'static str, String);

#[derive(Debug)]
pub(super) struct Ailments {
    known: BTreeMap<Key, Ailment>,
    counters: BTreeMap<Key, Counter>,
    repeat_every: Duration,
}

#[derive(Debug)]
struct Ailment {
    since: Duration,
    /// When it was last told of, now or at an earlier time.
    said: Option<Duration>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `told`: this time, so that its end is told of too.
    Ill {
        told: bool,
    },
    Recovering {
        told: bool,
        well_since: Duration,
    },
    Over,
}

#[derive(Debug)]
struct Counter {
    last: u64,
    /// Where it stood when it began to grow.
    begun: u64,
    grown: Option<Duration>,
}

impl Ailments {
    pub(super) const fn new(repeat_every: Duration) -> Self {
        Self {
            known: BTreeMap::new(),
            counters: BTreeMap::new(),
            repeat_every,
        }
    }

    pub(super) const fn set_repeat(&mut self, every: Duration) {
        self.repeat_every = every;
    }

    /// One look at one possible trouble: `ill` says what is wrong, if anything is.
    pub(super) fn look(
        &mut self,
        code: &'static str,
        subject: &str,
        ill: Option<String>,
        over: &str,
        now: Duration,
    ) -> Option<Saying> {
        let key = (code, subject.to_owned());
        match ill {
            Some(text) => self.ill(key, text, now),
            None => self.well(key, over, now),
        }
    }

    /// A counter that should stand still: how much it has grown since it began to, while it does.
    pub(super) fn growth(
        &mut self,
        code: &'static str,
        subject: &str,
        value: u64,
        now: Duration,
    ) -> Option<u64> {
        let key = (code, subject.to_owned());
        if self.counters.len() >= TRACKED_MAX && !self.counters.contains_key(&key) {
            return None;
        }
        let counter = self.counters.entry(key).or_insert(Counter {
            // What was counted before the first look is growth too.
            last: 0,
            begun: 0,
            grown: None,
        });
        if value < counter.last {
            // Counted anew: a reload opened the source again.
            counter.last = 0;
            counter.begun = 0;
        }
        if value > counter.last {
            if counter.grown.is_none() {
                counter.begun = counter.last;
            }
            counter.grown = Some(now);
            counter.last = value;
        }
        if counter
            .grown
            .is_some_and(|at| now.saturating_sub(at) >= STILL)
        {
            counter.grown = None;
        }
        counter.grown.map(|_| counter.last - counter.begun)
    }

    fn ill(&mut self, key: Key, text: String, now: Duration) -> Option<Saying> {
        if self.known.len() >= TRACKED_MAX && !self.known.contains_key(&key) {
            return None;
        }
        let code = key.0;
        let ailment = self.known.entry(key).or_insert(Ailment {
            since: now,
            said: None,
            state: State::Over,
        });
        let told = match ailment.state {
            State::Ill { told } | State::Recovering { told, .. } => told,
            State::Over => {
                ailment.since = now;
                false
            }
        };
        let wait = if told { self.repeat_every } else { PAUSE };
        let due = ailment
            .said
            .is_none_or(|said| now.saturating_sub(said) >= wait);
        ailment.state = State::Ill { told: told || due };
        if !due {
            return None;
        }
        ailment.said = Some(now);
        let text = if told {
            let lasts = format_duration(whole_seconds(now.saturating_sub(ailment.since)));
            format!("{text} (for {lasts} now)")
        } else {
            text
        };
        Some(Saying {
            code: code.to_owned(),
            text,
        })
    }

    fn well(&mut self, key: Key, over: &str, now: Duration) -> Option<Saying> {
        let ailment = self.known.get_mut(&key)?;
        let (told, well_since) = match ailment.state {
            State::Ill { told } => {
                ailment.state = State::Recovering {
                    told,
                    well_since: now,
                };
                return None;
            }
            State::Recovering { told, well_since } => (told, well_since),
            State::Over => {
                if ailment
                    .said
                    .is_none_or(|said| now.saturating_sub(said) >= PAUSE)
                {
                    self.known.remove(&key);
                }
                return None;
            }
        };
        if now.saturating_sub(well_since) < CALM {
            return None;
        }
        ailment.state = State::Over;
        let lasted = format_duration(whole_seconds(well_since.saturating_sub(ailment.since)));
        told.then(|| Saying {
            code: format!("{}_over", key.0),
            text: format!("{over} (it lasted {lasted})"),
        })
    }
}

const fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX_HOURS: Duration = Duration::from_secs(6 * 3_600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn said(ailments: &mut Ailments, ill: bool, seconds: u64) -> Option<String> {
        let ill = ill.then(|| "it hurts".to_owned());
        ailments
            .look("ache", "knee", ill, "well again", at(seconds))
            .map(|s| format!("{}: {}", s.code, s.text))
    }

    #[test]
    fn told_once_then_at_long_intervals_then_over() {
        let mut ailments = Ailments::new(SIX_HOURS);
        let told: Vec<String> = (0..50_000)
            .filter_map(|second| said(&mut ailments, second < 45_000, second))
            .collect();
        assert_eq!(
            told,
            [
                "ache: it hurts",
                "ache: it hurts (for 6h0m0s now)",
                "ache: it hurts (for 12h0m0s now)",
                "ache_over: well again (it lasted 12h30m0s)",
            ]
        );
    }

    #[test]
    fn what_comes_and_goes_is_told_no_more_than_once_an_hour() {
        let mut ailments = Ailments::new(SIX_HOURS);
        let told: Vec<String> = (0..86_400)
            .filter_map(|second| said(&mut ailments, second / 100 % 2 == 0, second))
            .collect();
        let begun = told.iter().filter(|t| t.starts_with("ache:")).count();
        let ended = told.iter().filter(|t| t.starts_with("ache_over")).count();
        assert!((20..=24).contains(&begun), "{begun} of {}", told.len());
        assert!(begun.abs_diff(ended) <= 1, "{begun} began, {ended} ended");
    }

    #[test]
    fn a_moment_of_health_is_no_end() {
        let mut ailments = Ailments::new(SIX_HOURS);
        assert!(said(&mut ailments, true, 0).is_some());
        assert_eq!(said(&mut ailments, false, 10), None);
        assert_eq!(said(&mut ailments, false, 60), None);
        assert_eq!(said(&mut ailments, true, 61), None);
        assert_eq!(said(&mut ailments, false, 62), None);
        assert!(said(&mut ailments, false, 122).is_some());
    }

    #[test]
    fn nothing_is_kept_of_what_is_long_over() {
        let mut ailments = Ailments::new(SIX_HOURS);
        for second in [0, 1] {
            said(&mut ailments, true, second);
        }
        for second in [2, 70, 4_000] {
            said(&mut ailments, false, second);
        }
        assert!(ailments.known.is_empty());
    }

    #[test]
    fn a_counter_that_grows_is_told_with_its_growth() {
        let mut ailments = Ailments::new(SIX_HOURS);
        let mut growth = |value, second| ailments.growth("drops", "a", value, at(second));
        assert_eq!(growth(0, 0), None);
        assert_eq!(growth(3, 1), Some(3));
        assert_eq!(growth(5, 200), Some(5));
        assert_eq!(growth(5, 499), Some(5));
        assert_eq!(growth(5, 500), None);
        assert_eq!(growth(6, 600), Some(1));
        // A source opened again counts from nothing.
        assert_eq!(growth(2, 700), Some(2));
    }
}
