//! `load_bans ADDRESSES SINGLES`: a file of IPv4 addresses into the kernel, by the way a guard
//! takes when it starts (desired set, then bulk load), then `SINGLES` further bans one at a time
//! as a detection would cause them. Prints one line of JSON with the times.
//!
//! Measures `enforce` alone: the store, which reads the bans of earlier runs, is not in it. Writes
//! to the table `posse` of the network namespace it is started in, so start it in one of its own.

use std::{
    env,
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use enforce::{Desired, Firewall, FirewallOptions};
use model::{Prefix, Timestamp};

const BAN: Duration = Duration::from_secs(4 * 3600);

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [file, singles] = words.as_slice() else {
        eprintln!("usage: load_bans ADDRESSES SINGLES");
        return ExitCode::from(2);
    };
    match run(file, singles) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, singles: &str) -> Result<String, Box<dyn Error>> {
    let singles: u32 = singles.parse()?;
    let started = Instant::now();
    let mut desired = Desired::new();
    let now = wall_clock()?;
    for line in fs::read_to_string(file)?.lines() {
        desired.set(Prefix::host(line.parse()?), now.plus(BAN), now)?;
    }
    let read = started.elapsed();

    let started = Instant::now();
    let mut firewall = Firewall::open(FirewallOptions::default())?;
    let count = {
        let mut bans = desired
            .iter()
            .map(|(prefix, until)| (prefix, Some(until.since(now))));
        firewall.load(&mut bans)?
    };
    let load = started.elapsed();

    let mut times = Vec::new();
    for number in 0..singles {
        // 240.0.0.0/4 is reserved, so none of these is in the file.
        let addr = Ipv4Addr::from_bits(0xf000_0001 + number * 7919);
        let started = Instant::now();
        let now = wall_clock()?;
        let changes = desired.set(Prefix::host(IpAddr::V4(addr)), now.plus(BAN), now)?;
        firewall.apply(&changes)?;
        times.push(format!("{:.4}", started.elapsed().as_secs_f64() * 1e3));
    }
    Ok(format!(
        r#"{{"count":{count},"read_s":{:.3},"load_s":{:.3},"singles_ms":[{}]}}"#,
        read.as_secs_f64(),
        load.as_secs_f64(),
        times.join(",")
    ))
}

fn wall_clock() -> Result<Timestamp, Box<dyn Error>> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(Timestamp::from_nanos(i64::try_from(nanos)?))
}
