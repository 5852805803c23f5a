//! The doors' way to the core: look at what is durable, order what shall change.
//!
//! Looking never waits for the core's thread. An order is answered only when it is durable.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use fleet::{
    CommunityId, Generation, HubTime, OrgId, PublicKey, SignedStatement, Snapshot, SnapshotHash,
};
use model::{FleetAct, Prefix};
use store::Recorder;
use tokio::sync::{mpsc, oneshot, watch};
use trust::Classes;

use crate::{
    ban::{Ban, BanId, Changes, Point},
    caller::{Caller, KeyKind},
    db::Db,
    error::{HubError, LoginError, OrderError},
    fanout::FanOut,
    gate, limits, lists,
    member::{Invite, Join, Joined, Opening, Renew, StatementTaken, Wish},
    order::{AlertFilter, Allowlist, NewKey, Release, Released, Report, Reported, StoredAlert},
    presence::Presences,
    registry::{Fingerprint, KeptSecret},
    secret,
    status::CommunityStatus,
    tls::ca::Authority,
    view::View,
    worker::{Order, Parts, Worker, circle::Circle},
};

/// Failed logins of one address within [`FAILURES_WINDOW`] before it has to wait.
const FAILURES_MAX: u32 = limits::REFUSED_LOGINS_MAX;
const FAILURES_WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered.
const FAILURE_ADDRESSES_MAX: usize = 16_384;

/// A cloneable handle; all that doors know of the hub.
#[derive(Clone)]
pub struct Core {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

pub(crate) struct Shared {
    view: RwLock<View>,
    pub(crate) news: watch::Sender<Point>,
    clock: Clock,
    password_checks: AtomicUsize,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
    hub_organisation: OrgId,
    roster_key: OnceLock<PublicKey>,
    fans: RwLock<BTreeMap<CommunityId, Arc<FanOut>>>,
    snapshots: Mutex<BTreeMap<CommunityId, VecDeque<Arc<Snapshot>>>>,
    own_addresses: RwLock<Vec<IpAddr>>,
    answers: Mutex<Answers>,
    pub(crate) presences: Presences,
    /// Where packages that change hands lie.
    pub(crate) packages: OnceLock<std::path::PathBuf>,
    communities: Mutex<Vec<CommunityStatus>>,
    pub(crate) announcers: mpsc::UnboundedSender<Arc<FanOut>>,
    systems: OnceLock<SystemOf>,
}

/// Which autonomous system an address is in, for who knows.
pub type SystemOf = Box<dyn Fn(IpAddr) -> Option<u32> + Send + Sync>;

/// Ledger indices of statements that were taken lately, by the hash of their bytes.
#[derive(Default)]
struct Answers {
    indices: HashMap<String, u64>,
    order: VecDeque<String>,
}

/// Hub time: monotonic while running, and never before what was persisted.
struct Clock {
    base: HubTime,
    started: Instant,
}

/// The core's thread. [`Hub::stop`] ends it, whoever still holds a [`Core`].
pub struct Hub {
    core: Core,
    thread: Option<JoinHandle<()>>,
    pub(crate) authority: Option<Arc<Authority>>,
    /// Logs of communities whose announcements are to be run.
    pub(crate) fans: Option<mpsc::UnboundedReceiver<Arc<FanOut>>>,
}

impl Hub {
    /// A hub that keeps everything in memory, for doors' tests.
    pub fn in_memory(organisation: OrgId) -> Result<Self, HubError> {
        let classes = Classes::new(trust::builtin());
        Self::start(organisation, Db::in_memory()?, classes, None, None)
    }

    /// The organisation that a state folder's hub is of; `None` before its first start.
    pub fn organisation_of(dir: &Path) -> Result<Option<OrgId>, HubError> {
        let name = Db::open(dir)?.blob("hub_organisation")?;
        Ok(name.and_then(|name| String::from_utf8_lossy(&name).parse().ok()))
    }

