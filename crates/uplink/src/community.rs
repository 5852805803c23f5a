//! One community at this guard: follower, kernel table, files, reports. Driven by the room.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use fleet::{
    Alarm, Applied, CommunityId, Effect, FollowError, Follower, FollowerConfig, Moment, Remedy,
    SigningKey, api,
};
use model::{Entry, FleetAct, FleetCommunityStatus, Prefix, RefusalReason};
use serde_json::{Value, json};

use crate::{
    clock,
    config::FleetConfig,
    error::UplinkError,
    keeper::{Keeper, Kept},
    membership::Membership,
    network::Command,
    outbox::Outbox,
    refusals::{Refusal, Refusals},
    room::Inputs,
    ward::{Gate, Ward},
};

/// Refusals and alarms that one frame may lead to; more are counted.
const UNUSUAL_MAX: usize = 2_000;
/// Prefixes remembered that the gate keeps out.
const BARRED_MAX: usize = 20_000;
/// The same warning is given no more often.
const WARN_EVERY: Duration = Duration::from_secs(300);
/// A copy that changed is written whole at least so often.
const SAVE_EVERY: Duration = Duration::from_secs(900);

/// What came of something, for the room to pass on.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) entries: Vec<Entry>,
    /// A stable word, and the text.
    pub(crate) notices: Vec<(&'static str, String)>,
    pub(crate) commands: Vec<Command>,
}

pub(crate) struct Community {
    pub(crate) name: CommunityId,
    follower: Follower,
    ward: Ward,
    keeper: Keeper,
    pub(crate) outbox: Outbox,
    refusals: Refusals,
    barred: BTreeMap<Prefix, RefusalReason>,
    warned: BTreeMap<&'static str, Moment>,
    last_frame: Option<Moment>,
    lag: Duration,
    changed: bool,
    saved: Moment,
    unusual_dropped: u64,
}

/// Effects on their way to the kernel.
struct Sink<'a> {
    ward: &'a mut Ward,
    gate: &'a Gate,
    barred: &'a mut BTreeMap<Prefix, RefusalReason>,
    unusual: Vec<Effect>,
    fresh: Vec<(Prefix, RefusalReason)>,
    dropped: u64,
    refused: u64,
}

impl Sink<'_> {
    fn take(&mut self, effect: Effect) {
        let now = clock::kernel_time();
        match effect {
            Effect::Put { prefix, lasts } => match self.gate.check(prefix) {
                Ok(()) => {
                    self.barred.remove(&prefix);
                    self.ward.put(prefix, lasts, now);
                }
                Err(reason) => self.bar(prefix, reason),
            },
            Effect::Release { prefix } => {
                self.barred.remove(&prefix);
                self.ward.release(prefix, now);
            }
            Effect::Refused(_) if self.unusual.len() >= UNUSUAL_MAX => self.dropped += 1,
            Effect::Refused(_) | Effect::Fetch(_) | Effect::Alarm(_) => self.unusual.push(effect),
        }
    }

    fn bar(&mut self, prefix: Prefix, reason: RefusalReason) {
        self.refused += 1;
        self.ward.release(prefix, clock::kernel_time());
        if self.barred.len() < BARRED_MAX {
            self.barred.insert(prefix, reason.clone());
        }
        if self.fresh.len() < UNUSUAL_MAX {
            self.fresh.push((prefix, reason));
        } else {
            self.dropped += 1;
        }
    }
}

impl Community {
    /// The copy as it was, and the kernel in line with it.
    pub(crate) fn open(
        name: CommunityId,
        table: String,
        inputs: &Inputs,
        gate: &Gate,
        out: &mut Out,
    ) -> Result<Self, UplinkError> {
        let Inputs {
            state,
            membership,
            config,
            ..
        } = inputs;
        let (keeper, kept) = Keeper::open(state, &name)?;
        let (outbox, damage) = Outbox::open(state, &name);
        if let Some(damage) = damage {
            out.notices.push(("fleet_files", damage));
        }
        let now = clock::moment();
        let follower = recall(follower_config(&name, membership, config), kept, now, out);
        let ward = if inputs.observe {
            Ward::observing()
        } else {
            Ward::open(table).unwrap_or_else(|e| {
                let text = format!("the community's bans cannot be enforced: {e}");
                out.notices.push(("fleet_observe", text));
                Ward::observing()
            })
        };
        let mut community = Self {
            name,
            follower,
            ward,
            keeper,
            outbox,
            refusals: Refusals::default(),
            barred: BTreeMap::new(),
            warned: BTreeMap::new(),
            last_frame: None,
            lag: Duration::ZERO,
            changed: false,
            saved: now,
            unusual_dropped: 0,
        };
        community.fill(gate, now, out);
        Ok(community)
    }

