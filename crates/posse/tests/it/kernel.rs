//! The guard and the real kernel, in a namespace of the test's own.

use crate::support::{Guard, Namespace, Site, failed_login, stdout, wait_until};

fn attack(site: &Site, address: &str) {
    let text: String = (0..6).map(|n| failed_login(address, 40_000 + n)).collect();
    site.append(&text);
}

#[test]
fn a_ban_reaches_the_kernel_and_outlives_the_guard() {
    let Some(net) = Namespace::new("bans in the kernel") else {
        return;
    };
    let site = Site::new();
    let mut guard = Guard::start(&site, Some(&net), &[]);
    attack(&site, "198.51.100.20");
    attack(&site, "2001:db8:9::1");
    let expected = ["198.51.100.20", "2001:db8:9::"];
    wait_until("both are banned", || net.banned() == expected);
    guard.kill();
    assert_eq!(
        net.banned(),
        expected,
        "a killed guard leaves the bans in force"
    );
    let mut guard = Guard::start(&site, Some(&net), &[]);
    assert_eq!(net.banned(), expected);
    guard.stop();
    assert_eq!(net.banned(), expected);
}

#[test]
fn what_others_change_is_put_right_and_recorded() {
    let Some(net) = Namespace::new("foreign changes") else {
        return;
    };
    let site = Site::new();
    let _guard = Guard::start(&site, Some(&net), &[]);
    attack(&site, "198.51.100.21");
    wait_until("it is banned", || net.banned() == ["198.51.100.21"]);
    net.run(&[
        "nft",
        "delete",
        "element",
        "inet",
        "posse",
        "ban4",
        "{ 198.51.100.21 }",
    ]);
    wait_until("it is banned again", || net.banned() == ["198.51.100.21"]);
    net.run(&["nft", "delete", "table", "inet", "posse"]);
    wait_until("the table is back", || net.banned() == ["198.51.100.21"]);
    wait_until("it is on the record", || {
        stdout(&site.ask(&["ledger", "show"])).contains("kernel_drift")
    });
}

#[test]
fn after_a_reboot_the_store_fills_the_kernel() {
    let Some(first) = Namespace::new("reboot") else {
        return;
    };
    let site = Site::new();
    let mut guard = Guard::start(&site, Some(&first), &[]);
    attack(&site, "198.51.100.22");
    wait_until("it is banned", || first.banned() == ["198.51.100.22"]);
    site.ask(&["ban", "203.0.113.0/24"]);
    guard.kill();
    drop(first);
    // A new namespace has an empty kernel set, as a machine has after a reboot.
    let Some(second) = Namespace::new("reboot") else {
        return;
    };
    let _guard = Guard::start(&site, Some(&second), &[]);
    wait_until("both are back", || {
        second.banned() == ["198.51.100.22", "203.0.113.0/24"]
    });
}

#[test]
fn the_panic_button_empties_the_kernel() {
    let Some(net) = Namespace::new("unban --all") else {
        return;
    };
    let site = Site::new();
    let _guard = Guard::start(&site, Some(&net), &[]);
    for prefix in [
        "198.51.100.30",
        "203.0.113.0/25",
        "2001:db8:1::/48",
        "2001:db8:2::7",
    ] {
        let output = site.ask(&["ban", prefix]);
        assert!(output.status.success(), "{prefix}: {}", stdout(&output));
    }
    assert_eq!(net.banned().len(), 4, "{:?}", net.banned());
    assert!(site.ask(&["unban", "--all"]).status.success());
    assert!(net.banned().is_empty());
}

#[test]
fn on_a_full_disk_bans_go_on_and_the_loss_is_said() {
    let Some(net) = Namespace::new("full disk") else {
        return;
    };
    let site = Site::new();
    let Some(_disk) = Disk::mount(&site.state()) else {
        println!("SKIPPED: full disk: needs the right to mount a tmpfs");
        return;
    };
    let guard = Guard::start(&site, Some(&net), &[]);
    let filler = site.state().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
    for n in 0..40 {
        // Each in a network of its own, or the network would be banned as one.
        attack(&site, &format!("45.66.{n}.9"));
    }
    wait_until("all are banned though nothing can be recorded", || {
        net.banned().len() == 40
    });
    wait_until("the loss is said", || {
        guard.said().contains("RECORDING PAUSED, bans go on")
    });
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    wait_until("recording resumes", || site.bans().len() == 40);
    assert!(stdout(&site.ask(&["ledger", "verify"])).starts_with("OK"));
}

/// A small file system of its own.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(place: &std::path::Path) -> Option<Self> {
        std::fs::create_dir(place).ok()?;
        let options = ["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs"];
        let mounted = std::process::Command::new("mount")
            .args(options)
            .arg(place)
            .status();
        mounted
            .is_ok_and(|s| s.success())
            .then(|| Self(place.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status()
            .ok();
    }
}
