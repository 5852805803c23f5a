//! Sigma rules through the whole engine: events in, alerts out.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: they stop at the first surprise"
)]

use std::collections::BTreeMap;

use detect::engine::{Clock, Engine, EngineOptions, EntryKind, Outcome, RuleFile, Rules};
use model::{Alert, LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp};

struct Run {
    engine: Engine,
    source: SourceInfo,
    alerts: Vec<Alert>,
    line: u64,
}

impl Run {
    fn new(kind: &str, rules: &[&str]) -> Self {
        let files: Vec<RuleFile> = (1..)
            .zip(rules)
            .map(|(n, text): (u32, _)| RuleFile::new(format!("sigma/rule_{n}.yml"), *text))
            .collect();
        Self::with(kind, files)
    }

    fn with(kind: &str, files: Vec<RuleFile>) -> Self {
        let (rules, found) = Rules::load(files, &[]);
        assert!(found.is_empty(), "{found:?}");
        Self {
            engine: Engine::new(rules, EngineOptions::default()),
            source: SourceInfo {
                name: "test".to_owned(),
                module: "file".to_owned(),
                labels: [("type".to_owned(), kind.to_owned())].into(),
            },
            alerts: Vec::new(),
            line: 0,
        }
    }

    fn see(&mut self, line: &str) -> Outcome {
        self.line += 1;
        let meta = RecordMeta {
            source: SourceId(0),
            origin: LineOrigin::Stream { line: self.line },
            received: Timestamp::EPOCH,
            text: 0..line.len(),
            raw: 0..0,
            truncated: false,
            catch_up: false,
        };
        let record = Record {
            meta: &meta,
            text: line.as_bytes(),
            raw: line.as_bytes(),
        };
        self.engine
            .observe(&record, &self.source, Clock::Recording, &mut self.alerts)
    }

    fn rules(&self) -> Vec<&str> {
        self.alerts
            .iter()
            .map(|alert| alert.rule.as_str())
            .collect()
    }

    fn again(&mut self, kind: &str, rules: &[&str]) {
        let snapshot = self.engine.snapshot();
        let other = Self::new(kind, rules);
        self.engine = other.engine;
        let report = self.engine.restore(&snapshot).unwrap();
        assert_eq!(report.dropped, 0);
    }
}

const DELETE_TRAIL: &str = "
title: Audit Trail Switched Off
id: 7a1b0c52-3f7e-4d4f-9a0e-0d5b8a0f6c11
author: A. Writer
level: high
references: [https://example.org/note]
tags: [attack.t1562.008, attack.defense-evasion]
logsource:
    product: aws
    service: cloudtrail
detection:
    selection:
        eventSource: cloudtrail.amazonaws.com
        eventName: [StopLogging, DeleteTrail]
    filter:
        userIdentity.arn|endswith: ':role/keeper'
    condition: selection and not filter
";

#[test]
fn an_alert_keeps_what_the_licence_asks_for() {
    let mut run = Run::new("json", &[DELETE_TRAIL]);
    let event = |who: &str, name: &str| {
        format!(
            r#"{{"eventSource":"cloudtrail.amazonaws.com","eventName":"{name}","sourceIPAddress":"192.0.2.7",
            "eventTime":"2026-03-01T10:00:00Z","userIdentity":{{"arn":"arn:aws:iam::1:{who}"}}}}"#
        )
    };
    run.see(&event("role/keeper", "StopLogging"));
    run.see(&event("user/x", "DescribeTrails"));
    assert!(run.alerts.is_empty());
    run.see(&event("user/x", "stoplogging"));
    let alert = &run.alerts[0];
    assert_eq!(alert.rule, "sigma/rule_1");
    assert_eq!(
        (alert.value.as_str(), alert.remediation),
        ("192.0.2.7", false)
    );
    for part in [
        "Audit Trail Switched Off",
        "7a1b0c52",
        "A. Writer",
        "DRL-1.1",
        "high",
    ] {
        assert!(alert.message.contains(part), "{}", alert.message);
    }
    assert_eq!(alert.labels["author"], "A. Writer");
    assert_eq!(alert.labels["license"], "DRL-1.1");
    assert_eq!(alert.labels["severity"], "high");
    assert_eq!(alert.labels["references"][0], "https://example.org/note");
    assert_eq!(alert.labels["classification"][0], "attack.T1562.008");
    assert_eq!(alert.evidence.len(), 1);
    assert_eq!(alert.first.to_string(), "2026-03-01T10:00:00Z");
    assert_eq!(run.engine.stats().sigma_events, 3);
    assert_eq!(run.engine.stats().sigma_matches, 1);
    let entry = &run.engine.entries()[0];
    assert_eq!(
        (entry.kind, entry.description.as_str()),
        (EntryKind::Sigma, "Audit Trail Switched Off")
    );
}

