//! The vault: sealed exhibits in the state folder.
//!
//! ```text
//! exhibits/vault.key               wraps the exhibits' own keys
//! exhibits/keys/EX-2026-000001.key an exhibit's own key, wrapped
//! exhibits/sealed/ab/ab12….EX-2026-000001
//! exhibits/incoming/….part         bytes that are coming in; nobody's yet
//! exhibits/time.json               what time servers said last
//! ```
//!
//! An exhibit is what the ledger says was acquired: seal and key are durable before that entry is,
//! so a crash leaves either an exhibit with its bytes or bytes that belong to nothing, which
//! [`Vault::tidy`](crate::Vault::tidy) takes away.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use casework::ExhibitRecord;
use model::{
    Acquisition, AlertId, CaseAct, CaseStep, ClockTruth, ContentHash, Derivation, Entry,
    ExhibitAct, Sender, SourceSpan, Timestamp, Tlp, ToolUsed,
};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{
    EvidenceError, Ledger, Numbers, clock_truth,
    dossier::exhibit,
    error::io_at,
    keys::{self, VaultKey, sync_parent, to_hex},
    seal::{DataKey, Sealer, Unsealed},
    time_servers::{TimeServer, TimeServers},
};

/// Bytes of one exhibit.
pub const EXHIBIT_BYTES_MAX: u64 = 1 << 40;
/// Stretches of sources that one acquisition names: they must fit into a ledger entry.
pub const SOURCES_MAX: usize = 8_192;
const READ_AT_ONCE: usize = 256 << 10;
/// What time servers said last.
const TIME: &str = "time.json";
const DIR_MODE: u32 = 0o700;
const SEALED_MODE: u32 = 0o440;
const PART_TRIES: u32 = 10;

/// The exhibits of one state folder.
pub struct Vault {
    pub(crate) state: PathBuf,
    pub(crate) root: PathBuf,
    key: VaultKey,
    pub(crate) now: fn() -> Timestamp,
    time_servers: TimeServers,
}

/// What a person says of bytes that come in; the rest the vault knows itself.
#[derive(Clone, Debug)]
pub struct Facts {
    pub case: Option<String>,
    pub title: String,
    pub file_name: String,
    pub media_type: String,
    pub by: String,
    pub role: String,
    pub place: String,
    pub method: String,
    pub authority: String,
    pub reason: String,
    pub tool: ToolUsed,
    pub class: String,
    pub tlp: Tlp,
    pub sources: Vec<SourceSpan>,
    pub alert: Option<AlertId>,
    pub note: String,
    /// The exhibit that it was made from, with the beginning of that one's chain.
    pub parent: Option<(Derivation, String)>,
}

/// Why and how somebody wants the bytes.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    pub by: &'a str,
    /// `view`, `export`, `pack`, `reproduce`, `derive`, `api`.
    pub how: &'a str,
    pub reason: &'a str,
}

/// Bytes that may leave: the look is on the ledger.
#[derive(Debug)]
pub struct Looked {
    pub bytes: Unsealed,
    pub record: ExhibitRecord,
    /// The look's ledger entry.
    pub index: u64,
}

/// Sealed and hashed, but no exhibit yet; gone when dropped.
pub struct Incoming {
    part: PathBuf,
    /// Locked as long as somebody works on it.
    _file: File,
    key: DataKey,
    began: Timestamp,
    ended: Timestamp,
    clock: ClockTruth,
    pub bytes: u64,
    pub sha256: ContentHash,
    pub sha512: String,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After it became an exhibit there is nothing under this name.
        let _ = fs::remove_file(&self.part);
    }
}

#[derive(Clone, Debug)]
pub struct Acquired {
    pub index: u64,
    pub acquisition: Acquisition,
}

impl Vault {
    /// Opens the vault in a state folder, or makes one. `now` is the program's clock.
    pub fn open(state: &Path, now: fn() -> Timestamp) -> Result<Self, EvidenceError> {
        let root = state.join("exhibits");
        for dir in [
            root.clone(),
            root.join("keys"),
            root.join("sealed"),
            root.join("incoming"),
        ] {
            make_dir(&dir)?;
        }
        let is_new = || {
            let keys = fs::read_dir(root.join("keys"));
            keys.is_ok_and(|mut names| names.next().is_none())
        };
        let key = VaultKey::open(&root.join("vault.key"), is_new)?;
        let time_servers = TimeServers::new(Vec::new(), root.join(TIME), now);
        Ok(Self {
            state: state.to_owned(),
            root,
            key,
            now,
            time_servers,
        })
    }

