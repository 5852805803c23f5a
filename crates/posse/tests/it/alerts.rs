//! Alerts on their way to people: a real guard, Debian's Postfix, a webhook receiver that checks
//! signatures, syslog, the journal's socket and a command, all in a namespace of the test's own.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::support::{Guard, Namespace, Site, failed_login, stderr, stdout, wait_until};

/// From the line that is one too many to the alert at its receiver.
const ARRIVES_WITHIN: Duration = Duration::from_secs(1);
const SECRET: &str = "correct horse battery staple";
const MAIL_PORT: u16 = 2525;
const HOOK_PORT: u16 = 8081;
const SYSLOG_PORT: u16 = 5140;

/// Writes one JSON line for every message: what came, when, and whether the signature holds.
const RECEIVER: &str = r#"
import hashlib, hmac, json, http.server, socketserver, sys, threading, time
secret, hook, syslog, out = sys.argv[1].encode(), int(sys.argv[2]), int(sys.argv[3]), open(sys.argv[4], "a")
lock = threading.Lock()
def note(kind, **more):
    with lock:
        out.write(json.dumps(dict(kind=kind, at=time.time(), **more)) + "\n")
        out.flush()
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        stamp = self.headers["Posse-Timestamp"]
        right = hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        good = hmac.compare_digest("sha256=" + right, self.headers["Posse-Signature"])
        fresh = abs(time.time() - int(stamp)) < 300
        self.send_response(204 if good and fresh else 403)
        self.end_headers()
        note("hook", good=good and fresh, body=json.loads(body))
    def log_message(self, *_):
        pass
