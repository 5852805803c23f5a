//! A few simulated hours of a busy server: rotations, kills, reloads, orders; see `bench/week`.

use std::{path::Path, process::Command};

use crate::support::POSSE;

#[test]
fn some_hours_of_a_busy_server_leave_what_they_must() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/week/run");
    let has = |program: &str| {
        let asked = Command::new(program).arg("--version").output();
        asked.is_ok_and(|o| o.status.success())
    };
    if !has("gcc") || !has("python3") {
        println!("SKIPPED: a simulated week: needs gcc and python3 (apt-get install gcc python3)");
        return;
    }
    let week = Command::new("python3")
        .arg(run)
        .args(["--days", "0.1", "--lines", "30000", "--quiet", "1000"])
        .args(["--posse", POSSE])
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&week.stdout);
    assert!(
        week.status.success(),
        "{table}{}",
        String::from_utf8_lossy(&week.stderr)
    );
}
