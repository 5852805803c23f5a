//! Asking witnesses to cosign: one thread a witness, so that a slow one holds up no other.
//!
//! Each looks at the ledger every second and asks when there is more than its witness has
//! cosigned. What a witness says is kept in the store; that it saw another history, or is behind
//! for too long, is told once, and once more when it is over.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ledger::AddCheckpoint;
use model::WitnessesStatus;
use store::{Alarm, Attestations, StoreError, WitnessSetup, WitnessState};
use ureq::Agent;

use crate::{OpenLogError, Setup, clock, error::full, http, stamping::Stamper};

/// How often the ledger is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_LAST: Duration = Duration::from_secs(300);
/// A few signature lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A witness may have to tell us its size, once or, if we race another, twice.
const TRIES: usize = 3;

/// Where it is told what people should know.
pub trait Outlet: Send + Sync {
    /// `code` is a stable word.
    fn notice(&self, code: &str, text: String);
}

/// The threads that ask; they end when this is dropped.
pub struct Asking {
    stop: Option<Sender<()>>,
    /// Of each witness, as its thread saw it last.
    views: Vec<Arc<View>>,
    threads: Vec<JoinHandle<()>>,
}

/// What a thread saw; never locked.
#[derive(Default)]
struct View {
    behind: AtomicU64,
    other_history: AtomicBool,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop = None;
        // A thread in the middle of a question would hold the end up; it ends by itself.
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            thread.join().ok();
        }
    }
}

/// Takes the configuration up and begins to ask. Without witnesses and authorities it only says
/// so to the store.
pub fn start(state: &Path, setup: Setup, outlet: Arc<dyn Outlet>) -> Result<Asking, OpenLogError> {
    Attestations::open(state)?.configure(&setup.witnesses, setup.policy.as_deref())?;
    let (stop, stopped) = bounded(0);
    let mut asking = Asking {
        stop: Some(stop),
        views: Vec::new(),
        threads: Vec::new(),
    };
    for witness in &setup.witnesses {
        let view = Arc::new(View::default());
        asking.views.push(Arc::clone(&view));
        let asker = Asker {
            state: state.to_owned(),
            witness: witness.clone(),
            agent: http::agent(&witness.url),
            lag: setup.lag,
            outlet: Arc::clone(&outlet),
            told: Told::Well,
            behind_since: None,
            view,
        };
        asking.spawn(state, "ledger-witness", &stopped, |stopped| {
            asker.run(&stopped);
        })?;
    }
    if !setup.authorities.is_empty() {
        let stamper = Stamper::new(state.to_owned(), setup, outlet);
        asking.spawn(state, "ledger-stamp", &stopped, |stopped| {
            stamper.run(&stopped);
        })?;
    }
    Ok(asking)
}

impl Asking {
    /// For status and metrics; waits for nothing. `None`: nobody is asked.
    pub fn status(&self) -> Option<WitnessesStatus> {
        let behind = self.views.iter().map(|v| v.behind.load(Relaxed)).max()?;
        let others = self.views.iter().filter(|v| v.other_history.load(Relaxed));
        Some(WitnessesStatus {
            asked: self.views.len() as u64,
            other_history: others.count() as u64,
            behind,
        })
    }

    fn spawn(
        &mut self,
        state: &Path,
        name: &str,
        stopped: &Receiver<()>,
        work: impl FnOnce(Receiver<()>) + Send + 'static,
    ) -> Result<(), OpenLogError> {
        let stopped = stopped.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(stopped))
            .map_err(crate::error::io_at(
                state,
                "start a thread for its witnesses",
            ))?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Waits, unless it is time to stop.
pub(crate) fn goes_on(stopped: &Receiver<()>, wait: Duration) -> bool {
    stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Well,
    Behind,
    OtherHistory,
}

struct Asker {
    state: PathBuf,
    witness: WitnessSetup,
    agent: Agent,
    lag: Duration,
    outlet: Arc<dyn Outlet>,
    told: Told,
    behind_since: Option<Instant>,
    view: Arc<View>,
}

/// How a question went.
enum Outcome {
    Cosigned,
    Trouble(String),
    OtherHistory(String),
}

impl Asker {
    fn run(mut self, stopped: &Receiver<()>) {
        let mut book: Option<Attestations> = None;
        let mut wait = LOOK_EVERY;
        let mut failures = 0;
        while goes_on(stopped, wait) {
            let look = match book.take() {
                Some(open) => Ok(open),
                None => Attestations::open(&self.state).map_err(OpenLogError::from),
            };
            let looked = look.and_then(|mut open| {
                let looked = self.look(&mut open)?;
                // After a fault of the store it is opened anew.
                book = Some(open);
                Ok(looked)
            });
            let failed = match looked {
                Ok(Some(Outcome::Trouble(_) | Outcome::OtherHistory(_))) => true,
                Ok(_) => false,
                Err(e) => {
                    tracing::warn!(witness = %self.witness.name, error = %full(&e), "not asked");
                    true
                }
            };
            failures = if failed { failures + 1 } else { 0 };
            wait = pause(failures);
        }
    }

