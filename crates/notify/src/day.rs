//! A day in numbers: what the digest tells.
//!
//! Pure: time and time zone are arguments. Bounded by [`Tally`].

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use jiff::tz::TimeZone;
use model::{AlertId, KeptOut, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    calendar::local,
    message::{Incident, Kind, Message, Outcome, What},
    severity::Severity,
    tally::Tally,
    text::{counted, harmless, spoken},
};

/// Different notices whose last words are kept.
const NOTICES_MAX: usize = 64;
const TOP: usize = 10;
/// A source that gave no line for so long is called silent.
const SILENT_AFTER: Duration = Duration::from_secs(86_400);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Day {
    pub(crate) since: Timestamp,
    alerts: u64,
    /// By [`Severity`].
    severities: BTreeMap<Severity, u64>,
    rules: Tally,
    sources: Tally,
    bans: u64,
    /// Bans of sources that were never banned before.
    new_sources: u64,
    refusals: u64,
    refused: Tally,
    orders: u64,
    releases: u64,
    notices: BTreeMap<String, (u64, String)>,
    /// The kernel's counters when the day began.
    kept_out: Option<(u64, u64)>,
    lines: Option<u64>,
    lost: Option<u64>,
}

/// What the digest says beside the day's own counts.
pub(crate) struct Surroundings<'a> {
    pub(crate) host: &'a str,
    pub(crate) zone: &'a TimeZone,
    pub(crate) status: Option<&'a Status>,
    /// Log sources that are not watched, with the reason.
    pub(crate) unwatched: &'a [String],
    pub(crate) unacknowledged: usize,
    pub(crate) channels: &'a [model::ChannelStatus],
}

impl Day {
    pub(crate) fn begin(since: Timestamp, status: Option<&Status>) -> Self {
        let mut day = Self {
            since,
            ..Self::default()
        };
        day.look(status);
        day
    }

    /// Where the counters stood when the day began, as soon as that is known.
    pub(crate) fn look(&mut self, status: Option<&Status>) {
        let Some(status) = status else { return };
        let kept = status.dropped.clone().unwrap_or_default();
        self.kept_out.get_or_insert((kept.packets, kept.bytes));
        self.lines.get_or_insert(status.engine.lines);
        self.lost.get_or_insert(status.recorder.lost);
    }

    /// After a restart the guard counts from nothing; the kernel's counters may too.
    pub(crate) fn restarted(&mut self) {
        self.lines = Some(0);
        self.lost = Some(0);
    }

    pub(crate) fn count(&mut self, incident: &Incident) {
        match &incident.what {
            What::Alert(attack) => {
                self.alerts += 1;
                *self.severities.entry(incident.severity).or_default() += 1;
                self.rules.add(&attack.rule, 1);
                self.sources.add(&attack.source, 1);
            }
            What::Ban { .. } => self.orders += 1,
            What::Notice { code, text } => self.notice(code, text),
            What::Release { .. } => self.releases += 1,
        }
        for outcome in &incident.outcomes {
            match outcome {
                Outcome::Banned { repeat, .. } => {
                    self.bans += 1;
                    self.new_sources += u64::from(*repeat == 0);
                }
                Outcome::Refused { why, .. } => {
                    self.refusals += 1;
                    self.refused.add(why, 1);
                }
                Outcome::Released { .. } => {}
            }
        }
    }

    fn notice(&mut self, code: &str, text: &str) {
        if self.notices.len() >= NOTICES_MAX && !self.notices.contains_key(code) {
            return;
        }
        let (times, last) = self.notices.entry(code.to_owned()).or_default();
        *times += 1;
        text.clone_into(last);
    }

    pub(crate) fn message(&self, around: &Surroundings<'_>, now: Timestamp) -> Message {
        let id = AlertId::derive(&[
            b"digest",
            around.host.as_bytes(),
            &self.since.nanos().to_be_bytes(),
            &now.nanos().to_be_bytes(),
        ]);
        let mut message = Message::empty(Kind::Digest, around.host, id, self.since);
        message.last = now;
        message.alerts = self.alerts;
        message.bans = self.bans;
        message.refusals = self.refusals;
        message.releases = self.releases;
        message.rules = self.rules.clone();
        message.sources = self.sources.clone();
        message.text = Some(self.text(around, now));
        message
    }

