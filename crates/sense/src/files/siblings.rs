//! Where log rotation puts a file: `auth.log.1`, `auth.log-20261121` and the like, beside it.
//!
//! Used to find the lines that were written before the sensor saw the rotation: the rest of the
//! file it was reading, and whole files that came and went in between.

use std::{
    cmp::Ordering,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use model::FileId;

use super::file_id;
use crate::positions::{FilePosition, HEAD_BYTES_MAX};

/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 4_096;

const COMPRESSED: [&str; 7] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".lzma"];

/// A file beside a log file that may hold older lines of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sibling {
    pub(super) path: PathBuf,
    pub(super) file: FileId,
    pub(super) size: u64,
    /// `None`: not named like a rotated file.
    age: Option<Age>,
}

/// How old a rotated file is by its name alone. Later times moved files get do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Age {
    /// `.1` is the youngest.
    Index(u32),
    /// The greatest is the youngest.
    Date(String),
}

pub(super) fn is_compressed(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|name| COMPRESSED.iter().any(|end| name.ends_with(end)))
}

/// Whether `path` is named as a rotated form of a file that is there too.
pub(super) fn is_rotated_name(path: &Path, is_there: impl Fn(&Path) -> bool) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return false;
    };
    name.char_indices()
        .filter(|(_, c)| matches!(c, '.' | '-'))
        .any(|(at, _)| {
            name.split_at_checked(at).is_some_and(|(base, suffix)| {
                age(suffix).is_some() && !base.is_empty() && is_there(&path.with_file_name(base))
            })
        })
}

/// The rotated forms of `path`, oldest first, after any other file that is `known`.
pub(super) fn of(path: &Path, known: Option<FileId>) -> Vec<Sibling> {
    let Some(base) = path.file_name().and_then(|n| n.to_str()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = path.parent().map(Path::to_owned).into_iter().collect();
    if let Ok(real) = path.canonicalize()
        && let Some(parent) = real.parent()
        && directories
            .first()
            .is_none_or(|dir| dir.canonicalize().is_ok_and(|d| d != parent))
    {
        directories.push(parent.to_owned());
    }
    for directory in directories {
        let Ok(list) = fs::read_dir(directory) else {
            continue;
        };
        for entry in list.take(ENTRIES_MAX).filter_map(Result::ok) {
            let name = entry.file_name();
            let age = name
                .to_str()
                .and_then(|n| n.strip_prefix(base))
                .and_then(age);
            if age.is_none() && known.is_none() || is_compressed(Path::new(&name)) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let file = file_id(&meta);
            if meta.is_file() && (age.is_some() || known == Some(file)) && entry.path() != path {
                found.push(Sibling {
                    path: entry.path(),
                    file,
                    size: meta.len(),
                    age,
                });
            }
        }
    }
    found.sort_by(oldest_first);
    found
}

/// Finds the file that `position` speaks of: itself, renamed, or a copy of it.
pub(super) fn locate(siblings: &[Sibling], position: &FilePosition) -> Option<usize> {
    let same = |s: &Sibling| {
        s.file.inode == position.file.inode && s.size >= position.offset && fits(s, position)
    };
    let copy = |s: &Sibling| {
        position.fingerprint.bytes > 0 && s.size >= position.offset && fits(s, position)
    };
    siblings
        .iter()
        .position(same)
        .or_else(|| siblings.iter().position(copy))
}

pub(super) fn fits(sibling: &Sibling, position: &FilePosition) -> bool {
    File::open(&sibling.path).is_ok_and(|file| position.fingerprint.fits(&read_head(&file)))
}

/// The first bytes of a file, at most [`HEAD_BYTES_MAX`].
pub(super) fn read_head(file: &File) -> Vec<u8> {
    let mut head = vec![0; HEAD_BYTES_MAX];
    let n = file.read_at(&mut head, 0).unwrap_or(0);
    head.truncate(n);
    head
}

// What follows the log's own name: `.1`, `-20261121`, `.2026-11-21_20`.
fn age(suffix: &str) -> Option<Age> {
    let rest = suffix.strip_prefix(['.', '-'])?;
    let digits = rest.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0
        || !rest
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-_.".contains(&b))
    {
        return None;
    }
    match rest.parse() {
        Ok(index) if rest.len() <= 5 => Some(Age::Index(index)),
        _ => Some(Age::Date(rest.to_owned())),
    }
}

fn oldest_first(a: &Sibling, b: &Sibling) -> Ordering {
    match (&a.age, &b.age) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(Age::Index(a)), Some(Age::Index(b))) => b.cmp(a),
        (Some(Age::Date(a)), Some(Age::Date(b))) => a.cmp(b),
        (Some(Age::Date(_)), Some(Age::Index(_))) => Ordering::Less,
        (Some(Age::Index(_)), Some(Age::Date(_))) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_stand_from_old_to_young() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "a.log",
            "a.log.1",
            "a.log.10",
            "a.log.2",
            "a.log.3.gz",
            "a.log.old",
            "b.log.1",
        ];
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let found = of(&dir.path().join("a.log"), None);
        let names: Vec<_> = found
            .iter()
            .map(|s| s.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.log.10", "a.log.2", "a.log.1"]);
    }

    #[test]
    fn dates_count_upwards() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.log-20261121", "a.log-20261120", "a.log-20261121-1"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let found = of(&dir.path().join("a.log"), None);
        let names: Vec<_> = found
            .iter()
            .map(|s| s.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["a.log-20261120", "a.log-20261121", "a.log-20261121-1"]
        );
    }

    #[test]
    fn rotated_names_are_told_from_sources() {
        let is_there = |p: &Path| p == Path::new("/l/access.log") || p == Path::new("/l/site");
        for rotated in [
            "/l/access.log.1",
            "/l/access.log-20261121",
            "/l/access.log.2026-11-21",
        ] {
            assert!(is_rotated_name(Path::new(rotated), is_there), "{rotated}");
        }
        for own in [
            "/l/access.log",
            "/l/error.log.1",
            "/l/site-a.log",
            "/l/10.0.0.1",
        ] {
            assert!(!is_rotated_name(Path::new(own), is_there), "{own}");
        }
    }
}
