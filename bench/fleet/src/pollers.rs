//! CrowdSec's own way, for comparison: bouncers that ask `GET /v1/decisions/stream` every so many
//! seconds, each at its own phase.

use std::{
    collections::{HashMap, HashSet},
    io::{BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    PollersArgs,
    identity::lines,
    inject::{Injector, read_answer},
    tally::percentile,
};

#[derive(Default)]
struct Board {
    /// When each address first came to each bouncer: how many, and the last.
    seen: Mutex<HashMap<String, (usize, Instant)>>,
    polls: AtomicU64,
    failures: AtomicU64,
    slowest_ms: AtomicU64,
}

pub(crate) fn run(args: &PollersArgs) -> Result<()> {
    let keys = lines(&args.keys)?;
    let board = Arc::new(Board::default());
    let every = Duration::from_secs(args.every_seconds);
    for (number, key) in (0u32..).zip(&keys) {
        let (board, key, api) = (Arc::clone(&board), key.clone(), args.api);
        let phase = every * number / u32::try_from(keys.len().max(1))?;
        thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || poll(api, &key, phase, every, &board))
            .context("start a bouncer")?;
    }
    // Everyone has its first picture.
    thread::sleep(every * 2);
    let mut injector = Injector::new(args.api, &args.machine, 0)?;
    let mut made = Vec::new();
    for _ in 0..args.bans {
        for addr in injector.ban(1)? {
            made.push((addr.to_string(), Instant::now()));
        }
        thread::sleep(Duration::from_millis(500));
    }
    thread::sleep(every * 2 + Duration::from_secs(5));
    let seen = board.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let complete = made.iter().filter_map(|(addr, at)| {
        let (count, last) = seen.get(addr)?;
        let late = last.saturating_duration_since(*at).as_secs_f64();
        (*count == keys.len()).then_some(late * 1_000.0)
    });
    let mut times: Vec<_> = complete.collect();
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "{} polling bouncers: {} of {} bans reached all; to the last p50 {:.0} ms, p99 {:.0} ms, \
         worst {:.0} ms; {} polls, {} failed, slowest {} ms",
        keys.len(),
        times.len(),
        made.len(),
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        percentile(&times, 1.0),
        board.polls.load(Relaxed),
        board.failures.load(Relaxed),
        board.slowest_ms.load(Relaxed),
    );
    Ok(())
}

fn poll(api: SocketAddr, key: &str, phase: Duration, every: Duration, board: &Board) {
    thread::sleep(phase);
    let mut stream = None;
    let mut startup = true;
    let mut due = Instant::now();
    // A bouncer may be told of a ban twice.
    let mut known = HashSet::new();
    loop {
        let asked = Instant::now();
        match ask(api, key, startup, &mut stream) {
            Ok(addrs) => {
                startup = false;
                let mut seen = board.seen.lock().unwrap_or_else(PoisonError::into_inner);
                for addr in addrs.into_iter().filter(|addr| known.insert(addr.clone())) {
                    let entry = seen.entry(addr).or_insert((0, asked));
                    *entry = (entry.0 + 1, Instant::now());
                }
            }
            Err(_) => {
                stream = None;
                board.failures.fetch_add(1, Relaxed);
            }
        }
        board.polls.fetch_add(1, Relaxed);
        let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        board.slowest_ms.fetch_max(took, Relaxed);
        due += every;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn ask(
    api: SocketAddr,
    key: &str,
    startup: bool,
    stream: &mut Option<BufReader<TcpStream>>,
) -> Result<Vec<String>> {
    if stream.is_none() {
        let fresh = TcpStream::connect(api)?;
        fresh.set_read_timeout(Some(Duration::from_secs(60)))?;
        *stream = Some(BufReader::new(fresh));
    }
    let stream = stream.as_mut().context("no connection")?;
    let head = format!(
        "GET /v1/decisions/stream?startup={startup} HTTP/1.1\r\nHost: hub\r\nX-Api-Key: {key}\r\n\
         User-Agent: crowdsec-firewall-bouncer/v0.0.25\r\n\r\n"
    );
    stream.get_mut().write_all(head.as_bytes())?;
    let (status, body) = read_answer(stream)?;
    anyhow::ensure!(status == 200, "status {status}");
    let answer: Value = serde_json::from_slice(&body)?;
    let new = answer["new"].as_array().cloned().unwrap_or_default();
    let value = |ban: &Value| ban["value"].as_str().map(str::to_owned);
    Ok(new.iter().filter_map(value).collect())
}
