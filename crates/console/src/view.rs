//! From what is known to what the templates print: every word and number of the overview. Pure.
//!
//! Text from outside was made visible when it was heard; HTML is escaped by the templates.

use model::{ChannelStatus, RecordStatus, SourceStatus, Status, Timestamp};
use serde::Serialize;

use crate::{
    chart::{Chart, charts},
    limits::{QUIET_AFTER, STALE_AFTER, TEXT_CHARS_SHOWN},
    picture::Picture,
    rows::{self, AlertView, BanView, Moment, NoticeView, RefusalView},
    text::{ago, bytes, count, rate, span, visible},
};

/// Everything the overview prints.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    pub(crate) title: String,
    pub(crate) headline: Headline,
    pub(crate) warnings: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) charts: Vec<Chart>,
    pub(crate) alerts: Vec<AlertView>,
    pub(crate) bans: Vec<BanView>,
    pub(crate) bans_total: String,
    pub(crate) refusals: Vec<RefusalView>,
    pub(crate) notices: Vec<NoticeView>,
    pub(crate) sources: Vec<SourceView>,
    pub(crate) channels: Vec<ChannelView>,
    pub(crate) ledger: LedgerView,
}

/// Is it working? The first thing read.
#[derive(Debug, Serialize)]
pub(crate) struct Headline {
    /// `enforce`, `observe`, or `unknown`.
    pub(crate) state: &'static str,
    pub(crate) word: &'static str,
    pub(crate) text: String,
    pub(crate) detail: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: String,
    /// `good`, `bad` or empty.
    pub(crate) class: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct SourceView {
    pub(crate) name: String,
    pub(crate) kind: String,
    /// `live`, `quiet`, `none` or `error`.
    pub(crate) state: &'static str,
    pub(crate) state_text: String,
    pub(crate) last: Option<Moment>,
    pub(crate) rate: String,
    pub(crate) lines: String,
    pub(crate) volume: String,
    pub(crate) note: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChannelView {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) state: &'static str,
    pub(crate) state_text: String,
    pub(crate) last: Option<Moment>,
    pub(crate) sent: String,
    pub(crate) waiting: String,
    pub(crate) failed: String,
    pub(crate) note: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct LedgerView {
    pub(crate) state: &'static str,
    pub(crate) text: String,
    pub(crate) entries: String,
    pub(crate) waiting: String,
    pub(crate) lost: String,
    pub(crate) origin: String,
    pub(crate) checkpoint_size: String,
    pub(crate) root: String,
}

pub(crate) fn overview(picture: &Picture, host: &str, now: Timestamp) -> Overview {
    let nothing = Status::default();
    let known = picture.status.as_deref();
    let status = known.unwrap_or(&nothing);
    let bans = picture.bans.iter().filter(|ban| ban.until > now);
    Overview {
        title: title(status, bans_total(status, picture), host),
        headline: headline(known, now),
        warnings: known.map_or_else(Vec::new, |s| warnings(s, picture, now)),
        figures: figures(status, picture, now),
        charts: charts(&picture.samples, now),
        alerts: picture
            .alerts
            .iter()
            .map(|row| rows::alert(row, picture, now))
            .collect(),
        bans: bans.map(|row| rows::ban(row, now)).collect(),
        bans_total: count(bans_total(status, picture)),
        refusals: picture
            .refusals
            .iter()
            .map(|r| rows::refusal(r, now))
            .collect(),
        notices: picture
            .notices
            .iter()
            .map(|n| rows::notice(n, now))
            .collect(),
        sources: sources(status, &picture.rates, now),
        channels: status.channels.iter().map(|c| channel(c, now)).collect(),
        ledger: ledger(&status.recorder, picture),
    }
}

/// The rows are newer than the numbers.
fn bans_total(status: &Status, picture: &Picture) -> u64 {
    status.bans.max(picture.bans.len() as u64)
}

fn title(status: &Status, bans: u64, host: &str) -> String {
    let mark = if status.mode == "observe" {
        "OBSERVE ONLY · "
    } else {
        ""
    };
    let noun = if bans == 1 { "ban" } else { "bans" };
    format!("{mark}{} {noun} · {host} · Posse", count(bans))
}

fn headline(status: Option<&Status>, now: Timestamp) -> Headline {
    let Some(status) = status else {
        return Headline {
            state: "unknown",
            word: "Starting",
            text: "The guard has not published its numbers yet.".into(),
            detail: String::new(),
        };
    };
    let running = span(now.since(status.started));
    let mut detail = format!("version {}, running for {running}", status.version);
    if !status.sandbox.is_empty() {
        detail += " · sandbox: ";
        detail += &visible(&status.sandbox, TEXT_CHARS_SHOWN);
    }
    let age = now.since(status.at);
    if age > STALE_AFTER {
        return Headline {
            state: "unknown",
            word: "No news",
            text: format!(
                "The guard has not reported for {}. What follows is old.",
                span(age)
            ),
            detail,
        };
    }
    match &status.observing_because {
        None if status.mode == "enforce" => Headline {
            state: "enforce",
            word: "Enforcing",
            text: "Attackers are cut off in the kernel.".into(),
            detail,
        },
        why => Headline {
            state: "observe",
            word: "Observe only",
            text: format!(
                "NOTHING IS BANNED. Reason: {}.",
                visible(why.as_deref().unwrap_or("observe mode"), TEXT_CHARS_SHOWN)
            ),
            detail,
        },
    }
}

fn warnings(status: &Status, picture: &Picture, now: Timestamp) -> Vec<String> {
    let mut out = Vec::new();
    let recorder = &status.recorder;
    if let Some(cause) = &recorder.paused {
        let cause = visible(cause, TEXT_CHARS_SHOWN);
        out.push(format!("Recording is paused, bans go on: {cause}"));
    }
    let counted = [
        (
            recorder.lost,
            "ledger entries were lost because they could not be written",
        ),
        (
            status.journal_failures,
            "writes of the intake journal failed; after a crash those lines may count twice",
        ),
        (
            status.feed_lines_dropped,
            "messages did not reach a slow listener (terminal, watcher, alert channel or page)",
        ),
        (
            status.engine.buckets_evicted,
            "running counts were given up for want of room; see [limits] buckets",
        ),
        (
            status.channels.iter().map(|c| c.dropped).sum(),
            "alerts or notices were given up by an alert channel; see the channels",
        ),
        (
            status.sources.iter().map(|s| s.dropped).sum(),
            "log lines or bytes were dropped before they could be read; see the sources",
        ),
    ];
    for (number, what) in counted {
        if number > 0 {
            out.push(format!("{} {what}.", count(number)));
        }
    }
    if status.sources.is_empty() {
        out.push("No log source is being watched; `posse doctor` says why.".into());
    } else if status.sources.iter().all(|s| is_quiet(s, now)) {
        out.push("Every log source is quiet. Does anything write to these logs?".into());
    }
    if let Some(fault) = &picture.store_fault {
        let fault = visible(fault, TEXT_CHARS_SHOWN);
        out.push(format!(
            "The store cannot be asked for older entries: {fault}"
        ));
    }
    out
}

fn figures(status: &Status, picture: &Picture, now: Timestamp) -> Vec<Figure> {
    let policy = &status.policy;
    let (kept, volume) = status.dropped.as_ref().map_or_else(
        || ("–".to_owned(), "no counters in observe mode".to_owned()),
        |d| {
            let volume = format!("packets, {}", bytes(d.bytes));
            (count(d.packets), volume)
        },
    );
    let last_attack = picture.alerts.front().map_or_else(
        || "none yet".to_owned(),
        |alert| format!("last one {}", ago(alert.last, now)),
    );
    let per_second: f64 = picture.rates.iter().sum();
    let record = &status.recorder;
    let figure = |name, value, note, class| Figure {
        name,
        value,
        note,
        class,
    };
    vec![
        figure(
            "Bans in force",
            count(bans_total(status, picture)),
            format!(
                "{} made, {} extended",
                count(policy.bans),
                count(policy.extensions)
            ),
            "",
        ),
        figure("Kept out", kept, volume, ""),
        figure("Attacks", count(status.policy.alerts), last_attack, ""),
        figure(
            "Refused",
            count(policy.refusals),
            "by the never-ban guard".into(),
            "",
        ),
        figure(
            "Log lines",
            count(status.engine.lines),
            format!("{} a second", rate(per_second)),
            "",
        ),
        figure(
            "Ledger",
            count(record.size),
            record_note(record),
            if record.paused.is_some() || record.lost > 0 {
                "bad"
            } else {
                ""
            },
        ),
    ]
}

fn record_note(record: &RecordStatus) -> String {
    if record.paused.is_some() {
        "RECORDING PAUSED".into()
    } else if record.lost > 0 {
        format!("{} LOST", count(record.lost))
    } else if record.queued > 0 {
        format!("{} waiting", count(record.queued))
    } else {
        "entries, all recorded".into()
    }
}

fn is_quiet(source: &SourceStatus, now: Timestamp) -> bool {
    source
        .last_line
        .is_some_and(|last| now.since(last) > QUIET_AFTER)
}

fn sources(status: &Status, rates: &[f64], now: Timestamp) -> Vec<SourceView> {
    let rows = status.sources.iter().enumerate().map(|(index, source)| {
        let (state, state_text) = match (&source.error, source.last_line) {
            (Some(error), _) => ("error", visible(error, TEXT_CHARS_SHOWN)),
            (None, None) => ("none", "no line yet".to_owned()),
            (None, Some(last)) if is_quiet(source, now) => {
                ("quiet", format!("quiet for {}", span(now.since(last))))
            }
            (None, Some(_)) => ("live", "reading".to_owned()),
        };
        let lost = [(source.truncated, "cut"), (source.dropped, "dropped")];
        let notes = lost.iter().filter(|(n, _)| *n > 0);
        let notes: Vec<String> = notes.map(|(n, w)| format!("{} {w}", count(*n))).collect();
        SourceView {
            name: visible(&source.name, TEXT_CHARS_SHOWN),
            kind: visible(&source.r#type, TEXT_CHARS_SHOWN),
            state,
            state_text,
            last: source.last_line.map(|at| Moment::new(at, now)),
            rate: rate(rates.get(index).copied().unwrap_or_default()),
            lines: count(source.lines),
            volume: bytes(source.bytes),
            note: notes.join(", "),
        }
    });
    rows.collect()
}

fn channel(channel: &ChannelStatus, now: Timestamp) -> ChannelView {
    let (state, state_text) = match (&channel.last_error, channel.last_sent) {
        (Some(error), _) => ("error", visible(error, TEXT_CHARS_SHOWN)),
        (None, Some(_)) => ("live", "delivering".to_owned()),
        (None, None) => ("none", "nothing sent yet".to_owned()),
    };
    let mut notes = Vec::new();
    if channel.dropped > 0 {
        notes.push(format!("{} never told", count(channel.dropped)));
    }
    if let Some(error) = &channel.disk_error {
        let error = visible(error, TEXT_CHARS_SHOWN);
        notes.push(format!("queue only in memory: {error}"));
    }
    ChannelView {
        name: visible(&channel.name, TEXT_CHARS_SHOWN),
        kind: visible(&channel.kind, TEXT_CHARS_SHOWN),
        state,
        state_text,
        last: channel.last_sent.map(|at| Moment::new(at, now)),
        sent: count(channel.sent),
        waiting: count(channel.queued),
        failed: count(channel.failed),
        note: notes.join("; "),
    }
}

fn ledger(record: &RecordStatus, picture: &Picture) -> LedgerView {
    let (state, text) = match &record.paused {
        Some(cause) => (
            "bad",
            format!("paused, bans go on: {}", visible(cause, TEXT_CHARS_SHOWN)),
        ),
        None if record.lost > 0 => ("bad", "going on, with a loss on record".to_owned()),
        None => ("good", "going on".to_owned()),
    };
    let checkpoint = picture.checkpoint.clone().unwrap_or_default();
    LedgerView {
        state,
        text,
        entries: count(record.size),
        waiting: count(record.queued),
        lost: count(record.lost),
        origin: visible(&checkpoint.origin, TEXT_CHARS_SHOWN),
        checkpoint_size: checkpoint.size,
        root: checkpoint.root,
    }
}
