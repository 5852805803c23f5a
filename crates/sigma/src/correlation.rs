//! Correlation rules: so many events, values or kinds of events within a time, by group.
//!
//! Correlation specification 2.1.

use std::{collections::BTreeMap, time::Duration};

use model::parse_duration;

use crate::{
    document::Meta,
    modifiers::Relation,
    yaml::{Fault, Node, Value},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    pub meta: Meta,
    pub kind: CorrelationKind,
    /// Whose matches count; the order counts for `temporal_ordered`.
    pub rules: Vec<Reference>,
    pub group_by: Vec<String>,
    pub timespan: Duration,
    /// All must hold of the count.
    pub bounds: Vec<Bound>,
    /// Alias to the field's name in the events of each rule.
    pub aliases: BTreeMap<String, BTreeMap<String, String>>,
    /// The rules that count alert on their own too.
    pub generate: bool,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CorrelationKind {
    EventCount,
    Value {
        aggregate: Aggregate,
        /// Different values are different combinations of these.
        fields: Vec<String>,
    },
    /// So many different rules match.
    Temporal,
    /// All rules match, in their order.
    TemporalOrdered,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    Count,
    Sum,
    Average,
    /// The value below which so many percent of the values are.
    Percentile(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub compare: Compare,
    pub value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Is(Relation),
    IsNot,
}

/// Another rule, by its `id` or `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub text: String,
    pub line: u32,
    pub column: u32,
}

/// Rules that one correlation may name.
const RULES_MAX: usize = 64;

impl Bound {
    pub fn holds(&self, value: f64) -> bool {
        match self.compare {
            Compare::Is(Relation::Equal) => value == self.value,
            Compare::Is(Relation::Less) => value < self.value,
            Compare::Is(Relation::LessOrEqual) => value <= self.value,
            Compare::Is(Relation::Greater) => value > self.value,
            Compare::Is(Relation::GreaterOrEqual) => value >= self.value,
            Compare::IsNot => value != self.value,
        }
    }
}

impl Correlation {
    pub(crate) fn read(meta: Meta, document: &Node, section: &Node) -> Result<Self, Fault> {
        let rules = rules(section)?;
        let (kind, bounds) = kind(section, rules.len())?;
        let generate = section.get("generate").or_else(|| document.get("generate"));
        Ok(Self {
            meta,
            kind,
            rules,
            group_by: texts(section.get("group-by")),
            timespan: timespan(section)?,
            bounds,
            aliases: aliases(section)?,
            generate: generate.is_some_and(|node| node.value == Value::Bool(true)),
            line: section.line,
        })
    }
}

fn rules(section: &Node) -> Result<Vec<Reference>, Fault> {
    let Some(node) = section.get("rules") else {
        return Err(section.fault(
            "the key `rules` is missing",
            "add `rules:` with the ids or names of the rules that count",
        ));
    };
    let rules: Vec<Reference> = node
        .items()
        .iter()
        .filter_map(|item| {
            Some(Reference {
                text: item.text()?,
                line: item.line,
                column: item.column,
            })
        })
        .collect();
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(node.fault(
            format!("a correlation names 1 to {RULES_MAX} rules"),
            "write ids or names of rules",
        ));
    }
    Ok(rules)
}

fn kind(section: &Node, rules: usize) -> Result<(CorrelationKind, Vec<Bound>), Fault> {
    let Some(node) = section.get("type") else {
        return Err(section.fault(
            "the key `type` is missing",
            "add `type: event_count` (or value_count, temporal, temporal_ordered)",
        ));
    };
    let name = node.text().unwrap_or_default();
    let condition = section.get("condition");
    let bounds = condition.map(bounds).transpose()?.unwrap_or_default();
    let aggregate = match name.as_str() {
        "event_count" => None,
        "value_count" => Some(Aggregate::Count),
        "value_sum" => Some(Aggregate::Sum),
        "value_avg" => Some(Aggregate::Average),
        "value_percentile" | "value_median" => Some(Aggregate::Percentile(percentile(condition)?)),
        "temporal" | "temporal_ordered" => {
            // Without a condition all of the rules must match.
            let bounds = if bounds.is_empty() {
                vec![Bound {
                    compare: Compare::Is(Relation::GreaterOrEqual),
                    value: rules as f64,
                }]
            } else {
                bounds
            };
            return Ok(if name == "temporal" {
                (CorrelationKind::Temporal, bounds)
            } else {
                (CorrelationKind::TemporalOrdered, bounds)
            });
        }
        _ => {
            return Err(node.fault(
                format!("unknown correlation type `{}`", clip(&name)),
                "known here: event_count, value_count, value_sum, value_avg, value_percentile, \
                 temporal, temporal_ordered",
            ));
        }
    };
    let Some(condition) = condition.filter(|_| !bounds.is_empty()) else {
        return Err(section.fault(
            format!("a correlation of type {name} needs a condition"),
            "add `condition:` with `gte: 10`",
        ));
    };
    let Some(aggregate) = aggregate else {
        return Ok((CorrelationKind::EventCount, bounds));
    };
    let fields = texts(condition.get("field"));
    if fields.is_empty() {
        return Err(condition.fault(
            format!("a correlation of type {name} needs the field whose values count"),
            "add `field: Name` under `condition:`",
        ));
    }
    Ok((CorrelationKind::Value { aggregate, fields }, bounds))
}