    /// Opens the state folder; `recorder` is of the ledger beside.
    pub fn open(
        dir: &Path,
        organisation: OrgId,
        recorder: Arc<Recorder>,
    ) -> Result<Self, HubError> {
        let authority = Arc::new(Authority::open(dir)?);
        let hub = Self::start(
            organisation,
            Db::open(dir)?,
            lists::classes(dir),
            Some(recorder),
            Some(authority),
        )?;
        hub.core
            .keep_packages_in(dir)
            .map_err(|e| HubError::io("make room for packages in", dir, e))?;
        Ok(hub)
    }

    fn start(
        organisation: OrgId,
        db: Db,
        classes: Classes,
        recorder: Option<Arc<Recorder>>,
        authority: Option<Arc<Authority>>,
    ) -> Result<Self, HubError> {
        let (orders, receiver) = mpsc::channel(limits::ORDERS_MAX);
        let (announcers, fans) = mpsc::unbounded_channel();
        let base = HubTime(unix_ms().max(db.number("hub_time")?));
        let shared = Arc::new(Shared {
            view: RwLock::default(),
            news: watch::Sender::new(Point::default()),
            clock: Clock {
                base,
                started: Instant::now(),
            },
            password_checks: AtomicUsize::new(0),
            failures: Mutex::default(),
            hub_organisation: organisation,
            roster_key: OnceLock::new(),
            fans: RwLock::default(),
            snapshots: Mutex::default(),
            own_addresses: RwLock::default(),
            answers: Mutex::default(),
            presences: Presences::default(),
            packages: OnceLock::new(),
            communities: Mutex::default(),
            announcers,
            systems: OnceLock::new(),
        });
        let parts = Parts {
            shared: Arc::clone(&shared),
            orders: receiver,
            db,
            classes,
            recorder,
            authority: authority.clone(),
        };
        // Here, so that what is wrong with the state folder stops the start.
        let worker = Worker::new(parts)?;
        let thread = std::thread::Builder::new()
            .name("hub-core".into())
            .spawn(move || worker.run())
            .map_err(|e| HubError::io("start the core's thread for", Path::new("hub.db"), e))?;
        Ok(Self {
            core: Core { shared, orders },
            thread: Some(thread),
            authority,
            fans: Some(fans),
        })
    }

    pub fn core(&self) -> Core {
        self.core.clone()
    }

    /// From now on reporters of one autonomous system are known as such; before, their network
    /// stands for it. The first who tells is believed.
    pub fn know_systems(&self, of: SystemOf) {
        let _ = self.core.shared.systems.set(of);
    }

    /// What was ordered is made durable, then the core ends.
    pub fn stop(mut self) {
        let (reply, _) = oneshot::channel();
        // It fails only when the thread is gone.
        let _ = self.core.orders.blocking_send(Order::Stop { reply });
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the hub's core panicked");
        }
    }
}

//------------ Who asks ------------------------------------------------------

impl Core {
    /// The bouncer (or accepted machine, by [`Core::caller_by_name`]) that this key belongs to.
    pub fn caller_by_key(&self, secret: &str) -> Option<Caller> {
        let view = self.shared.view();
        let key = view.registry.bouncer(secret).filter(|key| key.accepted)?;
        Some(view.registry.caller_of_key(key))
    }

    /// The caller of that name as it stands now; `None` when it was removed or not accepted.
    /// For doors that gave out a token at login: ask at each request.
    pub fn caller_by_name(&self, kind: KeyKind, name: &str) -> Option<Caller> {
        let view = self.shared.view();
        let key = view
            .registry
            .keys
            .get(&(kind, name.to_owned()))
            .filter(|key| key.accepted)?;
        Some(view.registry.caller_of_key(key))
    }

