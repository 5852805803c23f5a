use std::time::Duration;

use enforce::{CompactDesired, Desired, Firewall, LargeSets, Monitor, Sighting};
use model::Timestamp;

use crate::bench_net::{add, firewall, held, hour, in_namespace, nft, p, run};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn desired() -> Desired {
    let mut desired = Desired::new();
    for prefix in [
        "203.0.113.9",
        "203.0.113.10",
        "10.0.0.0/8",
        "2001:db8::/64",
        "2001:db8::/48",
    ] {
        desired.set(p(prefix), NOW.plus(hour()), NOW).unwrap();
    }
    desired
}

const ALL: [&str; 5] = [
    "10.0.0.0/8",
    "203.0.113.9",
    "203.0.113.10",
    "2001:db8::/48",
    "2001:db8::/64",
];

fn filled() -> (Firewall, Desired) {
    let (mut firewall, desired) = (firewall(), desired());
    let synced = firewall
        .sync(&desired, NOW, MINUTE, LargeSets::Replace)
        .unwrap();
    assert_eq!(synced.applied.added, 5);
    assert_eq!(held(&mut firewall), ALL);
    (firewall, desired)
}

#[test]
fn a_restart_keeps_every_ban() {
    in_namespace("repair::a_restart_keeps_every_ban", || {
        let (first, desired) = filled();
        drop(first);
        let mut second = firewall();
        assert_eq!(held(&mut second), ALL);
        let synced = second
            .sync(&desired, NOW, MINUTE, LargeSets::Replace)
            .unwrap();
        assert_eq!(
            synced,
            enforce::Synced::default(),
            "nothing differs, so nothing changes"
        );
        assert!(!second.ensure().unwrap());
    });
}

fn prerouting() -> String {
    run(
        "nft",
        &["-s", "list", "chain", "inet", "posse", "prerouting"],
    )
}

#[test]
fn what_others_do_is_seen_and_repaired() {
    in_namespace("repair::what_others_do_is_seen_and_repaired", || {
        let (mut firewall, desired) = filled();
        let mut monitor = Monitor::open(&firewall).unwrap();
        for (command, structure) in [
            ("delete element inet posse ban4 { 203.0.113.9 }", false),
            ("flush set inet posse net4", false),
            ("add element inet posse ban4 { 198.51.100.1 }", false),
            (
                "add element inet posse net4 { 172.16.0.5-172.16.0.9 }",
                true,
            ),
            ("add element inet posse net4 { 172.16.0.5/32 }", true),
            ("insert rule inet posse prerouting accept", true),
            ("flush table inet posse", true),
            ("add table inet posse { flags dormant; }", true),
            ("delete table inet posse", true),
            ("flush ruleset", true),
        ] {
            assert_eq!(monitor.read().unwrap(), Sighting::Quiet, "before {command}");
            let rules = prerouting();
            nft(command);
            assert_eq!(monitor.read().unwrap(), Sighting::Changed, "{command}");
            assert_eq!(firewall.ensure().unwrap(), structure, "{command}");
            firewall
                .sync(&desired, NOW, MINUTE, LargeSets::Replace)
                .unwrap();
            assert_eq!(held(&mut firewall), ALL, "{command}");
            assert_eq!(prerouting(), rules, "{command}");
            assert!(!nft("list table inet posse").contains("dormant"));
        }
    });
}

#[test]
fn a_ban_finds_its_way_when_the_table_was_deleted() {
    in_namespace(
        "repair::a_ban_finds_its_way_when_the_table_was_deleted",
        || {
            let (mut firewall, desired) = filled();
            nft("delete table inet posse");
            let applied = firewall.apply(&[add("203.0.113.9")]).unwrap();
            assert!(applied.repaired && applied.resolved);
            assert_eq!(held(&mut firewall), ["203.0.113.9"]);
            let synced = firewall
                .sync(&desired, NOW, MINUTE, LargeSets::Replace)
                .unwrap();
            assert_eq!(synced.applied.added, 4);
            assert_eq!(held(&mut firewall), ALL);
        },
    );
}

