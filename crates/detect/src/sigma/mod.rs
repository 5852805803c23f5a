//! Sigma rules on the engine: the third kind of detection content beside parsers and scenarios.
//!
//! `sigma` (the format room) reads the files; this module compiles them into one matcher and runs
//! it over structured lines: JSON, `key=value`, and what parsers made of access logs. A match
//! becomes an event of a scenario that the rule stands behind, so alerts, correlations, ceilings
//! and snapshots are those of all other buckets. Lines that no Sigma rule can concern are left at
//! once. Pure, like all of this room.
//!
//! ```text
//! line -> read (json, key=value, parsed) -> values by field
//!      -> sources (which rules can be meant) -> matcher -> matches
//! ```

mod atoms;
mod builtin;
mod facts;
mod fields;
mod link;
mod load;
mod matcher;
mod plan;
mod program;
mod read;
mod sources;
mod values;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;
use sigma::{LogSource, Meta};

pub use self::load::load;
use self::{
    facts::FactFields,
    fields::{Fields, WHOLE},
    link::Links,
    matcher::Matcher,
    plan::Plans,
    sources::{Groups, Sources},
    values::Values,
};
pub(crate) use self::{
    link::{Facts, Feed},
    plan::Form,
};
use crate::{event::Event, symbols::Symbols};

/// A loaded Sigma rule.
#[derive(Clone, Debug)]
pub struct SigmaRule {
    pub meta: Arc<Meta>,
    pub file: String,
    /// SHA-256 of the file's text, lower-case hex.
    pub hash: Arc<str>,
    pub log_source: LogSource,
}

/// All Sigma rules, compiled, and what is reused from event to event.
#[derive(Debug)]
pub struct SigmaRules {
    rules: Vec<SigmaRule>,
    fields: Fields,
    sources: Sources,
    matcher: Matcher,
    facts: FactFields,
    links: Links,
    plans: Plans,
    values: Values,
    active: Groups,
    matches: Vec<u32>,
    /// Structured lines that could not be read.
    pub unreadable: u64,
}

impl SigmaRules {
    /// The rules, in the order of their numbers.
    pub fn rules(&self) -> &[SigmaRule] {
        &self.rules
    }

    /// Whether a line of a source with these labels can concern a rule.
    pub(crate) fn wants(&mut self, line: &[u8], labels: &BTreeMap<String, String>) -> Option<Form> {
        let Self {
            plans,
            sources,
            matcher,
            ..
        } = self;
        plans.form(line, labels, sources, matcher)
    }

    /// Numbers of the rules that a line of a source with these labels matches.
    pub fn judge_line(&mut self, line: &str, labels: &BTreeMap<String, String>) -> &[u32] {
        self.matches.clear();
        if let Some(form) = self.wants(line.as_bytes(), labels) {
            self.judge(form, line, labels, None);
        }
        &self.matches
    }

    /// Numbers of the rules that a JSON event matches, whatever its source is called.
    pub fn judge_event(&mut self, event: &Json, labels: &BTreeMap<String, String>) -> &[u32] {
        self.matches.clear();
        self.begin();
        read::json(event, &self.fields, &mut self.values);
        self.declare("", labels);
        self.sources
            .recognise(event, &mut self.values, &mut self.active);
        if self.matcher.wants_whole(&self.active) {
            read::json_text(event, &mut self.values);
        }
        self.matcher
            .run(&self.values, &self.active, &mut self.matches);
        &self.matches
    }

    /// Whether plain lines of such a source are left at once when they lack the rules' words.
    pub fn is_gated(&mut self, labels: &BTreeMap<String, String>) -> bool {
        let Self {
            plans,
            sources,
            matcher,
            ..
        } = self;
        plans.is_gated(labels, sources, matcher)
    }

    /// Like the last judgement, with every rule asked by itself: the two must agree.
    pub fn judge_slowly(&self) -> Vec<u32> {
        self.matcher.run_slowly(&self.values, &self.active)
    }

    /// Judges a line that [`Self::wants`] said is of this form; `parsed` is what parsers made of
    /// it.
    pub(crate) fn judge(
        &mut self,
        form: Form,
        line: &str,
        labels: &BTreeMap<String, String>,
        parsed: Option<(&Event, &Symbols)>,
    ) -> &[u32] {
        self.matches.clear();
        self.begin();
        if form == Form::Json {
            match serde_json::from_str::<Json>(line.trim()) {
                Ok(event) => {
                    self.judge_event(&event, labels);
                }
                Err(_) => self.unreadable += 1,
            }
            return &self.matches;
        }
        if form == Form::KeyValue {
            read::key_value(line, &self.fields, &mut self.values);
        }
        if let Some((event, symbols)) = parsed {
            read::parsed(event, symbols, &self.fields, &mut self.values);
        }
        self.declare(line, labels);
        if self.matcher.wants_whole(&self.active) {
            self.values.add(&[WHOLE], Some(line));
        }
        self.matcher
            .run(&self.values, &self.active, &mut self.matches);
        &self.matches
    }

    fn begin(&mut self) {
        self.values.begin(self.fields.len());
        self.active.fill(0);
    }

    /// Adds what the source says its lines are.
    fn declare(&mut self, line: &str, labels: &BTreeMap<String, String>) {
        let Self {
            plans,
            sources,
            matcher,
            active,
            ..
        } = self;
        if let Some(declared) = plans.declared(labels, sources, matcher) {
            sources.declare(declared, line, active);
        }
        if plan::is_audit(line.as_bytes()) {
            sources.declare_audit(active);
        }
    }
}
