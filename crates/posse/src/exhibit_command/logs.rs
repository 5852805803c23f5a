//! The log files that alerts came from, for lines of which an alert keeps a part only.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use model::{FileId, limits::LINE_BYTES_MAX};
use sense::SourceSpec;

use crate::{config::Config, guard, replay};

/// Log files that are held open to read from.
const FILES_MAX: usize = 256;
/// Names looked at beside a log, for those that it was rotated to.
const SIBLINGS_MAX: usize = 4_096;

/// Open files by what they are on disk, whatever their names are now.
#[derive(Debug, Default)]
pub(crate) struct LogFiles {
    files: BTreeMap<(u64, u64), File>,
    /// What the lines of each source are.
    kinds: Vec<(PathBuf, String)>,
}

impl LogFiles {
    /// Those of the configured sources, and what they were rotated to; what cannot be opened is
    /// left out.
    pub(crate) fn open(config: &Config) -> Self {
        let mut logs = Self::default();
        for spec in guard::sources(config) {
            logs.add(&spec);
        }
        logs
    }

    fn add(&mut self, spec: &SourceSpec) {
        for path in spec.input.files() {
            let kind = spec.labels.get("type").cloned().unwrap_or_default();
            self.kinds.push((path.clone(), kind));
            for sibling in siblings(&path) {
                if self.files.len() == FILES_MAX {
                    return;
                }
                let Ok(file) = File::open(&sibling) else {
                    continue;
                };
                let Ok(found) = file.metadata() else { continue };
                if found.is_file() {
                    self.files.insert((found.dev(), found.ino()), file);
                }
            }
        }
    }

    /// What the lines of a source are (`syslog`, `nginx`), as rules are told.
    pub(crate) fn kind(&self, source: &str) -> String {
        let path = Path::new(source);
        let told = self.kinds.iter().find(|(known, _)| known == path);
        match told {
            Some((_, kind)) if !kind.is_empty() => kind.clone(),
            _ => replay::guess(path).unwrap_or("syslog").to_owned(),
        }
    }

    fn read(&self, file: FileId, from: u64, bytes: usize) -> Option<Vec<u8>> {
        let mut file = self.files.get(&(file.device, file.inode))?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut buffer = Vec::new();
        file.take(bytes as u64).read_to_end(&mut buffer).ok()?;
        Some(buffer)
    }

    /// The line that begins there, without its line end.
    pub(crate) fn line(&self, file: FileId, offset: u64) -> Option<Vec<u8>> {
        let mut bytes = self.read(file, offset, LINE_BYTES_MAX + 2)?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        bytes.truncate(end);
        Some(bytes)
    }

    /// The bytes before a place, from the beginning of a line; with the offset of the first.
    pub(crate) fn before(&self, file: FileId, end: u64, bytes: usize) -> Option<(u64, Vec<u8>)> {
        let from = end.saturating_sub(bytes as u64);
        let length = usize::try_from(end - from).ok()?;
        let mut buffer = self.read(file, from, length)?;
        if from == 0 {
            return Some((0, buffer));
        }
        let first = buffer.iter().position(|byte| *byte == b'\n')? + 1;
        let rest = buffer.split_off(first);
        Some((from + first as u64, rest))
    }
}

/// The file itself and its neighbours whose names begin with its own: `auth.log.1`.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return all;
    };
    let name = name.to_string_lossy().into_owned();
    let Ok(listing) = fs::read_dir(folder) else {
        return all;
    };
    for entry in listing.take(SIBLINGS_MAX).flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        if other != name && other.starts_with(&name) && !other.ends_with(".gz") {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}
