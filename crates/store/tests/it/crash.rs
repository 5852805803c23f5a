//! A process killed in the middle of appending loses nothing that was acknowledged.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use store::{IntakeJournal, Store};

use crate::samples::{at, notice, options, quiet};

const ROUNDS: u64 = 25;
const DIR: &str = "POSSE_CRASH_TEST_DIR";

/// The process that is killed: appends without end, and says each index once it is acknowledged.
#[test]
#[ignore = "run by its parent test"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let mut store = Store::open(dir, options()).unwrap();
    let (mut journal, _) = IntakeJournal::open(dir).unwrap();
    let mut out = std::io::stdout();
    for batch in 1u64.. {
        let size = store.size().unwrap();
        let entries: Vec<_> = (size..size + 1 + batch % 17).map(notice).collect();
        let appended = store.append(&entries, at(batch)).unwrap();
        let last = appended.last().unwrap().index;
        journal.append(&[&last.to_be_bytes()]).unwrap();
        if batch % 50 == 0 {
            journal.compact(&last.to_be_bytes()).unwrap();
        }
        writeln!(out, "acknowledged {last}").unwrap();
    }
}

#[test]
fn a_killed_writer_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut acknowledged = None;
    let mut checkpoints: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture"])
            .env(DIR, &state)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            let number = |line: String| line.rsplit("acknowledged ").next()?.parse::<u64>().ok();
            lines
                .filter(|l| l.contains("acknowledged "))
                .filter_map(number)
                .last()
        });
        // Uneven waits, from while it opens to well within its work.
        std::thread::sleep(Duration::from_millis(15 + (round * 37) % 160));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = reader.join().unwrap().or(acknowledged);
        if !state.join("ledger.db").exists() {
            continue;
        }
        let store = Store::open(&state, options()).unwrap();
        let report = store.verify(&mut quiet).unwrap();
        assert!(
            acknowledged.is_none_or(|last| last < report.entries),
            "round {round}"
        );
        let (_, recovered) = IntakeJournal::open(&state).unwrap();
        assert_eq!(recovered.damage, None);
        let noted = recovered.since.last().or(recovered.snapshot.as_ref());
        let noted = noted.map(|b| u64::from_be_bytes(b[..].try_into().unwrap()));
        assert!(noted >= acknowledged, "{noted:?} {acknowledged:?}");
        checkpoints.push(store.checkpoint().unwrap());
    }
    assert!(
        acknowledged.is_some_and(|last| last > 100),
        "{acknowledged:?}"
    );
    let store = Store::open(&state, options()).unwrap();
    let out = dir.path().join("export");
    store.export(&out, &mut quiet).unwrap();
    let Some(script) = outside::ledger_auditor() else {
        return;
    };
    let mut args = vec!["audit".to_owned(), out.display().to_string(), store.vkey()];
    for (n, checkpoint) in checkpoints.iter().enumerate() {
        let path = dir.path().join(format!("checkpoint-{n}"));
        fs::write(&path, checkpoint).unwrap();
        args.extend(["--old".to_owned(), path.display().to_string()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    crate::samples::run_verifier(&script, &args).unwrap();
}
