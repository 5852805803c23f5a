//! A new guard takes a community's whole set: how long, how many bytes, how much memory. The guard
//! is the real program with a kernel table of its own; it is watched from outside.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use enforce::{Firewall, FirewallOptions};
use model::Prefix;

use crate::{FillArgs, NewcomerArgs, identity::lines, inject::Injector};

/// Bans of one alert: as many as a hub takes.
const TOGETHER: usize = 10_000;
/// Ends lie at random minutes between an hour and a week.
const MINUTES: std::ops::Range<u64> = 60..10_080;
const TABLE: &str = "posse_fleet";
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Gives a hub so many bans on addresses at random, and writes the greatest address to a file.
pub(crate) fn fill(args: &FillArgs) -> Result<()> {
    let began = Instant::now();
    let mut dice = Dice(args.seed);
    let mut addresses = std::collections::BTreeSet::new();
    while addresses.len() < args.bans {
        let address = Ipv4Addr::from_bits((dice.roll() >> 32) as u32);
        if is_ordinary(address) {
            addresses.insert(address);
        }
    }
    let last = addresses.last().context("no bans")?;
    fs::write(&args.last, last.to_string())?;
    let span = MINUTES.end - MINUTES.start;
    let bans: Vec<_> = addresses
        .into_iter()
        .map(|address| {
            let minutes = MINUTES.start + dice.roll() % span;
            Ok((address, u32::try_from(minutes * 60)?))
        })
        .collect::<Result<_>>()?;
    let mut injector = Injector::new(args.api, &args.machine, 0)?;
    for part in bans.chunks(TOGETHER) {
        injector.ban_together(part)?;
    }
    println!(
        "the hub took {} bans in {:.1?}",
        bans.len(),
        began.elapsed()
    );
    Ok(())
}

/// Neither reserved nor private, nor a resolver that no guard bans.
fn is_ordinary(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    let busy = [1, 8, 9, 10, 100, 127, 149, 169, 172, 192, 198, 203, 208];
    (2..224).contains(&first) && !busy.contains(&first)
}

pub(crate) fn run(args: &NewcomerArgs) -> Result<()> {
    let last: Ipv4Addr = lines(&args.last)?.concat().trim().parse()?;
    let last = Prefix::host(last.into());
    let before = received(&args.interface)?;
    let mut guard = Guard(
        Command::new(&args.posse)
            .args(["guard", "--state"])
            .arg(&args.state)
            .arg("--config")
            .arg(&args.config)
            .stdout(Stdio::null())
            .spawn()
            .context("start the guard")?,
    );
    let started = Instant::now();
    // From the first byte of all that comes, the handshake's included.
    while received(&args.interface)? == before {
        guard.must_run(started)?;
        thread::sleep(LOOK_EVERY);
    }
    let first_byte = Instant::now();
    while !has_table() {
        guard.must_run(started)?;
        thread::sleep(LOOK_EVERY);
    }
    let mut kernel = Firewall::open(FirewallOptions {
        table: TABLE.to_owned(),
        ..FirewallOptions::default()
    })?;
    while !kernel.is_present(last)? {
        guard.must_run(started)?;
        thread::sleep(LOOK_EVERY);
    }
    let took = first_byte.elapsed();
    let wire = received(&args.interface)? - before;
    let busy = guard.busy()?;
    // What it writes to disk afterwards counts for its memory.
    thread::sleep(args.rest());
    guard.must_run(Instant::now())?;
    let peak = guard.peak_kib()?;
    println!(
        "{} bans: {wire} bytes on the wire, {:.2} s from the first byte to the last element in \
         the kernel ({:.2} s of them busy), peak of the guard {:.1} MiB",
        args.bans,
        took.as_secs_f64(),
        busy.as_secs_f64(),
        peak as f64 / 1_024.0,
    );
    if args.count {
        let held = kernel.dump()?.len();
        println!("in the kernel: {held} elements");
        ensure!(held == args.bans, "{held} of {} are there", args.bans);
    }
    if let Some([bytes, millis, kib]) = args.within.as_deref() {
        ensure!(wire <= *bytes, "{wire} bytes are above {bytes}");
        ensure!(
            took.as_millis() <= u128::from(*millis),
            "{took:?} is above {millis} ms"
        );
        ensure!(peak <= *kib, "{peak} KiB are above {kib}");
    }
    Ok(())
}

fn has_table() -> bool {
    let listed = Command::new("nft")
        .args(["list", "tables", "inet"])
        .output();
    listed.is_ok_and(|done| String::from_utf8_lossy(&done.stdout).contains(TABLE))
}

/// Bytes that came in over an interface of this network namespace, with their headers.
fn received(interface: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/net/dev")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| name.trim() == interface);
    let (_, numbers) = found.with_context(|| format!("no interface {interface}"))?;
    let first = numbers.split_whitespace().next().context("no numbers")?;
    Ok(first.parse()?)
}

struct Guard(Child);

impl Guard {
    fn must_run(&mut self, since: Instant) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            bail!("the guard ended: {status}");
        }
        ensure!(since.elapsed() < PATIENCE, "gave up waiting");
        Ok(())
    }

    /// The processor time it has taken, the kernel's on its behalf included.
    fn busy(&self) -> Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // After the name in brackets, which may hold anything: utime and stime are 14th and 15th.
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|n| n.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    fn peak_kib(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0.id());
        let text = fs::read_to_string(Path::new(&path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.context("no peak")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
