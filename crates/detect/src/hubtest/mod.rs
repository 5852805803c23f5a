//! Hub tests: a log, the items that read it, and assertions about what they made of it.
//!
//! For people who test their own content, and for us: every published test of the hub is a
//! statement about this engine. Pure: whoever runs tests reads the files ([`items`] says where an
//! item may be) and hands them in as values; [`Case::run`] gives back what failed and why.
//! Nothing here is part of a running guard.

mod asserts;
mod config;
pub mod items;
mod order;
mod propose;
mod results;

use std::cell::RefCell;

use model::{
    Alert, Diagnostic, FileId, LineOrigin, Record, RecordMeta, Severity, SourceId, SourceInfo,
    Timestamp,
};

pub use self::{asserts::AssertFile, config::TestConfig};
use self::{
    asserts::{Assertion, Bench, Verdict},
    items::Installed,
    results::{Seen, Watch},
};
use crate::{
    engine::{Clock, DataFile, Engine, EngineOptions, Rules},
    enrich::Enrich,
    event::Event,
    expr::{Object, Services},
    parse::Trace,
    symbols::Symbols,
};

/// One test with all that it needs.
pub struct Case<'c> {
    pub config: &'c TestConfig,
    pub rules: &'c Installed,
    pub data: &'c [DataFile],
    /// The log's path and its bytes.
    pub log_name: &'c str,
    pub log: &'c [u8],
    /// The assert files; an absent one is empty.
    pub parser_asserts: &'c str,
    pub scenario_asserts: &'c str,
    /// For dates without a year and dates that cannot be read.
    pub now: Timestamp,
}

/// Facts about addresses for one run.
pub type Facts = Option<Box<dyn Enrich + Send + Sync>>;

/// What came of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Assertions that were looked at.
    pub asserts: usize,
    pub failures: Vec<Failure>,
    /// What is worth knowing and is no failure.
    pub notes: Vec<String>,
    /// What may explain a failure.
    pub hints: Vec<String>,
    /// For an assert file that is empty: lines that hold of this run.
    pub proposed: Vec<(AssertFile, Vec<String>)>,
}

/// One reason why a test does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A rule file is wrong.
    Rule(Diagnostic),
    /// An assertion is false, or cannot be evaluated.
    Assert {
        file: AssertFile,
        /// From 1.
        line: u32,
        text: String,
        why: String,
    },
    /// The test says nothing, or cannot be run.
    Test(String),
}

impl Report {
    pub const fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Case<'_> {
    /// Runs the test. Its assertions hold, or every one that does not is named.
    pub fn run(&self, facts: Facts) -> Report {
        let mut report = Report::default();
        let mut seen = Seen::new(if self.config.ignore_parsers {
            Watch::Overflows
        } else {
            Watch::Nodes
        });
        let Some(mut engine) = self.engine(facts, &mut report) else {
            return report;
        };
        self.feed(&mut engine, Some(&mut seen));
        let mut desk = Desk::new(engine.symbols().clone(), self.now);
        if !self.config.ignore_parsers {
            desk.parser_asserts(self.parser_asserts, &seen, &mut report);
        }
        if !self.config.scenarios.is_empty() {
            desk.scenario_asserts(self.scenario_asserts, &mut seen, &mut report);
        }
        if self.config.ignore_parsers && self.config.scenarios.is_empty() {
            let note = "asserts nothing: ignore_parsers is set and no scenario is named";
            report.notes.push(note.to_owned());
        }
        report
    }

    /// The alerts of an untraced run: what a guard would have seen.
    pub fn alerts(&self, facts: Facts) -> Vec<Alert> {
        match self.engine(facts, &mut Report::default()) {
            Some(mut engine) => self.feed(&mut engine, None),
            None => Vec::new(),
        }
    }

    /// The alerts of a traced run, which visits what an untraced one leaves out as useless.
    pub fn alerts_traced(&self, facts: Facts) -> Vec<Alert> {
        match self.engine(facts, &mut Report::default()) {
            Some(mut engine) => self.feed(&mut engine, Some(&mut Seen::new(Watch::Nodes))),
            None => Vec::new(),
        }
    }

    fn engine(&self, facts: Facts, report: &mut Report) -> Option<Engine> {
        let mut files = self.rules.files().to_vec();
        files.extend(self.config.overrides());
        let (rules, diagnostics) = Rules::load(files, self.data);
        for diagnostic in diagnostics {
            if diagnostic.severity == Severity::Error {
                report.failures.push(Failure::Rule(diagnostic));
            } else if !diagnostic.file.starts_with("patterns/") {
                report.hints.push(diagnostic.to_string());
            }
        }
        if !report.passed() {
            return None;
        }
        let mut engine = Engine::new(rules, EngineOptions::default());
        if let Some(facts) = facts {
            engine.set_facts(facts);
        }
        Some(engine)
    }

