//! CrowdSec's own programs, unmodified from Debian, against a hub: the agent reports, the
//! firewall bouncer enforces in a namespace's kernel, cscli lists and deletes.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Namespace, POSSE, failed_login, stdout, wait_until};

const LISTEN: &str = "127.0.0.1:8080";
const MACHINE: &str = "web-1";
const PASSWORD: &str = "a-password-of-some-length";
/// The bouncer polls every ten seconds by default, so that an answer held over a tick is followed
/// by the next request at once.
const TICK: Duration = Duration::from_secs(10);

/// CrowdSec's packages, unpacked and not installed; `None` after saying what is missing.
fn peers(test: &str) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/peers.sh");
    let output = Command::new("timeout")
        .args(["-k", "5", "300"])
        .arg(script)
        .output()
        .unwrap();
    let dir = PathBuf::from(stdout(&output).trim());
    let complete = |package: &str| dir.join(package).join(".complete").is_file();
    if output.status.success() && complete("crowdsec") && complete("crowdsec-firewall-bouncer") {
        return Some(dir);
    }
    println!("SKIPPED: {test}: no CrowdSec packages: bench/peers.sh cannot fetch them here");
    None
}

/// A hub in a namespace, with CrowdSec's programs around it.
struct Place {
    net: Namespace,
    dir: TempDir,
    peers: PathBuf,
    key: String,
    children: Vec<Child>,
}

impl Place {
    fn new(test: &str) -> Option<Self> {
        let net = Namespace::new(test)?;
        let peers = peers(test)?;
        let mut place = Self {
            net,
            dir: tempfile::tempdir().unwrap(),
            peers,
            key: String::new(),
            children: Vec::new(),
        };
        place.start(
            "hub",
            &[
                POSSE,
                "hub",
                "--listen",
                LISTEN,
                "--state",
                &place.path("hub"),
            ],
        );
        wait_until("the hub listens", || place.http("GET", "/health").is_some());
        place.key = secret(&place.posse(&["keys", "add", "fw", "--kind", "bouncer"]));
        place.posse(&[
            "keys",
            "add",
            MACHINE,
            "--kind",
            "machine",
            "--password",
            PASSWORD,
        ]);
        Some(place)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn start(&mut self, name: &str, words: &[&str]) {
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let child = self
            .net
            .command(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.push(child);
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default()
    }

    /// A command to the hub by its control socket.
    fn posse(&self, words: &[&str]) -> String {
        let output = Command::new(POSSE)
            .args(words)
            .args(["--state", &self.path("hub")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "posse {words:?}: {said}");
        stdout(&output)
    }

    /// The body of a 2xx answer to a bouncer's request.
    fn http(&self, method: &str, path: &str) -> Option<String> {
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                self.net.enter();
                http(method, path, &self.key)
            });
            asked.join().unwrap()
        })
    }

    //-------- CrowdSec's programs -------------------------------------------

    fn bouncer(&mut self) {
        let text = BOUNCER
            .replace("DIR", &self.path("bouncer"))
            .replace("KEY", &self.key);
        self.write("bouncer/bouncer.yaml", &text);
        let binary = "crowdsec-firewall-bouncer/usr/bin/crowdsec-firewall-bouncer";
        let binary = self.peers.join(binary).display().to_string();
        let config = self.path("bouncer/bouncer.yaml");
        self.start("bouncer", &[&binary, "-c", &config]);
        wait_until("the bouncer runs", || {
            let said = self.said("bouncer");
            assert!(!said.contains("level=fatal"), "{said}");
            said.contains("Processing new and deleted decisions")
        });
    }

    /// Configuration for the agent and cscli: the package's own parsers and scenarios for sshd.
    fn configure_agent(&self) {
        let hub = self.peers.join("crowdsec/usr/share/crowdsec/hub");
        let etc = self.peers.join("crowdsec/etc/crowdsec");
        for (folder, name) in ITEMS {
            let item = hub
                .join(folder)
                .join("crowdsecurity")
                .join(format!("{name}.yaml"));
            self.write(
                &format!("cs/{folder}/{name}.yaml"),
                &fs::read_to_string(item).unwrap(),
            );
        }
        for folder in ["data", "notifications", "plugins"] {
            fs::create_dir_all(self.dir.path().join("cs").join(folder)).unwrap();
        }
        let copy = |from: &Path, to: &str| {
            self.write(to, &fs::read_to_string(from).unwrap());
        };
        copy(&hub.join(".index.json"), "cs/hub/.index.json");
        copy(&etc.join("simulation.yaml"), "cs/simulation.yaml");
        for entry in fs::read_dir(etc.join("patterns")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            copy(&path, &format!("cs/patterns/{name}"));
        }
        self.write("cs/config.yaml", &AGENT.replace("DIR", &self.path("cs")));
        self.write(
            "cs/credentials.yaml",
            &format!("url: http://{LISTEN}/\nlogin: {MACHINE}\npassword: {PASSWORD}\n"),
        );
        self.write(
            "cs/acquis.yaml",
            &format!(
                "filenames: [{}]\nlabels: {{type: syslog}}\n",
                self.path("auth.log")
            ),
        );
        self.write("auth.log", "");
    }

    fn agent(&mut self) {
        self.configure_agent();
        let binary = self
            .peers
            .join("crowdsec/usr/bin/crowdsec")
            .display()
            .to_string();
        let config = self.path("cs/config.yaml");
        self.start("agent", &[&binary, "-c", &config]);
        wait_until("the agent follows the log", || {
            let said = self.said("agent");
            assert!(!said.contains("level=fatal"), "{said}");
            said.contains("Starting processing data")
        });
    }

    fn cscli(&self, words: &[&str]) -> String {
        let output = self
            .net
            .command(self.peers.join("crowdsec/usr/bin/cscli"))
            .args(["-c", &self.path("cs/config.yaml")])
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cscli {words:?}: {said}");
        format!("{}{said}", stdout(&output))
    }

    /// Lines that the agent's ssh-bf scenario takes as an attack.
    fn attack(&self, address: &str) {
        let lines = (0..7).fold(String::new(), |mut lines, port| {
            let _ = write!(lines, "{}", failed_login(address, 40_000 + port));
            lines
        });
        let mut log = fs::OpenOptions::new()
            .append(true)
            .open(self.path("auth.log"))
            .unwrap();
        log.write_all(lines.as_bytes()).unwrap();
    }

    //-------- The kernel ----------------------------------------------------

    fn in_kernel(&self, address: &str) -> bool {
        let element = format!("{{ {address} }}");
        let words = [
            "nft",
            "get",
            "element",
            "ip",
            "crowdsec",
            "crowdsec-blacklists",
            &element,
        ];
        self.net.run(&words).status.success()
    }

    fn elements(&self) -> usize {
        let words = [
            "nft",
            "-j",
            "list",
            "set",
            "ip",
            "crowdsec",
            "crowdsec-blacklists",
        ];
        let listing: Value = serde_json::from_slice(&self.net.run(&words).stdout).unwrap();
        let objects = listing["nftables"].as_array().unwrap().clone();
        let sets = objects.iter().filter_map(|o| o["set"]["elem"].as_array());
        sets.map(Vec::len).sum()
    }

    /// How long after the hub shows a ban the kernel holds it.
    fn delay(&self, address: &str) -> Duration {
        thread::scope(|scope| {
            let accepted = scope.spawn(|| {
                self.net.enter();
                let path = format!("/v1/decisions?ip={address}");
                wait_until("the hub has the ban", || {
                    http("GET", &path, &self.key).is_some_and(|body| body != "null")
                });
                Instant::now()
            });
            wait_until("the kernel has the ban", || self.in_kernel(address));
            let enforced = Instant::now();
            enforced.saturating_duration_since(accepted.join().unwrap())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.kill().ok();
            child.wait().ok();
        }
        if thread::panicking() {
            for name in ["hub", "agent", "bouncer"] {
                let said = self.said(name);
                let tail: Vec<&str> = said.lines().rev().take(15).collect();
                println!("--- {name}");
                tail.iter().rev().for_each(|line| println!("{line}"));
            }
        }
    }
}

