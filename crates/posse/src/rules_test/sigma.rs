//! `posse rules test --sigma`: Sigma rules over recorded events.
//!
//! The events lie in folders with an `info.yml` each: `rule_metadata` names the rules, and
//! `regression_tests_info` how many events of the `*.json` beside it a rule must match at least
//! (`match_count`; 1 when it is not said). A JSON file may hold several events, one after another
//! or as a list.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::{rules::RuleFile, sigma::SigmaRules};
use model::{Diagnostic, Severity};
use serde_json::Value as Json;
use sigma::Node;

use crate::{cli::RulesTestArgs, content, exit::Exit};

const DEPTH_MAX: usize = 32;
const MAPPING: &str = "logsource-mapping.yml";
/// Describes the events beside it.
const INFO: &str = "info.yml";

pub(crate) fn run(arguments: &RulesTestArgs, out: &mut dyn Write) -> Result<Exit> {
    let (Some(folder), Some(events)) = (&arguments.sigma, &arguments.events) else {
        bail!("--sigma DIR needs --events DIR");
    };
    let mut files = content::files_of(Some(folder))?;
    // Where rules and events share a folder, only what describes the events is no rule.
    let together = folder.starts_with(events);
    files.retain(|file| {
        let path = Path::new(&file.path);
        !path.starts_with(events) || (together && !path.ends_with(INFO))
    });
    let mapping = mapping_file(arguments.mapping.as_deref(), folder);
    files.extend(mapping.as_deref().map(read_rule).transpose()?);
    let mut found = Vec::new();
    let Some(mut rules) = detect::sigma::load(&files, &mut found) else {
        bail!("{}: no Sigma rule is in it", folder.display());
    };
    let refused = report_loading(&rules, &found, mapping.as_deref(), out)?;
    let numbers: BTreeMap<String, u32> = (0..)
        .zip(rules.rules())
        .filter_map(|(number, rule)| Some((rule.meta.id.clone()?, number)))
        .collect();
    let mut tally = Tally {
        failed: refused,
        ..Tally::default()
    };
    for case in cases(events)? {
        case.run(&mut rules, &numbers, &mut tally, out)?;
    }
    writeln!(
        out,
        "{} events; {} matches beside those of their own rules, by {} rules; {} tests skipped",
        tally.events,
        tally.extra,
        tally.extra_rules.len(),
        tally.skipped
    )?;
    writeln!(out, "{} passed, {} failed", tally.passed, tally.failed)?;
    Ok(if tally.failed == 0 && tally.passed > 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// The mapping that was named, or one in the folder or above it.
fn mapping_file(named: Option<&Path>, folder: &Path) -> Option<PathBuf> {
    if let Some(named) = named {
        return Some(named.to_owned());
    }
    // One in the folder itself was read with the rules.
    let whole = fs::canonicalize(folder).ok()?;
    whole
        .ancestors()
        .skip(1)
        .take(DEPTH_MAX)
        .map(|parent| parent.join(MAPPING))
        .find(|path| path.is_file())
        .filter(|_| !folder.join(MAPPING).is_file())
}

fn read_rule(path: &Path) -> Result<RuleFile> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the mapping {}", path.display()))?;
    Ok(RuleFile::new(path.display().to_string(), text))
}

/// Says what loaded; returns how many rules did not.
fn report_loading(
    rules: &SigmaRules,
    found: &[Diagnostic],
    mapping: Option<&Path>,
    out: &mut dyn Write,
) -> Result<u64> {
    let mut refused = 0;
    for diagnostic in found {
        if diagnostic.severity == Severity::Error {
            refused += 1;
            writeln!(out, "FAIL {diagnostic}")?;
        } else {
            writeln!(out, "note {diagnostic}")?;
        }
    }
    if let Some(mapping) = mapping {
        writeln!(out, "mapping: {}", mapping.display())?;
    }
    let loaded = rules.rules().len();
    writeln!(out, "{loaded} rules loaded, {refused} refused")?;
    Ok(refused)
}

#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Tests of rules that are not among those given.
    skipped: u64,
    events: u64,
    extra: u64,
    extra_rules: BTreeSet<u32>,
}

/// One folder of events and what must match them.
struct Case {
    folder: PathBuf,
    /// Id and title.
    rules: Vec<(String, String)>,
    /// Name, and how many events a rule matches at least.
    tests: Vec<(String, u64)>,
}

