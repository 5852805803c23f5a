//! Rule files once more, with the place of what the examination speaks about.
//!
//! The compiled rules know no places, and these here are not run. What does not load is left out:
//! loading itself reports it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    patterns::Library,
    rules::{RuleFile, RuleKind},
    yaml::{self, Located},
};

#[derive(Debug, Default, Deserialize)]
struct NodeSpec {
    name: Option<Located<String>>,
    filter: Option<String>,
    grok: Option<Located<GrokSpec>>,
    statics: Option<Vec<Located<StaticSpec>>>,
    pattern_syntax: Option<BTreeMap<String, Located<String>>>,
    nodes: Option<Vec<Located<Self>>>,
}

#[derive(Debug, Default, Deserialize)]
struct GrokSpec {
    name: Option<Located<String>>,
    pattern: Option<Located<String>>,
    statics: Option<Vec<Located<StaticSpec>>>,
}

#[derive(Debug, Default, Deserialize)]
struct StaticSpec {
    meta: Option<String>,
    expression: Option<Located<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ScenarioSpec {
    pub(super) name: Located<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Located<String>>,
    pub(super) description: Option<String>,
    pub(super) filter: Option<Located<String>>,
    pub(super) groupby: Option<Located<String>>,
    pub(super) capacity: Option<Located<i64>>,
    pub(super) leakspeed: Option<Located<String>>,
    pub(super) duration: Option<Located<String>>,
    pub(super) scope: Option<ScopeSpec>,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, Json>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ScopeSpec {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

impl ScenarioSpec {
    pub(super) fn label(&self, key: &str) -> Option<&Json> {
        self.labels.as_ref().and_then(|labels| labels.get(key))
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        match self.label(key) {
            Some(Json::Bool(yes)) => *yes,
            Some(Json::String(text)) => text == "true",
            _ => false,
        }
    }

    /// Whether its alerts name addresses.
    pub(super) fn names_addresses(&self) -> bool {
        let kind = self.scope.as_ref().and_then(|s| s.kind.as_deref());
        matches!(kind, None | Some("Ip" | "Range" | "ip" | "range"))
    }
}

/// A grok of a parser.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) file: usize,
    pub(super) rule: String,
    pub(super) pattern: Located<String>,
    /// The fields of this parser that become the client's address.
    pub(super) address: BTreeSet<String>,
    /// A filter looks closer at the text than by words: it may turn a forged one away.
    pub(super) guarded: bool,
}

/// A parser document.
#[derive(Debug)]
pub(super) struct ParserDoc {
    pub(super) file: usize,
    pub(super) stage: String,
    pub(super) name: String,
    pub(super) line: u32,
    /// The expressions that give the client's address.
    pub(super) address: Vec<Located<String>>,
}

/// A scenario document.
#[derive(Debug)]
pub(super) struct ScenarioDoc {
    pub(super) file: usize,
    pub(super) spec: ScenarioSpec,
}

/// What the rule files say, in the order in which they load.
pub(super) struct Rules<'f> {
    pub(super) files: &'f [RuleFile],
    pub(super) sites: Vec<Site>,
    pub(super) parsers: Vec<ParserDoc>,
    pub(super) scenarios: Vec<ScenarioDoc>,
    pub(super) library: Library,
}

impl<'f> Rules<'f> {
    pub(super) fn of(files: &'f [RuleFile]) -> Self {
        let mut rules = Self {
            files,
            sites: Vec::new(),
            parsers: Vec::new(),
            scenarios: Vec::new(),
            library: Library::standard(),
        };
        let mut ordered: Vec<(RuleKindOrder, usize)> = files
            .iter()
            .enumerate()
            .filter_map(|(index, file)| Some((RuleKindOrder::of(file)?, index)))
            .collect();
        ordered.sort();
        for (order, index) in ordered {
            let Some(file) = files.get(index) else {
                continue;
            };
            match order {
                RuleKindOrder::Patterns(..) => rules.library.add_file(file, &mut Vec::new()),
                RuleKindOrder::Parser(stage, ..) => rules.parser(index, file, &stage),
                RuleKindOrder::Scenario(..) => rules.scenario(index, file),
            }
        }
        rules
    }

    pub(super) fn path(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |f| f.path.as_str())
    }

