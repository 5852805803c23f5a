//! What one document of a rule file is: a rule, a correlation, or a filter.
//!
//! Documents of one file may share keys: `action: global` gives its keys to all that follow it,
//! `action: repeat` repeats the one before with some keys changed, `action: reset` ends both.

use model::{Diagnostic, Severity};

use crate::{
    Placeholders,
    correlation::Correlation,
    detection::Detection,
    yaml::{self, Fault, Node, Value},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    Rule(Rule),
    Correlation(Correlation),
    Filter(Filter),
}

/// Who wrote a rule, and what it is about. DRL 1.1 asks that all of it stays with every match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    pub title: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub status: Option<String>,
    pub description: Option<String>,
    pub license: Option<String>,
    pub author: Option<String>,
    pub date: Option<String>,
    pub modified: Option<String>,
    pub level: Option<String>,
    pub references: Vec<String>,
    pub tags: Vec<String>,
    pub false_positives: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub meta: Meta,
    pub log_source: LogSource,
    pub detection: Detection,
    /// The line on which the document begins.
    pub line: u32,
}

/// What events a rule is about. A key that is not given says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogSource {
    pub product: Option<String>,
    pub category: Option<String>,
    pub service: Option<String>,
}

/// A condition that holds of other rules as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub meta: Meta,
    pub log_source: LogSource,
    pub rules: RuleScope,
    pub detection: Detection,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleScope {
    /// All rules of the log source.
    Any,
    /// By id or name.
    Named(Vec<String>),
}

/// Reads every document of a file. One with a mistake does not stop the others.
pub fn read(
    path: &str,
    text: &str,
    placeholders: &Placeholders,
) -> Vec<Result<Document, Diagnostic>> {
    let (mut global, mut previous) = (None, None);
    let mut found = Vec::new();
    for node in yaml::documents(text) {
        let read = node.and_then(|node| {
            let Some(node) = acted(node, &mut global, &mut previous)? else {
                return Ok(None);
            };
            document(&node, placeholders).map(Some)
        });
        match read {
            Ok(None) => {}
            Ok(Some(document)) => found.push(Ok(document)),
            Err(fault) => found.push(Err(explain(path, fault))),
        }
    }
    found
}

pub(crate) fn explain(path: &str, fault: Fault) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: path.to_owned(),
        line: fault.line,
        column: fault.column,
        message: fault.message,
        fix: fault.fix,
    }
}

/// What a document is once those before it have had their say; `None` if it only has one itself.
fn acted(
    node: Node,
    global: &mut Option<Node>,
    previous: &mut Option<Node>,
) -> Result<Option<Node>, Fault> {
    let action = node.get("action").and_then(Node::text);
    match action.as_deref() {
        Some("global") => {
            *global = Some(match global.take() {
                Some(before) => merged(before, node),
                None => node,
            });
            return Ok(None);
        }
        Some("reset") => {
            (*global, *previous) = (None, None);
            return Ok(None);
        }
        _ => {}
    }
    let base = match action.as_deref() {
        Some("repeat") => previous.clone(),
        Some(other) if node.get("detection").is_none() && node.get("correlation").is_none() => {
            return Err(node.fault(
                format!(
                    "unknown action `{}`",
                    other.chars().take(40).collect::<String>()
                ),
                "known here: global, repeat, reset",
            ));
        }
        _ => global.clone(),
    };
    let whole = match base {
        Some(base) => merged(base, node),
        None => node,
    };
    *previous = Some(whole.clone());
    Ok(Some(whole))
}

/// `over` wins; maps are merged key by key.
fn merged(under: Node, over: Node) -> Node {
    match (under.value, over.value) {
        (Value::Map(mut under), Value::Map(over_entries)) => {
            for (key, value) in over_entries {
                match under.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, before)) => *before = merged(std::mem::take(before), value),
                    None => under.push((key, value)),
                }
            }
            Node {
                value: Value::Map(under),
                line: over.line,
                column: over.column,
            }
        }
        (_, value) => Node {
            value,
            line: over.line,
            column: over.column,
        },
    }
}

