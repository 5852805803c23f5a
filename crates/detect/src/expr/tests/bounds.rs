//! Mistakes found when rules load, sure facts, and bounds on work and depth.

use super::*;

#[test]
fn mistakes_are_found_when_rules_load() {
    let mut symbols = Symbols::default();
    for (source, offset, message, fix) in [
        ("evt.Prased.x == 'a'", 3, ".Prased", "did you mean .Parsed"),
        (
            "evnt.Parsed.x == 'a'",
            0,
            "unknown name evnt",
            "did you mean evt",
        ),
        ("evt.Parsed.x == abc", 16, "unknown name abc", "quote it"),
        (
            "Uper(evt.Parsed.x) == 'A'",
            0,
            "unknown function Uper",
            "did you mean Upper()",
        ),
        ("Upper() == 'A'", 0, "takes 1 arguments", "Upper(text)"),
        ("Upper(5) == 'A'", 0, "must be text", "Upper(text)"),
        ("evt.Parsed.x == 5", 13, "compares text", "int(field)"),
        ("evt.Parsed.x", 0, "", ""),
        (
            "evt.Parsed.x && true",
            10,
            "true or false, not text",
            "compare it",
        ),
        (
            "evt.Parsed.x matches '('",
            21,
            "regular expression",
            "balance",
        ),
        ("evt.Parsed.x = 'a'", 13, "unexpected \"=\"", "=="),
        ("evt.Parsed.x == 'a", 16, "without an end", "same quote"),
        ("(evt.Parsed.x == 'a'", 20, "expected \")\"", "close"),
        (
            "evt.Parsed.x == 'a' evt.Parsed.y",
            20,
            "unexpected evt",
            "operator is missing",
        ),
        ("any(File('x'))", 0, "", ""),
        ("# == 1", 0, "outside of a closure", "any("),
        ("evt.Nope()", 3, "no method", ""),
        (
            "evt.SetMeta('a')",
            3,
            "takes a key and a value",
            "evt.SetMeta",
        ),
        (
            "UnmarshalJSON(evt.Line.Raw, evt.Parsed, 'x')",
            31,
            "only write into evt.Unmarshaled",
            "evt.Unmarshaled",
        ),
        ("queue.Queue[0].Meta.x == ''", 0, "unknown name queue", ""),
        ("basename('x') == 'x'", 0, "test assertions only", ""),
        (
            "let evt = 1; true",
            0,
            "already has a meaning",
            "another name",
        ),
        ("if true { true }", 16, "if without else", "else"),
        ("", 0, "empty", ""),
    ] {
        match compile(source, Vars::Event, &mut symbols) {
            Ok(_) => assert!(
                message.is_empty() && !source.is_empty(),
                "{source} compiles"
            ),
            Err(e) => {
                assert!(
                    e.message.contains(message) && !message.is_empty(),
                    "{source}: {e:?}"
                );
                assert!(e.fix.contains(fix) && !e.fix.is_empty(), "{source}: {e:?}");
                assert_eq!(e.offset, offset, "{source}: {e:?}");
            }
        }
    }
}