    fn fill(&mut self, gate: &Gate, now: Moment, out: &mut Out) {
        let (ward, barred, at) = (&mut self.ward, &mut self.barred, clock::kernel_time());
        self.follower
            .for_each(now, &mut |prefix, lasts| match gate.check(prefix) {
                Ok(()) => ward.assume(prefix, lasts, at),
                Err(reason) if barred.len() < BARRED_MAX => {
                    barred.insert(prefix, reason);
                }
                Err(_) => {}
            });
        if self.follower.generation().0 > 0 {
            self.ward.settle();
        }
        if let Err(e) = self.ward.fill(at) {
            let text = format!("the community's bans could not be loaded, trying again: {e}");
            out.notices.push(("fleet_kernel", text));
        }
    }

    /// For a stream that is about to be opened.
    pub(crate) fn connect(&mut self) -> fleet::Position {
        self.follower.connected();
        self.follower.position()
    }

    pub(crate) fn frame(&mut self, bytes: &[u8], arrived: Duration, gate: &Gate, out: &mut Out) {
        let now = clock::moment();
        self.last_frame = Some(now);
        let before = self.follower.position();
        let outcome = self.drive(gate, out, |follower, each| {
            follower.take_frame(bytes, now, each)
        });
        if self.follower.position() != before {
            if let Err(e) = self.keeper.append(bytes) {
                self.warn("fleet_files", e.in_full(), out);
            }
            self.changed = true;
        }
        if before.generation.0 == 0 && self.follower.generation().0 > 0 {
            // Told from the beginning on: nothing was known before that could be lost.
            self.ward.settle();
        }
        match outcome {
            (Ok(applied), refused) => {
                self.lag = clock::since_boot().saturating_sub(arrived);
                self.record(applied, refused, out);
            }
            (Err(e), _) => self.complain(&e, "a frame", out),
        }
    }

    pub(crate) fn snapshot(
        &mut self,
        outcome: Result<Vec<u8>, UplinkError>,
        gate: &Gate,
        out: &mut Out,
    ) {
        let bytes = match outcome {
            Ok(bytes) => bytes,
            Err(e) => {
                self.warn("fleet_snapshot", e.in_full(), out);
                out.commands.push(Command::Reopen(self.name.clone()));
                return;
            }
        };
        let now = clock::moment();
        self.ward.look_away();
        let taken = self.drive(gate, out, |follower, each| {
            follower.take_snapshot(&bytes, now, each)
        });
        self.ward.watch();
        drop(bytes);
        match taken {
            (Ok(applied), refused) => {
                self.ward.settle();
                self.record(Some(applied), refused, out);
                self.save(out);
            }
            (Err(e), _) => self.complain(&e, "a snapshot", out),
        }
    }

    /// Runs the follower with the kernel behind it; then what was unusual is told.
    fn drive<T>(
        &mut self,
        gate: &Gate,
        out: &mut Out,
        work: impl FnOnce(&mut Follower, &mut dyn FnMut(Effect)) -> T,
    ) -> (T, u64) {
        let mut sink = Sink {
            ward: &mut self.ward,
            gate,
            barred: &mut self.barred,
            unusual: Vec::new(),
            fresh: Vec::new(),
            dropped: 0,
            refused: 0,
        };
        let done = work(&mut self.follower, &mut |effect| sink.take(effect));
        let Sink {
            unusual,
            fresh,
            dropped,
            refused,
            ..
        } = sink;
        self.ward.commit(clock::kernel_time());
        self.unusual_dropped += dropped;
        for (prefix, reason) in fresh {
            self.note_barred(prefix, &reason, out);
        }
        for effect in unusual {
            self.unusual(effect, out);
        }
        (done, refused)
    }

    fn note_barred(&mut self, prefix: Prefix, reason: &RefusalReason, out: &mut Out) {
        let issuers = self.follower.bans_on(prefix);
        let who = issuers
            .first()
            .map_or_else(String::new, |ban| ban.issuer.to_string());
        let refusal = Refusal {
            who,
            prefix: Some(prefix),
            reason: format!("never-ban guard: it is {reason}"),
        };
        self.note(refusal, out);
    }

