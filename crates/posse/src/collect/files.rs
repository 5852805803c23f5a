//! What lies on disks: the sources' logs, the journal, and lists of files with their hashes.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use model::Timestamp;
use sense::{Input, SourceSpec};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{actions::End, helper::Got, sheet::Sheet, tables};

const LOGS_MAX: usize = 256;
const FILES_MAX: usize = 1_000_000;
/// A file that is larger is listed without a hash.
const HASHED_BYTES_MAX: u64 = 1 << 30;
const READ_AT_ONCE: usize = 256 << 10;
/// The newest entries of the journal.
const JOURNAL_ENTRIES: &str = "1000000";

/// A log, opened while that was allowed.
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) file: Result<File, String>,
}

pub(super) fn open_logs(sources: &[SourceSpec]) -> Vec<LogFile> {
    let mut logs = Vec::new();
    for spec in sources {
        let Input::File { pattern, .. } = &spec.input else {
            continue;
        };
        let files = spec.input.files();
        if files.is_empty() {
            logs.push(LogFile {
                path: PathBuf::from(pattern),
                file: Err("no such file".to_owned()),
            });
        }
        for path in files {
            let file = if logs.len() < LOGS_MAX {
                open(&path).map_err(|e| e.to_string())
            } else {
                Err(format!("only {LOGS_MAX} logs are taken"))
            };
            logs.push(LogFile { path, file });
        }
    }
    logs
}

/// Without a trace in the access time where that is allowed, and never waiting at a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let quietly = OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NOATIME)
        .open(path);
    let file = match quietly {
        // open(2): only the owner may ask for it.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?,
        other => other?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// A log from its beginning, or the end of one that is too long; what grows meanwhile is not read.
pub(super) struct Tail<'a> {
    file: io::Take<&'a File>,
    until: Instant,
    skipped: u64,
    rows: u64,
    cut: Option<String>,
}

impl<'a> Tail<'a> {
    pub(super) fn of(file: &'a File, bytes: u64, time: Duration) -> Result<Self> {
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(bytes);
        let mut from = file;
        from.seek(SeekFrom::Start(skipped))?;
        Ok(Self {
            file: from.take(length - skipped),
            until: Instant::now() + time,
            skipped,
            rows: 0,
            cut: None,
        })
    }

    pub(super) fn ended(&self) -> Got {
        let skipped = format!("the first {} bytes of it are not taken", self.skipped);
        let why = match (&self.cut, self.skipped) {
            (Some(cut), _) => cut.clone(),
            (None, 0) => String::new(),
            (None, _) => skipped,
        };
        Got {
            end: if why.is_empty() {
                End::Complete
            } else {
                End::Partial
            },
            why,
            rows: self.rows,
            faults: Vec::new(),
        }
    }
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            let left = self.file.limit();
            self.cut = Some(format!(
                "the time for it was over, {left} bytes before its end"
            ));
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.rows += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(count)
    }
}

/// What journalctl is to be asked for; nothing when no source is a journal.
pub(super) fn journal_matches(sources: &[SourceSpec]) -> Option<Vec<OsString>> {
    let mut all: Option<Vec<OsString>> = None;
    for spec in sources {
        let Input::Journal { matches, .. } = &spec.input else {
            continue;
        };
        // One journal whole is all of them.
        if matches.is_empty() {
            return Some(Vec::new());
        }
        let words = all.get_or_insert_default();
        if !words.is_empty() {
            words.push("+".into());
        }
        words.extend(matches.iter().map(OsString::from));
    }
    all
}

/// In the journal's own export format, of this boot.
pub(super) fn journal(matches: &[OsString], sheet: &mut Sheet<'_>) -> io::Result<()> {
    let words = [
        "--output=export",
        "--boot",
        "--quiet",
        "--no-pager",
        "--lines",
        JOURNAL_ENTRIES,
    ];
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    arguments.extend(matches.iter().cloned());
    let mut last = 0;
    tables::run("journalctl", &arguments, &mut |bytes| {
        // Entries end with an empty line.
        for byte in bytes {
            sheet.counted(u64::from([last, *byte] == *b"\n\n"));
            last = *byte;
        }
        sheet.raw(bytes)
    })
}