#[test]
fn requirements_are_sure_facts() {
    let mut symbols = Symbols::default();
    let mut facts = |source: &str| {
        let expr = compile(source, Vars::Event, &mut symbols).unwrap();
        let show = |atoms: &[FieldAtom]| -> Vec<String> {
            atoms
                .iter()
                .map(|a| format!("{:?}.{}={}", a.map, symbols.name(a.sym), a.any_of.join("|")))
                .collect()
        };
        let r = expr.requirements();
        (show(&r.equals), show(&r.contains), r.line_contains.concat())
    };
    let source = "evt.Meta.log_type in ['a', 'b'] && (evt.Meta.service == 'x' || evt.Meta.service == 'y') \
                  && evt.Line.Raw contains 'Failed' && not (evt.Parsed.z == 'q')";
    let (equals, contains, line) = facts(source);
    assert_eq!(equals, ["Meta.log_type=a|b", "Meta.service=x|y"]);
    assert_eq!(contains, ["Meta.log_type=a|b", "Meta.service=x|y"]);
    assert_eq!(line, ["Failed"]);
    let (equals, contains, _) = facts("evt.Meta.a == 'x' || evt.Meta.b == 'y'");
    assert!(equals.is_empty() && contains.is_empty());
    let (equals, contains, _) =
        facts("evt.Meta.a == '' && any(File('f'), {evt.Parsed.u contains 'lit' && # == 'x'})");
    assert_eq!(
        (equals, contains),
        (vec!["Meta.a=".to_owned()], vec!["Parsed.u=lit".to_owned()])
    );
    let (equals, ..) = facts("if evt.Meta.s == 'http' { let t = 1; t == 1 } else { false }");
    assert_eq!(equals, ["Meta.s=http"]);
    let (_, contains, _) = facts("evt.Parsed.u endsWith '.php' || evt.Parsed.u contains 'wp-'");
    assert_eq!(contains, ["Parsed.u=.php|wp-"]);
    let expr = compile(
        "File('a.txt') == [] && LookupFile(evt.Parsed.q, 'b.json') == ''",
        Vars::Event,
        &mut symbols,
    );
    let requirements = expr.unwrap().program.requirements;
    assert_eq!(requirements.files, ["a.txt", "b.json"]);
    assert_eq!(
        requirements.reads,
        [(FieldMap::Parsed, symbols.intern("q"))]
    );
}

#[test]
fn a_list_asked_at_once_answers_like_one_by_one() {
    let mut world = World::new();
    // `true &&` hides the comparison, so that the closure runs for each line.
    let bodies = [
        "evt.Parsed.path contains #",
        "Upper(evt.Parsed.path) contains Upper(#)",
        "Lower(evt.Parsed.path) startsWith #",
        "evt.Parsed.path endsWith #",
        "evt.Parsed.path == #",
        "evt.Parsed.path contains Replace(#, '/', '', 1)",
    ];
    let mut seen = [0; 2];
    for path in [
        "",
        "/x/admin",
        "/ADMIN",
        "/admin",
        "a%ff",
        "%FF",
        "/backup/",
        "/adm\u{131}n",
    ] {
        world.set(FieldMap::Parsed, "path", path);
        for body in bodies {
            let at_once = world.test(&format!("any(File('paths.txt'), {{ {body} }})"));
            let one_by_one = world.test(&format!("any(File('paths.txt'), {{ true && {body} }})"));
            assert_eq!(at_once, one_by_one, "{path} {body}");
            seen[usize::from(at_once)] += 1;
            let choice = format!("any(File('paths.txt'), {{ {body} ? # endsWith 'n' : false }})");
            let expected = format!("any(File('paths.txt'), {{ {body} && # endsWith 'n' }})");
            assert_eq!(world.test(&choice), world.test(&expected), "{path} {body}");
        }
    }
    assert!(seen.iter().all(|count| *count > 8), "{seen:?}");
    assert!(!world.test("any(File('gone.txt'), { evt.Parsed.path contains # })"));
}

#[test]
fn networks_asked_at_once_answer_like_one_by_one() {
    let mut world = World::new();
    let mut seen = [0; 2];
    for ip in [
        "",
        "x",
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "198.51.100.7",
        "2001:db8::1",
        "::1",
    ] {
        world.set(FieldMap::Parsed, "ip", ip);
        let one_by_one = "any(File('networks.txt'), { true && IpInRange(evt.Parsed.ip, #) })";
        let expected = world.test(one_by_one);
        seen[usize::from(expected)] += 1;
        for guard in ["", "len(#) > 0 && ", "len(#) > 3 && "] {
            let body = format!("{guard}IpInRange(evt.Parsed.ip, #)");
            let at_once = world.test(&format!("any(File('networks.txt'), {{ {body} }})"));
            assert_eq!(at_once, expected, "{ip} {body}");
        }
    }
    assert_eq!(seen, [4, 3]);
}

