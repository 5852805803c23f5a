//! Measures how long a ban in one table waits while another table takes a bulk load: all tables
//! share the kernel's lock for changes.
//!
//! Run as root: `local_ban_under_load [COUNT] [KIB OF A BATCH]…`. It re-runs itself in a network
//! namespace of its own. Figures go to standard output, one JSON object a line.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use enforce::{EnforceError, Firewall, FirewallOptions, KernelChange};
use model::Prefix;

const INSIDE: &str = "LOAD_BANS_INSIDE";
const DAY: Duration = Duration::from_secs(86_400);
const EVERY: Duration = Duration::from_millis(5);

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os(INSIDE).is_none() {
        return rerun_in_namespace();
    }
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(1_000_000), |a| a.parse())?;
    let mut sizes = args.map(|a| a.parse()).collect::<Result<Vec<usize>, _>>()?;
    if sizes.is_empty() {
        sizes = vec![64, 128, 256, 2_048];
    }
    for kib in sizes {
        measure(count, kib)?;
    }
    Ok(())
}

fn rerun_in_namespace() -> Result<(), Box<dyn Error>> {
    let status = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| "the measurement failed; is this root?".into())
}

fn measure(count: u32, kib: usize) -> Result<(), Box<dyn Error>> {
    let mut local = Firewall::open(FirewallOptions::default())?;
    let mut fleet = Firewall::open(FirewallOptions {
        table: "posse_fleet".into(),
        load_bytes: kib << 10,
        ..FirewallOptions::default()
    })?;
    let loading = AtomicBool::new(true);
    let (took, mut waits) = std::thread::scope(|scope| {
        let waits = scope.spawn(|| ban_meanwhile(&mut local, &loading));
        let start = Instant::now();
        let loaded = fleet.load(&mut (0..count).map(|i| (address(i), Some(DAY))));
        let took = start.elapsed();
        loading.store(false, Ordering::Relaxed);
        loaded?;
        Ok::<_, Box<dyn Error>>((took, waits.join().map_err(|_| "a panic")??))
    })?;
    waits.sort_unstable();
    let at = |permille: usize| {
        let index = (waits.len() * permille / 1000).min(waits.len().saturating_sub(1));
        waits.get(index).map_or(0.0, |t| t.as_secs_f64() * 1e3)
    };
    println!(
        "{{\"batch_kib\":{kib},\"bans\":{count},\"load_seconds\":{:.3},\"local_bans\":{},\
         \"median_ms\":{:.3},\"p99_ms\":{:.3},\"max_ms\":{:.3}}}",
        took.as_secs_f64(),
        waits.len(),
        at(500),
        at(990),
        at(1000),
    );
    fleet.teardown()?;
    Ok(local.teardown()?)
}

/// One ban every few milliseconds, each in and out again.
fn ban_meanwhile(
    firewall: &mut Firewall,
    loading: &AtomicBool,
) -> Result<Vec<Duration>, EnforceError> {
    let mut waits = Vec::new();
    let mut i = u32::MAX;
    while loading.load(Ordering::Relaxed) {
        std::thread::sleep(EVERY);
        let change = KernelChange::Add {
            prefix: address(i),
            timeout: Some(DAY),
        };
        i -= 1;
        let start = Instant::now();
        firewall.apply(&[change])?;
        waits.push(start.elapsed());
    }
    Ok(waits)
}

/// Different addresses, scattered as those of real attackers are.
fn address(i: u32) -> Prefix {
    Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(
        i.wrapping_mul(2_654_435_761),
    )))
}
