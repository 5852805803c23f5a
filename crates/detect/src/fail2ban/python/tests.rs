use proptest::prelude::*;

use super::{
    compile::Op,
    hints::{Behind, Follow},
    *,
};

fn groups(pattern: &str, text: &str) -> Option<Vec<Option<String>>> {
    let pattern = Pattern::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    let mut machine = Machine::default();
    machine.begin_line(LINE_STEPS_MAX);
    match pattern.search(text, &mut machine) {
        Search::Found => Some(
            (0..pattern.tree.groups)
                .map(|g| machine.group(text, g).map(str::to_owned))
                .collect(),
        ),
        Search::Nothing => None,
        Search::LimitReached => panic!("limit reached"),
    }
}

fn whole(pattern: &str, text: &str) -> Option<String> {
    groups(pattern, text).map(|g| g[0].clone().unwrap())
}

#[test]
fn as_python_answers() {
    // Pattern, text, what Python's `re.search(pattern, text, re.MULTILINE)` takes.
    for (pattern, text, expected) in [
        ("a+?b", "xaaab", Some("aaab")),
        ("(?:a|ab)c?", "abc", Some("a")),
        ("(?:a|ab)(?:c|$)", "abc", Some("abc")),
        ("^b$", "a\nb\nc", Some("b")),
        (r"\Ab", "a\nb", None),
        (r"a\Z", "a\n", None),
        ("a$", "a\n", Some("a")),
        ("x{2,3}", "xxxx", Some("xxx")),
        ("x{2", "x{2", Some("x{2")),
        ("[]x]+", "a]x]", Some("]x]")),
        ("[^]x]+", "]ab]", Some("ab")),
        (r"[\w.-]+", "é_1.-!", Some("é_1.-")),
        ("(?i)aÉ", "Aé", Some("Aé")),
        ("((?i)login|PLAIN)", "LOGIN", Some("LOGIN")),
        ("(?i:a)b", "Ab", Some("Ab")),
        ("(?i:a)b", "AB", None),
        (r"(?!foo)\w+", "foobar", Some("oobar")),
        (r"\w+(?= end)", "the end", Some("the")),
        (r"(?<=\d)x", "ax1x", Some("x")),
        (r"(?<!\d)x\w", "1xa xb", Some("xb")),
        ("(?P<q>['\"])x(?P=q)", "'x\" \"x\"", Some("\"x\"")),
        (r"(?P<a>a)?(?(a)b|c)", "c", Some("c")),
        (r"(?P<a>a)?(?(a)b|c)", "ab", Some("ab")),
        (r"^(?P<a>a)?(?(a)b|c)$", "ac", None),
        ("(?:a*)*b", "aaab", Some("aaab")),
        ("(?:a*)*$", "aaac", Some("")),
        ("(?:|a)+b", "aab", Some("aab")),
        ("a++a", "aaa", None),
        ("(?>a|ab)c", "abc", None),
        (r"\bpre(?!x)\S+", "a prexy preyz", Some("preyz")),
        (r"(?:(?! from ).)*", "a from b", Some("a")),
        (r"é{2}.", "éééa", Some("ééé")),
        (r".*é", "aéé!", Some("aéé")),
        (r"\x41\u00e9", "Aé", Some("Aé")),
        ("a # b", "a # b", Some("a # b")),
        ("(?x) a  b # c", "ab", Some("ab")),
        ("", "abc", Some("")),
    ] {
        assert_eq!(
            whole(pattern, text).as_deref(),
            expected,
            "{pattern} on {text}"
        );
    }
}

#[test]
fn groups_hold_what_they_took_last() {
    let got = groups("(a)|(b)", "b").unwrap();
    assert_eq!(got, [Some("b".into()), None, Some("b".into())]);
    let got = groups("(?:(a)|b)*", "ab").unwrap();
    assert_eq!(got[1].as_deref(), Some("a"));
    let got = groups("(?=(a+))a", "aaa").unwrap();
    assert_eq!(got[1].as_deref(), Some("aaa"));
    let got = groups("(?!(a)b)a", "ac").unwrap();
    assert_eq!(got[1], None);
}

#[test]
fn mistakes_are_named() {
    for pattern in [
        "(",
        ")",
        "a)",
        "[a",
        "(?P<x>a)(?P<x>b)",
        "(?P=x)",
        "(?(1)a|b)",
        "*",
        "(?<=a+)b",
        "a{3,2}",
        "(?Q)",
        "\\",
        "(?(a",
        "[z-a]",
        "a{1,100000}",
        "\\x1",
    ] {
        assert!(Pattern::new(pattern).is_err(), "{pattern}");
    }
    let deep = format!("{}{}", "(".repeat(200), ")".repeat(200));
    assert!(Pattern::new(&deep).is_err());
    let large = "(?:(?:(?:ab|c){900}){900}){900}";
    assert_eq!(Pattern::new(large).unwrap_err(), PatternError::TooLarge);
}

#[test]
fn a_regular_pattern_costs_linear_time() {
    let pattern = Pattern::new("^(?:(?:a|aa)+)+$").unwrap();
    assert_eq!(pattern.power(), Power::Linear);
    let text = format!("{}b", "a".repeat(5_000));
    let mut machine = Machine::default();
    machine.begin_line(LINE_STEPS_MAX);
    assert_eq!(pattern.search(&text, &mut machine), Search::Nothing);
    assert!(machine.left() > LINE_STEPS_MAX / 4, "{}", machine.left());
}

