//! One hub, many guards with real kernels: links are cut and the hub is killed at random while
//! bans come and go. In the end every kernel holds exactly what the hub acknowledged.
//!
//! `POSSE_CHAOS_SECONDS` (default 30) and `POSSE_CHAOS_GUARDS` (default 6) make it longer and
//! wider, `POSSE_CHAOS_SEED` repeats a run.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    hub_and_guard::{Field, IMPATIENT, fleet_bans, fleet_status},
    support::{Guard, Namespace, Site, wait_within},
};

/// Longest answer to an operator's ban, the record on disk included.
const LOCAL_BAN_MAX: Duration = Duration::from_secs(3);
/// A cut that nobody said is noticed after 20 s, a release that did not reach the kernel when it is
/// compared next: every 60 s.
const SETTLE: Duration = Duration::from_secs(120);

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

struct Post {
    net: Namespace,
    site: Site,
    _guard: Guard,
    number: u8,
    linked: bool,
}

impl Post {
    fn switch(&mut self, linked: bool) {
        self.linked = linked;
        let state = if linked { "up" } else { "down" };
        let net = self.net.name();
        let words = ["-n", net, "link", "set", "up0", state];
        assert!(Command::new("ip").args(words).status().unwrap().success());
    }

    /// An operator's ban, and how long it took.
    fn ban(&self, address: &str) -> Duration {
        let began = Instant::now();
        let socket = self.site.state().join("control.sock");
        let mut stream = UnixStream::connect(socket).unwrap();
        let order = serde_json::json!({
            "do": "ban", "prefix": address, "seconds": 3_600, "reason": "a test", "by": "a test",
        });
        writeln!(stream, "{order}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(reply["enforced"], true, "{reply}");
        began.elapsed()
    }
}

#[test]
fn no_ban_is_lost_and_none_comes_back_whatever_breaks() {
    let test = "chaos";
    let Some(mut field) = Field::new(test) else {
        return;
    };
    let seed = setting("POSSE_CHAOS_SEED", 7);
    println!("POSSE_CHAOS_SEED={seed}");
    let mut dice = Dice(seed);
    let guards = u8::try_from(setting("POSSE_CHAOS_GUARDS", 6)).unwrap();
    let mut posts: Vec<Post> = (1..=guards)
        .map(|number| post(&field, test, number))
        .collect();
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    let mut alive = true;
    let end = Instant::now() + Duration::from_secs(setting("POSSE_CHAOS_SECONDS", 30));
    let mut round = 0;
    while Instant::now() < end {
        round += 1;
        for _ in 0..=dice.below(4) {
            change(&field, &mut wanted, &mut dice);
        }
        match dice.below(12) {
            0 if alive => {
                field.hub.kill();
                alive = false;
            }
            0..=2 if !alive => {
                field.hub.go();
                alive = true;
            }
            3..=5 => {
                let which = usize::try_from(dice.below(posts.len() as u64)).unwrap();
                let linked = posts[which].linked;
                posts[which].switch(!linked);
            }
            6 => {
                let which = usize::try_from(dice.below(posts.len() as u64)).unwrap();
                let address = format!("100.128.{}.{}", posts[which].number, round % 250 + 1);
                slowest = slowest.max(posts[which].ban(&address));
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    println!(
        "{round} rounds, {} bans in force, slowest local ban {slowest:?}",
        wanted.len()
    );
    assert!(slowest < LOCAL_BAN_MAX, "a local ban waited {slowest:?}");
    if !alive {
        field.hub.go();
    }
    posts.iter_mut().for_each(|post| post.switch(true));
    let began = Instant::now();
    settle(&field, &posts, &wanted);
    println!("settled after {:?}", began.elapsed());
}

fn post(field: &Field, test: &str, number: u8) -> Post {
    let (net, site) = (field.link(test, number), Site::with_config(IMPATIENT));
    field.join(&net, &site, &format!("guard-{number}"));
    let guard = Guard::start_light(&site, &net);
    Post {
        net,
        site,
        _guard: guard,
        number,
        linked: true,
    }
}

/// A ban or a release, acknowledged by the hub.
fn change(field: &Field, wanted: &mut BTreeSet<String>, dice: &mut Dice) {
    let some = usize::try_from(dice.below(wanted.len().max(1) as u64)).unwrap();
    let released = wanted
        .iter()
        .nth(some)
        .filter(|_| dice.below(3) == 0)
        .cloned();
    if let Some(prefix) = released {
        field.hub.release(&prefix);
        wanted.remove(&prefix);
        return;
    }
    let (a, b) = (dice.below(60) + 1, dice.below(250) + 1);
    let prefix = if dice.below(10) == 0 {
        format!("101.66.{a}.0/24")
    } else {
        format!("101.67.{a}.{b}")
    };
    field.hub.ban(&[&prefix], 3_600);
    wanted.insert(prefix);
}

fn settle(field: &Field, posts: &[Post], wanted: &BTreeSet<String>) {
    let digest = || {
        let mut state = field.hub.state();
        let now = fleet::HubTime(0);
        state.set.sweep(now);
        state.set.digest().to_string()
    };
    for post in posts {
        wait_within(
            SETTLE,
            &format!("guard {} has what the hub has", post.number),
            || {
                let held: BTreeSet<String> = fleet_bans(&post.net).into_iter().collect();
                let status = fleet_status(&post.site);
                let community = &status["communities"][0];
                held == *wanted
                    && community["digest"] == digest().as_str()
                    && community["enforced"] == wanted.len()
            },
        );
    }
}
