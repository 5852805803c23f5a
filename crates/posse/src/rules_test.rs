//! `posse rules test`: each technology's sample log against the alerts it must give, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::engine::{Clock, Engine, EngineOptions, EntryKind};
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
    let mut set_off = BTreeSet::new();
    for sample in &samples {
        let name = sample
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let (lines, alerts, wrong) = check(folder, sample)?;
        set_off.extend(alerts.into_iter().map(|a| a.rule));
        for complaint in &wrong {
            writeln!(out, "FAIL {name}: {complaint}")?;
        }
        if wrong.is_empty() {
            passed += 1;
            writeln!(out, "ok   {name}: {lines} lines")?;
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
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
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
fn check(folder: &Path, sample: &Path) -> Result<(u64, Vec<Alert>, Vec<String>)> {
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
    let summary = sense::read_file(&log, SourceId(0), &mut |batch, _| {
        for record in batch.iter() {
            engine.observe(&record, &source, Clock::Recording, &mut alerts);
        }
        ControlFlow::Continue(())
    })
    .with_context(|| format!("cannot read {}", log.display()))?;
    engine.tick(Timestamp::MAX, &mut alerts);
    let mut wrong = compare(&expect, &alerts);
    for (rule, count) in &engine.stats().expression_errors {
        wrong.push(format!("{rule}: an expression failed {count} times"));
    }
    Ok((summary.lines, alerts, wrong))
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
