//! Time to first aid with a real hub and real kernels: from the attack at one guard to the ban at
//! every connected member.

use std::path::Path;

use serde_json::Value;

use crate::{
    chaos::Hub,
    hub_and_guard::{IMPATIENT, bridge, fleet_bans, link},
    support::{Guard, Namespace, Site, failed_login, posse, stderr, stdout, wait_until},
};

const ATTACKER: &str = "45.66.77.9";

fn said(state: &Path, words: &[&str]) -> String {
    let state = state.display().to_string();
    let output = posse(&[words, &["--state", &state]].concat());
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(state: &Path, words: &[&str]) -> Value {
    let text = said(state, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
}

fn open(state: &Path) -> String {
    let words = [
        "case",
        "open",
        "--title",
        "Guessing",
        "--authority",
        "contract 7",
    ];
    json(state, &words)["case"].as_str().unwrap().to_owned()
}

fn member(hub: &Hub, number: u8) -> (Namespace, Site) {
    let net = link(&hub.net, "first aid", number);
    let site = Site::with_config(IMPATIENT);
    hub.join(&net, &site, &format!("guard-{number}"));
    (net, site)
}

/// Asked within the guard's own network, where the hub is.
fn ask_hub(net: &Namespace, site: &Site, case: &str) -> Value {
    let mut command = net.command(crate::support::POSSE);
    let words = ["case", "clocks", case, "--hub", "--json", "--state"];
    let output = command.args(words).arg(site.state()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_case_tells_when_its_ban_was_in_the_kernel_and_when_it_was_at_every_member() {
    let Some(net) = bridge("first aid") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(net, folder.path().join("hub"));
    hub.go();
    let (near, near_site) = member(&hub, 1);
    let (far, far_site) = member(&hub, 2);
    // The third has joined and is not there.
    let _away = member(&hub, 3);
    let _near_guard = Guard::start(&near_site, Some(&near), &[]);
    let _far_guard = Guard::start(&far_site, Some(&far), &[]);
    let lines: String = (0..6).map(|n| failed_login(ATTACKER, 40_000 + n)).collect();
    near_site.append(&lines);
    wait_until("the attack is recorded", || !near_site.alerts().is_empty());
    wait_until("the ban is in the kernel", || {
        near.banned() == [ATTACKER.to_owned()]
    });
    let alert = near_site.alerts()[0]["alert"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let state = near_site.state();
    let case = open(&state);
    said(
        &state,
        &[
            "case",
            "add-alerts",
            &case,
            &alert,
            "--no-exhibits",
            "--reason",
            "x",
        ],
    );
    let aid = json(&state, &["case", "clocks", &case])["first_aid"].clone();
    let to_ban = aid["seconds_to_ban"].as_f64().unwrap();
    assert!(
        to_ban >= aid["seconds_to_decision"].as_f64().unwrap(),
        "{aid}"
    );
    assert!(aid["everywhere"].is_null(), "nobody has told: {aid}");
    wait_until("both guards are connected", || {
        json(&hub.state, &["status"])["hub"]["members_connected"] == 2
    });
    // One organisation's word is no community's ban; the hub's operator's is.
    said(&hub.state, &["ban", ATTACKER]);
    let mut told = Value::Null;
    wait_until("the hub tells that it is everywhere", || {
        told = ask_hub(&near, &near_site, &case)["first_aid"].clone();
        !told["everywhere"].is_null()
    });
    for kernel in [&near, &far] {
        wait_until("it is there by the kernel's word", || {
            fleet_bans(kernel) == [ATTACKER]
        });
    }
    let all = &told["everywhere"];
    assert_eq!(
        (&all["connected"], &all["away"], &all["behind"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert!(
        told["seconds_to_everywhere"].as_f64().unwrap() > to_ban,
        "{told}"
    );
    // It is in the case from now on, once, and on the ledger.
    ask_hub(&near, &near_site, &case);
    let kept = json(&state, &["case", "clocks", &case])["first_aid"].clone();
    assert_eq!(kept["everywhere"], told["everywhere"]);
    let entries = said(&state, &["ledger", "show", "--limit", "1000"]);
    assert_eq!(entries.matches("\"ban_spread\"").count(), 1, "{entries}");
    // The hub's own case reads its own ledger, and knows of the member's report.
    let theirs = open(&hub.state);
    let measure = [
        "measure", "--what", "banned", "--effect", "x", "--prefix", ATTACKER,
    ];
    said(
        &hub.state,
        &[&["case", measure[0], &theirs], &measure[1..]].concat(),
    );
    let spreads = json(&hub.state, &["case", "clocks", &theirs])["first_aid"]["spreads"].clone();
    assert_eq!(spreads[0]["reached"], *all, "{spreads}");
    assert!(spreads[0]["reported"].is_string(), "{spreads}");
    assert!(stdout(&near_site.ask(&["ledger", "verify"])).starts_with("OK"));
    let year = &told["first_hostile"].as_str().unwrap()[..4];
    let sums = json(&state, &["case", "report", "--year", year]);
    assert_eq!(sums["medians"][1]["cases"], 1, "{sums}");
}
