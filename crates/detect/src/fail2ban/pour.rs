//! From a jail's failure to its bucket: the engine's part.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use model::{Alert, Record, SourceInfo, limits};

use super::jails::Caught;
use crate::{
    engine::{Clock, Engine, Outcome},
    event::FieldMap,
    parse::{NoTrace, Trace},
};

/// Room for most addresses' texts.
const ADDRESS_BYTES: usize = 16;

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
        self.through_jails(record, source, clock, alerts, &mut NoTrace)
    }

    /// Like [`Engine::jailed`], and tells what each jail made of the line.
    pub(crate) fn through_jails(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
        trace: &mut dyn Trace,
    ) -> Jailed {
        let now = match clock {
            Clock::CatchUp { now } | Clock::Live { now } => now,
            Clock::Recording => record.meta.received,
        };
        let mut caught = std::mem::take(&mut self.caught);
        self.jails
            .take(record.text, source, now, &mut caught, trace);
        self.stats.jails = self.jails.counts();
        if caught.is_empty() {
            self.caught = caught;
            return Jailed(0);
        }
        let mut counted = 0;
        for one in caught.drain(..) {
            self.begin(record, source, clock);
            self.tell_failure(&one);
            if let Outcome::Parsed { poured } = self.count(record, source, clock, alerts, trace) {
                counted += poured;
            }
            // The parsers say what becomes of the line itself.
            self.stats.parsed -= 1;
        }
        self.caught = caught;
        Jailed(counted)
    }

    /// Writes the failure into the event.
    fn tell_failure(&mut self, caught: &Caught) {
        let mut text = String::with_capacity(ADDRESS_BYTES);
        match caught.address {
            IpAddr::V4(v4) => put_v4(v4, &mut text),
            IpAddr::V6(v6) => write!(text, "{v6}").unwrap_or_default(),
        }
        let jail = self.jails.name(caught.jail).to_owned();
        self.meta("source_ip", &text);
        self.meta("jail", &jail);
        self.meta("log_type", "fail2ban");
        if !caught.user.is_empty() {
            self.meta("target_user", &caught.user);
        }
        if !caught.lines.is_empty() {
            self.meta("lines", &caught.lines);
        }
        self.event.marshaled_time = Some(caught.time);
    }

    fn meta(&mut self, key: &str, value: &str) {
        if let Some(sym) = self.symbols.intern_bounded(key, limits::SYMBOLS_MAX) {
            self.event.set_field(FieldMap::Meta, sym, value);
        }
    }
}

/// As `Display` writes it, which takes several times as long.
fn put_v4(address: Ipv4Addr, text: &mut String) {
    for (number, octet) in address.octets().into_iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(char::from(b'0' + octet / 100));
        }
        if octet >= 10 {
            text.push(char::from(b'0' + octet / 10 % 10));
        }
        text.push(char::from(b'0' + octet % 10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_display_writes_them() {
        for bits in (0..=u32::MAX).step_by(9_999_991) {
            let (address, mut text) = (Ipv4Addr::from_bits(bits), String::new());
            put_v4(address, &mut text);
            assert_eq!(text, address.to_string());
        }
    }
}
