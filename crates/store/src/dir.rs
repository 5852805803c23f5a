//! The state directory: its permissions, its lock and the log's key.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use ledger::{SigningKey, VerifyingKey};

use crate::{StoreError, error::io_at};

const DIR_MODE: u32 = 0o700;
const KEY_MODE: u32 = 0o600;
/// A key file is a line of base64 and a name.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;
const RETIRED_BYTES_MAX: u64 = 1 << 20;

pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIR_MODE);
        builder
            .create(path)
            .map_err(io_at(path, "make the state directory"))?;
        Self::existing(path)
    }

    pub(crate) fn existing(path: &Path) -> Result<Self, StoreError> {
        let missing = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => StoreError::Missing {
                dir: path.to_owned(),
            },
            _ => io_at(path, "read the state directory")(source),
        };
        let mode = fs::metadata(path).map_err(missing)?.mode();
        check_mode(path, mode, DIR_MODE)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("ledger.db")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.path.join("ledger.key")
    }

    /// Held as long as the file is: the kernel lets go of it when the process ends, however.
    pub(crate) fn lock(&self) -> Result<File, StoreError> {
        let path = self.path.join("lock");
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(KEY_MODE);
        let mut file = options
            .open(&path)
            .map_err(io_at(&path, "open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Whoever holds it may be about to write its number.
                let _ = (&mut file).take(32).read_to_string(&mut pid);
                let pid = if pid.trim().is_empty() {
                    "(unknown)"
                } else {
                    pid.trim()
                };
                return Err(StoreError::Locked {
                    dir: self.path.clone(),
                    pid: pid.to_owned(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(io_at(path, "lock")(e)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        match write(&mut file) {
            // The number is a courtesy; a full disk must not keep a guard from starting.
            Ok(()) => Ok(file),
            Err(e) => {
                tracing::debug!(error = %e, "cannot write the process number to the lock file");
                Ok(file)
            }
        }
    }

    fn previous_key_file(&self) -> PathBuf {
        self.path.join("ledger.key.previous")
    }

    fn retired_file(&self) -> PathBuf {
        self.path.join("ledger.vkeys")
    }

    pub(crate) fn read_key(&self) -> Result<Option<SigningKey>, StoreError> {
        read_key_file(&self.key_file())
    }

    /// The key before the present one, while both sign.
    pub(crate) fn read_previous_key(&self) -> Result<Option<SigningKey>, StoreError> {
        read_key_file(&self.previous_key_file())
    }

    /// The public keys that signed once.
    pub(crate) fn read_retired(&self) -> Result<Vec<VerifyingKey>, StoreError> {
        let path = self.retired_file();
        let Some(text) = read_small(&path, RETIRED_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let parse = |line| {
            VerifyingKey::parse(line).map_err(|source| StoreError::Key {
                path: path.clone(),
                source,
            })
        };
        text.lines().map(parse).collect()
    }

    /// Writes a new key, whole or not at all, and never over another.
    pub(crate) fn create_key(&self, origin: Option<&str>) -> Result<SigningKey, StoreError> {
        let path = self.key_file();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StoreError::Random)?;
        let name = match origin {
            Some(name) => name.to_owned(),
            None => self.default_origin(&seed)?,
        };
        let key = self.fresh_key(&name, seed)?;
        let write = || {
            let fresh = self.fresh_file(&key.to_secret_text())?;
            // Unlike a rename, a link fails when the name is taken.
            fs::hard_link(&fresh, &path)?;
            fs::remove_file(&fresh)?;
            sync_dir(&self.path)
        };
        write().map_err(io_at(&path, "write a new key"))?;
        Ok(key)
    }

    /// Puts a new key in the place of the present one, which is kept beside it. Whenever this is
    /// cut short, the present key is still there.
    pub(crate) fn rotate_key(&self, origin: &str) -> Result<(), StoreError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StoreError::Random)?;
        let key = self.fresh_key(origin, seed)?;
        let (path, previous) = (self.key_file(), self.previous_key_file());
        let write = || {
            let fresh = self.fresh_file(&key.to_secret_text())?;
            remove_if_there(&previous)?;
            fs::hard_link(&path, &previous)?;
            sync_dir(&self.path)?;
            fs::rename(&fresh, &path)?;
            sync_dir(&self.path)
        };
        write().map_err(io_at(&path, "write a new key"))
    }

    /// Keeps the public part of the previous key, then destroys the secret.
    pub(crate) fn retire_previous_key(&self, key: &VerifyingKey) -> Result<(), StoreError> {
        let path = self.retired_file();
        let mut retired = self.read_retired()?;
        if !retired.contains(key) {
            retired.insert(0, key.clone());
        }
        let text: String = retired.iter().map(|key| format!("{key}\n")).collect();
        let write = || {
            let fresh = self.fresh_file(text.trim_end())?;
            fs::rename(&fresh, &path)?;
            sync_dir(&self.path)?;
            remove_if_there(&self.previous_key_file())?;
            sync_dir(&self.path)
        };
        write().map_err(io_at(&path, "keep a former key"))
    }

    fn fresh_key(&self, name: &str, seed: [u8; 32]) -> Result<SigningKey, StoreError> {
        SigningKey::from_seed(name, seed).map_err(|source| StoreError::Key {
            path: self.key_file(),
            source,
        })
    }

    /// A new file under a name that is not yet the one it will have; durable.
    fn fresh_file(&self, text: &str) -> io::Result<PathBuf> {
        let fresh = self.path.join("ledger.key.new");
        remove_if_there(&fresh)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(KEY_MODE)
            .open(&fresh)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        Ok(fresh)
    }

    // Two machines of one name must not have one log name: a witness tells logs apart by it.
    fn default_origin(&self, seed: &[u8; 32]) -> Result<String, StoreError> {
        let path = Path::new("/proc/sys/kernel/hostname");
        let host = fs::read_to_string(path).map_err(io_at(path, "read the host's name"))?;
        let clean = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let host: String = host
            .trim()
            .chars()
            .filter(|c| clean(*c))
            .take(200)
            .collect();
        let host = if host.is_empty() {
            "localhost"
        } else {
            host.as_str()
        };
        let tag = ledger::Hash::of(&[b"posse/log-name/v1\0", seed]).to_string();
        Ok(format!("{host}/posse/{}", tag.get(..8).unwrap_or_default()))
    }
}

fn read_key_file(path: &Path) -> Result<Option<SigningKey>, StoreError> {
    let Some(text) = read_small(path, KEY_FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let key = SigningKey::parse(text.strip_suffix('\n').unwrap_or(&text));
    key.map(Some).map_err(|source| StoreError::Key {
        path: path.to_owned(),
        source,
    })
}

/// `None` when there is no such file.
fn read_small(path: &Path, bytes_max: u64) -> Result<Option<String>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_at(path, "open the key")(e)),
    };
    let mode = file.metadata().map_err(io_at(path, "read the key"))?.mode();
    check_mode(path, mode, KEY_MODE)?;
    let mut text = String::new();
    file.take(bytes_max)
        .read_to_string(&mut text)
        .map_err(io_at(path, "read the key"))?;
    Ok(Some(text))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn check_mode(path: &Path, mode: u32, wanted: u32) -> Result<(), StoreError> {
    let mode = mode & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(StoreError::Permissions {
            path: path.to_owned(),
            mode,
            wanted,
        })
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
