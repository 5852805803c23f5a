//! What an assert file that is still empty could say: assertions that hold of this run.
//!
//! For people who write a test. Whether they *should* hold is for them to judge, so nothing is
//! written anywhere.

use std::cell::RefCell;

use serde_json::Value as Json;

use super::{
    Desk,
    results::{NodeResults, Overflows},
};
use crate::{
    event::{Event, FieldMap},
    expr::{self, Object, Value, Vars},
};

/// Lines; whoever needs more tests too much at once.
const LINES_MAX: usize = 10_000;
/// Nesting of unmarshaled values that is followed.
const DEPTH_MAX: usize = 8;

struct Proposal<'d, 'r> {
    desk: &'d mut Desk,
    results: &'r dyn Object,
    lines: Vec<String>,
}

pub(super) fn of_nodes(desk: &mut Desk, nodes: &NodeResults) -> Vec<String> {
    let mut proposal = Proposal::new(desk, nodes);
    proposal.value("len(results)");
    for (stage, node, count) in nodes.outline().filter(|(stage, ..)| *stage != "success") {
        let all = format!("results[{}][{}]", quote(stage), quote(node));
        proposal.value(&format!("len({all})"));
        for index in 0..count {
            let entry = format!("{all}[{index}]");
            proposal.value(&format!("{entry}.Success"));
            if let Some(event) = nodes.taken(stage, node, index) {
                proposal.event(&format!("{entry}.Evt"), event);
            }
        }
    }
    proposal.lines
}

pub(super) fn of_overflows(desk: &mut Desk, overflows: &Overflows) -> Vec<String> {
    let order: Vec<usize> = (0..overflows.len()).collect();
    let ordered = overflows.ordered(&order);
    let mut proposal = Proposal::new(desk, &ordered);
    proposal.value("len(results)");
    for index in order.iter().copied() {
        let Some(overflow) = overflows.get(index) else {
            continue;
        };
        let all = format!("results[{index}].Overflow");
        for key in overflow.sources.keys().map(|key| quote(key)) {
            proposal.push(format!("{key} in {all}.GetSources()"));
            for part in ["IP", "Range", "GetScope()", "GetValue()"] {
                proposal.value(&format!("{all}.Sources[{key}].{part}"));
            }
        }
        for (number, event) in overflow.events.iter().enumerate() {
            let mut keys: Vec<&str> = event.meta.iter().map(|(key, _)| key).collect();
            keys.push("timestamp");
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let key = quote(key);
                proposal.value(&format!("{all}.Alert.Events[{number}].GetMeta({key})"));
            }
        }
        for part in ["GetScenario()", "Remediation", "GetEventsCount()"] {
            proposal.value(&format!("{all}.Alert.{part}"));
        }
    }
    proposal.lines
}

impl<'d, 'r> Proposal<'d, 'r> {
    fn new(desk: &'d mut Desk, results: &'r dyn Object) -> Self {
        Self {
            desk,
            results,
            lines: Vec::new(),
        }
    }

    fn push(&mut self, line: String) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        }
    }

    fn event(&mut self, at: &str, event: &Event) {
        for (map, name) in [
            (FieldMap::Parsed, "Parsed"),
            (FieldMap::Meta, "Meta"),
            (FieldMap::Enriched, "Enriched"),
        ] {
            let fields = event.fields(map).iter();
            let mut keys: Vec<String> = fields
                .map(|(sym, _)| quote(self.desk.symbols.name(sym)))
                .collect();
            keys.sort_unstable();
            for key in keys {
                self.value(&format!("{at}.{name}[{key}]"));
            }
        }
        for (key, value) in &event.unmarshaled {
            self.json(&format!("{at}.Unmarshaled[{}]", quote(key)), value, 0);
        }
        self.value(&format!("{at}.Whitelisted"));
        if event.whitelisted {
            self.value(&format!("{at}.WhitelistReason"));
        }
    }

    // Recursion is bounded by DEPTH_MAX.
    fn json(&mut self, at: &str, value: &Json, depth: usize) {
        match value {
            Json::Object(map) if depth < DEPTH_MAX => {
                for (key, value) in map {
                    self.json(&format!("{at}[{}]", quote(key)), value, depth + 1);
                }
            }
            Json::String(_) | Json::Bool(_) | Json::Number(_) => self.value(at),
            Json::Object(_) | Json::Array(_) | Json::Null => {}
        }
    }

    /// `left == ` what it is in this run, if that can be written down.
    fn value(&mut self, left: &str) {
        // Where the log lies is no matter of the test.
        let left = if left.contains("datasource_path") {
            format!("basename({left})")
        } else {
            left.to_owned()
        };
        let Ok(compiled) = expr::compile(&left, Vars::Results, &mut self.desk.symbols) else {
            return;
        };
        let effects = RefCell::default();
        let bench = self.desk.bench(&effects);
        let written = match compiled.eval(&bench.env(self.results)) {
            Ok(Value::Text(text)) => quote(&text),
            Ok(Value::Bool(b)) => b.to_string(),
            Ok(Value::Int(n)) => n.to_string(),
            Ok(Value::Float(f)) if f.abs() < 1e15 => f.to_string(),
            _ => return,
        };
        self.push(format!("{left} == {written}"));
    }
}

/// As the language writes text: JSON's escapes are among its own.
fn quote(text: &str) -> String {
    Json::from(text).to_string()
}