class Syslog(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = b""
            while not head.endswith(b" "):
                byte = self.rfile.read(1)
                if not byte:
                    return
                head += byte
            note("syslog", body=self.rfile.read(int(head)).decode())
socketserver.TCPServer.allow_reuse_address = True
servers = [http.server.ThreadingHTTPServer(("127.0.0.1", hook), Hook),
           socketserver.ThreadingTCPServer(("127.0.0.1", syslog), Syslog)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
note("ready")
servers[0].serve_forever()
"#;

struct Receivers {
    child: Child,
    seen: PathBuf,
}

impl Receivers {
    fn start(site: &Site, net: &Namespace) -> Self {
        let (script, seen) = (site.path("receiver.py"), site.path("seen.jsonl"));
        fs::write(&script, RECEIVER).unwrap();
        let before = read_lines(&seen, "ready").len();
        let child = net
            .command("python3")
            .arg(script)
            .args([SECRET, &HOOK_PORT.to_string(), &SYSLOG_PORT.to_string()])
            .arg(&seen)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the receivers listen", || {
            read_lines(&seen, "ready").len() > before
        });
        Self { child, seen }
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        read_lines(&self.seen, kind)
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_lines(path: &Path, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
    lines.filter(|line: &Value| line["kind"] == kind).collect()
}

/// Debian's Postfix, with a configuration, queue and mailbox of its own.
struct Postfix<'a> {
    net: &'a Namespace,
    dir: tempfile::TempDir,
}

impl<'a> Postfix<'a> {
    /// `None` with the reason said, when there is no Postfix here.
    fn install(net: &'a Namespace, test: &str) -> Option<Self> {
        let there = |program: &str| Command::new(program).arg("-h").output().is_ok();
        if !Path::new("/usr/sbin/postfix").exists() || !there("openssl") {
            println!(
                "SKIPPED: {test}: needs a mail server \
                 (apt-get install --no-install-recommends postfix openssl)"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let server = Self { net, dir };
        open_to_all(server.dir.path());
        for name in ["etc", "queue", "data", "mail"] {
            fs::create_dir(server.path(name)).unwrap();
        }
        run(&["chown", "postfix", &server.text("data")]);
        run(&["chown", "postfix", &server.text("mail")]);
        let (key, certificate) = (server.text("etc/key.pem"), server.text("etc/cert.pem"));
        run(&[
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mail.example.net",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
        fs::write(server.path("etc/main.cf"), server.main()).unwrap();
        fs::write(server.path("etc/master.cf"), MASTER).unwrap();
        Some(server)
    }

    fn main(&self) -> String {
        let base = self.dir.path().display();
        let owner = stdout(&Command::new("id").args(["-u", "postfix"]).output().unwrap());
        let owner = owner.trim();
        format!(
            "compatibility_level = 3.6\nqueue_directory = {base}/queue\n\
             data_directory = {base}/data\ncommand_directory = /usr/sbin\n\
             daemon_directory = /usr/lib/postfix/sbin\nmyhostname = mail.example.net\n\
             mydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nvirtual_mailbox_domains = example.net\n\
             virtual_mailbox_base = {base}/mail\nvirtual_mailbox_maps = static:box/\n\
             virtual_minimum_uid = 1\nvirtual_uid_maps = static:{owner}\n\
             virtual_gid_maps = static:{owner}\nsmtpd_tls_cert_file = {base}/etc/cert.pem\n\
             smtpd_tls_key_file = {base}/etc/key.pem\nsmtpd_tls_security_level = encrypt\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n\
             maillog_file = {base}/maillog\nmaillog_file_prefixes = {base}\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn start(&self) {
        self.order("start");
        let port = format!(":{MAIL_PORT}");
        wait_until("the mail server listens", || {
            stdout(&self.net.run(&["ss", "-ltn"])).contains(&port)
        });
    }

    fn order(&self, what: &str) {
        let etc = self.text("etc");
        self.net.run(&["postfix", "-c", &etc, what]);
    }

    /// Mails in the box, with the time each was delivered.
    fn mails(&self) -> Vec<(SystemTime, String)> {
        let Ok(entries) = fs::read_dir(self.path("mail/box/new")) else {
            return Vec::new();
        };
        let mails = entries.flatten().filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, text))
        });
        let mut mails: Vec<_> = mails.collect();
        mails.sort();
        mails
    }
}

impl Drop for Postfix<'_> {
    fn drop(&mut self) {
        self.order("stop");
    }
}

const MASTER: &str = "127.0.0.1:2525 inet n - n - - smtpd
127.0.0.1:2465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

fn secret_file(site: &Site) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = site.path("secret");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// Mail, webhook and syslog; `window` groups.
fn network_channels(site: &Site, mail: &Postfix<'_>, window: &str) -> String {
    let (certificate, secret) = (mail.text("etc/cert.pem"), secret_file(site));
    format!(
        "[alerts]\ngroup_for = {window:?}\nretry_max = \"1s\"\ndigest_at = \"off\"\n\
         [[alerts.channel]]\nkind = \"email\"\nhost = \"127.0.0.1\"\nport = {MAIL_PORT}\n\
         ca_file = {certificate:?}\nfrom = \"Posse <posse@example.net>\"\n\
         to = [\"admin@example.net\"]\n\
         [[alerts.channel]]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{HOOK_PORT}/hook\"\n\
         secret_file = {secret:?}\n\
         [[alerts.channel]]\nkind = \"syslog\"\naddress = \"tcp://127.0.0.1:{SYSLOG_PORT}\"\n"
    )
}

fn attack(site: &Site, address: &str) -> SystemTime {
    let text: String = (0..5).map(|n| failed_login(address, 40_000 + n)).collect();
    site.append(&text);
    let began = SystemTime::now();
    site.append(&failed_login(address, 40_005));
    began
}

fn late(since: SystemTime, at: SystemTime) -> Duration {
    at.duration_since(since).unwrap_or_default()
}

fn stamp(line: &Value) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(line["at"].as_f64().unwrap())
}

