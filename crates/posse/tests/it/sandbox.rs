//! The walls around a running guard, tried from inside by the real binary.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use confine::calls::{self, Call, Group};

use crate::support::{
    Guard, Namespace, POSSE, Site, failed_login, posse, stderr, stdout, wait_until,
};

/// Nobody's number.
const SERVICE: u32 = 64_123;
/// What makes a guard of a test build try what it must not be able to do.
const TRIGGER: &str = "misbehave now";

fn attack(site: &Site, address: &str) {
    let text: String = (0..6).map(|n| failed_login(address, 40_000 + n)).collect();
    site.append(&text);
}

/// Another user's home, with something in it.
fn elsewhere() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let secret = dir.path().join("diary");
    fs::write(&secret, "mine").unwrap();
    (dir, secret)
}

fn said_of(said: &str, what: &str) -> String {
    let line = said
        .lines()
        .find(|l| l.starts_with(&format!("misbehaved: {what}:")));
    line.unwrap_or_else(|| panic!("nothing about {what} in {said}"))
        .to_owned()
}

#[test]
fn a_parser_that_misbehaves_gets_nowhere_and_the_guard_bans_on() {
    let Some(net) = Namespace::new("a misbehaving parser") else {
        return;
    };
    let site = Site::new();
    let (other, diary) = elsewhere();
    let places = [
        "/etc/shadow".to_owned(),
        diary.display().to_string(),
        other.path().display().to_string(),
        site.dir.path().display().to_string(),
    ];
    let asked = places.join(":");
    let guard = Guard::start_with(&site, Some(&net), &[], &[("POSSE_TEST_MISBEHAVE", &asked)]);
    site.append(&format!("Nov 22 00:00:00 host sshd[1]: {TRIGGER}\n"));
    let last = format!("misbehaved: write {}:", places[3]);
    wait_until("all was tried", || guard.said().contains(&last));
    let said = guard.said();
    for what in ["udp socket", "tcp socket", "listener", "program", "thread"] {
        let line = said_of(&said, what);
        assert!(line.contains("Operation not permitted"), "{line}");
    }
    for what in [
        "read /etc/shadow".to_owned(),
        format!("read {}", places[1]),
        format!("write {}", places[2]),
        format!("write {}", places[3]),
    ] {
        let line = said_of(&said, &what);
        assert!(line.contains("Permission denied"), "{line}");
    }
    assert!(!other.path().join("planted").exists());
    attack(&site, "198.51.100.80");
    wait_until("it bans on", || net.banned() == ["198.51.100.80"]);
    let status = stdout(&site.ask(&["status"]));
    assert!(
        status.contains("sandbox           capabilities net_admin"),
        "{status}"
    );
}