fn http(method: &str, path: &str, key: &str) -> Option<String> {
    let mut stream = TcpStream::connect(LISTEN).ok()?;
    let request = format!("{method} {path} HTTP/1.0\r\nHost: hub\r\nX-Api-Key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?;
    status.starts_with('2').then(|| body.to_owned())
}

/// The key that `posse keys add` printed: its longest word.
fn secret(printed: &str) -> String {
    let words = printed.split_whitespace();
    words.max_by_key(|word| word.len()).unwrap().to_owned()
}

const ITEMS: [(&str, &str); 4] = [
    ("parsers/s00-raw", "syslog-logs"),
    ("parsers/s01-parse", "sshd-logs"),
    ("parsers/s02-enrich", "dateparse-enrich"),
    ("scenarios", "ssh-bf"),
];

/// As the package ships it, with paths of our own.
const AGENT: &str = "\
common: {daemonize: false, log_media: stdout, log_level: info, working_dir: DIR}
config_paths:
  config_dir: DIR
  data_dir: DIR/data
  simulation_path: DIR/simulation.yaml
  hub_dir: DIR/hub
  index_path: DIR/hub/.index.json
  notification_dir: DIR/notifications
  plugin_dir: DIR/plugins
crowdsec_service: {acquisition_path: DIR/acquis.yaml, parser_routines: 1}
cscli: {output: json}
db_config: {log_level: warning, type: sqlite, db_path: DIR/data/crowdsec.db}
plugin_config: {user: nobody, group: nogroup}
api:
  client: {insecure_skip_verify: false, credentials_path: DIR/credentials.yaml}
prometheus: {enabled: false}
";

/// As the package ships it, with paths, address and key of our own.
const BOUNCER: &str = "\
mode: nftables
pid_dir: DIR
update_frequency: 10s
daemonize: false
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:8080/
api_key: KEY
insecure_skip_verify: false
disable_ipv6: false
deny_action: DROP
deny_log: false
supported_decisions_types: [ban]
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
ipset_type: nethash
iptables_chains: [INPUT]
nftables:
  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}
  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}
