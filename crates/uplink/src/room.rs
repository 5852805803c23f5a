//! The fleet's thread: hears the network, the guard and the clock; owns everything that must
//! survive. It never waits for the network, and nobody waits for it.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use decide::NeverBanConfig;
use fleet::{SigningKey, api};
use model::{Entry, FleetAct, FleetStatus, HostFacts, Timestamp, glob};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    address::HubUrl,
    clock,
    community::{Community, Out},
    config::{FleetConfig, SharedKind},
    error::UplinkError,
    files,
    membership::Membership,
    network::{Command, NetEvent, Network},
    outbox::OwnAct,
    ward::Gate,
};

/// Own bans and orders that wait; beyond it the loss is counted.
const ORDERS_MAX: usize = 8_192;
const TICK: Duration = Duration::from_secs(1);
const HERE_EVERY: Duration = Duration::from_secs(10);
const SYNCHRONISE_EVERY: Duration = Duration::from_secs(5);
/// A report that got no answer is sent again after so long.
const REPORT_EVERY: Duration = Duration::from_secs(2);
const EXPLAIN_WAIT: Duration = Duration::from_secs(2);
const STOP_WAIT: Duration = Duration::from_secs(5);
const ADDRESSES: &str = "hub.addresses";
const ADDRESSES_BYTES_MAX: u64 = 1 << 16;
const ADDRESSES_MAX: usize = 64;

/// Where what happens is told and recorded; must not block for long.
pub trait Outlet: Send {
    fn record(&self, entries: Vec<Entry>);
    /// For people: a stable word and the text.
    fn notice(&self, code: &str, text: String);
}

/// What the hub is told of the rest of the guard.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    pub sources: u64,
    pub bans_local: u64,
    pub drops: Vec<(String, u64)>,
}

pub type FactsOf = Box<dyn Fn() -> Arc<HostFacts> + Send>;
pub type VitalsOf = Box<dyn Fn() -> Vitals + Send>;

/// All that the uplink works with.
pub struct Inputs {
    pub state: PathBuf,
    pub membership: Membership,
    pub config: FleetConfig,
    pub never_ban: NeverBanConfig,
    /// Never touch the kernel.
    pub observe: bool,
    pub version: String,
    pub facts: FactsOf,
    pub vitals: VitalsOf,
    pub outlet: Box<dyn Outlet>,
}

enum Order {
    Own(OwnAct, SharedKind),
    Reconfigure(Box<(FleetConfig, NeverBanConfig)>),
    Explain(IpAddr, Sender<Vec<Value>>),
    Stop(Sender<()>),
}

/// The running uplink. Nothing here blocks but [`Uplink::explain`] and [`Uplink::stop`], which
/// have their bounds.
#[derive(Clone)]
pub struct Uplink {
    orders: Sender<Order>,
    status: Arc<Mutex<Arc<FleetStatus>>>,
    lost: Arc<AtomicU64>,
}

impl Uplink {
    /// Starts both threads; the first bans of the kept copy are in the kernel soon after.
    pub fn start(inputs: Inputs) -> Result<Self, UplinkError> {
        let (orders, orders_in) = bounded(ORDERS_MAX);
        let (events, events_in) = unbounded();
        let (commands, commands_in) = mpsc::unbounded_channel();
        let uplink = Self {
            orders,
            status: Arc::default(),
            lost: Arc::default(),
        };
        let hubs = hubs_of(&inputs.membership, &inputs.config);
        let network = Network {
            membership: inputs.membership.clone(),
            hubs: hubs.clone(),
            communities: communities_of(&inputs.membership, &inputs.config),
            state: inputs.state.clone(),
            backoff: inputs.config.backoff(),
            version: inputs.version.clone(),
            events,
            commands: commands_in,
        };
        let key = inputs.membership.signing_key()?;
        let room = Room {
            key,
            addresses: known_addresses(&inputs, &hubs),
            inputs,
            commands,
            communities: Vec::new(),
            gate: None,
            connection: Link::default(),
            status: Arc::clone(&uplink.status),
            lost: Arc::clone(&uplink.lost),
            started: Instant::now(),
        };
        spawn("fleet", move || room.run(&orders_in, &events_in, network))?;
        Ok(uplink)
    }

