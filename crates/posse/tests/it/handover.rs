//! Files of cases change hands: by hand with two state folders, and at a hub by the police role.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    referral::{Desk, ask, case, confirm, open_case, said},
    support::{POSSE, stderr, stdout},
};

/// A state folder with one referral; gives its number.
fn referred(state: &Path) -> String {
    open_case(state);
    confirm(state, "DE", "authority", "police of DE");
    confirm(state, "DE", "portal", "https://de.example/");
    let line = said(state, &["refer", &case(state), "--country", "DE", "--json"]);
    let line: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    line["referral"].as_str().unwrap().to_owned()
}

fn standing(state: &Path, id: &str) -> Value {
    let list = said(state, &["handover", "list", "--json"]);
    let mut lines = list
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines.find(|l| l["handover"] == id).unwrap()
}

#[test]
fn what_is_carried_by_hand_is_offered_until_its_receipt_comes_back() {
    let (sender, police) = (Desk::new(), Desk::new());
    let referral = referred(&sender.state());
    let out = sender.path("out").display().to_string();
    let offered = sender.said(&[
        "handover", "offer", &referral, "--to", "police", "--out", &out,
    ]);
    let id = offered.split_whitespace().next().unwrap().to_owned();
    let before = standing(&sender.state(), &id);
    assert!(
        before["standing"]
            .as_str()
            .unwrap()
            .starts_with("offered, not received")
    );
    assert!(before["waits_seconds"].is_u64());
    let (package, offer) = (
        sender.path("out").join(format!("{id}.zip")),
        sender.path("out").join(format!("{id}.offer.json")),
    );
    let (package_text, offer_text) = (package.display().to_string(), offer.display().to_string());
    let to = police.path("in").display().to_string();
    let receive = [
        "handover",
        "receive",
        &package_text,
        "--offer",
        &offer_text,
        "--to",
        &to,
    ];
    // A package of which one byte differs is not signed for.
    let good = fs::read(&package).unwrap();
    let mut bad = good.clone();
    bad[60] ^= 1;
    fs::write(&package, &bad).unwrap();
    let refused = police.ask(&receive);
    assert!(stderr(&refused).contains("do not sign"), "{refused:?}");
    fs::write(&package, &good).unwrap();
    police.said(&receive);
    // Still offered on the sender's side: the receipt has not come.
    assert!(standing(&sender.state(), &id)["waits_seconds"].is_u64());
    let receipt = police.path("in").join(format!("{id}.receipt.json"));
    // A receipt that was changed is none.
    let text = fs::read_to_string(&receipt).unwrap();
    let forged = sender.path("forged.json");
    fs::write(&forged, text.replacen("\"by\": \"", "\"by\": \"not ", 1)).unwrap();
    let refused = sender.ask(&["handover", "take", &forged.display().to_string()]);
    assert!(stderr(&refused).contains("signature"), "{refused:?}");
    sender.said(&["handover", "take", &receipt.display().to_string()]);
    let after = standing(&sender.state(), &id);
    assert!(
        after["standing"].as_str().unwrap().starts_with("received"),
        "{after}"
    );
    for desk in [&sender, &police] {
        assert!(desk.said(&["ledger", "verify"]).starts_with("OK"));
    }
}

struct Hub {
    child: Child,
    port: u16,
    state: PathBuf,
}

