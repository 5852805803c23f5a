//! `posse hub` and what speaks to one: starting it, its control socket, invitations, keys,
//! members. What a hub does is in the room `hub`; here is the command line and the wiring.

mod control;
mod desk;
mod keeper;
mod people;
mod tell;

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use hub::{ExhibitOptions, Hub, OrgId, ServerOptions, Traffic, WitnessesNow};
use model::{Entry, Notice, Start, Stop};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use store::Recorder;
use tokio::net::TcpListener;

pub(crate) use desk::{HubOrder, ask, keys, members, order};
pub(crate) use keeper::{HubConfig, Kept};
pub(crate) use tell::{bans, is_hub, status};

use crate::{
    cli::{HubArgs, HubCommand},
    clock,
    config::Config,
    deadlines,
    evidence_keeper::{self, ByRecorder},
    exhibit_command::host,
    exit::Exit,
    facts,
    geoip::Database,
    state,
};

const HUB_DATABASE: &str = "hub.db";
const DEFAULT_ORGANISATION: &str = "hub";

pub(crate) fn run(arguments: &HubArgs, out: &mut dyn Write) -> Result<Exit> {
    match &arguments.action {
        Some(HubCommand::Invite(invite)) => order(&invite.state, &invite.order(), out),
        Some(HubCommand::Revoke(revoke)) => order(&revoke.state, &revoke.order(), out),
        Some(HubCommand::Admit(change)) => order(&change.state, &change.admit(), out),
        Some(HubCommand::Expel(change)) => order(&change.state, &change.expel(), out),
        Some(HubCommand::Vouch(vouch)) => order(&vouch.state, &vouch.order(), out),
        Some(HubCommand::People(command)) => people::run(command, out),
        Some(HubCommand::Rules(rules)) => order(&rules.state, &rules.order(), out),
        None if arguments.keep => keeper::keep(arguments),
        None => serve(arguments, out),
    }
}

fn serve(arguments: &HubArgs, out: &mut dyn Write) -> Result<Exit> {
    let listen = arguments
        .listen
        .context("say where to listen: --listen ADDR:PORT")?;
    let dir = state::folder(arguments.state.state.as_deref())?;
    let config = match &arguments.config {
        Some(path) => Config::load(Some(path)).map_err(|d| anyhow!("{d}"))?,
        None => Config::default(),
    };
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hub-net")
        .build()?;
    let stop = runtime.block_on(async { stop_signals(arguments.while_input) })?;
    let (mut hub, recorder) = open(&dir, arguments.org.as_ref())?;
    if let Some(file) = &arguments.asn {
        let networks = Database::open(file)?;
        hub.know_systems(Box::new(move |address| networks.system(address)));
    }
    let listener = runtime
        .block_on(TcpListener::bind(listen))
        .with_context(|| format!("cannot listen on {listen}"))?;
    let local = listener.local_addr()?;
    let options = ServerOptions {
        names: arguments.name.clone(),
        addresses: own_addresses(local.ip()),
        ledger: Some(dir.clone()),
        exhibits: Some(exhibits(&config, &dir, &recorder)),
        ..ServerOptions::default()
    };
    let ears = Arc::new(Ears(Arc::clone(&recorder)));
    let asking = Arc::new(openlog::start(&dir, config.ledger.others().read()?, ears)?);
    evidence_keeper::start(&config, &dir, &recorder, None)?;
    let core = hub.core();
    let traffic = Arc::new(Traffic::default());
    if let Some(metrics) = arguments.metrics {
        let listener = runtime.block_on(TcpListener::bind(metrics));
        let listener =
            listener.with_context(|| format!("cannot listen on {metrics} (--metrics)"))?;
        writeln!(out, "metrics at http://{}/metrics", listener.local_addr()?)?;
        let (core, traffic, witnesses) = (core.clone(), Arc::clone(&traffic), witnesses(&asking));
        runtime.spawn(hub::serve_metrics(listener, core, traffic, witnesses));
    }
    deadlines::watch(&dir, Arc::clone(&recorder), None)?;
    control::serve(&dir, &core, runtime.handle().clone(), &recorder)?;
    note_start(&recorder, local, core.status().bans)?;
    writeln!(out, "hub of {} listens on {local}", core.hub_organisation())?;
    if !local.ip().is_loopback() {
        writeln!(
            out,
            "the doors for API keys answer in plain HTTP too: beyond this machine, clients must \
             use https://"
        )?;
    }
    out.flush()?;
    runtime.block_on(async {
        tokio::select! {
            ended = hub::serve(listener, &mut hub, options, traffic) => ended,
            _ = stop => Ok(()),
        }
    })?;
    drop(asking);
    let at = clock::now();
    let reason = "asked to".to_owned();
    runtime.shutdown_background();
    hub.stop();
    recorder.record_and_wait(vec![Entry::Stop(Stop { at, reason })])?;
    Ok(Exit::Success)
}

