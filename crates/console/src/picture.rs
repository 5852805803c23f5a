//! What the console knows: the newest happenings, the last hour in samples, and the events that
//! readers who come back may have missed. Pure and bounded; one mutex of this room holds it, which
//! the guard never touches.
//!
//! The lists begin with what the store had, go on with the news, and are held against the store
//! now and then, for what the news did not say (a ban that widened, a queue that overflowed).

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use model::{
    Alert, AlertId, Decision, Happening, News, Notice, Origin, Prefix, RawText, Refusal, Release,
    Status, Timestamp,
};

use crate::{
    limits::{
        ALERTS_SHOWN, BANS_SHOWN, EVENT_BYTES_KEPT, EVENTS_KEPT, LINE_CHARS_SHOWN, LINES_SHOWN,
        NOTICES_SHOWN, REFUSALS_SHOWN, RELEASES_KEPT, SAMPLE_EVERY, SAMPLES_KEPT, TEXT_CHARS_SHOWN,
    },
    text::visible,
};

/// Counts what was heard; a row says with which news it came.
pub(crate) type Version = u64;

#[derive(Clone, Debug)]
pub(crate) struct AlertRow {
    pub(crate) version: Version,
    pub(crate) id: AlertId,
    pub(crate) rule: String,
    pub(crate) scope: String,
    pub(crate) value: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) message: String,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) events: u64,
    pub(crate) simulated: bool,
    pub(crate) lines: Vec<LineRow>,
    pub(crate) lines_kept: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct LineRow {
    pub(crate) source: String,
    pub(crate) raw: String,
    pub(crate) received: Timestamp,
    pub(crate) sha256: String,
}

#[derive(Clone, Debug)]
pub(crate) struct BanRow {
    pub(crate) version: Version,
    pub(crate) prefix: Prefix,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) repeat: u32,
    pub(crate) alert: Option<AlertId>,
    /// Known for bans that were heard of, not for those found in the store.
    pub(crate) in_kernel: Option<Timestamp>,
    pub(crate) heard: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct RefusalRow {
    pub(crate) version: Version,
    pub(crate) at: Timestamp,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) reason: String,
    pub(crate) alert: Option<AlertId>,
}

#[derive(Clone, Debug)]
pub(crate) struct NoticeRow {
    pub(crate) version: Version,
    pub(crate) at: Timestamp,
    pub(crate) code: String,
    pub(crate) text: String,
}

impl BanRow {
    /// The alert led to it, or its source is banned by it.
    pub(crate) fn is_about(&self, alert: &AlertRow) -> bool {
        let contains = |address| self.prefix.contains(address);
        self.alert == Some(alert.id) || alert.address.is_some_and(contains)
    }
}

/// One of the last news, as `/events` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) version: Version,
    pub(crate) kind: &'static str,
    pub(crate) json: Arc<str>,
}

/// What happened in one [`SAMPLE_EVERY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) packets: u64,
    pub(crate) alerts: u64,
    pub(crate) lines: u64,
}

/// Which lists are to be filled from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) events: bool,
    pub(crate) bans: bool,
}

/// What the store answered when the lists were held against it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) alerts: Vec<Alert>,
    pub(crate) bans: Vec<Decision>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) checkpoint: Option<Checkpoint>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) origin: String,
    pub(crate) size: String,
    pub(crate) root: String,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) version: Version,
    /// The newest first, all of them.
    pub(crate) alerts: VecDeque<AlertRow>,
    pub(crate) bans: VecDeque<BanRow>,
    pub(crate) refusals: VecDeque<RefusalRow>,
    pub(crate) notices: VecDeque<NoticeRow>,
    pub(crate) events: VecDeque<Event>,
    event_bytes: usize,
    /// The newest event that is no longer kept.
    pub(crate) forgotten: Version,
    releases: VecDeque<(Prefix, Timestamp)>,
    pub(crate) samples: VecDeque<Sample>,
    /// The numbers that the last sample ended with.
    sampled: Option<Arc<Status>>,
    pub(crate) status: Option<Arc<Status>>,
    /// Lines a second of each source, in the order of the status.
    pub(crate) rates: Vec<f64>,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The store was asked once for what happened before.
    began: bool,
    /// Why the store could not be asked, if it could not.
    pub(crate) store_fault: Option<String>,
}

