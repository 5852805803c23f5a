//! The core's thread: takes orders in batches, judges them, makes them durable, then tells.
//!
//! A batch is what waited while the last one was made durable. Its entries go on the ledger and
//! its rows into `hub.db` in one transaction each; only when both are durable are frames sent,
//! pollers woken and clients answered. When either fails, nothing of the batch counts: the state
//! is read again from `hub.db`, and everyone is told so.

mod alerts;
mod bans;
pub(crate) mod circle;
pub(crate) mod handovers;
mod keys;
mod members;
mod people;
mod reach;
mod reports;
mod rules;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use fleet::{CommunityId, Generation, HubTime, OrgId, SigningKey};
use model::{Entry, FleetAct, Timestamp};
use store::Recorder;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use trust::Classes;

use crate::{
    ban::{Ban, BanId, Change, EndCause, Point},
    caller::{Caller, KeyKind},
    core::{Shared, unix_ms},
    db::Db,
    error::{HubError, OrderError},
    fanout::FanOut,
    member::{Invite, Join, Joined, Opening, Renew, StatementTaken, Wish},
    order::{
        AlertFilter, Allowlist, NewKey, NewPerson, PersonMade, Release, Released, Report, Reported,
        StoredAlert,
    },
    registry::Record,
    tls::ca::Authority,
    view::View,
};
use circle::{Circle, CircleKeys};

/// How often bans whose time is over are taken out.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How often a digest goes to every stream.
const DIGEST_EVERY: Duration = Duration::from_secs(5);
/// How often the court is stored, if it heard something.
const COURT_EVERY: Duration = Duration::from_secs(60);
/// How far the hub's time that a start goes on from lies ahead of what was stored last.
const TIME_STORED_AHEAD_MS: u64 = 10_000;
/// Orders of one batch.
const BATCH_ORDERS_MAX: usize = 512;
/// Refusals of one kind and caller that share an entry on the ledger.
const REFUSALS_SHARED: Duration = Duration::from_secs(60);
const REFUSALS_MAX: usize = 4_096;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, OrderError>>;

pub(crate) enum Order {
    Report {
        by: Caller,
        reports: Vec<Report>,
        reply: Reply<Vec<Reported>>,
    },
    Release {
        by: Caller,
        release: Release,
        reply: Reply<Released>,
    },
    Alerts {
        by: Caller,
        filter: AlertFilter,
        reply: Reply<Vec<StoredAlert>>,
    },
    DeleteAlerts {
        by: Caller,
        filter: AlertFilter,
        reply: Reply<u64>,
    },
    SetAllowlist {
        by: Caller,
        name: String,
        list: Option<Allowlist>,
        reply: Reply<()>,
    },
    AddKey {
        by: Caller,
        key: NewKey,
        reply: Reply<String>,
    },
    AcceptKey {
        by: Caller,
        name: String,
        reply: Reply<()>,
    },
    RemoveKey {
        by: Caller,
        kind: KeyKind,
        name: String,
        reply: Reply<()>,
    },
    AddPerson {
        by: Caller,
        person: NewPerson,
        reply: Reply<PersonMade>,
    },
    RemovePerson {
        by: Caller,
        name: String,
        reply: Reply<()>,
    },
    UseCode {
        name: String,
        step: u64,
        from: std::net::IpAddr,
        reply: Reply<bool>,
    },
    Invite {
        by: Caller,
        invite: Invite,
        reply: Reply<String>,
    },
    Join {
        join: Box<Join>,
        reply: Reply<Joined>,
    },
    Renew {
        renew: Renew,
        reply: Reply<Joined>,
    },
    Revoke {
        by: Caller,
        organisation: OrgId,
        name: Option<String>,
        reply: Reply<u64>,
    },
    Wish {
        by: Caller,
        wish: Wish,
        reply: Reply<String>,
    },
    Statement {
        by: Caller,
        community: CommunityId,
        signed: Box<fleet::SignedStatement>,
        from: std::net::IpAddr,
        reply: Reply<StatementTaken>,
    },
    Appeal {
        by: Caller,
        community: CommunityId,
        prefix: model::Prefix,
        reason: String,
        reply: Reply<(bool, String, u64)>,
    },
    Open {
        community: CommunityId,
        from: Generation,
        roster: u64,
        reply: Reply<Opening>,
    },
    HandOver {
        by: Caller,
        key: String,
        act: Box<model::HandoverAct>,
        reply: Reply<casework::handover::api::Done>,
    },
    Explain {
        community: CommunityId,
        prefix: model::Prefix,
        reply: Reply<serde_json::Value>,
    },
    Refused {
        by: Caller,
        what: String,
        reason: String,
        reply: Reply<()>,
    },
    Record {
        act: FleetAct,
    },
    /// A route that is not open to the caller's role.
    RefusedRoute {
        by: Caller,
        reason: String,
    },
    Stop {
        reply: oneshot::Sender<()>,
    },
}

