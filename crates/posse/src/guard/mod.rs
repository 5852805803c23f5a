//! The guard: the whole way of a line on one machine, in one thread.
//!
//! ```text
//! sensors -> engine -> policy -> shield (kernel) ; recorder, feed and journal come after
//! ```
//!
//! Nothing in the way to the kernel waits for the disk or the network. Everything that may be
//! slow (the record, the terminal, `/proc`, clients of the control socket) has a thread of its
//! own and a bounded queue before it.

mod alerts;
mod errands;
mod fleet;
mod memory;
mod pulse;
mod reload;
mod requests;
mod signals;
mod startup;
mod supervision;
mod timekeeper;
mod vitals;

pub(crate) use startup::{MEMORY, sources};
pub(crate) use vitals::{Silence, VitalsConfig};

use std::{collections::BTreeSet, sync::Arc, thread::JoinHandle, time::Duration};

use anyhow::Result;
use crossbeam_channel::Receiver;
use decide::{Policy, Verdict};
use detect::engine::{Clock, Engine, Outcome};
use enforce::KernelChange;
use model::{
    Alert, AlertId, Batch, Entry, Happening, HostFacts, LineOrigin, Notice, Prefix, Stop, Timestamp,
};
use sense::{Sensors, Wake};
use store::{IntakeJournal, Recorder};

use crate::{
    board::Board,
    cli::{Duty, RunArgs},
    clock,
    control::Pending,
    exit::Exit,
    facts::Facts,
    feed::Feed,
    hub_command::Kept,
    order::entry_of,
    sandbox::Sandbox,
    service::Supervisor,
    shield::Shield,
};

/// Longest sleep: the upper bound on how late a timer of ours may fire.
const NAP: Duration = Duration::from_secs(1);
/// How long a stop waits for the record.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a stop waits for the hub beside it.
const HUB_FAREWELL: Duration = Duration::from_secs(12);
/// Least journal that is worth a new snapshot.
const JOURNAL_BYTES: u64 = 8 << 20;
/// How often the numbers for the status page and metrics are renewed.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Against changes that no notification told of.
const RECONCILE_EVERY: Duration = Duration::from_secs(60);

/// Tokens of the descriptors that wake the sensors.
mod token {
    pub(super) const CONTROL: u32 = 1;
    pub(super) const KERNEL: u32 = 2;
    pub(super) const SIGNAL: u32 = 3;
}

pub(crate) fn run(arguments: &RunArgs) -> Result<Exit> {
    let mut guard = startup::start(arguments)?;
    guard.announce_ready();
    let outcome = guard.watch(arguments.until_end);
    let degraded = !guard.shield.enforces() && !arguments.observe;
    guard.stop(match &outcome {
        Ok(reason) => reason,
        Err(_) => "a fault",
    });
    outcome?;
    Ok(if degraded {
        Exit::Degraded
    } else {
        Exit::Success
    })
}

/// As [`run`], with no log watched: bans come from operators and the hub.
pub(crate) fn enforce_only(arguments: &RunArgs) -> Result<Exit> {
    run(&RunArgs {
        config: arguments.config.clone(),
        state: arguments.state.clone(),
        duty: Duty::EnforceOnly,
        until_end: false,
        ..*arguments
    })
}

/// Owns all state of a running guard. One thread, no locks.
pub(crate) struct Guard {
    sensors: Sensors,
    engine: Engine,
    policy: Policy,
    shield: Shield,
    facts: Facts,
    /// The facts that the bans in force were last held against.
    facts_seen: Arc<HostFacts>,
    recorder: Arc<Recorder>,
    journal: IntakeJournal,
    journal_failures: u64,
    /// Size of the last snapshot: the next one waits until the journal is worth it.
    snapshot_bytes: u64,
    feed: Feed,
    /// Writes the feed to standard output.
    printer: JoinHandle<()>,
    control: Receiver<Pending>,
    bell: signals::Bell,
    signals: signals::Signals,
    supervisor: Supervisor,
    reload: reload::Reload,
    errands: errands::Errands,
    sandbox: Sandbox,
    /// The hub that `[hub]` asks for.
    /// Who asks others to vouch for the ledger.
    asking: openlog::Asking,
    hub: Option<Kept>,
    board: Board,
    notifier: notify::Notifier,
    /// The line to the hub, if this machine has joined one.
    fleet: Option<uplink::Uplink>,
    pulse: pulse::Pulse,
    started: Timestamp,
    next_publish: Timestamp,
    next_reconcile: Timestamp,
    /// Lines that were there before us are being read; see [`Shield::fill`].
    catching_up: bool,
    /// Alerts that were on the ledger at the start: lines read again may give them again.
    known: BTreeSet<AlertId>,
}

