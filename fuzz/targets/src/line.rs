//! Lines of any bytes through the engine with the shipped rules.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use detect::{
    engine::{Clock, DataFile, Engine, EngineOptions, Outcome, RuleFile, Rules},
    parse::Trace,
    rules::RuleKind,
};
use model::{Alert, Record, SourceInfo, Timestamp};

use crate::{NOW, knob, rule_yaml::meta};

const KINDS: [&str; 5] = ["syslog", "nginx", "apache2", "postfix", "fuzz"];

/// Two engines with the same rules, one with the prefilter and one without.
struct Pair {
    quick: Engine,
    traced: Engine,
    /// Both as they were in the beginning.
    empty: Vec<u8>,
}

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
}

/// The first byte gives the source's type, the second how often the lines come and by which clock.
pub fn line(data: &[u8]) {
    let (kind, data) = knob(data);
    let (rounds, lines) = knob(data);
    let kind = KINDS
        .get(usize::from(kind) % KINDS.len())
        .copied()
        .unwrap_or_default();
    let clock = if rounds & 0x80 == 0 {
        Clock::Recording
    } else {
        Clock::Live { now: NOW }
    };
    PAIR.with_borrow_mut(|pair| {
        pair.reset();
        pair.run(lines, kind, usize::from(rounds & 15) + 1, clock);
    });
}

struct Everything;

impl Trace for Everything {}

impl Pair {
    fn new() -> Self {
        let engine = || {
            let (files, data) = shipped();
            let (rules, faults) = Rules::load(files, &data);
            assert!(
                faults.is_empty() && !rules.entries().is_empty(),
                "{faults:?}"
            );
            Engine::new(rules, EngineOptions::default())
        };
        let quick = engine();
        let empty = quick.snapshot();
        Self {
            quick,
            traced: engine(),
            empty,
        }
    }

    fn reset(&mut self) {
        for engine in [&mut self.quick, &mut self.traced] {
            engine.restore(&self.empty).expect("its own snapshot");
        }
    }

    fn run(&mut self, lines: &[u8], kind: &str, rounds: usize, clock: Clock) {
        let source = SourceInfo {
            name: "fuzz.log".to_owned(),
            module: "file".to_owned(),
            labels: [("type".to_owned(), kind.to_owned())].into(),
        };
        let (mut quick, mut traced): (Vec<Alert>, Vec<Alert>) = Default::default();
        for round in 0..rounds {
            for (number, text) in (0..).zip(lines.split(|b| *b == b'\n')) {
                let meta = meta(number + 1_000 * round as u64);
                let record = Record {
                    meta: &meta,
                    text,
                    raw: text,
                };
                let first = self.quick.observe(&record, &source, clock, &mut quick);
                let trace = &mut Everything;
                let all = self
                    .traced
                    .observe_traced(&record, &source, clock, &mut traced, trace);
                let idle = matches!(
                    all,
                    Outcome::Unparsed | Outcome::Whitelisted | Outcome::Parsed { poured: 0 }
                );
                assert!(
                    first == all || first == Outcome::Skipped && idle,
                    "{first:?}, {all:?}"
                );
            }
        }
        self.quick.tick(Timestamp::MAX, &mut quick);
        self.traced.tick(Timestamp::MAX, &mut traced);
        assert_eq!(quick, traced, "the prefilter changed the alerts");
    }
}

/// The rules in the tree. Read at run time: a fuzzer runs where the tree is.
fn shipped() -> (Vec<RuleFile>, Vec<DataFile>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let (mut files, mut data) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let file = RuleFile::new(format!("rules/{name}"), text);
        match file.kind() {
            RuleKind::Data => data.push(DataFile {
                name: file.name().to_owned(),
                bytes: file.text.into_bytes(),
            }),
            RuleKind::Other => {}
            _ => files.push(file),
        }
    }
    (files, data)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}