    /// The digest in words.
    pub(crate) fn text(&self, around: &Surroundings<'_>, now: Timestamp) -> String {
        let zone = around.zone;
        let mut out = format!(
            "{} from {} to {}\n",
            around.host,
            local(self.since, zone),
            local(now, zone)
        );
        self.attacks(&mut out);
        self.kept_out(&mut out, around);
        self.watched(&mut out, around, now);
        self.troubles(&mut out, around);
        out
    }

    fn attacks(&self, out: &mut String) {
        let sources = self.sources.spoken("source", "sources");
        writeln!(
            out,
            "\nAttacks seen     {} from {sources}",
            counted(self.alerts, "alert", "alerts")
        )
        .ok();
        for (severity, n) in self.severities.iter().rev() {
            writeln!(out, "  {:<14} {n}", severity.word()).ok();
        }
        for (title, tally) in [("by rule", &self.rules), ("by source", &self.sources)] {
            if !tally.is_empty() {
                writeln!(out, "  {title}").ok();
            }
            for (name, n) in tally.top(TOP) {
                writeln!(out, "    {n:>8}  {name}").ok();
            }
        }
    }

    fn kept_out(&self, out: &mut String, around: &Surroundings<'_>) {
        writeln!(
            out,
            "\nBans             {} ({} of sources that were never banned before), {} by operators, \
             {} lifted by operators",
            self.bans, self.new_sources, self.orders, self.releases
        )
        .ok();
        if let Some(status) = around.status {
            writeln!(out, "In force now     {}", status.bans).ok();
            if let Some(KeptOut { packets, bytes }) = &status.dropped {
                // Counters that went back began anew.
                let (p, b) = self.kept_out.unwrap_or_default();
                let part = |is: u64, was: u64| if is >= was { is - was } else { is };
                writeln!(
                    out,
                    "Kept out         {} packets, {} bytes",
                    part(*packets, p),
                    part(*bytes, b)
                )
                .ok();
            }
        }
        writeln!(out, "Bans refused     {}", self.refusals).ok();
        for (why, n) in self.refused.top(TOP) {
            writeln!(out, "    {n:>8}  it is {why}").ok();
        }
    }

    fn watched(&self, out: &mut String, around: &Surroundings<'_>, now: Timestamp) {
        out.push_str("\nNot watched or silent\n");
        let before = out.len();
        for text in around.unwatched {
            writeln!(out, "  {}", harmless(text, 300)).ok();
        }
        if let Some(status) = around.status {
            if let Some(why) = &status.observing_because {
                writeln!(out, "  NOTHING IS BANNED: {}", harmless(why, 300)).ok();
            }
            if status.sources.is_empty() {
                out.push_str("  no log source is being watched: see `posse doctor`\n");
            }
            for source in &status.sources {
                let name = harmless(&source.name, 100);
                if let Some(error) = &source.error {
                    writeln!(out, "  {name}: {}", harmless(error, 300)).ok();
                }
                let last = source.last_line.unwrap_or(status.started);
                let silence = now.since(last);
                if silence >= SILENT_AFTER {
                    writeln!(out, "  {name}: no line for {}", spoken(silence)).ok();
                }
                if source.dropped > 0 {
                    writeln!(
                        out,
                        "  {name}: {} lines dropped since the start",
                        source.dropped
                    )
                    .ok();
                }
            }
        } else {
            out.push_str("  no guard is running: nothing is watched\n");
        }
        if out.len() == before {
            out.push_str("  nothing: every source gave lines\n");
        }
    }

