//! The queue on disk: one folder for all channels, one folder for each, one file a message.
//!
//! A file is written under another name, synchronised and renamed, so that after a crash a
//! message is there whole or not at all. Only the keeper's thread comes here, and the start.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::message::Message;

const SUFFIX: &str = "json";
/// Longer files are not ours.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// More files than this are not read.
const FILES_MAX: usize = 1_024;

#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// What was found in a channel's folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Vec<(u64, Message)>,
    /// Files that could not be read; their numbers are not given again.
    pub(crate) broken: Vec<u64>,
}

impl Folder {
    /// Makes the folder if it is not there, closed to others.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// A folder that cannot be: what would be kept in it stays in memory.
    pub(crate) fn nowhere() -> Self {
        Self(PathBuf::from("/dev/null/alerts"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn channel(&self, name: &str) -> io::Result<Self> {
        Self::open(&self.0.join(format!("queue-{name}")))
    }

    /// Channels that have a folder.
    pub(crate) fn channels(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            Some(name.to_str()?.strip_prefix("queue-")?.to_owned())
        });
        names.take(FILES_MAX).collect()
    }

    /// All messages, oldest first.
    pub(crate) fn messages(&self) -> Found {
        let mut numbers = self.numbers();
        numbers.sort_unstable();
        let mut found = Found::default();
        for number in numbers {
            match self.load(&file_name(number)) {
                Some(message) => found.messages.push((number, message)),
                None => found.broken.push(number),
            }
        }
        found
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return Vec::new();
        };
        let numbers = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            let stem = name.to_str()?.strip_suffix(SUFFIX)?.strip_suffix('.')?;
            (stem.len() == 16).then(|| u64::from_str_radix(stem, 16).ok())?
        });
        numbers.take(FILES_MAX).collect()
    }

    pub(crate) fn save_message(&self, number: u64, message: &Message) -> io::Result<()> {
        self.write(&file_name(number), &message.encode())
    }

    pub(crate) fn remove_message(&self, number: u64) {
        self.remove(&file_name(number));
    }

    pub(crate) fn save<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        self.write(name, &serde_json::to_vec(value)?)
    }

    /// `None` when there is none, or it cannot be read.
    pub(crate) fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = File::open(self.0.join(name)).ok()?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).ok();
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.0)?.sync_data()
        };
        let written = write();
        if written.is_err() {
            fs::remove_file(&fresh).ok();
        }
        written
    }
}

fn file_name(number: u64) -> String {
    format!("{number:016x}.{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{message::Kind, samples};

    #[test]
    fn messages_come_back_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("alerts")).unwrap();
        let queue = folder.channel("mail").unwrap();
        let message = |n| Message::of(Kind::News, "h", samples::banned(n));
        for n in [300, 2, 17] {
            queue.save_message(n, &message(n as u32)).unwrap();
        }
        fs::write(queue.path().join("0000000000000005.json"), "{").unwrap();
        fs::write(queue.path().join("0000000000000006.json.new"), "{").unwrap();
        let found = queue.messages();
        let numbers: Vec<u64> = found.messages.iter().map(|(n, _)| *n).collect();
        assert_eq!(
            (numbers.as_slice(), found.broken.as_slice()),
            (&[2, 17, 300][..], &[5][..])
        );
        assert_eq!(found.messages[0].1, message(2));
        queue.remove_message(17);
        assert_eq!(queue.messages().messages.len(), 2);
        assert_eq!(folder.channels(), ["mail"]);
    }

    #[test]
    fn files_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("alerts")).unwrap();
        folder.save("x.json", &1).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("x.json")), 0o600);
        assert_eq!(folder.load::<u8>("x.json"), Some(1));
    }
}
