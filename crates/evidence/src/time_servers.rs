//! Asks the configured time servers how far this machine's clock is off, and keeps what they said
//! for a minute, so that many acquisitions are one question.
//!
//! Stands beside an acquisition and never in its way: whatever happens, there is an outcome within
//! [`WAIT`] and a moment, and what went wrong is part of it. Without configured servers nothing is
//! asked. Each server has a thread, since resolving its name cannot be bounded otherwise.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, ToSocketAddrs as _, UdpSocket},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use model::{AskedServer, NetworkTime, ServerAnswer, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{
    EvidenceError,
    sntp::{self, SntpError},
};

/// More servers than this make no better median.
pub const TIME_SERVERS_MAX: usize = 8;
const NTP_PORT: u16 = 123;
/// Of one name, tried until there is a way to one.
const ADDRESSES_MAX: usize = 4;
const NAME_BYTES_MAX: usize = 255;
/// For everything that one server takes, its name's resolution too.
const WAIT: Duration = Duration::from_secs(1);
/// Strangers' packets looked at while waiting for the one.
const STRAYS_MAX: usize = 64;
/// What is longer is cut off: only its beginning is read.
const ANSWER_BYTES_MAX: usize = 1_024;
/// How long answers are used.
const KEPT: Duration = Duration::from_secs(60);
/// Beyond this the clock was set since the servers were asked, and they must be asked again.
const CLOCK_SET: Duration = Duration::from_millis(50);
const KEPT_BYTES_MAX: u64 = 64 << 10;

/// A time server as it is configured: `ntp.example.org`, `192.0.2.1:123`, `[2001:db8::1]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeServer {
    written: String,
    host: String,
    port: u16,
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no time server; write a name or an address, as ntp.example.org or 192.0.2.1:123")]
pub struct TimeServerError(String);

impl FromStr for TimeServer {
    type Err = TimeServerError;

