//! fail2ban's own filters against its own sample logs, where a copy of them is at hand.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what it does and fails loudly"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use detect::fail2ban::{format::Files, samples};

fn shared() -> PathBuf {
    std::env::var_os("POSSE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    )
}

fn texts(folder: &str) -> BTreeMap<String, String> {
    let folder = shared().join("corpora/fail2ban").join(folder);
    let Ok(entries) = fs::read_dir(&folder) else {
        return BTreeMap::new();
    };
    entries
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            (name, text)
        })
        .collect()
}

#[test]
fn the_samples_hold() {
    let logs = texts("logs");
    if logs.is_empty() {
        println!(
            "SKIPPED: no copy of fail2ban's samples at {}",
            shared().display()
        );
        return;
    }
    let filters: Files = texts("filter.d")
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
