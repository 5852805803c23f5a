//! Durations, repeats, dedupe, limits and the operator's hands.

use std::time::Duration;

use decide::Verdict;
use model::{Author, HostFacts, KnownBan, Origin, ReleaseReason, Scope};
use serde_json::json;

use super::{alert, at, brief, judge, p, policy};

const H: i64 = 3_600;

fn operator() -> Origin {
    Origin::Operator {
        name: "root".to_owned(),
    }
}

#[test]
fn bans_grow_to_the_ceiling_and_are_forgotten() {
    let mut policy = policy(json!({"ban": {"duration_max": "10h", "forget_after": "5d"}}));
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 0),
        ["ban 203.0.113.9 14400s #0"]
    );
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 5 * H),
        ["ban 203.0.113.9 28800s #1"]
    );
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 14 * H),
        ["ban 203.0.113.9 36000s #2"]
    );
    let ended = 24 * H;
    assert_eq!(
        judge(&mut policy, "203.0.113.9", ended + 119 * H),
        ["ban 203.0.113.9 36000s #3"]
    );
    let ended = ended + 129 * H;
    assert_eq!(
        judge(&mut policy, "203.0.113.9", ended + 120 * H),
        ["ban 203.0.113.9 14400s #0"]
    );
}

#[test]
fn a_factor_of_one_never_grows() {
    let mut policy = policy(json!({"ban": {"repeat_factor": 1}}));
    judge(&mut policy, "203.0.113.9", 0);
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 5 * H),
        ["ban 203.0.113.9 14400s #1"]
    );
}

#[test]
fn a_source_already_banned_gives_nothing_until_it_gains() {
    let mut policy = policy(json!({}));
    assert_eq!(judge(&mut policy, "203.0.113.9", 0).len(), 1);
    assert!(judge(&mut policy, "203.0.113.9", 1).is_empty());
    assert!(judge(&mut policy, "203.0.113.9", 1_440).is_empty());
    assert_eq!(policy.stats().already_banned, 2);
    // An hour later the ban would end an hour later: it is extended, and not grown.
    assert_eq!(
        judge(&mut policy, "203.0.113.9", H),
        ["ban 203.0.113.9 14400s #0"]
    );
    assert_eq!(policy.stats().extensions, 1);
    assert_eq!(policy.stats().active, 1);
    // The next one counts as the second ban.
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 6 * H),
        ["ban 203.0.113.9 28800s #1"]
    );
}

#[test]
fn rules_can_be_changed_one_by_one() {
    let mut policy = policy(json!({"ban": {"rules": [
        {"rule": "posse/ssh-*", "duration": "1h"},
        {"rule": "*", "action": "alert_only"},
    ]}}));
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 0),
        ["ban 203.0.113.9 3600s #0"]
    );
    let mut other = alert("203.0.113.10", 0);
    other.rule = "posse/http-probing".to_owned();
    assert!(
        policy
            .judge(&[other], &HostFacts::default(), at(0))
            .is_empty()
    );
    assert_eq!(policy.stats().alert_only, 1);
}

#[test]
fn trials_and_rules_without_remediation_ban_nobody() {
    let mut policy = policy(json!({}));
    let mut trial = alert("203.0.113.9", 0);
    trial.simulated = true;
    let mut quiet = alert("203.0.113.9", 1);
    quiet.remediation = false;
    assert!(
        policy
            .judge(&[trial, quiet], &HostFacts::default(), at(0))
            .is_empty()
    );
}

#[test]
fn what_has_no_address_is_refused() {
    let mut policy = policy(json!({}));
    let mut user = alert("203.0.113.9", 0);
    user.scope = Scope::Other("username".to_owned());
    let mut garbled = alert("203.0.113.9", 1);
    (garbled.address, garbled.value) = (None, "203.0.113".to_owned());
    let verdicts = policy.judge(&[user, garbled], &HostFacts::default(), at(0));
    assert_eq!(
        brief(&verdicts),
        ["refuse - no_address", "refuse - no_address"]
    );
}

#[test]
fn one_ipv6_customer_is_one_source() {
    let mut policy = policy(json!({}));
    assert_eq!(
        judge(&mut policy, "2001:db8::1", 0),
        ["ban 2001:db8::/64 14400s #0"]
    );
    assert!(judge(&mut policy, "2001:db8::2", 1).is_empty());
    assert_eq!(
        judge(&mut policy, "::ffff:203.0.113.9", 2),
        ["ban 203.0.113.9 14400s #0"]
    );
    assert_eq!(
        judge(&mut policy, "64:ff9b::cb00:7109", 3),
        ["ban 64:ff9b::cb00:7109 14400s #0"]
    );
}

