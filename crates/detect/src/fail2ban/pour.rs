//! From a jail's failure to its bucket: the engine's part.

use std::{fmt::Write as _, net::IpAddr};

use model::{Alert, Record, SourceInfo, limits};

use super::jails::Caught;
use crate::{
    engine::{Clock, Engine, Outcome},
    event::FieldMap,
    parse::NoTrace,
};

/// What the jails made of a line: how many failures they counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jailed(u32);

impl Jailed {
    /// The line's outcome, where the parsers' was `other`.
    pub(crate) fn or(self, other: Outcome) -> Outcome {
        match (self.0, other) {
            (0, other) => other,
            (own, Outcome::Parsed { poured }) => Outcome::Parsed {
                poured: poured.saturating_add(own),
            },
            (own, _) => Outcome::Parsed { poured: own },
        }
    }
}

impl Engine {
    /// Puts the line through the jails that watch its source, and counts the failures.
    #[inline]
    pub(crate) fn jailed(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
    ) -> Jailed {
        if self.jails.is_empty() {
            return Jailed(0);
        }
        self.through_jails(record, source, clock, alerts)
    }

    fn through_jails(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
    ) -> Jailed {
        let now = match clock {
            Clock::CatchUp { now } | Clock::Live { now } => now,
            Clock::Recording => record.meta.received,
        };
        let mut caught = std::mem::take(&mut self.caught);
        self.jails.take(record.text, source, now, &mut caught);
        let mut counted = 0;
        for one in caught.drain(..) {
            self.begin(record, source, clock);
            self.tell_failure(&one);
            if let Outcome::Parsed { poured } =
                self.count(record, source, clock, alerts, &mut NoTrace)
            {
                counted += poured;
            }
            // The parsers say what becomes of the line itself.
            self.stats.parsed -= 1;
        }
        self.caught = caught;
        self.stats.jails = self.jails.counts();
        Jailed(counted)
    }

    /// Writes the failure into the event.
    fn tell_failure(&mut self, caught: &Caught) {
        let failure = &caught.failure;
        let mut text = String::new();
        match caught.address {
            IpAddr::V4(v4) => write!(text, "{v4}"),
            IpAddr::V6(v6) => write!(text, "{v6}"),
        }
        .ok();
        let jail = self.jails.name(caught.jail).to_owned();
        self.meta("source_ip", &text);
        self.meta("jail", &jail);
        self.meta("log_type", "fail2ban");
        if let Some(user) = failure.value("user").filter(|user| !user.is_empty()) {
            self.meta("target_user", user);
        }
        if failure.lines.len() > 1 {
            self.meta("lines", &failure.lines.join("\n"));
        }
        self.event.marshaled_time = Some(failure.time);
    }

    fn meta(&mut self, key: &str, value: &str) {
        if let Some(sym) = self.symbols.intern_bounded(key, limits::SYMBOLS_MAX) {
            self.event.set_field(FieldMap::Meta, sym, value);
        }
    }
}