#[test]
fn an_alert_is_everywhere_within_a_second() {
    const TEST: &str = "alerts on all channels";
    let Some(net) = Namespace::new(TEST) else {
        return;
    };
    let Some(mail) = Postfix::install(&net, TEST) else {
        return;
    };
    mail.start();
    let site = Site::new();
    let seen = Receivers::start(&site, &net);
    let journal = UnixDatagram::bind(site.path("journal.sock")).unwrap();
    journal
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let got = site.path("command.json");
    let certificate = mail.text("etc/cert.pem");
    site.configure(&format!(
        "{}[[alerts.channel]]\nkind = \"email\"\nname = \"implicit\"\nhost = \"127.0.0.1\"\n\
         port = 2465\ntls = \"implicit\"\nca_file = {certificate:?}\n\
         from = \"posse@example.net\"\nto = [\"oncall@example.net\"]\n\
         [[alerts.channel]]\nkind = \"journal\"\nsocket = {:?}\n\
         [[alerts.channel]]\nkind = \"command\"\nrun = [\"/bin/sh\", \"-c\", \"cat > {}\"]\n\
         [sandbox]\nwrite = [{:?}]\n",
        network_channels(&site, &mail, "5m"),
        site.path("journal.sock"),
        got.display(),
        site.dir.path(),
    ));
    let config = site.config().display().to_string();
    let tried = net.run(&[crate::support::POSSE, "alert", "test", "--config", &config]);
    assert!(
        tried.status.success(),
        "{}{}",
        stdout(&tried),
        stderr(&tried)
    );
    assert_eq!(
        stdout(&tried).matches("\nok").count() + 1,
        6,
        "{}",
        stdout(&tried)
    );
    wait_until("both test mails are delivered", || mail.mails().len() == 2);
    let (hooks, lines) = (seen.of("hook").len(), seen.of("syslog").len());
    journal.recv(&mut [0; 65_536]).unwrap();
    fs::remove_file(&got).unwrap();

    let _guard = Guard::start(&site, Some(&net), &[]);
    let began = attack(&site, "198.51.100.20");
    let mut datagram = [0; 65_536];
    let n = journal.recv(&mut datagram).unwrap();
    let in_journal = late(began, SystemTime::now());
    let text = String::from_utf8_lossy(&datagram[..n]);
    assert!(text.contains("\nPOSSE_SOURCE=198.51.100.20\n"), "{text}");
    wait_until("the alert is everywhere", || {
        mail.mails().len() == 4
            && seen.of("hook").len() == hooks + 1
            && seen.of("syslog").len() == lines + 1
            && got.exists()
    });
    let mails = mail.mails();
    let (delivered, _) = mails[3];
    let (_, text) = mails
        .iter()
        .rfind(|(_, text)| text.contains("To: admin@"))
        .unwrap();
    assert!(mails.iter().any(|(_, text)| text.contains("To: oncall@")));
    for part in [
        "To: admin@example.net",
        "198.51.100.20 banned for 4h",
        "Undo            posse unban 198.51.100.20",
        "Failed password for root from 198.51.100.20 port 40005",
        "with ESMTPS",
    ] {
        assert!(unfolded(text).contains(part), "{part} is not in\n{text}");
    }
    let hook = seen.of("hook").pop().unwrap();
    assert_eq!(hook["good"], true);
    assert_eq!(
        hook["body"]["incidents"][0]["undo"][0],
        "posse unban 198.51.100.20"
    );
    let line = seen.of("syslog").pop().unwrap();
    assert!(
        line["body"].as_str().unwrap().starts_with("<84>1 "),
        "{line}"
    );
    let command = fs::metadata(&got).unwrap().modified().unwrap();
    for (channel, took) in [
        ("mail", late(began, delivered)),
        ("webhook", late(began, stamp(&hook))),
        ("syslog", late(began, stamp(&line))),
        ("journal", in_journal),
        ("command", late(began, command)),
    ] {
        println!("{channel}: {took:?} after the threshold line");
        assert!(took < ARRIVES_WITHIN, "{channel}: {took:?}");
    }
}

/// Headers and quoted-printable lines in one piece.
fn unfolded(mail: &str) -> String {
    mail.replace("=\r\n", "")
        .replace("=\n", "")
        .replace("\n ", " ")
}

