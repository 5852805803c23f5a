//! From a full bucket to what postoverflow parsers see, and from that to alerts.

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr, sync::Arc, time::Duration};

use model::{Alert, AlertEvent, AlertId, EvidenceLine, Meta, Prefix, Scope, Timestamp, limits};

use super::{
    Buckets, Full,
    packed::{Notable, Packed, Unpacked},
    spec::Scenario,
};
use crate::{
    contexts::Contexts,
    dates::{self, Date},
    event::FieldMap,
    expr::Services,
    overflow::{Overflow, OverflowSource},
    symbols::Symbols,
};

type Sources = BTreeMap<String, Box<OverflowSource>>;

/// Whether an overflow shows the lines that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Shown,
    /// Unless it is good news: that is neither recorded nor printed.
    ShownOfBadNews,
}

impl Buckets {
    /// What postoverflow parsers and reprocessing scenarios see; `None` when the events name no
    /// usable source.
    pub(crate) fn overflow(
        &self,
        full: &Full,
        symbols: &Symbols,
        lines: Lines,
    ) -> Option<Overflow> {
        let scenario = self.scenarios.get(full.scenario as usize)?;
        let sources = self.sources(full, scenario)?;
        let scope = sources.values().next()?.scope.clone();
        let name = match (sources.len(), sources.keys().next()) {
            (1, Some(value)) => value.clone(),
            (n, _) => format!("{n} sources"),
        };
        let is_good = scenario.labels.get("good") == Some(&serde_json::Value::Bool(true));
        let (events, evidence) = if is_good && lines == Lines::ShownOfBadNews {
            (Vec::new(), Vec::new())
        } else {
            (
                events(full.queue.iter(), symbols),
                evidence(full.queue.iter()),
            )
        };
        let mut message = String::with_capacity(160);
        let what = scenario.fed.as_deref().map(|fed| fed.credit.as_str());
        let _ = write!(
            message,
            "{scope} {name} performed '{}' ({} events over {}) at ",
            what.unwrap_or(&scenario.name),
            full.total,
            span(full.time.since(full.first)),
        );
        put_go_time(full.last, &mut message);
        Some(Overflow {
            scenario: scenario.name.to_string(),
            scenario_hash: scenario.hash.to_string(),
            sources,
            scope,
            events,
            events_count: full.total,
            first: full.first,
            last: full.last,
            message,
            remediation: scenario.remediation,
            simulated: scenario.simulated,
            reprocess: scenario.reprocess,
            whitelisted: false,
            whitelist_reason: String::new(),
            labels: Arc::clone(&scenario.labels),
            evidence,
        })
    }

    /// One alert for each source. With several sources each alert keeps its own source's events,
    /// so that many sources cannot multiply into many copies.
    pub(crate) fn alerts(
        &self,
        full: &Full,
        overflow: Overflow,
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
        let (sources, common) = common(overflow);
        let mut common = Some(common);
        let count = sources.len();
        for (number, (key, source)) in (1..).zip(sources) {
            let alert = if number == count {
                common.take()
            } else {
                common.clone()
            };
            let Some(mut alert) = alert else { break };
            let source = *source;
            if count > 1 {
                let own = || full.queue.iter().filter(|p| self.names(p, scenario, &key));
                (alert.events, alert.evidence) = (events(own(), symbols), evidence(own()));
            }
            alert.id = AlertId::derive(&[
                alert.rule.as_bytes(),
                alert.rule_hash.as_bytes(),
                source.value.as_bytes(),
                &deciding,
            ]);
            alert.address = source.address;
            // A postoverflow parser may have made a range of an address.
            alert.range = source
                .range
                .or_else(|| as_range(&source.scope, &source.value));
            (alert.scope, alert.value) = (source.scope, source.value);
            alerts.push(alert);
        }
        count as u64
    }

    /// Adds what contexts tell: of all events to a single alert, else to each of its source's own.
    pub(crate) fn put_in_context(
        &self,
        full: &Full,
        contexts: &Contexts,
        symbols: &Symbols,
        services: &Services,
        alerts: &mut [Alert],
    ) {
        let Some(scenario) = self.scenarios.get(full.scenario as usize) else {
            return;
        };
        let is_single = alerts.len() == 1;
        for alert in alerts {
            let own = full
                .queue
                .iter()
                .filter(|packed| is_single || self.names(packed, scenario, &alert.value))
                .filter_map(|packed| Unpacked::read(packed));
            alert.context = contexts.of(own, symbols, services);
        }
    }

