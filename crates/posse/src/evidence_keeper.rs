//! The thread that keeps evidence while a guard or a hub runs: groups alerts into cases, destroys
//! what policy no longer keeps, reads exhibits again, and tells of holds that end soon.
//!
//! Far from a ban's way: it reads the ledger beside its writer and records through the recorder.
//! Its configuration is that of the program's start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Result;
use casework::{
    RetentionPolicy,
    clocks::{WARNINGS, ends_of_holds},
    grouping::{Group, GroupBy, QUIET, place},
    span_in_words,
};
use evidence::{EvidenceError, Ledger, Numbers, Vault};
use model::{Alert, AlertId, CaseAct, CaseStep, Entry, Happening, Notice, Pap, Timestamp, Tlp};
use store::{AlertFilter, Recorder, Store};

use crate::{clock, config::Config, feed::Feed};

const ROUND: Duration = Duration::from_secs(60);
/// After the start, so that a clock that is being set right has time to be.
const RETIRE_FIRST: Duration = Duration::from_secs(3_600);
const RETIRE_EVERY: Duration = Duration::from_secs(86_400);
const FIXITY_EVERY: Duration = Duration::from_secs(3_600);
/// Exhibits read again at a time, so that a disk is not kept busy.
const FIXITY_AT_ONCE: usize = 8;
/// Wall clock and steady clock may part by so much before nothing is destroyed by the former.
const CLOCK_PARTED_MAX: Duration = Duration::from_secs(3_600);
/// Alerts looked at in a round.
const ALERTS_AT_ONCE: usize = 10_000;
/// Groups that wait for enough alerts to be a case; beyond it the one quiet longest is forgotten.
const WAITING_MAX: usize = 10_000;
/// Cases that are open at a time because a rule opened them.
const OPEN_MAX: usize = 1_000;
const BY: &str = "posse";

/// Starts the thread; it ends with the process. A hub has no feed.
pub(crate) fn start(
    config: &Config,
    state: &Path,
    recorder: &Arc<Recorder>,
    feed: Option<&Feed>,
) -> Result<()> {
    let keeper = Keeper {
        ledger: ByRecorder {
            state: state.to_owned(),
            recorder: Arc::clone(recorder),
            feed: feed.cloned(),
        },
        policy: config.evidence.policy(),
        fixity: config.evidence.fixity(),
        group: config.cases.group,
        authority: config.cases.authority().to_owned(),
        enough: config.cases.alerts.get(),
        seen: 0,
        waiting: BTreeMap::new(),
        warned: BTreeSet::new(),
        begun: (clock::now(), clock::steady()),
    };
    thread::Builder::new()
        .name("evidence".into())
        .spawn(move || keeper.run())?;
    Ok(())
}

/// The ledger of the guard or hub that we are part of.
pub(crate) struct ByRecorder {
    pub(crate) state: PathBuf,
    pub(crate) recorder: Arc<Recorder>,
    /// Where notices are told besides.
    pub(crate) feed: Option<Feed>,
}

impl Ledger for ByRecorder {
    fn read(&self) -> Result<Store, EvidenceError> {
        Ok(Store::open_read_only(&self.state)?)
    }

    fn record(&self, entries: Vec<Entry>) -> Result<Vec<u64>, EvidenceError> {
        for entry in &entries {
            if let (Entry::Notice(notice), Some(feed)) = (entry, &self.feed) {
                feed.say(notice.at, Happening::Notice(notice.clone()));
            }
        }
        match self.recorder.record_and_wait(entries) {
            Ok(appended) => Ok(appended.into_iter().map(|one| one.index).collect()),
            Err(e) => Err(EvidenceError::NotRecorded { why: e.to_string() }),
        }
    }
}

/// Alerts of one group that are not enough for a case yet.
#[derive(Default)]
struct Waiting {
    alerts: Vec<AlertId>,
    last: Timestamp,
}

struct Keeper {
    ledger: ByRecorder,
    policy: RetentionPolicy,
    fixity: Duration,
    group: Option<GroupBy>,
    authority: String,
    enough: usize,
    /// Alerts before this ledger index were looked at; after a start, those of [`QUIET`] are again.
    seen: u64,
    waiting: BTreeMap<String, Waiting>,
    /// Holds whose end was told of, with how long before.
    warned: BTreeSet<(String, String, Duration)>,
    begun: (Timestamp, Duration),
}