    fn troubles(&self, out: &mut String, around: &Surroundings<'_>) {
        out.push_str("\nTo look at\n");
        let before = out.len();
        if around.unacknowledged > 0 {
            let n = counted(around.unacknowledged as u64, "alert", "alerts");
            writeln!(
                out,
                "  {n} that nobody acknowledged (posse alerts ack ID, or --all)"
            )
            .ok();
        }
        if let Some(status) = around.status {
            let lost = status
                .recorder
                .lost
                .saturating_sub(self.lost.unwrap_or_default());
            if lost > 0 {
                writeln!(out, "  {lost} entries could not be recorded").ok();
            }
            if let Some(cause) = &status.recorder.paused {
                writeln!(out, "  recording is paused: {}", harmless(cause, 300)).ok();
            }
            for (n, what) in [
                (
                    status.journal_failures,
                    "writes of the intake journal failed",
                ),
                (
                    status.feed_lines_dropped,
                    "news did not fit a listener's queue",
                ),
            ] {
                if n > 0 {
                    writeln!(out, "  {n} {what} since the start").ok();
                }
            }
        }
        for channel in around.channels {
            if let Some(error) = &channel.last_error {
                let waiting = channel.queued;
                writeln!(
                    out,
                    "  channel {}: {error} ({waiting} waiting)",
                    channel.name
                )
                .ok();
            }
            if channel.dropped > 0 {
                writeln!(
                    out,
                    "  channel {}: {} alerts not told",
                    channel.name, channel.dropped
                )
                .ok();
            }
        }
        for (code, (n, last)) in &self.notices {
            writeln!(out, "  {n} × {code}: {last}").ok();
        }
        if out.len() == before {
            out.push_str("  nothing\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use model::SourceStatus;

    use super::*;
    use crate::samples;

    fn status() -> Status {
        Status {
            bans: 3,
            dropped: Some(KeptOut {
                packets: 150,
                bytes: 9_000,
            }),
            sources: vec![SourceStatus {
                name: "/var/log/auth.log".into(),
                last_line: Some(Timestamp::from_seconds(0)),
                ..SourceStatus::default()
            }],
            ..Status::default()
        }
    }

    fn around<'a>(status: Option<&'a Status>, zone: &'a TimeZone) -> Surroundings<'a> {
        Surroundings {
            host: "host",
            zone,
            status,
            unwatched: &[],
            unacknowledged: 2,
            channels: &[],
        }
    }

    #[test]
    fn a_day_is_counted_and_told() {
        let mut before = status();
        before.dropped = Some(KeptOut {
            packets: 100,
            bytes: 1_000,
        });
        let mut day = Day::begin(Timestamp::from_seconds(0), Some(&before));
        for n in 0..30 {
            day.count(&samples::banned(n));
        }
        let silent = Incident::of_notice("source_silent", "auth.log is silent", Timestamp::EPOCH);
        day.count(&silent);
        let now = Timestamp::from_seconds(2 * 86_400);
        let text = day.text(&around(Some(&status()), &TimeZone::UTC), now);
        for part in [
            "30 alerts from 30 sources",
            "      30  posse/ssh-bf",
            "Bans             30 (30 of sources",
            "Kept out         50 packets, 8000 bytes",
            "/var/log/auth.log: no line for 2d",
            "2 alerts that nobody acknowledged",
            "1 × source_silent: auth.log is silent",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let json = serde_json::to_vec(&day).unwrap();
        assert_eq!(serde_json::from_slice::<Day>(&json).unwrap(), day);
    }

    #[test]
    fn counters_that_began_anew_are_not_negative() {
        let mut day = Day::begin(Timestamp::EPOCH, Some(&status()));
        day.restarted();
        let mut after = status();
        after.dropped = Some(KeptOut {
            packets: 7,
            bytes: 70,
        });
        let text = day.text(&around(Some(&after), &TimeZone::UTC), Timestamp::EPOCH);
        assert!(
            text.contains("Kept out         7 packets, 70 bytes"),
            "{text}"
        );
    }

    #[test]
    fn notices_are_bounded() {
        let mut day = Day::default();
        for n in 0..1_000 {
            day.notice(&format!("{n}"), "x");
        }
        assert_eq!(day.notices.len(), NOTICES_MAX);
    }
}
