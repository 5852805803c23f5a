//! What matches lead to: alerts of rules, and counts of correlations.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use model::{Diagnostic, Severity, Timestamp, limits};
use serde_json::{Value as Json, json};
use sigma::{Correlation, CorrelationKind, Meta};

use super::{
    SigmaRule, SigmaRules, facts,
    fields::{FieldId, Fields},
    values::Values,
};
use crate::{
    buckets::{Scenario, fed},
    engine::{EntryKind, RuleEntry},
    explain::{SigmaAccount, SigmaMatch},
    symbols::Symbols,
};

/// What stands between the values of a group.
const SEPARATOR: char = '\u{1f}';

/// Where matches go. Numbers of scenarios are those of the rules, then of the correlations.
#[derive(Debug, Default)]
pub(super) struct Links {
    rules: Vec<Link>,
    correlations: Vec<CorrelationLink>,
    /// The number of the first rule's scenario.
    first: u32,
}

#[derive(Clone, Debug)]
struct Link {
    /// Alerts on its own, and does not only count for correlations.
    alerts: bool,
    /// Correlations it counts for, and as which of their rules.
    into: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct CorrelationLink {
    rule: SigmaRule,
    correlation: Correlation,
    link: Link,
    /// For each of its rules the fields that make the group.
    groups: Vec<Vec<FieldId>>,
    values: Vec<FieldId>,
}

/// An event on its way into one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) scenario: u32,
    pub(crate) group: String,
    pub(crate) step: Option<String>,
    pub(crate) value: Option<String>,
    /// The correlation behind the scenario, if it is one.
    pub(crate) correlation: Option<u32>,
}

/// What an alert says beside the rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) address: Option<IpAddr>,
    pub(crate) machine: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) time: Option<Timestamp>,
}

impl Links {
    pub(super) fn new(
        rules: &[SigmaRule],
        correlations: Vec<(Correlation, SigmaRule)>,
        fields: &mut Fields,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let alone = Link {
            alerts: true,
            into: Vec::new(),
        };
        let mut links = Self {
            rules: vec![alone; rules.len()],
            ..Self::default()
        };
        let mut waiting = correlations;
        // A correlation may count others, so those without open references come first.
        loop {
            let known = links.correlations.len();
            let mut rest = Vec::new();
            for (correlation, entry) in waiting {
                match links.steps(rules, &correlation) {
                    Ok(steps) => match countable(&correlation) {
                        Ok(()) => links.add(rules, correlation, entry, &steps, fields),
                        Err(why) => found.push(refused(&correlation, &entry, why)),
                    },
                    Err(_) => rest.push((correlation, entry)),
                }
            }
            waiting = rest;
            if links.correlations.len() == known || waiting.is_empty() {
                break;
            }
        }
        for (correlation, entry) in waiting {
            if let Err(missing) = links.steps(rules, &correlation) {
                let why = format!(
                    "no rule that is loaded has the id or name `{missing}`, or they name each other"
                );
                found.push(refused(&correlation, &entry, why));
            }
        }
        links
    }

    /// What each reference means; `Err` is the first that means nothing.
    fn steps(&self, rules: &[SigmaRule], correlation: &Correlation) -> Result<Vec<Step>, String> {
        let find = |text: &str| {
            let rule = rules.iter().position(|rule| rule.meta.is(text));
            let other = || self.correlations.iter().position(|c| c.rule.meta.is(text));
            rule.map(Step::Rule)
                .or_else(|| other().map(Step::Correlation))
                .ok_or_else(|| text.to_owned())
        };
        correlation
            .rules
            .iter()
            .map(|reference| find(&reference.text))
            .collect()
    }

    fn add(
        &mut self,
        rules: &[SigmaRule],
        correlation: Correlation,
        rule: SigmaRule,
        steps: &[Step],
        fields: &mut Fields,
    ) {
        let number = u32::try_from(self.correlations.len()).unwrap_or(u32::MAX);
        let mut groups = Vec::with_capacity(steps.len());
        for (step, (at, reference)) in steps.iter().zip((0u32..).zip(&correlation.rules)) {
            let (meta, link) = match step {
                Step::Rule(n) => (
                    rules.get(*n).map(|r| Arc::clone(&r.meta)),
                    self.rules.get_mut(*n),
                ),
                Step::Correlation(n) => match self.correlations.get_mut(*n) {
                    Some(other) => (Some(Arc::clone(&other.rule.meta)), Some(&mut other.link)),
                    None => (None, None),
                },
            };
            if let Some(link) = link {
                link.into.push((number, at));
                link.alerts &= correlation.generate;
            }
            let own = correlation.group_by.iter().map(|name| {
                fields.intern(alias(&correlation, name, &reference.text, meta.as_deref()))
            });
            groups.push(own.collect());
        }
        let values = match &correlation.kind {
            CorrelationKind::Value { fields: names, .. } => {
                names.iter().map(|name| fields.intern(name)).collect()
            }
            _ => Vec::new(),
        };
        self.correlations.push(CorrelationLink {
            rule,
            correlation,
            link: Link {
                alerts: true,
                into: Vec::new(),
            },
            groups,
            values,
        });
    }

