//! The rows of the lists: what is known of an alert, a ban, a refusal or a notice, in words. Pure.

use model::Timestamp;
use serde::Serialize;

use crate::{
    picture::{AlertRow, BanRow, LineRow, NoticeRow, Picture, RefusalRow},
    text::{ago, clock, count, full, span},
};

/// A point in time, for eyes, for scripts and for hovering.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Moment {
    pub(crate) clock: String,
    pub(crate) ago: String,
    pub(crate) full: String,
    pub(crate) iso: String,
    pub(crate) millis: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct AlertView {
    #[serde(skip)]
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) rule: String,
    pub(crate) scope: String,
    pub(crate) value: String,
    pub(crate) message: String,
    pub(crate) at: Moment,
    pub(crate) over: String,
    pub(crate) events: String,
    pub(crate) simulated: bool,
    /// `banned`, `refused` or nothing.
    pub(crate) outcome: Option<&'static str>,
    pub(crate) lines: Vec<LineView>,
    pub(crate) lines_more: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct LineView {
    pub(crate) source: String,
    pub(crate) raw: String,
    pub(crate) at: Moment,
    pub(crate) sha256: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct BanView {
    #[serde(skip)]
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) reason: String,
    pub(crate) by: Option<String>,
    pub(crate) times: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) from: Moment,
    pub(crate) until: Moment,
    pub(crate) remaining: String,
    /// What became of it, when it was heard of.
    pub(crate) kernel: Option<String>,
    pub(crate) observed_only: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RefusalView {
    #[serde(skip)]
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) prefix: Option<String>,
    pub(crate) reason: String,
    pub(crate) alert: Option<String>,
    pub(crate) at: Moment,
}

#[derive(Debug, Serialize)]
pub(crate) struct NoticeView {
    #[serde(skip)]
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) code: String,
    pub(crate) text: String,
    pub(crate) at: Moment,
}

impl Moment {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self {
            clock: clock(at, now),
            ago: ago(at, now),
            full: full(at),
            iso: at.to_string(),
            millis: at.millis(),
        }
    }
}

pub(crate) fn alert(row: &AlertRow, picture: &Picture, now: Timestamp) -> AlertView {
    AlertView {
        version: row.version,
        key: row.id.to_string(),
        rule: row.rule.clone(),
        scope: row.scope.clone(),
        value: row.value.clone(),
        message: row.message.clone(),
        at: Moment::new(row.last, now),
        over: over(row.first, row.last),
        events: count(row.events),
        simulated: row.simulated,
        outcome: outcome(row, picture),
        lines: row.lines.iter().map(|l| line(l, now)).collect(),
        lines_more: row.lines_kept.saturating_sub(row.lines.len()),
    }
}

fn outcome(row: &AlertRow, picture: &Picture) -> Option<&'static str> {
    if picture.bans.iter().any(|ban| ban.is_about(row)) {
        Some("banned")
    } else if picture.refusals.iter().any(|r| r.alert == Some(row.id)) {
        Some("refused")
    } else {
        None
    }
}

/// How long the attempts took: in milliseconds when they were quick.
fn over(first: Timestamp, last: Timestamp) -> String {
    let time = last.since(first);
    match time.as_millis() {
        0 => "at once".to_owned(),
        ms @ 1..=999 => format!("in {ms} ms"),
        _ => format!("in {}", span(time)),
    }
}

fn line(row: &LineRow, now: Timestamp) -> LineView {
    LineView {
        source: row.source.clone(),
        raw: row.raw.clone(),
        at: Moment::new(row.received, now),
        sha256: row.sha256.clone(),
    }
}

pub(crate) fn ban(row: &BanRow, now: Timestamp) -> BanView {
    let after = row.in_kernel.map(|at| at.since(row.from));
    BanView {
        version: row.version,
        key: row.prefix.to_string(),
        reason: row.reason.clone(),
        by: (row.by != "guard").then(|| row.by.clone()),
        times: (row.repeat > 0)
            .then(|| format!("banned {} times before", count(row.repeat.into()))),
        alert: row.alert.map(|id| id.to_string()),
        from: Moment::new(row.from, now),
        until: Moment::new(row.until, now),
        remaining: span(row.until.since(now)),
        kernel: after.map(|t| format!("in the kernel after {:.1} ms", t.as_secs_f64() * 1e3)),
        observed_only: row.heard && row.in_kernel.is_none(),
    }
}

pub(crate) fn refusal(row: &RefusalRow, now: Timestamp) -> RefusalView {
    RefusalView {
        version: row.version,
        key: format!("{}-{}-{:?}", row.at.nanos(), row.version, row.alert),
        prefix: row.prefix.map(|p| p.to_string()),
        reason: row.reason.clone(),
        alert: row.alert.map(|id| id.to_string()),
        at: Moment::new(row.at, now),
    }
}

pub(crate) fn notice(row: &NoticeRow, now: Timestamp) -> NoticeView {
    NoticeView {
        version: row.version,
        key: format!("{}-{}", row.at.nanos(), row.version),
        code: row.code.clone(),
        text: row.text.clone(),
        at: Moment::new(row.at, now),
    }
}