impl Guard {
    /// The whole way of a line, until a signal or the end of all input.
    fn watch(&mut self, until_end: bool) -> Result<&'static str> {
        let mut batch = Batch::default();
        loop {
            let wake = self.sensors.next_batch(&mut batch, self.nap())?;
            let now = clock::now();
            self.mind_the_clock(now);
            if !batch.is_empty() {
                self.process(&batch, now);
                if batch.records.iter().all(|record| !record.catch_up) {
                    self.caught_up(now);
                }
            }
            match wake {
                Wake::Lines => {}
                Wake::Timeout => self.caught_up(now),
                Wake::Finished if until_end => return Ok("end of input"),
                // Nothing to read ever again: the kernel and the operator still need us.
                Wake::Finished => self.wait_for_callers(),
                Wake::Signalled(token::CONTROL) => {
                    self.serve_requests(now);
                    self.finish_reload(now);
                }
                Wake::Signalled(token::KERNEL) => self.kernel_changed(now),
                Wake::Signalled(_) => match self.signals.take() {
                    signals::Wish::Stop => return Ok("signal"),
                    signals::Wish::Reload => {
                        self.supervisor.reloading();
                        self.reload(now);
                        self.announce_ready();
                    }
                    signals::Wish::Nothing => {}
                },
            }
            self.tick(now);
        }
    }

    /// No source is left to wait on.
    fn wait_for_callers(&self) {
        use std::os::fd::AsFd as _;

        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let [stop, reload] = self.signals.descriptors();
        let all = [
            Some(self.bell.as_fd()),
            Some(stop),
            Some(reload),
            self.shield.monitor(),
        ];
        let mut all: Vec<_> = all
            .iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        // A signal that interrupts it only ends the wait.
        poll(&mut all, Timespec::try_from(self.nap()).ok().as_ref()).ok();
    }

    fn process(&mut self, batch: &Batch, now: Timestamp) {
        let mut alerts = Vec::new();
        let mut counted = Vec::new();
        for record in batch.iter() {
            let sources = self.sensors.sources();
            let Some(source) = sources.get(record.meta.source.0 as usize) else {
                continue;
            };
            let clock = clock_for(&record.meta.origin, record.meta.catch_up, now);
            #[cfg(debug_assertions)]
            crate::sandbox::provoke(record.text);
            let before = alerts.len();
            let outcome = self.engine.observe(&record, source, clock, &mut alerts);
            if matches!(outcome, Outcome::Parsed { poured } if poured > 0) {
                counted.push(memory::encode_line(&record, source, clock));
            }
            if alerts.len() > before {
                // The ban does not wait for the rest of the batch.
                let fresh = alerts.split_off(before);
                self.act_on(fresh, now);
            }
        }
        self.remember(counted);
    }

    /// Alert to kernel, then everything that may take its time.
    fn act_on(&mut self, mut alerts: Vec<Alert>, now: Timestamp) {
        let policy = &mut self.policy;
        alerts.retain(|alert| !is_good_news(policy, alert, now));
        alerts.retain(|alert| !self.known.contains(&alert.id));
        if alerts.is_empty() {
            return;
        }
        let facts = self.facts.latest();
        let verdicts = self.policy.judge(&alerts, &facts, now);
        let enforced = self.carry_out(&verdicts, now);
        self.share(&verdicts, &alerts);
        let mut entries: Vec<Entry> = alerts.iter().cloned().map(Entry::Alert).collect();
        for alert in alerts {
            self.feed.say(now, Happening::Alert(Box::new(alert)));
        }
        entries.extend(self.tell(verdicts, enforced, now));
        self.recorder.offer(entries);
    }

    /// Puts verdicts into the kernel in one batch; when it had them, if it has them.
    fn carry_out(&mut self, verdicts: &[Verdict], now: Timestamp) -> Option<Timestamp> {
        let mut changes: Vec<KernelChange> = Vec::new();
        let mut has_room = true;
        for verdict in verdicts {
            match verdict {
                Verdict::Ban(d) => match self.shield.ban(d.prefix, d.until, now) {
                    Ok(more) => changes.extend(more),
                    Err(e) => {
                        has_room = false;
                        self.notice(now, "ban_table_full", e.to_string(), vec![d.prefix]);
                    }
                },
                Verdict::Supersede(r) => changes.extend(self.shield.release(r.prefix, now)),
                Verdict::Notice(_) | Verdict::Refuse(_) => {}
            }
        }
        (self.apply(&changes) && has_room).then(clock::now)
    }

    /// Whether the kernel has the changes. What it refused is tried again at the next tick.
    fn apply(&mut self, changes: &[KernelChange]) -> bool {
        match self.shield.apply(changes) {
            Ok(()) => self.shield.enforces(),
            Err(e) => {
                self.pulse.vitals.kernel_took(Err(e.to_string()));
                false
            }
        }
    }

    /// Tells of verdicts, and gives them back as entries.
    fn tell(
        &self,
        verdicts: Vec<Verdict>,
        in_kernel: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Entry> {
        let entries = verdicts.iter().cloned();
        let entries = entries
            .map(|verdict| entry_of(verdict, in_kernel))
            .collect();
        for verdict in verdicts {
            let happening = match verdict {
                Verdict::Ban(decision) => Happening::Ban {
                    decision,
                    in_kernel,
                },
                Verdict::Refuse(refusal) => Happening::Refused(refusal),
                Verdict::Supersede(release) => Happening::Release(release),
                Verdict::Notice(notice) => Happening::Notice(notice),
            };
            self.feed.say(now, happening);
        }
        entries
    }

    fn notice(&self, now: Timestamp, code: &str, text: String, prefixes: Vec<Prefix>) {
        let notice = Notice {
            at: now,
            code: code.to_owned(),
            text,
            prefixes,
        };
        self.feed.say(now, Happening::Notice(notice.clone()));
        self.recorder.offer(vec![Entry::Notice(notice)]);
    }

    /// Writes down what counted and how far we have read; see [`memory`].
    fn remember(&mut self, counted: Vec<Vec<u8>>) {
        let changes = self.sensors.take_position_changes();
        let mut records: Vec<&[u8]> = counted.iter().map(Vec::as_slice).collect();
        let positions = memory::encode_positions(&changes);
        if !changes.is_empty() {
            records.push(&positions);
        }
        if records.is_empty() {
            return;
        }
        if self.journal.append(&records).is_err() {
            // Detection goes on; after a crash these lines may count twice. Shown by `status`.
            self.journal_failures += 1;
        }
        let written = self.journal.bytes_since_snapshot();
        if written > JOURNAL_BYTES.max(self.snapshot_bytes * 2) {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let snapshot = memory::encode_snapshot(self.sensors.positions(), &self.engine.snapshot());
        self.snapshot_bytes = snapshot.len() as u64;
        if self.journal.compact(&snapshot).is_err() {
            self.journal_failures += 1;
        }
    }

    fn tick(&mut self, now: Timestamp) {
        self.give_sign_of_life();
        self.respect_new_facts(now);
        if !self.catching_up {
            let mut alerts = Vec::new();
            self.engine.tick(now, &mut alerts);
            if !alerts.is_empty() {
                self.act_on(alerts, now);
            }
        }
        let verdicts = self.policy.tick(now);
        self.settle(verdicts, now);
        let answer = self.shield.tick(now);
        self.kernel_answered(answer);
        if now >= self.next_reconcile && self.shield.is_small() {
            self.reconcile(now);
        }
        for problem in self.sensors.take_problems() {
            self.notice(now, "source_problem", problem.to_string(), Vec::new());
        }
        if now >= self.next_publish || now.plus(PUBLISH_EVERY) < self.next_publish {
            self.next_publish = now.plus(PUBLISH_EVERY);
            let status = self.status(now);
            self.take_pulse(&status);
            self.board.publish(status);
        }
    }

    /// An administrator logged in, an address was added: a ban that hits it now is lifted.
    fn respect_new_facts(&mut self, now: Timestamp) {
        let facts = self.facts.latest();
        if Arc::ptr_eq(&facts, &self.facts_seen) {
            return;
        }
        let verdicts = self.policy.recheck(&facts, now);
        self.facts_seen = facts;
        self.settle(verdicts, now);
    }

    /// Verdicts that no alert led to: into the kernel, then told and recorded.
    fn settle(&mut self, verdicts: Vec<Verdict>, now: Timestamp) {
        if verdicts.is_empty() {
            return;
        }
        let enforced = self.carry_out(&verdicts, now);
        self.share(&verdicts, &[]);
        let entries = self.tell(verdicts, enforced, now);
        self.recorder.offer(entries);
    }

    /// Every line that waited for us was read: what the kernel still holds beyond our bans is
    /// nobody's.
    fn caught_up(&mut self, now: Timestamp) {
        if self.catching_up {
            self.catching_up = false;
            self.known.clear();
            if self.shield.may_hold_strangers() {
                self.reconcile(now);
            }
        }
    }

    fn kernel_changed(&mut self, now: Timestamp) {
        if self.shield.foreign_change() {
            self.reconcile(now);
        }
    }

    fn reconcile(&mut self, now: Timestamp) {
        self.next_reconcile = now.plus(RECONCILE_EVERY);
        let answer = self.shield.reconcile(now);
        self.kernel_answered(answer);
    }

    fn nap(&self) -> Duration {
        let now = clock::now();
        let due = [
            self.engine.poll_timeout(),
            self.policy.poll_timeout(),
            self.shield.poll_timeout(),
        ];
        due.into_iter()
            .flatten()
            .min()
            .map_or(NAP, |at| at.since(now).clamp(Duration::from_millis(1), NAP))
    }

    fn stop(mut self, reason: &str) {
        self.supervisor.stopping();
        let now = clock::now();
        self.snapshot();
        if let Some(uplink) = &self.fleet {
            uplink.stop();
        }
        drop(self.asking);
        let stop = Entry::Stop(Stop {
            at: now,
            reason: reason.to_owned(),
        });
        self.feed.close();
        self.printer.join().ok();
        alerts::stop(self.notifier);
        // The last entry is on disk when all before it are; a disk that is full must not keep us.
        let (done, wait) = crossbeam_channel::bounded(1);
        let recorder = self.recorder;
        let errand = move || {
            done.send(recorder.record_and_wait(vec![stop]).is_ok()).ok();
        };
        let asked = self.errands.run(errand);
        let hub = self.hub.map(|hub| part(&self.errands, hub));
        if asked.is_err() || wait.recv_timeout(LAST_WORDS).is_err() {
            eprintln!("posse: stopped before everything was recorded");
        }
        if let Some(hub) = hub {
            hub.recv_timeout(HUB_FAREWELL).ok();
        }
    }
}

/// The hub ends beside us; only an errand may wait for a process. Says when it is over.
fn part(errands: &errands::Errands, hub: Kept) -> Receiver<()> {
    let (done, wait) = crossbeam_channel::bounded(1);
    let errand = move || {
        drop(hub);
        done.send(()).ok();
    };
    errands.run(errand).ok();
    wait
}

/// A rule's good news (a login that succeeded) protects the range around it; it is neither an
/// alert nor for the record.
fn is_good_news(policy: &mut Policy, alert: &Alert, now: Timestamp) -> bool {
    if !alert.is_good_news() {
        return false;
    }
    if let Some(address) = alert.address {
        policy.record_good(address, now);
    }
    true
}

/// Lines that waited for us count by their own time, so that an hour of attempts does not look
/// like a burst. Only files keep lines; everything else is as fresh as its arrival.
const fn clock_for(origin: &LineOrigin, catch_up: bool, now: Timestamp) -> Clock {
    match origin {
        LineOrigin::File { .. } | LineOrigin::Journal { .. } if catch_up => Clock::CatchUp { now },
        LineOrigin::File { .. }
        | LineOrigin::Journal { .. }
        | LineOrigin::Network { .. }
        | LineOrigin::Stream { .. } => Clock::Live { now },
    }
}
