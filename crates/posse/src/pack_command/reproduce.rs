//! `posse verify --reproduce`: the packed rules over the packed lines, and whether the packed
//! alerts come out again.
//!
//! The lines of an alert are those of the exhibit that was made of it, else those that the alert
//! keeps itself. Each goes in as it was read then: from the same place, at the same time.

use std::{collections::BTreeSet, fmt, time::Duration};

use anyhow::Result;
use courtpack::{OpenPack, Verified};
use detect::{
    engine::{Clock, Engine, EngineOptions, Rules},
    rules::RuleFile,
};
use model::{
    Acquisition, Alert, AlertId, Batch, LineOrigin, RecordMeta, SourceId, SourceInfo, Timestamp,
    limits,
};

use serde::Deserialize;

use super::rules;
use crate::content;

/// Memory for the rules of a stranger's pack.
const ENGINE_BYTES: usize = 512 << 20;
/// Kinds of log that are tried besides those that the rules name.
const USUAL_KINDS: [&str; 3] = ["syslog", "nginx", "apache2"];
const KINDS_MAX: usize = 40;

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) alert: AlertId,
    pub(super) rule: String,
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    /// With as many lines.
    Same {
        lines: usize,
    },
    /// The same alert by its id, but these parts differ.
    Differs {
        parts: Vec<&'static str>,
    },
    /// The same as far as fewer lines than counted can tell.
    FromFewer {
        packed: usize,
        counted: u64,
    },
    NoRule,
    /// Fewer lines are packed than counted.
    TooFewLines {
        packed: usize,
        counted: u64,
    },
    NotAgain {
        lines: usize,
    },
}

impl How {
    pub(super) const fn is_same(&self) -> bool {
        matches!(self, Self::Same { .. })
    }

    /// What the pack has does not speak against the alert.
    pub(super) const fn agrees(&self) -> bool {
        matches!(self, Self::Same { .. } | Self::FromFewer { .. })
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same { lines } => write!(f, "came out again, the same, from {lines} lines"),
            Self::Differs { parts } => {
                write!(f, "came out again, but differs in {}", parts.join(", "))
            }
            Self::FromFewer { packed, counted } => write!(
                f,
                "came out again from the last {packed} of its {counted} lines: the same rule, \
                 source, lines and end; the count and the beginning need the lines that are not \
                 packed"
            ),
            Self::NoRule => f.write_str("cannot come out: its rule is not packed"),
            Self::TooFewLines { packed, counted } => write!(
                f,
                "cannot come out: {counted} events counted, but {packed} lines are packed; \
                 `posse exhibit add --alert` takes all of them while the log still has them"
            ),
            Self::NotAgain { lines } => {
                write!(f, "did NOT come out again from the {lines} packed lines")
            }
        }
    }
}

/// A line as it was read.
struct Line {
    source: String,
    origin: LineOrigin,
    received: Timestamp,
    /// When it was counted, as far as the alert still knows; a moment after it was read.
    counted: Option<Timestamp>,
    raw: Vec<u8>,
}

/// Between reading a line and counting it, where only the first is known.
const MOMENT: Duration = Duration::from_secs(1);

pub(super) fn run(pack: &mut OpenPack, seen: &Verified) -> Result<Vec<Outcome>> {
    let mut files = rule_files(pack)?;
    add_taken_rules(pack, seen, &mut files)?;
    let kinds = kinds(&files);
    let hashes: BTreeSet<String> = files
        .iter()
        .map(|f| model::ContentHash::of(f.text.as_bytes()).to_string())
        .collect();
    let data = content::data_of(&files);
    let (rules, _) = Rules::load(files, &data);
    let mut engine = Engine::new(rules, EngineOptions::within(ENGINE_BYTES));
    let blank = engine.snapshot();
    let mut outcomes = Vec::new();
    for alert in &seen.alerts {
        let mut lines = lines(pack, seen, alert)?;
        // Of both, an alert keeps the last.
        for (line, event) in lines.iter_mut().rev().zip(alert.events.iter().rev()) {
            line.counted = Some(event.time);
        }
        let how = if hashes.contains(&alert.rule_hash) {
            let mut again = |kind: &str, clock: fn(&Line) -> Clock| {
                // Nothing of one alert's lines counts for another's.
                engine.restore(&blank).ok();
                feed(&mut engine, &lines, kind, clock)
            };
            compare(alert, &lines, &kinds, &mut again)
        } else {
            How::NoRule
        };
        outcomes.push(Outcome {
            alert: alert.id,
            rule: alert.rule.clone(),
            how,
        });
    }
    Ok(outcomes)
}

