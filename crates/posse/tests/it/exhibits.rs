//! Exhibits through the real binary: taken in, looked at, kept, destroyed; killed and on a full
//! disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use ledger::VerifyingKey;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::Store;

use crate::{
    persons,
    support::{Guard, POSSE, Site, failed_login, stderr, stdout, wait_until},
};

const AUTHORITY: [&str; 2] = ["--authority", "contract 7, clause 3"];

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs on the site's state `ahead` of the clock.
fn at(site: &Site, ahead: &str, arguments: &[&str]) -> Output {
    Command::new(POSSE)
        .args(arguments)
        .arg("--state")
        .arg(site.state())
        .env("POSSE_TEST_CLOCK_AHEAD", ahead)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = ok(output);
    let values = text.lines().map(serde_json::from_str::<Value>);
    values.map(Result::unwrap).collect()
}

fn write(site: &Site, name: &str, bytes: &[u8]) -> String {
    let path = site.path(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

/// Takes a file in; its number.
fn add(site: &Site, file: &str, more: &[&str]) -> String {
    let words = [&["exhibit", "add", file, "--json"], &AUTHORITY[..], more].concat();
    let added = lines(&site.ask(&words));
    added[0]["exhibit"].as_str().unwrap().to_owned()
}

fn view(site: &Site, exhibit: &str) -> Output {
    site.ask(&["exhibit", "view", exhibit, "--reason", "to read it"])
}

fn sealed_files(site: &Site) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let sealed = site.state().join("exhibits/sealed");
    for shelf in fs::read_dir(sealed).into_iter().flatten().flatten() {
        all.extend(
            fs::read_dir(shelf.path())
                .unwrap()
                .map(|f| f.unwrap().path()),
        );
    }
    all
}

fn list(site: &Site) -> BTreeMap<String, Value> {
    let all = lines(&site.ask(&["exhibit", "list", "--json"]));
    all.into_iter()
        .map(|one| (one["exhibit"].as_str().unwrap().to_owned(), one))
        .collect()
}

#[test]
fn an_exhibit_is_hashed_sealed_and_never_changed() {
    let site = Site::new();
    let text = b"2026-11-22 user ada from 192.0.2.7\nsecond line\n";
    let file = write(&site, "capture.log", text);
    let number = add(&site, &file, &[]);
    let shown = lines(&site.ask(&["exhibit", "show", &number, "--json"]));
    let acquisition = &shown[0]["acquisition"];
    assert_eq!(acquisition["sha256"], hex(text));
    assert_eq!(acquisition["sha512"].as_str().unwrap().len(), 128);
    assert_eq!(acquisition["bytes"], text.len());
    assert_eq!(acquisition["file_name"], "capture.log");
    assert_eq!(acquisition["authority"], AUTHORITY[1]);
    assert_eq!(acquisition["clock"]["told_by"], "adjtimex");
    for field in [
        "by",
        "role",
        "place",
        "method",
        "reason",
        "class",
        "sealed_with",
    ] {
        assert_ne!(acquisition[field].as_str().unwrap(), "", "{field}");
    }
    let sealed = sealed_files(&site);
    assert_eq!(sealed.len(), 1);
    let found = fs::metadata(&sealed[0]).unwrap();
    assert_eq!(found.mode() & 0o777, 0o440);
    let bytes = fs::read(&sealed[0]).unwrap();
    assert!(!bytes.windows(10).any(|window| window == &text[..10]));
    assert_eq!(view(&site, &number).stdout, text);

    let redacted = site.ask(&[
        "exhibit",
        "redact",
        &number,
        "--range",
        "16-19",
        "--reason",
        "a third party",
        "--json",
    ]);
    let redacted = lines(&redacted)[0]["exhibit"].as_str().unwrap().to_owned();
    assert_eq!(
        stdout(&view(&site, &redacted)),
        "2026-11-22 user XXX from 192.0.2.7\nsecond line\n"
    );
    let shown = lines(&site.ask(&["exhibit", "show", &redacted, "--json"]));
    let acquisition = &shown[0]["acquisition"];
    assert_eq!(acquisition["root"], number.as_str());
    assert_eq!(acquisition["parent"]["exhibit"], number.as_str());
    assert_eq!(acquisition["parent"]["sha256"], hex(text));
    assert_eq!(acquisition["parent"]["redactions"][0]["from"], 16);
    let extract = site.ask(&[
        "exhibit",
        "extract",
        &number,
        "--range",
        "35-46",
        "--reason",
        "all one needs",
        "--json",
    ]);
    let extract = lines(&extract)[0]["exhibit"].as_str().unwrap().to_owned();
    assert_eq!(stdout(&view(&site, &extract)), "second line");
    // What was there stayed as it was.
    assert_eq!(fs::read(&sealed[0]).unwrap(), bytes);
    assert_eq!(fs::metadata(&sealed[0]).unwrap().ino(), found.ino());
    ok(&site.ask(&["exhibit", "verify"]));
    ok(&site.ask(&["ledger", "verify"]));
}

#[test]
fn nothing_is_taken_without_an_authority_or_a_known_class() {
    let site = Site::new();
    let file = write(&site, "a", b"a");
    for bad in [["--authority", "  "], ["--class", "forever"]] {
        let words = [&["exhibit", "add", &file][..], &AUTHORITY, &bad].concat();
        let words: Vec<&str> = if bad[0] == "--authority" {
            [&["exhibit", "add", file.as_str()][..], &bad].concat()
        } else {
            words
        };
        let refused = site.ask(&words);
        assert!(!refused.status.success());
        assert!(
            stderr(&refused).contains(&bad[0][2..]),
            "{}",
            stderr(&refused)
        );
    }
    let listed = site.ask(&["exhibit", "list", "--json"]);
    assert_eq!(stdout(&listed), "");
}

#[test]
fn every_look_is_on_the_ledger_once_and_before_the_bytes() {
    let site = Site::new();
    let number = add(&site, &write(&site, "a", b"the bytes"), &[]);
    let looks = || list(&site)[&number]["looks"].as_u64().unwrap();
    assert_eq!(looks(), 0);
    assert_eq!(view(&site, &number).stdout, b"the bytes");
    assert_eq!(looks(), 1);
    let to = site.path("out");
    let to_text = to.display().to_string();
    let words = [
        "exhibit",
        "export",
        &number,
        "--to",
        &to_text,
        "--reason",
        "for the police",
    ];
    ok(&site.ask(&words));
    assert_eq!(fs::read(&to).unwrap(), b"the bytes");
    assert_eq!(looks(), 2);
    // Never over a file that is there.
    assert!(!site.ask(&words).status.success());
    assert_eq!(looks(), 2);
    // Whoever gives no reason sees nothing.
    let silent = site.ask(&["exhibit", "view", &number, "--reason", " "]);
    assert!(!silent.status.success() && silent.stdout.is_empty());
    assert_eq!(looks(), 2);
}

/// A file system of the site's own for its state, unmounted at the end.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=0700");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(path.to_owned()));
        }
        println!("SKIPPED: full disk: needs the right to mount a tmpfs");
        None
    }

    /// Takes all that is left.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .args(["-l".as_ref(), self.0.as_os_str()])
            .output();
    }
}

