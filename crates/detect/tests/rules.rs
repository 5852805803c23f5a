//! Holds the shipped rules against their sample logs: every alert they must give, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use detect::{
    engine::{Clock, DataFile, Engine, EngineOptions, Outcome, Rules},
    rules::RuleFile,
};
use model::{Alert, Batch, FileId, LineOrigin, RecordMeta, SourceId, SourceInfo, Timestamp};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    r#type: String,
    #[serde(default)]
    never: Vec<String>,
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

/// Rule, source, and whether a ban is asked for.
type Key = (String, String, bool);

#[test]
fn the_shipped_rules_load_without_a_word() {
    let (rules, diagnostics) = load();
    let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
    assert!(!rules.entries().is_empty(), "no rules were found");
    let names: BTreeSet<&str> = rules
        .entries()
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names.len(), rules.entries().len(), "two rules share a name");
}

#[test]
fn every_sample_gives_its_alerts_and_no_other() {
    let mut wrong = String::new();
    let mut rules_seen = BTreeSet::new();
    for folder in folders_with_samples() {
        let name = folder
            .file_name()
            .expect("a readable tree")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(folder.join("test/expect.toml")).expect("a readable tree");
        let expect: Expect = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (alerts, outcomes) = run(&folder.join("test/sample.log"), &expect.r#type);
        rules_seen.extend(alerts.iter().map(|alert| alert.rule.clone()));
        for line in compare(&expect, &alerts) {
            wrong += &format!("{name}: {line}\n");
        }
        println!("{name}: {} alerts, {outcomes:?}", alerts.len());
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    let (rules, _) = load();
    let untested: Vec<&str> = rules
        .entries()
        .iter()
        .filter(|entry| entry.kind == detect::engine::EntryKind::Scenario)
        .map(|entry| entry.name.as_str())
        .filter(|name| !rules_seen.contains(*name))
        .collect();
    assert!(
        untested.is_empty(),
        "no sample sets these off: {untested:?}"
    );
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
        if expect.never.contains(&alert.value) {
            wrong.push(format!(
                "{} must never alert: {}",
                alert.value, alert.message
            ));
        }
        if alert.evidence.is_empty() {
            wrong.push(format!("{} on {} has no evidence", alert.rule, alert.value));
        }
    }
    for ((rule, source, remediation), (expected, found)) in counts {
        if expected != found {
            wrong.push(format!(
                "{rule} on {source} (ban: {remediation}): expected {expected}, found {found}"
            ));
        }
    }
    wrong
}

fn run(log: &Path, kind: &str) -> (Vec<Alert>, BTreeMap<&'static str, u32>) {
    let (rules, _) = load();
    let mut engine = Engine::new(rules, EngineOptions::default());
    let source = SourceInfo {
        name: log.display().to_string(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), kind.to_owned())].into(),
    };
    let mut batch = Batch::default();
    let mut offset = 0;
    for line in fs::read_to_string(log).expect("a sample").lines() {
        let text = batch.store(line.as_bytes());
        batch.records.push(RecordMeta {
            source: SourceId(0),
            origin: LineOrigin::File {
                file: FileId {
                    device: 0,
                    inode: 0,
                },
                offset,
            },
            received: Timestamp::from_seconds(1_795_000_000),
            text,
            raw: 0..0,
            truncated: false,
            catch_up: true,
        });
        offset += line.len() as u64 + 1;
    }
    let mut alerts = Vec::new();
    let mut outcomes = BTreeMap::new();
    for record in batch.iter() {
        let word = match engine.observe(&record, &source, Clock::Recording, &mut alerts) {
            Outcome::Skipped => "skipped",
            Outcome::Unparsed => "unparsed",
            Outcome::Whitelisted => "whitelisted",
            Outcome::Parsed { .. } => "parsed",
        };
        *outcomes.entry(word).or_default() += 1;
    }
    engine.tick(Timestamp::MAX, &mut alerts);
    let stats = engine.stats();
    assert!(
        stats.expression_errors.is_empty(),
        "{:?}",
        stats.expression_errors
    );
    (alerts, outcomes)
}

fn load() -> (Rules, Vec<model::Diagnostic>) {
    let root = root();
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let (mut files, mut data) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path
            .strip_prefix(&root)
            .expect("a file of the tree")
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path).expect("a readable tree");
        match name.split_once("/data/") {
            Some((_, file)) => data.push(DataFile {
                name: file.to_owned(),
                bytes,
            }),
            None => files.push(RuleFile::new(
                name,
                String::from_utf8(bytes).expect("a readable tree"),
            )),
        }
    }
    Rules::load(files, &data)
}

fn folders_with_samples() -> Vec<PathBuf> {
    let entries = fs::read_dir(root())
        .expect("a file of the tree")
        .map(|entry| entry.expect("a readable tree").path());
    let mut folders: Vec<PathBuf> = entries
        .filter(|path| path.join("test/expect.toml").exists())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "no folder of rules has a sample");
    folders
}

/// All files but notes and samples.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable tree").path();
        if path.is_dir() {
            if !path.ends_with("test") {
                walk(&path, paths);
            }
        } else if path.extension().is_none_or(|ending| ending != "md") {
            paths.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

const fn yes() -> bool {
    true
}