    /// Has these asked how far the clock is off whenever bytes come in; without them nobody is.
    #[must_use]
    pub fn asking(self, servers: Vec<TimeServer>) -> Self {
        let time_servers = TimeServers::new(servers, self.root.join(TIME), self.now);
        Self {
            time_servers,
            ..self
        }
    }

    /// Names the key that all others are wrapped by.
    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// Bytes that are left for exhibits on the disk.
    pub fn room(&self) -> Result<u64, EvidenceError> {
        let told = rustix::fs::statvfs(&self.root)
            .map_err(|e| io_at(&self.root, "ask how much room is left in")(e.into()))?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }

    /// Where that key lies.
    pub fn key_file(&self) -> PathBuf {
        self.root.join("vault.key")
    }

    pub(crate) fn key_of(&self, exhibit: &str) -> PathBuf {
        self.root.join("keys").join(format!("{exhibit}.key"))
    }

    pub(crate) fn sealed(&self, exhibit: &str, content: &ContentHash) -> PathBuf {
        let hash = content.to_string();
        let shelf = hash.get(..2).unwrap_or_default().to_owned();
        self.root
            .join("sealed")
            .join(shelf)
            .join(format!("{hash}.{exhibit}"))
    }

    /// Takes bytes in: hashed as they come, before anything else is done with them, then sealed.
    pub fn take_in(&self, source: &mut dyn Read) -> Result<Incoming, EvidenceError> {
        let began = (self.now)();
        let (part, file) = self.part()?;
        // From here on the file goes when anything fails.
        let mut incoming = Incoming {
            part,
            _file: file
                .try_clone()
                .map_err(io_at(&self.root, "keep the part open"))?,
            key: DataKey::fresh()?,
            began,
            ended: began,
            clock: clock_truth(),
            bytes: 0,
            sha256: ContentHash::from_bytes([0; 32]),
            sha512: String::new(),
        };
        let failed = |source| io_at(&incoming.part, "write the part")(source);
        let (mut sha256, mut sha512) = (Sha256::new(), Sha512::new());
        let mut sealer = Sealer::begin(BufWriter::new(&file), &incoming.key)?;
        let mut buffer = vec![0; READ_AT_ONCE];
        let mut total = 0u64;
        loop {
            let count = match source.read(&mut buffer) {
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(EvidenceError::Reading { source }),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            sha256.update(bytes);
            sha512.update(bytes);
            total = total.saturating_add(bytes.len() as u64);
            if total > EXHIBIT_BYTES_MAX {
                let limit = EXHIBIT_BYTES_MAX;
                return Err(EvidenceError::TooLong { limit });
            }
            sealer.write(bytes).map_err(failed)?;
        }
        let mut out = sealer.finish().map_err(failed)?;
        out.flush().and_then(|()| file.sync_all()).map_err(failed)?;
        drop(out);
        incoming.ended = (self.now)();
        incoming.clock = ClockTruth {
            network: self.time_servers.tell(incoming.ended),
            ..clock_truth()
        };
        incoming.bytes = total;
        incoming.sha256 = ContentHash::from_bytes(sha256.finalize().into());
        incoming.sha512 = to_hex(&sha512.finalize());
        Ok(incoming)
    }

    /// A new file of our own, locked so that nobody takes it for a leftover.
    fn part(&self) -> Result<(PathBuf, File), EvidenceError> {
        for _ in 0..PART_TRIES {
            let mut name = [0; 16];
            getrandom::fill(&mut name).map_err(|_| EvidenceError::Random)?;
            let path = self
                .root
                .join("incoming")
                .join(format!("{}.part", to_hex(&name)));
            let make = || {
                let mut options = OpenOptions::new();
                let file = options
                    .write(true)
                    .create_new(true)
                    .mode(SEALED_MODE)
                    .open(&path)?;
                file.lock()?;
                let links = file.metadata()?.nlink();
                Ok((file, links))
            };
            let (file, links) = make().map_err(io_at(&path, "make a file"))?;
            // Between making and locking, a tidy may have taken it for a leftover.
            if links > 0 {
                return Ok((path, file));
            }
        }
        let path = self.root.join("incoming");
        Err(io_at(path, "make a file")(io::Error::other(
            "it was removed each time",
        )))
    }

    /// Makes an exhibit of what came in. It exists when this returns, and its number is on the
    /// ledger with its acquisition.
    pub fn acquire(
        &self,
        ledger: &dyn Ledger,
        incoming: &Incoming,
        facts: Facts,
    ) -> Result<Acquired, EvidenceError> {
        // What was made of an exhibit is whose that one is.
        let sender = match &facts.parent {
            Some((parent, _)) => {
                let parent = exhibit(&ledger.read()?, &parent.exhibit, Timestamp::MAX)?;
                parent.and_then(|record| record.acquired.what.sender)
            }
            None => None,
        };
        self.acquire_from(ledger, incoming, facts, sender)
    }

    /// The same of what somebody sent.
    pub fn acquire_from(
        &self,
        ledger: &dyn Ledger,
        incoming: &Incoming,
        facts: Facts,
        sender: Option<Box<Sender>>,
    ) -> Result<Acquired, EvidenceError> {
        let numbers = Numbers::lock(&self.state)?;
        self.acquire_under(&numbers, ledger, incoming, facts, sender)
    }

    /// The same for whoever holds the lock on numbers already.
    pub fn acquire_under(
        &self,
        numbers: &Numbers,
        ledger: &dyn Ledger,
        incoming: &Incoming,
        facts: Facts,
        sender: Option<Box<Sender>>,
    ) -> Result<Acquired, EvidenceError> {
        check(&facts)?;
        let taken = self.numbers(ledger)?;
        let now = (self.now)();
        let number = numbers.next("EX", 6, now, taken.iter().map(String::as_str));
        let case = facts.case.clone();
        let by = facts.by.clone();
        let mut acquisition = self.acquisition(incoming, facts, &number);
        acquisition.sender = sender;
        let put = self.put(incoming, &number);
        let recorded = put.and_then(|()| {
            let act = ExhibitAct::Acquired(Box::new(acquisition.clone()));
            let mut entries = vec![Entry::Exhibit(act)];
            entries.extend(case.map(|case| {
                let exhibit = number.clone();
                Entry::Case(CaseAct {
                    at: now,
                    case,
                    by,
                    step: CaseStep::ExhibitAdded { exhibit },
                })
            }));
            ledger.record(entries)
        });
        match recorded {
            Ok(indices) => Ok(Acquired {
                index: indices.first().copied().unwrap_or_default(),
                acquisition,
            }),
            // Perhaps it is on the ledger: then the bytes must be there. Else tidy takes them.
            Err(e @ EvidenceError::Unsure { .. }) => Err(e),
            Err(e) => {
                let _ = keys::destroy(&self.key_of(&number));
                let _ = fs::remove_file(self.sealed(&number, &incoming.sha256));
                Err(e)
            }
        }
    }

    /// Numbers that are on the ledger, and those that something lies under.
    fn numbers(&self, ledger: &dyn Ledger) -> Result<Vec<String>, EvidenceError> {
        let mut taken = ledger.read()?.exhibits()?;
        let keys = self.root.join("keys");
        for name in fs::read_dir(&keys).map_err(io_at(&keys, "read"))? {
            let name = name.map_err(io_at(&keys, "read"))?.file_name();
            let name = name.to_string_lossy();
            taken.extend(name.strip_suffix(".key").map(str::to_owned));
        }
        Ok(taken)
    }

    fn acquisition(&self, incoming: &Incoming, facts: Facts, number: &str) -> Acquisition {
        let (parent, root) = match facts.parent {
            Some((derivation, root)) => (Some(derivation), root),
            None => (None, number.to_owned()),
        };
        Acquisition {
            at: incoming.ended,
            exhibit: number.to_owned(),
            root,
            parent,
            case: facts.case,
            title: facts.title,
            file_name: bare_name(&facts.file_name),
            media_type: facts.media_type,
            bytes: incoming.bytes,
            sha256: incoming.sha256,
            sha512: incoming.sha512.clone(),
            began: incoming.began,
            by: facts.by,
            role: facts.role,
            place: facts.place,
            method: facts.method,
            authority: facts.authority,
            reason: facts.reason,
            tool: facts.tool,
            clock: incoming.clock.clone(),
            class: facts.class,
            tlp: facts.tlp,
            sources: facts.sources,
            alert: facts.alert,
            sender: None,
            sealed_with: format!("AES-256-GCM, wrapped by vault key {}", self.key.id()),
            note: facts.note,
        }
    }

    /// Key and seal under their names for good, durable.
    fn put(&self, incoming: &Incoming, number: &str) -> Result<(), EvidenceError> {
        let key = self.key_of(number);
        self.key
            .wrap(&key, number, &incoming.sha256, &incoming.key)?;
        let sealed = self.sealed(number, &incoming.sha256);
        let shelf = sealed.parent().unwrap_or(&self.root);
        make_dir(shelf)?;
        renameat_with(CWD, &incoming.part, CWD, &sealed, RenameFlags::NOREPLACE)
            .map_err(|e| io_at(&sealed, "put the sealed bytes in their place")(e.into()))?;
        sync_parent(&sealed)
            .and_then(|()| sync_parent(shelf))
            .map_err(io_at(&sealed, "make the sealed bytes durable"))
    }

    /// The bytes, after the look is durable on the ledger; refused when it cannot be.
    pub fn look(
        &self,
        ledger: &dyn Ledger,
        number: &str,
        look: &Look<'_>,
    ) -> Result<Looked, EvidenceError> {
        for (text, what) in [(look.by, "by"), (look.reason, "reason")] {
            if text.trim().is_empty() {
                return Err(EvidenceError::Empty { what });
            }
        }
        let record = self.known(ledger, number)?;
        let bytes = self.unseal(&record)?;
        let act = ExhibitAct::Looked {
            at: (self.now)(),
            exhibit: number.to_owned(),
            by: look.by.to_owned(),
            how: look.how.to_owned(),
            reason: look.reason.to_owned(),
        };
        let indices = ledger.record(vec![Entry::Exhibit(act)])?;
        Ok(Looked {
            bytes,
            record,
            index: indices.first().copied().unwrap_or_default(),
        })
    }

    /// What the ledger says of an exhibit that is not destroyed.
    pub fn known(&self, ledger: &dyn Ledger, number: &str) -> Result<ExhibitRecord, EvidenceError> {
        let found = exhibit(&ledger.read()?, number, Timestamp::MAX)?;
        let exhibit = || number.to_owned();
        let record = found.ok_or_else(|| EvidenceError::NoSuchExhibit { exhibit: exhibit() })?;
        if record.sum().purged.is_some() {
            return Err(EvidenceError::Destroyed { exhibit: exhibit() });
        }
        Ok(record)
    }

    pub(crate) fn unseal(&self, record: &ExhibitRecord) -> Result<Unsealed, EvidenceError> {
        let acquired = &record.acquired.what;
        let number = &acquired.exhibit;
        let damaged = |e: io::Error| EvidenceError::Damaged {
            exhibit: number.clone(),
            why: e.to_string(),
        };
        let key = self
            .key
            .unwrap(&self.key_of(number), number, &acquired.sha256)?;
        let file = File::open(self.sealed(number, &acquired.sha256)).map_err(damaged)?;
        Unsealed::open(file, &key).map_err(damaged)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

fn check(facts: &Facts) -> Result<(), EvidenceError> {
    for (text, what) in [
        (&facts.authority, "authority"),
        (&facts.title, "title"),
        (&facts.by, "by"),
        (&facts.reason, "reason"),
        (&facts.class, "class"),
    ] {
        if text.trim().is_empty() {
            return Err(EvidenceError::Empty { what });
        }
    }
    Ok(())
}

/// A name only: what it was called must not say where it lay, and must not lead anywhere.
fn bare_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(255).collect();
    if clean.is_empty() || clean.chars().all(|c| c == '.') {
        "unnamed".to_owned()
    } else {
        clean
    }
}

fn make_dir(path: &Path) -> Result<(), EvidenceError> {
    let made = DirBuilder::new().mode(DIR_MODE).create(path);
    match made {
        Ok(()) => sync_parent(path).map_err(io_at(path, "make the folder durable")),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io_at(path, "make the folder")(e)),
    }
}
