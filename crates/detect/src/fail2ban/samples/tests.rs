use super::*;

const FILTER: &str = "[Definition]\nmode = one\n\
    failregex = ^ door: <re-<mode>> from <HOST>$\n  ^ gate: <F-USER>\\S+</F-USER> by <HOST>$\n\
    re-one = knock\nre-two = kick\n";

fn run_log(text: &str) -> Report {
    let files: Files = [("filter.d/door.conf".to_owned(), FILTER.to_owned())]
        .into_iter()
        .collect();
    let logs = [("door".to_owned(), text.to_owned())].into_iter().collect();
    run(&files, &logs)
}

#[test]
fn expectations_are_held_against_what_is_found() {
    let report = run_log(
        "# a note\n\
         # failJSON: {\"time\": \"2005-08-14T11:00:00\", \"match\": true, \"host\": \"192.0.2.1\"}\n\
         Aug 14 11:00:00 door: knock from 192.0.2.1\n\
         # failJSON: {\"match\": true, \"host\": \"192.0.2.2\", \"user\": \"ann\"}\n\
         Aug 14 11:00:00 gate: ann by 192.0.2.2\n\
         # failJSON: {\"match\": false}\n\
         Aug 14 11:00:00 door: kick from 192.0.2.1\n\
         # filterOptions: [{\"mode\": \"two\"}, {\"mode\": \"one\"}]\n\
         # failJSON: {\"match\": true, \"constraint\": \"opts.get('mode') == 'two' and name in ('door',)\"}\n\
         Aug 14 11:00:00 door: kick from 192.0.2.1\n",
    );
    assert_eq!(report.misses, []);
    assert_eq!(report.passed, 4);
    assert_eq!(report.notes, Vec::<String>::new());
}

#[test]
fn what_does_not_hold_is_named() {
    let report = run_log(
        "Aug 14 11:00:00 door: knock from 192.0.2.1\n\
         # failJSON: {\"time\": \"2005-08-14T11:00:01\", \"match\": true}\n\
         Aug 14 11:00:00 door: knock from 192.0.2.1\n\
         # failJSON: {\"match\": true}\n\
         Aug 14 11:00:00 nothing\n\
         # failJSON: {\"match\": true, \"host\": \"192.0.2.9\"}\n\
         Aug 14 11:00:00 door: knock from 192.0.2.1\n",
    );
    let lines: Vec<_> = report.misses.iter().map(|m| m.line).collect();
    assert_eq!(lines, [1, 3, 5, 7]);
    assert_eq!(report.passed, 0);
    assert!(
        report.misses[1].reason.starts_with("time: expected"),
        "{:?}",
        report.misses[1]
    );
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].contains("failregex 2"));
}

#[test]
fn conditions() {
    let Value::Object(options) = serde_json::json!({"mode": "a", "x": ""}) else {
        unreachable!();
    };
    for (text, expected) in [
        ("name == 'door'", Ok(true)),
        ("name != \"door\" or opts.get('mode') == 'a'", Ok(true)),
        ("not (opts['mode'] in ['b', 'c'])", Ok(true)),
        ("opts.get('mode') not in ('a', 'b')", Ok(false)),
        ("opts.get('y', 'd') == 'd'", Ok(true)),
        ("opts.get('x')", Ok(false)),
        ("opts.get('y') is None", Ok(true)),
    ] {
        assert_eq!(
            constraint::holds(text, "door", &options),
            expected,
            "{text}"
        );
    }
    assert!(constraint::holds("import os", "door", &options).is_err());
    assert!(constraint::holds(&"(".repeat(500), "door", &options).is_err());
}
