//! A notifier under test, and channels that write down what they get.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::{Sender, bounded};
use model::{Alert, AlertId, ChannelStatus, Happening, News, Notice, Scope, Timestamp};
use notify::{AlertsConfig, Notifier, Plan, World};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct Site {
    dir: TempDir,
    pub(crate) state: PathBuf,
}

pub(crate) struct Run {
    pub(crate) notifier: Notifier,
    news: Sender<Arc<News>>,
}

fn plan(config: &str) -> Plan {
    toml::from_str::<AlertsConfig>(config)
        .unwrap()
        .plan()
        .unwrap()
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("alerts");
        Self { dir, state }
    }

    /// A channel that writes each message into a file of its own.
    pub(crate) fn catcher(&self, name: &str) -> String {
        let folder = self.dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let folder = folder.display();
        format!(
            "[[channel]]\nkind = \"command\"\nname = {name:?}\nrun = [\"/bin/sh\", \"-c\", \
             \"t=$(mktemp {folder}/.XXXXXXXX); cat > $t; mv $t {folder}/${{t##*/.}}.json\"]\n"
        )
    }

    /// What that channel got.
    pub(crate) fn got(&self, name: &str) -> Vec<Value> {
        let entries = fs::read_dir(self.dir.path().join(name))
            .into_iter()
            .flatten()
            .flatten();
        let files = entries.filter(|e| e.path().extension().is_some_and(|x| x == "json"));
        files
            .map(|e| serde_json::from_slice(&fs::read(e.path()).unwrap()).unwrap())
            .collect()
    }

    pub(crate) fn start(&self, config: &str) -> Run {
        let (news, heard) = bounded(4_096);
        let world = World {
            status: Box::new(|| None),
            unwatched: Box::new(Vec::new),
        };
        let notifier = Notifier::start(plan(config), &self.state, heard, world).unwrap();
        Run { notifier, news }
    }
}

impl Run {
    pub(crate) fn say(&self, happening: Happening) {
        let seen = now();
        self.news.send(Arc::new(News { seen, happening })).unwrap();
    }

    pub(crate) fn status(&self, name: &str) -> ChannelStatus {
        let all = self.notifier.status();
        all.into_iter().find(|c| c.name == name).unwrap_or_default()
    }

    pub(crate) fn reconfigure(&self, config: &str) {
        assert!(self.notifier.reconfigure(plan(config)));
    }

    pub(crate) fn stop(self) {
        drop(self.news);
        assert!(self.notifier.stop(Duration::from_secs(10)));
    }
}

/// Alerts that the messages tell of.
pub(crate) fn alerts_of(messages: &[Value]) -> u64 {
    messages
        .iter()
        .filter_map(|m| m["counts"]["alerts"].as_u64())
        .sum()
}

fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

pub(crate) fn notice(code: &str) -> Happening {
    Happening::Notice(Notice {
        at: now(),
        code: code.into(),
        text: format!("a notice of {code}"),
        prefixes: Vec::new(),
    })
}

pub(crate) fn alert(address: &str) -> Happening {
    let at = now();
    Happening::Alert(Box::new(Alert {
        id: AlertId::derive(&[address.as_bytes(), &at.nanos().to_be_bytes()]),
        rule: "posse/ssh-bf".into(),
        rule_hash: String::new(),
        scope: Scope::Ip,
        value: address.into(),
        address: address.parse().ok(),
        range: None,
        first: at,
        last: at,
        events_count: 6,
        message: format!("6 failed logins from {address}"),
        remediation: true,
        simulated: false,
        labels: std::sync::Arc::new([("behavior".to_owned(), "ssh:bruteforce".into())].into()),
        context: Default::default(),
        events: Vec::new(),
        evidence: Vec::new(),
    }))
}
