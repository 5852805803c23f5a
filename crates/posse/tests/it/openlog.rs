//! The ledger before outsiders: witnesses that are processes of their own, an auditor that shares
//! no code with us, a time stamping authority that is OpenSSL's.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use ledger::{AddCheckpoint, Hash};
use model::{Entry, Notice, Timestamp};
use serde_json::Value;
use store::Store;

use crate::{
    openlog_tampering::open_as,
    support::{Guard, POSSE, Site, posse, stderr, stdout, wait_until},
};

/// A witness that runs; killed when dropped.
pub(crate) struct Witness {
    child: Child,
    port: u16,
    state: PathBuf,
}

impl Witness {
    fn start(state: &Path, port: u16, logs: &[String]) -> Self {
        let mut command = Command::new(POSSE);
        command
            .args([
                "witness",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--state",
            ])
            .arg(state);
        for log in logs {
            command.args(["--log", log]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .find_map(|line| line.ok().filter(|l| l.contains("listens on")))
            .expect("the witness listens");
        let port = line.rsplit(':').next().unwrap().trim().parse().unwrap();
        Self {
            child,
            port,
            state: state.to_owned(),
        }
    }

    fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    fn restart(mut self) -> Self {
        self.kill();
        Self::start(&self.state.clone(), self.port, &[])
    }

    fn post(&self, body: &str) -> (u16, String, String) {
        post(self.port, body)
    }

    fn latest(&self, origin: &str) -> (u16, String) {
        let id = Hash::of(&[origin.as_bytes()]);
        get(&format!("http://127.0.0.1:{}/{id}/checkpoint", self.port))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.kill();
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

/// Status, content type, body; 0 when nobody answers.
fn post(port: u16, body: &str) -> (u16, String, String) {
    let url = format!("http://127.0.0.1:{port}/add-checkpoint");
    let Ok(mut answer) = agent().post(&url).send(body) else {
        return (0, String::new(), String::new());
    };
    let kind = answer.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    (answer.status().as_u16(), kind, text)
}

fn get(url: &str) -> (u16, String) {
    let Ok(mut answer) = agent().get(url).call() else {
        return (0, String::new());
    };
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    (answer.status().as_u16(), text)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn said(arguments: &[&str]) -> String {
    let output = posse(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output).trim().to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Two witnesses that know their ports and keys, but are not started.
pub(crate) struct Two {
    states: [PathBuf; 2],
    ports: [u16; 2],
    vkeys: [String; 2],
}

impl Two {
    pub(crate) fn prepare(dir: &Path) -> Self {
        let states = [dir.join("w1"), dir.join("w2")];
        let vkeys = states
            .each_ref()
            .map(|s| said(&["witness", "key", "--state", &text(s)]));
        Self {
            states,
            ports: [free_port(), free_port()],
            vkeys,
        }
    }

    /// `[ledger]` with both, and a policy that wants both.
    pub(crate) fn config(&self, dir: &Path) -> String {
        let policy = dir.join("policy");
        let [a, b] = &self.vkeys;
        let all = format!("witness w1 {a}\nwitness w2 {b}\ngroup both all w1 w2\nquorum both\n");
        fs::write(&policy, all).unwrap();
        format!(
            "[ledger]\npolicy = {policy:?}\nwitnesses = [\n\
             {{ name = \"w1\", vkey = {a:?}, url = \"http://127.0.0.1:{}\" }},\n\
             {{ name = \"w2\", vkey = {b:?}, url = \"http://127.0.0.1:{}/\" }},\n]\n",
            self.ports[0], self.ports[1]
        )
    }

    pub(crate) fn start(&self, log: &str) -> [Witness; 2] {
        [0, 1].map(|i| Witness::start(&self.states[i], self.ports[i], &[log.to_owned()]))
    }

    pub(crate) fn flags(&self) -> Vec<&str> {
        self.vkeys.iter().flat_map(|v| ["--witness", v]).collect()
    }
}

/// A hub that runs; killed when dropped.
struct Hub {
    child: Child,
    url: String,
    state: PathBuf,
}

impl Hub {
    fn start(state: &Path, config: Option<&Path>) -> Self {
        let mut command = Command::new(POSSE);
        command
            .args(["hub", "--listen", "127.0.0.1:0", "--state"])
            .arg(state);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .find_map(|line| line.ok().filter(|l| l.contains("listens on")))
            .expect("the hub listens");
        let port = line.rsplit(':').next().unwrap().trim().to_owned();
        Self {
            child,
            url: format!("http://127.0.0.1:{port}/ledger"),
            state: state.to_owned(),
        }
    }

    fn ask(&self, words: &[&str]) -> Output {
        let state = text(&self.state);
        posse(&[words, &["--state", &state]].concat())
    }

    fn ban(&self, number: usize) {
        let address = format!("203.0.113.{number}");
        let output = self.ask(&["ban", &address]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn wait_cosigned(&self) {
        wait_until("both witnesses cosigned all there is", || {
            let output = self.ask(&["ledger", "witness", "status", "--json"]);
            let all: Vec<Value> = stdout(&output)
                .lines()
                .filter_map(|l| serde_json::from_str(l).ok())
                .collect();
            all.len() == 2
                && all
                    .iter()
                    .all(|w| w["behind"] == 0 && w["trouble"].is_null())
        });
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the outside auditor says last; `None`: it is not here.
fn audit(base: &str, vkey: &str, flags: &[&str]) -> Option<Result<String, String>> {
    let script = outside::ledger_auditor()?;
    let output = Command::new("python3")
        .arg(script)
        .args(["audit", base, vkey])
        .args(flags)
        .output()
        .unwrap();
    let last = stdout(&output).trim().to_owned();
    Some(if output.status.success() {
        Ok(last)
    } else {
        Err(last)
    })
}

fn old_flags(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|f| ["--old".to_owned(), text(f)])
        .collect()
}

#[test]
fn a_hubs_ledger_is_accepted_by_outsiders_with_two_witnesses_and_two_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (state, old) = (dir.path().join("hub"), dir.path().join("old"));
    fs::create_dir(&old).unwrap();
    let two = Two::prepare(dir.path());
    let config = dir.path().join("posse.toml");
    fs::write(&config, two.config(dir.path())).unwrap();
    let mut hub = Hub::start(&state, Some(&config));
    let vkey = said(&["ledger", "key", "--state", &text(&state)]);
    let witnesses = two.start(&vkey);
    for number in 1..=4 {
        hub.ban(number);
        hub.wait_cosigned();
        let (status, note) = get(&format!("{}/checkpoint", hub.url));
        assert_eq!(status, 200);
        fs::write(old.join(format!("{number}")), note).unwrap();
    }
    let old_words = old_flags(&old);
    let mut flags: Vec<&str> = old_words.iter().map(String::as_str).collect();
    flags.extend(two.flags());
    if let Some(verdict) = audit(&hub.url, &vkey, &flags) {
        let said = verdict.unwrap();
        assert_eq!(said.matches("consistent-with=").count(), 4, "{said}");
        assert_eq!(said.matches("witness=").count(), 2, "{said}");
    }
    let verify = |state: &Path, key: &str| {
        let mut words = vec!["ledger", "verify", "--vkey", key, "--old"];
        let (old, state) = (text(&old), text(state));
        words.extend([old.as_str(), "--state", &state]);
        words.extend(two.flags());
        let output = posse(&words);
        assert!(output.status.success(), "{}", stdout(&output));
        stdout(&output)
    };
    let words = verify(&state, &vkey);
    assert!(words.contains("4 earlier checkpoints agree"), "{words}");
    // Caching: a checkpoint for a moment, a tile for good; what is not there, not at all.
    let head = agent()
        .get(&format!("{}/checkpoint", hub.url))
        .call()
        .unwrap();
    assert_eq!(head.headers()["cache-control"], "public, max-age=3");
    let tile = agent()
        .get(&format!("{}/tile/entries/000.p/1", hub.url))
        .call()
        .unwrap();
    assert_eq!(
        tile.headers()["cache-control"],
        "public, max-age=31536000, immutable"
    );
    for missing in [
        "tile/0/001",
        "tile/0/0",
        "tile/entries/000.p/999",
        "../ledger.key",
        "x",
    ] {
        assert_eq!(get(&format!("{}/{missing}", hub.url)).0, 404, "{missing}");
    }
    // The change of keys: both sign, whoever knows either follows.
    hub.stop();
    said(&["ledger", "rotate-key", "--state", &text(&state)]);
    let new = said(&["ledger", "key", "--state", &text(&state)]);
    assert_ne!(new, vkey);
    let [one, another] = witnesses;
    drop(another);
    let _one = one.restart();
    let _another = Witness::start(&two.states[1], two.ports[1], std::slice::from_ref(&new));
    let mut hub = Hub::start(&state, Some(&config));
    hub.wait_cosigned();
    for key in [&vkey, &new] {
        if let Some(verdict) = audit(&hub.url, key, &two.flags()) {
            verdict.unwrap();
        }
        verify(&state, key);
    }
    hub.stop();
    said(&["ledger", "rotate-key", "--finish", "--state", &text(&state)]);
    assert_eq!(
        said(&["ledger", "key", "--all", "--state", &text(&state)]),
        format!("{new}\n{vkey}")
    );
}

#[test]
fn a_state_folder_put_back_from_a_copy_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (state, copy) = (dir.path().join("hub"), dir.path().join("copy"));
    let two = Two::prepare(dir.path());
    let config = dir.path().join("posse.toml");
    fs::write(&config, two.config(dir.path())).unwrap();
    let mut hub = Hub::start(&state, Some(&config));
    let vkey = said(&["ledger", "key", "--state", &text(&state)]);
    let _witnesses = two.start(&vkey);
    hub.ban(1);
    hub.wait_cosigned();
    hub.stop();
    let cp = |from: &Path, to: &Path| {
        let done = Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status()
            .unwrap();
        assert!(done.success());
    };
    cp(&state, &copy);
    let mut hub = Hub::start(&state, Some(&config));
    for number in 2..=6 {
        hub.ban(number);
    }
    hub.wait_cosigned();
    hub.stop();
    fs::remove_dir_all(&state).unwrap();
    cp(&copy, &state);
    let hub = Hub::start(&state, Some(&config));
    hub.ban(7);
    wait_until("the alarm is on the record", || {
        stdout(&hub.ask(&["ledger", "show"])).contains("ledger_other_history")
    });
    wait_until("the status says so too", || {
        let output = hub.ask(&["ledger", "witness", "status"]);
        !output.status.success() && stdout(&output).contains("ALARM, ANOTHER HISTORY")
    });
    // It is told of once a witness, not again with every checkpoint.
    std::thread::sleep(Duration::from_secs(3));
    let alarms = stdout(&hub.ask(&["ledger", "show"]))
        .matches("ledger_other_history")
        .count();
    assert!(alarms <= 2, "{alarms}");
}

#[test]
fn a_guards_ledger_is_served_on_its_status_page_and_cosigned_from_behind_its_walls() {
    let site = Site::new();
    let two = Two::prepare(site.dir.path());
    let port = free_port();
    let console = format!("\n[console]\nlisten = \"127.0.0.1:{port}\"\n");
    site.configure(&(two.config(site.dir.path()) + &console));
    let guard = Guard::start(&site, None, &["--observe"]);
    let vkey = said(&["ledger", "key", "--state", &text(&site.state())]);
    let _witnesses = two.start(&vkey);
    let url = format!("http://127.0.0.1:{port}/ledger");
    wait_until("a cosigned checkpoint is served", || {
        get(&format!("{url}/checkpoint"))
            .1
            .matches('\u{2014}')
            .count()
            == 3
    });
    if let Some(verdict) = audit(&url, &vkey, &two.flags()) {
        verdict.unwrap();
    }
    assert!(!guard.said().contains("not accepted"), "{}", guard.said());
}

//------------ Witnesses ------------------------------------------------------

const ORIGIN: &str = "log.example/outside";

/// A ledger, and the same up to a point with another end; every checkpoint of both.
struct Forked {
    _dir: tempfile::TempDir,
    stores: [Store; 2],
    notes: [Vec<String>; 2],
}

fn notice(text: &str) -> Entry {
    Entry::Notice(Notice {
        at: Timestamp::from_seconds(1_795_000_000),
        code: "test".into(),
        text: text.into(),
        prefixes: vec![],
    })
}

impl Forked {
    fn new(size: usize, common: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |n: usize| dir.path().join(format!("log{n}"));
        let open = |n| open_as(&path(n), ORIGIN);
        let at = Timestamp::from_seconds(1_795_000_000);
        let mut one = open(0);
        let mut notes = vec![one.checkpoint().unwrap()];
        for n in 0..common {
            one.append(&[notice(&n.to_string())], at).unwrap();
            notes.push(one.checkpoint().unwrap());
        }
        drop(one);
        let copied = Command::new("cp")
            .arg("-a")
            .args([path(0), path(1)])
            .status();
        assert!(copied.unwrap().success());
        let mut stores = [open(0), open(1)];
        let mut all = [notes.clone(), notes];
        for (which, (store, notes)) in stores.iter_mut().zip(&mut all).enumerate() {
            for n in common..size {
                store
                    .append(&[notice(&format!("{which} {n}"))], at)
                    .unwrap();
                notes.push(store.checkpoint().unwrap());
            }
        }
        Self {
            _dir: dir,
            stores,
            notes: all,
        }
    }

    fn vkey(&self) -> String {
        self.stores[0].vkey()
    }

    fn request(&self, which: usize, old: usize, new: usize) -> String {
        let request = AddCheckpoint {
            old: old as u64,
            proof: self.stores[which]
                .consistency(old as u64, new as u64)
                .unwrap(),
            checkpoint: self.notes[which][new].clone(),
        };
        request.encode()
    }
}

/// Answers, each with how often it came.
fn at_once(port: u16, bodies: Vec<String>) -> Vec<u16> {
    let start = Arc::new(std::sync::Barrier::new(bodies.len()));
    let threads: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                post(port, &body).0
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

#[test]
fn a_witness_answers_as_the_specification_says_also_at_once_and_over_a_restart() {
    let log = Forked::new(120, 10);
    let dir = tempfile::tempdir().unwrap();
    let witness = Witness::start(&dir.path().join("w"), 0, &[log.vkey()]);
    let stranger = Forked::new(12, 12);
    let status = |body: &str| witness.post(body).0;
    assert_eq!(witness.latest(ORIGIN).0, 404);
    // 400: not a request; sizes that run backwards. 403: a key that nobody trusts. 404: no such log.
    for malformed in ["", "old 0\n", "old x\n\n", "size 0\n\nnote\n"] {
        assert_eq!(status(malformed), 400, "{malformed:?}");
    }
    let backwards = log.request(0, 0, 5).replacen("old 0", "old 6", 1);
    assert_eq!(status(&backwards), 400);
    assert_eq!(status(&stranger.request(0, 0, 5)), 403);
    let unsigned = log.request(0, 0, 5).replace("\n5\n", "\n6\n");
    assert_eq!(status(&unsigned), 403);
    let unknown = log.request(0, 0, 5).replace(ORIGIN, "log.example/other");
    assert_eq!(status(&unknown), 404);
    assert_eq!(witness.latest(ORIGIN).0, 404, "none of these left anything");
    // 200, and the same again.
    let (code, kind, lines) = witness.post(&log.request(0, 0, 5));
    assert_eq!((code, kind.as_str()), (200, "text/plain; charset=utf-8"));
    let vkey = said(&["witness", "key", "--state", &text(&dir.path().join("w"))]);
    let key = ledger::CosignerKey::parse(&vkey).unwrap();
    assert!(key.pick(&log.notes[0][5], &lines).unwrap().is_some());
    assert_eq!(status(&log.request(0, 5, 5)), 200);
    let (code, kept) = witness.latest(ORIGIN);
    assert_eq!(code, 200);
    assert!(key.verify(kept.as_bytes()).unwrap().is_some());
    // 409 with the size; 422.
    let (code, kind, size) = witness.post(&log.request(0, 0, 8));
    assert_eq!(
        (code, kind.as_str(), size.as_str()),
        (409, "text/x.tlog.size", "5\n")
    );
    let proofless = log
        .request(0, 5, 8)
        .split_once("\n\n")
        .map(|(_, note)| format!("old 5\n\n{note}"));
    assert_eq!(status(&proofless.unwrap()), 422);
    assert_eq!(status(&log.request(0, 5, 10)), 200);
    // From here the histories differ: fifty at once, half of them of the other one.
    let bodies: Vec<String> = (0..50).map(|n| log.request(n % 2, 10, 11 + n)).collect();
    let answers = at_once(witness.port, bodies);
    assert_eq!(
        answers.iter().filter(|a| **a == 200).count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|a| matches!(a, 200 | 409)),
        "{answers:?}"
    );
    let won = answers.iter().position(|a| *a == 200).unwrap();
    let (which, size) = (won % 2, 11 + won);
    let witness = witness.restart();
    let kept = witness.latest(ORIGIN).1;
    assert!(kept.contains(&format!("\n{size}\n")), "{kept}");
    // Fifty more from there: the other history gets nowhere, with whatever it says it had.
    let (own, other) = (which, 1 - which);
    let bodies: Vec<String> = (0..50)
        .map(|n| match n % 2 {
            0 => log.request(own, size, size + 1 + n / 2),
            _ => log.request(other, size, size + 1 + n / 2),
        })
        .collect();
    let answers = at_once(witness.port, bodies);
    for (n, answer) in answers.iter().enumerate() {
        let possible: &[u16] = if n % 2 == 0 { &[200, 409] } else { &[409, 422] };
        assert!(possible.contains(answer), "{n}: {answer}");
    }
    assert_eq!(
        answers.iter().filter(|a| **a == 200).count(),
        1,
        "{answers:?}"
    );
    let listed = said(&["witness", "logs", "--state", &text(&dir.path().join("w"))]);
    assert!(
        listed.contains(ORIGIN) && listed.contains("cosigned up to"),
        "{listed}"
    );
}

#[test]
fn a_killed_witness_remembers_all_that_it_answered() {
    let log = Forked::new(400, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::start(&dir.path().join("w"), 0, &[log.vkey()]);
    let port = witness.port;
    let mut told = 0;
    for round in 0..12_u64 {
        std::thread::scope(|scope| {
            // A store is one thread's; the asker opens its own.
            let (dir, notes) = (log.stores[0].dir().to_owned(), &log.notes[0]);
            let asker = scope.spawn(move || {
                // Goes on until the witness is gone.
                let mut at = told;
                while at + 1 < 400 {
                    let body = AddCheckpoint {
                        old: at as u64,
                        proof: proof(&dir, at),
                        checkpoint: notes[at + 1].clone(),
                    };
                    match post(port, &body.encode()) {
                        (200, _, _) => at += 1,
                        // It kept one that it could not tell of.
                        (409, _, size) => at = size.trim().parse().unwrap(),
                        _ => break,
                    }
                }
                at
            });
            std::thread::sleep(Duration::from_millis(40 + 13 * (round % 7)));
            witness.kill();
            told = asker.join().unwrap();
        });
        witness = Witness::start(&dir.path().join("w"), port, &[]);
        if told == 0 {
            continue;
        }
        let (code, kept) = witness.latest(ORIGIN);
        assert_eq!(code, 200);
        let kept: usize = kept.lines().nth(1).unwrap().parse().unwrap();
        assert!(
            kept == told || kept == told + 1,
            "round {round}: told {told}, kept {kept}"
        );
        told = kept;
        if kept > 1 {
            let fork = log.request(1, kept, kept);
            assert_eq!(witness.post(&fork).0, 409, "round {round}");
        }
    }
    assert!(told > 0, "nothing was cosigned: the test shows nothing");
}

/// One step on.
fn proof(dir: &Path, at: usize) -> Vec<Hash> {
    let store = Store::open_read_only(dir).unwrap();
    store.consistency(at as u64, at as u64 + 1).unwrap()
}
