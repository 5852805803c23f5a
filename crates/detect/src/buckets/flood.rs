//! Floods: more sources than there is memory for. Those that keep coming are caught all the same.

use proptest::prelude::*;

use super::tests::{Lab, lab_with};
use crate::engine::EngineOptions;

const FAST: &str = "type: leaky\nname: me/fast\ndescription: d\n\
    filter: evt.Meta.kind == 'bad'\ngroupby: evt.Meta.source_ip\n\
    capacity: 5\nleakspeed: 10s\nblackhole: 1m\nlabels: {remediation: true}\n";
const DISTINCT: &str = "type: leaky\nname: me/distinct\ndescription: d\n\
    filter: evt.Meta.kind == 'bad'\ngroupby: evt.Meta.source_ip\ndistinct: evt.Meta.path\n\
    capacity: 3\nleakspeed: 60s\nblackhole: 1m\nlabels: {remediation: true}\n";

fn small() -> EngineOptions {
    EngineOptions::within(512 << 10)
}

fn address(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()
}

/// `persistent` sources come back every `gap` of sources that come once; who of them is named.
fn flood(lab: &mut Lab, once: u32, gap: u32, persistent: u32, per_second: f64) -> Vec<String> {
    let mut named = Vec::new();
    for n in 0..once {
        let time = f64::from(n) / per_second;
        lab.ip(time, &address(n));
        if n % gap < persistent {
            let alerts = lab.ip(time, &format!("198.51.100.{}", n % gap));
            named.extend(alerts.into_iter().map(|alert| alert.value));
        }
    }
    named.sort();
    named.dedup();
    named
}

#[test]
fn those_that_keep_coming_are_caught_among_sources_that_come_once() {
    let mut lab = lab_with(FAST, small());
    // 200 sources, each a second apart, between two tries: far more than there are buckets.
    let named = flood(&mut lab, 60_000, 2_000, 20, 1_000.0);
    assert_eq!(named.len(), 20);
    let stats = lab.engine.stats();
    assert!(stats.evicted["me/fast"] > 50_000, "{stats:?}");
    assert!(stats.remnants_live > 1_000, "{stats:?}");
}

#[test]
fn those_that_keep_coming_are_caught_when_even_remnants_do_not_suffice() {
    let options = EngineOptions {
        remnant_bytes_max: 20 << 10,
        returner_bytes_max: 64 << 10,
        ..small()
    };
    let mut lab = lab_with(FAST, options);
    // All within ten seconds, so that no remnant is worthless by its age.
    let named = flood(&mut lab, 60_000, 4_000, 20, 6_000.0);
    assert!(lab.engine.stats().remnants_lost > 10_000);
    assert_eq!(named.len(), 20);
}

#[test]
fn an_evicted_bucket_goes_on_where_it_was() {
    let options = EngineOptions {
        buckets_max: 1,
        ..small()
    };
    let (mut bounded, mut free) = (lab_with(FAST, options), lab_with(FAST, small()));
    for second in 0..6 {
        let time = f64::from(second);
        let (got, expected) = (bounded.ip(time, "192.0.2.1"), free.ip(time, "192.0.2.1"));
        assert_eq!(got.len(), expected.len(), "{second}");
        if let (Some(got), Some(expected)) = (got.first(), expected.first()) {
            assert_eq!(got.events_count, expected.events_count);
            assert_eq!((got.first, got.last), (expected.first, expected.last));
            assert!(got.evidence.len() < expected.evidence.len());
        }
        bounded.ip(time, "192.0.2.2");
        free.ip(time, "192.0.2.2");
    }
    assert!(bounded.engine.stats().evicted["me/fast"] > 5);
}

#[test]
fn what_distinct_has_seen_is_not_counted_again_after_an_eviction() {
    let options = EngineOptions {
        buckets_max: 1,
        ..small()
    };
    let mut lab = lab_with(DISTINCT, options);
    let mut pour = |ip: &str, path: &str| {
        let fields = [("source_ip", ip), ("kind", "bad"), ("path", path)];
        lab.pour(0.0, &fields).len()
    };
    for _ in 0..10 {
        assert_eq!(pour("192.0.2.1", "/same"), 0);
        assert_eq!(pour("192.0.2.2", "/same"), 0);
    }
}

#[test]
fn a_restart_in_the_middle_of_a_flood_changes_nothing() {
    let mut whole = lab_with(FAST, small());
    let first = flood(&mut whole, 5_000, 1_000, 10, 1_000.0);
    assert_eq!(first, [] as [String; 0]);
    let saved = whole.engine.snapshot();
    let mut second = lab_with(FAST, small());
    second.engine.restore(&saved).unwrap();
    assert_eq!(second.engine.snapshot(), saved);
    for n in 0..10 {
        let ip = format!("198.51.100.{n}");
        let (a, b) = (whole.ip(5.0, &ip), second.ip(5.0, &ip));
        assert_eq!(a.len(), b.len());
    }
    assert_eq!(whole.engine.snapshot(), second.engine.snapshot());
}

proptest! {
    /// While nothing is forgotten, memory does not show in who is named and when.
    #[test]
    fn eviction_alone_changes_no_alert(
        events in proptest::collection::vec((0u32..40, 0u32..3_000), 1..400),
    ) {
        let options = EngineOptions { buckets_max: 3, ..small() };
        let (mut bounded, mut free) = (lab_with(FAST, options), lab_with(FAST, small()));
        let mut time = 0.0;
        for (source, step) in events {
            time += f64::from(step) / 1_000.0;
            let got = bounded.ip(time, &address(source));
            let expected = free.ip(time, &address(source));
            let value = |alerts: &[model::Alert]| -> Vec<String> {
                alerts.iter().map(|a| a.value.clone()).collect()
            };
            prop_assert_eq!(value(&got), value(&expected));
        }
        prop_assert_eq!(bounded.engine.stats().remnants_lost, 0);
    }
}