    /// A machine's login. Slow on purpose; the check runs beside the async threads.
    pub async fn login(
        &self,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<Caller, LoginError> {
        let place = (KeyKind::Machine, name.to_owned());
        let key = self.shared.view().registry.keys.get(&place).cloned();
        let hash = match key.as_ref().map(|key| &key.secret) {
            Some(KeptSecret::Password(hash)) => Some(hash.clone()),
            _ => None,
        };
        let right = self.check_password(hash, password, from).await?;
        let outcome = match (right, key) {
            (true, Some(key)) if key.accepted => {
                Ok(self.shared.view().registry.caller_of_key(&key))
            }
            (true, Some(_)) => Err(LoginError::NotAccepted),
            _ => {
                self.shared.failed(from);
                Err(LoginError::Wrong)
            }
        };
        self.note_login(name, from, &outcome);
        outcome
    }

    /// An unknown name must take as long as a wrong password.
    pub(crate) async fn check_password(
        &self,
        hash: Option<String>,
        password: &str,
        from: IpAddr,
    ) -> Result<bool, LoginError> {
        if self.shared.failed_too_often(from) {
            return Err(LoginError::TooOften);
        }
        let Some(_place) = Place::take(&self.shared) else {
            return Err(LoginError::Busy);
        };
        let fits = password.len() <= limits::PASSWORD_BYTES_MAX;
        let password = password.to_owned();
        let right = tokio::task::spawn_blocking(move || match hash {
            Some(hash) => fits && secret::check_password(&password, &hash),
            None => {
                let _ = secret::hash_password(&password);
                false
            }
        });
        Ok(right.await.unwrap_or(false))
    }

    /// Successes once for each login; refusals as often as the limit lets them come.
    pub(crate) fn note_login(
        &self,
        name: &str,
        from: IpAddr,
        outcome: &Result<Caller, LoginError>,
    ) {
        let (at, from) = (crate::worker::wall_clock(), from.to_string());
        let name: String = name.chars().take(limits::KEY_NAME_BYTES_MAX).collect();
        let act = match outcome {
            Ok(caller) => {
                let organisation = caller.organisation.to_string();
                FleetAct::Login {
                    at,
                    organisation,
                    name,
                    from,
                }
            }
            Err(e) => FleetAct::LoginRefused {
                at,
                name,
                from,
                reason: e.to_string(),
                times: 1,
            },
        };
        // A full queue must not hold up a login; the next one is recorded again.
        if self.orders.try_send(Order::Record { act }).is_err() {
            tracing::warn!("a login is not on record: the core is busy");
        }
    }

    /// Makes a key, or a machine with a password; gives back the secret. Also for a machine that
    /// registers itself, with `accepted: false`.
    pub async fn add_key(&self, by: &Caller, key: NewKey) -> Result<String, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::AddKey { by, key, reply }).await
    }

    /// Lets a registered machine log in.
    pub async fn accept_key(&self, by: &Caller, name: &str) -> Result<(), OrderError> {
        let (by, name) = (by.clone(), name.to_owned());
        self.order(|reply| Order::AcceptKey { by, name, reply })
            .await
    }

    pub async fn remove_key(
        &self,
        by: &Caller,
        kind: KeyKind,
        name: &str,
    ) -> Result<(), OrderError> {
        let (by, name) = (by.clone(), name.to_owned());
        self.order(|reply| Order::RemoveKey {
            by,
            kind,
            name,
            reply,
        })
        .await
    }

    /// Whoever may open the control socket, and tests.
    pub fn operator(&self, name: &str) -> Caller {
        let operator = self.shared.view().registry.operator(name);
        // The hub's organisation is there from the first start on.
        operator.unwrap_or_else(|| Caller::nobody(self.shared.hub_organisation()))
    }

    /// The holder of a certificate that the handshake found to be of this hub's authority.
    pub(crate) fn caller_by_certificate(
        &self,
        fingerprint: Fingerprint,
    ) -> Result<Caller, OrderError> {
        let view = self.shared.view();
        let certificate = view.registry.certificates.get(&fingerprint);
        let certificate = certificate.ok_or(OrderError::Unknown)?;
        if certificate.revoked.is_set() || certificate.not_after_unix_ms <= unix_ms() {
            return Err(OrderError::Revoked);
        }
        let place = (certificate.organisation.clone(), certificate.name.clone());
        let member = view.registry.members.get(&place).filter(|m| !m.revoked);
        let member = member.ok_or(OrderError::Revoked)?;
        Ok(view.registry.caller_of_member(member, fingerprint))
    }

    /// Whether a route is open to the caller's role; a refusal is on the ledger, once a minute.
    pub(crate) fn admit(&self, by: &Caller, needs: gate::Needs) -> Result<(), OrderError> {
        gate::may_take(by, needs).inspect_err(|refusal| {
            let refused = Order::RefusedRoute {
                by: by.clone(),
                reason: refusal.to_string(),
            };
            if self.orders.try_send(refused).is_err() {
                tracing::warn!("a refusal is not on record: the core is busy");
            }
        })
    }

    /// Invites a guard, or another member; gives back the token.
    pub async fn invite(&self, by: &Caller, invite: Invite) -> Result<String, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::Invite { by, invite, reply })
            .await
    }

    /// One member, or all of an organisation; says how many.
    pub async fn revoke(
        &self,
        by: &Caller,
        organisation: &OrgId,
        name: Option<&str>,
    ) -> Result<u64, OrderError> {
        let (by, organisation) = (by.clone(), organisation.clone());
        let name = name.map(ToOwned::to_owned);
        self.order(|reply| Order::Revoke {
            by,
            organisation,
            name,
            reply,
        })
        .await
    }

    /// An operator's change to who belongs where; says what was done.
    pub async fn wish(&self, by: &Caller, wish: Wish) -> Result<String, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::Wish { by, wish, reply }).await
    }

    pub(crate) async fn join(&self, join: Join) -> Result<Joined, OrderError> {
        if self.shared.failed_too_often(join.from) {
            return Err(OrderError::Budget("too many refused tokens".to_owned()));
        }
        let from = join.from;
        let joined = self
            .order(|reply| Order::Join {
                join: Box::new(join),
                reply,
            })
            .await;
        if let Err(OrderError::Token(_)) = joined {
            self.shared.failed(from);
        }
        joined
    }

    pub(crate) async fn renew(&self, renew: Renew) -> Result<Joined, OrderError> {
        self.order(|reply| Order::Renew { renew, reply }).await
    }
}