#[test]
fn a_look_that_cannot_be_recorded_is_refused() {
    let site = Site::new();
    let Some(mount) = Mount::new(&site.state(), "4m") else {
        return;
    };
    let secret = b"nobody sees this unrecorded";
    let number = add(&site, &write(&site, "a", secret), &[]);
    mount.fill();
    let refused = view(&site, &number);
    assert!(!refused.status.success());
    assert_eq!(stdout(&refused), "");
    let why = stderr(&refused);
    assert!(
        why.contains("is not shown") && why.contains("full"),
        "{why}"
    );
    let to = site.path("out");
    let to_text = to.display().to_string();
    let export = [
        "exhibit", "export", &number, "--to", &to_text, "--reason", "x",
    ];
    assert!(!site.ask(&export).status.success());
    assert!(!to.exists());
    // An acquisition that cannot be recorded is none either.
    let words = [
        "exhibit",
        "add",
        &write(&site, "b", b"b"),
        AUTHORITY[0],
        AUTHORITY[1],
    ];
    assert!(!site.ask(&words).status.success());
    fs::remove_file(site.state().join("ballast")).unwrap();
    assert_eq!(view(&site, &number).stdout, secret);
    assert_eq!(list(&site).len(), 1);
    assert_eq!(list(&site)[&number]["looks"], 1);
    let ahead = at(&site, "2h", &["exhibit", "verify", "--json"]);
    assert_eq!(lines(&ahead).last().unwrap()["unfinished"], 0);
    assert_eq!(sealed_files(&site).len(), 1);
    ok(&site.ask(&["ledger", "verify"]));
}

