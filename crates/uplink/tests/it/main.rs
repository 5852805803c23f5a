//! The uplink against the tests' hub and a real kernel, each test in a network namespace of its
//! own. The whole program's tests are in `crates/posse/tests/it`.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test ends by panicking; other tests use the rest of the hub"
)]

#[path = "../support/hub.rs"]
mod hub;

use std::{
    env, io,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use decide::NeverBanConfig;
use enforce::{Firewall, FirewallOptions};
use hub::TestHub;
use model::{Entry, FleetAct, HostFacts, Prefix, Timestamp};
use uplink::{
    Existing, FleetConfig, Inputs, JoinOptions, Membership, Outlet, OwnAct, SharedKind, Uplink,
    Vitals, join,
};

const INSIDE: &str = "POSSE_TEST_NETNS";
const HUB: &str = "198.18.0.1:7443";

/// Runs `body` in a fresh network namespace; `test` is the full name of the calling test.
fn in_namespace(test: &str, body: fn()) {
    if env::var(INSIDE).as_deref() == Ok(test) {
        for words in ["link set lo up", "addr add 198.18.0.1/32 dev lo"] {
            let done = Command::new("ip").args(words.split(' ')).status();
            assert!(done.unwrap().success(), "{words}");
        }
        return body();
    }
    let usable = Command::new("unshare")
        .args(["--net", "nft", "list", "ruleset"])
        .output();
    if !usable.is_ok_and(|o| o.status.success()) {
        let note = format!("SKIPPED: {test}: needs root, unshare, ip, nft and nf_tables\n");
        let _ = io::Write::write_all(&mut io::stderr().lock(), note.as_bytes());
        return;
    }
    let output = Command::new("timeout")
        .args(["120", "unshare", "--net"])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{errors}"
    );
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<Entry>, Vec<String>)>>);

impl Outlet for Heard {
    fn record(&self, entries: Vec<Entry>) {
        self.0.lock().unwrap().0.extend(entries);
    }

    fn notice(&self, code: &str, text: String) {
        self.0.lock().unwrap().1.push(format!("{code}: {text}"));
    }
}

impl Heard {
    fn refusals(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let said = heard.0.iter().filter_map(|entry| match entry {
            Entry::Fleet(FleetAct::RequestRefused {
                reason, prefixes, ..
            }) => {
                let named: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
                Some(format!("{named:?} {reason}"))
            }
            _ => None,
        });
        said.collect()
    }

    fn notices(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
}

fn join_hub(hub: &TestHub, state: &Path) {
    std::fs::create_dir_all(state).unwrap();
    let membership = join(&JoinOptions {
        state,
        hub: &hub.url().parse().unwrap(),
        token: &hub.token(),
        name: "web-1",
        version: "0",
        membership: Existing::Keep,
    })
    .unwrap();
    assert!(
        membership
            .introduce()
            .contains("web-1 of organisation acme")
    );
}

fn start(state: &Path, heard: &Heard) -> Uplink {
    let facts = Arc::new(HostFacts {
        own_addresses: vec!["203.0.113.5".parse().unwrap()],
        ..HostFacts::default()
    });
    Uplink::start(Inputs {
        state: state.to_owned(),
        membership: Membership::load(state).unwrap().unwrap(),
        config: FleetConfig {
            retry_spread: Duration::from_millis(200),
            ..FleetConfig::default()
        },
        never_ban: NeverBanConfig::default(),
        observe: false,
        version: "0".into(),
        facts: Box::new(move || Arc::clone(&facts)),
        vitals: Box::new(Vitals::default),
        outlet: Box::new(heard.clone()),
    })
    .unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(45);
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// By the kernel's word.
fn banned() -> Vec<String> {
    let listing = Command::new("nft")
        .args(["list", "table", "inet", "posse_fleet"])
        .output();
    if !listing.is_ok_and(|o| o.status.success()) {
        return Vec::new();
    }
    let options = FirewallOptions {
        table: "posse_fleet".into(),
        ..FirewallOptions::default()
    };
    let held = Firewall::open(options).unwrap().dump().unwrap();
    let mut held: Vec<String> = held.iter().map(|(prefix, _)| prefix.to_string()).collect();
    held.sort();
    held
}

fn bench() -> (TestHub, tempfile::TempDir, Heard, Uplink) {
    let hub = TestHub::start(HUB.parse().unwrap(), Arc::new(|| {}));
    let dir = tempfile::tempdir().unwrap();
    join_hub(&hub, dir.path());
    let heard = Heard::default();
    let uplink = start(dir.path(), &heard);
    wait_until("it is connected", || hub.streams() == 1);
    (hub, dir, heard, uplink)
}

fn own_ban(prefix: &str) -> OwnAct {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    OwnAct::Ban {
        prefix: prefix.parse().unwrap(),
        until: Timestamp::from_seconds(i64::try_from(now.as_secs()).unwrap() + 3_600),
        kind: "ssh-bruteforce".into(),
        reason: "a test".into(),
        provenance: [1; 16],
    }
}

fn told(hub: &TestHub) -> Vec<Prefix> {
    let state = hub.state();
    let ops = state.reports.iter().flat_map(|report| &report.ops);
    ops.map(fleet::Op::prefix).collect()
}

#[test]
fn bans_come_stay_and_are_caught_up() {
    in_namespace("bans_come_stay_and_are_caught_up", || {
        let (mut hub, dir, heard, uplink) = bench();
        for n in 1..=3 {
            let began = Instant::now();
            hub.ban(&[&format!("45.66.77.{n}")], 3_600);
            wait_until("it is in the kernel", || banned().len() == n);
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?}",
                began.elapsed()
            );
        }
        hub.release("45.66.77.2");
        wait_until("one is released", || {
            banned() == ["45.66.77.1", "45.66.77.3"]
        });
        hub.kill();
        std::thread::sleep(Duration::from_millis(300));
        uplink.offer(own_ban("203.0.113.77"), SharedKind::Operator);
        assert_eq!(banned().len(), 2);
        uplink.stop();
        let heard_later = Heard::default();
        Command::new("nft")
            .args(["delete", "table", "inet", "posse_fleet"])
            .status()
            .unwrap();
        let uplink = start(dir.path(), &heard_later);
        wait_until("the kept copy is in the kernel", || banned().len() == 2);
        hub.ban(&["45.66.78.0/24"], 3_600);
        hub.go();
        wait_until("it caught up", || {
            banned() == ["45.66.77.1", "45.66.77.3", "45.66.78.0/24"]
        });
        wait_until("the report came", || {
            told(&hub) == ["203.0.113.77".parse().unwrap()]
        });
        wait_until("it is acknowledged", || {
            let status = uplink.status();
            status
                .communities
                .first()
                .is_some_and(|c| c.reports_waiting == 0)
        });
        let explained = uplink.explain("45.66.78.9".parse().unwrap());
        assert_eq!(explained.len(), 1);
        assert_eq!(explained[0]["enforced"], true, "{explained:?}");
        assert!(heard.refusals().is_empty(), "{:?}", heard.refusals());
    });
}

