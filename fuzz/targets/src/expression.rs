//! Expressions of any text, compiled and evaluated.

use std::{cell::RefCell, collections::BTreeMap};

use detect::{
    event::{Event, FieldMap},
    expr::{self, DataFile, Env, Expr, FieldAtom, Lookup, LookupKind, LookupRow, Services, Vars},
    regex_syntax,
    symbols::Symbols,
};

use crate::{NOW, knob};

const FIELDS: [(FieldMap, &str, &str); 9] = [
    (FieldMap::Parsed, "program", "sshd"),
    (FieldMap::Parsed, "status", "404"),
    (FieldMap::Parsed, "path", "/A/b%20c.PHP?x=1"),
    (FieldMap::Parsed, "kv", "a=1 b=\"x y\""),
    (
        FieldMap::Parsed,
        "json",
        r#"{"a": {"b": [1, "two", {"c": "q\"r"}]}, "n": 16}"#,
    ),
    (FieldMap::Parsed, "xml", "<a b='c'><d>e</d><d>f</d></a>"),
    (FieldMap::Meta, "log_type", "ssh_failed-auth"),
    (FieldMap::Meta, "source_ip", "192.0.2.7"),
    (FieldMap::Labels, "type", "syslog"),
];

thread_local! {
    static SERVICES: Services = services();
}

/// The first byte says which names there are; the rest is the expression.
pub fn expression(data: &[u8]) {
    let (vars, data) = knob(data);
    let Ok(source) = std::str::from_utf8(data) else {
        return;
    };
    let vars = match vars % 5 {
        0 => Vars::Event,
        1 => Vars::Condition,
        2 => Vars::Alert,
        3 => Vars::Results,
        _ => Vars::Context,
    };
    let mut symbols = Symbols::default();
    let event = event(&mut symbols);
    let expr = match expr::compile(source, vars, &mut symbols) {
        Ok(expr) => expr,
        Err(fault) => {
            assert!(
                source.is_char_boundary(fault.offset),
                "{fault:?} has no place"
            );
            assert!(
                !fault.message.is_empty() && !fault.fix.is_empty(),
                "{fault:?} says nothing"
            );
            return;
        }
    };
    SERVICES.with(|services| evaluate(&expr, &event, &symbols, services));
}

fn evaluate(expr: &Expr, event: &Event, symbols: &Symbols, services: &Services) {
    let run = || {
        let effects = RefCell::default();
        let env = Env::new(event, symbols, services, &effects);
        let value = format!("{:?}", expr.eval(&env));
        (value, effects.into_inner().len())
    };
    let first = run();
    let (value, _) = &first;
    let is_quoted = expr.source().contains("NilPassed");
    assert!(
        is_quoted || !value.contains("NilPassed"),
        "an inner signal got out"
    );
    // Random numbers and the clock aside, an expression changes nothing.
    assert_eq!(first, run(), "another value the second time");
    let effects = RefCell::default();
    let env = Env::new(event, symbols, services, &effects);
    if expr.test(&env) == Ok(true) {
        requirements_hold(expr, event);
    }
}

/// The prefilter believes these.
fn requirements_hold(expr: &Expr, event: &Event) {
    let needs = expr.requirements();
    let value = |atom: &FieldAtom| event.field(atom.map, atom.sym).to_owned();
    for atom in &needs.equals {
        assert!(atom.any_of.contains(&value(atom)), "true without {atom:?}");
    }
    for atom in &needs.contains {
        let value = value(atom);
        assert!(
            atom.any_of.iter().any(|text| value.contains(text)),
            "true without {atom:?}"
        );
    }
    for texts in &needs.line_contains {
        assert!(
            texts.iter().any(|text| event.line().contains(text)),
            "true without {texts:?}"
        );
    }
}

fn event(symbols: &mut Symbols) -> Event {
    let mut event = Event::default();
    event.reset("<34>Nov 21 host sshd[7]: Failed password for root from 192.0.2.7");
    event.time = NOW;
    event.marshaled_time = Some(NOW);
    for (map, name, value) in FIELDS {
        let sym = symbols.intern(name);
        event.set_field(map, sym, value);
    }
    event
}

fn services() -> Services {
    let mut services = Services {
        now: NOW,
        hostname: "guard".to_owned(),
        ..Services::default()
    };
    let lines = ["/admin", "/backup", "%ff"].map(str::to_owned).to_vec();
    services
        .data
        .insert("lines.txt", DataFile::Strings(lines.into()));
    let regexes: Vec<_> = ["^/adm", "b.*p"]
        .iter()
        .filter_map(|r| regex_syntax::compile(r).ok())
        .collect();
    services
        .data
        .insert("regexes.txt", DataFile::Regexes(regexes.into()));
    let row = |(pattern, (kind, tag)): (&str, (LookupKind, &str))| LookupRow {
        kind,
        pattern: pattern.to_owned(),
        tag: tag.to_owned(),
    };
    let rows = BTreeMap::from([
        ("sshd", (LookupKind::Equals, "equal")),
        ("bot", (LookupKind::Contains, "contained")),
        ("^a+$", (LookupKind::Regex, "matched")),
    ]);
    let (lookup, _) = Lookup::new(rows.into_iter().map(row).collect());
    services.data.insert("map.txt", DataFile::Map(lookup));
    services
}
