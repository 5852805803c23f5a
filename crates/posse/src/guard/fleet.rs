//! The guard's line to its hub: starts the uplink, offers it what this machine bans by itself.
//!
//! The uplink has threads, a kernel table and files of its own; nothing here waits for it.

use std::{path::Path, sync::Arc};

use decide::Verdict;
use model::{Alert, Entry, Happening, Measure, Notice, Origin, ReleaseReason, harmless};
use sha2::{Digest as _, Sha256};
use store::Recorder;
use uplink::{Inputs, Membership, Mode, Outlet, OwnAct, SharedKind, Uplink, Vitals};

use super::Guard;
use crate::{board::Board, clock, config::Config, facts::Facts, feed::Feed};

/// Where the uplink tells and records.
pub(super) struct Ears {
    pub(super) recorder: Arc<Recorder>,
    pub(super) feed: Feed,
}

impl openlog::Outlet for Ears {
    fn notice(&self, code: &str, text: String) {
        Outlet::notice(self, code, text);
    }
}

impl Outlet for Ears {
    fn record(&self, entries: Vec<Entry>) {
        self.recorder.offer(entries);
    }

    fn notice(&self, code: &str, text: String) {
        eprintln!("posse: {}", harmless(&text));
        let now = clock::now();
        let notice = Notice {
            at: now,
            code: code.to_owned(),
            text,
            prefixes: Vec::new(),
        };
        self.feed.say(now, Happening::Notice(notice.clone()));
        self.recorder.offer(vec![Entry::Notice(notice)]);
    }
}

/// What the uplink is started with.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a Config,
    pub(super) state: &'a Path,
    pub(super) observe: bool,
    pub(super) facts: &'a Facts,
    pub(super) recorder: &'a Arc<Recorder>,
    pub(super) feed: &'a Feed,
    pub(super) board: &'a Board,
}

/// `None`: this machine has not joined, or the line could not be begun; a guard without it guards
/// as well.
pub(super) fn start(around: &Surroundings<'_>) -> Option<Uplink> {
    if around.config.fleet.mode == Mode::Off {
        return None;
    }
    let begun = Membership::load(around.state).and_then(|found| match found {
        Some(membership) => {
            eprintln!("posse: member of a hub: {}", membership.introduce());
            Uplink::start(inputs(around, membership)).map(Some)
        }
        None => Ok(None),
    });
    begun.unwrap_or_else(|e| {
        eprintln!("posse: NO LINE TO THE HUB: {:#}", anyhow::Error::from(e));
        None
    })
}

fn inputs(around: &Surroundings<'_>, membership: Membership) -> Inputs {
    let config = around.config;
    let (facts, board) = (around.facts.clone(), around.board.clone());
    Inputs {
        state: around.state.to_owned(),
        membership,
        config: config.fleet.clone(),
        never_ban: config.never_ban.clone(),
        observe: around.observe || config.enforce.mode == crate::config::Mode::Observe,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        facts: Box::new(move || facts.latest()),
        vitals: Box::new(move || vitals(&board)),
        outlet: Box::new(Ears {
            recorder: Arc::clone(around.recorder),
            feed: around.feed.clone(),
        }),
    }
}

fn vitals(board: &Board) -> Vitals {
    let Some(status) = board.latest() else {
        return Vitals::default();
    };
    let lines = status.sources.iter().map(|source| source.dropped).sum();
    Vitals {
        sources: status.sources.len() as u64,
        bans_local: status.bans,
        drops: vec![
            ("lines".to_owned(), lines),
            ("records".to_owned(), status.recorder.lost),
            ("feed".to_owned(), status.feed_lines_dropped),
        ],
    }
}

impl Guard {
    /// Tells the hub's members, if the configuration says so. Never waits.
    pub(super) fn share(&self, verdicts: &[Verdict], alerts: &[Alert]) {
        let Some(uplink) = &self.fleet else { return };
        for verdict in verdicts {
            if let Some((act, by)) = own_act(verdict, alerts) {
                uplink.offer(act, by);
            }
        }
    }
}

fn own_act(verdict: &Verdict, alerts: &[Alert]) -> Option<(OwnAct, SharedKind)> {
    match verdict {
        Verdict::Ban(decision) => {
            let Measure::Ban = decision.measure;
            let by = by(&decision.origin);
            let cause = decision.alerts.first();
            let cause = cause.and_then(|id| alerts.iter().find(|alert| alert.id == *id));
            let kind = match (cause, by) {
                (Some(alert), _) => alert.rule.clone(),
                (None, SharedKind::Detection) => "detection".to_owned(),
                (None, SharedKind::Operator) => "manual".to_owned(),
            };
            let mut hash = Sha256::new();
            decision
                .alerts
                .iter()
                .for_each(|id| hash.update(id.bytes()));
            let hash: [u8; 32] = hash.finalize().into();
            let act = OwnAct::Ban {
                prefix: decision.prefix,
                until: decision.until,
                kind,
                reason: decision.reason.clone(),
                provenance: hash.first_chunk().copied().unwrap_or_default(),
            };
            Some((act, by))
        }
        Verdict::Supersede(release) => {
            let reason = match release.reason {
                // The wider ban that took its place is told.
                ReleaseReason::Superseded => return None,
                ReleaseReason::Operator | ReleaseReason::Panic => "released by an operator",
                ReleaseReason::Protected => "protected at its origin",
            };
            let act = OwnAct::Release {
                prefix: release.prefix,
                reason: reason.to_owned(),
            };
            Some((act, by(&release.by)))
        }
        Verdict::Notice(_) | Verdict::Refuse(_) => None,
    }
}

const fn by(origin: &Origin) -> SharedKind {
    match origin {
        Origin::Guard => SharedKind::Detection,
        Origin::Operator { .. } => SharedKind::Operator,
    }
}

/// For [`Guard::status`].
pub(super) fn status(uplink: Option<&Uplink>) -> Option<model::FleetStatus> {
    uplink.map(|uplink| (*uplink.status()).clone())
}
