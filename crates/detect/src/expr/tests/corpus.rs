//! Every expression of the public rule sets compiles, where those are at hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value as Json;

use super::*;
use crate::{rules::RuleFile, yaml};

/// What compiled and what did not, by the key the expressions stand at.
#[derive(Default)]
struct Tally {
    symbols: Symbols,
    seen: BTreeSet<(u8, String)>,
    counts: BTreeMap<String, usize>,
    failures: Vec<String>,
    with_equals: usize,
}

impl Tally {
    fn add(&mut self, key: &str, source: &str, vars: Vars, path: &Path) {
        if !self.seen.insert((vars as u8, source.to_owned())) {
            return;
        }
        *self.counts.entry(key.to_owned()).or_default() += 1;
        match compile(source, vars, &mut self.symbols) {
            Ok(expr) => self.with_equals += usize::from(!expr.requirements().equals.is_empty()),
            Err(e) => {
                let place = path.display();
                let shown: String = source.chars().take(200).collect();
                self.failures.push(format!(
                    "{place}: {} ({}) at {}: {shown}",
                    e, e.fix, e.offset
                ));
            }
        }
    }

    fn walk(&mut self, json: &Json, path: &Path) {
        let Json::Object(map) = json else {
            if let Json::Array(items) = json {
                items.iter().for_each(|item| self.walk(item, path));
            }
            return;
        };
        for (key, value) in map {
            let vars = match key.as_str() {
                "filter" | "distinct" | "groupby" | "expression" => Vars::Event,
                "condition" | "cancel_on" | "overflow_filter" => Vars::Condition,
                "context" => Vars::Context,
                _ => {
                    self.walk(value, path);
                    continue;
                }
            };
            let mut sources = Vec::new();
            texts(value, &mut sources);
            for source in sources {
                self.add(key, &source, vars, path);
            }
        }
    }
}

/// A text, or all texts of a list or of a map's lists.
fn texts(value: &Json, out: &mut Vec<String>) {
    match value {
        Json::String(text) => out.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Json::Object(map) => map.values().for_each(|item| texts(item, out)),
        Json::Null => {}
        other => out.push(other.to_string()),
    }
}

#[test]
fn every_expression_of_the_hub_compiles() {
    let Some(hub) = outside::shared("corpora/crowdsec-hub") else {
        return;
    };
    let mut tally = Tally::default();
    for folder in ["parsers", "scenarios", "postoverflows", "contexts"] {
        let mut paths = Vec::new();
        paths.extend(outside::files(&hub.join(folder), &[".yaml", ".yml"]));
        for path in paths {
            // Contexts of the web application firewall speak of requests, not of log events.
            if path.to_string_lossy().contains("appsec") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let file = RuleFile {
                path: path.display().to_string(),
                text,
            };
            for document in yaml::documents::<Json>(&file) {
                match document {
                    Ok(document) => tally.walk(&document.value, &path),
                    Err(e) => tally.failures.push(format!("{}: {e:?}", path.display())),
                }
            }
        }
    }
    println!(
        "expressions: {:?}, indexable: {}",
        tally.counts, tally.with_equals
    );
    println!("failures: {}", tally.failures.len());
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(tally.seen.len() > 1_500, "{}", tally.seen.len());
}

#[test]
fn every_assertion_of_the_hub_compiles() {
    let Some(hub) = outside::shared("corpora/crowdsec-hub") else {
        return;
    };
    let mut tally = Tally::default();
    let paths = outside::files(&hub.join("tests"), &[".assert"]);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            tally.add("assert", line, Vars::Results, &path);
        }
    }
    println!(
        "assertions: {:?}, failures: {}",
        tally.counts,
        tally.failures.len()
    );
    let shown: Vec<_> = tally.failures.iter().take(20).collect();
    assert!(
        tally.failures.is_empty(),
        "{} {shown:#?}",
        tally.failures.len()
    );
    assert!(tally.seen.len() > 10_000, "{}", tally.seen.len());
}

#[test]
fn every_regex_of_the_public_lists_compiles() {
    let Some(lists) = outside::shared("corpora/sec-lists") else {
        return;
    };
    let paths = outside::files(&lists, &[".txt", ".regex"]);
    let mut count = 0;
    for path in paths
        .iter()
        .filter(|p| p.to_string_lossy().contains("regex"))
    {
        let text = std::fs::read_to_string(path).unwrap();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Err(e) = crate::regex_syntax::compile(line) {
                panic!("{}: {line}: {e}", path.display());
            }
            count += 1;
        }
    }
    println!("regexes: {count}");
    assert!(count > 100, "{count}");
}
