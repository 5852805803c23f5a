//! From nothing to a running guard, in the order that keeps bans in force: state first, then the
//! kernel, then the sources.

use std::{
    collections::BTreeSet,
    io::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use console::ConsoleConfig;
use crossbeam_channel::Receiver;
use decide::Policy;
use detect::engine::Engine;
use enforce::EnforceError;
use model::{Alert, AlertId, Entry, Start, Timestamp};
use sense::{
    Positions, Sensors, SourceProblem, SourceSpec,
    discover::{self, Verdict},
};
use store::{AlertFilter, IntakeJournal, Recorder, Store};
use uplink::Uplink;

use super::{
    Guard, RECONCILE_EVERY, alerts, errands::Errands, fleet, memory, pulse::Pulse, reload::Reload,
    signals, timekeeper::Jump, token,
};
use crate::{
    board::Board,
    budget::{self, Budget, Use},
    cli::{Duty, RunArgs},
    clock,
    config::Config,
    content::{self, Content},
    control::{self, Pending},
    deadlines, evidence_keeper,
    facts::Facts,
    feed::{self, Feed, Style},
    geoip::{GeoIp, GeoIpConfig},
    hub_command::Kept,
    sandbox::{self, Needs, Sandbox},
    service::Supervisor,
    shield::Shield,
    state,
};

const KNOWN_MAX: usize = 10_000;
/// A clock less far behind the ledger is as good as right.
const SET_BACK_MIN: Duration = Duration::from_secs(60);
/// How far back decisions matter to a policy: offenders are not remembered longer.
pub(crate) const MEMORY: Duration = Duration::from_secs(90 * 86_400);

/// What stands before anything moves.
struct Ground {
    config: Config,
    rules: Content,
    dir: PathBuf,
    specs: Vec<SourceSpec>,
    store: Store,
    facts: Facts,
    sandbox: Sandbox,
    hub: Option<Kept>,
    others: openlog::Setup,
}

/// Reads what we are to do, and gives up everything that is not needed for it.
fn ground(arguments: &RunArgs) -> Result<Ground> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    let rules = rules(arguments.duty, &config)?;
    announce_content(&rules);
    let dir = state::folder(arguments.state.state.as_deref().or(config.state.as_deref()))?;
    let specs = specs(arguments.duty, &config);
    let needs = Needs {
        config: &config,
        config_path: arguments.config.as_deref(),
        state: &dir,
        sources: &specs,
        observe: arguments.observe,
    };
    sandbox::check_permissions(&needs)?;
    let store = open_store(&dir, &config)?;
    let others = config.ledger.others().read()?;
    let facts = Facts::watch(config.sandbox.mode)
        .context("cannot start the thread that gathers host facts")?;
    let hub = Kept::start(&config.hub, &dir, arguments.config.as_deref())?;
    // From here on this process and all that it starts may do what the configuration needs.
    let sandbox = Sandbox::enter(&needs)?;
    Ok(Ground {
        config,
        rules,
        dir,
        specs,
        store,
        facts,
        sandbox,
        hub,
        others,
    })
}

/// What is detected by.
pub(super) fn rules(duty: Duty, config: &Config) -> Result<Content> {
    match duty {
        Duty::Everything => content::load(&config.rules),
        Duty::EnforceOnly => Ok(content::compile(Vec::new())),
    }
}

/// What is watched.
pub(super) fn specs(duty: Duty, config: &Config) -> Vec<SourceSpec> {
    match duty {
        Duty::Everything => sources(config),
        Duty::EnforceOnly => Vec::new(),
    }
}