impl Picture {
    pub(crate) fn hear(&mut self, news: &News) {
        self.version += 1;
        let version = self.version;
        let kind = match &news.happening {
            Happening::Alert(alert) => {
                push(&mut self.alerts, alert_row(alert, version), ALERTS_SHOWN);
                "alert"
            }
            Happening::Ban {
                decision,
                in_kernel,
            } => {
                let mut row = ban_row(decision, version);
                row.in_kernel = *in_kernel;
                row.heard = true;
                self.bans.retain(|known| known.prefix != row.prefix);
                // The rows of its alerts say now what came of them.
                for alert in self.alerts.iter_mut().filter(|a| row.is_about(a)) {
                    alert.version = version;
                }
                push(&mut self.bans, row, BANS_SHOWN);
                "ban"
            }
            Happening::Notice(notice) => {
                push(
                    &mut self.notices,
                    notice_row(notice, version),
                    NOTICES_SHOWN,
                );
                "notice"
            }
            Happening::Refused(refusal) => {
                let row = refusal_row(refusal, version);
                for alert in self.alerts.iter_mut().filter(|a| row.alert == Some(a.id)) {
                    alert.version = version;
                }
                push(&mut self.refusals, row, REFUSALS_SHOWN);
                "refused"
            }
            Happening::Release(release) => {
                self.release(release);
                "release"
            }
        };
        self.keep_event(kind, news);
    }

    fn release(&mut self, release: &Release) {
        self.bans.retain(|known| known.prefix != release.prefix);
        push(
            &mut self.releases,
            (release.prefix, release.at),
            RELEASES_KEPT,
        );
    }

    fn keep_event(&mut self, kind: &'static str, news: &News) {
        let Ok(json) = serde_json::to_string(news) else {
            return;
        };
        self.event_bytes += json.len();
        self.events.push_back(Event {
            version: self.version,
            kind,
            json: json.into(),
        });
        while self.events.len() > EVENTS_KEPT || self.event_bytes > EVENT_BYTES_KEPT {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.event_bytes -= oldest.json.len();
            self.forgotten = oldest.version;
        }
    }

    /// The newest numbers; also the clock of the samples.
    pub(crate) fn read(&mut self, status: &Arc<Status>) {
        if let Some(before) = self.status.replace(Arc::clone(status)) {
            if Arc::ptr_eq(&before, status) {
                return;
            }
            if status.at < before.at {
                // The clock was set back: what seems to lie ahead is in nobody's past hour.
                self.samples.retain(|sample| sample.at <= status.at);
                self.sampled = None;
            } else {
                self.rates = rates(&self.rates, &before, status);
            }
        }
        let Some(since) = &self.sampled else {
            self.sampled = Some(Arc::clone(status));
            return;
        };
        if status.at.since(since.at) >= SAMPLE_EVERY {
            self.samples.push_back(sample(since, status));
            if self.samples.len() > SAMPLES_KEPT {
                self.samples.pop_front();
            }
            self.sampled = Some(Arc::clone(status));
        }
    }

    /// What the store is to be asked for. Looking through a million bans costs something.
    pub(crate) fn wanted(&self) -> Wanted {
        let in_force = self.status.as_ref().map_or(0, |s| s.bans);
        Wanted {
            events: !self.began,
            bans: !self.began || (self.bans.len() as u64) < in_force.min(BANS_SHOWN as u64),
        }
    }

    /// Holds the lists against the store. What was heard and is not recorded yet stays.
    pub(crate) fn learn(&mut self, known: Known, now: Timestamp) {
        self.store_fault = None;
        self.began = true;
        self.checkpoint = known.checkpoint.or_else(|| self.checkpoint.take());
        self.drop_ended(now);
        let version = self.version + 1;
        let before = (self.alerts.len(), self.bans.len(), self.refusals.len());
        for alert in &known.alerts {
            if self.alerts.len() < ALERTS_SHOWN && self.alerts.iter().all(|a| a.id != alert.id) {
                self.alerts.push_back(alert_row(alert, version));
            }
        }
        for decision in &known.bans {
            if self.bans.len() < BANS_SHOWN && self.is_missing(decision, now) {
                self.bans.push_back(ban_row(decision, version));
            }
        }
        if self.refusals.is_empty() {
            let rows = known.refusals.iter().take(REFUSALS_SHOWN);
            self.refusals.extend(rows.map(|r| refusal_row(r, version)));
        }
        if before != (self.alerts.len(), self.bans.len(), self.refusals.len()) {
            self.version = version;
            newest_first(&mut self.alerts, |a| a.last);
            newest_first(&mut self.bans, |b| b.from);
        }
    }

    fn is_missing(&self, decision: &Decision, now: Timestamp) -> bool {
        let prefix = decision.prefix;
        let lifted =
            |(released, at): &(Prefix, Timestamp)| *released == prefix && *at >= decision.from;
        decision.is_active(now)
            && self.bans.iter().all(|b| b.prefix != prefix)
            && !self.releases.iter().any(lifted)
    }

    pub(crate) fn drop_ended(&mut self, now: Timestamp) {
        self.bans.retain(|ban| ban.until > now);
    }
}

fn push<T>(list: &mut VecDeque<T>, row: T, max: usize) {
    list.push_front(row);
    list.truncate(max);
}