/// Why an order failed: as it should, or because the hub's own state could not be kept.
pub(crate) enum Fail {
    Order(OrderError),
    Hub(HubError),
}

impl From<OrderError> for Fail {
    fn from(e: OrderError) -> Self {
        Self::Order(e)
    }
}

impl<E: Into<HubError>> From<E> for Fail {
    fn from(e: E) -> Self {
        Self::Hub(e.into())
    }
}

pub(crate) type Outcome<T> = Result<T, Fail>;

/// What a durable batch fills into its answers.
pub(crate) struct Settled {
    indices: Vec<u64>,
    generations: BTreeMap<CommunityId, Generation>,
}

type Answer = Box<dyn FnOnce(Result<&Settled, &OrderError>) + Send>;

/// One batch while it is judged.
pub(crate) struct Turn {
    pub(crate) at: Timestamp,
    pub(crate) now: HubTime,
    pub(crate) entries: Vec<Entry>,
    answers: Vec<Answer>,
    openings: Vec<(CommunityId, Generation, u64, Reply<Opening>)>,
    broken: Option<HubError>,
    /// [`Db::changes`] at its beginning.
    changes: i64,
    stop: Option<oneshot::Sender<()>>,
}

impl Turn {
    pub(crate) fn act(&mut self, act: FleetAct) {
        self.entries.push(Entry::Fleet(act));
    }
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    pub(crate) db: Db,
    /// What is known of addresses, for every community's court.
    pub(crate) classes: Classes,
    recorder: Option<Arc<Recorder>>,
    pub(crate) authority: Option<Arc<Authority>>,
    pub(crate) circles: BTreeMap<CommunityId, Circle>,
    /// Signing keys that the hub holds for organisations without guards.
    pub(crate) desks: BTreeMap<OrgId, Arc<SigningKey>>,
    pub(crate) next_ban: BanId,
    pub(crate) next_alert: u64,
    refusals: BTreeMap<(String, String), (Instant, u64)>,
    /// How far the connected guards have come, by community.
    reaches: reach::Reaches,
    /// The hub's time that a start would go on from.
    time_stored: u64,
    /// Certificates given out in this batch, to be known once it is durable.
    pub(crate) hub_organisation: OrgId,
}

pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) db: Db,
    pub(crate) classes: Classes,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) authority: Option<Arc<Authority>>,
}

impl Worker {
    /// Reads everything; makes what a first start needs.
    pub(crate) fn new(parts: Parts) -> Result<Self, HubError> {
        let Parts {
            shared,
            orders,
            db,
            classes,
            recorder,
            authority,
        } = parts;
        let hub_organisation = shared.hub_organisation().clone();
        let mut worker = Self {
            shared,
            orders,
            db,
            classes,
            recorder,
            authority,
            circles: BTreeMap::new(),
            desks: BTreeMap::new(),
            next_ban: 1,
            next_alert: 1,
            refusals: BTreeMap::new(),
            reaches: BTreeMap::new(),
            time_stored: 0,
            hub_organisation,
        };
        worker.load()?;
        worker.found()?;
        Ok(worker)
    }