pub(super) fn start(arguments: &RunArgs) -> Result<Guard> {
    let ground = ground(arguments)?;
    let (config, dir) = (&ground.config, &ground.dir);
    let errands = Errands::hire().context("cannot start a thread")?;
    let now = clock::now();
    let budget = budget(config, budget::resident())?;
    let mut policy = policy(arguments, config, &budget)?;
    let mut shield = Shield::open(&config.enforce, arguments.observe);
    let set_back = set_back(&ground.store, now)?;
    let refused = restore_bans(&ground.store, &mut policy, &mut shield, now)?;
    let restored = shield.len() as u64;
    let known = known_alerts(&ground.store)?;
    let recorder = recorder(ground.store, config)?;
    let mut engine = Engine::new(ground.rules.rules, budget.engine);
    equip(&mut engine, &config.geoip);
    let (journal, positions, replayed) = recollect(&mut engine, dir, set_back)?;
    let pulse = Pulse::begin(config, &ground.specs, dir, arguments.observe, set_back)?;
    let (bell, button) = signals::Bell::hang()?;
    let wishes = signals::Signals::listen()?;
    let mut sensors = open_sources(ground.specs.clone(), &positions)?;
    wake_on(&mut sensors, &bell, &wishes, &shield)?;
    let (feed, board) = (Feed::default(), Board::default());
    let around = fleet::Surroundings {
        config,
        state: dir,
        observe: arguments.observe,
        facts: &ground.facts,
        recorder: &recorder,
        feed: &feed,
        board: &board,
    };
    let asking = ask_others(dir, ground.others, &recorder, &feed)?;
    let (uplink, control) = open_lines(&around, button.try_clone()?)?;
    let printer = printer(&feed, arguments)?;
    let notifier = alerts::start(config, dir, &feed, &board)?;
    evidence_keeper::start(config, dir, &recorder, Some(&feed))?;
    let guard = Guard {
        sensors,
        engine,
        policy,
        shield,
        facts_seen: Arc::default(),
        facts: ground.facts,
        recorder,
        journal,
        journal_failures: 0,
        snapshot_bytes: 0,
        feed,
        printer,
        control,
        bell,
        signals: wishes,
        supervisor: Supervisor::from_environment(),
        reload: Reload::new(arguments, dir, button.try_clone()?, budget.base),
        errands,
        sandbox: ground.sandbox,
        asking,
        hub: ground.hub,
        board,
        notifier,
        fleet: uplink,
        pulse,
        started: now,
        next_publish: now,
        next_reconcile: now.plus(RECONCILE_EVERY),
        catching_up: true,
        known,
    };
    begin(guard, (refused, replayed, restored), &config.console, dir)
}

/// The last steps before the first line.
fn begin(
    mut guard: Guard,
    (refused, replayed, restored): (Option<EnforceError>, Vec<Alert>, u64),
    console: &ConsoleConfig,
    dir: &Path,
) -> Result<Guard> {
    guard.take_up(refused, replayed, restored);
    guard.open_console(console, dir);
    // This thread now reads attackers' text, and nothing that it needs is missing.
    guard.sandbox.tighten_guard()?;
    Ok(guard)
}

fn recorder(store: Store, config: &Config) -> Result<Arc<Recorder>> {
    let report = Box::new(report_recorder);
    let recorder = Recorder::start_keeping(store, config.ledger.keep.0, report)?;
    Ok(Arc::new(recorder))
}

/// Begins to ask witnesses and time stamping authorities, if there are any.
fn ask_others(
    dir: &Path,
    others: openlog::Setup,
    recorder: &Arc<Recorder>,
    feed: &Feed,
) -> Result<openlog::Asking> {
    let ears = fleet::Ears {
        recorder: Arc::clone(recorder),
        feed: feed.clone(),
    };
    openlog::start(dir, others, Arc::new(ears))
        .context("cannot ask for cosignatures and time stamps")
}

/// The line to the hub, if this machine has joined one, and the operators' socket.
fn open_lines(
    around: &fleet::Surroundings<'_>,
    doorbell: UnixStream,
) -> Result<(Option<Uplink>, Receiver<Pending>)> {
    let uplink = fleet::start(around);
    deadlines::watch(
        around.state,
        Arc::clone(around.recorder),
        Some(around.feed.clone()),
    )?;
    let control = control::serve(
        around.state,
        doorbell,
        Arc::clone(around.recorder),
        around.feed.clone(),
        around.board.clone(),
        uplink.clone(),
    )?;
    Ok((uplink, control))
}

fn printer(feed: &Feed, arguments: &RunArgs) -> Result<JoinHandle<()>> {
    let heard = feed.listen().context("no room for a listener")?;
    Ok(feed::print(heard, style(arguments))?)
}

/// What each part may remember; `base` is what the program took before.
pub(super) fn budget(config: &Config, base: u64) -> Result<Budget> {
    Budget::plan(None, &config.limits, Use::DetectAndJudge, base)
}

/// Facts about addresses; a guard without them guards as well.
fn equip(engine: &mut Engine, config: &GeoIpConfig) {
    let (geoip, faults) = GeoIp::open(config);
    for fault in faults {
        eprintln!("posse: going on without this GeoIP database: {fault:#}");
    }
    if let Some(facts) = geoip.facts() {
        engine.set_facts(facts);
    }
}

const fn style(arguments: &RunArgs) -> Style {
    if arguments.json {
        Style::Json
    } else {
        Style::Human
    }
}

fn policy(arguments: &RunArgs, config: &Config, budget: &Budget) -> Result<Policy> {
    let mut policy =
        Policy::new(config.policy()).map_err(|e| anyhow!("{}: {e}", config_name(arguments)))?;
    budget.bound(&mut policy);
    Ok(policy)
}

