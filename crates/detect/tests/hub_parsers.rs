//! Runs a shared corpus of parsers against its own logs and assertions, parser halves only.
//!
//! The corpus lies in `$POSSE_SHARED` or `../shared` beside the workspace; without it the test
//! says so loudly and passes.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests: they report, and stop at the first surprise"
)]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use detect::{
    event::{Event, FieldMap, TimeMode},
    expr::{self, Env, Expr, Object, Services, Value, Vars},
    parse::{NoTrace, ParseOutcome, Parsers, Trace},
    prefilter::Prefilter,
    rules::RuleFile,
    symbols::Symbols,
    yaml,
};
use model::{Severity, Timestamp};
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

fn patterns(corpora: &Path) -> Vec<RuleFile> {
    let all = files(&corpora.join("grok-patterns"));
    let named = all
        .iter()
        .map(|path| (path, path.file_name().unwrap().to_string_lossy()));
    named
        .map(|(path, name)| RuleFile::new(format!("patterns/{name}"), read(path)))
        .collect()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

#[test]
fn every_parser_loads() {
    let Some(corpora) = corpora() else { return };
    let hub = corpora.join("crowdsec-hub");
    let mut rules = Vec::new();
    for path in files(&hub.join("parsers"))
        .iter()
        .chain(&files(&hub.join("postoverflows")))
    {
        if is_yaml(path) {
            rules.push(RuleFile::new(path.display().to_string(), read(path)));
        }
    }
    let count = rules.len();
    for (title, extra) in [
        ("own patterns only", Vec::new()),
        ("corpus patterns", patterns(&corpora)),
    ] {
        let mut all = rules.clone();
        all.extend(extra);
        let mut diagnostics = Vec::new();
        let start = SystemTime::now();
        let parsers = Parsers::build(&all, &mut Symbols::default(), &mut diagnostics);
        let took = start.elapsed().unwrap().as_millis();
        let errors: Vec<_> = diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .collect();
        println!(
            "{title}: {} parsers of {count} files in {took} ms, {} errors, {} warnings",
            parsers.entries().len(),
            errors.len(),
            diagnostics.len() - errors.len()
        );
        for diagnostic in &diagnostics {
            if !diagnostic.file.starts_with("patterns/") {
                println!("{diagnostic}");
            }
        }
        assert!(errors.is_empty(), "{title}");
    }
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    parsers: Vec<String>,
    log_file: String,
    log_type: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    ignore_parsers: bool,
}

/// One dumped event per root node it entered.
struct Entry {
    event: Event,
    success: bool,
}

#[derive(Default)]
struct Dump {
    stages: BTreeMap<String, Nodes>,
}

#[derive(Default)]
struct Nodes(BTreeMap<String, Entries>);

#[derive(Default)]
struct Entries(Vec<Entry>);

impl Trace for Dump {
    fn node(&mut self, stage: &str, node: &str, event: &Event, ok: bool) {
        let nodes = self.stages.entry(stage.to_owned()).or_default();
        let entries = nodes.0.entry(node.to_owned()).or_default();
        entries.0.push(Entry {
            event: event.clone(),
            success: ok,
        });
    }
}

impl Object for Dump {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        self.stages.get(name).map(|nodes| Value::object(nodes))
    }

    fn length(&self) -> Option<usize> {
        Some(self.stages.len())
    }
}

impl Object for Nodes {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).map(|entries| Value::object(entries))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Entries {
    fn item(&self, index: usize) -> Option<Value<'_>> {
        self.0.get(index).map(|entry| Value::object(entry))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Entry {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Evt" => Some(Value::event(&self.event)),
            "Success" => Some(Value::Bool(self.success)),
            _ => None,
        }
    }
}

struct Hub {
    root: PathBuf,
    patterns: Vec<RuleFile>,
    /// `author/name` to path.
    by_name: BTreeMap<String, PathBuf>,
}

impl Hub {
    fn open(corpora: &Path) -> Self {
        let root = corpora.join("crowdsec-hub");
        let mut by_name = BTreeMap::new();
        for path in files(&root.join("parsers"))
            .into_iter()
            .filter(|p| is_yaml(p))
        {
            let author = path
                .parent()
                .and_then(Path::file_name)
                .unwrap()
                .to_string_lossy();
            let name = path.file_stem().unwrap().to_string_lossy();
            by_name.insert(format!("{author}/{name}"), path.clone());
        }
        Self {
            root,
            patterns: patterns(corpora),
            by_name,
        }
    }