/// Bans `count` attackers, each in a network of its own; how long until the kernel has the last.
fn ban_many(site: &Site, net: &Namespace, first: u32, count: u32) -> Duration {
    let address = |n: u32| format!("45.{}.{}.9", 64 + n / 250, n % 250);
    let began = Instant::now();
    for n in first..first + count {
        attack(site, &address(n));
    }
    let last = address(first + count - 1);
    wait_until("all are banned", || net.banned().contains(&last));
    wait_until("every one is banned", || net.banned().len() as u32 >= count);
    began.elapsed()
}

#[test]
fn dead_channels_delay_no_ban_and_get_the_rest_grouped() {
    const TEST: &str = "dead alert channels";
    const BANS: u32 = 1_000;
    let Some(net) = Namespace::new(TEST) else {
        return;
    };
    let Some(mail) = Postfix::install(&net, TEST) else {
        return;
    };
    let limits = "[never_ban]\nbans_per_minute = 100000\n";

    mail.start();
    let site = Site::new();
    let alive = {
        let seen = Receivers::start(&site, &net);
        site.configure(&format!("{}{limits}", network_channels(&site, &mail, "2s")));
        let mut guard = Guard::start(&site, Some(&net), &[]);
        let took = ban_many(&site, &net, 0, BANS);
        wait_until("the living got it", || !seen.of("hook").is_empty());
        guard.stop();
        took
    };
    mail.order("stop");
    net.run(&["nft", "delete", "table", "inet", "posse"]);

    let site = Site::new();
    site.configure(&format!("{}{limits}", network_channels(&site, &mail, "2s")));
    let mut guard = Guard::start(&site, Some(&net), &[]);
    let dead = ban_many(&site, &net, 0, BANS);
    println!("{BANS} bans: {alive:?} with all channels alive, {dead:?} with all dead");
    assert!(
        dead < alive * 2 + Duration::from_secs(2),
        "{alive:?} {dead:?}"
    );
    let status = stdout(&site.ask(&["status", "--json"]));
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["channels"][0]["sent"], 0, "{status}");
    assert!(status["channels"][0]["last_error"].is_string(), "{status}");

    // What waits survives the guard's sudden end, too.
    wait_until("it is on disk", || queued_on_disk(&site) >= 1);
    std::thread::sleep(Duration::from_secs(3));
    guard.kill();
    let before = mail.mails().len();
    mail.start();
    let seen = Receivers::start(&site, &net);
    let _guard = Guard::start(&site, Some(&net), &[]);
    let alerts = |bodies: &[Value]| -> u64 {
        bodies
            .iter()
            .filter_map(|b| b["body"]["counts"]["alerts"].as_u64())
            .sum()
    };
    wait_until("all are told of", || {
        alerts(&seen.of("hook")) >= u64::from(BANS)
    });
    wait_until("the mail is there", || mail.mails().len() > before);
    wait_until("the syslog line is there", || !seen.of("syslog").is_empty());
    let hooks = seen.of("hook");
    println!("{} messages tell of {} alerts", hooks.len(), alerts(&hooks));
    assert!(hooks.len() <= 5, "{} messages", hooks.len());
    assert_eq!(
        alerts(&hooks),
        u64::from(BANS),
        "none is lost, none told twice"
    );
    assert!(mail.mails().len() - before <= 5);
}

fn queued_on_disk(site: &Site) -> usize {
    let count = |name: &str| {
        let dir = site.state().join("alerts").join(name);
        fs::read_dir(dir).map_or(0, |entries| entries.flatten().count())
    };
    count("queue-email").min(count("queue-webhook"))
}

