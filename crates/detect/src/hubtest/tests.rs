//! Whole tests in the small: what published ones do not exercise, or only by accident.

use super::{items::ItemKind, *};
use crate::rules::RuleFile;

const RAW: &str = "\
name: t/raw
filter: evt.Line.Labels.type == 'syslog'
onsuccess: next_stage
nodes:
- grok:
    pattern: '^%{TIMESTAMP_ISO8601:when} %{WORD:program}: %{GREEDYDATA:message}$'
    apply_on: Line.Raw
statics:
- parsed: program
  expression: evt.Parsed.program
";
const PARSE: &str = "\
name: t/parse
filter: evt.Parsed.program == 'door'
onsuccess: next_stage
grok:
  pattern: '^bad %{WORD:user} from %{IP:ip}( in %{NUMBER:millis})?$'
  apply_on: message
statics:
- meta: source_ip
  expression: evt.Parsed.ip
- meta: user
  expression: evt.Parsed.user
- meta: site
  expression: evt.Line.Labels.site
- target: evt.StrTime
  expression: evt.Parsed.when
";
const DATES: &str = "\
name: t/dates
filter: evt.StrTime != ''
statics:
- method: ParseDate
  expression: evt.StrTime
- target: MarshaledTime
  expression: evt.Enriched.MarshaledTime
";
const TRIGGER: &str = "\
type: trigger
name: t/trigger
description: every bad line
filter: evt.Meta.user != ''
groupby: evt.Meta.source_ip
labels:
  remediation: true
";
const LOG: &str = "2026-11-20T10:00:00Z door: bad anna from 192.0.2.1\r\n\n\
                   2026-11-20T10:00:01Z door: bad otto from 192.0.2.1 in 17\n\
                   2026-11-20T10:00:02Z door: fine\n\
                   2026-11-20T10:00:03Z wall: nothing";

struct Test {
    config: String,
    rules: Installed,
    log: String,
    parser: String,
    scenario: String,
}

impl Test {
    fn new() -> Self {
        let mut rules = Installed::default();
        let mut add = |kind, path, text| rules.item(kind, path, text).unwrap();
        add(ItemKind::Parser, "parsers/s00-raw/t/raw.yaml", RAW);
        add(ItemKind::Parser, "parsers/s01-parse/t/parse.yaml", PARSE);
        add(ItemKind::Parser, "parsers/s02-enrich/t/dates.yaml", DATES);
        add(ItemKind::Scenario, "scenarios/t/trigger.yaml", TRIGGER);
        Self {
            config: "log_file: x.log\nlog_type: syslog\nscenarios: [t/trigger]\n".to_owned(),
            rules,
            log: LOG.to_owned(),
            parser: String::new(),
            scenario: String::new(),
        }
    }

    /// Only parser.assert counts.
    fn parser(asserts: &str) -> Report {
        let config = "log_file: x.log\nlog_type: syslog\n".to_owned();
        let test = Self {
            config,
            parser: asserts.to_owned(),
            ..Self::new()
        };
        test.run()
    }

    /// Only scenario.assert counts.
    fn scenario(mut self, asserts: &str) -> Report {
        self.config += "ignore_parsers: true\n";
        asserts.clone_into(&mut self.scenario);
        self.run()
    }

    fn run(&self) -> Report {
        let file = RuleFile::new("config.yaml", self.config.as_str());
        let config = TestConfig::read(&file).unwrap();
        Case {
            config: &config,
            rules: &self.rules,
            data: &[],
            log_name: "/somewhere/x.log",
            log: self.log.as_bytes(),
            parser_asserts: &self.parser,
            scenario_asserts: &self.scenario,
            now: Timestamp::from_seconds(1_800_000_000),
        }
        .run(None)
    }
}

fn why(report: &Report) -> Vec<String> {
    let why = |failure: &Failure| match failure {
        Failure::Assert { why, .. } | Failure::Test(why) => why.clone(),
        Failure::Rule(diagnostic) => diagnostic.message.clone(),
    };
    report.failures.iter().map(why).collect()
}

#[test]
fn an_entry_for_each_event_that_entered_a_node() {
    let report = Test::parser(
        r#"
len(results) == 4
len(results["success"][""]) == 0
len(results["s00-raw"]["t/raw"]) == 4
len(results["s01-parse"]["t/parse"]) == 4
len(results["s02-enrich"]["t/dates"]) == 2
results["s01-parse"]["t/parse"][1].Success == true
results["s01-parse"]["t/parse"][2].Success == false
results["s01-parse"]["t/parse"][0].Evt.Parsed["user"] == "anna"
results["s01-parse"]["t/parse"][0].Evt.Parsed["millis"] == ""
results["s01-parse"]["t/parse"][0].Evt.Meta["site"] == ""
results["s02-enrich"]["t/dates"][1].Evt.Enriched["MarshaledTime"] == "2026-11-20T10:00:01Z"
results["s02-enrich"]["t/dates"][1].Evt.Enriched["MarshaledTime"][4:] == "-11-20T10:00:01Z"
results["s02-enrich"]["t/dates"][1].Evt.Whitelisted == false
results["s00-raw"]["t/raw"][0].Evt.Line.Raw == "2026-11-20T10:00:00Z door: bad anna from 192.0.2.1"
basename(results["s00-raw"]["t/raw"][0].Evt.Line.Src) == "x.log"
"#,
    );
    assert_eq!(why(&report), Vec::<String>::new());
    assert_eq!(report.asserts, 15);
}

