//! A new guard takes a set of a million bans: bytes on the wire, seconds from the first byte to the
//! last element in the kernel, peak memory of the guard.
//!
//! Run as root: `fleet_snapshot [BANS] [POSSE]`. With the path of a `posse` program the guard is
//! `posse run`; without, the uplink alone in a process of its own. The hub is the tests' hub. It
//! re-runs itself in a network namespace. Figures go to standard output as JSON.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a measurement ends by panicking; the tests' hub can do more than is needed here"
)]

#[path = "../tests/support/hub.rs"]
mod hub;

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use decide::NeverBanConfig;
use fleet::Op;
use hub::TestHub;
use model::{Entry, HostFacts, Prefix};
use uplink::{
    Existing, FleetConfig, Inputs, JoinOptions, Membership, Outlet, Uplink, Vitals, join,
};

const INSIDE: &str = "FLEET_SNAPSHOT_INSIDE";
const GUARD: &str = "FLEET_SNAPSHOT_GUARD";
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    if let Some(state) = env::var_os(GUARD) {
        return guard(Path::new(&state));
    }
    if env::var_os(INSIDE).is_none() {
        let done = Command::new("unshare")
            .args(["--net", "--mount"])
            .arg(env::current_exe().unwrap())
            .args(env::args_os().skip(1))
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(done.success(), "the measurement failed; is this root?");
        return;
    }
    let count: u32 = env::args().nth(1).map_or(1_000_000, |n| n.parse().unwrap());
    for words in [
        ["link", "set", "lo", "up"],
        ["addr", "add", "198.18.0.1/32", "dev"],
    ] {
        let mut command = Command::new("ip");
        command.args(words);
        if words[0] == "addr" {
            command.arg("lo");
        }
        assert!(command.status().unwrap().success());
    }
    measure(count);
}

fn measure(count: u32) {
    let hub = TestHub::start("198.18.0.1:7443".parse().unwrap(), Arc::new(|| {}));
    hub.issue((0..count).map(some_ban).collect());
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    join(&JoinOptions {
        state: &state,
        hub: &hub.url().parse().unwrap(),
        token: &hub.token(),
        name: "bench",
        version: "0",
        membership: Existing::Keep,
    })
    .unwrap();
    hub.inner.sent.store(0, Ordering::Relaxed);
    let mut child = start_guard(&state, dir.path());
    wait("the first byte", || {
        hub.inner.sent.load(Ordering::Relaxed) > 1_000_000
    });
    let began = Instant::now();
    wait("the last element", || is_saved(&state));
    let took = began.elapsed();
    let left = elements();
    assert!(
        left + 5_000 >= u64::from(count),
        "only {left} of {count} are in the kernel"
    );
    println!(
        "{{\"bans\":{count},\"wire_bytes\":{},\"seconds\":{:.2},\"peak_rss_mib\":{:.1}}}",
        hub.inner.sent.load(Ordering::Relaxed),
        took.as_secs_f64(),
        peak_rss_kib(child.id()) as f64 / 1_024.0,
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Addresses at random, ends at random to the minute within a week.
fn some_ban(n: u32) -> Op {
    let mut bits = n.wrapping_mul(2_654_435_761);
    // Not where a never-ban guard says no.
    if matches!(
        bits >> 24,
        0 | 10 | 100 | 127 | 169 | 172 | 192 | 198 | 224..
    ) {
        bits = (bits & 0x00ff_ffff) | ((64 + bits % 30) << 24);
    }
    let minutes = 60 + n.wrapping_mul(40_503) % 10_000;
    hub::ban(
        Prefix::host(std::net::Ipv4Addr::from_bits(bits).into()),
        minutes * 60,
    )
}

fn start_guard(state: &Path, dir: &Path) -> Child {
    let said = fs::File::create(dir.join("guard.log")).unwrap();
    match env::args().nth(2) {
        Some(posse) => {
            let log = dir.join("auth.log");
            fs::write(&log, "").unwrap();
            let config = dir.join("posse.toml");
            let text = format!("[[source]]\nfile = {log:?}\ntype = \"syslog\"\n");
            fs::write(&config, text).unwrap();
            let mut command = Command::new(posse);
            command
                .arg("run")
                .arg("--config")
                .arg(config)
                .arg("--state")
                .arg(state);
            command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
        }
        None => Command::new(env::current_exe().unwrap())
            .env(GUARD, state)
            .stderr(said)
            .spawn()
            .unwrap(),
    }
}

/// In the kernel, by nft's word (which takes it a minute for a million).
fn elements() -> u64 {
    let listing = Command::new("nft")
        .args(["list", "set", "inet", "posse_fleet", "ban4"])
        .output();
    let listing = listing.map(|o| o.stdout).unwrap_or_default();
    String::from_utf8_lossy(&listing).matches("expires").count() as u64
}

/// Whether all is in the kernel: the copy is written whole right after the last element is in.
fn is_saved(state: &Path) -> bool {
    state.join("fleet/main.set").exists()
}

struct Silent;

impl Outlet for Silent {
    fn record(&self, _entries: Vec<Entry>) {}

    fn notice(&self, code: &str, text: String) {
        eprintln!("{code}: {text}");
    }
}

fn guard(state: &Path) {
    let facts = Arc::new(HostFacts::default());
    let uplink = Uplink::start(Inputs {
        state: state.to_owned(),
        membership: Membership::load(state).unwrap().unwrap(),
        config: FleetConfig::default(),
        never_ban: NeverBanConfig::default(),
        observe: false,
        version: "0".into(),
        facts: Box::new(move || Arc::clone(&facts)),
        vitals: Box::new(Vitals::default),
        outlet: Box::new(Silent),
    })
    .unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let status = uplink.status();
        eprintln!(
            "{:?}",
            status.communities.first().map(|c| (c.enforced, c.bans))
        );
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn peak_rss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    number.unwrap_or(0)
}