fn config_name(arguments: &RunArgs) -> String {
    let path = arguments
        .config
        .as_deref()
        .unwrap_or_else(|| Path::new(crate::config::DEFAULT_PATH));
    path.display().to_string()
}

fn open_store(dir: &Path, config: &Config) -> Result<Store> {
    crate::state::open_store(dir, config.ledger.origin.as_deref())
}

/// Bans outlive the process: those in force go back to the kernel, and then to the policy.
fn restore_bans(
    store: &Store,
    policy: &mut Policy,
    shield: &mut Shield,
    now: Timestamp,
) -> Result<Option<EnforceError>> {
    // What had ended when we last knew the time has ended, whatever the clock says now.
    let set_back = set_back(store, now)?;
    let known = now.plus(set_back.map_or(Duration::ZERO, Jump::span));
    store.ban_ends(known, |bans| shield.assume(bans, known))?;
    if let Some(jump) = set_back {
        shield.clock_was_set(jump.by, now);
    }
    let refused = shield.fill(now).err();
    store.known_bans(known.minus(MEMORY), |bans| policy.restore(bans, known))?;
    if let Some(jump) = set_back {
        policy.clock_was_set(jump.by);
    }
    Ok(refused)
}

/// How far the clock is behind the newest entry of the ledger: it was set back, or it lost the
/// time while the machine was off.
fn set_back(store: &Store, now: Timestamp) -> Result<Option<Jump>> {
    let Some(newest) = store.newest()? else {
        return Ok(None);
    };
    let by = now.nanos().saturating_sub(newest.nanos());
    let jump = Jump { by: by.min(0) };
    Ok((jump.span() >= SET_BACK_MIN).then_some(jump))
}

/// The newest alerts on the ledger. Only those of the last batch before a crash can come again.
fn known_alerts(store: &Store) -> Result<BTreeSet<AlertId>> {
    let filter = AlertFilter {
        limit: KNOWN_MAX,
        ..AlertFilter::default()
    };
    Ok(store
        .alerts(&filter)?
        .into_iter()
        .map(|a| a.alert.id)
        .collect())
}

/// The intake journal, and detection as it left it.
fn recollect(
    engine: &mut Engine,
    dir: &Path,
    set_back: Option<Jump>,
) -> Result<(IntakeJournal, Positions, Vec<Alert>)> {
    let (journal, recovered) = IntakeJournal::open(dir)
        .with_context(|| format!("cannot open the intake journal in {}", dir.display()))?;
    let (positions, replayed) = recall(engine, recovered);
    if let Some(jump) = set_back {
        engine.clock_was_set(jump.by);
    }
    Ok((journal, positions, replayed))
}

/// Detection as it was: the snapshot, then the lines that counted since. Alerts that come out
/// again are returned; the ledger knows those it has.
fn recall(engine: &mut Engine, recovered: store::Recovered) -> (Positions, Vec<Alert>) {
    if let Some(damage) = &recovered.damage {
        eprintln!("posse: the intake journal was damaged: {damage}");
    }
    let mut positions = Positions::default();
    if let Some(bytes) = &recovered.snapshot {
        match memory::decode_snapshot(bytes) {
            Ok((known, state)) => {
                positions = known;
                if let Err(e) = engine.restore(state) {
                    eprintln!("posse: detection starts with empty buckets: {e}");
                }
            }
            Err(e) => eprintln!("posse: the snapshot of detection cannot be read: {e:#}"),
        }
    }
    let mut alerts = Vec::new();
    for record in recovered.since {
        match memory::decode(&record) {
            Ok(memory::Remembered::Line(line)) => {
                line.with(|record, source, clock| {
                    engine.observe(record, source, clock, &mut alerts)
                });
            }
            Ok(memory::Remembered::Positions(changes)) => {
                changes
                    .into_iter()
                    .for_each(|change| positions.apply(change));
            }
            Err(e) => eprintln!("posse: a record of the intake journal cannot be read: {e:#}"),
        }
    }
    (positions, alerts)
}

fn open_sources(specs: Vec<SourceSpec>, positions: &Positions) -> Result<Sensors> {
    raise_descriptor_limit();
    let (sensors, problems) = Sensors::open(specs, positions)?;
    announce_sources(&sensors, &problems);
    Ok(sensors)
}

/// One watched file is one descriptor. A refusal only means that fewer files can be watched.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

