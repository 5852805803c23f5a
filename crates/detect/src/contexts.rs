//! Alert contexts: what an alert tells about its events in a few words (who was the target, which
//! paths were asked for).
//!
//! Last step of the data's way: expressions run over the events of a bucket that ran over, and
//! their texts go into [`model::Alert::context`]. Events that wait are packed; the fields that
//! contexts read are packed with them ([`Contexts::reads`]). With no context loaded all of this
//! costs nothing. Decides nothing: an expression that fails adds nothing.

use std::{cell::RefCell, collections::BTreeMap};

use model::{Diagnostic, limits};
use serde::Deserialize;

use crate::{
    buckets::Unpacked,
    event::{Event, FieldMap},
    expr::{self, Env, Expr, List, Services, Value, Vars},
    rules::{RuleFile, RuleKind},
    symbols::{Sym, Symbols},
    yaml::{self, Located},
};

/// Keys of all contexts together.
const KEYS_MAX: usize = 256;
/// Expressions of one key.
const EXPRESSIONS_MAX: usize = 64;

#[derive(Debug, Deserialize)]
struct Spec {
    #[serde(default)]
    context: Option<Located<BTreeMap<String, Vec<Located<String>>>>>,
}

/// All contexts, by the key that they add to.
#[derive(Default)]
pub(crate) struct Contexts {
    keys: BTreeMap<String, Vec<Expr>>,
}

impl Contexts {
    pub(crate) fn load(
        files: &[RuleFile],
        symbols: &mut Symbols,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut contexts = Self::default();
        for file in files.iter().filter(|f| f.kind() == RuleKind::Context) {
            for document in yaml::documents::<Spec>(file) {
                match document {
                    Ok(document) => contexts.add(document.value, file, symbols, found),
                    Err(diagnostic) => found.push(diagnostic),
                }
            }
        }
        contexts
    }

