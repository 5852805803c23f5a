//! What an event costs with many Sigma rules: `sigma_speed RULES EVENTS [ROUNDS]`, folders of
//! rules and of JSON events. Measure with `perf stat -e instructions:u`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it reads the disk and the clock, prints, and stops at any surprise"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use detect::rules::RuleFile;
use serde_json::Value as Json;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let rules = read(&arguments[1], ".yml");
    let events: Vec<String> = read(&arguments[2], ".json")
        .iter()
        .flat_map(|file| {
            let all: Vec<Json> = serde_json::Deserializer::from_str(&file.text)
                .into_iter()
                .map(Result::unwrap)
                .collect();
            all
        })
        .map(|event| event.to_string())
        .collect();
    let rounds: usize = arguments.get(3).map_or(100, |n| n.parse().unwrap());
    let start = Instant::now();
    let mut loaded = detect::sigma::load(&rules, &mut Vec::new()).unwrap();
    println!(
        "{} rules loaded in {:?}",
        loaded.rules().len(),
        start.elapsed()
    );
    let labels = BTreeMap::from([("type".to_owned(), "json".to_owned())]);
    let bytes: usize = events.iter().map(String::len).sum();
    let start = Instant::now();
    let mut matches = 0;
    for _ in 0..rounds {
        for event in &events {
            matches += loaded.judge_line(event, &labels).len();
        }
    }
    let count = events.len() * rounds;
    let each = start.elapsed() / u32::try_from(count).unwrap();
    println!(
        "{count} events of {} bytes, {matches} matches: {each:?} an event",
        bytes / events.len()
    );
}

fn read(folder: &str, ending: &str) -> Vec<RuleFile> {
    let read = |path: &PathBuf| RuleFile::new(path.display().to_string(), outside::read(path));
    outside::files(Path::new(folder), &[ending])
        .iter()
        .map(read)
        .collect()
}