    pub(crate) fn run(mut self) {
        let built = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let Ok(runtime) = built else {
            tracing::error!("the core's thread has no timer; the hub cannot work");
            return;
        };
        let started = Instant::now();
        let mut reach_at = started + reach::LOOK_EVERY;
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        let mut digest_at = Instant::now() + DIGEST_EVERY;
        let mut court_at = Instant::now() + COURT_EVERY;
        loop {
            let next = runtime
                .block_on(async { tokio::time::timeout_at(sweep_at, self.orders.recv()).await });
            let stop = match next {
                Ok(Some(order)) => self.batch(order),
                Ok(None) => return,
                Err(_) => None,
            };
            let now = Instant::now();
            if now >= sweep_at {
                self.sweep();
                sweep_at = now + SWEEP_EVERY;
            }
            if now >= digest_at {
                self.send_digests();
                digest_at = now + DIGEST_EVERY;
            }
            if now >= reach_at {
                self.look_how_far(started);
                reach_at = now + reach::LOOK_EVERY;
            }
            if now >= court_at || stop.is_some() {
                self.store_courts();
                court_at = now + COURT_EVERY;
            }
            if let Some(stop) = stop {
                let _ = stop.send(());
                return;
            }
        }
    }

    //-------- A batch -------------------------------------------------------

    fn batch(&mut self, first: Order) -> Option<oneshot::Sender<()>> {
        let mut turn = Turn {
            at: wall_clock(),
            now: self.shared.now(),
            entries: Vec::new(),
            answers: Vec::new(),
            openings: Vec::new(),
            broken: None,
            changes: 0,
            stop: None,
        };
        match self.db.begin().and_then(|()| self.db.changes()) {
            Ok(changes) => turn.changes = changes,
            Err(e) => turn.broken = Some(e),
        }
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(order) = next {
            self.carry_out(order, &mut turn);
            taken += 1;
            next = match (
                taken < BATCH_ORDERS_MAX && turn.stop.is_none(),
                self.orders.try_recv(),
            ) {
                (true, Ok(order)) => Some(order),
                (false, Ok(order)) => {
                    self.carry_out(order, &mut turn);
                    None
                }
                (_, Err(_)) => None,
            };
        }
        self.settle(turn)
    }

    fn settle(&mut self, mut turn: Turn) -> Option<oneshot::Sender<()>> {
        let made = match turn.broken.take() {
            Some(e) => Err(e),
            None => self.make_durable(&mut turn),
        };
        match made {
            Ok((settled, frames)) => {
                for (id, frame) in frames {
                    if let Some(circle) = self.circles.get(&id) {
                        circle.fan.push(frame);
                    }
                }
                self.tell_point();
                turn.answers
                    .into_iter()
                    .for_each(|answer| answer(Ok(&settled)));
            }
            Err(e) => {
                let cause = chain(&e);
                tracing::error!(%cause, "a batch could not be made durable; nothing of it counts");
                self.db.rollback();
                if let Err(e) = self.load() {
                    tracing::error!(cause = chain(&e), "hub.db cannot be read again");
                }
                let failed = OrderError::Unrecorded(cause);
                turn.answers
                    .into_iter()
                    .for_each(|answer| answer(Err(&failed)));
            }
        }
        for (community, from, roster, reply) in turn.openings {
            let opening = self.open(&community, from, roster);
            let _ = reply.send(opening);
        }
        turn.stop
    }