/// What the configuration names, else what this machine has.
pub(crate) fn sources(config: &Config) -> Vec<SourceSpec> {
    let named = config.sources();
    if !named.is_empty() {
        return named;
    }
    let mut found = Vec::new();
    let mut absent = Vec::new();
    for candidate in discover::usual_sources(Path::new("/")) {
        match candidate.verdict {
            Verdict::Watch => found.push(candidate.spec),
            Verdict::Missing { .. } => absent.push(candidate.spec.input.to_string()),
            Verdict::Unreadable { why, fix } => {
                eprintln!(
                    "posse: not watching {}: {why}\n  fix: {fix}",
                    candidate.spec.input
                );
            }
        }
    }
    if !absent.is_empty() {
        eprintln!(
            "posse: not on this machine: {} (see `posse doctor`)",
            absent.join(", ")
        );
    }
    found
}

pub(super) fn wake_on(
    sensors: &mut Sensors,
    bell: &signals::Bell,
    wishes: &signals::Signals,
    shield: &Shield,
) -> Result<()> {
    use std::os::fd::AsFd as _;
    sensors.add_wake_fd(bell.as_fd(), token::CONTROL)?;
    for descriptor in wishes.descriptors() {
        sensors.add_wake_fd(descriptor, token::SIGNAL)?;
    }
    if let Some(monitor) = shield.monitor() {
        sensors.add_wake_fd(monitor, token::KERNEL)?;
    }
    Ok(())
}

pub(super) fn announce_content(content: &Content) {
    for diagnostic in &content.diagnostics {
        eprintln!("{diagnostic}");
    }
    let rules = content.rules.entries().len();
    match content.errors() {
        0 => eprintln!("posse: {rules} rules loaded"),
        n => eprintln!("posse: {rules} rules loaded, {n} mistakes in rule files (see above)"),
    }
}

pub(super) fn announce_sources(sensors: &Sensors, problems: &[SourceProblem]) {
    for source in sensors.sources() {
        eprintln!("posse: watching {} ({})", source.name, source.kind());
    }
    for problem in problems {
        eprintln!("posse: not watching {problem}");
    }
    if sensors.sources().is_empty() {
        eprintln!(
            "posse: no log source is being watched. `posse doctor` explains what was looked for; \
             name sources in posse.toml ([[source]])."
        );
    }
}

fn report_recorder(event: store::RecorderEvent) {
    match event {
        store::RecorderEvent::Recorded { .. } => {}
        store::RecorderEvent::Paused { cause } => {
            eprintln!("posse: RECORDING PAUSED, bans go on: {cause}");
        }
        store::RecorderEvent::Resumed => eprintln!("posse: recording resumed"),
        store::RecorderEvent::Lost { entries, cause } => {
            eprintln!("posse: {entries} entries could not be recorded: {cause}");
        }
    }
}

impl Guard {
    /// What there was before us, and what we are.
    fn take_up(&mut self, refused: Option<EnforceError>, replayed: Vec<Alert>, restored: u64) {
        let now = self.started;
        self.record_start(restored);
        if let Some(e) = refused {
            let text = format!("cannot load the bans: {e}");
            self.notice(now, "kernel_refused", text, Vec::new());
        }
        if !replayed.is_empty() {
            self.act_on(replayed, now);
        }
        self.announce_mode();
    }

    fn record_start(&self, bans_restored: u64) {
        let start = Start {
            at: self.started,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rules_hash: self.engine.rules_hash().to_owned(),
            mode: if self.shield.enforces() {
                "enforce"
            } else {
                "observe"
            }
            .to_owned(),
            sources: self
                .sensors
                .sources()
                .iter()
                .map(|s| s.name.clone())
                .collect(),
            bans_restored,
        };
        self.recorder.offer(vec![Entry::Start(start)]);
    }

    /// The status page; a guard without one guards as well.
    fn open_console(&self, config: &ConsoleConfig, state: &Path) {
        if !config.enabled {
            return;
        }
        let Some(news) = self.feed.listen() else {
            return eprintln!("posse: no status page: too many listen already");
        };
        let board = self.board.clone();
        let inputs = console::Inputs {
            news,
            latest: Box::new(move || board.latest()),
            state: state.to_owned(),
        };
        match console::start(config, inputs) {
            Ok(address) => eprintln!("posse: status page at http://{address}/"),
            Err(e) => eprintln!("posse: no status page: {:#}", anyhow!(e)),
        }
    }

    fn announce_mode(&self) {
        let bans = self.shield.len();
        match self.shield.observing_because() {
            None => eprintln!("posse: ENFORCING: bans go to the kernel; {bans} in force"),
            Some(why) => eprintln!(
                "posse: OBSERVE MODE: nothing is banned. Reason: {why}. \
                 Detection, decisions and the record work."
            ),
        }
        std::io::stderr().flush().ok();
    }
}
