//! parser.assert and scenario.assert: one expression a line, which must be true of `results`.

use std::cell::RefCell;

use crate::{
    event::Event,
    expr::{self, Effect, Env, Expr, Object, Services, Value, Vars},
    symbols::Symbols,
};

/// Which of the two files, and so what `results` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertFile {
    Parser,
    Scenario,
}

impl AssertFile {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parser => "parser.assert",
            Self::Scenario => "scenario.assert",
        }
    }
}

/// One line of an assert file, compiled.
pub(super) struct Assertion<'t> {
    pub(super) file: AssertFile,
    /// From 1.
    pub(super) line: u32,
    pub(super) text: &'t str,
    source: String,
    expr: Result<Expr, String>,
    /// What is compared, to show what it was.
    left: Option<Expr>,
    /// The one overflow that it is about.
    pub(super) index: Option<usize>,
}

pub(super) enum Verdict {
    Holds,
    /// With what was found instead, if that can be said.
    False(Option<String>),
    Error(String),
}

/// What assertions are evaluated with.
pub(super) struct Bench<'b> {
    pub(super) event: &'b Event,
    pub(super) symbols: &'b Symbols,
    pub(super) services: &'b Services,
    pub(super) effects: &'b RefCell<Vec<Effect>>,
}

impl<'t> Assertion<'t> {
    /// The lines that count.
    pub(super) fn all(file: AssertFile, text: &'t str, symbols: &mut Symbols) -> Vec<Self> {
        let lines = (1..).zip(text.lines().map(str::trim));
        lines
            .filter(|(_, line)| !line.is_empty() && !is_comment(line))
            .map(|(number, line)| Self::new(file, number, line, symbols))
            .collect()
    }

    fn new(file: AssertFile, line: u32, text: &'t str, symbols: &mut Symbols) -> Self {
        let source = rewritten(text);
        let compiled = expr::compile(&source, Vars::Results, symbols);
        let left =
            compared(&source).and_then(|part| expr::compile(part, Vars::Results, symbols).ok());
        let index = match file {
            AssertFile::Parser => None,
            AssertFile::Scenario => index_of(&source),
        };
        Self {
            file,
            line,
            text,
            expr: compiled.map_err(|e| format!("this is no expression: {e}; {}", e.fix)),
            left,
            index,
            source,
        }
    }

    pub(super) fn judge(&self, bench: &Bench<'_>, results: &dyn Object) -> Verdict {
        let expr = match &self.expr {
            Ok(expr) => expr,
            Err(why) => return Verdict::Error(why.clone()),
        };
        let env = bench.env(results);
        match expr.test(&env) {
            Ok(true) => Verdict::Holds,
            Ok(false) => {
                let found = self.left.as_ref().and_then(|left| left.eval(&env).ok());
                Verdict::False(found.map(|value| show(&value)))
            }
            Err(e) => Verdict::Error(e.to_string()),
        }
    }

    pub(super) fn holds(&self, bench: &Bench<'_>, results: &dyn Object) -> bool {
        let passes = |expr: &Expr| expr.test(&bench.env(results)).unwrap_or(false);
        self.expr.as_ref().is_ok_and(passes)
    }

    /// Upstream's runner counts a false line of scenario.assert as a failure only when it has the
    /// form `a == b`; some published tests hold others that are false.
    pub(super) fn is_counted_upstream(&self) -> bool {
        let is_comparison = |(at, _): (usize, &str)| {
            let before = self.source.get(..at).and_then(|b| b.chars().next_back());
            before.is_some_and(|c| !c.is_whitespace())
        };
        self.file == AssertFile::Parser || self.source.match_indices(" == ").any(is_comparison)
    }

    /// `results["stage"]["node"]`, for hints.
    pub(super) fn node(&self) -> Option<(String, Option<String>)> {
        let rest = self.source.split_once("results[")?.1;
        let (stage, rest) = quoted(rest)?;
        let node = rest.strip_prefix("][").and_then(quoted);
        Some((stage, node.map(|(node, _)| node)))
    }
}

impl Bench<'_> {
    pub(super) fn env<'e>(&'e self, results: &'e dyn Object) -> Env<'e> {
        let mut env = Env::new(self.event, self.symbols, self.services, self.effects);
        env.results = Some(results);
        env
    }
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#') || line.starts_with("//")
}

/// Where a log lies differs from machine to machine: only its name is compared.
fn rewritten(line: &str) -> String {
    if line.contains("datasource_path")
        && !line.contains("basename(")
        && let Some((left, right)) = line.split_once(" == ")
    {
        return format!("basename({left}) == {right}");
    }
    line.to_owned()
}

/// The part whose value explains why the whole is false: left of `==`, right of `in`.
fn compared(source: &str) -> Option<&str> {
    if let Some(at) = outside_quotes(source, " == ") {
        return source.get(..at);
    }
    outside_quotes(source, " in ").and_then(|at| source.get(at + " in ".len()..))
}