    fn make_durable(
        &mut self,
        turn: &mut Turn,
    ) -> Result<(Settled, Vec<(CommunityId, bytes::Bytes)>), HubError> {
        let mut frames = Vec::new();
        let mut generations = BTreeMap::new();
        for (id, circle) in &mut self.circles {
            if let Some(frame) = circle.commit(&self.db, turn.now)? {
                frames.push((id.clone(), frame));
            }
            generations.insert(id.clone(), circle.set.generation());
        }
        if frames.is_empty() && turn.entries.is_empty() && self.db.changes()? == turn.changes {
            // Only looked at.
            self.db.rollback();
            let indices = Vec::new();
            return Ok((
                Settled {
                    indices,
                    generations,
                },
                frames,
            ));
        }
        self.store_time(turn.now)?;
        self.db.set_number("next_ban", self.next_ban)?;
        self.db.set_number("next_alert", self.next_alert)?;
        self.db.set_number("point", self.shared.view().point.0)?;
        let entries = std::mem::take(&mut turn.entries);
        let count = entries.len() as u64;
        let indices = match &self.recorder {
            Some(recorder) if !entries.is_empty() => recorder
                .record_and_wait(entries)?
                .iter()
                .map(|a| a.index)
                .collect(),
            _ => (0..count).collect(),
        };
        self.db.commit()?;
        Ok((
            Settled {
                indices,
                generations,
            },
            frames,
        ))
    }

    fn tell_point(&self) {
        let point = self.shared.view().point;
        self.shared.news.send_if_modified(|known| {
            let newer = *known != point;
            *known = point;
            newer
        });
    }