    /// `None` when the witness has cosigned all there is.
    fn look(&mut self, book: &mut Attestations) -> Result<Option<Outcome>, OpenLogError> {
        let (size, _) = book.newest()?;
        let known = book.witnesses()?;
        let known = known
            .into_iter()
            .find(|w| w.setup.vkey == self.witness.vkey);
        let Some(known) = known else {
            return Ok(None);
        };
        self.view
            .behind
            .store(size.saturating_sub(known.size), Relaxed);
        self.view.other_history.store(known.alarm, Relaxed);
        let done = known.cosigned_at.is_some() && known.size == size && known.trouble.is_none();
        if done || size == 0 {
            self.behind_since = None;
            return Ok(None);
        }
        let outcome = self.ask(book, &known)?;
        self.tell(&outcome, size);
        if let Outcome::Cosigned = outcome {
            self.behind_since = None;
        }
        Ok(Some(outcome))
    }

    fn ask(&self, book: &mut Attestations, known: &WitnessState) -> Result<Outcome, OpenLogError> {
        let mut old = known.size;
        for _ in 0..TRIES {
            let (size, checkpoint) = book.newest()?;
            if old > size {
                let text = format!("it cosigned {old} entries, this ledger has {size}");
                return self.other_history(book, text, Some(old));
            }
            let request = AddCheckpoint {
                old,
                proof: book.consistency(old, size)?,
                checkpoint,
            };
            let answer = match self.send(&request) {
                Ok(answer) => answer,
                Err(e) => return self.trouble(book, e.to_string()),
            };
            let text = String::from_utf8_lossy(&answer.body);
            match (answer.status, text.trim_end().parse::<u64>()) {
                (200, _) => return self.cosigned(book, &request.checkpoint, &text),
                // The size it cosigned last is another than we thought.
                (409, Ok(told)) if told != old => old = told,
                (status @ (409 | 422), _) => {
                    let text =
                        format!("it cosigned another history of {old} entries (HTTP {status})");
                    return self.other_history(book, text, None);
                }
                (status, _) => {
                    let text = format!("HTTP {status}: {}", text.trim_end());
                    return self.trouble(book, text);
                }
            }
        }
        self.trouble(book, "its size changes with every question".to_owned())
    }

    fn send(&self, request: &AddCheckpoint) -> Result<http::Answer, OpenLogError> {
        let url = http::below(&self.witness.url, "add-checkpoint");
        let body = request.encode();
        let kind = "text/plain; charset=utf-8";
        http::post(&self.agent, &url, kind, body.as_bytes(), ANSWER_BYTES_MAX)
    }

    fn cosigned(
        &self,
        book: &mut Attestations,
        checkpoint: &str,
        lines: &str,
    ) -> Result<Outcome, OpenLogError> {
        match book.cosigned(checkpoint, &self.witness.vkey, lines, clock::now()) {
            Ok(_) => Ok(Outcome::Cosigned),
            Err(e @ StoreError::Attestation { .. }) => {
                self.trouble(book, format!("its answer is not accepted: {e}"))
            }
            Err(e) => Err(e.into()),
        }
    }

    fn trouble(&self, book: &Attestations, text: String) -> Result<Outcome, OpenLogError> {
        let vkey = &self.witness.vkey;
        book.refused(vkey, &text, None, Alarm::None, clock::now())?;
        Ok(Outcome::Trouble(text))
    }

    fn other_history(
        &self,
        book: &Attestations,
        text: String,
        size: Option<u64>,
    ) -> Result<Outcome, OpenLogError> {
        let vkey = &self.witness.vkey;
        book.refused(vkey, &text, size, Alarm::OtherHistory, clock::now())?;
        Ok(Outcome::OtherHistory(text))
    }

    /// Each change once: what is told goes on the ledger, which gives the next checkpoint to ask
    /// about.
    fn tell(&mut self, outcome: &Outcome, size: u64) {
        let name = &self.witness.name;
        let (now, code, text) = match outcome {
            Outcome::Cosigned => (
                Told::Well,
                "ledger_witness_well",
                format!("the witness {name} cosigns the ledger again"),
            ),
            Outcome::OtherHistory(why) => (
                Told::OtherHistory,
                "ledger_other_history",
                format!(
                    "THE WITNESS {name} SAW ANOTHER HISTORY OF THIS LEDGER: {why}. The state \
                     folder was put back from a copy, or the record was changed; keep it as it \
                     is and run: posse ledger verify"
                ),
            ),
            Outcome::Trouble(why) => {
                let since = *self.behind_since.get_or_insert_with(Instant::now);
                if since.elapsed() < self.lag {
                    return;
                }
                let text =
                    format!("the witness {name} is behind; the ledger has {size} entries: {why}");
                (Told::Behind, "ledger_witness_behind", text)
            }
        };
        // Trouble on the way does not take the greater alarm back.
        let lesser = now == Told::Behind && self.told == Told::OtherHistory;
        if now != self.told && !lesser {
            self.told = now;
            self.outlet.notice(code, text);
        }
    }
}

fn pause(failures: u32) -> Duration {
    match failures {
        0 => LOOK_EVERY,
        n => RETRY_FIRST
            .saturating_mul(1 << (n - 1).min(10))
            .min(RETRY_LAST),
    }
}