fn rule_files(pack: &mut OpenPack) -> Result<Vec<RuleFile>> {
    let paths: Vec<String> = pack
        .paths()
        .filter(|path| path.starts_with("data/rules/"))
        .map(str::to_owned)
        .collect();
    let mut files = Vec::new();
    for path in paths {
        let bytes = pack.small(&path)?;
        if bytes.len() <= limits::RULE_FILE_BYTES_MAX {
            files.extend(rules::unpacked(&path, &bytes));
        }
    }
    Ok(files)
}

/// An exhibit of rules, taken when the alert was.
#[derive(Deserialize)]
struct TakenRules {
    files: Vec<TakenFile>,
}

#[derive(Deserialize)]
struct TakenFile {
    path: String,
    text: String,
}

/// Rules that have changed since: what was taken as evidence with the alert has them as they were.
fn add_taken_rules(pack: &mut OpenPack, seen: &Verified, files: &mut Vec<RuleFile>) -> Result<()> {
    let hash = |text: &str| model::ContentHash::of(text.as_bytes()).to_string();
    let have: BTreeSet<String> = files.iter().map(|f| hash(&f.text)).collect();
    let mut lacking: BTreeSet<&str> = seen
        .alerts
        .iter()
        .map(|a| a.rule_hash.as_str())
        .filter(|wanted| !have.contains(*wanted))
        .collect();
    for acquisition in seen.acquisitions.iter().filter(|a| a.method == "rules") {
        let path = format!("data/exhibits/{}/raw", acquisition.exhibit);
        if lacking.is_empty() || !pack.has(&path) {
            continue;
        }
        // Another program's exhibit may be called so too.
        let Ok(taken) = serde_json::from_slice::<TakenRules>(&pack.small(&path)?) else {
            continue;
        };
        for file in taken.files {
            if lacking.remove(hash(&file.text).as_str()) {
                files.push(RuleFile::new(file.path, file.text));
            }
        }
    }
    Ok(())
}

/// What kinds of log the rules speak of: a line's kind is not kept with it.
fn kinds(files: &[RuleFile]) -> Vec<String> {
    let mut kinds: Vec<String> = USUAL_KINDS.map(str::to_owned).to_vec();
    for file in files {
        for (_, after) in file
            .text
            .match_indices("abels.type")
            .map(|(at, _)| file.text.split_at(at))
        {
            let quoted = after.split_once(['\'', '"']);
            let word = quoted.and_then(|(_, rest)| rest.split_once(['\'', '"']));
            if let Some((word, _)) = word
                && kinds.len() < KINDS_MAX
                && word.len() < 40
                && !kinds.iter().any(|known| known == word)
            {
                kinds.push(word.to_owned());
            }
        }
    }
    kinds
}

/// Of the exhibit that was made of the alert, else what the alert keeps.
fn lines(pack: &mut OpenPack, seen: &Verified, alert: &Alert) -> Result<Vec<Line>> {
    // What was made from another exhibit does not have all of its bytes.
    let of_alert =
        |a: &&Acquisition| a.alert == Some(alert.id) && a.parent.is_none() && !a.sources.is_empty();
    for acquisition in seen.acquisitions.iter().filter(of_alert) {
        let path = format!("data/exhibits/{}/raw", acquisition.exhibit);
        if !pack.has(&path) || acquisition.bytes > courtpack::SMALL_FILE_BYTES_MAX {
            continue;
        }
        let raw = pack.small(&path)?;
        let mut rest = raw.as_slice();
        let mut lines = Vec::new();
        for span in &acquisition.sources {
            let bytes = usize::try_from(span.bytes).unwrap_or(usize::MAX);
            let (line, after) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
            rest = after;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            lines.push(Line {
                source: span.source.clone(),
                origin: span.origin.clone(),
                received: span.received,
                counted: None,
                raw: line.strip_suffix(b"\r").unwrap_or(line).to_vec(),
            });
        }
        return Ok(lines);
    }
    let kept = alert.evidence.iter().filter_map(|line| {
        Some(Line {
            source: line.source.to_string(),
            origin: line.origin.clone(),
            received: line.received,
            counted: None,
            raw: line.raw.to_bytes()?,
        })
    });
    Ok(kept.collect())
}