impl Keeper {
    fn run(mut self) {
        let pace = pace();
        let wait = |usual: Duration| pace.unwrap_or(usual);
        let start = clock::steady();
        let (mut retire, mut fixity) = (start + wait(RETIRE_FIRST), start + wait(FIXITY_EVERY));
        loop {
            thread::sleep(wait(ROUND));
            let now = clock::steady();
            if self.group.is_some() {
                self.report(Self::group_alerts);
            }
            // Nobody has taken evidence here.
            if !self.ledger.state.join("exhibits").exists() {
                continue;
            }
            if now >= fixity {
                fixity = now + wait(FIXITY_EVERY);
                self.report(Self::read_again);
            }
            if now >= retire {
                retire = now + wait(RETIRE_EVERY);
                self.report(Self::warn_of_holds);
                self.report(Self::retire);
            }
        }
    }

    /// Trouble is logged, and tried again in the next round.
    fn report(&mut self, work: fn(&mut Self) -> Result<(), EvidenceError>) {
        if let Err(e) = work(self) {
            tracing::warn!(error = %e, "keeping evidence");
        }
    }

    fn vault(&self) -> Result<Vault, EvidenceError> {
        Vault::open(&self.ledger.state, clock::now)
    }

    fn read_again(&mut self) -> Result<(), EvidenceError> {
        let vault = self.vault()?;
        vault.tidy(&self.ledger)?;
        let due = vault.due_for_fixity(&self.ledger.read()?, self.fixity)?;
        for exhibit in due.iter().take(FIXITY_AT_ONCE) {
            vault.check_fixity(&self.ledger, exhibit)?;
        }
        Ok(())
    }

    /// Not by a clock that was set while we ran: it may be wrong.
    fn retire(&mut self) -> Result<(), EvidenceError> {
        let (wall, steady) = self.begun;
        let passed = clock::steady().saturating_sub(steady);
        let (now, expected) = (clock::now(), wall.plus(passed));
        if now.since(expected).max(expected.since(now)) > CLOCK_PARTED_MAX {
            tracing::warn!("the clock was set; no exhibit is destroyed until the next start");
            return Ok(());
        }
        self.vault()?.retire(&self.ledger, &self.policy)?;
        Ok(())
    }

    fn warn_of_holds(&mut self) -> Result<(), EvidenceError> {
        let (store, now) = (self.ledger.read()?, clock::now());
        let mut notices = Vec::new();
        for exhibit in store.exhibits()? {
            let Some(record) = evidence::exhibit(&store, &exhibit, Timestamp::MAX)? else {
                continue;
            };
            for (hold, until) in ends_of_holds(&record, now) {
                let left = until.since(now);
                let Some(mark) = WARNINGS.into_iter().filter(|mark| left <= *mark).min() else {
                    continue;
                };
                if self.warned.insert((exhibit.clone(), hold.clone(), mark)) {
                    let text = format!(
                        "hold {hold} of exhibit {exhibit} ends in {}",
                        span_in_words(left)
                    );
                    notices.push(notice(now, "hold_ends", text));
                }
            }
        }
        if !notices.is_empty() {
            self.ledger.record(notices)?;
        }
        Ok(())
    }

    fn group_alerts(&mut self) -> Result<(), EvidenceError> {
        let Some(group) = self.group else {
            return Ok(());
        };
        let (store, now) = (self.ledger.read()?, clock::now());
        let (mut groups, taken) = groups(&store)?;
        let filter = AlertFilter {
            since: Some(now.minus(QUIET)),
            limit: ALERTS_AT_ONCE,
            ..AlertFilter::default()
        };
        let mut fresh = store.alerts(&filter)?;
        fresh.retain(|recorded| {
            let alert = &recorded.alert;
            recorded.index >= self.seen && !alert.simulated && !taken.contains(&alert.id)
        });
        fresh.reverse();
        let Some(last) = fresh.last().map(|recorded| recorded.index) else {
            return Ok(());
        };
        for recorded in &fresh {
            if !store.cases_of(recorded.alert.id)?.is_empty() {
                continue;
            }
            self.put(group, &recorded.alert, &mut groups, now)?;
        }
        self.seen = last + 1;
        self.forget(now);
        Ok(())
    }

