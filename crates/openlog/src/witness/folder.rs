//! A witness's folder: its key, the keys of the logs, one checkpoint a log. Every change is whole
//! or not at all, and on stable storage before it counts.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ledger::{CosigningKey, Hash, VerifyingKey};

use crate::{OpenLogError, error::io_at};

/// More than any note or list of keys that is kept here.
const FILE_BYTES_MAX: u64 = 1 << 20;

pub(crate) struct Folder {
    dir: PathBuf,
    /// Let go by the kernel when the process ends, however.
    _lock: File,
}

/// What a folder holds, read beside the witness at work: files are only ever replaced whole.
pub(crate) struct Glance<'a>(pub(crate) &'a Path);

impl Glance<'_> {
    pub(crate) fn key(&self) -> Result<Option<CosigningKey>, OpenLogError> {
        let path = self.0.join("witness.key");
        let Some(text) = read(&path)? else {
            return Ok(None);
        };
        match CosigningKey::parse(text.trim_end()) {
            Ok(key) => Ok(Some(key)),
            Err(e) => Err(OpenLogError::Damaged {
                path,
                why: e.to_string(),
            }),
        }
    }

    pub(crate) fn log_keys(&self) -> Result<Vec<VerifyingKey>, OpenLogError> {
        let path = self.0.join("log.vkeys");
        let Some(text) = read(&path)? else {
            return Ok(Vec::new());
        };
        let parse = |line| {
            VerifyingKey::parse(line).map_err(|e| OpenLogError::Damaged {
                path: path.clone(),
                why: e.to_string(),
            })
        };
        text.lines().map(parse).collect()
    }

    pub(crate) fn checkpoint_file(&self, id: &str) -> PathBuf {
        self.0.join("logs").join(id)
    }

    pub(crate) fn checkpoint(&self, id: &str) -> Result<Option<String>, OpenLogError> {
        read(&self.checkpoint_file(id))
    }
}

impl Folder {
    pub(crate) fn glance(&self) -> Glance<'_> {
        Glance(&self.dir)
    }

    pub(crate) fn create(dir: &Path) -> Result<Self, OpenLogError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(dir).map_err(io_at(dir, "make the folder"))?;
        let mode = fs::metadata(dir)
            .map_err(io_at(dir, "read the folder"))?
            .mode();
        if mode & 0o077 != 0 {
            return Err(OpenLogError::Permissions {
                path: dir.to_owned(),
            });
        }
        builder
            .create(dir.join("logs"))
            .map_err(io_at(dir, "make the folder"))?;
        let lock = dir.join("lock");
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(io_at(&lock, "open"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: file,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenLogError::Locked {
                dir: dir.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(io_at(lock, "lock")(e)),
        }
    }

    /// The witness's key; made when there is none.
    pub(crate) fn key(&self, name: Option<&str>) -> Result<CosigningKey, OpenLogError> {
        let path = self.dir.join("witness.key");
        let key = match self.glance().key()? {
            Some(key) => key,
            None => {
                let key = new_key(name)?;
                self.replace(&path, &format!("{}\n", key.to_secret_text()))?;
                key
            }
        };
        let is = key.public().name();
        match name {
            Some(asked) if asked != is => Err(OpenLogError::NameDiffers {
                is: is.to_owned(),
                asked: asked.to_owned(),
            }),
            _ => Ok(key),
        }
    }

    pub(crate) fn keep_log_keys(&self, keys: &[VerifyingKey]) -> Result<(), OpenLogError> {
        let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
        self.replace(&self.dir.join("log.vkeys"), &text)
    }

    pub(crate) fn keep_checkpoint(&self, id: &str, note: &str) -> Result<(), OpenLogError> {
        self.replace(&self.glance().checkpoint_file(id), note)
    }

    /// The file's content, then its name, then the folder that has the name.
    fn replace(&self, path: &Path, text: &str) -> Result<(), OpenLogError> {
        let write = || {
            let mut fresh = path.to_owned().into_os_string();
            fresh.push(".new");
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(path.parent().unwrap_or(&self.dir))?.sync_all()
        };
        write().map_err(io_at(path, "write"))
    }
}

fn read(path: &Path) -> Result<Option<String>, OpenLogError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_at(path, "open")(e)),
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(io_at(path, "read"))?;
    Ok(Some(text))
}

fn new_key(name: Option<&str>) -> Result<CosigningKey, OpenLogError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| OpenLogError::Random)?;
    let name = name.map_or_else(|| default_name(&seed), str::to_owned);
    CosigningKey::from_seed(&name, seed).map_err(|source| OpenLogError::Key { source })
}

/// Two witnesses on machines of one name must not have one name.
fn default_name(seed: &[u8; 32]) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host: String = host.trim().chars().filter(clean).take(200).collect();
    let host = if host.is_empty() { "localhost" } else { &host };
    let tag = Hash::of(&[b"posse/witness-name/v1\0", seed]).to_string();
    format!("{host}/witness/{}", tag.get(..8).unwrap_or_default())
}