//------------ Looking -------------------------------------------------------

impl Core {
    pub fn now(&self) -> HubTime {
        self.shared.now()
    }

    /// The hub's own organisation, which issues what a community decided.
    pub fn hub_organisation(&self) -> &OrgId {
        &self.shared.hub_organisation
    }

    /// Bans in force that the caller may see, in order of their ids, behind `after` (0: from the
    /// first). Ask in pages of some thousands, so that nobody waits.
    pub fn bans(&self, caller: &Caller, after: BanId, limit: usize) -> Vec<Arc<Ban>> {
        self.shared.view().page(caller, after, limit)
    }

    /// Bans in force on `prefix` and on every network that holds all of it.
    pub fn bans_covering(&self, caller: &Caller, prefix: Prefix) -> Vec<Arc<Ban>> {
        let view = self.shared.view();
        view.covering(prefix)
            .filter(|b| caller.may_see(b))
            .cloned()
            .collect()
    }

    /// Bans in force on `prefix` and on networks within it, at most `limit`.
    pub fn bans_within(&self, caller: &Caller, prefix: Prefix, limit: usize) -> Vec<Arc<Ban>> {
        let view = self.shared.view();
        view.within(prefix)
            .filter(|b| caller.may_see(b))
            .take(limit)
            .cloned()
            .collect()
    }

    pub fn ban(&self, caller: &Caller, id: BanId) -> Option<Arc<Ban>> {
        self.shared
            .view()
            .bans
            .get(&id)
            .filter(|b| caller.may_see(b))
            .cloned()
    }