#[test]
fn a_neighbour_of_a_protected_address_is_banned_alone() {
    let mut policy = policy(json!({}));
    let facts = HostFacts {
        own_addresses: vec!["2001:db8::10".parse().unwrap()],
        ..Default::default()
    };
    let verdicts = policy.judge(&[alert("2001:db8::1", 0)], &facts, at(0));
    assert_eq!(brief(&verdicts), ["ban 2001:db8::1 14400s #0"]);
    let verdicts = policy.judge(&[alert("2001:db8::10", 0)], &facts, at(0));
    assert_eq!(brief(&verdicts), ["refuse 2001:db8::10 own_address"]);
}

#[test]
fn the_circuit_breaker_opens_once_and_closes_with_a_word() {
    let mut policy = policy(json!({"never_ban": {"bans_per_minute": 2}, "ban": {"ipv4":
        {"steps": []}}}));
    let alerts: Vec<_> = (1..5)
        .map(|n| alert(&format!("203.0.113.{n}"), 0))
        .collect();
    let verdicts = policy.judge(&alerts, &HostFacts::default(), at(0));
    assert_eq!(
        brief(&verdicts),
        [
            "ban 203.0.113.1 14400s #0",
            "ban 203.0.113.2 14400s #0",
            "notice circuit_open",
            "refuse 203.0.113.3 circuit_open",
            "refuse 203.0.113.4 circuit_open",
        ]
    );
    // A person is not held up by it.
    let asked = policy.request(
        p("203.0.113.9"),
        Duration::ZERO,
        "seen in the mail log",
        operator(),
        &HostFacts::default(),
        at(1),
    );
    assert_eq!(brief(&[asked]), ["ban 203.0.113.9 14400s #0"]);
    assert_eq!(policy.poll_timeout(), Some(at(60)));
    assert!(policy.tick(at(59)).is_empty());
    assert_eq!(brief(&policy.tick(at(60))), ["notice circuit_closed"]);
    assert_eq!(policy.poll_timeout(), None);
    assert_eq!(
        judge(&mut policy, "203.0.113.3", 61),
        ["ban 203.0.113.3 14400s #0"]
    );
}

#[test]
fn a_full_table_refuses_but_still_extends() {
    let mut policy = policy(json!({"never_ban": {"bans_max": 1}}));
    judge(&mut policy, "203.0.113.1", 0);
    assert_eq!(
        judge(&mut policy, "203.0.113.2", 0),
        ["refuse 203.0.113.2 too_many"]
    );
    assert_eq!(
        judge(&mut policy, "203.0.113.1", H),
        ["ban 203.0.113.1 14400s #0"]
    );
    let asked = policy.request(
        p("203.0.113.9"),
        Duration::ZERO,
        "",
        operator(),
        &HostFacts::default(),
        at(H),
    );
    assert_eq!(brief(&[asked]), ["refuse 203.0.113.9 too_many"]);
    assert_eq!(
        judge(&mut policy, "203.0.113.2", 6 * H),
        ["ban 203.0.113.2 14400s #0"]
    );
}

#[test]
fn operators_may_ban_more_widely_but_not_what_is_protected() {
    let mut policy = policy(json!({}));
    let facts = HostFacts {
        admin_peers: vec!["203.0.113.77".parse().unwrap()],
        ..Default::default()
    };
    let mut ask = |prefix: &str| {
        let hour = Duration::from_secs(3_600);
        brief(&[policy.request(p(prefix), hour, "why", operator(), &facts, at(0))]).remove(0)
    };
    assert_eq!(ask("198.51.0.0/16"), "ban 198.51.0.0/16 3600s #0");
    assert_eq!(ask("203.0.113.0/24"), "refuse 203.0.113.0/24 admin_session");
    assert_eq!(ask("198.50.0.0/15"), "refuse 198.50.0.0/15 too_wide");
    // A later decision on the same prefix replaces an earlier one.
    assert_eq!(ask("198.51.0.0/16"), "ban 198.51.0.0/16 3600s #0");
    assert_eq!(policy.stats().active, 1);
}

#[test]
fn a_clock_that_was_set_changes_no_ban() {
    const YEAR: i64 = 31_536_000;
    for by in [-YEAR, YEAR] {
        let mut policy = policy(json!({}));
        judge(&mut policy, "203.0.113.9", 0);
        policy.clock_was_set(by * 1_000_000_000);
        // It holds as long as was decided, and is known as long as it holds.
        policy.tick(at(by + 14_399));
        assert_eq!(policy.stats().active, 1, "by {by}");
        assert!(judge(&mut policy, "203.0.113.9", by + 60).is_empty());
        policy.tick(at(by + 14_400));
        assert_eq!(policy.stats().active, 0, "by {by}");
        // Who offended before still has.
        let again = judge(&mut policy, "203.0.113.9", by + 20_000);
        assert_eq!(again, ["ban 203.0.113.9 28800s #1"]);
    }
}

