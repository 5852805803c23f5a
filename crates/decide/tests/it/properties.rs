//! What must hold whatever the alerts are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use decide::Verdict;
use model::{Alert, HostFacts, Prefix};
use proptest::prelude::*;
use serde_json::json;

use super::{alert, at, p, policy};

/// Sources close to each other and to what is protected, so that widening happens.
fn source() -> impl Strategy<Value = Prefix> {
    let v4 = (0u8..3, any::<u8>()).prop_map(|(net, host)| {
        Prefix::host(IpAddr::V4(Ipv4Addr::new(
            [203, 198, 10][usize::from(net)],
            0,
            113,
            host,
        )))
    });
    let v6 = (0u16..2, 0u16..3, 0u16..20, 0u16..4).prop_map(|(a, b, c, host)| {
        Prefix::host(IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            a,
            (b << 8) | c,
            0,
            0,
            0,
            host,
        )))
    });
    let range = (v4.clone(), 8u8..=32).prop_map(|(host, len)| host.widen(len).unwrap_or(host));
    prop_oneof![4 => v4, 4 => v6, 1 => range]
}

fn alerts() -> impl Strategy<Value = Vec<Alert>> {
    prop::collection::vec((source(), 0u64..4), 0..120).prop_map(|sources| {
        sources
            .iter()
            .map(|(source, number)| alert(&source.to_string(), *number))
            .collect()
    })
}

fn facts() -> HostFacts {
    let all = |texts: &[&str]| -> Vec<IpAddr> {
        texts
            .iter()
            .map(|t| t.parse().expect("an address"))
            .collect()
    };
    HostFacts {
        own_addresses: all(&["203.0.113.10", "2001:db8:0:1::1"]),
        gateways: all(&["203.0.113.1", "fe80::1"]),
        resolvers: all(&["198.0.113.53"]),
        admin_peers: all(&["::ffff:198.0.113.200", "2001:db8:1:202::2"]),
    }
}

fn config() -> serde_json::Value {
    json!({
        "ban": {
            "ipv4": {"steps": [{"prefix": 28, "sources": 2}, {"prefix": 24, "sources": 4}]},
            "ipv6": {"steps": [{"prefix": 56, "sources": 2}, {"prefix": 48, "sources": 4}]},
        },
        "never_ban": {"allow": ["203.0.113.128/30", "2001:db8:1:13::/64"], "bans_per_minute": 40},
    })
}

proptest! {
    #[test]
    fn nothing_protected_is_ever_covered(alerts in alerts()) {
        let facts = facts();
        let mut policy = policy(config());
        let mut protected = vec![p("203.0.113.128/30"), p("2001:db8:1:13::/64"), p("10.0.0.0/8")];
        for list in [&facts.own_addresses, &facts.gateways, &facts.resolvers, &facts.admin_peers] {
            protected.extend(list.iter().map(|address| Prefix::host(*address)));
        }
        for verdict in policy.judge(&alerts, &facts, at(0)) {
            if let Verdict::Ban(decision) = verdict {
                for one in &protected {
                    prop_assert!(!decision.prefix.overlaps(*one), "{} {one}", decision.prefix);
                }
            }
        }
    }

    #[test]
    fn batches_make_no_difference(alerts in alerts(), cuts in prop::collection::vec(1usize..9, 1..30)) {
        let facts = facts();
        let (mut whole, mut cut) = (policy(config()), policy(config()));
        let at_once = whole.judge(&alerts, &facts, at(0));
        let mut rest = alerts.as_slice();
        let mut in_parts = Vec::new();
        for size in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, tail) = rest.split_at((*size).min(rest.len()));
            in_parts.extend(cut.judge(part, &facts, at(0)));
            rest = tail;
        }
        prop_assert_eq!(at_once, in_parts);
    }

    #[test]
    fn every_source_let_through_is_cut_off(alerts in alerts()) {
        let facts = facts();
        let mut policy = policy(config());
        for alert in alerts {
            let verdicts = policy.judge(std::slice::from_ref(&alert), &facts, at(0));
            let refused = verdicts.iter().any(|v| matches!(v, Verdict::Refuse(_)));
            let source: Prefix = alert.value.parse().unwrap();
            prop_assert!(refused || policy.covering(source, at(0)).is_some(), "{}", alert.value);
        }
    }
}
