//! A replay on several threads says what one thread says, and a ceiling on memory holds.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::support::{POSSE, posse, stderr, stdout};

/// The samples of our own rules of one type, again and again.
fn samples(kind: &str, repeat: usize) -> Vec<u8> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut all = Vec::new();
    let mut folders: Vec<_> = fs::read_dir(rules)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("test"))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    for folder in folders {
        let about = fs::read_to_string(folder.join("expect.toml")).unwrap_or_default();
        let mut logs: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        logs.sort();
        if about.contains(&format!("type = \"{kind}\"")) {
            for log in logs {
                all.extend(fs::read(log).unwrap());
                all.push(b'\n');
            }
        }
    }
    all.repeat(repeat)
}

/// Output without what differs from run to run: when a line was read.
fn timeless(text: &str) -> Vec<Value> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("received");
                map.remove("memory_peak");
                map.values_mut().for_each(strip);
            }
            Value::Array(all) => all.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let parsed = text.lines().map(|line| {
        let mut value = serde_json::from_str(line).unwrap();
        strip(&mut value);
        value
    });
    parsed.collect()
}

#[test]
fn any_number_of_threads_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["syslog", "nginx"] {
        let path = dir.path().join(format!("{kind}.log"));
        let log = samples(kind, 1);
        assert!(log.len() > 20_000, "{kind}: {}", log.len());
        fs::write(&path, log).unwrap();
        let path = path.display().to_string();
        let run = |threads: &str, more: &[&str]| {
            let mut arguments = vec!["replay", &path, "--type", kind, "--threads", threads];
            arguments.extend(more);
            let output = posse(&arguments);
            assert!(output.status.success(), "{}", stderr(&output));
            stdout(&output)
        };
        let human = run("1", &[]);
        let json = timeless(&run("1", &["--json"]));
        let sums = timeless(&run("1", &["--json", "--quiet"]));
        assert!(json.len() > 5, "{kind}: {}", json.len());
        for threads in ["2", "4"] {
            assert_eq!(run(threads, &[]), human, "{kind} {threads}");
            assert_eq!(
                timeless(&run(threads, &["--json"])),
                json,
                "{kind} {threads}"
            );
            assert_eq!(timeless(&run(threads, &["--json", "--quiet"])), sums);
        }
    }
}

#[test]
fn what_is_recorded_is_the_same_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, samples("syslog", 1)).unwrap();
    let path = path.display().to_string();
    let entries = |threads: &str| {
        let ledger = dir.path().join(format!("ledger-{threads}"));
        let ledger = ledger.display().to_string();
        let record = [
            "replay",
            &path,
            "--type",
            "syslog",
            "--threads",
            threads,
            "--record",
            &ledger,
        ];
        assert!(posse(&record).status.success());
        let show = ["ledger", "show", "--state", &ledger, "--limit", "100000"];
        timeless(&stdout(&posse(&show)))
            .into_iter()
            .map(|mut entry| {
                // When it was written down.
                if let Value::Object(map) = &mut entry {
                    map.retain(|key, _| {
                        !matches!(key.as_str(), "time" | "at" | "recorded" | "salt")
                    });
                }
                entry
            })
            .collect::<Vec<_>>()
    };
    let one = entries("1");
    assert!(one.len() > 10, "{}", one.len());
    assert_eq!(one, entries("4"));
}

/// A hundredth of `bench/flood`, with less memory.
#[test]
fn a_flood_stays_below_the_ceiling_and_hides_nobody() {
    let mut log = String::new();
    let seconds = |n: u32| {
        format!(
            "2026-01-05T{:02}:{:02}:{:02}+00:00",
            10 + n / 3_600,
            n / 60 % 60,
            n % 60
        )
    };
    for n in 0..100_000u32 {
        let at = seconds(n / 1_000);
        let mut line = |address: std::net::Ipv4Addr| {
            writeln!(
                log,
                "{at} host sshd[7]: Failed password for root from {address} port 40000 ssh2"
            )
            .unwrap();
        };
        line(std::net::Ipv4Addr::from(0x0b00_0000 + n * 77));
        // Each of twenty comes back every five seconds.
        if n % 250 == 0 {
            let who = u8::try_from(n / 250 % 20).unwrap() + 1;
            line(std::net::Ipv4Addr::new(203, 0, 113, who));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.log");
    fs::write(&path, log).unwrap();
    let path = path.display().to_string();
    let ceiling: u64 = if cfg!(debug_assertions) { 128 } else { 64 };
    let memory = format!("{ceiling}M");
    let run = ["replay", &path, "--memory", &memory, "--threads", "2"];
    let text = stdout(&posse(&run));
    for who in 1..=20 {
        let wanted = format!("Ip 203.0.113.{who} performed 'posse/ssh-bf'");
        assert!(text.contains(&wanted), "{wanted}");
    }
    assert!(text.contains("buckets given up for lack of room"), "{text}");
    let sums = stdout(&posse(&[&run[..], &["--json", "--quiet"]].concat()));
    let sums: Value = serde_json::from_str(sums.trim()).unwrap();
    let peak = sums["memory_peak"].as_u64().unwrap();
    assert!(peak < ceiling << 20, "{POSSE}: {peak} of {ceiling} MiB");
    assert_eq!(sums["memory_ceiling"], ceiling << 20);
}

#[test]
fn a_ceiling_too_low_says_what_is_needed() {
    let output = posse(&["replay", "-", "--type", "syslog", "--memory", "1M"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("at least"), "{}", stderr(&output));
}
