//! Loads a shared corpus of scenarios, and runs its tests as a guard would run them.
//!
//! `posse rules test --hubtest` holds the same tests against their assertions, with every step
//! traced. What a guard runs is not traced: here is seen that the prefilter and the indexes, which
//! a traced run goes without, leave out nothing that matters.

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{fs, time::Instant};

use detect::{
    engine::{EntryKind, Rules},
    hubtest::{
        Case,
        items::{Installed, ItemKind},
    },
};

use self::support::{Hub, corpora, now};

#[test]
fn every_scenario_loads() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let files = hub.rules("scenarios");
    let mut installed = Installed::default();
    for file in &files {
        installed
            .item(ItemKind::Scenario, &file.path, &file.text)
            .unwrap();
    }
    let (count, data) = (files.len(), hub.data(&installed));
    let start = Instant::now();
    let (rules, diagnostics) = Rules::load(files, &data);
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

#[test]
fn a_guard_gives_the_alerts_of_a_traced_run() {
    let Some(corpora) = corpora() else { return };
    let hub = Hub::open(&corpora);
    let (mut tests, mut alerts) = (0, 0);
    for test in hub.tests() {
        if test.config.scenarios.is_empty() {
            continue;
        }
        let log = fs::read(&test.log).unwrap();
        let case = Case {
            config: &test.config,
            rules: &test.rules,
            data: &test.data,
            log_name: &test.log.to_string_lossy(),
            log: &log,
            parser_asserts: "",
            scenario_asserts: "",
            now: now(),
        };
        let traced = case.alerts_traced(None);
        let plain = case.alerts(None);
        assert!(
            plain == traced,
            "{}: {} alerts became {}",
            test.name,
            traced.len(),
            plain.len()
        );
        tests += 1;
        alerts += plain.len();
    }
    println!("{tests} tests, {alerts} alerts, the same both ways");
    assert!(tests > 100 && alerts > 100, "the test says nothing");
}