    fn feeds_of(&self, link: &Link, values: &Values) -> Vec<Feed> {
        let feed = |(number, step): &(u32, u32)| {
            let to = self.correlations.get(*number as usize)?;
            let group = joined(to.groups.get(*step as usize)?, values)?;
            let value = match to.values.is_empty() {
                true => None,
                false => Some(joined(&to.values, values)?),
            };
            let rules = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
            Some(Feed {
                scenario: self.first + rules + number,
                group,
                step: Some(step.to_string()),
                value,
                correlation: Some(*number),
            })
        };
        link.into.iter().filter_map(feed).collect()
    }
}

enum Step {
    Rule(usize),
    Correlation(usize),
}

/// The field that stands for a name of `group-by` in the events of one rule.
fn alias<'c>(
    correlation: &'c Correlation,
    name: &'c str,
    reference: &str,
    meta: Option<&Meta>,
) -> &'c str {
    let Some(by_rule) = correlation.aliases.get(name) else {
        return name;
    };
    let own = || {
        let name = meta?.name.as_deref()?;
        by_rule.get(name)
    };
    by_rule
        .get(reference)
        .or_else(own)
        .map_or(name, String::as_str)
}

/// `None` when one of the fields has no value: such events belong to no group.
fn joined(fields: &[FieldId], values: &Values) -> Option<String> {
    let mut text = String::new();
    for field in fields {
        let value = values.of(*field).find(|value| !value.is_null)?;
        text.push_str(value.text);
        text.push(SEPARATOR);
    }
    text.pop();
    Some(text)
}

/// Correlations are decided as events come in, so there must be a least count.
fn countable(correlation: &Correlation) -> Result<(), String> {
    use sigma::{Compare, Relation};
    let most = (limits::BUCKET_QUEUE_MAX - 1) as f64;
    let has_least = correlation.bounds.iter().any(|bound| {
        let is_least = matches!(
            bound.compare,
            Compare::Is(Relation::Greater | Relation::GreaterOrEqual | Relation::Equal)
        );
        is_least && bound.value > 0.0
    });
    let counts = !matches!(correlation.kind, CorrelationKind::Value { aggregate, .. }
        if aggregate != sigma::Aggregate::Count);
    if !has_least && counts {
        return Err("its condition holds before anything happened; give it `gte`".to_owned());
    }
    if counts && correlation.bounds.iter().all(|bound| bound.value > most) {
        return Err(format!("at most {most} events wait in one group"));
    }
    Ok(())
}

fn refused(correlation: &Correlation, entry: &SigmaRule, why: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        file: entry.file.clone(),
        line: correlation.line,
        column: 1,
        message: format!(
            "the correlation `{}` cannot be run: {why}",
            entry.meta.title
        ),
        fix: "load the rules it names too, and count from 1 on".to_owned(),
    }
}

impl SigmaRules {
    /// The scenarios behind the rules, of which the first has the number `first`.
    pub(crate) fn scenarios(&mut self, first: u32, symbols: &mut Symbols) -> Vec<Scenario> {
        self.links.first = first;
        let mut names = BTreeMap::new();
        let rules = self.rules.iter().map(|rule| (rule, None));
        let correlations = self.links.correlations.iter().map(|link| {
            let c = &link.correlation;
            let parts = (c.kind.clone(), c.bounds.clone(), c.timespan, c.rules.len());
            (&link.rule, Some(parts))
        });
        rules
            .chain(correlations)
            .filter_map(|(rule, correlation)| {
                let parts = fed::Parts {
                    name: unique(rule, &mut names),
                    hash: Arc::clone(&rule.hash),
                    file: rule.file.clone(),
                    description: rule.meta.title.clone(),
                    labels: labels(&rule.meta),
                    credit: fed::credit(&rule.meta),
                    correlation,
                };
                Scenario::fed(parts, symbols)
            })
            .collect()
    }

