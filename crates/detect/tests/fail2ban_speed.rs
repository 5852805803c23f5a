//! How fast fail2ban's own sshd filter runs: a measurement, run alone and in release.
//!
//! `POSSE_SSHD_LOG=auth.log cargo test --release -p detect --test fail2ban_speed -- --ignored
//! --nocapture`, with a log such as `bench/sshd_log.py` writes.
use std::{fs, time::Instant};

use detect::engine::{Clock, Engine, EngineOptions, RuleFile, Rules};
use model::{LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp};

#[test]
#[ignore = "a measurement: run alone, in release"]
fn lines_of_sshd() {
    let Some(log) = std::env::var_os("POSSE_SSHD_LOG") else {
        println!("SKIPPED: POSSE_SSHD_LOG names no log");
        return;
    };
    let Some(corpus) = outside::shared("corpora/fail2ban/filter.d") else {
        return;
    };
    let mut files = vec![RuleFile::new(
        "jail.local",
        "[sshd]\nenabled = true\nmaxretry = 5\nfindtime = 10m\nbantime = 10m\n",
    )];
    for name in ["common.conf", "sshd.conf"] {
        let text = outside::read(&corpus.join(name));
        files.push(RuleFile::new(format!("filter.d/{name}"), text));
    }
    let (rules, found) = Rules::load(files, &[]);
    assert_eq!(found, []);
    let mut engine = Engine::new(rules, EngineOptions::default());
    let bytes = fs::read(log).unwrap();
    let source = SourceInfo {
        name: "auth.log".to_owned(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), "sshd".to_owned())].into(),
    };
    let meta = RecordMeta {
        source: SourceId(0),
        origin: LineOrigin::Stream { line: 1 },
        received: Timestamp::from_nanos(1_795_000_000_000_000_000),
        text: 0..0,
        raw: 0..0,
        truncated: false,
        catch_up: false,
    };
    let mut alerts = Vec::new();
    let start = Instant::now();
    let mut lines = 0u64;
    for line in bytes.split(|b| *b == b'\n') {
        let record = Record {
            meta: &meta,
            text: line,
            raw: line,
        };
        engine.observe(&record, &source, Clock::Recording, &mut alerts);
        lines += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{lines} lines in {seconds:.2} s: {:.0} a second; {} alerts; {:?}",
        lines as f64 / seconds,
        alerts.len(),
        engine.stats()
    );
}