    fn from_str(text: &str) -> Result<Self, TimeServerError> {
        let bad = || TimeServerError(text.to_owned());
        let (host, port) = split(text).ok_or_else(bad)?;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        if host.is_empty() || host.len() > NAME_BYTES_MAX || !host.bytes().all(named) || port == 0 {
            return Err(bad());
        }
        Ok(Self {
            written: text.to_owned(),
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for TimeServer {
    type Error = TimeServerError;

    fn try_from(text: String) -> Result<Self, TimeServerError> {
        text.parse()
    }
}

impl From<TimeServer> for String {
    fn from(server: TimeServer) -> Self {
        server.written
    }
}

fn split(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => port.is_empty().then_some((host, NTP_PORT)),
        };
    }
    match text.rsplit_once(':') {
        // More than one colon is a bare IPv6 address.
        Some((host, port)) if !host.contains(':') => Some((host, port.parse().ok()?)),
        _ => Some((text, NTP_PORT)),
    }
}

/// The servers to ask, and where their answers are kept.
#[derive(Clone, Debug)]
pub(crate) struct TimeServers {
    servers: Vec<TimeServer>,
    kept: PathBuf,
    now: fn() -> Timestamp,
}

/// What is kept. The two clocks together show when the one in question was set in between.
#[derive(Serialize, Deserialize)]
struct Kept {
    boot: String,
    since_boot_nanos: u64,
    of: Vec<TimeServer>,
    said: NetworkTime,
}

impl TimeServers {
    pub(crate) fn new(servers: Vec<TimeServer>, kept: PathBuf, now: fn() -> Timestamp) -> Self {
        Self { servers, kept, now }
    }

    /// What is known at `at`, which is now; nothing when there is nobody to ask.
    pub(crate) fn tell(&self, at: Timestamp) -> Option<NetworkTime> {
        if self.servers.is_empty() {
            return None;
        }
        let mut said = self.recall(at).unwrap_or_else(|| self.ask_all());
        // The question is a part of the acquisition, whichever came first.
        let age = (self.now)().since(said.asked);
        said.age_milliseconds = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        said.corrected = said.offset_microseconds.map(|offset| at.shifted(offset));
        Some(said)
    }

    fn recall(&self, at: Timestamp) -> Option<NetworkTime> {
        let mut text = String::new();
        let file = fs::File::open(&self.kept).ok()?;
        file.take(KEPT_BYTES_MAX).read_to_string(&mut text).ok()?;
        let kept: Kept = serde_json::from_str(&text).ok()?;
        let then = Duration::from_nanos(kept.since_boot_nanos);
        let passed = since_boot().checked_sub(then)?;
        let by_clock = i128::from(at.nanos()) - i128::from(kept.said.asked.nanos());
        let set = by_clock.abs_diff(i128::try_from(passed.as_nanos()).ok()?);
        // `at` was read a moment before the other clock.
        let valid = kept.boot == boot_id()
            && kept.of == self.servers
            && passed < KEPT
            && set < CLOCK_SET.as_nanos();
        valid.then_some(kept.said)
    }

    fn ask_all(&self) -> NetworkTime {
        let (asked, since_boot) = ((self.now)(), since_boot());
        let servers = ask_each(&self.servers, self.now);
        let said = sum_up(asked, servers);
        let kept = Kept {
            boot: boot_id(),
            since_boot_nanos: u64::try_from(since_boot.as_nanos()).unwrap_or(0),
            of: self.servers.clone(),
            said: said.clone(),
        };
        if let Err(e) = put(&self.kept, &kept) {
            tracing::debug!(error = %e, "what time servers said is not kept");
        }
        said
    }
}

/// Replaces what is kept; readers see the one or the other.
fn put(path: &Path, kept: &Kept) -> io::Result<()> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|_| io::Error::other("no random bytes"))?;
    let fresh = path.with_extension(format!("{:016x}.part", u64::from_be_bytes(name)));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let written = file
        .write_all(&serde_json::to_vec(kept)?)
        .and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// All at once, each with a thread of its own; who has not answered in time has not answered.
fn ask_each(servers: &[TimeServer], now: fn() -> Timestamp) -> Vec<AskedServer> {
    let servers = servers.get(..TIME_SERVERS_MAX).unwrap_or(servers);
    let until = Instant::now() + WAIT;
    let (tell, hear) = mpsc::channel();
    for (number, server) in servers.iter().cloned().enumerate() {
        let tell = tell.clone();
        let asking = move || {
            let said = ask(&server, until, now);
            let _ = tell.send((number, said));
        };
        // A thread that could not be is a server that was not heard.
        let _ = thread::Builder::new()
            .name("time-server".into())
            .spawn(asking);
    }
    drop(tell);
    let mut said: Vec<Option<Result<ServerAnswer, String>>> = vec![None; servers.len()];
    // A little longer than each of them waits, so that its own words are heard.
    let grace = Duration::from_millis(100);
    while let Ok((number, one)) = hear.recv_timeout((until + grace) - Instant::now()) {
        if let Some(place) = said.get_mut(number) {
            *place = Some(one);
        }
    }
    let all = servers.iter().zip(said);
    all.map(|(server, said)| {
        let (answer, failure) = match said {
            Some(Ok(answer)) => (Some(answer), String::new()),
            Some(Err(why)) => (None, why),
            None => (None, "its name could not be resolved in time".to_owned()),
        };
        AskedServer {
            server: server.written.clone(),
            answer,
            failure,
        }
    })
    .collect()
}

fn ask(
    server: &TimeServer,
    until: Instant,
    now: fn() -> Timestamp,
) -> Result<ServerAnswer, String> {
    let addresses = (server.host.as_str(), server.port).to_socket_addrs();
    let addresses = addresses.map_err(|e| format!("its name is not known: {e}"))?;
    let mut why = "its name has no address".to_owned();
    for address in addresses.take(ADDRESSES_MAX) {
        match connect(address) {
            Ok(socket) => return exchange(&socket, address, until, now),
            Err(e) => why = format!("{address}: {e}"),
        }
    }
    Err(why)
}

/// A connected socket hears nobody else. Fails at once where there is no way to the address.
fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let local: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(local)?;
    socket.connect(address)?;
    Ok(socket)
}