    fn add(
        &mut self,
        spec: Spec,
        file: &RuleFile,
        symbols: &mut Symbols,
        found: &mut Vec<Diagnostic>,
    ) {
        for (key, sources) in spec.context.into_iter().flat_map(|context| context.value) {
            for source in sources {
                let taken = self.keys.get(&key).map_or(0, Vec::len);
                if taken >= EXPRESSIONS_MAX || (taken == 0 && self.keys.len() >= KEYS_MAX) {
                    let message = format!(
                        "contexts have more than {KEYS_MAX} keys, or `{key}` has more than \
                         {EXPRESSIONS_MAX} expressions"
                    );
                    found.push(source.warning(file, message, "leave some out".to_owned()));
                    continue;
                }
                match expr::compile(&source, Vars::Context, symbols) {
                    Ok(expr) => {
                        let known = self.keys.entry(key.clone()).or_default();
                        // Several files may say the same.
                        if known.iter().all(|k| k.source() != expr.source()) {
                            known.push(expr);
                        }
                    }
                    // What is told of a firewall's request has functions of its own.
                    Err(_) if names_a_request(&source) => {}
                    Err(e) => found.push(source.error_at(file, e.offset, e.message, e.fix)),
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The fields that must be there when an alert is made.
    pub(crate) fn reads(&self) -> Vec<(FieldMap, Sym)> {
        let all = self.keys.values().flatten();
        let mut reads: Vec<_> = all
            .flat_map(|e| e.requirements().reads.iter().copied())
            .collect();
        reads.sort_unstable();
        reads.dedup();
        reads
    }

    /// The values of every key over `events`, each once, in the order of the events.
    pub(crate) fn of<'a>(
        &self,
        events: impl Iterator<Item = Unpacked<'a>>,
        symbols: &Symbols,
        services: &Services,
    ) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut event = Event::default();
        // Contexts may not write into events.
        let effects = RefCell::default();
        for packed in events {
            event.reset(std::str::from_utf8(packed.raw()).unwrap_or_default());
            for (map, number, value) in packed.fields() {
                if let Some(sym) = symbols.by_number(number) {
                    event.set_field(map, sym, value);
                }
            }
            let env = Env::new(&event, symbols, services, &effects);
            for (key, expressions) in &self.keys {
                for value in expressions.iter().filter_map(|e| e.eval(&env).ok()) {
                    note(&mut all, key, &value);
                }
            }
        }
        all
    }
}

/// `req` and `match` are a web application firewall's; for a line of a log both are nil, and what
/// begins with them tells nothing.
fn names_a_request(source: &str) -> bool {
    ["req.", "req ", "match."]
        .iter()
        .any(|name| source.trim_start().starts_with(name))
}

fn note(all: &mut BTreeMap<String, Vec<String>>, key: &str, value: &Value<'_>) {
    match value {
        Value::Text(text) => note_text(all, key, text),
        Value::Int(n) => note_text(all, key, &n.to_string()),
        Value::List(List::Lines(lines)) => lines.iter().for_each(|line| note_text(all, key, line)),
        Value::List(List::Shared(values)) => {
            for value in values.iter() {
                if let Value::Text(text) = value {
                    note_text(all, key, text);
                }
            }
        }
        _ => {}
    }
}

fn note_text(all: &mut BTreeMap<String, Vec<String>>, key: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    let end = text.floor_char_boundary(limits::CONTEXT_VALUE_BYTES_MAX);
    let text = text.get(..end).unwrap_or(text);
    let values = all.entry(key.to_owned()).or_default();
    if values.len() < limits::CONTEXT_VALUES_MAX && values.iter().all(|v| v != text) {
        values.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use model::{Alert, LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp};

    use super::*;
    use crate::engine::{Clock, Engine, EngineOptions, Rules};

    const PARSER: &str = "name: me/p\nonsuccess: next_stage\ngrok:\n  apply_on: Line.Raw\n  \
        pattern: '^%{IP:ip} %{WORD:name}'\nstatics:\n  - meta: source_ip\n    expression: \
        evt.Parsed.ip\n";
    const SCENARIO: &str = "type: leaky\nname: me/s\ndescription: d\nfilter: \"evt.Parsed.ip != ''\"\n\
        groupby: evt.Meta.source_ip\ncapacity: 2\nleakspeed: 1h\nlabels:\n  remediation: true\n";

    fn alerts_of(lines: &[&str], context: &str) -> Vec<Alert> {
        let files = vec![
            RuleFile::new("parsers/s01-parse/p.yaml", PARSER),
            RuleFile::new("scenarios/s.yaml", SCENARIO),
            RuleFile::new("contexts/me/a.yaml", context),
        ];
        let (rules, found) = Rules::load(files, &[]);
        assert_eq!(found, []);
        let mut engine = Engine::new(rules, EngineOptions::default());
        let source = SourceInfo {
            name: "log".into(),
            module: "file".into(),
            labels: Default::default(),
        };
        let mut alerts = Vec::new();
        for (second, line) in (0..).zip(lines) {
            let now = Timestamp::from_seconds(second);
            let meta = RecordMeta {
                source: SourceId(0),
                origin: LineOrigin::Stream { line: 1 },
                received: now,
                text: 0..line.len(),
                raw: 0..line.len(),
                truncated: false,
                catch_up: false,
            };
            let record = Record {
                meta: &meta,
                text: line.as_bytes(),
                raw: line.as_bytes(),
            };
            engine.observe(&record, &source, Clock::Live { now }, &mut alerts);
        }
        alerts
    }

    #[test]
    fn values_are_told_once_in_order() {
        let context = "context:\n  user:\n    - evt.Meta.none\n    - evt.Parsed.name\n  \
                       uri:\n    - \"req != nil ? req.Host : ''\"\n    - evt.Line.Raw[:5]\n";
        let lines = ["192.0.2.1 root x", "192.0.2.1 admin x", "192.0.2.1 root x"];
        let alerts = alerts_of(&lines, context);
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].context["user"], ["root", "admin"]);
        assert_eq!(alerts[0].context["uri"], ["192.0"]);
    }

    #[test]
    fn what_only_a_request_has_is_passed_over() {
        let text = "context:\n  a:\n    - \"req.Method != '' ? Fingerprint(req) : ''\"\n";
        let files = [RuleFile::new("contexts/a.yaml", text)];
        let mut found = Vec::new();
        Contexts::load(&files, &mut Symbols::default(), &mut found);
        assert_eq!(found, []);
    }

    #[test]
    fn a_mistake_concerns_its_expression_only() {
        let text = "context:\n  a:\n    - evt.Meta.x ==\n    - evt.Meta.x\n";
        let files = [RuleFile::new("contexts/a.yaml", text)];
        let (mut symbols, mut found) = (Symbols::default(), Vec::new());
        let contexts = Contexts::load(&files, &mut symbols, &mut found);
        assert_eq!((found.len(), found[0].line), (1, 3));
        assert_eq!(contexts.reads().len(), 1);
        assert!(!contexts.is_empty());
    }
}
