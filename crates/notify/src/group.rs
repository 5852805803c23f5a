//! What one channel is told, and when: the first incident at once, a flood as one message a
//! window, nothing below its floor, and in quiet hours only what must pass.
//!
//! Pure: time and time zone are arguments. Owns what is held back; there is at most one message
//! held, because messages add up.

use std::time::Duration;

use jiff::tz::TimeZone;
use model::{AlertId, Timestamp};

use crate::{
    calendar::Span,
    message::{Incident, Kind, Message},
    severity::Severity,
};

/// Quiet hours of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    pub(crate) hours: Span,
    /// From this severity on it is said nevertheless.
    pub(crate) pass: Severity,
}

/// When a channel is told what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) min_severity: Severity,
    /// After a message, further incidents are gathered for so long; zero: never.
    pub(crate) window: Duration,
    pub(crate) quiet: Option<Quiet>,
}

#[derive(Debug)]
pub(crate) struct Grouper {
    rules: Rules,
    held: Option<Message>,
    window: Option<Window>,
}

/// After a message was let go.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Timestamp,
    until: Timestamp,
    /// Something graver than this does not wait.
    peak: Severity,
}

impl Grouper {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            held: None,
            window: None,
        }
    }

    /// New rules; what is held back stays so.
    pub(crate) const fn reconfigure(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes one incident; gives what is to be sent now.
    pub(crate) fn offer(
        &mut self,
        host: &str,
        incident: &Incident,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Message> {
        if incident.severity < self.rules.min_severity {
            return None;
        }
        let fresh = Message::of(Kind::News, host, incident.clone());
        match &mut self.held {
            Some(held) => held.absorb(fresh),
            None => self.held = Some(fresh),
        }
        self.tick(now, zone)
    }

    /// What waited long enough.
    pub(crate) fn tick(&mut self, now: Timestamp, zone: &TimeZone) -> Option<Message> {
        let severity = self.held.as_ref()?.severity;
        if let Some(quiet) = self.rules.quiet
            && severity < quiet.pass
            && quiet.hours.contains(now, zone)
        {
            return None;
        }
        let open = self.window.filter(|w| !w.is_over(now));
        if open.is_some_and(|window| severity <= window.peak) {
            return None;
        }
        self.window = (!self.rules.window.is_zero()).then(|| Window {
            from: now,
            until: now.plus(self.rules.window),
            peak: open.map_or(severity, |window| window.peak.max(severity)),
        });
        self.take(now)
    }

    /// What is held back now, for the disk.
    pub(crate) const fn held(&self) -> Option<&Message> {
        self.held.as_ref()
    }

    /// What was held back before a restart.
    pub(crate) fn restore(&mut self, message: Message) {
        match &mut self.held {
            Some(held) => held.absorb(message),
            None => self.held = Some(message),
        }
    }

    /// Nothing is said now that is not grave.
    pub(crate) fn is_quiet(&self, now: Timestamp, zone: &TimeZone) -> bool {
        self.rules
            .quiet
            .is_some_and(|quiet| quiet.hours.contains(now, zone))
    }

    /// Whatever is held, at the end.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Message> {
        let mut message = self.held.take()?;
        if message.weight() > 1 {
            // The same first incident may head several messages.
            message.id = AlertId::derive(&[message.id.bytes(), &now.nanos().to_be_bytes()]);
        }
        Some(message)
    }

    /// When [`Grouper::tick`] may have something; quiet hours are looked at each minute.
    pub(crate) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        self.held.as_ref()?;
        let minute = now.plus(Duration::from_secs(60));
        match self.window {
            Some(window) if !window.is_over(now) => Some(window.until.min(minute)),
            _ => Some(minute),
        }
    }
}

impl Window {
    /// A clock that was set back ends it too.
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || now < self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    const WINDOW: Duration = Duration::from_secs(300);

    fn grouper() -> Grouper {
        Grouper::new(Rules {
            min_severity: Severity::Medium,
            window: WINDOW,
            quiet: None,
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn utc() -> TimeZone {
        TimeZone::UTC
    }

    #[test]
    fn a_flood_is_one_message_a_window() {
        let mut grouper = grouper();
        let mut sent = Vec::new();
        for n in 0..1_000u32 {
            let incident = samples::banned(n);
            sent.extend(grouper.offer("h", &incident, at(i64::from(n) / 10), &utc()));
        }
        assert_eq!(sent.len(), 1, "the first at once, no other");
        assert_eq!(grouper.tick(at(299), &utc()), None);
        let rest = grouper.tick(at(300), &utc()).unwrap();
        assert_eq!((rest.alerts, rest.bans), (999, 999));
        assert_eq!(rest.sources.names(), (999, false));
        assert_eq!(
            grouper.tick(at(10_000), &utc()),
            None,
            "nothing is said twice"
        );
        // After a quiet window the next goes at once again.
        let next = grouper.offer("h", &samples::banned(2_000), at(10_001), &utc());
        assert_eq!(next.unwrap().alerts, 1);
    }

    #[test]
    fn something_graver_does_not_wait() {
        let mut grouper = grouper();
        assert!(
            grouper
                .offer("h", &samples::banned(1), at(0), &utc())
                .is_some()
        );
        assert!(
            grouper
                .offer("h", &samples::banned(2), at(1), &utc())
                .is_none()
        );
        let grave = Incident::of_notice("kernel_refused", "no", at(2));
        let sent = grouper.offer("h", &grave, at(2), &utc()).unwrap();
        assert_eq!(
            (sent.alerts, sent.notices, sent.severity),
            (1, 1, Severity::Critical)
        );
        assert!(
            grouper.offer("h", &grave, at(3), &utc()).is_none(),
            "as grave as before"
        );
    }

    #[test]
    fn what_is_below_the_floor_is_not_said() {
        let mut grouper = grouper();
        let mut low = samples::banned(1);
        low.severity = Severity::Low;
        assert_eq!(grouper.offer("h", &low, at(0), &utc()), None);
        assert_eq!(grouper.take(at(1)), None);
    }

    #[test]
    fn quiet_hours_hold_back_and_let_pass() {
        let hours = Span {
            from: "22:00".parse().unwrap(),
            until: "07:00".parse().unwrap(),
        };
        let mut grouper = Grouper::new(Rules {
            min_severity: Severity::Medium,
            window: WINDOW,
            quiet: Some(Quiet {
                hours,
                pass: Severity::Critical,
            }),
        });
        let night: Timestamp = "2026-11-21T23:00:00Z".parse().unwrap();
        let morning: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        for n in 0..50 {
            assert_eq!(grouper.offer("h", &samples::banned(n), night, &utc()), None);
        }
        assert!(grouper.poll_timeout(night).is_some());
        assert_eq!(grouper.tick(morning, &utc()).unwrap().alerts, 50);
        let grave = Incident::of_notice("kernel_refused", "no", night);
        assert!(grouper.offer("h", &grave, night, &utc()).is_some());
    }

    #[test]
    fn without_a_window_each_goes_alone() {
        let mut grouper = Grouper::new(Rules {
            min_severity: Severity::Info,
            window: Duration::ZERO,
            quiet: None,
        });
        for n in 0..5 {
            let sent = grouper.offer("h", &samples::banned(n), at(0), &utc());
            assert_eq!(sent.unwrap().alerts, 1);
        }
    }
}
