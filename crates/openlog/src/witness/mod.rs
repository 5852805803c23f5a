//! A witness for other logs (C2SP tlog-witness): for a police unit, a CERT, a customer. It sees
//! hashes, keeps one checkpoint a log, and never cosigns two histories of it.

mod folder;
mod server;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ledger::{
    AddCheckpoint, Checkpoint, CosigningKey, Hash, Seen, VerifyingKey, WitnessRefusal,
    add_signatures, judge,
};

use crate::{OpenLogError, clock};
use folder::{Folder, Glance};
pub use server::serve;

/// Logs of one witness.
pub(crate) const LOGS_MAX: usize = 1_000;

#[derive(Clone, Debug)]
pub struct WitnessOptions {
    pub dir: PathBuf,
    /// The name of the key that is made at the first start.
    pub name: Option<String>,
    /// Keys of logs to cosign from now on, beside those known already.
    pub logs: Vec<VerifyingKey>,
}

/// What a witness knows of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    pub keys: Vec<VerifyingKey>,
    /// The last checkpoint cosigned, with the cosignature.
    pub note: Option<String>,
    pub seen: Option<Seen>,
}

/// A witness's key and memory. One process at a time has a folder.
pub struct Witness {
    key: CosigningKey,
    folder: Folder,
    /// By origin. The lock is held from the look at what was cosigned until the new is on disk:
    /// tlog-witness wants both as one step.
    logs: Mutex<BTreeMap<String, KnownLog>>,
}

/// Why there is no cosignature.
pub(crate) enum Declined {
    Refused(WitnessRefusal),
    /// It could not be kept, so it is not told.
    Unkept(OpenLogError),
}

impl Witness {
    pub fn open(options: WitnessOptions) -> Result<Self, OpenLogError> {
        let folder = Folder::create(&options.dir)?;
        let key = folder.key(options.name.as_deref())?;
        let mut keys = folder.glance().log_keys()?;
        let known = keys.len();
        for new in options.logs {
            if !keys.contains(&new) {
                keys.push(new);
            }
        }
        if keys.len() > LOGS_MAX {
            return Err(OpenLogError::TooManyLogs { max: LOGS_MAX });
        }
        if keys.len() > known {
            folder.keep_log_keys(&keys)?;
        }
        let logs = known_logs(&folder.glance(), keys)?;
        Ok(Self {
            key,
            folder,
            logs: Mutex::new(logs),
        })
    }

    pub fn vkey(&self) -> String {
        self.key.public().to_string()
    }

    pub fn logs(&self) -> BTreeMap<String, KnownLog> {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, KnownLog>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a request, keeps the checkpoint, and only then gives the cosignature.
    pub(crate) fn add_checkpoint(&self, body: &[u8]) -> Result<String, Declined> {
        let malformed = |e| Declined::Refused(WitnessRefusal::Malformed(e));
        let request = AddCheckpoint::parse(body).map_err(malformed)?;
        let origin = request.origin().map_err(malformed)?;
        let mut logs = self.known();
        let Some(log) = logs.get_mut(&origin) else {
            return Err(Declined::Refused(WitnessRefusal::UnknownLog { origin }));
        };
        let checkpoint = judge(&request, &log.keys, log.seen).map_err(Declined::Refused)?;
        let bytes = request.checkpoint.as_bytes();
        let line = self
            .key
            .cosign(bytes, clock::seconds())
            .map_err(malformed)?;
        // What strangers signed on it is not ours to keep.
        let note = without_strangers(&request.checkpoint, &log.keys)
            .and_then(|note| add_signatures(&note, &line))
            .map_err(malformed)?;
        let kept = self.folder.keep_checkpoint(&id_of(&origin), &note);
        // If it failed at the very end it may be on disk all the same: then it was not told to
        // anyone, but must not be contradicted either.
        log.seen = Some(Seen {
            size: checkpoint.size,
            root: checkpoint.root,
        });
        log.note = Some(note);
        kept.map_err(Declined::Unkept)?;
        Ok(line)
    }

    /// The last checkpoint cosigned of the log with this id: hex SHA-256 of its origin.
    pub(crate) fn latest(&self, id: &str) -> Option<String> {
        let logs = self.known();
        let mut found = logs.iter().filter(|(origin, _)| id_of(origin) == id);
        found.next()?.1.note.clone()
    }
}

pub(crate) fn id_of(origin: &str) -> String {
    Hash::of(&[origin.as_bytes()]).to_string()
}

fn known_logs(
    glance: &Glance<'_>,
    keys: Vec<VerifyingKey>,
) -> Result<BTreeMap<String, KnownLog>, OpenLogError> {
    let mut logs: BTreeMap<String, KnownLog> = BTreeMap::new();
    for vkey in keys {
        let log = logs.entry(vkey.name().to_owned()).or_insert(KnownLog {
            keys: Vec::new(),
            note: None,
            seen: None,
        });
        log.keys.push(vkey);
    }
    for (origin, log) in &mut logs {
        let note = glance.checkpoint(&id_of(origin))?;
        let known = note.as_deref().map(|note| seen(glance, origin, note));
        log.seen = known.transpose()?;
        log.note = note;
    }
    Ok(logs)
}

/// The key of the witness in a folder, at work or not; `None`: it has none yet.
pub fn vkey_in(dir: &Path) -> Result<Option<String>, OpenLogError> {
    Ok(Glance(dir).key()?.map(|key| key.public().to_string()))
}

/// What the witness in a folder knows, at work or not.
pub fn logs_in(dir: &Path) -> Result<BTreeMap<String, KnownLog>, OpenLogError> {
    let glance = Glance(dir);
    let keys = glance.log_keys()?;
    known_logs(&glance, keys)
}

fn seen(glance: &Glance<'_>, origin: &str, note: &str) -> Result<Seen, OpenLogError> {
    let damaged = |why: String| OpenLogError::Damaged {
        path: glance.checkpoint_file(&id_of(origin)),
        why,
    };
    let kept = Checkpoint::unverified(note.as_bytes()).map_err(|e| damaged(e.to_string()))?;
    if kept.origin != origin {
        return Err(damaged(format!("it is of {:?}", kept.origin)));
    }
    Ok(Seen {
        size: kept.size,
        root: kept.root,
    })
}

/// The note with the signatures of the log alone.
fn without_strangers(note: &str, keys: &[VerifyingKey]) -> Result<String, ledger::LedgerError> {
    let own = |line: &str| {
        let kept = format!("text\n\n{line}\n");
        ledger::is_by_any(kept.as_bytes(), keys)
    };
    let (text, lines) = note.rsplit_once("\n\n").ok_or(ledger::LedgerError::Note)?;
    let lines: String = lines
        .lines()
        .filter(|line| own(line))
        .map(|line| format!("{line}\n"))
        .collect();
    Ok(format!("{text}\n\n{lines}"))
}

#[cfg(test)]
mod tests;
