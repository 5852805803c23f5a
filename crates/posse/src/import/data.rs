//! The data files that chosen items ask for: from a mirror, from the installation, from the
//! network, or as the last import had them.
//!
//! What comes in is checked before anything uses it: its size, that it is no error page, that it
//! looks like what the rule expects. A file that is not to be had concerns only the items that
//! need it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use detect::{data_files, rules::RuleFile};
use serde::{Deserialize, Serialize};

use super::{
    catalogue::Id,
    fetch::{Answer, Fetcher},
};

/// The largest city database in use has some 60 MB.
pub(super) const BYTES_MAX: u64 = 256 << 20;
const NAME_BYTES_MAX: usize = 200;
const MIRROR_FILES_MAX: usize = 50_000;
const URL_PARTS_MAX: usize = 32;

/// A data file, as the chosen items ask for it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) url: Option<String>,
    pub(super) kind: String,
    pub(super) users: BTreeSet<Id>,
}

/// Where a copy came from, and by what a server knows whether it is still the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stamp {
    pub(super) from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_modified: Option<String>,
}

#[derive(Debug)]
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Stamp,
    /// What a reader of the report should know: that this is an older copy.
    pub(super) note: Option<String>,
}

/// Where to look, in this order; the copies of the last import come last.
pub(super) struct Places<'a> {
    pub(super) mirror: Option<&'a Path>,
    pub(super) installed: Option<&'a Path>,
    pub(super) fetcher: Option<Fetcher>,
    pub(super) last: Last<'a>,
}

/// What the last import left.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub(super) folder: &'a Path,
    pub(super) stamps: &'a BTreeMap<String, Stamp>,
}

pub(super) fn is_database(name: &str) -> bool {
    name.ends_with(".mmdb")
}

/// The data files that `items` name, by name.
pub(super) fn wanted<'a>(
    items: impl Iterator<Item = (&'a Id, &'a str)>,
) -> BTreeMap<String, Wanted> {
    let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
    for (id, text) in items {
        for spec in data_files::wanted(&RuleFile::new(id.name.clone(), text)) {
            let wanted = all.entry(spec.dest_file.value.clone()).or_default();
            wanted.users.insert(id.clone());
            if wanted.kind.is_empty() {
                wanted.kind = spec.kind.map(|kind| kind.value).unwrap_or_default();
            }
            wanted.url = wanted.url.take().or(spec.source_url);
        }
    }
    all
}