    /// For each address or network of a kind: the ban in force on it that lasts longest, of those
    /// the caller may see and `admits` takes, and how many there are. Bans on networks around it
    /// count if they are no wider than `reach` says.
    pub fn longest(
        &self,
        caller: &Caller,
        asked: &[(Prefix, Arc<str>)],
        reach: &dyn Fn(Prefix) -> u8,
        admits: &dyn Fn(&Ban) -> bool,
    ) -> Vec<(Option<Arc<Ban>>, usize)> {
        let view = self.shared.view();
        let takes = |ban: &&Arc<Ban>| caller.may_see(ban) && admits(ban);
        asked
            .iter()
            .map(|(prefix, kind)| {
                let mut count = 0;
                let longest = view
                    .around(*prefix, reach(*prefix))
                    .filter(|ban| ban.kind == *kind)
                    .filter(takes)
                    .inspect(|_| count += 1)
                    .max_by_key(|ban| (ban.until, std::cmp::Reverse(ban.id)))
                    .cloned();
                (longest, count)
            })
            .collect()
    }

    /// How far back changes are remembered.
    pub fn oldest_point(&self) -> Point {
        self.shared.view().oldest_point()
    }

    /// Where the sequence of changes stands. Take it *before* a look at all bans, and ask for
    /// changes since then: what happened in between comes twice rather than never.
    pub fn point(&self) -> Point {
        self.shared.view().point
    }

    /// What changed since `since` for this caller; `None`: too long ago, look at all bans again.
    pub fn changes(&self, caller: &Caller, since: Point, limit: usize) -> Option<Changes> {
        self.shared.view().changes(caller, since, limit)
    }

    /// Wakes at every change. Also at those the caller may not see: ask [`Core::changes`].
    pub fn watch(&self) -> watch::Receiver<Point> {
        self.shared.news.subscribe()
    }

    /// Allowlists of the caller's organisation and of the hub's.
    pub fn allowlists(&self, caller: &Caller) -> Vec<Arc<Allowlist>> {
        let view = self.shared.view();
        let mine = |list: &&Arc<Allowlist>| caller.sees.contains(&list.organisation);
        view.registry
            .allowlists
            .values()
            .filter(mine)
            .cloned()
            .collect()
    }

    /// The allowlist, and which of its items, that holds all of `prefix`.
    pub fn allowed(&self, caller: &Caller, prefix: Prefix) -> Option<(Arc<Allowlist>, usize)> {
        self.shared
            .view()
            .registry
            .allowed(caller, prefix, self.now())
    }
}

//------------ Orders --------------------------------------------------------

