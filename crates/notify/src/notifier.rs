//! The threads: one that listens and decides, one that keeps the disk, one for each channel.
//!
//! The guard's calls ([`Notifier::status`], [`Notifier::acknowledge`], …) only swap or copy small
//! things under locks that nobody holds for longer than that; where one may be held longer, they
//! try and say that it was busy.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use jiff::tz::TimeZone;
use model::{AlertId, ChannelStatus, News, Status, Timestamp};

use crate::{
    calendar::TimeOfDay,
    channel::Channel,
    config::{ChannelPlan, Plan, Role},
    day::{Day, Surroundings},
    desk::Desk,
    disk::Folder,
    error::NotifyError,
    group::Grouper,
    message::{Incident, Message},
    open::{Open, Which},
    text::{harmless, spoken},
};

/// Longest sleep of the listener.
const NAP: Duration = Duration::from_secs(1);
/// How often what is published is renewed.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// How often what the grouping holds back goes to the disk.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often the day's counts do; after a crash the ledger still has every alert.
const KEEP_DAY_EVERY: Duration = Duration::from_secs(60);
/// The other channels are told of one that fails for so long.
const DOWN_AFTER: Duration = Duration::from_secs(600);
/// How long a stop waits for messages under way.
const LAST_WORDS: Duration = Duration::from_secs(2);
const ORDERS_MAX: usize = 4;

const OPEN: &str = "open.json";
const DAY: &str = "day.json";

/// What the notifier needs to know beside the news. Called on its own thread.
pub struct World {
    /// The guard's newest numbers.
    pub status: Box<dyn Fn() -> Option<Arc<Status>> + Send>,
    /// Log sources that are not watched, each with the reason.
    pub unwatched: Box<dyn Fn() -> Vec<String> + Send>,
}

/// Takes what the guard tells to people. Held by the guard.
pub struct Notifier {
    orders: Sender<Plan>,
    shared: Arc<Shared>,
    done: Receiver<()>,
}

struct Shared {
    folder: Option<Folder>,
    channels: Mutex<Vec<Arc<Channel>>>,
    open: Mutex<Open>,
    open_changed: Mutex<bool>,
    day: Mutex<Option<Day>>,
    published: Mutex<Published>,
    keeper: Ring,
    /// Held while the disk is brought up to date: an older state must not overwrite a newer one.
    keeping: Mutex<()>,
    finished: AtomicBool,
}

#[derive(Clone, Default)]
struct Published {
    channels: Arc<Vec<ChannelStatus>>,
    digest: Arc<str>,
}

/// Wakes a thread; several rings are one.
#[derive(Default)]
pub(crate) struct Ring {
    rung: Mutex<bool>,
    wake: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ring {
    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.wake.notify_one();
    }