/// One question to one address.
fn exchange(
    socket: &UdpSocket,
    address: SocketAddr,
    until: Instant,
    now: fn() -> Timestamp,
) -> Result<ServerAnswer, String> {
    let failed = |e: io::Error| format!("{address}: {e}");
    let mut cookie = [0; 8];
    getrandom::fill(&mut cookie).map_err(|_| EvidenceError::Random.to_string())?;
    let (asked, began) = (now(), Instant::now());
    socket.send(&sntp::question(cookie)).map_err(failed)?;
    let mut last = format!("{address}: no answer within {} s", WAIT.as_secs());
    for _ in 0..STRAYS_MAX {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).map_err(failed)?;
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let count = match socket.recv(&mut buffer) {
            Ok(count) => count,
            Err(e) if is_silence(&e) => continue,
            Err(e) => return Err(failed(e)),
        };
        let (came, took) = (now(), began.elapsed());
        match sntp::read(buffer.get(..count).unwrap_or_default(), cookie) {
            Ok(answer) => return judged(address, (asked, came, took), &answer),
            // Somebody else's word must not end the wait for the server's.
            Err(e @ (SntpError::NotOurs | SntpError::Short { .. })) => {
                last = format!("{address}: {e}");
            }
            Err(e) => return Err(format!("{address}: {e}")),
        }
    }
    Err(last)
}

fn is_silence(e: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(e.kind(), WouldBlock | TimedOut | Interrupted)
}

fn judged(
    address: SocketAddr,
    (asked, came, took): (Timestamp, Timestamp, Duration),
    answer: &sntp::Answer,
) -> Result<ServerAnswer, String> {
    let by_clock = i128::from(came.nanos()) - i128::from(asked.nanos());
    let set = by_clock.abs_diff(i128::try_from(took.as_nanos()).unwrap_or(i128::MAX));
    if set >= CLOCK_SET.as_nanos() {
        return Err(format!("{address}: the clock was set while it was asked"));
    }
    let measured = sntp::measure(asked, came, answer).map_err(|e| format!("{address}: {e}"))?;
    Ok(ServerAnswer {
        address: address.to_string(),
        stratum: answer.stratum,
        reference: answer.reference.clone(),
        offset_microseconds: measured.offset_microseconds,
        delay_microseconds: measured.delay_microseconds,
        root_delay_microseconds: microseconds(answer.root_delay),
        root_dispersion_microseconds: microseconds(answer.root_dispersion),
    })
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The median of those that answered: one that lies among three changes nothing. Of two in the
/// middle it is their mean, and the bound takes in both.
fn sum_up(asked: Timestamp, servers: Vec<AskedServer>) -> NetworkTime {
    let answers = servers.iter().filter_map(|one| one.answer.as_ref());
    let mut told: Vec<(i64, u64)> = answers
        .map(|a| {
            let there = a.delay_microseconds / 2;
            let root = a.root_delay_microseconds / 2 + a.root_dispersion_microseconds;
            (a.offset_microseconds, there.saturating_add(root))
        })
        .collect();
    told.sort_unstable();
    let upper = told.get(told.len() / 2).copied();
    let lower = told.get(told.len().saturating_sub(1) / 2).copied();
    let median = lower.zip(upper).map(|((low, a), (high, b))| {
        let middle = low.midpoint(high);
        (middle, a.max(b).saturating_add(high.abs_diff(low) / 2))
    });
    NetworkTime {
        asked,
        age_milliseconds: 0,
        offset_microseconds: median.map(|(offset, _)| offset),
        error_bound_microseconds: median.map(|(_, bound)| bound),
        corrected: None,
        servers,
    }
}

/// Sleep included; nobody sets this clock.
pub(crate) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

#[cfg(test)]
#[path = "time_servers_tests.rs"]
mod tests;
