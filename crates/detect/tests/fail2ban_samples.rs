//! fail2ban's own filters against its own sample logs, where a copy of them is at hand.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use detect::fail2ban::{format::Files, samples};

fn texts(folder: &Path) -> BTreeMap<String, String> {
    let named = |path: &PathBuf| (outside::name_of(path), outside::read(path));
    outside::files(folder, &[]).iter().map(named).collect()
}

#[test]
fn the_samples_hold() {
    let Some(root) = outside::shared("corpora/fail2ban/logs") else {
        return;
    };
    let logs = texts(&root);
    let filters: Files = texts(&root.with_file_name("filter.d"))
        .into_iter()
        .map(|(name, text)| (format!("filter.d/{name}"), text))
        .collect();
    let report = samples::run(&filters, &logs);
    for miss in &report.misses {
        println!(
            "{}:{}: {}\n  expected {}\n  found {}",
            miss.file, miss.line, miss.reason, miss.expected, miss.found
        );
    }
    report
        .notes
        .iter()
        .for_each(|note| println!("note: {note}"));
    println!("most steps on a line: {}", report.steps_most);
    println!("{} passed, {} failed", report.passed, report.misses.len());
    assert_eq!(report.step_limit, 0);
    assert!(report.passed > 500);
    assert!(report.misses.len() as u64 * 99 <= report.passed);
}
