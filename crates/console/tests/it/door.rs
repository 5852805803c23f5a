//! Who is let in, what every answer says, and how much one reader may take.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use console::{ConsoleConfig, ConsoleError, Inputs};
use model::{
    Decision, Entry, Happening, Measure, Notice, Origin, RawText, RecordStatus, SourceStatus,
    Status,
};

use crate::support::{Answer, Site, alert, next_event, now, parse};

const PATHS: [&str; 10] = [
    "/",
    "/alerts",
    "/bans",
    "/metrics",
    "/api/status.json",
    "/healthz",
    "/console.css",
    "/console.js",
    "/icon.svg",
    "/nowhere",
];

fn running() -> Status {
    Status {
        version: "0.0.1".into(),
        at: now(),
        started: now(),
        mode: "enforce".into(),
        sources: vec![SourceStatus {
            name: "/var/log/auth.log".into(),
            r#type: "syslog".into(),
            lines: 3,
            ..SourceStatus::default()
        }],
        ..Status::default()
    }
}

fn assert_dressed(answer: &Answer, path: &str) {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{path}");
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert!(answer.header("cache-control").is_some(), "{path}");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn every_answer_forbids_what_pages_could_do() {
    let site = Site::new();
    site.publish(running());
    for path in PATHS {
        let answer = site.get(path);
        let expected = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}: {}", answer.body);
        assert_dressed(&answer, path);
        let head = site.ask("HEAD", path, "Host: localhost\r\n");
        assert_eq!((head.status, head.body.as_str()), (expected, ""), "{path}");
        if answer
            .header("content-type")
            .is_some_and(|t| t.starts_with("text/html"))
        {
            assert!(!answer.body.contains("<style"), "{path}");
            assert!(!answer.body.contains(" style="), "{path}");
            assert!(!answer.body.contains("<script>"), "{path}");
        }
    }
}

