//! The rules' own samples: each technology's log against the alerts it must give, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    ops::{AddAssign, ControlFlow},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::{
    engine::{Clock, Engine, EngineOptions, EntryKind},
    event::{Event, FieldMap},
    parse::Trace,
    symbols::Sym,
};
use model::{Alert, SourceId, SourceInfo, Timestamp};
use serde::Deserialize;

use crate::{content, exit::Exit};

/// `test/expect.toml`; `rules/README.md` explains it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    r#type: String,
    #[serde(default)]
    never: Vec<String>,
    /// Why no line of this product holds a text that a client chose.
    no_client_text: Option<String>,
    #[serde(default)]
    alert: Vec<ExpectedAlert>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedAlert {
    rule: String,
    source: String,
    count: u32,
    #[serde(default = "yes")]
    remediation: bool,
}

const fn yes() -> bool {
    true
}

/// Rule, source, and whether a measure is asked for.
type Key = (String, String, bool);

/// Lines in a sample that name somebody who did not write them.
const FORGED_MIN: u64 = 3;

/// How the lines of a sample were judged.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    lines: u64,
    /// Their author had to be told of, and was.
    hostile: u64,
    /// A client put the address of somebody else into them.
    forged: u64,
}

impl AddAssign for Judged {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.hostile += other.hostile;
        self.forged += other.forged;
    }
}

/// Remembers whom the parsers take for a line's author.
struct Author {
    source_ip: Option<Sym>,
    name: String,
}

impl Trace for Author {
    fn node(&mut self, _stage: &str, _node: &str, event: &Event, _ok: bool) {
        if let Some(sym) = self.source_ip {
            event.field(FieldMap::Meta, sym).clone_into(&mut self.name);
        }
    }
}

pub(crate) fn run(folder: Option<&Path>, out: &mut dyn Write) -> Result<Exit> {
    let folder = folder.unwrap_or_else(|| Path::new("rules"));
    let samples = samples(folder)?;
    if samples.is_empty() {
        bail!(
            "{}: no folder in it has a test/expect.toml",
            folder.display()
        );
    }
    let (mut passed, mut failed) = (0, 0);
    let mut total = Judged::default();
    let mut set_off = BTreeSet::new();
    for sample in &samples {
        let name = sample
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let (judged, alerts, wrong) = check(folder, sample)?;
        total += judged;
        set_off.extend(alerts.into_iter().map(|a| a.rule));
        for complaint in &wrong {
            writeln!(out, "FAIL {name}: {complaint}")?;
        }
        if wrong.is_empty() {
            passed += 1;
            writeln!(out, "ok   {name}: {}", counts(judged))?;
        } else {
            failed += 1;
        }
    }
    let content = content::load_folder(Some(folder))?;
    for diagnostic in &content.diagnostics {
        failed += 1;
        writeln!(out, "FAIL {diagnostic}")?;
    }
    for rule in content
        .rules
        .entries()
        .iter()
        .filter(|r| r.kind == EntryKind::Scenario)
    {
        if !set_off.contains(&rule.name) {
            failed += 1;
            writeln!(out, "FAIL {}: no sample log sets it off", rule.name)?;
        }
    }
    writeln!(out, "{passed} passed, {failed} failed: {}", counts(total))?;
    Ok(if failed == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn counts(judged: Judged) -> String {
    format!(
        "{} lines, {} hostile, {} harmless; {} with a lie about the author",
        judged.lines,
        judged.hostile,
        judged.lines - judged.hostile,
        judged.forged
    )
}

fn samples(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder)
        .with_context(|| format!("cannot read the rules folder {}", folder.display()))?;
    let mut found: Vec<PathBuf> = listing
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("test/expect.toml").exists())
        .collect();
    found.sort();
    Ok(found)
}

