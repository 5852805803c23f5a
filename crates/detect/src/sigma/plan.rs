//! What is to be done with the lines of each kind of source, worked out once.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;

use super::{
    matcher::Matcher,
    sources::{Declared, Groups, Sources},
};

/// Different sets of labels for which a plan is kept; further sources are planned line by line.
const PLANS_MAX: usize = 256;
/// Texts of a gate; more and it is not worth the pass.
const GATE_TEXTS_MAX: usize = 20_000;

/// How a line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    KeyValue,
    /// A line as parsers see it.
    Text,
}

#[derive(Debug, Default)]
pub(super) struct Plans {
    known: Vec<(BTreeMap<String, String>, Plan)>,
    last: usize,
}

#[derive(Debug)]
struct Plan {
    declared: Declared,
    form: Form,
    /// No rule can concern a line that is not structured.
    is_idle: bool,
    /// A line without any of these texts matches no rule.
    gate: Option<AhoCorasick>,
}

impl Plans {
    /// How the line is to be read, or `None`: no rule can concern it.
    pub(super) fn form(
        &mut self,
        line: &[u8],
        labels: &BTreeMap<String, String>,
        sources: &Sources,
        matcher: &Matcher,
    ) -> Option<Form> {
        if line.trim_ascii_start().first() == Some(&b'{') {
            return Some(Form::Json);
        }
        if is_audit(line) && sources.knows_audit() {
            return Some(Form::KeyValue);
        }
        let plan = self.plan(labels, sources, matcher)?;
        if plan.is_idle || plan.gate.as_ref().is_some_and(|gate| !gate.is_match(line)) {
            return None;
        }
        Some(plan.form)
    }

    pub(super) fn is_gated(
        &mut self,
        labels: &BTreeMap<String, String>,
        sources: &Sources,
        matcher: &Matcher,
    ) -> bool {
        self.plan(labels, sources, matcher)
            .is_some_and(|plan| plan.is_idle || plan.gate.is_some())
    }

    pub(super) fn declared(
        &mut self,
        labels: &BTreeMap<String, String>,
        sources: &Sources,
        matcher: &Matcher,
    ) -> Option<&Declared> {
        self.plan(labels, sources, matcher)
            .map(|plan| &plan.declared)
    }

    fn plan(
        &mut self,
        labels: &BTreeMap<String, String>,
        sources: &Sources,
        matcher: &Matcher,
    ) -> Option<&Plan> {
        if self
            .known
            .get(self.last)
            .is_none_or(|(known, _)| known != labels)
        {
            self.last = match self.known.iter().position(|(known, _)| known == labels) {
                Some(found) => found,
                None => {
                    if self.known.len() >= PLANS_MAX {
                        self.known.pop();
                    }
                    let plan = Plan::new(labels, sources, matcher);
                    self.known.push((labels.clone(), plan));
                    self.known.len() - 1
                }
            };
        }
        self.known.get(self.last).map(|(_, plan)| plan)
    }
}

impl Plan {
    fn new(labels: &BTreeMap<String, String>, sources: &Sources, matcher: &Matcher) -> Self {
        let declared = sources.of_labels(labels);
        let possible = sources.possible(&declared);
        let kind = labels.get("type").map_or("", String::as_str);
        let is_pairs = declared.source.is_some() || matches!(kind, "auditd" | "fortigate");
        Self {
            is_idle: possible.iter().all(|word| *word == 0),
            // Pairs may be encoded, so their values need not stand in the line.
            gate: (!is_pairs).then(|| gate(matcher, &possible)).flatten(),
            form: if is_pairs { Form::KeyValue } else { Form::Text },
            declared,
        }
    }
}

fn gate(matcher: &Matcher, possible: &Groups) -> Option<AhoCorasick> {
    let texts = matcher.texts(possible)?;
    if texts.len() > GATE_TEXTS_MAX || texts.iter().any(|text| !text.is_ascii()) {
        return None;
    }
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(texts)
        .ok()
}

/// A record of the Linux audit daemon, whatever file it stands in.
pub(super) fn is_audit(line: &[u8]) -> bool {
    let line = match line.strip_prefix(b"node=") {
        Some(rest) => {
            let end = memchr::memchr(b' ', rest).map_or(rest.len(), |at| at + 1);
            rest.get(end..).unwrap_or_default()
        }
        None => line,
    };
    line.starts_with(b"type=") && memchr::memmem::find(line, b" msg=audit(").is_some()
}
