//! A hub as its operator and its members meet it: the real binary over loopback.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::support::{stderr, stdout, wait_until};

/// A hub on a free loopback port; killed when dropped.
pub(crate) struct Hub {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) state: PathBuf,
}

impl Hub {
    pub(crate) fn start(state: &Path) -> Self {
        Self::start_on(state, 0)
    }

    fn start_on(state: &Path, port: u16) -> Self {
        Self::start_with(state, port, &[])
    }

    pub(crate) fn start_with(state: &Path, port: u16, extra: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_posse"))
            .args([
                "hub",
                "--listen",
                &listen,
                "--name",
                "hub.example.org",
                "--state",
            ])
            .arg(state)
            .args(extra)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .find_map(|line| line.ok().filter(|l| l.contains("listens on")))
            .unwrap();
        let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
        Self {
            child,
            port,
            state: state.to_owned(),
        }
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        ask(&self.state, arguments)
    }

    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output).trim().to_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.said(&["status", "--json"])).unwrap()
    }

    fn invite(&self, role: &str, extra: &[&str]) -> String {
        let words = ["hub", "invite", "--org", "acme", "--role", role];
        self.said(&[words.as_slice(), extra].concat())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn get(&self, path: &str, key: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut answer = agent.get(&url).header("X-Api-Key", key).call().unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), body)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ask(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_posse"));
    command
        .args(arguments)
        .arg("--state")
        .arg(state)
        .output()
        .unwrap()
}

/// A client that takes any certificate: what is tested here is the hub.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A member's own TLS connection, HTTP/1.1 by hand; one request each.
pub(crate) struct Member {
    config: Arc<rustls::ClientConfig>,
    port: u16,
}

impl Member {
    pub(crate) fn stranger(port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        Self {
            config: Arc::new(config),
            port,
        }
    }

    pub(crate) fn with(certificate: &str, key: &rcgen::KeyPair, port: u16) -> Self {
        use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_client_auth_cert(chain, key)
            .unwrap();
        Self {
            config: Arc::new(config),
            port,
        }
    }

    fn open(&self, request: impl AsRef<[u8]>) -> impl std::io::Read {
        use std::io::Write as _;
        let mut stream = self.connect();
        stream.write_all(request.as_ref()).unwrap();
        stream
    }

    pub(crate) fn connect(&self) -> impl std::io::Read + std::io::Write + use<> {
        let name = "hub.example.org".try_into().unwrap();
        let tls = rustls::ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let tcp = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(20)))
            .unwrap();
        rustls::StreamOwned::new(tls, tcp)
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(method, path, body.as_bytes())
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        use std::io::Read as _;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: hub.example.org\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        let mut text = Vec::new();
        // A connection that ends without the close_notify of TLS is no matter here.
        self.open(&request).read_to_end(&mut text).ok();
        let text = String::from_utf8_lossy(&text).into_owned();
        let status = text.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

fn point(key: &rcgen::KeyPair) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(key.public_key_raw())
}

pub(crate) fn join_request(token: &str, name: &str, key: &rcgen::KeyPair, seed: u8) -> Value {
    let signing = fleet::SigningKey::from_seed(&[seed; 32]).unwrap();
    json!({
        "token": token,
        "name": name,
        "tls_key": point(key),
        "statement_key": signing.public(),
        "version": "0.0.0",
    })
}

pub(crate) fn new_key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