#[test]
fn long_chains_are_flat_and_deep_ones_are_refused() {
    let mut world = World::new();
    let chain: Vec<String> = (0..5_000)
        .map(|i| format!("evt.Parsed.program == 'p{i}'"))
        .collect();
    assert!(!world.test(&chain.join(" || ")));
    assert!(world.test(&format!(
        "{} || evt.Parsed.program == 'sshd'",
        chain.join(" or ")
    )));
    let all: Vec<String> = (0..5_000)
        .map(|i| format!("evt.Parsed.program != 'p{i}'"))
        .collect();
    assert!(world.test(&all.join(" && ")));
    assert_eq!(world.show(&vec!["'ab'"; 2_000].join(" + ")).len(), 4_000);
    for deep in [
        format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000)),
        "!".repeat(50_000),
        "-".repeat(50_000),
        vec!["1"; 50_000].join(" - "),
        vec!["1"; 50_000].join(" ** "),
        format!("evt{}", ".a".repeat(50_000)),
        format!("evt.Unmarshaled{}", "[0]".repeat(50_000)),
        format!("{}1", "true ? 1 : ".repeat(50_000)),
        format!("{}1", "let x = 1; ".repeat(50_000)),
        format!("{}1{}", "any([1], {".repeat(50_000), "})".repeat(50_000)),
    ] {
        let e = compile(&deep, Vars::Event, &mut world.symbols)
            .err()
            .map(|e| e.message);
        assert!(e.is_some(), "{}", &deep[..40]);
    }
    let fits = format!("{}true{}", "!(".repeat(40), ")".repeat(40));
    assert!(world.test(&fits));
}

/// What is just not too deep must fit the stack of a thread, also when it is not optimised.
#[test]
fn the_deepest_expressions_fit_the_stack() {
    let mut world = World::new();
    let mut deepest = |make: &dyn Fn(usize) -> String| {
        let fits = |n: &usize| compile(&make(*n), Vars::Event, &mut Symbols::default()).is_ok();
        let most = (1..200).rev().find(fits).unwrap_or_default();
        assert!(most >= 20, "{}", make(1));
        world.show(&make(most))
    };
    assert_eq!(deepest(&|n| format!("{}true", "!".repeat(2 * n))), "true");
    assert_eq!(
        deepest(&|n| format!("{}5", "true ? ".repeat(n)) + &" : 1".repeat(n)),
        "5"
    );
    assert_eq!(deepest(&|n| format!("{}x", "let x = 1; ".repeat(n))), "1");
    assert_eq!(
        deepest(&|n| format!("{}7{}", "max([".repeat(n), "])".repeat(n))),
        "7"
    );
    let nested = |n: usize| format!("{}true{}", "any([1], {".repeat(n), "})".repeat(n));
    assert_eq!(deepest(&nested), "true");
    assert_eq!(
        deepest(&|n| vec!["8"; n].join(" - "))
            .parse::<i64>()
            .map(|n| n < 0),
        Ok(true)
    );
    assert_eq!(
        deepest(&|n| format!("{}[1]{}", "flatten([".repeat(n), "])".repeat(n))),
        "[1]"
    );
}

#[test]
fn work_is_bounded() {
    let mut world = World::new();
    for source in [
        "len(1..1000000000)",
        "repeat('a', 1000000000000)",
        "all(1..2000, {all(1..2000, {true})})",
        "let a = repeat('a', 100000); let b = a + a; let c = b + b; let d = c + c; let e = d + d; \
         let f = e + e; let g = f + f; let h = g + g; let i = h + h; let j = i + i; len(j)",
        "uniq(map(1..100000, {#}))",
        "reduce(1..1000, #acc + #acc, 'x')",
        "reduce(1..100000, [#acc], 0)",
        "reduce(1..100000, ({a: #acc}), 0)",
        "any(1..900000, {repeat('ab', 1000) contains 'c'})",
    ] {
        assert_eq!(
            world.show(source),
            "error: the expression took too many steps",
            "{source}"
        );
    }
}

