//! How long a line takes on its way through the parsers. Run by hand:
//! `cargo test --release -p detect --test throughput -- --ignored --nocapture`
//! A whole rules folder over a whole log: name both in `RULES` and `LOG` (and `KIND`, else syslog).

use std::{
    collections::BTreeMap,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
};

use detect::{
    engine::{Clock, DataFile, Engine, EngineOptions, Rules},
    event::{Event, FieldMap},
    expr::{Requirements, Services},
    parse::{NoTrace, ParseOutcome, Parsers},
    prefilter::Prefilter,
    rules::RuleFile,
    symbols::Symbols,
};
use model::{LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp};

const LINES: usize = 1_000_000;

const HOSTILE: [&str; 4] = [
    "sshd[@P]: Failed password for invalid user admin@N from 203.0.113.@B port 4@P ssh2",
    "sshd[@P]: Invalid user oracle from 198.51.100.@B port 3@P",
    "sshd[@P]: Failed password for root from 203.0.113.@B port 5@P ssh2",
    "sshd[@P]: Connection closed by authenticating user root 203.0.113.@B port 2@P [preauth]",
];
const BENIGN: [&str; 5] = [
    "sshd[@P]: Accepted publickey for deploy from 192.0.2.@B port 5@P ssh2: ED25519 SHA256:abcd",
    "sshd[@P]: pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)",
    "CRON[@P]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
    "systemd[1]: Started session-@N.scope - Session @N of User deploy.",
    "kernel: [12@P.123456] eth0: renamed from veth@N",
];

fn lines(templates: &[&str]) -> Vec<String> {
    let fill = |i: usize| {
        let clock = format!("{:02}:{:02}:{:02}", i / 3_600 % 24, i / 60 % 60, i % 60);
        let text = templates[i % templates.len()]
            .replace("@P", &(1_000 + i % 8_999).to_string())
            .replace("@N", &(i % 500).to_string())
            .replace("@B", &(i % 250).to_string());
        format!("Nov {:2} {clock} web-1 {text}", 1 + i / 86_400 % 28)
    };
    (0..LINES).map(fill).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
    {
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn rules(folder: &Path) -> Vec<RuleFile> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    found
        .into_iter()
        .filter_map(|path| {
            Some(RuleFile::new(
                path.to_string_lossy(),
                fs::read_to_string(&path).ok()?,
            ))
        })
        .collect()
}

fn hub(corpora: &Path) -> Vec<RuleFile> {
    let mut all = rules(&corpora.join("crowdsec-hub/parsers"));
    for file in rules(&corpora.join("grok-patterns")) {
        all.push(RuleFile::new(
            format!("patterns/{}", file.name()),
            file.text,
        ));
    }
    all
}

/// Nanoseconds this thread has spent on a processor: others may be busy on this machine.
fn spent() -> u128 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Nanoseconds a line, how many were parsed, and how many the gate lets pass.
fn measure(parsers: &mut Parsers, symbols: &mut Symbols, lines: &[String]) -> (u128, usize) {
    let kind = symbols.intern("type");
    let mut services = Services::default();
    let mut event = Event::default();
    let mut parsed = 0;
    let start = spent();
    for line in lines {
        event.reset(line);
        event.set_field(FieldMap::Labels, kind, "syslog");
        let outcome = parsers.run(&mut event, &mut services, symbols, &mut NoTrace);
        parsed += usize::from(outcome == ParseOutcome::Parsed);
    }
    ((spent() - start) / lines.len() as u128, parsed)
}

#[test]
#[ignore = "takes long, and says something only in a release build"]
fn a_million_lines() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpora = outside::shared("corpora").unwrap_or_default();
    let (hostile, benign) = (lines(&HOSTILE), lines(&BENIGN));
    for (title, files) in [
        ("ours", rules(&crates.join("../../rules"))),
        ("hub", hub(&corpora)),
    ] {
        if files.is_empty() {
            println!("SKIPPED: no rules for {title}");
            continue;
        }
        let mut symbols = Symbols::default();
        let mut parsers = Parsers::build(&files, &mut symbols, &mut Vec::new());
        println!("{title}: {} parsers", parsers.entries().len());
        let labels = BTreeMap::from([("type".to_owned(), "syslog".to_owned())]);
        let prefilter = Prefilter::build(&parsers, vec![Requirements::default()], &symbols);
        let start = spent();
        let gate = prefilter.gate(&labels, &parsers, &symbols);
        println!(
            "  gate: {} texts, built in {} ms",
            gate.texts(),
            (spent() - start) / 1_000_000
        );
        for (name, lines) in [("hostile", &hostile), ("benign", &benign)] {
            let (nanos, parsed) = measure(&mut parsers, &mut symbols, lines);
            let start = spent();
            let passed = lines
                .iter()
                .filter(|l| black_box(gate.passes(l.as_bytes())))
                .count();
            let gated = (spent() - start) / lines.len() as u128;
            println!(
                "  {name}: {nanos} ns a line, {parsed} parsed; gate {gated} ns, {passed} pass"
            );
        }
    }
}

#[test]
#[ignore = "needs a folder of rules and a log, named in the environment"]
fn a_folder_over_a_log() {
    let (Some(folder), Some(log)) = (std::env::var_os("RULES"), std::env::var_os("LOG")) else {
        println!("SKIPPED: RULES and LOG name a folder and a file");
        return;
    };
    let kind = std::env::var("KIND").unwrap_or_else(|_| "syslog".to_owned());
    let files = rules(Path::new(&folder));
    let data = files.iter().filter(|f| f.path.contains("/data/"));
    let data: Vec<DataFile> = data
        .map(|f| DataFile {
            name: f.name().to_owned(),
            bytes: f.text.clone().into_bytes(),
        })
        .collect();
    let start = spent();
    let (rules, _) = Rules::load(files, &data);
    let loaded = spent() - start;
    let mut engine = Engine::new(rules, EngineOptions::default());
    let built = spent() - start - loaded;
    let source = SourceInfo {
        name: "log".to_owned(),
        module: "file".to_owned(),
        labels: [("type".to_owned(), kind)].into(),
    };
    let text = fs::read(log).unwrap_or_default();
    let mut alerts = Vec::new();
    let (mut lines, mut count) = (0_u64, 0);
    let start = spent();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let meta = RecordMeta {
            source: SourceId(0),
            origin: LineOrigin::Stream { line: lines },
            received: Timestamp::EPOCH,
            text: 0..line.len(),
            raw: 0..0,
            truncated: false,
            catch_up: false,
        };
        let record = Record {
            meta: &meta,
            text: line,
            raw: line,
        };
        engine.observe(&record, &source, Clock::Recording, &mut alerts);
        lines += 1;
        count += alerts.len();
        alerts.clear();
    }
    let nanos = (spent() - start) / u128::from(lines.max(1));
    println!(
        "load {} ms, build {} ms; {lines} lines, {nanos} ns a line, {count} alerts; {:?}",
        loaded / 1_000_000,
        built / 1_000_000,
        engine.stats(),
    );
}