    fn find(&self, item: &str, test: &Path) -> Option<PathBuf> {
        let near = [self.root.join(item), test.join(item)];
        let near = near.into_iter().find(|path| path.is_file());
        near.or_else(|| self.by_name.get(item).cloned())
    }

    fn rules(&self, config: &Config, text: &str, test: &Path) -> Result<Vec<RuleFile>, String> {
        let mut rules = self.patterns.clone();
        for item in config.parsers.iter().filter(|item| !item.is_empty()) {
            let path = self
                .find(item, test)
                .ok_or_else(|| format!("no parser {item}"))?;
            let stage = path
                .iter()
                .rev()
                .find(|p| p.to_string_lossy().starts_with("s0"));
            let stage = stage.ok_or("no stage")?.to_string_lossy();
            let name = path.file_name().unwrap().to_string_lossy();
            rules.push(RuleFile::new(
                format!("parsers/{stage}/{name}"),
                read(&path),
            ));
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

fn run_test(hub: &Hub, test: &Path) -> Result<Option<Score>, String> {
    let text = read(&test.join("config.yaml"));
    let file = RuleFile::new("config.yaml", text.as_str());
    let config = yaml::documents::<Config>(&file)
        .remove(0)
        .map_err(|d| d.to_string())?
        .value;
    let asserts = fs::read_to_string(test.join("parser.assert")).unwrap_or_default();
    if config.ignore_parsers || asserts.trim().is_empty() {
        return Ok(None);
    }
    let rules = hub.rules(&config, &text, test)?;
    let mut symbols = Symbols::default();
    let mut diagnostics = Vec::new();
    let mut parsers = Parsers::build(&rules, &mut symbols, &mut diagnostics);
    if let Some(error) = diagnostics.iter().find(|d| d.severity == Severity::Error) {
        return Err(error.to_string());
    }
    let mut services = Services {
        now: now(),
        ..Services::default()
    };
    let mut dump = Dump::default();
    // The reference dump has this stage, always empty; assertions count stages.
    let nothing = Nodes([(String::new(), Entries::default())].into());
    dump.stages.insert("success".to_owned(), nothing);
    let log = test.join(&config.log_file);
    let mut event = Event::default();
    for line in read(&log)
        .split('\n')
        .map(|l| l.strip_suffix('\r').unwrap_or(l))
    {
        if line.is_empty() {
            continue;
        }
        start(&mut event, line, &log, &config, &mut symbols);
        parsers.run(&mut event, &mut services, &mut symbols, &mut dump);
    }
    Ok(Some(judge(&asserts, &dump, &mut symbols, &services)))
}

fn start(event: &mut Event, line: &str, log: &Path, config: &Config, symbols: &mut Symbols) {
    event.reset(line);
    event.mode = TimeMode::Recording;
    event.time = now();
    event.source_name = event.write(&log.display().to_string());
    event.module = event.write("file");
    let kind = symbols.intern("type");
    event.set_field(FieldMap::Labels, kind, &config.log_type);
    for (key, value) in config.labels.iter().flatten() {
        let key = symbols.intern(key);
        event.set_field(FieldMap::Labels, key, value);
    }
}

fn judge(asserts: &str, dump: &Dump, symbols: &mut Symbols, services: &Services) -> Score {
    let mut score = Score::default();
    let effects = RefCell::default();
    let event = Event::default();
    for line in asserts
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let mut source = line.to_owned();
        if line.contains("datasource_path")
            && !line.contains("basename(")
            && let Some((left, right)) = line.split_once(" == ")
        {
            source = format!("basename({left}) == {right}");
        }
        let verdict = match expr::compile(&source, Vars::Results, symbols) {
            Err(error) => Err(error.to_string()),
            Ok(compiled) => {
                let mut env = Env::new(&event, symbols, services, &effects);
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
const KNOWN: [(&str, &str); 1] = [("geoip-enrich", "needs a GeoIP database")];

#[test]
fn parser_assertions_hold() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let only = std::env::var("POSSE_HUB_TEST").ok();
    let (mut tests, mut good, mut asserts, mut held) = (0, 0, 0, 0);
    let mut surprises = Vec::new();
    for path in files(&hub.root.join("tests")) {
        let test = path.parent().unwrap();
        let name = test.file_name().unwrap().to_string_lossy();
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
        println!(
            "{name}: {} of {} fail",
            score.failed.len(),
            score.passed + score.failed.len()
        );
        for line in score
            .failed
            .iter()
            .take(if only.is_some() { 1_000 } else { 3 })
        {
            println!("    {line}");
        }
        if !KNOWN.iter().any(|(known, _)| *known == name) {
            surprises.push(name.into_owned());
        }
    }
    println!("parser halves: {good}/{tests} tests, {held}/{asserts} assertions");
    assert!(surprises.is_empty(), "{surprises:?}");
    assert!(tests > 0);
}

#[derive(Debug, Deserialize)]
struct ScenarioFilter {
    filter: Option<String>,
}

fn scenario_filters(hub: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for path in files(&hub.join("scenarios")).iter().filter(|p| is_yaml(p)) {
        let file = RuleFile::new(path.display().to_string(), read(path));
        for document in yaml::documents::<ScenarioFilter>(&file)
            .into_iter()
            .flatten()
        {
            all.push(document.value.filter.unwrap_or_default());
        }
    }
    all
}

/// Enough of each log: trying every scenario on every line takes its time.
const LOG_LINES_MAX: usize = 12;

#[derive(Default)]
struct Sieve {
    lines: usize,
    passed: usize,
    taken: usize,
}

impl Sieve {
    /// Reads `log` as lines of type `kind`; every line some scenario takes must have passed.
    fn sift(&mut self, rules: &[RuleFile], scenarios: &[String], config: &Config, log: &Path) {
        let mut symbols = Symbols::default();
        let mut parsers = Parsers::build(rules, &mut symbols, &mut Vec::new());
        let filters: Vec<Expr> = scenarios
            .iter()
            .map(|text| expr::compile(text, Vars::Event, &mut symbols).unwrap())
            .collect();
        let wants = filters.iter().map(|f| f.requirements().clone()).collect();
        let mut prefilter = Prefilter::build(&parsers, wants, &symbols);
        let mut services = Services {
            now: now(),
            ..Services::default()
        };
        let mut labels = config.labels.clone().unwrap_or_default();
        labels.insert("type".to_owned(), config.log_type.clone());
        let mut event = Event::default();
        for line in read(log)
            .lines()
            .filter(|l| !l.is_empty())
            .take(LOG_LINES_MAX)
        {
            self.lines += 1;
            start(&mut event, line, log, config, &mut symbols);
            let passes = prefilter.may_matter(line.as_bytes(), &labels, &parsers, &symbols);
            self.passed += usize::from(passes);
            let outcome = parsers.run(&mut event, &mut services, &mut symbols, &mut NoTrace);
            let effects = RefCell::default();
            let env = Env::new(&event, &symbols, &services, &effects);
            let mut takers = filters.iter().filter(|f| f.test(&env).unwrap_or(false));
            if outcome == ParseOutcome::Parsed
                && let Some(taker) = takers.next()
            {
                self.taken += 1;
                assert!(passes, "{line}\nwould go to {}", taker.source());
            }
        }
    }
}

/// Each test's parsers, all scenarios: a line the prefilter lets go is one that no scenario takes.
#[test]
fn the_prefilter_hides_nothing() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let scenarios = scenario_filters(&hub.root);
    let mut sieve = Sieve::default();
    for path in files(&hub.root.join("tests"))
        .iter()
        .filter(|p| p.ends_with("config.yaml"))
    {
        let test = path.parent().unwrap();
        let text = read(path);
        let file = RuleFile::new("config.yaml", text.as_str());
        let Ok(config) = yaml::documents::<Config>(&file).remove(0) else {
            continue;
        };
        let mut config = config.value;
        let Ok(rules) = hub.rules(&config, &text, test) else {
            continue;
        };
        let log = test.join(&config.log_file);
        sieve.sift(&rules, &scenarios, &config, &log);
        // And as if it were of another kind.
        "syslog".clone_into(&mut config.log_type);
        sieve.sift(&rules, &scenarios, &config, &log);
    }
    let Sieve {
        lines,
        passed,
        taken,
    } = sieve;
    println!("prefilter: {lines} lines, {passed} pass, {taken} are taken by a scenario");
    assert!(taken > 0 && passed < lines, "the test says nothing");
}
