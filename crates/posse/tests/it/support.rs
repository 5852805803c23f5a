//! What the tests share: folders, a running guard, namespaces, and waiting with a bound.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const POSSE: &str = env!("CARGO_BIN_EXE_posse");
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn posse(arguments: &[&str]) -> Output {
    Command::new(POSSE)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Checks often, gives up loudly.
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, holds);
}

pub(crate) fn wait_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A line as sshd's syslog daemon writes it, `second` seconds into the attack.
pub(crate) fn failed_login(address: &str, port: u32) -> String {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00")
        .to_string();
    format!("{now} host sshd[77]: Failed password for root from {address} port {port} ssh2\n")
}

/// A folder with a log, a configuration that watches it, and a state folder.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// `extra` is appended to the configuration.
    pub(crate) fn with_config(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Self { dir };
        site.configure(extra);
        site
    }

    pub(crate) fn configure(&self, extra: &str) {
        let log = self.log();
        let text = format!(
            "[[source]]\nfile = {:?}\ntype = \"syslog\"\nstart = \"beginning\"\n{extra}\n",
            log.display().to_string()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("auth.log")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("posse.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn append(&self, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A command on this site's state.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let state = self.state().display().to_string();
        let mut words = arguments.to_vec();
        words.extend(["--state", &state]);
        posse(&words)
    }

    pub(crate) fn bans(&self) -> Vec<String> {
        self.listing(&["bans", "--json"], "/prefix")
    }

    pub(crate) fn alerts(&self) -> Vec<Value> {
        let output = self.ask(&["alerts", "--json", "--limit", "10000"]);
        stdout(&output)
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    fn listing(&self, command: &[&str], pointer: &str) -> Vec<String> {
        let output = self.ask(command);
        let text = stdout(&output);
        let values = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        values
            .filter_map(|v| Some(v.pointer(pointer)?.as_str()?.to_owned()))
            .collect()
    }
}

/// A guard that runs; killed when dropped.
pub(crate) struct Guard {
    pub(crate) child: Child,
    said: PathBuf,
}

impl Guard {
    /// Starts on the site, in the namespace if there is one, and waits until it answers.
    pub(crate) fn start(site: &Site, net: Option<&Namespace>, arguments: &[&str]) -> Self {
        let guard = Self::spawn(site, net, arguments);
        let socket = site.state().join("control.sock");
        wait_until("the guard answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        guard
    }

    /// As [`Guard::start`], with more in its environment.
    pub(crate) fn start_with(
        site: &Site,
        net: Option<&Namespace>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = match net {
            Some(net) => net.command(POSSE),
            None => Command::new(POSSE),
        };
        command.envs(environment.iter().copied());
        Self::start_by(command, site, arguments)
    }

    /// As [`Guard::start`]; `command` starts the program with what is added to its arguments.
    pub(crate) fn start_by(command: Command, site: &Site, arguments: &[&str]) -> Self {
        let guard = Self::spawn_by(command, site, arguments);
        let socket = site.state().join("control.sock");
        wait_until("the guard answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        guard
    }

    /// One that reads no logs; `command` starts the program with what is added to its arguments.
    pub(crate) fn start_light_by(command: Command, site: &Site) -> Self {
        let guard = Self::spawn_as("guard", command, site, &[]);
        let socket = site.state().join("control.sock");
        wait_until("the guard answers", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        guard
    }

    pub(crate) fn spawn(site: &Site, net: Option<&Namespace>, arguments: &[&str]) -> Self {
        let command = match net {
            Some(net) => net.command(POSSE),
            None => Command::new(POSSE),
        };
        Self::spawn_by(command, site, arguments)
    }

    fn spawn_by(command: Command, site: &Site, arguments: &[&str]) -> Self {
        Self::spawn_as("run", command, site, arguments)
    }

    fn spawn_as(duty: &str, mut command: Command, site: &Site, arguments: &[&str]) -> Self {
        let said = site.path("guard.stderr");
        let child = command
            .arg(duty)
            .args(["--json", "--config"])
            .arg(site.config())
            .arg("--state")
            .arg(site.state())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { child, said }
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A network namespace of our own, or the reason why there is none.
pub(crate) struct Namespace {
    name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Namespace {
    pub(crate) fn new(test: &str) -> Option<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("posse-it-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|o| o.status.success()) {
            println!("SKIPPED: {test}: needs root and iproute2");
            return None;
        }
        let net = Self { name };
        net.run(&["ip", "link", "set", "lo", "up"]);
        if !Command::new("nft")
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
        {
            println!("SKIPPED: {test}: needs nft as the oracle");
            return None;
        }
        Some(net)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(program.as_ref());
        command
    }

    /// Takes this thread, and what it starts from now on, into the namespace.
    pub(crate) fn enter(&self) {
        let place = File::open(Path::new("/run/netns").join(&self.name)).unwrap();
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&place),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .unwrap();
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words[0]).args(&words[1..]).output().unwrap()
    }

    /// What nft says is banned: addresses and prefixes as text, sorted.
    pub(crate) fn banned(&self) -> Vec<String> {
        self.banned_in("posse")
    }

    pub(crate) fn banned_in(&self, table: &str) -> Vec<String> {
        let output = self.run(&["nft", "-j", "list", "table", "inet", table]);
        let listing: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut found = Vec::new();
        for object in listing["nftables"].as_array().into_iter().flatten() {
            for element in object["set"]["elem"].as_array().into_iter().flatten() {
                let value = element.pointer("/elem/val").unwrap_or(element);
                found.push(match value {
                    Value::String(address) => address.clone(),
                    other => format!(
                        "{}/{}",
                        other["prefix"]["addr"].as_str().unwrap_or_default(),
                        other["prefix"]["len"]
                    ),
                });
            }
        }
        found.sort();
        found
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .output()
            .ok();
    }
}