fn newest_first<T>(list: &mut VecDeque<T>, at: impl Fn(&T) -> Timestamp) {
    list.make_contiguous()
        .sort_by_key(|row| std::cmp::Reverse(at(row)));
}

/// Smoothed over some ten seconds, so that the number can be read.
fn rates(before: &[f64], then: &Status, now: &Status) -> Vec<f64> {
    const WEIGHT: f64 = 0.2;
    let seconds = now.at.since(then.at).as_secs_f64().max(0.001);
    let rates = now.sources.iter().enumerate().map(|(index, source)| {
        let Some(old) = then.sources.get(index).filter(|s| s.name == source.name) else {
            return 0.0;
        };
        let fresh = source.lines.saturating_sub(old.lines) as f64 / seconds;
        let known = before.get(index).copied().unwrap_or(0.0);
        let mixed = known + (fresh - known) * WEIGHT;
        if mixed < 0.01 { 0.0 } else { mixed }
    });
    rates.collect()
}

fn sample(then: &Status, now: &Status) -> Sample {
    let packets = |s: &Status| s.dropped.as_ref().map_or(0, |d| d.packets);
    Sample {
        at: now.at,
        // The kernel's counters begin anew when somebody else deleted the table.
        packets: packets(now).saturating_sub(packets(then)),
        alerts: now.policy.alerts.saturating_sub(then.policy.alerts),
        lines: now.engine.lines.saturating_sub(then.engine.lines),
    }
}

pub(crate) fn alert_row(alert: &Alert, version: Version) -> AlertRow {
    let shown = alert.evidence.len().saturating_sub(LINES_SHOWN);
    let lines = alert.evidence.iter().skip(shown).map(|line| LineRow {
        source: visible(&line.source, TEXT_CHARS_SHOWN),
        raw: visible(&raw_text(&line.raw), LINE_CHARS_SHOWN),
        received: line.received,
        sha256: line.sha256.to_string(),
    });
    AlertRow {
        version,
        id: alert.id,
        rule: visible(&alert.rule, TEXT_CHARS_SHOWN),
        scope: String::from(alert.scope.clone()),
        value: visible(&alert.value, TEXT_CHARS_SHOWN),
        address: alert.address,
        message: visible(&alert.message, TEXT_CHARS_SHOWN),
        first: alert.first,
        last: alert.last,
        events: alert.events_count,
        simulated: alert.simulated,
        lines: lines.collect(),
        lines_kept: alert.evidence.len(),
    }
}