impl Hub {
    fn start(state: &Path, port: u16) -> Self {
        let mut child = Command::new(POSSE)
            .args(["hub", "--listen", &format!("127.0.0.1:{port}"), "--state"])
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|l| l.ok().filter(|l| l.contains("listens on")));
        let port = line
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        Self {
            child,
            port,
            state: state.to_owned(),
        }
    }

    fn join(&self, state: &Path, org: &str, role: &str) {
        let token = said(
            &self.state,
            &["hub", "invite", "--org", org, "--role", role],
        );
        let url = format!("https://127.0.0.1:{}", self.port);
        said(state, &["join", &url, token.trim(), "--name", "desk-1"]);
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn at_a_hub_police_sees_only_what_was_offered_to_it_and_all_is_on_both_ledgers() {
    let (hub_desk, acme, police, other) = (Desk::new(), Desk::new(), Desk::new(), Desk::new());
    let mut hub = Hub::start(&hub_desk.state(), 0);
    hub.join(&acme.state(), "acme", "guard");
    hub.join(&police.state(), "police-de", "police");
    hub.join(&other.state(), "police-fr", "police");
    let known = std::fs::read(police.state().join("fleet/membership.json")).unwrap();
    // Its own hash stands behind it.
    let mut known = serde_json::Deserializer::from_slice(&known).into_iter::<Value>();
    let known = known.next().unwrap().unwrap();
    assert_eq!(
        known["communities"],
        serde_json::json!([]),
        "it sees no bans"
    );
    let referral = referred(&acme.state());
    let unknown = acme.ask(&["handover", "offer", &referral, "--to", "nobody", "--hub"]);
    assert!(stderr(&unknown).contains("--role police"), "{unknown:?}");
    let offered = acme.said(&["handover", "offer", &referral, "--to", "police-de", "--hub"]);
    let id = offered.split_whitespace().next().unwrap().to_owned();
    let key = format!("acme/{id}");
    // Killed between offer and receipt: nothing is lost, and it shows as not received.
    hub.kill();
    let hub = Hub::start(&hub_desk.state(), hub.port);
    acme.said(&["handover", "list", "--hub"]);
    assert!(standing(&acme.state(), &id)["waits_seconds"].is_u64());
    let status: Value = serde_json::from_str(&said(&hub.state, &["status", "--json"])).unwrap();
    assert_eq!(status["hub"]["handovers_waiting"], 1, "{status}");
    // The other police sees nothing of it, whatever it asks.
    assert!(
        other
            .said(&["handover", "list", "--hub"])
            .contains("nothing was handed over")
    );
    let to = other.path("in").display().to_string();
    for words in [
        vec!["handover", "receive", &key, "--hub", "--to", &to],
        vec!["handover", "decline", &key, "--hub", "--reason", "x"],
    ] {
        let refused = other.ask(&words);
        assert!(stderr(&refused).contains("404"), "{words:?}: {refused:?}");
    }
    assert!(!other.path("in").exists());
    // A guard may offer and not receive.
    assert!(
        !acme
            .ask(&["handover", "receive", &key, "--hub"])
            .status
            .success()
    );
    let to = police.path("in").display().to_string();
    let early = police.ask(&[
        "handover", "outcome", &key, "--hub", "--kind", "arrests", "--count", "1", "--source", "x",
    ]);
    assert!(stderr(&early).contains("not received"), "{early:?}");
    police.said(&["handover", "receive", &key, "--hub", "--to", &to]);
    assert!(police.path("in").join(format!("acme-{id}.zip")).exists());
    let again = police.ask(&["handover", "decline", &key, "--hub", "--reason", "late"]);
    assert!(stderr(&again).contains("received before"), "{again:?}");
    police.said(&[
        "handover",
        "ask",
        &key,
        "--hub",
        "--wish",
        "the raw lines",
        "--legal-basis",
        "code of procedure 99",
        "--due",
        "2027-01-01T00:00:00Z",
    ]);
    acme.said(&["handover", "list", "--hub"]);
    let answer = [
        "handover",
        "answer",
        &id,
        "--hub",
        "--request",
        "RQ-1",
        "--answer",
        "they come",
    ];
    acme.said(&answer);
    police.said(&[
        "handover", "outcome", &key, "--hub", "--kind", "arrests", "--count", "2", "--source",
        "letter 9",
    ]);
    acme.said(&["handover", "list", "--hub"]);
    police.said(&["handover", "list", "--hub"]);
    let (ours, theirs) = (
        standing(&acme.state(), &id),
        standing(&police.state(), &key),
    );
    for side in [&ours, &theirs] {
        assert!(
            side["standing"].as_str().unwrap().starts_with("received"),
            "{side}"
        );
        assert_eq!(side["outcomes"][0]["count"], 2);
        assert_eq!(side["open_requests"], 0);
    }
    let acts = |side: &Value| -> Vec<String> {
        let acts = side["acts"].as_array().unwrap();
        acts.iter()
            .map(|a| a["act"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(acts(&ours), acts(&theirs));
    // The look at the package stands before the receipt, on the hub's ledger too.
    let entries = said(&hub.state, &["ledger", "show", "--limit", "1000"]);
    let kinds: Vec<Value> = entries
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["entry"].clone())
        .filter(|e| e["kind"] == "handover")
        .collect();
    let place = |wanted: &dyn Fn(&Value) -> bool| kinds.iter().position(wanted).unwrap();
    let looked = place(&|e| e["act"] == "looked" && e["what"] == "package");
    let received = place(&|e| e["act"] == "received");
    assert!(looked < received, "{kinds:?}");
    for state in [&hub.state, &acme.state(), &police.state()] {
        assert!(stdout(&ask(state, &["ledger", "verify"])).starts_with("OK"));
    }
}