#[test]
fn bans_keys_and_generation_survive_a_killed_hub() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("hub");
    let mut hub = Hub::start(&state);
    let made = hub.said(&["keys", "add", "door", "--kind", "bouncer"]);
    let key = made.strip_prefix("api_key: ").unwrap().to_owned();
    let said = hub.said(&["ban", "203.0.113.9", "--for", "2h", "--reason", "test"]);
    assert!(said.contains("ledger entry"), "{said}");
    hub.said(&["ban", "203.0.113.10"]);
    hub.said(&["unban", "203.0.113.10"]);
    for (harmful, why) in [
        ("127.0.0.1", "own address"),
        ("8.8.8.8", "public resolvers"),
        ("8.8.8.0/24", "public resolvers"),
    ] {
        let refused = hub.ask(&["ban", harmful]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(why),
            "{harmful}: {said}"
        );
    }
    wait_until("the status knows", || {
        hub.status()["hub"]["communities"][0]["bans"] == 1
    });
    let before = hub.status()["hub"]["communities"][0].clone();
    hub.kill();
    let stopped = ask(&state, &["keys", "list", "--json"]);
    assert!(
        stdout(&stopped).contains("door"),
        "keys can be listed with the hub stopped"
    );
    let hub = Hub::start(&state);
    let bans = hub.said(&["bans", "--json"]);
    assert!(
        bans.contains("203.0.113.9/32") || bans.contains("203.0.113.9"),
        "{bans}"
    );
    assert!(
        !bans.contains("203.0.113.10"),
        "a released ban stays released: {bans}"
    );
    wait_until("the status is there", || {
        hub.status()["hub"]["communities"][0].is_object()
    });
    let after = hub.status()["hub"]["communities"][0].clone();
    assert_eq!(after["generation"], before["generation"]);
    assert_eq!(after["digest"], before["digest"]);
    let (status, body) = hub.get("/v1/decisions/stream?startup=true", &key);
    assert_eq!(status, 200);
    assert!(body.contains("203.0.113.9"), "{body}");
    assert_eq!(hub.get("/v1/decisions/stream?startup=true", "wrong").0, 403);
}

#[test]
fn a_token_serves_once_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&dir.path().join("hub"));
    let stranger = Member::stranger(hub.port);
    let key = new_key();
    let token = hub.invite("guard", &[]);
    let join = |request: &Value| stranger.call("POST", "/fleet/v1/join", request);
    let (status, made) = join(&join_request(&token, "web-1", &key, 1));
    assert_eq!(status, 200, "{made}");
    assert_eq!(made["organisation"], "acme");
    // The same keys may ask again: the answer may have been lost.
    assert_eq!(join(&join_request(&token, "web-1", &key, 1)).0, 200);
    let (status, fault) = join(&join_request(&token, "web-2", &new_key(), 2));
    assert_eq!((status, &fault["code"]), (403, &json!("token_used")));
    let short = hub.invite("guard", &["--for", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let (status, fault) = join(&join_request(&short, "web-3", &new_key(), 3));
    assert_eq!((status, &fault["code"]), (403, &json!("token_expired")));
    let (status, fault) = join(&join_request("pj1.AAAA", "web-4", &new_key(), 4));
    assert_eq!((status, &fault["code"]), (403, &json!("token_wrong")));
    let ledger = stdout(&ask(&hub.state, &["ledger", "show"]));
    assert!(ledger.contains("\"act\":\"joined\"") && ledger.contains("\"act\":\"login_refused\""));
}

#[test]
fn a_revoked_certificate_is_cut_off_at_once() {
    use std::io::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&dir.path().join("hub"));
    let key = new_key();
    let token = hub.invite("guard", &[]);
    let request = join_request(&token, "web-1", &key, 1);
    let (_, made) = Member::stranger(hub.port).call("POST", "/fleet/v1/join", &request);
    let member = Member::with(made["certificate"].as_str().unwrap(), &key, hub.port);
    let here = json!({"version": "1", "communities": [], "sources": 2, "bans_local": 0,
        "drops": [], "uptime_seconds": 1});
    assert_eq!(member.call("POST", "/fleet/v1/here", &here).0, 200);
    let stranger = Member::stranger(hub.port);
    assert_eq!(stranger.call("POST", "/fleet/v1/here", &here).0, 401);
    assert_eq!(
        member.call("GET", "/fleet/v1/other/stream", &Value::Null).0,
        403
    );
    let (status, renewed) = member.call(
        "POST",
        "/fleet/v1/renew",
        &json!({"tls_key": point(&key), "version": "1"}),
    );
    assert_eq!(status, 200, "{renewed}");
    let mut stream = member.open(
        "GET /fleet/v1/main/stream?from=0&roster=0 HTTP/1.1\r\nhost: hub.example.org\r\n\
         connection: close\r\n\r\n",
    );
    let mut some = [0; 4_096];
    let first = stream.read(&mut some).unwrap();
    assert!(String::from_utf8_lossy(&some[..first]).starts_with("HTTP/1.1 200"));
    wait_until("the stream is counted", || {
        hub.said(&["members", "--json"]).contains("\"streams\":1")
    });
    hub.said(&["hub", "revoke", "--org", "acme", "--member", "web-1"]);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let is_timeout = ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!is_timeout, "the stream must end by itself");
    let (status, fault) = member.call("POST", "/fleet/v1/here", &here);
    assert_eq!((status, &fault["code"]), (403, &json!("revoked")));
    let again = Member::with(renewed["certificate"].as_str().unwrap(), &key, hub.port);
    assert_eq!(again.call("POST", "/fleet/v1/here", &here).0, 403);
}

