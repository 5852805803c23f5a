use std::time::Duration;

use enforce::{Desired, EnforceError, Firewall, FirewallOptions, KernelChange, Monitor, Sighting};
use model::Timestamp;
use serde_json::Value;

use crate::bench_net::{add, firewall, held, hour, in_namespace, nft, p, remove, run};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The elements of one set as `nft` tells them: (value, timeout in seconds).
fn listed(set: &str) -> Vec<(String, Option<u64>)> {
    let json: Value =
        serde_json::from_str(&run("nft", &["-j", "list", "set", "inet", "posse", set])).unwrap();
    let set = json["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|o| o.get("set"))
        .unwrap();
    let elements = set
        .get("elem")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut out: Vec<_> = elements
        .iter()
        .map(|e| {
            let (value, timeout) = match e.get("elem") {
                Some(inner) => (&inner["val"], inner["timeout"].as_u64()),
                None => (e, None),
            };
            let text = match value.get("prefix") {
                Some(prefix) => format!("{}/{}", prefix["addr"].as_str().unwrap(), prefix["len"]),
                None => value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            };
            (text, timeout)
        })
        .collect();
    out.sort();
    out
}

#[test]
fn nft_sees_what_was_applied() {
    in_namespace("elements::nft_sees_what_was_applied", || {
        let mut firewall = firewall();
        let applied = firewall
            .apply(&[
                add("203.0.113.9"),
                KernelChange::Add {
                    prefix: p("203.0.113.10"),
                    timeout: None,
                },
                add("2001:db8::7"),
                add("2001:db8:1:2::/64"),
                add("10.0.0.0/9"),
                add("10.128.0.0/24"),
                add("255.255.255.0/24"),
                add("2001:db8:ff00::/40"),
                add("ffff::/16"),
            ])
            .unwrap();
        assert_eq!((applied.added, applied.resolved), (9, false));
        let t = Some(3_600);
        let expect = |set: &str, wanted: &[(&str, Option<u64>)]| {
            let wanted: Vec<_> = wanted.iter().map(|(v, t)| ((*v).to_owned(), *t)).collect();
            assert_eq!(listed(set), wanted, "{set}");
        };
        expect("ban4", &[("203.0.113.10", None), ("203.0.113.9", t)]);
        expect("ban6", &[("2001:db8::7", t)]);
        expect("ban6_64", &[("2001:db8:1:2::", t)]);
        expect(
            "net4",
            &[
                ("10.0.0.0/9", t),
                ("10.128.0.0/24", t),
                ("255.255.255.0/24", t),
            ],
        );
        expect("net6", &[("2001:db8:ff00::/40", t), ("ffff::/16", t)]);
        let dump = firewall.dump().unwrap();
        assert_eq!(dump.len(), 9);
        for (prefix, left) in dump {
            let near =
                left.is_none_or(|left| left <= hour() && left > hour() - Duration::from_secs(10));
            assert!(near, "{prefix} {left:?}");
            assert_eq!(left.is_none(), prefix == p("203.0.113.10"));
        }
        firewall
            .apply(&[
                remove("10.0.0.0/9"),
                remove("255.255.255.0/24"),
                remove("203.0.113.9"),
            ])
            .unwrap();
        expect("net4", &[("10.128.0.0/24", t)]);
        expect("ban4", &[("203.0.113.10", None)]);
    });
}

#[test]
fn of_changes_to_one_prefix_in_one_batch_the_last_counts() {
    let test = "elements::of_changes_to_one_prefix_in_one_batch_the_last_counts";
    in_namespace(test, || {
        let mut firewall = firewall();
        let timeout = Some(Duration::from_secs(60));
        let update = |prefix: &str| KernelChange::Update {
            prefix: p(prefix),
            timeout,
        };
        // As a guard that was away is told all at once.
        let applied = firewall
            .apply(&[
                add("203.0.113.9"),
                add("203.0.113.10"),
                add("10.0.0.0/8"),
                add("10.0.0.0/9"),
                remove("203.0.113.9"),
                update("203.0.113.10"),
                remove("10.0.0.0/8"),
            ])
            .unwrap();
        assert_eq!((applied.added, applied.resolved), (2, false));
        assert_eq!(listed("ban4"), [("203.0.113.10".to_owned(), Some(60))]);
        assert_eq!(listed("net4"), [("10.0.0.0/9".to_owned(), Some(3_600))]);
        let applied = firewall
            .apply(&[
                remove("203.0.113.10"),
                add("203.0.113.10"),
                add("203.0.113.9"),
            ])
            .unwrap();
        assert_eq!(
            (applied.added, applied.updated, applied.resolved),
            (1, 1, false)
        );
    });
}

#[test]
fn the_rules_are_as_nft_would_write_them() {
    in_namespace("elements::the_rules_are_as_nft_would_write_them", || {
        let _firewall = firewall();
        let text = nft("list table inet posse");
        for line in [
            "type filter hook prerouting priority raw - 10; policy accept;",
            "type filter hook output priority raw - 10; policy accept;",
            "ip saddr @ban4 counter packets 0 bytes 0 drop",
            "ip daddr @net4 counter packets 0 bytes 0 drop",
            "ip6 saddr & ffff:ffff:ffff:ffff:: == @ban6_64 counter packets 0 bytes 0 drop",
            "ip6 daddr @net6 counter packets 0 bytes 0 drop",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches(" drop").count(), 15);
    });
}

#[test]
fn an_end_can_move_both_ways() {
    in_namespace("elements::an_end_can_move_both_ways", || {
        let mut firewall = firewall();
        firewall
            .apply(&[add("203.0.113.9"), add("10.0.0.0/8")])
            .unwrap();
        for seconds in [60, 86_400] {
            let timeout = Some(Duration::from_secs(seconds));
            let update = |prefix: &str| KernelChange::Update {
                prefix: p(prefix),
                timeout,
            };
            let applied = firewall
                .apply(&[update("203.0.113.9"), update("10.0.0.0/8")])
                .unwrap();
            assert_eq!((applied.updated, applied.resolved), (2, false));
            assert_eq!(listed("ban4"), [("203.0.113.9".to_owned(), Some(seconds))]);
            assert_eq!(listed("net4"), [("10.0.0.0/8".to_owned(), Some(seconds))]);
        }
    });
}

#[test]
fn changes_that_do_not_fit_are_resolved() {
    in_namespace("elements::changes_that_do_not_fit_are_resolved", || {
        let mut firewall = firewall();
        nft("add element inet posse ban4 { 203.0.113.9 timeout 5s }");
        nft("add element inet posse net4 { 10.1.0.0/16 }");
        let timeout = Some(hour());
        let applied = firewall
            .apply(&[
                add("203.0.113.9"),
                remove("203.0.113.77"),
                KernelChange::Update {
                    prefix: p("203.0.113.5"),
                    timeout,
                },
                add("10.0.0.0/8"),
                remove("11.0.0.0/8"),
            ])
            .unwrap();
        assert!(applied.resolved);
        assert_eq!(
            held(&mut firewall),
            ["10.0.0.0/8", "203.0.113.5", "203.0.113.9"]
        );
        let t = Some(3_600);
        assert_eq!(
            listed("ban4"),
            [("203.0.113.5".to_owned(), t), ("203.0.113.9".to_owned(), t)]
        );
    });
}

#[test]
fn a_ban_ends_by_itself_and_a_longer_one_inside_stays() {
    in_namespace(
        "elements::a_ban_ends_by_itself_and_a_longer_one_inside_stays",
        || {
            let mut firewall = firewall();
            let mut desired = Desired::new();
            let soon = NOW.plus(Duration::from_millis(400));
            for (prefix, until) in [
                ("10.0.0.0/8", soon),
                ("10.1.2.0/24", NOW.plus(hour())),
                ("192.0.2.1", soon),
            ] {
                let changes = desired.set(p(prefix), until, NOW).unwrap();
                firewall.apply(&changes).unwrap();
            }
            assert!(
                held(&mut firewall).len() > 10,
                "the /8 goes in as the networks around the /24"
            );
            std::thread::sleep(Duration::from_millis(600));
            assert_eq!(held(&mut firewall), ["10.1.2.0/24"]);
            let ended = desired.expire(NOW.plus(Duration::from_millis(600)));
            assert_eq!(ended.len(), 2);
            // The ended ones are still in the kernel's memory; they must not be in the way.
            let again = [add("192.0.2.1"), remove("10.1.2.0/24"), add("10.0.0.0/8")];
            firewall.apply(&again).unwrap();
            assert_eq!(held(&mut firewall), ["10.0.0.0/8", "192.0.2.1"]);
        },
    );
}

#[test]
fn a_large_set_is_loaded_in_several_batches_and_brought_in_line() {
    in_namespace(
        "elements::a_large_set_is_loaded_in_several_batches_and_brought_in_line",
        || {
            let mut firewall = firewall();
            let host = |i: u32| model::Prefix::host(std::net::Ipv4Addr::from_bits(i * 7).into());
            let mut desired = Desired::new();
            for i in 0..140_000 {
                desired.set(host(i), NOW.plus(hour()), NOW).unwrap();
            }
            desired
                .set(p("2001:db8::/64"), NOW.plus(hour()), NOW)
                .unwrap();
            let mut monitor = Monitor::open(&firewall).unwrap();
            let loaded = firewall
                .load(&mut desired.iter().map(|(p, t)| (p, Some(t.since(NOW)))))
                .unwrap();
            assert_eq!(loaded, 140_001);
            assert_eq!(
                monitor.read().unwrap(),
                Sighting::Quiet,
                "what we do ourselves is no news"
            );
            desired.remove(host(5), NOW);
            nft("delete element inet posse ban4 { 0.0.0.7 }");
            nft("add element inet posse ban6 { 2001:db8::9 }");
            let synced = firewall
                .sync(
                    &desired,
                    NOW,
                    Duration::from_secs(60),
                    enforce::LargeSets::Replace,
                )
                .unwrap();
            assert!(synced.replaced);
            assert_eq!(synced.applied.removed, 1);
            let mut wanted: Vec<_> = desired.iter().map(|(p, _)| p).collect();
            let mut found: Vec<_> = firewall
                .dump()
                .unwrap()
                .into_iter()
                .map(|(p, _)| p)
                .collect();
            wanted.sort();
            found.sort();
            assert!(
                wanted == found,
                "{} wanted, {} found",
                wanted.len(),
                found.len()
            );
        },
    );
}

#[test]
fn without_the_right_the_answer_says_so() {
    const NAME: &str = "elements::without_the_right_the_answer_says_so";
    const NOBODY: &str = "POSSE_TEST_NOBODY";
    if std::env::var_os(NOBODY).is_some() {
        let error = Firewall::open(FirewallOptions::default()).unwrap_err();
        assert!(
            matches!(error, EnforceError::NotPermitted { .. }),
            "{error}"
        );
        assert!(error.is_unavailable());
        return;
    }
    in_namespace(NAME, || {
        // The build folder may be closed to others, so the binary is started from a copy.
        let folder = std::env::temp_dir().join(format!("posse-enforce-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let copy = folder.join("it");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let output = std::process::Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--clear-groups",
                "--bounding-set=-all",
                "--inh-caps=-all",
            ])
            .arg(&copy)
            .args([NAME, "--exact"])
            .env(NOBODY, "1")
            .output();
        std::fs::remove_dir_all(&folder).unwrap();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    });
}