#[test]
fn a_false_assertion_says_what_was_found() {
    let report = Test::parser(
        "# first line\n\nresults[\"s01-parse\"][\"t/parse\"][0].Evt.Parsed[\"user\"] == \"otto\"\n\
         \"192.0.2.9\" in [\"192.0.2.1\"]\n",
    );
    assert_eq!(why(&report), ["found \"anna\"", "found [\"192.0.2.1\"]"]);
    let Failure::Assert { file, line, .. } = &report.failures[0] else {
        panic!()
    };
    assert_eq!((*file, *line), (AssertFile::Parser, 3));
}

#[test]
fn what_cannot_be_evaluated_is_a_failure_that_explains_itself() {
    let report = Test::parser(
        "results[\"s01-parse\"][\"t/parse\"][9].Success == true\n\
         results[\"s01-parse\"][\"t/prase\"][0].Success == true\n\
         results[\"s03\"][\"t/parse\"][0].Success == true\n\
         len(results)\n\
         results[\n",
    );
    let all = why(&report);
    let says = |n: usize, text: &str| assert!(all[n].contains(text), "{:?}", all[n]);
    says(0, "4 events entered");
    says(1, "nodes entered in s01-parse: t/parse");
    says(2, "stages reached: s00-raw, s01-parse, s02-enrich");
    says(3, "true or false");
    says(4, "no expression");
    assert_eq!(all.len(), 5);
}

#[test]
fn empty_assert_files_do_not_pass() {
    for text in ["", "\n \n", "# only a comment\n"] {
        let report = Test::parser(text);
        assert!(why(&report)[0].contains("parser.assert holds no assertion"));
        let report = Test::new().scenario(text);
        assert!(why(&report)[0].contains("scenario.assert holds no assertion"));
    }
}

#[test]
fn what_is_proposed_for_an_empty_file_holds() {
    let mut test = Test::new();
    let json = r#"
name: t/json
filter: |
  UnmarshalJSON('{"a": {"b c": [1], "d": 1.5, "e": "x\\ny"}}', evt.Unmarshaled, 'j') == nil
"#;
    test.rules
        .item(ItemKind::Parser, "parsers/s02-enrich/t/json.yaml", json)
        .unwrap();
    let report = test.run();
    let [
        (AssertFile::Parser, parser),
        (AssertFile::Scenario, scenario),
    ] = report.proposed.as_slice()
    else {
        panic!("{report:?}")
    };
    let has = |lines: &[String], line: &str| assert!(lines.iter().any(|l| l == line), "{lines:#?}");
    has(parser, "len(results[\"s01-parse\"][\"t/parse\"]) == 4");
    has(
        parser,
        "results[\"s01-parse\"][\"t/parse\"][0].Evt.Meta[\"user\"] == \"anna\"",
    );
    has(
        parser,
        "results[\"s02-enrich\"][\"t/json\"][0].Evt.Unmarshaled[\"j\"][\"a\"][\"d\"] == 1.5",
    );
    has(
        scenario,
        "\"192.0.2.1\" in results[1].Overflow.GetSources()",
    );
    has(
        scenario,
        "results[0].Overflow.Alert.GetScenario() == \"t/trigger\"",
    );
    test.parser = parser.join("\n");
    test.scenario = scenario.join("\n");
    assert_eq!(why(&test.run()), Vec::<String>::new());
}

#[test]
fn asserts_that_do_not_count_are_not_looked_at() {
    // No scenario named: scenario.assert is not for this test.
    let mut test = Test::new();
    "log_file: x\nlog_type: syslog\n".clone_into(&mut test.config);
    "len(results) == 4".clone_into(&mut test.parser);
    "false".clone_into(&mut test.scenario);
    assert!(test.run().passed());
    // Parsers ignored: what parser.assert says is nobody's business.
    let mut test = Test::new();
    "false".clone_into(&mut test.parser);
    assert!(test.scenario("len(results) == 2").passed());
    // Nothing at all: upstream's runner passes it, and we say that it says nothing.
    let mut test = Test::new();
    "log_file: x\nlog_type: syslog\nignore_parsers: true\n".clone_into(&mut test.config);
    let report = test.run();
    assert!(report.passed() && report.notes[0].contains("asserts nothing"));
}

