//! Referrals that carry their country's share of the exhibits, as exhibits of their own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    persons,
    referral::{Desk, VICTIMS, ask, attacked, confirm, files, holds, said},
    support::{POSSE, Site, posse, stderr, stdout},
};

/// A log with lines about all three victims, about nobody of the case, and about the inside.
fn mixed_log() -> String {
    let mut text = String::new();
    for (i, (id, _, name, address)) in VICTIMS.into_iter().enumerate() {
        let source = format!("203.0.113.{}", i + 1);
        text.push_str(&format!(
            "{address} sshd[7]: Failed password for ada-{id} from {source} port 51000 ssh2\n\
             {address} relay: 10.7.7.{i} passed on {source} to box@{id}.example\n\
             backup of {name} done, ask security@{id}.example\n\
             gate.{id}.example sshd[7]: Invalid user eve from 203.0.113.99 port 5\n"
        ));
    }
    // One source, and another country's victim.
    text.push_str("198.51.100.20 sshd[7]: Connection from 203.0.113.1 port 51100\n");
    text.push_str("203.0.113.1 was seen at 192.0.2.200 too\n");
    text
}

/// A case with three victims, an exhibit of each alert and one log about all, and good contacts.
fn prepared() -> (Site, PathBuf, String, String) {
    let (site, state, case) = attacked();
    let log = site.path("mixed.log");
    fs::write(&log, mixed_log()).unwrap();
    let log = log.display().to_string();
    let words = [
        "exhibit",
        "add",
        &log,
        "--authority",
        "contract 7 with Example School",
        "--case",
        &case,
        "--class",
        "log",
        "--media-type",
        "text/plain",
        "--json",
    ];
    let added: Value = serde_json::from_str(said(&state, &words).trim()).unwrap();
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
    let mixed = added["exhibit"].as_str().unwrap().to_owned();
    (site, state, case, mixed)
}

fn show(state: &Path, exhibit: &str) -> Value {
    serde_json::from_str(&said(state, &["exhibit", "show", exhibit, "--json"])).unwrap()
}

