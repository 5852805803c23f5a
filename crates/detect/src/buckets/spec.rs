//! A scenario as its author writes it, and the checks that make it one the engine can run.
//!
//! Loading step between `yaml` and the running buckets. Every mistake is one diagnostic with its
//! line and its mending; a scenario with an error is left out, the others load.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{Diagnostic, Scope, Severity, limits, parse_duration};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    fed::{Correlation, Fed},
    limiter::{Limiter, Retries},
};
use crate::{
    expr::{self, Expr, Requirements, Vars},
    rules::RuleFile,
    symbols::Symbols,
    yaml::{self, Document, Located},
};

/// The keys of a scenario document. Unknown ones are errors, as upstream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenarioSpec {
    name: Located<String>,
    #[serde(rename = "type")]
    kind: Located<String>,
    #[serde(default)]
    description: Option<String>,
    filter: Option<Located<String>>,
    groupby: Option<Located<String>>,
    distinct: Option<Located<String>>,
    capacity: Option<Located<i64>>,
    leakspeed: Option<Located<String>>,
    duration: Option<Located<String>>,
    blackhole: Option<Located<String>>,
    scope: Option<Located<ScopeSpec>>,
    cancel_on: Option<Located<String>>,
    overflow_filter: Option<Located<String>>,
    condition: Option<Located<String>>,
    cache_size: Option<Located<i64>>,
    #[serde(default)]
    reprocess: bool,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    labels: Option<BTreeMap<String, Json>>,
    bayesian_prior: Option<Located<f64>>,
    bayesian_threshold: Option<Located<f64>>,
    bayesian_conditions: Option<Located<Vec<BayesianSpec>>>,
    /// Read by `data_files`.
    #[serde(default, rename = "data")]
    _data: Option<Vec<crate::data_files::DataSpec>>,
    #[serde(default, rename = "debug")]
    _debug: Option<Json>,
    #[serde(default, rename = "format")]
    _format: Option<Json>,
    #[serde(default, rename = "profiling")]
    _profiling: Option<Json>,
    #[serde(default, rename = "references")]
    _references: Option<Json>,
    #[serde(default, rename = "author")]
    _author: Option<Json>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeSpec {
    #[serde(rename = "type")]
    kind: Option<Located<String>>,
    expression: Option<Located<String>>,
    /// Another name of `expression`.
    filter: Option<Located<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BayesianSpec {
    condition: Located<String>,
    prob_given_evil: Located<f64>,
    prob_given_benign: Located<f64>,
    #[serde(default)]
    guillotine: bool,
}

/// What makes a bucket of this scenario run over.
#[derive(Debug)]
pub(crate) enum Kind {
    Leaky(Limiter),
    /// A jail's.
    Retries(Retries),
    /// Every event.
    Trigger,
    /// The end of its time, however many events came.
    Counter,
    /// Its condition alone.
    Conditional,
    Bayesian(Bayesian),
    /// What waits in its queue.
    Correlation(Correlation),
}

#[derive(Debug)]
pub(crate) struct Bayesian {
    pub(crate) prior: f64,
    pub(crate) threshold: f64,
    pub(crate) conditions: Vec<BayesianCondition>,
}

#[derive(Debug)]
pub(crate) struct BayesianCondition {
    pub(crate) condition: Program,
    pub(crate) given_evil: f64,
    pub(crate) given_benign: f64,
    /// Once true, true for the bucket's life.
    pub(crate) guillotine: bool,
}

/// A compiled expression that can be printed.
pub(crate) struct Program(pub(crate) Expr);

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.source())
    }
}

