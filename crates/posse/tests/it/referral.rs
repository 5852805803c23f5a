//! Referring a case with the real binary: three countries, stale contacts, orders taken in.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    geoip, persons,
    support::{Guard, Site, failed_login, posse, stderr, stdout, wait_until},
};

pub(crate) const VICTIMS: [(&str, &str, &str, &str); 3] = [
    ("mill", "DE", "Example Mill", "198.51.100.10"),
    ("school", "FR", "Example School", "198.51.100.20"),
    ("port", "NL", "Example Port Authority", "2001:db8::30"),
];

/// A state folder of its own.
pub(crate) struct Desk {
    dir: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let mut folder = fs::DirBuilder::new();
        folder.mode(0o700).create(desk.state()).unwrap();
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn ask(&self, words: &[&str]) -> Output {
        ask(&self.state(), words)
    }

    pub(crate) fn said(&self, words: &[&str]) -> String {
        said(&self.state(), words)
    }
}

pub(crate) fn ask(state: &Path, words: &[&str]) -> Output {
    let state = state.display().to_string();
    posse(&[words, &["--state", &state]].concat())
}

pub(crate) fn said(state: &Path, words: &[&str]) -> String {
    let output = ask(state, words);
    assert!(
        output.status.success(),
        "{words:?}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    stdout(&output)
}

pub(crate) fn confirm(state: &Path, country: &str, field: &str, value: &str) {
    for by in &persons::two(state) {
        let words = [
            "refer", "confirm", country, field, "--source", "its page", "--value", value,
        ];
        let output = by.does(state, &words);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

/// A case with three victims in three countries.
pub(crate) fn open_case(state: &Path) {
    let words = [
        "case",
        "open",
        "--title",
        "Password guessing at Example Mill and others",
        "--authority",
        "contract 7",
    ];
    assert!(said(state, &words).contains("CASE-2"), "no case");
    let case = case(state);
    for (id, country, name, address) in VICTIMS {
        let contact = format!("security@{id}.example");
        let words = [
            "case",
            "party",
            &case,
            "--id",
            id,
            "--role",
            "victim",
            "--name",
            name,
            "--country",
            country,
            "--address",
            address,
            "--contact",
            &contact,
        ];
        said(state, &words);
    }
}

pub(crate) fn case(state: &Path) -> String {
    let list = said(state, &["case", "list", "--json"]);
    let line: Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
    line["case"].as_str().unwrap().to_owned()
}

/// Every file below a folder: path and bytes.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

pub(crate) fn holds(bytes: &[u8], part: &str) -> bool {
    let (text, part) = (
        String::from_utf8_lossy(bytes).to_lowercase(),
        part.to_lowercase(),
    );
    text.contains(&part)
}

/// A guard sees three sources, one for each victim; the alerts go into the case.
pub(crate) fn attacked() -> (Site, PathBuf, String) {
    let site = Site::new();
    for (i, (_, _, _, address)) in VICTIMS.iter().enumerate() {
        for port in 0..8 {
            let line = failed_login(&format!("203.0.113.{}", i + 1), 51_000 + port);
            // The victim's machine calls itself by its address.
            site.append(&line.replacen(" host ", &format!(" {address} "), 1));
        }
    }
    let guard = Guard::start(&site, None, &["--observe"]);
    wait_until("three alerts are there", || site.alerts().len() >= 3);
    let state = site.state();
    open_case(&state);
    let case = case(&state);
    for alert in site.alerts() {
        let id = alert["alert"]["id"]
            .as_str()
            .or_else(|| alert["id"].as_str())
            .unwrap()
            .to_owned();
        said(&state, &["case", "add-alerts", &case, &id]);
    }
    drop(guard);
    (site, state, case)
}

#[test]
fn a_case_in_three_countries_gives_three_referrals_without_the_others_data() {
    let (site, state, case) = attacked();
    let to = site.path("out");
    let to_text = to.display().to_string();
    // Nobody has confirmed anything: refused, with the reason and what to do.
    let refused = ask(&state, &["refer", &case, "--to", &to_text]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stdout(&refused).contains("posse refer confirm DE authority"),
        "{refused:?}"
    );
    assert!(!to.exists() && !state.join("referrals").exists());
    for country in ["DE", "FR", "NL"] {
        confirm(
            &state,
            country,
            "authority",
            &format!("police of {country}"),
        );
        confirm(
            &state,
            country,
            "portal",
            &format!("https://{country}.example/"),
        );
    }
    // No database: where the sources are is said by hand, and said to be missing.
    let done = ask(&state, &["refer", &case, "--to", &to_text]);
    assert!(done.status.success(), "{}{}", stdout(&done), stderr(&done));
    assert!(stderr(&done).contains("--mmdb"), "{}", stderr(&done));
    for (i, (id, country, name, address)) in VICTIMS.into_iter().enumerate() {
        let folder = fs::read_dir(&to)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.to_string_lossy().ends_with(&format!("{country}-police")))
            .unwrap();
        let files = files(&folder);
        let any = |part: &str| files.iter().any(|(_, bytes)| holds(bytes, part));
        for part in [name, address, &format!("security@{id}.example")] {
            assert!(any(part), "{country} lacks {part}");
        }
        let source = format!("203.0.113.{}", i + 1);
        assert!(
            any(&format!("{source} port 51000 tcp")),
            "{country} lacks its source"
        );
        for (j, (other_id, other, name, address)) in VICTIMS.into_iter().enumerate() {
            if other == country {
                continue;
            }
            let contact = format!("security@{other_id}.example");
            let source = format!("203.0.113.{}", j + 1);
            for part in [name, address, &contact, &source] {
                assert!(!any(part), "{country} holds {part:?} of {other}");
            }
        }
        let letters = files.iter().filter(|(p, _)| !p.ends_with("raw"));
        for (path, bytes) in letters {
            assert!(!holds(bytes, "Failed password"), "{}", path.display());
        }
    }
    let list = said(&state, &["refer", "list", "--json"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(said(&state, &["ledger", "verify"]).starts_with("OK"));
    // The same case at the same moment gives the same bytes.
    let at = "2027-01-01T00:00:00Z";
    let draft = |name: &str| {
        let to = site.path(name).display().to_string();
        said(
            &state,
            &["refer", &case, "--draft", "--at", at, "--to", &to],
        );
        let mut all = files(&site.path(name));
        all.sort();
        all.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    assert_eq!(draft("one"), draft("two"));
}

#[test]
fn contacts_grow_stale_and_one_person_is_not_two() {
    let desk = Desk::new();
    let state = desk.state();
    open_case(&state);
    let case = case(&state);
    let to = desk.path("out").display().to_string();
    confirm(&state, "DE", "authority", "police of DE");
    confirm(&state, "DE", "portal", "https://de.example/");
    let only = ["refer", &case, "--country", "DE", "--to", &to];
    desk.said(&only);
    // 200 days later nobody may go by it any more.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(200 * 24);
    let later = later.to_string();
    let stale = desk.ask(&[only.as_slice(), &["--at", &later]].concat());
    assert_eq!(stale.status.code(), Some(1));
    let text = stdout(&stale);
    assert!(
        text.contains("stale") && text.contains("at most 180"),
        "{text}"
    );
    // The same person twice is one person.
    let [a, b] = persons::two(&state);
    let words = [
        "refer", "confirm", "FR", "portal", "--source", "x", "--value", "y",
    ];
    for _ in 0..2 {
        assert!(a.does(&state, &words).status.success());
    }
    let by_name = desk.ask(&[&words[..], &["--by", b.name]].concat());
    assert!(stderr(&by_name).contains("--as KEYFILE"), "{by_name:?}");
    let contacts = desk.said(&["refer", "contacts", "FR"]);
    assert!(contacts.contains("a second person must"), "{contacts}");
    // What is marked red stays.
    let words = [
        "case",
        "open",
        "--title",
        "t",
        "--authority",
        "a",
        "--tlp",
        "red",
    ];
    desk.said(&words);
    let red = self::case(&state);
    let refused = desk.ask(&["refer", &red]);
    assert!(stderr(&refused).contains("TLP:RED"), "{refused:?}");
}

#[test]
fn a_database_tells_where_sources_are_and_blocked_countries_need_two() {
    let (site, state, case) = attacked();
    let mmdb = site.path("Test-Country.mmdb");
    let place = |code: &str| json!({ "country": { "iso_code": code } });
    geoip::write(
        &mmdb,
        &[
            ("203.0.113.1/32", place("US")),
            ("203.0.113.2/32", place("KP")),
            ("203.0.113.3/32", place("US")),
        ],
    );
    let mmdb = mmdb.display().to_string();
    let to = site.path("out").display().to_string();
    confirm(&state, "US", "portal", "https://www.ic3.gov");
    let words = [
        "refer",
        &case,
        "--mmdb",
        &mmdb,
        "--country",
        "US",
        "--to",
        &to,
    ];
    said(&state, &words);
    let all = files(&site.path("out"));
    let (path, text) = all
        .iter()
        .find(|(p, _)| p.ends_with("data/ic3.txt"))
        .unwrap();
    assert!(
        holds(text, "203.0.113.1 port 51000 tcp"),
        "{}",
        path.display()
    );
    assert!(holds(text, "no attachments") && !holds(text, "203.0.113.2"));
    for (_, _, name, address) in VICTIMS {
        assert!(
            all.iter()
                .all(|(_, b)| !holds(b, name) && !holds(b, address)),
            "{name}"
        );
    }
    confirm(&state, "KP", "authority", "police");
    confirm(&state, "KP", "portal", "portal");
    let words = ["refer", &case, "--mmdb", &mmdb, "--country", "KP"];
    let refused = ask(&state, &words);
    assert!(
        stdout(&refused).contains("Two different people"),
        "{refused:?}"
    );
    let agree = [
        "refer",
        "agree",
        &case,
        "--country",
        "KP",
        "--reason",
        "counsel",
    ];
    let [a, b] = persons::two(&state);
    assert!(!ask(&state, &agree).status.success());
    assert!(a.does(&state, &agree).status.success());
    let again = a.does(&state, &agree);
    assert!(stderr(&again).contains("another person"), "{again:?}");
    assert!(!ask(&state, &words).status.success());
    assert!(b.does(&state, &agree).status.success());
    said(&state, &words);
    xarf(&site, &state, &case, &mmdb);
}

/// Reports to a provider, checked by the format's own library.
fn xarf(site: &Site, state: &Path, case: &str, mmdb: &str) {
    let words = [
        "case",
        "party",
        case,
        "--id",
        "isp",
        "--role",
        "provider",
        "--name",
        "Example Net",
        "--country",
        "US",
        "--contact",
        "abuse@net.example",
    ];
    said(state, &words);
    let config = site.path("refer.toml");
    fs::write(
        &config,
        "[refer]\norganisation = \"Example Operator\"\nemail = \"abuse@operator.example\"\n",
    )
    .unwrap();
    let (to, config) = (
        site.path("abuse").display().to_string(),
        config.display().to_string(),
    );
    let words = [
        "refer",
        case,
        "--mmdb",
        mmdb,
        "--country",
        "US",
        "--profile",
        "abuse",
        "--to",
        &to,
        "--config",
        &config,
    ];
    said(state, &words);
    let reports: Vec<_> = files(&site.path("abuse"))
        .into_iter()
        .filter(|(p, _)| p.to_string_lossy().contains("/xarf/"))
        .collect();
    assert_eq!(reports.len(), 2);
    let script = "import sys, json, xarf\nfor p in sys.argv[1:]:\n  \
                  r = xarf.parse(json.load(open(p)))\n  \
                  assert not r.errors, r.errors\n  print(r.report.type)\n";
    let python = ["POSSE_XARF_PYTHON"].iter().find_map(std::env::var_os);
    let python = python.unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", "import xarf"]).output();
    if !has.is_ok_and(|o| o.status.success()) {
        println!(
            "SKIPPED: no XARF library (python3 -m venv V && V/bin/pip install xarf; \
                  POSSE_XARF_PYTHON=V/bin/python3)"
        );
        return;
    }
    let paths = reports.iter().map(|(path, _)| path);
    let output = Command::new(python)
        .arg("-c")
        .arg(script)
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "login_attack\nlogin_attack\n");
}

#[test]
fn orders_taken_in_run_their_clocks() {
    let desk = Desk::new();
    let ago = |hours: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(hours * 60 + 1);
        at.to_string()
    };
    let add = |country: &str, received: &str, extra: &[&str]| {
        let words = [
            "intake",
            "add",
            "--instrument",
            "epoc",
            "--issuer",
            "court",
            "--country",
            country,
            "--reference",
            "7 Gs 1/26",
            "--asks",
            "subscriber data",
            "--received",
            received,
            "--json",
        ];
        desk.ask(&[words.as_slice(), extra].concat())
    };
    desk.said(&["case", "open", "--title", "t", "--authority", "a"]);
    for (hours, state) in [(5, "running"), (6, "ALARM"), (8, "BREACH")] {
        let added = add("DE", &ago(hours), &["--emergency"]);
        let line: Value = serde_json::from_str(&stdout(&added)).unwrap();
        let list = stdout(&desk.ask(&["intake", "list", "--json"]));
        let last: Value = serde_json::from_str(list.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&last["order"], last["state"].as_str()),
            (&line["order"], Some(state))
        );
    }
    assert_eq!(desk.ask(&["intake", "list"]).status.code(), Some(3));
    let danish = add("DK", &ago(1), &[]);
    assert!(
        stderr(&danish).contains("Denmark takes no part"),
        "{danish:?}"
    );
    for order in ["IN-2026-0002", "IN-2026-0003"] {
        let year = &jiff::Timestamp::now().to_string()[..4];
        desk.said(&["intake", "step", &order.replace("2026", year), "--answered"]);
    }
    assert_eq!(desk.ask(&["intake", "list"]).status.code(), Some(0));
    assert!(desk.said(&["ledger", "verify"]).starts_with("OK"));
}
