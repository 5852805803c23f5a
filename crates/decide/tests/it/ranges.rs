//! When a neighbourhood becomes a source, and when it must not.

use decide::Policy;
use model::HostFacts;
use serde_json::json;

use super::{alert, at, brief, judge, policy};

fn attack(policy: &mut Policy, sources: impl Iterator<Item = String>) -> Vec<String> {
    sources
        .flat_map(|source| judge(policy, &source, 0))
        .collect()
}

fn hosts(count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(|n| format!("203.0.113.{n}"))
}

#[test]
fn eight_neighbours_make_a_range() {
    let mut policy = policy(json!({}));
    let verdicts = attack(&mut policy, hosts(8));
    let bans = (1..=7).map(|n| format!("ban 203.0.113.{n} 14400s #0"));
    let lifts = (1..=7).map(|n| format!("lift 203.0.113.{n} Superseded"));
    let range = "ban 203.0.113.0/24 14400s #0".to_owned();
    assert_eq!(
        verdicts,
        bans.chain([range]).chain(lifts).collect::<Vec<_>>()
    );
    assert!(judge(&mut policy, "203.0.113.200", 1).is_empty());
    // What was one source among others is still an offender when the range is free again.
    assert_eq!(
        judge(&mut policy, "203.0.113.8", 20_000),
        ["ban 203.0.113.8 28800s #1"]
    );
}

#[test]
fn neighbours_far_apart_in_time_do_not_count() {
    let mut policy = policy(json!({}));
    for n in 1..=20i64 {
        let verdicts = judge(&mut policy, &format!("203.0.113.{n}"), n * 600);
        assert_eq!(verdicts, [format!("ban 203.0.113.{n} 14400s #0")]);
    }
}

#[test]
fn a_narrower_ban_that_lasts_longer_stays() {
    let mut policy = policy(json!({"ban": {"rules": [{"rule": "long", "duration": "3d"}]}}));
    let mut long = alert("203.0.113.1", 0);
    long.rule = "long".to_owned();
    policy.judge(&[long], &HostFacts::default(), at(0));
    attack(&mut policy, hosts(8).skip(1));
    let bans: Vec<_> = policy
        .bans()
        .map(|(prefix, _)| prefix.to_string())
        .collect();
    assert_eq!(bans, ["203.0.113.0/24", "203.0.113.1"]);
}

#[test]
fn ipv6_widens_in_steps() {
    let mut policy = policy(json!({}));
    // Four /64 in each of four /56 of one /48.
    let sources = (0..16).map(|n| format!("2001:db8:1:{:x}::1", (n / 4) * 0x100 + n % 4));
    let verdicts = attack(&mut policy, sources);
    let wide: Vec<_> = verdicts
        .iter()
        .filter(|v| v.starts_with("ban") && !v.contains("/64"))
        .collect();
    assert_eq!(
        wide,
        [
            "ban 2001:db8:1::/56 14400s #0",
            "ban 2001:db8:1:100::/56 14400s #0",
            "ban 2001:db8:1:200::/56 14400s #0",
            "ban 2001:db8:1::/48 14400s #0",
        ]
    );
    let bans: Vec<_> = policy
        .bans()
        .map(|(prefix, _)| prefix.to_string())
        .collect();
    assert_eq!(bans, ["2001:db8:1::/48"]);
}

#[test]
fn good_visitors_keep_their_range_open() {
    let mut policy = policy(json!({}));
    policy.record_good("203.0.113.250".parse().unwrap(), at(0));
    let verdicts = attack(&mut policy, hosts(12));
    let refused: Vec<_> = verdicts
        .iter()
        .filter(|v| v.starts_with("refuse"))
        .collect();
    assert_eq!(refused, ["refuse 203.0.113.0/24 collateral"], "said once");
    assert_eq!(policy.stats().bans, 12, "each attacker is banned alone");
    let range = policy.judge(&[alert("203.0.113.0/24", 0)], &HostFacts::default(), at(1));
    assert_eq!(brief(&range), ["refuse 203.0.113.0/24 collateral"]);
    assert_eq!(policy.known_good().count(), 1);
    policy.tick(at(100_000));
    assert_eq!(policy.known_good().count(), 0);
}

#[test]
fn bystanders_are_limited_by_number_and_by_share() {
    for ipv4 in [
        json!({"bystanders_max": 247}),
        json!({"bystanders_percent_max": 96}),
    ] {
        let mut policy = policy(json!({"ban": {"ipv4": ipv4}}));
        let verdicts = attack(&mut policy, hosts(8));
        assert_eq!(verdicts[7], "refuse 203.0.113.0/24 collateral", "{ipv4}");
        assert_eq!(verdicts[8], "ban 203.0.113.8 14400s #0", "{ipv4}");
    }
}

#[test]
fn a_range_with_something_protected_in_it_stays_open() {
    let mut policy = policy(json!({}));
    let facts = HostFacts {
        gateways: vec!["203.0.113.254".parse().unwrap()],
        ..Default::default()
    };
    let alerts: Vec<_> = hosts(10).map(|source| alert(&source, 0)).collect();
    let verdicts = brief(&policy.judge(&alerts, &facts, at(0)));
    assert_eq!(
        verdicts
            .iter()
            .filter(|v| *v == "refuse 203.0.113.0/24 gateway")
            .count(),
        1
    );
    assert_eq!(verdicts.iter().filter(|v| v.starts_with("ban")).count(), 10);
}

#[test]
fn rules_name_ranges_within_the_automatic_width() {
    let mut policy = policy(json!({}));
    assert_eq!(
        judge(&mut policy, "198.51.100.0/24", 0),
        ["ban 198.51.100.0/24 14400s #0"]
    );
    assert_eq!(
        judge(&mut policy, "198.51.0.0/16", 0),
        ["refuse 198.51.0.0/16 too_wide"]
    );
    assert!(judge(&mut policy, "198.51.100.7", 0).is_empty());
}