impl Core {
    /// Takes alerts and bans on behalf of the caller's organisation. Answers when they are
    /// durable, one [`Reported`] for each report. A ban on an allowlisted prefix, a too wide one,
    /// one of the hub's own address: refused in its place, the others go on.
    pub async fn report(
        &self,
        by: &Caller,
        reports: Vec<Report>,
    ) -> Result<Vec<Reported>, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::Report { by, reports, reply })
            .await
    }

    /// Lifts bans; of those named only the ones the caller may lift.
    pub async fn release(&self, by: &Caller, release: Release) -> Result<Released, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::Release { by, release, reply })
            .await
    }

    /// Alerts of the caller's organisation, newest first.
    pub async fn alerts(
        &self,
        by: &Caller,
        filter: AlertFilter,
    ) -> Result<Vec<StoredAlert>, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::Alerts { by, filter, reply })
            .await
    }

    pub async fn alert(&self, by: &Caller, id: u64) -> Result<StoredAlert, OrderError> {
        let filter = AlertFilter {
            id: Some(id),
            limit: 1,
            ..AlertFilter::default()
        };
        self.alerts(by, filter)
            .await?
            .pop()
            .ok_or(OrderError::Unknown)
    }

    /// Deletes alerts and lifts the bans they led to; says how many alerts.
    pub async fn delete_alerts(&self, by: &Caller, filter: AlertFilter) -> Result<u64, OrderError> {
        let by = by.clone();
        self.order(|reply| Order::DeleteAlerts { by, filter, reply })
            .await
    }

    /// Makes an allowlist, puts another in its place, or (`None`) takes it away.
    pub async fn set_allowlist(
        &self,
        by: &Caller,
        name: &str,
        list: Option<Allowlist>,
    ) -> Result<(), OrderError> {
        let (by, name) = (by.clone(), name.to_owned());
        self.order(|reply| Order::SetAllowlist {
            by,
            name,
            list,
            reply,
        })
        .await
    }

    /// Takes a member's signed statement; answers when it is durable.
    pub(crate) async fn state(
        &self,
        by: &Caller,
        community: &CommunityId,
        signed: SignedStatement,
        from: IpAddr,
    ) -> Result<(u64, StatementTaken), OrderError> {
        gate::may_in(by, gate::Act::State, community)?;
        let hash = crate::worker::circle::statement_hash(&signed);
        let (by, community) = (by.clone(), community.clone());
        let signed = Box::new(signed);
        let taken: StatementTaken = self
            .order(|reply| Order::Statement {
                by,
                community,
                signed,
                from,
                reply,
            })
            .await?;
        let index = taken.index.unwrap_or_default();
        self.shared.remember_answer(hash, index);
        Ok((index, taken))
    }

    /// Says that a community's ban is wrong. Gives whether it was lifted, why, and the ledger's
    /// index.
    pub async fn appeal(
        &self,
        by: &Caller,
        community: &CommunityId,
        prefix: Prefix,
        reason: &str,
    ) -> Result<(bool, String, u64), OrderError> {
        gate::may_in(by, gate::Act::Appeal, community)?;
        let (by, community, reason) = (by.clone(), community.clone(), reason.to_owned());
        self.order(|reply| Order::Appeal {
            by,
            community,
            prefix,
            reason,
            reply,
        })
        .await
    }

    /// What the community's court knows of an address: who reported it, with what weight, why it
    /// counts or does not. JSON, for people and programs.
    pub async fn explain(
        &self,
        by: &Caller,
        community: &CommunityId,
        prefix: Prefix,
    ) -> Result<serde_json::Value, OrderError> {
        gate::may_in(by, gate::Act::Appeal, community)?;
        let community = community.clone();
        self.order(|reply| Order::Explain {
            community,
            prefix,
            reply,
        })
        .await
    }

    pub(crate) async fn open_stream(
        &self,
        community: &CommunityId,
        from: Generation,
        roster: u64,
    ) -> Result<Opening, OrderError> {
        let community = community.clone();
        self.order(|reply| Order::Open {
            community,
            from,
            roster,
            reply,
        })
        .await
    }

    pub(crate) fn snapshot(
        &self,
        community: &CommunityId,
        hash: &SnapshotHash,
    ) -> Option<Arc<Snapshot>> {
        let snapshots = lock(&self.shared.snapshots);
        snapshots
            .get(community)?
            .iter()
            .find(|s| s.hash == *hash)
            .cloned()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) async fn order<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, OrderError>>) -> Order,
    ) -> Result<T, OrderError> {
        let (reply, answer) = oneshot::channel();
        match self
            .orders
            .send_timeout(make(reply), limits::ORDER_WAIT_MAX)
            .await
        {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(OrderError::Busy),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(OrderError::Stopping),
        }
        answer.await.map_err(|_| OrderError::Stopping)?
    }
}

