//! Keeping exhibits: reading them again, destroying what is to be destroyed, and clearing away
//! what a crash left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, TryLockError},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use casework::{BY_RETENTION, ExhibitRecord, Fate, RetentionPolicy};
use model::{ContentHash, Entry, ExhibitAct, Notice, Timestamp};
use sha2::{Digest as _, Sha256, Sha512};
use store::Store;

use crate::{
    EvidenceError, Ledger, Numbers, Vault,
    dossier::{exhibit, read_case},
    error::io_at,
    keys::{self, sync_parent, to_hex},
};

/// How long bytes without a ledger entry are left alone: an acquisition that was killed may still
/// reach the ledger through the program it had asked.
const UNFINISHED: Duration = Duration::from_secs(3_600);
const READ_AT_ONCE: usize = 256 << 10;
/// Listed of each kind in a report.
const NAMED_MAX: usize = 100;

/// What [`Vault::tidy`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Leftovers of acquisitions that never became exhibits.
    pub removed: u64,
    /// The same, too fresh to be sure.
    pub unfinished: u64,
    /// Exhibits whose destruction had been cut off and is now done.
    pub destroyed: Vec<String>,
    /// Exhibits whose bytes or key are not there although the ledger has them.
    pub missing: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixity {
    pub exhibit: String,
    pub intact: bool,
    /// What is wrong, when something is.
    pub found: String,
    /// The check's ledger entry.
    pub index: u64,
}

/// An exhibit with what policy makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub exhibit: String,
    pub class: String,
    pub fate: Fate,
}

impl Vault {
    /// Reads an exhibit's bytes again, compares them with the acquisition, and records the outcome;
    /// damage is announced.
    pub fn check_fixity(&self, ledger: &dyn Ledger, number: &str) -> Result<Fixity, EvidenceError> {
        let record = self.known(ledger, number)?;
        let found = self.compare(&record).err().unwrap_or_default();
        let (at, intact) = ((self.now)(), found.is_empty());
        let act = ExhibitAct::FixityChecked {
            at,
            exhibit: number.to_owned(),
            intact,
            found: found.clone(),
        };
        let mut entries = vec![Entry::Exhibit(act)];
        if !intact {
            entries.push(Entry::Notice(Notice {
                at,
                code: "exhibit_damaged".to_owned(),
                text: format!("exhibit {number} is not what was acquired: {found}"),
                prefixes: Vec::new(),
            }));
        }
        let indices = ledger.record(entries)?;
        Ok(Fixity {
            exhibit: number.to_owned(),
            intact,
            found,
            index: indices.first().copied().unwrap_or_default(),
        })
    }

    fn compare(&self, record: &ExhibitRecord) -> Result<(), String> {
        let acquired = &record.acquired.what;
        let mut bytes = self.unseal(record).map_err(|e| e.to_string())?;
        let (mut sha256, mut sha512, mut length) = (Sha256::new(), Sha512::new(), 0u64);
        let mut buffer = vec![0; READ_AT_ONCE];
        loop {
            let count = bytes.read(&mut buffer).map_err(|e| e.to_string())?;
            let read = buffer.get(..count).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            sha256.update(read);
            sha512.update(read);
            length = length.saturating_add(read.len() as u64);
        }
        if length != acquired.bytes {
            return Err(format!("{length} bytes instead of {}", acquired.bytes));
        }
        let hash = ContentHash::from_bytes(sha256.finalize().into());
        if hash != acquired.sha256 || to_hex(&sha512.finalize()) != acquired.sha512 {
            return Err(format!("its SHA-256 is {hash}"));
        }
        Ok(())
    }