impl Places<'_> {
    /// Each wanted file, or why it is not to be had.
    pub(super) fn gather(
        &mut self,
        wanted: &BTreeMap<String, Wanted>,
    ) -> BTreeMap<String, Result<Found, String>> {
        let count = wanted.len() as u64;
        let found = (1..).zip(wanted).map(|(number, (name, wanted))| {
            if let Some(fetcher) = &mut self.fetcher {
                fetcher.announce(name, number, count);
            }
            (name.clone(), self.find(name, wanted))
        });
        let found = found.collect();
        if let Some(fetcher) = &self.fetcher {
            fetcher.finish();
        }
        found
    }

    fn find(&mut self, name: &str, wanted: &Wanted) -> Result<Found, String> {
        check_name(name)?;
        let mut reasons = Vec::new();
        for path in self.on_disk(name, wanted) {
            match read(&path).and_then(|bytes| check(&bytes, name, &wanted.kind).map(|()| bytes)) {
                Ok(bytes) => {
                    let stamp = Stamp {
                        from: path.display().to_string(),
                        ..Stamp::default()
                    };
                    return Ok(Found {
                        bytes,
                        stamp,
                        note: None,
                    });
                }
                Err(why) => reasons.push(format!("{}: {why}", path.display())),
            }
        }
        match self.fetch(name, wanted) {
            Ok(found) => return Ok(found),
            Err(why) => reasons.push(why),
        }
        let why = reasons.join("; ");
        match self.last_copy(name, wanted) {
            Some(mut found) => {
                found.note = self
                    .fetcher
                    .is_some()
                    .then(|| format!("an older copy of {name}: {why}"));
                Ok(found)
            }
            None => Err(why),
        }
    }

    /// The places on this machine where it lies. In a mirror the path of a URL below its host is
    /// the path of the file; the beginning (a repository, a branch) may be left out.
    fn on_disk(&self, name: &str, wanted: &Wanted) -> Vec<PathBuf> {
        let mut places = Vec::new();
        if let Some(mirror) = self.mirror {
            let parts = wanted
                .url
                .as_deref()
                .and_then(path_parts)
                .unwrap_or_default();
            for start in 0..parts.len() {
                let below: PathBuf = parts.iter().skip(start).collect();
                places.push((mirror, below));
            }
            places.push((mirror, PathBuf::from(name)));
            // Some lists lie in a mirror though their makers serve them elsewhere.
            if let Some(below) = only_one_named(mirror, name) {
                places.push((mirror, below));
            }
        }
        if let Some(installed) = self.installed {
            places.push((installed, PathBuf::from(name)));
        }
        let real = places.into_iter().filter_map(|(root, below)| {
            let path = fs::canonicalize(root.join(below)).ok()?;
            // A link must not lead out of the folder that was named.
            (path.is_file() && path.starts_with(fs::canonicalize(root).ok()?)).then_some(path)
        });
        real.take(1).collect()
    }

    fn fetch(&mut self, name: &str, wanted: &Wanted) -> Result<Found, String> {
        let last = self.last_copy(name, wanted);
        let Some(fetcher) = &mut self.fetcher else {
            return Err(match self.mirror {
                Some(mirror) => format!("not in {}", mirror.display()),
                None => "not on this machine".to_owned(),
            });
        };
        let Some(url) = wanted.url.as_deref().filter(|url| !url.is_empty()) else {
            return Err("the rule names no source_url to fetch it from".to_owned());
        };
        let known = last
            .as_ref()
            .map(|last| &last.stamp)
            .filter(|stamp| stamp.from == url);
        match (fetcher.get(url, known)?, last) {
            (Answer::Unchanged, Some(last)) => Ok(last),
            (Answer::Unchanged, None) => Err(format!("{url}: the server says nothing is new")),
            (Answer::New { bytes, stamp }, _) => {
                check(&bytes, name, &wanted.kind).map_err(|why| format!("{url}: {why}"))?;
                Ok(Found {
                    bytes,
                    stamp,
                    note: None,
                })
            }
        }
    }

    fn last_copy(&self, name: &str, wanted: &Wanted) -> Option<Found> {
        let bytes = read(&self.last.folder.join(name)).ok()?;
        check(&bytes, name, &wanted.kind).ok()?;
        let stamp = self.last.stamps.get(name).cloned().unwrap_or_default();
        Some(Found {
            bytes,
            stamp,
            note: None,
        })
    }
}

/// The file of that name somewhere below `mirror`, if there is exactly one.
fn only_one_named(mirror: &Path, name: &str) -> Option<PathBuf> {
    let mut open = vec![PathBuf::new()];
    let mut found = None;
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(mirror.join(&folder)).ok()?.flatten() {
            seen += 1;
            if seen > MIRROR_FILES_MAX {
                return None;
            }
            let below = folder.join(entry.file_name());
            // Links are not followed: they could lead in circles.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(below);
            } else if entry.file_name() == name && found.replace(below).is_some() {
                return None;
            }
        }
    }
    found
}

/// A rule may only name a file of its own, below the data folder.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let path = Path::new(name);
    let is_plain = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(['\\', '\0', '\n'])
        && path.components().all(|part| match part {
            Component::Normal(part) => !part.to_string_lossy().starts_with('.'),
            _ => false,
        });
    if is_plain {
        return Ok(());
    }
    Err(format!(
        "`dest_file: {}` leads out of the data folder",
        name.escape_debug()
    ))
}