    /// A ban or release of this machine's own. Never waits: what there is no room for is counted.
    pub fn offer(&self, act: OwnAct, by: SharedKind) {
        if self.orders.try_send(Order::Own(act, by)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn reconfigure(&self, config: FleetConfig, never_ban: NeverBanConfig) {
        let order = Order::Reconfigure(Box::new((config, never_ban)));
        self.orders.try_send(order).ok();
    }

    pub fn status(&self) -> Arc<FleetStatus> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this guard's copies say of an address.
    pub fn explain(&self, address: IpAddr) -> Vec<Value> {
        let (answer, wait) = bounded(1);
        if self
            .orders
            .try_send(Order::Explain(address, answer))
            .is_err()
        {
            return Vec::new();
        }
        wait.recv_timeout(EXPLAIN_WAIT).unwrap_or_default()
    }

    /// Everything is written; bans stay in force.
    pub fn stop(&self) {
        let (done, wait) = bounded(1);
        if self
            .orders
            .send_timeout(Order::Stop(done), STOP_WAIT)
            .is_ok()
        {
            wait.recv_timeout(STOP_WAIT).ok();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, UplinkError> {
    let named = thread::Builder::new().name(name.to_owned());
    named.spawn(work).map_err(UplinkError::Thread)
}

fn hubs_of(membership: &Membership, config: &FleetConfig) -> Vec<HubUrl> {
    if config.hubs.is_empty() {
        membership.hubs.clone()
    } else {
        config.hubs.clone()
    }
}

fn communities_of(membership: &Membership, config: &FleetConfig) -> Vec<fleet::CommunityId> {
    let wanted = |name: &&fleet::CommunityId| {
        config
            .communities
            .as_ref()
            .is_none_or(|named| named.contains(*name))
    };
    // Who takes files of cases only has no bans to follow, whatever an older hub said.
    let known = match membership.role.follows() {
        true => membership.communities.as_slice(),
        false => &[],
    };
    known.iter().filter(wanted).cloned().collect()
}

/// The hubs' addresses as they were last seen: known before the first name is resolved.
fn known_addresses(inputs: &Inputs, hubs: &[HubUrl]) -> Vec<IpAddr> {
    let path = files::folder(&inputs.state).join(ADDRESSES);
    let kept = files::read(&path, ADDRESSES_BYTES_MAX).ok().flatten();
    let mut all: Vec<IpAddr> = kept
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    all.extend(
        hubs.iter()
            .filter_map(|hub| hub.host().parse::<IpAddr>().ok()),
    );
    all.sort_unstable();
    all.dedup();
    all
}

/// How the connection stands.
#[derive(Default)]
struct Link {
    hub: String,
    up: bool,
    last_contact: Option<(Instant, Timestamp)>,
    problem: Option<String>,
    /// The operator was told that the hub is lost.
    told: bool,
    expelled: bool,
}

struct Room {
    inputs: Inputs,
    key: SigningKey,
    commands: mpsc::UnboundedSender<Command>,
    communities: Vec<Community>,
    gate: Option<Gate>,
    addresses: Vec<IpAddr>,
    connection: Link,
    status: Arc<Mutex<Arc<FleetStatus>>>,
    lost: Arc<AtomicU64>,
    started: Instant,
}

/// When what comes next.
struct Schedule {
    tick: Instant,
    here: Instant,
    synchronise: Instant,
    report: Instant,
}

impl Room {
    fn run(mut self, orders: &Receiver<Order>, events: &Receiver<NetEvent>, network: Network) {
        self.open();
        // Only now: bans that are known need no network.
        let spawned = spawn("uplink", move || network.run());
        if let Err(e) = spawned {
            self.inputs.outlet.notice("fleet_network", e.in_full());
        }
        let now = Instant::now();
        let mut due = Schedule {
            tick: now,
            here: now + HERE_EVERY,
            synchronise: now + SYNCHRONISE_EVERY,
            report: now,
        };
        loop {
            let wait = due.tick.saturating_duration_since(Instant::now());
            let mut out = Out::default();
            crossbeam_channel::select! {
                recv(events) -> event => if let Ok(event) = event {
                    self.hear(event, &mut out);
                } else {
                    // The network's thread is gone; the kernel still needs us.
                    thread::sleep(wait.min(TICK));
                },
                recv(orders) -> order => match order {
                    Ok(Order::Stop(done)) => return self.stop(&done),
                    Ok(order) => self.obey(order, &mut out),
                    // The guard is gone.
                    Err(_) => return,
                },
                default(wait) => {}
            }
            self.pass_on(out);
            self.do_what_is_due(&mut due);
        }
    }

    fn open(&mut self) {
        let mut out = Out::default();
        let gate = self.new_gate();
        let mut table = self.inputs.config.table.clone();
        for name in communities_of(&self.inputs.membership, &self.inputs.config) {
            let opened = Community::open(name.clone(), table, &self.inputs, &gate, &mut out);
            match opened {
                Ok(community) => self.communities.push(community),
                Err(e) => out.notices.push(("fleet_files", e.in_full())),
            }
            table = format!("{}-{name}", self.inputs.config.table);
        }
        self.gate = Some(gate);
        self.pass_on(out);
        self.publish();
    }

    fn new_gate(&self) -> Gate {
        Gate::new(
            self.inputs.never_ban.clone(),
            &self.inputs.config.never,
            &self.addresses,
            (self.inputs.facts)(),
        )
    }

    fn do_what_is_due(&mut self, due: &mut Schedule) {
        let now = Instant::now();
        let mut out = Out::default();
        if now >= due.report {
            due.report = now + REPORT_EVERY;
            self.send_reports(&mut out);
        }
        if now >= due.tick {
            due.tick = now + TICK;
            self.respect_new_facts(&mut out);
            if let Some(gate) = &self.gate {
                self.communities
                    .iter_mut()
                    .for_each(|c| c.tick(gate, &mut out));
            }
            self.mind_the_hub(&mut out);
            self.publish();
        }
        if now >= due.synchronise {
            due.synchronise = now + SYNCHRONISE_EVERY;
            self.communities.iter_mut().for_each(Community::synchronise);
        }
        if now >= due.here {
            due.here = now + HERE_EVERY;
            if self.connection.up && self.inputs.membership.role != fleet::Role::Police {
                out.commands.push(Command::Here(Box::new(self.here())));
            }
        }
        self.pass_on(out);
    }

    fn hear(&mut self, event: NetEvent, out: &mut Out) {
        match event {
            NetEvent::Position { community, answer } => {
                let found = self.communities.iter_mut().find(|c| c.name == community);
                answer.send(found.map(Community::connect)).ok();
            }
            NetEvent::Frame {
                community,
                bytes,
                arrived,
                _room,
            } => {
                self.in_contact();
                self.with(&community, |c, gate| c.frame(&bytes, arrived, gate, out));
                if self.communities.iter().any(|c| c.outbox.len() > 0) {
                    self.send_reports(out);
                }
            }
            NetEvent::Snapshot { community, outcome } => {
                self.with(&community, |c, gate| c.snapshot(outcome, gate, out));
            }
            NetEvent::Answer {
                community,
                sequence,
                outcome,
            } => {
                let acknowledged = outcome.is_ok();
                self.with(&community, |c, _| c.answered(sequence, outcome, out));
                if acknowledged {
                    self.send_reports(out);
                }
            }
            NetEvent::Connected { hub } => self.connected(hub, out),
            NetEvent::Lost { hub, why, wait } => self.lost(hub, &why, wait, out),
            NetEvent::Renewed(membership) => {
                out.entries.push(Entry::Fleet(FleetAct::Renewed {
                    at: clock::wall(),
                    organisation: membership.organisation.to_string(),
                    name: membership.name.clone(),
                    certificate: String::new(),
                }));
                self.inputs.membership = *membership;
            }
            NetEvent::RenewalFailed(e) => {
                let left = model::format_duration(self.inputs.membership.valid_for());
                let text = format!(
                    "the certificate could not be renewed, it is valid for {left} more: {}",
                    e.in_full()
                );
                out.notices.push(("fleet_renewal", text));
            }
            NetEvent::Addresses(addresses) => self.learn_addresses(&addresses, out),
        }
    }

    fn with(&mut self, name: &fleet::CommunityId, work: impl FnOnce(&mut Community, &Gate)) {
        let found = self.communities.iter_mut().find(|c| c.name == *name);
        if let (Some(community), Some(gate)) = (found, &self.gate) {
            work(community, gate);
        }
    }

    fn obey(&mut self, order: Order, out: &mut Out) {
        match order {
            Order::Own(act, by) => {
                if self.is_shared(&act, by) {
                    self.communities
                        .iter_mut()
                        .for_each(|c| c.outbox.push(act.clone()));
                    self.send_reports(out);
                }
            }
            Order::Reconfigure(new) => {
                (self.inputs.config, self.inputs.never_ban) = *new;
                self.regate(out);
                if let Some(gate) = &self.gate {
                    let config = &self.inputs.config;
                    self.communities
                        .iter_mut()
                        .for_each(|c| c.accept(config, gate, out));
                }
            }
            Order::Explain(address, answer) => {
                let gate = self.gate.iter();
                let found = gate.flat_map(|gate| {
                    self.communities
                        .iter()
                        .flat_map(|c| c.explain(address, gate))
                });
                answer.send(found.collect()).ok();
            }
            Order::Stop(_) => {}
        }
    }

    fn is_shared(&self, act: &OwnAct, by: SharedKind) -> bool {
        let share = &self.inputs.config.share;
        share.bans.contains(&by)
            && match act {
                OwnAct::Ban { kind, .. } => {
                    share.kinds.iter().any(|pattern| glob::fits(pattern, kind))
                }
                OwnAct::Release { .. } => true,
            }
    }

    fn send_reports(&mut self, out: &mut Out) {
        if !self.connection.up {
            return;
        }
        let (key, config) = (&self.key, &self.inputs.config);
        self.communities
            .iter_mut()
            .for_each(|c| c.next_report(key, config, out));
    }

    fn respect_new_facts(&mut self, out: &mut Out) {
        let fresh = (self.inputs.facts)();
        if self.gate.as_ref().is_some_and(|gate| !gate.knows(&fresh)) {
            self.regate(out);
        }
    }

    fn regate(&mut self, out: &mut Out) {
        let new = self.new_gate();
        if let Some(old) = self.gate.replace(new.clone()) {
            self.communities
                .iter_mut()
                .for_each(|c| c.regate(&old, &new, out));
        }
    }

    fn learn_addresses(&mut self, found: &[IpAddr], out: &mut Out) {
        let mut all = self.addresses.clone();
        all.extend(found);
        all.sort_unstable();
        all.dedup();
        all.truncate(ADDRESSES_MAX);
        if all == self.addresses {
            return;
        }
        self.addresses = all;
        let path = files::folder(&self.inputs.state).join(ADDRESSES);
        let bytes = serde_json::to_vec(&self.addresses).unwrap_or_default();
        if let Err(e) = files::replace(&path, &[&bytes]) {
            out.notices.push(("fleet_files", e.in_full()));
        }
        self.regate(out);
    }

    fn in_contact(&mut self) {
        self.connection.last_contact = Some((Instant::now(), clock::wall()));
    }

    fn connected(&mut self, hub: String, out: &mut Out) {
        let first = self.connection.last_contact.is_none();
        self.in_contact();
        let link = &mut self.connection;
        if first || link.told {
            let at = clock::wall();
            let hub = hub.clone();
            out.entries
                .push(Entry::Fleet(FleetAct::HubFound { at, hub }));
        }
        if link.told {
            out.notices
                .push(("hub_found", format!("connected with {hub} again")));
        }
        *link = Link {
            hub,
            up: true,
            last_contact: link.last_contact,
            ..Link::default()
        };
    }

    fn lost(&mut self, hub: String, why: &UplinkError, wait: Duration, out: &mut Out) {
        self.communities
            .iter_mut()
            .for_each(|c| c.outbox.disconnected());
        let link = &mut self.connection;
        if link.up {
            self.started = Instant::now();
        }
        link.up = false;
        let text = why.in_full();
        tracing::info!(hub, wait = ?wait, why = text, "the hub is not reached");
        if why.is_expulsion() && !link.expelled {
            link.expelled = true;
            let text = format!(
                "{hub} does not take this machine's certificate (revoked or expired): {text}. \
                 Bans stay in force until they end; to go on, join again with a new token \
                 (posse join --replace)."
            );
            out.notices.push(("fleet_expelled", text));
        }
        link.hub = hub;
        link.problem = Some(text);
    }

    /// An alert when the hub has been away for long.
    fn mind_the_hub(&mut self, out: &mut Out) {
        let link = &mut self.connection;
        if link.up || link.told {
            return;
        }
        let away = link
            .last_contact
            .map_or(self.started, |(at, _)| at)
            .elapsed();
        if away < self.inputs.config.lost_after {
            return;
        }
        link.told = true;
        let reason = link
            .problem
            .clone()
            .unwrap_or_else(|| "no connection".to_owned());
        let away = model::format_duration(Duration::from_secs(away.as_secs()));
        let text = format!(
            "no contact with the hub for {away}: {reason}. Its bans stay in force until they end; \
             this machine's own detection goes on."
        );
        out.notices.push(("hub_lost", text));
        out.entries.push(Entry::Fleet(FleetAct::HubLost {
            at: clock::wall(),
            hub: link.hub.clone(),
            reason,
        }));
    }

    fn here(&self) -> api::Here {
        let vitals = (self.inputs.vitals)();
        let mut drops = vitals.drops;
        drops.push(("reports".to_owned(), self.reports_lost()));
        api::Here {
            version: self.inputs.version.clone(),
            communities: self.communities.iter().map(Community::here).collect(),
            sources: vitals.sources,
            bans_local: vitals.bans_local,
            drops,
            uptime_seconds: self.started.elapsed().as_secs(),
        }
    }

    fn reports_lost(&self) -> u64 {
        let dropped = self.communities.iter().map(|c| c.outbox.dropped());
        dropped.sum::<u64>() + self.lost.load(Ordering::Relaxed)
    }

    fn publish(&self) {
        let (link, membership) = (&self.connection, &self.inputs.membership);
        let status = FleetStatus {
            hub: if link.hub.is_empty() {
                membership
                    .hubs
                    .first()
                    .map_or_else(String::new, ToString::to_string)
            } else {
                link.hub.clone()
            },
            connected: link.up,
            last_contact: link.last_contact.map(|(_, at)| at),
            problem: link.problem.clone().filter(|_| !link.up),
            organisation: membership.organisation.to_string(),
            name: membership.name.clone(),
            certificate_seconds: membership.valid_for().as_secs(),
            reports_lost: self.reports_lost(),
            communities: self.communities.iter().map(Community::status).collect(),
        };
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
    }

    fn pass_on(&self, out: Out) {
        if !out.entries.is_empty() {
            self.inputs.outlet.record(out.entries);
        }
        for (code, text) in out.notices {
            self.inputs.outlet.notice(code, text);
        }
        for command in out.commands {
            self.commands.send(command).ok();
        }
    }

    fn stop(mut self, done: &Sender<()>) {
        self.commands.send(Command::Stop).ok();
        let mut out = Out::default();
        self.communities.iter_mut().for_each(|c| c.save(&mut out));
        self.pass_on(out);
        done.send(()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::tests::a_membership;

    #[test]
    fn who_takes_files_of_cases_only_follows_nothing_whatever_an_older_hub_said() {
        let (mut membership, config) = (a_membership(), FleetConfig::default());
        for role in fleet::Role::ALL {
            membership.role = role;
            let followed = communities_of(&membership, &config).len();
            let is_served = !matches!(role, fleet::Role::Police | fleet::Role::Witness);
            assert_eq!(followed, usize::from(is_served), "{role}");
        }
    }
}
