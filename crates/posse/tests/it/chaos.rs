//! One hub, many guards with real kernels: links are cut and the hub is killed at random while
//! bans come and go. In the end every kernel holds exactly what the hub acknowledged.
//!
//! `POSSE_CHAOS_SECONDS` (default 25) and `POSSE_CHAOS_GUARDS` (default 5) make it longer and
//! wider, `POSSE_CHAOS_SEED` repeats a run, `POSSE_CHAOS_PROGRAM` names another `posse` than the
//! one of these tests. `bench/fleet/chaos.sh` runs it long and wide.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    hub_and_guard::{HUB, IMPATIENT, PORT, bridge, fleet_bans, fleet_status, link},
    support::{Guard, Namespace, POSSE, Site, stdout, wait_within},
};

/// Longest answer to an operator's ban, the record on disk included.
const LOCAL_BAN_MAX: Duration = Duration::from_secs(3);
/// A cut that nobody said is noticed after 20 s.
const SETTLE: Duration = Duration::from_secs(45);
/// Between two things that the hub is told.
const STREAM_PAUSE: Duration = Duration::from_millis(50);
const ROUND: Duration = Duration::from_millis(40);
/// One in so many rounds kills the hub.
const ROUNDS_PER_KILL: u64 = 120;

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

    fn one_of(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n.max(1) as u64)).unwrap()
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn program() -> PathBuf {
    env::var_os("POSSE_CHAOS_PROGRAM").map_or_else(|| POSSE.into(), PathBuf::from)
}

/// What a control socket answers; `None` when nobody answers.
fn ask(socket: &Path, order: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    writeln!(stream, "{order}").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The real hub, which is killed and started again.
pub(crate) struct Hub {
    pub(crate) net: Namespace,
    pub(crate) state: PathBuf,
    child: Option<Child>,
    kills: u32,
}

impl Hub {
    pub(crate) const fn new(net: Namespace, state: PathBuf) -> Self {
        Self {
            net,
            state,
            child: None,
            kills: 0,
        }
    }

    pub(crate) fn go(&mut self) {
        let mut child = self
            .net
            .command(program())
            .args(["hub", "--listen", &format!("{HUB}:{PORT}"), "--state"])
            .arg(&self.state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listens = lines
            .map_while(Result::ok)
            .any(|l| l.contains("listens on"));
        assert!(listens, "the hub does not start");
        self.child = Some(child);
    }

    /// Not waited for: whoever starts next finds what the dying one still holds.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            self.kills += 1;
            thread::spawn(move || child.wait());
        }
    }

    fn socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }

    fn community(&self) -> Value {
        let told = ask(&self.socket(), &json!({"do": "status"})).unwrap_or_default();
        told["status"]["hub"]["communities"][0].clone()
    }

    pub(crate) fn join(&self, net: &Namespace, site: &Site, name: &str) {
        let invited = Command::new(program())
            .args([
                "hub", "invite", "--org", "acme", "--role", "guard", "--state",
            ])
            .arg(&self.state)
            .output()
            .unwrap();
        let token = stdout(&invited)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        let joined = net
            .command(program())
            .args(["join", &format!("https://{HUB}:{PORT}"), token.trim()])
            .args(["--name", name, "--state"])
            .arg(site.state())
            .output()
            .unwrap();
        assert!(joined.status.success(), "{joined:?}");
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

struct Post {
    net: Namespace,
    site: Site,
    _guard: Guard,
    number: u8,
    linked: bool,
    /// Whether each ban was there when last looked at.
    seen: BTreeMap<String, bool>,
}

impl Post {
    fn new(hub: &Hub, test: &str, number: u8) -> Self {
        let (net, site) = (link(&hub.net, test, number), Site::with_config(IMPATIENT));
        hub.join(&net, &site, &format!("guard-{number}"));
        let guard = Guard::start_light_by(net.command(program()), &site);
        Self {
            net,
            site,
            _guard: guard,
            number,
            linked: true,
            seen: BTreeMap::new(),
        }
    }

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
        let order = json!({
            "do": "ban", "prefix": address, "seconds": 3_600, "reason": "a test", "by": "a test",
        });
        let reply = ask(&self.site.state().join("control.sock"), &order).unwrap();
        assert_eq!(reply["enforced"], true, "{reply}");
        began.elapsed()
    }

    /// Of bans that are made only once: what went may never be there again.
    fn look(&mut self) {
        let held: BTreeSet<String> = fleet_bans(&self.net).into_iter().collect();
        for (ban, there) in &mut self.seen {
            let is_there = held.contains(ban);
            assert!(
                *there || !is_there,
                "{ban} came back at guard {}",
                self.number
            );
            *there = is_there;
        }
        let once = held.into_iter().filter(|ban| ban.starts_with("102."));
        self.seen.extend(once.map(|ban| (ban, true)));
    }
}

/// Tells the hub of bans and releases, one after another, until each is acknowledged.
struct Teller {
    socket: PathBuf,
    dice: Dice,
    acknowledged: BTreeSet<String>,
    made: u32,
    changes: u64,
    repeated: u64,
}

impl Teller {
    fn run(mut self, stop: &AtomicBool) -> Self {
        while !stop.load(Relaxed) {
            self.change();
            thread::sleep(STREAM_PAUSE);
        }
        self
    }