/// Who reads the numbers does not keep the threads that ask.
fn witnesses(asking: &Arc<openlog::Asking>) -> WitnessesNow {
    let asked = Arc::downgrade(asking);
    Arc::new(move || asked.upgrade()?.status())
}

/// How evidence is taken in.
fn exhibits(config: &Config, dir: &Path, recorder: &Arc<Recorder>) -> ExhibitOptions {
    ExhibitOptions {
        state: dir.to_owned(),
        ledger: Arc::new(ByRecorder {
            state: dir.to_owned(),
            recorder: Arc::clone(recorder),
            feed: None,
        }),
        policy: config.evidence.policy(),
        bytes_max: config.evidence.upload_max.0,
        room_min: config.evidence.upload_room.0,
        time_servers: config.evidence.time_servers.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        place: host(),
    }
}

/// Where it is told what witnesses and authorities did not do.
struct Ears(Arc<Recorder>);

impl openlog::Outlet for Ears {
    fn notice(&self, code: &str, text: String) {
        eprintln!("posse: {}", model::harmless(&text));
        self.0.offer(vec![Entry::Notice(Notice {
            at: clock::now(),
            code: code.to_owned(),
            text,
            prefixes: Vec::new(),
        })]);
    }
}

/// Opens the state folder for this process alone.
pub(super) fn open(dir: &Path, organisation: Option<&OrgId>) -> Result<(Hub, Arc<Recorder>)> {
    let store = state::open_store(dir, None)?;
    let recorder = Arc::new(Recorder::start(store, Box::new(|_| {}))?);
    let organisation = match organisation {
        Some(named) => named.clone(),
        None => match Hub::organisation_of(dir)? {
            Some(known) => known,
            None => DEFAULT_ORGANISATION.parse()?,
        },
    };
    let hub = Hub::open(dir, organisation, Arc::clone(&recorder))?;
    Ok((hub, recorder))
}

fn note_start(recorder: &Recorder, listen: SocketAddr, bans: usize) -> Result<()> {
    recorder.record_and_wait(vec![Entry::Start(Start {
        at: clock::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules_hash: String::new(),
        mode: "hub".to_owned(),
        sources: vec![listen.to_string()],
        bans_restored: bans as u64,
    })])?;
    Ok(())
}

/// What the certificate must hold, and what nobody may ban.
fn own_addresses(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let mut own = facts::gather().own_addresses;
    let local: [IpAddr; 2] = [
        std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::Ipv6Addr::LOCALHOST.into(),
    ];
    own.extend(
        local
            .into_iter()
            .filter(|l| !own.contains(l))
            .collect::<Vec<_>>(),
    );
    own
}

/// Ready when the process is asked to stop: by a signal, or by the end of its standard input.
pub(crate) fn stop_signals(while_input: bool) -> Result<impl Future<Output = ()>> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    if while_input {
        let (end, far) = (keeper::end_of_input()?, far.try_clone()?);
        thread::Builder::new().name("end".into()).spawn(move || {
            end.recv().ok();
            (&far).write_all(b"e").ok();
        })?;
    }
    signal_hook::low_level::pipe::register(SIGTERM, far.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGINT, far)?;
    near.set_nonblocking(true)?;
    let near = tokio::net::UnixStream::from_std(near)?;
    Ok(async move {
        // An error would mean that no signal can come any more.
        let _ = near.readable().await;
    })
}

/// Each member keeps a connection open.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    if raised.is_err() {
        tracing::warn!("the limit of open files could not be raised; few members can connect");
    }
}

/// Whether a state folder is a hub's.
pub(crate) fn holds_hub(dir: &Path) -> bool {
    dir.join(HUB_DATABASE).exists()
}

pub(super) fn not_a_hub(dir: &Path) -> Result<Exit> {
    bail!(
        "{} is no hub's state folder; say --state DIR as `posse hub` was given",
        dir.display()
    )
}