/// The parts of a URL's path below its host.
fn path_parts(url: &str) -> Option<Vec<String>> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    let parts: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
    let is_plain = |part: &String| {
        !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', '%'])
    };
    (!parts.is_empty() && parts.len() <= URL_PARTS_MAX && parts.iter().all(is_plain))
        .then_some(parts)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("{size} bytes; at most {BYTES_MAX} are read"));
    }
    fs::read(path).map_err(|e| e.to_string())
}

/// Whether the bytes can be what the rule expects.
fn check(bytes: &[u8], name: &str, kind: &str) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    if is_database(name) || kind == "mmdb" {
        const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
        // MaxMind DB 2.0: the metadata begin in the last 128 KiB.
        let tail = bytes
            .get(bytes.len().saturating_sub(128 << 10)..)
            .unwrap_or(bytes);
        let has_mark = tail.windows(MARK.len()).any(|window| window == MARK);
        return if has_mark {
            Ok(())
        } else {
            Err("is no MaxMind database".to_owned())
        };
    }
    let head = bytes.get(..bytes.len().min(1_024)).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head)
        .trim_start()
        .to_ascii_lowercase();
    if head.starts_with("<!doctype") || head.starts_with("<html") || head.starts_with("<?xml") {
        return Err("is a web page, not a list; a proxy or a login page may be in between".into());
    }
    if bytes.contains(&0) {
        return Err("is no text".to_owned());
    }
    let mut rows = head
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    if kind == "map"
        && rows
            .next()
            .is_some_and(|row| !row.trim_start().starts_with('{'))
    {
        return Err("has no JSON object a line, as a list of type map must".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::catalogue::Kind, *};

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in [
            "../x",
            "/etc/passwd",
            "a/../../b",
            "",
            ".hidden",
            "a\\b",
            "a/./b/.c",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_name("lists/a.txt"), Ok(()));
    }

    #[test]
    fn error_pages_and_wrong_formats_are_refused() {
        assert!(check(b"\n <!DOCTYPE html><title>503</title>", "a.txt", "string").is_err());
        assert!(check(b"", "a.txt", "string").is_err());
        assert!(check(b"a\0b", "a.txt", "").is_err());
        assert!(check(b"no\n", "a.json", "map").is_err());
        assert!(check(b"# note\n{\"pattern\": \"a\"}\n", "a.json", "map").is_ok());
        assert!(check(b"one\n", "GeoLite2.mmdb", "").is_err());
        assert!(check(b"x\xab\xcd\xefMaxMind.comx", "GeoLite2.mmdb", "").is_ok());
    }

    #[test]
    fn a_mirror_holds_what_lies_below_the_host() {
        let mirror = tempfile::tempdir().unwrap();
        fs::create_dir_all(mirror.path().join("web")).unwrap();
        fs::write(mirror.path().join("web/list.txt"), "one\n").unwrap();
        fs::write(mirror.path().join("flat.txt"), "two\n").unwrap();
        let id = Id {
            kind: Kind::Scenario,
            name: "me/a".into(),
        };
        let text = "data:\n  - source_url: https://h.example/owner/web/list.txt\n    dest_file: a.txt\n  \
                    - dest_file: flat.txt\n  - dest_file: ../flat.txt\n  - dest_file: none.txt\n";
        let wanted = wanted([(&id, text)].into_iter());
        let stamps = BTreeMap::new();
        let last = Last {
            folder: Path::new("/nonexistent"),
            stamps: &stamps,
        };
        let mut places = Places {
            mirror: Some(mirror.path()),
            installed: None,
            fetcher: None,
            last,
        };
        let found = places.gather(&wanted);
        let bytes = |name: &str| found[name].as_ref().map(|f| f.bytes.clone());
        assert_eq!(bytes("a.txt").unwrap(), b"one\n");
        assert_eq!(bytes("flat.txt").unwrap(), b"two\n");
        assert!(bytes("../flat.txt").unwrap_err().contains("leads out"));
        assert!(bytes("none.txt").unwrap_err().contains("not in"));
    }
}