    fn change(&mut self) {
        let place = self.dice.one_of(self.acknowledged.len());
        let some = self.acknowledged.iter().nth(place).cloned();
        let released = some.filter(|_| self.dice.below(3) == 0);
        let order = match &released {
            Some(prefix) => json!({"do": "unban", "prefix": prefix, "by": "a test"}),
            None => json!({
                "do": "ban", "prefix": self.fresh(), "seconds": 7_200, "reason": "a test",
                "by": "a test",
            }),
        };
        // Whoever got no answer does not know, and asks again; the answer holds.
        loop {
            match ask(&self.socket, &order) {
                Some(reply) if reply["error"].is_null() => break,
                Some(reply) => panic!("{order}: {reply}"),
                None => self.repeated += 1,
            }
            thread::sleep(STREAM_PAUSE);
        }
        self.changes += 1;
        match released {
            Some(prefix) => self.acknowledged.remove(&prefix),
            None => {
                let prefix = order["prefix"].as_str().unwrap();
                self.acknowledged.insert(prefix.to_owned())
            }
        };
    }

    /// Some addresses are banned once only, some again and again, and networks.
    fn fresh(&mut self) -> String {
        let (a, b) = (self.dice.below(10) + 1, self.dice.below(20) + 1);
        match self.dice.below(10) {
            0 => format!("101.66.{a}.0/24"),
            1..=4 => format!("101.67.{a}.{b}"),
            _ => {
                self.made += 1;
                std::net::Ipv4Addr::from_bits(0x6600_0001 + self.made).to_string()
            }
        }
    }
}

/// What happened, for the report.
#[derive(Default)]
struct Events {
    rounds: u64,
    cuts: u64,
    local: Vec<Duration>,
}

#[test]
fn no_ban_is_lost_and_none_comes_back_whatever_breaks() {
    let test = "chaos";
    let Some(net) = bridge(test) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(net, folder.path().join("hub"));
    hub.go();
    let seed = setting("POSSE_CHAOS_SEED", 7);
    println!("POSSE_CHAOS_SEED={seed}");
    let guards = u8::try_from(setting("POSSE_CHAOS_GUARDS", 5)).unwrap();
    let mut posts: Vec<Post> = (1..=guards)
        .map(|number| Post::new(&hub, test, number))
        .collect();
    let teller = Teller {
        socket: hub.socket(),
        dice: Dice(!seed),
        acknowledged: BTreeSet::new(),
        made: 0,
        changes: 0,
        repeated: 0,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let telling = thread::spawn(move || teller.run(&stopped));
    let events = break_things(&mut hub, &mut posts, &mut Dice(seed));
    if hub.child.is_none() {
        hub.go();
    }
    posts.iter_mut().for_each(|post| post.switch(true));
    stop.store(true, Relaxed);
    let told = telling.join().unwrap();
    let began = Instant::now();
    settle(&hub, &mut posts, &told.acknowledged);
    report(&hub, &events, &told, began.elapsed());
}

fn break_things(hub: &mut Hub, posts: &mut [Post], dice: &mut Dice) -> Events {
    let seconds = setting("POSSE_CHAOS_SECONDS", 25);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut events = Events::default();
    while Instant::now() < end {
        events.rounds += 1;
        let which = dice.one_of(posts.len());
        match dice.below(ROUNDS_PER_KILL) {
            0 => hub.kill(),
            1..=30 => {
                let linked = posts[which].linked;
                posts[which].switch(!linked);
                events.cuts += u64::from(linked);
            }
            31..=60 => {
                let (number, last) = (posts[which].number, events.rounds % 250 + 1);
                let address = format!("103.{}.{number}.{last}", events.rounds / 250 % 250);
                let took = posts[which].ban(&address);
                assert!(took < LOCAL_BAN_MAX, "a local ban waited {took:?}");
                events.local.push(took);
            }
            61..=63 => posts[which].look(),
            64..=90 if hub.child.is_none() => hub.go(),
            _ => {}
        }
        thread::sleep(ROUND);
    }
    events
}

fn settle(hub: &Hub, posts: &mut [Post], wanted: &BTreeSet<String>) {
    for post in posts {
        let what = format!("guard {} has what the hub has", post.number);
        wait_within(SETTLE, &what, || {
            let community = &fleet_status(&post.site)["communities"][0];
            community["digest"] == hub.community()["digest"]
                && community["enforced"] == wanted.len()
                && community["in_step"] == true
        });
        // A guard that says so must not wait for a comparison to find out otherwise.
        let held: BTreeSet<String> = fleet_bans(&post.net).into_iter().collect();
        assert_eq!(held, *wanted, "in the kernel of guard {}", post.number);
        post.look();
    }
}

fn report(hub: &Hub, events: &Events, told: &Teller, settled: Duration) {
    let mut local = events.local.clone();
    local.sort_unstable();
    let at = |share: usize| local.get(local.len() * share / 100).copied();
    println!(
        "{} rounds: hub killed {} times, links cut {} times; {} changes acknowledged ({} asked \
         again), {} bans in force; {} local bans, p50 {:?}, p99 {:?}, slowest {:?}; all guards \
         and kernels at the hub's digest {settled:?} after the last change",
        events.rounds,
        hub.kills,
        events.cuts,
        told.changes,
        told.repeated,
        told.acknowledged.len(),
        local.len(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        local.last().copied().unwrap_or_default(),
    );
}