    fn note(&mut self, refusal: Refusal, out: &mut Out) {
        let (now, at) = (clock::moment(), clock::wall());
        let act = self.refusals.note(self.name.as_str(), refusal, now, at);
        out.entries.extend(act.map(Entry::Fleet));
    }

    fn unusual(&mut self, effect: Effect, out: &mut Out) {
        match effect {
            Effect::Refused(refused) => self.note(Refusal::of(refused), out),
            Effect::Fetch(offer) => out.commands.push(Command::Fetch {
                community: self.name.clone(),
                offer,
            }),
            Effect::Alarm(alarm) => self.alarm(alarm, out),
            Effect::Put { .. } | Effect::Release { .. } => {}
        }
    }

    fn alarm(&mut self, alarm: Alarm, out: &mut Out) {
        let (code, text) = match alarm {
            Alarm::Flood { issuer, held } => (
                "fleet_flood",
                format!(
                    "{held} bans of {issuer} came at once and are held back; see docs/fleet.md"
                ),
            ),
            Alarm::ManyReleases { issuer, released } => (
                "fleet_releases",
                format!("{issuer} released {released} bans within a minute; is that meant?"),
            ),
            Alarm::Differs { times, .. } if times < 2 => return,
            Alarm::Differs {
                generation, times, ..
            } => (
                "fleet_differs",
                format!(
                    "the hub's set differs from what it told, {times} times in a row, at \
                     generation {generation}: the hub is broken or lies. Bans stay in force."
                ),
            ),
            Alarm::Behind { ours, theirs } => (
                "fleet_behind",
                format!(
                    "the hub is at generation {theirs}, this guard was told {ours} already: the \
                     hub lost something or replays. Nothing is undone."
                ),
            ),
            Alarm::TimeBack { seconds } => (
                "fleet_time",
                format!("the hub's time went back by {seconds} s; bans keep their ends"),
            ),
        };
        self.warn(code, text, out);
    }

    fn warn(&mut self, code: &'static str, text: String, out: &mut Out) {
        let now = clock::moment();
        let last = self.warned.get(code);
        if last.is_none_or(|last| now.since(*last) >= WARN_EVERY) {
            self.warned.insert(code, now);
            out.notices
                .push((code, format!("community {}: {text}", self.name)));
        }
    }

    fn complain(&mut self, error: &FollowError, what: &str, out: &mut Out) {
        let refusal = Refusal {
            who: "hub".to_owned(),
            prefix: None,
            reason: format!("{what}: {error}"),
        };
        self.note(refusal, out);
        match error.remedy() {
            Remedy::Reconnect => out.commands.push(Command::Reopen(self.name.clone())),
            Remedy::BackOff => {
                self.warn(
                    "fleet_hub_lies",
                    format!("{what} was refused: {error}"),
                    out,
                );
                out.commands.push(Command::HangUp(error.to_string()));
            }
        }
    }

    fn record(&self, applied: Option<Applied>, refused: u64, out: &mut Out) {
        let Some(applied) = applied else { return };
        if applied.added + applied.removed + applied.refused + applied.held == 0 {
            return;
        }
        out.entries.push(Entry::Fleet(FleetAct::ChangeApplied {
            at: clock::wall(),
            community: self.name.to_string(),
            from: applied.from.0,
            to: applied.to.0,
            added: (applied.added as u64).saturating_sub(refused),
            removed: applied.removed as u64,
            refused: applied.refused as u64 + refused,
            digest: applied.digest.to_string(),
        }));
    }

    /// About once a second.
    pub(crate) fn tick(&mut self, gate: &Gate, out: &mut Out) {
        let now = clock::moment();
        let (applied, refused) = self.drive(gate, out, |follower, each| follower.tick(now, each));
        self.changed |= applied.is_some();
        self.record(applied, refused, out);
        match self.ward.tick(clock::kernel_time()) {
            Ok(done) if done.added + done.updated + done.removed > 0 || done.repaired => {
                let text = format!(
                    "the fleet's table was changed by others: {} bans put back, {} ends corrected, \
                     {} strangers taken out",
                    done.added, done.updated, done.removed
                );
                self.warn("fleet_kernel_drift", text, out);
            }
            Ok(_) => {}
            Err(e) => self.warn("fleet_kernel", e.to_string(), out),
        }
        let sums = self.refusals.sum_up(self.name.as_str(), now, clock::wall());
        out.entries.extend(sums.into_iter().map(Entry::Fleet));
        let is_due = self.changed && now.since(self.saved) > SAVE_EVERY;
        if is_due || self.keeper.is_worth_saving() {
            self.save(out);
        }
        if let Err(e) = self.outbox.save_if_changed() {
            self.warn("fleet_files", e.in_full(), out);
        }
    }

