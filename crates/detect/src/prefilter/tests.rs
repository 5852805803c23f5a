use super::*;
use crate::{
    expr::{self, Vars},
    rules::RuleFile,
};

const RAW: &str = "name: syslog\nfilter: evt.Line.Labels.type == 'syslog'\nonsuccess: next_stage\n\
     grok: {apply_on: Line.Raw, pattern: '^%{SYSLOGLINE}'}\n---\nname: plain\n\
     filter: evt.Line.Labels.type != 'syslog'\nonsuccess: next_stage\nstatics:\n  \
     - {parsed: message, expression: evt.Line.Raw}\n  \
     - {parsed: program, expression: evt.Line.Labels.type}\n";

const SSH: &str = "name: ssh\nfilter: evt.Parsed.program == 'sshd'\nonsuccess: next_stage\nnodes:\n  \
     - grok:\n      apply_on: message\n      pattern: '^Failed %{WORD:m} for %{NOTSPACE:u}'\n      \
     statics: [{meta: log_type, value: fail}]\n  \
     - grok:\n      apply_on: message\n      pattern: '^Accepted %{WORD:m} for %{NOTSPACE:u}'\n      \
     statics: [{meta: log_type, value: good}]\n";

/// Which of `lines` pass, for a source of type `kind`.
fn passing(files: &[(&str, &str)], filters: &[&str], kind: &str, lines: &[&str]) -> Vec<bool> {
    let files: Vec<RuleFile> = files.iter().map(|(p, t)| RuleFile::new(*p, *t)).collect();
    let mut symbols = Symbols::default();
    let mut faults = Vec::new();
    let parsers = Parsers::build(&files, &mut symbols, &mut faults);
    assert_eq!(faults, []);
    let wants = filters
        .iter()
        .map(|f| {
            expr::compile(f, Vars::Event, &mut symbols)
                .unwrap()
                .requirements()
                .clone()
        })
        .collect();
    let mut prefilter = Prefilter::build(&parsers, wants, &symbols);
    let labels = BTreeMap::from([("type".to_owned(), kind.to_owned())]);
    lines
        .iter()
        .map(|line| prefilter.may_matter(line.as_bytes(), &labels, &parsers, &symbols))
        .collect()
}

const LINES: [&str; 4] = [
    "Nov 21 20:15:01 h sshd[1]: Failed password for root",
    "Nov 21 20:15:01 h sshd[1]: Accepted password for root",
    "Nov 21 20:15:01 h cron[1]: Failed password for root",
    "Nov 21 20:15:01 h cron[1]: nothing",
];

fn ssh(more: &str, filters: &[&str], kind: &str) -> Vec<bool> {
    let files = [
        ("s00-raw/r.yaml", RAW),
        ("s01-parse/ssh.yaml", SSH),
        ("s01-parse/t.yaml", more),
    ];
    passing(&files, filters, kind, &LINES)
}

#[test]
fn only_lines_that_a_scenario_could_take_pass() {
    assert_eq!(
        ssh("", &["evt.Meta.log_type == 'fail'"], "syslog"),
        [true, false, false, false]
    );
    let both = [
        "evt.Meta.log_type == 'fail'",
        "evt.Meta.log_type in ['good']",
    ];
    assert_eq!(ssh("", &both, "syslog"), [true, true, false, false]);
    assert_eq!(
        ssh("", &["evt.Meta.log_type == 'else'"], "syslog"),
        [false; 4]
    );
    assert_eq!(ssh("", &[], "syslog"), [false; 4]);
}

#[test]
fn a_scenario_that_demands_nothing_takes_whatever_is_parsed() {
    assert_eq!(ssh("", &["1 == 1"], "syslog"), [true, true, false, false]);
}

#[test]
fn labels_are_known() {
    // The program is the label here, and need not stand in the line.
    assert_eq!(
        ssh("", &["evt.Meta.log_type == 'fail'"], "sshd"),
        [true, false, true, false]
    );
    assert_eq!(
        ssh("", &["evt.Meta.log_type == 'fail'"], "nginx"),
        [false; 4]
    );
}

