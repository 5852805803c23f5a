//! Data files over HTTPS: bounded in size and time, only when the server has something newer.
//!
//! Used by an import, never by a running guard. A host that cannot be reached is asked once.

use std::{collections::BTreeSet, io::Read as _, sync::Arc, time::Duration};

use indicatif::ProgressBar;
use ureq::{
    Agent,
    http::{HeaderMap, Uri, header},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::data::{BYTES_MAX, Stamp};
use crate::ledger_command::progress;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
const WHOLE_PATIENCE: Duration = Duration::from_secs(600);
const HEADER_BYTES_MAX: usize = 64 << 10;
const REDIRECTS_MAX: u32 = 4;
const PIECE_BYTES: usize = 64 << 10;

pub(super) enum Answer {
    New { bytes: Vec<u8>, stamp: Stamp },
    Unchanged,
}

pub(super) struct Fetcher {
    bar: ProgressBar,
    /// Made when first needed: reading the machine's certificates takes its time.
    secure: Option<Agent>,
    unreachable: BTreeSet<String>,
}

impl Fetcher {
    pub(super) fn new() -> Self {
        Self {
            bar: progress("data files"),
            secure: None,
            unreachable: BTreeSet::new(),
        }
    }

    /// Which file comes next.
    pub(super) fn announce(&self, name: &str, number: u64, count: u64) {
        self.bar.set_length(0);
        self.bar.set_position(0);
        self.bar.set_message(format!("{number}/{count} {name}"));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// What `url` has, unless it is what `known` says.
    pub(super) fn get(&mut self, url: &str, known: Option<&Stamp>) -> Result<Answer, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url} is no URL: {e}"))?;
        let host = uri.host().unwrap_or_default().to_owned();
        if self.unreachable.contains(&host) {
            return Err(format!("{url}: {host} could not be reached before"));
        }
        let agent = match uri.scheme_str() {
            Some("https") => self.secure()?,
            Some("http") if is_this_machine(&host) => plain(),
            _ => return Err(format!("{url} is not fetched: only https:// is")),
        };
        let mut request = agent.get(url);
        if let Some(etag) = known.and_then(|stamp| stamp.etag.as_ref()) {
            request = request.header(header::IF_NONE_MATCH, etag);
        } else if let Some(time) = known.and_then(|stamp| stamp.last_modified.as_ref()) {
            request = request.header(header::IF_MODIFIED_SINCE, time);
        }
        let mut response = request.call().map_err(|e| {
            self.unreachable.insert(host);
            format!("{url}: {e}")
        })?;
        match response.status().as_u16() {
            200 => {}
            304 if known.is_some() => return Ok(Answer::Unchanged),
            status => return Err(format!("{url}: the server answers {status}")),
        }
        let stamp = stamp(url, response.headers());
        let is_page = text(response.headers(), header::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with("text/html"));
        if is_page {
            return Err(format!("{url}: the server answers with a web page"));
        }
        let length = response.body().content_length();
        if length.is_some_and(|length| length > BYTES_MAX) {
            return Err(format!("{url}: more than {BYTES_MAX} bytes"));
        }
        self.bar.set_length(length.unwrap_or(0));
        let bytes = self
            .read(&mut response.body_mut().as_reader())
            .map_err(|why| format!("{url}: {why}"))?;
        if length.is_some_and(|length| length != bytes.len() as u64) {
            return Err(format!("{url}: the answer ended early"));
        }
        Ok(Answer::New { bytes, stamp })
    }

    fn read(&self, body: &mut dyn std::io::Read) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut body = body.take(BYTES_MAX + 1);
        loop {
            let count = body.read(&mut piece).map_err(|e| e.to_string())?;
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            self.bar.set_position(bytes.len() as u64);
            if bytes.len() as u64 > BYTES_MAX {
                return Err(format!("more than {BYTES_MAX} bytes"));
            }
        }
    }

    fn secure(&mut self) -> Result<Agent, String> {
        if let Some(agent) = &self.secure {
            return Ok(agent.clone());
        }
        let certificates = rustls_native_certs::load_native_certs().certs;
        if certificates.is_empty() {
            return Err(
                "no certificate authority is known here; run apt-get install \
                        ca-certificates"
                    .to_owned(),
            );
        }
        let roots = certificates
            .iter()
            .map(|der| Certificate::from_der(der).to_owned());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::from(roots.collect::<Vec<_>>()))
            .build();
        let agent = patient(Agent::config_builder())
            .https_only(true)
            .max_redirects(REDIRECTS_MAX)
            .tls_config(tls)
            .build()
            .new_agent();
        self.secure = Some(agent.clone());
        Ok(agent)
    }
}

type Builder = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

fn patient(builder: Builder) -> Builder {
    builder
        .timeout_connect(Some(CONNECT_PATIENCE))
        .timeout_resolve(Some(CONNECT_PATIENCE))
        .timeout_recv_response(Some(ANSWER_PATIENCE))
        .timeout_global(Some(WHOLE_PATIENCE))
        .http_status_as_error(false)
        .max_response_header_size(HEADER_BYTES_MAX)
        .user_agent("Posse")
}

/// Without encryption only this machine is asked, and only it.
fn plain() -> Agent {
    patient(Agent::config_builder())
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .build()
        .new_agent()
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn stamp(url: &str, headers: &HeaderMap) -> Stamp {
    Stamp {
        from: url.to_owned(),
        etag: text(headers, header::ETAG),
        last_modified: text(headers, header::LAST_MODIFIED),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        thread::JoinHandle,
    };

    use super::*;

    /// Answers one request; gives what it was asked.
    fn server(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/web/list.txt", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !asked.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut asked).unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            asked.to_lowercase()
        });
        (url, thread)
    }

    fn fetch(answer: &'static str, known: Option<&Stamp>) -> (Result<Answer, String>, String) {
        let (url, thread) = server(answer);
        let got = Fetcher::new().get(&url, known);
        (got, thread.join().unwrap())
    }

    #[test]
    fn a_new_file_comes_with_what_names_its_version() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"v1\"\r\n\r\none\n";
        let (got, _) = fetch(answer, None);
        let Ok(Answer::New { bytes, stamp }) = got else {
            panic!()
        };
        assert_eq!(bytes, b"one\n");
        assert_eq!(stamp.etag.as_deref(), Some("\"v1\""));
    }

    #[test]
    fn a_known_version_is_asked_for_and_kept() {
        let known = Stamp {
            etag: Some("\"v1\"".into()),
            ..Stamp::default()
        };
        let answer = "HTTP/1.1 304 Not Modified\r\n\r\n";
        let (got, asked) = fetch(answer, Some(&known));
        assert!(matches!(got, Ok(Answer::Unchanged)));
        assert!(asked.contains("if-none-match: \"v1\""), "{asked}");
    }

    #[test]
    fn pages_errors_and_torn_answers_are_refused() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi",
            "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhi",
        ] {
            assert!(fetch(answer, None).0.is_err(), "{answer}");
        }
    }

    #[test]
    fn other_schemes_and_plain_text_to_others_are_refused() {
        for url in [
            "http://192.0.2.1/x",
            "file:///etc/passwd",
            "ftp://localhost/x",
            "no url",
        ] {
            assert!(Fetcher::new().get(url, None).is_err(), "{url}");
        }
    }

    #[test]
    fn an_unreachable_host_is_asked_once() {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let mut fetcher = Fetcher::new();
        let url = format!("http://{free}/a");
        assert!(fetcher.get(&url, None).is_err());
        let again = fetcher.get(&url, None).map(|_| ()).unwrap_err();
        assert!(again.contains("before"), "{again}");
    }
}
