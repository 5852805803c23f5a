//! `posse rules import`: content of our own in the layouts that people have, then, where they are
//! at hand, the shared corpora.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::Output,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{posse, stderr, stdout};

const PARSER: &str = "name: me/door-logs\ndescription: d\nfilter: \"evt.Line.Labels.type == 'door'\"\n\
    onsuccess: next_stage\ngrok:\n  apply_on: Line.Raw\n  \
    pattern: '^%{TIMESTAMP_ISO8601:time} refused %{IP:source_ip} to %{NOTSPACE:room}$'\nstatics:\n  \
    - method: ParseDate\n    expression: evt.Parsed.time\n  - target: evt.MarshaledTime\n    \
    expression: evt.Enriched.MarshaledTime\n  - meta: log_type\n    value: door_refused\n  - meta: source_ip\n    expression: evt.Parsed.source_ip\n  \
    - meta: room\n    expression: evt.Parsed.room\n";

fn scenario(name: &str, more: &str) -> String {
    format!(
        "type: leaky\nname: me/{name}\ndescription: d\nfilter: \"evt.Meta.log_type == \
         'door_refused'\"\ngroupby: evt.Meta.source_ip\ncapacity: 2\nleakspeed: 1h\n{more}labels:\n  \
         remediation: true\n"
    )
}

/// A hub of our own: a collection in a collection, a list by URL, a mistake, a firewall's rule.
struct Hub {
    dir: TempDir,
}

