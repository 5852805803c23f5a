use super::*;

const SCENARIO: &str = "type: leaky\nname: x/bf\ndescription: d\n\
filter: \"evt.Meta.log_type == 'auth'\"\ngroupby: evt.Meta.source_ip\ncapacity: 5\nleakspeed: 10s\nlabels:\n  remediation: true\n";

fn parser(pattern: &str) -> RuleFile {
    let text = format!(
        "name: x/p\nonsuccess: next_stage\ngrok:\n  apply_on: Line.Raw\n  pattern: '{pattern}'\n\
         statics:\n  - meta: log_type\n    value: auth\n  - meta: source_ip\n    \
         expression: evt.Parsed.ip\n"
    );
    RuleFile::new("x/s01-parse/p.yaml", text)
}

fn sample(line: &str) -> Sample {
    Sample {
        name: "x".to_owned(),
        labels: [("type".to_owned(), "x".to_owned())].into(),
        lines: vec![line.to_owned()],
    }
}

fn codes(pattern: &str, scenario: &str, line: &str) -> Vec<(Severity, Code)> {
    let files = [
        parser(pattern),
        RuleFile::new("x/scenarios/s.yaml", scenario),
    ];
    let samples: Vec<Sample> = [line]
        .iter()
        .filter(|l| !l.is_empty())
        .map(|l| sample(l))
        .collect();
    let report = lint(&files, &[], &samples);
    report
        .findings
        .iter()
        .map(|f| (f.severity, f.code))
        .collect()
}

const LINE: &str = "Failed password for root from 198.51.100.9 port 22";
const GOOD: &str = "^Failed password for %{DATA:user} from %{IPV4:ip} port %{INT:port}$";

#[test]
fn what_is_anchored_and_ends_in_the_address_stands() {
    assert_eq!(codes(GOOD, SCENARIO, LINE), []);
    assert_eq!(codes(GOOD, SCENARIO, ""), []);
}

#[test]
fn a_name_before_an_open_end_steers() {
    let open = GOOD.trim_end_matches('$');
    let steers = (Severity::Error, Code::Steering);
    assert!(codes(open, SCENARIO, LINE).contains(&steers));
    assert!(
        codes(open, SCENARIO, "").contains(&steers),
        "from the pattern alone"
    );
    let word = open.replace("%{DATA:user}", "%{NOTSPACE:user}");
    assert!(
        codes(&word, SCENARIO, LINE).contains(&steers),
        "a name with blanks is a name too"
    );
}

#[test]
fn the_proof_is_a_line_that_steers() {
    let open = GOOD.trim_end_matches('$');
    let files = [parser(open), RuleFile::new("x/scenarios/s.yaml", SCENARIO)];
    let report = lint(&files, &[], &[sample(LINE)]);
    let found = report
        .findings
        .iter()
        .find(|f| f.code == Code::Steering)
        .unwrap();
    assert_eq!((found.line, found.rule.as_str()), (5, "x/p"));
    let example = found.example.as_ref().unwrap();
    assert_eq!(example.written_by, "198.51.100.9");
    assert!(example.line.contains(&example.taken_for) && example.line.contains("198.51.100.9"));
}

#[test]
fn a_greedy_part_behind_which_clients_write_steers() {
    let greedy = "^.*from %{IPV4:ip} agent=%{GREEDYDATA:agent}$";
    let line = "login from 198.51.100.9 agent=curl";
    assert!(codes(greedy, SCENARIO, line).contains(&(Severity::Error, Code::Steering)));
    let fixed = "^login from %{IPV4:ip} agent=%{GREEDYDATA:agent}$";
    assert_eq!(codes(fixed, SCENARIO, line), []);
}

#[test]
fn what_only_tells_is_a_warning() {
    let open = GOOD.trim_end_matches('$');
    let telling = SCENARIO.replace("remediation: true", "remediation: false");
    let files = [parser(open), RuleFile::new("x/scenarios/s.yaml", telling)];
    let report = lint(&files, &[], &[sample(LINE)]);
    let proven = report
        .findings
        .iter()
        .filter(|f| f.code == Code::Steering && f.message.contains("no scenario that bans"));
    assert!(proven.count() > 0);
}

#[test]
fn an_open_beginning_is_told() {
    let open = "login failed: %{IPV4:ip}$";
    assert_eq!(codes(open, SCENARIO, ""), [], "the end holds it");
    let open = "login failed: %{IPV4:ip}";
    let found = codes(open, SCENARIO, "");
    assert_eq!(found, [(Severity::Warning, Code::Unanchored)]);
}

#[test]
fn an_address_from_a_header_is_told() {
    let text = "name: x/p\nonsuccess: next_stage\nstatics:\n  - meta: source_ip\n    \
                expression: evt.Parsed.http_x_forwarded_for\n";
    let report = lint(&[RuleFile::new("x/s01-parse/p.yaml", text)], &[], &[]);
    assert_eq!(
        report.findings.first().map(|f| (f.code, f.line)),
        Some((Code::ClientHeader, 5))
    );
}

#[test]
fn scenarios_are_held_against_the_rules() {
    let code = |scenario: &str| codes(GOOD, scenario, LINE);
    let ungrouped = SCENARIO.replace("groupby: evt.Meta.source_ip\n", "");
    assert_eq!(code(&ungrouped), [(Severity::Error, Code::Ungrouped)]);
    let shared = SCENARIO.replace("source_ip", "target_user");
    assert_eq!(code(&shared), [(Severity::Warning, Code::SharedBucket)]);
    let long = SCENARIO.replace("10s", "48h");
    assert_eq!(code(&long), [(Severity::Warning, Code::LongMemory)]);
    let typo = SCENARIO.replace("'auth'", "'outh'");
    assert!(code(&typo).contains(&(Severity::Warning, Code::Unreachable)));
    let mute = SCENARIO.replace("description: d\n", "");
    assert_eq!(code(&mute), [(Severity::Warning, Code::Unlabelled)]);
    let double = format!("{SCENARIO}---\n{SCENARIO}");
    assert_eq!(code(&double), [(Severity::Error, Code::Duplicate)]);
}

#[test]
fn a_parser_without_lines_is_told_and_a_reason_silences() {
    assert_eq!(
        codes(GOOD, SCENARIO, "nothing"),
        [(Severity::Warning, Code::Unused)]
    );
    let mut file = parser(GOOD);
    file.text
        .insert_str(0, "# lint: allow unused because it is read elsewhere\n");
    let scenario = RuleFile::new("x/scenarios/s.yaml", SCENARIO);
    let report = lint(&[file.clone(), scenario.clone()], &[], &[sample("nothing")]);
    assert_eq!((report.findings.len(), report.allowed), (0, 1));
    file.text = file.text.replace("it is read elsewhere", " ");
    let report = lint(&[file, scenario], &[], &[sample("nothing")]);
    assert_eq!(report.findings.len(), 1, "no reason, no silence");
}
