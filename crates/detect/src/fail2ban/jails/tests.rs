use model::{Alert, LineOrigin, Record, RecordMeta, SourceId};

use super::*;
use crate::engine::{Clock, Engine, EngineOptions, Outcome, Rules};

const FILTER: &str =
    "[Definition]\nfailregex = ^ door: knock by <F-USER>\\S+</F-USER> from <HOST>$\n";

fn engine(jails: &str) -> Engine {
    let files = vec![
        RuleFile::new("/etc/fail2ban/jail.conf", jails),
        RuleFile::new("/etc/fail2ban/filter.d/door.conf", FILTER),
    ];
    let (rules, found) = Rules::load(files, &[]);
    assert_eq!(found, []);
    Engine::new(rules, EngineOptions::default())
}

fn feed(engine: &mut Engine, kind: &str, seconds: &[(u32, &str)]) -> Vec<Alert> {
    let source = SourceInfo {
        name: "/var/log/door.log".to_owned(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), kind.to_owned())].into(),
    };
    let mut alerts = Vec::new();
    for (second, address) in seconds {
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        let second = second % 60;
        let line =
            format!("Aug 14 {hour:02}:{minute:02}:{second:02} door: knock by ann from {address}");
        let meta = meta();
        let record = Record {
            raw: line.as_bytes(),
            text: line.as_bytes(),
            meta: &meta,
        };
        engine.observe(&record, &source, Clock::Recording, &mut alerts);
    }
    alerts
}

fn meta() -> RecordMeta {
    RecordMeta {
        source: SourceId(0),
        origin: LineOrigin::Stream { line: 1 },
        received: Timestamp::from_nanos(1_124_064_000 * 1_000_000_000),
        text: 0..0,
        raw: 0..0,
        truncated: false,
        catch_up: false,
    }
}

const JAIL: &str = "[DEFAULT]\nmaxretry = 3\nfindtime = 60\nbantime = 1h\n\
    bantime.increment = true\nbantime.multipliers = 1 5 30\nignoreip = 192.0.2.128/25 host.example\n\
    [door]\nenabled = true\nlogpath = /var/log/door*.log\n[other]\nfilter = missing\n";

#[test]
fn the_third_failure_within_the_time_is_one_too_many() {
    let mut engine = engine(JAIL);
    let one = "192.0.2.1";
    let alerts = feed(
        &mut engine,
        "syslog",
        &[(0, one), (10, one), (11, "192.0.2.2"), (20, one)],
    );
    let [alert] = alerts.as_slice() else {
        panic!("{alerts:?}");
    };
    assert_eq!(alert.rule, "fail2ban/door");
    assert_eq!(alert.value, one);
    assert!(alert.remediation);
    assert_eq!(
        alert.labels["ban"],
        json!({
            "seconds": 3600, "grows": true, "multipliers": [1.0, 5.0, 30.0],
        })
    );
    assert_eq!(alert.events.len(), 3);
    assert_eq!(&alert.events[0].meta["target_user"], "ann");
    assert_eq!(alert.evidence.len(), 3);
}

#[test]
fn failures_further_apart_fade() {
    let mut engine = engine(JAIL);
    let one = "192.0.2.1";
    assert_eq!(
        feed(&mut engine, "syslog", &[(0, one), (50, one), (111, one)]).len(),
        0
    );
    // Two within the last minute, as the estimate goes, and a third.
    assert_eq!(
        feed(&mut engine, "syslog", &[(112, one), (113, one)]).len(),
        1
    );
}

#[test]
fn whom_the_jail_ignores_is_counted_only() {
    let mut engine = engine(JAIL);
    let own = "192.0.2.200";
    assert_eq!(
        feed(&mut engine, "syslog", &[(0, own), (1, own), (2, own)]).len(),
        0
    );
    assert_eq!(engine.stats().jails.ignored, 3);
    assert_eq!(
        feed(
            &mut engine,
            "syslog",
            &[(3, "no.example"), (3, "no.example")]
        )
        .len(),
        0
    );
    assert_eq!(engine.stats().jails.nameless, 2);
}

#[test]
fn other_sources_do_not_concern_it() {
    let jail = JAIL.replace("/var/log/door*.log", "/var/log/else");
    let one = "192.0.2.1";
    let lines = [(0, one), (1, one), (2, one)];
    assert_eq!(feed(&mut engine(&jail), "syslog", &lines).len(), 0);
    assert_eq!(feed(&mut engine(&jail), "door", &lines).len(), 1);
    assert_eq!(feed(&mut engine(&jail), "fail2ban/door", &lines).len(), 1);
}

#[test]
fn counts_survive_a_restart() {
    let one = "192.0.2.1";
    let mut before = engine(JAIL);
    assert_eq!(feed(&mut before, "syslog", &[(0, one), (1, one)]).len(), 0);
    let mut after = engine(JAIL);
    assert_eq!(after.restore(&before.snapshot()).unwrap().buckets, 1);
    assert_eq!(feed(&mut after, "syslog", &[(2, one)]).len(), 1);
}

#[test]
fn what_does_not_run_is_named() {
    let files = vec![
        RuleFile::new(
            "f2b/jail.local",
            "[a]\nenabled = yes\nfilter = missing\n[b]\nenabled = yes\nfindtime = soon\n",
        ),
        RuleFile::new("f2b/filter.d/b.conf", FILTER),
    ];
    let (_, found) = Rules::load(files, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].message.contains("jail [a]: filter.d/missing.conf"),
        "{found:?}"
    );
    assert!(found[1].message.contains("findtime = soon"), "{found:?}");
}

#[test]
fn globs() {
    for (pattern, name, expected) in [
        ("/var/log/*error.log", "/var/log/x-error.log", true),
        ("/var/log/*error.log", "/var/log/error.log.1", false),
        ("/a?c", "/abc", true),
        ("*", "", true),
        ("/a", "/a", true),
        ("a*b*c", "aXbYbZc", true),
    ] {
        assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn outcome_tells_that_it_counted() {
    let mut engine = engine(JAIL);
    let source = SourceInfo {
        name: "stdin".to_owned(),
        module: "stdin".to_owned(),
        labels: [("type".to_owned(), "door".to_owned())].into(),
    };
    let line = b"Aug 14 00:00:00 door: knock by ann from 192.0.2.1";
    let meta = meta();
    let record = Record {
        raw: line,
        text: line,
        meta: &meta,
    };
    let outcome = engine.observe(&record, &source, Clock::Recording, &mut Vec::new());
    assert_eq!(outcome, Outcome::Parsed { poured: 1 });
}