impl Hub {
    fn new(list_url: &str) -> Self {
        let hub = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        hub.write("hub/parsers/s01-parse/me/door-logs.yaml", PARSER);
        hub.write("hub/scenarios/me/door-bf.yaml", &scenario("door-bf", ""));
        let data = format!(
            "data:\n  - source_url: {list_url}\n    dest_file: rooms.txt\n    type: string\n"
        );
        let listed = scenario("door-list", &data).replace(
            "== 'door_refused'",
            "== 'door_refused' && evt.Meta.room in File('rooms.txt')",
        );
        hub.write("hub/scenarios/me/door-list.yaml", &listed);
        hub.write(
            "hub/scenarios/me/broken.yaml",
            &scenario("broken", "leekspeed: 1h\n"),
        );
        hub.write(
            "hub/scenarios/me/climber.yaml",
            &scenario(
                "climber",
                "data:\n  - source_url: https://x.example/p\n    dest_file: ../../p\n",
            ),
        );
        hub.write(
            "hub/collections/me/doors.yaml",
            "name: me/doors\ncollections:\n  - me/inner\nscenarios:\n  - me/door-list\n",
        );
        hub.write(
            "hub/collections/me/inner.yaml",
            "name: me/inner\nparsers:\n  - me/door-logs\nscenarios:\n  - me/door-bf\n\
             appsec-rules:\n  - me/waf\n",
        );
        hub
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `posse rules VERB … --into` the guard's folder.
    fn rules(&self, words: &[&str]) -> Output {
        let into = self.path("rules.d").display().to_string();
        let mut all = vec!["rules"];
        all.extend(words);
        all.extend(["--into", &into]);
        posse(&all)
    }

    fn import(&self, words: &[&str]) -> Output {
        let hub = self.path("hub").display().to_string();
        let mut all = vec!["import", &hub];
        all.extend(words);
        self.rules(&all)
    }

    fn listed(&self) -> Vec<String> {
        let output = posse(&[
            "rules",
            "list",
            &self.path("rules.d").display().to_string(),
            "--json",
        ]);
        let lines = stdout(&output);
        let rules = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        rules
            .map(|rule| {
                assert_eq!(rule["origin"], "crowdsec");
                rule["name"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    fn data(&self) -> String {
        fs::read_to_string(self.path("rules.d/crowdsec/data/rooms.txt")).unwrap_or_default()
    }
}

/// The state and the note of each item, by kind and name; the totals.
fn report(output: &Output) -> (Vec<(String, String, String)>, Value) {
    let text = stdout(output);
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let totals = lines.pop().unwrap_or_else(|| panic!("{}", stderr(output)));
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let rows = lines.iter().map(|line| {
        let name = format!("{} {}", word(line, "kind"), word(line, "name"));
        (name, word(line, "state"), word(line, "note"))
    });
    (rows.collect(), totals)
}

fn state_of<'a>(rows: &'a [(String, String, String)], name: &str) -> (&'a str, &'a str) {
    let row = rows.iter().find(|row| row.0 == name);
    row.map_or(("absent", ""), |row| (&row.1, &row.2))
}

/// A web server that has one list; gives the requests it got. Answers 304 to whoever has it.
fn server(list: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/web/rooms.txt", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !asked.ends_with("\r\n\r\n") && reader.read_line(&mut asked).unwrap() > 0 {}
            let answer = if asked.to_lowercase().contains("if-none-match: \"one\"") {
                "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"one\"\r\nContent-Length: \
                     {}\r\n\r\n{list}",
                    list.len()
                )
            };
            log.lock().unwrap().push(asked);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, seen)
}

#[test]
fn every_item_is_reported_and_what_runs_is_loaded() {
    let hub = Hub::new("https://lists.example/web/rooms.txt");
    hub.write("mirror/web/rooms.txt", "# rooms\ncellar\n");
    let mirror = hub.path("mirror").display().to_string();
    let (rows, totals) = report(&hub.import(&["--mirror", &mirror, "--json"]));
    assert_eq!(state_of(&rows, "scenario me/door-list"), ("runs as is", ""));
    assert_eq!(state_of(&rows, "collection me/inner").0, "runs with a note");
    let (state, why) = state_of(&rows, "scenario me/broken");
    assert_eq!(state, "does not run");
    assert!(
        why.contains("leekspeed") && why.contains("leakspeed"),
        "{why}"
    );
    let (state, why) = state_of(&rows, "scenario me/climber");
    assert!(
        state == "does not run" && why.contains("leads out"),
        "{why}"
    );
    let (state, why) = state_of(&rows, "appsec rule me/waf");
    assert!(state == "does not run" && why.contains("firewall"), "{why}");
    assert_eq!(
        (&totals["not"], &totals["not_appsec"]),
        (&3.into(), &1.into())
    );
    let mut listed = hub.listed();
    listed.sort();
    assert_eq!(listed, ["me/door-bf", "me/door-list", "me/door-logs"]);
    assert!(!hub.dir.path().join("p").exists());
    // What the guard loads has no mistakes, or it could not be reloaded.
    let check = posse(&["rules", "check", &hub.path("rules.d").display().to_string()]);
    assert_eq!(check.status.code(), Some(0), "{}", stdout(&check));
}

#[test]
fn imported_rules_detect() {
    let hub = Hub::new("https://lists.example/web/rooms.txt");
    hub.write("mirror/web/rooms.txt", "cellar\n");
    let mirror = hub.path("mirror").display().to_string();
    hub.import(&["--mirror", &mirror, "--enable", "me/doors"]);
    hub.write(
        "door.log",
        &"2026-03-01T10:00:00Z refused 203.0.113.7 to cellar\n".repeat(4),
    );
    let rules = hub.path("rules.d").display().to_string();
    let log = hub.path("door.log").display().to_string();
    let output = posse(&[
        "replay", "--json", "--type", "door", "--rules", &rules, &log,
    ]);
    let text = stdout(&output);
    for name in ["me/door-bf", "me/door-list"] {
        assert!(text.contains(name), "{name}: {text}{}", stderr(&output));
    }
}

#[test]
fn names_choose_and_can_be_switched() {
    let hub = Hub::new("https://lists.example/web/rooms.txt");
    hub.write("mirror/rooms.txt", "cellar\n");
    let mirror = hub.path("mirror").display().to_string();
    let output = hub.import(&["--no-fetch", "--enable", "inner"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(hub.listed(), ["me/door-logs", "me/door-bf"]);
    let refused = hub.import(&["--no-fetch", "--enable", "me/dors"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("did you mean me/doors?"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(hub.listed().len(), 2, "a refused import changes nothing");
    hub.rules(&["enable", "me/doors", "--mirror", &mirror]);
    assert_eq!(hub.listed().len(), 3);
    hub.rules(&["disable", "scenarios/me/door-bf", "--mirror", &mirror]);
    assert_eq!(hub.listed(), ["me/door-logs", "me/door-list"]);
    // Importing again keeps the choice.
    hub.import(&["--mirror", &mirror]);
    assert_eq!(hub.listed(), ["me/door-logs", "me/door-list"]);
}

#[test]
fn lists_are_fetched_once_and_refreshed() {
    let (url, seen) = server("cellar\nattic\n");
    let hub = Hub::new(&url);
    let words = ["--enable", "me/doors", "--json"];
    let (rows, _) = report(&hub.import(&words));
    assert_eq!(state_of(&rows, "scenario me/door-list"), ("runs as is", ""));
    assert_eq!(hub.data(), "cellar\nattic\n");
    let (rows, _) = report(&hub.rules(&["refresh", "--json"]));
    assert_eq!(state_of(&rows, "scenario me/door-list"), ("runs as is", ""));
    assert_eq!(hub.data(), "cellar\nattic\n");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(
        seen[1].to_lowercase().contains("if-none-match: \"one\""),
        "{seen:?}"
    );
}

#[test]
fn without_a_network_the_others_go_on() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let hub = Hub::new(&format!("http://{gone}/web/rooms.txt"));
    let (rows, totals) = report(&hub.import(&["--enable", "me/doors", "--json"]));
    let (state, why) = state_of(&rows, "scenario me/door-list");
    assert_eq!(state, "does not run");
    assert!(
        why.contains("rooms.txt") && why.contains("--mirror"),
        "{why}"
    );
    assert_eq!(state_of(&rows, "scenario me/door-bf").0, "runs as is");
    assert_eq!(totals["not"], 2);
    assert_eq!(hub.listed(), ["me/door-logs", "me/door-bf"]);
}

#[test]
fn an_installation_gives_what_is_enabled_there() {
    let hub = Hub::new("https://lists.example/rooms.txt");
    let etc = hub.path("root/etc/crowdsec");
    hub.write("root/etc/crowdsec/config.yaml", "common: {}\n");
    hub.write(
        "root/etc/crowdsec/simulation.yaml",
        "simulation: false\nexclusions:\n  - me/door-sim\n",
    );
    hub.write(
        "root/etc/crowdsec/acquis.yaml",
        "filenames:\n  - /var/log/door.log\nlabels:\n  type: door\n",
    );
    hub.write(
        "root/etc/crowdsec/scenarios/local.yaml",
        &scenario("local", ""),
    );
    hub.write("root/var/lib/crowdsec/data/rooms.txt", "cellar\n");
    let store = "root/var/lib/crowdsec/hub";
    hub.write(
        &format!("{store}/scenarios/me/door-sim.yaml"),
        &scenario("door-sim", ""),
    );
    for (place, file) in [
        ("parsers/s01-parse", "door-logs"),
        ("scenarios", "door-list"),
        ("scenarios", "door-bf"),
        ("scenarios", "door-sim"),
    ] {
        let name = format!("{place}/me/{file}.yaml");
        if file != "door-sim" {
            let text = fs::read_to_string(hub.path(&format!("hub/{name}"))).unwrap();
            hub.write(&format!("{store}/{name}"), &text);
        }
        // One item stays in the hub, not enabled.
        if file != "door-bf" {
            let link = etc.join(place).join(format!("{file}.yaml"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(format!("/var/lib/crowdsec/hub/{name}"), link).unwrap();
        }
    }
    let dir = etc.display().to_string();
    let (rows, totals) = report(&hub.rules(&["import", &dir, "--no-fetch", "--json"]));
    let states: Vec<_> = rows
        .iter()
        .map(|row| (row.0.as_str(), row.1.as_str()))
        .collect();
    assert_eq!(
        states,
        [
            ("parser me/door-logs", "runs as is"),
            ("scenario local", "runs as is"),
            ("scenario me/door-list", "runs as is"),
            ("scenario me/door-sim", "does not run"),
        ]
    );
    assert_eq!(totals["available"], 5);
    assert!(
        totals["sources"]
            .as_str()
            .unwrap()
            .contains("/var/log/door.log")
    );
    assert_eq!(hub.data(), "cellar\n");
}

#[test]
fn sigma_rules_come_by_folder() {
    let site = Hub::new("");
    let rule = |title: &str, id: u8, more: &str| {
        format!(
            "title: {title}\nid: 00000000-0000-4000-8000-00000000000{id}\nstatus: test\n\
             description: d\nauthor: A. Writer\nlogsource:\n  product: linux\n  service: auditd\n\
             detection:\n  selection:\n    type: EXECVE\n  condition: selection{more}\nlevel: low\n"
        )
    };
    site.write("sigma/rules/linux/ran.yml", &rule("Ran", 1, ""));
    site.write("sigma/rules/web/odd.yml", &rule("Odd", 2, " and"));
    site.write("sigma/README.md", "notes\n");
    let dir = site.path("sigma").display().to_string();
    let (rows, _) = report(&site.rules(&["import", &dir, "--json"]));
    assert_eq!(
        state_of(&rows, "sigma rule rules/linux/ran"),
        ("runs as is", "")
    );
    assert_eq!(
        state_of(&rows, "sigma rule rules/web/odd").0,
        "does not run"
    );
    let (rows, totals) =
        report(&site.rules(&["import", &dir, "--enable", "rules/linux", "--json"]));
    assert_eq!((rows.len(), &totals["available"]), (1, &2.into()));
    let rules = site.path("rules.d").display().to_string();
    let list = stdout(&posse(&["rules", "list", &rules]));
    assert!(list.contains("Ran") || list.contains("sigma"), "{list}");
    assert_eq!(posse(&["rules", "check", &rules]).status.code(), Some(0));
}

#[test]
fn the_whole_hub_runs() {
    let Some(corpora) = outside::shared("corpora") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "rules".to_owned(),
        "import".to_owned(),
        corpora.join("crowdsec-hub").display().to_string(),
        "--into".to_owned(),
        dir.path().display().to_string(),
        "--mirror".to_owned(),
        corpora.join("sec-lists").display().to_string(),
        "--patterns".to_owned(),
        corpora.join("grok-patterns").display().to_string(),
        "--json".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (rows, totals) = report(&posse(&words));
    let failing: Vec<_> = rows
        .iter()
        .filter(|row| row.1 == "does not run" && !row.2.contains("web application firewall"))
        .collect();
    assert!(failing.is_empty(), "{failing:?}");
    assert!(totals["as_is"].as_u64() > Some(1_000), "{totals}");
    let check = posse(&["rules", "check", &dir.path().display().to_string()]);
    assert!(
        stdout(&check).ends_with(" 0 mistakes\n"),
        "{}",
        stdout(&check)
    );
}

const JAILS: &str = "[DEFAULT]\nbantime = 10m\nfindtime = 10m\nmaxretry = 3\nbackend = auto\n\
    enabled = false\nfilter = %(__name__)s\nignoreip = 127.0.0.1/8 198.51.100.7\n\n\
    [door]\nlogpath = /var/log/door.log\n\n[gate]\nlogpath = /var/log/gate.log\n\n\
    [hatch]\nlogpath = /var/log/hatch.log\n";

fn fail2ban() -> Hub {
    let site = Hub::new("");
    site.write("f2b/jail.conf", JAILS);
    site.write("f2b/jail.d/mine.conf", "[door]\nenabled = true\n");
    site.write(
        "f2b/filter.d/door.conf",
        "[Definition]\nfailregex = ^ refused <HOST>$\n",
    );
    site.write(
        "f2b/filter.d/gate.conf",
        "[Definition]\nfailregex = ^ shut to <HOST>$\n",
    );
    site.write(
        "f2b/filter.d/hatch.conf",
        "[Definition]\nfailregex = ^ shut (to <HOST>$\n",
    );
    site
}

fn overlay(site: &Hub) -> String {
    fs::read_to_string(site.path("rules.d/fail2ban/jail.d/zz-posse.local")).unwrap()
}

#[test]
fn jails_come_as_they_are_enabled() {
    let site = fail2ban();
    let dir = site.path("f2b").display().to_string();
    let (rows, totals) = report(&site.rules(&["import", &dir, "--json"]));
    assert_eq!(state_of(&rows, "jail door"), ("runs as is", ""));
    assert_eq!(state_of(&rows, "jail gate").0, "absent");
    assert_eq!(state_of(&rows, "filter gate"), ("runs as is", ""));
    assert_eq!(state_of(&rows, "filter hatch").0, "does not run");
    assert!(
        totals["sources"]
            .as_str()
            .unwrap()
            .contains("/var/log/door.log"),
        "{totals}"
    );
    assert!(
        totals["notes"].to_string().contains("198.51.100.7"),
        "{totals}"
    );
    assert!(overlay(&site).contains("[door]\nenabled = true\n"));
    assert!(overlay(&site).contains("[gate]\nenabled = false\n"));
    site.rules(&["enable", "gate"]);
    assert!(
        overlay(&site).contains("[gate]\nenabled = true\n"),
        "{}",
        overlay(&site)
    );
    let refused = site.rules(&["enable", "gates"]);
    assert!(
        stderr(&refused).contains("did you mean gate?"),
        "{}",
        stderr(&refused)
    );
    // A jail that cannot run is never loaded, or the guard could not be reloaded.
    let (rows, _) = report(&site.rules(&["import", &dir, "--enable", "hatch", "door", "--json"]));
    assert_eq!(state_of(&rows, "jail hatch").0, "does not run");
    assert!(overlay(&site).contains("[hatch]\nenabled = false\n"));
    let check = posse(&[
        "rules",
        "check",
        &site.path("rules.d").display().to_string(),
    ]);
    assert_eq!(check.status.code(), Some(0), "{}", stdout(&check));
}