#[test]
fn both_files_count_when_both_are_asked_for() {
    let mut test = Test::new();
    "len(results) == 4".clone_into(&mut test.parser);
    "len(results) == 2".clone_into(&mut test.scenario);
    assert!(test.run().passed());
    "len(results) == 3".clone_into(&mut test.scenario);
    assert_eq!(why(&test.run()), ["found 2"]);
    "len(results) == 2".clone_into(&mut test.scenario);
    "len(results) == 5".clone_into(&mut test.parser);
    assert_eq!(why(&test.run()), ["found 4"]);
}

#[test]
fn overflows_as_assertions_see_them() {
    let report = Test::new().scenario(
        r#"
len(results) == 2
"192.0.2.1" in results[0].Overflow.GetSources()
results[0].Overflow.Sources["192.0.2.1"].IP == "192.0.2.1"
results[0].Overflow.Sources["192.0.2.1"].Range == ""
results[0].Overflow.Sources["192.0.2.1"].GetScope() == "Ip"
results[0].Overflow.Sources["192.0.2.1"].GetValue() == "192.0.2.1"
results[0].Overflow.Alert.GetScenario() == "t/trigger"
results[0].Overflow.Alert.Remediation == true
results[0].Overflow.Alert.GetEventsCount() == 1
results[0].Overflow.Alert.Source.IP == "192.0.2.1"
len(results[0].Overflow.Alert.Events) == 1
results[0].Overflow.Alert.Events[0].GetMeta("absent") == ""
"#,
    );
    assert_eq!(why(&report), Vec::<String>::new());
}

#[test]
fn equals_may_stand_in_any_order_but_nowhere_twice() {
    let user = |n: usize, name: &str| {
        format!("results[{n}].Overflow.Alert.Events[0].GetMeta(\"user\") == \"{name}\"\n")
    };
    for (first, second, holds) in [
        ("anna", "otto", true),
        ("otto", "anna", true),
        ("anna", "anna", false),
        ("otto", "otto", false),
        ("anna", "egon", false),
    ] {
        let asserts = user(0, first) + &user(1, second);
        let report = Test::new().scenario(&asserts);
        assert_eq!(report.passed(), holds, "{first} {second}: {report:?}");
    }
    // An assertion about both is judged in the order that the others chose.
    let both = user(0, "otto")
        + "results[0].Overflow.Alert.Events[0].GetMeta('user') > \
           results[1].Overflow.Alert.Events[0].GetMeta('user')\n";
    assert!(Test::new().scenario(&both).passed());
}

#[test]
fn results_are_sorted_by_scenario_and_source_from_the_last() {
    let mut test = Test::new();
    test.log = LOG.replace("otto from 192.0.2.1", "otto from 192.0.2.10");
    let other = TRIGGER.replace("t/trigger", "t/zebra");
    test.rules
        .item(ItemKind::Scenario, "scenarios/t/zebra.yaml", &other)
        .unwrap();
    let asserts = r#"
len(results) == 4
results[0].Overflow.Alert.GetScenario() == "t/zebra"
results[0].Overflow.Alert.Source.IP == "192.0.2.10"
results[1].Overflow.Alert.GetScenario() == "t/zebra"
results[1].Overflow.Alert.Source.IP == "192.0.2.1"
results[2].Overflow.Alert.Source.IP == "192.0.2.10"
results[3].Overflow.Alert.GetScenario() == "t/trigger"
results[3].Overflow.Alert.Source.IP == "192.0.2.1"
"#;
    let report = test.scenario(asserts);
    assert_eq!(why(&report), Vec::<String>::new());
}

#[test]
fn false_lines_that_upstream_does_not_count_are_noted() {
    let report = Test::new().scenario("\"10.0.0.1\" in results[0].Overflow.GetSources()\n");
    assert!(report.passed());
    assert!(report.notes[0].contains("10.0.0.1"), "{:?}", report.notes);
    // But one that cannot be evaluated is an error, there as here.
    let report = Test::new().scenario("\"10.0.0.1\" in results[7].Overflow.GetSources()\n");
    assert!(
        why(&report)[0].contains("2 overflowed: t/trigger192.0.2.1"),
        "{report:?}"
    );
    // And in parser.assert everything counts.
    assert!(!Test::parser("\"a\" in [\"b\"]").passed());
}

