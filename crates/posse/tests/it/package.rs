//! The Debian package on a clean machine: install, sandbox, a real attack on a real sshd, the
//! upgrade with the bans in place, removal and purge.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    debian::{ATTACKER, CLIENT, Debian},
    support::{POSSE, posse, stderr, stdout},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// What `systemd-analyze security` may give at most; 10 is a service without any wall.
const EXPOSURE_MAX: f64 = 2.0;
const SET: &str = "nft list set inet posse ban4";

#[test]
fn a_clean_debian_installs_bans_upgrades_and_purges() {
    let Some(machine) = Debian::boot("package on a clean Debian") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let first = machine.put(&package(dir.path(), ""));
    let next = machine.put(&package(dir.path(), "+next"));

    machine.must(&format!("apt-get install --yes {first}"));
    is_confined(&machine);
    bans_an_attacker(&machine);
    survives_the_upgrade(&machine, &next);
    root_and_service_share_the_state(&machine);
    leaves_as_it_came(&machine, &next);
    installs_itself(&machine);
}

#[test]
fn a_package_built_twice_is_the_same() {
    let missing = Command::new("dpkg-shlibdeps").arg("--version").output();
    if !missing.is_ok_and(|o| o.status.success()) {
        println!("SKIPPED: package built twice: needs dpkg-dev (apt-get install dpkg-dev)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let build = |name: &str| {
        let out = dir.path().join(name);
        // A suffix of its own: the staging folder is another test's otherwise.
        let path = package(&out, "+twice");
        std::fs::read(path).unwrap()
    };
    let (one, two) = (build("one"), build("two"));
    assert!(
        one == two,
        "{} and {} bytes, not the same",
        one.len(),
        two.len()
    );
}

#[test]
fn an_install_says_its_steps_before_it_does_anything() {
    let output = posse(&["service", "install", "--dry-run", "--prefix", "/opt/posse"]);
    let (text, said) = (stdout(&output), stderr(&output));
    if said.contains("neither systemd nor OpenRC") {
        println!("SKIPPED: steps of an install: no service manager here (apt-get install systemd)");
        return;
    }
    assert!(output.status.success(), "{said}");
    for part in [
        "/opt/posse/bin/posse",
        "/etc/posse/posse.toml",
        "man1/posse.1",
        "enable",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!Path::new("/opt/posse/bin/posse").exists());
}

fn is_confined(machine: &Debian) {
    machine.wait_for(PATIENCE, "the guard says that it enforces", || {
        let status = machine.says("systemctl show --property=ActiveState,StatusText posse");
        status.contains("ActiveState=active") && status.contains("StatusText=enforcing")
    });
    let process = machine.must("cat /proc/$(pidof posse)/status");
    let field = |name: &str| {
        let line = process.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    // CAP_NET_ADMIN is number 12.
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let capabilities = u64::from_str_radix(&field(set), 16).unwrap();
        assert_eq!(capabilities & !(1 << 12), 0, "{set} in {process}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let user = machine.must("id --user posse");
    assert_eq!(field("Uid:").split_whitespace().next(), Some(user.trim()));

    let status = machine.must("posse status");
    let inner = status.lines().find(|line| line.contains("sandbox"));
    assert!(
        inner.is_some_and(|line| line.contains("seccomp")),
        "{status}"
    );
    println!("{}", inner.unwrap_or_default());

    let report = machine.must(
        "systemd-analyze security --offline=true --no-pager /lib/systemd/system/posse.service",
    );
    let last = report.lines().last().unwrap_or_default();
    let exposure: f64 = last
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap();
    assert!(exposure <= EXPOSURE_MAX, "{report}");
    println!("{last}");

    let modes =
        machine.must("stat --format='%a %U %G' /var/lib/posse /etc/posse /etc/posse/posse.toml");
    assert_eq!(modes, "700 posse posse\n750 root posse\n640 root posse\n");
    machine.must("man -w posse >/dev/null 2>&1 || test -e /usr/share/man/man1/posse.1.gz");
    machine.must("dpkg --verify posse");
}

fn bans_an_attacker(machine: &Debian) {
    assert!(
        machine.is_reached_from(CLIENT),
        "sshd answers before the attack"
    );
    for attempt in 0..20 {
        machine.log_in_from(ATTACKER, &format!("oracle{attempt}"));
        if machine.says(SET).contains(&ATTACKER.to_string()) {
            break;
        }
    }
    machine.wait_for(PATIENCE, "the attacker is in the kernel's set", || {
        machine.says(SET).contains(&ATTACKER.to_string())
    });
    assert!(
        !machine.is_reached_from(ATTACKER),
        "the attacker is cut off"
    );
    assert!(machine.is_reached_from(CLIENT), "the client is served on");
    let bans = machine.must("posse bans");
    assert!(bans.contains(&ATTACKER.to_string()), "{bans}");
}

fn survives_the_upgrade(machine: &Debian, package: &str) {
    let entries = verified_entries(machine);
    let bans = machine.must("posse bans --json | grep -o '\"until\":\"[^\"]*\"'");
    let done = AtomicBool::new(false);
    let (looks, gaps) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                looks.fetch_add(1, Ordering::Relaxed);
                if !machine.says(SET).contains(&ATTACKER.to_string()) {
                    gaps.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let outcome = machine.shell(&format!("apt-get install --yes {package}"));
        std::thread::sleep(Duration::from_secs(1));
        done.store(true, Ordering::Relaxed);
        assert!(outcome.status.success(), "{}", stderr(&outcome));
    });
    let (looks, gaps) = (looks.into_inner(), gaps.into_inner());
    assert!(
        looks > 5,
        "only {looks} looks at the set during the upgrade"
    );
    assert_eq!(gaps, 0, "the ban was away in {gaps} of {looks} looks");

    machine.wait_for(PATIENCE, "the new guard enforces", || {
        machine
            .says("systemctl show --property=StatusText posse")
            .contains("StatusText=enforcing; 1 bans")
    });
    let version = machine.must("dpkg-query --show --showformat='${Version}' posse");
    assert!(version.ends_with("+next"), "{version}");
    assert!(!machine.is_reached_from(ATTACKER), "still cut off");
    let after = machine.must("posse bans --json | grep -o '\"until\":\"[^\"]*\"'");
    assert_eq!(after, bans, "the same bans until the same moment");
    assert!(verified_entries(machine) > entries, "the ledger went on");
}

/// Root's commands, with the guard and without, leave nothing that locks the service out.
fn root_and_service_share_the_state(machine: &Debian) {
    machine.must("systemctl stop posse");
    machine.must("posse ban 203.0.113.9 --reason 'seen at a partner'");
    machine.must("systemctl start posse");
    machine.must("posse unban 203.0.113.9");
    let foreign = machine.must("find /var/lib/posse ! -user posse");
    assert_eq!(foreign, "", "files that the service does not own");
    machine.must("systemctl reload posse");
    machine.wait_for(PATIENCE, "the reload is in the log", || {
        machine
            .must("journalctl --unit=posse --no-pager")
            .contains("configuration and rules reloaded")
    });
}

fn leaves_as_it_came(machine: &Debian, package: &str) {
    machine.must("apt-get remove --yes posse");
    assert!(
        machine.is_reached_from(ATTACKER),
        "nobody is left to lift a ban"
    );
    machine.must("test -e /var/lib/posse/ledger.db && test -e /etc/posse/posse.toml");
    machine.must(&format!("apt-get install --yes {package}"));
    machine.wait_for(PATIENCE, "the ban on record is back in the kernel", || {
        machine.says(SET).contains(&ATTACKER.to_string())
    });

    machine.must("apt-get purge --yes posse");
    assert_eq!(left_behind(machine), "", "what a purge leaves behind");
}

fn left_behind(machine: &Debian) -> String {
    machine.says(
        "nft list tables; getent passwd posse; systemctl list-unit-files 'posse*' --no-legend; \
         find / -xdev -name '*posse*' -not -path '/root/*' -not -path '/proc/*' \
         -not -path '/sys/*' -not -path '/var/log/*'",
    )
}

/// Without a package: the program alone makes itself a service, and goes without a trace.
fn installs_itself(machine: &Debian) {
    let program = machine.put(Path::new(POSSE));
    machine.must(&format!("{program} service install"));
    machine.wait_for(PATIENCE, "the installed service enforces", || {
        machine
            .says("systemctl show --property=StatusText posse")
            .contains("StatusText=enforcing")
    });
    machine.must("posse ban 203.0.113.9 && posse service status");
    let user = machine.must("stat --format=%U /proc/$(pidof posse)");
    assert_eq!(user.trim(), "posse");
    machine.must(&format!("{program} service uninstall --purge"));
    assert_eq!(left_behind(machine), "", "what an uninstall leaves behind");
}

fn verified_entries(machine: &Debian) -> u64 {
    let said = machine.must("posse ledger verify --json");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ok"], true, "{said}");
    report["entries"].as_u64().unwrap()
}

/// Packs the program under test, as `cargo xtask deb` does with the one it builds.
fn package(out: &Path, suffix: &str) -> PathBuf {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--package", "xtask", "--", "deb"])
        .args(["--binary", POSSE, "--out"])
        // The commit's time, were it not for commits made meanwhile.
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .arg(out)
        .current_dir(workspace);
    if !suffix.is_empty() {
        command.args(["--version-suffix", suffix]);
    }
    let output = command.output().unwrap();
    let (text, said) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{text}\n{said}");
    PathBuf::from(text.lines().next().unwrap())
}
