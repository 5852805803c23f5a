//! The public Sigma rules over their recorded events: the index over all rules finds exactly what
//! asking each rule finds, and rules match hardly any event but their own.
//!
//! The corpus lies in `$POSSE_SHARED` or `../shared` beside the workspace; without it the test
//! says so loudly and passes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use detect::rules::RuleFile;
use serde_json::Value as Json;

/// Matches of rules that an event was not recorded for, for each event. Most are true: a general
/// rule and a special one see the same deed.
const OTHERS_PER_EVENT_MAX: usize = 1;

#[test]
fn the_index_finds_what_every_rule_finds() {
    let Some(corpus) = corpus() else { return };
    let files = files(&corpus, ".yml");
    let mut found = Vec::new();
    let mut rules = detect::sigma::load(&files, &mut found).unwrap();
    let labels = BTreeMap::new();
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    let mut count = 0;
    for file in self::files(&corpus.join("regression"), ".json") {
        let own = Path::new(&file.path).file_stem().unwrap().to_str().unwrap();
        for event in serde_json::Deserializer::from_str(&file.text).into_iter::<Json>() {
            count += 1;
            let quick = rules.judge_event(&event.unwrap(), &labels).to_vec();
            assert_eq!(quick, rules.judge_slowly(), "{}", file.path);
            for number in quick {
                let meta = &rules.rules()[number as usize].meta;
                if meta.id.as_deref() != Some(own) {
                    *others
                        .entry(format!("{} on {own}", meta.title))
                        .or_default() += 1;
                }
            }
        }
    }
    for (what, count) in &others {
        println!("{count} {what}");
    }
    let extra: usize = others.values().sum();
    println!("{count} events; {extra} matches of rules they were not recorded for");
    assert!(count > 0 && extra <= count * OTHERS_PER_EVENT_MAX);
}

/// Plain lines that say nothing of any rule's words do not cost more than the look for them.
#[test]
fn lines_without_a_rules_words_are_left_at_once() {
    let Some(corpus) = corpus() else { return };
    let mut rules = detect::sigma::load(&files(&corpus, ".yml"), &mut Vec::new()).unwrap();
    for (kind, line) in [
        (
            "nginx",
            "192.0.2.7 - - [01/Mar/2026:10:00:00 +0000] \"PUT /x HTTP/1.1\" 201 7 \"-\" \"z\"",
        ),
        (
            "syslog",
            "Mar  1 10:00:00 host sshd[7]: Failed password for root from 192.0.2.7",
        ),
    ] {
        let labels = BTreeMap::from([("type".to_owned(), kind.to_owned())]);
        assert!(rules.is_gated(&labels), "{kind}: every line is read");
        assert!(rules.judge_line(line, &labels).is_empty(), "{kind}");
    }
}

fn files(folder: &Path, ending: &str) -> Vec<RuleFile> {
    let read = |path: &PathBuf| RuleFile::new(path.display().to_string(), outside::read(path));
    outside::files(folder, &[ending]).iter().map(read).collect()
}

fn corpus() -> Option<PathBuf> {
    outside::shared("corpora/sigma/regression")?;
    outside::shared("corpora/sigma")
}