#[test]
fn overrides_run_first_and_under_their_own_name() {
    let mut test = Test::new();
    test.config = "log_file: x\nlog_type: syslog\nlabels: {site: north}\n\
                   override_statics:\n- meta: who\n  value: me\n- target: evt.Parsed.n\n  \
                   expression: len(evt.Line.Raw)\n"
        .to_owned();
    test.parser = r#"
results["s00-raw"]["overrides"][0].Success == true
results["s00-raw"]["overrides"][0].Evt.Meta["who"] == "me"
results["s00-raw"]["t/raw"][0].Evt.Parsed["n"] == "50"
results["s01-parse"]["t/parse"][0].Evt.Meta["site"] == "north"
"#
    .to_owned();
    assert_eq!(why(&test.run()), Vec::<String>::new());
}

#[test]
fn postoverflows_are_dumped_as_stages_and_whitelisted_overflows_stay() {
    let mut test = Test::new();
    let ours = "name: t/ours\nwhitelist:\n  reason: ours\n  expression:\n  \
                - evt.Overflow.Alert.Source.IP == '192.0.2.1'\n";
    test.rules
        .item(
            ItemKind::Postoverflow,
            "postoverflows/s01-whitelist/t/ours.yaml",
            ours,
        )
        .unwrap();
    test.parser = "len(results) == 5\n\
                   len(results[\"s01-whitelist\"][\"t/ours\"]) == 2\n\
                   results[\"s01-whitelist\"][\"t/ours\"][0].Evt.Overflow.Whitelisted == true\n"
        .to_owned();
    test.scenario = "len(results) == 2\nresults[0].Overflow.Whitelisted == true\n".to_owned();
    assert_eq!(why(&test.run()), Vec::<String>::new());
}

#[test]
fn a_postoverflow_that_renames_a_source_leaves_its_address_as_the_log_spelt_it() {
    let mut test = Test::new();
    let spelt = "2001:0db8:0000:0000:0000:0000:0000:0001";
    test.log = LOG.replace("192.0.2.1", spelt);
    let widen = "name: t/widen\nfilter: IsIPV6(evt.Overflow.Alert.Source.IP)\nstatics:\n\
                 - target: evt.Overflow.Alert.Source.Scope\n  value: Range\n\
                 - target: evt.Overflow.Alert.Source.Value\n  \
                 expression: IpToRange(evt.Overflow.Alert.Source.IP, '/64')\n";
    test.rules
        .item(
            ItemKind::Postoverflow,
            "postoverflows/s00-enrich/t/widen.yaml",
            widen,
        )
        .unwrap();
    let report = test.scenario(&format!(
        "results[0].Overflow.Sources[\"{spelt}\"].IP == \"{spelt}\"\n\
         results[0].Overflow.Sources[\"{spelt}\"].GetScope() == \"Range\"\n\
         results[0].Overflow.Sources[\"{spelt}\"].GetValue() == \"2001:db8::/64\"\n"
    ));
    assert_eq!(why(&report), Vec::<String>::new());
}

#[test]
fn lines_without_a_time_set_off_triggers_but_fill_no_bucket() {
    let leaky = "type: leaky\nname: t/leaky\ndescription: second bad line\nfilter: evt.Meta.user != ''\n\
                 capacity: 1\nleakspeed: 1m\n";
    let undated = PARSE.replace("- target: evt.StrTime\n  expression: evt.Parsed.when\n", "");
    for (parse, overflows) in [(PARSE, 3), (undated.as_str(), 2)] {
        let mut test = Test::new();
        test.rules = Installed::default();
        for (kind, path, text) in [
            (ItemKind::Parser, "parsers/s00-raw/t/raw.yaml", RAW),
            (ItemKind::Parser, "parsers/s01-parse/t/parse.yaml", parse),
            (ItemKind::Parser, "parsers/s02-enrich/t/dates.yaml", DATES),
            (ItemKind::Scenario, "scenarios/t/trigger.yaml", TRIGGER),
            (ItemKind::Scenario, "scenarios/t/leaky.yaml", leaky),
        ] {
            test.rules.item(kind, path, text).unwrap();
        }
        // The last stage takes no undated line, so give it a node that takes all.
        let all = "name: t/all\nstatics:\n- meta: seen\n  value: yes\n";
        test.rules
            .item(ItemKind::Parser, "parsers/s02-enrich/t/all.yaml", all)
            .unwrap();
        let report = test.scenario(&format!("len(results) == {overflows}"));
        assert_eq!(why(&report), Vec::<String>::new());
    }
}

#[test]
fn a_rule_that_does_not_load_fails_the_test() {
    let mut test = Test::new();
    let broken = "name: t/broken\nfilter: 'evt.Meta.user =='\n";
    test.rules
        .item(ItemKind::Parser, "parsers/s01-parse/t/broken.yaml", broken)
        .unwrap();
    let report = test.scenario("len(results) == 2");
    let [Failure::Rule(fault)] = report.failures.as_slice() else {
        panic!("{report:?}")
    };
    assert!(
        fault.file.ends_with("broken.yaml") && fault.line == 2,
        "{fault}"
    );
}
