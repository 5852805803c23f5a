//! A line that Sigma rules may concern: parsers and scenarios as ever, then the rules.

use model::{Alert, Record, SourceInfo};

use super::{Clock, Engine, Look, Outcome};
use crate::{
    buckets::{Arrival, Context, Dating, Key, LineRef, fed},
    event::FieldMap,
    parse::Trace,
    sigma::{Facts, Feed, Form},
};

/// Scenarios that one event may feed.
const FEEDS_MAX: usize = 65_536;

impl Engine {
    /// How Sigma rules want to see the line; `None` when there are none or it concerns none.
    pub(super) fn sigma_form(&mut self, record: &Record<'_>, source: &SourceInfo) -> Option<Form> {
        self.sigma.as_mut()?.wants(record.text, &source.labels)
    }

    pub(super) fn take_for_sigma(
        &mut self,
        form: Form,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
        trace: &mut dyn Trace,
    ) -> Outcome {
        let Self {
            prefilter,
            parsers,
            symbols,
            ..
        } = self;
        // Rules about access logs need what parsers find in lines that no scenario cares for.
        let is_read = form == Form::Text
            || trace.wants_scenarios()
            || prefilter.may_matter(record.text, &source.labels, parsers, symbols);
        let outcome = if is_read {
            self.take(Look::Missing, record, source, clock, alerts, trace)
        } else {
            self.stats.skipped += 1;
            self.begin(record, source, clock);
            Outcome::Skipped
        };
        if outcome == Outcome::Whitelisted {
            return outcome;
        }
        let Some(facts) = self.judge(form, source) else {
            return outcome;
        };
        let fed = self.feed(&facts, record, source, clock);
        self.settle(alerts, trace);
        self.now_understood(outcome, fed)
    }

    /// Runs the rules. `None`: the line is of no log source that they know.
    fn judge(&mut self, form: Form, source: &SourceInfo) -> Option<Facts> {
        let Self {
            sigma,
            event,
            symbols,
            stats,
            ..
        } = self;
        let sigma = sigma.as_mut()?;
        let parsed = (form == Form::Text).then_some((&*event, &*symbols));
        let matches = sigma
            .judge(form, event.line(), &source.labels, parsed)
            .len();
        stats.sigma_unreadable = sigma.unreadable;
        stats.sigma_values_dropped = sigma.values_dropped();
        if !sigma.is_recognised() {
            return None;
        }
        stats.sigma_events += 1;
        stats.sigma_matches += matches as u64;
        Some(if matches == 0 {
            Facts::default()
        } else {
            sigma.facts(event.line(), event.time)
        })
    }

    /// Pours the event into the scenarios that stand behind the rules it matched.
    fn feed(
        &mut self,
        facts: &Facts,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
    ) -> u32 {
        let mut work = match &self.sigma {
            Some(sigma) => sigma.feeds(),
            None => return 0,
        };
        if work.is_empty() {
            return 0;
        }
        self.tell(facts, source);
        let (time, dating) = self.dated(record, clock);
        let mut fed = 0;
        let mut at = 0;
        // Every correlation is fed by a rule or by one loaded before it, so this ends by itself.
        while let Some(feed) = work.get(at).filter(|_| at < FEEDS_MAX).cloned() {
            at += 1;
            let arrival = Arrival {
                line: LineRef::Record {
                    source: &source.name,
                    origin: &record.meta.origin,
                    received: record.meta.received,
                    raw: record.raw,
                },
                time,
                mode: self.event.mode,
                dating,
                depth: 0,
            };
            fed += u32::from(self.feed_one(&feed, &arrival, &mut work));
        }
        fed
    }

    fn feed_one(&mut self, feed: &Feed, arrival: &Arrival<'_>, work: &mut Vec<Feed>) -> bool {
        let Self {
            buckets,
            event,
            symbols,
            services,
            stats,
            full,
            sigma,
            ..
        } = self;
        if arrival.dating == Dating::Undated && feed.correlation.is_some() {
            stats.timeless += 1;
            return false;
        }
        for (name, value) in [(fed::STEP, &feed.step), (fed::VALUE, &feed.value)] {
            if let (Some(value), Some(sym)) = (value, symbols.lookup(name)) {
                event.set_field(FieldMap::Meta, sym, value);
            }
        }
        let before = full.len();
        let mut cx = Context::new(event, symbols, services, stats);
        let key = Key::of(&feed.group);
        let is_counted = buckets.feed(feed.scenario, key, &mut cx, arrival, full);
        let ran_over = full.len() > before
            && full
                .last()
                .is_some_and(|last| last.scenario == feed.scenario);
        if let (true, Some(correlation), Some(sigma)) = (ran_over, feed.correlation, sigma) {
            work.extend(sigma.chained(correlation));
            if !sigma.alerts(correlation)
                && let Some(silent) = full.pop()
            {
                buckets.finish(silent);
            }
        }
        is_counted
    }

    /// Writes into the event what an alert will say, where parsers have not.
    fn tell(&mut self, facts: &Facts, source: &SourceInfo) {
        let address = facts.address.map(|a| a.to_string());
        let machine = facts.machine.as_deref().unwrap_or(&source.name);
        let all = [
            ("source_ip", address.as_deref()),
            (fed::MACHINE, Some(machine)),
            ("user", facts.user.as_deref()),
        ];
        for (name, value) in all {
            let sym = self.symbols.intern(name);
            if let Some(value) = value
                && self.event.field(FieldMap::Meta, sym).is_empty()
            {
                self.event.set_field(FieldMap::Meta, sym, value);
            }
        }
        if self.event.marshaled_time.is_none() {
            self.event.marshaled_time = facts.time;
        }
    }

    /// A line that no parser reads but Sigma rules do is not lost.
    fn now_understood(&mut self, outcome: Outcome, fed: u32) -> Outcome {
        match outcome {
            Outcome::Unparsed => self.stats.unparsed -= 1,
            Outcome::Skipped => self.stats.skipped -= 1,
            Outcome::Parsed { poured } => {
                return Outcome::Parsed {
                    poured: poured + fed,
                };
            }
            Outcome::Whitelisted => return outcome,
        }
        self.stats.parsed += 1;
        Outcome::Parsed { poured: fed }
    }
}
