//! Questions to the store: one thread, one connection that only reads, a short queue. What waits
//! too long or does not fit is refused; the page says so, and the guard never notices.

use std::{path::PathBuf, thread};

use crossbeam_channel::{Receiver, Sender, bounded};
use model::{AlertId, Timestamp};
use store::{ActiveBan, AlertFilter, RecordedAlert, Store, StoreError};
use tokio::sync::oneshot;

use crate::{
    limits::{ALERTS_SHOWN, BANS_SHOWN, QUESTIONS_MAX, REFUSALS_SHOWN},
    picture::{Checkpoint, Known, Wanted},
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("too many questions wait for the store; try again in a moment")]
    Busy,
    #[error("the thread that reads the store has ended")]
    Gone,
    #[error("{0}")]
    Store(#[from] StoreError),
}

type Question = Box<dyn FnOnce(&mut Reader) + Send>;

#[derive(Clone)]
pub(crate) struct History {
    questions: Sender<Question>,
}

impl History {
    pub(crate) fn begin(state: PathBuf) -> std::io::Result<Self> {
        let (questions, queue) = bounded(QUESTIONS_MAX);
        thread::Builder::new()
            .name("console-history".into())
            .spawn(move || answer_all(queue, Reader { state, store: None }))?;
        Ok(Self { questions })
    }

    /// Alerts before a ledger index, the newest first.
    pub(crate) async fn alerts(&self, filter: AlertFilter) -> Result<Vec<RecordedAlert>, NoAnswer> {
        self.ask(move |store| store.alerts(&filter)).await
    }

    pub(crate) async fn alert(&self, id: AlertId) -> Result<Option<RecordedAlert>, NoAnswer> {
        self.ask(move |store| store.alert(id)).await
    }

    /// Bans in force, the newest first, made before a ledger index.
    pub(crate) async fn bans(
        &self,
        at: Timestamp,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ActiveBan>, NoAnswer> {
        self.ask(move |store| store.newest_bans(at, before, limit))
            .await
    }

    /// What the overview's lists are held against.
    pub(crate) async fn newest(&self, at: Timestamp, wanted: Wanted) -> Result<Known, NoAnswer> {
        self.ask(move |store| newest(store, at, wanted)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (answer, wait) = oneshot::channel();
        let question: Question = Box::new(move |reader| {
            // Whoever asked may have gone.
            answer.send(reader.ask(question)).ok();
        });
        self.questions
            .try_send(question)
            .map_err(|_| NoAnswer::Busy)?;
        wait.await.map_err(|_| NoAnswer::Gone)?
    }
}

fn answer_all(queue: Receiver<Question>, mut reader: Reader) {
    for question in queue {
        question(&mut reader);
    }
}

struct Reader {
    state: PathBuf,
    store: Option<Store>,
}

impl Reader {
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&Store) -> Result<T, StoreError>,
    ) -> Result<T, NoAnswer> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open_read_only(&self.state)?,
        };
        let answer = question(&store)?;
        // After a fault the next question opens it anew.
        self.store = Some(store);
        Ok(answer)
    }
}

fn newest(store: &Store, at: Timestamp, wanted: Wanted) -> Result<Known, StoreError> {
    let mut known = Known {
        checkpoint: parse_checkpoint(&store.checkpoint()?),
        ..Known::default()
    };
    if wanted.events {
        let filter = AlertFilter {
            limit: ALERTS_SHOWN,
            ..AlertFilter::default()
        };
        let alerts = store.alerts(&filter)?.into_iter().map(|a| a.alert);
        known.alerts = alerts.collect();
        let refusals = store.refusals(REFUSALS_SHOWN)?;
        known.refusals = refusals.into_iter().map(|r| r.refusal).collect();
    }
    if wanted.bans {
        let bans = store.newest_bans(at, None, BANS_SHOWN)?;
        known.bans = bans.into_iter().map(|b| b.decision).collect();
    }
    Ok(known)
}

/// C2SP tlog-checkpoint: origin, size and root hash are the first three lines.
fn parse_checkpoint(note: &str) -> Option<Checkpoint> {
    let mut lines = note.lines();
    let mut next = || lines.next().map(str::to_owned);
    Some(Checkpoint {
        origin: next()?,
        size: next()?,
        root: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_begins_with_three_lines() {
        let note = "host/posse/1\n42\nAAAA=\n\n— host/posse/1 sig\n";
        let expected = Checkpoint {
            origin: "host/posse/1".into(),
            size: "42".into(),
            root: "AAAA=".into(),
        };
        assert_eq!(parse_checkpoint(note), Some(expected));
        assert_eq!(parse_checkpoint("one\n"), None);
    }
}