#[test]
fn audit_lines_match_by_field_and_by_word() {
    let by_field = "
title: Log Reader
logsource: {product: linux, service: auditd}
detection:
    s: {type: PATH, name|startswith: /etc/audit/}
    condition: s
";
    let by_word = "
title: Shell From A Word
logsource: {product: linux, service: auditd}
detection:
    s: {type: EXECVE}
    words: {'|all': [bash, '-i']}
    condition: s and words
";
    let mut run = Run::new("auditd", &[by_field, by_word]);
    run.see(
        "type=PATH msg=audit(1772359200.000:7): item=0 name=\"/etc/audit/audit.rules\" inode=1",
    );
    run.see("type=EXECVE msg=audit(1772359201.000:8): argc=2 a0=\"bash\" a1=\"-i\"");
    run.see("type=EXECVE msg=audit(1772359202.000:9): argc=1 a0=\"ls\"");
    assert_eq!(run.rules(), ["sigma/rule_1", "sigma/rule_2"]);
    assert_eq!(run.alerts[0].first.to_string(), "2026-03-01T10:00:00Z");
    // The same records are known by their form in any file.
    let mut run = Run::new("syslog", &[by_field]);
    run.see("node=a type=PATH msg=audit(1772359200.000:7): name=\"/etc/audit/x\"");
    assert_eq!(run.alerts.len(), 1);
}

const NGINX: &str = r#"
name: test/nginx
filter: "evt.Line.Labels.type == 'nginx'"
onsuccess: next_stage
nodes:
  - grok:
      apply_on: Line.Raw
      pattern: '^%{NOTSPACE:remote_addr} - %{NOTSPACE} \[%{DATA}\] "%{WORD:verb} %{NOTSPACE:request} HTTP/1.1" %{INT:status} %{INT} "-" "%{DATA:http_user_agent}"$'
    statics:
      - meta: source_ip
        expression: evt.Parsed.remote_addr
"#;

#[test]
fn access_logs_match_as_parsers_read_them() {
    let rule = "
title: Passwords Asked For
logsource: {category: webserver}
detection:
    s:
        cs-method: GET
        cs-uri-query|contains: /etc/passwd
        sc-status: 200
    agent:
        cs-user-agent|contains: friendly
    condition: s and not agent
";
    let mut run = Run::with(
        "nginx",
        vec![
            RuleFile::new("parsers/s01-parse/nginx.yaml", NGINX),
            RuleFile::new("any/rule.yml", rule),
        ],
    );
    let line = |target: &str, status: u32, agent: &str| {
        format!("192.0.2.9 - - [x] \"GET {target} HTTP/1.1\" {status} 5 \"-\" \"{agent}\"")
    };
    run.see(&line("/a?f=/ETC/passwd", 200, "x"));
    run.see(&line("/a?f=/etc/passwd", 404, "x"));
    run.see(&line("/a?f=/etc/passwd", 200, "a Friendly one"));
    assert_eq!(
        run.see(&line("/a?f=/etc/hosts", 200, "x")),
        Outcome::Skipped
    );
    assert_eq!(run.alerts.len(), 1, "{:?}", run.rules());
    assert_eq!(run.alerts[0].value, "192.0.2.9");
}

