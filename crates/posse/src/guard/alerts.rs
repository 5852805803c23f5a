//! The guard's side of alerts: starts what carries them to people, and hands on what operators
//! ask of it. Sending has its own threads and its own queue; nothing here waits for it.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use model::{Command, Entry, Timestamp};
use notify::{Notifier, Which, World};
use sense::discover::{self, Verdict};

use super::{Guard, LAST_WORDS};
use crate::{board::Board, config::Config, control::Reply, feed::Feed};

/// Folder in the state folder where messages wait.
pub(crate) const FOLDER: &str = "alerts";
const BUSY: &str = "the list of alerts is in use; try again";

pub(super) fn start(config: &Config, state: &Path, feed: &Feed, board: &Board) -> Result<Notifier> {
    let plan = config.alerts.plan().map_err(|e| anyhow!("{e}"))?;
    let news = feed.listen().context("no room for a listener")?;
    let board = board.clone();
    let searched = config.sources().is_empty();
    let world = World {
        status: Box::new(move || board.latest()),
        unwatched: Box::new(move || if searched { unwatched() } else { Vec::new() }),
    };
    Ok(Notifier::start(plan, &state.join(FOLDER), news, world)?)
}

/// Logs that are there and cannot be read. Those that are named in the configuration report
/// themselves.
fn unwatched() -> Vec<String> {
    let candidates = discover::usual_sources(Path::new("/")).into_iter();
    let lines = candidates.filter_map(|candidate| match candidate.verdict {
        Verdict::Unreadable { why, .. } => Some(format!("{}: {why}", candidate.spec.input)),
        Verdict::Watch | Verdict::Missing { .. } => None,
    });
    lines.collect()
}

impl Guard {
    pub(super) fn acknowledge(
        &self,
        id: Option<String>,
        by: String,
        now: Timestamp,
    ) -> (Reply, Vec<Entry>) {
        let mut reply = Reply::default();
        let line = match &id {
            Some(id) => format!("posse alerts ack {id}"),
            None => "posse alerts ack --all".to_owned(),
        };
        let which = id.map_or(Which::All, Which::Id);
        match self.notifier.acknowledge(&which) {
            Some(done) => reply.alerts = done,
            None => reply.error = Some(BUSY.to_owned()),
        }
        if reply.alerts.is_empty() {
            return (reply, Vec::new());
        }
        let command = Command { at: now, by, line };
        (reply, vec![Entry::Command(command)])
    }

    pub(super) fn unacknowledged(&self) -> Reply {
        let open = self.notifier.unacknowledged();
        Reply {
            error: open.is_none().then(|| BUSY.to_owned()),
            alerts: open.unwrap_or_default(),
            ..Reply::default()
        }
    }

    pub(super) fn digest(&self) -> Reply {
        Reply {
            text: Some(self.notifier.digest().to_string()),
            ..Reply::default()
        }
    }

    /// What the configuration now says of alerts; queues stay.
    pub(super) fn reload_alerts(&self, config: &Config) -> Result<()> {
        let plan = config.alerts.plan().map_err(|e| anyhow!("{e}"))?;
        anyhow::ensure!(
            self.notifier.reconfigure(plan),
            "an earlier change of [alerts] is still under way; send SIGHUP again"
        );
        Ok(())
    }
}

/// After the feed was closed: what is under way goes out or to the disk.
pub(super) fn stop(notifier: Notifier) {
    if !notifier.stop(LAST_WORDS) {
        eprintln!("posse: stopped before all alerts were on disk");
    }
}
