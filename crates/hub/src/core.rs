//! The doors' way to the core: look at what is durable, order what shall change.
//!
//! Looking never waits for the core's thread. An order is answered only when it is durable.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use model::Prefix;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    ban::{Ban, BanId, Changes, Point},
    caller::{Caller, KeyKind, Means, Role},
    error::{LoginError, OrderError},
    limits,
    names::{CommunityId, HubTime, OrgId},
    order::{AlertFilter, Allowlist, NewKey, Release, Released, Report, Reported, StoredAlert},
    secret,
    view::{KeptSecret, View},
    worker::{Order, Worker},
};

/// Failed logins of one address within [`FAILURES_WINDOW`] before it has to wait.
const FAILURES_MAX: u32 = 10;
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
}

/// Hub time: monotonic while running, and never before what was persisted.
struct Clock {
    base: HubTime,
    started: Instant,
}

/// The core's thread; dropping it stops the core once every [`Core`] is gone.
pub struct Hub {
    core: Core,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// A hub that keeps everything in memory, for doors' tests.
    pub fn in_memory(organisation: OrgId) -> std::io::Result<Self> {
        let (orders, receiver) = mpsc::channel(limits::ORDERS_MAX);
        let shared = Arc::new(Shared {
            view: RwLock::default(),
            news: watch::Sender::new(Point::default()),
            clock: Clock {
                base: HubTime(unix_ms()),
                started: Instant::now(),
            },
            password_checks: AtomicUsize::new(0),
            failures: Mutex::default(),
            hub_organisation: organisation,
        });
        let worker = Worker::new(Arc::clone(&shared), receiver);
        let thread = std::thread::Builder::new()
            .name("hub-core".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            core: Core { shared, orders },
            thread: Some(thread),
        })
    }

    pub fn core(&self) -> Core {
        self.core.clone()
    }

    /// Ends when every other [`Core`] is gone.
    pub fn join(self) {
        let Self { core, thread } = self;
        drop(core);
        if thread.is_some_and(|t| t.join().is_err()) {
            tracing::error!("the hub's core panicked");
        }
    }
}

//------------ Who asks ------------------------------------------------------

impl Core {
    /// The bouncer (or accepted machine, by [`Core::caller_by_name`]) that this key belongs to.
    pub fn caller_by_key(&self, secret: &str) -> Option<Caller> {
        let hash = secret::hash_key(secret);
        let view = self.shared.view();
        let entry = view.bouncers.get(&hash)?;
        let KeptSecret::Key(kept) = &entry.secret else {
            return None;
        };
        (secret::same(kept.as_slice(), &hash) && entry.accepted).then(|| entry.caller.clone())
    }

    /// The caller of that name as it stands now; `None` when it was removed or not accepted.
    /// For doors that gave out a token at login: ask at each request.
    pub fn caller_by_name(&self, kind: KeyKind, name: &str) -> Option<Caller> {
        let view = self.shared.view();
        let entry = view.keys.get(&(kind, name.into()))?;
        entry.accepted.then(|| entry.caller.clone())
    }

    /// A machine's login. Slow on purpose; the check runs beside the async threads.
    pub async fn login(
        &self,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<Caller, LoginError> {
        if self.shared.failed_too_often(from) {
            return Err(LoginError::TooOften);
        }
        let Some(_place) = Place::take(&self.shared) else {
            return Err(LoginError::Busy);
        };
        let entry = self
            .shared
            .view()
            .keys
            .get(&(KeyKind::Machine, name.into()))
            .cloned();
        let hash = match entry.as_ref().map(|e| &e.secret) {
            Some(KeptSecret::Password(hash)) => Some(Arc::clone(hash)),
            _ => None,
        };
        let fits = password.len() <= limits::PASSWORD_BYTES_MAX;
        let password = password.to_owned();
        let right = tokio::task::spawn_blocking(move || match hash {
            Some(hash) => fits && secret::check_password(&password, &hash),
            // An unknown name must take as long as a wrong password.
            None => {
                let _ = secret::hash_password(&password);
                false
            }
        });
        match (right.await.unwrap_or(false), entry) {
            (true, Some(entry)) if entry.accepted => Ok(entry.caller.clone()),
            (true, Some(_)) => Err(LoginError::NotAccepted),
            _ => {
                self.shared.failed(from);
                Err(LoginError::Wrong)
            }
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
        let organisation = self.shared.hub_organisation.clone();
        Caller {
            name: name.into(),
            sees: Arc::new(BTreeSet::from([organisation.clone()])),
            organisation,
            communities: default_communities(),
            role: Role::Operator,
            means: Means::Control,
        }
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
        view.allowlists.values().filter(mine).cloned().collect()
    }

    /// The allowlist, and which of its items, that holds all of `prefix`.
    pub fn allowed(&self, caller: &Caller, prefix: Prefix) -> Option<(Arc<Allowlist>, usize)> {
        self.shared.view().allowed(caller, prefix, self.now())
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

    async fn order<T>(
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

    fn failed_too_often(&self, from: IpAddr) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .get(&from)
            .is_some_and(|(since, n)| *n >= FAILURES_MAX && since.elapsed() < FAILURES_WINDOW)
    }

    fn failed(&self, from: IpAddr) {
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

pub(crate) fn default_communities() -> Arc<[CommunityId]> {
    "main"
        .parse()
        .map_or_else(|_| Arc::from([]), |main| Arc::from([main]))
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
