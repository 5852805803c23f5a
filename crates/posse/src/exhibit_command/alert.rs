//! An alert as evidence: its raw lines with where each stood, and the rules that it came from, so
//! that the same alert comes out again.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use detect::rules::{RuleFile, RuleKind};
use evidence::{Acquired, Facts, SOURCES_MAX};
use model::{Alert, AlertId, ContentHash, EvidenceLine, FileId, LineOrigin, SourceSpan, Timestamp};
use serde_json::json;

use super::{
    Desk, LogFiles, Taking,
    take::{facts, tool},
};
use crate::{clock, config::Config, content, record::reading};

/// Bytes of a log that are searched for lines that counted and that the alert did not keep.
const SEARCHED_MAX: usize = 64 << 20;
/// Bytes of rules in one exhibit.
const RULES_BYTES_MAX: usize = 32 << 20;
const RULES_TYPE: &str = "application/vnd.posse.rules+json";
const RULES_FORMAT: &str = "posse-rules/1";

/// Takes the alerts' lines and rules; rules that the case has already are not taken again.
pub(crate) fn acquire_alerts(
    desk: &Desk,
    taking: &Taking,
    ids: &[AlertId],
    config: &Config,
    logs: &LogFiles,
) -> Result<Vec<Acquired>> {
    let store = reading(&desk.dir)?;
    let files = content::files_for(&config.rules)?;
    let rules_hash = detect::engine::overall_hash(&files, &content::data_of(&files));
    let mut known = rules_of_case(&store, taking)?;
    let mut all = Vec::new();
    for id in ids {
        let recorded = store.alert(*id)?;
        let alert = recorded
            .with_context(|| format!("the ledger has no alert {id}"))?
            .alert;
        let lines = Lines::gather(&alert, logs);
        let kind = lines.source.as_deref().map(|source| logs.kind(source));
        let kind = kind.unwrap_or_else(|| "syslog".to_owned());
        let arguments = format!("exhibit add --alert {id}; lines of type {kind}");
        let incoming = desk.vault.take_in(&mut lines.bytes.as_slice())?;
        let own = Facts {
            title: format!("Raw lines of alert {id}: {}", alert.message),
            file_name: format!("alert-{id}.log"),
            media_type: "text/plain".to_owned(),
            method: "alert".to_owned(),
            tool: tool(&arguments, rules_hash.clone()),
            sources: lines.sources,
            alert: Some(*id),
            note: lines.note,
            ..facts(desk, taking)
        };
        all.push(desk.vault.acquire(&desk.ledger, &incoming, own)?);
        all.extend(take_rules(
            desk,
            taking,
            &alert,
            &files,
            &rules_hash,
            &mut known,
        )?);
    }
    Ok(all)
}

/// Hashes of the rules that were taken for the case.
fn rules_of_case(store: &store::Store, taking: &Taking) -> Result<BTreeSet<ContentHash>> {
    let mut known = BTreeSet::new();
    let Some(case) = &taking.case else {
        return Ok(known);
    };
    for number in store.exhibits_of(case)? {
        if let Some(record) = evidence::exhibit(store, &number, Timestamp::MAX)?
            && record.acquired.what.media_type == RULES_TYPE
            && !record.purged
        {
            known.insert(record.acquired.what.sha256);
        }
    }
    Ok(known)
}

fn take_rules(
    desk: &Desk,
    taking: &Taking,
    alert: &Alert,
    files: &[RuleFile],
    rules_hash: &str,
    known: &mut BTreeSet<ContentHash>,
) -> Result<Option<Acquired>> {
    let (bytes, complete) = bundle(alert, files)?;
    if !known.insert(ContentHash::of(&bytes)) {
        return Ok(None);
    }
    let note = if complete {
        "the rule's file with all that parses lines for it".to_owned()
    } else {
        "the rule's file was changed or removed since: these are the rules of now".to_owned()
    };
    let own = Facts {
        title: format!("Rules of {}", alert.rule),
        file_name: "rules.json".to_owned(),
        media_type: RULES_TYPE.to_owned(),
        method: "rules".to_owned(),
        tool: tool("exhibit add --alert", rules_hash.to_owned()),
        class: "rules".to_owned(),
        alert: Some(alert.id),
        note,
        ..facts(desk, taking)
    };
    let incoming = desk.vault.take_in(&mut bytes.as_slice())?;
    Ok(Some(desk.vault.acquire(&desk.ledger, &incoming, own)?))
}

/// The rule's own file and everything that is no rule: parsers, patterns, data. Whether the rule's
/// file is among them as it was.
fn bundle(alert: &Alert, files: &[RuleFile]) -> Result<(Vec<u8>, bool)> {
    let hash = |file: &RuleFile| ContentHash::of(file.text.as_bytes()).to_string();
    let own: Vec<&RuleFile> = files
        .iter()
        .filter(|file| hash(file) == alert.rule_hash)
        .collect();
    // A rule made from several files, as a jail of fail2ban, is in none of them alone.
    let is_needed = |file: &RuleFile| match file.kind() {
        RuleKind::Scenario => own.is_empty() || hash(file) == alert.rule_hash,
        RuleKind::Sigma | RuleKind::Fail2ban => {
            own.is_empty() || own.iter().any(|o| o.kind() == file.kind())
        }
        _ => true,
    };
    let mut needed: Vec<&RuleFile> = files.iter().filter(|file| is_needed(file)).collect();
    needed.sort_by(|a, b| a.path.cmp(&b.path));
    let mut room = RULES_BYTES_MAX;
    let mut listed = Vec::new();
    for file in needed {
        let Some(left) = room.checked_sub(file.text.len()) else {
            continue;
        };
        room = left;
        let path = file.path.trim_start_matches('/');
        listed.push(json!({ "path": path, "sha256": hash(file), "text": file.text }));
    }
    let bundle = json!({
        "format": RULES_FORMAT,
        "rule": alert.rule,
        "rule_hash": alert.rule_hash,
        "files": listed,
    });
    Ok((serde_json::to_vec_pretty(&bundle)?, !own.is_empty()))
}

