//! The metrics as somebody else's parser reads them.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use model::{ChannelStatus, KeptOut, SourceStatus, Status, WitnessesStatus};

use crate::support::{Site, now};

/// Debian's; another Python in the path need not have the package.
const PYTHON: &str = "/usr/bin/python3";
const READER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        labels = ''.join(f' {k}={v!r}' for k, v in sorted(sample.labels.items()))
        print(f'{family.type} {sample.name} {sample.value:g}{labels}')
";

#[test]
fn the_prometheus_projects_own_parser_reads_them() {
    let found = Command::new(PYTHON)
        .args(["-c", "import prometheus_client.openmetrics.parser"])
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|s| s.success()) {
        println!("SKIPPED: metrics read by others: apt-get install python3-prometheus-client");
        return;
    }
    let site = Site::new();
    site.publish(Status {
        version: "1.2.3".into(),
        at: now(),
        mode: "enforce".into(),
        bans: 7,
        dropped: Some(KeptOut {
            packets: 11,
            bytes: 13,
        }),
        sources: vec![SourceStatus {
            name: "a \"b\" \\c".into(),
            r#type: "syslog".into(),
            lines: 5,
            ..SourceStatus::default()
        }],
        channels: vec![ChannelStatus {
            name: "mail".into(),
            kind: "email".into(),
            sent: 2,
            ..ChannelStatus::default()
        }],
        ..Status::default()
    });
    let answer = site.get("/metrics");
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let mut reader = Command::new(PYTHON)
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = reader.stdin.take().unwrap();
    input.write_all(answer.body.as_bytes()).unwrap();
    drop(input);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", answer.body);
    let read = String::from_utf8(output.stdout).unwrap();
    for line in [
        "info posse_build_info 1 version='1.2.3'",
        "gauge posse_bans 7",
        "counter posse_dropped_packets_total 11",
        "counter posse_lines_total 5 source='a \"b\" \\\\c' type='syslog'",
        "counter posse_channel_sent_total 2 channel='mail' kind='email'",
    ] {
        assert!(read.lines().any(|l| l == line), "{line} is not in:\n{read}");
    }
}

/// What the documentation promises is there, and nothing is there that it does not name.
#[test]
fn the_documentation_names_them_all() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/status-page.md");
    let text = std::fs::read_to_string(path).unwrap();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let mut documented: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with("| `posse_"))
        .flat_map(|l| l.split(word).filter(|w| w.starts_with("posse_")))
        .collect();
    let site = Site::new();
    site.publish(Status {
        dropped: Some(KeptOut::default()),
        sources: vec![SourceStatus::default()],
        channels: vec![ChannelStatus::default()],
        witnesses: Some(WitnessesStatus::default()),
        ..Status::default()
    });
    let body = site.get("/metrics").body;
    let samples = body.lines().filter(|l| !l.starts_with('#'));
    let mut served: Vec<&str> = samples.filter_map(|l| l.split(word).next()).collect();
    for list in [&mut documented, &mut served] {
        list.sort_unstable();
        list.dedup();
    }
    assert_eq!(documented, served);
}
