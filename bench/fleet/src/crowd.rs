//! The measurement: all guards connect, bans come one by one, then in a stream, then the hub is
//! restarted.

use std::{
    fs,
    process::Command,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use fleet::{Follower, FollowerConfig, Generation};

use crate::{
    GuardsArgs,
    check::Checks,
    guard::{Guard, Mind, Shared},
    identity::{self, Identities},
    inject::Injector,
    link,
    tally::{Tally, percentile, wall_us},
};

/// Guards that begin in one second, so that the first connection is no flood of handshakes.
const BEGIN_PER_SECOND: u32 = 400;
/// The whole guard brings the roster before the others come.
const AHEAD: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_secs(300);
/// How long after the last ban a guard may still get it before it counts as lost.
const LATE: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &GuardsArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let began = Instant::now();
    let identities = runtime
        .block_on(identity::load(args))
        .context("join the hub")?;
    println!("joined: {} guards in {:.1?}", args.guards, began.elapsed());
    let shared = Arc::new(Shared {
        hub: args.hub,
        community: identities.community.clone(),
        checks: Checks::new(&identities),
        tally: Tally::new(),
        began: Instant::now(),
    });
    let guard = runtime.enter();
    start(args, &identities, &shared)?;
    drop(guard);
    let crowd = Crowd { args, shared };
    crowd.measure()?;
    // The guards' streams end with this process.
    runtime.shutdown_background();
    Ok(())
}

fn start(args: &GuardsArgs, identities: &Identities, shared: &Arc<Shared>) -> Result<()> {
    let roots = link::roots(&identities.authority)?;
    for (number, identity) in (0u32..).zip(identities.guards.iter().take(args.guards)) {
        let mind = if number == 0 {
            let Identities {
                community,
                hub,
                roster_key,
                ..
            } = identities;
            let config = FollowerConfig::new(community.clone(), hub.clone(), *roster_key);
            Mind::Whole(Box::new(Follower::new(config)))
        } else {
            let generation = Generation::ZERO;
            Mind::Place { generation }
        };
        let guard = Guard {
            shared: Arc::clone(shared),
            tls: link::member(identity, &roots)?,
            mind,
            seed: u64::from(number) + 1,
            first_wait: if number == 0 {
                Duration::ZERO
            } else {
                AHEAD + Duration::from_secs(1) * number / BEGIN_PER_SECOND
            },
        };
        tokio::spawn(guard.run());
    }
    Ok(())
}

struct Crowd<'a> {
    args: &'a GuardsArgs,
    shared: Arc<Shared>,
}