#[test]
fn a_table_of_our_name_but_another_make_is_rebuilt_with_its_bans() {
    in_namespace(
        "repair::a_table_of_our_name_but_another_make_is_rebuilt_with_its_bans",
        || {
            nft("add table inet posse");
            nft("add set inet posse ban4 { type ipv4_addr; flags timeout; timeout 1h; }");
            nft("add set inet posse ban6 { type ipv4_addr; }");
            nft("add set inet posse other { type inet_service; }");
            nft("add element inet posse ban4 { 203.0.113.9, 203.0.113.10 timeout 5m }");
            nft("add chain inet posse old { type filter hook input priority 0; }");
            nft("add rule inet posse old ip saddr @ban4 drop");
            let mut firewall = firewall();
            assert_eq!(held(&mut firewall), ["203.0.113.9", "203.0.113.10"]);
            let left = firewall.dump().unwrap()[0].1.unwrap();
            assert!(left <= hour());
            let table = nft("list table inet posse");
            assert!(
                !table.contains("chain old") && !table.contains("set other"),
                "{table}"
            );
            assert!(!firewall.ensure().unwrap());
        },
    );
}

#[test]
fn a_chain_in_the_way_is_rebuilt() {
    in_namespace("repair::a_chain_in_the_way_is_rebuilt", || {
        let (mut firewall, _) = filled();
        nft("delete chain inet posse output");
        nft("add chain inet posse output { type filter hook input priority 7; }");
        assert!(firewall.ensure().unwrap());
        assert!(nft("list chain inet posse output").contains("hook output priority raw - 10"));
        assert_eq!(held(&mut firewall), ALL);
    });
}

#[test]
fn teardown_takes_our_table_only() {
    in_namespace("repair::teardown_takes_our_table_only", || {
        nft("add table inet neighbour");
        nft("add set inet neighbour s { type ipv4_addr; }");
        nft("add element inet neighbour s { 192.0.2.1 }");
        let before = nft("list ruleset");
        let (mut firewall, _) = filled();
        firewall.apply(&[add("192.0.2.200")]).unwrap();
        firewall.teardown().unwrap();
        assert_eq!(nft("list ruleset"), before);
        firewall.teardown().unwrap();
        assert!(firewall.ensure().unwrap());
        assert!(held(&mut firewall).is_empty());
    });
}

#[test]
fn a_large_set_is_topped_up_without_being_emptied() {
    in_namespace(
        "repair::a_large_set_is_topped_up_without_being_emptied",
        || {
            // Beyond what is read.
            const MANY: u32 = 140_000;
            // The compact set's clock begins with the boot.
            const NOW: Timestamp = Timestamp::from_seconds(1_000);
            let mut desired = CompactDesired::new();
            let host = |i: u32| p(&std::net::Ipv4Addr::from_bits(0x2d00_0000 + i).to_string());
            for i in 0..MANY {
                desired.set(host(i), NOW.plus(hour()), NOW).unwrap();
            }
            desired
                .set(p("198.51.100.0/24"), NOW.plus(hour()), NOW)
                .unwrap();
            let mut firewall = firewall();
            let top_up = |firewall: &mut Firewall, desired: &CompactDesired| {
                firewall
                    .sync(desired, NOW, MINUTE, LargeSets::TopUp)
                    .unwrap()
            };
            assert!(!top_up(&mut firewall, &desired).replaced);
            assert_eq!(firewall.dump().unwrap().len(), MANY as usize + 1);
            let gone = host(7).addr().to_string();
            nft(&format!("delete element inet posse ban4 {{ {gone} }}"));
            assert!(top_up(&mut firewall, &desired).replaced);
            assert_eq!(firewall.dump().unwrap().len(), MANY as usize + 1);
        },
    );
}
