//! Persons with keys of their own: what takes two people takes two keys, whoever holds the shell.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Output,
};

use casework::persons::{Signer, sign_exhibit_act};
use model::{Entry, ExhibitAct, PersonAct, Timestamp, Wish};
use serde_json::Value;
use store::{Durability, Store, StoreOptions};

use crate::{
    court_pack::own_verifier,
    referral::{ask, said},
    support::{Site, posse, stderr, stdout},
};

const PASSPHRASE: &str = "correct horse battery staple";

/// Somebody with a key file, beside the state folder and not in it.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    file: String,
    passphrase: String,
    pub(crate) public: String,
}

impl Person {
    pub(crate) fn new(state: &Path, name: &'static str) -> Self {
        let folder = state.parent().unwrap().join("persons");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).unwrap();
        let passphrase = folder.join("passphrase");
        private(&passphrase, PASSPHRASE);
        let file = folder.join(format!("{name}.key"));
        let mut person = Self {
            name,
            file: file.display().to_string(),
            passphrase: passphrase.display().to_string(),
            public: String::new(),
        };
        person.public = if file.exists() {
            let text = fs::read_to_string(&file).unwrap();
            let line = text.lines().find_map(|l| l.strip_prefix("public "));
            line.unwrap().to_owned()
        } else {
            person.make()
        };
        person
    }

    fn make(&self) -> String {
        let words = ["person", "key", "--name", self.name, "--out", &self.file];
        let made = posse(&[&words[..], &["--passphrase-file", &self.passphrase]].concat());
        assert!(made.status.success(), "{}", stderr(&made));
        stdout(&made).trim().to_owned()
    }

    /// `--as` this person.
    pub(crate) fn hand(&self) -> [&str; 4] {
        ["--as", &self.file, "--passphrase-file", &self.passphrase]
    }

    pub(crate) fn does(&self, state: &Path, words: &[&str]) -> Output {
        ask(state, &[words, &self.hand()].concat())
    }

    fn enrol(&self, state: &Path, by: Option<&Self>) -> Output {
        let words = [
            "person",
            "enroll",
            "--name",
            self.name,
            "--key",
            &self.public,
        ];
        match by {
            None => ask(state, &words),
            Some(by) => by.does(state, &words),
        }
    }
}

