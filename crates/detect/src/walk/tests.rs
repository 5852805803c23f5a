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
    let answer = walk.run(text, &mut walked, &mut Memory::default());
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

proptest! {
    /// Texts that begin alike, one after the other, so that walks go on from each other's marks.
    #[test]
    fn what_was_walked_before_changes_nothing(
        texts in proptest::collection::vec(("[ab .]{0,9}", r#"[abc .:"é]{0,6}"#), 2..6),
        front in r#"[ab .:"é]{0,12}"#, number in 0..PATTERNS.len(),
    ) {
        let hir = ::regex_syntax::parse(PATTERNS[number]).unwrap();
        let walk = Walk::new(&hir).unwrap();
        let captures = hir.properties().explicit_captures_len() + 1;
        let empty: Slots = vec![None; captures * 2];
        let mut memory = Memory::default();
        for (middle, end) in texts {
            let text = format!("{front}{middle}{end}");
            let (mut fresh, mut used) = (empty.clone(), empty.clone());
            let expected = walk.run(&text, &mut fresh, &mut Memory::default());
            prop_assert_eq!(walk.run(&text, &mut used, &mut memory), expected);
            if expected == Walked::Match {
                prop_assert_eq!(used, fresh);
            }
        }
    }
}

#[test]
fn a_walk_goes_on_where_texts_begin_to_differ() {
    let hir = ::regex_syntax::parse(r"^([a-z]+ +[0-9:]+) ([a-z]+) (.*)$").unwrap();
    let walk = Walk::new(&hir).unwrap();
    let mut memory = Memory::default();
    let run = |text: &str, memory: &mut Memory| {
        let mut slots: Slots = vec![None; 8];
        assert_eq!(walk.run(text, &mut slots, memory), Walked::Match);
        slots
    };
    let first = run("mar 10:00:01 gate one", &mut memory);
    assert_eq!(first, run("mar 10:00:01 gate two", &mut memory));
    assert_eq!(first, run("mar 10:00:02 gate two", &mut memory));
    assert_ne!(first, run("mar 10:00:02 gates two", &mut memory));
    let begins = |memory: &mut Memory, text: &str| {
        let mark = memory.resume(text.as_bytes(), &mut Vec::new());
        mark.map(|mark| mark.at)
    };
    assert_eq!(begins(&mut memory, "mar 10:00:02 gateways x"), Some(12));
    assert_eq!(run("mar 10:00:02 gateways two", &mut memory).len(), 8);
    assert_eq!(begins(&mut memory, "mar 10:00:02 gateways x"), Some(21));
    assert_eq!(begins(&mut memory, "mar 10:00:02 g"), Some(12));
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
    let walked = walk.run(&text, &mut vec![None; 2], &mut Memory::default());
    assert!(matches!(walked, Walked::NoMatch | Walked::Unknown));
    let hard = "b".repeat(2_000) + "c";
    let walked = walk.run(&hard, &mut vec![None; 2], &mut Memory::default());
    assert_eq!(walked, Walked::Unknown);
}