#[test]
fn a_witness_may_neither_read_nor_state() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&dir.path().join("hub"));
    let key = new_key();
    let token = hub.invite("witness", &[]);
    let request = join_request(&token, "eye", &key, 1);
    let (_, made) = Member::stranger(hub.port).call("POST", "/fleet/v1/join", &request);
    let member = Member::with(made["certificate"].as_str().unwrap(), &key, hub.port);
    for (method, path) in [
        ("GET", "/fleet/v1/main/stream"),
        ("POST", "/fleet/v1/main/statements"),
        ("POST", "/fleet/v1/main/appeals"),
    ] {
        let body = json!({"prefix": "203.0.113.9", "reason": "x"});
        let (status, fault) = member.call(method, path, &body);
        assert_eq!(
            (status, &fault["code"]),
            (403, &json!("role")),
            "{method} {path}"
        );
    }
}

/// A signed ban, as a member sends it.
fn signed_ban(community: &str, seed: u8, sequence: u64, prefix: &str, tlp: model::Tlp) -> Vec<u8> {
    let key = fleet::SigningKey::from_seed(&[seed; 32]).unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let ban = fleet::Ban {
        prefix: prefix.parse().unwrap(),
        lasts: 600,
        kind: "ssh-bf".into(),
        reason: "test".into(),
        tlp,
        provenance: [1; 16],
    };
    let statement = fleet::Statement {
        community: community.parse().unwrap(),
        key: key.id(),
        sequence,
        at: fleet::HubTime(now.try_into().unwrap()),
        ops: vec![fleet::Op::Ban(ban)],
    };
    fleet::SignedStatement::sign(statement, &key)
        .unwrap()
        .encode()
        .to_vec()
}

#[test]
fn each_community_has_its_own_members_rules_and_labels() {
    use model::Tlp::{Amber, Clear, Green};
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&dir.path().join("hub"));
    let mut members = Vec::new();
    for (seed, community) in [(1, "east"), (2, "west")] {
        let org = format!("{community}-org");
        let extra = ["--org", &org, "--community", community];
        let said = hub.said(&[&["hub", "invite", "--role", "guard"], &extra[..]].concat());
        let key = new_key();
        let request = join_request(said.trim(), "web-1", &key, seed);
        let (status, made) = Member::stranger(hub.port).call("POST", "/fleet/v1/join", &request);
        assert_eq!(status, 200, "{made}");
        let certificate = made["certificate"].as_str().unwrap();
        members.push(Member::with(certificate, &key, hub.port));
    }
    let [east, west] = &members[..] else { panic!() };
    let state = |who: &Member, to: &str, bytes: &[u8]| {
        who.send("POST", &format!("/fleet/v1/{to}/statements"), bytes)
    };
    // Nobody states, or listens, where it is no member.
    let stray = signed_ban("east", 2, 1, "203.0.113.9", Green);
    assert_eq!(state(west, "east", &stray).0, 403);
    let path = "/fleet/v1/east/stream?from=0&roster=0";
    assert_eq!(west.call("GET", path, &Value::Null).0, 403);
    let told = hub.said(&["hub", "rules", "--community", "east", "--tlp", "green"]);
    assert!(told.contains("up to TLP:green"), "{told}");
    let (status, fault) = state(
        east,
        "east",
        &signed_ban("east", 1, 1, "203.0.113.9", Amber),
    );
    assert_eq!((status, &fault["code"]), (422, &json!("ops_refused")));
    assert!(fault.to_string().contains("ceiling of east"), "{fault}");
    let (status, _) = state(
        west,
        "west",
        &signed_ban("west", 2, 2, "203.0.113.9", Amber),
    );
    assert_eq!(status, 200, "the other community kept its ceiling");
    // A rule of one community is none of the other.
    hub.said(&[
        "hub",
        "rules",
        "--community",
        "east",
        "--never",
        "198.51.100.0/24",
    ]);
    let (status, fault) = state(
        east,
        "east",
        &signed_ban("east", 1, 2, "198.51.100.7", Clear),
    );
    assert_eq!(status, 422);
    assert!(
        fault.to_string().contains("never banned in east"),
        "{fault}"
    );
    let (status, _) = state(
        west,
        "west",
        &signed_ban("west", 2, 3, "198.51.100.7", Clear),
    );
    assert_eq!(status, 200);
    let ledger = hub.said(&["ledger", "show", "--limit", "100"]);
    assert!(ledger.contains("east: up to TLP:green"), "{ledger}");
    assert!(
        !hub.ask(&["hub", "rules", "--community", "south"])
            .status
            .success()
    );
    assert!(
        !hub.ask(&["hub", "rules", "--widest-ipv4", "3"])
            .status
            .success()
    );
}

