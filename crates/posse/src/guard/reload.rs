//! SIGHUP: take a changed configuration and changed rules, or keep the last good ones.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use detect::engine::{Engine, EngineOptions};
use model::{Severity, Timestamp};
use sense::Sensors;

use super::{Guard, startup};
use crate::{
    cli::RunArgs,
    config::Config,
    content::{self, Content},
};

/// What a reload needs to know of the start.
pub(super) struct Reload {
    config: Option<PathBuf>,
}

impl Reload {
    pub(super) fn new(arguments: &RunArgs) -> Self {
        Self {
            config: arguments.config.clone(),
        }
    }

    /// Everything that can fail, before anything changes.
    fn prepare(&self) -> Result<(Config, Content)> {
        let config = Config::load(self.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
        let content = content::load(&config.rules)?;
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
        Ok((config, content))
    }
}

impl Guard {
    pub(super) fn reload(&mut self, now: Timestamp) {
        match self.try_reload() {
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
    }

    fn try_reload(&mut self) -> Result<()> {
        let (config, content) = self.reload.prepare()?;
        let (mut sensors, problems) =
            Sensors::open(startup::sources(&config), self.sensors.positions())?;
        startup::wake_on(&mut sensors, &self.bell, &self.signals, &self.shield)?;
        self.policy.reconfigure(config.policy())?;
        let options = EngineOptions {
            buckets_max: config.limits.buckets,
            ..EngineOptions::default()
        };
        let mut engine = Engine::new(content.rules, options);
        engine.restore(&self.engine.snapshot())?;
        self.engine = engine;
        // The allowlist may have grown: what it protects now is lifted at the next tick.
        self.facts_seen = std::sync::Arc::default();
        startup::announce_sources(&sensors, &problems);
        self.sensors = sensors;
        self.snapshot();
        Ok(())
    }
}
