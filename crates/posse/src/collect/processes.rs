//! Processes, and then the programs that they run, with the hash of each.

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt as _, path::PathBuf};

use model::Timestamp;
use serde_json::json;

use super::{files::hash, sheet::Sheet};

const PROCESSES_MAX: usize = 200_000;
const COMMAND_BYTES_MAX: usize = 8 << 10;
/// The unit of times in /proc, which is part of the kernel's interface whatever its own tick is.
const USER_HZ: u64 = 100;

/// A part of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    state: char,
    parent: u32,
    /// After boot, in [`USER_HZ`].
    started: u64,
}

pub(super) fn read(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let boot = boot_time();
    let (mut hidden, mut why) = (0u64, String::new());
    let mut programs: BTreeMap<(u64, u64), (u32, PathBuf)> = BTreeMap::new();
    for pid in pids(sheet) {
        let text = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        // It has ended meanwhile.
        let Some(stat) = stat(&String::from_utf8_lossy(&text)) else {
            continue;
        };
        let exe = match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(path) => Some(path),
            // The kernel's own threads run no program.
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                hidden += 1;
                why = e.to_string();
                None
            }
        };
        let file = fs::metadata(format!("/proc/{pid}/exe")).ok();
        let file = file.map(|found| (found.dev(), found.ino()));
        if let (Some(path), Some(file)) = (&exe, file) {
            programs.entry(file).or_insert_with(|| (pid, path.clone()));
        }
        let started = boot.map(|boot| {
            let after = u128::from(stat.started) * 1_000_000_000 / u128::from(USER_HZ);
            boot.plus(std::time::Duration::from_nanos(
                u64::try_from(after).unwrap_or(0),
            ))
        });
        let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
        sheet.row(&json!({
            "process": pid, "parent": stat.parent, "name": stat.name,
            "state": stat.state.to_string(), "uids": uids(&String::from_utf8_lossy(&status)),
            "started": started, "exe": exe.map(|path| path.display().to_string()),
            "exe_file": file.map(|(device, inode)| json!({ "device": device, "inode": inode })),
            "command": command(pid),
        }))?;
    }
    if hidden > 0 {
        sheet.fault(&format!(
            "the programs of {hidden} processes could not be read: {why}"
        ));
    }
    for ((device, inode), (pid, path)) in programs {
        sheet.in_time()?;
        // Through the process: so it is found even when its name is gone or another's now.
        match hash(&PathBuf::from(format!("/proc/{pid}/exe")), sheet) {
            Ok((bytes, sha256)) => sheet.row(&json!({
                "program": path.display().to_string(), "device": device, "inode": inode,
                "bytes": bytes, "sha256": sha256,
            }))?,
            Err(e) => sheet.fault(&format!("{} of process {pid}: {e}", path.display())),
        }
    }
    Ok(())
}

/// All there are now, ascending.
pub(super) fn pids(sheet: &mut Sheet<'_>) -> Vec<u32> {
    let listing = match fs::read_dir("/proc") {
        Ok(listing) => listing,
        Err(e) => {
            sheet.fault(&format!("/proc: {e}"));
            return Vec::new();
        }
    };
    let names = listing.flatten().map(|entry| entry.file_name());
    let mut pids: Vec<u32> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    if pids.len() > PROCESSES_MAX {
        sheet.fault(&format!(
            "only {PROCESSES_MAX} of {} processes are told",
            pids.len()
        ));
        pids.truncate(PROCESSES_MAX);
    }
    pids
}

pub(super) fn name(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

fn command(pid: u32) -> Vec<String> {
    let mut bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.truncate(COMMAND_BYTES_MAX);
    let text = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if text.is_empty() {
        return Vec::new();
    }
    let words = text.split(|byte| *byte == 0);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// The name stands in brackets and may hold brackets itself.
fn stat(text: &str) -> Option<Stat> {
    let (head, rest) = text.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    let parent = words.next()?.parse().ok()?;
    Some(Stat {
        name: name.to_owned(),
        state,
        parent,
        started: words.nth(17)?.parse().ok()?,
    })
}

/// Real, effective, saved, and for files.
fn uids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let words = line.unwrap_or_default().split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

fn boot_time() -> Option<Timestamp> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Timestamp::from_seconds(line.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_call_itself_anything() {
        let text = "77 (a) (b) c) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        let expected = Stat {
            name: "a) (b) c".into(),
            state: 'S',
            parent: 1,
            started: 4_242,
        };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("77 (a"), None);
        assert_eq!(uids("Name:\ta\nUid:\t1\t2\t3\t4\n"), [1, 2, 3, 4]);
    }

    #[test]
    fn this_process_is_among_them() {
        let mut out = Vec::new();
        let mut sheet = Sheet::new(&mut out, 1 << 20, std::time::Duration::from_secs(60));
        assert!(pids(&mut sheet).contains(&std::process::id()));
        assert!(!command(std::process::id()).is_empty());
    }
}