fn document(node: &Node, placeholders: &Placeholders) -> Result<Document, Fault> {
    if !matches!(node.value, Value::Map(_)) {
        return Err(node.fault(
            "a rule is a map",
            "begin with `title:`, `logsource:` and `detection:`",
        ));
    }
    let meta = Meta::read(node)?;
    if let Some(section) = node.get("correlation") {
        return Correlation::read(meta, node, section).map(Document::Correlation);
    }
    if let Some(section) = node.get("filter") {
        return filter(meta, node, section, placeholders).map(Document::Filter);
    }
    let Some(section) = node.get("detection") else {
        return Err(node.fault(
            format!("`{}` has no `detection`", clip(&meta.title)),
            "add `detection:` with a search identifier and a `condition`",
        ));
    };
    Ok(Document::Rule(Rule {
        log_source: log_source(node)?,
        detection: Detection::read(section, &[], placeholders)?,
        line: node.line,
        meta,
    }))
}

fn filter(
    meta: Meta,
    node: &Node,
    section: &Node,
    placeholders: &Placeholders,
) -> Result<Filter, Fault> {
    let rules = match section.get("rules") {
        None => RuleScope::Any,
        Some(rules) if rules.text().as_deref() == Some("any") => RuleScope::Any,
        Some(rules) => RuleScope::Named(rules.items().iter().filter_map(Node::text).collect()),
    };
    Ok(Filter {
        log_source: log_source(node)?,
        rules,
        detection: Detection::read(section, &["rules"], placeholders)?,
        line: node.line,
        meta,
    })
}

fn log_source(node: &Node) -> Result<LogSource, Fault> {
    let Some(section) = node.get("logsource") else {
        return Err(node.fault(
            "the key `logsource` is missing",
            "add `logsource:` with `product`, `category` or `service`",
        ));
    };
    let part = |key: &str| {
        let text = section.get(key).and_then(Node::text)?;
        let text = text.trim().to_lowercase();
        (!text.is_empty()).then_some(text)
    };
    let source = LogSource {
        product: part("product"),
        category: part("category"),
        service: part("service"),
    };
    if source == LogSource::default() {
        return Err(section.fault(
            "`logsource` names no product, category or service",
            "add at least one of them",
        ));
    }
    Ok(source)
}

impl Meta {
    fn read(node: &Node) -> Result<Self, Fault> {
        let text = |key: &str| {
            let text = node.get(key).and_then(Node::text)?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let texts = |key: &str| -> Vec<String> {
            let list = node.get(key).map(Node::items).unwrap_or_default();
            list.iter().filter_map(Node::text).collect()
        };
        let author = node.get("author");
        // Some authors write a list.
        let author = author.map(|a| a.items().iter().filter_map(Node::text).collect::<Vec<_>>());
        let Some(title) = text("title") else {
            return Err(node.fault("the key `title` is missing", "add `title:`"));
        };
        Ok(Self {
            title,
            id: text("id"),
            name: text("name"),
            status: text("status"),
            description: text("description"),
            license: text("license"),
            author: author.filter(|a| !a.is_empty()).map(|a| a.join(", ")),
            date: text("date"),
            modified: text("modified"),
            level: text("level"),
            references: texts("references"),
            tags: texts("tags"),
            false_positives: texts("falsepositives"),
        })
    }

    /// Whether a correlation or filter that names `reference` means this rule.
    pub fn is(&self, reference: &str) -> bool {
        self.id.as_deref() == Some(reference) || self.name.as_deref() == Some(reference)
    }
}

impl LogSource {
    /// Whether every key of `self` is one of `other`: `self` speaks of all events of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        let fits = |own: &Option<String>, other: &Option<String>| own.is_none() || own == other;
        fits(&self.product, &other.product)
            && fits(&self.category, &other.category)
            && fits(&self.service, &other.service)
    }
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{correlation::CorrelationKind, modifiers::Relation};

    fn load(text: &str) -> Vec<Result<Document, Diagnostic>> {
        read("rules/sigma/x.yml", text, &Placeholders::new())
    }

    const RULE: &str = "title: One\nid: a-1\nauthor: Someone\nlogsource:\n  product: Linux\n\
                        detection:\n  s:\n    A: 1\n  condition: s\n";