fn percentile(condition: Option<&Node>) -> Result<f64, Fault> {
    let Some(node) = condition.and_then(|c| c.get("percentile")) else {
        return Ok(50.0);
    };
    node.text()
        .and_then(|text| text.parse().ok())
        .filter(|value| (0.0..=100.0).contains(value))
        .ok_or_else(|| {
            node.fault(
                "a percentile is a number from 0 to 100",
                "write `percentile: 95`",
            )
        })
}

fn bounds(condition: &Node) -> Result<Vec<Bound>, Fault> {
    let Value::Map(entries) = &condition.value else {
        return Err(condition.fault(
            "the condition of a correlation is a map",
            "write `gte: 10` under `condition:`",
        ));
    };
    let mut bounds = Vec::new();
    for (key, value) in entries {
        let compare = match key.as_str() {
            "eq" => Compare::Is(Relation::Equal),
            "neq" => Compare::IsNot,
            "lt" => Compare::Is(Relation::Less),
            "lte" => Compare::Is(Relation::LessOrEqual),
            "gt" => Compare::Is(Relation::Greater),
            "gte" => Compare::Is(Relation::GreaterOrEqual),
            "field" | "percentile" => continue,
            _ => {
                return Err(value.fault(
                    format!("unknown comparison `{}`", clip(key)),
                    "known here: eq, neq, gt, gte, lt, lte, field, percentile",
                ));
            }
        };
        let number = value.text().and_then(|text| text.parse::<f64>().ok());
        let Some(value) = number.filter(|n| n.is_finite()) else {
            return Err(value.fault(
                format!("`{key}` takes a number"),
                format!("write `{key}: 10`"),
            ));
        };
        bounds.push(Bound { compare, value });
    }
    Ok(bounds)
}

/// A number and one of `s`, `m`, `h`, `d`; weeks too.
fn timespan(section: &Node) -> Result<Duration, Fault> {
    let Some(node) = section.get("timespan").or_else(|| section.get("timeframe")) else {
        return Err(section.fault("the key `timespan` is missing", "add `timespan: 5m`"));
    };
    let text = node.text().unwrap_or_default();
    match parse_duration(text.trim()) {
        Ok(span) if !span.is_zero() => Ok(span),
        _ => Err(node.fault(
            format!("`{}` is not a time span", clip(&text)),
            "write a number and s, m, h or d, such as `timespan: 5m`",
        )),
    }
}

fn aliases(section: &Node) -> Result<BTreeMap<String, BTreeMap<String, String>>, Fault> {
    let Some(node) = section.get("aliases") else {
        return Ok(BTreeMap::new());
    };
    let wrong = |at: &Node| {
        at.fault(
            "aliases are maps from a rule's name to a field",
            "write `alias:` and under it `rule_name: field`",
        )
    };
    let Value::Map(entries) = &node.value else {
        return Err(wrong(node));
    };
    let mut aliases = BTreeMap::new();
    for (alias, by_rule) in entries {
        let Value::Map(fields) = &by_rule.value else {
            return Err(wrong(by_rule));
        };
        let fields = fields
            .iter()
            .filter_map(|(rule, field)| Some((rule.clone(), field.text()?)))
            .collect();
        aliases.insert(alias.clone(), fields);
    }
    Ok(aliases)
}

fn texts(node: Option<&Node>) -> Vec<String> {
    node.map(|node| node.items().iter().filter_map(Node::text).collect())
        .unwrap_or_default()
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}
