use proptest::prelude::*;
use regex_automata::{Input, meta};

use super::*;

/// Both ways' captures; `None` where the pattern is not walked.
fn both(pattern: &str, text: &str) -> Option<(Option<Slots>, Option<Slots>)> {
    let hir = ::regex_syntax::parse(pattern).unwrap();
    let walk = Walk::new(&hir)?;
    let regex = meta::Regex::builder().build_from_hir(&hir).unwrap();
    let empty: Slots = vec![None; regex.captures_len() * 2];
    let (mut walked, mut searched) = (empty.clone(), empty);
    let found = regex
        .search_slots_with(&mut regex.create_cache(), &Input::new(text), &mut searched)
        .is_some();
    let answer = walk.run(text, &mut walked, &mut Vec::new());
    if !walk.anchored && answer == Walked::Unknown {
        return None;
    }
    assert_ne!(answer, Walked::Unknown, "{pattern} {text}");
    let matched = answer == Walked::Match;
    Some((matched.then_some(walked), found.then_some(searched)))
}

const PATTERNS: &[&str] = &[
    r"^(a*)(b?)(a*)$",
    r"^(.*) (b+)(?: (c))?$",
    r"^(a|ab)(c|bcd)(d*)",
    r"^(?:(a)|(b)|c)*(b.*)?$",
    r"^([^ ]+) ([^ ]*) ?(.*)$",
    r#"^"((?:[^"\\]|\\.)*)" (b)?"#,
    r"^(a{1,3})(a{2})(b{0,2})$",
    r"^((?:a|b){1,3})(\.b){2}$",
    r"^([^a]*)(b)([^b]*)c",
    r"^(.)(.*)(é|b)$",
    r"^(?:a(b)?){2,4}(.*)$",
    r"^(.+)(.+)$",
    r"^(?:(a+)b|(a+)c) ?$",
    r"^(a*?)b",
    r"^(|a)b$",
    r"(a)b",
    r"(a.*?)b( [cd]+?)?$",
    r#"([^"]*?) "(.*?)"(?: (c+))?"#,
    r"(?-u:\b)([a-c]+)(?-u:\b) (.*?)c",
    r"(?-u:\B)a(.+?)(a{1,4}|b)(?-u:\b)",
    r"(?:([ab]{1,4}:){2}|(?:[ab]{1,4}:){1}(c|:b)|:(a|:))(d.+)?",
    r"(?:([ab]{1,4}\.){2}|(?:[ab]{1,4}\.){1}(c|\.b)|\.(a|\.))(d.+)?",
    r"^([aé]?b|é{2})([bé]+?|[aéç])(?: (c))?$",
    r"((?:a|é)+?)(\.?|(?-u:\b)) (.*)",
];

proptest! {
    #[test]
    fn captures_are_those_of_the_general_engine(
        text in r#"[abcd .:"\\éç\n]{0,14}"#, number in 0..PATTERNS.len(),
    ) {
        if let Some((walked, searched)) = both(PATTERNS[number], &text) {
            prop_assert_eq!(walked, searched);
        }
    }
}

#[test]
fn what_cannot_be_walked_is_left_alone() {
    let refused = |pattern: &str| Walk::new(&::regex_syntax::parse(pattern).unwrap()).is_none();
    for pattern in [r"^\b", r"^[^ ]{2,9}", r"^(?m:a$)", r"^(?:a*b?)*"] {
        assert!(refused(pattern), "{pattern}");
    }
    assert!(!refused(r"^(.*) from ([0-9]{1,3}(?:\.[0-9]{1,3}){3})$"));
}

#[test]
fn work_is_bounded() {
    let hir = ::regex_syntax::parse(r"^.*.*.*.*.*b$").unwrap();
    let walk = Walk::new(&hir).unwrap();
    let text = "a".repeat(2_000) + "c";
    let walked = walk.run(&text, &mut vec![None; 2], &mut Vec::new());
    assert!(matches!(walked, Walked::NoMatch | Walked::Unknown));
    let hard = "b".repeat(2_000) + "c";
    let walked = walk.run(&hard, &mut vec![None; 2], &mut Vec::new());
    assert_eq!(walked, Walked::Unknown);
}