    fn put(
        &mut self,
        by: GroupBy,
        alert: &Alert,
        groups: &mut Vec<Group>,
        now: Timestamp,
    ) -> Result<(), EvidenceError> {
        let Some(name) = by.name(alert) else {
            return Ok(());
        };
        if let Some(group) = place(groups, &name, alert.last) {
            let case = group.case.clone();
            self.ledger
                .record(vec![added(&case, vec![alert.id], &name, now)])?;
            for group in groups.iter_mut().filter(|group| group.case == case) {
                group.last = group.last.max(alert.last);
            }
            return Ok(());
        }
        let waiting = self.waiting.entry(name.clone()).or_default();
        if !waiting.alerts.contains(&alert.id) {
            waiting.alerts.push(alert.id);
        }
        waiting.last = waiting.last.max(alert.last);
        if waiting.alerts.len() < self.enough || groups.len() >= OPEN_MAX {
            return Ok(());
        }
        let alerts = waiting.alerts.clone();
        let case = self.open(&name, alert, alerts, now)?;
        self.waiting.remove(&name);
        groups.push(Group {
            case,
            name,
            last: alert.last,
        });
        Ok(())
    }

    fn open(
        &self,
        name: &str,
        alert: &Alert,
        alerts: Vec<AlertId>,
        now: Timestamp,
    ) -> Result<String, EvidenceError> {
        let numbers = Numbers::lock(&self.ledger.state)?;
        let taken = self.ledger.read()?.cases()?;
        let case = numbers.next("CASE", 4, now, taken.iter().map(String::as_str));
        let opening = CaseAct {
            at: now,
            case: case.clone(),
            by: BY.to_owned(),
            step: CaseStep::Opened {
                title: format!("{}: {}", name, alert.rule),
                authority: self.authority.clone(),
                purpose: "network and information security".to_owned(),
                tlp: Tlp::default(),
                pap: Pap::default(),
                grouped_by: Some(name.to_owned()),
            },
        };
        let text = format!("{case} was opened for {} alerts: {name}", alerts.len());
        self.ledger.record(vec![
            Entry::Case(opening),
            added(&case, alerts, name, now),
            notice(now, "case_opened", text),
        ])?;
        Ok(case)
    }

    fn forget(&mut self, now: Timestamp) {
        self.waiting
            .retain(|_, waiting| now.since(waiting.last) <= QUIET);
        while self.waiting.len() > WAITING_MAX {
            let oldest = self.waiting.iter().min_by_key(|(_, waiting)| waiting.last);
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.waiting.remove(&name);
        }
    }
}

fn added(case: &str, alerts: Vec<AlertId>, name: &str, at: Timestamp) -> Entry {
    Entry::Case(CaseAct {
        at,
        case: case.to_owned(),
        by: BY.to_owned(),
        step: CaseStep::AlertsAdded {
            alerts,
            reason: format!("same {name}"),
        },
    })
}

fn notice(at: Timestamp, code: &str, text: String) -> Entry {
    Entry::Notice(Notice {
        at,
        code: code.to_owned(),
        text,
        prefixes: Vec::new(),
    })
}

/// The open cases that a rule opened, and the alerts that people took out of such cases.
fn groups(store: &Store) -> Result<(Vec<Group>, BTreeSet<AlertId>), EvidenceError> {
    let (mut groups, mut taken) = (Vec::new(), BTreeSet::new());
    for number in store.cases()? {
        let case = evidence::read_case(store, &number, Timestamp::MAX)?;
        for step in &case.steps {
            if let CaseStep::AlertsTaken { alerts, .. } = &step.act.step {
                taken.extend(alerts.iter().copied());
            }
        }
        let Some(name) = case.grouped_by.clone().filter(|_| case.closed.is_none()) else {
            continue;
        };
        let mut last = case.opened;
        if let Some(id) = case.alerts.last()
            && let Some(recorded) = store.alert(*id)?
        {
            last = last.max(recorded.alert.last);
        }
        groups.push(Group {
            case: number,
            name,
            last,
        });
    }
    Ok((groups, taken))
}

/// Builds for tests can be told not to wait for days.
#[cfg(debug_assertions)]
fn pace() -> Option<Duration> {
    let text = std::env::var("POSSE_TEST_EVIDENCE_PACE").ok()?;
    model::parse_duration(&text).ok()
}

#[cfg(not(debug_assertions))]
const fn pace() -> Option<Duration> {
    None
}
