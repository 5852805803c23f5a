//! How far each source was read, so that a restart neither loses nor repeats a line.
//!
//! A file is known by device and inode, and by a fingerprint of its first bytes: inodes are used
//! again, and copy-truncate rotation keeps the inode while the lines go.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use model::FileId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes at a file's beginning that tell it from another.
pub(crate) const HEAD_BYTES_MAX: usize = 1_024;
/// Files whose positions are kept.
const FILES_MAX: usize = 65_536;

/// A hash over the first `bytes` bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub bytes: u32,
    pub hash: u64,
}

impl Fingerprint {
    pub fn of(head: &[u8]) -> Self {
        let head = head.get(..HEAD_BYTES_MAX).unwrap_or(head);
        let hash = Sha256::digest(head)
            .iter()
            .take(8)
            .fold(0, |h, b| (h << 8) | u64::from(*b));
        Self {
            bytes: u32::try_from(head.len()).unwrap_or(0),
            hash,
        }
    }

    /// Whether a file that begins with `head` may be the one this was taken of.
    pub fn fits(&self, head: &[u8]) -> bool {
        head.get(..self.bytes as usize)
            .is_some_and(|h| Self::of(h) == *self)
    }
}

/// Whether the file still stands at its path or was rotated away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Current,
    Rotated,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    pub file: FileId,
    /// Where the next line begins.
    pub offset: u64,
    pub fingerprint: Fingerprint,
    /// The path it is, or was, watched under.
    pub path: PathBuf,
    pub standing: Standing,
}

/// How far everything was read. As a whole for JSON, or kept up to date by [`PositionChange`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PositionList", into = "PositionList")]
pub struct Positions {
    files: BTreeMap<FileId, FilePosition>,
    journals: BTreeMap<String, String>,
}

/// One step from one [`Positions`] to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum PositionChange {
    File(FilePosition),
    /// The file is gone for good.
    ForgetFile {
        file: FileId,
    },
    /// `journal` tells several journal sources apart.
    Journal {
        journal: String,
        cursor: String,
    },
}

impl PositionChange {
    /// The same for all changes of which only the last matters.
    pub fn key(&self) -> String {
        match self {
            Self::File(FilePosition { file, .. }) | Self::ForgetFile { file } => {
                format!("file:{}:{}", file.device, file.inode)
            }
            Self::Journal { journal, .. } => format!("journal:{journal}"),
        }
    }
}

impl Positions {
    pub fn files(&self) -> impl Iterator<Item = &FilePosition> {
        self.files.values()
    }

    pub fn file(&self, file: FileId) -> Option<&FilePosition> {
        self.files.get(&file)
    }

    pub fn journal_cursor(&self, journal: &str) -> Option<&str> {
        self.journals.get(journal).map(String::as_str)
    }

    pub fn apply(&mut self, change: PositionChange) {
        match change {
            PositionChange::File(position) => {
                if self.files.len() < FILES_MAX || self.files.contains_key(&position.file) {
                    self.files.insert(position.file, position);
                }
            }
            PositionChange::ForgetFile { file } => {
                self.files.remove(&file);
            }
            PositionChange::Journal { journal, cursor } => {
                self.journals.insert(journal, cursor);
            }
        }
    }
}

/// The positions of a running sensor, and which of them changed.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) positions: Positions,
    files: BTreeSet<FileId>,
    journals: BTreeSet<String>,
}

impl Marks {
    pub(crate) fn new(positions: Positions) -> Self {
        Self {
            positions,
            ..Self::default()
        }
    }

    pub(crate) fn record(&mut self, change: PositionChange) {
        match &change {
            PositionChange::File(FilePosition { file, .. })
            | PositionChange::ForgetFile { file } => {
                self.files.insert(*file);
            }
            PositionChange::Journal { journal, .. } => {
                if !self.journals.contains(journal) {
                    self.journals.insert(journal.clone());
                }
            }
        }
        self.positions.apply(change);
    }

    pub(crate) fn take_changes(&mut self) -> Vec<PositionChange> {
        let positions = &self.positions;
        let files = std::mem::take(&mut self.files).into_iter().map(|file| {
            positions
                .file(file)
                .cloned()
                .map_or(PositionChange::ForgetFile { file }, PositionChange::File)
        });
        let journals = std::mem::take(&mut self.journals)
            .into_iter()
            .filter_map(|journal| {
                let cursor = positions.journal_cursor(&journal)?.to_owned();
                Some(PositionChange::Journal { journal, cursor })
            });
        files.chain(journals).collect()
    }
}

// JSON has no maps with structured keys.
#[derive(Default, Serialize, Deserialize)]
struct PositionList {
    #[serde(default)]
    files: Vec<FilePosition>,
    #[serde(default)]
    journals: BTreeMap<String, String>,
}

impl From<PositionList> for Positions {
    fn from(list: PositionList) -> Self {
        let files = list
            .files
            .into_iter()
            .take(FILES_MAX)
            .map(|p| (p.file, p))
            .collect();
        Self {
            files,
            journals: list.journals,
        }
    }
}

impl From<Positions> for PositionList {
    fn from(positions: Positions) -> Self {
        Self {
            files: positions.files.into_values().collect(),
            journals: positions.journals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_fits_a_file_that_grew_and_no_other() {
        let print = Fingerprint::of(b"first line\n");
        assert!(print.fits(b"first line\n") && print.fits(b"first line\nsecond"));
        assert!(!print.fits(b"first") && !print.fits(b"other line\n"));
        assert!(Fingerprint::of(b"").fits(b"anything"));
        let long = vec![b'x'; HEAD_BYTES_MAX * 2];
        assert_eq!(Fingerprint::of(&long).bytes as usize, HEAD_BYTES_MAX);
        assert!(Fingerprint::of(&long).fits(&long));
    }

    #[test]
    fn positions_survive_json_and_follow_changes() {
        let file = FileId {
            device: 1,
            inode: 2,
        };
        let position = FilePosition {
            file,
            offset: 11,
            fingerprint: Fingerprint::of(b"first line\n"),
            path: "/var/log/auth.log".into(),
            standing: Standing::Current,
        };
        let mut positions = Positions::default();
        positions.apply(PositionChange::File(position.clone()));
        positions.apply(PositionChange::Journal {
            journal: "j".into(),
            cursor: "s=1".into(),
        });
        let json = serde_json::to_string(&positions).unwrap();
        assert_eq!(serde_json::from_str::<Positions>(&json).unwrap(), positions);
        assert_eq!(positions.file(file), Some(&position));
        assert_eq!(positions.journal_cursor("j"), Some("s=1"));
        positions.apply(PositionChange::ForgetFile { file });
        assert_eq!(positions.files().count(), 0);
        assert_eq!(
            serde_json::from_str::<Positions>("{}").unwrap(),
            Positions::default()
        );
    }

    #[test]
    fn a_change_and_its_undoing_share_a_key() {
        let file = FileId {
            device: 1,
            inode: 2,
        };
        assert_eq!(PositionChange::ForgetFile { file }.key(), "file:1:2");
    }
}
