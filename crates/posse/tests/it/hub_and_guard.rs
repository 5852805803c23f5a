//! Guards and a hub, each in a network namespace of its own, with real kernels. The hub is a test
//! hub that speaks the real protocol and lies when it is told to.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use fleet::{Body, Digest, Generation, Offer, SigningKey, SnapshotHash};
use serde_json::Value;

use crate::{
    support::{Guard, Namespace, Site, failed_login, posse, stdout, wait_until},
    test_hub::{Mood, TestHub, ban},
};

pub(crate) const HUB: &str = "198.18.0.1";
pub(crate) const PORT: u16 = 7443;
/// Guards of these tests stay away for a second at most, whatever was done to them.
pub(crate) const IMPATIENT: &str = "[fleet]\nretry_spread = \"500ms\"\nretry_max = \"1s\"\n";

/// One hub and its guards on one bridge.
pub(crate) struct Field {
    pub(crate) hub_net: Arc<Namespace>,
    pub(crate) hub: TestHub,
}

/// A namespace with a bridge for guards to be linked to, and the hub's address on it.
pub(crate) fn bridge(test: &str) -> Option<Namespace> {
    let net = Namespace::new(test)?;
    let address = format!("{HUB}/16");
    for words in [
        &["ip", "link", "add", "br0", "type", "bridge"][..],
        &["ip", "addr", "add", &address, "dev", "br0"],
        &["ip", "link", "set", "br0", "up"],
    ] {
        assert!(net.run(words).status.success(), "{words:?}");
    }
    Some(net)
}