    fn parser(&mut self, index: usize, file: &RuleFile, stage: &str) {
        for document in yaml::documents::<NodeSpec>(file).into_iter().flatten() {
            let spec = document.value;
            let name = match &spec.name {
                Some(name) => name.value.clone(),
                None => format!("{}:{}", file.name(), document.line),
            };
            let mut address = Vec::new();
            addresses(&spec, &mut address);
            let fields = address
                .iter()
                .flat_map(|expression| parsed_names(&expression.value))
                .map(str::to_owned)
                .collect();
            let around = Around {
                index,
                file,
                rule: &name,
                address: &fields,
            };
            self.groks(&around, &spec, false);
            self.parsers.push(ParserDoc {
                file: index,
                stage: stage.to_owned(),
                line: spec.name.as_ref().map_or(document.line, |n| n.line),
                name,
                address,
            });
        }
    }

    // Recursion is bounded by the nesting the YAML reader allows.
    fn groks(&mut self, around: &Around<'_>, spec: &NodeSpec, guarded: bool) {
        let filter = spec.filter.as_deref().unwrap_or_default();
        let guarded = guarded || ["plit(", " matches "].iter().any(|w| filter.contains(w));
        for (name, expression) in spec.pattern_syntax.iter().flatten() {
            let origin = format!("{}:{}", around.file.path, expression.line);
            self.library.add_local(name, &expression.value, origin);
        }
        if let Some(grok) = &spec.grok {
            let named = grok.value.name.as_ref();
            let named = named.filter(|n| !n.value.is_empty()).and_then(|name| {
                let expression = self.library.get(&name.value)?.expression.clone();
                Some(Located::new(expression, name.line, name.column))
            });
            if let Some(pattern) = grok.value.pattern.clone().or(named) {
                self.sites.push(Site {
                    file: around.index,
                    rule: around.rule.to_owned(),
                    pattern,
                    address: around.address.clone(),
                    guarded,
                });
            }
        }
        for node in spec.nodes.iter().flatten() {
            self.groks(around, &node.value, guarded);
        }
    }

    fn scenario(&mut self, index: usize, file: &RuleFile) {
        let documents = yaml::documents::<ScenarioSpec>(file).into_iter().flatten();
        self.scenarios.extend(documents.map(|document| ScenarioDoc {
            file: index,
            spec: document.value,
        }));
    }
}

/// The document that a node lies in.
struct Around<'a> {
    index: usize,
    file: &'a RuleFile,
    rule: &'a str,
    address: &'a BTreeSet<String>,
}

/// Patterns first, then parsers by stage, then scenarios; by file name within each.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum RuleKindOrder {
    Patterns(String, String),
    Parser(String, String, String),
    Scenario(String),
}

impl RuleKindOrder {
    fn of(file: &RuleFile) -> Option<Self> {
        let (name, path) = (file.name().to_owned(), file.path.clone());
        match file.kind() {
            RuleKind::Patterns => Some(Self::Patterns(name, path)),
            RuleKind::Parser { stage } => Some(Self::Parser(stage, name, path)),
            RuleKind::Scenario => Some(Self::Scenario(path)),
            RuleKind::Postoverflow { .. }
            | RuleKind::Context
            | RuleKind::Sigma
            | RuleKind::SigmaMapping
            | RuleKind::SigmaPlaceholders
            | RuleKind::Data
            | RuleKind::Fail2ban
            | RuleKind::Other => None,
        }
    }
}

/// Every expression in the document that gives `evt.Meta.source_ip`.
// Recursion is bounded by the nesting the YAML reader allows.
fn addresses(spec: &NodeSpec, found: &mut Vec<Located<String>>) {
    let own = spec.statics.iter().flatten();
    let of_grok = spec
        .grok
        .iter()
        .flat_map(|g| g.value.statics.iter().flatten());
    for item in own.chain(of_grok) {
        if item.value.meta.as_deref() == Some("source_ip")
            && let Some(expression) = &item.value.expression
        {
            found.push(expression.clone());
        }
    }
    for node in spec.nodes.iter().flatten() {
        addresses(&node.value, found);
    }
}

/// The names behind `evt.Parsed.` in an expression.
pub(super) fn parsed_names(expression: &str) -> impl Iterator<Item = &str> {
    expression.split("evt.Parsed.").skip(1).filter_map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        rest.get(..end).filter(|name| !name.is_empty())
    })
}