pub(crate) fn raw_text(raw: &RawText) -> String {
    raw.to_bytes().map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

pub(crate) fn ban_row(decision: &Decision, version: Version) -> BanRow {
    BanRow {
        version,
        prefix: decision.prefix,
        from: decision.from,
        until: decision.until,
        reason: visible(&decision.reason, TEXT_CHARS_SHOWN),
        by: match &decision.origin {
            Origin::Guard => "guard".to_owned(),
            Origin::Operator { name } => visible(name, TEXT_CHARS_SHOWN),
        },
        repeat: decision.repeat,
        alert: decision.alerts.first().copied(),
        in_kernel: None,
        heard: false,
    }
}

fn refusal_row(refusal: &Refusal, version: Version) -> RefusalRow {
    RefusalRow {
        version,
        at: refusal.at,
        prefix: refusal.prefix,
        reason: refusal.reason.to_string(),
        alert: refusal.alerts.first().copied(),
    }
}

fn notice_row(notice: &Notice, version: Version) -> NoticeRow {
    NoticeRow {
        version,
        at: notice.at,
        code: visible(&notice.code, TEXT_CHARS_SHOWN),
        text: visible(&notice.text, TEXT_CHARS_SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use model::{DetectionStatus, KeptOut, SourceStatus};

    use super::*;
    use crate::samples;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn ban(picture: &mut Picture, prefix: &str, from: i64) {
        picture.hear(&samples::ban(prefix, at(from), at(from + 60)));
    }

    fn shown(picture: &Picture) -> Vec<String> {
        picture.bans.iter().map(|b| b.prefix.to_string()).collect()
    }

    #[test]
    fn bans_come_first_once_and_go_when_lifted_or_over() {
        let mut picture = Picture::default();
        ban(&mut picture, "198.51.100.1", 0);
        ban(&mut picture, "198.51.100.2", 10);
        ban(&mut picture, "198.51.100.1", 20);
        assert_eq!(shown(&picture), ["198.51.100.1", "198.51.100.2"]);
        picture.drop_ended(at(70));
        assert_eq!(shown(&picture), ["198.51.100.1"]);
        picture.hear(&samples::release("198.51.100.1", at(75)));
        assert!(picture.bans.is_empty());
    }

    #[test]
    fn a_record_that_lags_brings_no_lifted_ban_back() {
        let mut picture = Picture::default();
        ban(&mut picture, "198.51.100.1", 0);
        picture.hear(&samples::release("198.51.100.1", at(5)));
        let old = samples::decision("198.51.100.1", at(0), at(60));
        let newer = samples::decision("198.51.100.1", at(8), at(90));
        let known = |decision: &Decision| Known {
            bans: vec![decision.clone()],
            ..Known::default()
        };
        picture.learn(known(&old), at(10));
        assert!(picture.bans.is_empty());
        picture.learn(known(&newer), at(10));
        assert_eq!(shown(&picture), ["198.51.100.1"]);
    }

    #[test]
    fn the_store_is_asked_for_bans_only_while_some_are_missing() {
        let mut picture = Picture::default();
        let in_force = |bans| {
            Arc::new(Status {
                bans,
                ..Status::default()
            })
        };
        assert!(picture.wanted().events && picture.wanted().bans);
        picture.learn(Known::default(), at(1));
        assert!(!picture.wanted().events && !picture.wanted().bans);
        picture.read(&in_force(2));
        assert!(picture.wanted().bans);
        ban(&mut picture, "198.51.100.1", 0);
        ban(&mut picture, "198.51.100.2", 0);
        assert!(!picture.wanted().bans);
    }

    #[test]
    fn every_list_is_bounded() {
        let mut picture = Picture::default();
        for n in 0..2_000u32 {
            let address = format!("198.{}.{}.1", 18 + n / 256, n % 256);
            ban(&mut picture, &address, 0);
            picture.hear(&samples::alert(&address, "line"));
            picture.hear(&samples::refusal(&address));
            picture.hear(&samples::notice("x"));
            picture.hear(&samples::release("203.0.113.1", at(1)));
        }
        assert_eq!(picture.bans.len(), BANS_SHOWN);
        assert_eq!(picture.alerts.len(), ALERTS_SHOWN);
        assert_eq!(picture.refusals.len(), REFUSALS_SHOWN);
        assert_eq!(picture.notices.len(), NOTICES_SHOWN);
        assert_eq!(picture.events.len(), EVENTS_KEPT);
        assert_eq!(picture.releases.len(), RELEASES_KEPT);
        assert_eq!(picture.version, 10_000);
    }

    #[test]
    fn events_are_bounded_in_bytes_too() {
        let mut picture = Picture::default();
        let long = "x".repeat(500_000);
        for n in 0..20 {
            picture.hear(&samples::notice(&format!("{n}{long}")));
        }
        let kept: usize = picture.events.iter().map(|e| e.json.len()).sum();
        assert_eq!(kept, picture.event_bytes);
        assert!(kept <= EVENT_BYTES_KEPT && picture.events.len() > 2);
    }

    #[test]
    fn rates_and_samples_follow_the_counters() {
        let status = |seconds: i64, lines: u64, packets: u64| {
            Arc::new(Status {
                at: at(seconds),
                dropped: Some(KeptOut { packets, bytes: 0 }),
                sources: vec![SourceStatus {
                    lines,
                    ..SourceStatus::default()
                }],
                engine: DetectionStatus {
                    lines,
                    ..DetectionStatus::default()
                },
                ..Status::default()
            })
        };
        let mut picture = Picture::default();
        for second in 0..=60 {
            picture.read(&status(second, second as u64 * 100, second as u64 * 7));
        }
        let rate = picture.rates[0];
        assert!((99.0..=100.0).contains(&rate), "{rate}");
        assert_eq!(picture.samples.len(), 6);
        assert!(
            picture
                .samples
                .iter()
                .all(|s| s.packets == 70 && s.lines == 1_000)
        );
        // Counters that begin anew are no negative flood.
        picture.read(&status(70, 0, 0));
        assert_eq!(picture.samples.back().unwrap().packets, 0);
        // A clock that is set back does not stop the samples.
        picture.read(&status(30, 0, 0));
        picture.read(&status(40, 0, 70));
        assert_eq!(picture.samples.back().unwrap().packets, 70);
        assert!(picture.samples.iter().all(|s| s.at <= at(40)));
        for n in 0..2_000 {
            picture.read(&status(100 + n * 10, 0, 0));
        }
        assert_eq!(picture.samples.len(), SAMPLES_KEPT);
    }

    #[test]
    fn alerts_keep_few_short_lines() {
        let News { happening, .. } = samples::alert("198.51.100.1", &"é".repeat(9_000));
        let Happening::Alert(mut alert) = happening else {
            panic!("an alert was asked for");
        };
        let line = alert.evidence[0].clone();
        alert.evidence = vec![line; 40];
        let row = alert_row(&alert, 1);
        assert_eq!((row.lines.len(), row.lines_kept), (LINES_SHOWN, 40));
        assert_eq!(row.lines[0].raw.chars().count(), LINE_CHARS_SHOWN + 1);
    }
}