#[test]
fn a_guard_renews_its_certificate_and_goes_on_with_the_new_one() {
    use crate::support::{Guard, Site};
    use sha2::Digest as _;
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&dir.path().join("hub"));
    let token = hub.invite("guard", &[]);
    let site = Site::new();
    let url = format!("https://127.0.0.1:{}", hub.port);
    let joined = site.ask(&["join", &url, &token]);
    assert!(joined.status.success(), "{}", stderr(&joined));
    // Four days pass: more than half of the seven that the certificate is good for.
    let file = find(&site.state(), "membership.json");
    let kept = || -> Value {
        let bytes = std::fs::read(&file).unwrap_or_default();
        // Its SHA-256 stands behind it.
        let end = bytes.len().saturating_sub(32);
        serde_json::from_slice(&bytes[..end]).unwrap_or_default()
    };
    let mut membership = kept();
    let first = membership["certificate"].clone();
    let issued: jiff::Timestamp = membership["issued"].as_str().unwrap().parse().unwrap();
    let earlier = issued - jiff::SignedDuration::from_hours(4 * 24);
    membership["issued"] = json!(earlier.to_string());
    let mut bytes = membership.to_string().into_bytes();
    let hash: [u8; 32] = sha2::Sha256::digest(&bytes).into();
    bytes.extend(hash);
    std::fs::write(&file, bytes).unwrap();
    let mut guard = Guard::start(&site, None, &["--observe"]);
    wait_until("the certificate is another", || {
        kept()["certificate"].is_string() && kept()["certificate"] != first
    });
    let ledger = hub.said(&["ledger", "show", "--limit", "1000"]);
    assert!(ledger.contains("\"act\":\"renewed\""), "{ledger}");
    // It is the new one that counts after both were started again.
    guard.stop();
    let port = hub.port;
    hub.kill();
    let hub = Hub::start_on(&dir.path().join("hub"), port);
    let _again = Guard::start(&site, None, &["--observe"]);
    wait_until("its stream is open", || {
        hub.said(&["members", "--json"]).contains("\"streams\":1")
    });
}

fn find(folder: &Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with(name) => return path,
                false => {}
            }
        }
    }
    panic!("no {name}");
}

#[test]
fn a_reporters_autonomous_system_is_known_where_a_database_tells_it() {
    let dir = tempfile::tempdir().unwrap();
    let networks = dir.path().join("GeoLite2-ASN.mmdb");
    let record = json!({"autonomous_system_number": 64_500,
        "autonomous_system_organization": "Example"});
    crate::geoip::write(&networks, &[("127.0.0.0/8", record)]);
    let extra = ["--asn", networks.to_str().unwrap()];
    let hub = Hub::start_with(&dir.path().join("hub"), 0, &extra);
    let token = hub.invite("guard", &[]);
    let key = new_key();
    let request = join_request(&token, "web-1", &key, 1);
    let (_, made) = Member::stranger(hub.port).call("POST", "/fleet/v1/join", &request);
    let member = Member::with(made["certificate"].as_str().unwrap(), &key, hub.port);
    let ban = signed_ban("main", 1, 1, "203.0.113.9", model::Tlp::Green);
    let (status, answer) = member.send("POST", "/fleet/v1/main/statements", &ban);
    assert_eq!(status, 200, "{answer}");
    let told = hub.said(&["explain", "203.0.113.9"]);
    assert!(
        told.contains("in main:\n  203.0.113.9: plain host\n"),
        "{told}"
    );
    assert!(
        told.contains("  acme (AS64500, 127.0.0.0/24): ssh-bf"),
        "{told}"
    );
}
