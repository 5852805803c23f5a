//! How often a source usually speaks, and when its silence is no longer usual.

use std::time::Duration;

/// Silences are remembered for so many days, so that a quiet night and a quiet week-end are known.
const DAYS: usize = 8;
const DAY: Duration = Duration::from_secs(86_400);
/// Less than this heard, and nothing is known of the source.
const GAPS_MIN: u32 = 20;
const HEARD_MIN: Duration = Duration::from_secs(1_800);
/// Until a whole day was heard, the night is not known.
const FIRST_DAY_FLOOR: Duration = Duration::from_secs(6 * 3_600);
/// So many times the longest usual silence is unusual.
const FACTOR: u32 = 3;
/// No shorter silence is ever unusual.
const FLOOR: Duration = Duration::from_secs(600);
/// Any longer silence of a source that is known is.
const CEILING: Duration = Duration::from_secs(7 * 86_400);

/// One source's habit. Time is the steady clock's.
#[derive(Debug)]
pub(super) struct Rhythm {
    begun: Duration,
    spoke: Option<Duration>,
    lines: u64,
    gaps: u32,
    /// The longest silence of each of the last days, today's first.
    longest: [Duration; DAYS],
    today: Duration,
}

impl Rhythm {
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            begun: now,
            spoke: None,
            lines: 0,
            gaps: 0,
            longest: [Duration::ZERO; DAYS],
            today: now,
        }
    }

    /// `lines`: how many the source has given so far.
    pub(super) fn hear(&mut self, lines: u64, now: Duration) {
        while now.saturating_sub(self.today) >= DAY {
            self.today += DAY;
            self.longest.rotate_right(1);
            if let Some(today) = self.longest.first_mut() {
                *today = Duration::ZERO;
            }
        }
        if lines == self.lines {
            return;
        }
        self.lines = lines;
        if let Some(before) = self.spoke {
            let gap = now.saturating_sub(before);
            self.gaps = self.gaps.saturating_add(1);
            if let Some(today) = self.longest.first_mut() {
                *today = gap.max(*today);
            }
        }
        self.spoke = Some(now);
    }

    /// How long it has not spoken: since the last line, or since we listen.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.spoke.unwrap_or(self.begun))
    }

    /// The shortest silence that is unusual; `None` while too little was heard to say.
    pub(super) fn patience(&self) -> Option<Duration> {
        let spoke = self.spoke?;
        let heard = spoke.saturating_sub(self.begun);
        if self.gaps < GAPS_MIN || heard < HEARD_MIN {
            return None;
        }
        let longest = self.longest.iter().max().copied().unwrap_or_default();
        let floor = if heard < DAY { FIRST_DAY_FLOOR } else { FLOOR };
        Some((longest * FACTOR).clamp(floor, CEILING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Speaks every `gap(second)` seconds; the patience at the end.
    fn learned(days: u64, gap: impl Fn(u64) -> u64) -> Option<Duration> {
        let mut rhythm = Rhythm::new(at(0));
        let (mut second, mut lines) = (0, 0);
        while second < days * 86_400 {
            second += gap(second);
            lines += 1;
            rhythm.hear(lines, at(second));
        }
        rhythm.patience()
    }

    #[test]
    fn a_busy_source_is_missed_after_ten_minutes() {
        assert_eq!(learned(2, |_| 5), Some(FLOOR));
    }

    #[test]
    fn a_source_that_sleeps_at_night_is_not_missed_at_night() {
        let night = |second: u64| {
            if second % 86_400 < 20 * 3_600 {
                60
            } else {
                4 * 3_600
            }
        };
        assert!(learned(3, night).unwrap() >= at(12 * 3_600));
    }

    #[test]
    fn what_is_not_known_is_not_missed() {
        assert_eq!(Rhythm::new(at(0)).patience(), None);
        // Nineteen lines, or a burst at the start, are no habit.
        assert_eq!(learned(1, |_| 4_500), None);
        let mut burst = Rhythm::new(at(0));
        (1..1_000).for_each(|n| burst.hear(n, at(n)));
        assert_eq!(burst.patience(), None);
    }

    #[test]
    fn a_long_silence_is_forgotten_after_a_week() {
        let mut rhythm = Rhythm::new(at(0));
        let mut lines = 0;
        for minute in 0..14 * 1_440u64 {
            // On the second day two hours were quiet.
            if (1_500..1_620).contains(&minute) {
                continue;
            }
            lines += 1;
            rhythm.hear(lines, at(minute * 60));
            if minute == 3 * 1_440 {
                assert!(rhythm.patience().unwrap() > at(6 * 3_600));
            }
        }
        assert_eq!(rhythm.patience(), Some(FLOOR));
    }

    #[test]
    fn silence_counts_from_the_last_line() {
        let mut rhythm = Rhythm::new(at(5));
        assert_eq!(rhythm.silence(at(9)), at(4));
        rhythm.hear(3, at(10));
        rhythm.hear(3, at(20));
        assert_eq!(rhythm.silence(at(30)), at(20));
    }
}
