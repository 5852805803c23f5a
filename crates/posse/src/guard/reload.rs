//! SIGHUP: take a changed configuration and changed rules, or keep the last good ones.
//!
//! Reading, compiling and opening sockets is an errand for another thread; the guard goes on
//! meanwhile and then exchanges the old for the new in one go.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, anyhow, bail};
use confine::Plan;
use crossbeam_channel::{Receiver, Sender, bounded};
use detect::engine::Engine;
use model::{Severity, Timestamp};
use sense::{Held, Listeners, Sensors, SourceSpec};

use super::{Guard, startup};
use crate::{
    cli::{Duty, RunArgs},
    config::Config,
    geoip::GeoIp,
    sandbox::{self, Needs},
};

/// What a reload needs to know of the start, and the way back from the errand.
pub(super) struct Reload {
    origin: Origin,
    done: Sender<Result<Prepared>>,
    ready: Receiver<Result<Prepared>>,
    button: UnixStream,
}

#[derive(Clone)]
struct Origin {
    config: Option<PathBuf>,
    state: PathBuf,
    observe: bool,
    duty: Duty,
    /// What the program took before it made an engine.
    base: u64,
}

/// Everything that can fail has not.
struct Prepared {
    config: Config,
    engine: Engine,
    specs: Vec<SourceSpec>,
    listeners: Listeners,
    /// What the sandbox would have to grant.
    needs: Plan,
}

impl Reload {
    /// `button` rings the bell when something is ready.
    pub(super) fn new(arguments: &RunArgs, state: &Path, button: UnixStream, base: u64) -> Self {
        let (done, ready) = bounded(1);
        Self {
            origin: Origin {
                config: arguments.config.clone(),
                state: state.to_owned(),
                observe: arguments.observe,
                duty: arguments.duty,
                base,
            },
            done,
            ready,
            button,
        }
    }
}

impl Origin {
    fn prepare(&self, held: &Held) -> Result<Prepared> {
        let config = Config::load(self.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
        let content = startup::rules(self.duty, &config)?;
        if let Some(first) = content
            .diagnostics
            .iter()
            .find(|d| d.severity == Severity::Error)
        {
            bail!(
                "{} mistakes in rule files; the first: {first}",
                content.errors()
            );
        }
        let specs = startup::specs(self.duty, &config);
        let needs = Needs {
            config: &config,
            config_path: self.config.as_deref(),
            state: &self.state,
            sources: &specs,
            observe: self.observe,
        };
        sandbox::check_permissions(&needs)?;
        let needs = needs.plan();
        let mut engine = Engine::new(content.rules, startup::budget(&config, self.base)?.engine);
        let (geoip, faults) = GeoIp::open(&config.geoip);
        if let Some(fault) = faults.into_iter().next() {
            return Err(fault);
        }
        if let Some(facts) = geoip.facts() {
            engine.set_facts(facts);
        }
        let mut listeners = Listeners::default();
        listeners.open(&specs, held);
        Ok(Prepared {
            engine,
            config,
            specs,
            listeners,
            needs,
        })
    }
}

impl Guard {
    /// Has the new state of things prepared; [`Guard::finish_reload`] takes it.
    pub(super) fn reload(&self, now: Timestamp) {
        let origin = self.reload.origin.clone();
        let held = self.sensors.held();
        let done = self.reload.done.clone();
        let button = self.reload.button.try_clone();
        let errand = move || {
            done.try_send(origin.prepare(&held)).ok();
            if let Ok(mut button) = button {
                button.write_all(&[1]).ok();
            }
        };
        if let Err(e) = self.errands.run(errand) {
            self.tell_of_reload(Err(e), now);
        }
    }

    pub(super) fn finish_reload(&mut self, now: Timestamp) {
        if let Ok(prepared) = self.reload.ready.try_recv() {
            let outcome = prepared.and_then(|prepared| self.exchange(prepared, now));
            self.tell_of_reload(outcome, now);
        }
    }

    fn tell_of_reload(&self, outcome: Result<()>, now: Timestamp) {
        match outcome {
            Ok(()) => self.notice(
                now,
                "reloaded",
                "configuration and rules reloaded".into(),
                Vec::new(),
            ),
            Err(e) => self.notice(
                now,
                "reload_failed",
                format!(
                    "reload failed, the last good configuration and rules stay in force: {e:#}"
                ),
                Vec::new(),
            ),
        }
        self.announce_ready();
    }

    fn exchange(&mut self, new: Prepared, now: Timestamp) -> Result<()> {
        let doors = self.sensors.hand_over(new.listeners);
        let positions = self.sensors.positions();
        let (mut sensors, problems) = Sensors::open_through(new.specs.clone(), positions, doors)?;
        startup::wake_on(&mut sensors, &self.bell, &self.signals, &self.shield)?;
        self.policy.reconfigure(new.config.policy())?;
        self.reload_alerts(&new.config)?;
        let mut engine = new.engine;
        engine.restore(&self.engine.snapshot())?;
        self.engine = engine;
        self.pulse.reconfigure(&new.config, &new.specs);
        if let Some(uplink) = &self.fleet {
            uplink.reconfigure(new.config.fleet.clone(), new.config.never_ban.clone());
        }
        // The allowlist may have grown: what it protects now is lifted at the next tick.
        self.facts_seen = Arc::default();
        startup::announce_sources(&sensors, &problems);
        self.sensors = sensors;
        self.snapshot();
        self.tell_of_walls(&new.needs, now);
        Ok(())
    }

    /// Walls cannot be moved while we run.
    fn tell_of_walls(&self, needs: &Plan, now: Timestamp) {
        let missing = self.sandbox.missing(needs);
        if !missing.is_empty() {
            let text = format!(
                "the new configuration needs what the sandbox was not built for: {}; that part \
                 works after a restart (systemctl restart posse), bans stay in force over it",
                missing.join(", ")
            );
            self.notice(now, "restart_needed", text, Vec::new());
        }
    }
}