    #[test]
    fn a_broken_rule_is_named_with_its_place_and_stops_no_other() {
        let all = load(&format!(
            "{RULE}---\ntitle: Two\nlogsource:\n  product: x\n---\n{RULE}"
        ));
        assert_eq!(all.len(), 3);
        let Ok(Document::Rule(rule)) = &all[0] else {
            panic!("{all:?}");
        };
        assert_eq!(rule.log_source.product.as_deref(), Some("linux"));
        assert_eq!(rule.meta.author.as_deref(), Some("Someone"));
        let wrong = all[1].as_ref().unwrap_err();
        assert!(wrong.line >= 10, "{wrong}");
        assert!(
            wrong.message.contains("`Two` has no `detection`"),
            "{wrong}"
        );
        assert!(all[2].is_ok());
    }

    #[test]
    fn correlations_are_read_whole() {
        let all = load(
            "title: Many\ncorrelation:\n  type: value_count\n  rules: [a-1, other]\n  \
             group-by: [host, who]\n  timespan: 15m\n  aliases:\n    who:\n      other: user\n  \
             condition:\n    field: target\n    gt: 3\n    lte: 20\ngenerate: true\n",
        );
        let Ok(Document::Correlation(c)) = &all[0] else {
            panic!("{all:?}");
        };
        assert!(matches!(&c.kind, CorrelationKind::Value { fields, .. } if fields == &["target"]));
        assert_eq!(c.timespan.as_secs(), 900);
        assert!(c.generate && c.bounds[0].holds(4.0) && !c.bounds[0].holds(3.0));
        assert_eq!(c.aliases["who"]["other"], "user");
        assert_eq!(c.rules[1].text, "other");
    }

    #[test]
    fn a_temporal_correlation_without_a_condition_wants_all_rules() {
        let all =
            load("title: T\ncorrelation:\n  type: temporal\n  rules: [a, b]\n  timespan: 1h\n");
        let Ok(Document::Correlation(c)) = &all[0] else {
            panic!("{all:?}");
        };
        assert_eq!(c.bounds[0].value, 2.0);
        assert_eq!(
            c.bounds[0].compare,
            crate::Compare::Is(Relation::GreaterOrEqual)
        );
    }

    #[test]
    fn correlations_say_what_they_lack() {
        for (section, message) in [
            (
                "type: event_count\n  rules: [a]\n  timespan: 5m",
                "needs a condition",
            ),
            (
                "type: value_count\n  rules: [a]\n  timespan: 5m\n  condition:\n    gte: 1",
                "field",
            ),
            (
                "type: event_count\n  rules: []\n  timespan: 5m",
                "names 1 to",
            ),
            (
                "type: event_count\n  rules: [a]\n  timespan: soon\n  condition:\n    gte: 1",
                "not a time span",
            ),
            (
                "type: near\n  rules: [a]\n  timespan: 5m",
                "unknown correlation type",
            ),
            (
                "type: event_count\n  rules: [a]\n  timespan: 5m\n  condition:\n    over: 1",
                "unknown comparison",
            ),
        ] {
            let all = load(&format!("title: T\ncorrelation:\n  {section}\n"));
            let wrong = all[0].as_ref().unwrap_err();
            assert!(wrong.message.contains(message), "{section}: {wrong}");
        }
    }

    #[test]
    fn global_documents_give_their_keys_to_those_after_them() {
        let all = load(
            "action: global\ntitle: G\nlogsource:\n  product: linux\ndetection:\n  condition: s\n\
             ---\ndetection:\n  s:\n    A: 1\n---\nlogsource:\n  service: x\ndetection:\n  s:\n    A: 2\n",
        );
        assert_eq!(all.len(), 2, "{all:?}");
        let Ok(Document::Rule(second)) = &all[1] else {
            panic!("{all:?}");
        };
        assert_eq!(second.meta.title, "G");
        assert_eq!(second.log_source.product.as_deref(), Some("linux"));
        assert_eq!(second.log_source.service.as_deref(), Some("x"));
    }

    #[test]
    fn filters_name_the_rules_they_are_for() {
        let all = load(
            "title: F\nlogsource:\n  product: linux\nfilter:\n  rules: [a-1]\n  s:\n    U: x\n  \
             condition: not s\n",
        );
        let Ok(Document::Filter(filter)) = &all[0] else {
            panic!("{all:?}");
        };
        assert_eq!(filter.rules, RuleScope::Named(vec!["a-1".to_owned()]));
        assert_eq!(filter.detection.names, ["s"]);
    }
}