    /// The sources of all events in the queue. `None` when one event has none that is valid, or
    /// when they are not of one scope.
    fn sources(&self, full: &Full, scenario: &Scenario) -> Option<Sources> {
        let mut all: Sources = BTreeMap::new();
        let mut last = None;
        // Events of different rules need not name their source alike: the last one's counts.
        let skipped = match scenario.fed {
            Some(_) => full.queue.len().saturating_sub(1),
            None => 0,
        };
        for packed in full.queue.iter().skip(skipped) {
            let event = Unpacked::read(packed)?;
            // Most buckets hold one source, and every event says the same about it.
            let facts = (!event.is_overflow()).then(|| (event.scope, self.notable.facts(&event)));
            if facts.is_some() && facts == last {
                continue;
            }
            last = facts;
            for source in event_sources(&event, scenario, &self.notable)? {
                if all
                    .values()
                    .next()
                    .is_some_and(|first| first.scope != source.scope)
                {
                    return None;
                }
                all.insert(source.value.clone(), Box::new(source));
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

/// The sources of an overflow, and what the alerts about them have in common: all lines if there
/// is one source, none if there are several.
fn common(overflow: Overflow) -> (Sources, Alert) {
    let is_single = overflow.sources.len() == 1;
    let alert = Alert {
        id: AlertId::from_bytes([0; 16]),
        rule: overflow.scenario,
        rule_hash: overflow.scenario_hash,
        scope: overflow.scope,
        value: String::new(),
        address: None,
        range: None,
        first: overflow.first,
        last: overflow.last,
        events_count: overflow.events_count,
        message: overflow.message,
        remediation: overflow.remediation,
        simulated: overflow.simulated,
        labels: overflow.labels,
        context: BTreeMap::new(),
        events: if is_single {
            overflow.events
        } else {
            Vec::new()
        },
        evidence: if is_single {
            overflow.evidence
        } else {
            Vec::new()
        },
    };
    (overflow.sources, alert)
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
    let facts = notable.facts(event);
    // What feeds itself knows only event by event whether there is an address.
    let has_address = || {
        facts
            .address
            .is_some_and(|text| text.parse::<IpAddr>().is_ok())
    };
    let scope = match scenario.fed {
        Some(_) if has_address() => &Scope::Ip,
        _ => &scenario.scope,
    };
    match scope {
        Scope::Ip | Scope::Range => {
            let text = facts.address?;
            let address: IpAddr = text.parse().ok()?;
            // A declared range that cannot be read is an error, not an absence.
            let range: Option<Prefix> = facts
                .range
                .or(facts.range_meta)
                .map(str::parse)
                .transpose()
                .ok()?;
            let value = match (scope, event.scope) {
                (Scope::Range, Some(value)) => value.to_owned(),
                (Scope::Range, None) => range.map(network).unwrap_or_default(),
                _ => text.to_owned(),
            };
            let number = facts.as_number.or(facts.as_number_alias);
            (!value.is_empty()).then(|| {
                vec![OverflowSource {
                    scope: scope.clone(),
                    address: Some(address.to_canonical()),
                    spelling: (value != text).then(|| text.to_owned()),
                    range: range.or_else(|| as_range(scope, &value)),
                    as_number: number.unwrap_or_default().to_owned(),
                    as_name: facts.as_name.unwrap_or_default().to_owned(),
                    country: facts.country.unwrap_or_default().to_owned(),
                    value,
                }]
            })
        }
        _ => Some(vec![OverflowSource {
            scope: scenario.scope.clone(),
            value: event.scope?.to_owned(),
            address: None,
            spelling: None,
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
        spelling: None,
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
    let mut events = Vec::with_capacity(queue.size_hint().0);
    let mut order = NameOrder::default();
    let (mut fields, mut pairs) = (Vec::new(), Vec::new());
    for event in queue.rev().filter_map(|packed| Unpacked::read(packed)) {
        // A counted overflow has no meta of its own.
        if event.is_overflow() {
            continue;
        }
        fields.clear();
        event.put_bytes_of(FieldMap::Meta, &mut fields);
        order.arrange(&fields, symbols);
        pairs.clear();
        let sorted = order.places.iter();
        pairs.extend(sorted.filter_map(|(name, at)| Some((*name, fields.get(*at)?.1))));
        let Some(meta) = Meta::of_sorted(&pairs) else {
            continue;
        };
        let Some(left) = room.checked_sub(meta.bytes()) else {
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

/// In which order an event's fields are named. Events of one bucket mostly have the same fields in
/// the same places, so that it need not be worked out for each.
#[derive(Default)]
struct NameOrder<'s> {
    fields: Vec<u32>,
    /// Sorted by name: the name and which of the fields it is.
    places: Vec<(&'s str, usize)>,
}

impl<'s> NameOrder<'s> {
    fn arrange(&mut self, fields: &[(u32, &[u8])], symbols: &'s Symbols) {
        if self.fields.iter().eq(fields.iter().map(|(sym, _)| sym)) {
            return;
        }
        self.fields.clear();
        self.fields.extend(fields.iter().map(|(sym, _)| *sym));
        let named = |(at, sym): (usize, &u32)| Some((symbols.name(symbols.by_number(*sym)?), at));
        self.places.clear();
        // Of one name given twice, the last counts.
        let places = self.fields.iter().enumerate().rev();
        self.places.extend(places.filter_map(named));
        self.places.sort_by_key(|(name, _)| *name);
        self.places.dedup_by_key(|(name, _)| *name);
    }
}

/// The last raw lines.
fn evidence<'a>(queue: impl DoubleEndedIterator<Item = &'a Packed>) -> Vec<EvidenceLine> {
    let last = queue.rev().take(limits::EVIDENCE_LINES_MAX);
    let mut lines: Vec<EvidenceLine> = Vec::with_capacity(last.size_hint().0);
    for packed in last {
        let before = lines.last().map(|line| &line.source);
        lines.extend(Unpacked::read(packed).and_then(|event| event.evidence(before)));
    }
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
fn put_go_time(time: Timestamp, to: &mut String) {
    let start = to.len();
    dates::write(Date { time, offset: 0 }, to);
    if let Some(at) = to.get(start..).and_then(|text| text.find('T')) {
        to.replace_range(start + at..=start + at, " ");
    }
    to.truncate(to.trim_end_matches('Z').len());
    to.push_str(" +0000 UTC");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_prints_them() {
        for (nanos, expected) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (-1, "1969-12-31 23:59:59.999999999 +0000 UTC"),
            (
                1_795_283_584_630_000_000,
                "2026-11-21 17:53:04.63 +0000 UTC",
            ),
        ] {
            let mut text = String::from("at T ");
            put_go_time(Timestamp::from_nanos(nanos), &mut text);
            assert_eq!(text.strip_prefix("at T "), Some(expected));
        }
    }
}