    pub(crate) fn synchronise(&mut self) {
        self.keeper.synchronise();
    }

    pub(crate) fn save(&mut self, out: &mut Out) {
        self.saved = clock::moment();
        self.changed = false;
        if let Err(e) = self.keeper.save(&self.follower.save(self.saved)) {
            self.warn("fleet_files", e.in_full(), out);
        }
        if let Err(e) = self.outbox.save_if_changed() {
            self.warn("fleet_files", e.in_full(), out);
        }
    }

    /// What may be banned changed: bans in force that are protected now go, others come.
    pub(crate) fn regate(&mut self, old: &Gate, new: &Gate, out: &mut Out) {
        let (now, at) = (clock::moment(), clock::kernel_time());
        let mut fresh = Vec::new();
        let (ward, barred) = (&mut self.ward, &mut self.barred);
        self.follower.for_each(now, &mut |prefix, lasts| match (
            old.check(prefix).is_ok(),
            new.check(prefix),
        ) {
            (true, Err(reason)) => {
                ward.release(prefix, at);
                if barred.len() < BARRED_MAX {
                    barred.insert(prefix, reason.clone());
                    fresh.push((prefix, reason));
                }
            }
            (false, Ok(())) => {
                barred.remove(&prefix);
                ward.put(prefix, lasts, at);
            }
            (true, Ok(())) | (false, Err(_)) => {}
        });
        self.ward.commit(at);
        for (prefix, reason) in fresh {
            self.note_barred(prefix, &reason, out);
        }
    }

    pub(crate) fn accept(&mut self, config: &FleetConfig, gate: &Gate, out: &mut Out) {
        let (now, policy) = (clock::moment(), config.accept.policy());
        let (applied, refused) =
            self.drive(gate, out, |f, each| f.set_acceptance(policy, now, each));
        self.record(applied, refused, out);
    }

    /// What is to be sent next of our own bans.
    pub(crate) fn next_report(&mut self, key: &SigningKey, config: &FleetConfig, out: &mut Out) {
        let now = clock::moment();
        // Before the first frame the hub's time is not known.
        let Some(at) = self.follower.hub_time(now) else {
            return;
        };
        let next = self
            .outbox
            .next(&self.name, key, config.share.tlp, at, now, clock::wall());
        match next {
            Ok(Some((sequence, bytes))) => out.commands.push(Command::Post {
                community: self.name.clone(),
                sequence,
                bytes,
            }),
            Ok(None) => {}
            Err(e) => self.warn("fleet_report", e.in_full(), out),
        }
    }

    pub(crate) fn answered(
        &mut self,
        sequence: u64,
        outcome: Result<api::StatementAnswer, UplinkError>,
        out: &mut Out,
    ) {
        match outcome {
            Ok(answer) => {
                self.outbox.acknowledged(sequence);
                for refused in answer.refused {
                    let refusal = Refusal {
                        who: "this guard".to_owned(),
                        prefix: None,
                        reason: format!("the hub did not take a report: {}", refused.text),
                    };
                    self.note(refusal, out);
                }
            }
            Err(UplinkError::Refused {
                last_sequence: Some(last),
                ..
            }) => self.outbox.behind(last),
            Err(UplinkError::Refused { ops, text, .. }) if !ops.is_empty() => {
                for prefix in self.outbox.without(sequence, &ops) {
                    let refusal = Refusal {
                        who: "this guard".to_owned(),
                        prefix: Some(prefix),
                        reason: format!("the hub did not take a report: {text}"),
                    };
                    self.note(refusal, out);
                }
            }
            Err(
                e @ UplinkError::Refused {
                    status: 400 | 413 | 422,
                    ..
                },
            ) => {
                self.outbox.refused(sequence);
                self.warn("fleet_report", e.in_full(), out);
            }
            Err(_) => self.outbox.unanswered(sequence),
        }
    }

