//! Measures enforcement at full size: a bulk load, then single bans into the full set.
//!
//! Run as root: `load_bans [COUNT] [SINGLES]`. It re-runs itself in a network namespace of its
//! own, so the machine's firewall is not touched. With `nft` at hand the same set is loaded by it
//! for comparison. Figures go to standard output, one JSON object a line.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    process::Command,
    time::{Duration, Instant},
};

use enforce::{Desired, Firewall, FirewallOptions, KernelChange};
use model::{Prefix, Timestamp};

const INSIDE: &str = "LOAD_BANS_INSIDE";
const DAY: Duration = Duration::from_secs(86_400);

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    if std::env::var_os(INSIDE).is_none() {
        return rerun_in_namespace();
    }
    let mut args = std::env::args().skip(1);
    let count = args.next().map_or(Ok(1_000_000), |a| a.parse())?;
    let singles = args.next().map_or(Ok(1_000), |a| a.parse())?;
    measure_posse(count, singles)?;
    if Command::new("nft").arg("--version").output().is_ok() {
        measure_nft(count)?;
    }
    Ok(())
}

fn rerun_in_namespace() -> Outcome {
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

fn measure_posse(count: u32, singles: u32) -> Outcome {
    let mut firewall = Firewall::open(FirewallOptions::default())?;
    let start = Instant::now();
    let loaded = firewall.load(&mut (0..count).map(|i| (address(i), Some(DAY))))?;
    let load = start.elapsed();
    println!(
        "{{\"what\":\"load\",\"by\":\"posse\",\"bans\":{loaded},\
         \"seconds\":{:.3},\"peak_rss_kib\":{}}}",
        load.as_secs_f64(),
        peak_rss_kib("/proc/self/status").unwrap_or(0),
    );
    let mut times = Vec::new();
    for i in count..count.saturating_add(singles) {
        let change = KernelChange::Add {
            prefix: address(i),
            timeout: Some(DAY),
        };
        let start = Instant::now();
        firewall.apply(&[change])?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |permille: usize| {
        let index = (times.len() * permille / 1000).min(times.len().saturating_sub(1));
        times.get(index).map_or(0.0, |t| t.as_secs_f64() * 1e6)
    };
    println!(
        "{{\"what\":\"single_ban\",\"by\":\"posse\",\"into\":{loaded},\"median_us\":{:.1},\
         \"p99_us\":{:.1},\"max_us\":{:.1}}}",
        at(500),
        at(990),
        at(1000),
    );
    measure_sync(&mut firewall, count)?;
    let start = Instant::now();
    firewall.teardown()?;
    println!(
        "{{\"what\":\"teardown\",\"by\":\"posse\",\"seconds\":{:.3}}}",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A restart: the desired set is known, the kernel's is there, and the two must agree.
fn measure_sync(firewall: &mut Firewall, count: u32) -> Outcome {
    let now = Timestamp::from_seconds(1_800_000_000);
    let mut desired = Desired::new();
    let start = Instant::now();
    for i in 0..count {
        desired.set(address(i), now.plus(DAY), now)?;
    }
    let built = start.elapsed();
    let start = Instant::now();
    let synced = firewall.sync(
        &desired,
        now,
        Duration::from_secs(3_600),
        enforce::LargeSets::Replace,
    )?;
    println!(
        "{{\"what\":\"sync\",\"by\":\"posse\",\"bans\":{count},\"seconds\":{:.3},\
         \"desired_seconds\":{:.3},\"replaced\":{},\"peak_rss_kib\":{}}}",
        start.elapsed().as_secs_f64(),
        built.as_secs_f64(),
        synced.replaced,
        peak_rss_kib("/proc/self/status").unwrap_or(0),
    );
    Ok(())
}

fn measure_nft(count: u32) -> Outcome {
    let mut script = String::from(
        "table inet reference {\n set ban4 { type ipv4_addr; flags timeout; elements = {\n",
    );
    for i in 0..count {
        writeln!(script, "{} timeout 1d,", address(i))?;
    }
    script.push_str("}\n }\n}\n");
    let path = std::env::temp_dir().join(format!("load_bans-{}.nft", std::process::id()));
    fs::write(&path, script)?;
    let start = Instant::now();
    let output = Command::new("nft")
        .arg("-f")
        .arg(&path)
        .spawn()
        .and_then(|mut child| {
            let status = format!("/proc/{}/status", child.id());
            let mut peak = 0;
            loop {
                peak = peak_rss_kib(&status).unwrap_or(0).max(peak);
                if let Some(exit) = child.try_wait()? {
                    return Ok((exit, peak));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    let elapsed = start.elapsed();
    fs::remove_file(&path)?;
    let (exit, peak) = output?;
    println!(
        "{{\"what\":\"load\",\"by\":\"nft -f\",\"bans\":{count},\"seconds\":{:.3},\
         \"peak_rss_kib\":{peak},\"ok\":{}}}",
        elapsed.as_secs_f64(),
        exit.success(),
    );
    Ok(())
}

/// Different addresses, scattered as those of real attackers are.
fn address(i: u32) -> Prefix {
    Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(
        i.wrapping_mul(2_654_435_761),
    )))
}

fn peak_rss_kib(status: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
