//! A state folder with many bans, for measuring what a guard does with it at its start.
//!
//! `fill_bans DIR COUNT [ADDRESSES]`: appends COUNT bans of four hours to the ledger in DIR, on
//! the addresses of a file (one a line) or on COUNT scattered ones. The decisions are as a guard
//! makes them; the alerts they name are left out, for they are not read at a start.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::{AlertId, Decision, Entry, Measure, Origin, Prefix, Timestamp};
use store::{Durability, Store, StoreOptions};

const BAN: Duration = Duration::from_secs(4 * 3_600);
const BATCH: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (dir, count, file) = match words.as_slice() {
        [dir, count] => (dir, count.parse::<u32>()?, None),
        [dir, count, file] => (dir, count.parse::<u32>()?, Some(file)),
        _ => return Err("usage: fill_bans DIR COUNT [ADDRESSES]".into()),
    };
    let addresses: Vec<IpAddr> = match file {
        Some(file) => fs::read_to_string(file)?
            .lines()
            .take(count as usize)
            .map(str::parse)
            .collect::<Result<_, _>>()?,
        None => (0..count).map(scattered).collect(),
    };
    let options = StoreOptions {
        origin: Some("bench.example".into()),
        durability: Durability::ProcessCrash,
    };
    let mut store = Store::open(Path::new(dir), options)?;
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let now = Timestamp::from_nanos(i64::try_from(nanos)?);
    let mut number = 0u64;
    for batch in addresses.chunks(BATCH) {
        let entries: Vec<Entry> = batch
            .iter()
            .map(|address| {
                number += 1;
                decision(*address, number, now)
            })
            .collect();
        store.append(&entries, now)?;
    }
    let kinds: BTreeMap<String, u64> = store.counts()?.into_iter().collect();
    eprintln!("{kinds:?}");
    Ok(())
}

/// Each ban a microsecond after the one before, so that ends differ as they do in life.
fn decision(address: IpAddr, number: u64, now: Timestamp) -> Entry {
    let from = now.plus(Duration::from_micros(number));
    Entry::Decision(Decision {
        measure: Measure::Ban,
        prefix: Prefix::host(address),
        from,
        until: from.plus(BAN),
        reason: "posse/ssh-bf".into(),
        origin: Origin::Guard,
        alerts: vec![AlertId::derive(&[b"fill", &number.to_be_bytes()])],
        repeat: 0,
        in_kernel: None,
    })
}

/// Different for every `i`, in no order, and none of them private or reserved.
fn scattered(i: u32) -> IpAddr {
    let bits = i.wrapping_mul(2_654_435_761);
    // 32.0.0.0 to 95.255.255.255.
    IpAddr::V4(Ipv4Addr::from_bits(0x2000_0000 + (bits >> 2)))
}
