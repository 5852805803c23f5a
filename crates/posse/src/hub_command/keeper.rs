//! The hub beside a guard: `[hub]` in the configuration of `posse run`.
//!
//! A hub answers strangers, a guard holds the kernel's bans; so the hub is a process of its own.
//! The guard starts this keeper before it gives up the right to start programs; the keeper starts
//! the hub, and again when it ends. Each ends when its standard input does, so neither outlives
//! the guard, however that ended.

use std::{
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::{cli::HubArgs, config::DEFAULT_PATH, exit::Exit};

/// The folder within the guard's state folder that is the hub's.
pub(crate) const FOLDER: &str = "hub";
/// How long a hub may take to put its state in order at the end.
const FAREWELL: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A hub that ends is started again after this, doubled as long as it ends soon.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// A hub that lived for so long did not end soon.
const LIVED: Duration = Duration::from_secs(300);

/// `[hub]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HubConfig {
    /// Where to serve all doors; absent: no hub.
    pub(crate) listen: Option<SocketAddr>,
    /// DNS names that members reach it by.
    pub(crate) names: Vec<String>,
    pub(crate) org: Option<hub::OrgId>,
    pub(crate) metrics: Option<SocketAddr>,
    /// A database of networks (.mmdb).
    pub(crate) asn: Option<PathBuf>,
}

/// The keeper as the guard has it; dropped, it and its hub end.
pub(crate) struct Kept {
    keeper: Child,
}

impl Kept {
    /// Starts the keeper, if the configuration asks for a hub.
    /// The hub reads the guard's configuration for what concerns ledger and evidence.
    pub(crate) fn start(
        config: &HubConfig,
        guards_state: &Path,
        file: Option<&Path>,
    ) -> Result<Option<Self>> {
        let Some(listen) = config.listen else {
            return Ok(None);
        };
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command
            .args(["hub", "--keep", "--listen"])
            .arg(listen.to_string())
            .arg("--state")
            .arg(guards_state.join(FOLDER));
        for name in &config.names {
            command.arg("--name").arg(name);
        }
        if let Some(org) = &config.org {
            command.arg("--org").arg(org.to_string());
        }
        if let Some(metrics) = config.metrics {
            command.arg("--metrics").arg(metrics.to_string());
        }
        if let Some(asn) = &config.asn {
            command.arg("--asn").arg(asn);
        }
        let usual = Path::new(DEFAULT_PATH);
        if let Some(file) = file.or_else(|| usual.exists().then_some(usual)) {
            command.arg("--config").arg(file);
        }
        let keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the hub that [hub] asks for")?;
        eprintln!(
            "posse: a hub listens on {listen}; its state is in {}",
            guards_state.join(FOLDER).display()
        );
        Ok(Some(Self { keeper }))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let until = Instant::now() + FAREWELL + FAREWELL;
        while Instant::now() < until {
            match self.keeper.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        self.keeper.kill().ok();
    }
}

/// `posse hub --keep`: runs the hub until standard input ends.
pub(super) fn keep(arguments: &HubArgs) -> Result<Exit> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let end = end_of_input()?;
    let mut again = AGAIN_MIN;
    loop {
        let began = Instant::now();
        let hub = hub(&program, arguments).context("cannot start the hub")?;
        let Some(status) = watch(hub, &end) else {
            return Ok(Exit::Success);
        };
        again = match began.elapsed() < LIVED {
            true => (again * 2).min(AGAIN_MAX),
            false => AGAIN_MIN,
        };
        eprintln!("posse: the hub ended ({status}); it is started again in {again:?}");
        if !matches!(end.recv_timeout(again), Err(RecvTimeoutError::Timeout)) {
            return Ok(Exit::Success);
        }
    }
}

fn hub(program: &PathBuf, arguments: &HubArgs) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["hub", "--while-input"]);
    if let Some(listen) = arguments.listen {
        command.arg("--listen").arg(listen.to_string());
    }
    for name in &arguments.name {
        command.arg("--name").arg(name);
    }
    if let Some(org) = &arguments.org {
        command.arg("--org").arg(org.to_string());
    }
    if let Some(metrics) = arguments.metrics {
        command.arg("--metrics").arg(metrics.to_string());
    }
    if let Some(asn) = &arguments.asn {
        command.arg("--asn").arg(asn);
    }
    if let Some(config) = &arguments.config {
        command.arg("--config").arg(config);
    }
    if let Some(state) = &arguments.state.state {
        command.arg("--state").arg(state);
    }
    command.stdin(Stdio::piped()).spawn()
}

/// How the hub ended by itself; `None` when it was made to, because our input is over.
fn watch(mut hub: Child, end: &mpsc::Receiver<()>) -> Option<ExitStatus> {
    loop {
        match end.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                part(hub);
                return None;
            }
        }
        if let Ok(Some(status)) = hub.try_wait() {
            return Some(status);
        }
    }
}

fn part(mut hub: Child) {
    let pid = i32::try_from(hub.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, Signal::TERM).ok();
    }
    let until = Instant::now() + FAREWELL;
    while Instant::now() < until {
        match hub.try_wait() {
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    hub.kill().ok();
    hub.wait().ok();
}

/// Rings once when standard input is over.
pub(super) fn end_of_input() -> Result<mpsc::Receiver<()>> {
    let (ring, end) = mpsc::channel();
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let mut some = [0; 512];
            let mut input = std::io::stdin();
            while input.read(&mut some).is_ok_and(|n| n > 0) {}
            ring.send(()).ok();
        })
        .context("cannot start a thread")?;
    Ok(end)
}