#[test]
fn a_release_lifts_the_ban_and_the_record() {
    let mut policy = policy(json!({}));
    judge(&mut policy, "2001:db8::1", 0);
    judge(&mut policy, "203.0.113.9", 0);
    let lifted = policy.release(p("2001:db8::1"), &operator(), at(1));
    assert_eq!(lifted.len(), 1);
    assert_eq!(lifted[0].prefix, p("2001:db8::/64"));
    assert_eq!(lifted[0].reason, ReleaseReason::Operator);
    assert_eq!(
        policy
            .release(p("203.0.113.0/24"), &operator(), at(1))
            .len(),
        1
    );
    assert!(
        policy
            .release(p("203.0.113.9"), &operator(), at(1))
            .is_empty()
    );
    assert_eq!(
        judge(&mut policy, "203.0.113.9", 2),
        ["ban 203.0.113.9 14400s #0"]
    );
    judge(&mut policy, "203.0.113.10", 2);
    assert_eq!(policy.release_all(&operator(), at(3)).len(), 2);
    assert_eq!(policy.stats().active, 0);
    // Widths whose last address is a mapped one must not upset the lookup.
    assert!(policy.release(p("::/80"), &operator(), at(3)).is_empty());
}

#[test]
fn new_facts_lift_what_is_protected_now() {
    let mut policy = policy(json!({}));
    for source in ["203.0.113.9", "203.0.113.10", "2001:db8::1", "192.0.2.1"] {
        judge(&mut policy, source, 0);
    }
    let facts = HostFacts {
        admin_peers: vec![
            "203.0.113.9".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        ],
        ..Default::default()
    };
    assert_eq!(
        brief(&policy.recheck(&facts, at(1))),
        ["lift 203.0.113.9 Protected", "lift 2001:db8::/64 Protected"]
    );
    let allow = json!({"never_ban": {"allow": ["192.0.2.0/24"]}});
    policy
        .reconfigure(serde_json::from_value(allow).unwrap())
        .unwrap();
    assert_eq!(
        brief(&policy.recheck(&facts, at(1))),
        ["lift 192.0.2.1 Protected"]
    );
    assert!(policy.recheck(&facts, at(1)).is_empty());
}

#[test]
fn decisions_survive_a_restart() {
    let mut before = policy(json!({}));
    let mut made = Vec::new();
    for (source, seconds) in [("203.0.113.1", 0), ("203.0.113.2", 4 * H)] {
        for verdict in before.judge(&[alert(source, 0)], &HostFacts::default(), at(seconds)) {
            if let Verdict::Ban(decision) = verdict {
                made.push(decision);
            }
        }
    }
    let mut after = policy(json!({}));
    after.restore(&mut made.iter().map(KnownBan::from), at(5 * H));
    let bans: Vec<_> = after
        .bans()
        .map(|(prefix, ban)| (prefix, ban.until))
        .collect();
    assert_eq!(bans, [(p("203.0.113.2"), at(8 * H))]);
    assert_eq!(
        judge(&mut after, "203.0.113.1", 5 * H),
        ["ban 203.0.113.1 28800s #1"]
    );
    assert!(after.covering(p("203.0.113.2"), at(5 * H)).is_some());
    assert!(after.covering(p("203.0.113.2"), at(8 * H)).is_none());
}

#[test]
fn a_restart_keeps_within_the_limit_and_tells_operators_from_offenders() {
    let known = |source: &str, from: i64, until: i64, by, repeat| KnownBan {
        prefix: p(source),
        from: at(from),
        until: at(until),
        by,
        alert: None,
        sources: 1,
        repeat,
    };
    let all = [
        known("192.0.2.1", 3, 4 * H, Author::Guard, 0),
        known("192.0.2.2", 1, 4 * H, Author::Guard, 1),
        known("192.0.2.3", 0, H, Author::Operator, 0),
        known("192.0.2.4", 0, H, Author::Guard, 4),
        known("2001:db8::/64", 2, 4 * H, Author::Operator, 0),
    ];
    let mut after = policy(json!({"never_ban": {"bans_max": 2}}));
    after.restore(&mut all.iter().copied(), at(2 * H));
    // The latest goes, as it would have been refused.
    let bans: Vec<_> = after.bans().map(|(prefix, _)| prefix).collect();
    assert_eq!(bans, [p("192.0.2.2"), p("2001:db8::/64")]);
    assert_eq!(
        (after.stats().restored_dropped, after.stats().active),
        (1, 2)
    );
    assert_eq!(
        judge(&mut after, "192.0.2.1", 5 * H),
        ["ban 192.0.2.1 28800s #1"]
    );
    // Ended by then; one was a person's doing and one the source's own.
    let mut after = policy(json!({}));
    after.restore(&mut all.iter().copied(), at(2 * H));
    assert_eq!(
        judge(&mut after, "192.0.2.3", 2 * H),
        ["ban 192.0.2.3 14400s #0"]
    );
    assert_eq!(
        judge(&mut after, "192.0.2.4", 2 * H),
        ["ban 192.0.2.4 460800s #5"]
    );
    after.tick(at(4 * H));
    assert_eq!(after.covering(p("2001:db8::/64"), at(4 * H)), None);
}