/// A guard's namespace, linked to the bridge.
pub(crate) fn link(hub: &Namespace, test: &str, number: u8) -> Namespace {
    let net = Namespace::new(test).unwrap();
    let far = format!("g{number}");
    let (hub, guard) = (hub.name(), net.name());
    let address = format!("198.18.1.{number}/16");
    let words: Vec<Vec<&str>> = vec![
        vec![
            "link", "add", &far, "netns", hub, "type", "veth", "peer", "name", "up0", "netns",
            guard,
        ],
        vec!["-n", hub, "link", "set", &far, "master", "br0", "up"],
        vec!["-n", guard, "addr", "add", &address, "dev", "up0"],
        vec!["-n", guard, "link", "set", "up0", "up"],
    ];
    for words in words {
        let done = Command::new("ip").args(&words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {done:?}");
    }
    net
}

impl Field {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let hub_net = Arc::new(bridge(test)?);
        let place = Arc::clone(&hub_net);
        let at = format!("{HUB}:{PORT}").parse().unwrap();
        let hub = TestHub::start(at, Arc::new(move || place.enter()));
        Some(Self { hub_net, hub })
    }

    pub(crate) fn link(&self, test: &str, number: u8) -> Namespace {
        link(&self.hub_net, test, number)
    }

    pub(crate) fn join(&self, net: &Namespace, site: &Site, name: &str) {
        let output = net
            .command(crate::support::POSSE)
            .args([
                "join",
                &self.hub.url(),
                &self.hub.token(),
                "--name",
                name,
                "--state",
            ])
            .arg(site.state())
            .output()
            .unwrap();
        let text = stdout(&output);
        assert!(
            output.status.success(),
            "{text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains("of organisation acme"), "{text}");
        assert!(
            text.contains("bans that the community's members confirmed: taken"),
            "{text}"
        );
    }
}

/// What is banned in the fleet's table, by nft's word.
pub(crate) fn fleet_bans(net: &Namespace) -> Vec<String> {
    net.banned_in("posse_fleet")
}

pub(crate) fn fleet_status(site: &Site) -> Value {
    let text = stdout(&site.ask(&["status", "--json"]));
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    status["fleet"].clone()
}

fn ledger(site: &Site) -> String {
    stdout(&site.ask(&["ledger", "show", "--limit", "10000"]))
}

/// A field with one guard that has joined and is connected.
fn one_guard(test: &str, extra: &str) -> Option<(Field, Namespace, Site, Guard)> {
    let field = Field::new(test)?;
    let net = field.link(test, 1);
    let site = Site::with_config(&format!("{IMPATIENT}{extra}"));
    field.join(&net, &site, "web-1");
    let guard = Guard::start(&site, Some(&net), &[]);
    wait_until("the guard is connected", || field.hub.streams() == 1);
    Some((field, net, site, guard))
}

#[test]
fn a_ban_at_the_hub_is_in_the_guard_s_kernel_within_a_second() {
    let Some((field, net, site, mut guard)) = one_guard("a ban at the hub", "") else {
        return;
    };
    for n in 1..=5 {
        let address = format!("45.66.77.{n}");
        let began = Instant::now();
        field.hub.ban(&[&address], 3_600);
        wait_until("it is in the kernel", || {
            fleet_bans(&net).contains(&address)
        });
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
    assert!(net.banned().is_empty(), "the local table is not touched");
    let explained = stdout(&site.ask(&["explain", "45.66.77.3"]));
    assert!(
        explained.contains("banned as 45.66.77.3 by hub"),
        "{explained}"
    );
    assert!(
        explained.contains("in this machine's kernel"),
        "{explained}"
    );
    field.hub.release("45.66.77.3");
    wait_until("it is released", || fleet_bans(&net).len() == 4);
    let record = ledger(&site);
    assert!(record.contains("change_applied"), "{record}");
    assert!(guard.stop().success());
    assert_eq!(fleet_bans(&net).len(), 4, "bans outlive the guard");
}

#[test]
fn without_the_hub_bans_stay_and_local_ones_go_on() {
    let Some((mut field, net, site, mut guard)) = one_guard("the hub dies", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.1", "45.66.78.0/24"], 3_600);
    wait_until("both are there", || fleet_bans(&net).len() == 2);
    field.hub.kill();
    assert!(site.ask(&["ban", "203.0.113.9"]).status.success());
    let text: String = (0..6)
        .map(|n| failed_login("198.51.100.20", 40_000 + n))
        .collect();
    site.append(&text);
    wait_until("local bans are made", || {
        net.banned() == ["198.51.100.20", "203.0.113.9"]
    });
    assert_eq!(fleet_bans(&net).len(), 2);
    wait_until("its reports are kept for the hub", || {
        fleet_status(&site)["communities"][0]["reports_waiting"] == 2
    });
    // Everything that it knew is there after kill -9, without the hub.
    guard.kill();
    net.run(&["nft", "delete", "table", "inet", "posse_fleet"]);
    let _guard = Guard::start(&site, Some(&net), &[]);
    wait_until("the kept copy is in the kernel", || {
        fleet_bans(&net).len() == 2
    });
    // The hub goes on meanwhile.
    field.hub.ban(&["45.66.79.1"], 3_600);
    field.hub.release("45.66.77.1");
    field.hub.go();
    wait_until("the guard caught up", || {
        fleet_bans(&net) == ["45.66.78.0/24", "45.66.79.1"]
    });
    wait_until("its own bans were told", || {
        let state = field.hub.state();
        let told = state.reports.iter().flat_map(|report| &report.ops);
        let told: Vec<_> = told.map(|op| op.prefix().to_string()).collect();
        ["198.51.100.20", "203.0.113.9"]
            .iter()
            .all(|p| told.iter().any(|t| t == p))
    });
}

#[test]
fn nothing_harmful_reaches_the_kernel_and_each_refusal_is_on_record() {
    let extra = "[never_ban]\nallow = [\"192.0.2.0/24\"]\n";
    let Some((field, net, site, _guard)) = one_guard("harmful bans", extra) else {
        return;
    };
    let harmful = [
        ("0.0.0.0/0", "wider than"),
        ("128.0.0.0/1", "wider than"),
        ("::/0", "wider than"),
        ("45.0.0.0/8", "wider than"),
        ("8.8.8.8/32", "allowlist"),
        ("198.18.0.1/32", "allowlist"),
        ("198.18.0.0/24", "allowlist"),
        ("198.18.1.1/32", "an address of this machine"),
        ("192.0.2.7/32", "allowlist"),
        ("127.0.0.1/32", "loopback"),
        ("10.1.2.3/32", "private"),
        ("224.0.0.1/32", "no one machine"),
    ];
    for (prefix, _) in harmful {
        field.hub.ban(&[prefix], 3_600);
    }
    field.hub.ban(&["45.66.77.88"], 3_600);
    wait_until("the harmless one is there", || !fleet_bans(&net).is_empty());
    assert_eq!(fleet_bans(&net), ["45.66.77.88"]);
    for (prefix, why) in harmful {
        wait_until(&format!("{prefix} is on record: {why}"), || {
            let plain = prefix.trim_end_matches("/32");
            let record = ledger(&site);
            record.lines().any(|line| {
                line.contains("request_refused") && line.contains(why) && line.contains(plain)
            })
        });
    }
    wait_until("the numbers say so", || {
        fleet_status(&site)["communities"][0]["enforced"] == 1
    });
}

#[test]
fn a_hundred_thousand_bans_at_once_are_held_back() {
    let Some((field, net, site, _guard)) = one_guard("a flood", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.88"], 3_600);
    wait_until("the first is there", || fleet_bans(&net).len() == 1);
    let all = (0..100_000u32).map(|n| {
        let address = std::net::Ipv4Addr::from_bits(0x5000_0000 + n * 17);
        ban(model_prefix(&address.to_string()), 3_600)
    });
    field.hub.issue(all.collect());
    wait_until("the flood is held", || {
        let status = fleet_status(&site);
        status["communities"][0]["held"].as_u64().unwrap_or(0) >= 70_000
    });
    let status = fleet_status(&site);
    assert!(
        status["communities"][0]["enforced"].as_u64().unwrap() <= 30_000,
        "{status}"
    );
    let began = Instant::now();
    assert!(site.ask(&["ban", "203.0.113.9"]).status.success());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    wait_until("the operator is told", || {
        ledger(&site).contains("fleet_flood")
    });
}

#[test]
fn a_lying_hub_changes_nothing() {
    let Some((field, net, site, _guard)) = one_guard("a lying hub", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.1"], 3_600);
    wait_until("it is there", || fleet_bans(&net).len() == 1);
    let generation = field.hub.generation();
    // A statement that nobody on the roster signed.
    let stranger = SigningKey::from_seed(&[99; 32]).unwrap();
    let forged = fleet::Statement {
        community: crate::test_hub::COMMUNITY.parse().unwrap(),
        key: stranger.id(),
        sequence: 1,
        at: field.hub.now(),
        ops: vec![ban(model_prefix("45.66.77.66"), 3_600)],
    };
    let forged = fleet::Accepted {
        at: field.hub.now(),
        signed: fleet::SignedStatement::sign(forged, &stranger).unwrap(),
    };
    let change = |from, to, statements| {
        let roster = Vec::new();
        field
            .hub
            .frame(from, to, Body::Change { roster, statements })
    };
    field
        .hub
        .say(change(generation, generation + 1, vec![forged]));
    wait_until("the forgery is on record", || {
        ledger(&site).contains("not on the roster")
    });
    let lies = [
        // A gap, a leap without statements, nonsense.
        change(generation + 50, generation + 51, Vec::new()),
        change(generation, generation + 1_000_000, Vec::new()),
        bytes::Bytes::from_static(&[0, 0, 0, 3, 1, 2, 3]),
        // Another set than was told, and a snapshot that nobody can have.
        field.hub.frame(
            generation,
            generation,
            Body::Digest {
                swept_to: 0,
                digest: Digest(7),
                roster: 0,
            },
        ),
        field.hub.frame(
            generation,
            generation,
            Body::Offer(Offer {
                hash: SnapshotHash([3; 32]),
                generation: Generation(generation + 5),
                bytes: u64::MAX,
            }),
        ),
    ];
    for lie in lies {
        wait_until("the guard listens", || field.hub.streams() > 0);
        field.hub.say(lie);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(fleet_bans(&net), ["45.66.77.1"]);
    }
    // Whatever it said, the truth still comes through.
    wait_until("the guard is back", || field.hub.streams() > 0);
    field.hub.ban(&["45.66.77.2"], 3_600);
    wait_until("the truth arrives", || {
        fleet_bans(&net) == ["45.66.77.1", "45.66.77.2"]
    });
    assert!(site.ask(&["ledger", "verify"]).status.success());
}

#[test]
fn a_replaying_hub_brings_no_ban_back() {
    let Some((field, net, site, _guard)) = one_guard("a replaying hub", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.1"], 3_600);
    field.hub.ban(&["45.66.77.2"], 3_600);
    wait_until("both are there", || fleet_bans(&net).len() == 2);
    field.hub.release("45.66.77.1");
    wait_until("one is released", || fleet_bans(&net) == ["45.66.77.2"]);
    let old = field.hub.state().frames.clone();
    for frame in old {
        if field.hub.streams() > 0 {
            field.hub.say(frame);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // The statement that was signed, at a generation that is new.
    let generation = field.hub.generation();
    let replayed = field.hub.state().frames.iter().find_map(|bytes| {
        let frame = fleet::Frame::decode(bytes.get(4..)?).ok()?;
        match frame.body {
            Body::Change { statements, .. } if !statements.is_empty() => Some(statements),
            _ => None,
        }
    });
    let signed = replayed.unwrap().remove(0).signed;
    // All that the hub says by itself fits: generation, time, and when it took the statement.
    wait_until("the replay is on record", || {
        if field.hub.streams() > 0 {
            let at = field.hub.now();
            let signed = signed.clone();
            let body = Body::Change {
                roster: Vec::new(),
                statements: vec![fleet::Accepted { at, signed }],
            };
            field
                .hub
                .say(field.hub.frame(generation, generation + 1, body));
        }
        std::thread::sleep(Duration::from_millis(300));
        ledger(&site).contains("was used before")
    });
    assert_eq!(fleet_bans(&net), ["45.66.77.2"]);
}

#[test]
fn a_revoked_certificate_is_told_and_bans_stay() {
    let Some((field, net, site, mut guard)) = one_guard("revoked", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.1"], 3_600);
    wait_until("it is there", || fleet_bans(&net).len() == 1);
    guard.kill();
    field.hub.state().mood = Mood::Expel;
    let guard = Guard::start(&site, Some(&net), &[]);
    wait_until("it is said what to do", || {
        guard.said().contains("join again with a new token")
    });
    assert_eq!(fleet_bans(&net), ["45.66.77.1"]);
    assert!(site.ask(&["ban", "203.0.113.9"]).status.success());
    assert_eq!(net.banned(), ["203.0.113.9"]);
}

#[test]
fn what_others_change_in_the_fleet_s_table_is_put_right() {
    let Some((field, net, _site, _guard)) = one_guard("the fleet's table", "") else {
        return;
    };
    field.hub.ban(&["45.66.77.1", "45.66.77.2"], 3_600);
    wait_until("both are there", || fleet_bans(&net).len() == 2);
    let element = "{ 45.66.77.1 }";
    net.run(&[
        "nft",
        "delete",
        "element",
        "inet",
        "posse_fleet",
        "ban4",
        element,
    ]);
    wait_until("it is back", || fleet_bans(&net).len() == 2);
    net.run(&[
        "nft",
        "add",
        "element",
        "inet",
        "posse_fleet",
        "ban4",
        "{ 45.66.77.9 }",
    ]);
    wait_until("the stranger is gone", || {
        fleet_bans(&net) == ["45.66.77.1", "45.66.77.2"]
    });
    net.run(&["nft", "delete", "table", "inet", "posse_fleet"]);
    wait_until("the table is back", || fleet_bans(&net).len() == 2);
}

#[test]
fn a_token_for_another_hub_and_a_second_join_are_refused() {
    let test = "wrong tokens";
    let Some(field) = Field::new(test) else {
        return;
    };
    let (net, site) = (field.link(test, 1), Site::new());
    let join = |token: &str, more: &[&str]| {
        let state = site.state();
        let output = net
            .command(crate::support::POSSE)
            .args([
                "join",
                &field.hub.url(),
                token,
                "--name",
                "web-1",
                "--state",
            ])
            .arg(state)
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text)
    };
    let token = field.hub.token();
    let (done, said) = join(&format!("pj1.AAAA{}", &token[8..]), &[]);
    assert!(
        !done && field.hub.state().joined.is_empty(),
        "the token was sent: {said}"
    );
    assert!(join("pj1.short", &[]).1.contains("not a whole token"));
    assert!(join(&token, &[]).0);
    let (done, said) = join(&token, &[]);
    assert!(!done && said.contains("--replace"), "{said}");
    assert!(join(&token, &["--replace"]).0);
    let unknown = posse(&["explain", "192.0.2.1", "--state", "/nonexistent"]);
    assert!(stdout(&unknown).contains("nothing is known"), "{unknown:?}");
}

fn model_prefix(text: &str) -> model::Prefix {
    text.parse().unwrap()
}
