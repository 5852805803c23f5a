//! A clean Debian 12 with its own systemd as process 1, for what must be seen on a whole machine:
//! made by debootstrap, booted by systemd-nspawn, with an attacker's host beside it.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Kept from run to run: making it takes minutes and a mirror.
const BASE: &str = "/var/cache/posse-tests/bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
const PACKAGES: &str = "systemd,systemd-sysv,dbus,nftables,openssh-server";
const LANDLOCK: &str = "landlock_create_ruleset landlock_add_rule landlock_restrict_self";
const BOOT: Duration = Duration::from_secs(90);

/// The machine's address, and those of the host beside it.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);

pub(crate) struct Debian {
    nspawn: Child,
    leader: u32,
    root: TempDir,
    outside: String,
}

impl Debian {
    /// Boots a fresh copy; `None` after saying what is missing.
    pub(crate) fn boot(test: &str) -> Option<Self> {
        if let Some(why) = missing() {
            println!("SKIPPED: {test}: {why}");
            return None;
        }
        if let Err(why) = make_base() {
            println!("SKIPPED: {test}: no clean Debian to test in: {why}");
            return None;
        }
        let root = tempfile::Builder::new()
            .prefix("posse-debian-")
            .tempdir_in("/var/tmp")
            .unwrap();
        run(&[
            "cp",
            "-a",
            "--reflink=auto",
            &format!("{BASE}/."),
            path(root.path()),
        ]);
        let name = format!("posse-it-{}", std::process::id());
        // It must not outlive a test that is killed.
        let mut nspawn = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "systemd-nspawn"])
            .args(["--quiet", "--register=no", "--keep-unit", "--boot"])
            .args([
                "--private-network",
                "--console=read-only",
                "--resolv-conf=off",
            ])
            // Nspawn's own filter does not know of landlock, which a machine's process 1 may use.
            .arg(format!("--system-call-filter={LANDLOCK}"))
            .arg(format!("--machine={name}"))
            .arg("--directory")
            .arg(root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let Some(leader) = first_child(&mut nspawn) else {
            println!("SKIPPED: {test}: systemd-nspawn cannot start a machine here");
            return None;
        };
        let machine = Self {
            nspawn,
            leader,
            root,
            outside: name,
        };
        machine.wait_for(BOOT, "the machine has booted", || {
            let state = machine.says("systemctl is-system-running");
            matches!(state.trim(), "running" | "degraded")
        });
        machine.connect_hosts();
        Some(machine)
    }

    /// Runs a shell command on the machine.
    pub(crate) fn shell(&self, script: &str) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", "120", "nsenter", "--all", "--target"])
            .arg(self.leader.to_string())
            .args(["--", "env", "-i", "HOME=/root", "LANG=C.UTF-8"])
            .args([
                "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "DEBIAN_FRONTEND=noninteractive",
            ])
            .args(["sh", "-c", script])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What a command prints, whether it succeeds or not.
    pub(crate) fn says(&self, script: &str) -> String {
        String::from_utf8_lossy(&self.shell(script).stdout).into_owned()
    }

    /// What a command prints; it must succeed.
    pub(crate) fn must(&self, script: &str) -> String {
        let output = self.shell(script);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{text}\n{said}");
        text
    }

    pub(crate) fn put(&self, file: &Path) -> String {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::copy(file, self.root.path().join("root").join(name)).unwrap();
        format!("/root/{name}")
    }

    /// Tries to log in as somebody who is not there, with the machine's own ssh, from outside.
    pub(crate) fn log_in_from(&self, address: Ipv4Addr, user: &str) -> Output {
        Command::new("timeout")
            .args(["8", "ip", "netns", "exec", &self.outside, "chroot"])
            .arg(self.root.path())
            .args(["ssh", "-F", "none", "-b", &address.to_string()])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-l", user])
            .args([&SERVER.to_string(), "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Whether sshd answers somebody from outside at all.
    pub(crate) fn is_reached_from(&self, address: Ipv4Addr) -> bool {
        let said = self.log_in_from(address, "nobody-there");
        String::from_utf8_lossy(&said.stderr).contains("Permission denied")
    }

    pub(crate) fn wait_for(&self, patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + patience;
        while !holds() {
            assert!(
                Instant::now() < end,
                "gave up waiting until {what}\n{}",
                self.says("journalctl --no-pager --lines=60; systemctl status posse")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One cable, with the attacker and an ordinary client at its other end.
    fn connect_hosts(&self) {
        let pid = std::process::id();
        let (near, far) = (format!("pm{pid}"), format!("po{pid}"));
        let outside = self.outside.as_str();
        let leader = self.leader.to_string();
        run(&["ip", "netns", "add", outside]);
        run(&[
            "ip", "link", "add", &near, "type", "veth", "peer", "name", &far,
        ]);
        run(&["ip", "link", "set", &near, "netns", &leader]);
        run(&["ip", "link", "set", &far, "netns", outside]);
        let inside = ["nsenter", "--net", "--target", &leader, "ip"];
        let server = format!("{SERVER}/24");
        run(&[&inside[..], &["address", "add", &server, "dev", &near]].concat());
        run(&[&inside[..], &["link", "set", &near, "up"]].concat());
        for address in [ATTACKER, CLIENT] {
            let address = format!("{address}/24");
            run(&["ip", "-n", outside, "address", "add", &address, "dev", &far]);
        }
        run(&["ip", "-n", outside, "link", "set", &far, "up"]);
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // The machine's processes end with the one that holds them.
        self.nspawn.kill().ok();
        self.nspawn.wait().ok();
        Command::new("ip")
            .args(["netns", "del", &self.outside])
            .output()
            .ok();
    }
}

fn missing() -> Option<String> {
    if !rustix_is_root() {
        return Some("needs root".into());
    }
    let wanted = [
        ("debootstrap", "debootstrap"),
        ("systemd-nspawn", "systemd-container"),
        ("dpkg-shlibdeps", "dpkg-dev"),
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
    ];
    let absent: Vec<&str> = wanted
        .iter()
        .filter(|(program, _)| !is_here(program))
        .map(|(_, package)| *package)
        .collect();
    (!absent.is_empty()).then(|| format!("apt-get install {}", absent.join(" ")))
}

fn rustix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|dir| dir.join(program).is_file())
}

fn make_base() -> Result<(), String> {
    if Path::new(BASE).is_dir() {
        return Ok(());
    }
    let fresh = format!("{BASE}.{}", std::process::id());
    let mirror = std::env::var("POSSE_DEBIAN_MIRROR").unwrap_or_else(|_| MIRROR.to_owned());
    let made = Command::new("timeout")
        .args(["--kill-after=5", "600", "debootstrap", "--variant=minbase"])
        .arg(format!("--include={PACKAGES}"))
        .args(["bookworm", &fresh, &mirror])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        let last = said
            .lines()
            .last()
            .unwrap_or("debootstrap failed")
            .to_owned();
        fs::remove_dir_all(&fresh).ok();
        return Err(last);
    }
    for waste in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        fs::remove_dir_all(Path::new(&fresh).join(waste)).ok();
    }
    // A machine id is one machine's.
    fs::write(Path::new(&fresh).join("etc/machine-id"), "").map_err(|e| e.to_string())?;
    fs::rename(&fresh, BASE).map_err(|e| e.to_string())
}

/// The machine's process 1, once nspawn has started it.
fn first_child(nspawn: &mut Child) -> Option<u32> {
    let pid = nspawn.id();
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if nspawn.try_wait().unwrap().is_some() {
            return None;
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let first = children.ok().and_then(|list| {
            let pids = list.split_whitespace();
            pids.filter_map(|pid| pid.parse().ok())
                .find(is_first_process)
        });
        if first.is_some() {
            return first;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    nspawn.kill().ok();
    nspawn.wait().ok();
    None
}

/// Nspawn's helpers live in the namespaces around it; process 1 in its own.
fn is_first_process(pid: &u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().last() == Some("1"))
}

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