/// A scenario, ready to run.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: Arc<str>,
    /// SHA-256 of the file's text, lower-case hex.
    pub(crate) hash: Arc<str>,
    pub(crate) file: String,
    pub(crate) description: String,
    pub(crate) kind: Kind,
    /// How long a bucket lives after its last event (counter: after its first).
    pub(crate) lifetime: Duration,
    /// Events that its queue holds.
    pub(crate) queue_max: usize,
    /// Its expressions look into the queue.
    pub(crate) reads_queue: bool,
    pub(crate) filter: Program,
    pub(crate) groupby: Option<Program>,
    pub(crate) distinct: Option<Program>,
    pub(crate) cancel_on: Option<Program>,
    pub(crate) overflow_filter: Option<Program>,
    pub(crate) condition: Option<Program>,
    pub(crate) blackhole: Option<Duration>,
    pub(crate) scope: Scope,
    pub(crate) scope_value: Option<Program>,
    pub(crate) reprocess: bool,
    pub(crate) simulated: bool,
    pub(crate) remediation: bool,
    pub(crate) labels: Arc<BTreeMap<String, Json>>,
    /// Set when another matcher than `filter` chooses its events.
    pub(crate) fed: Option<Box<Fed>>,
}

impl Scenario {
    /// Facts without which no event can concern it.
    pub(crate) fn requirements(&self) -> Requirements {
        self.filter.0.requirements().clone()
    }
}

