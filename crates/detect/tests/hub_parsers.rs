//! Loads a shared corpus of parsers, and tries every scenario of it on every line of its logs.
//!
//! `posse rules test --hubtest` holds the corpus' own tests against their assertions.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers stop at the first surprise"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{cell::RefCell, collections::BTreeMap, time::SystemTime};

use detect::{
    event::{Event, FieldMap, TimeMode},
    expr::{self, Env, Expr, Services, Vars},
    parse::{NoTrace, ParseOutcome, Parsers},
    prefilter::Prefilter,
    symbols::Symbols,
    yaml,
};
use model::Severity;
use serde::Deserialize;

use self::support::{Hub, Test, corpora, now};

#[test]
fn every_parser_loads() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let mut rules = hub.rules("parsers");
    rules.extend(hub.rules("postoverflows"));
    let count = rules.len();
    for (title, extra) in [
        ("own patterns only", &[][..]),
        ("corpus patterns", hub.patterns.files()),
    ] {
        let mut all = rules.clone();
        all.extend_from_slice(extra);
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
struct ScenarioFilter {
    filter: Option<String>,
}

fn scenario_filters(hub: &Hub) -> Vec<String> {
    let mut all = Vec::new();
    for file in hub.rules("scenarios") {
        let documents = yaml::documents::<ScenarioFilter>(&file);
        for document in documents.into_iter().flatten() {
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
    /// Reads the log as lines of these types; every line some scenario takes must have passed.
    fn sift(&mut self, scenarios: &[String], test: &Test, kinds: [&str; 2]) {
        let mut symbols = Symbols::default();
        let mut parsers = Parsers::build(test.rules.files(), &mut symbols, &mut Vec::new());
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
        let mut labels = test.config.line_labels();
        let mut event = Event::default();
        let log = outside::read(&test.log);
        let lines = || log.lines().filter(|l| !l.is_empty()).take(LOG_LINES_MAX);
        for (kind, line) in kinds
            .iter()
            .flat_map(|kind| lines().map(move |l| (kind, l)))
        {
            labels.insert("type".to_owned(), (*kind).to_owned());
            self.lines += 1;
            start(&mut event, line, test, &labels, &mut symbols);
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

fn start(
    event: &mut Event,
    line: &str,
    test: &Test,
    labels: &BTreeMap<String, String>,
    symbols: &mut Symbols,
) {
    event.reset(line);
    event.mode = TimeMode::Recording;
    event.time = now();
    event.source_name = event.write(&test.log.display().to_string());
    event.module = event.write("file");
    for (key, value) in labels {
        let key = symbols.intern(key);
        event.set_field(FieldMap::Labels, key, value);
    }
}

/// Each test's parsers, all scenarios: a line the prefilter lets go is one that no scenario takes.
#[test]
fn the_prefilter_hides_nothing() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let scenarios = scenario_filters(&hub);
    let mut sieve = Sieve::default();
    for test in hub.tests() {
        // And as if the lines were of another kind.
        sieve.sift(&scenarios, &test, [&test.config.log_type, "syslog"]);
    }
    let Sieve {
        lines,
        passed,
        taken,
    } = sieve;
    println!("prefilter: {lines} lines, {passed} pass, {taken} are taken by a scenario");
    assert!(taken > 0 && passed < lines, "the test says nothing");
}