    /// Exhibits that were not read for `every`, the one not read for longest first.
    pub fn due_for_fixity(
        &self,
        store: &Store,
        every: Duration,
    ) -> Result<Vec<String>, EvidenceError> {
        let now = (self.now)();
        let mut due = Vec::new();
        for number in store.exhibits()? {
            let Some(record) = exhibit(store, &number, Timestamp::MAX)? else {
                continue;
            };
            let custody = record.sum();
            let last = custody.fixity.map_or(record.acquired.what.at, |(at, _)| at);
            if custody.purged.is_none() && now.since(last) >= every {
                due.push((last, number));
            }
        }
        due.sort();
        Ok(due.into_iter().map(|(_, number)| number).collect())
    }

    /// Destroys an exhibit, for a request that two people agreed on.
    pub fn purge(
        &self,
        ledger: &dyn Ledger,
        number: &str,
        request: &str,
    ) -> Result<u64, EvidenceError> {
        let _numbers = Numbers::lock(&self.state)?;
        let record = self.known(ledger, number)?;
        let custody = record.sum();
        let reason = custody
            .requests
            .get(request)
            .map_or_else(String::new, |r| r.reason.clone());
        self.destroy(ledger, &record, request, reason)
    }

    /// The ledger first: what is cut off in between is done by the next [`Vault::tidy`].
    fn destroy(
        &self,
        ledger: &dyn Ledger,
        record: &ExhibitRecord,
        cause: &str,
        reason: String,
    ) -> Result<u64, EvidenceError> {
        let acquired = &record.acquired.what;
        let at = (self.now)();
        let act = ExhibitAct::Purged {
            at,
            exhibit: acquired.exhibit.clone(),
            sha256: acquired.sha256,
            cause: cause.to_owned(),
            reason,
        };
        record.sum().check(&act, at, &record.persons)?;
        let indices = ledger.record(vec![Entry::Exhibit(act)])?;
        self.shred(&acquired.exhibit, &acquired.sha256)?;
        Ok(indices.first().copied().unwrap_or_default())
    }

    /// The key goes first: then the bytes are noise, whatever becomes of them.
    fn shred(&self, number: &str, content: &ContentHash) -> Result<(), EvidenceError> {
        keys::destroy(&self.key_of(number))?;
        remove(&self.sealed(number, content))
    }

    /// What policy makes of every exhibit, in their order.
    pub fn judge(
        &self,
        store: &Store,
        policy: &RetentionPolicy,
        now: Timestamp,
    ) -> Result<Vec<Judged>, EvidenceError> {
        let open = open_cases(store)?;
        let none = BTreeSet::new();
        let mut all = Vec::new();
        for number in store.exhibits()? {
            let Some(record) = exhibit(store, &number, Timestamp::MAX)? else {
                continue;
            };
            let cases = open.get(&number).unwrap_or(&none);
            all.push(Judged {
                fate: policy.fate(&record, cases, now),
                class: record.acquired.what.class,
                exhibit: number,
            });
        }
        Ok(all)
    }

    /// Destroys what policy no longer keeps; gives back what it judged.
    pub fn retire(
        &self,
        ledger: &dyn Ledger,
        policy: &RetentionPolicy,
    ) -> Result<Vec<Judged>, EvidenceError> {
        // Nobody puts one under a hold or into a case meanwhile.
        let _numbers = Numbers::lock(&self.state)?;
        let store = ledger.read()?;
        let judged = self.judge(&store, policy, (self.now)())?;
        for one in &judged {
            let Fate::Due { since } = &one.fate else {
                continue;
            };
            let Some(record) = exhibit(&store, &one.exhibit, Timestamp::MAX)? else {
                continue;
            };
            let reason = format!("class {} was to be kept until {since}", one.class);
            self.destroy(ledger, &record, BY_RETENTION, reason)?;
        }
        Ok(judged)
    }

    /// Clears away what killed acquisitions left, and finishes destructions that were cut off.
    pub fn tidy(&self, ledger: &dyn Ledger) -> Result<Tidied, EvidenceError> {
        let _numbers = Numbers::lock(&self.state)?;
        let store = ledger.read()?;
        let mut tidied = Tidied::default();
        self.tidy_incoming(&mut tidied)?;
        self.tidy_exhibits(&store, &mut tidied)?;
        self.tidy_strangers(&store, &mut tidied)?;
        Ok(tidied)
    }