#[test]
fn other_sources_are_known_by_their_shape_or_their_labels() {
    let rule = |source: &str, field: &str| {
        format!(
            "\ntitle: T\nlogsource: {{{source}}}\ndetection:\n  s: {{{field}}}\n  condition: s\n"
        )
    };
    for (kind, source, field, event) in [
        (
            "json",
            "product: kubernetes, service: audit",
            "verb: create, objectRef.resource: pods, objectRef.subresource: exec",
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"create","objectRef":{"resource":"pods","subresource":"exec"}}"#,
        ),
        (
            "dns",
            "category: dns",
            "query|endswith: .tunnel.example",
            r#"{"query":"abc.tunnel.example","record_type":"TXT"}"#,
        ),
        (
            "proxy",
            "category: proxy",
            "c-uri|endswith: /gate.php, c-useragent: null",
            r#"{"method":"POST","url":"http://198.51.100.3/gate.php"}"#,
        ),
        (
            "json",
            "product: zeek, service: dce_rpc",
            "operation: CreateServiceW",
            r#"{"_path":"dce_rpc","operation":"CreateServiceW","id.orig_h":"192.0.2.1"}"#,
        ),
        (
            "json",
            "product: windows, category: process_creation",
            "Image|endswith: '\\whoami.exe'",
            r#"{"Event":{"System":{"EventID":4688,"Channel":"Security"},"EventData":{"NewProcessName":"C:\\x\\WHOAMI.exe"}}}"#,
        ),
        (
            "json",
            "product: windows, service: sysmon",
            "EventID: 255",
            r#"{"EventID":255,"Channel":"Microsoft-Windows-Sysmon/Operational"}"#,
        ),
        (
            "json",
            "product: gcp, service: gcp.audit",
            "gcp.audit.method_name|endswith: .delete",
            r#"{"protoPayload":{"methodName":"v1.buckets.delete","serviceName":"storage.googleapis.com"}}"#,
        ),
    ] {
        let mut run = Run::new(kind, &[&rule(source, field)]);
        run.see(event);
        assert_eq!(run.alerts.len(), 1, "{source}: {event}");
        // The same event of another kind of source says nothing.
        let mut run = Run::new("x", &[&rule("product: other", field)]);
        run.see(event);
        assert!(run.alerts.is_empty(), "{source}");
    }
    let mut run = Run::new(
        "json",
        &[&rule("product: acme, service: door", "state: open")],
    );
    run.see(r#"{"state":"open"}"#);
    assert!(run.alerts.is_empty());
    run.source
        .labels
        .insert("sigma_product".to_owned(), "acme".to_owned());
    run.source
        .labels
        .insert("sigma_service".to_owned(), "door".to_owned());
    run.see(r#"{"state":"open"}"#);
    run.see("ts=1 state=open");
    assert_eq!(run.alerts.len(), 2);
}

const LOGIN: &str = "
title: Failed Login
id: 11111111-0000-4000-8000-000000000001
name: failed
logsource: {product: acme}
detection:
    s: {event: login, ok: false}
    condition: s
---
title: Login
name: good
logsource: {product: acme}
detection:
    s: {event: login, ok: true}
    condition: s
";

fn login(second: u32, user: &str, host: &str, ok: bool) -> String {
    format!(
        r#"{{"time":"2026-03-01T10:00:{second:02}Z","event":"login","ok":{ok},"user":"{user}","hostname":"{host}"}}"#
    )
}

fn acme(correlation: &str) -> Run {
    let mut run = Run::new("json", &[LOGIN, correlation]);
    let own: BTreeMap<String, String> = [("sigma_product".to_owned(), "acme".to_owned())].into();
    run.source.labels.extend(own);
    run
}

const MANY: &str = "
title: Many Failed Logins
name: many
correlation:
    type: event_count
    rules: [failed]
    group-by: [user]
    timespan: 10s
    condition: {gte: 3}
";

#[test]
fn counts_slide_by_group_and_outlive_a_restart() {
    let mut run = acme(MANY);
    for (second, user) in [(0, "a"), (1, "b"), (5, "a"), (12, "a"), (13, "b")] {
        run.see(&login(second, user, "h", false));
    }
    // Of a's three the first is too old; the rule itself is silent, for it only counts.
    assert!(run.alerts.is_empty(), "{:?}", run.rules());
    run.again("json", &[LOGIN, MANY]);
    run.see(&login(14, "a", "h", false));
    assert_eq!(run.rules(), ["sigma/rule_2"]);
    assert_eq!(run.alerts[0].evidence.len(), 3);
    assert_eq!(run.alerts[0].value, "h");
    assert!(run.alerts[0].message.contains("Many Failed Logins"));
}

#[test]
fn different_values_are_counted_once() {
    let mut run = acme(
        "
title: One Host Many Names
correlation:
    type: value_count
    rules: [failed]
    group-by: [hostname]
    timespan: 1m
    condition: {field: user, gt: 2}
    generate: true
",
    );
    for user in ["a", "a", "b", "a"] {
        run.see(&login(1, user, "h", false));
    }
    assert_eq!(run.rules(), ["sigma/rule_1"; 4]);
    run.see(&login(2, "c", "other", false));
    run.see(&login(2, "c", "h", false));
    assert_eq!(
        run.rules().iter().filter(|r| **r == "sigma/rule_2").count(),
        1
    );
}

#[test]
fn correlations_chain_in_their_order() {
    let chain = format!(
        "{MANY}---
title: Guessed
correlation:
    type: temporal_ordered
    rules: [many, good]
    group-by: [user]
    timespan: 30s
"
    );
    let mut run = acme(&chain);
    run.see(&login(1, "a", "h", true));
    for second in 2..5 {
        run.see(&login(second, "a", "h", false));
    }
    assert!(run.alerts.is_empty(), "{:?}", run.rules());
    run.see(&login(6, "b", "h", true));
    assert!(run.alerts.is_empty(), "{:?}", run.rules());
    run.see(&login(7, "a", "h", true));
    assert_eq!(run.alerts.len(), 1);
    assert!(
        run.alerts[0].message.contains("Guessed"),
        "{}",
        run.alerts[0].message
    );
}

#[test]
fn correlations_that_cannot_run_are_named() {
    for (text, message) in [
        (MANY.replace("failed", "nobody"), "`nobody`"),
        (MANY.replace("gte: 3", "lte: 3"), "give it `gte`"),
        (MANY.replace("gte: 3", "gte: 3000"), "wait in one group"),
        (MANY.replace("[failed]", "[many]"), "name each other"),
    ] {
        let files = [LOGIN, &text].map(|text| RuleFile::new("sigma/x.yml", text));
        let (rules, found) = Rules::load(files.to_vec(), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains(message), "{}", found[0]);
        assert_eq!(rules.entries().len(), 2, "the rules themselves load");
    }
}

#[test]
fn filters_and_placeholders_narrow_rules() {
    let filter = "
title: Known Users
logsource: {product: acme}
filter:
    rules: [failed]
    s: {user: robot}
    condition: not s
";
    let placeholder = "
title: Only The Listed
logsource: {product: acme}
detection:
    s: {event: login, user|expand: '%robots%'}
    t: {user|expand: '%unknown%'}
    condition: s and not t or event
    event: {event: nothing}
";
    let files = [
        ("a.yml", LOGIN),
        ("b.yml", filter),
        ("c.yml", placeholder),
        ("d.yml", "placeholders:\n  robots: [rob*]\n"),
    ];
    let files: Vec<RuleFile> = files.map(|(name, text)| RuleFile::new(name, text)).to_vec();
    let (rules, found) = Rules::load(files, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.contains("%unknown%"), "{}", found[0]);
    let mut run = Run::new("json", &[]);
    run.engine = Engine::new(rules, EngineOptions::default());
    run.source
        .labels
        .insert("sigma_product".to_owned(), "acme".to_owned());
    run.see(&login(1, "robot", "h", false));
    assert!(run.alerts.is_empty(), "{:?}", run.rules());
    run.see(&login(1, "x", "h", false));
    run.see(r#"{"event":"nothing"}"#);
    assert_eq!(run.rules(), ["sigma/a", "sigma/c"]);
}

#[test]
fn lines_that_no_rule_concerns_are_left_at_once() {
    let mut run = Run::new("syslog", &[DELETE_TRAIL]);
    assert_eq!(
        run.see("sshd[1]: Failed password for root"),
        Outcome::Skipped
    );
    assert_eq!(run.see("{\"not\": \"known\"}"), Outcome::Skipped);
    assert_eq!(run.see("{broken"), Outcome::Skipped);
    let stats = run.engine.stats();
    assert_eq!(
        (stats.sigma_events, stats.sigma_unreadable, stats.skipped),
        (0, 1, 3)
    );
}
