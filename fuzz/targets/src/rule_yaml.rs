//! Rule files of any text: what is wrong in them is said, with file, place and remedy.

use std::collections::BTreeMap;

use detect::engine::{Clock, DataFile, Engine, EngineOptions, RuleFile, Rules};
use model::{FileId, LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp};

use crate::{NOW, knob};

const PATHS: [&str; 6] = [
    "rules/x/scenarios/x.yaml",
    "rules/x/s00-raw/x.yaml",
    "rules/x/s01-parse/x.yaml",
    "rules/x/s02-enrich/x.yaml",
    "rules/x/postoverflows/s00-enrich/x.yaml",
    "rules/x/patterns/x",
];

const LINES: [&str; 3] = [
    "Nov 21 20:15:01 web1 sshd[7]: Failed password for root from 192.0.2.7 port 4711 ssh2",
    "192.0.2.7 - - [21/Nov/2026:20:15:02 +0000] \"GET /.env HTTP/1.1\" 404 153 \"-\" \"curl\"",
    "{\"time\": \"2026-11-21T20:15:03Z\", \"ip\": \"192.0.2.7\", \"msg\": \"login failed\"}",
];

/// The first byte says in which folder the rest is a file.
pub fn rule_yaml(data: &[u8]) {
    let (folder, data) = knob(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let path = PATHS
        .get(usize::from(folder) % PATHS.len())
        .copied()
        .unwrap_or_default();
    let list = DataFile {
        name: "list.txt".to_owned(),
        bytes: b"/admin\n# none\n/backup\n".to_vec(),
    };
    let (rules, faults) = Rules::load(vec![RuleFile::new(path, text)], &[list]);
    // YAML 1.2.2 section 5.4: a carriage return alone breaks a line too.
    let breaks = text.matches(['\n', '\r']).count();
    let lines = u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1);
    for fault in &faults {
        assert!(
            !fault.message.is_empty() && !fault.fix.is_empty(),
            "{fault:?} says nothing"
        );
        assert!(
            fault.file == path || fault.file == "list.txt",
            "{fault:?} is elsewhere"
        );
        // Line 0 is the whole file.
        let whole = fault.line == 0 && fault.message.starts_with("the file");
        let placed = fault.line >= 1 && fault.line <= lines + 1 && fault.column >= 1;
        assert!(whole || placed, "{fault:?} has no place in {lines} lines");
    }
    let entries = rules.entries().len();
    let mut engine = Engine::new(rules, EngineOptions::default());
    assert_eq!(engine.entries().len(), entries);
    let source = SourceInfo {
        name: "stdin".to_owned(),
        module: "stdin".to_owned(),
        labels: BTreeMap::from([("type".to_owned(), "syslog".to_owned())]),
    };
    let mut alerts = Vec::new();
    for (line, count) in LINES
        .iter()
        .flat_map(|line| (0..4).map(move |count| (line, count)))
    {
        let meta = meta(count);
        let record = Record {
            meta: &meta,
            text: line.as_bytes(),
            raw: line.as_bytes(),
        };
        engine.observe(&record, &source, Clock::Live { now: NOW }, &mut alerts);
    }
    engine.tick(Timestamp::MAX, &mut alerts);
}

pub(crate) fn meta(offset: u64) -> RecordMeta {
    RecordMeta {
        source: SourceId(0),
        origin: LineOrigin::File {
            file: FileId {
                device: 0,
                inode: 0,
            },
            offset,
        },
        received: NOW,
        text: 0..0,
        raw: 0..0,
        truncated: false,
        catch_up: false,
    }
}