fn outside_quotes(source: &str, needle: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in source.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if source
                .get(at..)
                .is_some_and(|rest| rest.starts_with(needle)) =>
            {
                return Some(at);
            }
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {}
        }
    }
    None
}

/// The only overflow that `source` names by its number.
fn index_of(source: &str) -> Option<usize> {
    let mut numbers = source.match_indices("results[").map(|(at, found)| {
        let rest = source.get(at + found.len()..)?;
        rest.split_once(']')?.0.trim().parse::<usize>().ok()
    });
    let first = numbers.next()??;
    numbers.all(|n| n == Some(first)).then_some(first)
}

/// The text in quotes at the beginning, without escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (inner, rest) = text.get(1..)?.split_once(quote)?;
    Some((inner.to_owned(), rest))
}

/// Items of a list that are shown.
const ITEMS_MAX: usize = 6;

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Text(text) => format!("{:?}", &**text),
        Value::List(list) => {
            let mut items: Vec<String> = list
                .iter()
                .take(ITEMS_MAX)
                .map(|item| match item {
                    Value::List(_) => "[…]".to_owned(),
                    item => show(&item),
                })
                .collect();
            if list.len() > ITEMS_MAX {
                items.push(format!("… {} in all", list.len()));
            }
            format!("[{}]", items.join(", "))
        }
        other => format!("a {}", other.kind()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(file: AssertFile, line: &str) -> Assertion<'_> {
        Assertion::new(file, 1, line, &mut Symbols::default())
    }

    #[test]
    fn empty_lines_and_comments_do_not_count_but_keep_their_numbers() {
        let text = "\n# a\nlen(results) == 1\r\n  // b\n\n true \n";
        let all = Assertion::all(AssertFile::Parser, text, &mut Symbols::default());
        let lines: Vec<_> = all.iter().map(|a| (a.line, a.text)).collect();
        assert_eq!(lines, [(3, "len(results) == 1"), (6, "true")]);
    }

    #[test]
    fn only_the_name_of_a_log_is_compared() {
        let plain = r#"results["a"]["b"][0].Evt.Meta["datasource_path"] == "x.log""#;
        let wrapped = r#"basename(results["a"]["b"][0].Evt.Meta["datasource_path"]) == "x.log""#;
        assert_eq!(rewritten(plain), wrapped);
        assert_eq!(rewritten(wrapped), wrapped);
        assert_eq!(rewritten("a == b"), "a == b");
    }

    #[test]
    fn which_overflow_a_line_is_about() {
        assert_eq!(
            index_of("results[12].Overflow.Alert.Remediation == true"),
            Some(12)
        );
        assert_eq!(
            index_of(r#""x" in results[0].Overflow.GetSources()"#),
            Some(0)
        );
        assert_eq!(index_of("results[0].a == results[0].b"), Some(0));
        assert_eq!(index_of("results[0].a == results[1].a"), None);
        assert_eq!(index_of("len(results) == 2"), None);
        assert_eq!(index_of(r#"results["s00"]["x"][0].Success == true"#), None);
    }

    #[test]
    fn lines_of_another_form_are_not_counted_in_scenario_asserts() {
        let counted = |file, line| one(file, line).is_counted_upstream();
        let member = r#""a" in results[0].Overflow.GetSources()"#;
        assert!(!counted(AssertFile::Scenario, member));
        assert!(counted(AssertFile::Parser, member));
        assert!(counted(AssertFile::Scenario, "len(results) == 1"));
        assert!(!counted(AssertFile::Scenario, "len(results) != 1"));
        assert!(!counted(AssertFile::Scenario, "len(results)  == 1"));
    }

    #[test]
    fn what_explains_a_false_line() {
        assert_eq!(
            compared(r#"a["x == y"].b == "c == d""#),
            Some(r#"a["x == y"].b"#)
        );
        assert_eq!(compared(r#""a in b" in c.D()"#), Some("c.D()"));
        assert_eq!(compared(r#""a\" in b" in c"#), Some("c"));
        assert_eq!(compared("FloatApproxEqual(a, 1)"), None);
        let node = one(
            AssertFile::Parser,
            r#"results["s01"]["me/x"][0].Success == true"#,
        )
        .node();
        assert_eq!(node, Some(("s01".to_owned(), Some("me/x".to_owned()))));
        assert_eq!(one(AssertFile::Parser, "len(results) == 1").node(), None);
    }

    #[test]
    fn values_are_shown_in_the_language_they_are_compared_in() {
        assert_eq!(show(&Value::text("a\"b")), r#""a\"b""#);
        assert_eq!(show(&Value::Float(200.0)), "200");
        let many = Value::list((0..9).map(Value::Int).collect());
        assert_eq!(show(&many), "[0, 1, 2, 3, 4, 5, … 9 in all]");
    }
}