impl Case {
    fn run(
        &self,
        rules: &mut SigmaRules,
        numbers: &BTreeMap<String, u32>,
        tally: &mut Tally,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut events = Vec::new();
        for path in json_files(&self.folder)? {
            read_events(&path, &mut events)?;
        }
        let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
        let own: BTreeSet<u32> = self
            .rules
            .iter()
            .filter_map(|(id, _)| numbers.get(id).copied())
            .collect();
        let labels = BTreeMap::new();
        for event in &events {
            tally.events += 1;
            for number in rules.judge_event(event, &labels) {
                *counts.entry(*number).or_default() += 1;
                if !own.contains(number) {
                    tally.extra += 1;
                    tally.extra_rules.insert(*number);
                }
            }
        }
        if own.is_empty() {
            // Those that were refused are told of and counted already.
            tally.skipped += self.tests.len() as u64;
            writeln!(
                out,
                "SKIP {}: its rule is not loaded",
                self.folder.display()
            )?;
            return Ok(());
        }
        for (test, wanted) in &self.tests {
            let wrong = self.wrong(numbers, &counts, *wanted, events.len());
            for complaint in &wrong {
                writeln!(out, "FAIL {} ({test}): {complaint}", self.folder.display())?;
            }
            if wrong.is_empty() {
                tally.passed += 1;
            } else {
                tally.failed += 1;
            }
        }
        Ok(())
    }

    fn wrong(
        &self,
        numbers: &BTreeMap<String, u32>,
        counts: &BTreeMap<u32, u64>,
        wanted: u64,
        events: usize,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, title) in &self.rules {
            let Some(number) = numbers.get(id) else {
                wrong.push(format!("the rule {id} ({title}) is not loaded"));
                continue;
            };
            let found = counts.get(number).copied().unwrap_or(0);
            if found < wanted {
                wrong.push(format!(
                    "{title} ({id}) matches {found} of {events} events, wanted {wanted}"
                ));
            }
        }
        wrong
    }
}

/// Every folder below `folder` with an `info.yml` that holds tests.
fn cases(folder: &Path) -> Result<Vec<Case>> {
    let mut infos = Vec::new();
    collect(folder, 0, &mut infos)?;
    infos.sort();
    let mut cases = Vec::new();
    for info in infos {
        cases.extend(case(&info)?);
    }
    if cases.is_empty() {
        bail!("{}: no info.yml with tests is in it", folder.display());
    }
    Ok(cases)
}

fn collect(folder: &Path, depth: usize, infos: &mut Vec<PathBuf>) -> Result<()> {
    let listing = fs::read_dir(folder)
        .with_context(|| format!("cannot read the events folder {}", folder.display()))?;
    for entry in listing {
        let path = entry?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                collect(&path, depth + 1, infos)?;
            }
        } else if path.file_name().is_some_and(|name| name == INFO) {
            infos.push(path);
        }
    }
    Ok(())
}

/// `None`: the file holds no test (all of them may be commented out).
fn case(info: &Path) -> Result<Option<Case>> {
    let text =
        fs::read_to_string(info).with_context(|| format!("cannot read {}", info.display()))?;
    let Some(Ok(node)) = sigma::documents(&text).into_iter().next() else {
        bail!("{}: this is not valid YAML", info.display());
    };
    let text = |node: &Node, key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let list = |key: &str| node.get(key).map(Node::items).unwrap_or_default();
    let rules = list("rule_metadata")
        .iter()
        .map(|rule| (text(rule, "id"), text(rule, "title")));
    let tests: Vec<(String, u64)> = list("regression_tests_info")
        .iter()
        .map(|test| {
            let count = text(test, "match_count").parse().unwrap_or(1);
            (text(test, "name"), count)
        })
        .collect();
    let folder = info.parent().unwrap_or_else(|| Path::new(".")).to_owned();
    Ok((!tests.is_empty()).then(|| Case {
        folder,
        rules: rules.collect(),
        tests,
    }))
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = listing
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "json" || e == "jsonl")
        })
        .collect();
    files.sort();
    Ok(files)
}

fn read_events(path: &Path, events: &mut Vec<Json>) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    for event in serde_json::Deserializer::from_str(text).into_iter::<Json>() {
        match event.with_context(|| format!("{} is not JSON", path.display()))? {
            Json::Array(items) => events.extend(items),
            event => events.push(event),
        }
    }
    Ok(())
}