#[test]
fn a_look_through_a_guard_on_a_full_disk_is_recorded_or_refused() {
    let site = Site::new();
    let Some(mount) = Mount::new(&site.state(), "6m") else {
        return;
    };
    let number = add(&site, &write(&site, "a", b"seen"), &[]);
    site.append("");
    let mut guard = Guard::start(&site, None, &["--observe"]);
    mount.fill();
    // What the guard's files have room for is recorded; then no more.
    let mut seen = 0;
    let refused = loop {
        let look = view(&site, &number);
        if !look.status.success() {
            break look;
        }
        assert_eq!(look.stdout, b"seen");
        seen += 1;
        assert!(seen < 2_000, "the disk is never full");
    };
    assert_eq!(stdout(&refused), "");
    assert!(
        stderr(&refused).contains("not recorded"),
        "{}",
        stderr(&refused)
    );
    fs::remove_file(site.state().join("ballast")).unwrap();
    wait_until("looks are recorded again", || {
        view(&site, &number).status.success()
    });
    guard.kill();
    assert_eq!(list(&site)[&number]["looks"], seen + 1);
}

/// Takes in what is poured into its standard input, and is killed after a while.
fn add_and_kill(site: &Site, bytes: &[u8], after: Duration) -> Option<String> {
    let mut child = Command::new(POSSE)
        .args(["exhibit", "add", "-", "--json"])
        .args(AUTHORITY)
        .arg("--state")
        .arg(site.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_owned();
    // It fails when the other end was killed.
    let pour = std::thread::spawn(move || input.write_all(&bytes).ok());
    std::thread::sleep(after);
    child.kill().ok();
    let output = child.wait_with_output().unwrap();
    pour.join().unwrap();
    let line = stdout(&output);
    let said: Value = serde_json::from_str(line.trim()).ok()?;
    Some(said["exhibit"].as_str().unwrap().to_owned())
}

#[test]
fn kill_9_leaves_whole_exhibits_or_none() {
    let site = Site::new();
    let bytes: Vec<u8> = (0u32..400_000).flat_map(u32::to_le_bytes).collect();
    let mut acknowledged = BTreeSet::new();
    acknowledged.insert(add(&site, &write(&site, "first", b"first"), &[]));
    let mut guard = None;
    for round in 0..40u64 {
        if round == 20 {
            site.append("");
            guard = Some(Guard::start(&site, None, &["--observe"]));
        }
        let after = Duration::from_millis(4 + round % 20 * 5);
        acknowledged.extend(add_and_kill(&site, &bytes, after));
    }
    assert!(guard.is_some());
    let last = add(&site, &write(&site, "last", b"last"), &[]);
    assert!(acknowledged.insert(last), "a number was given twice");
    println!(
        "{} of 42 acquisitions were acknowledged",
        acknowledged.len()
    );
    let listed: BTreeSet<String> = list(&site).into_keys().collect();
    assert!(listed.is_superset(&acknowledged));
    let whole = hex(&bytes);
    for (number, one) in list(&site) {
        let hash = one["acquisition"]["sha256"].as_str().unwrap().to_owned();
        let known = [whole.clone(), hex(b"first"), hex(b"last")];
        assert!(known.contains(&hash), "{number} is half-made");
    }
    // What was left is nobody's, and goes when no program can still be about to record it.
    let checked = at(&site, "2h", &["exhibit", "verify", "--json"]);
    let sum = lines(&checked).pop().unwrap();
    assert_eq!(sum["intact"], listed.len());
    assert_eq!(
        (&sum["damaged"], &sum["unfinished"]),
        (&0.into(), &0.into())
    );
    assert_eq!(sealed_files(&site).len(), listed.len());
    let incoming = fs::read_dir(site.state().join("exhibits/incoming")).unwrap();
    assert_eq!(incoming.count(), 0);
    drop(guard);
    ok(&site.ask(&["ledger", "verify"]));
}

#[test]
fn nobody_destroys_or_releases_alone() {
    let site = Site::new();
    let number = add(&site, &write(&site, "a", b"a"), &[]);
    let act = |words: &[&str]| site.ask(&[&["exhibit"], words].concat());
    ok(&act(&[
        "hold",
        &number,
        "--authority",
        "order 5",
        "--reason",
        "trial",
        "--by",
        "ada",
    ]));
    let state = site.state();
    let [ada, grace] = persons::two(&state);
    let by = |person: &persons::Person, words: &[&str]| {
        person.does(&state, &[&["exhibit"], words].concat())
    };
    let purge = ["purge", &number, "--reason", "done"];
    let held = by(&ada, &purge);
    assert!(stderr(&held).contains("HOLD-1"), "{}", stderr(&held));
    let release = ["release", &number, "--hold", "HOLD-1", "--reason", "over"];
    ok(&by(&ada, &release));
    let refused = by(&ada, &["agree", &number, "RQ-1"]);
    assert!(
        stderr(&refused).contains("another person"),
        "{}",
        stderr(&refused)
    );
    ok(&by(&grace, &["agree", &number, "RQ-1"]));
    ok(&by(&grace, &purge));
    assert!(!by(&grace, &["agree", &number, "RQ-2"]).status.success());
    assert_eq!(view(&site, &number).stdout, b"a");
    ok(&by(
        &grace,
        &["decline", &number, "RQ-2", "--reason", "wait"],
    ));
    assert!(!by(&ada, &["agree", &number, "RQ-2"]).status.success());
    ok(&by(&grace, &purge));
    ok(&by(&ada, &["agree", &number, "RQ-3"]));
    assert!(sealed_files(&site).is_empty());
    let gone = view(&site, &number);
    assert!(stderr(&gone).contains("destroyed"), "{}", stderr(&gone));
    assert_eq!(list(&site)[&number]["state"], "destroyed");
    ok(&site.ask(&["ledger", "verify"]));
}

#[test]
fn after_400_days_exactly_what_policy_says_is_gone() {
    let site = Site::new();
    let opened = site.ask(&["case", "open", "--title", "x", "--authority", "y", "--json"]);
    let case = lines(&opened)[0]["case"].as_str().unwrap().to_owned();
    let file = |name: &str| write(&site, name, name.as_bytes());
    let log = add(&site, &file("log"), &["--class", "log"]);
    let personal = add(&site, &file("personal"), &["--class", "personal"]);
    let evidence = add(&site, &file("evidence"), &["--class", "evidence"]);
    let held = add(&site, &file("held"), &["--class", "log"]);
    let in_case = add(
        &site,
        &file("in case"),
        &["--class", "log", "--case", &case],
    );
    let hold = [
        "exhibit",
        "hold",
        &held,
        "--authority",
        "order",
        "--reason",
        "r",
    ];
    ok(&site.ask(&hold));
    let short = add(&site, &file("short hold"), &["--class", "log"]);
    let until = [
        "exhibit",
        "hold",
        &short,
        "--authority",
        "o",
        "--reason",
        "r",
        "--until",
    ];
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(300 * 24);
    ok(&site.ask(&[&until[..], &[&soon.to_string()]].concat()));

    let early = ok(&at(&site, "29d", &["exhibit", "retire"]));
    assert!(early.contains("0 destroyed"), "{early}");
    let due = ok(&at(&site, "400d", &["exhibit", "retire", "--dry-run"]));
    assert!(due.contains("3 would be destroyed"), "{due}");
    assert_eq!(sealed_files(&site).len(), 6);
    let done = ok(&at(&site, "400d", &["exhibit", "retire"]));
    assert!(done.contains("3 destroyed"), "{done}");
    let states = list(&site);
    for gone in [&log, &personal, &short] {
        assert_eq!(states[gone]["state"], "destroyed", "{gone}");
        assert!(
            !site
                .state()
                .join(format!("exhibits/keys/{gone}.key"))
                .exists()
        );
    }
    for kept in [&evidence, &held, &in_case] {
        assert_ne!(states[kept]["state"], "destroyed", "{kept}");
        assert!(view(&site, kept).status.success());
    }
    assert_eq!(sealed_files(&site).len(), 3);

    // Their tombstones: the leaves of what was shredded are still proven.
    let store = Store::open_read_only(&site.state()).unwrap();
    let key = VerifyingKey::parse(&store.vkey()).unwrap();
    for gone in [&log, &personal, &short] {
        for (index, _) in store.exhibit_acts(gone).unwrap() {
            let leaf = store.entry(index).unwrap().leaf_bytes;
            store.proof(index).unwrap().verify(&leaf, &key).unwrap();
        }
    }
    ok(&site.ask(&["ledger", "verify"]));
    ok(&site.ask(&["case", "close", &case, "--reason", "over"]));
    let done = ok(&at(&site, "400d", &["exhibit", "retire"]));
    assert!(done.contains("1 destroyed"), "{done}");
    assert_eq!(list(&site)[&in_case]["state"], "destroyed");
    // The hold goes by two persons, and then policy takes its turn.
    let [ada, grace] = persons::two(&site.state());
    let release = ["release", &held, "--hold", "HOLD-1", "--reason", "over"];
    ok(&ada.does(&site.state(), &[&["exhibit"], &release[..]].concat()));
    ok(&at(&site, "400d", &["exhibit", "retire"]));
    assert_ne!(list(&site)[&held]["state"], "destroyed");
    ok(&grace.does(&site.state(), &["exhibit", "agree", &held, "RQ-1"]));
    let done = ok(&at(&site, "400d", &["exhibit", "retire"]));
    assert!(done.contains("1 destroyed"), "{done}");
    assert_eq!(list(&site)[&held]["state"], "destroyed");
    assert_ne!(list(&site)[&evidence]["state"], "destroyed");
    ok(&site.ask(&["ledger", "verify"]));
}

#[test]
fn damage_is_found_and_named() {
    let site = Site::new();
    let whole = add(&site, &write(&site, "a", &[7; 200_000]), &[]);
    let damaged = add(&site, &write(&site, "b", &[8; 200_000]), &[]);
    let sealed = sealed_files(&site);
    let file = sealed
        .iter()
        .find(|f| f.display().to_string().ends_with(&damaged))
        .unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[100_000] ^= 1;
    fs::write(file, bytes).unwrap();
    let checked = site.ask(&["exhibit", "verify"]);
    assert_eq!(checked.status.code(), Some(1));
    let text = stdout(&checked);
    assert!(text.contains(&format!("{whole} intact")), "{text}");
    assert!(text.contains(&format!("{damaged} DAMAGED")), "{text}");
    assert_eq!(list(&site)[&damaged]["state"], "DAMAGED");
    let shown = ok(&site.ask(&["ledger", "show", "0"]));
    assert!(shown.contains("exhibit_damaged"), "{shown}");
}

#[test]
fn an_alert_becomes_evidence_with_all_its_lines() {
    let site = Site::new();
    site.append("");
    let mut guard = Guard::start(&site, None, &["--observe"]);
    let mut log = String::new();
    for port in 0..8 {
        log.push_str(&failed_login("203.0.113.9", 4000 + port));
    }
    site.append(&log);
    wait_until("an alert is recorded", || !site.alerts().is_empty());
    let alert = site.alerts().pop().unwrap()["alert"].clone();
    let id = alert["id"].as_str().unwrap().to_owned();
    let opened = site.ask(&["case", "open", "--title", "x", "--authority", "y", "--json"]);
    let case = lines(&opened)[0]["case"].as_str().unwrap().to_owned();
    let config = site.config().display().to_string();
    let add = ["case", "add-alerts", &case, &id[..8], "--config", &config];
    let said = ok(&site.ask(&add));
    assert!(said.contains("lines that counted"), "{said}");
    let exhibits = list(&site);
    let of = |method: &str| {
        let found = exhibits
            .values()
            .find(|e| e["acquisition"]["method"] == method);
        found.unwrap().clone()
    };
    let raw = of("alert");
    let number = raw["exhibit"].as_str().unwrap();
    let seen = stdout(&view(&site, number));
    let evidence = alert["evidence"].as_array().unwrap();
    assert_eq!(seen.lines().count(), evidence.len());
    assert!(seen.lines().all(|line| log.contains(line)));
    let sources = raw["acquisition"]["sources"].as_array().unwrap();
    assert_eq!(sources.len(), evidence.len());
    for (span, line) in sources.iter().zip(evidence) {
        assert_eq!(span["origin"], line["origin"]);
        assert_eq!(span["received"], line["received"]);
    }
    let rules = of("rules");
    let bundle = stdout(&view(&site, rules["exhibit"].as_str().unwrap()));
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!(bundle["rule_hash"], alert["rule_hash"]);
    let files = bundle["files"].as_array().unwrap();
    let own = files
        .iter()
        .find(|f| f["sha256"] == alert["rule_hash"])
        .unwrap();
    assert_eq!(
        hex(own["text"].as_str().unwrap().as_bytes()),
        alert["rule_hash"]
    );
    assert_ne!(raw["acquisition"]["tool"]["rules_hash"], "");
    // Again: neither the lines nor the rules are taken twice.
    ok(&site.ask(&add));
    assert_eq!(list(&site).len(), 2);
    let shown = lines(&site.ask(&["case", "show", &case, "--json"]));
    assert_eq!(shown[0]["alerts"][0], id.as_str());
    assert_eq!(shown[0]["bans"][0]["ban"]["prefix"], "203.0.113.9");
    guard.stop();
}