/// Readable by its owner alone.
fn private(path: &Path, text: &str) {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Two persons who are enrolled on the ledger; made when they are not there yet.
pub(crate) fn two(state: &Path) -> [Person; 2] {
    let [a, b] = ["officer a", "officer b"].map(|name| Person::new(state, name));
    if !list(state).contains("officer b") {
        assert!(a.enrol(state, None).status.success());
        let second = b.enrol(state, Some(&a));
        assert!(second.status.success(), "{}", stderr(&second));
    }
    [a, b]
}

fn list(state: &Path) -> String {
    stdout(&ask(state, &["person", "list"]))
}

/// An exhibit of the site; its number.
pub(crate) fn exhibit(site: &Site) -> String {
    let file = site.path("evidence.log");
    fs::write(&file, b"what was seen").unwrap();
    let file = file.display().to_string();
    let added = said(
        &site.state(),
        &[
            "exhibit",
            "add",
            &file,
            "--authority",
            "contract 7",
            "--json",
        ],
    );
    let added: Value = serde_json::from_str(added.trim()).unwrap();
    added["exhibit"].as_str().unwrap().to_owned()
}

fn key_of(state: &Path, exhibit: &str) -> PathBuf {
    state.join(format!("exhibits/keys/{exhibit}.key"))
}

fn refused(output: &Output, why: &str) {
    assert!(!output.status.success(), "{}", stdout(output));
    assert!(stderr(output).contains(why), "{why}: {}", stderr(output));
}

#[test]
fn one_shell_with_two_names_is_nobody() {
    let site = Site::new();
    let state = site.state();
    let number = exhibit(&site);
    for words in [
        &["exhibit", "purge", &number, "--reason", "x", "--by", "a"][..],
        &["exhibit", "agree", &number, "RQ-1", "--by", "b"],
        &[
            "exhibit", "decline", &number, "RQ-1", "--reason", "x", "--by", "b",
        ],
        &[
            "refer", "confirm", "DE", "portal", "--value", "x", "--source", "y", "--by", "a",
        ],
    ] {
        let output = ask(&state, words);
        refused(&output, "nobody is enrolled");
        // It says what to run.
        refused(&output, "posse person key --name NAME --out KEYFILE");
        refused(&output, "posse person enroll --state ");
    }
    let [a, b] = two(&state);
    let purge = ["exhibit", "purge", &number, "--reason", "x"];
    refused(
        &ask(&state, &[&purge[..], &["--by", "officer a"]].concat()),
        "--as KEYFILE",
    );
    refused(
        &a.does(&state, &[&purge[..], &["--by", "officer b"]].concat()),
        "leave --by away",
    );
    assert!(a.does(&state, &purge).status.success());
    let agree = ["exhibit", "agree", &number, "RQ-1"];
    refused(&a.does(&state, &agree), "another person must agree");
    refused(&ask(&state, &agree), "--as KEYFILE");
    assert!(key_of(&state, &number).exists());
    let done = b.does(&state, &agree);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(!key_of(&state, &number).exists());
    let shown = said(&state, &["exhibit", "show", &number]);
    let keys = shown.lines().filter(|line| line.contains("(key ")).count();
    assert_eq!(keys, 2, "{shown}");
    assert!(said(&state, &["ledger", "verify"]).starts_with("OK"));
}

#[test]
fn enrolment_takes_the_words_of_others() {
    let site = Site::new();
    let state = site.state();
    let [a, b, c] = ["ada", "grace", "mary"].map(|name| Person::new(&state, name));
    let first = a.enrol(&state, None);
    assert!(stdout(&first).contains("needs another"), "{first:?}");
    assert!(list(&state).contains("needs another"));
    let number = exhibit(&site);
    let purge = ["exhibit", "purge", &number, "--reason", "x"];
    refused(&a.does(&state, &purge), "only ada is enrolled");
    refused(&b.enrol(&state, None), "someone is enrolled already");
    refused(&b.enrol(&state, Some(&b)), "is not enrolled here");
    assert!(b.enrol(&state, Some(&a)).status.success());
    // From here on nobody makes a second one of themselves.
    let waits = c.enrol(&state, Some(&a));
    assert!(stdout(&waits).contains("waiting"), "{waits:?}");
    refused(&c.enrol(&state, Some(&a)), "another person must");
    refused(&c.does(&state, &purge), "is not enrolled here");
    assert!(c.enrol(&state, Some(&b)).status.success());
    let revoke = ["person", "revoke", "--name", "mary", "--reason", "left"];
    assert!(c.does(&state, &revoke).status.success());
    refused(&c.does(&state, &purge), "is not enrolled here");
    let notices = said(&state, &["ledger", "show", "--limit", "100"]);
    assert!(notices.contains("person_enrolled") && notices.contains("person_revoked"));
    // The key file is its owner's alone, and holds nothing that signs without the passphrase.
    let file = Path::new(&a.file);
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    let words = ["person", "key", "--name", "ada", "--out", &a.file];
    refused(
        &posse(&[&words[..], &["--passphrase-file", &a.passphrase]].concat()),
        "never written over",
    );
    private(Path::new(&a.passphrase), "another passphrase");
    refused(&a.does(&state, &purge), "does not open the key");
    for found in files(&state) {
        let bytes = fs::read(&found).unwrap();
        let sealed = b"posse person key v1";
        assert!(
            !bytes.windows(sealed.len()).any(|w| w == sealed),
            "{found:?}"
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Straight onto the ledger, past every check of the command line.
fn write_past(state: &Path, entries: Vec<Entry>) {
    let options = StoreOptions {
        origin: None,
        durability: Durability::PowerLoss,
    };
    let mut store = Store::open(state, options).unwrap();
    store.append(&entries, now()).unwrap();
}

fn now() -> Timestamp {
    jiff::Timestamp::now().to_string().parse().unwrap()
}

fn origin(state: &Path) -> String {
    let key = Store::open_read_only(state).unwrap().vkey();
    key.split('+').next().unwrap().to_owned()
}

fn asked(exhibit: &str, request: &str, wish: Wish) -> ExhibitAct {
    ExhibitAct::Asked {
        at: now(),
        request: request.to_owned(),
        exhibit: exhibit.to_owned(),
        wish,
        by: "officer a".to_owned(),
        account: String::new(),
        reason: "x".to_owned(),
        signed: None,
    }
}

fn agreed(exhibit: &str, request: &str, wish: Wish) -> ExhibitAct {
    ExhibitAct::Agreed {
        at: now(),
        request: request.to_owned(),
        exhibit: exhibit.to_owned(),
        wish,
        by: "officer b".to_owned(),
        account: String::new(),
        signed: None,
    }
}

/// The exhibit is as it was: readable, under its hold, and the vault has nothing to destroy.
fn untouched(state: &Path, number: &str) {
    said(state, &["exhibit", "verify"]);
    assert!(key_of(state, number).exists());
    let seen = said(state, &["exhibit", "view", number, "--reason", "to see"]);
    assert_eq!(seen, "what was seen");
    let shown = said(state, &["exhibit", "show", number, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["holds"][0]["in_force"], true);
    assert_eq!(shown["purged"], Value::Null);
}

#[test]
fn an_agreement_written_past_the_command_line_has_no_effect_on_the_vault() {
    let site = Site::new();
    let state = site.state();
    let number = exhibit(&site);
    let hold = [
        "exhibit",
        "hold",
        &number,
        "--authority",
        "order 5",
        "--reason",
        "trial",
    ];
    said(&state, &hold);
    let release = || Wish::ReleaseHold {
        hold: "HOLD-1".to_owned(),
    };
    let pair = |request: &str, wish: fn() -> Wish| {
        vec![
            Entry::Exhibit(asked(&number, request, wish())),
            Entry::Exhibit(agreed(&number, request, wish())),
        ]
    };
    let let_go: fn() -> Wish = || Wish::ReleaseHold {
        hold: "HOLD-1".to_owned(),
    };
    // While nobody is enrolled, names alone do nothing.
    write_past(&state, pair("RQ-1", let_go));
    write_past(&state, pair("RQ-2", || Wish::Purge));
    untouched(&state, &number);
    let [a, b] = two(&state);
    untouched(&state, &number);
    // A true request, and an agreement without a signature, and one with a stranger's.
    let asks = [
        "exhibit", "release", &number, "--hold", "HOLD-1", "--reason", "over",
    ];
    let request = stdout(&a.does(&state, &asks));
    assert!(request.contains("RQ-3"), "{request}");
    let stranger = Signer::from_seed("officer b", &[7; 32]).unwrap();
    let mut forged = agreed(&number, "RQ-3", release());
    sign_exhibit_act(&mut forged, &origin(&state), &stranger);
    let unsigned = agreed(&number, "RQ-3", release());
    write_past(
        &state,
        [unsigned, forged.clone()].map(Entry::Exhibit).to_vec(),
    );
    untouched(&state, &number);
    // The stranger enrols their own key by their own word: that is none.
    let rogue = PersonAct::Enrolled {
        at: now(),
        name: "officer c".to_owned(),
        key: stranger.key().to_string(),
        by: "officer a".to_owned(),
        signed: None,
    };
    write_past(&state, vec![Entry::Person(rogue), Entry::Exhibit(forged)]);
    untouched(&state, &number);
    let shown = said(&state, &["exhibit", "show", &number]);
    assert!(shown.contains("had no effect"), "{shown}");
    assert!(shown.contains("did not sign it with a key"), "{shown}");
    assert!(list(&state).contains("had no effect"));
    // Two persons do it.
    assert!(
        b.does(&state, &["exhibit", "agree", &number, "RQ-3"])
            .status
            .success()
    );
    assert!(said(&state, &["ledger", "verify"]).starts_with("OK"));
}

#[test]
fn a_court_pack_shows_whose_keys_signed_and_still_proves_itself() {
    let site = Site::new();
    let state = site.state();
    let opened = said(
        &state,
        &[
            "case",
            "open",
            "--title",
            "t",
            "--authority",
            "a",
            "--purpose",
            "security",
            "--json",
        ],
    );
    let opened: Value = serde_json::from_str(opened.trim()).unwrap();
    let case = opened["case"].as_str().unwrap();
    let file = site.path("seen.log");
    fs::write(&file, b"what was seen").unwrap();
    let file = file.display().to_string();
    let add = [
        "exhibit",
        "add",
        &file,
        "--authority",
        "a",
        "--case",
        case,
        "--json",
    ];
    let added: Value = serde_json::from_str(said(&state, &add).trim()).unwrap();
    let number = added["exhibit"].as_str().unwrap();
    said(
        &state,
        &[
            "exhibit",
            "hold",
            number,
            "--authority",
            "o",
            "--reason",
            "r",
        ],
    );
    let [a, b] = two(&state);
    let asks = [
        "exhibit", "release", number, "--hold", "HOLD-1", "--reason", "over",
    ];
    assert!(a.does(&state, &asks).status.success());
    assert!(
        b.does(&state, &["exhibit", "agree", number, "RQ-1"])
            .status
            .success()
    );
    let pack = site.path("pack");
    said(
        &state,
        &["case", "export", case, "--to", &pack.display().to_string()],
    );
    let custody = fs::read_to_string(pack.join(format!("data/exhibits/{number}/custody.json")));
    let custody: Value = serde_json::from_str(&custody.unwrap()).unwrap();
    let keys: Vec<&str> = custody["custody"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["act"]["signed"]["key"].as_str())
        .collect();
    assert_eq!(keys, [a.public.as_str(), b.public.as_str()]);
    let graph = fs::read_to_string(pack.join("data/case.jsonld")).unwrap();
    assert_eq!(
        graph.matches("(key ").count(),
        2,
        "the description of both acts"
    );
    let verified = posse(&["verify", &pack.display().to_string(), "--json"]);
    let report: Value = serde_json::from_str(&stdout(&verified)).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let (good, said) = own_verifier(&pack, &[]);
    assert!(good, "{said}");
}
