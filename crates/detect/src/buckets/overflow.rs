//! From a full bucket to what postoverflow parsers see, and from that to alerts.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
    time::Duration,
};

use model::{Alert, AlertEvent, AlertId, EvidenceLine, Prefix, Scope, Timestamp, limits};

use super::{
    Buckets, Full,
    packed::{Notable, Packed, Unpacked},
    spec::Scenario,
};
use crate::{
    event::FieldMap,
    overflow::{Overflow, OverflowSource},
    symbols::{Sym, Symbols},
};

impl Buckets {
    /// What postoverflow parsers and reprocessing scenarios see; `None` when the events name no
    /// usable source.
    pub(crate) fn overflow(&self, full: &Full, symbols: &Symbols) -> Option<Overflow> {
        let scenario = self.scenarios.get(full.scenario as usize)?;
        let sources = self.sources(full, scenario)?;
        let scope = sources.values().next()?.scope.clone();
        let name = match (sources.len(), sources.keys().next()) {
            (1, Some(value)) => value.clone(),
            (n, _) => format!("{n} sources"),
        };
        let message = format!(
            "{scope} {name} performed '{}' ({} events over {}) at {}",
            scenario.name,
            full.total,
            span(full.time.since(full.first)),
            go_time(full.last),
        );
        Some(Overflow {
            scenario: scenario.name.to_string(),
            scenario_hash: scenario.hash.to_string(),
            sources,
            scope,
            events: events(full.queue.iter(), symbols),
            events_count: full.total,
            first: full.first,
            last: full.last,
            message,
            remediation: scenario.remediation,
            simulated: scenario.simulated,
            reprocess: scenario.reprocess,
            whitelisted: false,
            whitelist_reason: String::new(),
            labels: scenario.labels.clone(),
            evidence: evidence(full.queue.iter()),
        })
    }

    /// One alert for each source. With several sources each alert keeps its own source's events,
    /// so that many sources cannot multiply into many copies.
    pub(crate) fn alerts(
        &self,
        full: &Full,
        overflow: &Overflow,
        symbols: &Symbols,
        alerts: &mut Vec<Alert>,
    ) -> u64 {
        let Some(scenario) = self.scenarios.get(full.scenario as usize) else {
            return 0;
        };
        let deciding = full
            .deciding()
            .and_then(|event| event.identity())
            .unwrap_or_default();
        for (key, source) in &overflow.sources {
            let (events, evidence) = if overflow.sources.len() == 1 {
                (overflow.events.clone(), overflow.evidence.clone())
            } else {
                let own = || full.queue.iter().filter(|p| self.names(p, scenario, key));
                (events(own(), symbols), evidence(own()))
            };
            let parts = [
                overflow.scenario.as_bytes(),
                overflow.scenario_hash.as_bytes(),
                source.value.as_bytes(),
                &deciding,
            ];
            alerts.push(Alert {
                id: AlertId::derive(&parts),
                rule: overflow.scenario.clone(),
                rule_hash: overflow.scenario_hash.clone(),
                scope: source.scope.clone(),
                value: source.value.clone(),
                address: source.address,
                // A postoverflow parser may have made a range of an address.
                range: source
                    .range
                    .or_else(|| as_range(&source.scope, &source.value)),
                first: overflow.first,
                last: overflow.last,
                events_count: overflow.events_count,
                message: overflow.message.clone(),
                remediation: overflow.remediation,
                simulated: overflow.simulated,
                labels: overflow.labels.clone(),
                events,
                evidence,
            });
        }
        overflow.sources.len() as u64
    }

    /// The sources of all events in the queue. `None` when one event has none that is valid, or
    /// when they are not of one scope.
    fn sources(
        &self,
        full: &Full,
        scenario: &Scenario,
    ) -> Option<BTreeMap<String, OverflowSource>> {
        let mut all: BTreeMap<String, OverflowSource> = BTreeMap::new();
        for packed in &full.queue {
            for source in event_sources(&Unpacked::read(packed)?, scenario, &self.notable)? {
                if all
                    .values()
                    .next()
                    .is_some_and(|first| first.scope != source.scope)
                {
                    return None;
                }
                match all.entry(source.value.clone()) {
                    Entry::Vacant(entry) => {
                        entry.insert(source);
                    }
                    Entry::Occupied(mut entry) => {
                        entry.insert(source);
                    }
                }
            }
        }
        (!all.is_empty()).then_some(all)
    }

    fn names(&self, packed: &Packed, scenario: &Scenario, key: &str) -> bool {
        let sources =
            Unpacked::read(packed).and_then(|event| event_sources(&event, scenario, &self.notable));
        sources.is_some_and(|sources| sources.iter().any(|source| source.value == key))
    }
}