    pub(crate) fn here(&self) -> api::HereCommunity {
        let hub_time = self.follower.hub_time(clock::moment()).unwrap_or_default();
        api::HereCommunity {
            community: self.name.clone(),
            generation: self.follower.generation(),
            digest: self.follower.digest(),
            swept_to: hub_time.seconds(),
            lag_ms: millis(self.lag),
            enforced: if self.ward.enforces() {
                self.ward.len() as u64
            } else {
                0
            },
            refused: self.barred.len() as u64,
            kernel: match (self.ward.enforces(), self.ward.is_in_step()) {
                (false, _) => api::KernelStanding::Observing,
                (true, true) => api::KernelStanding::InStep,
                (true, false) => api::KernelStanding::Behind,
            },
        }
    }

    pub(crate) fn status(&self) -> FleetCommunityStatus {
        let silent = self
            .last_frame
            .map(|at| clock::moment().since(at).as_secs());
        FleetCommunityStatus {
            community: self.name.to_string(),
            generation: self.follower.generation().0,
            digest: self.follower.digest().to_string(),
            lag_ms: millis(self.lag),
            last_frame_seconds: silent,
            bans: self.follower.len() as u64,
            enforced: if self.ward.enforces() {
                self.ward.len() as u64
            } else {
                0
            },
            refused: self.barred.len() as u64,
            refusals: self.refusals.total().saturating_add(self.unusual_dropped),
            held: self.follower.held() as u64,
            in_step: self.ward.is_in_step(),
            reports_waiting: self.outbox.len() as u64,
            reports_dropped: self.outbox.dropped(),
        }
    }

    /// Who banned the address or a network around it here, and whether it is enforced.
    pub(crate) fn explain(&self, address: IpAddr, gate: &Gate) -> Vec<Value> {
        let now = self.follower.hub_time(clock::moment()).unwrap_or_default();
        let host = Prefix::host(address);
        let around = (0..=host.len()).filter_map(|len| host.widen(len));
        let bans = around.flat_map(|prefix| self.follower.bans_on(prefix));
        bans.filter(|ban| ban.until > now.seconds())
            .map(|ban| {
                let config = self.follower.config();
                let policy = config.acceptance.judge(
                    ban.prefix,
                    &ban.issuer,
                    &config.hub,
                    &ban.kind,
                    ban.tlp,
                );
                let barred = gate
                    .check(ban.prefix)
                    .err()
                    .map(|reason| reason.to_string());
                json!({
                    "community": self.name,
                    "prefix": ban.prefix,
                    "issuer": ban.issuer,
                    "kind": ban.kind,
                    "tlp": ban.tlp,
                    "seconds_left": ban.until.saturating_sub(now.seconds()),
                    "enforced": self.ward.enforces() && self.ward.holds(ban.prefix),
                    "not_accepted": policy.err().map(|why| why.to_string()),
                    "never_banned": barred,
                })
            })
            .collect()
    }
}

fn follower_config(
    name: &CommunityId,
    membership: &Membership,
    config: &FleetConfig,
) -> FollowerConfig {
    FollowerConfig {
        acceptance: config.accept.policy(),
        ..FollowerConfig::new(name.clone(), membership.hub.clone(), membership.roster_key)
    }
}

/// The follower as it was when the last frame was taken.
fn recall(config: FollowerConfig, kept: Kept, now: Moment, out: &mut Out) -> Follower {
    if let Some(damage) = kept.damage {
        out.notices.push(("fleet_files", damage));
    }
    let then = |ago: Duration| Moment(now.0.saturating_sub(ago));
    let mut follower = match kept.set {
        Some((ago, bytes)) => {
            let moment = then(ago);
            Follower::restore(config.clone(), &bytes, Duration::ZERO, moment, &mut |_| {})
                .unwrap_or_else(|e| {
                    let text = format!("the kept copy cannot be used, a new one is fetched: {e}");
                    out.notices.push(("fleet_files", text));
                    Follower::new(config)
                })
        }
        None => Follower::new(config),
    };
    for (ago, frame) in kept.frames {
        // One that is in the copy already leads on from an older generation, and is refused.
        follower.take_frame(&frame, then(ago), &mut |_| {}).ok();
    }
    follower.tick(now, &mut |_| {});
    follower
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