    /// Parts that nobody works on.
    fn tidy_incoming(&self, tidied: &mut Tidied) -> Result<(), EvidenceError> {
        for path in list(&self.root.join("incoming"))? {
            let Ok(file) = File::open(&path) else {
                continue;
            };
            match file.try_lock() {
                Ok(()) => {
                    remove(&path)?;
                    tidied.removed += 1;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io_at(path, "lock")(e)),
            }
        }
        Ok(())
    }

    fn tidy_exhibits(&self, store: &Store, tidied: &mut Tidied) -> Result<(), EvidenceError> {
        for number in store.exhibits()? {
            let Some(record) = exhibit(store, &number, Timestamp::MAX)? else {
                continue;
            };
            let content = record.acquired.what.sha256;
            let (key, sealed) = (self.key_of(&number), self.sealed(&number, &content));
            let sum = record.sum();
            let purged = sum.purged.is_some();
            // Two names are no ground any more to destroy what is still there.
            if purged && !sum.purged_by_names && (key.exists() || sealed.exists()) {
                self.shred(&number, &content)?;
                note(&mut tidied.destroyed, number);
            } else if !(purged || key.exists() && sealed.exists()) {
                note(&mut tidied.missing, number);
            }
        }
        Ok(())
    }

    /// Seals and keys that no ledger entry speaks of.
    fn tidy_strangers(&self, store: &Store, tidied: &mut Tidied) -> Result<(), EvidenceError> {
        let known: BTreeSet<String> = store.exhibits()?.into_iter().collect();
        let mut strangers = Vec::new();
        for path in list(&self.root.join("keys"))? {
            let name = name_of(&path);
            let number = name.strip_suffix(".key").unwrap_or(&name);
            if !known.contains(number) {
                strangers.push(path);
            }
        }
        for shelf in list(&self.root.join("sealed"))? {
            for path in list(&shelf)? {
                let name = name_of(&path);
                let number = name.split_once('.').map_or("", |(_, number)| number);
                if !known.contains(number) {
                    strangers.push(path);
                }
            }
        }
        for path in strangers {
            let made = fs::metadata(&path).and_then(|m| m.modified());
            let made = made.ok().and_then(|t| {
                let since = t.duration_since(std::time::UNIX_EPOCH).ok()?;
                i64::try_from(since.as_nanos()).ok()
            });
            let age = made.map_or(Duration::ZERO, |nanos| {
                (self.now)().since(Timestamp::from_nanos(nanos))
            });
            if age < UNFINISHED {
                tidied.unfinished += 1;
                continue;
            }
            if path.extension().is_some_and(|e| e == "key") {
                keys::destroy(&path)?;
            } else {
                remove(&path)?;
            }
            tidied.removed += 1;
        }
        Ok(())
    }
}

/// The open cases that each exhibit is in.
fn open_cases(store: &Store) -> Result<BTreeMap<String, BTreeSet<String>>, EvidenceError> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for number in store.cases()? {
        let case = read_case(store, &number, Timestamp::MAX)?;
        if case.closed.is_some() {
            continue;
        }
        let mut exhibits = case.exhibits;
        exhibits.extend(store.exhibits_of(&number)?);
        for exhibit in exhibits {
            all.entry(exhibit).or_default().insert(number.clone());
        }
    }
    Ok(all)
}

fn note(list: &mut Vec<String>, number: String) {
    if list.len() < NAMED_MAX {
        list.push(number);
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, EvidenceError> {
    let mut all = Vec::new();
    for name in fs::read_dir(dir).map_err(io_at(dir, "read"))? {
        all.push(name.map_err(io_at(dir, "read"))?.path());
    }
    all.sort();
    Ok(all)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn remove(path: &Path) -> Result<(), EvidenceError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_at(path, "remove"))?,
    }
    sync_parent(path).map_err(io_at(path, "make the removal durable"))
}