    /// One event for each line that is not empty, by the times in the log.
    fn feed(&self, engine: &mut Engine, mut trace: Option<&mut dyn Trace>) -> Vec<Alert> {
        let source = SourceInfo {
            name: self.log_name.to_owned(),
            module: "file".to_owned(),
            labels: self.config.line_labels(),
        };
        let mut alerts = Vec::new();
        let mut offset = 0;
        for line in self.log.split(|byte| *byte == b'\n') {
            let at = offset;
            offset += line.len() as u64 + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let meta = line_meta(at, line.len(), self.now);
            let record = Record {
                meta: &meta,
                text: line,
                raw: line,
            };
            match &mut trace {
                Some(trace) => engine.observe_traced(
                    &record,
                    &source,
                    Clock::Recording,
                    &mut alerts,
                    &mut **trace,
                ),
                None => engine.observe(&record, &source, Clock::Recording, &mut alerts),
            };
        }
        alerts
    }
}

const fn line_meta(offset: u64, length: usize, received: Timestamp) -> RecordMeta {
    let file = FileId {
        device: 1,
        inode: 1,
    };
    RecordMeta {
        source: SourceId(0),
        origin: LineOrigin::File { file, offset },
        received,
        text: 0..length,
        raw: 0..0,
        truncated: false,
        catch_up: false,
    }
}

/// Where assertions are judged.
struct Desk {
    symbols: Symbols,
    services: Services,
    event: Event,
}

impl Desk {
    fn new(symbols: Symbols, now: Timestamp) -> Self {
        Self {
            symbols,
            services: Services {
                now,
                ..Services::default()
            },
            event: Event::default(),
        }
    }

    fn parser_asserts(&mut self, text: &str, seen: &Seen, report: &mut Report) {
        let asserts = Assertion::all(AssertFile::Parser, text, &mut self.symbols);
        if asserts.is_empty() {
            let lines = propose::of_nodes(self, &seen.nodes);
            report.proposed.push((AssertFile::Parser, lines));
            return report.failures.push(empty(AssertFile::Parser));
        }
        let hint = |assert: &Assertion<'_>| {
            let (stage, node) = assert.node()?;
            seen.nodes.hint(&stage, node.as_deref())
        };
        self.judge(&asserts, &seen.nodes, &hint, report);
    }

    fn scenario_asserts(&mut self, text: &str, seen: &mut Seen, report: &mut Report) {
        let asserts = Assertion::all(AssertFile::Scenario, text, &mut self.symbols);
        let ties = seen.overflows.sort();
        if asserts.is_empty() {
            let lines = propose::of_overflows(self, &seen.overflows);
            report.proposed.push((AssertFile::Scenario, lines));
            return report.failures.push(empty(AssertFile::Scenario));
        }
        let effects = RefCell::default();
        let order = order::settle(&asserts, &seen.overflows, &ties, &self.bench(&effects));
        let hint = |_: &Assertion<'_>| Some(seen.overflows.hint());
        self.judge(&asserts, &seen.overflows.ordered(&order), &hint, report);
    }

    fn judge(
        &self,
        asserts: &[Assertion<'_>],
        results: &dyn Object,
        hint: &dyn Fn(&Assertion<'_>) -> Option<String>,
        report: &mut Report,
    ) {
        let effects = RefCell::default();
        let bench = self.bench(&effects);
        let mut uncounted = Vec::new();
        for assert in asserts {
            report.asserts += 1;
            let why = match assert.judge(&bench, results) {
                Verdict::Holds => continue,
                Verdict::False(_) if !assert.is_counted_upstream() => {
                    uncounted.push(assert);
                    continue;
                }
                Verdict::False(Some(found)) => format!("found {found}"),
                Verdict::False(None) => "it is false".to_owned(),
                Verdict::Error(error) => match hint(assert) {
                    Some(hint) => format!("{error}: {hint}"),
                    None => error,
                },
            };
            report.failures.push(Failure::Assert {
                file: assert.file,
                line: assert.line,
                text: assert.text.to_owned(),
                why,
            });
        }
        report.notes.extend(note_uncounted(&uncounted));
    }

    const fn bench<'b>(&'b self, effects: &'b RefCell<Vec<crate::expr::Effect>>) -> Bench<'b> {
        Bench {
            event: &self.event,
            symbols: &self.symbols,
            services: &self.services,
            effects,
        }
    }
}

fn note_uncounted(asserts: &[&Assertion<'_>]) -> Option<String> {
    let first = asserts.first()?;
    Some(format!(
        "{} lines of {} are false, but of a form that the hub's own runner does not count; the \
         first, line {}: {}",
        asserts.len(),
        first.file.name(),
        first.line,
        first.text
    ))
}

/// Upstream's runner would write such a file itself and have the test fail.
fn empty(file: AssertFile) -> Failure {
    let switch = match file {
        AssertFile::Parser => ", or set ignore_parsers: true in config.yaml",
        AssertFile::Scenario => "",
    };
    Failure::Test(format!(
        "{} holds no assertion: write what the test expects{switch}",
        file.name()
    ))
}

#[cfg(test)]
mod tests;