/// Everything beneath the paths, each file once; symbolic links are told and not followed, other
/// file systems are not entered.
pub(super) fn disk(paths: Vec<PathBuf>, sheet: &mut Sheet<'_>) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    let mut told = 0usize;
    for root in paths {
        let device = match fs::symlink_metadata(&root) {
            Ok(found) => found.dev(),
            Err(e) => {
                sheet.absent(&root.to_string_lossy(), &e)?;
                continue;
            }
        };
        // A list of what is still to be looked at, and no recursion: folders nest as deep as
        // somebody made them.
        let mut waiting = vec![root];
        while let Some(path) = waiting.pop() {
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(e) => {
                    sheet.fault(&format!("{}: {e}", path.display()));
                    continue;
                }
            };
            if found.dev() != device || !seen.insert((found.dev(), found.ino())) {
                continue;
            }
            told += 1;
            if told > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
            file_row(&path, &found, sheet)?;
            if found.is_dir() {
                match fs::read_dir(&path) {
                    Ok(listing) => {
                        let mut inside: Vec<PathBuf> = listing
                            .flatten()
                            .map(|entry| entry.path())
                            .take(FILES_MAX)
                            .collect();
                        inside.sort_unstable_by(|a, b| b.cmp(a));
                        waiting.append(&mut inside);
                    }
                    Err(e) => sheet.fault(&format!("{}: {e}", path.display())),
                }
            }
        }
    }
    Ok(())
}

fn file_row(path: &Path, found: &Metadata, sheet: &mut Sheet<'_>) -> io::Result<()> {
    let time = |seconds: i64, nanos: i64| {
        Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    };
    let mut row = json!({
        "path": path.to_string_lossy(), "type": kind(found), "bytes": found.len(),
        "mode": format!("{:04o}", found.mode() & 0o7777), "uid": found.uid(), "gid": found.gid(),
        "modified": time(found.mtime(), found.mtime_nsec()),
        "changed": time(found.ctime(), found.ctime_nsec()),
        "device": found.dev(), "inode": found.ino(),
    });
    // Names need not be text.
    if path.to_str().is_none() {
        let bytes = path.as_os_str().as_bytes().iter();
        row["path_hex"] = json!(bytes.map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    if found.is_symlink() {
        row["to"] = json!(
            fs::read_link(path)
                .ok()
                .map(|to| to.to_string_lossy().into_owned())
        );
    }
    if found.is_file() {
        match hash(path, sheet) {
            Ok((_, sha256)) => row["sha256"] = json!(sha256),
            Err(e) => {
                row["not_hashed"] = json!(e.to_string());
                sheet.fault(&format!("{}: {e}", path.display()));
            }
        }
    }
    sheet.row(&row)
}

fn kind(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "folder",
        () if kind.is_symlink() => "link",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () if kind.is_block_device() => "block_device",
        () => "character_device",
    }
}

/// Length and SHA-256 of a regular file.
pub(super) fn hash(path: &Path, sheet: &Sheet<'_>) -> io::Result<(u64, String)> {
    let mut file = open(path)?;
    if file.metadata()?.len() > HASHED_BYTES_MAX {
        return Err(io::Error::other(format!(
            "larger than {HASHED_BYTES_MAX} bytes"
        )));
    }
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut total = 0u64;
    loop {
        sheet.in_time()?;
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        total += count as u64;
        // It may grow as fast as it is read.
        if total > HASHED_BYTES_MAX {
            return Err(io::Error::other(format!(
                "larger than {HASHED_BYTES_MAX} bytes"
            )));
        }
        sha256.update(buffer.get(..count).unwrap_or_default());
    }
    let digest = sha256.finalize();
    Ok((
        total,
        digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn listed(root: &Path) -> (Vec<Value>, Vec<String>) {
        let mut out = Vec::new();
        let mut sheet = Sheet::new(&mut out, 1 << 20, Duration::from_secs(60));
        disk(vec![root.to_owned(), root.join("gone")], &mut sheet).unwrap();
        let (_, faults) = sheet.end();
        let text = String::from_utf8(out).unwrap();
        (
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            faults,
        )
    }

    #[test]
    fn a_folder_is_listed_with_hashes_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/file"), "abc").unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("a/up")).unwrap();
        let (rows, faults) = listed(dir.path());
        assert_eq!(rows.len(), 5);
        let of = |kind: &str| rows.iter().find(|row| row["type"] == kind).unwrap();
        assert_eq!(
            of("file")["sha256"],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(of("link")["to"], "..");
        assert_eq!(faults, Vec::<String>::new());
        assert!(rows[4]["absent"].as_str().unwrap().ends_with("gone"));
    }

    #[test]
    fn of_a_long_log_the_end_is_taken_and_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let file = File::open(&path).unwrap();
        let mut tail = Tail::of(&file, 6, Duration::from_secs(60)).unwrap();
        let mut text = String::new();
        tail.read_to_string(&mut text).unwrap();
        assert_eq!(text, "three\n");
        let got = tail.ended();
        assert_eq!((got.end, got.rows), (End::Partial, 1));
        assert!(got.why.contains("first 8 bytes"), "{}", got.why);
        let mut late = Tail::of(&file, 100, Duration::ZERO).unwrap();
        late.read_to_string(&mut text).unwrap();
        assert!(late.ended().why.contains("14 bytes before its end"));
    }
}