impl Crowd<'_> {
    fn measure(&self) -> Result<()> {
        let args = self.args;
        let began = Instant::now();
        self.wait_for_all(began)?;
        println!(
            "connected: {} streams in {:.1?}, hub {}, this process {}",
            args.guards,
            began.elapsed(),
            self.hub_memory(),
            memory("self", "VmRSS:"),
        );
        let first = u32::try_from(self.generation().0 * 300).unwrap_or(0);
        let mut injector = Injector::new(args.hub, &args.state.join("machine"), first)?;
        self.singles(&mut injector)?;
        self.stream(&mut injector)?;
        if let Some(command) = &args.restart {
            self.restart(command, &mut injector)?;
        }
        for (what, times) in self.shared.tally.take_faults() {
            println!("fault: {times} times {what}");
        }
        println!(
            "hub memory: {} at most, {} now",
            self.hub_peak(),
            self.hub_memory()
        );
        Ok(())
    }

    fn singles(&self, injector: &mut Injector) -> Result<()> {
        let from = self.generation();
        self.shared.tally.begin(Generation(from.0 + 1));
        for _ in 0..self.args.singles {
            injector.ban(1)?;
            thread::sleep(Duration::from_millis(self.args.pause_ms));
        }
        let name = format!("{} bans one by one", self.args.singles);
        self.report(&name, from, u64::from(self.args.singles))
    }

    fn stream(&self, injector: &mut Injector) -> Result<()> {
        let from = self.generation();
        let began = Instant::now();
        let (rate, mut made) = (f64::from(self.args.rate), 0);
        while began.elapsed() < Duration::from_secs(self.args.seconds.into()) {
            let due = (began.elapsed().as_secs_f64() * rate) as u32;
            if due > made {
                // A door takes what came meanwhile in one request, as an agent sends it.
                let now = (due - made).min(100);
                injector.ban(now)?;
                made += now;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let name = format!(
            "{made} bans in {:.1} s ({:.0} a second)",
            began.elapsed().as_secs_f64(),
            f64::from(made) / began.elapsed().as_secs_f64()
        );
        self.report(&name, from, u64::from(made))
    }

    /// Waits until everyone has everything, then says how long that took for each generation.
    fn report(&self, name: &str, from: Generation, bans: u64) -> Result<()> {
        let until = Instant::now() + LATE;
        let guards = self.args.guards;
        let mut to = self.generation();
        loop {
            thread::sleep(Duration::from_millis(500));
            let now = self.generation();
            let spreads = self.shared.tally.spreads(from, now);
            let all_have = spreads.iter().all(|spread| spread.guards >= guards);
            if now > from && now == to && all_have {
                break;
            }
            to = now;
            if Instant::now() > until {
                break;
            }
        }
        let spreads = self.shared.tally.spreads(from, to);
        let short = spreads
            .iter()
            .filter(|spread| spread.guards < guards)
            .count();
        let mut times: Vec<_> = spreads.iter().map(|spread| spread.last_ms).collect();
        times.sort_unstable_by(f64::total_cmp);
        let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
        println!(
            "{name}: {} generations; to the last of {guards} guards p50 {p50:.0} ms, \
             p99 {p99:.0} ms, worst {:.0} ms; generations that not all have: {short}; hub {}",
            times.len(),
            percentile(&times, 1.0),
            self.hub_memory(),
        );
        let Some([p50_max, p99_max]) = self.args.within_ms.as_deref() else {
            return Ok(());
        };
        ensure!(short == 0, "{short} generations did not reach everyone");
        ensure!(!times.is_empty() && bans > 0, "nothing was measured");
        ensure!(
            p50 <= *p50_max as f64,
            "p50 {p50:.0} ms is above {p50_max} ms"
        );
        ensure!(
            p99 <= *p99_max as f64,
            "p99 {p99:.0} ms is above {p99_max} ms"
        );
        Ok(())
    }

    fn restart(&self, command: &str, injector: &mut Injector) -> Result<()> {
        let generation = self.generation();
        let second = wall_us() / 1_000_000;
        let began = Instant::now();
        let tally = &self.shared.tally;
        let ended = tally.ended.load(Relaxed);
        let status = Command::new("sh").args(["-c", command]).status()?;
        ensure!(status.success(), "{command}: {status}");
        // Streams of the old hub must be seen to end before new ones count.
        while tally.ended.load(Relaxed) - ended < self.args.guards && began.elapsed() < LATE {
            thread::sleep(Duration::from_millis(5));
        }
        injector.reconnect()?;
        injector.ban(1).context("a ban after the restart")?;
        self.wait_for_all(began)?;
        println!(
            "restart: all {} back after {:.1?}",
            self.args.guards,
            began.elapsed()
        );
        ensure!(
            self.generation() > generation,
            "no ban after the restart came through"
        );
        let per_second = self.shared.tally.connections_since(second);
        let worst = per_second.iter().map(|(_, n)| *n).max().unwrap_or(0);
        println!("restart: connections by the second (at most {worst}): {per_second:?}");
        Ok(())
    }

    /// Everyone has an open stream and read a digest at its own generation, and the whole guard
    /// proved that digest.
    fn wait_for_all(&self, began: Instant) -> Result<()> {
        let tally = &self.shared.tally;
        let mut told = Instant::now();
        while tally.settled.load(Relaxed) < self.args.guards {
            thread::sleep(Duration::from_millis(20));
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let (open, settled) = (tally.open.load(Relaxed), tally.settled.load(Relaxed));
                println!(
                    "… {open} open, {settled} settled after {:.0?}",
                    began.elapsed()
                );
            }
            if began.elapsed() > SETTLE {
                bail!("not all are there; faults: {:?}", tally.take_faults());
            }
        }
        Ok(())
    }

    fn generation(&self) -> Generation {
        Generation(self.shared.tally.newest.load(Relaxed))
    }

    fn hub_memory(&self) -> String {
        self.of_hub("VmRSS:")
    }

    fn hub_peak(&self) -> String {
        self.of_hub("VmHWM:")
    }

    fn of_hub(&self, field: &str) -> String {
        let pid = self
            .args
            .pid_file
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok());
        pid.map_or_else(|| "?".to_owned(), |pid| memory(pid.trim(), field))
    }
}

fn memory(pid: &str, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| format!("{} MiB", kib >> 10))
}