/// Loads the scenarios of one file.
pub(crate) fn load(
    file: &RuleFile,
    hash: &str,
    symbols: &mut Symbols,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Scenario> {
    let hash: Arc<str> = hash.into();
    let mut scenarios = Vec::new();
    for document in yaml::documents::<ScenarioSpec>(file) {
        match document {
            Err(diagnostic) => diagnostics.push(diagnostic),
            Ok(document) => {
                let mut loader = Loader {
                    file,
                    symbols: &mut *symbols,
                    found: Vec::new(),
                };
                let scenario = loader.scenario(document, &hash);
                let failed = loader.found.iter().any(|d| d.severity == Severity::Error);
                diagnostics.append(&mut loader.found);
                scenarios.extend(scenario.filter(|_| !failed));
            }
        }
    }
    scenarios
}

/// Loads a jail's bucket: its scenario, counting as fail2ban does.
pub(crate) fn load_jail(
    bucket: &crate::fail2ban::Bucket,
    hash: &str,
    symbols: &mut Symbols,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Scenario> {
    let mut scenarios = load(&bucket.file, hash, symbols, diagnostics);
    let within = Duration::from_secs(u64::from(bucket.find_seconds));
    for scenario in &mut scenarios {
        scenario.kind = Kind::Retries(Retries::new(bucket.max_retry, within));
        scenario.lifetime = within;
    }
    scenarios
}

struct Loader<'a> {
    file: &'a RuleFile,
    symbols: &'a mut Symbols,
    found: Vec<Diagnostic>,
}

impl Loader<'_> {
    fn error<T>(&mut self, at: &Located<T>, message: impl Into<String>, fix: impl Into<String>) {
        self.found
            .push(at.error(self.file, message.into(), fix.into()));
    }

    fn warn<T>(&mut self, at: &Located<T>, message: impl Into<String>, fix: impl Into<String>) {
        self.found
            .push(at.warning(self.file, message.into(), fix.into()));
    }

    fn scenario(&mut self, document: Document<ScenarioSpec>, hash: &Arc<str>) -> Option<Scenario> {
        let spec = document.value;
        self.named(&spec.name);
        self.misplaced(&spec);
        let kind = self.kind(&spec);
        let lifetime = match spec.kind.as_str() {
            "counter" => self.duration("duration", spec.duration.as_ref()),
            _ => self.duration("leakspeed", spec.leakspeed.as_ref()),
        };
        let filter = match &spec.filter {
            Some(filter) => self.program(filter, Vars::Event),
            None => {
                self.error(
                    &spec.name,
                    "the key `filter` is missing",
                    "add `filter:` with a condition on `evt`, such as `evt.Meta.log_type == '…'`",
                );
                None
            }
        };
        let (scope, scope_value) = self.scope(spec.scope.as_ref());
        let capacity = spec.capacity.as_ref().map(|c| c.value);
        let lifetime = match &kind {
            // The time that a full bucket takes to run dry, and one leak more.
            Some(Kind::Leaky(_)) => {
                let events = u32::try_from(capacity.unwrap_or(0)).unwrap_or(u32::MAX);
                lifetime
                    .unwrap_or_default()
                    .saturating_mul(events.saturating_add(1))
            }
            _ => lifetime.unwrap_or_default(),
        };
        let condition = self.optional(spec.condition.as_ref(), Vars::Condition);
        let overflow_filter = self.optional(spec.overflow_filter.as_ref(), Vars::Condition);
        let mentions_queue = |p: &Program| p.0.source().contains("queue");
        let bayesian_queue = matches!(&kind, Some(Kind::Bayesian(b))
            if b.conditions.iter().any(|c| mentions_queue(&c.condition)));
        let reads_queue = [&condition, &overflow_filter]
            .into_iter()
            .flatten()
            .any(mentions_queue);
        let labels = spec.labels.unwrap_or_default();
        Some(Scenario {
            hash: Arc::clone(hash),
            file: self.file.path.clone(),
            description: spec.description.unwrap_or_default(),
            lifetime,
            queue_max: queue_max(&spec.kind, capacity, spec.cache_size.as_ref()),
            reads_queue: reads_queue || bayesian_queue,
            groupby: self.optional(spec.groupby.as_ref(), Vars::Event),
            distinct: self.optional(spec.distinct.as_ref(), Vars::Event),
            cancel_on: self.optional(spec.cancel_on.as_ref(), Vars::Event),
            overflow_filter,
            condition,
            blackhole: spec
                .blackhole
                .as_ref()
                .and_then(|b| self.duration("blackhole", Some(b))),
            scope,
            scope_value,
            reprocess: spec.reprocess,
            simulated: spec.simulated,
            remediation: labels.get("remediation").is_some_and(is_true),
            labels: labels.into(),
            fed: None,
            filter: filter?,
            kind: kind?,
            name: spec.name.value.into(),
        })
    }

    fn named(&mut self, name: &Located<String>) {
        if name.value.trim().is_empty() {
            self.error(
                name,
                "the scenario has no name",
                "write `name: you/what-it-detects`",
            );
        }
    }

    /// Keys that contradict the type.
    fn misplaced(&mut self, spec: &ScenarioSpec) {
        let kind = spec.kind.as_str();
        let capacity = match (kind, &spec.capacity) {
            (_, None) => None,
            ("leaky", Some(c)) if c.value <= 0 => Some((c, "a number above 0")),
            ("trigger", Some(c)) if c.value != 0 => Some((c, "0, or leave the key out")),
            ("counter" | "conditional" | "bayesian", Some(c)) if c.value != -1 => Some((c, "-1")),
            _ => None,
        };
        if let Some((at, right)) = capacity {
            let message = format!("a {kind} scenario cannot have `capacity: {}`", at.value);
            self.error(at, message, format!("write `capacity:` {right}"));
        }
        let known = ["leaky", "trigger", "counter", "conditional", "bayesian"];
        if !known.contains(&kind) {
            return;
        }
        self.only(spec.duration.as_ref(), "duration", kind, &["counter"]);
        self.only(
            spec.bayesian_prior.as_ref(),
            "bayesian_prior",
            kind,
            &["bayesian"],
        );
        self.only(
            spec.bayesian_threshold.as_ref(),
            "bayesian_threshold",
            kind,
            &["bayesian"],
        );
        self.only(
            spec.bayesian_conditions.as_ref(),
            "bayesian_conditions",
            kind,
            &["bayesian"],
        );
        if kind == "trigger" {
            self.only(
                spec.condition.as_ref(),
                "condition",
                kind,
                &["conditional", "leaky"],
            );
            self.idle(spec.leakspeed.as_ref(), "leakspeed");
            self.idle(spec.cancel_on.as_ref(), "cancel_on");
            self.idle(spec.cache_size.as_ref(), "cache_size");
        }
        if let Some(size) = spec.cache_size.as_ref().filter(|size| size.value <= 0) {
            self.error(
                size,
                "`cache_size` must be above 0",
                "write how many events to keep",
            );
        }
    }

    /// A key that rules in use have and that changes nothing.
    fn idle<T>(&mut self, at: Option<&Located<T>>, key: &str) {
        if let Some(at) = at {
            let message = format!("`{key}` has no meaning in a trigger scenario and is not used");
            self.warn(at, message, format!("remove `{key}`"));
        }
    }

    fn only<T>(&mut self, at: Option<&Located<T>>, key: &str, kind: &str, kinds: &[&str]) {
        if let Some(at) = at.filter(|_| !kinds.contains(&kind)) {
            let message = format!("`{key}` has no meaning in a {kind} scenario");
            let fix = format!(
                "remove `{key}`, or use `type: {}`",
                kinds.join("` or `type: ")
            );
            self.error(at, message, fix);
        }
    }

    fn kind(&mut self, spec: &ScenarioSpec) -> Option<Kind> {
        let kind = &spec.kind;
        match kind.as_str() {
            "leaky" => self.leaky(spec),
            "trigger" => Some(Kind::Trigger),
            "counter" => {
                self.require(spec.duration.as_ref(), kind, "duration", "5m");
                Some(Kind::Counter)
            }
            "conditional" => {
                self.require(
                    spec.condition.as_ref(),
                    kind,
                    "condition",
                    "len(queue.Queue) >= 4",
                );
                self.require(spec.leakspeed.as_ref(), kind, "leakspeed", "1h");
                Some(Kind::Conditional)
            }
            "bayesian" => self.bayesian(spec),
            other => {
                let known = ["leaky", "trigger", "counter", "conditional", "bayesian"];
                let message = format!("there is no scenario type `{other}`");
                self.error(kind, message, yaml::suggest(other, &known));
                None
            }
        }
    }

    fn leaky(&mut self, spec: &ScenarioSpec) -> Option<Kind> {
        self.require(spec.capacity.as_ref(), &spec.kind, "capacity", "5");
        self.require(spec.leakspeed.as_ref(), &spec.kind, "leakspeed", "10s");
        // Its mistakes are reported where all durations are.
        let leakspeed = parse_duration(&spec.leakspeed.as_ref()?.value).ok()?;
        let capacity = u32::try_from(spec.capacity.as_ref()?.value).ok()?;
        Some(Kind::Leaky(Limiter::new(capacity, leakspeed)))
    }

    fn bayesian(&mut self, spec: &ScenarioSpec) -> Option<Kind> {
        let kind = &spec.kind;
        self.require(spec.leakspeed.as_ref(), kind, "leakspeed", "30s");
        self.require(spec.bayesian_prior.as_ref(), kind, "bayesian_prior", "0.5");
        self.require(
            spec.bayesian_threshold.as_ref(),
            kind,
            "bayesian_threshold",
            "0.8",
        );
        self.require(
            spec.bayesian_conditions.as_ref(),
            kind,
            "bayesian_conditions",
            "[…]",
        );
        for at in [&spec.bayesian_prior, &spec.bayesian_threshold]
            .into_iter()
            .flatten()
        {
            self.probability(at, "above 0 and at most 1", at.value > 0.0);
        }
        let list = spec.bayesian_conditions.as_ref()?;
        if list.is_empty() || list.len() > 64 {
            let fix = "write 1 to 64 conditions";
            self.error(
                list,
                "`bayesian_conditions` has too few or too many entries",
                fix,
            );
        }
        let mut conditions = Vec::new();
        for entry in &list.value {
            for at in [&entry.prob_given_evil, &entry.prob_given_benign] {
                self.probability(at, "0 to 1", at.value >= 0.0);
            }
            conditions.push(BayesianCondition {
                condition: self.program(&entry.condition, Vars::Condition)?,
                given_evil: entry.prob_given_evil.value,
                given_benign: entry.prob_given_benign.value,
                guillotine: entry.guillotine,
            });
        }
        let prior = spec.bayesian_prior.as_ref()?.value;
        let threshold = spec.bayesian_threshold.as_ref()?.value;
        Some(Kind::Bayesian(Bayesian {
            prior,
            threshold,
            conditions,
        }))
    }

    fn probability(&mut self, at: &Located<f64>, range: &str, low_ok: bool) {
        if !(low_ok && at.value <= 1.0) {
            self.error(
                at,
                format!("{} is no probability", at.value),
                format!("write {range}"),
            );
        }
    }

    fn require<T>(
        &mut self,
        value: Option<&Located<T>>,
        at: &Located<String>,
        key: &str,
        such: &str,
    ) {
        if value.is_none() {
            let message = format!("a {} scenario needs `{key}`", at.value);
            self.error(at, message, format!("add `{key}: {such}`"));
        }
    }

    /// A duration that is written and above zero.
    fn duration(&mut self, key: &str, text: Option<&Located<String>>) -> Option<Duration> {
        let text = text?;
        match parse_duration(text) {
            Ok(Duration::ZERO) => {
                self.error(
                    text,
                    format!("`{key}` must be above 0"),
                    format!("write `{key}: 10s`"),
                );
                None
            }
            Ok(duration) => Some(duration),
            Err(e) => {
                self.error(text, e.to_string(), format!("write `{key}: 10s`"));
                None
            }
        }
    }

    fn scope(&mut self, spec: Option<&Located<ScopeSpec>>) -> (Scope, Option<Program>) {
        let Some(spec) = spec else {
            return (Scope::Ip, None);
        };
        let scope = match &spec.kind {
            Some(kind) if !kind.value.is_empty() => Scope::from(kind.value.clone()),
            _ => Scope::Ip,
        };
        let expression = match (&spec.expression, &spec.filter) {
            (Some(_), Some(second)) => {
                let fix = "keep `expression` only";
                self.error(
                    second,
                    "`expression` and `filter` are the same key of a scope",
                    fix,
                );
                return (scope, None);
            }
            (one, other) => one.as_ref().or(other.as_ref()),
        };
        match (&scope, expression) {
            (Scope::Ip, None) | (Scope::Range, None) => (scope, None),
            (Scope::Ip, Some(at)) => {
                let message = "scope Ip takes `evt.Meta.source_ip`; its expression is not used";
                self.warn(
                    at,
                    message,
                    "remove `expression`, or name another scope type",
                );
                (scope, None)
            }
            (_, None) => {
                let message = format!("scope {scope} needs an `expression` for its value");
                self.error(spec, message, "add `expression: evt.Meta.…` under `scope:`");
                (scope, None)
            }
            (_, Some(at)) => {
                let program = self.program(at, Vars::Event);
                (scope, program)
            }
        }
    }

    fn optional(&mut self, source: Option<&Located<String>>, vars: Vars) -> Option<Program> {
        self.program(source.filter(|s| !s.value.trim().is_empty())?, vars)
    }

    fn program(&mut self, source: &Located<String>, vars: Vars) -> Option<Program> {
        match expr::compile(source, vars, self.symbols) {
            Ok(expr) => Some(Program(expr)),
            Err(e) => {
                self.found
                    .push(source.error_at(self.file, e.offset, e.message, e.fix));
                None
            }
        }
    }
}

/// The queue holds one event more than the capacity, or than a smaller `cache_size`.
fn queue_max(kind: &str, capacity: Option<i64>, cache_size: Option<&Located<i64>>) -> usize {
    let unlimited = if kind == "trigger" { 0 } else { -1 };
    let capacity = usize::try_from(capacity.unwrap_or(unlimited)).ok();
    let cache = cache_size
        .and_then(|c| usize::try_from(c.value).ok())
        .filter(|n| *n > 0);
    let size = match (capacity, cache) {
        (Some(capacity), Some(cache)) => capacity.min(cache),
        (Some(capacity), None) => capacity,
        (None, Some(cache)) => cache,
        (None, None) => limits::BUCKET_QUEUE_MAX,
    };
    size.saturating_add(1).min(limits::BUCKET_QUEUE_MAX)
}

fn is_true(label: &Json) -> bool {
    match label {
        Json::Bool(b) => *b,
        Json::String(s) => s == "true",
        _ => false,
    }
}