/// The alerts of the lines as lines of a kind, counted by a clock.
type Again<'a> = &'a mut dyn FnMut(&str, fn(&Line) -> Clock) -> Vec<Alert>;

/// The clocks by which the alert may have been raised: live, as read later, of a recording.
const CLOCKS: [fn(&Line) -> Clock; 3] = [
    |line| Clock::Live {
        now: line.counted.unwrap_or(line.received),
    },
    |line| Clock::CatchUp { now: line.received },
    |_| Clock::Recording,
];

fn compare(alert: &Alert, lines: &[Line], kinds: &[String], again: Again<'_>) -> How {
    let mut nearest: Option<Vec<&'static str>> = None;
    for kind in kinds {
        for clock in CLOCKS {
            for found in again(kind, clock).iter().filter(|a| a.id == alert.id) {
                let parts = differences(alert, found, lines);
                if parts.is_empty() {
                    return How::Same { lines: lines.len() };
                }
                if nearest.as_ref().is_none_or(|n| parts.len() < n.len()) {
                    nearest = Some(parts);
                }
            }
        }
    }
    match nearest {
        Some(parts)
            if (lines.len() as u64) < alert.events_count
                && parts
                    .iter()
                    .all(|part| ["the number of events", "the beginning"].contains(part)) =>
        {
            How::FromFewer {
                packed: lines.len(),
                counted: alert.events_count,
            }
        }
        Some(parts) => How::Differs { parts },
        None if (lines.len() as u64) < alert.events_count => How::TooFewLines {
            packed: lines.len(),
            counted: alert.events_count,
        },
        None => How::NotAgain { lines: lines.len() },
    }
}

fn differences(packed: &Alert, found: &Alert, lines: &[Line]) -> Vec<&'static str> {
    let exact = lines.first().is_some_and(|line| line.counted.is_some());
    let (early, late) = (packed.first.min(found.first), packed.first.max(found.first));
    let apart = late.since(early);
    let other_beginning = if exact {
        !apart.is_zero()
    } else {
        apart > MOMENT
    };
    [
        ("the rule", packed.rule != found.rule),
        ("the rule's hash", packed.rule_hash != found.rule_hash),
        (
            "the source",
            (&packed.scope, &packed.value, packed.address, packed.range)
                != (&found.scope, &found.value, found.address, found.range),
        ),
        (
            "the number of events",
            packed.events_count != found.events_count,
        ),
        ("the lines", packed.evidence != found.evidence),
        ("the beginning", other_beginning),
        ("the end", packed.last != found.last),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(what, _)| what)
    .collect()
}

fn feed(engine: &mut Engine, lines: &[Line], kind: &str, clock: fn(&Line) -> Clock) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut batch = Batch::default();
    for line in lines {
        let source = SourceInfo {
            name: line.source.clone(),
            module: module(&line.origin).to_owned(),
            labels: [("type".to_owned(), kind.to_owned())].into(),
        };
        batch.clear();
        let text = batch.store(&line.raw);
        batch.records.push(RecordMeta {
            source: SourceId(0),
            origin: line.origin.clone(),
            received: line.received,
            text,
            raw: 0..0,
            truncated: false,
            catch_up: false,
        });
        for record in batch.iter() {
            engine.observe(&record, &source, clock(line), &mut alerts);
        }
    }
    alerts
}

const fn module(origin: &LineOrigin) -> &'static str {
    match origin {
        LineOrigin::File { .. } => "file",
        LineOrigin::Journal { .. } => "journalctl",
        LineOrigin::Network { .. } => "syslog",
        LineOrigin::Stream { .. } => "stdin",
    }
}
