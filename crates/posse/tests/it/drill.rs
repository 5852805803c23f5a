//! The drill, whole: it must pass, and leave nothing behind.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{POSSE, stderr, stdout};

fn can_run() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| {
        use std::os::unix::fs::MetadataExt as _;
        m.uid() == 0
    });
    let ip = Command::new("ip")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success());
    if !(root && ip) {
        println!("SKIPPED: live drill: needs root and iproute2");
    }
    root && ip
}

fn leftovers(pid: u32) -> bool {
    let names = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    let mine = format!("posse-drill-{pid}-");
    names
        .map(|e| e.file_name())
        .any(|n| n.to_string_lossy().starts_with(&mine))
        || Path::new(&std::env::temp_dir())
            .join(format!("posse-drill-{pid}"))
            .exists()
}

#[test]
fn the_attackers_are_cut_off_and_the_client_is_served() {
    if !can_run() {
        return;
    }
    let began = Instant::now();
    let child = Command::new(POSSE)
        .arg("drill")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let said = stdout(&output);
    assert!(output.status.success(), "{said}\n{}", stderr(&output));
    assert!(said.contains("Drill PASSED"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(!leftovers(pid));
}

#[test]
fn an_interrupted_drill_cleans_up() {
    if !can_run() {
        return;
    }
    let mut child = Command::new(POSSE)
        .arg("drill")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    std::thread::sleep(Duration::from_millis(700));
    Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status()
        .unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!leftovers(pid));
}

#[test]
fn without_root_the_replay_half_runs_and_says_why() {
    if !can_run() {
        return;
    }
    // The binary must be readable for a user without rights, wherever it was built.
    let copy = std::env::temp_dir().join(format!("posse-unprivileged-{}", std::process::id()));
    std::fs::copy(POSSE, &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .arg("drill")
        .output();
    std::fs::remove_file(&copy).unwrap();
    let output = output.unwrap();
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{said}{}", stderr(&output));
    assert!(said.contains("needs root"), "{said}");
    assert!(
        said.contains("198.51.100.66 performed 'posse/ssh-bf'"),
        "{said}"
    );
    assert!(
        said.contains("2001:db8:bad::77 performed 'posse/http-auth-bf'"),
        "{said}"
    );
}