/// The raw lines of an alert, each with its end.
struct Lines {
    bytes: Vec<u8>,
    sources: Vec<SourceSpan>,
    note: String,
    /// What the first line came from.
    source: Option<String>,
}

impl Lines {
    fn gather(alert: &Alert, logs: &LogFiles) -> Self {
        let kept = alert.evidence.len() as u64;
        let missing = alert.events_count.saturating_sub(kept);
        let earlier = earlier(alert, missing, logs);
        let found = earlier.len() as u64;
        let mut lines = Self {
            bytes: Vec::new(),
            sources: Vec::new(),
            note: String::new(),
            source: alert.evidence.first().map(|line| line.source.to_string()),
        };
        for (origin, source, text) in earlier {
            lines.push(&source, origin, clock::now(), &text);
        }
        let (mut cut, mut mended) = (0u64, 0u64);
        for line in &alert.evidence {
            let text = line.raw.to_bytes().unwrap_or_default();
            let whole = if text.len() as u64 == line.bytes {
                None
            } else {
                cut += 1;
                whole_line(line, logs)
            };
            mended += u64::from(whole.is_some());
            let text = whole.unwrap_or(text);
            lines.push(&line.source, line.origin.clone(), line.received, &text);
        }
        lines.note = note(alert.events_count, kept, found, (cut, mended));
        lines
    }

    fn push(&mut self, source: &str, origin: LineOrigin, received: Timestamp, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.bytes.push(b'\n');
        if self.sources.len() < SOURCES_MAX {
            self.sources.push(SourceSpan {
                source: source.to_owned(),
                origin,
                received,
                bytes: text.len() as u64 + 1,
            });
        }
    }
}

/// How complete the lines are, in words.
fn note(counted: u64, kept: u64, found: u64, (cut, mended): (u64, u64)) -> String {
    let missing = counted.saturating_sub(kept);
    let mut note = if missing == 0 {
        format!("all {counted} lines that counted")
    } else {
        format!(
            "the last {kept} of {counted} events that counted, as the alert kept them; before \
             them {found} lines that name the source, read from the log file when this was taken"
        )
    };
    if cut > 0 {
        note.push_str(&format!(
            "; {cut} lines were too long for the alert, {mended} of them read whole from the log \
             file and held against their hash"
        ));
    }
    note
}

/// A line that the alert cut off, if its file still has it.
fn whole_line(line: &EvidenceLine, logs: &LogFiles) -> Option<Vec<u8>> {
    let LineOrigin::File { file, offset } = line.origin else {
        return None;
    };
    let text = logs.line(file, offset)?;
    (ContentHash::of(&text) == line.sha256).then_some(text)
}

type Found = (LineOrigin, String, Vec<u8>);

/// Up to `missing` lines before the first one that the alert kept, in their order: those that name
/// its source. Which of them counted only the rule can tell.
fn earlier(alert: &Alert, missing: u64, logs: &LogFiles) -> Vec<Found> {
    let Some(first) = alert.evidence.first().filter(|_| missing > 0) else {
        return Vec::new();
    };
    let LineOrigin::File { file, offset } = first.origin else {
        return Vec::new();
    };
    let room = usize::try_from(missing)
        .unwrap_or(usize::MAX)
        .min(SOURCES_MAX - alert.evidence.len().min(SOURCES_MAX));
    let found = search(file, offset, &alert.value, room, logs);
    let source = first.source.to_string();
    found
        .into_iter()
        .map(|(offset, text)| (LineOrigin::File { file, offset }, source.clone(), text))
        .collect()
}

fn search(
    file: FileId,
    end: u64,
    value: &str,
    room: usize,
    logs: &LogFiles,
) -> Vec<(u64, Vec<u8>)> {
    let Some((mut at, bytes)) = logs.before(file, end, SEARCHED_MAX) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if !value.is_empty() && names(text, value.as_bytes()) {
            found.push((at, text.to_owned()));
        }
        at += line.len() as u64;
    }
    let surplus = found.len().saturating_sub(room);
    found.split_off(surplus)
}

/// Whether the value stands in the line by itself: `192.0.2.1` is not in `192.0.2.10`.
fn names(line: &[u8], value: &[u8]) -> bool {
    let part_of_word = |byte: Option<&u8>| {
        byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':'))
    };
    line.windows(value.len()).enumerate().any(|(at, window)| {
        window == value
            && !part_of_word(at.checked_sub(1).and_then(|before| line.get(before)))
            && !line
                .get(at + value.len())
                .is_some_and(u8::is_ascii_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_itself_only() {
        assert!(names(b"from 192.0.2.1 port 7", b"192.0.2.1"));
        assert!(names(b"192.0.2.1", b"192.0.2.1"));
        assert!(names(b"from 192.0.2.1.", b"192.0.2.1"));
        assert!(!names(b"from 192.0.2.10 port 7", b"192.0.2.1"));
        assert!(!names(b"from 3.192.0.2.1", b"192.0.2.1"));
    }

    #[test]
    fn the_note_says_how_complete_the_lines_are() {
        assert_eq!(note(6, 6, 0, (0, 0)), "all 6 lines that counted");
        assert!(note(320, 50, 270, (0, 0)).contains("last 50 of 320"));
        assert!(note(6, 6, 0, (2, 1)).contains("2 lines were too long"));
    }
}