#[test]
fn what_is_not_of_the_line_makes_no_claim() {
    // A node that gives `message` a value from elsewhere: every grok on it may match anything.
    let more = "name: m\nfilter: evt.Parsed.program == 'cron'\nstatics:\n  \
                - {parsed: message, expression: 'Lower(evt.Parsed.message)'}\n  \
                - {parsed: program, value: sshd}\n";
    let filter = ["evt.Meta.log_type == 'fail'"];
    assert_eq!(ssh(more, &filter, "syslog"), [true, false, true, true]);
    let wild = "name: w\nfilter: evt.SetMeta('log_type', 'fail') == 1\n";
    assert_eq!(ssh(wild, &filter, "syslog"), [true; 4]);
}

#[test]
fn values_are_followed_through_copies_and_choices() {
    let more = "name: c\nfilter: evt.Parsed.program == 'cron'\nonsuccess: next_stage\nstatics:\n  \
                - {parsed: kind, expression: \"evt.Parsed.pid == '1' ? 'fail' : 'x'\"}\n  \
                - {meta: log_type, expression: evt.Parsed.kind}\n";
    assert_eq!(
        ssh(more, &["evt.Meta.log_type == 'x'"], "syslog"),
        [false, false, true, true]
    );
    assert_eq!(
        ssh(more, &["evt.Meta.log_type == 'y'"], "syslog"),
        [false; 4]
    );
    let found = ["evt.Parsed.message contains 'Accepted' && evt.Meta.log_type != ''"];
    assert_eq!(ssh(more, &found, "syslog"), [false, true, false, false]);
}

#[test]
fn letters_of_any_case_are_found_in_every_spelling() {
    let node = "name: n\ngrok: {apply_on: Line.Raw, pattern: '(?i)denied%{DATA:d}$'}\n";
    let files = [("s00-raw/n.yaml", node)];
    let lines = ["x DeNied", "denied", "den ied", "allowed"];
    assert_eq!(
        passing(&files, &["true"], "a", &lines),
        [true, true, false, false]
    );
}

#[test]
fn what_is_remembered_counts_without_any_scenario() {
    let node = "name: n\ngrok: {apply_on: Line.Raw, pattern: 'login %{WORD:w}'}\n\
                stash:\n  - {name: s, key: evt.Parsed.w, value: evt.Parsed.w, ttl: 1m}\n";
    let files = [("s00-raw/n.yaml", node)];
    assert_eq!(
        passing(&files, &[], "a", &["login x", "logout x"]),
        [true, false]
    );
}

#[test]
fn a_grok_without_a_sure_text_lets_every_line_pass() {
    let node = "name: n\ngrok: {apply_on: Line.Raw, pattern: '(foo)?%{WORD:w}'}\n";
    assert_eq!(
        passing(&[("s00-raw/n.yaml", node)], &["true"], "a", &["", "x"]),
        [true, true]
    );
}

#[test]
fn groks_whose_texts_are_not_in_the_line_need_not_be_tried() {
    let files = [("s00-raw/r.yaml", RAW), ("s01-parse/ssh.yaml", SSH)];
    let files = files.map(|(path, text)| RuleFile::new(path, text));
    let mut symbols = Symbols::default();
    let parsers = Parsers::build(&files, &mut symbols, &mut Vec::new());
    let filter = "evt.Meta.log_type in ['fail', 'good']";
    let filter = expr::compile(filter, Vars::Event, &mut symbols).unwrap();
    let wants = vec![filter.requirements().clone()];
    let mut prefilter = Prefilter::build(&parsers, wants, &symbols);
    assert!(!prefilter.hopes().rule_out(1), "no line was looked at yet");
    let labels = BTreeMap::from([("type".to_owned(), "syslog".to_owned())]);
    let step = |node: usize| parsers.stages[1].nodes[0].children[node].grok.as_ref();
    let [fail, good] = [0, 1].map(|node| step(node).unwrap().cache);
    for (line, expected) in [(LINES[0], [false, true]), (LINES[1], [true, false])] {
        assert!(prefilter.may_matter(line.as_bytes(), &labels, &parsers, &symbols));
        let hopes = prefilter.hopes();
        assert_eq!(
            [hopes.rule_out(fail), hopes.rule_out(good)],
            expected,
            "{line}"
        );
        assert!(!hopes.rule_out(99), "an unknown grok");
    }
}
