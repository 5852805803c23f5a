//! Scenarios that have no filter of their own: another matcher feeds them.
//!
//! Sigma rules stand behind them. A rule is a trigger; a correlation counts in a bucket like any
//! other, with the same ceilings and snapshots, and decides by looking at its queue.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use model::{Scope, Timestamp, limits};
use serde_json::Value as Json;
use sigma::{Aggregate, Bound, CorrelationKind};

use super::{
    Arrival, Buckets, Context, Full, Key,
    packed::{Packed, Unpacked},
    pouring::{Packs, Poured, Pouring},
    spec::{Kind, Program, Scenario},
};
use crate::{
    event::FieldMap,
    expr::{self, Vars},
    symbols::{Sym, Symbols},
};

/// The field of an event that says which of a correlation's rules it matched.
pub(crate) const STEP: &str = "sigma_step";
/// The field whose values a correlation counts.
pub(crate) const VALUE: &str = "sigma_value";
/// The field that names the machine an event is about.
pub(crate) const MACHINE: &str = "machine";
/// What a source without an address is.
const SCOPE: &str = "host";

/// What is said of a rule wherever it alerts: DRL 1.1 asks for it.
#[derive(Debug)]
pub(crate) struct Fed {
    /// Written into every message: what, by whom, under which licence.
    pub(crate) credit: String,
}

/// What a fed scenario is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) hash: Arc<str>,
    pub(crate) file: String,
    pub(crate) description: String,
    pub(crate) labels: BTreeMap<String, Json>,
    pub(crate) credit: String,
    pub(crate) correlation: Option<(CorrelationKind, Vec<Bound>, Duration, usize)>,
}

/// When a correlation's bucket is full.
#[derive(Debug)]
pub(crate) struct Correlation {
    kind: CorrelationKind,
    bounds: Vec<Bound>,
    span: Duration,
    /// How many rules it names.
    steps: usize,
    step: Sym,
    value: Sym,
}

impl Scenario {
    /// `None` only if the expression for its source did not compile.
    pub(crate) fn fed(parts: Parts, symbols: &mut Symbols) -> Option<Self> {
        let program = |source: &str, symbols: &mut Symbols| {
            expr::compile(source, Vars::Event, symbols)
                .ok()
                .map(Program)
        };
        let (step, value) = (symbols.intern(STEP), symbols.intern(VALUE));
        let lifetime = parts.correlation.as_ref().map(|(_, _, span, _)| *span);
        let kind = match parts.correlation {
            None => Kind::Trigger,
            Some((kind, bounds, span, steps)) => Kind::Correlation(Correlation {
                kind,
                bounds,
                span,
                steps,
                step,
                value,
            }),
        };
        Some(Self {
            name: parts.name.into(),
            hash: parts.hash,
            file: parts.file,
            description: parts.description,
            queue_max: match kind {
                Kind::Correlation(_) => limits::BUCKET_QUEUE_MAX,
                _ => 1,
            },
            kind,
            lifetime: lifetime.unwrap_or_default(),
            reads_queue: false,
            filter: program("false", symbols)?,
            groupby: None,
            distinct: None,
            cancel_on: None,
            overflow_filter: None,
            condition: None,
            blackhole: None,
            scope: Scope::Other(SCOPE.to_owned()),
            scope_value: program(&format!("evt.Meta.{MACHINE}"), symbols),
            reprocess: false,
            simulated: false,
            remediation: false,
            labels: parts.labels.into(),
            fed: Some(Box::new(Fed {
                credit: parts.credit,
            })),
        })
    }
}