#[test]
fn harmful_bans_and_lies_change_nothing() {
    in_namespace("harmful_bans_and_lies_change_nothing", || {
        let (hub, _dir, heard, _uplink) = bench();
        hub.ban(&["45.66.77.1"], 3_600);
        wait_until("it is there", || banned() == ["45.66.77.1"]);
        for (prefix, why) in [
            ("0.0.0.0/0", "wider"),
            ("8.8.8.8/32", "allowlist"),
            ("198.18.0.1/32", "allowlist"),
            ("203.0.113.5/32", "an address of this machine"),
            ("10.0.0.1/32", "private"),
        ] {
            hub.ban(&[prefix], 3_600);
            wait_until(&format!("{prefix} is refused"), || {
                let mut all = heard.refusals().into_iter();
                all.any(|text| {
                    text.contains(why)
                        && text.contains(&format!("{:?}", prefix.trim_end_matches("/32")))
                })
            });
        }
        let generation = hub.generation();
        let leaping = |from: u64| {
            let (roster, statements) = (Vec::new(), Vec::new());
            let body = fleet::Body::Change { roster, statements };
            hub.frame(from, from + 2, body)
        };
        let (ahead, leap) = (|| leaping(generation + 7), || leaping(generation));
        let garbage = || bytes::Bytes::from_static(&[0, 0, 0, 2, 1, 2]);
        let lies: [(&dyn Fn() -> bytes::Bytes, &str); 3] = [
            (&ahead, "leads on from generation"),
            (&leap, "leaps from generation"),
            (&garbage, "frame at byte"),
        ];
        for (lie, why) in lies {
            // Each ends the stream that it came by, so it is told until a stream carries it.
            wait_until(&format!("\"{why}\" is refused"), || {
                hub.say(lie());
                heard.refusals().iter().any(|text| text.contains(why))
            });
            assert_eq!(banned(), ["45.66.77.1"]);
        }
        let notices = heard.notices();
        assert!(
            notices.iter().any(|text| text.contains("fleet_hub_lies")),
            "{notices:?}"
        );
        hub.ban(&["45.66.77.2"], 3_600);
        wait_until("the truth arrives", || {
            banned() == ["45.66.77.1", "45.66.77.2"]
        });
    });
}

#[test]
fn a_late_guard_takes_the_snapshot() {
    in_namespace("a_late_guard_takes_the_snapshot", || {
        let hub = TestHub::start(HUB.parse().unwrap(), Arc::new(|| {}));
        let all = (0..150_000u32).map(|n| {
            let address = std::net::Ipv4Addr::from_bits(0x5000_0000 + n * 17);
            hub::ban(Prefix::host(address.into()), 3_600)
        });
        hub.issue(all.collect());
        let dir = tempfile::tempdir().unwrap();
        join_hub(&hub, dir.path());
        let heard = Heard::default();
        let uplink = start(dir.path(), &heard);
        wait_until("all are enforced", || {
            let status = uplink.status();
            status
                .communities
                .first()
                .is_some_and(|c| c.enforced == 150_000)
        });
        uplink.stop();
        let again = start(dir.path(), &heard);
        wait_until("all are there again", || {
            let status = again.status();
            status
                .communities
                .first()
                .is_some_and(|c| c.enforced == 150_000)
        });
        assert_eq!(heard.notices(), Vec::<String>::new());
    });
}
