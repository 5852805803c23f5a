//! Snapshots of live buckets from hostile bytes.

use std::cell::RefCell;

use detect::engine::{Clock, Engine, EngineOptions, RuleFile, Rules};
use model::{Record, SourceInfo, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::{NOW, knob, rule_yaml::meta};

const PARSER: &str = "\
name: fuzz/raw
filter: evt.Line.Labels.type == 'fuzz'
onsuccess: next_stage
grok: {apply_on: Line.Raw, pattern: '^%{WORD:who} %{NOTSPACE:what}$'}
statics:
  - {meta: source_ip, expression: \"'192.0.2.' + evt.Parsed.what\"}
";

const SCENARIOS: &str = "\
type: leaky
name: fuzz/leaky
filter: evt.Parsed.who == 'leaky'
groupby: evt.Meta.source_ip
distinct: evt.Parsed.what
capacity: 3
leakspeed: 10s
blackhole: 1m
labels: {remediation: true}
---
type: trigger
name: fuzz/trigger
filter: evt.Parsed.who == 'trigger'
blackhole: 2m
labels: {}
---
type: counter
name: fuzz/counter
filter: evt.Parsed.who == 'counter'
duration: 1m
capacity: -1
labels: {}
---
type: conditional
name: fuzz/conditional
filter: evt.Parsed.who == 'conditional'
condition: len(queue.Queue) > 2
capacity: -1
leakspeed: 1m
labels: {}
";

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(engine());
}

/// The first byte says whether the rest is a whole snapshot or one without its checksum.
pub fn snapshot(data: &[u8]) {
    let (whole, data) = knob(data);
    let mut bytes = data.to_vec();
    if whole == 0 {
        bytes.extend(Sha256::digest(data));
    }
    ENGINE.with_borrow_mut(|engine| {
        if let Some(taken) = restored(engine, &bytes) {
            use_it(engine, taken);
        }
    });
}

/// How many buckets were taken over, if it is a snapshot.
fn restored(engine: &mut Engine, bytes: &[u8]) -> Option<u64> {
    let before = engine.snapshot();
    let Ok(report) = engine.restore(bytes) else {
        assert!(
            before == engine.snapshot(),
            "a failed restore changed something"
        );
        return None;
    };
    assert_eq!(engine.stats().buckets_live, report.buckets);
    // What was taken is written, and what is written is taken.
    let after = engine.snapshot();
    let again = engine.restore(&after).expect("its own snapshot");
    assert_eq!(
        (again.buckets, again.blackholes),
        (report.buckets, report.blackholes)
    );
    assert_eq!(again.dropped, 0);
    assert!(
        after == engine.snapshot(),
        "a snapshot changes by being restored"
    );
    Some(report.buckets)
}

fn use_it(engine: &mut Engine, taken: u64) {
    let mut alerts = Vec::new();
    for text in [
        "leaky 1",
        "leaky 2",
        "trigger 1",
        "counter 1",
        "conditional 1",
    ] {
        pour(engine, text, NOW, &mut alerts);
    }
    engine.tick(NOW, &mut alerts);
    engine.tick(Timestamp::MAX, &mut alerts);
    // Buckets of a recording do not end by the clock; whatever stays is from the snapshot.
    let stats = engine.stats();
    assert!(stats.buckets_live <= taken, "a bucket outlived all time");
    assert!(
        stats.buckets_live > 0 || stats.queue_bytes == 0,
        "memory is not given back"
    );
}

fn pour(engine: &mut Engine, text: &str, now: Timestamp, alerts: &mut Vec<model::Alert>) {
    let source = SourceInfo {
        name: "fuzz.log".to_owned(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), "fuzz".to_owned())].into(),
    };
    let meta = meta(0);
    let record = Record {
        meta: &meta,
        text: text.as_bytes(),
        raw: text.as_bytes(),
    };
    engine.observe(&record, &source, Clock::Live { now }, alerts);
}

fn engine() -> Engine {
    let files = vec![
        RuleFile::new("rules/fuzz/s00-raw/raw.yaml", PARSER),
        RuleFile::new("rules/fuzz/scenarios/all.yaml", SCENARIOS),
    ];
    let (rules, faults) = Rules::load(files, &[]);
    assert!(faults.is_empty(), "{faults:?}");
    Engine::new(rules, EngineOptions::default())
}

/// Snapshots of engines that have seen `lines`: where the fuzzer may begin.
pub fn snapshot_seed(lines: &[&str]) -> Vec<u8> {
    let mut engine = engine();
    let mut alerts = Vec::new();
    for line in lines {
        pour(&mut engine, line, NOW, &mut alerts);
    }
    let bytes = engine.snapshot();
    let unsigned = bytes.len().saturating_sub(32);
    [&[0], bytes.get(..unsigned).unwrap_or_default()].concat()
}