/// All rules of the folder run over one technology's sample; what was wrong.
fn check(folder: &Path, sample: &Path) -> Result<(Judged, Vec<Alert>, Vec<String>)> {
    let path = sample.join("test/expect.toml");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let expect: Expect = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let log = sample.join("test/sample.log");
    let source = SourceInfo {
        name: log.display().to_string(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), expect.r#type.clone())].into(),
    };
    let mut engine = Engine::new(
        content::load_folder(Some(folder))?.rules,
        EngineOptions::default(),
    );
    let mut alerts = Vec::new();
    let mut authors: BTreeMap<String, u64> = BTreeMap::new();
    let mut judged = Judged::default();
    let mut author = Author {
        source_ip: engine.symbols().lookup("source_ip"),
        name: String::new(),
    };
    let summary = sense::read_file(&log, SourceId(0), &mut |batch, _| {
        for record in batch.iter() {
            author.name.clear();
            engine.observe_traced(&record, &source, Clock::Recording, &mut alerts, &mut author);
            *authors.entry(author.name.clone()).or_default() += 1;
            judged.forged += u64::from(lies(record.text, &author.name, &expect.never));
        }
        ControlFlow::Continue(())
    })
    .with_context(|| format!("cannot read {}", log.display()))?;
    engine.tick(Timestamp::MAX, &mut alerts);
    judged.lines = summary.lines;
    let told: BTreeSet<&str> = alerts
        .iter()
        .filter(|alert| !alert.is_good_news())
        .map(|alert| alert.value.as_str())
        .collect();
    let hostile = authors
        .iter()
        .filter(|(name, _)| told.contains(name.as_str()));
    judged.hostile = hostile.map(|(_, count)| count).sum();
    let mut wrong = compare(&expect, &alerts);
    if judged.forged < FORGED_MIN && expect.no_client_text.is_none() {
        wrong.push(format!(
            "{} lines name an address of `never` that is not their author's; write at least \
             {FORGED_MIN}, or say in expect.toml why clients cannot: no_client_text = \"…\"",
            judged.forged
        ));
    }
    for (rule, count) in &engine.stats().expression_errors {
        wrong.push(format!("{rule}: an expression failed {count} times"));
    }
    Ok((judged, alerts, wrong))
}

/// Whether the line names one that must never be told of, and is somebody else's.
fn lies(line: &[u8], author: &str, never: &[String]) -> bool {
    let line = String::from_utf8_lossy(line);
    never
        .iter()
        .any(|victim| victim != author && names(&line, victim))
}

/// Whether `address` stands in `line` whole, not as a part of another one.
fn names(line: &str, address: &str) -> bool {
    let colons = address.contains(':');
    let part = |c: char| c.is_ascii_digit() || colons && (c.is_ascii_hexdigit() || c == ':');
    line.match_indices(address).any(|(start, _)| {
        let before = line.get(..start).unwrap_or_default();
        let after = line.get(start + address.len()..).unwrap_or_default();
        // A blank in a DNS name is written `\032` (RFC 1035 section 5.1).
        let begins = before.ends_with("\\032") || !before.ends_with(part);
        begins && !after.starts_with(part)
    })
}

fn compare(expect: &Expect, alerts: &[Alert]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<Key, (u32, u32)> = BTreeMap::new();
    for alert in &expect.alert {
        let key = (alert.rule.clone(), alert.source.clone(), alert.remediation);
        counts.entry(key).or_default().0 += alert.count;
    }
    for alert in alerts {
        let key = (alert.rule.clone(), alert.value.clone(), alert.remediation);
        counts.entry(key).or_default().1 += 1;
        if expect.never.contains(&alert.value) && !alert.is_good_news() {
            wrong.push(format!(
                "{} must never alert: {}",
                alert.value, alert.message
            ));
        }
        if alert.evidence.is_empty() && !alert.is_good_news() {
            wrong.push(format!("{} on {} has no evidence", alert.rule, alert.value));
        }
    }
    for ((rule, source, remediation), (expected, found)) in counts {
        if expected != found {
            let kind = if remediation { "ban" } else { "alert only" };
            wrong.push(format!(
                "{rule} on {source} ({kind}): expected {expected}, found {found}"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_when_it_stands_there_whole() {
        assert!(names("user x from 192.0.2.5 port", "192.0.2.5"));
        assert!(names("192.0.2.5", "192.0.2.5"));
        assert!(names("from\\032192.0.2.5.", "192.0.2.5"));
        assert!(!names("from 192.0.2.50", "192.0.2.5"));
        assert!(!names("from 1192.0.2.5", "192.0.2.5"));
        assert!(names("[2001:db8::5]:22", "2001:db8::5"));
        assert!(!names("2001:db8::55", "2001:db8::5"));
    }

    #[test]
    fn who_wrote_a_line_lies_by_another_name_only() {
        let never = ["192.0.2.5".to_owned()];
        assert!(lies(b"x 192.0.2.5", "203.0.113.9", &never));
        assert!(lies(b"x 192.0.2.5", "", &never));
        assert!(!lies(b"x 192.0.2.5", "192.0.2.5", &never));
        assert!(!lies(b"x", "203.0.113.9", &never));
    }
}