#[test]
fn nobody_acknowledges_so_others_are_called() {
    let site = Site::new();
    let (first, second) = (site.path("first.json"), site.path("second.json"));
    let channel = |name: &str, file: &Path, more: &str| {
        format!(
            "[[alerts.channel]]\nkind = \"command\"\nname = {name:?}\n\
             run = [\"/bin/sh\", \"-c\", \"cat > {}\"]\n{more}",
            file.display()
        )
    };
    site.configure(&format!(
        "[alerts]\nescalate_after = \"2s\"\n{}{}[sandbox]\nmode = \"off\"\n",
        channel("oncall", &first, ""),
        channel("boss", &second, "escalation = true\n"),
    ));
    let _guard = Guard::start(&site, None, &["--observe"]);
    // A private address is not banned, which makes the alert a grave one.
    attack(&site, "192.168.77.5");
    wait_until("the first is told", || first.exists());
    let message = || -> Value {
        serde_json::from_str(&fs::read_to_string(&second).unwrap_or_default()).unwrap_or_default()
    };
    assert!(!second.exists(), "not yet");
    wait_until("the second is told", || message()["kind"] == "escalation");
    let marked = stdout(&site.ask(&["alerts"]));
    assert!(marked.contains("NOT ACKNOWLEDGED"), "{marked}");

    fs::remove_file(&second).unwrap();
    attack(&site, "192.168.78.5");
    wait_until("it is on the list", || {
        stdout(&site.ask(&["alerts"]))
            .matches("NOT ACKNOWLEDGED")
            .count()
            == 2
    });
    let acknowledged = site.ask(&["alerts", "ack", "--all"]);
    assert!(acknowledged.status.success(), "{}", stderr(&acknowledged));
    assert_eq!(stdout(&acknowledged).matches("acknowledged ").count(), 2);
    assert!(!stdout(&site.ask(&["alerts"])).contains("NOT ACKNOWLEDGED"));
    assert!(stdout(&site.ask(&["ledger", "show"])).contains("posse alerts ack --all"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!second.exists(), "an acknowledged alert must not escalate");
    let digest = stdout(&site.ask(&["alerts", "digest"]));
    assert!(digest.contains("2 alerts from 2 sources"), "{digest}");
    assert!(
        digest.contains("it is in the private range 192.168.0.0/16"),
        "{digest}"
    );
}

#[test]
fn a_mistake_in_a_channel_names_line_key_and_fix() {
    let site = Site::with_config("[[alerts.channel]]\nkind = \"email\"\nhost = \"h\"\n");
    let config = site.config().display().to_string();
    let output = crate::support::posse(&["alert", "test", "--config", &config]);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("posse.toml:5:1") && said.contains("from is missing"),
        "{said}"
    );
    site.configure("[[alerts.channel]]\nkind = \"journal\"\nsocket = \"/nonexistent/socket\"\n");
    let output = crate::support::posse(&["alerts", "test", "--config", &config]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("FAILED journal"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_reload_sends_elsewhere_and_a_mistake_changes_nothing() {
    let site = Site::new();
    let (old, new) = (site.path("old.json"), site.path("new.json"));
    let configure = |file: &Path, more: &str| {
        site.configure(&format!(
            "[[alerts.channel]]\nkind = \"command\"\ngroup_for = \"0\"\n\
             run = [\"/bin/sh\", \"-c\", \"cat > {}\"]\n{more}[sandbox]\nmode = \"off\"\n",
            file.display()
        ));
    };
    let recorded = |code: &str| {
        let ledger = stdout(&site.ask(&["ledger", "show"]));
        ledger.matches(&format!("\"code\":\"{code}\"")).count()
    };
    configure(&old, "");
    let guard = Guard::start(&site, None, &["--observe"]);
    configure(&new, "topic = \"x\"\n");
    guard.signal("-HUP");
    wait_until("the mistake is said", || recorded("reload_failed") == 1);
    wait_until("the failure is told by the old way", || old.exists());
    fs::remove_file(&old).unwrap();
    configure(&new, "");
    guard.signal("-HUP");
    wait_until("it is reloaded", || recorded("reloaded") == 1);
    attack(&site, "198.51.100.44");
    wait_until("the new way is taken", || new.exists());
    assert!(!old.exists());
}