/// The guard as the service's user, with the service's capabilities and no others.
fn as_service(site: &Site, net: &Namespace, asked: &str) -> (Guard, PathBuf) {
    // The build's folder may be closed to that user.
    let program = site.path("posse");
    fs::copy(POSSE, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = net.command("setpriv");
    command
        .args([&format!("--reuid={SERVICE}"), &format!("--regid={SERVICE}")])
        .args([
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all,+net_admin",
        ])
        .args([
            "--inh-caps=-all,+net_admin",
            "--ambient-caps=-all,+net_admin",
        ])
        .arg(&program)
        .env("POSSE_TEST_MISBEHAVE", asked);
    (Guard::start_by(command, site, &[]), program)
}

fn give_to_service(site: &Site) {
    for path in [site.dir.path().to_owned(), site.log(), site.config()] {
        std::os::unix::fs::chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }
}

#[test]
fn the_service_user_bans_and_cannot_read_what_it_need_not() {
    // Without our own walls too: what the user may not, no fault of the sandbox can give it.
    for walls in ["auto", "off"] {
        let Some(net) = Namespace::new("the service's user") else {
            return;
        };
        let site = Site::with_config(&format!("[sandbox]\nmode = {walls:?}\n"));
        site.append("");
        give_to_service(&site);
        let (_home, diary) = elsewhere();
        let asked = format!("/etc/shadow:{}:/root", diary.display());
        let (guard, _) = as_service(&site, &net, &asked);
        site.append(&format!("Nov 22 00:00:00 host sshd[1]: {TRIGGER}\n"));
        let said = || guard.said();
        wait_until("all was tried", || {
            said().contains("misbehaved: write /root:")
        });
        for what in [
            "read /etc/shadow",
            &format!("read {}", diary.display()),
            "write /root",
        ] {
            let line = said_of(&said(), what);
            assert!(line.contains("Permission denied"), "{walls}: {line}");
        }
        attack(&site, "198.51.100.81");
        wait_until("it bans", || net.banned() == ["198.51.100.81"]);
    }
}

#[test]
fn a_reload_that_needs_more_asks_for_a_restart() {
    let site = Site::new();
    let guard = Guard::start(&site, None, &["--observe"]);
    let (other, _) = elsewhere();
    let log = other.path().join("app.log");
    fs::write(&log, "").unwrap();
    let extra = format!(
        "[[source]]\nfile = {:?}\ntype = \"syslog\"\n",
        log.display().to_string()
    );
    site.configure(&extra);
    guard.signal("-HUP");
    wait_until("it says so", || {
        let shown = stdout(&site.ask(&["ledger", "show"]));
        shown.contains("restart_needed") && shown.contains(&other.path().display().to_string())
    });
    drop(guard);
    let guard = Guard::start(&site, None, &["--observe"]);
    assert!(!guard.said().contains("not watching"), "{}", guard.said());
}

#[test]
fn what_others_can_write_or_see_is_refused_with_the_fix() {
    let site = Site::new();
    let run = || {
        let (config, state) = (site.config(), site.state());
        let words = ["run", "--observe", "--until-end", "--config"];
        let mut words: Vec<&str> = words.to_vec();
        words.extend([config.to_str().unwrap(), "--state", state.to_str().unwrap()]);
        stderr(&posse(&words))
    };
    fs::set_permissions(site.config(), fs::Permissions::from_mode(0o666)).unwrap();
    let said = run();
    assert!(
        said.contains(&format!("chmod go-w {}", site.config().display())),
        "{said}"
    );
    fs::set_permissions(site.config(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(site.state()).unwrap();
    fs::set_permissions(site.state(), fs::Permissions::from_mode(0o755)).unwrap();
    let said = run();
    assert!(
        said.contains(&format!("chmod 0700 {}", site.state().display())),
        "{said}"
    );
}

#[test]
fn the_walls_can_be_required_or_left_out_and_that_is_said() {
    for (mode, shown) in [("require", "seccomp"), ("off", "sandbox           off")] {
        let site = Site::with_config(&format!("[sandbox]\nmode = {mode:?}\n"));
        let guard = Guard::start(&site, None, &["--observe"]);
        let status = stdout(&site.ask(&["status"]));
        assert!(status.contains(shown), "{status}");
        assert_eq!(guard.said().contains("NO SANDBOX"), mode == "off");
    }
}

//------------ The table of system calls -------------------------------------

fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A guard that uses everything, under strace where there is one.
struct Busy {
    _net: Namespace,
    site: Site,
    guard: Guard,
    udp: SocketAddr,
    tcp: SocketAddr,
    page: SocketAddr,
    hook: TcpListener,
    trace: Option<PathBuf>,
}

fn has_strace() -> bool {
    Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success())
}

/// The calling thread moves into a namespace of its own.
fn busy() -> Option<Busy> {
    let net = Namespace::new("the table of system calls")?;
    net.enter();
    let (udp, tcp, page) = (free_port(), free_port(), free_port());
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = hook.local_addr().unwrap();
    let site = Site::with_config(&format!(
        "[[source]]\nsyslog_udp = \"{udp}\"\n[[source]]\nsyslog_tcp = \"{tcp}\"\n\
         [[source]]\njournal = []\n\
         [console]\nlisten = \"{page}\"\n\
         [alerts]\n[[alerts.channel]]\nkind = \"webhook\"\nurl = \"http://{to}/\"\n\
         [[alerts.channel]]\nkind = \"command\"\nrun = [\"/bin/sh\", \"-c\", \"cat; ls / | wc -l\"]\n"
    ));
    let environment = [("POSSE_TEST_DENIED", "kill")];
    let trace = has_strace().then(|| site.path("trace"));
    let guard = match &trace {
        Some(trace) => {
            let mut command = Command::new("strace");
            command
                .args(["-f", "-qq", "-o"])
                .arg(trace)
                .arg(POSSE)
                .envs(environment);
            Guard::start_by(command, &site, &[])
        }
        None => {
            println!("SKIPPED: the width of the table: needs strace (apt-get install strace)");
            Guard::start_with(&site, None, &[], &environment)
        }
    };
    Some(Busy {
        _net: net,
        site,
        guard,
        udp,
        tcp,
        page,
        hook,
        trace,
    })
}

/// A guard outlives a strace that is killed.
impl Drop for Busy {
    fn drop(&mut self) {
        if self
            .guard
            .child
            .try_wait()
            .is_ok_and(|ended| ended.is_none())
        {
            Command::new("kill")
                .args(["-KILL", &self.pid()])
                .status()
                .ok();
        }
    }
}

impl Busy {
    /// The guard itself: its parent may be strace.
    fn pid(&self) -> String {
        let lock = fs::read_to_string(self.site.state().join("lock")).unwrap();
        lock.trim().to_owned()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid()]).status();
        assert!(status.unwrap().success());
    }

    fn watch_one_more(&self) {
        let mut watcher = Command::new(POSSE)
            .args(["watch", "--json", "--state"])
            .arg(self.site.state())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut shown = watcher.stdout.take().unwrap();
        let mut got = vec![0; 1];
        // Its header says that it is connected.
        shown.read_exact(&mut got).unwrap();
        attack(&self.site, "198.51.100.96");
        let mut buffer = [0; 4_096];
        while !String::from_utf8_lossy(&got).contains("198.51.100.96") {
            let length = shown.read(&mut buffer).unwrap();
            assert!(length > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..length]);
        }
        watcher.kill().unwrap();
        watcher.wait().unwrap();
    }

    fn read_page(&self, path: &str, wanted: &str) {
        let mut stream = TcpStream::connect(self.page).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 4_096];
        while !String::from_utf8_lossy(&got).contains(wanted) {
            let length = stream.read(&mut buffer).unwrap();
            assert!(
                length > 0,
                "{path}: no {wanted} in {}",
                String::from_utf8_lossy(&got)
            );
            got.extend_from_slice(&buffer[..length]);
        }
    }

    fn use_everything(&self) {
        let site = &self.site;
        attack(site, "198.51.100.90");
        wait_until("the file's attack is seen", || site.bans().len() == 1);
        let (mut hooked, _) = self.hook.accept().unwrap();
        hooked
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut request = [0; 4_096];
        assert!(hooked.read(&mut request).unwrap() > 0);
        hooked
            .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .unwrap();
        drop(hooked);

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(self.tcp).unwrap();
        for n in 0..6 {
            let line = failed_login("198.51.100.91", n);
            socket
                .send_to(format!("<38>{line}").as_bytes(), self.udp)
                .unwrap();
            let line = failed_login("198.51.100.92", n);
            stream.write_all(format!("<38>{line}").as_bytes()).unwrap();
        }
        wait_until("syslog's attacks are seen", || site.bans().len() == 3);

        fs::rename(site.log(), site.path("auth.log.1")).unwrap();
        attack(site, "198.51.100.93");
        wait_until("the rotated file is followed", || site.bans().len() == 4);
        fs::write(site.log(), "").unwrap();
        attack(site, "198.51.100.94");
        wait_until("so is the file that was cut", || site.bans().len() == 5);

        self.signal("-HUP");
        wait_until("it has reloaded", || {
            stdout(&site.ask(&["ledger", "show"])).contains("configuration and rules reloaded")
        });
        attack(site, "198.51.100.95");
        wait_until("it goes on", || site.bans().len() == 6);
        self.watch_one_more();
        let nft = |words: &[&str]| Command::new("nft").args(words).output().unwrap().status;
        nft(&["delete", "table", "inet", "posse"]);
        wait_until("the kernel's set is put right", || {
            nft(&["list", "table", "inet", "posse"]).success()
        });

        for words in [
            &["ban", "203.0.113.0/24"][..],
            &["unban", "203.0.113.0/24"],
            &["unban", "--all"],
            &["status"],
            &["alerts", "--lines"],
            &["alerts", "ack", "--all"],
            &["ledger", "verify"],
        ] {
            let output = site.ask(words);
            assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        }
        self.read_page("/", "198.51.100.95");
        self.read_page("/metrics", "posse_");
        self.read_page("/events", "event");
    }
}