prometheus: {enabled: false}
";

#[test]
fn a_stock_agents_alerts_reach_a_stock_bouncers_kernel_within_a_second() {
    let Some(mut place) = Place::new("stock agent and bouncer") else {
        return;
    };
    place.agent();
    place.bouncer();
    let mut delays = Vec::new();
    for n in 1..=10 {
        // An attacker every ten seconds and a bit; not in step with the bouncer's ticks.
        thread::sleep(TICK + Duration::from_millis(370 * (n % 4) + 500));
        let address = format!("192.0.2.{n}");
        place.attack(&address);
        delays.push(place.delay(&address));
    }
    println!("from the hub's acceptance to the kernel: {delays:?}");
    assert!(
        delays.iter().all(|d| *d < Duration::from_secs(1)),
        "{delays:?}"
    );

    // Ten at once are one answer.
    thread::sleep(2 * TICK);
    let wave: Vec<String> = (101..=110).map(|n| format!("192.0.2.{n}")).collect();
    wave.iter().for_each(|address| place.attack(address));
    let delays: Vec<Duration> = thread::scope(|scope| {
        let place = &place;
        let waiting: Vec<_> = wave
            .iter()
            .map(|address| scope.spawn(move || place.delay(address)))
            .collect();
        waiting.into_iter().map(|w| w.join().unwrap()).collect()
    });
    println!("ten at once: {delays:?}");
    assert!(
        delays.iter().all(|d| *d < Duration::from_secs(1)),
        "{delays:?}"
    );
}

#[test]
fn a_network_really_blocks_all_of_its_addresses_and_an_unban_none() {
    let Some(mut place) = Place::new("stock bouncer and a network") else {
        return;
    };
    place.posse(&["ban", "198.51.100.0/24"]);
    place.bouncer();
    wait_until("the first address is in", || {
        place.in_kernel("198.51.100.0")
    });
    assert_eq!(place.elements(), 256);
    for n in [1, 7, 128, 254, 255] {
        assert!(place.in_kernel(&format!("198.51.100.{n}")), "{n}");
    }
    thread::sleep(TICK + Duration::from_secs(1));
    place.posse(&["ban", "203.0.113.0/24"]);
    assert!(place.delay("203.0.113.255") < Duration::from_secs(1));
    assert_eq!(place.elements(), 512);
    // Shorter, and inside: its end must not open the network.
    place.posse(&["ban", "203.0.113.9", "--for", "1h"]);
    place.posse(&["unban", "203.0.113.9"]);
    place.posse(&["unban", "198.51.100.0/24"]);
    wait_until("the network is gone", || place.elements() == 256);
    assert!(place.in_kernel("203.0.113.9"));
    place.posse(&["unban", "203.0.113.0/24"]);
    wait_until("nothing is left", || place.elements() == 0);
}

#[test]
fn cscli_lists_adds_and_deletes_on_a_hub() {
    let Some(place) = Place::new("stock cscli") else {
        return;
    };
    place.configure_agent();
    place.cscli(&["lapi", "status"]);
    place.cscli(&["decisions", "add", "--ip", "192.0.2.9", "--duration", "30m"]);
    place.cscli(&[
        "decisions",
        "add",
        "--range",
        "198.51.100.0/24",
        "--reason",
        "a test",
    ]);
    let alerts: Value = first_json(&place.cscli(&["alerts", "list"]));
    assert_eq!(alerts.as_array().unwrap().len(), 2);
    let decisions: Value = first_json(&place.cscli(&["decisions", "list"]));
    let text = decisions.to_string();
    assert!(
        text.contains("192.0.2.9") && text.contains("198.51.100.0/24"),
        "{text}"
    );
    let bouncer = place
        .http("GET", "/v1/decisions/stream?startup=true")
        .unwrap();
    let bouncer: Value = serde_json::from_str(&bouncer).unwrap();
    assert_eq!(bouncer["new"].as_array().unwrap().len(), 2);
    place.cscli(&["decisions", "delete", "--ip", "192.0.2.9"]);
    assert_eq!(
        place.http("GET", "/v1/decisions?ip=192.0.2.9").unwrap(),
        "null"
    );
    place.cscli(&["alerts", "inspect", "1"]);
    place.cscli(&["decisions", "delete", "--all"]);
    assert_eq!(place.http("GET", "/v1/decisions").unwrap(), "null");
}

/// What comes before cscli's log lines.
fn first_json(text: &str) -> Value {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    values.next().unwrap().unwrap()
}
