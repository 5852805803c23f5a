//! How the guard takes its own pulse: once a second the numbers that it publishes anyway are
//! looked at (see [`super::vitals`]); on every wake-up it is asked whether the clock was set.

use std::path::Path;

use anyhow::{Context as _, Result};
use enforce::Applied;
use model::{Decision, Entry, Measure, Notice, Origin, Status, Timestamp, format_duration};
use sense::SourceSpec;

use super::{
    Guard, RECONCILE_EVERY,
    timekeeper::{Jump, Timekeeper},
    vitals::{Readings, Surveyor, Vitals, Watched},
};
use crate::{clock, config::Config};

/// Bans whose moved ends are recorded when the clock was set; the rest keep them until a restart.
const MOVED_MAX: usize = 10_000;

/// What the guard keeps to look at itself.
pub(super) struct Pulse {
    pub(super) vitals: Vitals,
    surveyor: Surveyor,
    timekeeper: Timekeeper,
    /// Observing was asked for on the command line.
    observe: bool,
    may_observe: bool,
}

impl Pulse {
    pub(super) fn begin(
        config: &Config,
        specs: &[SourceSpec],
        state: &Path,
        observe: bool,
        set_back: Option<Jump>,
    ) -> Result<Self> {
        let steady = clock::steady();
        let surveyor =
            Surveyor::watch(state).context("cannot start the thread that looks at the disk")?;
        let mut vitals = Vitals::new(config.vitals.clone(), watched(config, specs), steady);
        if let Some(jump) = set_back {
            vitals.clock_jumped(jump);
        }
        surveyor.look_for(vitals.named_files());
        Ok(Self {
            vitals,
            surveyor,
            timekeeper: Timekeeper::new(clock::now(), steady),
            observe,
            may_observe: observe || config.enforce.mode == crate::config::Mode::Observe,
        })
    }

    pub(super) fn reconfigure(&mut self, config: &Config, specs: &[SourceSpec]) {
        let steady = clock::steady();
        let watched = watched(config, specs);
        self.vitals
            .reconfigure(config.vitals.clone(), watched, steady);
        self.surveyor.look_for(self.vitals.named_files());
        self.may_observe = self.observe || config.enforce.mode == crate::config::Mode::Observe;
    }

    /// By how much the clock was set since the last call, if it was.
    fn jump(&mut self, now: Timestamp) -> Option<Jump> {
        let limit = self.vitals.clock_jump();
        self.timekeeper.check(now, clock::steady(), limit)
    }
}

impl Guard {
    /// One look at everything, with the numbers that are about to be published.
    pub(super) fn take_pulse(&mut self, status: &Status) {
        let place = self.pulse.surveyor.latest();
        let notices = self.pulse.vitals.look(&Readings {
            status,
            place: &place,
            may_observe: self.pulse.may_observe,
            steady: clock::steady(),
        });
        for Notice { at, code, text, .. } in notices {
            self.notice(at, &code, text, Vec::new());
        }
    }

    /// The kernel took a change or refused it; what it lacked or had too much was put right.
    pub(super) fn kernel_answered(&mut self, answer: Result<Applied, enforce::EnforceError>) {
        let vitals = &mut self.pulse.vitals;
        let Applied {
            added,
            updated,
            removed,
            ..
        } = match answer {
            Ok(applied) => applied,
            Err(e) => return vitals.kernel_took(Err(e.to_string())),
        };
        vitals.kernel_took(Ok(()));
        if added + updated + removed > 0 {
            vitals.kernel_repaired(format!(
                "{added} bans put back, {updated} ends corrected, {removed} strangers taken out"
            ));
        }
    }

    /// If the clock was set, everything that is kept as a point in time moves with it.
    pub(super) fn mind_the_clock(&mut self, now: Timestamp) {
        if let Some(jump) = self.pulse.jump(now) {
            self.pulse.vitals.clock_jumped(jump);
            self.follow_clock(jump, now);
        }
    }

    /// Bans in force, with the ends that they have now: after a restart the ledger must give them
    /// back as they are.
    fn record_moved_bans(&self, jump: Jump) {
        let direction = if jump.is_forward() { "forward" } else { "back" };
        let reason = format!(
            "the clock was set {direction} by {}; the ban keeps its length",
            format_duration(jump.span())
        );
        let decisions = self.policy.bans().take(MOVED_MAX).map(|(prefix, ban)| {
            Entry::Decision(Decision {
                measure: Measure::Ban,
                prefix,
                from: ban.from,
                until: ban.until,
                reason: reason.clone(),
                // Without an alert it was a person's.
                origin: match ban.alert {
                    Some(_) => Origin::Guard,
                    None => Origin::Operator {
                        name: "an operator, before the clock was set".to_owned(),
                    },
                },
                alerts: Vec::new(),
                repeat: ban.repeat,
                in_kernel: None,
            })
        });
        self.recorder.offer(decisions.collect());
    }

    fn follow_clock(&mut self, jump: Jump, now: Timestamp) {
        self.next_publish = now;
        self.next_reconcile = now.plus(RECONCILE_EVERY);
        self.engine.clock_was_set(jump.by);
        self.policy.clock_was_set(jump.by);
        self.shield.clock_was_set(jump.by, now);
        self.recorder.clock_was_set(now);
        self.record_moved_bans(jump);
        // The journal's lines carry the old time.
        self.snapshot();
    }
}

/// What is watched, and what its silence means.
fn watched(config: &Config, specs: &[SourceSpec]) -> Vec<Watched> {
    let mut silences = config.silences();
    specs
        .iter()
        .map(|spec| Watched::new(spec, silences.next().unwrap_or_default()))
        .collect()
}