fn event_sources(
    event: &Unpacked<'_>,
    scenario: &Scenario,
    notable: &Notable,
) -> Option<Vec<OverflowSource>> {
    if event.is_overflow() {
        return Some(
            event
                .sources()
                .filter_map(|s| rescoped(s, event, scenario))
                .collect(),
        );
    }
    let field = |(map, sym): (FieldMap, Sym)| event.field(map, sym).filter(|v| !v.is_empty());
    match &scenario.scope {
        Scope::Ip | Scope::Range => {
            let text = field(notable.address)?;
            let address: IpAddr = text.parse().ok()?;
            // A declared range that cannot be read is an error, not an absence.
            let range: Option<Prefix> = field(notable.range)
                .or_else(|| field(notable.range_meta))
                .map(str::parse)
                .transpose()
                .ok()?;
            let value = match (&scenario.scope, event.scope) {
                (Scope::Range, Some(value)) => value.to_owned(),
                (Scope::Range, None) => range.map(network).unwrap_or_default(),
                _ => text.to_owned(),
            };
            let number = field(notable.as_number).or_else(|| field(notable.as_number_alias));
            (!value.is_empty()).then(|| {
                vec![OverflowSource {
                    scope: scenario.scope.clone(),
                    address: Some(address.to_canonical()),
                    range: range.or_else(|| as_range(&scenario.scope, &value)),
                    as_number: number.unwrap_or_default().to_owned(),
                    as_name: field(notable.as_name).unwrap_or_default().to_owned(),
                    country: field(notable.country).unwrap_or_default().to_owned(),
                    value,
                }]
            })
        }
        _ => Some(vec![OverflowSource {
            scope: scenario.scope.clone(),
            value: event.scope?.to_owned(),
            address: None,
            range: None,
            as_number: String::new(),
            as_name: String::new(),
            country: String::new(),
        }]),
    }
}

/// A source of an overflow, in the scope of the scenario that counts overflows.
fn rescoped(
    source: OverflowSource,
    event: &Unpacked<'_>,
    scenario: &Scenario,
) -> Option<OverflowSource> {
    if source.scope == scenario.scope {
        return Some(source);
    }
    if scenario.scope != Scope::Range || source.scope != Scope::Ip {
        return None;
    }
    let value = match event.scope {
        Some(value) => value.to_owned(),
        None => network(source.range?),
    };
    (!value.is_empty()).then(|| OverflowSource {
        scope: Scope::Range,
        range: source.range.or_else(|| as_range(&Scope::Range, &value)),
        value,
        address: None,
        ..source
    })
}

/// A network as rules write it: with its length even when it is one address.
fn network(prefix: Prefix) -> String {
    format!("{}/{}", prefix.addr(), prefix.len())
}

fn as_range(scope: &Scope, value: &str) -> Option<Prefix> {
    (*scope == Scope::Range)
        .then(|| value.parse().ok())
        .flatten()
}

/// The last events, as many as fit.
fn events<'a>(
    queue: impl DoubleEndedIterator<Item = &'a Packed>,
    symbols: &Symbols,
) -> Vec<AlertEvent> {
    let mut room = limits::ALERT_EVENTS_BYTES_MAX;
    let mut events = Vec::new();
    for event in queue.rev().filter_map(|packed| Unpacked::read(packed)) {
        // A counted overflow has no meta of its own.
        if event.is_overflow() {
            continue;
        }
        let meta: BTreeMap<String, String> = event
            .fields()
            .filter(|(map, ..)| *map == FieldMap::Meta)
            .filter_map(|(_, sym, value)| Some((symbols.by_number(sym)?, value)))
            .map(|(sym, value)| (symbols.name(sym).to_owned(), value.to_owned()))
            .collect();
        let size: usize = meta.iter().map(|(k, v)| k.len() + v.len()).sum();
        let Some(left) = room.checked_sub(size) else {
            break;
        };
        room = left;
        events.push(AlertEvent {
            time: event.time,
            meta,
        });
    }
    events.reverse();
    events
}

/// The last raw lines.
fn evidence<'a>(queue: impl DoubleEndedIterator<Item = &'a Packed>) -> Vec<EvidenceLine> {
    let last = queue.rev().take(limits::EVIDENCE_LINES_MAX);
    let mut lines: Vec<_> = last
        .filter_map(|packed| Unpacked::read(packed)?.evidence())
        .collect();
    lines.reverse();
    lines
}

fn span(duration: Duration) -> String {
    if duration.is_zero() {
        "0s".to_owned()
    } else {
        model::format_duration(duration)
    }
}

/// As Go prints a time: `2026-11-21 17:53:04.63 +0000 UTC`.
fn go_time(time: Timestamp) -> String {
    let text = time.to_string();
    format!(
        "{} +0000 UTC",
        text.trim_end_matches('Z').replacen('T', " ", 1)
    )
}