    fn wait(&self, longest: Duration) {
        let rung = lock(&self.rung);
        let (mut rung, _) = self
            .wake
            .wait_timeout_while(rung, longest, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

impl Notifier {
    /// Reads secrets, certificates and what waited on disk, then listens until `news` ends.
    ///
    /// A folder that cannot be used does not keep alerts from being sent: they wait in memory
    /// then, and the status says so.
    pub fn start(
        plan: Plan,
        folder: &Path,
        news: Receiver<Arc<News>>,
        world: World,
    ) -> Result<Self, NotifyError> {
        let zone = TimeZone::system();
        let folder = match Folder::open(folder) {
            Ok(folder) => Some(folder),
            Err(e) => {
                let place = folder.display();
                eprintln!("posse: {place}: alerts wait in memory only: {e}");
                None
            }
        };
        let open = folder
            .as_ref()
            .and_then(|f| f.load(OPEN))
            .unwrap_or_default();
        let day = folder.as_ref().and_then(|f| f.load::<Day>(DAY));
        let shared = Arc::new(Shared {
            folder,
            channels: Mutex::new(Vec::new()),
            open: Mutex::new(open),
            open_changed: Mutex::new(false),
            day: Mutex::new(None),
            published: Mutex::new(Published::default()),
            keeper: Ring::default(),
            keeping: Mutex::new(()),
            finished: AtomicBool::new(false),
        });
        let (orders, wishes) = bounded(ORDERS_MAX);
        let (finished, done) = bounded(1);
        let mut listener = Listener::new(plan, zone, Arc::clone(&shared), world, day);
        listener.announce_strays();
        spawn("alerts-keeper", {
            let shared = Arc::clone(&shared);
            move || {
                while !shared.finished.load(Ordering::Relaxed) {
                    shared.keeper.wait(KEEP_EVERY);
                    shared.keep();
                }
            }
        })?;
        spawn("alerts", move || {
            listener.run(&news, &wishes);
            finished.send(()).ok();
        })?;
        Ok(Self {
            orders,
            shared,
            done,
        })
    }

    /// Takes another configuration; queues stay. `false` when earlier ones still wait.
    pub fn reconfigure(&self, plan: Plan) -> bool {
        self.orders.try_send(plan).is_ok()
    }

    /// The channels' numbers, at most a second old.
    pub fn status(&self) -> Vec<ChannelStatus> {
        let published = Arc::clone(&lock(&self.shared.published).channels);
        published.to_vec()
    }

    /// The day so far in words.
    pub fn digest(&self) -> Arc<str> {
        Arc::clone(&lock(&self.shared.published).digest)
    }

    /// Takes grave alerts off the list of those that escalate; `None` when it is in use just now.
    pub fn acknowledge(&self, which: &Which) -> Option<Vec<AlertId>> {
        let mut open = busy(self.shared.open.try_lock())?;
        let done = open.acknowledge(which);
        drop(open);
        *lock(&self.shared.open_changed) = true;
        self.shared.keeper.ring();
        Some(done)
    }

    /// Grave alerts that nobody acknowledged; `None` when the list is in use just now.
    pub fn unacknowledged(&self) -> Option<Vec<AlertId>> {
        Some(busy(self.shared.open.try_lock())?.ids())
    }

    /// After the news ended: waits until what is under way was sent or is on disk, not longer
    /// than `patience`; `false` when it took longer.
    pub fn stop(self, patience: Duration) -> bool {
        !matches!(
            self.done.recv_timeout(patience),
            Err(RecvTimeoutError::Timeout)
        )
    }
}

fn busy<'a, T>(
    tried: Result<MutexGuard<'a, T>, TryLockError<MutexGuard<'a, T>>>,
) -> Option<MutexGuard<'a, T>> {
    match tried {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn spawn(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, NotifyError> {
    let thread = thread::Builder::new().name(name.into()).spawn(run);
    thread.map_err(|e| NotifyError::Thread {
        name,
        why: e.to_string(),
    })
}

impl Shared {
    /// Brings the disk up to date.
    fn keep(&self) {
        let Some(folder) = &self.folder else { return };
        let _alone = lock(&self.keeping);
        let channels = lock(&self.channels).clone();
        for channel in channels {
            channel.keep(folder);
        }
        if std::mem::take(&mut *lock(&self.open_changed)) {
            let open = lock(&self.open).clone();
            if folder.save(OPEN, &open).is_err() {
                *lock(&self.open_changed) = true;
            }
        }
        let day = lock(&self.day).take();
        if let Some(day) = day {
            // Written again with the next change; the ledger has every alert.
            folder.save(DAY, &day).ok();
        }
    }
}

/// A channel as the listener sees it.
struct Lane {
    plan: ChannelPlan,
    channel: Arc<Channel>,
    grouper: Grouper,
    /// The other channels were told that this one fails.
    down_said: bool,
}

/// Owns everything that decides what is said when. One thread.
struct Listener {
    plan: Plan,
    host: String,
    zone: TimeZone,
    shared: Arc<Shared>,
    world: World,
    desk: Desk,
    lanes: Vec<Lane>,
    day: Day,
    day_changed: bool,
    unwatched: Vec<String>,
    next_digest: Timestamp,
    next_publish: Timestamp,
    next_keep: Timestamp,
    next_keep_day: Timestamp,
}

impl Listener {
    fn new(
        plan: Plan,
        zone: TimeZone,
        shared: Arc<Shared>,
        world: World,
        day: Option<Day>,
    ) -> Self {
        let now = crate::now();
        // A day from the future is a clock that was set back.
        let day = match day.filter(|day| day.since <= now) {
            Some(mut day) => {
                day.restarted();
                day
            }
            None => Day::begin(now, None),
        };
        let mut listener = Self {
            host: String::new(),
            next_digest: Timestamp::MAX,
            next_publish: now,
            next_keep: now,
            next_keep_day: now,
            unwatched: (world.unwatched)(),
            plan,
            zone,
            shared,
            world,
            desk: Desk::default(),
            lanes: Vec::new(),
            day,
            day_changed: true,
        };
        listener.set_up();
        listener
    }

    /// Channels as the plan has them; those of the same name keep their queues.
    fn set_up(&mut self) {
        self.host = match &self.plan.host {
            Some(name) => harmless(name, 64),
            None => crate::host_name(),
        };
        self.next_digest = roll(&self.plan).next(self.day.since, &self.zone);
        let mut old = std::mem::take(&mut self.lanes);
        for plan in self.plan.channels.clone() {
            let known = old.iter().position(|lane| lane.plan.name == plan.name);
            let lane = match known.map(|at| old.swap_remove(at)) {
                Some(lane) => self.adopt(lane, plan),
                None => self.open(plan),
            };
            self.lanes.extend(lane);
        }
        for lane in old {
            lane.channel.close();
            if let Some(folder) = &self.shared.folder {
                lane.channel.hold(lane.grouper.held());
                lane.channel.keep(folder);
            }
        }
        let channels = self.lanes.iter().map(|lane| Arc::clone(&lane.channel));
        *lock(&self.shared.channels) = channels.collect();
    }

    fn adopt(&self, mut lane: Lane, plan: ChannelPlan) -> Option<Lane> {
        lane.grouper.reconfigure(plan.rules);
        lane.channel.reconfigure(&plan, self.plan.retry_max);
        lane.plan = plan;
        Some(lane)
    }

    fn open(&self, plan: ChannelPlan) -> Option<Lane> {
        let nowhere = Folder::nowhere();
        let folder = self.shared.folder.as_ref().unwrap_or(&nowhere);
        let channel = Arc::new(Channel::open(
            &plan,
            self.plan.retry_max,
            &self.zone,
            folder,
        ));
        let mut grouper = Grouper::new(plan.rules);
        if let Some(held) = channel.take_held() {
            grouper.restore(held);
        }
        let sender = Arc::clone(&channel);
        let shared = Arc::clone(&self.shared);
        if let Err(e) = spawn("alerts-sender", move || sender.deliver(&shared.keeper)) {
            eprintln!("posse: no alerts by {}: {e}", plan.name);
            return None;
        }
        Some(Lane {
            plan,
            channel,
            grouper,
            down_said: false,
        })
    }

    /// Queues of channels that no configuration names any more.
    fn announce_strays(&self) {
        let Some(folder) = &self.shared.folder else {
            return;
        };
        let known: BTreeSet<&str> = self.lanes.iter().map(|l| l.plan.name.as_str()).collect();
        for name in folder.channels() {
            if known.contains(name.as_str()) {
                continue;
            }
            let waiting = folder
                .channel(&name)
                .map(|f| f.numbers().len())
                .unwrap_or_default();
            if waiting > 0 {
                eprintln!(
                    "posse: {waiting} messages wait for the alert channel {name:?}, which is no \
                     longer configured; name one so again, or remove {}/queue-{name}",
                    folder.path().display()
                );
            }
        }
    }

    fn run(&mut self, news: &Receiver<Arc<News>>, orders: &Receiver<Plan>) {
        loop {
            let pause = self.pause();
            select! {
                recv(news) -> one => match one {
                    Ok(one) => self.hear(&one),
                    Err(_) => break,
                },
                recv(orders) -> plan => if let Ok(plan) = plan {
                    self.plan = plan;
                    self.set_up();
                },
                default(pause) => {}
            }
            // What came meanwhile, in one go.
            while let Ok(one) = news.try_recv() {
                self.hear(&one);
            }
            self.tick(crate::now());
        }
        self.finish();
    }

    fn hear(&mut self, news: &News) {
        let now = crate::now();
        for incident in self.desk.hear(news, now) {
            self.tell(&incident, now, None);
        }
        for incident in self.desk.ready(now) {
            self.tell(&incident, now, None);
        }
    }

    /// One incident to every channel that is for it, but not to `except`.
    fn tell(&mut self, incident: &Incident, now: Timestamp, except: Option<&str>) {
        self.day.count(incident);
        self.day_changed = true;
        if lock(&self.shared.open).note(incident, now) {
            *lock(&self.shared.open_changed) = true;
        }
        for lane in &mut self.lanes {
            if lane.plan.role == Role::Escalation || except == Some(lane.plan.name.as_str()) {
                continue;
            }
            if let Some(message) = lane.grouper.offer(&self.host, incident, now, &self.zone) {
                lane.channel.push(message);
                // It must not come back from the disk as still held.
                lane.channel.hold(lane.grouper.held());
                self.shared.keeper.ring();
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        for incident in self.desk.ready(now) {
            self.tell(&incident, now, None);
        }
        for lane in &mut self.lanes {
            if let Some(message) = lane.grouper.tick(now, &self.zone) {
                lane.channel.push(message);
                // It must not come back from the disk as still held.
                lane.channel.hold(lane.grouper.held());
                self.shared.keeper.ring();
            }
        }
        self.escalate(now);
        self.digest(now);
        if now >= self.next_publish || now.plus(PUBLISH_EVERY) < self.next_publish {
            self.next_publish = now.plus(PUBLISH_EVERY);
            self.look_after_channels(now);
            self.publish(now);
        }
        if now >= self.next_keep || now.plus(KEEP_EVERY) < self.next_keep {
            self.next_keep = now.plus(KEEP_EVERY);
            self.hand_held_to_keeper();
        }
        if now >= self.next_keep_day || now.plus(KEEP_DAY_EVERY) < self.next_keep_day {
            self.next_keep_day = now.plus(KEEP_DAY_EVERY);
            self.hand_day_to_keeper();
        }
    }

    fn escalate(&self, now: Timestamp) {
        let lanes: Vec<&Lane> = self
            .lanes
            .iter()
            .filter(|lane| lane.plan.role == Role::Escalation)
            .collect();
        if lanes.is_empty() {
            return;
        }
        let overdue = lock(&self.shared.open).overdue(self.plan.escalate_after, &self.host, now);
        let Some(message) = overdue else { return };
        *lock(&self.shared.open_changed) = true;
        for lane in lanes {
            lane.channel.push(message.clone());
        }
        self.shared.keeper.ring();
    }

    fn digest(&mut self, now: Timestamp) {
        let status = (self.world.status)();
        self.day.look(status.as_deref());
        // A clock that was set back must not make a day of weeks.
        if now < self.next_digest && now >= self.day.since {
            return;
        }
        self.unwatched = (self.world.unwatched)();
        if self.plan.digest_at.is_some() {
            let message = self.with_surroundings(|day, around| day.message(around, now));
            for lane in self.lanes.iter().filter(|lane| lane.plan.digest) {
                lane.channel.push(message.clone());
            }
            self.shared.keeper.ring();
        }
        self.day = Day::begin(now, status.as_deref());
        self.day_changed = true;
        self.hand_day_to_keeper();
        self.next_digest = roll(&self.plan).next(now, &self.zone);
    }

    fn with_surroundings<T>(&self, use_it: impl FnOnce(&Day, &Surroundings<'_>) -> T) -> T {
        let status = (self.world.status)();
        let channels = Arc::clone(&lock(&self.shared.published).channels);
        let around = Surroundings {
            host: &self.host,
            zone: &self.zone,
            status: status.as_deref(),
            unwatched: &self.unwatched,
            unacknowledged: lock(&self.shared.open).len(),
            channels: &channels,
        };
        use_it(&self.day, &around)
    }

    /// A channel that fails for long is told of by the others.
    fn look_after_channels(&mut self, now: Timestamp) {
        let mut fallen = Vec::new();
        for lane in &mut self.lanes {
            let Some((since, error)) = lane.channel.failing_since() else {
                lane.down_said = false;
                continue;
            };
            if !lane.down_said && now.since(since) >= DOWN_AFTER {
                lane.down_said = true;
                let name = lane.plan.name.clone();
                let text = format!(
                    "alerts by {name} have failed for {}: {error}; try it with posse alert test",
                    spoken(now.since(since))
                );
                fallen.push((name, text));
            }
        }
        for (name, text) in fallen {
            let incident = Incident::of_notice("channel_down", &text, now);
            self.tell(&incident, now, Some(&name));
        }
    }

    fn publish(&self, now: Timestamp) {
        let channels: Vec<ChannelStatus> = self
            .lanes
            .iter()
            .map(|lane| lane.channel.status())
            .collect();
        let channels = Arc::new(channels);
        lock(&self.shared.published).channels = Arc::clone(&channels);
        let digest: Arc<str> = self
            .with_surroundings(|day, around| day.text(around, now))
            .into();
        lock(&self.shared.published).digest = digest;
    }

    fn hand_held_to_keeper(&self) {
        for lane in &self.lanes {
            lane.channel.hold(lane.grouper.held());
        }
        self.shared.keeper.ring();
    }

    fn hand_day_to_keeper(&mut self) {
        if std::mem::take(&mut self.day_changed) {
            *lock(&self.shared.day) = Some(self.day.clone());
            self.shared.keeper.ring();
        }
    }

    fn pause(&self) -> Duration {
        let now = crate::now();
        let groups = self.lanes.iter().map(|lane| lane.grouper.poll_timeout(now));
        let due = groups.chain([self.desk.poll_timeout()]).flatten().min();
        due.map_or(PUBLISH_EVERY, |at| at.since(now))
            .clamp(Duration::from_millis(1), NAP.min(PUBLISH_EVERY))
    }

    /// The news ended: what is known goes out or to the disk.
    fn finish(&mut self) {
        let now = crate::now();
        for incident in self.desk.drain() {
            self.tell(&incident, now, None);
        }
        for lane in &mut self.lanes {
            // What quiet hours hold back waits on disk for the next start.
            if !lane.grouper.is_quiet(now, &self.zone)
                && let Some(message) = lane.grouper.take(now)
            {
                lane.channel.push(message);
            }
        }
        self.hand_held_to_keeper();
        self.hand_day_to_keeper();
        let end = std::time::Instant::now() + LAST_WORDS;
        while std::time::Instant::now() < end
            && !self.lanes.iter().all(|lane| lane.channel.is_settled())
        {
            thread::sleep(Duration::from_millis(10));
        }
        for lane in &self.lanes {
            lane.channel.close();
        }
        self.shared.keep();
        self.shared.finished.store(true, Ordering::Relaxed);
        self.shared.keeper.ring();
    }
}

/// When a day of the digest ends; without a digest at midnight.
fn roll(plan: &Plan) -> TimeOfDay {
    plan.digest_at.unwrap_or(TimeOfDay::MIDNIGHT)
}

/// How one channel answered to a test.
pub struct Tried {
    pub name: String,
    pub kind: &'static str,
    pub took: Duration,
    /// What the other side said, or why it did not work.
    pub answer: Result<String, String>,
}

/// Sends a test message by every channel, all at the same time, past the queues.
pub fn try_channels(plan: &Plan) -> Vec<Tried> {
    let zone = TimeZone::system();
    let now = crate::now();
    let host = plan
        .host
        .clone()
        .map_or_else(crate::host_name, |name| harmless(&name, 64));
    let id = AlertId::derive(&[b"test", host.as_bytes(), &now.nanos().to_be_bytes()]);
    let mut message = Message::empty(crate::message::Kind::Test, &host, id, now);
    message.text = Some(format!(
        "A test by posse alert test on {host} at {}.\nAlerts of this machine arrive here.\n",
        crate::calendar::local(now, &zone)
    ));
    let try_one = |channel: &ChannelPlan| {
        let began = std::time::Instant::now();
        let answer = Channel::try_once(channel, &zone, &message);
        Tried {
            name: channel.name.clone(),
            kind: channel.kind,
            took: began.elapsed(),
            answer: answer.map_err(|failure| failure.text),
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = plan
            .channels
            .iter()
            .map(|channel| scope.spawn(|| try_one(channel)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}