#[test]
fn every_feature_works_behind_the_filter_and_the_table_has_nothing_to_spare() {
    let Some(mut busy) = busy() else { return };
    busy.use_everything();
    let said = busy.guard.said();
    busy.signal("-TERM");
    let status = busy.guard.child.wait().unwrap();
    assert_eq!(status.signal(), None, "{status}: {said}");
    assert_eq!(status.code(), Some(0), "{status}: {said}");
    assert!(!said.contains("INCOMPLETE"), "{said}");
    let Some(trace) = &busy.trace else { return };
    let trace = fs::read_to_string(trace).unwrap();
    let made = Made::of(&trace);
    assert!(
        !trace.contains("--- SIGSYS"),
        "a call was refused: {:?}",
        made.killed(&trace)
    );
    hold(calls::PROCESS, &made.process, "process");
    hold(calls::GUARD, &made.guard, "guard's thread");
}

/// System calls made behind the walls.
#[derive(Default)]
struct Made {
    process: BTreeSet<String>,
    guard: BTreeSet<String>,
}

impl Made {
    /// Lines of `strace -f`: thread, call, arguments. Installing a filter is one call `seccomp`:
    /// three for the process, two more for the guard. The facts thread was started before, and
    /// has filters of its own.
    fn of(trace: &str) -> Self {
        let mut made = Self::default();
        let mut filters = 0;
        let main = trace.split_whitespace().next().unwrap_or_default();
        let lines = || {
            trace
                .lines()
                .filter_map(|l| l.split_once(char::is_whitespace))
        };
        let facts = lines()
            .find(|(thread, rest)| *thread != main && rest.contains("SECCOMP_SET_MODE_FILTER"))
            .map(|(thread, _)| thread);
        for (thread, rest) in lines().filter(|(thread, _)| Some(*thread) != facts) {
            let Some((name, _)) = rest.trim_start().split_once('(') else {
                continue;
            };
            if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                continue;
            }
            let is_filter = name == "seccomp" && rest.contains("SET_MODE_FILTER");
            filters += usize::from(thread == main && is_filter);
            if filters >= 3 {
                made.process.insert(name.to_owned());
            }
            if filters >= 5 && thread == main && !is_filter {
                made.guard.insert(name.to_owned());
            }
        }
        made
    }

    /// What led to the kill.
    fn killed<'a>(&self, trace: &'a str) -> Vec<&'a str> {
        let lines: Vec<&str> = trace.lines().collect();
        let at = lines
            .iter()
            .position(|l| l.contains("--- SIGSYS"))
            .unwrap_or(0);
        lines[at.saturating_sub(12)..at].to_vec()
    }
}

/// Nothing was made that is not in the table, and what is in it was made or says why it is there.
fn hold(table: &[Group], made: &BTreeSet<String>, who: &str) {
    let name = |call: &Call| call.name().to_owned();
    let known: BTreeSet<String> = table.iter().flat_map(Group::all).map(name).collect();
    let strangers: Vec<&String> = made.iter().filter(|made| !known.contains(*made)).collect();
    assert!(
        strangers.is_empty(),
        "{who}: not in the table: {strangers:?}"
    );
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let idle: Vec<String> = table
        .iter()
        .flat_map(|group| group.calls)
        .map(name)
        .filter(|call| !made.contains(call))
        .collect();
    assert!(
        idle.is_empty(),
        "{who}: in the table, and never made: {idle:?}"
    );
}

#[test]
fn doctor_says_what_the_sandbox_holds() {
    let site = Site::new();
    let config = site.config().display().to_string();
    let output = site.ask(&["doctor", "--config", &config]);
    let said = stdout(&output);
    for part in ["Sandbox", "landlock", "system calls", "read"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(Path::new(&config).exists());
}