    /// Queues the answer to be sent when the batch is durable; a refusal, too: its entry counts.
    fn answer<T: Send + 'static>(
        turn: &mut Turn,
        entries_before: usize,
        reply: Reply<T>,
        outcome: Outcome<T>,
        fill: impl FnOnce(&mut T, Option<u64>, &Settled) + Send + 'static,
    ) {
        let last = turn
            .entries
            .len()
            .checked_sub(1)
            .filter(|_| turn.entries.len() > entries_before);
        let outcome = match outcome {
            Ok(value) => Ok(value),
            Err(Fail::Order(e)) => Err(e),
            Err(Fail::Hub(e)) => {
                let told = OrderError::Unrecorded(chain(&e));
                turn.broken.get_or_insert(e);
                Err(told)
            }
        };
        turn.answers.push(Box::new(move |settled| {
            let told = match (outcome, settled) {
                (Ok(mut value), Ok(settled)) => {
                    let index = last.and_then(|at| settled.indices.get(at).copied());
                    fill(&mut value, index, settled);
                    Ok(value)
                }
                (Ok(_), Err(e)) => Err(e.clone()),
                (Err(e), _) => Err(e),
            };
            // Whoever asked may have gone; what was done stands.
            let _ = reply.send(told);
        }));
    }

    fn carry_out(&mut self, order: Order, turn: &mut Turn) {
        let before = turn.entries.len();
        match order {
            Order::Report { by, reports, reply } => {
                let outcome = self.report(&by, reports, turn);
                Self::answer(turn, before, reply, outcome, |list, index, _| {
                    list.iter_mut().for_each(|one| one.index = index);
                });
            }
            Order::Release { by, release, reply } => {
                let outcome = self.release(&by, &release, turn);
                Self::answer(turn, before, reply, outcome, |done, index, _| {
                    done.index = index;
                });
            }
            Order::Alerts { by, filter, reply } => {
                let outcome = self.find_alerts(&by, &filter);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::DeleteAlerts { by, filter, reply } => {
                let outcome = self.delete_alerts(&by, &filter, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::SetAllowlist {
                by,
                name,
                list,
                reply,
            } => {
                let outcome = self.set_allowlist(&by, &name, list, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::AddKey { by, key, reply } => {
                let outcome = self.add_key(&by, key, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::AcceptKey { by, name, reply } => {
                let outcome = self.accept_key(&by, &name, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::RemoveKey {
                by,
                kind,
                name,
                reply,
            } => {
                let outcome = self.remove_key(&by, kind, &name, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::AddPerson { by, person, reply } => {
                let outcome = self.add_person(&by, person, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::RemovePerson { by, name, reply } => {
                let outcome = self.remove_person(&by, &name, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::UseCode {
                name,
                step,
                from,
                reply,
            } => {
                let outcome = self.use_code(&name, step, from, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            order => self.carry_out_fleet(order, turn, before),
        }
    }

    fn carry_out_fleet(&mut self, order: Order, turn: &mut Turn, before: usize) {
        match order {
            Order::Invite { by, invite, reply } => {
                let outcome = self.invite(&by, invite, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::Join { join, reply } => {
                let outcome = self.join(&join, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::Renew { renew, reply } => {
                let outcome = self.renew(&renew, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::Revoke {
                by,
                organisation,
                name,
                reply,
            } => {
                let outcome = self.revoke(&by, &organisation, name.as_deref(), turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            Order::Wish { by, wish, reply } => {
                let outcome = self.wish(&by, wish, turn);
                Self::answer(turn, before, reply, outcome, |_, _, _| {});
            }
            order => self.carry_out_traffic(order, turn, before),
        }
    }

    fn carry_out_traffic(&mut self, order: Order, turn: &mut Turn, before: usize) {
        match order {
            Order::Statement {
                by,
                community,
                signed,
                from,
                reply,
            } => {
                let outcome = self.statement(&by, &community, *signed, from, turn);
                Self::answer(
                    turn,
                    before,
                    reply,
                    outcome,
                    move |taken, index, settled| {
                        taken.index = taken.index.or(index);
                        taken.generation = settled.generations.get(&community).copied();
                    },
                );
            }
            Order::HandOver {
                by,
                key,
                act,
                reply,
            } => {
                let outcome = self.hand_over(&by, &key, *act, turn);
                Self::answer(turn, before, reply, outcome, |done, index, _| {
                    done.index = index.unwrap_or_default();
                });
            }
            Order::Appeal {
                by,
                community,
                prefix,
                reason,
                reply,
            } => {
                let outcome = self.appeal(&by, &community, prefix, &reason, turn);
                Self::answer(turn, before, reply, outcome, |answer, index, _| {
                    answer.2 = index.unwrap_or_default();
                });
            }
            Order::Open {
                community,
                from,
                roster,
                reply,
            } => {
                turn.openings.push((community, from, roster, reply));
            }
            Order::Explain {
                community,
                prefix,
                reply,
            } => {
                let _ = reply.send(self.explain(&community, prefix, turn.now));
            }
            order => self.carry_out_notes(order, turn, before),
        }
    }

    fn carry_out_notes(&mut self, order: Order, turn: &mut Turn, before: usize) {
        match order {
            Order::Refused {
                by,
                what,
                reason,
                reply,
            } => {
                self.refused(turn, &by, &what, &reason, Vec::new());
                Self::answer(turn, before, reply, Ok(()), |(), _, _| {});
            }
            Order::Record { act } => turn.act(act),
            Order::RefusedRoute { by, reason } => {
                self.refused(turn, &by, "route", &reason, Vec::new());
            }
            Order::Stop { reply } => turn.stop = Some(reply),
            _ => tracing::error!("an order that nobody carries out"),
        }
    }

    //-------- State ---------------------------------------------------------

    /// Makes the view and the circles from `hub.db`.
    fn load(&mut self) -> Result<(), HubError> {
        let mut view = View::default();
        view.registry.hub = Some(self.hub_organisation.clone());
        self.db.records(&mut |record| view.registry.put(record))?;
        view.point = Point(self.db.number("point")?);
        self.next_ban = self.db.number("next_ban")?.max(1);
        self.next_alert = self.db.number("next_alert")?.max(1);
        let mut past = Vec::new();
        self.db.live_bans(&mut |ban| view.restore(Arc::new(ban)))?;
        past.extend(view.bans.values().cloned().map(Change::Added));
        let mut ends = 0_usize;
        self.db.ended_bans(&mut |ended| {
            ends += 1;
            let ban = Arc::new(ended.ban);
            past.push(Change::Added(Arc::clone(&ban)));
            past.push(Change::Ended {
                ban,
                cause: ended.cause,
                at: ended.at,
                point: ended.point,
            });
        })?;
        let complete = ends < crate::limits::CHANGES_MAX / 4;
        view.recall(past, complete);
        self.desks.clear();
        for organisation in view.registry.organisations.values() {
            let key = SigningKey::from_seed(&organisation.seed.0)?;
            self.desks.insert(organisation.id.clone(), Arc::new(key));
        }
        self.shared.replace(view);
        self.load_circles()
    }

    fn load_circles(&mut self) -> Result<(), HubError> {
        let Some(hub) = self.desks.get(&self.hub_organisation).cloned() else {
            return Ok(());
        };
        let Some(seed) = self.db.blob("roster_seed")? else {
            return Ok(());
        };
        let seed = seed
            .try_into()
            .map_err(|_| HubError::Corrupt("the roster key".to_owned()))?;
        let roster = Arc::new(SigningKey::from_seed(&seed)?);
        self.shared.set_roster_key(roster.public());
        let keys = CircleKeys {
            roster,
            hub,
            hub_organisation: self.hub_organisation.clone(),
        };
        let ids: Vec<_> = self
            .shared
            .view()
            .registry
            .communities
            .keys()
            .cloned()
            .collect();
        let mut circles = BTreeMap::new();
        for id in ids {
            let fan = self.circles.get(&id).map(|c| Arc::clone(&c.fan));
            let fan = fan.unwrap_or_else(FanOut::new);
            self.shared.add_fan(&id, &fan);
            let circle = Circle::load(&id, &keys, fan, &self.classes, &self.db)?;
            circles.insert(id.clone(), circle);
        }
        self.circles = circles;
        Ok(())
    }

    /// What a first start makes: the keys, the hub's organisation, the community `main`.
    fn found(&mut self) -> Result<(), HubError> {
        let stored: Option<OrgId> = match self.db.blob("hub_organisation")? {
            Some(name) => String::from_utf8_lossy(&name).parse().ok(),
            None => None,
        };
        match stored {
            Some(known) if known == self.hub_organisation => return Ok(()),
            Some(known) => {
                return Err(HubError::Usage(format!(
                    "this state folder is of the hub of {known}, not of {}; say --org {known}, or \
                     take another --state folder",
                    self.hub_organisation
                )));
            }
            None => {}
        }
        self.db.begin()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        self.db.set_blob("roster_seed", &seed)?;
        self.db.set_blob(
            "hub_organisation",
            self.hub_organisation.as_str().as_bytes(),
        )?;
        let hub = self.hub_organisation.clone();
        self.new_organisation(&hub)?;
        let main: CommunityId = "main"
            .parse()
            .map_err(|_| HubError::Corrupt("main".to_owned()))?;
        self.put(Record::Community(members::new_community(
            main.clone(),
            BTreeSet::from([hub]),
        )))?;
        self.db.commit()?;
        self.load()?;
        self.db.begin()?;
        self.seat(&main)?;
        let now = self.shared.now();
        if let Some(circle) = self.circles.get_mut(&main) {
            circle.commit(&self.db, now)?;
        }
        self.db.commit()
    }

    /// A record in `hub.db` and in the view.
    pub(crate) fn put(&self, record: Record) -> Result<(), HubError> {
        self.db.put(&record)?;
        self.shared.view_mut().registry.put(record);
        Ok(())
    }

    pub(crate) fn remove(&self, record: &Record) -> Result<(), HubError> {
        self.db.remove(record)?;
        self.shared.view_mut().registry.remove(record);
        Ok(())
    }

    pub(crate) fn end(&self, ban: &Ban, cause: EndCause, now: HubTime) -> Result<(), HubError> {
        let mut view = self.shared.view_mut();
        let point = Point(view.point.0 + 1);
        self.db.end_ban(ban.id, cause, now, point)?;
        view.end(ban.id, cause, now, point);
        Ok(())
    }

    /// A refusal for the ledger; the same one again within a minute only counts.
    pub(crate) fn refused(
        &mut self,
        turn: &mut Turn,
        by: &Caller,
        what: &str,
        reason: &str,
        prefixes: Vec<model::Prefix>,
    ) {
        let key = (
            format!("{}/{}", by.organisation, by.name),
            format!("{what}: {reason}"),
        );
        let fresh = |since: &Instant| since.elapsed() < REFUSALS_SHARED;
        if self.refusals.len() >= REFUSALS_MAX {
            self.refusals.retain(|_, (since, _)| fresh(since));
        }
        let mut times = 1;
        let full = self.refusals.len() >= REFUSALS_MAX;
        match self.refusals.get_mut(&key) {
            Some((since, count)) if fresh(since) => {
                *count += 1;
                return;
            }
            Some((_, count)) => times += *count,
            None if full => return,
            None => {}
        }
        self.refusals.insert(key, (Instant::now(), 0));
        turn.act(FleetAct::RequestRefused {
            at: turn.at,
            organisation: by.organisation.to_string(),
            name: by.name.to_string(),
            what: what.to_owned(),
            reason: reason.to_owned(),
            prefixes,
            times,
        });
    }

    fn store_time(&mut self, now: HubTime) -> Result<(), HubError> {
        self.time_stored = now.0 + TIME_STORED_AHEAD_MS;
        self.db.set_number("hub_time", self.time_stored)
    }

    //-------- The clock's work ----------------------------------------------

    fn sweep(&mut self) {
        let now = self.shared.now();
        let due = self.shared.view().due(now);
        let swept = self.take_out(&due, now);
        if let Err(e) = swept {
            tracing::error!(
                cause = chain(&e),
                "bans whose time is over stay a moment longer"
            );
            self.db.rollback();
            if let Err(e) = self.load() {
                tracing::error!(cause = chain(&e), "hub.db cannot be read again");
            }
        }
        self.tell_point();
        self.shared.note_communities(&self.circles);
    }

    fn take_out(&mut self, due: &[Arc<Ban>], now: HubTime) -> Result<(), HubError> {
        self.db.begin()?;
        for ban in due {
            self.end(ban, EndCause::Expired, now)?;
        }
        if !due.is_empty() {
            let point = self.shared.view().point;
            self.db.set_number("point", point.0)?;
            self.db.prune_ended()?;
        }
        if now.0 + TIME_STORED_AHEAD_MS / 2 > self.time_stored {
            self.store_time(now)?;
        }
        for circle in self.circles.values_mut() {
            circle.store(&self.db, now)?;
        }
        self.db.commit()
    }

    fn send_digests(&mut self) {
        let now = self.shared.now();
        for circle in self.circles.values_mut() {
            if circle.fan.streams() > 0
                && let Some(frame) = circle.set.digest_frame(now)
            {
                circle.fan.push(frame.encode().into());
            }
        }
    }

    fn store_courts(&mut self) {
        for (id, circle) in self.circles.iter_mut().filter(|(_, c)| c.court_changed) {
            let kept = self.db.begin().and_then(|()| {
                self.db.set_court(id, &circle.court)?;
                self.db.commit()
            });
            match kept {
                Ok(()) => circle.court_changed = false,
                Err(e) => {
                    tracing::warn!(cause = chain(&e), "the court's state is stored later");
                    self.db.rollback();
                }
            }
        }
    }
}

pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::from_millis(i64::try_from(unix_ms()).unwrap_or(i64::MAX))
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
