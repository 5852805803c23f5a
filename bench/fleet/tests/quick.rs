//! Two hundred guards on one hub: everything reaches everyone in time, also after a kill -9.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command},
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-load");

/// The hub that was started first, or the one after the restart: by its process id's file.
struct Hub {
    first: Child,
    pid_file: std::path::PathBuf,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
        if let Ok(pid) = fs::read_to_string(&self.pid_file) {
            let _ = Command::new("kill").args(["-KILL", pid.trim()]).status();
        }
    }
}

#[test]
fn two_hundred_guards_have_every_ban_in_time_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("hub");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let pid_file = state.join("pid");
    let hub = format!(
        "'{PROGRAM}' hub --state '{}' --listen {listen}",
        state.display()
    );
    let first = Command::new("sh")
        .args(["-c", &format!("exec {hub}")])
        .spawn()
        .unwrap();
    let _hub = Hub {
        first,
        pid_file: pid_file.clone(),
    };
    let began = Instant::now();
    while fs::read_to_string(&pid_file).unwrap_or_default().is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the hub does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = pid_file.display();
    let lock = state.join("lock");
    let lock = lock.display();
    let restart = format!(
        "kill -KILL $(cat '{pid}'); rm '{pid}'; flock '{lock}' true; {hub} >/dev/null 2>&1 & \
         while [ ! -s '{pid}' ]; do sleep 0.05; done"
    );
    let done = Command::new("timeout")
        .args(["-k", "5", "120", PROGRAM, "guards", "--state"])
        .arg(&state)
        .args([
            "--hub",
            &listen,
            "--guards",
            "200",
            "--singles",
            "20",
            "--pause-ms",
            "100",
        ])
        .args([
            "--seconds",
            "5",
            "--within-ms",
            "300",
            "1000",
            "--restart",
            &restart,
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}\n{error}");
    assert!(said.contains("restart: all 200 back"), "{said}");
}
