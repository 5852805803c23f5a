//! A full disk: recording pauses, the guard does not, and what was lost is said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use model::Entry;
use store::{Durability, IntakeJournal, Recorder, Store, StoreError, StoreOptions};

use crate::samples::{alert, at, notice, options, quiet};

/// A file system of its own, unmounted at the end.
struct Mount(PathBuf);

impl Mount {
    fn new(dir: &Path) -> Option<Self> {
        let path = dir.join("mount");
        fs::create_dir(&path).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
            .arg(&path)
            .output();
        if done.is_ok_and(|output| output.status.success()) {
            Some(Self(path))
        } else {
            println!("SKIPPED: cannot mount a tmpfs (needs root)");
            None
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .args(["-l".as_ref(), self.0.as_os_str()])
            .output();
    }
}

fn full_durability() -> StoreOptions {
    StoreOptions {
        durability: Durability::PowerLoss,
        ..options()
    }
}

/// Takes all that is left.
fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("ballast");
    let written = fs::write(&path, vec![7; 2 << 20]);
    assert!(written.is_err());
    path
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited too long until {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn recording_pauses_counts_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        return;
    };
    let state = mount.0.join("state");
    let mut store = Store::open(&state, full_durability()).unwrap();
    store.append(&[notice(0)], at(0)).unwrap();
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    let ballast = fill(&mount.0);

    // The disk may have room for a few: offer until it has none.
    let mut offered = 0;
    wait_until("it is full", || {
        recorder.offer((offered..offered + 50).map(alert).collect());
        offered += 50;
        recorder.status().paused.is_some()
    });
    assert!(
        recorder.status().paused.unwrap().contains("full"),
        "{:?}",
        recorder.status()
    );
    let refused = recorder.record_and_wait(vec![notice(1)]).unwrap_err();
    assert!(
        matches!(
            refused,
            StoreError::Paused { .. } | StoreError::DiskFull { .. }
        ),
        "{refused}"
    );

    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while offered < 80_000 {
        let before = Instant::now();
        recorder.offer((offered..offered + 100).map(notice).collect());
        slowest = slowest.max(before.elapsed());
        offered += 100;
    }
    assert!(
        slowest < Duration::from_secs(1),
        "offering took {slowest:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    let status = recorder.status();
    assert!(status.lost > 0 && status.queued <= 65_536, "{status:?}");
    let lost = status.lost;

    // More room than before: what is queued would not fit into one megabyte.
    fs::remove_file(ballast).unwrap();
    let grown = Command::new("mount")
        .args(["-o", "remount,size=512m"])
        .arg(&mount.0)
        .output();
    assert!(grown.unwrap().status.success());
    wait_until("it resumes", || {
        recorder.status().queued == 0 && recorder.status().paused.is_none()
    });
    wait_until("the loss is on the ledger", || {
        let reader = Store::open_read_only(&state).unwrap();
        reader
            .counts()
            .unwrap()
            .iter()
            .any(|(kind, n)| kind == "loss" && *n == 1)
    });
    let store = recorder.stop();
    let size = store.size().unwrap();
    assert_eq!(
        size,
        1 + offered - lost + 1,
        "all that was not counted as lost, and the loss"
    );
    let last = store.entry(size - 1).unwrap();
    let Some(Entry::Loss(loss)) = last.entry() else {
        panic!("{last:?}")
    };
    assert_eq!(loss.entries_lost, lost);
    assert!(
        loss.cause.contains("full") && loss.from <= loss.until,
        "{loss:?}"
    );
    store.verify(&mut quiet).unwrap();
}

#[test]
fn a_ledger_on_a_full_disk_can_be_read_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        return;
    };
    let state = mount.0.join("state");
    let mut store = Store::open(&state, full_durability()).unwrap();
    store.append(&[notice(0)], at(0)).unwrap();
    let ballast = fill(&mount.0);
    let failed = (1..10_000)
        .find_map(|n| store.append(&[notice(n)], at(n)).err())
        .unwrap();
    assert!(
        matches!(
            failed,
            StoreError::DiskFull { .. } | StoreError::Database { .. }
        ),
        "{failed}"
    );
    assert!(failed.is_temporary());
    let size = store.size().unwrap();
    assert_eq!(store.verify(&mut quiet).unwrap().entries, size);
    fs::remove_file(ballast).unwrap();
    assert_eq!(store.append(&[notice(1)], at(1)).unwrap()[0].index, size);
    store.verify(&mut quiet).unwrap();
}

