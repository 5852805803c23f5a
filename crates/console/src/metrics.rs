//! The numbers in the exposition format of OpenMetrics 1.0, which Prometheus reads. Pure.
//!
//! Names and labels are an interface: docs/status-page.md lists them.

use std::{fmt, sync::Arc};

use model::Status;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::Registry,
};

/// OpenMetrics 1.0 §"Overall Structure": the content type that announces the format.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The console's own numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnNumbers {
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) connections: u64,
    pub(crate) streams: u64,
    pub(crate) streams_refused: u64,
    pub(crate) news: u64,
}

#[derive(Debug)]
struct Numbers {
    status: Option<Arc<Status>>,
    own: OwnNumbers,
}

pub(crate) fn exposition(
    status: Option<Arc<Status>>,
    own: OwnNumbers,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Numbers { status, own }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut out = Writer(encoder);
        if let Some(status) = self.status.as_deref() {
            guard(&mut out, status)?;
            sources(&mut out, status)?;
            detection(&mut out, status)?;
            record(&mut out, status)?;
            channels(&mut out, status)?;
            fleet(&mut out, status)?;
            witnesses(&mut out, status)?;
        }
        own(&mut out, self.own)
    }
}

/// One line a metric. Names are given without `_total`, which the format adds to counters.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.metric(name, help, &ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.metric(name, help, &ConstGauge::new(value))
    }

    fn metric(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let encoder = self
            .0
            .encode_descriptor(name, help, None, metric.metric_type())?;
        metric.encode(encoder)
    }

    /// One sample for each source.
    fn of_sources<M: EncodeMetric>(
        &mut self,
        (name, help): (&str, &str),
        status: &Status,
        value: impl Fn(&model::SourceStatus) -> M,
    ) -> fmt::Result {
        self.family(
            (name, help),
            status.sources.iter().map(|source| {
                let labels = [
                    ("source", source.name.as_str()),
                    ("type", source.r#type.as_str()),
                ];
                (labels, value(source))
            }),
        )
    }

    /// The same of alert channels.
    fn of_channels<M: EncodeMetric>(
        &mut self,
        (name, help): (&str, &str),
        status: &Status,
        value: impl Fn(&model::ChannelStatus) -> M,
    ) -> fmt::Result {
        self.family(
            (name, help),
            status.channels.iter().map(|channel| {
                let labels = [
                    ("channel", channel.name.as_str()),
                    ("kind", channel.kind.as_str()),
                ];
                (labels, value(channel))
            }),
        )
    }

    fn family<'s, M: EncodeMetric>(
        &mut self,
        (name, help): (&str, &str),
        mut samples: impl Iterator<Item = ([(&'static str, &'s str); 2], M)>,
    ) -> fmt::Result {
        let Some(first) = samples.next() else {
            return Ok(());
        };
        let mut encoder = self
            .0
            .encode_descriptor(name, help, None, first.1.metric_type())?;
        for (labels, metric) in std::iter::once(first).chain(samples) {
            metric.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn guard(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let build = Info::new([("version", status.version.clone())]);
    out.metric("posse_build", "The program that runs", &build)?;
    let enforcing = u64::from(status.mode == "enforce");
    out.gauge(
        "posse_enforcing",
        "1: bans go to the kernel; 0: observe mode",
        enforcing,
    )?;
    let seconds = |at: model::Timestamp| u64::try_from(at.seconds()).unwrap_or(0);
    out.gauge(
        "posse_start_time_seconds",
        "When the guard started, in seconds since 1970",
        seconds(status.started),
    )?;
    out.gauge(
        "posse_status_time_seconds",
        "When these numbers were read, in seconds since 1970",
        seconds(status.at),
    )?;
    out.gauge("posse_bans", "Bans in force", status.bans)?;
    if let Some(kept_out) = &status.dropped {
        out.counter(
            "posse_dropped_packets",
            "Packets to and from banned addresses that the kernel dropped",
            kept_out.packets,
        )?;
        out.counter("posse_dropped_bytes", "The same in bytes", kept_out.bytes)?;
    }
    let policy = &status.policy;
    // Not `posse_bans`: in OpenMetrics a gauge and a counter cannot share a family.
    out.counter("posse_bans_made", "Bans made", policy.bans)?;
    out.counter(
        "posse_ban_extensions",
        "Bans made longer or wider",
        policy.extensions,
    )?;
    out.counter(
        "posse_already_banned",
        "Alerts about what was banned already",
        policy.already_banned,
    )?;
    out.counter(
        "posse_refusals",
        "Bans that the never-ban guard refused",
        policy.refusals,
    )
}

fn sources(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let counter = |n: u64| ConstCounter::new(n);
    out.of_sources(("posse_lines", "Lines read"), status, |s| counter(s.lines))?;
    out.of_sources(("posse_read_bytes", "Bytes read"), status, |s| {
        counter(s.bytes)
    })?;
    out.of_sources(
        (
            "posse_lines_truncated",
            "Lines cut because they were too long",
        ),
        status,
        |s| counter(s.truncated),
    )?;
    out.of_sources(
        (
            "posse_lines_dropped",
            "Lines or messages lost before they were read",
        ),
        status,
        |s| counter(s.dropped),
    )?;
    out.of_sources(
        (
            "posse_source_last_line_time_seconds",
            "When the last line came, in seconds since 1970; 0: none yet",
        ),
        status,
        |s| ConstGauge::new(s.last_line.map_or(0, model::Timestamp::seconds)),
    )?;
    out.of_sources(
        (
            "posse_source_up",
            "1: the source can be read; 0: it has an error",
        ),
        status,
        |s| ConstGauge::new(i64::from(s.error.is_none())),
    )
}

fn detection(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let engine = &status.engine;
    let counters = [
        (
            "posse_alerts",
            "Attacks that rules saw",
            status.policy.alerts,
        ),
        (
            "posse_lines_skipped",
            "Lines that no rule can match",
            engine.skipped,
        ),
        (
            "posse_lines_unparsed",
            "Lines that no parser took",
            engine.unparsed,
        ),
        (
            "posse_lines_parsed",
            "Lines that a parser took",
            engine.parsed,
        ),
        (
            "posse_lines_counted",
            "Lines that counted for a rule",
            engine.poured,
        ),
        (
            "posse_buckets_evicted",
            "Running counts given up for want of room",
            engine.buckets_evicted,
        ),
        (
            "posse_lines_invalid_utf8",
            "Lines that were not UTF-8",
            engine.invalid_utf8,
        ),
        (
            "posse_expression_errors",
            "Expressions of rules that could not be evaluated",
            engine.expression_errors,
        ),
    ];
    for (name, help, value) in counters {
        out.counter(name, help, value)?;
    }
    out.gauge("posse_buckets", "Running counts", engine.buckets_live)
}

fn record(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let recorder = &status.recorder;
    out.gauge(
        "posse_ledger_entries",
        "Entries on the ledger",
        recorder.size,
    )?;
    out.gauge(
        "posse_queue_record",
        "Entries that wait to be recorded",
        recorder.queued,
    )?;
    out.counter(
        "posse_ledger_recorded",
        "Entries recorded",
        recorder.recorded,
    )?;
    out.counter(
        "posse_ledger_lost",
        "Entries that could not be recorded; the ledger says so",
        recorder.lost,
    )?;
    out.gauge(
        "posse_ledger_paused",
        "1: nothing can be recorded now, bans go on",
        u64::from(recorder.paused.is_some()),
    )?;
    out.counter(
        "posse_journal_failures",
        "Writes of the intake journal that failed",
        status.journal_failures,
    )?;
    out.counter(
        "posse_feed_dropped",
        "News that a slow listener did not get",
        status.feed_lines_dropped,
    )
}

fn channels(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let counter = ConstCounter::<u64>::new;
    out.of_channels(
        ("posse_channel_sent", "Messages that arrived"),
        status,
        |c| counter(c.sent),
    )?;
    out.of_channels(("posse_channel_failed", "Tries that failed"), status, |c| {
        counter(c.failed)
    })?;
    out.of_channels(
        (
            "posse_channel_dropped",
            "Alerts and notices that no message will tell of",
        ),
        status,
        |c| counter(c.dropped),
    )?;
    out.of_channels(("posse_queue_channel", "Messages that wait"), status, |c| {
        ConstGauge::new(i64::try_from(c.queued).unwrap_or(i64::MAX))
    })
}

/// `posse ledger witness status` tells them apart.
fn witnesses(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let Some(witnesses) = &status.witnesses else {
        return Ok(());
    };
    out.gauge(
        "posse_ledger_witnesses",
        "Witnesses asked to cosign the ledger",
        witnesses.asked,
    )?;
    out.gauge(
        "posse_ledger_other_history",
        "Witnesses that saw another history of the ledger",
        witnesses.other_history,
    )?;
    out.gauge(
        "posse_ledger_witness_behind",
        "Entries that the witness furthest behind has not cosigned",
        witnesses.behind,
    )
}

/// Over all communities; `posse status` tells them apart.
fn fleet(out: &mut Writer<'_>, status: &Status) -> fmt::Result {
    let Some(fleet) = &status.fleet else {
        return Ok(());
    };
    let sum = |value: fn(&model::FleetCommunityStatus) -> u64| {
        fleet.communities.iter().map(value).sum::<u64>()
    };
    let most = |value: fn(&model::FleetCommunityStatus) -> u64| {
        fleet.communities.iter().map(value).max().unwrap_or(0)
    };
    let silence = fleet
        .last_contact
        .map_or(0, |at| status.at.since(at).as_secs());
    out.gauge(
        "posse_fleet_connected",
        "1: the hub is connected",
        u64::from(fleet.connected),
    )?;
    out.gauge(
        "posse_fleet_silence_seconds",
        "Since the hub's last word",
        silence,
    )?;
    out.gauge(
        "posse_fleet_certificate_seconds",
        "What is left of the client certificate's life",
        fleet.certificate_seconds,
    )?;
    out.gauge(
        "posse_fleet_generation",
        "Generation of the community's set, the highest",
        most(|c| c.generation),
    )?;
    out.gauge(
        "posse_fleet_lag_milliseconds",
        "From the newest change's arrival to the kernel",
        most(|c| c.lag_ms),
    )?;
    out.gauge(
        "posse_fleet_bans",
        "Community bans in the kernel",
        sum(|c| c.enforced),
    )?;
    out.gauge(
        "posse_fleet_kept_out",
        "Community bans that the never-ban guard keeps out",
        sum(|c| c.refused),
    )?;
    out.counter(
        "posse_fleet_refusals",
        "Bans, statements and frames refused",
        sum(|c| c.refusals),
    )?;
    out.gauge(
        "posse_queue_fleet_reports",
        "Own bans that the hub was not told yet",
        sum(|c| c.reports_waiting),
    )?;
    out.counter(
        "posse_fleet_reports_lost",
        "Own bans that the hub will not be told",
        fleet.reports_lost,
    )
}

fn own(out: &mut Writer<'_>, own: OwnNumbers) -> fmt::Result {
    out.counter("posse_console_requests", "Requests answered", own.requests)?;
    out.counter(
        "posse_console_refused",
        "Requests refused at the door",
        own.refused,
    )?;
    out.gauge(
        "posse_console_connections",
        "Connections open",
        own.connections,
    )?;
    out.gauge(
        "posse_console_streams",
        "Pages and readers that follow live",
        own.streams,
    )?;
    out.counter(
        "posse_console_streams_refused",
        "Streams refused because too many were open",
        own.streams_refused,
    )?;
    out.counter("posse_console_news", "News heard from the guard", own.news)
}

#[cfg(test)]
mod tests {
    use model::{KeptOut, SourceStatus};

    use super::*;

    fn status() -> Arc<Status> {
        Arc::new(Status {
            version: "1.2.3".into(),
            mode: "enforce".into(),
            bans: 7,
            dropped: Some(KeptOut {
                packets: 11,
                bytes: 13,
            }),
            sources: vec![
                SourceStatus {
                    name: "/var/log/\"quoted\"\n.log".into(),
                    r#type: "syslog".into(),
                    lines: 5,
                    ..SourceStatus::default()
                },
                SourceStatus {
                    name: "journal".into(),
                    lines: 6,
                    ..SourceStatus::default()
                },
            ],
            channels: vec![model::ChannelStatus {
                name: "mail".into(),
                kind: "email".into(),
                queued: 4,
                ..Default::default()
            }],
            ..Status::default()
        })
    }

    #[test]
    fn names_and_labels_are_as_documented() {
        let text = exposition(Some(status()), OwnNumbers::default()).unwrap();
        for line in [
            "posse_build_info{version=\"1.2.3\"} 1",
            "posse_enforcing 1",
            "posse_bans 7",
            "posse_dropped_packets_total 11",
            "posse_dropped_bytes_total 13",
            "posse_lines_total{source=\"/var/log/\\\"quoted\\\"\\n.log\",type=\"syslog\"} 5",
            "posse_lines_total{source=\"journal\",type=\"\"} 6",
            "posse_alerts_total 0",
            "posse_refusals_total 0",
            "posse_ledger_entries 0",
            "posse_ledger_lost_total 0",
            "posse_queue_record 0",
            "posse_queue_channel{channel=\"mail\",kind=\"email\"} 4",
            "posse_channel_sent_total{channel=\"mail\",kind=\"email\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_family_is_declared_once() {
        let text = exposition(Some(status()), OwnNumbers::default()).unwrap();
        let mut declared: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix("# TYPE "))
            .filter_map(|l| l.split(' ').next())
            .collect();
        let all = declared.len();
        declared.sort_unstable();
        declared.dedup();
        assert_eq!(declared.len(), all, "{declared:?}");
    }

    #[test]
    fn a_guard_that_only_starts_has_the_consoles_numbers() {
        let text = exposition(None, OwnNumbers::default()).unwrap();
        assert!(text.contains("posse_console_requests_total 0"));
        assert!(!text.contains("posse_bans"));
    }
}
