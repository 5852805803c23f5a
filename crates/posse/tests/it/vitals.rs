//! A guard that looks at itself: what it says of silence, a full disk and a clock that was set.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rustix::time::{ClockId, clock_gettime};

use crate::support::{Guard, Namespace, POSSE, Site, failed_login, stdout, wait_until};

const OBSERVE: &[&str] = &["--observe"];
const YEAR: i64 = 31_536_000;

fn record(site: &Site) -> String {
    stdout(&site.ask(&["ledger", "show", "--limit", "10000"]))
}

fn told(site: &Site, code: &str) -> bool {
    record(site).contains(&format!("\"code\":\"{code}\""))
}

#[test]
fn silence_and_a_full_disk_are_told_of_once() {
    let site = Site::new();
    site.append(&failed_login("198.51.100.7", 1));
    let log = site.log().display().to_string();
    let config = format!(
        "[[source]]\nfile = {log:?}\ntype = \"syslog\"\nsilent_after = \"2s\"\n\
         [vitals]\ndisk_free_mib = 1000000000000\ndisk_free_percent = 101\n"
    );
    fs::write(site.config(), config).unwrap();
    let _guard = Guard::start(&site, None, OBSERVE);
    wait_until("both are on the record", || {
        told(&site, "source_silent") && told(&site, "disk_filling")
    });
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(record(&site).matches("source_silent").count(), 1);
    assert_eq!(record(&site).matches("disk_filling").count(), 1);
    // Observing was asked for.
    assert!(!told(&site, "not_enforcing"));
}

/// A wall clock that only the test moves, for the processes started with it.
struct MovedClock {
    library: PathBuf,
    page: PathBuf,
}

impl MovedClock {
    /// `None` without a compiler.
    fn make(folder: &Path) -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/week/moved_clock.c");
        let library = folder.join("moved_clock.so");
        let made = Command::new("gcc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .output();
        if !made.is_ok_and(|o| o.status.success()) {
            println!("SKIPPED: a moved clock: needs gcc (apt-get install gcc libc6-dev)");
            return None;
        }
        let page = folder.join("clock");
        fs::write(&page, [0; 16]).unwrap();
        let clock = Self { library, page };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds from what the machine's clock says.
    fn set(&self, ahead: i64) {
        let wall = clock_gettime(ClockId::Realtime);
        let steady = clock_gettime(ClockId::Monotonic);
        let nanos = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
        let wall = nanos(wall.tv_sec + ahead, wall.tv_nsec);
        let steady = nanos(steady.tv_sec, steady.tv_nsec);
        let file = OpenOptions::new().write(true).open(&self.page).unwrap();
        let bytes = [wall.to_ne_bytes(), steady.to_ne_bytes()].concat();
        file.write_all_at(&bytes, 0).unwrap();
    }

    fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("MOVED_CLOCK", &self.page)
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_clock_set_by_a_year_frees_nobody_and_blinds_nobody() {
    let Some(net) = Namespace::new("a_clock_set_by_a_year_frees_nobody_and_blinds_nobody") else {
        return;
    };
    let site = Site::new();
    let Some(clock) = MovedClock::make(site.dir.path()) else {
        return;
    };
    let start = || {
        let mut command = net.command(POSSE);
        let guard = clock.apply(&mut command);
        let guard = guard
            .args(["run", "--config"])
            .arg(site.config())
            .arg("--state")
            .arg(site.state())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(site.path("guard.stderr")).unwrap());
        let guard = Ended(guard.spawn().unwrap());
        wait_until("the guard answers", || {
            stdout(&site.ask(&["status"])).contains("enforce")
        });
        guard
    };
    let in_force = || {
        let mut command = Command::new(POSSE);
        let ask = clock.apply(&mut command).args(["bans", "--state"]);
        stdout(&ask.arg(site.state()).output().unwrap())
    };
    let attack = |address: &str| {
        (0..6).for_each(|n| site.append(&failed_login(address, 40_000 + n)));
    };
    let guard = start();
    attack("203.0.113.7");
    wait_until("the attacker is in the kernel", || {
        net.banned() == ["203.0.113.7"]
    });
    let mut wanted = vec!["203.0.113.7".to_owned()];
    // One ban is in force at the first jump, two at the second.
    for (ahead, address, moved) in [(YEAR, "203.0.113.8", 1), (-YEAR, "203.0.113.9", 3)] {
        clock.set(ahead);
        wait_until("the moved ends are on the record", || {
            record(&site).matches("the ban keeps its length").count() == moved
        });
        assert_eq!(net.banned(), wanted, "{ahead}");
        let listed = in_force();
        assert!(
            listed.contains("3h59m") || listed.contains("4h0m"),
            "{listed}"
        );
        attack(address);
        wanted.push(address.to_owned());
        wait_until("detection goes on", || net.banned() == wanted);
    }
    assert!(told(&site, "clock_jumped"));
    // A clock gone wrong erases nothing.
    assert!(!told(&site, "payload_erased"));
    // A restart while the clock is wrong takes back what was in force.
    drop(guard);
    let _again = start();
    wait_until("all are in force again", || {
        wanted.iter().all(|address| in_force().contains(address))
    });
    assert_eq!(net.banned(), wanted);
    assert!(!told(&site, "kernel_drift"), "{}", record(&site));
    let verified: Output = site.ask(&["ledger", "verify"]);
    assert!(verified.status.success(), "{}", stdout(&verified));
}
