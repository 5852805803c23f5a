//! What time servers say of the clock, in the record of an acquisition: a server of our own that
//! is ahead of us, and a clock of our own that is ahead of it.

use std::{
    fs,
    net::UdpSocket,
    process::{Command, Stdio},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::support::{POSSE, Site, stderr, stdout};

/// From 1900 to 1970, in seconds (RFC 5905, figure 4).
const ERA: u64 = 2_208_988_800;

/// A time server on loopback that is `ahead`; its port.
fn time_server(ahead: Duration) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut question) {
            assert_eq!((count, question[0]), (48, 0x23));
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
            let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
            let time = (((time.as_secs() + ERA) << 32) | fraction).to_be_bytes();
            let mut answer = [0; 48];
            answer[0] = 0x24;
            answer[1] = 1;
            answer[12..16].copy_from_slice(b"GPS\0");
            answer[24..32].copy_from_slice(&question[40..48]);
            answer[32..40].copy_from_slice(&time);
            answer[40..48].copy_from_slice(&time);
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

fn configure(site: &Site, servers: &[String]) {
    site.configure(&format!("[evidence]\ntime_servers = {servers:?}\n"));
}

/// Takes a file in; its number.
fn add_by(mut command: Command, site: &Site) -> String {
    let file = site.path("note.txt");
    fs::write(&file, "seen").unwrap();
    let added = command
        .args(["exhibit", "add", "--json", "--authority", "contract 7"])
        .arg(file)
        .arg("--config")
        .arg(site.config())
        .arg("--state")
        .arg(site.state())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(added.status.success(), "{}", stderr(&added));
    let line: Value = serde_json::from_str(&stdout(&added)).unwrap();
    line["exhibit"].as_str().unwrap().to_owned()
}

fn shown(site: &Site, exhibit: &str) -> (Value, String) {
    let json = site.ask(&["exhibit", "show", exhibit, "--json"]);
    let plain = site.ask(&["exhibit", "show", exhibit]);
    assert!(json.status.success(), "{}", stderr(&json));
    let value: Value = serde_json::from_str(&stdout(&json)).unwrap();
    (value["acquisition"].clone(), stdout(&plain))
}

fn nanos(value: &Value) -> i64 {
    value
        .as_str()
        .unwrap()
        .parse::<model::Timestamp>()
        .unwrap()
        .nanos()
}

#[test]
fn the_record_says_how_far_the_clock_is_behind_and_shows_the_corrected_time() {
    let site = Site::new();
    let port = time_server(Duration::from_secs(7));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silence = silent.local_addr().unwrap().to_string();
    configure(&site, &[format!("127.0.0.1:{port}"), silence]);
    let added = add_by(Command::new(POSSE), &site);
    let (record, plain) = shown(&site, &added);
    let network = &record["clock"]["network"];
    let offset = network["offset_microseconds"].as_i64().unwrap();
    assert!((6_900_000..=7_100_000).contains(&offset), "{network}");
    assert_eq!(
        nanos(&network["corrected"]) - nanos(&record["at"]),
        offset * 1_000
    );
    assert_eq!(network["servers"][0]["answer"]["stratum"], 1);
    assert_eq!(network["servers"][0]["answer"]["reference"], "GPS");
    let failure = network["servers"][1]["failure"].as_str().unwrap();
    assert!(failure.contains("no answer"), "{network}");
    assert!(plain.contains("  corrected  "), "{plain}");
    assert!(plain.contains(" s behind NTP, within "), "{plain}");
    assert!(
        record["clock"]["since_boot_microseconds"].is_u64(),
        "{record}"
    );
    // The next one within the minute uses the same answer and says how old it is.
    let again = add_by(Command::new(POSSE), &site);
    let (second, _) = shown(&site, &again);
    assert_eq!(second["clock"]["network"]["asked"], network["asked"]);
    assert!(second["clock"]["network"]["age_milliseconds"].as_u64() > Some(0));
}

#[test]
fn a_clock_that_runs_ahead_is_told_so() {
    let faked = Command::new("faketime").arg("--version").output();
    if !faked.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: needs faketime");
        return;
    }
    let site = Site::new();
    configure(
        &site,
        &[format!("127.0.0.1:{}", time_server(Duration::ZERO))],
    );
    let mut command = Command::new("faketime");
    command.args(["-f", "+7s", POSSE]);
    let added = add_by(command, &site);
    let (record, plain) = shown(&site, &added);
    let offset = record["clock"]["network"]["offset_microseconds"].as_i64();
    assert!(
        (-7_100_000..=-6_900_000).contains(&offset.unwrap()),
        "{record}"
    );
    assert!(plain.contains(" s ahead of NTP, within "), "{plain}");
}

#[test]
fn without_an_answer_evidence_is_taken_and_without_servers_none_is_asked() {
    let site = Site::new();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    configure(&site, &[silent.local_addr().unwrap().to_string()]);
    let added = add_by(Command::new(POSSE), &site);
    let (record, plain) = shown(&site, &added);
    assert!(record["clock"]["network"]["offset_microseconds"].is_null());
    assert!(plain.contains("none of 1 time servers answered"), "{plain}");
    configure(&site, &[]);
    let added = add_by(Command::new(POSSE), &site);
    let (record, _) = shown(&site, &added);
    assert!(record["clock"]["network"].is_null(), "{record}");
}
