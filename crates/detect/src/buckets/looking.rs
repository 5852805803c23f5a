//! What each scenario makes of an event, and where that left its bucket: for explanations.
//!
//! Asked just before an event is poured and just after; pours nothing itself and changes nothing.

use std::cell::RefCell;

use model::Timestamp;
use serde::Serialize;

use super::{
    Buckets, Full, Key,
    spec::{Kind, Program, Scenario},
};
use crate::{
    event::Event,
    expr::{Env, FalsePart, Services, Value, Vars, false_parts},
    symbols::Symbols,
};

/// What one scenario made of an event.
#[derive(Clone, Debug, Serialize)]
pub struct ScenarioAccount {
    pub scenario: String,
    /// The event has what the scenario asks for first; the others were not even asked.
    pub asked: bool,
    #[serde(flatten)]
    pub end: ScenarioEnd,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ScenarioEnd {
    FilterFalse {
        because: Vec<FalsePart>,
    },
    /// `groupby` gave no text.
    NoGroup {
        groupby: String,
    },
    /// The line has no time of its own, and this recording is counted by that.
    NoTime {
        group: String,
    },
    /// `distinct` had seen the value before.
    Repeated {
        group: String,
        distinct: String,
        value: String,
    },
    /// `cancel_on` was true: the bucket is gone.
    Cancelled {
        group: String,
    },
    Counted {
        group: String,
        bucket: BucketState,
    },
    Overflowed {
        group: String,
        events: u64,
    },
}

/// Where a bucket stands.
#[derive(Clone, Debug, Serialize)]
pub struct BucketState {
    /// Events that it has counted.
    pub events: u64,
    /// Events that have not leaked yet, and how many it can hold; only leaky ones leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Seconds in which one leaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak_seconds: Option<f64>,
    /// When it ends unless something more comes (a counter: when it overflows).
    pub ends: Timestamp,
    /// What else must be true for an overflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// What was found before the event was poured.
pub(crate) struct Before {
    scenario: u32,
    asked: bool,
    look: Look,
}

enum Look {
    Ended(ScenarioEnd),
    Group {
        group: String,
        key: Key,
        events: u64,
        distinct: String,
        undated: bool,
    },
}

impl Buckets {
    /// What every scenario will make of `event`.
    pub(crate) fn before(
        &self,
        event: &Event,
        symbols: &Symbols,
        services: &Services,
        dating: super::Dating,
    ) -> Vec<Before> {
        let effects = RefCell::default();
        let env = Env::new(event, symbols, services, &effects);
        let mut candidates = Vec::new();
        self.index.find(event, &mut candidates);
        (0u32..)
            .zip(&*self.scenarios)
            .filter(|(_, own)| own.fed.is_none())
            .map(|(scenario, own)| Before {
                scenario,
                asked: candidates.contains(&scenario),
                look: self.look(scenario, own, &env, dating),
            })
            .collect()
    }

    fn look(&self, number: u32, own: &Scenario, env: &Env<'_>, dating: super::Dating) -> Look {
        if own.filter.0.test(env) != Ok(true) {
            let because = false_parts(own.filter.0.source(), Vars::Event, env);
            return Look::Ended(ScenarioEnd::FilterFalse { because });
        }
        let group = match &own.groupby {
            None => Some(String::new()),
            Some(program) => text(program, env),
        };
        let Some(group) = group else {
            let groupby = own.groupby.as_ref().map_or("", |p| p.0.source()).to_owned();
            return Look::Ended(ScenarioEnd::NoGroup { groupby });
        };
        let key = Key::of(&group);
        let shared = self.shares.get(number as usize).copied().unwrap_or(number);
        let bucket = self.store.find(shared, key);
        let distinct = own.distinct.as_ref().and_then(|p| text(p, env));
        Look::Group {
            group,
            key,
            events: bucket
                .and_then(|slot| self.store.get(slot))
                .map_or(0, |b| b.total),
            distinct: distinct.unwrap_or_default(),
            undated: dating == super::Dating::Undated && !matches!(own.kind, Kind::Trigger),
        }
    }

    /// What became of it: `full` holds what ran over.
    pub(crate) fn after(
        &self,
        before: Vec<Before>,
        full: &[Full],
        now: Timestamp,
    ) -> Vec<ScenarioAccount> {
        let accounts = before.into_iter().filter_map(|before| {
            let own = self.scenarios.get(before.scenario as usize)?;
            let end = match before.look {
                Look::Ended(end) => end,
                Look::Group {
                    group,
                    undated: true,
                    ..
                } => ScenarioEnd::NoTime { group },
                Look::Group {
                    group,
                    key,
                    events,
                    distinct,
                    ..
                } => {
                    let at = before.scenario as usize;
                    let number = self.shares.get(at).copied().unwrap_or(before.scenario);
                    self.end_of(own, (number, key), events, (group, distinct), full, now)
                }
            };
            Some(ScenarioAccount {
                scenario: own.name.to_string(),
                asked: before.asked,
                end,
            })
        });
        accounts.collect()
    }

    fn end_of(
        &self,
        own: &Scenario,
        (number, key): (u32, Key),
        events: u64,
        (group, value): (String, String),
        full: &[Full],
        now: Timestamp,
    ) -> ScenarioEnd {
        let ran_over = |f: &&Full| f.scenario == number && f.key == key;
        if let Some(full) = full.iter().rev().find(ran_over) {
            let events = full.total;
            return ScenarioEnd::Overflowed { group, events };
        }
        let Some(bucket) = self
            .store
            .find(number, key)
            .and_then(|slot| self.state(slot, now))
        else {
            return ScenarioEnd::Cancelled { group };
        };
        if let Some(distinct) = own.distinct.as_ref().filter(|_| bucket.events == events) {
            let distinct = distinct.0.source().to_owned();
            return ScenarioEnd::Repeated {
                group,
                distinct,
                value,
            };
        }
        ScenarioEnd::Counted { group, bucket }
    }

    fn state(&self, slot: super::Slot, now: Timestamp) -> Option<BucketState> {
        let bucket = self.store.get(slot)?;
        let scenario = self.scenarios.get(bucket.scenario as usize)?;
        let limiter = match &scenario.kind {
            Kind::Leaky(limiter) => Some(*limiter),
            Kind::Retries(_)
            | Kind::Trigger
            | Kind::Counter
            | Kind::Conditional
            | Kind::Bayesian(_)
            | Kind::Correlation(_) => None,
        };
        let life = i64::try_from(scenario.lifetime.as_nanos()).unwrap_or(i64::MAX);
        let from = match scenario.kind {
            Kind::Counter => bucket.first,
            Kind::Leaky(_)
            | Kind::Retries(_)
            | Kind::Trigger
            | Kind::Conditional
            | Kind::Bayesian(_)
            | Kind::Correlation(_) => bucket.last,
        };
        Some(BucketState {
            events: bucket.total,
            level: limiter.map(|l| l.level(bucket.credit, bucket.last, now.nanos())),
            capacity: limiter.map(super::limiter::Limiter::capacity),
            leak_seconds: limiter.map(super::limiter::Limiter::leak_seconds),
            ends: Timestamp::from_nanos(from.saturating_add(life)),
            condition: scenario.condition.as_ref().map(|p| p.0.source().to_owned()),
        })
    }
}

fn text(program: &Program, env: &Env<'_>) -> Option<String> {
    match program.0.eval(env) {
        Ok(Value::Text(text)) => Some(text.to_string()),
        _ => None,
    }
}