#[test]
fn other_names_other_sites_and_other_methods_are_refused() {
    let site = Site::new();
    for path in PATHS {
        let rebound = site.ask("GET", path, "Host: attacker.example\r\n");
        assert_eq!(rebound.status, 421, "{path}");
        assert_dressed(&rebound, path);
        let foreign =
            "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
        assert_eq!(site.ask("GET", path, foreign).status, 403, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = site.ask(method, path, "Host: localhost\r\nContent-Length: 0\r\n");
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
    assert!(
        site.get("/metrics")
            .body
            .contains("posse_console_refused_total 90")
    );
}

#[test]
fn a_token_keeps_everything_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "a-secret-of-24-characters\n").unwrap();
    std::os::unix::fs::chown(&path, None, None).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    let site = Site::with(ConsoleConfig {
        token_file: Some(path),
        ..ConsoleConfig::default()
    });
    site.publish(running());
    for path in PATHS {
        let answer = site.get(path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").is_some());
    }
    let shown = "Host: localhost\r\nAuthorization: Bearer a-secret-of-24-characters\r\n";
    assert_eq!(site.ask("GET", "/", shown).status, 200);
}

#[test]
fn a_port_that_is_taken_is_said() {
    let site = Site::new();
    let config = ConsoleConfig {
        listen: site.address,
        ..ConsoleConfig::default()
    };
    let (_, news) = crossbeam_channel::bounded(1);
    let inputs = Inputs {
        news,
        latest: Box::new(|| None),
        state: "/nonexistent".into(),
    };
    let error = console::start(&config, inputs).unwrap_err();
    assert!(matches!(error, ConsoleError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("free port"), "{error}");
}

#[test]
fn what_is_on_record_is_shown_and_escaped() {
    let mut site = Site::new();
    site.publish(running());
    let bad =
        "sshd[1]: Failed password for invalid user <script>alert(1)</script> from 198.51.100.9";
    let alert = alert("198.51.100.9", bad);
    let mut binary = alert.clone();
    binary.evidence[0].raw = RawText::new(b"\xff\x1b[31m</li><b>");
    binary.id = model::AlertId::derive(&[b"binary"]);
    let decision = |n: u32| Decision {
        measure: Measure::Ban,
        prefix: format!("198.18.{}.{}", n / 256, n % 256).parse().unwrap(),
        from: now(),
        until: now().plus(Duration::from_secs(3_600)),
        reason: "<b>posse</b>".into(),
        origin: Origin::Guard,
        alerts: vec![alert.id],
        repeat: 2,
        in_kernel: None,
    };
    let mut entries = vec![Entry::Alert(alert.clone()), Entry::Alert(binary.clone())];
    entries.extend((0..250).map(|n| Entry::Decision(decision(n))));
    site.record(&entries);

    let list = site.get("/alerts");
    assert!(list.body.contains("&lt;script&gt;"), "{}", list.body);
    assert!(!list.body.contains("<script>"), "{}", list.body);
    let one = site.get(&format!("/alerts/{}", alert.id));
    assert_eq!(one.status, 200, "{}", one.body);
    assert!(
        one.body.contains("user &lt;script&gt;alert(1)&lt;"),
        "{}",
        one.body
    );
    assert!(one.body.contains("entry 0"), "{}", one.body);
    let other = site.get(&format!("/alerts/{}", binary.id));
    assert!(other.body.contains("\\x1b[31m&lt;"), "{}", other.body);
    let unknown = site.get("/alerts/00000000000000000000000000000000");
    assert_eq!(unknown.status, 404);
    assert_eq!(site.get("/alerts/../../etc/passwd").status, 404);
    assert_eq!(site.get("/alerts?before=x").status, 400);

    // Every ban once over the pages, the newest first.
    let mut seen = Vec::new();
    let mut path = "/bans".to_owned();
    loop {
        let page = site.get(&path);
        assert_eq!(page.status, 200, "{}", page.body);
        let keys = page.body.split("data-key=\"").skip(1);
        seen.extend(keys.map(|k| k.split('"').next().unwrap().to_owned()));
        let Some(next) = page.body.split("rel=\"next\" href=\"").nth(1) else {
            break;
        };
        path = next.split('"').next().unwrap().replace("&#x2f;", "/");
    }
    let expected: Vec<String> = (0..250)
        .rev()
        .map(|n| decision(n).prefix.to_string())
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_flood_of_connections_leaves_room_and_slow_heads_are_cut() {
    let site = Site::new();
    site.publish(running());
    // More than are served at a time, none of which ever finishes its head.
    let mut lazy: Vec<_> = (0..80).map(|_| site.connect()).collect();
    for stream in &mut lazy {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: loc").unwrap();
    }
    let began = Instant::now();
    drop(lazy.split_off(40));
    assert_eq!(site.get("/healthz").body, "ok\n");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn heads_are_bounded() {
    let site = Site::new();
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(
        site.ask("GET", "/", &format!("Host: localhost\r\n{many}"))
            .status,
        431
    );
    let mut stream = site.connect();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        .unwrap();
    let long = format!("X: {}\r\n", "y".repeat(8 << 10));
    let mut sent = 0;
    // The server may answer and close before all is written.
    while sent < 64 << 10 && stream.write_all(long.as_bytes()).is_ok() {
        sent += long.len();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let status = parse(&String::from_utf8_lossy(&answer)).status;
    assert!(status == 431 || status == 0, "{status}");
    assert_eq!(site.get("/healthz").status, 503);
}

#[test]
fn streams_are_counted_and_bounded() {
    let site = Site::new();
    site.publish(running());
    let open: Vec<_> = (0..24).map(|_| site.follow("/events", "")).collect();
    let refused = site.get("/live");
    assert_eq!(refused.status, 503);
    let metrics = site.get("/metrics").body;
    assert!(metrics.contains("posse_console_streams 24"), "{metrics}");
    assert!(
        metrics.contains("posse_console_streams_refused_total 1"),
        "{metrics}"
    );
    drop(open);
    // A stream that is gone is noticed when something is sent to it.
    site.tell(notice("anyone there?"));
    wait_until(&site, "posse_console_streams 0");
}

fn wait_until(site: &Site, line: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    while !site.get("/metrics").body.lines().any(|l| l == line) {
        assert!(Instant::now() < end, "gave up waiting for {line}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn notice(text: &str) -> Happening {
    Happening::Notice(Notice {
        at: now(),
        code: "test".into(),
        text: text.into(),
        prefixes: Vec::new(),
    })
}

#[test]
fn news_go_out_at_once_and_those_who_come_back_miss_nothing() {
    let site = Site::new();
    let mut stream = site.follow("/events", "");
    let began = Instant::now();
    site.tell(notice("one"));
    let (kind, id, data) = next_event(&mut stream);
    assert!(began.elapsed() < Duration::from_millis(200));
    assert_eq!(kind, "notice");
    assert!(data.contains("\"text\":\"one\""), "{data}");
    drop(stream);
    for text in ["two", "three"] {
        site.tell(notice(text));
    }
    let mut back = site.follow("/events", &format!("Last-Event-ID: {id}\r\n"));
    for text in ["two", "three"] {
        let (_, _, data) = next_event(&mut back);
        assert!(data.contains(text), "{data}");
    }
    // Away for longer than the ring remembers: it is said how much may be missing.
    for n in 0..1_000 {
        site.tell(notice(&format!("flood {n}")));
    }
    wait_until(&site, "posse_console_news_total 1003");
    let mut late = site.follow("/events", &format!("Last-Event-ID: {id}\r\n"));
    let (kind, _, data) = next_event(&mut late);
    assert_eq!(kind, "missed", "{data}");
    // An id of another run is no place in this one: from now on.
    let mut strange = site.follow("/events", "Last-Event-ID: beef-1\r\n");
    site.tell(notice("fresh"));
    assert!(next_event(&mut strange).2.contains("fresh"));
}

#[test]
fn an_open_page_gets_rows_and_numbers() {
    let site = Site::new();
    let status = running();
    site.publish(status.clone());
    let mut page = site.follow("/live", "");
    let (kind, _, first) = next_event(&mut page);
    assert_eq!(kind, "page");
    assert!(first.contains("Enforcing"), "{first}");
    site.tell(Happening::Alert(Box::new(alert("198.51.100.7", "a line"))));
    let began = Instant::now();
    loop {
        let (_, _, data) = next_event(&mut page);
        if data.contains("198.51.100.7") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{data}");
    }
    assert!(began.elapsed() < Duration::from_millis(300));
    site.publish(Status {
        recorder: RecordStatus {
            paused: Some("no space left".into()),
            ..RecordStatus::default()
        },
        ..status
    });
    loop {
        let (_, _, data) = next_event(&mut page);
        if data.contains("Recording is paused, bans go on: no space left") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{data}");
    }
}

#[test]
fn without_scripts_the_page_is_whole() {
    let mut site = Site::new();
    site.publish(running());
    site.record(&[Entry::Alert(alert("198.51.100.8", "from the record"))]);
    site.tell(Happening::Alert(Box::new(alert(
        "198.51.100.7",
        "just now",
    ))));
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let page = site.get("/").body;
        if page.contains("just now") && page.contains("from the record") {
            assert!(
                page.contains("<noscript><meta http-equiv=\"refresh\""),
                "{page}"
            );
            return;
        }
        assert!(Instant::now() < end, "{page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn readers_that_do_not_read_hold_nothing_up() {
    let site = Site::new();
    site.publish(running());
    // They ask and never take the answer.
    let _stuck: Vec<_> = (0..8)
        .flat_map(|_| [site.follow("/events", ""), site.follow("/live", "")])
        .collect();
    let began = Instant::now();
    for n in 0..20_000 {
        site.tell(notice(&format!("flood {n}")));
    }
    wait_until(&site, "posse_console_news_total 20000");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(site.get("/healthz").body, "ok\n");
}
