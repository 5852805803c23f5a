//! A console on a port of its own, and HTTP spoken by hand.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use console::{ConsoleConfig, Inputs};
use crossbeam_channel::{Sender, bounded};
use model::{
    Alert, AlertId, Entry, EvidenceLine, Happening, LineOrigin, News, Scope, Status, Timestamp,
};
use store::{Durability, Store, StoreOptions};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) news: Sender<Arc<News>>,
    pub(crate) board: Arc<Mutex<Option<Arc<Status>>>>,
    store: Store,
    _dir: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|l| l.split_once(": "));
        fields
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
            .next()
    }
}

pub(crate) fn now() -> Timestamp {
    let time = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_nanos(i64::try_from(time.as_nanos()).unwrap())
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(ConsoleConfig::default())
    }

    /// On a free port, whatever the configuration says.
    pub(crate) fn with(mut config: ConsoleConfig) -> Self {
        config.listen.set_port(0);
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let options = StoreOptions {
            origin: Some("test.example/posse".into()),
            durability: Durability::ProcessCrash,
        };
        let store = Store::open(&state, options).unwrap();
        let board: Arc<Mutex<Option<Arc<Status>>>> = Arc::default();
        let (news, heard) = bounded(4_096);
        let reader = Arc::clone(&board);
        let inputs = Inputs {
            news: heard,
            latest: Box::new(move || reader.lock().unwrap().clone()),
            state,
        };
        let address = console::start(&config, inputs).unwrap();
        Self {
            address,
            news,
            board,
            store,
            _dir: dir,
        }
    }

    pub(crate) fn publish(&self, status: Status) {
        *self.board.lock().unwrap() = Some(Arc::new(status));
    }

    pub(crate) fn record(&mut self, entries: &[Entry]) {
        self.store.append(entries, now()).unwrap();
    }

    pub(crate) fn tell(&self, happening: Happening) {
        let news = News {
            seen: now(),
            happening,
        };
        self.news.send(Arc::new(news)).unwrap();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "Host: localhost\r\n")
    }

    /// One request; `head` is further header lines with their ends.
    pub(crate) fn ask(&self, method: &str, path: &str, head: &str) -> Answer {
        let mut stream = self.connect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        parse(&String::from_utf8_lossy(&all))
    }

    /// Opens a stream of events and reads past its head.
    pub(crate) fn follow(&self, path: &str, head: &str) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        reader
    }
}

pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Answer {
        status: status.unwrap_or_default(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The fields of the next event: event, id, data.
pub(crate) fn next_event(stream: &mut BufReader<TcpStream>) -> (String, String, String) {
    let mut found = (String::new(), String::new(), String::new());
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        let line = line.trim_end();
        if let Some(kind) = line.strip_prefix("event: ") {
            found.0 = kind.to_owned();
        } else if let Some(id) = line.strip_prefix("id: ") {
            found.1 = id.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            found.2 = data.to_owned();
        } else if line.is_empty() && !found.2.is_empty() {
            return found;
        }
    }
}

pub(crate) fn alert(value: &str, line: &str) -> Alert {
    let at = now();
    let origin = LineOrigin::Stream { line: 1 };
    Alert {
        id: AlertId::derive(&[value.as_bytes(), line.as_bytes()]),
        rule: "posse/ssh-bf".into(),
        rule_hash: String::new(),
        scope: Scope::Ip,
        value: value.into(),
        address: value.parse().ok(),
        range: None,
        first: at,
        last: at,
        events_count: 6,
        message: format!("Ip {value} performed 'posse/ssh-bf' (6 events over 219ms)"),
        remediation: true,
        simulated: false,
        labels: Default::default(),
        context: Default::default(),
        events: Vec::new(),
        evidence: vec![EvidenceLine::new(
            "/var/log/auth.log".into(),
            origin,
            at,
            line.as_bytes(),
        )],
    }
}
