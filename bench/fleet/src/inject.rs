//! Bans, made as a CrowdSec agent makes them: `POST /v1/alerts` with decisions. The same for both
//! kinds of hub.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use model::Timestamp;
use serde_json::{Value, json};

use crate::identity::lines;

/// An address is banned once only, so that each ban changes the set.
const FIRST: u32 = u32::from_be_bytes([12, 0, 0, 0]);

pub(crate) struct Injector {
    api: SocketAddr,
    stream: BufReader<TcpStream>,
    machine: (String, String),
    token: String,
    next: u32,
}

impl Injector {
    /// Logs in as the machine whose `name password` stands in the file. `first`: from which
    /// number on addresses are taken.
    pub(crate) fn new(api: SocketAddr, machine: &Path, first: u32) -> Result<Self> {
        let line = lines(machine)?.into_iter().next().unwrap_or_default();
        let (name, password) = line
            .split_once(' ')
            .context("a machine's name and password")?;
        let mut injector = Self {
            api,
            stream: connect(api)?,
            machine: (name.to_owned(), password.to_owned()),
            token: String::new(),
            next: first,
        };
        injector.log_in()?;
        Ok(injector)
    }

    fn log_in(&mut self) -> Result<()> {
        let (name, password) = &self.machine;
        let login = json!({"machine_id": name, "password": password, "scenarios": []});
        let answer = self.post("/v1/watchers/login", &login)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        self.token = answer["token"].as_str().context("no token")?.to_owned();
        Ok(())
    }

    /// So many new bans in one request; returns their addresses.
    pub(crate) fn ban(&mut self, count: u32) -> Result<Vec<Ipv4Addr>> {
        let numbers = self.next..self.next + count;
        self.next += count;
        let addrs: Vec<_> = numbers.map(|n| Ipv4Addr::from_bits(FIRST + n)).collect();
        let now = now();
        let alert = |addr: &Ipv4Addr| alert(&now, &addr.to_string(), &[(*addr, 4 * 3_600)]);
        let alerts: Vec<_> = addrs.iter().map(alert).collect();
        self.post("/v1/alerts", &Value::Array(alerts))?;
        Ok(addrs)
    }

    /// One alert with all of these, each for so many seconds.
    pub(crate) fn ban_together(&mut self, bans: &[(Ipv4Addr, u32)]) -> Result<()> {
        let alerts = json!([alert(&now(), "load", bans)]);
        self.post("/v1/alerts", &alerts).map(drop)
    }

    /// The hub was started anew: the connection is gone, and the token with it.
    pub(crate) fn reconnect(&mut self) -> Result<()> {
        self.stream = connect(self.api)?;
        self.log_in()
    }

    fn post(&mut self, path: &str, body: &Value) -> Result<Vec<u8>> {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: hub\r\nUser-Agent: crowdsec/v1.4.6\r\n\
             Content-Type: application/json\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let (status, answer) = read_answer(&mut self.stream)?;
        let text = String::from_utf8_lossy(&answer);
        ensure!(status / 100 == 2, "{path}: {status} {text}");
        Ok(answer)
    }
}

fn connect(api: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(api)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(BufReader::new(stream))
}

pub(crate) fn read_answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, Vec<u8>)> {
    let (mut status, mut length, mut chunked) = (0, 0, false);
    for number in 0.. {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "the answer was cut off");
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if number == 0 {
            let word = line.split(' ').nth(1);
            status = word
                .and_then(|word| word.parse().ok())
                .context("no status")?;
        } else if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        } else if line.starts_with("transfer-encoding:") {
            chunked = line.ends_with("chunked");
        }
    }
    let mut body = Vec::new();
    if !chunked {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
        return Ok((status, body));
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)?;
        let mut part = vec![0; size + 2];
        stream.read_exact(&mut part)?;
        part.truncate(size);
        if size == 0 {
            return Ok((status, body));
        }
        body.append(&mut part);
    }
}

fn alert(now: &str, of: &str, bans: &[(Ipv4Addr, u32)]) -> Value {
    let decision = |(addr, seconds): &(Ipv4Addr, u32)| {
        json!({
            "duration": format!("{seconds}s"), "origin": "crowdsec", "scenario": "example/load",
            "scope": "Ip", "type": "ban", "value": addr.to_string(),
        })
    };
    json!({
        "scenario": "example/load", "scenario_hash": "", "scenario_version": "",
        "message": "load", "events_count": 1, "start_at": now, "stop_at": now, "capacity": 0,
        "leakspeed": "0", "simulated": false, "events": [], "remediation": true,
        "source": {"scope": "Ip", "value": of, "ip": of},
        "decisions": bans.iter().map(decision).collect::<Vec<_>>(),
    })
}

/// As RFC 3339 writes it: CrowdSec counts a decision's duration from its alert's `stop_at`.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs());
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(0)).to_string()
}
