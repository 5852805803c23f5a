//! `posse rules test --hubtest`: the hub's tests, and people's own of the same form.
//!
//! Reads the folders, runs the tests on all cores, prints in the tests' order. What a test means
//! is [`detect::hubtest`]'s to know.

mod shelf;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Result, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use detect::hubtest::{Case, Failure, Report};
use model::Timestamp;

use self::shelf::{Papers, Shelf, name_of};
use crate::{
    cli::RulesTestArgs,
    clock,
    exit::Exit,
    ledger_command::{progress, show},
};

/// Failures of one test that are printed, unless tests were chosen by name.
const SHOWN: usize = 3;

enum Verdict {
    Passed(Report),
    Failed(Report),
    Skipped(String),
}

pub(crate) fn run(arguments: &RulesTestArgs, out: &mut dyn Write) -> Result<Exit> {
    let shelf = Shelf::open(arguments)?;
    let tests = chosen(shelf.tests()?, &arguments.only)?;
    let mut printer = Printer {
        out,
        shown: if arguments.only.is_empty() {
            SHOWN
        } else {
            usize::MAX
        },
        passed: 0,
        failed: 0,
    };
    run_all(&shelf, &tests, &mut printer)?;
    let Printer { passed, failed, .. } = printer;
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(if failed == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn chosen(tests: Vec<PathBuf>, only: &[String]) -> Result<Vec<PathBuf>> {
    if tests.is_empty() {
        bail!("--tests: there is no folder with a config.yaml in it");
    }
    if only.is_empty() {
        return Ok(tests);
    }
    for name in only {
        if !tests.iter().any(|test| name_of(test) == *name) {
            bail!("--only {name}: there is no test of that name");
        }
    }
    Ok(tests
        .into_iter()
        .filter(|test| only.contains(&name_of(test)))
        .collect())
}

/// Each test on some thread; printed in order, as soon as its turn has come.
fn run_all(shelf: &Shelf, tests: &[PathBuf], printer: &mut Printer<'_>) -> Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let now = clock::now();
    let (done, results) = bounded(threads);
    thread::scope(|scope| {
        for _ in 0..threads.min(tests.len()) {
            let (next, done) = (&next, done.clone());
            scope.spawn(move || work(shelf, tests, now, next, &done));
        }
        drop(done);
        collect(tests, &results, printer)
    })
}

fn work(
    shelf: &Shelf,
    tests: &[PathBuf],
    now: Timestamp,
    next: &AtomicUsize,
    done: &Sender<(usize, Verdict)>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(test) = tests.get(number) else {
            return;
        };
        // Nobody listens any more when printing failed.
        if done.send((number, judge(shelf, test, now))).is_err() {
            return;
        }
    }
}

fn collect(
    tests: &[PathBuf],
    results: &Receiver<(usize, Verdict)>,
    printer: &mut Printer<'_>,
) -> Result<()> {
    let bar = progress("testing");
    let mut waiting = BTreeMap::new();
    let mut turn = 0;
    for (count, (number, verdict)) in (1..).zip(results.iter()) {
        waiting.insert(number, verdict);
        show(&bar, count, tests.len() as u64);
        while let (Some(verdict), Some(test)) = (waiting.remove(&turn), tests.get(turn)) {
            printer.print(&name_of(test), verdict)?;
            turn += 1;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn judge(shelf: &Shelf, test: &Path, now: Timestamp) -> Verdict {
    let papers = match shelf.read(test) {
        Ok(papers) => papers,
        Err(e) => {
            return Verdict::Failed(Report {
                failures: vec![Failure::Test(format!("{e:#}"))],
                ..Report::default()
            });
        }
    };
    if papers.config.is_of_firewall() {
        let why = "a test of the web application firewall, which reads requests, not logs";
        return Verdict::Skipped(why.to_owned());
    }
    let report = examine(papers, now);
    match report {
        Ok(report) if report.passed() => Verdict::Passed(report),
        Ok(report) => Verdict::Failed(report),
        Err(missing) => Verdict::Skipped(format!("needs {}", missing.join(" and "))),
    }
}

/// What came of the test, or the databases without which it cannot pass.
fn examine(papers: Papers, now: Timestamp) -> Result<Report, Vec<String>> {
    let case = Case {
        config: &papers.config,
        rules: &papers.rules,
        data: &papers.data,
        log_name: &papers.log_path.to_string_lossy(),
        log: &papers.log,
        parser_asserts: &papers.parser_asserts,
        scenario_asserts: &papers.scenario_asserts,
        now,
    };
    let mut report = case.run(papers.geoip.facts());
    if !report.passed() && !papers.missing.is_empty() {
        return Err(papers.missing);
    }
    report.notes.splice(0..0, papers.notes);
    Ok(report)
}

struct Printer<'o> {
    out: &'o mut dyn Write,
    shown: usize,
    passed: usize,
    failed: usize,
}

impl Printer<'_> {
    fn print(&mut self, name: &str, verdict: Verdict) -> std::io::Result<()> {
        match verdict {
            Verdict::Passed(report) => {
                self.passed += 1;
                for note in report.notes {
                    writeln!(self.out, "NOTE {name}: {note}")?;
                }
            }
            Verdict::Failed(report) => {
                self.failed += 1;
                self.failure(name, &report)?;
            }
            Verdict::Skipped(why) => writeln!(self.out, "SKIPPED {name}: {why}")?,
        }
        Ok(())
    }

    /// One line that says it all, then the other failures and what may explain them.
    fn failure(&mut self, name: &str, report: &Report) -> std::io::Result<()> {
        let mut failures = report.failures.iter().map(sentence);
        let first = failures.next().unwrap_or_default();
        let failed = report.failures.len();
        if report.asserts > 0 {
            let of = report.asserts;
            writeln!(
                self.out,
                "FAIL {name}: {failed} of {of} assertions do not hold; {first}"
            )?;
        } else {
            writeln!(self.out, "FAIL {name}: {first}")?;
        }
        for failure in failures.take(self.shown.saturating_sub(1)) {
            writeln!(self.out, "     {failure}")?;
        }
        if failed > self.shown {
            let rest = failed - self.shown;
            writeln!(self.out, "     … and {rest} more: see --only {name}")?;
        }
        if self.shown == usize::MAX {
            self.proposals(report)?;
        }
        for note in report.hints.iter().chain(&report.notes) {
            writeln!(self.out, "     note: {}", note.replace('\n', " "))?;
        }
        Ok(())
    }

    fn proposals(&mut self, report: &Report) -> std::io::Result<()> {
        for (file, lines) in &report.proposed {
            let name = file.name();
            writeln!(
                self.out,
                "     {name} as this run would have it; keep what is right:"
            )?;
            for line in lines {
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }
}

fn sentence(failure: &Failure) -> String {
    match failure {
        Failure::Rule(diagnostic) => diagnostic.to_string().replace('\n', " "),
        Failure::Test(why) => why.clone(),
        Failure::Assert {
            file,
            line,
            text,
            why,
        } => format!("{}:{line}: {why}, asserted: {text}", file.name()),
    }
}