#[test]
fn constants_are_folded() {
    let mut symbols = Symbols::default();
    let expr = compile(
        "evt.Parsed.a contains Upper('x')",
        Vars::Event,
        &mut symbols,
    )
    .unwrap();
    assert!(matches!(expr.program.root, node::Node::ContainsText(_)));
    let expr = compile("evt.Parsed.a == Lower('X')", Vars::Event, &mut symbols).unwrap();
    assert!(matches!(expr.program.root, node::Node::FieldEqual(..)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_text_is_harmless(source in "\\PC{0,60}") {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&source, Vars::Event, symbols, event, services);
    }

    #[test]
    fn any_tokens_are_harmless(words in proptest::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&words.join(" "), Vars::Event, symbols, event, services);
        fuzz(&words.concat(), Vars::Event, symbols, event, services);
    }

    #[test]
    fn every_function_bears_any_arguments(
        name in prop::sample::select(functions::names().collect::<Vec<_>>()),
        arguments in proptest::collection::vec(prop::sample::select(ARGUMENTS), 0..5),
    ) {
        let mut world = World::new();
        let World { event, symbols, services } = &mut world;
        fuzz(&format!("{name}({})", arguments.join(", ")), Vars::Event, symbols, event, services);
    }
}

const WORDS: &[&str] = &[
    "evt",
    ".Parsed",
    ".program",
    ".Unmarshaled",
    ".j",
    "?.",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "'a'",
    "\"",
    "1",
    "-1",
    "2.5",
    "nil",
    "true",
    "==",
    "!=",
    "in",
    "not",
    "and",
    "or",
    "||",
    "&&",
    "??",
    "?",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "..",
    "|",
    ",",
    ";",
    "#",
    ".x",
    "let",
    "x",
    "=",
    "if",
    "else",
    "any",
    "map",
    "filter",
    "reduce",
    "Upper",
    "len",
    "matches",
    "contains",
    "[1, 2]",
    "'('",
    "evt.Unmarshaled.j.list",
    "File('paths.txt')",
    "evt.Time",
    ".Hour()",
    "\\",
    "é",
];

const ARGUMENTS: &[&str] = &[
    "''",
    "'a'",
    "'é%zz'",
    "0",
    "-1",
    "9223372036854775807",
    "1.5",
    "-0.0",
    "nil",
    "true",
    "[]",
    "[1, 'a', nil]",
    "{}",
    "{a: [1]}",
    "evt.Unmarshaled.j",
    "evt.Unmarshaled.j.list",
    "evt.Parsed",
    "evt",
    "evt.Time",
    "now()",
    "duration('1s')",
    "evt.Parsed.json",
    "'a.b[0]'",
    "'%v %d %s %5.2f'",
    "'192.0.2.1'",
    "'/24'",
    "'paths.txt'",
    "1..5",
    "['a', 'b']",
    "'%!'",
    "evt.Unmarshaled",
];

/// How long one evaluation takes; run in release with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_common_expressions() {
    let mut world = World::new();
    for source in [
        "evt.Parsed.program == 'sshd' && evt.Meta.log_type in ['ssh_failed-auth', 'x', 'y']",
        "evt.Line.Labels.type == 'syslog'",
        "evt.Parsed.program endsWith 'x' || evt.Line.Raw contains 'password'",
        "Upper(evt.Parsed.path) contains Upper('.php')",
        "any(File('paths.txt'), {Lower(evt.Parsed.path) contains #})",
        "evt.Parsed.path matches '(?i)\\\\.(php|asp)'",
        "JsonExtract(evt.Parsed.json, 'a.b[1]') == 'two'",
    ] {
        let expr = compile(source, Vars::Event, &mut world.symbols).unwrap();
        let effects = RefCell::default();
        let env = Env::new(&world.event, &world.symbols, &world.services, &effects);
        let start = std::time::Instant::now();
        let rounds = 1_000_000_u32;
        let mut count = 0;
        for _ in 0..rounds {
            count += u32::from(std::hint::black_box(&expr).test(&env).unwrap_or(false));
        }
        let nanos = start.elapsed().as_nanos() / u128::from(rounds);
        println!("{nanos:>6} ns  {} {source}", count > 0);
    }
}
