//! `posse rules test --sigma`: a rule over the events recorded for it, in a folder each or in one.

use std::{fs, path::Path};

use crate::support::{posse, stderr, stdout};

const ID: &str = "1f0e7a54-9d1f-4c57-9b1c-0d5f0a6c7e11";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn lay(rules: &Path, events: &Path, image: &str) {
    let rule = format!(
        "title: Archiver started\nid: {ID}\nstatus: test\nauthor: a tester\n\
         logsource:\n  category: process_creation\n  product: windows\n\
         detection:\n  selection:\n    Image|endswith: '\\archive.exe'\n  condition: selection\n\
         level: low\n"
    );
    write(&rules.join("archiver.yml"), &rule);
    let info = format!(
        "id: 0b8d1f8e-52b6-4a09-8d55-6a2f3f1f9c01\nrule_metadata:\n  - id: {ID}\n    \
         title: Archiver started\nregression_tests_info:\n  - name: it matches\n    type: evtx\n    \
         match_count: 1\n"
    );
    write(&events.join("archiver/info.yml"), &info);
    let event = serde_json::json!({ "Event": {
        "System": {
            "Provider": { "#attributes": { "Name": "Microsoft-Windows-Sysmon" } },
            "EventID": 1,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
        },
        "EventData": { "Image": image, "CommandLine": "archive" },
    }});
    write(&events.join("archiver/event.json"), &event.to_string());
}

/// The last line, and whether it ended well.
fn run(rules: &Path, events: &Path) -> (String, bool) {
    let (rules, events) = (rules.to_str().unwrap(), events.to_str().unwrap());
    let output = posse(&["rules", "test", "--sigma", rules, "--events", events]);
    let said = stdout(&output);
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(!last.is_empty(), "{said}{}", stderr(&output));
    (last, output.status.success())
}

#[test]
fn rules_and_events_lie_apart_or_in_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let passed = ("1 passed, 0 failed".to_owned(), true);
    lay(&at("rules"), &at("events"), r"C:\Tools\archive.exe");
    assert_eq!(run(&at("rules"), &at("events")), passed);
    // The events below the rules, and the rules among the events.
    lay(&at("all"), &at("all/events"), r"C:\Tools\archive.exe");
    assert_eq!(run(&at("all"), &at("all/events")), passed);
    assert_eq!(run(&at("all"), &at("all")), passed);
    lay(&at("other"), &at("other"), r"C:\Tools\other.exe");
    let failed = ("0 passed, 1 failed".to_owned(), false);
    assert_eq!(run(&at("other"), &at("other")), failed);
}