#[test]
fn an_intake_journal_on_a_full_disk_keeps_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        return;
    };
    let (mut journal, _) = IntakeJournal::open(&mount.0).unwrap();
    journal.append(&[b"before"]).unwrap();
    let ballast = fill(&mount.0);
    let record = [5u8; 3_000];
    let kept = (0..1_000)
        .take_while(|_| journal.append(&[&record]).is_ok())
        .count();
    assert!(kept < 1_000);
    assert!(journal.append(&[&record]).is_err());
    fs::remove_file(ballast).unwrap();
    journal.append(&[b"after"]).unwrap();
    let (_, recovered) = IntakeJournal::open(&mount.0).unwrap();
    assert_eq!(recovered.damage, None);
    assert_eq!(recovered.since.len(), 1 + kept + 1);
    assert_eq!(recovered.since.last().unwrap(), b"after");
}

/// How a guard ended before it starts again on a full disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Orderly,
    Killed,
    /// Put back from a backup of the one file.
    Restored,
}

#[test]
fn bans_are_there_after_a_restart_on_a_full_disk() {
    for end in [End::Orderly, End::Killed, End::Restored] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mount) = Mount::new(dir.path()) else {
            return;
        };
        let state = mount.0.join("state");
        let mut store = Store::open(&state, full_durability()).unwrap();
        let ban = crate::samples::decision(1);
        store.append(std::slice::from_ref(&ban), at(1)).unwrap();
        let parts = ["ledger.db", "ledger.db-wal", "ledger.db-shm"];
        let copy = |from: &Path, to: &Path| {
            for name in parts {
                fs::copy(from.join(name), to.join(name)).unwrap();
            }
        };
        // What a killed process leaves is what there is while it lives.
        copy(&state, dir.path());
        drop(store);
        match end {
            End::Orderly => {}
            End::Killed => copy(dir.path(), &state),
            End::Restored => {
                parts[1..]
                    .iter()
                    .for_each(|name| fs::remove_file(state.join(name)).unwrap());
            }
        }
        fill(&mount.0);
        let reader = Store::open_read_only(&state).unwrap();
        assert_eq!(reader.bans(at(2)).unwrap().len(), 1, "{end:?}");
        drop(reader);
        match Store::open(&state, full_durability()) {
            Ok(mut store) => {
                assert_eq!(store.bans(at(2)).unwrap().len(), 1, "{end:?}");
                let failed = (0..10_000).find_map(|n| store.append(&[notice(n)], at(n)).err());
                assert!(failed.unwrap().is_temporary());
            }
            Err(e) => assert!(end == End::Restored && e.is_temporary(), "{end:?}: {e}"),
        }
    }
}

#[test]
fn one_who_waits_is_recorded_again_although_nothing_else_is_queued() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path()) else {
        return;
    };
    let state = mount.0.join("state");
    let store = Store::open(&state, full_durability()).unwrap();
    let recorder = Recorder::start(store, Box::new(|_| {})).unwrap();
    recorder.record_and_wait(vec![notice(0)]).unwrap();
    let ballast = fill(&mount.0);
    let mut next = 1;
    let refused = loop {
        match recorder.record_and_wait(vec![notice(next)]) {
            Ok(_) => next += 1,
            Err(refused) => break refused,
        }
        assert!(next < 10_000, "the disk is never full");
    };
    assert!(refused.to_string().contains("full"), "{refused}");
    fs::remove_file(ballast).unwrap();
    wait_until("it is recorded", || {
        recorder.record_and_wait(vec![notice(next)]).is_ok()
    });
    assert_eq!(recorder.status().paused, None);
    recorder.stop().verify(&mut quiet).unwrap();
}