#[test]
fn another_is_stopped_by_the_line_budget() {
    let pattern = Pattern::new("^(?:(?:a|aa)+)+(?!c)$").unwrap();
    assert_eq!(pattern.power(), Power::Backtracking);
    let mut machine = Machine::default();
    machine.begin_line(LINE_STEPS_MAX);
    let text = format!("{}b", "a".repeat(5_000));
    // The linear condition already says no.
    assert_eq!(pattern.search(&text, &mut machine), Search::Nothing);
    assert!(machine.left() > LINE_STEPS_MAX / 4);
    let pattern = Pattern::new("^(?:(?:a|aa)+)+(?!b|$)").unwrap();
    assert_eq!(pattern.search(&text, &mut machine), Search::Found);
    let pattern = Pattern::new("^(?:(?:a|aa)+)+(?<!a)b").unwrap();
    assert_eq!(pattern.search(&text, &mut machine), Search::LimitReached);
    assert_eq!(machine.left(), 0);
}

#[test]
fn the_condition_holds_for_every_match() {
    for (pattern, text) in [
        (r"(?P<q>')?x(?(q)'|y)", "'x'"),
        (r"(?P<q>ab)(?P=q)", "abab"),
        (r"^a(?!b)c", "ac"),
        (r"(?:x|(?=y))y", "xy"),
        (r"[^\W\d]é[\s\S]", "aé\n"),
    ] {
        let pattern = Pattern::new(pattern).unwrap();
        let engine = regex::Regex::new(&format!("(?m){}", pattern.necessary())).unwrap();
        assert!(engine.is_match(text), "{}", pattern.necessary());
    }
}

proptest::proptest! {
    /// The walk and the linear engine agree wherever both can answer.
    #[test]
    fn walk_and_linear_engine_agree(
        pattern in r"\^?(\(?[ab.]([*+?]|\*\?|\{1,2\})?\)?\|?){1,6}",
        text in "[abc]{0,12}",
    ) {
        if let Ok(pattern) = Pattern::new(&pattern) {
            let engine = linear::engine(&pattern.tree, LINEAR_BYTES_MAX);
            if let Some(engine) = engine.filter(|_| pattern.tree.regular) {
                let mut machine = Machine::default();
                machine.begin_line(LINE_STEPS_MAX);
                let found = pattern.search(&text, &mut machine) == Search::Found;
                let expected = engine.captures(&text);
                proptest::prop_assert_eq!(found, expected.is_some());
                if let Some(expected) = expected {
                    for group in 0..pattern.tree.groups {
                        let theirs = expected.get(group).map(|m| (m.start(), m.end()));
                        proptest::prop_assert_eq!(machine.span(group), theirs);
                    }
                }
            }
        }
    }
}

/// The pattern without what the walk is told of the way ahead.
fn unhinted(source: &str) -> Pattern {
    let mut pattern = Pattern::new(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    for op in &mut pattern.program.ops {
        match op {
            Op::Split { ways, need, .. } => (*ways, *need) = (None, None),
            Op::Run {
                follow,
                keeps,
                behind,
                ..
            } => {
                (*follow, *keeps, *behind) = (Follow::Anything, false, Behind::default());
            }
            _ => {}
        }
    }
    pattern.program.need = None;
    pattern.program.head = Box::default();
    for set in &mut pattern.program.sets {
        set.all_but = None;
    }
    pattern
}

fn outcome(pattern: &Pattern, text: &str) -> Option<Vec<Option<(usize, usize)>>> {
    let mut machine = Machine::default();
    machine.begin_line(u32::MAX);
    let found = pattern.search(text, &mut machine) == Search::Found;
    found.then(|| (0..pattern.tree.groups).map(|g| machine.span(g)).collect())
}

fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        proptest::sample::select(vec![
            "a",
            "b",
            "ab",
            "a b",
            " ",
            "é",
            "aé",
            ".",
            "[ab]",
            "[^a]",
            "[^é]",
            r"\S",
            r"\s",
            r"\d",
            r"\w",
            "^",
            "$",
            r"\b",
            r"\B",
            r"\A",
            r"\Z",
            r"\n",
            r"\1",
            "(?(1)a|b)",
            "",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let times = proptest::sample::select(vec![
            "*", "+", "?", "*?", "+?", "??", "{1,2}", "{2}", "{2,}", "{0,2}?", "*+",
        ]);
        let around = proptest::sample::select(vec!["(", "(?:", "(?=", "(?!", "(?>"]);
        prop_oneof![
            4 => proptest::collection::vec(inner.clone(), 2..5).prop_map(|all| all.concat()),
            2 => proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("(?:{})", all.join("|"))),
            3 => (inner.clone(), times).prop_map(|(one, times)| format!("(?:{one}){times}")),
            2 => (
                proptest::sample::select(vec![".", "[^a]", r"\S", "[ab]", r"\w", "a"]),
                proptest::sample::select(vec!["*", "+", "*?", "+?", "?", "{1,3}"]),
            )
                .prop_map(|(set, times)| format!("{set}{times}")),
            2 => (around, inner).prop_map(|(open, one)| format!("{open}{one})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn hints_change_no_answer(
        body in patterns(),
        texts in proptest::collection::vec("[ab é1\n]{0,14}", 1..8),
    ) {
        let source = format!("(a|b)?{body}");
        prop_assume!(Pattern::new(&source).is_ok());
        let (quick, plain) = (Pattern::new(&source).unwrap(), unhinted(&source));
        for text in &texts {
            prop_assert_eq!(outcome(&quick, text), outcome(&plain, text), "{} on {:?}", source, text);
        }
    }
}