impl Buckets {
    /// Pours the event of `cx` into one scenario, whatever its filter. Returns whether it counted.
    pub(crate) fn feed(
        &mut self,
        number: u32,
        key: Key,
        cx: &mut Context<'_>,
        arrival: &Arrival<'_>,
        full: &mut Vec<Full>,
    ) -> bool {
        let scenarios = Arc::clone(&self.scenarios);
        let Some(scenario) = scenarios.get(number as usize) else {
            return false;
        };
        let mut packs = Packs::default();
        let mut pouring = Pouring {
            buckets: self,
            cx,
            arrival,
            own: scenario,
            scenario,
            number,
            packs: &mut packs,
            key: Some(key),
        };
        let is_counted = pouring.run(full) == Poured::Counted;
        [packs.alert, packs.everything]
            .into_iter()
            .flatten()
            .for_each(|packed| self.release(packed));
        while self.is_too_much() && self.evict(arrival.time, cx.stats) {}
        cx.stats.poured += u64::from(is_counted);
        is_counted
    }
}

impl Correlation {
    /// Whether events of this time are too old to count at `now`.
    pub(super) fn is_past(&self, time: Timestamp, now: Timestamp) -> bool {
        time < now.minus(self.span)
    }

    /// Whether what waits in the queue is enough.
    pub(super) fn is_met<'q>(&self, queue: impl ExactSizeIterator<Item = &'q Packed>) -> bool {
        let measured = match &self.kind {
            CorrelationKind::EventCount => Some(queue.len() as f64),
            CorrelationKind::Value { aggregate, .. } => self.value(*aggregate, queue),
            CorrelationKind::Temporal => {
                let mut seen: Vec<usize> = self.steps(queue).collect();
                seen.sort_unstable();
                seen.dedup();
                Some(seen.len() as f64)
            }
            CorrelationKind::TemporalOrdered => {
                let reached = self
                    .steps(queue)
                    .fold(0, |next, step| if step == next { next + 1 } else { next });
                Some(reached.min(self.steps) as f64)
            }
        };
        measured.is_some_and(|value| self.bounds.iter().all(|bound| bound.holds(value)))
    }

    fn steps<'q>(&self, queue: impl Iterator<Item = &'q Packed>) -> impl Iterator<Item = usize> {
        queue.filter_map(|packed| {
            let event = Unpacked::read(packed)?;
            event.field(FieldMap::Meta, self.step)?.parse().ok()
        })
    }

    fn value<'q>(
        &self,
        aggregate: Aggregate,
        queue: impl Iterator<Item = &'q Packed>,
    ) -> Option<f64> {
        let texts = queue.filter_map(|packed| {
            let event = Unpacked::read(packed)?;
            event.field(FieldMap::Meta, self.value)
        });
        if aggregate == Aggregate::Count {
            let mut seen: Vec<&str> = texts.collect();
            seen.sort_unstable();
            seen.dedup();
            return Some(seen.len() as f64);
        }
        let mut numbers: Vec<f64> = texts
            .filter_map(|text| text.trim().parse().ok())
            .filter(|number: &f64| number.is_finite())
            .collect();
        let sum: f64 = numbers.iter().sum();
        match aggregate {
            _ if numbers.is_empty() => None,
            Aggregate::Sum | Aggregate::Count => Some(sum),
            Aggregate::Average => Some(sum / numbers.len() as f64),
            Aggregate::Percentile(part) => {
                numbers.sort_unstable_by(f64::total_cmp);
                let rank = (part / 100.0 * numbers.len() as f64).ceil() as usize;
                numbers.get(rank.saturating_sub(1)).copied()
            }
        }
    }
}

/// The credit that stands in every message.
pub(crate) fn credit(meta: &sigma::Meta) -> String {
    let mut text = meta.title.clone();
    text.push_str(" (Sigma");
    for (word, part) in [
        (" rule ", &meta.id),
        (", level ", &meta.level),
        (", by ", &meta.author),
    ] {
        if let Some(part) = part {
            let _ = write!(text, "{word}{part}");
        }
    }
    let _ = write!(text, ", {})", meta.license.as_deref().unwrap_or(LICENSE));
    text
}

/// What public rules are under unless they say otherwise.
pub(crate) const LICENSE: &str = "DRL-1.1";