    /// The rules for listings.
    pub(crate) fn entries(&self) -> Vec<RuleEntry> {
        let mut names = BTreeMap::new();
        let all = self.rules.iter();
        all.chain(self.links.correlations.iter().map(|link| &link.rule))
            .map(|rule| RuleEntry {
                kind: EntryKind::Sigma,
                name: unique(rule, &mut names),
                file: rule.file.clone(),
                description: rule.meta.title.clone(),
                hash: rule.hash.to_string(),
            })
            .collect()
    }

    /// What the last event's matches feed.
    pub(crate) fn feeds(&self) -> Vec<Feed> {
        let mut feeds = Vec::new();
        for number in &self.matches {
            let Some(link) = self.links.rules.get(*number as usize) else {
                continue;
            };
            if link.alerts {
                feeds.push(Feed {
                    scenario: self.links.first + number,
                    group: String::new(),
                    step: None,
                    value: None,
                    correlation: None,
                });
            }
            feeds.extend(self.links.feeds_of(link, &self.values));
        }
        feeds
    }

    /// What a correlation that ran over feeds.
    pub(crate) fn chained(&self, correlation: u32) -> Vec<Feed> {
        let link = self.links.correlations.get(correlation as usize);
        link.map(|own| self.links.feeds_of(&own.link, &self.values))
            .unwrap_or_default()
    }

    /// Whether a correlation alerts itself.
    pub(crate) fn alerts(&self, correlation: u32) -> bool {
        let link = self.links.correlations.get(correlation as usize);
        link.is_none_or(|own| own.link.alerts)
    }

    /// Who, where and when, of the last event.
    pub(crate) fn facts(&self, line: &str, now: Timestamp) -> Facts {
        let (facts, values) = (&self.facts, &self.values);
        Facts {
            address: facts.address(values),
            machine: facts.host(values).map(str::to_owned),
            user: facts.user(values).map(str::to_owned),
            time: facts.time(values, now).or_else(|| facts::audit_time(line)),
        }
    }

    /// Whether the last event is of a log source that rules are about.
    pub(crate) fn is_recognised(&self) -> bool {
        self.active.iter().any(|word| *word != 0)
    }

    /// The rules that the last judged line matched; `None` when it is of no log source they know.
    pub(crate) fn account(&self) -> Option<SigmaAccount> {
        let rules = self.matches.iter();
        let matched = rules
            .filter_map(|number| self.rules.get(*number as usize))
            .map(|rule| SigmaMatch {
                title: rule.meta.title.clone(),
                id: rule.meta.id.clone(),
                level: rule.meta.level.clone(),
                file: rule.file.clone(),
            })
            .collect();
        self.is_recognised().then_some(SigmaAccount { matched })
    }

    pub(crate) fn values_dropped(&self) -> u64 {
        self.values.dropped
    }
}

/// `sigma/` and the file's name, as public rules are called; with the id where that is taken.
fn unique(rule: &SigmaRule, names: &mut BTreeMap<String, u32>) -> String {
    let file = rule.file.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let name = format!("sigma/{stem}");
    let taken = names.entry(name.clone()).or_default();
    *taken += 1;
    match (*taken, &rule.meta.id) {
        (1, _) => name,
        (n, None) => format!("{name}-{n}"),
        (n, Some(id)) => format!("{name}-{n}-{id}"),
    }
}

/// What DRL 1.1 asks to be kept, and what Posse's own rules say too.
fn labels(meta: &Meta) -> BTreeMap<String, Json> {
    let mut labels = BTreeMap::from([
        ("label".to_owned(), json!(meta.title)),
        ("remediation".to_owned(), json!(false)),
        (
            "license".to_owned(),
            json!(meta.license.as_deref().unwrap_or(fed::LICENSE)),
        ),
    ]);
    let techniques: Vec<String> = meta
        .tags
        .iter()
        .filter_map(|tag| tag.strip_prefix("attack.t"))
        .map(|number| format!("attack.T{number}"))
        .collect();
    let severity = meta.level.as_deref().map(|level| match level {
        "informational" => "info",
        other => other,
    });
    for (key, text) in [
        ("sigma_id", meta.id.as_deref()),
        ("sigma_level", meta.level.as_deref()),
        ("sigma_status", meta.status.as_deref()),
        ("author", meta.author.as_deref()),
        ("severity", severity),
    ] {
        if let Some(text) = text {
            labels.insert(key.to_owned(), json!(text));
        }
    }
    for (key, list) in [
        ("references", &meta.references),
        ("tags", &meta.tags),
        ("classification", &techniques),
    ] {
        if !list.is_empty() {
            labels.insert(key.to_owned(), json!(list));
        }
    }
    labels
}