fn exhibits(state: &Path) -> Vec<Value> {
    let list = said(state, &["exhibit", "list", "--json"]);
    list.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn shares(state: &Path) -> BTreeSet<String> {
    let all = exhibits(state).into_iter();
    all.filter(|e| e["acquisition"]["method"] == "share")
        .map(|e| e["exhibit"].as_str().unwrap().to_owned())
        .collect()
}

fn folder_of(to: &Path, end: &str) -> PathBuf {
    let mut all = fs::read_dir(to).unwrap().map(|e| e.unwrap().path());
    all.find(|p| p.to_string_lossy().ends_with(end)).unwrap()
}

#[test]
fn each_referral_has_its_own_share_of_the_exhibits_and_nothing_of_the_others() {
    let (site, state, case, mixed) = prepared();
    let to = site.path("out");
    let to_text = to.display().to_string();
    said(&state, &["refer", &case, "--to", &to_text]);
    for (i, (id, country, ..)) in VICTIMS.into_iter().enumerate() {
        let folder = folder_of(&to, &format!("{country}-police"));
        let bag = files(&folder);
        for (j, (other, _, name, address)) in VICTIMS.into_iter().enumerate() {
            let parts = [
                name.to_owned(),
                address.to_owned(),
                format!("security@{other}.example"),
                format!("203.0.113.{}", j + 1),
                format!("{other}.example"),
            ];
            for part in parts.iter().filter(|_| other != id) {
                let found = bag.iter().find(|(_, bytes)| holds(bytes, part));
                assert!(found.is_none(), "{country} holds {part}: {found:?}");
            }
            for part in [
                &format!("ada-{other}"),
                &format!("10.7.7.{j}"),
                "box@",
                "203.0.113.99",
            ] {
                assert!(
                    bag.iter().all(|(_, b)| !holds(b, part)),
                    "{country} holds {part}"
                );
            }
        }
        let letter = fs::read(folder.join("data/referral.json")).unwrap();
        let letter: Value = serde_json::from_slice(&letter).unwrap();
        let attached = letter["attached"].as_array().unwrap();
        assert_eq!(attached.len(), 2, "{letter}");
        for part in attached {
            check_part(&state, &folder, part, country);
        }
        let own = attached
            .iter()
            .find(|a| a["parent"] == mixed.as_str())
            .unwrap();
        let raw = fs::read_to_string(folder.join("data").join(own["file"].as_str().unwrap()));
        let (_, _, _, address) = VICTIMS[i];
        let source = format!("203.0.113.{}", i + 1);
        let mut lines = format!(
            "{address} sshd[7]: Failed password for [withheld] from {source} port 51000 ssh2\n\
             {address} relay: [withheld] passed on {source} to [withheld]\n"
        );
        if i == 0 {
            lines.push_str("203.0.113.1 was seen at [withheld] too\n");
        }
        assert_eq!(raw.unwrap(), lines);
    }
    assert_eq!(shares(&state).len(), 6);
    // The look came first.
    let looked = show(&state, &mixed);
    let steps = looked["custody"].as_array().unwrap();
    assert!(
        steps.iter().any(|s| s["act"]["how"] == "derive"),
        "{looked}"
    );
    said(&state, &["exhibit", "verify"]);
    assert!(said(&state, &["ledger", "verify"]).starts_with("OK"));
    // In a court pack the parts are exhibits like others, and alerts come from the whole ones.
    let pack = site.path("pack.zip").display().to_string();
    said(&state, &["case", "export", &case, "--to", &pack]);
    let verified = posse(&["verify", &pack, "--reproduce"]);
    let told = stdout(&verified);
    assert!(verified.status.success(), "{told}{}", stderr(&verified));
    assert!(told.contains("came out again, the same"), "{told}");
}

/// Letter, file, record in the bag and ledger agree.
fn check_part(state: &Path, folder: &Path, part: &Value, country: &str) {
    let raw = fs::read(folder.join("data").join(part["file"].as_str().unwrap())).unwrap();
    let hash: String = Sha256::digest(&raw)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(part["sha256"], hash.as_str());
    let letter = fs::read(folder.join("data/referral.txt")).unwrap();
    assert!(holds(&letter, &hash), "{country}");
    let number = part["exhibit"].as_str().unwrap();
    let record = folder.join(format!("data/exhibits/{number}/acquisition.json"));
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let known = show(state, number);
    assert_eq!(record["acquisition"], known["acquisition"]);
    assert_eq!(record["entry"], known["index"]);
    let made = &known["acquisition"];
    assert_eq!(
        (&made["sha256"], &made["method"]),
        (&part["sha256"], &"share".into())
    );
    assert_eq!(made["parent"]["exhibit"], part["parent"]);
    assert_eq!(made["parent"]["share"]["country"], country);
    let parent = show(state, part["parent"].as_str().unwrap());
    assert_eq!(made["parent"]["sha256"], parent["acquisition"]["sha256"]);
    let cuts = made["parent"]["redactions"].as_array().unwrap();
    assert!(!cuts.is_empty() && cuts.iter().all(|c| c["reason"].is_string()));
    let told = said(state, &["exhibit", "show", number]);
    assert!(told.contains("made from") && told.contains(&format!("share of   {country}")));
}

#[test]
fn a_share_is_made_once_and_goes_where_its_referral_goes() {
    let (site, state, case, _) = prepared();
    let before = exhibits(&state).len();
    let out = |name: &str| site.path(name).display().to_string();
    // Neither of these touches an exhibit.
    said(&state, &["refer", &case, "--draft", "--to", &out("draft")]);
    said(
        &state,
        &["refer", &case, "--no-exhibits", "--to", &out("without")],
    );
    for name in ["draft", "without"] {
        let all = files(&site.path(name));
        assert!(all.iter().all(|(p, _)| !p.ends_with("raw")), "{name}");
    }
    let list = exhibits(&state);
    assert_eq!(list.len(), before);
    assert!(list.iter().all(|e| e["looks"] == 0), "{list:?}");
    let only = |name: &str| {
        let words = [
            "refer",
            &case,
            "--country",
            "DE",
            "--to",
            &out(name),
            "--json",
        ];
        let line = said(&state, &words);
        let line: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        line
    };
    let (once, twice) = (only("one"), only("two"));
    assert_eq!(once["exhibits"], twice["exhibits"]);
    assert_ne!(once["referral"], twice["referral"]);
    assert_eq!(shares(&state).len(), 2);
    // What is destroyed is made again, not taken for what it was.
    let gone = once["exhibits"][0].as_str().unwrap();
    let [a, b] = persons::two(&state);
    let purged = a.does(&state, &["exhibit", "purge", gone, "--reason", "r"]);
    assert!(purged.status.success(), "{}", stderr(&purged));
    let agreed = b.does(&state, &["exhibit", "agree", gone, "RQ-1"]);
    assert!(agreed.status.success(), "{}", stderr(&agreed));
    let third = only("three");
    assert!(
        !third["exhibits"].as_array().unwrap().contains(&gone.into()),
        "{third}"
    );
    assert_eq!(shares(&state).len(), 3);

    let police = Desk::new();
    let referral = third["referral"].as_str().unwrap();
    let offered = said(
        &state,
        &[
            "handover",
            "offer",
            referral,
            "--to",
            "police",
            "--out",
            &out("offer"),
        ],
    );
    let id = offered.split_whitespace().next().unwrap();
    let package = site
        .path("offer")
        .join(format!("{id}.zip"))
        .display()
        .to_string();
    let offer = site
        .path("offer")
        .join(format!("{id}.offer.json"))
        .display()
        .to_string();
    let to = police.path("in").display().to_string();
    police.said(&[
        "handover", "receive", &package, "--offer", &offer, "--to", &to,
    ]);
    let receipt = police.path("in").join(format!("{id}.receipt.json"));
    assert!(receipt.exists());
    // Nothing in the package is compressed.
    let exhibit = third["exhibits"][0].as_str().unwrap();
    let package = fs::read(package).unwrap();
    assert!(holds(&package, &format!("data/exhibits/{exhibit}/raw")));
}

#[test]
fn a_kill_leaves_no_half_made_exhibit_and_no_referral_without_its_own() {
    let (site, state, case, _) = prepared();
    // The disk says no between exhibits and bag: they are whole, nothing was referred.
    let bags = state.join("referrals");
    fs::write(&bags, "in the way").unwrap();
    let failed = ask(&state, &["refer", &case, "--country", "DE"]);
    assert!(!failed.status.success(), "{}", stdout(&failed));
    let first = shares(&state);
    assert_eq!(first.len(), 2, "{}", stderr(&failed));
    fs::remove_file(&bags).unwrap();
    assert!(said(&state, &["refer", "list", "--json"]).is_empty());
    let done = said(&state, &["refer", &case, "--country", "DE"]);
    assert!(
        done.contains("-0001 DE police") && done.contains("2 exhibits"),
        "{done}"
    );
    assert_eq!(shares(&state), first);

    for step in 0..12 {
        let mut child = Command::new(POSSE)
            .args(["refer", &case, "--state"])
            .arg(&state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Wherever it is by then.
        std::thread::sleep(Duration::from_millis(15 * step));
        let _ = child.kill();
        child.wait().unwrap();
        said(&state, &["exhibit", "verify"]);
        for line in said(&state, &["refer", "list", "--json"]).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let bag = bags.join(line["referral"].as_str().unwrap());
            let raw = files(&bag).into_iter().filter(|(p, _)| p.ends_with("raw"));
            assert_eq!(raw.count(), 2, "{line}");
        }
    }
    said(&state, &["refer", &case]);
    assert_eq!(shares(&state).len(), 6);
    assert!(said(&state, &["ledger", "verify"]).starts_with("OK"));
    drop(site);
}