impl Shared {
    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> HubTime {
        let elapsed = self.clock.started.elapsed().as_millis();
        HubTime(
            self.clock
                .base
                .0
                .saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)),
        )
    }

    pub(crate) const fn hub_organisation(&self) -> &OrgId {
        &self.hub_organisation
    }

    pub(crate) fn replace(&self, mut view: View) {
        let mut old = self.view_mut();
        // Open streams look at the flags they know.
        for (fingerprint, known) in &old.registry.certificates {
            if let Some(read) = view.registry.certificates.get(fingerprint) {
                if read.revoked.is_set() {
                    known.revoked.set();
                }
                let same = Arc::clone(known);
                view.registry.certificates.insert(*fingerprint, same);
            }
        }
        *old = view;
    }

    pub(crate) fn set_roster_key(&self, key: PublicKey) {
        // It never changes once it is there.
        let _ = self.roster_key.set(key);
    }

    pub(crate) fn roster_key(&self) -> Option<PublicKey> {
        self.roster_key.get().copied()
    }

    pub(crate) fn add_fan(&self, id: &CommunityId, fan: &Arc<FanOut>) {
        let mut fans = self.fans.write().unwrap_or_else(PoisonError::into_inner);
        if fans.insert(id.clone(), Arc::clone(fan)).is_none() {
            // Nobody listens when there is no server (tests of the core).
            let _ = self.announcers.send(Arc::clone(fan));
        }
    }

    pub(crate) fn wake_streams(&self) {
        let fans = self.fans.read().unwrap_or_else(PoisonError::into_inner);
        fans.values().for_each(|fan| fan.wake());
    }

    pub(crate) fn offer(&self, id: &CommunityId, snapshot: Arc<Snapshot>) {
        let mut all = lock(&self.snapshots);
        let kept = all.entry(id.clone()).or_default();
        if kept.iter().any(|s| s.hash == snapshot.hash) {
            return;
        }
        kept.push_back(snapshot);
        if kept.len() > limits::SNAPSHOTS_MAX {
            kept.pop_front();
        }
    }

    pub(crate) fn own_addresses(&self) -> RwLockReadGuard<'_, Vec<IpAddr>> {
        self.own_addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_own_addresses(&self, addresses: Vec<IpAddr>) {
        *self
            .own_addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn taken_before(&self, hash: &str) -> Option<u64> {
        lock(&self.answers).indices.get(hash).copied()
    }

    fn remember_answer(&self, hash: String, index: u64) {
        let mut answers = lock(&self.answers);
        if answers.indices.insert(hash.clone(), index).is_some() {
            return;
        }
        answers.order.push_back(hash);
        if answers.order.len() > limits::ANSWERS_MAX
            && let Some(old) = answers.order.pop_front()
        {
            answers.indices.remove(&old);
        }
    }

    pub(crate) fn note_communities(&self, circles: &BTreeMap<CommunityId, Circle>) {
        let status = circles
            .iter()
            .map(|(id, circle)| CommunityStatus::of(id, circle));
        *lock(&self.communities) = status.collect();
    }

    pub(crate) fn communities(&self) -> Vec<CommunityStatus> {
        lock(&self.communities).clone()
    }

    pub(crate) fn system_of(&self, address: IpAddr) -> Option<u32> {
        self.systems.get()?(address)
    }

    fn failed_too_often(&self, from: IpAddr) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&from)
            .is_some_and(|(since, n)| *n >= FAILURES_MAX && since.elapsed() < FAILURES_WINDOW)
    }

    pub(crate) fn failed(&self, from: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= FAILURE_ADDRESSES_MAX {
            failures.retain(|_, (since, _)| since.elapsed() < FAILURES_WINDOW);
            if failures.len() >= FAILURE_ADDRESSES_MAX {
                failures.clear();
            }
        }
        let entry = failures.entry(from).or_insert_with(|| (Instant::now(), 0));
        if entry.0.elapsed() >= FAILURES_WINDOW {
            *entry = (Instant::now(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

/// One of the places for password checks.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Option<Self> {
        let before = shared.password_checks.fetch_add(1, Relaxed);
        let place = Self(shared);
        (before < limits::PASSWORD_CHECKS_MAX).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.password_checks.fetch_sub(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
